//! Mail folders: names, flags, UIDs, marks, and what happens while one looks.

use super::hooked_fs::HookedFs;
use super::*;
use crate::model::mailbox::{Flags, SpecialUse};
use crate::model::share::Grantee;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_maildir_with_all_its_control_files_is_a_mailbox() {
    let world = World::new();
    world
        .write(&format!("{MAILDIR}/cur/1.M1.host,S=3:2,FSa"), "one")
        .write(&format!("{MAILDIR}/cur/2.M1.host"), "two")
        .write(&format!("{MAILDIR}/new/3.M1.host"), "three")
        .write(&format!("{MAILDIR}/new/.nfs0001"), "")
        .write(&format!("{MAILDIR}/maildirfolder"), "")
        .write(&format!("{MAILDIR}/dovecot-uidlist"), "3 V77 N9 Gabc\n4 P :1.M1.host,S=3:2,S\n5 Pu-5 :2.M1.host\n")
        .write(&format!("{MAILDIR}/dovecot-keywords"), "0 todo\n")
        .write(&format!("{MAILDIR}/subscriptions"), "V\t2\n\nINBOX\nEntw&APw-rfe\nGone\n")
        .write(&format!("{MAILDIR}/.Sent/cur/9.M1.host:2,S"), "sent")
        .write(&format!("{MAILDIR}/.Sent/dovecot-acl"), "user=bob@a.test lr\n")
        .write(&format!("{MAILDIR}/.Entw&APw-rfe/maildirfolder"), "")
        .write(&format!("{MAILDIR}/.A.B/cur/7"), "deep")
        .write(&format!("{MAILDIR}/..DOVECOT-TRASHED/x"), "");
    assert_eq!(world.folders(ANN), ["A/B", "Entwürfe", "INBOX", "Sent"]);

    let inbox = world.list("INBOX");
    assert_eq!(lines(&inbox.rejected), Vec::<String>::new());
    let shown: Vec<_> = inbox
        .items
        .iter()
        .map(|item| {
            let uid = item.uid.map_or(0, std::num::NonZeroU32::get);
            format!("{} {} {:?} {uid} {:?}", item.name, item.flags, item.keywords, item.uidl)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "1.M1.host,S=3 FS [\"todo\"] 4 Some(\"1.M1.host,S=3\")",
            "2.M1.host  [] 5 Some(\"u-5\")",
            "3.M1.host  [] 0 None",
        ]
    );
    assert_eq!(inbox.folder.uid_validity.unwrap().get(), 77);
    assert_eq!(inbox.folder.uid_next.unwrap().get(), 9);
    assert_eq!(inbox.folder.guid.as_deref(), Some("abc"));
    assert!(inbox.folder.subscribed && world.list("Entwürfe").folder.subscribed);

    let sent = world.list("Sent");
    assert_eq!((sent.folder.special_use, sent.folder.subscribed), (Some(SpecialUse::Sent), false));
    assert_eq!(sent.folder.grants.first().map(|grant| &grant.grantee), Some(&Grantee::User("bob@a.test".into())));
    assert!(world.list("Entwürfe").items.is_empty(), "a folder without cur and new is an empty one");
    let site = world.site();
    assert_eq!(site.text(&mail("A/B"), &world.list("A/B").items.get(0).unwrap()), "deep");
}

#[test]
fn couriers_uids_and_subscriptions_count_where_dovecot_has_never_been() {
    let world = World::new();
    world
        .write(&format!("{MAILDIR}/cur/1.M1.host:2,S"), "one")
        .write(&format!("{MAILDIR}/.Sent/cur/x"), "")
        .write(&format!("{MAILDIR}/courierimapuiddb"), "1 55 8\n7 1.M1.host\n")
        .write(&format!("{MAILDIR}/courierimapsubscribed"), "INBOX\nINBOX.Sent\n");
    let inbox = world.list("INBOX");
    assert_eq!(inbox.items.get(0).unwrap().uid.unwrap().get(), 7);
    assert_eq!(inbox.folder.uid_validity.unwrap().get(), 55);
    assert!(inbox.folder.subscribed && world.list("Sent").folder.subscribed);
}

