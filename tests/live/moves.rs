//! Whole sites from one make of server to the other, and to and from files.

use crate::client::{Folder, Mailbox, Message};
use crate::world::{Kind, Site, World, corpus, make_site, ready};
use stationwagon::fs::{Fs, RealFs};
use stationwagon::testing::example_site;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Accounts of the example site that log in; the room does not.
const EXAMPLE: [&str; 4] =
    ["ann@station.example", "bert@station.example", "clara@station.example", "frida@wagon.example"];

/// Accounts of site-small with shared folders, keywords and folders of every name, about 1,500 messages.
const SMALL: [&str; 5] = [
    "stefan.grant@example.org",
    "ldubois@example.org",
    "leo.silva@example.org",
    "o'connor@example.org",
    "mbrandt@example.org",
];

/// Differences that are allowed, counted by their name.
pub type Counted = BTreeMap<&'static str, usize>;

/// Messages that a server refused, by account and folder.
pub type Refused = BTreeMap<(String, String), usize>;

/// What Cyrus makes of a header byte above 127.
fn as_cyrus_keeps(content: &[u8]) -> Vec<u8> {
    let end = content.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(content.len());
    content.iter().enumerate().map(|(at, byte)| if at < end && *byte > 127 { b'X' } else { *byte }).collect()
}

/// Compares what a client saw on both sides; panics at the first difference that no server is known to make.
fn compare(account: &str, before: &Mailbox, after: &Mailbox, target: &Kind, refused: &Refused) -> Counted {
    let mut counted = Counted::new();
    for (name, folder) in before {
        let Some(there) = after.get(name) else {
            panic!("{account}: {name} is not on the target, which has {:?}", after.keys().collect::<Vec<_>>());
        };
        let refused = refused.get(&(account.to_owned(), name.clone())).copied().unwrap_or_default();
        compare_folder(&format!("{account} {name}"), folder, there, (target, refused), &mut counted);
    }
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        assert!(after[name].messages.is_empty(), "{account}: {name} with mail is new");
        *counted.entry("empty folders that the server made").or_default() += 1;
    }
    counted
}

/// `refused` is how many of its messages the import told that the server had refused.
fn compare_folder(
    what: &str,
    before: &Folder,
    after: &Folder,
    (target, refused): (&Kind, usize),
    counted: &mut Counted,
) {
    let mut not_there = 0;
    let mut left = after.messages.clone();
    let mut count = |why| *counted.entry(why).or_default() += 1;
    for message in &before.messages {
        let kept = match target {
            Kind::Dovecot => message.clone(),
            Kind::Cyrus => Message { content: as_cyrus_keeps(&message.content), ..message.clone() },
        };
        if let Some(at) = left.iter().position(|there| *there == *message) {
            left.remove(at);
            count("equal");
        } else if let Some(at) = left.iter().position(|there| *there == kept) {
            left.remove(at);
            count("header bytes above 127 became X");
        } else if let Some(at) = left.iter().position(|there| is_passed(there, &kept) || is_passed(&kept, there)) {
            // A letter of the Maildir that Dovecot shows nothing for.
            left.remove(at);
            count("passed on, which Dovecot does not show");
        } else if not_there < refused {
            not_there += 1;
            count("refused and told");
        } else {
            let near = left.iter().find(|there| there.content == kept.content);
            let near = near.map(|there| (there.date, there.flags.clone()));
            let head = String::from_utf8_lossy(&message.content).chars().take(300).collect::<String>();
            panic!(
                "{what}: a message of {} bytes is not there: {:?} {:?}, there {near:?}\n{head}",
                message.content.len(),
                message.date,
                message.flags
            );
        }
    }
    assert_eq!(not_there, refused, "{what}: messages that the ledger calls refused and that are not there");
    assert!(left.is_empty(), "{what}: {} messages that the source does not have", left.len());
    if what.ends_with(" INBOX") && after.subscribed && !before.subscribed {
        // Cyrus subscribes to the inbox when it makes one.
        *counted.entry("inboxes that the server subscribed to").or_default() += 1;
    } else {
        assert_eq!(after.subscribed, before.subscribed, "{what}: subscription");
    }
    if before.special_use.is_some() {
        assert_eq!(after.special_use, before.special_use, "{what}: special use");
    }
}

pub fn compare_all(before: &BTreeMap<&str, Mailbox>, target: &Site, refused: &Refused) -> Counted {
    let mut all = Counted::new();
    for (account, mailbox) in before {
        for (why, number) in compare(account, mailbox, &target.look(account), &target.kind, refused) {
            *all.entry(why).or_default() += number;
        }
    }
    all
}

