//! What servers answer: IMAP, ManageSieve, WebDAV, LDAP. A hostile one sends any bytes; what comes of them is bounded, and
//! nothing of it leads to another server or to a terminal.

use stationwagon::limits;
use stationwagon::site::dav::{href, xml};
use stationwagon::site::imap::client::answer::{Answer, Untagged};
use stationwagon::site::imap::client::wire::Wire;
use stationwagon::site::imap::client::{set_of, utf7};
use stationwagon::site::ldap::wire::answer::{self, Found};
use stationwagon::site::ldap::wire::ber;
use stationwagon::site::managesieve::syntax::{self, Challenges};
use std::io::{self, Read, Write};
use url::Url;

/// Gives the input in small pieces, and takes whatever is written.
struct Server<'a>(&'a [u8]);

impl Read for Server<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (now, later) = self.0.split_at(buf.len().min(13).min(self.0.len()));
        buf[..now.len()].copy_from_slice(now);
        self.0 = later;
        Ok(now.len())
    }
}

impl Write for Server<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Most bytes that literals of one answer may have here.
const LITERALS: u64 = 1 << 16;

pub fn imap(bytes: &[u8]) {
    for packed in [false, true] {
        let mut wire = Wire::new(Server(bytes));
        if packed {
            wire.compress();
        }
        let mut answer = Vec::new();
        // A compressed answer of nothing but empty lines may be many.
        for _ in 0..10_000 {
            if wire.read_answer(&mut answer, LITERALS).is_err() {
                break;
            }
            assert!(answer.len() as u64 <= LITERALS + limits::IMAP_NUMBERS_BYTES as u64);
            one_answer(&answer);
        }
    }
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(utf7::decode(utf7::encode(&text).as_bytes()).as_deref(), Some(&*text));
    let _ = utf7::decode(bytes);
    let mut uids: Vec<u32> =
        bytes.chunks_exact(4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]])).collect();
    let set = set_of(&uids);
    uids.sort_unstable();
    uids.dedup();
    assert_eq!(set.is_empty(), uids.is_empty());
    assert!(set.bytes().all(|byte| byte.is_ascii_digit() || b":,".contains(&byte)));
}

fn one_answer(answer: &[u8]) {
    match Answer::parse(answer) {
        Some(Answer::Tagged { said, .. } | Answer::Untagged(Untagged::Said(said))) => {
            assert!(!said.to_string().contains(char::is_control), "{said}");
            let _ = (said.asks_to_wait(), said.has("LIMIT"));
        }
        Some(Answer::Untagged(Untagged::Vanished(numbers))) => {
            assert!(numbers.ranges().len() <= limits::IMAP_RANGES);
            assert!(numbers.ranges().iter().all(|range| range.start() <= range.end()));
        }
        Some(Answer::Untagged(Untagged::Fetch(fetched))) => {
            let taken = [&fetched.header, &fetched.body].map(|part| part.as_ref().map_or(0, Vec::len));
            assert!(taken.iter().all(|length| *length <= answer.len()));
        }
        Some(_) | None => {}
    }
}

pub fn managesieve(bytes: &[u8]) {
    for challenges in [Challenges::Expected, Challenges::None] {
        let mut rest = bytes;
        loop {
            let before = rest.len();
            match syntax::read_answer(&mut rest, challenges) {
                Ok(Some(answer)) => assert!(!answer.said().contains('\n')),
                Ok(None) => assert_eq!(challenges, Challenges::Expected),
                Err(_) => break,
            }
            assert!(rest.len() < before, "an answer has at least a line");
        }
    }
    let name: String = String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(1000).collect();
    let line = format!("{} ACTIVE\r\nOK\r\n", syntax::quote(&name));
    let read = syntax::read_answer(&mut line.as_bytes(), Challenges::None).unwrap().unwrap();
    assert_eq!(read.lines[0][0].text(), Some(name.as_bytes()));
}

/// The answers of a directory server, as bytes of its protocol.
pub fn ber(bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let before = rest.len();
        let Ok(elements) = ber::read_message(&mut rest) else { return };
        assert!(rest.len() < before);
        let Some((_, operation, controls)) = answer::message(elements) else { continue };
        if let Some(outcome) = answer::outcome(operation.clone()) {
            assert!(!outcome.words.contains(char::is_control), "{}", outcome.words);
        }
        match answer::found(operation, controls) {
            // Each text has at least its tag and its length; a GUID is written with two digits a byte.
            Some(Found::Entry(entry)) => assert!(entry.bytes() <= 2 * size_of::<String>() * before),
            Some(Found::References(urls)) => assert!(urls.len() <= limits::BAD_LINES_SHOWN),
            Some(Found::End(_, cookie)) => assert!(cookie.len() < before),
            Some(Found::Aside) | None => {}
        }
    }
}

pub fn dav(bytes: &[u8]) {
    let base = Url::parse("https://dav.example.test/users/ann/calendars/home/").unwrap();
    let mut held = 0;
    let mut each = |node: xml::Node| {
        assert!(depth(&node) <= limits::DAV_XML_DEPTH);
        held += 1;
        hrefs(&base, &node);
        Ok(())
    };
    if xml::read(bytes, bytes.len() as u64 + 1, &mut each).is_ok() {
        assert!(held <= bytes.len());
    }
    // No answer may be longer than was said.
    if bytes.len() > 2 {
        let half = bytes.len() as u64 / 2;
        let _ = xml::read(bytes, half, &mut |_| Ok(()));
    }
    let _ = xml::texts(bytes, 1000);
    lead(&base, &String::from_utf8_lossy(bytes));
}

fn depth(node: &xml::Node) -> usize {
    1 + node.children.iter().map(depth).max().unwrap_or_default()
}

fn hrefs(base: &Url, node: &xml::Node) {
    lead(base, &node.text);
    node.children.iter().for_each(|child| hrefs(base, child));
}

/// An address that is taken is on the same server, and no level of its path leads anywhere else.
fn lead(base: &Url, text: &str) {
    let Ok(url) = href::resolve(base, text) else { return };
    assert!(href::same_server(base, &url), "{url}");
    assert!(href::is_same(&url, &url), "{url}");
    assert_eq!(href::resolve(base, url.as_str()).as_ref(), Ok(&url), "{url}");
    for name in [href::name_in(base, &url), href::last_level(&url)].into_iter().flatten() {
        assert!(!matches!(name.as_str(), "" | "." | "..") && !name.contains(['/', '\\', '\0']), "{name:?}");
    }
}
