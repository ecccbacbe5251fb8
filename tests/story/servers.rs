//! A site put together of servers, each with its kinds of folders, and a file of accounts beside them. The servers are in
//! memory here; tests/live has real ones.

use crate::links::rename_account;
use crate::world::{World, at, export_site, grant, mail, message_text};
use stationwagon::archive::Archive;
use stationwagon::event::Silent;
use stationwagon::fs::{Fs, RealFs};
use stationwagon::model::mailbox::{FolderKey, FolderKind};
use stationwagon::site::Source;
use stationwagon::site::server::{FileBook, ServerSite, State, Store, Use};
use stationwagon::testing::memory_site::MemorySite;
use stationwagon::testing::memory_store::MemoryStore;
use stationwagon::verbs::import::{ImportReport, import};
use std::path::Path;
use std::sync::Arc;

const MAIL: &[FolderKind] = &[FolderKind::Mail];
const DAV: &[FolderKind] = &[FolderKind::Calendars, FolderKind::Contacts, FolderKind::Tasks];

/// Two servers and a file of accounts.
struct Servers {
    mail: Arc<MemorySite>,
    dav: Arc<MemorySite>,
}

impl Servers {
    fn new(dir: &Path) -> Self {
        let site = || Arc::new(MemorySite::new(dir));
        Self { mail: site(), dav: site() }
    }

    fn stores(&self) -> [MemoryStore; 2] {
        [MemoryStore::new("mail", MAIL, self.mail.clone()), MemoryStore::new("dav", DAV, self.dav.clone())]
    }

    fn site(&self, dir: &Path, purpose: Use, stores: [MemoryStore; 2]) -> ServerSite {
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let book = FileBook::new(fs.clone(), dir.join("accounts.csv"), None, purpose);
        let stores = stores.into_iter().map(|store| Box::new(store) as Box<dyn Store>).collect();
        ServerSite::new(Box::new(book), stores, State::new(fs, dir.join("state")), purpose, Vec::new())
    }
}

fn import_to(world: &World, archive: &Archive, target: &ServerSite) -> ImportReport {
    let report = import(archive, target, &world.options(), &Silent).unwrap();
    assert!(report.ledger.balanced, "{}", report.ledger);
    report
}

/// Ann and Bob, with mail on one server and a calendar on another.
fn two_servers(dir: &Path) -> Servers {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("accounts.csv"), "address,name,aliases\nann@a.test,Ann,info@a.test\nbob@a.test,Bob\n")
        .unwrap();
    let servers = Servers::new(dir);
    for account in ["ann@a.test", "bob@a.test"] {
        servers.mail.edit(|site| {
            site.put_item(account, &FolderKey::inbox(), "one", message_text("one").as_bytes(), 1_000);
            site.put_item(account, &mail("Archive"), "two", message_text("two").as_bytes(), 1_001);
        });
        let calendar = at(FolderKind::Calendars, "personal");
        servers.dav.edit(|site| site.put_item(account, &calendar, "e.ics", b"BEGIN:VCALENDAR\r\n", 1_002).version);
    }
    servers
}

#[test]
fn mail_and_calendars_go_from_two_servers_to_two_others_and_the_accounts_into_a_new_file() {
    let world = World::new();
    let (old, new) = (world.dir.path().join("old"), world.dir.path().join("new"));
    let servers = two_servers(&old);
    let source = servers.site(&old, Use::Source, servers.stores());
    let report = export_site(&source, &world.archive, &world.dir.path().join("catalog"));
    assert_eq!((report.counts.items_added, report.rejected.len()), (6, 0));

    std::fs::create_dir_all(&new).unwrap();
    let others = Servers::new(&new);
    let target = others.site(&new, Use::Target, others.stores());
    let report = import_to(&world, &world.archive, &target);
    assert!(report.rejected.is_empty(), "{:?}", report.rejected);
    let accounts = std::fs::read_to_string(new.join("accounts.csv")).unwrap();
    assert_eq!(
        accounts,
        "address,name,password,quota,status,class,cos,groups,aliases\nann@a.test,Ann,,,,,,,info@a.test\nbob@a.test,Bob,,,,,,,\n"
    );
    let trees = |servers: &Servers| {
        let tree = |site: &MemorySite| site.edit(|site| site.tree("ann@a.test"));
        tree(&servers.mail) + &tree(&servers.dav)
    };
    assert_eq!(trees(&others), trees(&servers));
    assert_eq!(trees(&others), "Archive\n  two\nINBOX\n  one\ncalendars/personal\n  e.ics\n");

    let second = export_site(&source, &world.archive, &world.dir.path().join("catalog"));
    assert_eq!((second.counts.folders_read, second.counts.items_added), (0, 0));
    let again = import_to(&world, &world.archive, &target);
    assert_eq!((again.ledger.items.imported, again.ledger.items.already_there), (0, 6));
    assert_eq!(target.describe().unwrap().id, target.describe().unwrap().id.filter(|id| id.as_str() == "unused"));
}

