//! Calendars, tasks and contacts on real CalDAV and CardDAV servers, Cyrus and Radicale: written, read back, changed, and
//! carried from one to the other. Needs root and the development testbed; without them it says so.
//!
//! Cyrus keeps every byte, but folds long lines of events where it likes. Radicale writes anew what it stores: another
//! order of properties, lines folded elsewhere; there content is compared, the same lines in any order.

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
use servers::http::Http;
use servers::imap::{Imap, value};
use servers::testbed::{Server, missing, password, users};
use sites::skip;
use stationwagon::fs::RealFs;
use stationwagon::limits;
use stationwagon::model::mailbox::{Flags, Folder, FolderKey, FolderKind};
use stationwagon::model::provisioning::Secret;
use stationwagon::model::share::{Grant, Grantee, Rights};
use stationwagon::net::TlsPolicy;
use stationwagon::site::dav::{DavOptions, DavStore};
use stationwagon::site::server::{Login, LoginMode, Store};
use stationwagon::site::{Content, Delivered, Delivery, Depth, FolderListing, FolderScan, FoundItem, ItemContent};
use std::collections::BTreeMap;
use std::fs;

const ANN: &str = "ann@a.test";
const BOB: &str = "bob@b.test";

fn event(uid: &str, lines: &str) -> Vec<u8> {
    calendar("VEVENT", uid, &format!("DTSTART:20240203T100000Z\r\nDTEND:20240203T110000Z\r\n{lines}"))
}

fn calendar(component: &str, uid: &str, lines: &str) -> Vec<u8> {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:{component}\r\nUID:{uid}\r\n\
         DTSTAMP:20240102T030405Z\r\n{lines}END:{component}\r\nEND:VCALENDAR\r\n"
    )
    .into_bytes()
}

fn card(lines: &str) -> Vec<u8> {
    format!("BEGIN:VCARD\r\nVERSION:3.0\r\n{lines}END:VCARD\r\n").into_bytes()
}

/// A folder with its title and colour.
type Place = (FolderKey, Option<String>, Option<String>);

/// Everything that an account has: folders with their items by name.
type Mailbox = BTreeMap<Place, BTreeMap<String, Vec<u8>>>;

fn example() -> Mailbox {
    let mut mailbox = Mailbox::new();
    let mut folder = |kind, path: &str, title: &str, color: Option<&str>, items: Vec<(&str, Vec<u8>)>| {
        let key = (FolderKey::new(kind, path).unwrap(), Some(title.to_owned()), color.map(str::to_owned));
        mailbox.insert(key, items.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect());
    };
    let long = "DESCRIPTION:Ein langer Text mit Umlauten äöü\\, Komma und einem\r\n  Umbruch am Zeilenende\r\n";
    let series = "RRULE:FREQ=WEEKLY;COUNT=3\r\nEXDATE:20240210T100000Z\r\nSUMMARY:Reihe\r\n";
    folder(
        FolderKind::Calendars,
        "work",
        "Arbeit & <Pläne>",
        Some("#3a87ad"),
        vec![
            ("one.ics", event("one@test", &format!("SUMMARY:Grüße\r\n{long}"))),
            ("a b#c%d.ics", event("two@test", "SUMMARY:Sonderzeichen im Namen\r\n")),
            ("Grüße;x=1.ics", event("three@test", series)),
            ("no-extension", event("four@test", "SUMMARY:ohne Endung\r\n")),
        ],
    );
    folder(FolderKind::Calendars, "leer", "Leer", None, vec![]);
    folder(
        FolderKind::Tasks,
        "todo",
        "Zu tun",
        Some("#00ff00"),
        vec![("t1.ics", calendar("VTODO", "task-one@test", "SUMMARY:Müll\r\nSTATUS:NEEDS-ACTION\r\n"))],
    );
    let group = "UID:group-1\r\nFN:Team\r\nN:Team;;;;\r\nX-ADDRESSBOOKSERVER-KIND:group\r\n\
        X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:card-one\r\n";
    let ann = "UID:card-one\r\nFN:Ann Ä\r\nN:Ä;Ann;;;\r\nEMAIL;TYPE=WORK:ann@a.test\r\nNOTE:zwei\\nZeilen\r\n";
    folder(FolderKind::Contacts, "people", "Leute", None, vec![("ann.vcf", card(ann)), ("team.vcf", card(group))]);
    mailbox
}

