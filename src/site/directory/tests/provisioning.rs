//! Records from `etc/`, from the tree and from `site.sqlite`.

use super::*;
use crate::model::provisioning::{Account, AccountClass, AccountStatus, Record, RecordKind};
use crate::site::{ProvisioningScan, Seen, SiteError};
use std::os::unix::ffi::OsStrExt as _;

fn shown(scan: &ProvisioningScan) -> Vec<String> {
    scan.records.iter().map(|found| format!("{} {}", found.record.kind().word(), found.record.key())).collect()
}

fn account(scan: &ProvisioningScan, address: &str) -> Account {
    let found = scan.records.iter().find_map(|found| match &found.record {
        Record::Account(account) if account.address == address => Some(account.clone()),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn a_tree_without_etc_is_a_site_and_its_accounts_are_found() {
    let world = World::new();
    world
        .write(&format!("{MAILDIR}/cur/1"), "")
        .write(&format!("{MAILDIR}/dovecot-uidlist"), "3 V1 N1 G00ff00ff\n")
        .write("mail/a.test/Ann/Maildir/cur/1", "")
        .write("mail/b.test/o'connor/sieve/x.sieve", "")
        .write("mail/b.test/not-one/README", "")
        .write("mail/lost+found/x/Maildir/cur/1", "")
        .write("dav/c.test/room/calendars/booked/1.ics", "");
    let scan = world.site().provisioning().unwrap();
    assert_eq!(
        shown(&scan),
        [
            "domain a.test",
            "domain b.test",
            "domain c.test",
            "account Ann@a.test",
            "account ann@a.test",
            "account o'connor@b.test",
            "account room@c.test",
        ]
    );
    assert_eq!(lines(&scan.rejected), Vec::<String>::new());
    assert_eq!(account(&scan, ANN).password, None);
    let idents = &scan.records.iter().find(|found| found.record.key() == ANN).unwrap().idents;
    assert_eq!(idents.first().map(String::as_str), Some("guid:00ff00ff"));
    assert!(idents.get(1).is_some_and(|ident| ident.starts_with("ino:")), "{idents:?}");
}

#[test]
fn the_files_of_etc_and_the_database_make_whole_records() {
    let world = World::new();
    world
        .write("etc/passwd", "ann@a.test:{X}h:1:2:Ann Example:/h::userdb_quota_rule=*:storage=1G userdb_acl_groups=eng\n\
            room@a.test:::::::nologin\nbroken\n")
        .write("etc/virtual_domains", "a.test OK\nold.test OK\n")
        .write("etc/virtual_alias", "@old.test @a.test\n@a.test ann@a.test\nann@a.test ann@a.test\n\
            info@a.test ann@a.test\nteam@a.test ann@a.test, bob@far.test\nsolo@a.test ann@a.test\n\
            room@a.test room@a.test, ann@a.test\n")
        .sql(
            r#"INSERT INTO site VALUES (1, 'a-site');
            INSERT INTO record VALUES ('account', 'ann@a.test', 'r-1'), ('list', 'team@a.test', 'r-2'), ('cos', 'gold', 'r-3');
            INSERT INTO settings VALUES ('server', '{"smtp":"on"}');
            INSERT INTO domain VALUES ('a.test', '{"note":"x"}'), ('gone.test', '{}');
            INSERT INTO cos VALUES ('gold', 1000, '{}');
            INSERT INTO account VALUES ('ann@a.test', 'user', 'locked', 'gold', 'Ann X', '["two words"]', '{"phone":"1"}'),
                ('room@a.test', 'location', 'closed', NULL, 'Room: 1', '[]', '{}'),
                ('gone@a.test', 'user', 'active', NULL, NULL, '[]', '{}');
            INSERT INTO address VALUES ('team@a.test', 'list', 1, 'The team', '["ann@a.test"]', '{"k":"v"}'),
                ('solo@a.test', 'list', 1, NULL, '[]', '{}'), ('empty@a.test', 'list', 0, 'Empty', '[]', '{}'),
                ('removed@a.test', 'list', 1, NULL, '[]', '{}');"#,
        );
    let scan = world.site().provisioning().unwrap();
    assert_eq!(
        shown(&scan),
        [
            "settings server",
            "domain a.test",
            "domain old.test",
            "cos gold",
            "account ann@a.test",
            "account room@a.test",
            "list empty@a.test",
            "list solo@a.test",
            "list team@a.test",
            "alias info@a.test",
            "alias room@a.test",
        ]
    );
    assert_eq!(lines(&scan.rejected), ["the site:etc/passwd/line 3: malformed: has no password column"]);
    assert_eq!(world.site().describe().unwrap().id.unwrap().as_str(), "a-site");

    let ann = account(&scan, ANN);
    assert_eq!(ann.name.as_deref(), Some("Ann Example"), "etc/passwd goes before the database");
    assert_eq!(ann.status, AccountStatus::Active, "an administrator who removed nologin meant it");
    assert_eq!((ann.cos.as_deref(), ann.groups.join(",")), (Some("gold"), "eng,two words".into()));
    assert_eq!(ann.attributes.get("phone").map(String::as_str), Some("1"));
    let room = account(&scan, "room@a.test");
    assert_eq!((room.class, room.status), (AccountClass::Location, AccountStatus::Closed));
    assert_eq!(room.name.as_deref(), Some("Room: 1"));

    for found in &scan.records {
        match &found.record {
            Record::Domain(domain) if domain.name == "a.test" => {
                assert_eq!((domain.catch_all.join(","), domain.attributes.len()), (ANN.to_owned(), 1));
            }
            Record::Domain(domain) => assert_eq!(domain.alias_of.as_deref(), Some("a.test")),
            Record::List(list) if list.address == "team@a.test" => {
                assert_eq!(list.members, [ANN, "bob@far.test"]);
                assert_eq!((list.name.as_deref(), list.owners.join(",")), (Some("The team"), ANN.to_owned()));
                assert_eq!(found.idents, ["id:r-2"]);
            }
            _ => {}
        }
    }
}

#[test]
fn an_account_keeps_its_idents_when_it_is_renamed() {
    let world = World::new();
    world.write(&format!("{MAILDIR}/dovecot-uidlist"), "3 V1 N1 Gfeed\n");
    let idents = |world: &World| {
        let scan = world.site().provisioning().unwrap();
        scan.records.into_iter().find(|found| matches!(found.record, Record::Account(_))).unwrap().idents
    };
    let before = idents(&world);
    world.rename("mail/a.test/ann", "mail/b.test/anna");
    assert_eq!(before, idents(&world));
    world.write("mail/a.test/copy/Maildir/dovecot-uidlist", "3 V1 N1 Gfeed\n");
    assert_eq!(before.get(1..), Some(idents(&world).as_slice()), "a GUID that two have tells nothing");
}

#[test]
fn names_in_another_encoding_lead_back_to_their_mailboxes() {
    let world = World::new();
    world.write(&format!("{MAILDIR}/cur/1"), "");
    let odd = world.path("mail/a.test").join(std::ffi::OsStr::from_bytes(b"j\xf6rg"));
    fs::create_dir_all(odd.join("Maildir/cur")).unwrap();
    fs::write(odd.join("Maildir/cur/7"), "x").unwrap();
    fs::create_dir_all(world.path("mail/at@a.test/x/Maildir")).unwrap();
    let scan = world.site().provisioning().unwrap();
    assert_eq!(shown(&scan), ["domain a.test", "account ann@a.test", "account j\\xf6rg@a.test"]);
    assert_eq!(
        lines(&scan.rejected),
        ["the site:mail/at@a.test/x: bad name: it gives no address that leads back to it"]
    );
    assert_eq!(names(&world.site().listing("j\\xf6rg@a.test", &mail("INBOX"), None)), ["7"]);
}

#[test]
fn an_account_line_that_would_lead_out_of_the_site_has_no_mailbox() {
    let world = World::new();
    world.write("etc/passwd", "..@a.test:x\nann@..:x\nplain:x\n").write("etc/Maildir/cur/1", "");
    let scan = world.site().provisioning().unwrap();
    for found in scan.records.iter().filter(|found| matches!(found.record, Record::Account(_))) {
        assert_eq!(world.folders(found.record.key()), Vec::<String>::new());
        assert_eq!(found.idents, Vec::<String>::new());
    }
}

#[test]
fn a_control_file_that_cannot_be_read_is_listed_and_a_target_is_not_judged_without_it() {
    let world = World::new();
    world.write(&format!("{MAILDIR}/cur/1"), "");
    fs::create_dir_all(world.path("etc/passwd")).unwrap();
    let scan = world.site().provisioning().unwrap();
    assert_eq!(lines(&scan.rejected), ["the site:etc/passwd: unreadable: not a regular file"]);
    assert_eq!(shown(&scan), ["domain a.test", "account ann@a.test"]);
    assert!(scan.incomplete.contains(&RecordKind::Account) && !scan.incomplete.contains(&RecordKind::Alias));
    let seen: Vec<_> = scan.records.iter().map(|found| found.seen).collect();
    assert_eq!(seen, [Seen::Whole, Seen::Existence]);
    let target = DirectorySite::create(Arc::new(RealFs), world.root.path(), None).unwrap();
    assert!(matches!(target.provisioning(), Err(SiteError::Io { .. })));
}

#[test]
fn a_bad_line_makes_unclear_whom_it_names_and_all_when_it_names_nobody() {
    let world = World::new();
    world.write("etc/passwd", b"ann@a.test:x\xff:\nbob@a.test:x\nbob@a.test:y\n");
    world.write("etc/virtual_alias", "info@a.test\n");
    let scan = world.site().provisioning().unwrap();
    assert_eq!((scan.incomplete.len(), scan.unclear.len()), (0, 2), "{scan:?}");
    assert!(scan.unclear.contains(ANN) && scan.unclear.contains("info@a.test"));
    world.write("etc/passwd", "whatever\n").write("etc/virtual_domains", "\0\0\n");
    let scan = world.site().provisioning().unwrap();
    assert_eq!(scan.incomplete.into_iter().collect::<Vec<_>>(), [RecordKind::Domain, RecordKind::Account]);
}

#[test]
fn a_mailbox_behind_a_link_to_a_disk_that_is_not_there_is_not_empty() {
    let world = World::new();
    world.write("etc/passwd", "ann@a.test:x\n").write("dav/a.test/ann/calendars/c/1.ics", "x");
    fs::remove_dir(world.path("mail")).unwrap();
    world.link("/nowhere/at/all", "mail");
    let scan = world.site().mailbox(ANN).unwrap();
    assert!(scan.rejected.iter().any(|rejection| rejection.place.folder.is_none()), "{scan:?}");
    assert_eq!(scan.folders.len(), 1, "the calendar is there: {scan:?}");
}
