//! DAV and ManageSieve servers that mean harm, or are merely overloaded: what they send is refused within bounds, and
//! busy ones are asked again. The servers here are a few lines each; no testbed is needed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and looks at files as they are"
)]

mod crowds;
mod half_answers;
mod http;
mod increments;
mod lost_answers;
mod scripts;
mod sieve;

use http::{response, say, several};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use stationwagon::fs::RealFs;
use stationwagon::limits;
use stationwagon::model::mailbox::{Folder, FolderKey, FolderKind};
use stationwagon::model::provisioning::Secret;
use stationwagon::net::{Endpoint, Pin, TlsPolicy};
use stationwagon::site::dav::{DavOptions, DavStore};
use stationwagon::site::managesieve::{SCHEMES, SieveOptions, SieveStore};
use stationwagon::site::server::{Login, LoginMode, Store};
use stationwagon::site::{Content, Delivered, Delivery, Depth, FolderScan, ItemContent};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const ANN: &str = "ann@a.test";

/// Everybody who can log in.
const ACCOUNTS: [&str; 6] = [ANN, "bob@a.test", "carl@a.test", "dora@a.test", "emma@a.test", "finn@a.test"];

fn login() -> Login {
    let own = ACCOUNTS.map(|account| (account.to_owned(), Secret::new("pw"))).into();
    Login { mode: LoginMode::Own, user: String::new(), separator: "*".into(), secret: None, token: None, own }
}

/// A server that answers each request, method and path, as it likes. It ends with the test.
fn server(answer: impl Fn(&str, &str, &mut TcpStream) + Send + Sync + 'static) -> DavStore {
    counted(answer, Arc::default())
}

/// The same; `connections` counts those that were made to it.
fn counted(
    answer: impl Fn(&str, &str, &mut TcpStream) + Send + Sync + 'static,
    connections: Arc<AtomicUsize>,
) -> DavStore {
    let port = http::listen(move |stream| {
        connections.fetch_add(1, Ordering::SeqCst);
        http::serve(stream, &|request, out| answer(&request.method, &request.path, out));
    });
    http::store(port, limits::SERVER_CONNECTIONS)
}

/// A server on which ann has a home with one calendar in it; `rest` answers what else is asked.
fn with_calendar(rest: impl Fn(&str, &str, &mut TcpStream) + Send + Sync + 'static) -> DavStore {
    server(move |method, path, out| match (method, path) {
        ("PROPFIND", "/") => {
            let home = "<c:calendar-home-set><d:href>/home/</d:href></c:calendar-home-set>";
            say(out, "207 Multi-Status", "", &several(&response("/", home)));
        }
        ("PROPFIND", "/home/" | "/home/work/") => {
            let kind = "<d:resourcetype><d:collection/><c:calendar/></d:resourcetype>";
            say(out, "207 Multi-Status", "", &several(&response("/home/work/", kind)));
        }
        ("PROPFIND", path) if path.starts_with("/.well-known/") => say(out, "404 Not Found", "", ""),
        _ => rest(method, path, out),
    })
}

fn work() -> FolderKey {
    FolderKey::new(FolderKind::Calendars, "work").unwrap()
}

fn delivery(name: &str, text: &str) -> Delivery {
    Delivery {
        name: name.to_owned(),
        content: ItemContent::Bytes(text.as_bytes().to_vec()),
        date: 0,
        flags: Default::default(),
        keywords: Vec::new(),
        tags: Vec::new(),
        uid: None,
        uidl: None,
    }
}

#[test]
fn a_server_cannot_lead_us_or_our_password_elsewhere() {
    for href in ["https://evil.test/home/", "//evil.test/", "/home/../../etc/", "/home/%2e%2e/", "http://127.0.0.1:1/"]
    {
        let home = format!("<c:calendar-home-set><d:href>{href}</d:href></c:calendar-home-set>");
        let body = several(&response("/", &home));
        let store = server(move |_, _, out| say(out, "207 Multi-Status", "", &body));
        let error = store.mailbox(ANN).unwrap_err().to_string();
        assert!(error.contains("the address"), "{href}: {error}");
    }
    let store = server(|_, _, out| say(out, "301 Moved", "Location: https://evil.test/\r\n", ""));
    let error = store.mailbox(ANN).unwrap_err().to_string();
    assert!(error.contains("leads to another server"), "{error}");
    // A well-known address that leads to somebody who listens: nobody comes.
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let to = format!("Location: http://127.0.0.1:{}/dav/\r\n", elsewhere.local_addr().unwrap().port());
    let store = server(move |_, path, out| match path.starts_with("/.well-known/") {
        true => say(out, "301 Moved Permanently", &to, ""),
        false => say(out, "404 Not Found", "", ""),
    });
    let error = store.mailbox(ANN).unwrap_err().to_string();
    assert!(error.contains("leads to another server"), "{error}");
    assert!(elsewhere.accept().is_err(), "somebody came");
    let store = server(|_, path, out| say(out, "302 Found", &format!("Location: {path}x\r\n"), ""));
    let error = store.mailbox(ANN).unwrap_err().to_string();
    assert!(error.contains("without end"), "{error}");
}