#[test]
fn a_server_that_refuses_a_login_costs_that_account_its_folders_there_and_nothing_looks_deleted() {
    let world = World::new();
    let old = world.dir.path().join("old");
    let servers = two_servers(&old);
    let catalog = world.dir.path().join("catalog");
    export_site(&servers.site(&old, Use::Source, servers.stores()), &world.archive, &catalog);

    let [mail, dav] = servers.stores();
    mail.lock_out("bob@a.test");
    servers
        .mail
        .edit(|site| site.put_item("ann@a.test", &FolderKey::inbox(), "new", b"Subject: new\r\n\r\n", 2_000).version);
    let site = servers.site(&old, Use::Source, [mail, dav]);
    let report = export_site(&site, &world.archive, &catalog);
    assert_eq!((report.counts.items_added, report.counts.items_removed), (1, 0));
    let told: Vec<_> = report.rejected.iter().map(|one| format!("{}: {}", one.place, one.reason)).collect();
    assert_eq!(told, ["bob@a.test: unreadable: memory://mail: refuses the login of bob@a.test"]);

    let third = export_site(&servers.site(&old, Use::Source, servers.stores()), &world.archive, &catalog);
    assert_eq!((third.counts.items_added, third.counts.items_removed, third.rejected.len()), (0, 0, 0));
}

#[test]
fn an_account_that_a_target_refuses_waits_for_the_next_pass_while_the_others_arrive() {
    let world = World::new();
    let (old, new) = (world.dir.path().join("old"), world.dir.path().join("new"));
    let servers = two_servers(&old);
    export_site(&servers.site(&old, Use::Source, servers.stores()), &world.archive, &world.dir.path().join("catalog"));
    std::fs::create_dir_all(&new).unwrap();
    let others = Servers::new(&new);
    let [mail, dav] = others.stores();
    mail.lock_out("bob@a.test");
    let target = others.site(&new, Use::Target, [mail, dav]);
    let first = import_to(&world, &world.archive, &target);
    assert_eq!(first.ledger.items.imported, 3);
    assert!(
        first.rejected.iter().any(|one| one.place.account.as_deref() == Some("bob@a.test")),
        "{:?}",
        first.rejected
    );
    drop(target);

    let target = others.site(&new, Use::Target, others.stores());
    let second = import_to(&world, &world.archive, &target);
    assert_eq!((second.ledger.items.imported, second.ledger.items.already_there), (3, 3));
    assert!(second.rejected.is_empty(), "{:?}", second.rejected);
}

#[test]
fn folders_for_which_no_server_is_named_are_rejected_with_what_to_do() {
    let world = World::new();
    let (old, new) = (world.dir.path().join("old"), world.dir.path().join("new"));
    let servers = two_servers(&old);
    let calendar = at(FolderKind::Calendars, "personal");
    servers.dav.edit(|site| site.folder("ann@a.test", &calendar).folder.grants = vec![grant("bob@a.test", "lr")]);
    export_site(&servers.site(&old, Use::Source, servers.stores()), &world.archive, &world.dir.path().join("catalog"));
    std::fs::create_dir_all(&new).unwrap();
    let others = Servers::new(&new);
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let book = FileBook::new(fs.clone(), new.join("accounts.csv"), None, Use::Target);
    let [mail, _] = others.stores();
    let target = ServerSite::new(
        Box::new(book),
        vec![Box::new(mail)],
        State::new(fs, new.join("state")),
        Use::Target,
        Vec::new(),
    );
    let report = import_to(&world, &world.archive, &target);
    assert_eq!(report.ledger.items.imported, 4);
    let told: Vec<_> = report.rejected.iter().map(|one| format!("{}: {}", one.place, one.reason)).collect();
    assert!(told.iter().all(|one| one.contains("names no server for calendars ([groupware] dav)")), "{told:#?}");
    assert_eq!(told.len(), 2);
    assert_eq!((report.ledger.grants.in_snapshot, report.ledger.grants.rejected_sum()), (1, 1));
}

#[test]
fn an_account_that_no_server_can_rename_keeps_address_and_mail_until_its_administrator_has_renamed_both() {
    let world = World::new();
    world.account("ann@a.test", &["one"]);
    world.export();
    let new = world.dir.path().join("new");
    std::fs::create_dir_all(&new).unwrap();
    let others = Servers::new(&new);
    let target = others.site(&new, Use::Target, others.stores());
    import_to(&world, &world.archive, &target);

    rename_account(&world.source, "ann@a.test", "anna@a.test");
    world.message("anna@a.test", "INBOX", "two");
    world.export();
    for _ in 0..2 {
        let report = import_to(&world, &world.archive, &target);
        let told: Vec<_> = report.rejected.iter().map(|one| one.reason.to_string()).collect();
        assert!(told[0].contains("cannot give the mailbox of ann@a.test to anna@a.test; rename it there"), "{told:?}");
    }
    let accounts = || std::fs::read_to_string(new.join("accounts.csv")).unwrap();
    assert!(accounts().contains("\nann@a.test,") && !accounts().contains("anna"), "{}", accounts());
    assert_eq!(others.mail.edit(|site| site.tree("ann@a.test")), "INBOX\n  one\n  two\n");

    // By hand, on both sides.
    std::fs::write(new.join("accounts.csv"), accounts().replace("ann@a.test", "anna@a.test")).unwrap();
    for server in [&others.mail, &others.dav] {
        server.edit(|site| {
            let mailbox = site.mailboxes.remove("ann@a.test").unwrap();
            site.mailboxes.insert("anna@a.test".to_owned(), mailbox);
        });
    }
    world.message("anna@a.test", "INBOX", "three");
    world.export();
    let report = import_to(&world, &world.archive, &target);
    assert!(report.rejected.is_empty(), "{:?}", report.rejected);
    assert_eq!(others.mail.edit(|site| site.tree("anna@a.test")), "INBOX\n  one\n  three\n  two\n");
}