#[test]
fn dovecots_utf8_names_and_mixed_spellings_are_found_again() {
    let world = World::new();
    for dir in [".Entwürfe", ".Q&A", ".Müller.&ZeVnLIqe-", ".Q&-B"] {
        world.write(&format!("{MAILDIR}/{dir}/cur/x"), dir);
    }
    assert_eq!(world.folders(ANN), ["Entwürfe", "INBOX", "Müller/日本語", "Q&A", "Q&B"]);
    let site = world.site();
    for (path, dir) in
        [("Entwürfe", ".Entwürfe"), ("Müller/日本語", ".Müller.&ZeVnLIqe-"), ("Q&A", ".Q&A"), ("Q&B", ".Q&-B")]
    {
        assert_eq!(site.text(&mail(path), &world.list(path).items.get(0).unwrap()), dir);
    }
}

#[test]
fn an_unchanged_folder_costs_a_few_stats_and_nothing_else() {
    let world = World::new();
    for number in 0..50 {
        world.write(&format!("{MAILDIR}/.Box/cur/{number}:2,S"), "x");
    }
    world.write(&format!("{MAILDIR}/.Box/dovecot-uidlist"), "3 V1 N1 Ga\n");
    let fs = Arc::new(HookedFs::new(|_, _| Ok(())));
    let site = world.site_on(Arc::clone(&fs) as Arc<dyn Fs>);
    let mark = site.listing(ANN, &mail("Box"), None).mark;
    assert!(!mark.is_empty());
    let calls = fs.take_calls();
    assert!(calls.len() < 40, "no call for each message: {}", calls.len());
    assert!(site.is_unchanged(ANN, &mail("Box"), &mark));
    let calls = fs.take_calls();
    assert!(calls.len() <= 10 && calls.iter().all(|(call, _)| *call == "lstat"), "{calls:?}");
    let deep = site.folder(ANN, &mail("Box"), Some(&mark), Depth::Deep).unwrap();
    assert!(matches!(deep, FolderScan::Listed(_)));
}

#[test]
fn whatever_changes_in_a_folder_changes_its_mark() {
    let world = World::new();
    let file = |name: &str| format!("{MAILDIR}/.Box/{name}");
    world.write(&file("cur/1:2,S"), "x").write(&format!("{MAILDIR}/subscriptions"), "INBOX\n");
    world.sql("INSERT INTO account VALUES ('ann@a.test', 'user', 'active', NULL, NULL, '[]', '{}')");
    let site = world.site();
    let mut mark = site.listing(ANN, &mail("Box"), None).mark;
    let grant = "INSERT INTO folder (account, kind, path) VALUES ('ann@a.test', 'mail', 'Box');
        INSERT INTO folder_grant VALUES ('ann@a.test', 'mail', 'Box', 'domain', 'b.test', 0, 'lr')";
    let changes: [(&str, &dyn Fn()); 7] = [
        ("a delivery", &|| _ = world.write(&file("new/2"), "y")),
        ("a flag", &|| _ = world.rename(&file("cur/1:2,S"), &file("cur/1:2,FS"))),
        ("a UID", &|| _ = world.write(&file("dovecot-uidlist"), "3 V1 N2 Ga\n1 :1\n")),
        ("a keyword", &|| _ = world.write(&file("dovecot-keywords"), "0 todo\n")),
        ("a grant", &|| _ = world.write(&file("dovecot-acl"), "owner lr\n")),
        ("a subscription", &|| _ = world.write(&format!("{MAILDIR}/subscriptions"), "INBOX\nBox\n")),
        ("a grant in the database", &|| _ = world.sql(grant)),
    ];
    for (what, change) in changes {
        assert!(site.is_unchanged(ANN, &mail("Box"), &mark), "before {what}");
        change();
        let listing = site.listing(ANN, &mail("Box"), Some(&mark));
        mark = listing.mark;
    }
    let last = site.listing(ANN, &mail("Box"), None);
    assert!(last.folder.subscribed);
    assert_eq!(last.folder.grants.len(), 2);
    assert_eq!(
        last.items.iter().map(|item| item.flags).collect::<Vec<_>>(),
        [Flags::from_letters("FS"), Flags::default()]
    );
}

#[test]
fn a_folder_that_changed_just_now_gets_no_mark() {
    let world = World::new();
    world.write(&format!("{MAILDIR}/cur/1:2,S"), "x");
    let mut site = world.site();
    site.clock = system_clock;
    assert_eq!(site.listing(ANN, &mail("INBOX"), None).mark, b"");
}

