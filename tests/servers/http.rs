//! Requests to a DAV server as a plain client says them, with nothing of wagon's in them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Stores a calendar object; the status.
pub fn put(port: u16, path: &str, user: &str, password: &str, body: &[u8]) -> u16 {
    let answer = request(port, "PUT", path, user, password, "Content-Type: text/calendar; charset=utf-8\r\n", body);
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// What a collection lists.
pub fn propfind(port: u16, path: &str, user: &str, password: &str) -> String {
    request(port, "PROPFIND", path, user, password, "Depth: 1\r\n", b"")
}

fn request(port: u16, method: &str, path: &str, user: &str, password: &str, headers: &str, body: &[u8]) -> String {
    use base64::Engine as _;
    let login = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Basic {login}\r\nConnection: close\r\n\
         {headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
