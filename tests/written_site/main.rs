//! A site that the directory target wrote, served by a real Dovecot with the configuration that wagon prints.
//!
//! Needs root and Dovecot 2.3 (`./test` installs it); without either, the tests say so and pass over.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

mod copy;
mod imap;
mod served;

use imap::Imap;
use served::Served;
use stationwagon::model::mailbox::{Flags, Folder, FolderKey, FolderKind, SpecialUse};
use stationwagon::model::provisioning::{Account, AccountClass, AccountStatus, Attributes, Record, Secret};
use stationwagon::model::share::{Grant, Grantee, Rights};
use stationwagon::site::{Delivered, Delivery, ItemContent, RecordChange, Target, UidsKept};
use std::num::NonZeroU32;

fn account(address: &str, password: &str) -> RecordChange {
    let account = Account {
        address: address.to_owned(),
        class: AccountClass::User,
        name: Some("A Person".to_owned()),
        password: (!password.is_empty()).then(|| Secret::new(format!("{{PLAIN}}{password}"))),
        quota_bytes: Some(500 << 20),
        status: AccountStatus::Active,
        cos: None,
        groups: vec!["eng".to_owned()],
        attributes: Attributes::from_iter([("passwd.home".to_owned(), "/var/vmail/old".to_owned())]),
    };
    RecordChange::Put { record: Record::Account(account), was: None }
}

fn mail(path: &str) -> FolderKey {
    FolderKey::new(FolderKind::Mail, path).unwrap()
}

fn folder(path: &str, validity: u32, next: u32) -> Folder {
    Folder {
        subscribed: true,
        uid_validity: NonZeroU32::new(validity),
        uid_next: NonZeroU32::new(next),
        ..Folder::at(mail(path))
    }
}

fn message(name: &str, uid: u32, flags: &str, keywords: &[&str]) -> Delivery {
    Delivery {
        name: name.to_owned(),
        content: ItemContent::Bytes(format!("Subject: {name}\r\n\r\nbody of {name}\r\n").into_bytes()),
        date: 1_500_000_000 + i64::from(uid),
        flags: Flags::from_letters(flags),
        keywords: keywords.iter().map(|&keyword| keyword.to_owned()).collect(),
        tags: vec![],
        uid: NonZeroU32::new(uid),
        uidl: Some(format!("uidl-{uid}")),
    }
}

fn deliver(target: &dyn Target, account: &str, path: &str, batch: Vec<Delivery>) -> UidsKept {
    let (outcomes, uids) = target.deliver(account, &mail(path), batch).unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Delivered::Done { .. })), "{outcomes:?}");
    uids
}

#[test]
fn users_find_passwords_folders_flags_keywords_uids_and_shares_as_they_were() {
    let Some(site) = Served::new() else { return };
    let (ann, oneil) = ("ann@a.test", "o'neil@a.test");
    let target = site.target();
    let outcomes = target.put_records(&[account(ann, "secret"), account(oneil, "pa ss"), account("nopass@a.test", "")]);
    assert_eq!(outcomes.unwrap(), [Ok(()), Ok(()), Ok(())]);
    let mut projects = folder("Projekte/Überblick", 77, 101);
    projects.special_use = Some(SpecialUse::Flagged);
    for each in [folder("INBOX", 1_234_567, 31), folder("Sent", 5, 1), folder("Projekte", 6, 1), projects] {
        assert_eq!(target.put_folder(ann, &each).unwrap().unwrap().key, each.key);
    }
    let kept = [
        deliver(target, ann, "INBOX", vec![message("30.M3.h,S=47", 30, "S", &["$Label1", "todo"])]),
        deliver(target, ann, "INBOX", vec![message("7.M1.h", 7, "RFS", &["todo"]), message("9.M2.h", 9, "", &[])]),
        deliver(target, ann, "Projekte/Überblick", vec![message("100.M1.h", 100, "D", &[])]),
    ];
    assert!(kept.iter().all(|kept| *kept == UidsKept::Yes), "{kept:?}");
    let grant = |grantee, rights| Grant { grantee, rights: Rights::from_letters(rights), negative: false };
    let grants = [grant(Grantee::User(oneil.to_owned()), "lrs"), grant(Grantee::Domain("b.test".into()), "lr")];
    target.put_grants(ann, &mail("Projekte/Überblick"), &grants).unwrap().unwrap();
    target.finish().unwrap();

    let server = site.serve();
    let mut imap = Imap::login(&server, ann, "secret").unwrap();
    let folders = imap.run("LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE)");
    for wanted in [r#"\Subscribed \Sent) "/" Sent"#, r#"\Flagged) "/" Projekte/&ANw-berblick"#] {
        assert!(folders.contains(wanted), "{wanted} in {folders}");
    }
    let selected = imap.run("SELECT INBOX");
    assert!(selected.contains("[UIDVALIDITY 1234567]") && selected.contains("[UIDNEXT 31]"), "{selected}");
    let fetched = imap.run("UID FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[TEXT])");
    for wanted in [
        "UID 7 FLAGS (\\Answered \\Flagged \\Seen todo) INTERNALDATE \"14-Jul-2017 02:40:07 +0000\"",
        "UID 9 FLAGS ()",
        "UID 30 FLAGS (\\Seen todo $Label1)",
        "body of 30.M3.h",
    ] {
        assert!(fetched.contains(wanted), "{wanted} in {fetched}");
    }
    let selected = imap.run("SELECT Projekte/&ANw-berblick");
    assert!(selected.contains("[UIDVALIDITY 77]") && selected.contains("[UIDNEXT 101]"), "{selected}");

    let mut grantee = Imap::login(&server, oneil, "pa ss").unwrap();
    let listed = grantee.run("LIST \"\" \"shared/*\"");
    assert!(listed.contains("shared/ann@a.test/Projekte/&ANw-berblick"), "{listed}");
    let shared = grantee.run("SELECT shared/ann@a.test/Projekte/&ANw-berblick");
    assert!(shared.contains("1 EXISTS"), "{shared}");
    assert!(Imap::login(&server, "nopass@a.test", "").is_err(), "an account without a password lets nobody in");
    assert!(Imap::login(&server, ann, "wrong").is_err());
    assert_eq!(server.errors(), "");
}

