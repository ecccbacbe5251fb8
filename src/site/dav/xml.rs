//! XML of DAV servers, read from a stream within bounds: depth, size of one piece, size of the whole. No entity but
//! XML's own five is known and no document type is taken, so nothing grows by being read.
//!
//! Text comes exactly as it was sent, line ends included: what XML would make of them is not what a calendar server has
//! stored (RFC 4791 9.6 embeds data as text).

use crate::limits;
use quick_xml::NsReader;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use std::io::{self, BufRead, BufReader, Read};

/// The namespaces that are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ns {
    Dav,
    CalDav,
    CardDav,
    CalendarServer,
    Apple,
    /// Where Radicale and others keep the colour of an address book.
    Inf,
    /// Privileges that only Cyrus tells apart.
    Cyrus,
    Other,
}

impl Ns {
    const ALL: [(Ns, &'static str); 7] = [
        (Ns::Dav, "DAV:"),
        (Ns::CalDav, "urn:ietf:params:xml:ns:caldav"),
        (Ns::CardDav, "urn:ietf:params:xml:ns:carddav"),
        (Ns::CalendarServer, "http://calendarserver.org/ns/"),
        (Ns::Apple, "http://apple.com/ns/ical/"),
        (Ns::Inf, "http://inf-it.com/ns/ab/"),
        (Ns::Cyrus, "http://cyrusimap.org/ns/"),
    ];

    fn of(uri: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == uri).map_or(Self::Other, |(ns, _)| *ns)
    }
}

/// An element with everything in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    pub ns: Ns,
    pub name: String,
    /// The attribute `name`, by which calendar components are told apart (RFC 4791 9.6.1).
    pub attribute: Option<String>,
    /// Its text, that of its children apart.
    pub text: String,
    pub children: Vec<Node>,
}

impl Node {
    pub fn is(&self, ns: Ns, name: &str) -> bool {
        self.ns == ns && self.name == name
    }

    pub fn child(&self, ns: Ns, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.is(ns, name))
    }

    /// As it is written in a body, with the prefixes that all bodies have; `None` where something in it is of a namespace
    /// that has none.
    pub fn encode(&self) -> Option<String> {
        let prefix = match self.ns {
            Ns::Dav => "D",
            Ns::CalDav => "C",
            Ns::CardDav => "R",
            Ns::CalendarServer => "S",
            Ns::Apple => "A",
            Ns::Inf => "I",
            Ns::Cyrus => "Y",
            Ns::Other => return None,
        };
        let (name, text) = (&self.name, escape(&self.text));
        let children: String = self.children.iter().map(Self::encode).collect::<Option<_>>()?;
        Some(match text.is_empty() && children.is_empty() {
            true => format!("<{prefix}:{name}/>"),
            false => format!("<{prefix}:{name}>{text}{children}</{prefix}:{name}>"),
        })
    }

    /// The text without white space around it, where there is any.
    pub fn trimmed(&self) -> Option<&str> {
        Some(self.text.trim()).filter(|text| !text.is_empty())
    }
}

/// Reads a document, and hands on each child of its root as soon as it is complete; the root itself, without those, is the
/// result. An error of kind `InvalidData` is a document that breaks the rules or a bound.
pub fn read(input: impl Read, whole: u64, each: &mut dyn FnMut(Node) -> io::Result<()>) -> io::Result<Node> {
    let bounded = Bounded { inner: input, whole, piece: limits::DAV_PIECE_BYTES };
    let mut reader = NsReader::from_reader(BufReader::new(bounded));
    let mut buffer = Vec::new();
    // The elements that are open, outermost first, and the bytes that they hold together.
    let mut open: Vec<Node> = Vec::new();
    let mut held = 0_usize;
    loop {
        buffer.clear();
        reader.get_mut().get_mut().piece = limits::DAV_PIECE_BYTES;
        let (resolved, event) = reader.read_resolved_event_into(&mut buffer).map_err(unreadable)?;
        let finished = match event {
            Event::Start(start) => {
                if open.len() >= limits::DAV_XML_DEPTH {
                    return Err(bad("elements nested deeper than is taken"));
                }
                open.push(node(&resolved, &start)?);
                None
            }
            Event::Empty(start) => Some(node(&resolved, &start)?),
            Event::End(_) => open.pop(),
            Event::Text(text) => {
                held += append(&mut open, &text.into_inner());
                None
            }
            Event::CData(text) => {
                held += append(&mut open, &text.into_inner());
                None
            }
            Event::GeneralRef(reference) => {
                let known = match &*reference {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => reference.resolve_char_ref().map_err(unreadable)?,
                };
                let known = known.ok_or_else(|| bad("an entity that is not XML's own"))?;
                held += append(&mut open, known.encode_utf8(&mut [0; 4]));
                None
            }
            Event::DocType(_) => return Err(bad("a document type, which no answer has")),
            Event::Eof => return Err(bad("a document that ends before its root")),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => None,
        };
        held += NODE_BYTES;
        if held > limits::DAV_ELEMENT_BYTES {
            return Err(bad("an element larger than is taken"));
        }
        if let Some(node) = finished {
            match open.len() {
                0 => {
                    // Only a connection whose answer was heard to its end can be used again.
                    drain(reader.get_mut());
                    return Ok(node);
                }
                1 => {
                    held = open.iter().map(|node| node.text.len()).sum();
                    each(node)?;
                }
                _ => {
                    if let Some(above) = open.last_mut() {
                        above.children.push(node);
                    }
                }
            }
        }
    }
}

/// Reads what is left of an answer, if that is little.
pub fn drain(input: &mut impl Read) {
    // Whatever goes wrong here concerns nobody: the connection is then not used again.
    let _ = io::copy(&mut input.take(limits::DAV_WORDS_BYTES), &mut io::sink());
}