#[test]
fn an_answer_that_would_grow_without_end_costs_bounded_memory() {
    let endless = |begin: &'static str, unit: &'static str| {
        server(move |_, _, out| {
            let _ = write!(out, "HTTP/1.1 207 Multi-Status\r\nContent-Type: application/xml\r\n\r\n{begin}");
            let unit = unit.repeat(4096);
            while out.write_all(unit.as_bytes()).is_ok() {}
        })
    };
    for (begin, unit) in [
        ("<d:multistatus xmlns:d='DAV:'><d:response><d:href>", "x"),
        ("<d:multistatus xmlns:d='DAV:'><d:response>", "<d:propstat/>"),
        ("", "<a>"),
        ("<d:multistatus xmlns:d='DAV:' a='", "x"),
        ("<!DOCTYPE a [<!ENTITY b '", "x"),
        ("<!-- ", "x"),
    ] {
        let error = endless(begin, unit).mailbox(ANN).unwrap_err().to_string();
        assert!(error.contains("the server sent"), "{begin}: {error}");
    }
    let bomb = "<!DOCTYPE a [<!ENTITY b 'xx'><!ENTITY c '&b;&b;'>]><a>&c;</a>";
    let error = server(|_, _, out| say(out, "207 Multi-Status", "", bomb)).mailbox(ANN).unwrap_err().to_string();
    assert!(error.contains("a document type"), "{error}");
    // An item that never ends is that item's trouble.
    let store = with_calendar(|method, path, out| match method {
        "PROPFIND" => say(out, "207 Multi-Status", "", &several(&response(path, "<d:getetag>\"1\"</d:getetag>"))),
        _ => {
            let _ = write!(out, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
            while out.write_all(&[b'x'; 65536]).is_ok() {}
        }
    });
    let item = stationwagon::site::FoundItem {
        name: "x.ics".into(),
        place: Vec::new(),
        flags: Default::default(),
        keywords: Vec::new(),
        tags: Vec::new(),
        uid: None,
        uidl: None,
        version: 1,
    };
    assert!(matches!(store.read(ANN, &work(), &item).unwrap(), Content::Rejected(_)));
}

#[test]
fn resources_outside_their_collection_are_told_and_not_read() {
    let members = [
        response("/home/work/", ""),
        response("/home/work/one.ics", "<d:getetag>\"1\"</d:getetag>"),
        response("/home/other/two.ics", "<d:getetag>\"2\"</d:getetag>"),
        response("/home/work/deep/three.ics", "<d:getetag>\"3\"</d:getetag>"),
    ];
    let listing = several(&members.concat());
    let first = AtomicUsize::new(0);
    let store = server(move |_, path, out| match path {
        "/" => {
            let home = "<c:calendar-home-set><d:href>/home/</d:href></c:calendar-home-set>";
            say(out, "207 Multi-Status", "", &several(&response("/", home)));
        }
        "/home/work/" if first.fetch_add(1, Ordering::SeqCst) > 0 => say(out, "207 Multi-Status", "", &listing),
        "/home/work/" => {
            let kind = "<d:resourcetype><d:collection/><c:calendar/></d:resourcetype>";
            say(out, "207 Multi-Status", "", &several(&response("/home/work/", kind)));
        }
        _ => say(out, "404 Not Found", "", ""),
    });
    let FolderScan::Listed(listing) = store.folder(ANN, &work(), None, Depth::Marks).unwrap() else { panic!() };
    assert_eq!(listing.items.names().collect::<Vec<_>>(), ["one.ics"]);
    assert_eq!(listing.rejected.len(), 2);
}

#[test]
fn one_connection_serves_an_account() {
    let connections = Arc::<AtomicUsize>::default();
    let store = counted(
        |method, path, out| {
            let chunked =
                "HTTP/1.1 207 Multi-Status\r\nContent-Type: application/xml\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut say_in_chunks = |body: &str| {
                let _ = write!(out, "{chunked}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
            };
            match (method, path) {
                ("PROPFIND", "/") => {
                    let home = "<c:calendar-home-set><d:href>/home/</d:href></c:calendar-home-set>";
                    say_in_chunks(&several(&response("/", home)));
                }
                ("PROPFIND", "/home/" | "/home/work/") => {
                    let kind = "<d:resourcetype><d:collection/><c:calendar/></d:resourcetype>";
                    say_in_chunks(&several(&response("/home/work/", kind)));
                }
                ("PUT" | "DELETE", _) => say(out, "201 Created", "", "<x>some words</x>"),
                _ => say(out, "404 Not Found", "", "<x>nothing</x>"),
            }
        },
        Arc::clone(&connections),
    );
    store.mailbox(ANN).unwrap();
    for number in 0..5 {
        let (outcomes, _) = store.deliver(ANN, &work(), vec![delivery(&format!("{number}.ics"), "x")]).unwrap();
        assert_eq!(outcomes, [Delivered::Done { uid: None }]);
        store.mailbox(ANN).unwrap();
    }
    assert!(store.remove_item(ANN, &work(), "1.ics").unwrap());
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_busy_server_is_asked_again_and_what_it_refuses_is_one_items_trouble() {
    let tries = AtomicUsize::new(0);
    let store = with_calendar(move |_, path, out| match path {
        "/home/work/busy.ics" if tries.fetch_add(1, Ordering::SeqCst) < 2 => {
            say(out, "503 Service Unavailable", "Retry-After: 0\r\n", "");
        }
        "/home/work/full.ics" => say(out, "507 Insufficient Storage", "", "<e xmlns='DAV:'><quota-not-exceeded/></e>"),
        "/home/work/large.ics" => say(out, "413 Content Too Large", "", ""),
        "/home/work/broken.ics" => say(out, "500 Internal Server Error", "", ""),
        "/home/work/lost.ics" if tries.fetch_add(1, Ordering::SeqCst) == 3 => {
            let _ = out.shutdown(std::net::Shutdown::Both);
        }
        _ => say(out, "201 Created", "", ""),
    });
    store.put_folder(ANN, &Folder::at(work())).unwrap().unwrap();
    let batch = ["busy.ics", "full.ics", "large.ics", "broken.ics", "lost.ics"].map(|name| delivery(name, "x")).into();
    let (outcomes, _) = store.deliver(ANN, &work(), batch).unwrap();
    let told: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Delivered::Done { .. } => "done".to_owned(),
            Delivered::Rejected(reason) => reason.to_string(),
        })
        .collect();
    assert_eq!(
        told,
        [
            "done",
            "refused: 507 Insufficient Storage: quota-not-exceeded",
            "refused: 413 Payload Too Large",
            "refused: 500 Internal Server Error",
            "done",
        ]
    );
}

