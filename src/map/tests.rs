use super::*;
use crate::fs::RealFs;
use crate::model::id::{FolderId, ItemId, ObjectId, RecordId, SnapshotNo};
use crate::model::mailbox::{Flags, Folder, FolderKey, FolderKind};
use crate::model::provisioning::{Alias, Domain, Record, RecordKind};
use crate::model::setting::Setting;
use crate::model::share::{Grant, Grantee, Rights};

fn meta(source: &str, target: &str) -> Meta {
    Meta {
        source_site: source.parse().unwrap(),
        target_site: target.parse().unwrap(),
        archive: "archive".parse().unwrap(),
        wagon: "0".to_owned(),
        created: 1,
    }
}

fn alias(id: u32, source: &str, target: &str, snapshot: u32) -> RecordRow {
    RecordRow {
        id: RecordId(id),
        kind: RecordKind::Alias,
        source_key: source.to_owned(),
        target_key: target.to_owned(),
        state: RecordState::Done,
        base: Record::Alias(Alias { address: target.to_owned(), targets: vec!["x@y".to_owned()] }),
        seen: None,
        snapshot: SnapshotNo(snapshot),
    }
}

fn item(id: u32, state: ItemState) -> ItemRow {
    ItemRow {
        record: RecordId(1),
        id: ItemId(id),
        folder: FolderId(1),
        source_name: format!("{id}.M1P1.host"),
        target_name: format!("{id}.M1P1.host"),
        object: ObjectId::of(&id.to_be_bytes()),
        target_object: None,
        flags: Flags::from_letters("S"),
        keywords: vec!["$Label1".to_owned()],
        tags: Vec::new(),
        state,
        reason: None,
        snapshot: SnapshotNo(1),
    }
}

#[test]
fn a_map_of_another_target_source_or_archive_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("map_a.sqlite");
    drop(Map::open(&RealFs, &path, &meta("a", "b")).unwrap());
    Map::open(&RealFs, &path, &meta("a", "b")).unwrap();
    assert!(matches!(Map::open(&RealFs, &path, &meta("a", "c")), Err(MapError::OtherTarget { .. })));
    assert!(matches!(Map::open(&RealFs, &path, &meta("x", "b")), Err(MapError::OtherSource { .. })));
    let other = Meta { archive: "else".parse().unwrap(), ..meta("a", "b") };
    assert!(matches!(Map::open(&RealFs, &path, &other), Err(MapError::OtherArchive { .. })));
    assert_eq!(Map::read(&path).unwrap().meta(), &meta("a", "b"));
}

#[test]
fn the_map_is_readable_by_its_owner_alone() {
    use crate::fs::Fs;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("map_a.sqlite");
    let _map = Map::open(&RealFs, &path, &meta("a", "b")).unwrap();
    assert_eq!(RealFs.stat(&path).unwrap().mode & 0o777, 0o600);
}

#[test]
fn a_record_is_found_under_every_name_it_ever_had_and_the_present_holder_of_a_name_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    let map = Map::open(&RealFs, &dir.path().join("map_a.sqlite"), &meta("a", "b")).unwrap();
    map.put_records(&[alias(1, "old@x", "old@x", 1)]).unwrap();
    map.put_records(&[alias(1, "new@x", "new@x", 2)]).unwrap();
    assert_eq!(map.record_once_called(RecordKind::Alias, "old@x").unwrap().unwrap().id, RecordId(1));
    assert_eq!(map.record_once_called(RecordKind::List, "old@x").unwrap(), None);
    map.put_records(&[alias(2, "old@x", "old@x", 2)]).unwrap();
    assert_eq!(map.record_once_called(RecordKind::Alias, "old@x").unwrap().unwrap().id, RecordId(2));
    assert_eq!(map.record_at_target(RecordKind::Alias, "new@x").unwrap().unwrap().id, RecordId(1));
}

#[test]
fn items_come_back_as_they_were_put_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let map = Map::open(&RealFs, &dir.path().join("map_a.sqlite"), &meta("a", "b")).unwrap();
    let rows: Vec<_> = (1..=10_000).map(|id| item(id, ItemState::Intent)).collect();
    map.put_items(&rows).unwrap();
    let outcomes: Vec<_> = (1..=9_000).map(|id| (ItemId(id), ItemState::Done, None)).collect();
    map.set_item_outcomes(RecordId(1), &outcomes).unwrap();
    assert_eq!(map.open_intents(RecordId(1)).unwrap().len(), 1000);
    map.drop_item_intents(RecordId(1), &[ItemId(1), ItemId(9_500)]).unwrap();
    let mut seen = Vec::new();
    map.each_item(RecordId(1), |row| {
        seen.push(row.id.0);
        let wanted = if row.id.0 <= 9_000 { ItemState::Done } else { ItemState::Intent };
        assert_eq!(row, item(row.id.0, wanted));
        Ok::<_, MapError>(())
    })
    .unwrap();
    assert_eq!(seen, (1..=10_000).filter(|&id| id != 9_500).collect::<Vec<_>>());
}