#[test]
fn old_mail_goes_beneath_mail_that_a_client_has_seen_with_uids_above() {
    let Some(site) = Served::new() else { return };
    let ann = "ann@a.test";
    let target = site.target();
    target.put_records(&[account(ann, "secret")]).unwrap();
    let server = site.serve();
    let mut imap = Imap::login(&server, ann, "secret").unwrap();
    imap.append("INBOX", "Subject: new\r\n\r\narrived before the old mail\r\n");
    imap.run("SELECT INBOX");
    target.put_folder(ann, &folder("INBOX", 1_234_567, 31)).unwrap().unwrap();
    let UidsKept::No(reason) = deliver(target, ann, "INBOX", vec![message("9.M2.h", 9, "S", &["todo"])]) else {
        panic!("a folder that was seen cannot take back its UIDs");
    };
    assert!(reason.contains("UIDVALIDITY"), "{reason}");
    let noticed = imap.run("NOOP");
    assert!(noticed.contains("2 EXISTS"), "{noticed}");
    let fetched = imap.run("UID FETCH 1:* (UID FLAGS)");
    assert!(fetched.contains("UID 1 ") && fetched.contains("UID 2 FLAGS (\\Seen todo)"), "{fetched}");
    // A later pass brings a flag and a move while the client is connected.
    assert!(target.set_flags(ann, &mail("INBOX"), "9.M2.h", Flags::from_letters("FS"), &["done".to_owned()]).unwrap());
    let noticed = [imap.run("NOOP"), imap.run("UID FETCH 2 (FLAGS)")].concat();
    assert!(noticed.contains("FLAGS (\\Flagged \\Seen done)"), "{noticed}");
    target.put_folder(ann, &folder("Done", 9, 5)).unwrap().unwrap();
    assert!(target.move_item(ann, &mail("INBOX"), "9.M2.h", &mail("Done")).unwrap());
    assert!(imap.run("NOOP").contains("2 EXPUNGE"));
    let moved = [imap.run("SELECT Done"), imap.run("UID FETCH 1:* (UID FLAGS)")].concat();
    assert!(moved.contains("UID 5 FLAGS (\\Flagged \\Seen done)"), "{moved}");
    assert_eq!(server.errors(), "");
}

#[test]
fn a_folder_that_a_client_has_open_keeps_its_new_uids_while_batches_arrive() {
    let Some(site) = Served::new() else { return };
    let ann = "ann@a.test";
    let target = site.target();
    target.put_records(&[account(ann, "secret")]).unwrap();
    target.put_folder(ann, &folder("Big", 3, 1001)).unwrap().unwrap();
    let server = site.serve();
    let mut first = vec![];
    for uid in 900..=1000 {
        first.push(message(&format!("{uid}.M1.h"), uid, "", &[]));
    }
    assert_eq!(deliver(target, ann, "Big", first), UidsKept::Yes);
    let mut imap = Imap::login(&server, ann, "secret").unwrap();
    assert!(imap.run("SELECT Big").contains("101 EXISTS"));
    // Now a client has seen UID 1000; the older half cannot come below it any more.
    let second: Vec<_> = (800..900).map(|uid| message(&format!("{uid}.M1.h"), uid, "", &[])).collect();
    assert!(matches!(deliver(target, ann, "Big", second), UidsKept::No(_)));
    let newer: Vec<_> = (1101..1111).map(|uid| message(&format!("{uid}.M1.h"), uid, "", &[])).collect();
    assert_eq!(deliver(target, ann, "Big", newer), UidsKept::Yes);
    assert!(imap.run("NOOP").contains("211 EXISTS"));
    let uids = imap.run("UID SEARCH ALL");
    assert!(
        uids.contains(" 900 ") && uids.contains(" 1001 ") && uids.contains(" 1100 1101 ") && !uids.contains(" 899 ")
    );
    assert_eq!(server.errors(), "");
}

#[test]
fn a_copy_of_any_site_is_served_as_its_original() {
    let (Some(from), Some(to)) = (std::env::var_os("WAGON_COPY_FROM"), std::env::var_os("WAGON_COPY_TO")) else {
        return; // for a person who wants to look at a whole site
    };
    let counts = copy::site(from.as_ref(), to.as_ref());
    eprintln!("{counts:#?}");
    assert_eq!((counts.rejected, counts.differences), (vec![], vec![]));
}
