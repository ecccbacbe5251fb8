//! Later looks at a calendar on servers that tell of changes in their several ways, and in broken ones: nothing is lost,
//! nothing comes twice, and what did not change costs what it must.

use super::http::{CALENDAR, Request, home, listen, response, say, serve, several, store};
use super::{ANN, work};
use stationwagon::model::mailbox::FolderKey;
use stationwagon::site::dav::DavStore;
use stationwagon::site::server::Store;
use stationwagon::site::{Depth, FolderListing, FolderScan, SiteError};
use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

/// Which listing ends early, as the server says.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Cut {
    #[default]
    None,
    Calendar,
    Home,
}

/// A server with one calendar, of which it keeps every change.
#[derive(Default)]
struct Calendar {
    /// Items and their versions. Of one with version 0 it tells nothing (403).
    items: BTreeMap<String, u32>,
    /// What changed, in order; a token is a place in it.
    changes: Vec<String>,
    syncs: bool,
    has_ctag: bool,
    /// It tells at most so many changes at once (RFC 6578 3.6); 0: all.
    page: usize,
    /// It says where to go on, and it is where we are.
    stuck: bool,
    /// Tokens before this one it knows no more, and says so with this status.
    forgotten: (usize, &'static str),
    /// It forgets the place where it cut an answer off.
    forgets: bool,
    cuts_listings: Cut,
    /// What it was asked about the calendar.
    heard: Vec<String>,
}

impl Calendar {
    fn put(&mut self, name: &str) {
        *self.items.entry(name.to_owned()).or_default() += 1;
        self.changes.push(name.to_owned());
    }

    fn remove(&mut self, name: &str) {
        self.items.remove(name);
        self.changes.push(name.to_owned());
    }

    fn item(&self, name: &str) -> String {
        let path = format!("/home/work/{name}");
        match self.items.get(name) {
            Some(0) => gone(&path, "403 Forbidden"),
            Some(version) => response(&path, &format!("<d:getetag>\"{version}\"</d:getetag>")),
            None => gone(&path, "404 Not Found"),
        }
    }

    fn answer(&mut self, request: &Request, out: &mut TcpStream) {
        let multistatus = |out: &mut TcpStream, responses: &str| say(out, "207 Multi-Status", "", &several(responses));
        let mut props = CALENDAR.to_owned();
        if self.syncs {
            props += &format!("<d:sync-token>t:{}</d:sync-token>", self.changes.len());
        }
        if self.has_ctag {
            props += &format!("<s:getctag>c{}</s:getctag>", self.changes.len());
        }
        let itself = response("/home/work/", &props);
        match (request.method.as_str(), request.path.as_str(), request.header("depth")) {
            ("PROPFIND", "/", _) => multistatus(out, &response("/", &home("/home/"))),
            ("PROPFIND", "/home/", _) if self.cuts_listings == Cut::Home => {
                multistatus(out, &gone("/home/", "507 Insufficient Storage"));
            }
            ("PROPFIND", "/home/", _) | ("PROPFIND", _, Some("0")) => multistatus(out, &itself),
            ("PROPFIND", ..) => {
                self.heard.push("listing".to_owned());
                let items = self.items.keys().map(|name| self.item(name));
                let items: String = match self.cuts_listings {
                    Cut::Calendar => items.take(1).chain([gone("/home/work/", "507 Insufficient Storage")]).collect(),
                    _ => items.collect(),
                };
                multistatus(out, &(itself + &items));
            }
            ("REPORT", ..) => self.sync(&request.body, out),
            _ => say(out, "404 Not Found", "", ""),
        }
    }

