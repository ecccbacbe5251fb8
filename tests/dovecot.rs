//! A real Dovecot serves a site that was imported, with the configuration that `wagon config` prints: users log in with
//! their old passwords and find everything, byte for byte. Needs root and Dovecot; without them it says so.
//!
//! What Dovecot itself alters on the way to a client, and nothing else is allowed: a bare LF becomes CRLF (IMAP has no
//! other line end), and a NUL becomes 0x80 (IMAP strings hold none).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

mod servers;
mod sites;

use servers::dovecot::{Dovecot, missing, open_dir};
use servers::imap::{Imap, value};
use servers::{free_ports, lmtp};
use sites::{Place, Seen, look, skip};
use stationwagon::fs::{Fs, RealFs};
use stationwagon::testing::example_site::{self, people};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who the mail belongs to on the target; Dovecot never serves as root.
const OWNER: &str = "5000:5000";

/// Makes the example site and exports it.
fn exported(place: &Place) {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    example_site::build(&fs, &place.path("source")).unwrap();
    place.wagon(0, "export --from {}/source --archive {}/archive");
}

fn served(place: &Place) -> Dovecot {
    let [lmtp] = free_ports();
    let printed = place.wagon(0, &format!("config --to {{}}/target --lmtp 127.0.0.1:{lmtp}"));
    let server = Dovecot::start(&printed, lmtp);
    server.doveadm(&["acl", "recalc", "-A"]);
    server
}

fn login(server: &Dovecot, address: &str) -> Imap {
    let user = address.split('@').next().unwrap();
    Imap::login(server.imap, address, &format!("pw-{user}"))
        .unwrap_or_else(|refusal| panic!("{address}: {refusal}\n{}", server.log()))
}

#[test]
fn users_find_everything_on_the_imported_site() {
    if let Some(why) = missing() {
        return skip("users find everything on the imported site", why);
    }
    let dir = open_dir();
    let place = Place::at(dir.path());
    exported(&place);
    place.wagon(0, &format!("import --archive {{}}/archive --to {{}}/target --owner {OWNER}"));
    let source = look(&place.path("source"));
    let server = served(&place);

    for person in people::PEOPLE.iter().filter(|person| person.address != people::ROOM) {
        let mut imap = login(&server, person.address);
        folders_are_there(&mut imap, &source, person);
        for folder in folders_of(&source, person) {
            messages_are_there(&mut imap, &place, &source, person, &folder);
        }
    }
    shares_open(&server);
    scripts_run(&server);
    let log = server.log();
    assert!(!log.contains("Error:") && !log.contains("Panic:"), "Dovecot complains:\n{log}");
}

fn folders_of(source: &Seen, person: &people::Person) -> Vec<String> {
    let prefix = format!("{}: folder ", person.folder());
    source.facts.iter().filter_map(|fact| fact.strip_prefix(&prefix)).map(str::to_owned).collect()
}

fn folders_are_there(imap: &mut Imap, source: &Seen, person: &people::Person) {
    let listed: BTreeMap<_, _> =
        imap.list("LIST \"\" \"*\"").into_iter().map(|(attributes, name)| (name, attributes)).collect();
    let subscribed: Vec<_> = imap.list("LSUB \"\" \"*\"").into_iter().map(|(_, name)| name).collect();
    for folder in folders_of(source, person) {
        let name = folder.replace('.', "/");
        let attributes = listed.get(&name).unwrap_or_else(|| panic!("{}: no {name} in {listed:?}", person.address));
        let special = match name.as_str() {
            "Sent" | "Drafts" | "Trash" | "Junk" | "Archive" => Some(format!("\\{name}")),
            _ => None,
        };
        if let Some(special) = special {
            assert!(attributes.contains(&special), "{}: {name} is {attributes}", person.address);
        }
        let wanted = source.facts.contains(&format!("{}: subscribed {folder}", person.folder()));
        assert_eq!(subscribed.contains(&name), wanted, "{}: subscription of {name}", person.address);
    }
}

fn messages_are_there(imap: &mut Imap, place: &Place, source: &Seen, person: &people::Person, folder: &str) {
    let what = format!("{} {folder}", person.address);
    let answers = imap.command(&format!("SELECT \"{}\"", folder.replace('.', "/")));
    let maildir = place.path("source/mail").join(person.folder()).join("Maildir");
    let dir = if folder == "INBOX" { maildir } else { maildir.join(format!(".{folder}")) };
    let uidlist = std::fs::read_to_string(dir.join("dovecot-uidlist")).unwrap();
    let validity = uidlist.split(' ').find_map(|word| word.strip_prefix('V')).unwrap();
    let told = answers.iter().find_map(|answer| value(&answer.text, "[UIDVALIDITY "));
    assert_eq!(told, Some(validity), "{what}: UIDVALIDITY");

    let mut fetched = Vec::new();
    for answer in imap.command("UID FETCH 1:* (UID FLAGS BODY.PEEK[])") {
        if let (Some(uid), Some(flags)) = (value(&answer.text, "UID "), value(&answer.text, "FLAGS ")) {
            let mut flags: Vec<_> = flags.trim_matches(['(', ')']).split_whitespace().map(str::to_owned).collect();
            flags.retain(|flag| flag != "\\Recent");
            flags.sort();
            let content = answer.literals.into_iter().next().unwrap_or_default();
            fetched.push((uid.parse::<u32>().unwrap(), flags, content));
        }
    }
    let files = sites::files_of_folder(&dir);
    let here: Vec<_> =
        source.messages.iter().filter(|one| one.account == person.folder() && one.folder == folder).collect();
    assert_eq!(fetched.len(), here.len(), "{what}: number of messages");
    for message in here {
        let wanted = as_dovecot_shows(&files[&message.name]);
        let flags = imap_flags(&message.flags);
        let found = fetched.iter().position(|(uid, present, content)| {
            *content == wanted && *present == flags && message.uid.is_none_or(|wanted| wanted == *uid)
        });
        let found = found.unwrap_or_else(|| panic!("{what}: {} is not as it was; {flags:?}", message.name));
        fetched.remove(found);
    }
}