fn store(url: String, login: Login) -> DavStore {
    let (tls, max_connections) = (TlsPolicy::System, limits::SERVER_CONNECTIONS);
    let (insecure, principal, scheduling_is_off) = (false, None, false);
    let options = DavOptions { url, tls, login, insecure, principal, scheduling_is_off, max_connections };
    DavStore::open(&RealFs, options).unwrap()
}

fn login(mode: LoginMode, user: &str, secret: Option<&str>) -> Login {
    let own = [ANN, BOB].map(|name| (name.to_owned(), Secret::new(password(name))));
    Login {
        mode,
        user: user.to_owned(),
        separator: "*".to_owned(),
        secret: secret.map(Secret::new),
        token: None,
        own: if secret.is_some() { BTreeMap::new() } else { own.into_iter().collect() },
    }
}

/// Cyrus lets nobody act for another over DAV but in a murder of several servers, so each logs in with the own password.
fn of_cyrus(server: &Server) -> DavStore {
    store(format!("http://127.0.0.1:{}/", server.said("CYRUS_HTTP_PORT")), login(LoginMode::Own, "", None))
}

fn of_radicale(server: &Server) -> DavStore {
    store(server.said("RADICALE_URL").to_owned(), login(LoginMode::Own, "", None))
}

fn cyrus(list: &std::path::Path) -> Server {
    let server = Server::start("cyrus", list, &[]);
    // Cyrus invites where it knows addresses for its own users'. Services that start from now on read this.
    let conf = server.dir().join("imapd.conf");
    let text = fs::read_to_string(&conf).unwrap() + "calendar_user_address_set: a.test b.test\n";
    fs::write(&conf, text).unwrap();
    for account in [ANN, BOB] {
        Imap::login(server.port("CYRUS_IMAP_PORT"), account, &password(account)).unwrap();
    }
    server
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

fn write(store: &DavStore, account: &str, mailbox: &Mailbox) {
    for ((key, title, color), items) in mailbox {
        let folder = Folder { title: title.clone(), color: color.clone(), ..Folder::at(key.clone()) };
        let put = store.put_folder(account, &folder).unwrap().unwrap();
        assert_eq!(put.key, *key);
        let names: Vec<_> = items.keys().cloned().collect();
        assert_eq!(store.reserve_names(account, key, &names).unwrap(), names);
        // Twice: an interrupted import repeats itself.
        for _ in 0..2 {
            let batch = items.iter().map(|(name, bytes)| delivery(name, bytes)).collect();
            let (outcomes, _) = store.deliver(account, key, batch).unwrap();
            assert!(outcomes.iter().all(|one| matches!(one, Delivered::Done { .. })), "{key}: {outcomes:?}");
        }
    }
}

fn listed(store: &DavStore, account: &str, key: &FolderKey, mark: Option<&[u8]>) -> FolderListing {
    match store.folder(account, key, mark, Depth::Marks).unwrap() {
        FolderScan::Listed(listing) => *listing,
        other => panic!("{key}: {other:?}"),
    }
}

/// All folders that a server did not make by itself.
fn read(store: &DavStore, account: &str) -> Mailbox {
    let scan = store.mailbox(account).unwrap();
    assert!(scan.rejected.is_empty(), "{:?}", scan.rejected);
    let keys = scan.folders.into_iter().map(|found| found.key).filter(|key| key.path() != "Default");
    let mut mailbox = Mailbox::new();
    for key in keys {
        let listing = listed(store, account, &key, None);
        let bytes = |item: &FoundItem| match store.read(account, &key, item).unwrap() {
            Content::Bytes { bytes, .. } => bytes,
            _ => panic!("{key}: an item that cannot be read"),
        };
        let items = listing.items.iter().map(|item| (item.name.clone(), bytes(&item))).collect();
        mailbox.insert((key.clone(), listing.folder.title, listing.folder.color), items);
    }
    mailbox
}

/// How much of an item has to be the same.
#[derive(Clone, Copy)]
enum Same {
    Bytes,
    /// All but where long lines are folded.
    Unfolded,
    /// The same lines in any order.
    Lines,
}

/// A mailbox as text: a line for each folder, and each item's content.
fn shown(mailbox: &Mailbox, same: Same) -> BTreeMap<String, String> {
    let mut shown = BTreeMap::new();
    for ((key, title, color), items) in mailbox {
        shown.insert(key.to_string(), format!("{title:?} {color:?}"));
        for (name, bytes) in items {
            shown.insert(format!("{key}/{name}"), content(bytes, same));
        }
    }
    shown
}

fn content(bytes: &[u8], same: Same) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    match same {
        Same::Bytes => text,
        Same::Unfolded => text.replace("\r\n ", ""),
        Same::Lines => {
            let text = text.replace("\r\n ", "");
            let mut lines: Vec<_> = text.lines().collect();
            lines.sort_unstable();
            lines.join("\n")
        }
    }
}

