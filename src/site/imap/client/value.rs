//! The values that answers are made of: atoms, strings, literals, lists (RFC 9051, section 4). Pure.
//!
//! `imap-proto` reads the rest of the protocol for us; answers made of lists and status texts it does not: seen with 0.17
//! it panics on `[ALERT]é` and on `INTERNALDATE NIL`, follows lists as deep as a server sends them, leaves backslashes in
//! quoted names, and throws away what it does not know (`X-GUID`).

use crate::limits;
use std::borrow::Cow;

/// One value of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// A bare word or number; `BODY[…]<…>` is one.
    Atom(&'a [u8]),
    /// A quoted string or a literal.
    Text(Cow<'a, [u8]>),
    List(Vec<Value<'a>>),
}

impl Value<'_> {
    /// The bytes of a string or atom; `None` for `NIL` and lists.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Atom(atom) if atom.eq_ignore_ascii_case(b"NIL") => None,
            Self::Atom(atom) => Some(atom),
            Self::Text(text) => Some(text),
            Self::List(_) => None,
        }
    }

    /// The same as text, with bytes that are not UTF-8 written out.
    pub fn text(&self) -> Option<String> {
        self.bytes().map(crate::model::text::from_bytes)
    }

    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Atom(atom) => std::str::from_utf8(atom).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The members of a list; of anything else none.
    pub fn list(&self) -> &[Value<'_>] {
        match self {
            Self::List(list) => list,
            _ => &[],
        }
    }
}

/// Reads values off the front of an answer.
pub struct Values<'a> {
    rest: &'a [u8],
}

impl<'a> Values<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest.trim_ascii_start()
    }

    /// The next value; `None` at the end, or where there is none.
    pub fn next(&mut self) -> Option<Value<'a>> {
        self.value(0)
    }

    /// The next bare word.
    pub fn word(&mut self) -> Option<&'a [u8]> {
        match self.next()? {
            Value::Atom(atom) => Some(atom),
            _ => None,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        self.rest = self.rest.trim_ascii_start();
        let (&first, behind) = self.rest.split_first()?;
        match first {
            b'(' if depth >= limits::IMAP_DEPTH => None,
            b'(' => {
                self.rest = behind;
                let mut list = Vec::new();
                loop {
                    self.rest = self.rest.trim_ascii_start();
                    if let Some(behind) = self.rest.strip_prefix(b")") {
                        self.rest = behind;
                        return Some(Value::List(list));
                    }
                    list.push(self.value(depth + 1)?);
                }
            }
            b')' => None,
            b'"' => self.quoted(),
            b'{' => self.literal(behind),
            b'~' if behind.first() == Some(&b'{') => self.literal(behind.get(1..)?),
            _ => self.atom(),
        }
    }

    fn quoted(&mut self) -> Option<Value<'a>> {
        let inside = self.rest.get(1..)?;
        let mut escaped: Option<Vec<u8>> = None;
        let mut at = 0;
        loop {
            match inside.get(at)? {
                b'"' => break,
                b'\\' => {
                    let plain = escaped.get_or_insert_with(|| inside.get(..at).unwrap_or_default().to_vec());
                    plain.push(*inside.get(at + 1)?);
                    at += 2;
                }
                byte => {
                    escaped.iter_mut().for_each(|plain| plain.push(*byte));
                    at += 1;
                }
            }
        }
        self.rest = inside.get(at + 1..)?;
        let text = match escaped {
            Some(plain) => Cow::Owned(plain),
            None => Cow::Borrowed(inside.get(..at)?),
        };
        Some(Value::Text(text))
    }

    /// `behind` begins with the number.
    fn literal(&mut self, behind: &'a [u8]) -> Option<Value<'a>> {
        let end = behind.iter().position(|&byte| byte == b'}')?;
        let length: usize = std::str::from_utf8(behind.get(..end)?).ok()?.trim_end_matches('+').parse().ok()?;
        let content = behind.get(end + 1..)?.strip_prefix(b"\r\n")?;
        let (text, rest) = content.split_at_checked(length)?;
        self.rest = rest;
        Some(Value::Text(Cow::Borrowed(text)))
    }

    fn atom(&mut self) -> Option<Value<'a>> {
        let ends = |&byte: &u8| matches!(byte, b' ' | b'(' | b')' | b'"' | b'\r' | b'\n');
        let mut end = self.rest.iter().position(ends).unwrap_or(self.rest.len());
        let starts = self.rest.get(..5).unwrap_or_default();
        if starts.eq_ignore_ascii_case(b"BODY[") {
            // Names of header fields stand in it with spaces between.
            let bracket = self.rest.iter().position(|&byte| byte == b']')?;
            let behind = self.rest.get(bracket..)?;
            end = bracket + behind.iter().position(ends).unwrap_or(behind.len());
        }
        let (atom, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        (!atom.is_empty()).then_some(Value::Atom(atom))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Vec<Value<'_>> {
        let mut values = Values::new(bytes);
        std::iter::from_fn(|| values.next()).collect()
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let values = all(b"FETCH (UID 7 X {3}\r\na)b BODY[HEADER.FIELDS (A B)]<0> \"q\\\"\\\\x\" NIL)");
        assert_eq!(values.len(), 2);
        let list = values[1].list();
        assert_eq!(list[1].number(), Some(7));
        assert_eq!(list[3].bytes(), Some(&b"a)b"[..]));
        assert_eq!(list[4].bytes(), Some(&b"BODY[HEADER.FIELDS (A B)]<0>"[..]));
        assert_eq!(list[5].bytes(), Some(&b"q\"\\x"[..]));
        assert_eq!(list[6].bytes(), None);
    }

    #[test]
    fn lists_without_end_or_bottom_are_no_values() {
        assert_eq!(all(b"(a (b"), Vec::<Value<'_>>::new());
        assert_eq!(all(&b"(".repeat(100_000)), Vec::<Value<'_>>::new());
        assert_eq!(all(b"{99}\r\nshort"), Vec::<Value<'_>>::new());
        assert_eq!(all(b"\"open"), Vec::<Value<'_>>::new());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = all(&bytes);
        }
    }
}
