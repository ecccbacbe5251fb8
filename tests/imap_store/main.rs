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

mod odd_answers;
#[path = "../servers/mod.rs"]
mod servers;
#[path = "../sites/mod.rs"]
mod sites;
mod tokens;
mod utf8;

use servers::dovecot::open_dir;
use servers::imap::Imap;
use servers::testbed::{Server, missing};
use sites::skip;
use stationwagon::event::Reason;
use stationwagon::fs::RealFs;
use stationwagon::model::id::ObjectId;
use stationwagon::model::mailbox::{Flags, Folder, FolderKey, FolderKind, SpecialUse};
use stationwagon::model::provisioning::Secret;
use stationwagon::model::setting::{Setting, SettingKind};
use stationwagon::model::share::{Grant, Grantee, Rights};
use stationwagon::net::{Endpoint, TlsPolicy};
use stationwagon::site::imap::{ImapOptions, ImapStore, SCHEMES};
use stationwagon::site::server::{Login, LoginMode, Store};
use stationwagon::site::{
    Content, Delivered, Delivery, Depth, FolderListing, FolderPut, FolderScan, ItemContent, StoredAs,
};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

const ANN: &str = "ann@a.test";

fn key(path: &str) -> FolderKey {
    FolderKey::new(FolderKind::Mail, path).unwrap()
}

/// A store for a server of the testbed at `port`, with its state in `state`.
fn store(port: u16, state: &Path, login: Login) -> ImapStore {
    store_at("127.0.0.1", port, state, login)
}

fn store_at(host: &str, port: u16, state: &Path, login: Login) -> ImapStore {
    let endpoint = Endpoint::parse(&format!("imap://{host}:{port}"), SCHEMES).unwrap().in_the_open();
    let dialer = TlsPolicy::Insecure.dialer(&RealFs).unwrap();
    let state_dir = state.to_owned();
    ImapStore::open(&RealFs, ImapOptions { endpoint, dialer, login, insecure: true, state_dir, max_connections: 4 })
        .unwrap()
}

fn login(mode: LoginMode, user: &str, secret: &str) -> Login {
    let secret = Some(Secret::new(secret));
    Login { mode, user: user.to_owned(), separator: "*".to_owned(), secret, token: None, own: BTreeMap::new() }
}

/// A Dovecot with an empty account, and a store that enters it as master.
struct Dovecot {
    dir: tempfile::TempDir,
    server: Server,
}

impl Dovecot {
    fn start() -> Result<Self, String> {
        if let Some(why) = missing(&["dovecot"]) {
            return Err(why);
        }
        let dir = open_dir();
        fs::create_dir_all(dir.path().join("site/mail/a.test/ann/Maildir")).unwrap();
        fs::create_dir_all(dir.path().join("site/mail/a.test/bob/Maildir")).unwrap();
        let server = Server::start("dovecot", &dir.path().join("site"), &[]);
        Ok(Self { dir, server })
    }

    fn store(&self, state: &str) -> ImapStore {
        let login = login(LoginMode::Master, "master", self.server.said("DOVECOT_MASTER_PASSWORD"));
        store(self.server.port("DOVECOT_IMAP_PORT"), &self.dir.path().join(state), login)
    }

