//! Finds the leaf bodies of a message: everything between headers and delimiter lines, preambles and epilogues too.
//!
//! Promises: any bytes, in linear time and without recursion; ranges that do not overlap, in order. A message is
//! opened like a multipart. What is nested deeper than `MIME_DEPTH` multiparts is one leaf. Called by `split`.

use super::header::{Content, Encoding, Kind, Seen, empty_line, field_end, line_end};
use crate::limits;
use memchr::memmem::Finder;
use std::borrow::Cow;
use std::ops::Range;

/// A leaf body that is worth taking out.
pub(super) struct Body {
    /// Where it lies, without the line end that belongs to the delimiter line after it.
    pub range: Range<usize>,
    /// Whether its header says that it is base64.
    pub base64: bool,
}

/// The leaf bodies of at least [`limits::PART_BYTES`], at most [`limits::MIME_PARTS`] of them, of the message whose
/// header begins at `start`.
pub(super) fn bodies(raw: &[u8], start: usize) -> Vec<Body> {
    let mut scan = Scan { raw, at: start, open: Vec::new(), dashes: Finder::new(b"\n--"), found: Vec::new() };
    let mut next = Some(Next::Header { digest: false });
    while let Some(now) = next {
        if scan.found.len() >= limits::MIME_PARTS {
            break;
        }
        next = match now {
            Next::Header { digest } => scan.header(digest),
            Next::Body { base64 } => scan.body(base64),
        };
    }
    scan.found
}

/// What begins at the present position.
enum Next {
    Header { digest: bool },
    Body { base64: bool },
}

/// A multipart whose parts we are in.
struct Open<'a> {
    boundary: Cow<'a, [u8]>,
    digest: bool,
}

/// A delimiter line of an open multipart.
struct Delimiter {
    /// Which multipart it belongs to, counted from the outermost.
    level: usize,
    closes: bool,
    range: Range<usize>,
}

struct Scan<'a> {
    raw: &'a [u8],
    at: usize,
    open: Vec<Open<'a>>,
    dashes: Finder<'static>,
    found: Vec<Body>,
}

impl<'a> Scan<'a> {
    /// Reads a header up to its empty line. A delimiter line inside it ends the part, which then has no body.
    fn header(&mut self, digest: bool) -> Option<Next> {
        let mut content = Content { kind: if digest { Kind::Message } else { Kind::Leaf }, ..Content::default() };
        let mut seen = Seen::default();
        loop {
            if self.at >= self.raw.len() {
                return None;
            }
            let empty = empty_line(self.raw, self.at);
            if empty > 0 {
                self.at += empty;
                break;
            }
            if let Some(delimiter) = self.delimiter_at(self.at) {
                return Some(self.pass(&delimiter));
            }
            let end = field_end(self.raw, self.at);
            content.learn(self.raw.get(self.at..end)?, &mut seen);
            self.at = end;
        }
        let base64 = content.encoding == Encoding::Base64;
        Some(match content.kind {
            Kind::Multipart { boundary, digest } if self.open.len() < limits::MIME_DEPTH => {
                self.open.push(Open { boundary, digest });
                Next::Body { base64: false } // the preamble
            }
            Kind::Message if content.encoding == Encoding::Identity => Next::Header { digest: false },
            Kind::Multipart { .. } => Next::Body { base64: false },
            _ => Next::Body { base64 },
        })
    }

    /// Runs over a body up to the next delimiter line of any open multipart, so that one that was never closed ends
    /// with the one around it.
    fn body(&mut self, base64: bool) -> Option<Next> {
        let start = self.at;
        let delimiter = self.next_delimiter();
        let end = match &delimiter {
            None => self.raw.len(),
            Some(delimiter) => {
                // The line end before the delimiter line belongs to that (RFC 2046, section 5.1.1).
                let before = self.raw.get(start..delimiter.range.start).unwrap_or_default();
                let body = before.strip_suffix(b"\n").map_or(before, |body| body.strip_suffix(b"\r").unwrap_or(body));
                start + body.len()
            }
        };
        if end - start >= limits::PART_BYTES {
            self.found.push(Body { range: start..end, base64 });
        }
        delimiter.map(|delimiter| self.pass(&delimiter))
    }

    /// Goes behind a delimiter line, closing what it ends.
    fn pass(&mut self, delimiter: &Delimiter) -> Next {
        self.at = delimiter.range.end;
        self.open.truncate(delimiter.level + usize::from(!delimiter.closes));
        match self.open.last() {
            Some(open) if !delimiter.closes => Next::Header { digest: open.digest },
            _ => Next::Body { base64: false }, // the epilogue
        }
    }

    fn next_delimiter(&self) -> Option<Delimiter> {
        if self.open.is_empty() {
            return None;
        }
        let rest = self.raw.get(self.at..)?;
        self.delimiter_at(self.at)
            .or_else(|| self.dashes.find_iter(rest).find_map(|found| self.delimiter_at(self.at + found + 1)))
    }

    /// The delimiter line that begins at `at`, the innermost multipart first.
    ///
    /// [`limits::MIME_DEPTH`] bounds the comparisons of a line, so this is linear whatever a message nests.
    fn delimiter_at(&self, at: usize) -> Option<Delimiter> {
        let rest = self.raw.get(at..)?.strip_prefix(b"--")?;
        self.open.iter().enumerate().rev().find_map(|(level, open)| {
            let after = rest.strip_prefix(&*open.boundary)?;
            let (closes, tail) = match after.strip_prefix(b"--") {
                Some(tail) if is_blank_line(tail) => (true, tail),
                _ => (false, after),
            };
            is_blank_line(tail).then(|| Delimiter { level, closes, range: at..line_end(self.raw, at) })
        })
    }
}

/// Whether nothing but a little white space stands before the line end. Mail systems pad delimiter lines by a blank or
/// two at most; looking no further keeps a long line cheap.
fn is_blank_line(text: &[u8]) -> bool {
    const PADDING_BYTES: usize = 16;
    match text.iter().take(PADDING_BYTES).find(|byte| !matches!(byte, b' ' | b'\t' | b'\r')) {
        Some(byte) => *byte == b'\n',
        None => text.len() < PADDING_BYTES,
    }
}