    fn sync(&mut self, body: &str, out: &mut TcpStream) {
        let since = body.split_once("<D:sync-token>").unwrap().1.split_once("</D:sync-token>").unwrap().0;
        self.heard.push(format!("since {since}"));
        let (forgotten, status) = self.forgotten;
        let from = since.strip_prefix("t:").map_or(0, |place| place.parse().unwrap());
        if !since.is_empty() && from < forgotten {
            return say(out, status, "", "<d:error xmlns:d='DAV:'><d:valid-sync-token/></d:error>");
        }
        let count = if self.page == 0 { usize::MAX } else { self.page };
        let told: Vec<&String> = self.changes.iter().skip(from).take(count).collect();
        let to = if self.stuck { from } else { from + told.len() };
        // Who asks for all has no use for what is gone.
        let told = told.into_iter().filter(|name| !since.is_empty() || self.items.contains_key(*name));
        let mut responses: String = told.map(|name| self.item(name)).collect();
        if to < self.changes.len() {
            responses += &gone("/home/work/", "507 Insufficient Storage");
            if self.forgets {
                self.forgotten = (to + 1, "403 Forbidden");
            }
        }
        let token = format!("<d:sync-token>t:{to}</d:sync-token>");
        say(out, "207 Multi-Status", "", &several(&(responses + &token)));
    }
}

fn gone(path: &str, status: &str) -> String {
    format!("<d:response><d:href>{path}</d:href><d:status>HTTP/1.1 {status}</d:status></d:response>")
}

/// A pass's look at the calendar.
fn look(store: &DavStore, mark: Option<&[u8]>) -> Result<FolderScan, SiteError> {
    let key: FolderKey = work();
    assert_eq!(store.mailbox(ANN).unwrap().folders.len(), 1);
    store.folder(ANN, &key, mark, Depth::Marks)
}

fn listed(store: &DavStore, mark: Option<&[u8]>) -> FolderListing {
    match look(store, mark).unwrap() {
        FolderScan::Listed(listing) => *listing,
        other => panic!("{other:?}"),
    }
}

fn is_unchanged(store: &DavStore, mark: &[u8]) -> bool {
    matches!(look(store, Some(mark)).unwrap(), FolderScan::Unchanged)
}

fn versions(listing: &FolderListing) -> BTreeMap<String, u64> {
    listing.items.iter().map(|item| (item.name.clone(), item.version)).collect()
}

fn names(listing: &FolderListing) -> Vec<String> {
    listing.items.iter().map(|item| item.name.clone()).collect()
}

/// A calendar with five items in it.
fn serving(calendar: Calendar) -> (DavStore, Arc<Mutex<Calendar>>) {
    let calendar = Arc::new(Mutex::new(calendar));
    for name in ["a.ics", "b.ics", "c.ics", "d.ics", "e.ics"] {
        calendar.lock().unwrap().put(name);
    }
    let shared = Arc::clone(&calendar);
    let answer = move |request: &Request, out: &mut TcpStream| shared.lock().unwrap().answer(request, out);
    (store(listen(move |stream| serve(stream, &answer)), 1), calendar)
}

/// One edited, one removed, one added, one added and removed.
fn change(calendar: &Mutex<Calendar>) {
    let mut calendar = calendar.lock().unwrap();
    calendar.heard.clear();
    calendar.put("b.ics");
    calendar.remove("c.ics");
    calendar.put("f.ics");
    calendar.put("g.ics");
    calendar.remove("g.ics");
}

fn heard(calendar: &Mutex<Calendar>) -> Vec<String> {
    std::mem::take(&mut calendar.lock().unwrap().heard)
}

/// What [`change`] leaves, with the version of each as it should be.
fn assert_changed(before: &FolderListing, after: &FolderListing) {
    assert_eq!(names(after), ["a.ics", "b.ics", "d.ics", "e.ics", "f.ics"]);
    let (before, after) = (versions(before), versions(after));
    for name in ["a.ics", "d.ics", "e.ics"] {
        assert_eq!(before[name], after[name], "{name} did not change");
    }
    assert_ne!(before["b.ics"], after["b.ics"]);
}

#[test]
fn a_server_that_tells_changes_in_several_answers_is_heard_to_the_end() {
    let (store, calendar) = serving(Calendar { syncs: true, page: 2, ..Calendar::default() });
    let first = listed(&store, None);
    assert_eq!(names(&first), ["a.ics", "b.ics", "c.ics", "d.ics", "e.ics"]);
    assert_eq!(heard(&calendar), ["since ", "since t:2", "since t:4"]);
    assert!(is_unchanged(&store, &first.mark));
    assert!(heard(&calendar).is_empty(), "the token alone tells that nothing changed");
    change(&calendar);
    let second = listed(&store, Some(&first.mark));
    assert_changed(&first, &second);
    assert_eq!(heard(&calendar), ["since t:5", "since t:7", "since t:9"]);
    assert!(is_unchanged(&store, &second.mark));
}

#[test]
fn an_answer_that_is_cut_off_at_the_same_place_for_ever_is_an_error() {
    let (store, _) = serving(Calendar { syncs: true, page: 2, stuck: true, ..Calendar::default() });
    // The first answer moves from nothing to a token; the next one goes on from there and comes back to it.
    let error = look(&store, None).unwrap_err().to_string();
    assert!(error.contains("cuts its answer off again and again"), "{error}");
}

#[test]
fn a_token_that_the_server_no_longer_knows_costs_a_whole_listing_and_nothing_else() {
    for status in ["403 Forbidden", "409 Conflict", "410 Gone"] {
        for page in [0, 2] {
            let (store, calendar) = serving(Calendar { syncs: true, page, ..Calendar::default() });
            let first = listed(&store, None);
            change(&calendar);
            calendar.lock().unwrap().forgotten = (6, status);
            let second = listed(&store, Some(&first.mark));
            assert_changed(&first, &second);
            let heard = heard(&calendar);
            assert_eq!(heard[..2], ["since t:5", "since "], "{status}: {heard:?}");
            assert!(is_unchanged(&store, &second.mark));
        }
    }
}

#[test]
fn a_token_that_is_forgotten_between_two_pages_leaves_no_half_of_a_look() {
    let (store, calendar) = serving(Calendar { syncs: true, page: 2, ..Calendar::default() });
    let first = listed(&store, None);
    change(&calendar);
    calendar.lock().unwrap().forgets = true;
    let second = listed(&store, Some(&first.mark));
    assert_changed(&first, &second);
    assert_eq!(heard(&calendar), ["since t:5", "since t:7", "since ", "since t:2", "listing"]);
}

#[test]
fn a_server_that_offers_tokens_and_takes_none_is_listed_and_known_by_its_tags() {
    for has_ctag in [false, true] {
        let (store, calendar) = serving(Calendar { syncs: true, has_ctag, ..Calendar::default() });
        // Not even asking for everything works.
        let deaf = move |calendar: &Mutex<Calendar>| {
            let mut calendar = calendar.lock().unwrap();
            calendar.forgotten = (usize::MAX, "501 Not Implemented");
        };
        deaf(&calendar);
        let first = listed(&store, None);
        change(&calendar);
        let second = listed(&store, Some(&first.mark));
        assert_changed(&first, &second);
        assert!(is_unchanged(&store, &second.mark));
    }
}

#[test]
fn a_server_with_a_tag_for_the_whole_is_listed_when_that_changed() {
    let (store, calendar) = serving(Calendar { has_ctag: true, ..Calendar::default() });
    let first = listed(&store, None);
    assert_eq!(heard(&calendar), ["listing"]);
    assert!(is_unchanged(&store, &first.mark));
    assert!(heard(&calendar).is_empty(), "its tag alone tells that nothing changed");
    change(&calendar);
    let second = listed(&store, Some(&first.mark));
    assert_changed(&first, &second);
    assert_eq!(heard(&calendar), ["listing"]);
    assert!(is_unchanged(&store, &second.mark));
}

#[test]
fn a_server_with_tags_of_items_alone_is_listed_every_time() {
    let (store, calendar) = serving(Calendar::default());
    let first = listed(&store, None);
    assert!(is_unchanged(&store, &first.mark));
    assert_eq!(heard(&calendar), ["listing", "listing"]);
    change(&calendar);
    let second = listed(&store, Some(&first.mark));
    assert_changed(&first, &second);
    assert!(is_unchanged(&store, &second.mark));
}

#[test]
fn half_of_a_listing_is_an_error_and_nothing_counts_as_gone() {
    let (store, calendar) = serving(Calendar::default());
    let first = listed(&store, None);
    calendar.lock().unwrap().cuts_listings = Cut::Calendar;
    let error = look(&store, Some(&first.mark)).unwrap_err().to_string();
    assert!(error.contains("its listing of /home/work/ is cut off"), "{error}");
    calendar.lock().unwrap().cuts_listings = Cut::Home;
    let error = store.mailbox(ANN).unwrap_err().to_string();
    assert!(error.contains("its listing of /home/ is cut off"), "{error}");
}

#[test]
fn an_item_of_which_the_server_tells_nothing_for_a_while_is_not_gone() {
    for (syncs, has_ctag) in [(false, false), (false, true), (true, true)] {
        let (store, calendar) = serving(Calendar { syncs, has_ctag, ..Calendar::default() });
        let first = listed(&store, None);
        {
            let mut calendar = calendar.lock().unwrap();
            calendar.items.insert("b.ics".to_owned(), 0);
            calendar.put("f.ics");
            calendar.changes.push("b.ics".to_owned());
        }
        let second = listed(&store, Some(&first.mark));
        assert_eq!(names(&second), ["a.ics", "b.ics", "c.ics", "d.ics", "e.ics", "f.ics"]);
        let again = listed(&store, None);
        assert_eq!(names(&again), names(&second), "and in a listing that begins anew");
    }
}
