//! Filters on real ManageSieve servers, Pigeonhole and Cyrus: read, written, and carried from one to the other. Needs root
//! and the development testbed; without them it says so.

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

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use servers::dovecot::open_dir;
use servers::testbed::{Server, missing, password, users};
use sites::skip;
use stationwagon::fs::RealFs;
use stationwagon::limits;
use stationwagon::model::mailbox::{Flags, Folder, FolderKey, FolderKind};
use stationwagon::model::provisioning::Secret;
use stationwagon::net::{Endpoint, Protection, TlsPolicy};
use stationwagon::site::managesieve::{SCHEMES, SieveOptions, SieveStore};
use stationwagon::site::server::{Login, LoginMode, Store, Token};
use stationwagon::site::{Content, Delivered, Delivery, Depth, FolderListing, FolderScan, FoundItem, ItemContent};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const ANN: &str = "ann@a.test";
const BOB: &str = "bob@b.test";

const FILTER: &[u8] = b"require [\"fileinto\", \"copy\"];\r\n# Gr\xc3\xbc\xc3\x9fe\r\nif header :contains \"subject\" \"x\" {\r\n  fileinto \"INBOX\";\r\n}\r\n";
const HOLIDAY: &[u8] = b"require \"vacation\";\nvacation :days 7 \"Ich bin \\\"weg\\\".\";\n";

/// A site of two accounts for Dovecot, with `scripts` of ann as files.
fn dovecot(dir: &Path, scripts: &[(&str, &[u8])], active: Option<&str>) -> Server {
    let home = dir.join("mail/a.test/ann");
    fs::create_dir_all(home.join("sieve")).unwrap();
    fs::create_dir_all(dir.join("mail/b.test/bob")).unwrap();
    fs::create_dir_all(dir.join("etc")).unwrap();
    let line = |name: &&str| format!("{name}:{{PLAIN}}{}:::::\n", password(name));
    fs::write(dir.join("etc/passwd"), [ANN, BOB].iter().map(line).collect::<String>()).unwrap();
    for (name, content) in scripts {
        fs::write(home.join(format!("sieve/{name}.sieve")), content).unwrap();
    }
    if let Some(active) = active {
        std::os::unix::fs::symlink(format!("sieve/{active}.sieve"), home.join(".dovecot.sieve")).unwrap();
    }
    Server::start("dovecot", dir, &[])
}

fn store(port: u16, tls: TlsPolicy, login: Login) -> SieveStore {
    let endpoint = Endpoint::parse(&format!("sieve://localhost:{port}"), SCHEMES).unwrap();
    let max_connections = limits::SERVER_CONNECTIONS;
    SieveStore::open(&RealFs, SieveOptions { endpoint, tls, login, insecure: false, max_connections }).unwrap()
}

fn as_master(user: &str, mode: LoginMode, secret: &str) -> Login {
    let secret = Some(Secret::new(secret));
    Login { mode, user: user.to_owned(), separator: "*".to_owned(), secret, token: None, own: BTreeMap::new() }
}

fn of_dovecot(server: &Server) -> SieveStore {
    let tls = TlsPolicy::Pinned(server.pin());
    store(server.port("DOVECOT_SIEVE_PORT"), tls, as_master("master", LoginMode::Master, "master-secret"))
}

fn of_cyrus(server: &Server) -> SieveStore {
    let tls = TlsPolicy::Pinned(server.pin());
    let login = as_master("cyrus", LoginMode::Proxy, server.said("CYRUS_ADMIN_PASSWORD"));
    store(server.port("CYRUS_SIEVE_PORT"), tls, login)
}

fn listed(store: &SieveStore, account: &str) -> FolderListing {
    match store.folder(account, &key(), None, Depth::Marks).unwrap() {
        FolderScan::Listed(listing) => *listing,
        other => panic!("{other:?}"),
    }
}

/// The scripts of an account with their bytes, and the active one.
fn scripts(store: &SieveStore, account: &str) -> (BTreeMap<String, Vec<u8>>, Option<String>) {
    let listing = listed(store, account);
    let bytes = |item: &FoundItem| match store.read(account, &key(), item).unwrap() {
        Content::Bytes { bytes, .. } => bytes,
        _ => panic!("a script that cannot be read"),
    };
    (listing.items.iter().map(|item| (item.name.clone(), bytes(&item))).collect(), listing.folder.active)
}

fn key() -> FolderKey {
    FolderKey::new(FolderKind::Filters, "sieve").unwrap()
}

fn delivery(name: &str, bytes: &[u8]) -> Delivery {
    Delivery {
        name: name.to_owned(),
        content: ItemContent::Bytes(bytes.to_vec()),
        date: 0,
        flags: Flags::default(),
        keywords: Vec::new(),
        tags: Vec::new(),
        uid: None,
        uidl: None,
    }
}

