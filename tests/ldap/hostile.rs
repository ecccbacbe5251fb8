//! Servers that speak no LDAP, or a broken one: an error each, soon, and never a panic of the pass.

use super::*;
use stationwagon::site::server::Book;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// "Success" to the login, which is message 1.
const WELCOME: &[u8] = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";

/// Answers the login with the first text and everything after it with the second, then hangs up.
fn server(first: Vec<u8>, second: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().take(1) {
            let mut stream: TcpStream = stream.unwrap();
            // Whoever waits for more than this gets an end.
            stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            let mut buffer = [0; 4096];
            for answer in [first.as_slice(), &second] {
                // The client may have gone already; that is its right.
                let _ = stream.read(&mut buffer);
                let _ = stream.write_all(answer);
            }
            let _ = stream.read(&mut buffer);
        }
    });
    port
}

fn plain(port: u16, dir: &std::path::Path) -> LdapOptions {
    LdapOptions {
        endpoint: Endpoint::parse(&format!("ldap://127.0.0.1:{port}"), SCHEMES).unwrap().in_the_open(),
        tls: TlsPolicy::Insecure,
        base: "dc=a".to_owned(),
        bind: "cn=reader".to_owned(),
        password: Secret::new("hunter2"),
        mapping: Mapping::preset("inetorgperson").unwrap(),
        state_dir: dir.to_owned(),
        page_size: 10,
        partly: Partly::Listed,
        started_at: 0,
    }
}

/// A message number 2 with this inside.
fn second(inside: &[u8]) -> Vec<u8> {
    let mut message = vec![0x30, u8::try_from(inside.len()).unwrap() + 3, 2, 1, 2];
    message.extend_from_slice(inside);
    message
}

#[test]
fn answers_that_are_no_ldap_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let mut control = b"\x65\x07\x0a\x01\x00\x04\x00\x04\x00\xa0\x1e\x30\x1c\x04\x16".to_vec();
    control.extend_from_slice(b"1.2.840.113556.1.4.319\x04\x02zz");
    let cases = [
        ("silence", Vec::new(), Vec::new()),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Vec::new()),
        ("an empty message", b"\x30\x00".to_vec(), Vec::new()),
        ("a login that is a search", second(b"\x65\x00"), Vec::new()),
        ("a length beyond everything", b"\x30\x84\xff\xff\xff\xff\x02\x01".to_vec(), Vec::new()),
        ("an unknown answer", WELCOME.to_vec(), second(b"\x7e\x02\x04\x00")),
        ("an entry of nothing", WELCOME.to_vec(), second(b"\x64\x00")),
        ("an entry whose name is no text", WELCOME.to_vec(), second(b"\x64\x05\x04\x01\xff\x30\x00")),
        ("an entry with an attribute of nothing", WELCOME.to_vec(), second(b"\x64\x07\x04\x01a\x30\x02\x30\x00")),
        ("an end of nothing", WELCOME.to_vec(), second(b"\x65\x00")),
        ("a page that is none", WELCOME.to_vec(), second(&control)),
    ];
    for (what, first, then) in cases {
        let began = Instant::now();
        let error = open(plain(server(first, then), dir.path())).provisioning().expect_err(what).to_string();
        assert!(began.elapsed() < Duration::from_secs(20), "{what} takes {:?}", began.elapsed());
        assert!(!error.contains("hunter2"), "{what}: {error}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing of it is kept");
}