/// Line ends and NULs as this file's head says.
fn as_dovecot_shows(raw: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(raw.len());
    for &byte in raw {
        match byte {
            b'\n' if shown.last() != Some(&b'\r') => shown.extend_from_slice(b"\r\n"),
            0 => shown.push(0x80),
            byte => shown.push(byte),
        }
    }
    shown
}

/// Maildir letters and keywords as IMAP names them; Dovecot shows nothing for `P`.
fn imap_flags(flags: &[String]) -> Vec<String> {
    let mut named: Vec<_> = flags
        .iter()
        .filter(|flag| *flag != "P")
        .map(|flag| match flag.as_str() {
            "D" => "\\Draft".to_owned(),
            "F" => "\\Flagged".to_owned(),
            "R" => "\\Answered".to_owned(),
            "S" => "\\Seen".to_owned(),
            "T" => "\\Deleted".to_owned(),
            keyword => keyword.to_owned(),
        })
        .collect();
    named.sort();
    named
}

fn shares_open(server: &Dovecot) {
    let mut bert = login(server, people::BERT);
    let listed: Vec<_> = bert.list("LIST \"\" \"shared/*\"").into_iter().map(|(_, name)| name).collect();
    for folder in ["Projects/Timetable", "Projects/Tender", "Notices"] {
        let name = format!("shared/{}/{folder}", people::ANN);
        assert!(listed.contains(&name), "Bert does not see {name} but {listed:?}");
        bert.command(&format!("SELECT \"{name}\""));
    }
    // Through a group, and not at all.
    let mut ann = login(server, people::ANN);
    ann.command(&format!("SELECT \"shared/{}/Dispatch\"", people::BERT));
    let refused = ann.try_command(&format!("SELECT \"shared/{}/Sent\"", people::BERT));
    assert!(refused.is_err(), "Ann reads what is not open to her");
    let mut frida = login(server, people::FRIDA);
    let refused = frida.try_command(&format!("SELECT \"shared/{}/Notices\"", people::ANN));
    assert!(refused.is_err(), "Frida reads what was taken from her");
}

fn scripts_run(server: &Dovecot) {
    let text = "From: Frida <frida@wagon.example>\nSubject: [list] by script\n\nfiled\n";
    lmtp::deliver(server.lmtp, people::FRIDA, people::CLARA, text).unwrap();
    let mut clara = login(server, people::CLARA);
    clara.command("SELECT \"Lists/Team\"");
    let found = clara.command("UID SEARCH SUBJECT \"by script\" FLAGGED");
    let uids = found.iter().find_map(|answer| answer.text.strip_prefix("* SEARCH")).unwrap_or_default();
    assert!(!uids.trim().is_empty(), "Clara's script did not file the message\n{}", server.log());
}

#[test]
fn mail_flows_into_provisioned_accounts_before_their_data_arrives() {
    if let Some(why) = missing() {
        return skip("mail flows into provisioned accounts", why);
    }
    let dir = open_dir();
    let place = Place::at(dir.path());
    exported(&place);
    place.wagon(0, &format!("import --archive {{}}/archive --to {{}}/target --provisioning-only --owner {OWNER}"));
    let server = served(&place);
    let text = "From: Emil <emil@wagon.example>\nSubject: before the data\n\nearly\n";
    lmtp::deliver(server.lmtp, people::EMIL, people::ANN, text).unwrap();
    lmtp::deliver(server.lmtp, people::EMIL, people::OHARA, text).unwrap();
    let early = search(&mut login(&server, people::ANN), "SUBJECT \"before the data\"");
    assert_eq!(early.len(), 1, "one message and no other\n{}", server.log());

    // A client stays connected while the old mail comes in beneath.
    let mut connected = login(&server, people::ANN);
    connected.command("SELECT INBOX");
    place.wagon(0, &format!("import --archive {{}}/archive --to {{}}/target --owner {OWNER}"));
    connected.command("NOOP");
    let old = look(&place.path("source"));
    let old = old.messages.iter().filter(|one| one.account == "station.example/ann" && one.folder == "INBOX").count();
    let all = search(&mut connected, "ALL");
    assert_eq!(all.len(), old + 1, "old mail beneath new mail\n{}", server.log());
    assert_eq!(search(&mut connected, "SUBJECT \"before the data\""), early, "the early message keeps its UID");
    assert!(all.iter().all(|uid| *uid >= early[0]), "a client that has seen the early message looks above it only");
    let log = server.log();
    assert!(!log.contains("Error:"), "Dovecot complains:\n{log}");
}

fn search(imap: &mut Imap, what: &str) -> Vec<u32> {
    imap.command("SELECT INBOX");
    let found = imap.command(&format!("UID SEARCH {what}"));
    let line = found.iter().find_map(|answer| answer.text.strip_prefix("* SEARCH")).unwrap_or_default();
    line.split_whitespace().map(|uid| uid.parse().unwrap()).collect()
}