#[test]
fn scripts_go_from_pigeonhole_to_cyrus_with_the_active_one() {
    if let Some(why) = missing(&["dovecot", "cyrus"]) {
        return skip("scripts go from Pigeonhole to Cyrus", &why);
    }
    let dir = open_dir();
    let (site, list) = (dir.path().join("site"), users(dir.path(), &[ANN, BOB]));
    fs::create_dir(&site).unwrap();
    let dovecot = dovecot(&site, &[("main filter", FILTER), ("holiday", HOLIDAY)], Some("main filter"));
    let cyrus = Server::start("cyrus", &list, &[]);
    let (source, target) = (of_dovecot(&dovecot), of_cyrus(&cyrus));
    make_mailbox(&cyrus, ANN);

    let (found, active) = scripts(&source, ANN);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["holiday", "main filter"]);
    assert_eq!((found["main filter"].as_slice(), active.as_deref()), (FILTER, Some("main filter")));
    assert!(source.mailbox(BOB).unwrap().folders.is_empty(), "bob has no script");

    assert!(target.mailbox(ANN).unwrap().folders.is_empty());
    target.put_folder(ANN, &Folder::at(key())).unwrap().unwrap();
    assert_eq!(target.mailbox(ANN).unwrap().folders.len(), 1, "a folder that was made is there");
    let names: Vec<_> = found.keys().cloned().collect();
    assert_eq!(target.reserve_names(ANN, &key(), &names).unwrap(), names);
    let batch = || found.iter().map(|(name, bytes)| delivery(name, bytes)).collect::<Vec<_>>();
    for _ in 0..2 {
        let (outcomes, _) = target.deliver(ANN, &key(), batch()).unwrap();
        assert!(outcomes.iter().all(|one| matches!(one, Delivered::Done { .. })), "{outcomes:?}");
    }
    let with_active = Folder { active: active.clone(), ..Folder::at(key()) };
    target.put_folder(ANN, &with_active).unwrap().unwrap();
    assert_eq!(scripts(&target, ANN), (found, active));
}

#[test]
fn what_a_compiler_refuses_is_rejected_with_its_words_and_the_rest_arrives() {
    if let Some(why) = missing(&["dovecot", "cyrus"]) {
        return skip("what a compiler refuses is rejected", &why);
    }
    let dir = open_dir();
    let (site, list) = (dir.path().join("site"), users(dir.path(), &[ANN, BOB]));
    fs::create_dir(&site).unwrap();
    let dovecot = dovecot(&site, &[], None);
    let cyrus = Server::start("cyrus", &list, &[]);
    make_mailbox(&cyrus, ANN);
    for target in [of_dovecot(&dovecot), of_cyrus(&cyrus)] {
        let batch = vec![
            delivery("broken", b"if header :contains {\r\n"),
            delivery("unknown", b"require \"vnd.nobody.knows\";\r\nkeep;\r\n"),
            delivery("good", b"keep;\r\n"),
        ];
        let (outcomes, _) = target.deliver(ANN, &key(), batch).unwrap();
        let [Delivered::Rejected(broken), Delivered::Rejected(unknown), Delivered::Done { .. }] = outcomes.as_slice()
        else {
            panic!("{}: {outcomes:?}", target.locator())
        };
        assert!(broken.to_string().contains("its compiler says: ") && broken.to_string().contains("line "), "{broken}");
        assert!(unknown.to_string().to_lowercase().contains("vnd.nobody.knows"), "{unknown}");
        assert_eq!(scripts(&target, ANN).0.keys().collect::<Vec<_>>(), ["good"]);
    }
}

