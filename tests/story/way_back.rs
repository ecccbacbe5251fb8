//! A switch that must be taken back: what came to the new site goes to the old one, and nothing else does.

use crate::world::{World, at, export_site, flag, grant, mail, new_archive};
use insta::assert_snapshot;
use stationwagon::archive::Archive;
use stationwagon::event::Silent;
use stationwagon::model::mailbox::FolderKind;
use stationwagon::model::provisioning::{Record, RecordKind, Secret};
use stationwagon::verbs::import::rename::RenameRules;
use stationwagon::verbs::import::{ImportError, ImportOptions, ImportReport, import};

fn back(world: &World, archive: &Archive) -> ImportReport {
    export_site(&world.target, archive, &world.dir.path().join("catalog-back.sqlite"));
    let options = ImportOptions { way_back: Some(world.map_path()), ..world.options() };
    let report = import(archive, &world.source, &options, &Silent).unwrap();
    assert!(report.ledger.balanced, "{}", report.ledger);
    report
}

#[test]
fn only_what_is_new_goes_back_and_each_change_is_merged() {
    let world = World::new();
    let calendar = at(FolderKind::Calendars, "personal");
    world.account("ann@old.example", &["one", "two", "three"]);
    world.account("bob@old.example", &[]);
    world.source.edit(|site| {
        site.put_item("ann@old.example", &calendar, "a.ics", b"first", 1);
        site.put_item("ann@old.example", &at(FolderKind::Calendars, "work"), "a.ics", b"another", 1);
        site.folder("ann@old.example", &mail("INBOX")).folder.grants =
            vec![grant("bob@old.example", "l"), grant("nobody@old.example", "l")];
    });
    let rename = RenameRules::parse("old.example new.example").unwrap();
    world.export().import_with(&ImportOptions { rename, ..world.options() });

    // The switch. Users work on the new site; one deletes something that is still on the old one.
    world.target.edit(|site| {
        site.put_item("ann@new.example", &mail("INBOX"), "new", b"arrived after the switch", 9_000);
        site.put_item("ann@new.example", &calendar, "a.ics", b"second", 9_000);
        site.move_item("ann@new.example", "two", &mail("Archive"));
        site.remove_item("ann@new.example", "three");
        let key = (RecordKind::Account, "ann@new.example".to_owned());
        if let Some(Record::Account(account)) = site.records.get_mut(&key).map(|stored| &mut stored.record) {
            account.password = Some(Secret::new("{PLAIN}changed"));
        }
    });
    flag(&world.target, "ann@new.example", "one", "S");

    // The old site was only read so far; it never learnt which id it has in the archive.
    world.source.edit(|site| site.id = None);
    let archive = new_archive(&world.dir.path().join("archive-back"), "the-other-archive");
    let report = back(&world, &archive);
    assert_snapshot!(world.source.edit(|site| site.tree("ann@old.example")), @r"
    Archive
      two
    INBOX
      new
      one  S
      three
    calendars/personal
      a.ics
    calendars/work
      a.ics
    ");
    assert_snapshot!(report.ledger.items, @"5 in snapshot = 1 imported + 4 already there + 0 rejected + 0 excluded");
    assert_eq!(report.conflicts, []);
    let site = world.source.edit(|site| site.clone());
    assert_eq!(site.mailboxes["ann@old.example"].folders[&calendar].items["a.ics"].bytes, b"second");
    assert_eq!(site.mailboxes.len(), 2, "{:?}", site.mailboxes.keys());
    let Record::Account(ann) = &site.records[&(RecordKind::Account, "ann@old.example".to_owned())].record else {
        panic!()
    };
    assert_eq!(ann.password.as_ref().unwrap().reveal(), "{PLAIN}changed");
    let inbox = &site.mailboxes["ann@old.example"].folders[&mail("INBOX")];
    let both = [grant("bob@old.example", "l"), grant("nobody@old.example", "l")];
    assert_eq!(inbox.folder.grants, both, "what never went over is not taken for removed");

    // Once more, with one more message.
    world.target.edit(|site| {
        site.put_item("ann@new.example", &mail("INBOX"), "newer", b"one more", 9_001);
    });
    let second = back(&world, &archive);
    assert_eq!(second.ledger.items.imported, 1);
}

#[test]
fn a_map_of_another_direction_is_refused() {
    let world = World::new();
    world.account("ann@old.example", &["one"]);
    world.export().import();
    let options = ImportOptions { way_back: Some(world.map_path()), ..world.options() };
    assert!(matches!(world.try_import(&options), Err(ImportError::NotTheWayBack { .. })));
}
