//! Servers that speak no LDAP, or a broken one, or without end: an error each, soon, in bounded memory, and never a panic or
//! an end of the whole program.

use super::scripted::{BIND, EXTENDED, Reply, Request, SEARCH, SUCCESS, around, plain, serve};
use super::*;
use stationwagon::net::Protection;
use stationwagon::site::server::Book;
use std::error::Error as _;
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

/// A message number 2 with this inside.
fn second(inside: &[u8]) -> Vec<u8> {
    around(0x30, &[b"\x02\x01\x02", inside].concat())
}

/// A thing in a thing, so many times, with lengths that are right.
fn nested(levels: usize) -> Vec<u8> {
    let mut heads = Vec::new();
    let mut length = 0_u32;
    for _ in 0..levels {
        heads.push([&[0x30, 0x84], length.to_be_bytes().as_slice()].concat());
        length += 6;
    }
    heads.into_iter().rev().flatten().collect()
}

#[test]
fn answers_that_are_no_ldap_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let mut control = b"\x65\x07\x0a\x01\x00\x04\x00\x04\x00\xa0\x1e\x30\x1c\x04\x16".to_vec();
    control.extend_from_slice(b"1.2.840.113556.1.4.319\x04\x02zz");
    let (welcome, nonsense) = (|| WELCOME.to_vec(), "something that is no LDAP");
    let cases = [
        // It is tried again, and then nobody is there.
        ("silence", Vec::new(), Vec::new(), "cannot reach"),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Vec::new(), nonsense),
        ("an empty message", b"\x30\x00".to_vec(), Vec::new(), nonsense),
        ("a login that is a search", second(b"\x65\x00"), Vec::new(), "what it was not asked"),
        ("an unknown answer", welcome(), second(b"\x7e\x02\x04\x00"), nonsense),
        ("an entry of nothing", welcome(), second(b"\x64\x00"), nonsense),
        ("an entry whose name is no text", welcome(), second(b"\x64\x05\x04\x01\xff\x30\x00"), nonsense),
        ("an attribute of nothing", welcome(), second(b"\x64\x07\x04\x01a\x30\x02\x30\x00"), nonsense),
        ("an end of nothing", welcome(), second(b"\x65\x00"), nonsense),
        ("a page that is none", welcome(), second(&control), nonsense),
        ("4 GiB to log in", b"\x30\x84\xff\xff\xff\xff\x02\x01".to_vec(), Vec::new(), "at most 64 MiB are taken"),
        ("4 GiB as an entry", welcome(), b"\x30\x84\xff\xff\xff\xff\x02\x01\x02".to_vec(), "4294967295 bytes"),
        ("4 GiB within an entry", welcome(), second(b"\x64\x84\xff\xff\xff\xff\x04\x01a"), nonsense),
        ("a deep entry", welcome(), second(&nested(100_000)), "nests more than 16 levels deep"),
        ("a deep login", nested(100_000), Vec::new(), "nests more than 16 levels deep"),
        ("many nothings", welcome(), second(&around(0x64, &b"\x30\x00".repeat(2_000_000))), "more than 1065536 values"),
    ];
    for (what, first, then, expected) in cases {
        let began = Instant::now();
        let port = server(first, then);
        let error = open(plain(port, dir.path())).provisioning().expect_err(what).to_string();
        assert!(began.elapsed() < Duration::from_secs(20), "{what} takes {:?}", began.elapsed());
        assert!(error.contains(expected) && error.contains(&port.to_string()), "{what}: {error}");
        assert!(!error.contains("hunter2"), "{what}: {error}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing of it is kept");
}

#[test]
fn a_question_about_one_entry_has_one_answer() {
    let dir = tempfile::tempdir().unwrap();
    let port = serve(|request, _| match request.operation {
        SEARCH => Reply::Say([request.entry("", &[]).repeat(2), request.end(SUCCESS, "")].concat()),
        _ => Reply::Say(request.end(SUCCESS, "")),
    });
    let error = open(plain(port, dir.path())).provisioning().unwrap_err().to_string();
    assert!(error.ends_with("gives several entries where \"\" alone was asked for"), "{error}");
}

#[test]
fn entries_without_end_are_cut_off_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let port = serve(|request, _| match request.operation {
        // More than anybody takes, without an end.
        SEARCH if request.mentions("mail") => Reply::Say(request.entry("cn=a", &[]).repeat(2_000_001)),
        _ => Reply::Say(request.end(SUCCESS, "")),
    });
    let survey = open(plain(port, dir.path())).survey().unwrap();
    assert!(survey.cannot_give.contains(&"more than 2000000 entries or pages".to_owned()), "{survey:?}");
}

#[test]
fn pages_without_end_are_cut_off_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let port = serve(|request, _| match request.operation {
        SEARCH if request.mentions("mail") => Reply::Say(
            [request.answer(0x73, &around(4, b"ldap://elsewhere.test/")).repeat(2_000_000), request.more("cookie")]
                .concat(),
        ),
        _ => Reply::Say(request.end(SUCCESS, "")),
    });
    let survey = open(plain(port, dir.path())).survey().unwrap();
    assert!(survey.cannot_give.contains(&"more than 2000000 entries or pages".to_owned()), "{survey:?}");
}

/// What becomes of a login where the server answers the wish for TLS like this, and hangs up on whatever else is said.
fn starttls(reply: fn(&Request) -> Reply) -> String {
    let dir = tempfile::tempdir().unwrap();
    let port = serve(move |request, _| match request.operation {
        EXTENDED if request.mentions("1.3.6.1.4.1.1466.20037") => reply(request),
        _ => Reply::HangUp,
    });
    let endpoint = Endpoint::parse(&format!("ldap://127.0.0.1:{port}"), SCHEMES).unwrap();
    assert_eq!(endpoint.protection, Protection::StartTls);
    let error = open(LdapOptions { endpoint, ..plain(port, dir.path()) }).provisioning().unwrap_err();
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    format!("{error}: {cause}").replace(&port.to_string(), "PORT")
}

#[test]
fn nothing_is_said_in_the_open_where_tls_does_not_come() {
    let refused = starttls(|request| Reply::Say(request.end(2, "unsupported extended operation")));
    insta::assert_snapshot!(refused, @"ldap://127.0.0.1:PORT: refuses STARTTLS (unsupported extended operation (rc=2 (protocolError))); nothing was sent in the open: ");
    let injected = starttls(|request| Reply::Say([request.end(SUCCESS, ""), WELCOME.to_vec()].concat()));
    insta::assert_snapshot!(injected, @"ldap://127.0.0.1:PORT: says something between STARTTLS and TLS, as only an attacker would: ");
    let no_tls = starttls(|request| Reply::Say(request.end(SUCCESS, "")));
    assert!(no_tls.starts_with("no secure connection to ldap://127.0.0.1:PORT: "), "{no_tls}");
}

#[test]
fn a_server_that_says_why_it_hangs_up_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let port = serve(|request, _| match request.operation {
        BIND => Reply::Say(request.end(SUCCESS, "")),
        // To nobody's request: a notice of disconnection (RFC 4511 section 4.4.1).
        _ => Reply::Say(around(0x30, b"\x02\x01\x00\x78\x0d\x0a\x01\x34\x04\x00\x04\x06closed")),
    });
    let error = open(plain(port, dir.path())).provisioning().unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "the server hangs up: closed (rc=52 (unavailable))");
}