/// Fails with the entries that differ, and nothing else.
fn assert_same(one: &Mailbox, other: &Mailbox, same: Same) {
    let (one, other) = (shown(one, same), shown(other, same));
    let mut keys: Vec<_> = one.keys().chain(other.keys()).collect();
    keys.dedup();
    for key in keys {
        assert_eq!(one.get(key), other.get(key), "{key}");
    }
}

#[test]
fn what_is_written_to_cyrus_comes_back_byte_for_byte() {
    if let Some(why) = missing(&["cyrus"]) {
        return skip("what is written to Cyrus comes back", &why);
    }
    let dir = open_dir();
    let server = cyrus(&users(dir.path(), &[ANN, BOB]));
    let store = of_cyrus(&server);
    write(&store, ANN, &example());
    let mut stored = read(&store, ANN);
    assert_same(&stored, &example(), Same::Unfolded);
    // Somebody who comes later sees the same; bob has nothing of it.
    assert_same(&read(&of_cyrus(&server), ANN), &stored, Same::Bytes);
    // But for the one event with a line that is folded elsewhere than Cyrus folds it, every byte is the same.
    let mut sent = example();
    let folded = [&mut stored, &mut sent].map(|mailbox| {
        let (_, work) = mailbox.iter_mut().find(|((key, ..), _)| key.path() == "work").unwrap();
        work.remove("one.ics").unwrap()
    });
    assert_ne!(folded[0], folded[1], "Cyrus has learnt to keep lines as they are folded: say so in docs/");
    assert_same(&stored, &sent, Same::Bytes);
    assert!(read(&store, BOB).is_empty());
    shares_are_read_and_given(&server, &store);
    descriptions_are_kept(&store);
    components_are_kept(&store);
    changes_are_found(&store);
}

/// What a folder says of itself is there when it is made, follows a change, and goes.
fn descriptions_are_kept(store: &DavStore) {
    let told = |key: &FolderKey, description: Option<&str>, order: Option<&str>| {
        let [description, order] = [description, order].map(|text| text.map(str::to_owned));
        let folder = Folder { title: Some("Plan".to_owned()), description, order, ..Folder::at(key.clone()) };
        let put = store.put_folder(ANN, &folder).unwrap().unwrap();
        assert_eq!((&put.key, put.lost.as_slice()), (key, [].as_slice()));
        store.mailbox(ANN).unwrap();
        let found = listed(store, ANN, key, None).folder;
        assert_eq!(
            (&found.title, &found.description, &found.order),
            (&folder.title, &folder.description, &folder.order)
        );
    };
    let plan = FolderKey::new(FolderKind::Calendars, "plan").unwrap();
    told(&plan, Some("Wer ist <wo> & wann"), Some("3"));
    told(&plan, Some("anders"), None);
    told(&plan, None, Some("12"));
    let book = FolderKey::new(FolderKind::Contacts, "plan-book").unwrap();
    told(&book, Some("Leute"), None);
    told(&book, None, None);
    for key in [plan, book] {
        store.remove_folder(ANN, &key).unwrap().unwrap();
    }
}