#[test]
fn a_later_look_tells_an_unchanged_folder_from_an_edited_script() {
    if let Some(why) = missing(&["dovecot"]) {
        return skip("a later look tells an edited script", &why);
    }
    let dir = open_dir();
    let dovecot = dovecot(dir.path(), &[("main", FILTER)], None);
    let store = of_dovecot(&dovecot);
    let version = |listing: &FolderListing| listing.items.get(0).unwrap().version;
    let first = listed(&store, ANN);
    let mark = Some(first.mark.as_slice());
    assert!(matches!(store.folder(ANN, &key(), mark, Depth::Marks).unwrap(), FolderScan::Unchanged));

    assert!(store.replace_item(ANN, &key(), delivery("main", HOLIDAY)).unwrap());
    let FolderScan::Listed(second) = store.folder(ANN, &key(), mark, Depth::Marks).unwrap() else {
        panic!("an edited script counts as unchanged")
    };
    assert_ne!(version(&first), version(&second));

    let active = Folder { active: Some("main".to_owned()), ..Folder::at(key()) };
    store.put_folder(ANN, &active).unwrap().unwrap();
    let FolderScan::Listed(third) = store.folder(ANN, &key(), Some(&second.mark), Depth::Marks).unwrap() else {
        panic!("another active script counts as unchanged")
    };
    assert_eq!(version(&third), version(&second));

    let settled = store.settle(ANN, &key(), &["main".to_owned(), "other".to_owned()]).unwrap();
    assert!(settled[0].is_some() && settled[1].is_none());
    let taken = store.reserve_names(ANN, &key(), &["main".to_owned()]).unwrap();
    assert_eq!(taken, ["main-w1"]);
    assert!(!store.replace_item(ANN, &key(), delivery("gone", FILTER)).unwrap());
    let missing = Folder { active: Some("gone".to_owned()), ..Folder::at(key()) };
    assert!(store.put_folder(ANN, &missing).unwrap().is_err());

    // The active script cannot be deleted unless it is no longer active.
    assert!(store.remove_folder(ANN, &key()).unwrap().is_err());
    assert!(store.remove_item(ANN, &key(), "main").unwrap());
    assert!(!store.remove_item(ANN, &key(), "main").unwrap());
    store.remove_folder(ANN, &key()).unwrap().unwrap();
}

#[test]
fn nobody_is_logged_in_without_the_certificate_or_with_a_wrong_password() {
    if let Some(why) = missing(&["dovecot"]) {
        return skip("nobody is logged in without the certificate", &why);
    }
    let dir = open_dir();
    let dovecot = dovecot(dir.path(), &[], None);
    let port = dovecot.port("DOVECOT_SIEVE_PORT");
    let login = || as_master("master", LoginMode::Master, "wrong");
    let stranger = store(port, TlsPolicy::System, login()).mailbox(ANN).unwrap_err();
    assert!(stranger.to_string().contains("no secure connection"), "{stranger}");
    let refused = store(port, TlsPolicy::Insecure, login()).mailbox(ANN).unwrap_err();
    assert!(refused.to_string().contains("the login for ann@a.test was refused"), "{refused}");
    assert!(!refused.to_string().contains("wrong"), "{refused}");
}

/// Cyrus gives an account its mailbox, and so a place for scripts, at its first login to IMAP.
fn make_mailbox(cyrus: &Server, account: &str) {
    servers::imap::Imap::login(cyrus.port("CYRUS_IMAP_PORT"), account, &password(account)).unwrap();
}

/// A server without scripts that lets in whoever shows the second token.
fn serve_tokens(mut client: TcpStream, shown: &AtomicU32) {
    let _ = write!(client, "\"IMPLEMENTATION\" \"a test\"\r\n\"SASL\" \"OAUTHBEARER\"\r\n\"SIEVE\" \"\"\r\nOK\r\n");
    let lines = BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok);
    for line in lines {
        let answer = match line.split('"').nth(3).filter(|_| line.starts_with("AUTHENTICATE")) {
            Some(text) => {
                shown.fetch_add(1, Ordering::Relaxed);
                let text = String::from_utf8(BASE64_STANDARD.decode(text).unwrap()).unwrap();
                if text.contains("auth=Bearer token-1\x01") { "OK" } else { "NO \"this token has expired\"" }
            }
            None => "OK",
        };
        if write!(client, "{answer}\r\n").is_err() {
            return;
        }
    }
}

#[test]
fn a_token_that_is_refused_before_its_time_is_fetched_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let shown = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&shown);
    std::thread::spawn(move || {
        listener.incoming().map_while(Result::ok).for_each(|client| serve_tokens(client, &shown))
    });
    let fetched = AtomicU32::new(0);
    let fetch = move || Ok(Secret::new(format!("token-{}", fetched.fetch_add(1, Ordering::Relaxed))));
    let token = Token::new(fetch, Instant::now().checked_sub(Duration::from_secs(60)).unwrap()).unwrap();
    let login = Login { secret: None, token: Some(Arc::new(token)), ..as_master("", LoginMode::OAuth2, "") };
    let mut endpoint = Endpoint::parse(&format!("sieve://127.0.0.1:{port}"), SCHEMES).unwrap();
    endpoint.protection = Protection::Plain;
    let options = SieveOptions { endpoint, tls: TlsPolicy::System, login, insecure: true, max_connections: 1 };
    let store = SieveStore::open(&RealFs, options).unwrap();
    assert_eq!(store.mailbox(ANN).unwrap().rejected, []);
    assert_eq!(seen.load(Ordering::Relaxed), 2);
}