#[test]
fn a_message_renamed_while_its_folder_is_listed_is_seen_once() {
    let world = World::new();
    world.write(&format!("{MAILDIR}/new/1"), "one").write(&format!("{MAILDIR}/cur/2:2,"), "two");
    let (maildir, done) = (world.path(MAILDIR), AtomicBool::new(false));
    let fs = HookedFs::new(move |call, path| {
        // Between the listing of `new` and that of `cur`: one message moves on, one gets a flag.
        if call == "list" && path.ends_with("cur") && !done.swap(true, Ordering::SeqCst) {
            fs::rename(maildir.join("new/1"), maildir.join("cur/1:2,S"))?;
            fs::rename(maildir.join("cur/2:2,"), maildir.join("cur/2:2,F"))?;
        }
        Ok(())
    });
    let site = world.site_on(Arc::new(fs));
    let listing = site.listing(ANN, &mail("INBOX"), None);
    assert_eq!(lines(&listing.rejected), Vec::<String>::new());
    let shown: Vec<_> = listing.items.iter().map(|item| format!("{} {}", item.name, item.flags)).collect();
    assert_eq!(shown, ["1 S", "2 F"]);
    assert_eq!(listing.items.iter().map(|item| site.text(&mail("INBOX"), &item)).collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn a_message_that_got_a_flag_since_the_listing_is_found_and_one_that_left_is_no_error() {
    let world = World::new();
    world.write(&format!("{MAILDIR}/new/1"), "one").write(&format!("{MAILDIR}/cur/2:2,"), "two");
    let site = world.site();
    let items = site.listing(ANN, &mail("INBOX"), None).items;
    world.rename(&format!("{MAILDIR}/new/1"), &format!("{MAILDIR}/cur/1:2,S"));
    world.rename(&format!("{MAILDIR}/cur/2:2,"), &format!("{MAILDIR}/.Trash/cur/2:2,"));
    assert_eq!(items.iter().map(|item| site.text(&mail("INBOX"), &item)).collect::<Vec<_>>(), ["one", "vanished"]);
    fs::remove_dir_all(world.path(MAILDIR)).unwrap();
    assert!(matches!(site.folder(ANN, &mail("INBOX"), None, Depth::Marks).unwrap(), FolderScan::Vanished));
    assert_eq!(world.folders(ANN), Vec::<String>::new());
}

#[test]
fn two_messages_with_one_base_name_are_one_item_and_a_rejection() {
    let world = World::new();
    world
        .write(&format!("{MAILDIR}/cur/1:2,S"), "one")
        .write(&format!("{MAILDIR}/cur/1:2,F"), "another")
        .write(&format!("{MAILDIR}/cur/2:2,S"), "two")
        .write(&format!("{MAILDIR}/new/.keep"), "");
    fs::hard_link(world.path(&format!("{MAILDIR}/cur/2:2,S")), world.path(&format!("{MAILDIR}/new/2"))).unwrap();
    let listing = world.list("INBOX");
    assert_eq!(names(&listing), ["1", "2"]);
    assert_eq!(
        lines(&listing.rejected),
        ["ann@a.test:INBOX/1:2,S: bad name: another message of the folder has the same name without flags"]
    );
}

#[test]
fn labels_of_the_database_belong_to_their_messages() {
    let world = World::new();
    world.write(&format!("{MAILDIR}/cur/1:2,Sa"), "x").write(&format!("{MAILDIR}/dovecot-keywords"), "0 todo\n").sql(
        "INSERT INTO account VALUES ('ann@a.test', 'user', 'active', NULL, NULL, '[]', '{}');
        INSERT INTO folder VALUES ('ann@a.test', 'mail', 'INBOX', 'important', NULL, 'In', '#fff');
        INSERT INTO item_label VALUES ('ann@a.test', 'mail', 'INBOX', '1', 'tag', 'red');
        INSERT INTO item_label VALUES ('ann@a.test', 'mail', 'INBOX', '1', 'keyword', 'k27');",
    );
    let inbox = world.list("INBOX");
    let item = inbox.items.get(0).unwrap();
    assert_eq!((item.tags.join(","), item.keywords.join(",")), ("red".into(), "k27,todo".into()));
    assert_eq!(inbox.folder.special_use, Some(SpecialUse::Important));
    assert_eq!((inbox.folder.title.as_deref(), inbox.folder.color.as_deref()), (Some("In"), Some("#fff")));
}
