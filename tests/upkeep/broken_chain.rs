//! A snapshot in the middle of a chain is damaged or gone: exports and imports go on, and nothing is brought twice.

use crate::files::{copy_tree, members, snapshot_file, spoil};
use crate::world::{World, flag};
use stationwagon::archive::{Archive, ArchiveError};
use stationwagon::catalog::Catalog;
use stationwagon::event::{Silent, Sink};
use stationwagon::fs::RealFs;
use stationwagon::model::id::SnapshotNo;
use stationwagon::testing::memory_site::MemorySite;
use stationwagon::verbs::export::{ExportError, ExportOptions, ExportReport, export};
use stationwagon::verbs::import::{ImportReport, import};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

/// How the second snapshot is lost.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Head,
    Missing,
    Manifest,
}

pub fn try_export(world: &World, full: bool) -> Result<ExportReport, ExportError> {
    let mut catalog = Catalog::open(&world.dir.path().join("catalog.sqlite")).unwrap();
    export_with(world, &mut catalog, full, &Silent)
}

pub fn export_with(
    world: &World,
    catalog: &mut Catalog,
    full: bool,
    sink: &dyn Sink,
) -> Result<ExportReport, ExportError> {
    let options = ExportOptions {
        source: None,
        accounts: Vec::new(),
        exclude: Vec::new(),
        deep: false,
        full,
        label: None,
        dry_run: false,
        workers: NonZeroUsize::MIN,
        clock: || 100,
        holder: "a story".to_owned(),
    };
    export(&world.source, &world.archive, catalog, &options, sink)
}

/// A target of its own, which is told apart from the world's by its name.
pub fn new_target(world: &World, name: &str) -> MemorySite {
    let state_dir = world.dir.path().join(name);
    std::fs::create_dir(&state_dir).unwrap();
    let site = MemorySite::new(&state_dir);
    site.edit(|site| site.id = Some(name.parse().unwrap()));
    site
}

pub fn bring(world: &World, target: &MemorySite, no: u32) -> ImportReport {
    let options =
        stationwagon::verbs::import::ImportOptions { snapshot: Some(SnapshotNo(no)), delete: true, ..world.options() };
    let archive = Archive::open(Arc::new(RealFs), world.archive.dir()).unwrap();
    let report = import(&archive, target, &options, &Silent).unwrap();
    assert!(report.ledger.balanced, "{}", report.ledger);
    report
}

/// Three passes: Ann is there from the first, Bob from the second on; letters come, change and go in each.
fn three_passes() -> (World, Vec<MemorySite>) {
    let world = World::new();
    let targets = ["saw-one", "saw-two", "saw-three", "saw-none"].map(|name| new_target(&world, name));
    world.account("ann@example.org", &["a-one", "a-two", "a-gone"]);
    world.account("dora@example.org", &["d-one"]);
    world.export();
    bring(&world, &targets[0], 1);
    world.message("ann@example.org", "INBOX", "a-three");
    world.message("ann@example.org", "Archive", "a-kept");
    world.source.edit(|site| site.remove_item("ann@example.org", "a-gone"));
    world.account("bob@example.org", &["b-one", "b-two"]);
    world.export();
    bring(&world, &targets[1], 2);
    flag(&world.source, "ann@example.org", "a-three", "S");
    world.message("ann@example.org", "INBOX", "a-four");
    world.message("bob@example.org", "INBOX", "b-three");
    world.export();
    bring(&world, &targets[2], 3);
    (world, targets.into())
}

fn lose_second(world: &World, loss: Loss) {
    lose(&snapshot_file(world.archive.dir(), 2), loss);
}

fn lose(file: &Path, loss: Loss) {
    let member = |name: &str| {
        let found = members(file).into_iter().rfind(|(_, found)| found.starts_with(name));
        found.unwrap().0
    };
    match loss {
        // Both copies of it.
        Loss::Head => {
            let both = ["snapshot-again.json", "snapshot.json"].map(member);
            both.into_iter().for_each(|at| spoil(file, at.start + 20));
        }
        Loss::Missing => std::fs::remove_file(file).unwrap(),
        Loss::Manifest => spoil(file, member("accounts/").start + 20),
    }
}

fn same_mail(source: &MemorySite, target: &MemorySite, what: &str) {
    for address in ["ann@example.org", "bob@example.org", "dora@example.org"] {
        let of = |site: &MemorySite| site.edit(|site| site.tree(address));
        assert_eq!(of(target), of(source), "{what}: {address}");
    }
}

