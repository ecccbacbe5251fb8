//! Names of message files: the lasting base, and the info after it that holds flags.
//!
//! A name is `BASE` or `BASE:2,LETTERS`. The base ends at the first `:` (as in Dovecot); it may hold `,S=` and `,W=`,
//! the sizes in bytes as stored and with CRLF. Letters are flags (`DFPRST`) and, in lower case, keywords numbered by
//! `dovecot-keywords`. Specified at <https://cr.yp.to/proto/maildir.html> and in Dovecot's "Maildir" format page.

use crate::model::mailbox::Flags;

/// A set of keyword letters, `a` to `z`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeywordLetters(u32);

impl KeywordLetters {
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set with `letter` in it too; anything but `a` to `z` is passed over.
    #[must_use]
    pub fn with(self, letter: u8) -> Self {
        Self(if letter.is_ascii_lowercase() { self.0 | 1 << (letter - b'a') } else { self.0 })
    }

    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The letters, in alphabetical order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (b'a'..=b'z').filter(move |letter| self.0 >> (letter - b'a') & 1 == 1)
    }
}

/// A file name taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParsedName<'a> {
    /// What stays the same whatever happens to the message: the item's name.
    pub base: &'a [u8],
    pub flags: Flags,
    pub keywords: KeywordLetters,
}

/// The part of a file name that lasts.
pub fn base(name: &[u8]) -> &[u8] {
    memchr::memchr(b':', name).and_then(|at| name.get(..at)).unwrap_or(name)
}

/// Takes a file name apart. Info of another version than 2, and letters without a meaning, are passed over, as Dovecot
/// does.
pub fn parse(name: &[u8]) -> ParsedName<'_> {
    let base = base(name);
    let info = name.get(base.len()..).and_then(|info| info.strip_prefix(b":2,")).unwrap_or_default();
    let (mut flags, mut keywords) = (String::new(), KeywordLetters::default());
    for &letter in info.iter().take_while(|&&letter| letter != b',') {
        match letter {
            b'A'..=b'Z' => flags.push(char::from(letter)),
            _ => keywords = keywords.with(letter),
        }
    }
    ParsedName { base, flags: Flags::from_letters(&flags), keywords }
}

/// The file name in `cur` of a message with these flags: flag letters in alphabetical order, then keyword letters.
pub fn encode(base: &[u8], flags: Flags, keywords: KeywordLetters) -> Vec<u8> {
    let mut name = [base, b":2,", flags.to_string().as_bytes()].concat();
    name.extend(keywords.iter());
    name
}

/// The size that a base name states after `,S=` (as stored) or `,W=` (with CRLF), bytes.
pub fn stated_size(base: &[u8], which: u8) -> Option<u64> {
    let fields = base.split(|&byte| byte == b',').skip(1);
    fields.filter_map(|field| field.strip_prefix(&[which, b'='])).find_map(super::super::text_file::number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn letters(text: &str) -> KeywordLetters {
        text.bytes().fold(KeywordLetters::default(), KeywordLetters::with)
    }

    #[test]
    fn names_of_every_server_are_taken_apart() {
        let dovecot = parse(b"1587.M12P34.host,S=310,W=320:2,FSab");
        assert_eq!(dovecot.base, b"1587.M12P34.host,S=310,W=320");
        assert_eq!((dovecot.flags, dovecot.keywords), (Flags::from_letters("FS"), letters("ab")));
        assert_eq!((stated_size(dovecot.base, b'S'), stated_size(dovecot.base, b'W')), (Some(310), Some(320)));
        let qmail = parse(b"1566927289.46597_600860.store1");
        assert_eq!(qmail.base, b"1566927289.46597_600860.store1");
        assert!(qmail.flags.is_empty() && qmail.keywords.is_empty());
        assert_eq!(stated_size(qmail.base, b'S'), None);
    }

    #[test]
    fn strange_info_means_no_flags_and_the_base_ends_at_the_first_colon() {
        assert_eq!(parse(b"a:1,S").flags, Flags::default());
        assert_eq!(
            parse(b"a:2,S:2,T"),
            ParsedName { base: b"a", flags: Flags::from_letters("S"), keywords: KeywordLetters::default() }
        );
        assert_eq!(parse(b"a:2,S,extraT").flags, Flags::from_letters("S"));
        assert_eq!(parse(b":2,S").base, b"");
        assert_eq!(parse("a:2,Sü".as_bytes()).flags, Flags::from_letters("S"));
    }

    proptest! {
        #[test]
        fn a_name_survives_encoding(base in "[^:/\0]{1,40}", flags in "[DFPRST]{0,6}", words in "[a-z]{0,30}") {
            let (flags, words) = (Flags::from_letters(&flags), letters(&words));
            let name = encode(base.as_bytes(), flags, words);
            prop_assert_eq!(parse(&name), ParsedName { base: base.as_bytes(), flags, keywords: words });
        }

        #[test]
        fn any_bytes_are_a_name(name: Vec<u8>) {
            prop_assert!(name.starts_with(parse(&name).base));
        }
    }
}
