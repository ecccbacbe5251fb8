//! A directory server that answers as a test tells it, and a way to a real one that breaks where a test tells it.

use super::*;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Requests by their tags (RFC 4511 section 4); the answer to one has the next number, and the bit of what holds others.
pub const BIND: u8 = 0x60;
pub const UNBIND: u8 = 0x42;
pub const SEARCH: u8 = 0x63;
pub const ADD: u8 = 0x68;
pub const EXTENDED: u8 = 0x77;

pub const SUCCESS: u8 = 0;
pub const BUSY: u8 = 51;
pub const UNAVAILABLE: u8 = 52;
pub const ENTRY_EXISTS: u8 = 68;

/// What a client says.
pub struct Request {
    /// The whole message.
    pub bytes: Vec<u8>,
    id: Vec<u8>,
    pub operation: u8,
}

/// What a server then does.
pub enum Reply {
    Say(Vec<u8>),
    HangUp,
}

impl Request {
    /// The next message of a client; `None` at its end.
    pub fn read(stream: &mut TcpStream) -> Option<Self> {
        let bytes = read_message(stream).ok().filter(|bytes| bytes.first() == Some(&0x30))?;
        let (message, _) = element(&bytes);
        let (id, rest) = element(message);
        Some(Self { id: id.to_vec(), operation: rest[0], bytes: bytes.clone() })
    }

    pub fn mentions(&self, text: &str) -> bool {
        self.bytes.windows(text.len()).any(|part| part == text.as_bytes())
    }

    /// An answer to this request.
    pub fn answer(&self, tag: u8, inside: &[u8]) -> Vec<u8> {
        around(0x30, &[around(2, &self.id), around(tag, inside)].concat())
    }

    /// Its end, with this code and text.
    pub fn end(&self, code: u8, text: &str) -> Vec<u8> {
        let inside = [vec![10, 1, code, 4, 0], around(4, text.as_bytes())].concat();
        // The answers of a search have two numbers, its end the second.
        let next = if self.operation == SEARCH { 2 } else { 1 };
        self.answer((self.operation | 0x20) + next, &inside)
    }

    /// An entry that a search finds.
    pub fn entry(&self, dn: &str, values: &[(&str, &[&str])]) -> Vec<u8> {
        let attribute = |(name, values): &(&str, &[&str])| {
            let set = around(0x31, &values.iter().flat_map(|value| around(4, value.as_bytes())).collect::<Vec<_>>());
            around(0x30, &[around(4, name.as_bytes()), set].concat())
        };
        let all = values.iter().flat_map(attribute).collect::<Vec<_>>();
        self.answer(0x64, &[around(4, dn.as_bytes()), around(0x30, &all)].concat())
    }

    /// The end of a page behind which there are more.
    pub fn more(&self, cookie: &str) -> Vec<u8> {
        let page = around(0x30, &[vec![2, 1, 0], around(4, cookie.as_bytes())].concat());
        let control = around(0x30, &[around(4, b"1.2.840.113556.1.4.319"), around(4, &page)].concat());
        let end = around(0x65, &[10, 1, 0, 4, 0, 4, 0]);
        around(0x30, &[around(2, &self.id), end, around(0xa0, &control)].concat())
    }
}

/// An element with a length of four bytes, as Active Directory writes them.
pub fn around(tag: u8, inside: &[u8]) -> Vec<u8> {
    let length = u32::try_from(inside.len()).unwrap().to_be_bytes();
    [&[tag, 0x84], length.as_slice(), inside].concat()
}

/// The content of the first element, and what stands behind it.
fn element(bytes: &[u8]) -> (&[u8], &[u8]) {
    let long = long_length(bytes[1]);
    bytes[2 + long..].split_at(length(bytes[1], &bytes[2..2 + long]))
}

/// Bytes of a length behind its first.
fn long_length(first: u8) -> usize {
    usize::from(first.saturating_sub(0x80))
}

fn length(first: u8, long: &[u8]) -> usize {
    if long.is_empty() { first.into() } else { long.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)) }
}

fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 2];
    stream.read_exact(&mut bytes)?;
    bytes.resize(2 + long_length(bytes[1]), 0);
    stream.read_exact(&mut bytes[2..])?;
    let start = bytes.len();
    bytes.resize(start + length(bytes[1], &bytes[2..]), 0);
    stream.read_exact(&mut bytes[start..])?;
    Ok(bytes)
}

/// Serves one client after the other; a script sees every request but the farewell, and which connection it came on.
pub fn serve(mut script: impl FnMut(&Request, usize) -> Reply + Send + 'static) -> u16 {
    let (listener, port) = listen();
    thread::spawn(move || {
        for (connection, stream) in listener.incoming().enumerate() {
            let mut stream: TcpStream = stream.unwrap();
            while let Some(request) = Request::read(&mut stream) {
                if request.operation == UNBIND {
                    break;
                }
                match script(&request, connection) {
                    // The client may have gone already; that is its right.
                    Reply::Say(answer) if stream.write_all(&answer).is_ok() => {}
                    _ => break,
                }
            }
        }
    });
    port
}

/// Where a connection breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// The server never sees the request.
    Before,
    /// The server has answered, and nobody hears it.
    After,
}

/// A way to the server at `address` that breaks once, at the `nth` request that any client says; and whether it broke.
pub fn broken_way(address: String, nth: usize, cut: Cut) -> (u16, Arc<AtomicBool>) {
    let (listener, port) = listen();
    let broken = Arc::new(AtomicBool::new(false));
    let breaking = broken.clone();
    thread::spawn(move || {
        let mut said = 0;
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(&address).unwrap());
            while let Some(request) = Request::read(&mut client) {
                let breaks = said == nth && request.operation != UNBIND;
                said += 1;
                breaking.fetch_or(breaks, Ordering::Relaxed);
                if breaks && cut == Cut::Before {
                    break;
                }
                server.write_all(&request.bytes).unwrap();
                if request.operation == UNBIND || !pass_answers(&mut server, &mut client, breaks) {
                    break;
                }
            }
        }
    });
    (port, broken)
}

/// Hands on all answers to one request, or throws them away; whether there is more to come.
fn pass_answers(server: &mut TcpStream, client: &mut TcpStream, lost: bool) -> bool {
    loop {
        let Ok(answer) = read_message(server) else { return false };
        let (_, operation) = element(element(&answer).0);
        let is_last = !matches!(operation[0], 0x64 | 0x73);
        if !lost && client.write_all(&answer).is_err() {
            return false;
        }
        if is_last {
            return !lost;
        }
    }
}

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// How such a server is opened: in the open, in pages of ten.
pub fn plain(port: u16, dir: &Path) -> LdapOptions {
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
