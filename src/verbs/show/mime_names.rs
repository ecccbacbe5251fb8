//! The names of a message's attachments, from the headers of its parts. A line machine rather than a MIME parser: it
//! knows the boundaries that headers announced, and a line that is one begins a header. Bodies only pass by, so it works
//! as well on a message of which the bodies are missing.

use super::header::{self, Field, hex_pair};
use crate::limits::{ATTACHMENT_NAMES, HEADER_BYTES, OPEN_BOUNDARIES};

/// The names, decoded, in order.
pub fn attachment_names(message: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut boundaries = Vec::<Vec<u8>>::new();
    let mut rest = message;
    let mut in_header = true;
    while !rest.is_empty() && names.len() < ATTACHMENT_NAMES {
        if in_header {
            let (block, after) = header_block(rest);
            let fields = header::fields(block);
            let content_type = fields.iter().find(|field| field.is("content-type"));
            let disposition = fields.iter().find(|field| field.is("content-disposition"));
            let name = disposition.and_then(|field| parameter(field, "filename"));
            names.extend(name.or_else(|| content_type.and_then(|field| parameter(field, "name"))));
            let kind = content_type.map(|field| field.value.to_ascii_lowercase()).unwrap_or_default();
            if kind.starts_with("multipart/")
                && boundaries.len() < OPEN_BOUNDARIES
                && let Some(boundary) = content_type.and_then(|field| parameter(field, "boundary"))
            {
                boundaries.push(boundary.into_bytes());
            }
            // A message inside a message begins with a header again.
            in_header = kind.starts_with("message/rfc822") || kind.starts_with("message/global");
            // Two headers without a body between them would go on for ever where the block is empty.
            in_header &= after.len() < rest.len();
            rest = after;
            continue;
        }
        let (line, after) = match memchr::memchr(b'\n', rest) {
            Some(end) => (rest.get(..end).unwrap_or(rest), rest.get(end + 1..).unwrap_or_default()),
            None => (rest, &[][..]),
        };
        if let Some(mark) = line.strip_prefix(b"--") {
            let mark = mark.trim_ascii_end();
            // Innermost first; a boundary of an outer part ends all inner ones.
            if let Some(at) = boundaries.iter().rposition(|boundary| mark == boundary.as_slice()) {
                boundaries.truncate(at + 1);
                in_header = true;
            } else if let Some(at) =
                boundaries.iter().rposition(|boundary| mark.strip_suffix(b"--") == Some(boundary.as_slice()))
            {
                boundaries.truncate(at);
            }
        }
        rest = after;
    }
    names
}

/// Cuts behind the first empty line; the block is at most [`HEADER_BYTES`] long.
fn header_block(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for end in memchr::memchr_iter(b'\n', bytes) {
        let line = bytes.get(at..end).unwrap_or_default();
        at = end + 1;
        if line.is_empty() || line == b"\r" || at > HEADER_BYTES {
            return bytes.split_at(at);
        }
    }
    (bytes, &[])
}

/// A parameter of a structured field: plain, quoted, in encoded words (against RFC 2047, but common), or in the pieces
/// of RFC 2231.
fn parameter(field: &Field, wanted: &str) -> Option<String> {
    let mut plain = None;
    let mut pieces = Vec::<(u32, bool, String)>::new();
    for (name, value) in parameters(&field.value) {
        let Some(suffix) = name.strip_prefix(wanted) else { continue };
        match suffix.strip_prefix('*') {
            None if suffix.is_empty() => plain = plain.or(Some(value)),
            None => {}
            Some("") => pieces.push((0, true, value)),
            Some(number) => {
                let (number, encoded) = number.strip_suffix('*').map_or((number, false), |number| (number, true));
                if let Ok(number) = number.parse() {
                    pieces.push((number, encoded, value));
                }
            }
        }
    }
    if pieces.is_empty() {
        return plain.map(|value| header::decode(&value));
    }
    pieces.sort_by_key(|(number, _, _)| *number);
    let mut charset = String::new();
    let mut bytes = Vec::new();
    for (at, (_, encoded, value)) in pieces.iter().enumerate() {
        let mut value = value.as_str();
        if at == 0 && *encoded {
            let mut parts = value.splitn(3, '\'');
            if let (Some(named), Some(_), Some(text)) = (parts.next(), parts.next(), parts.next()) {
                charset = named.to_owned();
                value = text;
            }
        }
        if *encoded { bytes.extend(percent(value)) } else { bytes.extend_from_slice(value.as_bytes()) }
    }
    Some(header::in_charset(&bytes, &charset))
}

/// `name=value` pairs behind the first `;`, names in lower case, values without quotes.
fn parameters(value: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = value.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((name, after)) = rest.split_once('=') {
        // A piece without `=` before this one is passed over.
        let name = name.rsplit(';').next().unwrap_or(name).trim().to_ascii_lowercase();
        let after = after.trim_start();
        let (text, next) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = after.find(';').unwrap_or(after.len());
                let (text, next) = after.split_at(end);
                (text.trim().to_owned(), next)
            }
        };
        found.push((name, text));
        rest = next.split_once(';').map_or("", |(_, rest)| rest);
    }
    found
}

/// The text up to the closing quote, and what comes behind it.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (text, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => text.extend(chars.next().map(|(_, c)| c)),
            c => text.push(c),
        }
    }
    (text, "")
}

fn percent(value: &str) -> Vec<u8> {
    let bytes = value.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match hex_pair(bytes.get(at..at + 2)).filter(|_| byte == b'%') {
            Some(value) => {
                out.push(value);
                at += 2;
            }
            None => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_every_spelling_and_depth() {
        let message = b"Content-Type: multipart/mixed;\r\n boundary=\"a b\"\r\n\r\n\
            Content-Disposition: attachment; filename=preamble.txt\r\n\r\n\
            --a b\r\nContent-Type: application/pdf; name=\"=?utf-8?q?Rech=C3=BCnung=2Epdf?=\"\r\n\r\nx\r\n\
            --a b\r\nContent-Disposition: attachment; filename*=iso-8859-1'de'%DCbersicht.txt\r\n\r\n\
            --a b\r\nContent-Disposition: attachment;\r\n filename*0=\"long \"; filename*1=\"name\";\r\n filename*2*=%2Edoc\r\n\r\n\
            --a b\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=inner\r\n\r\n\
            --inner\r\nContent-Disposition: attachment; filename=\"in\\\"ner.png\"\r\n\r\n\
            --a b\r\nContent-Disposition: attachment; filename=after.zip\r\n\r\n\
            --inner\r\nContent-Disposition: attachment; filename=closed.zip\r\n\r\n\
            --a b--\r\nContent-Disposition: attachment; filename=epilogue.txt\r\n\r\n";
        let names = attachment_names(message);
        assert_eq!(names, ["Rechünung.pdf", "Übersicht.txt", "long name.doc", "in\"ner.png", "after.zip"]);
    }

    #[test]
    fn a_message_inside_a_message_without_end_is_no_loop() {
        let nested = b"Content-Type: message/rfc822\n\n".repeat(5000);
        assert!(attachment_names(&nested).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_have_some_names(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            attachment_names(&bytes);
        }

        #[test]
        fn any_parameters_parse(text in "[;=\"*'%a-c0-9 \\\\]{0,60}") {
            let field = Field { name: "x".to_owned(), value: text };
            parameter(&field, "a");
        }
    }
}