/// A calendar takes what it took on the source; one that is there keeps what it takes, which is told.
fn components_are_kept(store: &DavStore) {
    let put = |name: &str, components: &str| {
        let key = FolderKey::new(FolderKind::Calendars, name).unwrap();
        let folder = Folder { components: Some(components.to_owned()), ..Folder::at(key.clone()) };
        let put = store.put_folder(ANN, &folder).unwrap().unwrap();
        store.mailbox(ANN).unwrap();
        (listed(store, ANN, &key, None).folder.components.unwrap(), put.lost, key)
    };
    for (name, components) in [("events", "VEVENT"), ("both", "VEVENT VTODO")] {
        let (found, lost, key) = put(name, components);
        assert_eq!((found.as_str(), lost.as_slice()), (components, [].as_slice()));
        let (found, lost, _) = put(name, "VEVENT VJOURNAL");
        assert_eq!(found, components);
        assert!(lost.len() == 1 && lost[0].ends_with("not VJOURNAL"), "{lost:?}");
        store.remove_folder(ANN, &key).unwrap().unwrap();
    }
}

/// Shares of calendars are made through IMAP here; DAV shows them, and gives those to everybody.
fn shares_are_read_and_given(server: &Server, store: &DavStore) {
    let admin = server.said("CYRUS_ADMIN_PASSWORD");
    let mut imap = Imap::login(server.port("CYRUS_IMAP_PORT"), "cyrus", admin).unwrap();
    imap.command(&format!("SETACL \"user/ann/#calendars/leer@a.test\" {BOB} lrswi"));
    let key = FolderKey::new(FolderKind::Calendars, "leer").unwrap();
    let grants: Vec<_> = listed(store, ANN, &key, None).folder.grants;
    let shown: Vec<_> = grants.iter().map(|grant| format!("{}: {}", grant.grantee, grant.rights)).collect();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(shown[0].starts_with("user bob@b.test: lr"), "{shown:?}");
    // What is there already needs no writing; Cyrus takes nobody by name from DAV, and then leaves everything as it was.
    assert_eq!(store.put_grants(ANN, &key, &grants).unwrap(), Ok(()));
    let with = |who: Grantee| [Grant { grantee: who, rights: Rights::from_letters("lr"), negative: false }];
    let refused = store.put_grants(ANN, &key, &with(Grantee::User("carl@a.test".into()))).unwrap().unwrap_err();
    assert!(refused.to_string().contains("recognized-principal"), "Cyrus has learnt names: say so in docs/: {refused}");
    assert_eq!(listed(store, ANN, &key, None).folder.grants, grants);
    imap.command(&format!("DELETEACL \"user/ann/#calendars/leer@a.test\" {BOB}"));
    assert!(listed(store, ANN, &key, None).folder.grants.is_empty());
    // Everybody it does take; and the owner goes on as before.
    let public = with(Grantee::Public);
    assert_eq!(store.put_grants(ANN, &key, &public).unwrap(), Ok(()));
    assert_eq!(listed(store, ANN, &key, None).folder.grants, public);
    assert_eq!(store.put_grants(ANN, &key, &[]).unwrap(), Ok(()));
    assert!(listed(store, ANN, &key, None).folder.grants.is_empty());
    let batch = vec![delivery("after.ics", &event("after@test", ""))];
    let (outcomes, _) = store.deliver(ANN, &key, batch).unwrap();
    assert!(matches!(outcomes[..], [Delivered::Done { .. }]), "{outcomes:?}");
    assert!(store.remove_item(ANN, &key, "after.ics").unwrap());
}

#[test]
fn a_well_known_address_is_followed_to_where_the_server_has_its_calendars() {
    if let Some(why) = missing(&["cyrus"]) {
        return skip("a well-known address that redirects", &why);
    }
    let dir = open_dir();
    let server = cyrus(&users(dir.path(), &[ANN, BOB]));
    let port = server.port("CYRUS_HTTP_PORT");
    // Nothing is at the address of the description, so the well-known ones are all there is.
    let nowhere = http(port, ANN).propfind("/nowhere/");
    assert!(!nowhere.contains("multistatus"), "{nowhere}");
    let store = store(format!("http://127.0.0.1:{port}/nowhere/"), login(LoginMode::Own, "", None));
    let folders = store.mailbox(ANN).unwrap().folders;
    assert!(folders.iter().any(|folder| folder.key.kind() == FolderKind::Calendars), "{folders:?}");
}

