//! Both sides go on living; each later pass brings what only the source changed.

use crate::world::{World, at, flag, mail};
use insta::assert_snapshot;
use stationwagon::model::id::SnapshotNo;
use stationwagon::model::mailbox::{FolderKind, SpecialUse};
use stationwagon::model::provisioning::{Record, RecordKind, Secret};
use stationwagon::model::setting::Setting;
use stationwagon::testing::memory_site::MemorySite;
use stationwagon::verbs::import::{ImportError, ImportOptions};

const ANN: &str = "ann@example.org";

fn set_password(site: &MemorySite, address: &str, password: &str) {
    site.edit(|site| {
        let key = (RecordKind::Account, address.to_owned());
        let Some(Record::Account(account)) = site.records.get_mut(&key).map(|stored| &mut stored.record) else {
            panic!("no account {address}")
        };
        account.password = Some(Secret::new(password));
    });
}

fn password(site: &MemorySite, address: &str) -> String {
    site.edit(|site| match &site.records[&(RecordKind::Account, address.to_owned())].record {
        Record::Account(account) => account.password.as_ref().unwrap().reveal().to_owned(),
        other => panic!("{other:?}"),
    })
}

fn prefer(site: &MemorySite, value: &str) {
    let setting = Setting::Preference { name: "language".to_owned(), value: value.to_owned() };
    site.edit(|site| site.mailboxes.get_mut(ANN).unwrap().settings.insert(setting.key(), setting));
}

fn preference(site: &MemorySite) -> String {
    site.edit(|site| format!("{:?}", site.mailboxes[ANN].settings))
}

