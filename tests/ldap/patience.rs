//! Servers that are busy, or hang up in the middle: waited for and asked again, nothing twice and nothing lost.

use super::scripted::{
    ADD, BIND, BUSY, Cut, ENTRY_EXISTS, Reply, Request, SEARCH, SUCCESS, UNAVAILABLE, broken_way, plain, serve,
};
use super::*;
use stationwagon::event::Reason;
use stationwagon::limits;
use stationwagon::site::RecordChange;
use stationwagon::site::server::Book;
use std::error::Error as _;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::thread;

/// Whether a search is the one for accounts.
fn for_accounts(request: &Request) -> bool {
    request.operation == SEARCH && request.mentions("inetOrgPerson")
}

fn person(request: &Request, name: &str) -> Vec<u8> {
    let mail = format!("{name}@a.test");
    request.entry(&format!("uid={name},dc=a"), &[("mail", &[&mail]), ("userPassword", &["x"])])
}

fn addresses(scan: &ProvisioningScan) -> Vec<&str> {
    accounts(scan).into_iter().map(|account| account.address.as_str()).collect()
}

fn put(address: &str) -> RecordChange {
    let account = Account { address: address.to_owned(), ..Account::default() };
    RecordChange::Put { record: Record::Account(account), was: None }
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut busy = vec![(BIND, BUSY), (SEARCH, UNAVAILABLE), (SEARCH, BUSY)];
    let port = serve(move |request, _| {
        let is_next = |&(operation, _): &(u8, u8)| operation == request.operation;
        Reply::Say(match busy.first().copied().filter(is_next) {
            Some((_, code)) => {
                busy.remove(0);
                request.end(code, "not now")
            }
            None if for_accounts(request) => [person(request, "ann"), request.end(SUCCESS, "")].concat(),
            None => request.end(SUCCESS, ""),
        })
    });
    let scan = open(plain(port, dir.path())).provisioning().unwrap();
    assert_eq!((addresses(&scan), scan.rejected.as_slice()), (vec!["ann@a.test"], [].as_slice()));
}

#[test]
fn a_search_that_was_cut_off_begins_anew_and_gives_everybody_once() {
    let dir = tempfile::tempdir().unwrap();
    let port = serve(|request, connection| {
        if !for_accounts(request) {
            return Reply::Say(request.end(SUCCESS, ""));
        }
        // A server may order anew what it is asked anew: once Ann comes first, once last.
        let (ann, bob) = (person(request, "ann"), person(request, "bob"));
        Reply::Say(match (connection, request.mentions("second page")) {
            (0, false) => [ann, bob, request.more("second page")].concat(),
            (0, true) => return Reply::HangUp,
            (_, false) => [bob, request.more("second page")].concat(),
            (_, true) => [ann, request.end(SUCCESS, "")].concat(),
        })
    });
    let scan = open(plain(port, dir.path())).provisioning().unwrap();
    assert_eq!(addresses(&scan), ["ann@a.test", "bob@a.test"]);
}

#[test]
fn a_server_that_stays_busy_is_given_up_in_its_own_words() {
    let dir = tempfile::tempdir().unwrap();
    let asked = Arc::new(Mutex::new(0));
    let counter = asked.clone();
    let port = serve(move |request, _| {
        let is_add = request.operation == ADD;
        *counter.lock().unwrap() += usize::from(is_add);
        Reply::Say(if is_add { request.end(BUSY, "come back tomorrow") } else { request.end(SUCCESS, "") })
    });
    let outcomes = open(plain(port, dir.path())).put_records(&[put("ann@a.test"), put("bob@a.test")]).unwrap();
    for outcome in outcomes {
        let Err(Reason::Refused(words)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(words, "come back tomorrow (rc=51 (busy))");
    }
    // All patience for the first, none for the second.
    assert_eq!(*asked.lock().unwrap(), limits::SERVER_RETRIES + 1 + 1);

    let port = serve(|request, _| Reply::Say(request.end(UNAVAILABLE, "going down")));
    let error = open(plain(port, dir.path())).provisioning().unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "going down (rc=52 (unavailable))");
}