#[test]
fn what_is_written_to_radicale_comes_back_line_for_line() {
    if let Some(why) = missing(&["radicale"]) {
        return skip("what is written to Radicale comes back", &why);
    }
    let dir = open_dir();
    let server = Server::start("radicale", &users(dir.path(), &[ANN, BOB]), &[("RIGHTS", "owner_only")]);
    let store = of_radicale(&server);
    write(&store, ANN, &example());
    assert_same(&read(&store, ANN), &example(), Same::Lines);
    descriptions_are_kept(&store);
    components_are_kept(&store);
    changes_are_found(&store);
}

/// One item edited, one moved, one removed, one added; a title changed, a folder made and removed.
fn changes_are_found(store: &DavStore) {
    let key = |kind, path| FolderKey::new(kind, path).unwrap();
    let (work, empty) = (key(FolderKind::Calendars, "work"), key(FolderKind::Calendars, "leer"));
    let scan = |mark: Option<&[u8]>, key: &FolderKey| {
        store.mailbox(ANN).unwrap();
        store.folder(ANN, key, mark, Depth::Marks).unwrap()
    };
    let FolderScan::Listed(first) = scan(None, &work) else { panic!("no listing") };
    assert!(matches!(scan(Some(&first.mark), &work), FolderScan::Unchanged));
    let version = |listing: &FolderListing, name: &str| {
        listing.items.iter().find(|item| item.name == name).map(|item| item.version)
    };

    let edited = event("one@test", "SUMMARY:Neu\r\n");
    assert!(store.replace_item(ANN, &work, delivery("one.ics", &edited)).unwrap());
    assert!(!store.replace_item(ANN, &work, delivery("gone.ics", &edited)).unwrap());
    assert!(store.move_item(ANN, &work, "a b#c%d.ics", &empty).unwrap());
    assert!(!store.move_item(ANN, &work, "gone.ics", &empty).unwrap());
    assert!(store.remove_item(ANN, &work, "no-extension").unwrap());
    assert!(!store.remove_item(ANN, &work, "no-extension").unwrap());
    let added = event("five@test", "SUMMARY:Dazu\r\n");
    store.deliver(ANN, &work, vec![delivery("five.ics", &added)]).unwrap();

    let FolderScan::Listed(second) = scan(Some(&first.mark), &work) else { panic!("changes were missed") };
    let names: Vec<_> = second.items.names().collect();
    assert_eq!(names, ["Grüße;x=1.ics", "five.ics", "one.ics"]);
    assert_ne!(version(&first, "one.ics"), version(&second, "one.ics"));
    assert_eq!(version(&first, "Grüße;x=1.ics"), version(&second, "Grüße;x=1.ics"));
    assert!(matches!(scan(Some(&second.mark), &work), FolderScan::Unchanged));
    let one = second.items.iter().find(|item| item.name == "one.ics").unwrap();
    let Content::Bytes { bytes, .. } = store.read(ANN, &work, &one).unwrap() else { panic!("unreadable") };
    assert_eq!(content(&bytes, Same::Lines), content(&edited, Same::Lines));

    let settled = store.settle(ANN, &empty, &["a b#c%d.ics".to_owned(), "x.ics".to_owned()]).unwrap();
    assert!(settled[0].is_some() && settled[1].is_none());
    let many: Vec<_> = (0..9).map(|n| if n == 3 { "five.ics".to_owned() } else { format!("{n}.ics") }).collect();
    let settled = store.settle(ANN, &work, &many).unwrap();
    assert_eq!(settled.iter().filter(|one| one.is_some()).count(), 1);
    assert_eq!(store.reserve_names(ANN, &work, &["five.ics".to_owned()]).unwrap(), ["five-w1.ics"]);

    let titled = Folder { title: Some("Neuer Titel".into()), ..Folder::at(work.clone()) };
    assert!(!store.put_folder(ANN, &titled).unwrap().unwrap().created);
    let FolderScan::Listed(third) = scan(Some(&second.mark), &work) else { panic!("a new title was missed") };
    assert_eq!((third.folder.title.as_deref(), third.folder.color), (Some("Neuer Titel"), None));

    // A list of tasks cannot have a calendar's name.
    let tasks = store.put_folder(ANN, &Folder::at(key(FolderKind::Tasks, "work"))).unwrap().unwrap();
    assert_eq!((tasks.key.path(), tasks.created), ("work-tasks", true));
    assert!(!store.put_folder(ANN, &Folder::at(key(FolderKind::Tasks, "work"))).unwrap().unwrap().created);
    let deep = store.put_folder(ANN, &Folder::at(key(FolderKind::Contacts, "a/b"))).unwrap().unwrap();
    assert!(deep.key.path().starts_with("a-b-"), "{}", deep.key);
    assert!(store.remove_folder(ANN, &work).unwrap().is_err(), "a folder with items in it was removed");
    store.remove_folder(ANN, &tasks.key).unwrap().unwrap();
    assert!(matches!(scan(None, &tasks.key), FolderScan::Vanished));
}

