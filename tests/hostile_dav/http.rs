//! DAV servers of a few lines: one that answers as a test says, and a small one that does what it is asked, until an
//! answer of it is lost.

use super::{ANN, login};
use stationwagon::fs::RealFs;
use stationwagon::net::TlsPolicy;
use stationwagon::site::dav::{DavOptions, DavStore};
use stationwagon::site::server::Login;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the server is asked.
pub struct Request {
    pub method: String,
    pub path: String,
    head: String,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }
}

/// Calls `each` with every connection, each on a thread of its own; the port. It ends with the test.
pub fn listen(each: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let each = Arc::new(each);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = Arc::clone(&each);
            thread::spawn(move || each(stream));
        }
    });
    port
}

/// Answers one request after the other until the connection ends.
pub fn serve(stream: TcpStream, answer: &dyn Fn(&Request, &mut TcpStream)) {
    let mut out = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream);
    loop {
        let (mut first, mut head) = (String::new(), String::new());
        if lines.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut header = String::new();
            if lines.read_line(&mut header).unwrap_or(0) == 0 || header.trim().is_empty() {
                break;
            }
            head += &header;
        }
        let mut words = first.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let mut request = Request { method, path, head, body: String::new() };
        let size = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; size];
        lines.read_exact(&mut body).unwrap();
        request.body = String::from_utf8(body).unwrap();
        answer(&request, &mut out);
    }
}

/// A store on the server at this port, with at most so many connections to it at once.
pub fn store(port: u16, max_connections: usize) -> DavStore {
    store_as(port, max_connections, login())
}

/// The same with another login.
pub fn store_as(port: u16, max_connections: usize, login: Login) -> DavStore {
    let (url, tls, principal) = (format!("http://127.0.0.1:{port}/"), TlsPolicy::System, None);
    let (insecure, scheduling_is_off) = (false, false);
    let options = DavOptions { url, tls, login, insecure, principal, scheduling_is_off, max_connections };
    DavStore::open(&RealFs, options).unwrap()
}

pub fn say(out: &mut TcpStream, status: &str, headers: &str, body: &str) {
    let kind = "Content-Type: application/xml\r\n";
    let _ = write!(out, "HTTP/1.1 {status}\r\n{kind}{headers}Content-Length: {}\r\n\r\n{body}", body.len());
}

/// A multistatus of these responses.
pub fn several(responses: &str) -> String {
    let names = "xmlns:d='DAV:' xmlns:c='urn:ietf:params:xml:ns:caldav' xmlns:r='urn:ietf:params:xml:ns:carddav' \
        xmlns:s='http://calendarserver.org/ns/'";
    format!("<d:multistatus {names}>{responses}</d:multistatus>")
}

pub fn response(href: &str, props: &str) -> String {
    format!(
        "<d:response><d:href>{href}</d:href><d:propstat><d:prop>{props}</d:prop><d:status>HTTP/1.1 200 OK</d:status>\
         </d:propstat></d:response>"
    )
}

/// The properties by which a home is found.
pub fn home(path: &str) -> String {
    format!(
        "<c:calendar-home-set><d:href>{path}</d:href></c:calendar-home-set>\
         <r:addressbook-home-set><d:href>{path}</d:href></r:addressbook-home-set>"
    )
}

pub const CALENDAR: &str = "<d:resourcetype><d:collection/><c:calendar/></d:resourcetype>";
pub const ADDRESS_BOOK: &str = "<d:resourcetype><d:collection/><r:addressbook/></d:resourcetype>";

/// What ann has on a small server: collections with their properties, and items, by their paths.
#[derive(Default)]
pub struct Shelf {
    pub collections: BTreeMap<String, String>,
    pub items: BTreeMap<String, String>,
    /// It adds a line to all that it stores, as some servers do.
    pub rewrites: bool,
}

impl Shelf {
    /// With these collections of events.
    pub fn with(names: &[&str]) -> Self {
        let collections = names.iter().map(|name| (format!("/home/{name}/"), CALENDAR.to_owned())).collect();
        Self { collections, ..Self::default() }
    }

    fn tag(&self, path: &str) -> Option<String> {
        let mut hasher = DefaultHasher::new();
        self.items.get(path)?.hash(&mut hasher);
        Some(format!("\"{:x}\"", hasher.finish()))
    }

    fn has(&self, path: &str) -> bool {
        self.items.contains_key(path) || self.collections.contains_key(path)
    }

