//! IMAP as a store of mail, on real servers: what a Dovecot and a Cyrus hold is listed, read and written through the
//! protocol alone. Needs the testbed's servers; without them each test says so and passes.

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

use servers::dovecot::open_dir;
use servers::imap::Imap;
use servers::testbed::{self, Server};
use sites::skip;
use stationwagon::fs::RealFs;
use stationwagon::model::mailbox::{FolderKey, FolderKind};
use stationwagon::model::provisioning::Secret;
use stationwagon::net::{Endpoint, TlsPolicy};
use stationwagon::site::imap::{ImapOptions, ImapStore, SCHEMES};
use stationwagon::site::server::{Login, LoginMode, Store};
use stationwagon::site::{Content, Depth, FolderListing, FolderScan};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const ANN: &str = "ann@a.test";

fn key(path: &str) -> FolderKey {
    FolderKey::new(FolderKind::Mail, path).unwrap()
}

/// A store for a server of the testbed at `port`, with its state in `state`.
fn store(port: u16, state: &Path, login: Login) -> ImapStore {
    let endpoint = Endpoint::parse(&format!("imap://127.0.0.1:{port}"), SCHEMES).unwrap().in_the_open();
    let tls = TlsPolicy::Insecure.config(&RealFs).unwrap();
    let state_dir = state.to_owned();
    ImapStore::open(&RealFs, ImapOptions { endpoint, tls, login, insecure: true, state_dir, max_connections: 4 }).unwrap()
}

fn login(mode: LoginMode, user: &str, secret: &str) -> Login {
    let secret = Some(Secret::new(secret));
    Login { mode, user: user.to_owned(), separator: "*".to_owned(), secret, own: BTreeMap::new() }
}

/// A Dovecot with an empty account, and a store that enters it as master.
struct Dovecot {
    dir: tempfile::TempDir,
    server: Server,
}

impl Dovecot {
    fn start() -> Result<Self, &'static str> {
        let scripts = testbed::dovecot()?;
        let dir = open_dir();
        fs::create_dir_all(dir.path().join("site/mail/a.test/ann/Maildir")).unwrap();
        fs::create_dir_all(dir.path().join("site/mail/a.test/bob/Maildir")).unwrap();
        let server = Server::start(&scripts, "dovecot", &dir.path().join("d"), &dir.path().join("site"), &[]);
        Ok(Self { dir, server })
    }

    fn store(&self, state: &str) -> ImapStore {
        let login = login(LoginMode::Master, "master", self.server.says("DOVECOT_MASTER_PASSWORD"));
        store(self.server.port("DOVECOT_IMAP_PORT"), &self.dir.path().join(state), login)
    }

    fn user(&self) -> Imap {
        Imap::login(self.server.port("DOVECOT_IMAP_PORT"), ANN, "secret").unwrap()
    }
}

/// A message with this subject and about so many bytes of body.
fn message(subject: &str, bytes: usize) -> Vec<u8> {
    let mut text = format!("From: ann@a.test\r\nMessage-ID: <{subject}@a.test>\r\nSubject: {subject}\r\n\r\n");
    while text.len() < bytes {
        text.push_str("A line of text that is neither long nor short.\r\n");
    }
    text.into_bytes()
}

fn append(imap: &mut Imap, folder: &str, flags: &str, date: &str, body: &[u8]) {
    imap.append(folder, &format!("({flags}) \"{date}\""), body);
}

fn listing(store: &dyn Store, path: &str, mark: Option<&[u8]>) -> Box<FolderListing> {
    match store.folder(ANN, &key(path), mark, Depth::Marks).unwrap() {
        FolderScan::Listed(listing) => listing,
        other => panic!("{other:?}"),
    }
}

fn bytes_of(store: &dyn Store, path: &str, item: &stationwagon::site::FoundItem) -> (Vec<u8>, i64) {
    match store.read(ANN, &key(path), item).unwrap() {
        Content::Bytes { bytes, date } => (bytes, date),
        Content::Large { date, open, .. } => {
            let mut bytes = Vec::new();
            open().unwrap().read_to_end(&mut bytes).unwrap();
            (bytes, date)
        }
        Content::Vanished => panic!("vanished"),
        Content::Rejected(reason) => panic!("{reason}"),
    }
}

/// Names by subject of what a folder holds, read back.
fn names(store: &dyn Store, path: &str) -> BTreeMap<String, String> {
    let listing = listing(store, path, None);
    let read = listing.items.iter().map(|item| {
        let (bytes, _) = bytes_of(store, path, item);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap().to_owned();
        (subject, item.name.clone())
    });
    read.collect()
}