    /// The same through a proxy that hides every extension.
    fn plain_store(&self, state: &str) -> ImapStore {
        let port = hiding_proxy(self.server.port("DOVECOT_IMAP_PORT"));
        let login = login(LoginMode::Master, "master", self.server.said("DOVECOT_MASTER_PASSWORD"));
        store(port, &self.dir.path().join(state), login)
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
        let (bytes, _) = bytes_of(store, path, &item);
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
        Err(why) => return skip("a Dovecot is read and read again", &why),
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
    let first = plan.items.get(0).unwrap();
    assert!(plan.folder.subscribed && plan.folder.guid.is_some(), "{:?}", plan.folder);
    assert_eq!((first.flags.to_string().as_str(), first.keywords.as_slice()), ("S", &["$Work".to_owned()][..]));
    assert_eq!(bytes_of(&store, "Projects/2024", &first), (message("plan", 10), 981_169_506));
    let long = inbox.items.iter().find(|item| item.name == before["long"]).unwrap();
    assert_eq!(bytes_of(&store, "INBOX", &long).0, message("long", 5_000_000));

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
    let by_name: BTreeMap<_, _> = inbox.items.iter().map(|item| (item.name.clone(), item)).collect();
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

/// A delivery of these bytes.
fn delivery(name: &str, bytes: &[u8], flags: &str, keywords: &[&str]) -> Delivery {
    Delivery {
        name: name.to_owned(),
        content: ItemContent::Bytes(bytes.to_vec()),
        date: 981_169_506,
        flags: Flags::from_letters(flags),
        keywords: keywords.iter().map(|keyword| (*keyword).to_owned()).collect(),
        tags: Vec::new(),
        uid: None,
        uidl: None,
    }
}

fn put(store: &dyn Store, path: &str) -> FolderPut {
    store.put_folder(ANN, &Folder { subscribed: true, ..Folder::at(key(path)) }).unwrap().unwrap()
}

/// What a target does, from the first folder to the last removal.
fn a_target_takes_everything(store: &dyn Store, reopened: &dyn Fn() -> ImapStore, has_acl: bool) {
    store.make_account(ANN, None).unwrap().unwrap();
    store.mailbox(ANN).unwrap();
    assert!(put(store, "Projects").created);
    assert!(put(store, "Projects/Entwürfe").created);
    assert!(!put(store, "Projects/Entwürfe").created);
    let sent = Folder { special_use: Some(SpecialUse::Sent), ..Folder::at(key("Sent")) };
    store.put_folder(ANN, &sent).unwrap().unwrap();

    let wanted = ["one", "two", "large"].map(str::to_owned);
    assert_eq!(store.reserve_names(ANN, &key("INBOX"), &wanted).unwrap(), wanted);
    let bare = b"Subject: bare\n\nline\n".to_vec();
    let batch = vec![
        delivery("one", &message("one", 100), "PSF", &["$Work"]),
        delivery("two", &bare, "", &[]),
        delivery("large", &message("large", 3_000_000), "S", &[]),
    ];
    let (outcomes, _) = store.deliver(ANN, &key("INBOX"), batch).unwrap();
    assert!(outcomes.iter().all(|one| matches!(one, Delivered::Done { uid: Some(_) })), "{outcomes:?}");
    let stored = store.stored_as(ANN, &key("INBOX"), &wanted).unwrap();
    let mended = ObjectId::of(b"Subject: bare\r\n\r\nline\r\n");
    assert_eq!(stored, [None, Some(StoredAs { object: mended, by_server: false }), None]);
    assert_eq!(store.reserve_names(ANN, &key("INBOX"), &["one".to_owned()]).unwrap(), ["one-w2"]);
    // Delivering again changes nothing.
    store.deliver(ANN, &key("INBOX"), vec![delivery("one", &message("one", 100), "SF", &["$Work"])]).unwrap();

    let inbox = listing(store, "INBOX", None);
    let found: Vec<_> = inbox.items.names().collect();
    assert_eq!(found, ["large", "one", "two"]);
    let one = &inbox.items.get(1).unwrap();
    assert_eq!((one.flags.to_string().as_str(), one.keywords.as_slice()), ("FPS", &["$Work".to_owned()][..]));
    assert_eq!(bytes_of(store, "INBOX", one), (message("one", 100), 981_169_506));
    assert_eq!(bytes_of(store, "INBOX", &inbox.items.get(0).unwrap()).0, message("large", 3_000_000));

    assert!(store.set_flags(ANN, &key("INBOX"), "one", Flags::from_letters("R"), &["Later".to_owned()]).unwrap());
    assert!(store.move_item(ANN, &key("INBOX"), "one", &key("Projects/Entwürfe")).unwrap());
    assert!(
        store.move_item(ANN, &key("INBOX"), "one", &key("Projects/Entwürfe")).unwrap(),
        "moving again changes nothing"
    );
    assert!(store.remove_item(ANN, &key("INBOX"), "two").unwrap());
    assert!(!store.remove_item(ANN, &key("INBOX"), "two").unwrap());
    let names = ["one", "two", "large"].map(str::to_owned);
    for store in [store, &reopened() as &dyn Store] {
        let present = store.settle(ANN, &key("INBOX"), &names).unwrap();
        let one = present[0].as_ref().unwrap();
        assert_eq!((&one.key, one.flags.to_string().as_str()), (&key("Projects/Entwürfe"), "R"));
        assert_eq!(one.keywords, ["Later"]);
        assert_eq!((present[1].as_ref(), present[2].as_ref().map(|large| large.key.path())), (None, Some("INBOX")));
    }

    store.rename_folder(ANN, &key("Projects"), &key("Plans")).unwrap().unwrap();
    let folders: Vec<_> = store.mailbox(ANN).unwrap().folders.into_iter().map(|found| found.key).collect();
    assert!(folders.contains(&key("Plans/Entwürfe")) && !folders.contains(&key("Projects")), "{folders:?}");
    let moved = listing(store, "Plans/Entwürfe", None);
    assert!(moved.folder.subscribed);
    assert_eq!(moved.items.get(0).unwrap().name, "one");
    assert!(store.remove_folder(ANN, &key("Plans/Entwürfe")).unwrap().is_err(), "it holds a message");
    store.remove_item(ANN, &key("Plans/Entwürfe"), "one").unwrap();
    store.remove_folder(ANN, &key("Plans/Entwürfe")).unwrap().unwrap();

    if !has_acl {
        return;
    }
    let grants = vec![Grant {
        grantee: Grantee::User("bob@a.test".to_owned()),
        rights: Rights::from_letters("lr"),
        negative: false,
    }];
    store.put_grants(ANN, &key("Plans"), &grants).unwrap().unwrap();
    assert_eq!(listing(store, "Plans", None).folder.grants, grants);
    store.put_grants(ANN, &key("Plans"), &[]).unwrap().unwrap();
    assert_eq!(listing(store, "Plans", None).folder.grants, []);
}

#[test]
fn a_dovecot_takes_folders_messages_flags_moves_and_grants() {
    let dovecot = match Dovecot::start() {
        Ok(dovecot) => dovecot,
        Err(why) => return skip("a Dovecot takes everything", &why),
    };
    a_target_takes_everything(&dovecot.store("state"), &|| dovecot.store("state"), true);
}

#[test]
fn a_compressed_connection_carries_the_same() {
    let dovecot = match Dovecot::start() {
        Ok(dovecot) => dovecot,
        Err(why) => return skip("a compressed connection", &why),
    };
    // By this name the store does not know that the server is on the same machine, where compression would be of no use.
    let open = || {
        let login = login(LoginMode::Master, "master", dovecot.server.said("DOVECOT_MASTER_PASSWORD"));
        store_at("0.0.0.0", dovecot.server.port("DOVECOT_IMAP_PORT"), &dovecot.dir.path().join("state"), login)
    };
    assert!(open().survey(ANN).unwrap().capabilities.contains(&"COMPRESS=DEFLATE".to_owned()));
    a_target_takes_everything(&open(), &open, true);
}

#[test]
fn a_cyrus_takes_folders_messages_flags_moves_and_grants() {
    if let Some(why) = missing(&["cyrus"]) {
        return skip("a Cyrus takes everything", &why);
    }
    let dir = open_dir();
    fs::write(dir.path().join("users"), "ann@a.test:pw\nbob@a.test:pw\n").unwrap();
    let server = Server::start("cyrus", &dir.path().join("users"), &[("AUTOCREATE", "0")]);
    let open = || {
        let login = login(LoginMode::Proxy, "cyrus", server.said("CYRUS_ADMIN_PASSWORD"));
        store(server.port("CYRUS_IMAP_PORT"), &dir.path().join("state"), login)
    };
    let store = open();
    a_target_takes_everything(&store, &open, true);
    store.make_account(ANN, Some(50 << 20)).unwrap().unwrap();
    let mut user = Imap::login(server.port("CYRUS_IMAP_PORT"), ANN, "pw").unwrap();
    let quota = user.command("GETQUOTAROOT INBOX");
    assert!(quota.iter().any(|answer| answer.text.ends_with(" 51200)")), "{quota:?}");
    // What the archive has no place for is named beforehand.
    let lost = store.survey(ANN).unwrap().cannot_give;
    assert!(lost.iter().any(|what| what.contains("QUOTA")), "{lost:?}");
    // A use is given to a folder that is there, too (RFC 6154, section 4).
    user.command("CREATE Unwanted");
    store.mailbox(ANN).unwrap();
    let junk = Folder { special_use: Some(SpecialUse::Junk), ..Folder::at(key("Unwanted")) };
    assert_eq!(store.put_folder(ANN, &junk).unwrap().unwrap().lost, [] as [String; 0]);
    let listed = user.list("LIST (SPECIAL-USE) \"\" \"*\" RETURN (SPECIAL-USE)");
    assert!(listed.iter().any(|(uses, name)| uses.contains("\\Junk") && name == "Unwanted"), "{listed:?}");
    somebody_elses_folder_is_subscribed_to(&store, server.port("CYRUS_IMAP_PORT"));
    let nul = delivery("nul", b"Subject: nul\r\n\r\n\0\r\n", "", &[]);
    let (outcomes, _) =
        store.deliver(ANN, &key("INBOX"), vec![delivery("fine", &message("fine", 10), "", &[]), nul]).unwrap();
    assert!(matches!(outcomes[0], Delivered::Done { .. }));
    let Delivered::Rejected(Reason::Refused(words)) = &outcomes[1] else { panic!("{outcomes:?}") };
    assert!(words.contains("NUL"), "{words}");
    // 8-bit bytes in a header come back as X, and that is said.
    let odd = delivery("odd", b"Subject: caf\xe9\r\n\r\nbody\r\n", "", &[]);
    store.deliver(ANN, &key("INBOX"), vec![odd]).unwrap();
    let stored = store.stored_as(ANN, &key("INBOX"), &["odd".to_owned()]).unwrap();
    let object = ObjectId::of(b"Subject: cafX\r\n\r\nbody\r\n");
    assert_eq!(stored, [Some(StoredAs { object, by_server: true })]);
}

/// By a name that both families understand; refused until its owner lets her look.
fn somebody_elses_folder_is_subscribed_to(store: &dyn Store, port: u16) {
    let path = "shared/bob@a.test/Work".to_owned();
    let wanted = Setting::Subscription { path: path.clone() };
    let mut bob = Imap::login(port, "bob@a.test", "pw").unwrap();
    if bob.list("LIST \"\" INBOX").is_empty() {
        store.make_account("bob@a.test", None).unwrap().unwrap();
    }
    bob.command("CREATE Work");
    assert!(matches!(store.put_setting(ANN, &wanted).unwrap(), Err(Reason::Refused(_))));
    bob.command("SETACL Work ann@a.test lr");
    store.put_setting(ANN, &wanted).unwrap().unwrap();
    assert_eq!(store.mailbox(ANN).unwrap().settings, [wanted]);
    store.remove_setting(ANN, &(SettingKind::Subscription, path)).unwrap();
    assert_eq!(store.mailbox(ANN).unwrap().settings, []);
}

#[test]
fn a_server_without_any_extension_is_read_and_written_all_the_same() {
    let dovecot = match Dovecot::start() {
        Ok(dovecot) => dovecot,
        Err(why) => return skip("a server without any extension", &why),
    };
    let store = dovecot.plain_store("state");
    assert_eq!(store.survey(ANN).unwrap().capabilities, ["AUTH=PLAIN", "IMAP4REV1"]);
    a_target_takes_everything(&store, &|| dovecot.plain_store("state"), false);

    // As a source: what moves keeps its name, by its header, size and date.
    let mut user = dovecot.user();
    for number in 0..10 {
        append(&mut user, "INBOX", "", "03-Feb-2001 04:05:06 +0100", &message(&format!("m{number}"), 10));
    }
    user.command("CREATE Away");
    store.mailbox(ANN).unwrap();
    let before = names(&store, "INBOX");
    let listed = listing(&store, "INBOX", None);
    user.command("SELECT INBOX");
    user.command("STORE 3 +FLAGS (\\Flagged)");
    user.command("MOVE 4 Away");
    store.mailbox(ANN).unwrap();
    let scan = store.folder(ANN, &key("INBOX"), Some(&listed.mark), Depth::Marks).unwrap();
    let FolderScan::Listed(now) = scan else { panic!("{scan:?}") };
    assert_eq!(now.items.len() + 1, listed.items.len());
    assert!(now.items.iter().any(|item| item.flags.contains('F')));
    let away = names(&store, "Away");
    assert!(away.iter().all(|(subject, name)| before[subject] == *name), "{away:?} {before:?}");
    assert_eq!(away.len(), 1);
    store.mailbox(ANN).unwrap();
    let scan = store.folder(ANN, &key("INBOX"), Some(&now.mark), Depth::Marks).unwrap();
    assert!(matches!(scan, FolderScan::Unchanged), "{scan:?}");
}

/// A proxy that shows of the server's capabilities only what every IMAP server has.
fn hiding_proxy(server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let upstream = TcpStream::connect(("127.0.0.1", server)).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
            let mut client = client;
            std::thread::spawn(move || {
                let mut buffer = [0; 65536];
                let mut upstream = upstream;
                while let Ok(count @ 1..) = upstream.read(&mut buffer) {
                    if client.write_all(&hide(&buffer[..count])).is_err() {
                        break;
                    }
                }
                let _ = client.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    port
}

fn hide(bytes: &[u8]) -> Vec<u8> {
    let text = b"CAPABILITY IMAP4rev1";
    let Some(at) = bytes.windows(text.len()).position(|window| window == text) else { return bytes.to_vec() };
    let rest = &bytes[at + text.len()..];
    let end = rest.iter().position(|byte| matches!(byte, b']' | b'\r')).unwrap_or(rest.len());
    [&bytes[..at], text, b" AUTH=PLAIN", &rest[end..]].concat()
}

/// A server of our own: greets, lets everybody in, and answers LIST as it is told. Returns what it was sent, too.
fn rogue(
    greeting: &'static str,
    list: impl Fn(&mut TcpStream, &str) + Send + 'static,
) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let said = Arc::clone(&heard);
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let _ = write!(client, "* OK [CAPABILITY {greeting}] here\r\n");
            let lines = BufReader::new(client.try_clone().unwrap()).lines();
            for line in lines.map_while(Result::ok) {
                said.lock().unwrap().push(line.clone());
                let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
                if command.starts_with("LIST") {
                    list(&mut client, tag);
                } else if write!(client, "{tag} OK done\r\n").is_err() {
                    break;
                }
            }
        }
    });
    (port, heard)
}