#[test]
fn a_lost_snapshot_costs_a_full_one_and_no_target_gets_anything_twice() {
    for loss in [Loss::Head, Loss::Missing, Loss::Manifest] {
        let (mut world, targets) = three_passes();
        lose_second(&world, loss);
        world.archive = Archive::open(Arc::new(RealFs), world.archive.dir()).unwrap();

        flag(&world.source, "ann@example.org", "a-one", "F");
        world.message("bob@example.org", "INBOX", "b-four");
        let blocked = try_export(&world, false);
        assert!(matches!(blocked, Err(ExportError::Archive(_))), "{loss:?}: {blocked:?}");
        let report = try_export(&world, true).unwrap();
        assert_eq!(report.snapshot, Some(SnapshotNo(4)), "{loss:?}");
        match loss {
            // The last manifest in the file is Bob's; Ann's replays as ever.
            Loss::Manifest => {
                assert_eq!((report.lost.len(), report.salvaged.as_slice()), (0, &["bob@example.org".to_owned()][..]));
            }
            Loss::Head | Loss::Missing => {
                assert_eq!((report.lost.as_slice(), report.parent), (&[SnapshotNo(2)][..], None), "{loss:?}");
                assert_eq!(report.salvaged.len(), 3, "{loss:?}: {:?}", report.salvaged);
            }
        }

        for (target, name) in targets.iter().zip(["saw one", "saw two", "saw three", "saw none"]) {
            let imported = bring(&world, target, 4);
            same_mail(&world.source, target, &format!("{loss:?}, {name}"));
            assert_eq!(imported.conflicts, [], "{loss:?}, {name}");
            let again = bring(&world, target, 4);
            assert_eq!(again.bytes, 0, "{loss:?}, {name}: nothing is brought twice");
        }

        // From here on passes are as cheap as ever, and targets follow them.
        world.message("ann@example.org", "INBOX", "a-five");
        let fifth = try_export(&world, false).unwrap();
        assert_eq!((fifth.parent, fifth.counts.items_added), (Some(SnapshotNo(4)), 1), "{loss:?}");
        for target in &targets {
            bring(&world, target, 5);
            same_mail(&world.source, target, &format!("{loss:?}, the pass after"));
        }
    }
}

#[test]
fn what_a_user_deleted_on_the_target_does_not_come_back_with_new_numbers() {
    let (mut world, targets) = three_passes();
    let target = &targets[2];
    target.edit(|site| site.remove_item("ann@example.org", "a-three"));
    bring(&world, target, 3);
    lose_second(&world, Loss::Head);
    world.archive = Archive::open(Arc::new(RealFs), world.archive.dir()).unwrap();
    try_export(&world, true).unwrap();
    bring(&world, target, 4);
    let tree = target.edit(|site| site.tree("ann@example.org"));
    assert!(!tree.contains("a-three") && tree.contains("a-four"), "{tree}");
}

#[test]
fn a_damaged_snapshot_of_another_source_stands_in_nobodys_way() {
    let world = World::new();
    world.account("ann@example.org", &["one"]);
    let other = new_target(&world, "another-source");
    other.edit(|site| site.put_account("zoe@example.net", "{PLAIN}secret"));
    crate::world::export_site(&other, &world.archive, &world.dir.path().join("other.sqlite"));
    world.export();
    spoil(&snapshot_file(world.archive.dir(), 1), 20);
    world.message("ann@example.org", "INBOX", "two");
    assert_eq!(try_export(&world, false).unwrap().snapshot, Some(SnapshotNo(3)));
    let report = bring(&world, &world.target, 3);
    assert_eq!(report.rejected, []);
}

#[test]
fn a_choice_of_accounts_cannot_go_on_after_a_gap_and_says_what_can() {
    let (mut world, _) = three_passes();
    lose_second(&world, Loss::Missing);
    world.archive = Archive::open(Arc::new(RealFs), world.archive.dir()).unwrap();
    let mut catalog = Catalog::open(&world.dir.path().join("catalog.sqlite")).unwrap();
    let options = ExportOptions {
        source: None,
        accounts: vec!["ann@*".to_owned()],
        exclude: Vec::new(),
        deep: false,
        full: true,
        label: None,
        dry_run: false,
        workers: NonZeroUsize::MIN,
        clock: || 100,
        holder: "a story".to_owned(),
    };
    let error = export(&world.source, &world.archive, &mut catalog, &options, &Silent).unwrap_err();
    assert_eq!(error.to_string(), "snapshot 2 cannot be read, so what this pass would not look at is not known");
}

#[test]
fn the_newest_snapshot_unreadable_is_an_error_for_a_reader_who_names_none() {
    let (world, _) = three_passes();
    let copy = world.dir.path().join("copy");
    copy_tree(world.archive.dir(), &copy);
    lose(&snapshot_file(&copy, 3), Loss::Head);
    let archive = Archive::open(Arc::new(RealFs), &copy).unwrap();
    let open = |at| stationwagon::archive::history::History::open(&archive, None, at);
    assert!(matches!(open(None).err().unwrap(), ArchiveError::Format { .. }));
    assert!(open(Some(SnapshotNo(2))).is_ok());
}
