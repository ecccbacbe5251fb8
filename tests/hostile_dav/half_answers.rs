//! Answers that break off in their middle are asked for again; and what is said with each request of who asks.

use super::http::{Request, Shelf, listen, say, serve, store_as};
use super::{ANN, login, work};
use stationwagon::model::provisioning::Secret;
use stationwagon::site::server::{Login, LoginMode, Store, Token};
use stationwagon::site::{Content, Depth, FolderScan};
use std::collections::HashSet;
use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn shelf() -> Shelf {
    let mut shelf = Shelf::with(&["other", "work"]);
    for name in ["one", "two", "three"] {
        let text = format!("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:{name}@t\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n");
        shelf.items.insert(format!("/home/work/{name}.ics"), text);
    }
    shelf
}

/// Reads everything of ann's; the names of her folders, and of what lies in one of them.
fn read_all(store: &impl Store) -> (Vec<String>, Vec<String>) {
    let mailbox = store.mailbox(ANN).unwrap();
    assert_eq!(mailbox.rejected, []);
    let FolderScan::Listed(listing) = store.folder(ANN, &work(), None, Depth::Marks).unwrap() else {
        panic!("nothing")
    };
    assert_eq!(listing.rejected, []);
    for item in listing.items.iter() {
        let Content::Bytes { bytes, .. } = store.read(ANN, &work(), &item).unwrap() else { panic!("{}", item.name) };
        let name = item.name.trim_end_matches(".ics");
        assert!(String::from_utf8(bytes).unwrap().contains(&format!("UID:{name}@t")));
    }
    let folders = mailbox.folders.iter().map(|folder| folder.key.to_string()).collect();
    (folders, listing.items.names().collect())
}

fn is_all((folders, items): &(Vec<String>, Vec<String>)) -> bool {
    *folders == ["calendars/other", "calendars/work"] && *items == ["one.ics", "three.ics", "two.ics"]
}

#[test]
fn an_answer_that_breaks_off_is_asked_for_again_and_tells_nothing_twice() {
    let (shelf, broken) = (Mutex::new(shelf()), Arc::new(Mutex::new(HashSet::new())));
    let seen = Arc::clone(&broken);
    let answer = move |request: &Request, out: &mut TcpStream| {
        let (status, body) = shelf.lock().unwrap().answer(request);
        let key = (request.method.clone(), request.path.clone());
        if body.len() > 1 && seen.lock().unwrap().insert(key) {
            let kind = "Content-Type: application/xml\r\n";
            let half = &body[..body.len() * 3 / 4];
            let _ = write!(out, "HTTP/1.1 {status}\r\n{kind}Content-Length: {}\r\n\r\n{half}", body.len());
            let _ = out.shutdown(Shutdown::Both);
            return;
        }
        say(out, status, "", &body);
    };
    let store = store_as(listen(move |stream| serve(stream, &answer)), 1, login());
    let all = read_all(&store);
    assert!(is_all(&all), "{all:?}");
    let broken = broken.lock().unwrap();
    for path in ["/", "/home/", "/home/work/"] {
        assert!(broken.contains(&("PROPFIND".to_owned(), path.to_owned())), "{broken:?}");
    }
    assert!(broken.contains(&("GET".to_owned(), "/home/work/two.ics".to_owned())), "{broken:?}");
}

#[test]
fn a_bearer_token_goes_with_every_request() {
    let (shelf, heard) = (Mutex::new(shelf()), Arc::new(Mutex::new(HashSet::new())));
    let hears = Arc::clone(&heard);
    let answer = move |request: &Request, out: &mut TcpStream| {
        hears.lock().unwrap().insert(request.header("authorization").unwrap_or_default().to_owned());
        let (status, body) = shelf.lock().unwrap().answer(request);
        say(out, status, "", &body);
    };
    let token = Token::new(|| Ok(Secret::new("a.b-c~d+e/f==")), Instant::now()).unwrap();
    let login = Login { mode: LoginMode::OAuth2, token: Some(Arc::new(token)), own: [].into(), ..login() };
    let store = store_as(listen(move |stream| serve(stream, &answer)), 1, login);
    let all = read_all(&store);
    assert!(is_all(&all), "{all:?}");
    assert_eq!(*heard.lock().unwrap(), HashSet::from(["Bearer a.b-c~d+e/f==".to_owned()]));
}

#[test]
fn a_token_that_becomes_invalid_before_its_time_is_fetched_anew() {
    let (shelf, heard) = (Mutex::new(shelf()), Arc::new(Mutex::new(Vec::new())));
    let hears = Arc::clone(&heard);
    // The first token is good for three requests.
    let answer = move |request: &Request, out: &mut TcpStream| {
        let mut heard = hears.lock().unwrap();
        let said = request.header("authorization").unwrap_or_default().to_owned();
        let good = format!("Bearer token-{}", u8::from(heard.len() >= 3));
        heard.push(said == good);
        match said == good {
            true => {
                let (status, body) = shelf.lock().unwrap().answer(request);
                say(out, status, "", &body);
            }
            false => say(out, "401 Unauthorized", "", "expired"),
        }
    };
    // As if it had been fetched a minute ago; the next one is too fresh to be fetched again.
    let fetched = AtomicU32::new(0);
    let fetch = move || Ok(Secret::new(format!("token-{}", fetched.fetch_add(1, Ordering::Relaxed))));
    let began = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
    let token = Token::new(fetch, began).unwrap();
    let login = Login { mode: LoginMode::OAuth2, token: Some(Arc::new(token)), own: [].into(), ..login() };
    let store = store_as(listen(move |stream| serve(stream, &answer)), 1, login);
    let all = read_all(&store);
    assert!(is_all(&all), "{all:?}");
    let heard = heard.lock().unwrap();
    assert_eq!(heard.iter().filter(|fine| !**fine).count(), 1, "{heard:?}");
    assert!(heard.len() > 4, "{heard:?}");
}