#[test]
fn a_folder_is_found_under_its_former_path_and_links_keep_both_languages() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("map_a.sqlite");
    let map = Map::open(&RealFs, &path, &meta("a", "b")).unwrap();
    map.put_records(&[alias(1, "a@x", "a@y", 1)]).unwrap();
    let place = |name| FolderKey::new(FolderKind::Mail, name).unwrap();
    let mut row = FolderRow {
        record: RecordId(1),
        id: FolderId(3),
        source_key: place("Team"),
        target_key: place("Team"),
        base: Folder::at(place("Team")),
        uids_lost: Some("it was there".to_owned()),
        state: FolderState::Done,
        snapshot: SnapshotNo(1),
    };
    map.put_folders(std::slice::from_ref(&row)).unwrap();
    row.source_key = place("Team 2");
    row.target_key = place("Team 2");
    map.put_folders(std::slice::from_ref(&row)).unwrap();
    assert_eq!(map.folder_once_at(RecordId(1), &place("Team")).unwrap(), Some(row.clone()));
    assert_eq!(map.folders(RecordId(1)).unwrap(), [row.clone()]);
    assert_eq!(map.folders_without_uids().unwrap(), [row]);

    let grant = |who: &str| Grant {
        grantee: Grantee::User(who.to_owned()),
        rights: Rights::from_letters("lr"),
        negative: false,
    };
    let grants = GrantsRow {
        record: RecordId(1),
        folder: FolderId(3),
        source: vec![grant("old@x")],
        written: vec![grant("new@y")],
        snapshot: SnapshotNo(1),
    };
    map.put_grants(std::slice::from_ref(&grants)).unwrap();
    let mountpoint = Setting::Mountpoint { at: place("Shared"), owner: "o@x".to_owned(), folder: place("Team") };
    let setting = SettingRow { record: RecordId(1), source: mountpoint, written: None, snapshot: SnapshotNo(1) };
    map.put_settings(std::slice::from_ref(&setting)).unwrap();
    // A copy holds the same, and writing it leaves the map alone.
    let copy = Map::open_copy(&path, true, &meta("a", "b")).unwrap();
    assert_eq!(copy.grants().unwrap(), [grants]);
    assert_eq!(copy.mountpoints().unwrap(), [setting]);
    copy.put_grants(&[GrantsRow {
        record: RecordId(1),
        folder: FolderId(3),
        source: Vec::new(),
        written: Vec::new(),
        snapshot: SnapshotNo(2),
    }])
    .unwrap();
    assert_eq!(copy.grants().unwrap(), []);
    assert_eq!(map.grants().unwrap().len(), 1);
}

#[test]
fn a_domain_and_a_list_of_the_same_name_are_two() {
    let dir = tempfile::tempdir().unwrap();
    let map = Map::open(&RealFs, &dir.path().join("map_a.sqlite"), &meta("a", "b")).unwrap();
    let domain = Domain { name: "x".to_owned(), alias_of: None, catch_all: Vec::new(), attributes: Default::default() };
    let row = RecordRow { kind: RecordKind::Domain, base: Record::Domain(domain), ..alias(7, "x", "y", 1) };
    map.put_records(&[alias(1, "x", "z", 1), row]).unwrap();
    assert_eq!(map.record_once_called(RecordKind::Domain, "x").unwrap().unwrap().target_key, "y");
    assert_eq!(map.record_keys().unwrap().len(), 2);
}

#[test]
fn a_map_that_could_not_take_a_conflict_takes_nothing_that_would_hide_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("map_a.sqlite");
    let map = Map::open(&RealFs, &path, &meta("a", "b")).unwrap();
    map.put_records(&[alias(1, "a@b", "a@b", 1)]).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("ALTER TABLE conflict RENAME TO away").unwrap();
    let place = crate::event::Place::account("a@b");
    let row = ConflictRow { snapshot: SnapshotNo(1), place, what: "password differs".to_owned() };
    map.note_conflict(&row).unwrap_err();
    let error = map.put_records(&[alias(2, "c@d", "c@d", 1)]).unwrap_err();
    assert!(matches!(error, MapError::Refuses { .. }), "{error}");
    assert_eq!(map.records().unwrap().len(), 1);
}
