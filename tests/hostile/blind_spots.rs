//! A source whose own files cannot be read: the pass lists them and goes on, and what they would say is not forgotten.

use crate::sites::{Names, assert_same};
use crate::world::{World, assert_says};
use stationwagon::archive::Archive;
use stationwagon::archive::history::History;
use stationwagon::format::manifest::AccountState;
use stationwagon::format::snapshot::Provisioning;
use stationwagon::fs::RealFs;
use stationwagon::model::provisioning::{Account, Secret};
use stationwagon::site::directory::site_db;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ANN: &str = "ann@station.example";

const EXPORT: &str = "export --from {}/source --archive {}/archive --verbose";

/// Puts something else in a file's or directory's place; gives the way back.
fn spoil(path: &Path, by: &dyn Fn(&Path)) -> impl FnOnce() + use<> {
    let (path, aside) = (path.to_owned(), aside(path));
    fs::rename(&path, &aside).unwrap();
    by(&path);
    move || {
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap()
        } else {
            drop(fs::remove_file(&path))
        }
        fs::rename(&aside, &path).unwrap();
    }
}

fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap().to_str().unwrap();
    path.parent().unwrap().parent().unwrap().join(format!("{name}.aside"))
}

fn folder(path: &Path) {
    fs::create_dir(path).unwrap();
}

fn garbage(path: &Path) {
    fs::write(path, b"\0\0\0\xff\xfe nothing : of : the \x01 kind\n\0\0\0").unwrap();
}

fn looped(path: &Path) {
    std::os::unix::fs::symlink(path, path).unwrap();
}

type Damage<'a> = (&'a str, &'a dyn Fn(&Path));

const ALL: [Damage<'_>; 14] = [
    ("etc/passwd", &folder),
    ("etc/passwd", &garbage),
    ("etc/passwd", &looped),
    ("etc/virtual_alias", &folder),
    ("etc/virtual_alias", &garbage),
    ("etc/virtual_domains", &folder),
    ("etc/virtual_domains", &garbage),
    ("site.sqlite", &folder),
    ("site.sqlite", &garbage),
    ("site.sqlite", &looped),
    ("mail", &garbage),
    ("mail", &looped),
    ("dav", &garbage),
    ("mail/station.example", &looped),
];

/// All that the newest snapshot holds: records with what they are known by, and mailboxes.
fn archived(world: &World) -> Archived {
    let archive = Archive::open(Arc::new(RealFs), &world.path("archive")).unwrap();
    let history = History::open(&archive, None, None).unwrap();
    let records = history.provisioning().unwrap().0;
    let mailboxes = records.accounts().map(|(id, _)| history.account(id).unwrap()).collect();
    (records, mailboxes)
}

type Archived = (Provisioning, Vec<AccountState>);

fn assert_unchanged(before: &Archived, after: &Archived, when: &str) {
    for (id, stored) in &before.0.records {
        assert_eq!(after.0.records.get(id), Some(stored), "{when}");
    }
    assert_eq!(after.0.records.len(), before.0.records.len(), "{when}");
    for (before, after) in before.1.iter().zip(&after.1) {
        assert_eq!(after.folders, before.folders, "{when}");
        assert_eq!(after.settings, before.settings, "{when}");
        assert!(after.items == before.items, "{when}");
    }
}

fn account(records: &Provisioning, address: &str) -> Account {
    records.accounts().find(|(_, account)| account.address == address).unwrap().1.clone()
}

#[test]
fn a_pass_that_cannot_read_the_sites_own_files_lists_them_and_takes_nothing_for_gone() {
    let world = World::exported();
    let before = archived(&world);
    for (file, damage) in ALL {
        let undo = spoil(&world.path("source").join(file), damage);
        let said = world.said(3, EXPORT);
        assert_says(&said, &["rejected", file, " 0 removed"]);
        assert_unchanged(&before, &archived(&world), file);
        undo();
    }
    world.wagon(0, EXPORT);
    assert_unchanged(&before, &archived(&world), "in the end");
    world.wagon(0, "import --archive {}/archive --to {}/target");
    assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);
}

