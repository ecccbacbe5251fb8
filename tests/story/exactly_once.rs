//! A pass that is killed anywhere and run again gives what an undisturbed pass gives.

use crate::world::{Impatient, World, flag, grant, mail, mountpoint};
use stationwagon::event::Silent;
use stationwagon::model::mailbox::FolderKey;
use stationwagon::testing::memory_site::Contents;
use stationwagon::verbs::import::{ImportError, ImportOptions, import};
use std::num::NonZeroUsize;

fn furnished() -> World {
    let world = World::new();
    world.account("ann@example.org", &["a1", "a2", "a3"]);
    world.account("bob@example.org", &["b1"]);
    world.message("ann@example.org", "Team", "t1");
    world.source.edit(|site| {
        site.folder("ann@example.org", &mail("Team")).folder.grants = vec![grant("bob@example.org", "lrs")];
        let mount = mountpoint("Shared", "ann@example.org", "Team");
        site.mailboxes.get_mut("bob@example.org").unwrap().settings.insert(mount.key(), mount);
    });
    world.export();
    world
}

fn day_two(world: &World) {
    world.message("ann@example.org", "INBOX", "a4");
    world.source.edit(|site| site.move_item("ann@example.org", "a1", &mail("Team")));
    world.source.edit(|site| site.rename_folder("ann@example.org", &mail("Team"), &mail("Crew")));
    world.source.edit(|site| site.remove_item("bob@example.org", "b1"));
    flag(&world.source, "ann@example.org", "a2", "S");
    world.export();
}

/// What users see: folders, items, settings, grants; without the numbers that memory gives.
fn seen(contents: &Contents) -> String {
    let mut text = String::new();
    for (address, mailbox) in &contents.mailboxes {
        text.push_str(&format!("{address}\n{}", contents.tree(address)));
        for folder in mailbox.folders.values() {
            text.push_str(&format!("{:?} {:?}\n", folder.folder.key, folder.folder.grants));
        }
        text.push_str(&format!("{:?}\n", mailbox.settings));
    }
    text.push_str(&format!("{:?}", contents.records.values().map(|stored| &stored.record).collect::<Vec<_>>()));
    text
}

fn one_at_a_time(world: &World) -> ImportOptions {
    ImportOptions { jobs: NonZeroUsize::MIN, delete: true, ..world.options() }
}

#[test]
fn a_pass_that_was_killed_at_any_write_ends_as_if_nothing_had_happened() {
    let wanted = {
        let world = furnished();
        world.import_with(&one_at_a_time(&world));
        day_two(&world);
        world.import_with(&one_at_a_time(&world));
        seen(&world.target.edit(|site| site.clone()))
    };
    let mut killed = 0;
    for second_day in [false, true] {
        for write in 0.. {
            let world = furnished();
            if second_day {
                world.import_with(&one_at_a_time(&world));
                day_two(&world);
            }
            world.target.fail_at(Some(write));
            let outcome = world.try_import(&one_at_a_time(&world));
            world.target.fail_at(None);
            if outcome.is_ok() {
                break;
            }
            killed += 1;
            let report = world.import_with(&one_at_a_time(&world));
            assert_eq!(report.conflicts, [], "killed at write {write}");
            if !second_day {
                day_two(&world);
                world.import_with(&one_at_a_time(&world));
            }
            assert_eq!(seen(&world.target.edit(|site| site.clone())), wanted, "killed at write {write}");
        }
    }
    assert!(killed > 15, "only {killed} writes were seen");
}

#[test]
fn somebody_who_interrupts_goes_on_later() {
    let wanted = {
        let world = furnished();
        world.import();
        seen(&world.target.edit(|site| site.clone()))
    };
    let mut interrupted = 0;
    for events in 0..40 {
        let world = furnished();
        let outcome = import(&world.archive, &world.target, &one_at_a_time(&world), &Impatient::after(events));
        match outcome {
            Err(ImportError::Interrupted) => interrupted += 1,
            Err(other) => panic!("{other}"),
            Ok(_) => {}
        }
        world.import();
        assert_eq!(seen(&world.target.edit(|site| site.clone())), wanted);
    }
    assert!(interrupted > 5);
}

#[test]
fn a_message_that_a_user_deleted_on_the_target_stays_deleted() {
    let world = furnished();
    world.import();
    world.target.edit(|site| site.remove_item("ann@example.org", "a1"));
    flag(&world.source, "ann@example.org", "a1", "S");
    world.source.edit(|site| site.item("ann@example.org", "a1").unwrap().keywords.push("x".to_owned()));
    let report = world.export().import();
    assert!(!world.target_tree("ann@example.org").contains("a1"));
    assert_eq!(report.ledger.items.imported, 0);
    assert_eq!(world.import().ledger.items.imported, 0);
}

#[test]
fn two_importers_at_once_are_one_too_many() {
    let world = furnished();
    let lock = world.dir.path().join("target/import.lock");
    let held = stationwagon::fs::Fs::try_lock(&stationwagon::fs::RealFs, &lock).unwrap().unwrap();
    assert!(matches!(world.try_import(&world.options()), Err(ImportError::InUse(path)) if path == lock));
    drop(held);
    world.import();
}

#[test]
fn the_same_name_in_two_folders_arrives_twice() {
    let world = World::new();
    world.account("ann@example.org", &["same"]);
    world.source.edit(|site| {
        site.put_item("ann@example.org", &mail("Copies"), "same", b"another text", 5);
        site.put_item("ann@example.org", &mail("More"), "same", b"a third", 6);
    });
    let report = world.export().import();
    assert_eq!(report.ledger.items.imported, 3);
    let site = world.target.edit(|site| site.clone());
    let texts: Vec<_> = site.mailboxes["ann@example.org"].folders.values().map(|folder| folder.items.len()).collect();
    assert_eq!(texts, [1, 1, 1]);
    world.source.edit(|site| {
        site.folder("ann@example.org", &FolderKey::inbox()).items.get_mut("same").unwrap().flags =
            stationwagon::model::mailbox::Flags::from_letters("S");
    });
    import(&world.export().archive, &world.target, &world.options(), &Silent).unwrap();
    let inbox =
        world.target.edit(|site| site.clone()).mailboxes["ann@example.org"].folders[&FolderKey::inbox()].clone();
    assert!(inbox.items.values().all(|item| item.flags.contains('S')));
}
