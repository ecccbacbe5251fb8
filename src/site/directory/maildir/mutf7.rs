//! Modified UTF-7, the encoding of folder names on disk (RFC 3501 5.1.3).
//!
//! One name has one spelling: what is not exactly what [`encode`] would write is no modified UTF-7, and whoever reads a
//! name takes it as literal text then. Nothing is lost that way, and no two names become one without being seen.

use base64::Engine as _;
use base64::alphabet::Alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::sync::LazyLock;

/// Base64 with `,` for `/` and no padding; `None` never happens: the alphabet is a constant, checked by the tests.
static BASE64: LazyLock<Option<GeneralPurpose>> = LazyLock::new(|| {
    let alphabet = Alphabet::new("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").ok()?;
    let config =
        GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::RequireNone);
    Some(GeneralPurpose::new(&alphabet, config))
});

/// `text` in modified UTF-7: printable ASCII as it is, `&` as `&-`, anything else as `&` base64 of UTF-16 `-`.
pub fn encode(text: &str) -> String {
    let (mut out, mut wide) = (String::with_capacity(text.len()), Vec::new());
    for c in text.chars() {
        if matches!(c, ' '..='~') {
            flush(&mut wide, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            wide.extend(c.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    flush(&mut wide, &mut out);
    out
}

fn flush(wide: &mut Vec<u8>, out: &mut String) {
    if let Some(base64) = BASE64.as_ref().filter(|_| !wide.is_empty()) {
        out.push('&');
        base64.encode_string(&*wide, out);
        out.push('-');
        wide.clear();
    }
}

/// The text that `name` encodes; `None` where it is no modified UTF-7 in the one right spelling.
pub fn decode(name: &str) -> Option<String> {
    if !name.contains('&') {
        return name.bytes().all(|byte| matches!(byte, b' '..=b'~')).then(|| name.to_owned());
    }
    let mut text = String::with_capacity(name.len());
    let mut pieces = name.split('&');
    text.push_str(pieces.next()?);
    for piece in pieces {
        let (shifted, plain) = piece.split_once('-')?;
        if shifted.is_empty() {
            text.push('&');
        } else {
            let wide = BASE64.as_ref()?.decode(shifted).ok()?;
            let (units, odd) = wide.as_chunks::<2>();
            if !odd.is_empty() {
                return None;
            }
            let units = units.iter().map(|&pair| u16::from_be_bytes(pair));
            for c in char::decode_utf16(units) {
                text.push(c.ok()?);
            }
        }
        text.push_str(plain);
    }
    (encode(&text) == name).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_names_are_spelled_as_servers_spell_them() {
        for (text, name) in [
            ("Entwürfe", "Entw&APw-rfe"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"), // RFC 3501 5.1.3
            ("Müller & Söhne", "M&APw-ller &- S&APY-hne"),
            ("📦 Orders", "&2D3c5g- Orders"),
            ("100%", "100%"),
            ("", ""),
            ("a\nb", "a&AAo-b"),
        ] {
            assert_eq!((encode(text).as_str(), decode(name).as_deref()), (name, Some(text)));
        }
    }

    #[test]
    fn other_spellings_are_no_modified_utf7() {
        // In turn: an open shift, ASCII in base64, half a surrogate pair, two runs for one, spare bits, padding, raw
        // bytes above ASCII.
        for name in ["Q&A", "&AGE-", "&2D0-", "&APw-&APw-", "&AP0-&", "&APx-", "&APw=-", "Entwürfe", "&*-", "a\nb"] {
            assert_eq!(decode(name), None, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text: String) {
            let name = encode(&text);
            prop_assert!(name.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            prop_assert_eq!(decode(&name), Some(text));
        }

        #[test]
        fn decoding_never_panics_and_is_exact(name in "[&A-Za-z0-9+,-]{0,12}") {
            if let Some(text) = decode(&name) {
                prop_assert_eq!(encode(&text), name);
            }
        }
    }
}