#[test]
fn an_invitation_is_not_stored_where_nobody_knows_how_to_keep_the_server_quiet() {
    let store = with_calendar(|method, _, out| match method {
        "OPTIONS" => say(out, "200 OK", "DAV: 1, calendar-access, calendar-auto-schedule\r\nServer: Strange/1\r\n", ""),
        _ => say(out, "201 Created", "", ""),
    });
    let invitation = "BEGIN:VCALENDAR\nORGANIZER:mailto:a@a\nATTENDEE:mailto:b@b\nEND:VCALENDAR\n";
    let batch = vec![delivery("meeting.ics", invitation), delivery("plain.ics", "BEGIN:VCALENDAR\n")];
    let (outcomes, _) = store.deliver(ANN, &work(), batch).unwrap();
    let [Delivered::Rejected(reason), Delivered::Done { .. }] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert!(reason.to_string().contains("would send invitations"), "{reason}");
    assert!(reason.to_string().contains("scheduling = \"off\""), "what the description wants to read: {reason}");
    let survey = store.survey(ANN);
    assert!(survey.is_err() || !survey.unwrap().cannot_hold.is_empty());
}

/// The pin of a certificate's key, as a person makes it with openssl.
fn key_of(certificate: &Path) -> String {
    let line = "openssl x509 -in \"$0\" -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64";
    let out = Command::new("sh").args(["-c", line]).arg(certificate).output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_password_goes_only_to_the_server_whose_certificate_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"])
        .args(["-subj", "/CN=localhost", "-out"])
        .arg(&cert)
        .arg("-keyout")
        .arg(&key)
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        let _ = writeln!(std::io::stderr(), "skipped: whose certificate is believed: there is no openssl");
        return;
    }
    let chain = vec![CertificateDer::from_pem_file(&cert).unwrap()];
    let pin: String = Sha256::digest(&chain[0]).iter().map(|byte| format!("{byte:02x}")).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::from_pem_file(&key).unwrap();
    let config = Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::<AtomicUsize>::default();
    let hearing = Arc::clone(&heard);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut lines = BufReader::new(rustls::StreamOwned::new(connection, stream));
            let home = "<c:calendar-home-set><d:href>/home/</d:href></c:calendar-home-set>";
            loop {
                let (mut line, mut size) = (String::new(), 0);
                while lines.read_line(&mut line).unwrap_or(0) > 0 && !line.trim().is_empty() {
                    if line.to_ascii_lowercase().starts_with("authorization: basic") {
                        hearing.fetch_add(1, Ordering::SeqCst);
                    }
                    if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        size = length.trim().parse().unwrap();
                    }
                    line.clear();
                }
                if line.is_empty() || lines.read_exact(&mut vec![0; size]).is_err() {
                    break;
                }
                let body = several(&response("/", home));
                let head = format!("HTTP/1.1 207 Multi-Status\r\nContent-Length: {}\r\n\r\n", body.len());
                if lines.get_mut().write_all((head + &body).as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    let with = |tls: TlsPolicy| {
        let (url, principal) = (format!("https://localhost:{port}/"), None);
        let (insecure, scheduling_is_off, max_connections) = (false, false, limits::SERVER_CONNECTIONS);
        let options = DavOptions { url, tls, login: login(), insecure, principal, scheduling_is_off, max_connections };
        DavStore::open(&RealFs, options).and_then(|store| store.mailbox(ANN))
    };
    let pinned = |pin: &str| TlsPolicy::Pinned(Pin::parse(pin).unwrap());
    let certificate = format!("sha256:{pin}");
    let key = format!("sha256//{}", key_of(&cert));
    let other_key = format!("sha256//{}=", "A".repeat(43));
    for (stranger, shown) in [
        (TlsPolicy::Roots(cert.clone()), ""),
        (pinned(&format!("sha256:{:064}", 0)), certificate.as_str()),
        (pinned(&other_key), key.as_str()),
    ] {
        let error = with(stranger).unwrap_err();
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let told: Vec<_> = causes.map(ToString::to_string).collect();
        assert!(told.iter().any(|text| text.contains("no secure connection")), "{told:?}");
        assert!(told.iter().any(|text| text.contains(shown)), "{shown} is not in {told:?}");
    }
    assert_eq!(heard.load(Ordering::SeqCst), 0, "a stranger heard the password");
    for pin in [certificate, key] {
        let before = heard.load(Ordering::SeqCst);
        assert!(with(pinned(&pin)).unwrap().folders.is_empty());
        assert_ne!(heard.load(Ordering::SeqCst), before);
    }
}

