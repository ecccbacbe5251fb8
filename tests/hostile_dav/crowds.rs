//! Many accounts at work, and never more connections to a server at once than its description allows.

use super::http::{CALENDAR, Request, home, listen, response, say, serve, several};
use super::{ACCOUNTS, delivery, http, sieve, work};
use base64::Engine as _;
use stationwagon::model::mailbox::{FolderKey, FolderKind};
use stationwagon::site::Delivered;
use stationwagon::site::server::Store;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Connections that are open.
#[derive(Clone, Default)]
struct Crowd(Arc<Mutex<(usize, usize)>>);

impl Crowd {
    /// Counts one more until `work` is done. One that was closed just before is given time to be noticed here; one that
    /// stays open counts.
    fn with(&self, allowed: usize, work: impl FnOnce()) {
        let began = Instant::now();
        while self.0.lock().unwrap().0 >= allowed && began.elapsed() < Duration::from_secs(2) {
            thread::sleep(Duration::from_millis(2));
        }
        let mut count = self.0.lock().unwrap();
        count.0 += 1;
        count.1 = count.1.max(count.0);
        drop(count);
        work();
        self.0.lock().unwrap().0 -= 1;
    }

    fn most(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

/// Does `work` for all accounts together.
fn together(work: impl Fn(&str) + Sync) {
    thread::scope(|scope| {
        for account in ACCOUNTS {
            let work = &work;
            scope.spawn(move || work(account));
        }
    });
}

/// What a server takes to answer.
const WORK: Duration = Duration::from_millis(20);

fn calendar(request: &Request, out: &mut TcpStream) {
    thread::sleep(WORK);
    let login = request.header("authorization").unwrap().strip_prefix("Basic ").unwrap();
    let login = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(login).unwrap()).unwrap();
    let own = format!("/{}/", login.split_once('@').unwrap().0);
    let multistatus = |out: &mut TcpStream, text: String| say(out, "207 Multi-Status", "", &several(&text));
    match (request.method.as_str(), request.path.as_str()) {
        ("PROPFIND", "/") => multistatus(out, response("/", &home(&own))),
        // Another's login on this connection would show here.
        (_, path) if !path.starts_with(&own) => say(out, "403 Forbidden", "", ""),
        ("PROPFIND", _) => multistatus(out, response(&format!("{own}work/"), CALENDAR)),
        ("PUT", path) if path.ends_with("taken.ics") => say(out, "412 Precondition Failed", "", "<x>it is there</x>"),
        ("GET", _) => say(out, "200 OK", "", "BEGIN:VCALENDAR\r\nUID:1\r\n"),
        _ => say(out, "201 Created", "", "<x>words that nobody reads</x>"),
    }
}

#[test]
fn a_calendar_server_has_no_more_connections_than_it_is_allowed() {
    for allowed in [1, 3] {
        let crowd = Crowd::default();
        let counting = crowd.clone();
        let port = listen(move |stream| counting.with(allowed, || serve(stream, &calendar)));
        let store = http::store(port, allowed);
        together(|account| {
            for _ in 0..3 {
                assert_eq!(store.mailbox(account).unwrap().folders.len(), 1);
                let names = ["one.ics", "taken.ics", "two.ics"];
                let batch = names.map(|name| delivery(name, "BEGIN:VCALENDAR\r\nUID:1\r\n")).into();
                let (outcomes, _) = store.deliver(account, &work(), batch).unwrap();
                assert!(outcomes.iter().all(|one| matches!(one, Delivered::Done { .. })), "{account}: {outcomes:?}");
                assert!(store.remove_item(account, &work(), "one.ics").unwrap());
            }
        });
        assert_eq!(crowd.most(), allowed);
    }
}

#[test]
fn a_script_server_has_no_more_connections_than_it_is_allowed() {
    for allowed in [1, 3] {
        let crowd = Crowd::default();
        let (counting, scripts) = (crowd.clone(), Mutex::default());
        let slowly = |_: &str, _: usize| {
            thread::sleep(WORK / 10);
            None
        };
        let port = listen(move |stream| counting.with(allowed, || sieve::serve(stream, &scripts, &slowly)));
        let store = sieve::store(port, allowed);
        let key = FolderKey::new(FolderKind::Filters, "sieve").unwrap();
        together(|account| {
            for _ in 0..3 {
                let name = account.split('@').next().unwrap();
                let (outcomes, _) = store.deliver(account, &key, vec![delivery(name, "keep;\r\n")]).unwrap();
                assert_eq!(outcomes, [Delivered::Done { uid: None }]);
                assert_eq!(store.mailbox(account).unwrap().folders.len(), 1);
            }
        });
        assert_eq!(crowd.most(), allowed);
    }
}