#[test]
fn a_first_pass_takes_what_it_can_see_and_the_next_good_one_completes_it() {
    let some = ["etc/passwd", "etc/virtual_alias", "site.sqlite", "mail", "dav"];
    for (file, damage) in some.map(|file| ALL.into_iter().find(|(other, _)| *other == file).unwrap()) {
        let world = World::with_source();
        let undo = spoil(&world.path("source").join(file), damage);
        assert_says(&world.said(3, EXPORT), &["rejected", file]);
        let (records, mailboxes) = archived(&world);
        let items: usize = mailboxes.iter().map(|mailbox| mailbox.items.len()).sum();
        assert!(records.accounts().count() > 0 && items > 0, "{file}");
        undo();
        world.wagon(0, EXPORT);
        let whole = World::exported();
        let (records, whole) = (archived(&world).0, archived(&whole).0);
        let sorted = |site: &Provisioning| {
            let mut records: Vec<_> = site.records.values().map(|stored| stored.record.clone()).collect();
            records.sort_by_key(|record| (record.kind(), record.key().to_owned()));
            records
        };
        assert_eq!(sorted(&records), sorted(&whole), "{file}");
        // What was seen first by half is the same record, in the same source: it arrives once.
        world.wagon(0, "import --archive {}/archive --to {}/target");
        assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);
    }
}

#[test]
fn what_can_be_seen_of_a_site_goes_on_changing_in_the_archive() {
    let world = World::exported();
    let passwd = world.path("source/etc/passwd");
    let before = account(&archived(&world).0, ANN);
    let text = fs::read_to_string(&passwd).unwrap();
    let old = before.password.as_ref().unwrap().reveal().to_owned();
    fs::write(&passwd, text.replacen(&old, "{PLAIN}new", 1)).unwrap();
    fs::write(world.path("source/mail/station.example/ann/Maildir/new/9.new"), "Subject: new\n\n").unwrap();
    let undo = spoil(&world.path("source/site.sqlite"), &garbage);
    world.said(3, EXPORT);
    undo();
    let (records, mailboxes) = archived(&world);
    world.wagon(0, "import --archive {}/archive --to {}/target");
    let beside = fs::read_dir(world.path("target")).unwrap().map(|entry| entry.unwrap().path());
    let ledger = beside.filter(|path| path.extension().is_some_and(|end| end == "txt")).last().unwrap();
    assert_says(&fs::read_to_string(ledger).unwrap(), &["The export could not take these", "site.sqlite: unreadable"]);
    assert_eq!(account(&records, ANN), Account { password: Some(Secret::new("{PLAIN}new")), ..before });
    assert!(mailboxes.iter().flat_map(|mailbox| mailbox.items.names()).any(|(_, _, name)| name == "9.new"));

    // A line of nonsense concerns the account that it names, and no other.
    let bad = fs::read(&passwd).unwrap();
    let bad = String::from_utf8(bad).unwrap().replacen("{PLAIN}new", "{PLAIN}new\u{0}", 1);
    let mut bytes = bad.into_bytes();
    let at = bytes.iter().position(|&byte| byte == 0).unwrap();
    bytes[at] = 0xff;
    let lines: Vec<_> = bytes.split(|&byte| byte == b'\n').filter(|line| !line.starts_with(b"bert@station")).collect();
    fs::write(&passwd, lines.join(&b'\n')).unwrap();
    fs::remove_dir_all(world.path("source/mail/station.example/bert")).unwrap();
    drop(fs::remove_dir_all(world.path("source/dav/station.example/bert")));
    assert_says(&world.said(3, EXPORT), &["etc/passwd/line"]);
    let (records, _) = archived(&world);
    assert_eq!(account(&records, ANN).password, Some(Secret::new("{PLAIN}new")));
    assert!(records.accounts().all(|(_, account)| account.address != "bert@station.example"), "bert is gone");
}

#[test]
fn a_database_that_somebody_holds_is_waited_for_once_and_then_done_without() {
    let world = World::exported();
    let before = archived(&world);
    let holder = stationwagon::db::open(&world.path("source/site.sqlite"), &site_db::KIND).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let begun = std::time::Instant::now();
    let said = world.said(3, EXPORT);
    assert_says(&said, &["site.sqlite", "longer than could be waited"]);
    // Ten seconds each for the catalog's name, the site's id and the records; not for every account and folder.
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    holder.execute_batch("ROLLBACK").unwrap();
    assert_unchanged(&before, &archived(&world), "locked");
}
