use crate::world::{World, at, grant, mail, message_text};
use insta::assert_snapshot;
use stationwagon::model::mailbox::{Flags, FolderKey, FolderKind};
use stationwagon::model::provisioning::{Alias, DistributionList, Domain, Record, RecordKind};
use stationwagon::model::setting::Setting;
use stationwagon::site::Target as _;
use stationwagon::verbs::import::rename::RenameRules;
use stationwagon::verbs::import::{Adopt, ImportError, ImportOptions, Skip};

#[test]
fn everything_arrives_once_and_the_ledger_balances() {
    let world = World::new();
    world.account("ann@example.org", &["one", "two"]);
    world.message("ann@example.org", "Archive/2023", "old");
    world.account("bob@example.org", &["three"]);
    world.source.edit(|site| {
        site.put(Record::Domain(Domain {
            name: "example.org".to_owned(),
            alias_of: None,
            catch_all: Vec::new(),
            attributes: Default::default(),
        }));
    });
    let report = world.export().import();
    assert_snapshot!(world.target_tree("ann@example.org"), @r"
    Archive/2023
      old
    INBOX
      one
      two
    ");
    assert_snapshot!(report.ledger.to_string(), @r"
    Ledger: snapshot 1 of source old-site into target new-site

                      in snapshot   imported   already there   rejected   excluded
    provisioning                3          3               0          0          0
      account                   2          2               0          0          0
      domain                    1          1               0          0          0
    ann@example.org             3          3               0          0          0
      Archive/2023              1          1               0          0          0
      INBOX                     2          2               0          0          0
    bob@example.org             1          1               0          0          0
      INBOX                     1          1               0          0          0
    in sum
      items                     4          4               0          0          0
      settings                  0          0               0          0          0
      grants                    0          0               0          0          0

    Items: 4 in snapshot = 4 imported + 0 already there + 0 rejected + 0 excluded
    The ledger balances.
    ");
    let (source, target) = (world.source.edit(|site| site.clone()), world.target.edit(|site| site.clone()));
    for (address, mailbox) in &source.mailboxes {
        for (key, folder) in &mailbox.folders {
            let arrived = &target.mailboxes[address].folders[key];
            for (name, item) in &folder.items {
                assert_eq!((&item.bytes, item.date, item.uid), {
                    let there = &arrived.items[name];
                    (&there.bytes, there.date, there.uid)
                });
            }
        }
    }
    assert_eq!(report.uids_lost, []);

    let again = world.import();
    assert_eq!(
        again.ledger.items.to_string(),
        "4 in snapshot = 0 imported + 4 already there + 0 rejected + 0 excluded"
    );
    assert_eq!(again.bytes, 0);
}

#[test]
fn provisioning_only_makes_accounts_that_take_mail_and_the_old_mail_comes_beneath_it_later() {
    let world = World::new();
    world.account("ann@example.org", &["old"]);
    world.export();
    let first = world.import_with(&ImportOptions { provisioning_only: true, ..world.options() });
    assert_eq!(
        first.ledger.items.to_string(),
        "1 in snapshot = 0 imported + 0 already there + 0 rejected + 1 excluded"
    );
    world.target.edit(|site| {
        site.put_item("ann@example.org", &FolderKey::inbox(), "new", b"new mail", 5_000);
    });
    let second = world.import();
    assert_snapshot!(world.target_tree("ann@example.org"), @r"
    INBOX
      new
      old
    ");
    assert_eq!(second.uids_lost.len(), 1, "the new message has the first UID");
}

#[test]
fn domains_and_addresses_get_their_new_names_everywhere() {
    let world = World::new();
    world.account("ann@old.example", &["one"]);
    world.account("bob@old.example", &[]);
    let script = "redirect \"ann@old.example\"; # ann@old.example\n";
    let filters = at(FolderKind::Filters, "sieve");
    world.source.edit(|site| {
        site.put(Record::List(DistributionList {
            address: "team@old.example".to_owned(),
            name: None,
            members: vec!["ann@old.example".to_owned(), "x@else.example".to_owned()],
            owners: Vec::new(),
            attributes: Default::default(),
        }));
        let alias = Alias { address: "info@old.example".to_owned(), targets: vec!["bob@old.example".to_owned()] };
        site.put(Record::Alias(alias));
        site.put_item("bob@old.example", &filters, "main", script.as_bytes(), 1);
        site.folder("bob@old.example", &filters).folder.active = Some("main".to_owned());
        let forwarding = Setting::Forwarding { targets: vec!["ann@old.example".to_owned()], keep_copy: true };
        site.mailboxes.get_mut("bob@old.example").unwrap().settings.insert(forwarding.key(), forwarding);
    });
    let rename = RenameRules::parse("old.example new.example\nann@old.example anna@new.example").unwrap();
    let report = world.export().import_with(&ImportOptions { rename, ..world.options() });
    let site = world.target.edit(|site| site.clone());
    let list = &site.records[&(RecordKind::List, "team@new.example".to_owned())].record;
    let Record::List(list) = list else { panic!() };
    assert_eq!(list.members, ["anna@new.example", "x@else.example"]);
    let Record::Alias(alias) = &site.records[&(RecordKind::Alias, "info@new.example".to_owned())].record else {
        panic!()
    };
    assert_eq!(alias.targets, ["bob@new.example"]);
    let bob = &site.mailboxes["bob@new.example"];
    let sieve = &bob.folders[&filters];
    assert_eq!(sieve.folder.active.as_deref(), Some("main"));
    assert_eq!(
        String::from_utf8_lossy(&sieve.items["main"].bytes),
        "redirect \"anna@new.example\"; # ann@old.example\n"
    );
    assert!(
        bob.settings
            .values()
            .any(|setting| matches!(setting, Setting::Forwarding { targets, .. } if targets == &["anna@new.example"]))
    );
    assert!(site.tree("anna@new.example").contains("one"));
    assert_eq!(report.notices.len(), 1);
    // Nothing of this counts as changed in the next pass.
    let again = world.import();
    assert_eq!(again.conflicts, []);
    assert_eq!(again.ledger.records["account"].imported, 0);
}

#[test]
fn what_rules_keep_out_is_counted_and_comes_when_the_rules_are_gone() {
    let world = World::new();
    world.account("ann@example.org", &["one", "two"]);
    world.account("bob@example.org", &["three"]);
    let calendar = at(FolderKind::Calendars, "personal");
    world.source.edit(|site| {
        site.put_item("ann@example.org", &calendar, "a.ics", b"BEGIN:VCALENDAR", 9_999);
        site.item("ann@example.org", "one").unwrap().date = 10;
    });
    world.export();
    let partly = world.import_with(&ImportOptions {
        accounts: vec!["ann@*".to_owned()],
        since: Some(100),
        skip: [Skip::Calendars].into(),
        ..world.options()
    });
    assert_snapshot!(partly.ledger.to_string(), @r"
    Ledger: snapshot 1 of source old-site into target new-site

                           in snapshot   imported   already there   rejected   excluded
    provisioning                     2          1               0          0          1
      account                        2          1               0          0          1   1 --account
    ann@example.org                  3          1               0          0          2
      INBOX                          2          1               0          0          1   1 older than --since
      calendars/personal             1          0               0          0          1   1 --skip calendars
    bob@example.org                  1          0               0          0          1
      (not looked at)                1          0               0          0          1   1 --account
    in sum
      items                          4          1               0          0          3   1 --account, 1 --skip calendars, 1 older than --since
      settings                       0          0               0          0          0
      grants                         0          0               0          0          0

    Items: 4 in snapshot = 1 imported + 0 already there + 0 rejected + 3 excluded
    The ledger balances.
    ");
    let whole = world.import();
    assert_eq!(
        whole.ledger.items.to_string(),
        "4 in snapshot = 3 imported + 1 already there + 0 rejected + 0 excluded"
    );
}

#[test]
fn a_refused_item_is_named_and_tried_again() {
    let world = World::new();
    world.account("ann@example.org", &["good", "bad"]);
    world.target.refuse("bad");
    let first = world.export().import();
    assert_eq!(
        first.ledger.items.to_string(),
        "2 in snapshot = 1 imported + 0 already there + 1 rejected + 0 excluded"
    );
    assert_eq!(first.rejected[0].place.to_string(), "ann@example.org:INBOX/bad");
    world.target.refuse_nothing();
    let second = world.import();
    assert_eq!(
        second.ledger.items.to_string(),
        "2 in snapshot = 1 imported + 1 already there + 0 rejected + 0 excluded"
    );
}

#[test]
fn a_dry_run_says_what_a_pass_would_do_and_writes_nothing() {
    let world = World::new();
    world.account("ann@example.org", &["one", "two"]);
    world.export();
    let before = format!("{:?}", world.target.edit(|site| site.clone()));
    let options = ImportOptions { dry_run: true, ..world.options() };
    let rehearsed = world.import_with(&options);
    assert_eq!(format!("{:?}", world.target.edit(|site| site.clone())), before);
    assert_eq!(std::fs::read_dir(world.dir.path().join("target")).unwrap().count(), 0);
    let real = world.import();
    assert_eq!(rehearsed.ledger, real.ledger);
    let nothing = world.import_with(&options);
    assert_eq!(nothing.ledger.items.imported, 0);
}

#[test]
fn a_dry_run_of_a_later_pass_foresees_renames_and_shares() {
    let world = World::new();
    world.account("ann@example.org", &["one"]);
    world.account("bob@example.org", &[]);
    world.message("ann@example.org", "Team", "two");
    world.export().import();
    world.source.edit(|site| {
        site.rename_folder("ann@example.org", &mail("Team"), &mail("Crew"));
        let key = (RecordKind::Account, "ann@example.org".to_owned());
        let Record::Account(mut account) = site.records[&key].record.clone() else { panic!() };
        account.address = "anna@example.org".to_owned();
        site.rename_record(RecordKind::Account, "ann@example.org", Record::Account(account));
        site.folder("anna@example.org", &mail("New")).folder.grants = vec![grant("bob@example.org", "l")];
        site.item("anna@example.org", "two").unwrap().flags = Flags::from_letters("S");
    });
    world.message("anna@example.org", "Crew", "three");
    world.message("anna@example.org", "New", "four");
    world.export();
    let rehearsed = world.import_with(&ImportOptions { dry_run: true, ..world.options() });
    assert_eq!((&rehearsed.conflicts, &rehearsed.notices), (&vec![], &vec![]));
    assert_eq!(rehearsed.ledger, world.import().ledger);
}

#[test]
fn a_dry_run_finds_the_folders_that_it_would_have_made_and_renamed() {
    let world = World::new();
    world.account("ann@example.org", &["one"]);
    world.account("bob@example.org", &[]);
    world.message("ann@example.org", "Plans", "two");
    world.source.edit(|site| {
        site.folder("ann@example.org", &mail("Plans")).folder.grants = vec![grant("bob@example.org", "lr")];
    });
    world.export();
    let rehearse = || world.import_with(&ImportOptions { dry_run: true, ..world.options() });
    let rehearsed = rehearse();
    assert_eq!((rehearsed.conflicts, rehearsed.notices), (Vec::new(), Vec::new()));
    world.import();
    world.source.rename_folder("ann@example.org", &mail("Plans"), &mail("Old plans")).unwrap().unwrap();
    world.source.edit(|site| {
        site.folder("ann@example.org", &mail("Old plans")).folder.grants = vec![grant("bob@example.org", "lrs")];
    });
    world.message("ann@example.org", "Old plans", "three");
    world.export();
    let rehearsed = rehearse();
    assert_eq!((rehearsed.conflicts, rehearsed.notices), (Vec::new(), Vec::new()));
    assert_eq!(world.import().ledger, rehearsed.ledger);
}

#[test]
fn what_cannot_be_read_while_adopting_is_not_delivered_a_second_time() {
    let world = World::new();
    world.account("ann@example.org", &["one", "two"]);
    world.account("bob@example.org", &["three"]);
    world.target.edit(|site| {
        site.put_account("ann@example.org", "{PLAIN}secret");
        site.put_item("ann@example.org", &mail("INBOX"), "copied-1", message_text("one").as_bytes(), 1_000);
    });
    world.export();
    let options = ImportOptions { adopt: Some(Adopt::Exact), ..world.options() };
    world.target.lose_sight_of("copied-1");
    let first = world.import_with(&options);
    assert_eq!(
        first.ledger.items.to_string(),
        "3 in snapshot = 1 imported + 0 already there + 2 rejected + 0 excluded"
    );
    world.target.see_all();
    let second = world.import_with(&options);
    assert_eq!(
        second.ledger.items.to_string(),
        "3 in snapshot = 1 imported + 2 already there + 0 rejected + 0 excluded"
    );
    assert_snapshot!(world.target_tree("ann@example.org"), @r"
    INBOX
      copied-1
      two
    ");
}

#[test]
fn what_was_copied_by_other_means_is_adopted() {
    let world = World::new();
    world.account("ann@example.org", &["one", "two"]);
    world.target.edit(|site| {
        site.put_account("ann@example.org", "{PLAIN}secret");
        site.put_item("ann@example.org", &mail("INBOX"), "copied-1", message_text("one").as_bytes(), 1_000);
        let redelivered = message_text("two").replace("by host", "by another host");
        site.put_item("ann@example.org", &mail("Elsewhere"), "copied-2", redelivered.as_bytes(), 1_000);
    });
    world.export();
    let exact = world.import_with(&ImportOptions { adopt: Some(Adopt::Exact), dry_run: true, ..world.options() });
    assert_eq!(
        exact.ledger.items.to_string(),
        "2 in snapshot = 1 imported + 1 already there + 0 rejected + 0 excluded"
    );
    let options = ImportOptions { adopt: Some(Adopt::WithoutTrace), ..world.options() };
    let report = world.import_with(&options);
    assert_eq!(
        report.ledger.items.to_string(),
        "2 in snapshot = 0 imported + 2 already there + 0 rejected + 0 excluded"
    );
    assert_snapshot!(world.target_tree("ann@example.org"), @r"
    Elsewhere
      copied-2
    INBOX
      copied-1
    ");
}

#[test]
fn a_target_that_has_the_address_from_another_source_is_refused() {
    let world = World::new();
    world.account("ann@example.org", &["one"]);
    world.export().import();
    let other = World::new();
    other.account("ann@example.org", &["two"]);
    other.source.edit(|site| site.id = Some("third-site".parse().unwrap()));
    other.export();
    let refused = stationwagon::verbs::import::import(
        &other.archive,
        &world.target,
        &world.options(),
        &stationwagon::event::Silent,
    );
    let error = refused.unwrap_err();
    assert!(matches!(&error, ImportError::OtherSourceHere { address, .. } if address == "ann@example.org"), "{error}");
    assert!(!world.target_tree("ann@example.org").contains("two"));
}

#[test]
fn a_site_is_not_imported_into_itself() {
    let world = World::new();
    world.account("ann@example.org", &["one"]);
    world.target.edit(|site| site.id = Some("old-site".parse().unwrap()));
    assert!(matches!(world.export().try_import(&world.options()), Err(ImportError::SameSite(_))));
}

#[test]
fn two_addresses_never_become_one_mailbox() {
    let world = World::new();
    world.account("ann@a.example", &["of a"]);
    world.account("ann@b.example", &["of b"]);
    let rename = RenameRules::parse("b.example a.example").unwrap();
    let report = world.export().import_with(&ImportOptions { rename, ..world.options() });
    assert_snapshot!(world.target_tree("ann@a.example"), @r"
    INBOX
      of a
    ");
    let rejected: Vec<_> = report.rejected.iter().map(|one| format!("{}: {}", one.place, one.reason)).collect();
    assert_snapshot!(rejected.join("\n"), @"ann@b.example: bad name: ann@a.example on the target is ann@a.example of the source");
    assert_eq!(report.ledger.items.rejected_sum(), 1);
}

#[test]
fn a_new_owner_of_an_old_address_does_not_get_the_old_mailbox() {
    let world = World::new();
    world.account("ann@example.org", &["private"]);
    world.export().import();
    world.source.edit(|site| {
        site.records.remove(&(RecordKind::Account, "ann@example.org".to_owned()));
        site.mailboxes.remove("ann@example.org");
    });
    world.export();
    world.account("ann@example.org", &["of the other ann"]);
    let report = world.export().import();
    assert_snapshot!(world.target_tree("ann@example.org"), @r"
    INBOX
      private
    ");
    assert_eq!(report.rejected[0].place.to_string(), "ann@example.org");
    // Once the former one is removed, the new one arrives.
    world.import_with(&ImportOptions { delete: true, ..world.options() });
    world.import();
    assert_snapshot!(world.target_tree("ann@example.org"), @r"
    INBOX
      of the other ann
    ");
}
