//! Header fields, as far as taking apart needs them: where a field ends, what a body is, which boundary divides it.
//!
//! Promises to find an end in any bytes, in time linear in them. What cannot be understood is a leaf: that costs size,
//! never bytes (format-spec/message.md). Called by `trace` and `scan`.

use crate::limits;
use memchr::{memchr, memchr2_iter};
use std::borrow::Cow;

/// What a header says of the body below it.
#[derive(Default)]
pub(super) struct Content<'a> {
    pub kind: Kind<'a>,
    pub encoding: Encoding,
}

#[derive(Default)]
pub(super) enum Kind<'a> {
    /// Nothing that is divided further, or nothing that we understand.
    #[default]
    Leaf,
    /// Divided by this boundary, of 1 to [`limits::MIME_BOUNDARY_BYTES`] bytes. The parts of a digest are messages
    /// unless they say otherwise (RFC 2046, section 5.1.5).
    Multipart { boundary: Cow<'a, [u8]>, digest: bool },
    /// A message with a header of its own.
    Message,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
}

/// The position after the field that begins at `at`, its continuation lines included.
pub(super) fn field_end(raw: &[u8], at: usize) -> usize {
    let mut end = line_end(raw, at);
    while matches!(raw.get(end), Some(b' ' | b'\t')) {
        end = line_end(raw, end);
    }
    end
}

/// The position after the line that begins at `at`; a bare CR does not end a line.
pub(super) fn line_end(raw: &[u8], at: usize) -> usize {
    raw.get(at..).and_then(|rest| memchr(b'\n', rest)).map_or(raw.len(), |found| at + found + 1)
}

/// The bytes of the empty line at `at`: 1 for LF, 2 for CRLF, 0 when there is none.
pub(super) fn empty_line(raw: &[u8], at: usize) -> usize {
    match raw.get(at..).unwrap_or_default() {
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    }
}

/// The value of a field when its name is `name` (in lower case), white space before the colon allowed.
pub(super) fn value_of<'a>(field: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = field.split_at_checked(name.len())?;
    if !start.eq_ignore_ascii_case(name) {
        return None;
    }
    rest.trim_ascii_start().strip_prefix(b":")
}

impl<'a> Content<'a> {
    /// Learns from one field. The first field of a kind counts.
    pub fn learn(&mut self, field: &'a [u8], seen: &mut Seen) {
        // Nearly every field is turned away by its first letter.
        if !matches!(field.first(), Some(b'c' | b'C')) {
            return;
        }
        if let Some(value) = value_of(field, b"content-type") {
            if !std::mem::replace(&mut seen.kind, true) {
                self.kind = kind(value);
            }
        } else if let Some(value) = value_of(field, b"content-transfer-encoding")
            && !std::mem::replace(&mut seen.encoding, true)
        {
            self.encoding = encoding(value);
        }
    }
}

/// Which fields a header has had so far.
#[derive(Default)]
pub(super) struct Seen {
    kind: bool,
    encoding: bool,
}

fn encoding(value: &[u8]) -> Encoding {
    let value = value.trim_ascii();
    if value.eq_ignore_ascii_case(b"base64") {
        Encoding::Base64
    } else if value.eq_ignore_ascii_case(b"quoted-printable") {
        Encoding::QuotedPrintable
    } else {
        Encoding::Identity
    }
}

fn kind(value: &[u8]) -> Kind<'_> {
    let value = value.trim_ascii_start();
    let is = |name: &[u8]| value.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    if is(b"multipart/") {
        return match boundary(value) {
            Some(boundary) => Kind::Multipart { boundary, digest: is(b"multipart/digest") },
            None => Kind::Leaf,
        };
    }
    match is(b"message/rfc822") || is(b"message/global") || is(b"message/news") {
        true => Kind::Message,
        false => Kind::Leaf,
    }
}

/// The boundary parameter, looked for without a full parse, so that `multipart/mixed boundary=x` is understood too.
fn boundary(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    const NAME: &[u8] = b"boundary";
    memchr2_iter(b'b', b'B', value).find_map(|at| {
        let before = at.checked_sub(1).and_then(|before| value.get(before));
        if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
            return None;
        }
        let (name, rest) = value.get(at..)?.split_at_checked(NAME.len())?;
        if !name.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let text = rest.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
        // The longest that can be one, every byte of it quoted; looking further would not be linear.
        let text = text.get(..2 * limits::MIME_BOUNDARY_BYTES + 3).unwrap_or(text);
        let boundary = match text.strip_prefix(b"\"") {
            Some(quoted) => unquote(quoted),
            None => {
                let end = text.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b';');
                Cow::Borrowed(text.get(..end.unwrap_or(text.len()))?)
            }
        };
        (1..=limits::MIME_BOUNDARY_BYTES).contains(&boundary.len()).then_some(boundary)
    })
}

/// The text of a quoted string up to its closing quote, or to its end; trailing white space does not count, because
/// mail systems strip it from delimiter lines.
fn unquote(quoted: &[u8]) -> Cow<'_, [u8]> {
    let mut text = Vec::new();
    let mut at = 0;
    while let Some(&byte) = quoted.get(at) {
        match byte {
            b'"' => break,
            b'\\' => {
                if text.is_empty() {
                    text.extend(quoted.get(..at).unwrap_or_default());
                }
                at += 1;
                text.extend(quoted.get(at));
            }
            _ if !text.is_empty() => text.push(byte),
            _ => {}
        }
        at += 1;
    }
    if text.is_empty() {
        return Cow::Borrowed(quoted.get(..at).unwrap_or_default().trim_ascii_end());
    }
    text.truncate(text.trim_ascii_end().len());
    Cow::Owned(text)
}