#[test]
fn a_dovecot_is_read_and_read_again_and_moves_keep_their_names() {
    let dovecot = match Dovecot::start() {
        Ok(dovecot) => dovecot,
        Err(why) => return skip("a Dovecot is read and read again", why),
    };
    let mut user = dovecot.user();
    user.command("CREATE Projects/2024");
    user.command("SUBSCRIBE Projects/2024");
    user.command("CREATE \"Entw&APw-rfe\"");
    for number in 0..40 {
        append(&mut user, "INBOX", "", "03-Feb-2001 04:05:06 +0100", &message(&format!("m{number}"), 300 * number));
    }
    append(&mut user, "Projects/2024", "\\Seen $Work", "03-Feb-2001 04:05:06 +0100", &message("plan", 10));
    append(&mut user, "INBOX", "", "03-Feb-2001 04:05:06 +0100", &message("long", 5_000_000));

    let store = dovecot.store("state");
    let mailbox = store.mailbox(ANN).unwrap();
    let paths: Vec<_> = mailbox.folders.iter().map(|found| found.key.path().to_owned()).collect();
    assert!(paths.contains(&"Projects/2024".to_owned()) && paths.contains(&"Entwürfe".to_owned()), "{paths:?}");
    assert_eq!(mailbox.rejected, []);
    let inbox = listing(&store, "INBOX", None);
    assert_eq!(inbox.items.len(), 41);
    let before = names(&store, "INBOX");
    assert_eq!(before.len(), 41);
    let plan = listing(&store, "Projects/2024", None);
    assert!(plan.folder.subscribed && plan.folder.guid.is_some(), "{:?}", plan.folder);
    assert_eq!((plan.items[0].flags.to_string().as_str(), plan.items[0].keywords.as_slice()), ("S", &["$Work".to_owned()][..]));
    assert_eq!(bytes_of(&store, "Projects/2024", &plan.items[0]), (message("plan", 10), 981_169_506));
    let long = inbox.items.iter().find(|item| item.name == before["long"]).unwrap();
    assert_eq!(bytes_of(&store, "INBOX", long).0, message("long", 5_000_000));

    // Nothing happened: every mark holds.
    let mailbox = store.mailbox(ANN).unwrap();
    assert_eq!(mailbox.folders.len(), paths.len());
    for (path, mark) in [("INBOX", &inbox.mark), ("Projects/2024", &plan.mark)] {
        let scan = store.folder(ANN, &key(path), Some(mark), Depth::Marks).unwrap();
        assert!(matches!(scan, FolderScan::Unchanged), "{path}: {scan:?}");
    }

    // Deliveries, flags, moves and deletions between two looks; and a state that is opened again.
    drop(store);
    user.command("SELECT INBOX");
    user.command("STORE 1 +FLAGS (\\Seen)");
    user.command("MOVE 2 Projects/2024");
    user.command("STORE 2 +FLAGS (\\Deleted)");
    user.command("EXPUNGE");
    append(&mut user, "INBOX", "\\Flagged", "03-Feb-2001 04:05:06 +0100", &message("new", 10));
    let store = dovecot.store("state");
    store.mailbox(ANN).unwrap();
    let scan = store.folder(ANN, &key("Projects/2024"), Some(&plan.mark), Depth::Marks).unwrap();
    let FolderScan::Listed(moved) = scan else { panic!("{scan:?}") };
    assert_eq!(moved.items.len(), 2);
    let moved = names(&store, "Projects/2024");
    assert_eq!(moved["m1"], before["m1"], "a message that moved keeps its name");
    let inbox = listing(&store, "INBOX", Some(&inbox.mark));
    assert_eq!(inbox.items.len(), 40);
    let by_name: BTreeMap<_, _> = inbox.items.iter().map(|item| (item.name.as_str(), item)).collect();
    assert!(by_name[before["m0"].as_str()].flags.contains('S'));
    assert!(!by_name.contains_key(before["m2"].as_str()));

    // A folder gets another UIDVALIDITY with the same content: the same names.
    user.command("CREATE Other");
    user.command("SELECT Projects/2024");
    user.command("MOVE 1:* Other");
    user.command("SELECT INBOX");
    user.command("DELETE Projects/2024");
    user.command("CREATE Projects/2024");
    user.command("SELECT Other");
    user.command("MOVE 1:* Projects/2024");
    store.mailbox(ANN).unwrap();
    assert_eq!(names(&store, "Projects/2024"), moved);

    // Without the state names are made anew, and are the same.
    let other = dovecot.store("other-state");
    assert_eq!(names(&other, "Projects/2024"), moved);
}
