//! Whole sites from one make of server to the other, and to and from files: the four moves of Dovecot, Cyrus and a
//! directory.
//!
//! Real mail goes all four ways with a choice of the accounts of site-small; `WAGON_ALL_ACCOUNTS=1` takes all thirty.

use crate::client::{Mailbox, subscribed_elsewhere};
use crate::compare::{Counted, Told, add, compare, compare_all, compare_elsewhere, look_all};
use crate::world::{Site, World, corpus, make_site, ready};
use stationwagon::fs::{Fs, RealFs};
use stationwagon::testing::example_site;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Accounts of site-small that every run moves, about 1,900 of its 10,000 messages: with shares between them and to others,
/// keywords, folders of every name, a subscription to a folder that is gone, and one without a message.
const SMALL: [&str; 8] = [
    "stefan.grant@example.org",
    "mbrandt@example.org",
    "ldubois@example.org",
    "leo.silva@example.org",
    "o'connor@example.org",
    "pedro.jensen@example.org",
    "ines.hill@example.net",
    "vera.kowalski@example.org",
];

/// Accounts of the example site that log in; the room does not.
const EXAMPLE: [&str; 4] =
    ["ann@station.example", "bert@station.example", "clara@station.example", "frida@wagon.example"];

fn example(world: &World, folder: &str) {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    example_site::build(&fs, &world.path(folder)).unwrap();
}

fn chosen(accounts: &[&str]) -> String {
    accounts.iter().map(|account| format!(" --account {account}")).collect()
}

fn export(world: &World, source: &str, archive: &str, accounts: &[&str]) {
    let only = chosen(accounts);
    world.report(&format!("export --from {{}}/{source} --archive {{}}/{archive}{only}"), &[0, 3]);
}

/// Imports into `target`; twice, and the second time nothing happens.
fn import(world: &World, archive: &str, target: &str) -> Told {
    let import = format!("import --archive {{}}/{archive} --to {{}}/{target}");
    let (_, said) = world.report(&format!("{import} --json --progress none"), &[0, 3]);
    let (_, again) = world.report(&import, &[0, 3]);
    assert!(again.contains("\n0 B delivered"), "{again}");
    Told::of(&said)
}

fn there(world: &World, source: &str, target: &str, accounts: &[&str], archive: &str) -> Told {
    export(world, source, archive, accounts);
    import(world, archive, target)
}

#[test]
fn dovecot_to_cyrus() {
    if !ready("Dovecot to Cyrus", &["dovecot", "cyrus"]) {
        return;
    }
    let world = World::new();
    example(&world, "old");
    let source = world.dovecot("old");
    let target = world.cyrus("new", &EXAMPLE);
    let before = look_all(&source, &EXAMPLE);
    let told = there(&world, "old.toml", "new.toml", &EXAMPLE, "archive");
    eprintln!("{:?}", compare_all(&before, &target, &told));
    world.report("verify --archive {}/archive --to {}/new.toml", &[0]);
}

#[test]
fn cyrus_to_dovecot_and_files() {
    if !ready("Cyrus to Dovecot", &["dovecot", "cyrus"]) {
        return;
    }
    let world = World::new();
    example(&world, "files");
    let middle = world.cyrus("middle", &EXAMPLE);
    there(&world, "files", "middle.toml", &EXAMPLE, "archive");
    let before = look_all(&middle, &EXAMPLE);
    assert!(before.values().flat_map(Mailbox::values).map(|folder| folder.messages.len()).sum::<usize>() > 50);

    // What now lies in Cyrus goes into a Dovecot, and into files, by another archive.
    world.empty_site("new", &EXAMPLE);
    let target = world.dovecot("new");
    let told = there(&world, "middle.toml", "new.toml", &EXAMPLE, "second");
    eprintln!("{:?}", compare_all(&before, &target, &told));
    // A passwd-file has no place for the one alias.
    let (_, verified) = world.report("verify --archive {}/second --to {}/new.toml", &[5]);
    let alias = "info@station.example: alias info@station.example has not been imported";
    assert!(verified.contains("\n1 difference:\n") && verified.contains(alias), "{verified}");

    world.report("import --archive {}/second --to {}/new-files", &[0, 3]);
    world.report("verify --archive {}/second --to {}/new-files", &[0]);
    let served = world.dovecot("new-files");
    eprintln!("{:?}", compare_all(&before, &served, &Told::default()));
}

