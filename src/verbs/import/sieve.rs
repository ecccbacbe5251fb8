//! Addresses in the redirects and the vacation replies of a Sieve script (RFC 5228 4.2, RFC 5230): found, and replaced
//! without touching another byte.

/// The script with every `redirect "address"`, and every sender of a reply (`vacation :from "address"`), for which `rename`
/// knows another name rewritten; `None` when nothing changes. What a reply takes for its user's (`:addresses`) stays: mail to
/// an old address goes on coming, and the new one counts in any case (RFC 5230 4.5). Comments, other strings and multi-line texts are passed over as RFC 5228 2.3 and 2.4.2 say, so a word
/// `redirect` inside them means nothing. A redirect to an external list (`:list`, RFC 6134) is left alone.
pub fn rewrite_addresses(script: &[u8], rename: &dyn Fn(&str) -> Option<String>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut copied = 0;
    let (mut awaits_address, mut in_vacation) = (false, false);
    let mut at = 0;
    while let Some((token, end)) = next_token(script, at) {
        match token {
            Token::Word(word) if word.eq_ignore_ascii_case(b"redirect") => {
                (awaits_address, in_vacation) = (true, false)
            }
            Token::Word(word) if word.eq_ignore_ascii_case(b"vacation") => {
                (awaits_address, in_vacation) = (false, true)
            }
            Token::Word(word) if in_vacation => awaits_address = word.eq_ignore_ascii_case(b":from"),
            Token::Word(word) if word.eq_ignore_ascii_case(b":list") => awaits_address = false,
            Token::Word(word) => awaits_address &= word.starts_with(b":"),
            Token::Quoted(inner) => {
                let new =
                    Some(inner).filter(|_| awaits_address).and_then(unescape).and_then(|old| renamed(&old, rename));
                if let Some(new) = new {
                    // `end` is behind the closing quote.
                    let start = end - 1 - inner.len();
                    out.extend_from_slice(script.get(copied..start)?);
                    out.extend(escape(&new));
                    copied = end - 1;
                }
                awaits_address = false;
            }
            Token::Other => {
                (awaits_address, in_vacation) = (false, in_vacation && !script.get(at..)?.starts_with(b";"))
            }
            Token::Blank => {}
        }
        at = end;
    }
    if copied == 0 {
        return None;
    }
    out.extend_from_slice(script.get(copied..)?);
    Some(out)
}

/// An address, or `Name <address>`, with another address.
fn renamed(text: &str, rename: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, address)) => rename(address).map(|new| format!("{name}<{new}>")),
        None => rename(text),
    }
}

enum Token<'a> {
    /// An identifier, or a tag with its colon.
    Word(&'a [u8]),
    /// What stands between the quotes of a string.
    Quoted(&'a [u8]),
    /// White space or a comment.
    Blank,
    Other,
}

/// The token that begins at `at`, and where it ends; `None` at the end of the script.
fn next_token(script: &[u8], at: usize) -> Option<(Token<'_>, usize)> {
    let rest = script.get(at..).filter(|rest| !rest.is_empty())?;
    let first = *rest.first()?;
    let until = |needle: &[u8]| memchr::memmem::find(rest, needle).map_or(rest.len(), |found| found + needle.len());
    let (token, length) = match first {
        b'#' => (Token::Blank, until(b"\n")),
        b'/' if rest.starts_with(b"/*") => {
            let body = rest.get(2..).unwrap_or_default();
            let close = memchr::memmem::find(body, b"*/").map_or(body.len(), |found| found + 2);
            (Token::Blank, 2 + close)
        }
        b'"' => quoted(rest),
        b' ' | b'\t' | b'\r' | b'\n' => (Token::Blank, 1),
        b':' | b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
            let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            let length = 1 + rest.iter().skip(1).take_while(|byte| is_part(byte)).count();
            let word = rest.get(..length)?;
            if word.eq_ignore_ascii_case(b"text") && rest.get(length) == Some(&b':') {
                (Token::Other, multi_line(rest))
            } else {
                (Token::Word(word), length)
            }
        }
        _ => (Token::Other, 1),
    };
    Some((token, at + length))
}

fn quoted(rest: &[u8]) -> (Token<'_>, usize) {
    let mut at = 1;
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'"' => return (Token::Quoted(rest.get(1..at).unwrap_or_default()), at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    (Token::Other, rest.len())
}

/// The length of `text:` … up to the line that is a dot alone.
fn multi_line(rest: &[u8]) -> usize {
    let mut at = 0;
    for line in rest.split_inclusive(|&byte| byte == b'\n') {
        at += line.len();
        if line.trim_ascii_end() == b"." {
            break;
        }
    }
    at
}

fn unescape(inner: &[u8]) -> Option<String> {
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(if byte == b'\\' { *bytes.next()? } else { byte });
    }
    String::from_utf8(plain).ok()
}

fn escape(text: &str) -> Vec<u8> {
    text.bytes().flat_map(|byte| matches!(byte, b'"' | b'\\').then_some(b'\\').into_iter().chain([byte])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rewrite(script: &str) -> Option<String> {
        let rename = |address: &str| address.strip_suffix("@old").map(|local| format!("{local}@new"));
        rewrite_addresses(script.as_bytes(), &rename).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn only_the_address_of_a_redirect_changes() {
        let script = "require [\"copy\"];\r\n# redirect \"a@old\";\r\n/* redirect \"b@old\" */\r\n\
            if header \"to\" \"c@old\" {\r\n  Redirect :copy  \"d@old\" ;\r\n}\r\n\
            vacation text:\r\nredirect \"e@old\";\r\n.\r\n;redirect/*x*/\"f@old\";redirect \"g@else\";";
        let wanted = script.replace("d@old", "d@new").replace("f@old", "f@new");
        assert_eq!(rewrite(script), Some(wanted));
    }

    #[test]
    fn of_a_vacation_reply_the_sender_changes_and_nothing_else() {
        let script = "vacation :days 7 :from \"Ann <ann@old>\" :addresses [\"ann@old\", \"info@old\"] :subject \"a@old\" \"b@old\";\r\n\
            vacation :FROM \"c@old\" text:\r\n:from \"d@old\"\r\n.\r\n;\r\nif header :from \"x\" \"e@old\" { keep; }";
        let wanted = script.replace("<ann@old>", "<ann@new>").replace("c@old", "c@new");
        assert_eq!(rewrite(script), Some(wanted));
    }

    #[test]
    fn a_script_without_a_known_address_stays_as_it_is() {
        assert_eq!(rewrite("redirect \"x@else\"; keep; fileinto \"a@old\";"), None);
        assert_eq!(rewrite("redirect :list \"a@old\";"), None);
        assert_eq!(rewrite("redirect \"a@old"), None);
        assert_eq!(rewrite(""), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end(script in proptest::collection::vec(any::<u8>(), 0..200)) {
            rewrite_addresses(&script, &|_| None);
            let renamed = rewrite_addresses(&script, &|_| Some("x".to_owned()));
            prop_assert!(renamed.is_none_or(|bytes| !bytes.is_empty()));
        }
    }
}
