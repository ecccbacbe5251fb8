//! The header of a message as a person reads it: fields unfolded, encoded words (RFC 2047) decoded. Works on whatever
//! bytes there are; what cannot be decoded stays as it is.

use crate::limits::HEADER_BYTES;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Encoders that cut words short are common, so bits and padding that are wrong at the end are let through.
pub(super) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A field as it stands: name and value, the value unfolded but not decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    pub name: String,
    pub value: String,
}

impl Field {
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value for a person.
    pub fn text(&self) -> String {
        decode(&self.value)
    }
}

/// The fields up to the first empty line, of the first [`HEADER_BYTES`] at most.
pub fn fields(message: &[u8]) -> Vec<Field> {
    let head = message.get(..HEADER_BYTES).unwrap_or(message);
    let mut fields = Vec::<(&[u8], Vec<u8>)>::new();
    for line in head.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            if let Some((_, value)) = fields.last_mut() {
                value.push(b' ');
                value.extend_from_slice(line.trim_ascii());
            }
        } else if let Some(colon) = memchr::memchr(b':', line) {
            let (name, value) = line.split_at(colon);
            fields.push((name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii().to_vec()));
        }
        // Anything else (an mbox `From ` line, garbage) is no field.
    }
    let field = |(name, value): (&[u8], Vec<u8>)| Field { name: loose(name), value: loose(&value) };
    fields.into_iter().map(field).collect()
}

/// Bytes as text: UTF-8 where they are, else as Windows-1252, of which any byte is some character.
fn loose(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => encoding_rs::WINDOWS_1252.decode(bytes).0.into_owned(),
    }
}

/// `bytes` in the charset that a message names; an unknown one is taken for text that needs none.
pub fn in_charset(bytes: &[u8], charset: &str) -> String {
    match encoding_rs::Encoding::for_label(charset.as_bytes()) {
        Some(encoding) => encoding.decode(bytes).0.into_owned(),
        None => loose(bytes),
    }
}

/// Replaces the encoded words in `value` (RFC 2047 2) by what they say. White space between two of them goes (6.2); two
/// neighbours of one charset and encoding are joined before decoding, because encoders cut characters in two.
pub fn decode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut open: Option<(String, Vec<u8>)> = None;
    let mut rest = value;
    while let Some(start) = rest.find("=?") {
        let (before, from) = rest.split_at(start);
        let Some((charset, bytes, len)) = word(from) else {
            close(&mut out, &mut open);
            out.push_str(before);
            out.push_str("=?");
            rest = from.get(2..).unwrap_or_default();
            continue;
        };
        match &mut open {
            Some((of, so_far)) if of.eq_ignore_ascii_case(charset) && before.trim().is_empty() => {
                so_far.extend_from_slice(&bytes);
            }
            _ => {
                let follows_word = open.is_some() && before.trim().is_empty();
                close(&mut out, &mut open);
                if !follows_word {
                    out.push_str(before);
                }
                open = Some((charset.to_owned(), bytes));
            }
        }
        rest = from.get(len..).unwrap_or_default();
    }
    close(&mut out, &mut open);
    out.push_str(rest);
    out
}

fn close(out: &mut String, open: &mut Option<(String, Vec<u8>)>) {
    if let Some((charset, bytes)) = open.take() {
        out.push_str(&in_charset(&bytes, &charset));
    }
}

/// The encoded word that `text` begins with: its charset (without an RFC 2231 language), its bytes, its length.
fn word(text: &str) -> Option<(&str, Vec<u8>, usize)> {
    let (charset, after) = text.strip_prefix("=?")?.split_once('?')?;
    let (encoding, after) = after.split_once('?')?;
    let end = after.find("?=")?;
    let content = after.get(..end)?;
    // White space inside is against RFC 2047, but senders do it in `Q`; a charset with it is no encoded word at all.
    if charset.is_empty() || charset.contains(char::is_whitespace) {
        return None;
    }
    let bytes = match encoding {
        "b" | "B" => LENIENT.decode(content.trim_end_matches('=')).ok()?,
        "q" | "Q" => quoted(content),
        _ => return None,
    };
    let charset = charset.split('*').next().unwrap_or(charset);
    Some((charset, bytes, text.len() - after.len() + end + 2))
}

/// RFC 2047 4.2.
fn quoted(content: &str) -> Vec<u8> {
    let bytes = content.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        out.push(match byte {
            b'_' => b' ',
            b'=' => match hex_pair(bytes.get(at..at + 2)) {
                Some(value) => {
                    at += 2;
                    value
                }
                None => b'=',
            },
            other => other,
        });
    }
    out
}

/// The byte that two hex digits of either case name.
pub fn hex_pair(digits: Option<&[u8]>) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match digits {
        Some([high, low]) => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_unfolded_and_end_at_the_empty_line() {
        let found = fields(b"From x\nSubject: one\r\n\ttwo\r\n  three\r\nTo : ann\n garbage\n\nBody: no\n");
        let found: Vec<_> = found.iter().map(|field| (field.name.as_str(), field.value.as_str())).collect();
        assert_eq!(found, [("Subject", "one two three"), ("To", "ann garbage")]);
    }

    #[test]
    fn encoded_words_are_decoded_as_rfc_2047_shows() {
        let cases = [
            ("=?ISO-8859-1?Q?Andr=E9?= Pirard", "André Pirard"),
            ("=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=", "If you can read this yo"),
            ("(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
            ("=?ISO-8859-1?Q?a_b?= and c", "a b and c"),
            ("a =?utf-8?q?=C3=A4?= b", "a ä b"),
            ("=?utf-8?B?w4==?= =?UTF-8?B?pA==?=", "ä"),
            ("=?utf-8*de?q?=c3=bc?=", "ü"),
            ("=?x-unknown?q?plain?=", "plain"),
            ("=?broken", "=?broken"),
            ("1 =? 2 ?= 3", "1 =? 2 ?= 3"),
            ("=?utf-8?x?y?=", "=?utf-8?x?y?="),
            ("=?utf-8?q?=ZZ?=", "=ZZ"),
        ];
        for (raw, decoded) in cases {
            assert_eq!(decode(raw), decoded, "{raw}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_have_some_header(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            for field in fields(&bytes) {
                field.text();
            }
        }

        #[test]
        fn any_text_decodes_to_some_text(text in "[=?bBqQ_ a-z0-9\\PC-]{0,60}") {
            decode(&text);
        }
    }
}