/// Addresses that log in to a directory site, as its passwd-file has them.
fn accounts_of(site: &Path) -> Vec<String> {
    let text = fs::read_to_string(site.join("etc/passwd")).unwrap();
    let addresses = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
    addresses.map(|(address, _)| address.replace('\\', "")).collect()
}

/// Dovecot → archive → Cyrus → archive → Dovecot, directory → Cyrus, and Dovecot → directory, each compared with where it
/// came from by what a client fetches there.
fn four_moves(name: &str, world: &World, accounts: &[&str]) {
    let mut clock = Instant::now();
    let mut lap = |what: &str| {
        eprintln!("{name}: {what}: {:.1} s", clock.elapsed().as_secs_f64());
        clock = Instant::now();
    };
    let dovecot = world.dovecot("old");
    let cyrus = world.cyrus("cyrus", accounts);
    lap("start");
    export(world, "old.toml", "by-imap", accounts);
    lap("export Dovecot");
    let to_cyrus = import(world, "by-imap", "cyrus.toml");
    lap("import Cyrus");
    let to_files = import(world, "by-imap", "files");
    let files = world.dovecot("files");
    lap("import directory");
    export(world, "cyrus.toml", "from-cyrus", accounts);
    lap("export Cyrus");
    world.empty_site("back", accounts);
    let back = world.dovecot("back");
    let to_dovecot = import(world, "from-cyrus", "back.toml");
    lap("import Dovecot");
    export(world, "old", "by-files", accounts);
    let second = world.cyrus("second", accounts);
    let from_files = import(world, "by-files", "second.toml");
    lap("directory to Cyrus");

    let names = ["Dovecot to Cyrus", "Cyrus to Dovecot", "directory to Cyrus", "Dovecot to directory"];
    let mut all: [Counted; 4] = Default::default();
    for account in accounts {
        let here = |site: &Site| {
            let mut client = site.client(account);
            let mailbox = crate::client::look(&mut client, account);
            let elsewhere = subscribed_elsewhere(&mut client, &mailbox);
            (mailbox, elsewhere)
        };
        let (before, middle) = (here(&dovecot), here(&cyrus));
        let moves = [
            (&before, &middle, &cyrus.kind, &to_cyrus),
            (&middle, &here(&back), &back.kind, &to_dovecot),
            (&before, &here(&second), &second.kind, &from_files),
            (&before, &here(&files), &files.kind, &to_files),
        ];
        for (way, (counted, (from, to, kind, told))) in names.iter().zip(all.iter_mut().zip(moves)) {
            eprintln!("{name}: {account}: {way}");
            add(counted, compare(account, &from.0, &to.0, kind, told));
            add(counted, compare_elsewhere(account, &from.1, &to.1, told));
        }
    }
    lap("compared");
    for (way, counted) in names.iter().zip(&all) {
        eprintln!("{name}, {} accounts, {way}: {counted:?}", accounts.len());
        assert!(counted["messages equal"] > 300 && counted["subscriptions equal"] > 0, "{way}: {counted:?}");
        assert!(counted["grants equal"] > 0, "{way}: {counted:?}");
    }
}

#[test]
fn real_mail_goes_all_four_ways() {
    if !ready("real mail goes all four ways", &["dovecot", "cyrus"]) {
        return;
    }
    let Some(corpus) = corpus() else {
        return crate::sites::skip("real mail goes all four ways", "the development corpus is not there");
    };
    let world = World::new();
    make_site(&corpus, "small", &world.path("old"), &[]);
    let all = accounts_of(&world.path("old"));
    assert_eq!(all.len(), 30);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert!(SMALL.iter().all(|account| all.contains(account)));
    let chosen = if std::env::var_os("WAGON_ALL_ACCOUNTS").is_some() { &all[..] } else { &SMALL };
    four_moves("site-small", &world, chosen);
}