/// What comes of listing an account at such a server.
fn refused(port: u16, dir: &Path) -> String {
    let store = store(port, dir, login(LoginMode::Master, "master", "secret"));
    store.mailbox(ANN).unwrap_err().to_string()
}

#[test]
fn a_hostile_server_is_hung_up_on() {
    let dir = tempfile::tempdir().unwrap();
    let flood = |client: &mut TcpStream, head: &str, line: &str| {
        let _ = client.write_all(head.as_bytes());
        let many = line.repeat(65536 / line.len());
        while client.write_all(many.as_bytes()).is_ok() {}
    };
    let plain = "IMAP4rev1 AUTH=PLAIN";
    let (port, _) = rogue(plain, move |client, _| flood(client, "* LIST () \"/\" ", "x"));
    assert!(refused(port, dir.path()).contains("a line of its answer has more than"), "endless line");
    let (port, _) = rogue(plain, move |client, _| flood(client, "", "* LIST () \"/\" {9999999999}\r\n"));
    assert!(refused(port, dir.path()).contains("wants to send 9999999999 bytes"), "huge literal");
    let (port, _) = rogue(plain, move |client, _| flood(client, "", "* LIST () \"/\" folder\r\n"));
    assert!(refused(port, dir.path()).contains("lists more than 200000 folders"), "folders without end");
    let (port, _) = rogue(plain, move |client, _| flood(client, "", "* OK still working\r\n"));
    assert!(refused(port, dir.path()).contains("talks without end"), "talk without end");
    let (port, _) = rogue(plain, |client, _| drop(write!(client, "A99 OK done\r\n")));
    assert!(refused(port, dir.path()).contains("answers a command that it was not given"), "a wrong tag");
    let (port, _) = rogue(plain, |client, _| drop(write!(client, "\0\u{1}garbage\r\n")));
    assert!(refused(port, dir.path()).contains("says something that is no IMAP"), "garbage");
    let (port, _) = rogue("IMAP4rev1 IMAP4rev1", |client, tag| {
        let deep = "(".repeat(100_000);
        drop(write!(
            client,
            "* LIST {deep}\r\n* 1 FETCH (BODYSTRUCTURE {deep}\r\n* OK [ALERT]\u{e9}\r\n{tag} NO enough\r\n"
        ));
    });
    assert!(refused(port, dir.path()).contains("enough"), "lists without a bottom are passed over");
}

#[test]
fn a_server_without_starttls_gets_no_password() {
    let dir = tempfile::tempdir().unwrap();
    let (port, heard) = rogue("IMAP4rev1 AUTH=PLAIN", |_, _| {});
    let endpoint = Endpoint::parse(&format!("imap://127.0.0.1:{port}"), SCHEMES).unwrap();
    let dialer = TlsPolicy::Insecure.dialer(&RealFs).unwrap();
    let (login, state_dir) = (login(LoginMode::Master, "master", "secret"), dir.path().to_owned());
    let options = ImapOptions { endpoint, dialer, login, insecure: false, state_dir, max_connections: 1 };
    let error = ImapStore::open(&RealFs, options).unwrap().mailbox(ANN).unwrap_err().to_string();
    assert!(error.contains("offers no STARTTLS"), "{error}");
    assert!(!heard.lock().unwrap().iter().any(|line| line.contains("LOGIN") || line.contains("AUTHENTICATE")));
}
