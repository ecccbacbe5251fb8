//! Requests to a DAV server as a plain client says them, with nothing of wagon's in them.

use base64::Engine as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// One user of a server at 127.0.0.1.
pub struct Http {
    port: u16,
    authorization: String,
}

impl Http {
    pub fn new(port: u16, user: &str, password: &str) -> Self {
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        Self { port, authorization: format!("Basic {login}") }
    }

    /// Stores a calendar object or a card, told apart by the name; the status.
    pub fn put(&self, path: &str, body: &[u8]) -> u16 {
        let kind = if path.ends_with(".vcf") { "text/vcard" } else { "text/calendar" };
        self.request("PUT", path, &format!("Content-Type: {kind}; charset=utf-8\r\n"), body).0
    }

    /// Makes a calendar with a title, or with an empty one an address book without.
    pub fn make(&self, path: &str, title: &str) {
        let names = "xmlns='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav' xmlns:R='urn:ietf:params:xml:ns:carddav'";
        let (method, body) = match title {
            "" => (
                "MKCOL",
                format!(
                    "<mkcol {names}><set><prop><resourcetype><collection/><R:addressbook/></resourcetype></prop></set></mkcol>"
                ),
            ),
            _ => (
                "MKCALENDAR",
                format!(
                    "<C:mkcalendar {names}><set><prop><displayname>{title}</displayname></prop></set></C:mkcalendar>"
                ),
            ),
        };
        let (status, answer) = self.request(method, path, "Content-Type: application/xml\r\n", body.as_bytes());
        assert_eq!(status, 201, "{path}: {}", String::from_utf8_lossy(&answer));
    }

    /// The bytes of a resource; nothing where there is none.
    /// Sets properties of a collection, elements with the prefixes `C` (CalDAV) and `A` (Apple's); the status.
    pub fn describe(&self, path: &str, properties: &str) -> u16 {
        let names = "xmlns='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav' xmlns:A='http://apple.com/ns/ical/'";
        let body = format!("<propertyupdate {names}><set><prop>{properties}</prop></set></propertyupdate>");
        self.request("PROPPATCH", path, "Content-Type: application/xml\r\n", body.as_bytes()).0
    }

    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        let (status, body) = self.request("GET", path, "", b"");
        (status == 200).then_some(body)
    }

    pub fn delete(&self, path: &str) -> u16 {
        self.request("DELETE", path, "", b"").0
    }

    /// What a collection lists.
    pub fn propfind(&self, path: &str) -> String {
        let (_, body) = self.request("PROPFIND", path, "Depth: 1\r\n", b"");
        String::from_utf8_lossy(&body).into_owned()
    }

    /// The status and the body of an answer. HTTP/1.0, so that nothing comes in chunks.
    fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{}\r\nAuthorization: {}\r\n{headers}Content-Length: {}\r\n\r\n",
            self.port,
            self.authorization,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let body = answer.split_off(end);
        let head = String::from_utf8_lossy(&answer).into_owned();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }
}