#[test]
fn oddities_go_all_four_ways_or_are_named() {
    if !ready("oddities go all four ways", &["dovecot", "cyrus"]) {
        return;
    }
    let Some(corpus) = corpus() else {
        return crate::sites::skip("oddities go all four ways", "the development corpus is not there");
    };
    let world = World::new();
    make_site(&corpus, "edge", &world.path("old"), &[]);
    let all = accounts_of(&world.path("old"));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    four_moves("edge", &world, &all);
}

/// Where somebody else is the first to open a folder, Dovecot 2.3 with flags of each one's own (INDEXPVT) forgets the
/// owner's `\Seen` for good; so nobody's look may go into what others share with him.
#[test]
fn a_shared_folder_stays_as_its_owner_has_read_it_whoever_is_moved_first() {
    if !ready("who is moved first does not matter", &["dovecot"]) {
        return;
    }
    let world = World::new();
    for folder in ["ann/Maildir", "ann/Maildir/.Shared", "bob/Maildir"] {
        for sub in ["cur", "new", "tmp"] {
            fs::create_dir_all(world.path("old/mail/a.test").join(folder).join(sub)).unwrap();
        }
    }
    fs::create_dir_all(world.path("old/etc")).unwrap();
    world.write("old/etc/passwd", "ann@a.test:{PLAIN}pw-ann::::::\nbob@a.test:{PLAIN}pw-bob::::::\n");
    let shared = world.path("old/mail/a.test/ann/Maildir/.Shared");
    fs::write(shared.join("maildirfolder"), "").unwrap();
    fs::write(shared.join("dovecot-acl"), "user=bob@a.test lr\n").unwrap();
    fs::write(shared.join("cur/1600000000.M1P1.host:2,S"), "Subject: read\n\nbody\n").unwrap();
    let source = world.dovecot("old");
    let listed = source.client("bob@a.test").list("LIST \"\" \"*\"");
    assert!(listed.iter().any(|(_, name)| name == "shared/ann@a.test/Shared"), "{listed:?}");
    for account in ["bob@a.test", "ann@a.test"] {
        world.wagon(0, &format!("export --from {{}}/old.toml --archive {{}}/archive --account {account}"));
    }
    assert_eq!(source.look("ann@a.test")["Shared"].messages[0].flags, ["\\Seen"]);
    import(&world, "archive", "files");
    let moved = fs::read_dir(world.path("files/mail/a.test/ann/Maildir/.Shared/cur")).unwrap();
    let names: Vec<_> = moved.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.len() == 1 && names[0].ends_with(":2,S"), "{names:?}");
}

#[test]
fn keywords_and_subscriptions_that_a_server_cannot_hold_are_named() {
    if !ready("what a server cannot hold is named", &["cyrus"]) {
        return;
    }
    let world = World::new();
    let maildir = world.path("old/mail/a.test/ann/Maildir");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(sub)).unwrap();
    }
    fs::create_dir_all(world.path("old/etc")).unwrap();
    world.write("old/etc/passwd", "ann@a.test:{PLAIN}pw-ann::::::\n");
    fs::write(maildir.join("dovecot-keywords"), "0 gr\u{fc}n\n1 $Work\n").unwrap();
    fs::write(maildir.join("subscriptions"), "INBOX\nGone\n").unwrap();
    for number in 0..3 {
        let name = format!("cur/160000000{number}.M1P1.host:2,Sab");
        fs::write(maildir.join(name), format!("Subject: {number}\n\nbody\n")).unwrap();
    }
    let target = world.cyrus("new", &["ann@a.test"]);
    world.wagon(0, "export --from {}/old --archive {}/archive");
    let (_, said) = world.report("import --archive {}/archive --to {}/new.toml", &[3]);
    assert_eq!(said.matches("cannot hold the keyword \"gr\u{fc}n\"; messages come without it").count(), 1, "{said}");
    assert!(said.contains("subscription Gone: refused: ") && said.contains("Mailbox does not exist"), "{said}");
    let flags: Vec<_> = target.look("ann@a.test")["INBOX"].messages.iter().map(|one| one.flags.join(" ")).collect();
    assert_eq!(flags, ["$Work \\Seen"; 3]);
}