#[test]
fn what_a_server_refuses_is_rejected_with_its_words_and_the_rest_arrives() {
    if let Some(why) = missing(&["cyrus", "radicale"]) {
        return skip("what a server refuses is rejected", &why);
    }
    let dir = open_dir();
    let list = users(dir.path(), &[ANN, BOB]);
    let (cyrus, radicale) = (cyrus(&list), Server::start("radicale", &list, &[]));
    let key = FolderKey::new(FolderKind::Calendars, "work").unwrap();
    for store in [of_cyrus(&cyrus), of_radicale(&radicale)] {
        store.put_folder(ANN, &Folder::at(key.clone())).unwrap().unwrap();
        let batch = vec![
            delivery("broken.ics", b"no calendar at all\r\n"),
            delivery("one.ics", &event("same@test", "SUMMARY:first\r\n")),
            delivery("other.ics", &event("same@test", "SUMMARY:the same UID again\r\n")),
            delivery("last.ics", &event("last@test", "SUMMARY:last\r\n")),
        ];
        let (outcomes, _) = store.deliver(ANN, &key, batch).unwrap();
        let [Delivered::Rejected(broken), Delivered::Done { .. }, Delivered::Rejected(twice), Delivered::Done { .. }] =
            outcomes.as_slice()
        else {
            panic!("{}: {outcomes:?}", store.locator())
        };
        assert!(broken.to_string().starts_with("refused: 4"), "{broken}");
        assert!(twice.to_string().starts_with("refused: 4"), "{twice}");
    }
}

#[test]
fn everything_goes_from_radicale_to_cyrus_and_back() {
    if let Some(why) = missing(&["cyrus", "radicale"]) {
        return skip("everything goes from Radicale to Cyrus", &why);
    }
    let dir = open_dir();
    let list = users(dir.path(), &[ANN, BOB]);
    let (cyrus, radicale) = (cyrus(&list), Server::start("radicale", &list, &[]));
    let (one, other) = (of_radicale(&radicale), of_cyrus(&cyrus));
    write(&one, ANN, &example());
    let stored = read(&one, ANN);
    write(&other, ANN, &stored);
    assert_same(&read(&other, ANN), &stored, Same::Unfolded);
    write(&one, BOB, &read(&other, ANN));
    // What Radicale has written once it writes the same again.
    assert_same(&read(&one, BOB), &stored, Same::Bytes);
}