/// What an event costs beside its text, bytes; an element has a name and a place for children.
const NODE_BYTES: usize = 128;

fn node(resolved: &ResolveResult<'_>, start: &BytesStart<'_>) -> io::Result<Node> {
    let ns = match resolved {
        ResolveResult::Bound(namespace) => Ns::of(namespace.0),
        ResolveResult::Unbound | ResolveResult::Unknown(_) => Ns::Other,
    };
    let attribute = start.try_get_attribute("name").map_err(|error| bad(&error.to_string()))?;
    let attribute = attribute.map(|attribute| attribute.value.into_owned());
    let name = start.local_name().into_inner().to_owned();
    Ok(Node { ns, name, attribute, text: String::new(), children: Vec::new() })
}

fn append(open: &mut [Node], text: &str) -> usize {
    match open.last_mut() {
        Some(node) => {
            node.text.push_str(text);
            text.len()
        }
        None => 0,
    }
}

fn unreadable(error: quick_xml::Error) -> io::Error {
    match error {
        quick_xml::Error::Io(error) => io::Error::new(error.kind(), error.to_string()),
        error => bad(&format!("what is no XML: {error}")),
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server sent {what}"))
}

/// Ends with an error where the whole or one piece between two events is longer than allowed.
struct Bounded<R> {
    inner: R,
    whole: u64,
    piece: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.whole.min(self.piece);
        if left == 0 {
            return Err(bad("more than is taken"));
        }
        let end = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let n = self.inner.read(buf.get_mut(..end).unwrap_or_default())?;
        self.whole -= n as u64;
        self.piece -= n as u64;
        Ok(n)
    }
}

/// `text` as the content of an element.
pub fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

/// The texts of a document in reading order, for what a person is told; no markup, at most `limit` bytes of it.
pub fn texts(input: impl BufRead, limit: u64) -> String {
    let mut words = Vec::new();
    let mut gather = |node: Node| {
        collect(&node, &mut words);
        Ok(())
    };
    match read(input, limit, &mut gather) {
        Ok(_) => words.join("; "),
        Err(_) => String::new(),
    }
}

fn collect(node: &Node, words: &mut Vec<String>) {
    match node.trimmed() {
        Some(text) => words.push(text.split_whitespace().collect::<Vec<_>>().join(" ")),
        // An empty element is a condition that was not met, and its name says which.
        None if node.children.is_empty() => words.push(node.name.clone()),
        None => {}
    }
    node.children.iter().for_each(|child| collect(child, words));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn children(text: &str) -> io::Result<Vec<Node>> {
        let mut found = Vec::new();
        read(text.as_bytes(), 1 << 30, &mut |node| {
            found.push(node);
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn text_comes_as_it_was_sent_with_its_line_ends_and_references() {
        let found =
            children("<a xmlns='DAV:'><b>BEGIN:X\r\nA:1 &lt; 2 &amp; &#13;\n<![CDATA[<x>\r\n]]></b><c/></a>").unwrap();
        assert_eq!(found[0].text, "BEGIN:X\r\nA:1 < 2 & \r\n<x>\r\n");
        assert!(found[0].is(Ns::Dav, "b") && found[1].is(Ns::Dav, "c"));
    }

    #[test]
    fn prefixes_and_defaults_name_the_same() {
        let found = children(
            "<D:a xmlns:D='DAV:' xmlns='urn:ietf:params:xml:ns:caldav'><comp name='VTODO'/><D:x/><y xmlns='z'/></D:a>",
        )
        .unwrap();
        assert!(found[0].is(Ns::CalDav, "comp") && found[1].is(Ns::Dav, "x") && found[2].is(Ns::Other, "y"));
        assert_eq!(found[0].attribute.as_deref(), Some("VTODO"));
    }

    #[test]
    fn what_would_grow_or_never_end_is_refused_within_bounds() {
        let deep = "<a>".repeat(limits::DAV_XML_DEPTH + 1);
        let bomb = "<!DOCTYPE a [<!ENTITY b \"xxxx\">]><a><c>&b;</c></a>";
        let unknown = "<a><c>&b;</c></a>";
        let cut = "<a><b>";
        for hostile in [deep.as_str(), bomb, unknown, cut, "", "no xml", "<a></b>"] {
            assert_eq!(children(hostile).unwrap_err().kind(), io::ErrorKind::InvalidData, "{hostile}");
        }
        let endless = io::repeat(b'x').take(u64::MAX);
        let text = io::Cursor::new(b"<a><b>").chain(endless);
        assert_eq!(read(text, 1 << 40, &mut |_| Ok(())).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let many = io::Cursor::new(b"<a><b>").chain(Repeat { unit: b"<c/>", at: 0 });
        assert_eq!(read(many, 1 << 40, &mut |_| Ok(())).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let children = io::Cursor::new(b"<a>").chain(Repeat { unit: b"<c/>", at: 0 });
        assert_eq!(read(children, 1 << 20, &mut |_| Ok(())).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    /// The same bytes again and again.
    struct Repeat {
        unit: &'static [u8],
        at: usize,
    }

    impl Read for Repeat {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            for byte in buf.iter_mut() {
                *byte = self.unit[self.at % self.unit.len()];
                self.at += 1;
            }
            Ok(buf.len())
        }
    }

    #[test]
    fn an_error_is_told_in_its_words() {
        let text = "<D:error xmlns:D='DAV:'><C:no-uid-conflict xmlns:C='urn:ietf:params:xml:ns:caldav'>\
            <D:href>/x.ics</D:href></C:no-uid-conflict><D:need-privileges/></D:error>";
        assert_eq!(texts(text.as_bytes(), 1000), "/x.ics; need-privileges");
    }
}
