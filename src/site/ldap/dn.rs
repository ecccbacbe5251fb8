//! Distinguished names (RFC 4514): taken apart, compared, and built. Pure.
//!
//! Values that become part of a name are escaped here and nowhere else, so that an address with a comma names an entry
//! and not another branch of the tree.

/// One part of a name, `uid=ann`: its types (lower case) and values. Several are joined by `+`.
pub type Rdn = Vec<(String, Vec<u8>)>;

/// Takes a name apart, the entry's own part first; `None` where it does not follow RFC 4514. The empty name has no parts.
pub fn parse(text: &str) -> Option<Vec<Rdn>> {
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    split(text, &[',', ';']).into_iter().map(parse_rdn).collect()
}

fn parse_rdn(text: &str) -> Option<Rdn> {
    split(text, &['+']).into_iter().map(parse_pair).collect()
}

fn parse_pair(text: &str) -> Option<(String, Vec<u8>)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if name.is_empty() || !name.chars().all(known) {
        return None;
    }
    Some((name, parse_value(value)?))
}

/// Splits at separators that no `\` stands before and that are not in quotes.
fn split<'t>(text: &'t str, separators: &[char]) -> Vec<&'t str> {
    let (mut escaped, mut quoted) = (false, false);
    text.split(|c| {
        let ends = !escaped && !quoted && separators.contains(&c);
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })
    .collect()
}

fn parse_value(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_start_matches(' ');
    if let Some(hex) = text.strip_prefix('#') {
        // A BER value; what it encodes is nobody's business here, it only has to compare.
        return Some(format!("#{}", hex.trim_end().to_ascii_lowercase()).into_bytes());
    }
    let mut out = Vec::with_capacity(text.len());
    // Spaces at the end belong to the value only where they are escaped.
    let mut kept = 0;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                let next = bytes.next()?;
                match hex_digit(next) {
                    Some(high) => out.push(high << 4 | hex_digit(bytes.next()?)?),
                    None => out.push(next),
                }
                kept = out.len();
            }
            b'"' => {}
            b' ' => out.push(byte),
            _ => {
                out.push(byte);
                kept = out.len();
            }
        }
    }
    out.truncate(kept);
    Some(out)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// One spelling for all ways to write the same name: lower case, no spaces around, the least escapes. Values compare
/// without regard to case and to repeated spaces, as those do that names are commonly made of.
pub fn normal(text: &str) -> String {
    let Some(parts) = parse(text) else { return text.trim().to_lowercase() };
    let pair = |(name, value): &(String, Vec<u8>)| {
        let value = String::from_utf8_lossy(value).to_lowercase();
        let words: Vec<_> = value.split(' ').filter(|word| !word.is_empty()).collect();
        format!("{name}={}", escape(&words.join(" ")))
    };
    let rdn = |rdn: &Rdn| {
        let mut pairs: Vec<_> = rdn.iter().map(pair).collect();
        pairs.sort();
        pairs.join("+")
    };
    parts.iter().map(rdn).collect::<Vec<_>>().join(",")
}

/// `name=value`, the value escaped.
pub fn rdn(name: &str, value: &str) -> String {
    format!("{name}={}", escape(value))
}

/// A value as part of a name (RFC 4514 section 2.4).
pub fn escape(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(value.len());
    for (at, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '=' | '>' | '\\' => out.extend(['\\', c]),
            '#' | ' ' if at == 0 => out.extend(['\\', c]),
            ' ' if at == last => out.extend(['\\', c]),
            // Line ends too: a name stands in LDIF and in messages.
            c if c.is_ascii_control() => out.push_str(&format!("\\{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// The name of an entry below another one.
pub fn below(rdn: &str, parent: &str) -> String {
    if parent.is_empty() { rdn.to_owned() } else { format!("{rdn},{parent}") }
}

/// A name relative to a base, in full.
pub fn within(relative: &str, base: &str) -> String {
    if relative.trim().is_empty() { base.to_owned() } else { below(relative, base) }
}

/// The name of the entry above; empty at the top.
pub fn parent(text: &str) -> &str {
    let first = split(text, &[',', ';']).first().map_or(text.len(), |first| first.len());
    text.get(first + 1..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_name_are_one_name() {
        for text in [
            "UID=Ann, OU=People,dc=a,DC=test",
            "uid=ann,ou=people;dc=a,dc=test",
            "uid=\\61nn,ou=\"people\",dc=a,dc=test",
        ] {
            assert_eq!(normal(text), "uid=ann,ou=people,dc=a,dc=test", "{text}");
        }
        assert_eq!(normal("cn=a+uid=b,dc=x"), normal("uid=B + cn=A,dc=x"));
        assert_ne!(normal("cn=a\\,b,dc=x"), normal("cn=a,b=,dc=x"));
        assert_eq!(parent("cn=a\\,b,ou=x,dc=y"), "ou=x,dc=y");
        assert_eq!((parent("dc=y"), parse("").unwrap().len()), ("", 0));
        assert_eq!(parse("no name at all"), None);
    }

    #[test]
    fn an_address_cannot_leave_its_place() {
        let hostile = "x,ou=admins\n+cn=root\0";
        let dn = below(&rdn("uid", hostile), "ou=people,dc=a");
        let parts = parse(&dn).unwrap();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[0], [("uid".to_owned(), hostile.as_bytes().to_vec())]);
        assert!(!dn.contains('\n') && !dn.contains('\0'));
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_one_value(value in "\\PC{1,12}|[ -~]{1,12}|[\\x00-\\x20#+,]{1,6}") {
            let dn = below(&rdn("cn", &value), "dc=a");
            let parts = parse(&dn).unwrap();
            prop_assert_eq!(parts.len(), 2);
            prop_assert_eq!(&parts[0], &vec![("cn".to_owned(), value.into_bytes())]);
        }

        #[test]
        fn any_text_has_a_normal_form_that_stays(text in "\\PC{0,30}") {
            let once = normal(&text);
            prop_assert_eq!(normal(&once), once);
        }
    }
}