    /// Does what it is asked, and gives the status and the body.
    pub fn answer(&mut self, request: &Request) -> (&'static str, String) {
        let (path, body) = (request.path.as_str(), request.body.as_str());
        let plain = |status| (status, String::new());
        match request.method.as_str() {
            "PROPFIND" => match self.listing(path, request.header("depth") == Some("1")) {
                Some(responses) => ("207 Multi-Status", several(&responses)),
                None => plain("404 Not Found"),
            },
            "MKCALENDAR" | "MKCOL" if self.has(path) => plain("405 Method Not Allowed"),
            "MKCALENDAR" | "MKCOL" => {
                let kind = if body.contains("<R:addressbook/>") { ADDRESS_BOOK } else { CALENDAR };
                self.collections.insert(path.to_owned(), format!("{kind}{}", title(body)));
                plain("201 Created")
            }
            "PROPPATCH" => {
                self.collections.insert(path.to_owned(), format!("{CALENDAR}{}", title(body)));
                ("207 Multi-Status", several(&response(path, "<d:displayname/>")))
            }
            "PUT" if request.header("if-none-match").is_some() && self.has(path) => plain("412 Precondition Failed"),
            "PUT" if request.header("if-match").is_some_and(|tag| Some(tag) != self.tag(path).as_deref()) => {
                plain("412 Precondition Failed")
            }
            "PUT" => {
                let end = if self.rewrites { "X-SERVER:was here\r\nEND:VCALENDAR" } else { "END:VCALENDAR" };
                self.items.insert(path.to_owned(), body.replace("END:VCALENDAR", end));
                plain("201 Created")
            }
            "GET" => match self.items.get(path) {
                Some(item) => ("200 OK", item.clone()),
                None => plain("404 Not Found"),
            },
            "DELETE" if !self.has(path) => plain("404 Not Found"),
            "DELETE" => {
                self.items.retain(|item, _| !item.starts_with(path));
                self.collections.remove(path);
                plain("204 No Content")
            }
            "MOVE" => {
                let to = request.header("destination").unwrap();
                let to = to.split_once("://").unwrap().1.split_once('/').unwrap().1;
                plain(self.move_to(path, &format!("/{to}")))
            }
            _ => plain("200 OK"),
        }
    }

    fn move_to(&mut self, from: &str, to: &str) -> &'static str {
        if !self.has(from) {
            return "404 Not Found";
        }
        if self.has(to) {
            return "412 Precondition Failed";
        }
        let moved = |path: &String| path.strip_prefix(from).map(|rest| format!("{to}{rest}"));
        for all in [&mut self.items, &mut self.collections] {
            *all = std::mem::take(all).into_iter().map(|(path, what)| (moved(&path).unwrap_or(path), what)).collect();
        }
        "201 Created"
    }

    fn listing(&self, path: &str, members: bool) -> Option<String> {
        let item = |(path, text): (&String, &String)| {
            let tag = self.tag(path).unwrap();
            let size = text.len();
            response(path, &format!("<d:getetag>{tag}</d:getetag><d:getcontentlength>{size}</d:getcontentlength>"))
        };
        let within = |other: &String| members && other.starts_with(path) && other.len() > path.len();
        let collections = self.collections.iter().filter(|(other, _)| *other == path || within(other));
        let collections = collections.map(|(path, props)| response(path, props));
        let items = self.items.iter().filter(|(other, _)| *other == path || (path != "/home/" && within(other)));
        match path {
            "/" => Some(response("/", &home("/home/"))),
            "/home/" => Some(response("/home/", "") + &collections.collect::<String>()),
            _ if self.has(path) => Some(collections.chain(items.map(item)).collect()),
            _ => None,
        }
    }
}

fn title(body: &str) -> String {
    let title = body.split_once("<D:displayname>").and_then(|(_, rest)| rest.split_once("</D:displayname>"));
    title.map(|(title, _)| format!("<d:displayname>{title}</d:displayname>")).unwrap_or_default()
}

/// How an answer gets lost.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// The connection ends.
    Hangup,
    /// A gateway in between gives up waiting.
    Gateway,
}

/// A store on a server with this shelf, which allows a single connection. The first request with `method` gets no answer:
/// `first` says what becomes of it.
pub fn losing(
    shelf: Shelf,
    method: &'static str,
    loss: Loss,
    first: impl Fn(&mut Shelf, &Request) + Send + Sync + 'static,
) -> (DavStore, Arc<Mutex<Shelf>>) {
    let (shelf, lost) = (Arc::new(Mutex::new(shelf)), AtomicBool::new(false));
    let shared = Arc::clone(&shelf);
    let answer = move |request: &Request, out: &mut TcpStream| {
        let mut shelf = shared.lock().unwrap();
        if request.method == method && !lost.swap(true, Ordering::SeqCst) {
            first(&mut shelf, request);
            match loss {
                Loss::Hangup => out.shutdown(Shutdown::Both).unwrap(),
                Loss::Gateway => say(out, "504 Gateway Timeout", "", "<html>it took too long</html>"),
            }
            return;
        }
        let (status, body) = shelf.answer(request);
        say(out, status, "", &body);
    };
    let store = store(listen(move |stream| serve(stream, &answer)), 1);
    stationwagon::site::server::Store::mailbox(&store, ANN).unwrap();
    (store, shelf)
}