#[test]
fn a_script_server_without_starttls_hears_no_password_and_an_endless_one_is_cut_off() {
    let sieve = |greeting: &'static [u8], endless: bool| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(greeting);
            while endless && stream.write_all(&[b'x'; 65536]).is_ok() {}
            let mut heard = Vec::new();
            let _ = stream.read_to_end(&mut heard);
            heard
        });
        let endpoint = Endpoint::parse(&format!("sieve://127.0.0.1:{port}"), SCHEMES).unwrap();
        let (tls, max_connections) = (TlsPolicy::Insecure, limits::SERVER_CONNECTIONS);
        let options = SieveOptions { endpoint, tls, login: login(), insecure: false, max_connections };
        let error = SieveStore::open(&RealFs, options).unwrap().mailbox(ANN).unwrap_err().to_string();
        (error, heard.join().unwrap())
    };
    let (error, heard) = sieve(b"\"IMPLEMENTATION\" \"x\"\r\n\"SASL\" \"PLAIN\"\r\nOK\r\n", false);
    assert!(error.contains("it offers no STARTTLS"), "{error}");
    assert!(heard.is_empty(), "it heard {:?}", String::from_utf8_lossy(&heard));
    let (error, _) = sieve(b"\"SASL", true);
    assert!(error.contains("a line that does not end"), "{error}");
    // What comes behind the answer to STARTTLS in the open is an attacker's.
    let (error, _) = sieve(b"\"STARTTLS\"\r\nOK\r\nOK\r\n\"SASL\" \"PLAIN\"\r\nOK\r\n", false);
    assert!(error.contains("as only an attacker would"), "{error}");
}