#[test]
fn nobody_is_invited_by_an_import() {
    if let Some(why) = missing(&["cyrus"]) {
        return skip("nobody is invited by an import", &why);
    }
    let dir = open_dir();
    let server = cyrus(&users(dir.path(), &[ANN, BOB]));
    let store = of_cyrus(&server);
    let invitation = |uid: &str| {
        let people = format!(
            "SUMMARY:Besprechung\r\nORGANIZER:mailto:{ANN}\r\nATTENDEE;PARTSTAT=ACCEPTED:mailto:{ANN}\r\n\
             ATTENDEE;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:{BOB}\r\n"
        );
        String::from_utf8(event(uid, &people)).unwrap().replace("2024", "2034").into_bytes()
    };
    let key = FolderKey::new(FolderKind::Calendars, "work").unwrap();
    let other = FolderKey::new(FolderKind::Calendars, "other").unwrap();
    for key in [&key, &other] {
        store.put_folder(ANN, &Folder::at(key.clone())).unwrap().unwrap();
    }
    // Stored, changed, moved, deleted: as a whole pass would, and as one with --delete would.
    let names = ["meeting.ics", "cancelled.ics"];
    let batch = names.iter().map(|name| delivery(name, &invitation(name))).collect();
    let (outcomes, _) = store.deliver(ANN, &key, batch).unwrap();
    assert_eq!(outcomes, [Delivered::Done { uid: None }, Delivered::Done { uid: None }]);
    let later = String::from_utf8(invitation("meeting.ics")).unwrap().replace("T10", "T09").into_bytes();
    assert!(store.replace_item(ANN, &key, delivery("meeting.ics", &later)).unwrap());
    assert!(store.move_item(ANN, &key, "meeting.ics", &other).unwrap());
    assert!(store.remove_item(ANN, &key, "cancelled.ics").unwrap());
    let stored = read(&store, ANN);
    let work = stored.iter().find(|(place, _)| place.0 == other).unwrap().1;
    assert_eq!(work["meeting.ics"], later, "the event came without a byte changed");
    // As an attendee: his answer would go to the organizer.
    store.put_folder(BOB, &Folder::at(key.clone())).unwrap().unwrap();
    store.deliver(BOB, &key, vec![delivery("mine.ics", &invitation("mine@test"))]).unwrap();
    let accepted = String::from_utf8(invitation("mine@test")).unwrap().replace("NEEDS-ACTION", "ACCEPTED");
    assert!(store.replace_item(BOB, &key, delivery("mine.ics", accepted.as_bytes())).unwrap());
    assert!(store.remove_item(BOB, &key, "mine.ics").unwrap());
    for account in [ANN, BOB] {
        assert_eq!(received(&server, account), (0, 0), "{account} got something");
    }

    // The same event stored by a client that says nothing arrives in bob's box: this server would have invited him.
    let url = format!("/dav/calendars/user/{ANN}/work/plain.ics");
    let status = http(server.port("CYRUS_HTTP_PORT"), ANN).put(&url, &invitation("plain@test"));
    assert_eq!(status, 201);
    let invited = received(&server, BOB);
    assert_ne!(invited, (0, 0), "this server does not invite, so nothing was shown");
    // And if this one is changed and deleted by a pass, bob hears nothing of it.
    let later = invitation("plain@test");
    let later = String::from_utf8(later).unwrap().replace("T10", "T09").into_bytes();
    assert!(store.replace_item(ANN, &key, delivery("plain.ics", &later)).unwrap());
    assert!(store.remove_item(ANN, &key, "plain.ics").unwrap());
    assert_eq!(received(&server, BOB), invited);
}

fn http(port: u16, account: &str) -> Http {
    Http::new(port, account, &password(account))
}

/// Messages in the inbox of an account, and items in its box of invitations and its default calendar.
fn received(server: &Server, account: &str) -> (usize, usize) {
    let mut imap = Imap::login(server.port("CYRUS_IMAP_PORT"), account, &password(account)).unwrap();
    let status = imap.command("STATUS INBOX (MESSAGES)").swap_remove(0).text;
    let mail = value(&status, "MESSAGES ").unwrap().parse().unwrap();
    let listing = |name: &str| {
        let url = format!("/dav/calendars/user/{account}/{name}/");
        let body = http(server.port("CYRUS_HTTP_PORT"), account).propfind(&url);
        body.matches(".ics</").count()
    };
    (mail, listing("Inbox") + listing("Default"))
}

#[test]
fn an_administrator_whom_the_server_does_not_know_writes_nothing_into_his_own_calendars() {
    if let Some(why) = missing(&["radicale"]) {
        return skip("an administrator writes nothing into his own calendars", &why);
    }
    let dir = open_dir();
    let server = Server::start("radicale", &users(dir.path(), &[ANN, BOB]), &[]);
    let url = server.said("RADICALE_URL").to_owned();
    let store = store(url.clone(), login(LoginMode::Proxy, BOB, Some(&password(BOB))));
    let error = store.mailbox(ANN).unwrap_err().to_string();
    assert!(error.contains("bob@b.test cannot act for ann@a.test here"), "{error}");
    let store = self::store(url, login(LoginMode::Master, "boss", Some("x")));
    let error = store.mailbox(ANN).unwrap_err().to_string();
    assert!(error.contains("the login of ann@a.test*boss was refused"), "{error}");
}
