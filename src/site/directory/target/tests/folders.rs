//! Folders, shares, collections, scripts.

use super::*;

#[test]
fn folders_are_made_under_names_that_maildir_can_hold_renamed_with_all_below_and_removed_when_empty() {
    let world = World::new();
    let dotted = world.folder(&mail("v1.0/~tmp"), |folder| folder.subscribed = true);
    assert_eq!(dotted, mail("v1\u{2024}0/\u{ff5e}tmp"));
    for path in ["Work", "Work/2023/Q1", "Workshop"] {
        world.folder(&mail(path), |folder| {
            folder.subscribed = true;
            folder.title = Some(path.to_owned());
        });
    }
    world.deliver(&mail("Work/2023/Q1"), vec![item("a", 0)]);
    let rename = |from, to| world.target.rename_folder(ANN, &mail(from), &mail(to)).unwrap();
    for _ in 0..2 {
        assert_eq!(rename("Work", "Old/Work"), Ok(()), "again changes nothing");
    }
    assert_eq!(world.items(&mail("Old/Work/2023/Q1")), ["- a S  "]);
    assert!(
        rename("Workshop", "Old/Work").is_err() && rename("INBOX", "x").is_err() && rename("Old", "Old/x").is_err()
    );
    assert!(rename("Workshop", "a.b").is_err(), "a name that would become another");
    let subscribed = world.text("mail/a.test/ann/Maildir/subscriptions");
    assert!(subscribed.contains("Old\tWork\t2023\tQ1\n") && subscribed.contains("Workshop\n"), "{subscribed}");
    assert!(world.target.remove_folder(ANN, &mail("Old/Work/2023/Q1")).unwrap().is_err(), "it holds a message");
    for _ in 0..2 {
        assert_eq!(world.target.remove_folder(ANN, &mail("Workshop")).unwrap(), Ok(()));
    }
    assert_eq!(world.items(&mail("Workshop")), ["(no folder)"]);
}

#[test]
fn grants_that_dovecot_knows_are_in_its_file_and_the_others_beside_it() {
    let world = World::new();
    let key = mail("Team");
    world.folder(&key, |_| {});
    let grant = |grantee| Grant { grantee, rights: Rights::from_letters("lr"), negative: false };
    let grants = [
        grant(Grantee::User("bob@a.test".to_owned())),
        grant(Grantee::Domain("b.test".to_owned())),
        grant(Grantee::Everyone),
    ];
    for _ in 0..2 {
        world.target.put_grants(ANN, &key, &grants).unwrap().unwrap();
    }
    world.target.finish().unwrap();
    assert_eq!(world.text("mail/a.test/ann/Maildir/.Team/dovecot-acl"), "user=bob@a.test lr\nauthenticated lr\n");
    let dict = "shared/shared-boxes/anyone/ann@a.test\n1\nshared/shared-boxes/user/bob@a.test/ann@a.test\n1\n";
    assert_eq!(world.text(SHARED_DICT), dict);
    let FolderScan::Listed(listing) = world.target.folder(ANN, &key, None, Depth::Deep).unwrap() else { panic!() };
    let mut expected = grants.to_vec();
    expected.sort();
    assert_eq!(listing.folder.grants, expected);
    world.target.put_grants(ANN, &key, &[]).unwrap().unwrap();
    world.target.finish().unwrap();
    assert_eq!((world.text("mail/a.test/ann/Maildir/.Team/dovecot-acl"), world.text(SHARED_DICT)), Default::default());
}

#[test]
fn collections_and_scripts_are_files_that_are_replaced_whole() {
    let world = World::new();
    let team = world.folder(&calendar("team"), |folder| {
        folder.title = Some("The team".to_owned());
        folder.color = Some("#00ff00".to_owned());
        folder.description = Some("Who is where".to_owned());
        folder.order = Some("2".to_owned());
    });
    world.deliver(&team, vec![item("e1.ics", 0), item("e2.ics", 0), item("e3.ics", 0), item("no-extension", 0)]);
    assert_eq!(
        world.files("dav/a.test/ann/calendars/team"),
        ["color", "description", "displayname", "e1.ics", "e2.ics", "e3.ics", "order"]
    );
    let replacement = Delivery { content: ItemContent::Bytes(b"new".to_vec()), ..item("e1.ics", 0) };
    assert!(world.target.replace_item(ANN, &team, replacement).unwrap());
    assert_eq!(world.text("dav/a.test/ann/calendars/team/e1.ics"), "new");
    assert!(!world.target.replace_item(ANN, &team, item("gone.ics", 0)).unwrap());
    assert!(world.target.remove_folder(ANN, &team).unwrap().is_err());
    assert!(world.target.replace_item(ANN, &mail("INBOX"), item("m", 0)).is_err(), "a message never changes");

    let filters = FolderKey::new(FolderKind::Filters, "sieve").unwrap();
    world.folder(&filters, |folder| folder.active = Some("holiday".to_owned()));
    world.deliver(&filters, vec![item("holiday", 0), item("old rules", 0)]);
    assert_eq!(world.text("mail/a.test/ann/.dovecot.sieve"), "content of holiday");
    world.folder(&filters, |_| {});
    assert_eq!(world.files("mail/a.test/ann"), ["sieve/holiday.sieve", "sieve/old rules.sieve"]);
    assert_eq!(world.items(&filters), ["- holiday   ", "- old rules   "]);
}