pub fn look_all<'a>(site: &Site, accounts: &[&'a str]) -> BTreeMap<&'a str, Mailbox> {
    accounts.iter().map(|account| (*account, site.look(account))).collect()
}

fn example(world: &World, folder: &str) {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    example_site::build(&fs, &world.path(folder)).unwrap();
}

fn chosen(accounts: &[&str]) -> String {
    accounts.iter().map(|account| format!(" --account {account}")).collect()
}

/// Whether it is the same but for the keyword that stands for Maildir's `P`.
fn is_passed(there: &Message, kept: &Message) -> bool {
    let mut flags = kept.flags.clone();
    flags.push("$Forwarded".to_owned());
    flags.sort();
    *there == Message { flags, ..kept.clone() }
}

/// What an import says with `--json`: the messages that the target's server refused. Nothing else may keep mail away.
fn refused(said: &str) -> Refused {
    let mut refused = Refused::new();
    let report = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let report = report.rev().find(|line| line["event"] == "report").unwrap_or_else(|| panic!("{said}"));
    for one in report["report"]["rejected"].as_array().unwrap() {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        if !text("item").is_empty() && text("reason") == "refused" {
            *refused.entry((text("account"), text("folder"))).or_default() += 1;
        }
        let whole_account = one["folder"].is_null() && text("account").contains('@') && text("detail").contains("://");
        assert!(!whole_account, "an account did not arrive: {one}");
    }
    refused
}

/// Exports `source` and imports into `target`; twice, and the second time nothing happens.
fn there(world: &World, source: &str, target: &str, accounts: &[&str], archive: &str) -> Refused {
    let only = chosen(accounts);
    world.report(&format!("export --from {{}}/{source} --archive {{}}/{archive}{only}"), &[0, 3]);
    let import = format!("import --archive {{}}/{archive} --to {{}}/{target}");
    let (_, said) = world.report(&format!("{import} --json --progress none"), &[0, 3]);
    let (_, again) = world.report(&import, &[0, 3]);
    assert!(again.contains("\n0 B delivered"), "{again}");
    refused(&said)
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
    let refused = there(&world, "old.toml", "new.toml", &EXAMPLE, "archive");
    eprintln!("{:?}", compare_all(&before, &target, &refused));
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
    let refused = there(&world, "middle.toml", "new.toml", &EXAMPLE, "second");
    eprintln!("{:?}", compare_all(&before, &target, &refused));
    // A passwd-file has no place for the one alias.
    let (_, verified) = world.report("verify --archive {}/second --to {}/new.toml", &[5]);
    let alias = "info@station.example: alias info@station.example has not been imported";
    assert!(verified.contains("\n1 difference:\n") && verified.contains(alias), "{verified}");

    world.report("import --archive {}/second --to {}/new-files", &[0, 3]);
    world.report("verify --archive {}/second --to {}/new-files", &[0]);
    let served = world.dovecot("new-files");
    eprintln!("{:?}", compare_all(&before, &served, &Refused::new()));
}

#[test]
fn real_mail_goes_from_files_to_cyrus_and_from_dovecot_into_files() {
    if !ready("real mail goes to Cyrus", &["dovecot", "cyrus"]) {
        return;
    }
    let Some(corpus) = corpus() else {
        return crate::sites::skip("real mail goes to Cyrus", "the development corpus is not there");
    };
    let world = World::new();
    make_site(&corpus, "small", &world.path("old"), &[]);
    let source = world.dovecot("old");
    let before = look_all(&source, &SMALL);
    let target = world.cyrus("new", &SMALL);
    let refused = there(&world, "old", "new.toml", &SMALL, "archive");
    eprintln!("{:?}", compare_all(&before, &target, &refused));

    let only = chosen(&SMALL);
    world.report(&format!("export --from {{}}/old.toml --archive {{}}/served{only}"), &[0, 3]);
    world.report("import --archive {}/served --to {}/files", &[0, 3]);
    let served = world.dovecot("files");
    eprintln!("{:?}", compare_all(&before, &served, &Refused::new()));
}

#[test]
fn oddities_arrive_on_cyrus_or_are_named() {
    if !ready("oddities arrive on Cyrus", &["dovecot", "cyrus"]) {
        return;
    }
    let Some(corpus) = corpus() else {
        return crate::sites::skip("oddities arrive on Cyrus", "the development corpus is not there");
    };
    let edge = ["edge@example.org", "frossi@example.org", "o'connor@example.org"];
    let world = World::new();
    make_site(&corpus, "edge", &world.path("old"), &[]);
    let source = world.dovecot("old");
    let before = look_all(&source, &edge);
    let target = world.cyrus("new", &edge);
    let refused = there(&world, "old.toml", "new.toml", &edge, "archive");
    eprintln!("{:?}", compare_all(&before, &target, &refused));
}