#[test]
fn an_entry_that_appeared_while_the_connection_was_lost_is_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    // Whose entry it is then: ours, or somebody else's with the same name.
    for (surname, ours) in [("ann", true), ("Other", false)] {
        let mut adds = 0;
        let port = serve(move |request, _| match request.operation {
            ADD => {
                adds += 1;
                if adds == 1 { Reply::HangUp } else { Reply::Say(request.end(ENTRY_EXISTS, "")) }
            }
            SEARCH if request.mentions("uid=ann,ou=people,dc=a") => {
                let values: [(&str, &[&str]); 6] = [
                    ("objectClass", &["inetOrgPerson", "mailAccount"]),
                    ("mail", &["ann@a.test"]),
                    ("uid", &["ann"]),
                    ("cn", &["ann"]),
                    ("mailUserStatus", &["active"]),
                    ("sn", &[surname]),
                ];
                Reply::Say([request.entry("uid=ann,ou=people,dc=a", &values), request.end(SUCCESS, "")].concat())
            }
            _ => Reply::Say(request.end(SUCCESS, "")),
        });
        let outcome = open(plain(port, dir.path())).put_records(&[put("ann@a.test")]).unwrap().remove(0);
        match outcome {
            Ok(()) => assert!(ours),
            Err(Reason::Refused(words)) => assert!(!ours && words.contains("entryAlreadyExists"), "{words}"),
            Err(other) => panic!("{other}"),
        }
    }
}

/// A new account, a changed one, a renamed one, a list with one more member, and one that goes.
fn changes(scan: &ProvisioningScan) -> Vec<RecordChange> {
    let mut bigger = account(scan, "user000001@a1.test").clone();
    bigger.quota_bytes = Some(7 << 30);
    let renamed = Account { address: "anna@a2.test".to_owned(), ..account(scan, "user000002@a2.test").clone() };
    let mut team = list(scan, "group0001@a0.test").clone();
    team.members.push("new@a1.test".to_owned());
    let gone = list(scan, "group0002@a0.test").clone();
    vec![
        RecordChange::Put { record: Record::Account(bigger), was: None },
        RecordChange::Put { record: Record::Account(renamed), was: Some("user000002@a2.test".to_owned()) },
        put("new@a1.test"),
        RecordChange::Put { record: Record::List(team), was: None },
        RecordChange::Remove { record: Record::List(gone) },
    ]
}

#[test]
fn wherever_a_connection_breaks_the_directory_becomes_the_same() {
    let story = |cut: Cut| {
        let Some(slapd) = Slapd::start(12, 3) else { return };
        let address = slapd.get("LDAP_URL").trim_start_matches("ldap://").to_owned();
        let before = slapd.dump();
        let scan = open(writer(&slapd)).provisioning().unwrap();
        // Makes the changes over a way that breaks at the nth request, and takes them back; what the directory was
        // meanwhile, and whether the way broke.
        let changed = |nth: usize| {
            std::fs::remove_dir_all(slapd.path().join("state")).unwrap();
            let (way, broken) = broken_way(address.clone(), nth, cut);
            let options = LdapOptions { endpoint: plain(way, slapd.path()).endpoint, ..writer(&slapd) };
            let outcomes = open(options).put_records(&changes(&scan)).unwrap();
            assert!(outcomes.iter().all(Result::is_ok), "{cut:?} {nth}: {outcomes:?}");
            let dump = slapd.dump();
            let undo = std::fs::read_to_string(slapd.path().join("state/undo-20260921T141320Z.ldif")).unwrap();
            let (taken, said) = slapd.modify(&undo);
            assert!(taken && slapd.dump() == before, "{cut:?} {nth}: each change is known once: {said}");
            (dump, broken.load(Ordering::Relaxed))
        };
        let (whole, _) = changed(usize::MAX);
        let broken = (0..).map(|nth| (nth, changed(nth))).take_while(|(_, (_, broken))| *broken);
        let times = broken.inspect(|(nth, (dump, _))| assert_eq!(*dump, whole, "{cut:?} {nth}")).count();
        assert!(times > 10, "a login, the searches and every change broke once: {times}");
    };
    thread::scope(|scope| {
        scope.spawn(|| story(Cut::Before));
        story(Cut::After);
    });
}