#[test]
fn a_later_pass_brings_flags_and_keeps_what_the_target_changed() {
    let world = World::new();
    world.account(ANN, &["one", "two"]);
    world.export().import();

    flag(&world.source, ANN, "one", "S");
    world.target.edit(|site| site.move_item(ANN, "two", &mail("Archive")));
    let second = world.export().import();
    assert_snapshot!(world.target_tree(ANN), @r"
    Archive
      two
    INBOX
      one  S
    ");
    assert_snapshot!(second.ledger.items, @"2 in snapshot = 0 imported + 2 already there + 0 rejected + 0 excluded");
}

#[test]
fn flags_and_keywords_merge_one_by_one() {
    let world = World::new();
    world.account(ANN, &["one"]);
    let words = |site: &MemorySite, letters: &str, words: &[&str]| {
        flag(site, ANN, "one", letters);
        let words = words.iter().map(|&word| word.to_owned()).collect();
        site.edit(|site| site.item(ANN, "one").unwrap().keywords = words);
    };
    words(&world.source, "F", &["a", "b"]);
    world.export().import();
    words(&world.source, "RS", &["a", "c"]);
    words(&world.target, "DF", &["a", "b", "z"]);
    let report = world.export().import();
    assert_snapshot!(world.target_tree(ANN), @r"
    INBOX
      one  DRS  a  c  z
    ");
    assert_eq!(report.conflicts, []);
}

#[test]
fn moves_and_renamed_folders_follow_unless_the_target_went_another_way() {
    let world = World::new();
    world.account(ANN, &["one", "two", "three"]);
    world.message(ANN, "Projects", "shallow");
    world.message(ANN, "Projects/Alpha", "deep");
    world.message(ANN, "Mine", "mine");
    world.export().import();

    world.source.edit(|site| {
        site.folder(ANN, &mail("Done"));
        site.move_item(ANN, "one", &mail("Done"));
        site.move_item(ANN, "two", &mail("Done"));
        site.rename_folder(ANN, &mail("Projects"), &mail("Work"));
        site.rename_folder(ANN, &mail("Mine"), &mail("Ours"));
    });
    world.message(ANN, "Work/Alpha", "deeper");
    world.target.edit(|site| {
        site.move_item(ANN, "two", &mail("Elsewhere"));
        site.rename_folder(ANN, &mail("Mine"), &mail("My own"));
    });
    let report = world.export().import();
    assert_snapshot!(world.target_tree(ANN), @r"
    Done
      one
    Elsewhere
      two
    INBOX
      three
    My own
      mine
    Work
      shallow
    Work/Alpha
      deep
      deeper
    ");
    let conflicts: Vec<_> = report.conflicts.iter().map(|note| format!("{}: {}", note.place, note.text)).collect();
    assert_snapshot!(conflicts.join("\n"), @r"
    ann@example.org:Done/two: moved on the source; on the target it lies in Elsewhere
    ann@example.org:Ours: was Mine and was renamed on the source; on the target it is gone from there
    ");
    assert_eq!(world.import().conflicts, [], "a conflict is told once");
}

#[test]
fn a_changed_password_or_preference_is_brought_and_one_changed_on_both_sides_stays() {
    let world = World::new();
    world.account(ANN, &[]);
    world.account("bob@example.org", &[]);
    prefer(&world.source, "de");
    world.export().import();

    set_password(&world.source, ANN, "{PLAIN}new");
    set_password(&world.source, "bob@example.org", "{PLAIN}new");
    set_password(&world.target, "bob@example.org", "{PLAIN}of the target");
    prefer(&world.source, "fr");
    world.export().import();
    assert_eq!(password(&world.target, ANN), "{PLAIN}new");
    assert_eq!(password(&world.target, "bob@example.org"), "{PLAIN}of the target");
    assert!(preference(&world.target).contains("fr"));

    prefer(&world.target, "it");
    prefer(&world.source, "es");
    set_password(&world.source, "bob@example.org", "{PLAIN}newer");
    let report = world.export().import();
    assert_eq!(password(&world.target, "bob@example.org"), "{PLAIN}of the target");
    assert!(preference(&world.target).contains("it"));
    let conflicts: Vec<_> = report.conflicts.iter().map(|note| format!("{}: {}", note.place, note.text)).collect();
    assert_snapshot!(conflicts.join("\n"), @r"
    ann@example.org:preference language: differs on source and target
    bob@example.org: password differs on source and target
    ");

    // The classic behaviour sets both again.
    world.import_with(&ImportOptions { additive: true, ..world.options() });
    assert_eq!(password(&world.target, "bob@example.org"), "{PLAIN}newer");
    assert!(preference(&world.target).contains("es"));
}

#[test]
fn deletions_follow_only_when_asked_and_only_what_nobody_touched() {
    let world = World::new();
    world.account(ANN, &["one", "two", "three"]);
    world.message(ANN, "Old", "old");
    world.account("gone@example.org", &["last"]);
    world.export().import();
    world.source.edit(|site| {
        site.remove_item(ANN, "one");
        site.remove_item(ANN, "two");
        site.mailboxes.get_mut(ANN).unwrap().folders.remove(&mail("Old"));
        site.records.remove(&(RecordKind::Account, "gone@example.org".to_owned()));
        site.mailboxes.remove("gone@example.org");
    });
    flag(&world.target, ANN, "two", "F");
    world.export().import();
    assert_snapshot!(world.target_tree(ANN), @r"
    INBOX
      one
      three
      two  F
    Old
      old
    ");

    let report = world.import_with(&ImportOptions { delete: true, ..world.options() });
    assert_snapshot!(world.target_tree(ANN), @r"
    INBOX
      three
      two  F
    ");
    let conflicts: Vec<_> = report.conflicts.iter().map(|note| format!("{}: {}", note.place, note.text)).collect();
    assert_snapshot!(conflicts.join("\n"), @"ann@example.org:INBOX/two: removed on the source, changed on the target: it stays");
    assert!(!world.target.edit(|site| site.mailboxes.contains_key("gone@example.org")));
}

#[test]
fn what_cannot_be_read_on_the_target_when_it_is_to_go_goes_with_its_folder_and_account_in_a_later_pass() {
    let world = World::new();
    let calendar = at(FolderKind::Calendars, "plans");
    for account in [ANN, "gone@example.org"] {
        world.account(account, &[]);
        world.source.edit(|site| site.put_item(account, &calendar, "e.ics", b"BEGIN:VCALENDAR", 5).date);
    }
    world.export().import();
    world.source.edit(|site| {
        site.mailboxes.get_mut(ANN).unwrap().folders.remove(&calendar);
        site.records.remove(&(RecordKind::Account, "gone@example.org".to_owned()));
        site.mailboxes.remove("gone@example.org");
    });
    world.export();
    let delete = ImportOptions { delete: true, ..world.options() };
    world.target.lose_sight_of("e.ics");
    let first = world.import_with(&delete);
    assert_eq!(first.conflicts, [], "that nobody could read it is no change by a user");
    let rejected: Vec<_> = first.rejected.iter().map(|one| one.place.to_string()).collect();
    assert_eq!(rejected, [format!("{ANN}:calendars/plans/e.ics"), "gone@example.org:calendars/plans/e.ics".into()]);
    world.target.see_all();
    let second = world.import_with(&delete);
    assert_eq!((second.conflicts, second.rejected), (vec![], vec![]));
    assert!(!world.target_tree(ANN).contains("plans"), "{}", world.target_tree(ANN));
    assert!(!world.target.edit(|site| site.mailboxes.contains_key("gone@example.org")));
}

#[test]
fn an_additive_pass_moves_and_removes_nothing() {
    let world = World::new();
    world.account(ANN, &["one", "two"]);
    world.message(ANN, "Team", "three");
    world.export().import();
    world.source.edit(|site| {
        site.move_item(ANN, "one", &mail("Team"));
        site.rename_folder(ANN, &mail("Team"), &mail("Crew"));
        site.remove_item(ANN, "two");
    });
    world.message(ANN, "Crew", "four");
    let options = ImportOptions { additive: true, delete: true, ..world.options() };
    world.export().import_with(&options);
    assert_snapshot!(world.target_tree(ANN), @r"
    INBOX
      one
      two
    Team
      four
      three
    ");
}

#[test]
fn an_edited_event_replaces_the_old_one_unless_the_target_edited_it_too() {
    let world = World::new();
    let calendar = at(FolderKind::Calendars, "personal");
    let put = |site: &MemorySite, name: &str, text: &str| {
        site.edit(|site| site.put_item(ANN, &calendar, name, text.as_bytes(), 5).date);
    };
    let text = |site: &MemorySite, name: &str| {
        site.edit(|site| String::from_utf8(site.item(ANN, name).unwrap().bytes.clone()).unwrap())
    };
    world.account(ANN, &[]);
    put(&world.source, "a.ics", "first");
    put(&world.source, "b.ics", "first");
    world.export().import();
    put(&world.source, "a.ics", "second");
    put(&world.source, "b.ics", "second");
    put(&world.target, "b.ics", "of the target");
    let report = world.export().import();
    assert_eq!((text(&world.target, "a.ics"), text(&world.target, "b.ics")), ("second".into(), "of the target".into()));
    assert_eq!(report.conflicts.len(), 1);
    put(&world.source, "b.ics", "third");
    assert_eq!(world.export().import().conflicts.len(), 1);
    assert_eq!(text(&world.target, "b.ics"), "of the target");
}

#[test]
fn events_of_one_name_in_several_calendars_go_each_from_its_own() {
    let world = World::new();
    let calendar = |name: &str| at(FolderKind::Calendars, name);
    world.account(ANN, &["meeting.ics"]);
    for name in ["home", "team", "work"] {
        world.source.edit(|site| {
            site.put_item(ANN, &calendar(name), "meeting.ics", name.as_bytes(), 5);
            site.put_item(ANN, &calendar(name), "lunch.ics", name.as_bytes(), 5);
        });
    }
    world.export().import();
    world.source.edit(|site| {
        for name in ["home", "work"] {
            site.folder(ANN, &calendar(name)).items.remove("meeting.ics");
        }
        site.folder(ANN, &mail("INBOX")).items.remove("meeting.ics");
    });
    world.export().import_with(&ImportOptions { delete: true, ..world.options() });
    // This target names no two items alike.
    assert_snapshot!(world.target_tree(ANN), @r"
    INBOX
    calendars/home
      lunch.ics
    calendars/team
      lunch.ics-2
      meeting.ics-3
    calendars/work
      lunch.ics-3
    ");
}

#[test]
fn an_account_that_was_renamed_keeps_its_mailbox() {
    let world = World::new();
    world.account("maiden@example.org", &["one"]);
    world.export().import();
    world.source.edit(|site| {
        let key = (RecordKind::Account, "maiden@example.org".to_owned());
        let Record::Account(mut account) = site.records[&key].record.clone() else { panic!() };
        account.address = ANN.to_owned();
        site.rename_record(RecordKind::Account, "maiden@example.org", Record::Account(account));
    });
    world.message(ANN, "INBOX", "two");
    let report = world.export().import();
    assert_snapshot!(world.target_tree(ANN), @r"
    INBOX
      one
      two
    ");
    assert!(!world.target.edit(|site| site.mailboxes.contains_key("maiden@example.org")));
    assert_eq!(report.ledger.items.imported, 1);
}

#[test]
fn descriptions_of_folders_merge_and_new_mail_makes_a_removed_folder_again() {
    let world = World::new();
    world.account(ANN, &[]);
    world.message(ANN, "Sent", "one");
    world.export().import();
    world.source.edit(|site| site.folder(ANN, &mail("Sent")).folder.special_use = Some(SpecialUse::Sent));
    world.target.edit(|site| site.folder(ANN, &mail("Sent")).folder.subscribed = true);
    world.export().import();
    let folder = world.target.edit(|site| site.folder(ANN, &mail("Sent")).folder.clone());
    assert_eq!((folder.special_use, folder.subscribed), (Some(SpecialUse::Sent), true));

    world.target.edit(|site| site.mailboxes.get_mut(ANN).unwrap().folders.remove(&mail("Sent")));
    world.message(ANN, "Sent", "two");
    let report = world.export().import();
    assert_snapshot!(world.target_tree(ANN), @r"
    INBOX
    Sent
      two
    ");
    assert_eq!(report.notices.len(), 1);
}

#[test]
fn an_older_snapshot_is_refused_unless_it_only_adds() {
    let world = World::new();
    world.account(ANN, &["one", "two"]);
    world.export();
    world.source.edit(|site| site.remove_item(ANN, "two"));
    flag(&world.source, ANN, "one", "S");
    world.export().import();
    let older = ImportOptions { snapshot: Some(SnapshotNo(1)), ..world.options() };
    assert!(matches!(world.try_import(&older), Err(ImportError::OlderSnapshot { .. })));
    world.import_with(&ImportOptions { additive: true, ..older });
    assert_snapshot!(world.target_tree(ANN), @r"
    INBOX
      one  S
      two
    ");
}
