//! `dovecot-uidlist`: UIDVALIDITY, next UID and GUID of a folder, and the UID of each message by its base name.
//!
//! Version 3: a header `3 V<uidvalidity> N<next uid> G<guid>`, then `<uid> [<letter><value> …]:<file name>`, UIDs
//! ascending. Of the fields, `P` is the POP3 UIDL (empty: the base name); others are kept as they are. Version 1
//! (`1 <uidvalidity> <next uid>`, `<uid> <file name>`), and Courier's `courierimapuiddb`, which has the same form, are
//! read. Specified in Dovecot's "Maildir" format page. A line that does not follow the format is reported and passed
//! over.

use super::super::text_file::{BadLine, number, split_once};
use super::name;
use std::borrow::Cow;
use std::num::NonZeroU32;

/// A parsed list; borrows from the file's bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UidList<'a> {
    pub uid_validity: Option<NonZeroU32>,
    /// Above every UID of the list.
    pub next_uid: Option<NonZeroU32>,
    /// 32 hex digits, usually.
    pub guid: Option<Cow<'a, str>>,
    /// Header fields of other letters, as they stand.
    pub other_fields: Vec<Cow<'a, str>>,
    /// By ascending UID.
    pub entries: Vec<Entry<'a>>,
}

/// One message of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    pub uid: NonZeroU32,
    /// Fields with a space between, each a letter and its value.
    pub fields: Cow<'a, [u8]>,
    /// The file name when the entry was written: with or without info.
    pub name: Cow<'a, [u8]>,
}

impl Entry<'_> {
    /// An entry for a message, with the UIDL that it must keep, if any.
    pub fn new(uid: NonZeroU32, uidl: Option<&str>, name: &[u8]) -> Entry<'static> {
        let fields = uidl.map(|uidl| format!("P{uidl}").into_bytes()).unwrap_or_default();
        Entry { uid, fields: Cow::Owned(fields), name: Cow::Owned(name.to_vec()) }
    }

    /// What names the message whatever its flags are now.
    pub fn base(&self) -> &[u8] {
        name::base(&self.name)
    }

    /// The POP3 UIDL, where one is set.
    pub fn uidl(&self) -> Option<&[u8]> {
        let field = self.fields.split(|&byte| byte == b' ').find_map(|field| field.strip_prefix(b"P"))?;
        Some(if field.is_empty() { self.base() } else { field })
    }

    /// The entry with nothing borrowed.
    pub fn into_owned(self) -> Entry<'static> {
        Entry { uid: self.uid, fields: Cow::Owned(self.fields.into_owned()), name: Cow::Owned(self.name.into_owned()) }
    }
}

impl UidList<'_> {
    /// The list with nothing borrowed.
    pub fn into_owned(self) -> UidList<'static> {
        UidList {
            uid_validity: self.uid_validity,
            next_uid: self.next_uid,
            guid: self.guid.map(|guid| Cow::Owned(guid.into_owned())),
            other_fields: self.other_fields.into_iter().map(|field| Cow::Owned(field.into_owned())).collect(),
            entries: self.entries.into_iter().map(Entry::into_owned).collect(),
        }
    }

    /// The file, version 3. Without a UIDVALIDITY there is nothing that Dovecot would read: an empty file.
    pub fn encode(&self) -> Vec<u8> {
        let Some(uid_validity) = self.uid_validity else { return Vec::new() };
        let next_uid = self.next_uid.map_or(1, NonZeroU32::get);
        let mut out = format!("3 V{uid_validity} N{next_uid}").into_bytes();
        if let Some(guid) = &self.guid {
            out.extend_from_slice(b" G");
            out.extend_from_slice(guid.as_bytes());
        }
        for field in &self.other_fields {
            out.push(b' ');
            out.extend_from_slice(field.as_bytes());
        }
        out.push(b'\n');
        for entry in &self.entries {
            out.extend_from_slice(entry.uid.to_string().as_bytes());
            out.push(b' ');
            if !entry.fields.is_empty() {
                out.extend_from_slice(&entry.fields);
                out.push(b' ');
            }
            out.push(b':');
            out.extend_from_slice(&entry.name);
            out.push(b'\n');
        }
        out
    }
}

/// Parses a list of either version; what cannot be read is in the second value. An empty file gives an empty list.
pub fn parse(bytes: &[u8]) -> (UidList<'_>, Vec<BadLine>) {
    let (mut list, mut bad) = (UidList::default(), Vec::new());
    // A last line without an end is still being written; Dovecot does not look at it either.
    let complete = memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1);
    // Lines end in LF alone, as Dovecot reads them: a CR before it belongs to a file's name.
    let whole = bytes.get(..complete.saturating_sub(1)).unwrap_or_default();
    let mut all = (1..).zip(whole.split(|&byte| byte == b'\n')).filter(|_| complete > 0);
    let Some((_, header)) = all.next() else { return (list, bad) };
    let is_v3 = header.starts_with(b"3 ");
    if is_v3 {
        parse_header(header, &mut list);
    } else if let Some((validity, next)) = header.strip_prefix(b"1 ").and_then(|rest| split_once(rest, b' ')) {
        list.uid_validity = number(validity).and_then(NonZeroU32::new);
        list.next_uid = number(next).and_then(NonZeroU32::new);
    }
    if list.uid_validity.is_none() {
        bad.push(BadLine::new(1, "the header has no UIDVALIDITY, so the UIDs mean nothing"));
        return (list, bad);
    }
    let mut last = 0;
    for (line, text) in all.filter(|(_, text)| !text.is_empty()) {
        match parse_entry(text, is_v3) {
            Some(entry) if entry.uid.get() > last => {
                last = entry.uid.get();
                list.entries.push(entry);
            }
            Some(_) => bad.push(BadLine::new(line, "the UID is not above those before it")),
            None => bad.push(BadLine::new(line, "is no UID with a file name")),
        }
    }
    // A crash between appending an entry and rewriting the header leaves the header behind.
    list.next_uid = list.next_uid.max(last.checked_add(1).and_then(NonZeroU32::new));
    (list, bad)
}

/// What a header alone says: a folder's identity without its messages. Needs the first line only.
pub fn parse_head(bytes: &[u8]) -> UidList<'_> {
    let end = memchr::memchr(b'\n', bytes).map_or(0, |at| at + 1);
    parse(bytes.get(..end).unwrap_or_default()).0
}

fn parse_header<'a>(header: &'a [u8], list: &mut UidList<'a>) {
    for field in header.split(|&byte| byte == b' ').skip(1) {
        match field.split_first() {
            Some((b'V', value)) => list.uid_validity = number(value).and_then(NonZeroU32::new),
            Some((b'N', value)) => list.next_uid = number(value).and_then(NonZeroU32::new),
            Some((b'G', value)) if !value.is_empty() => list.guid = std::str::from_utf8(value).ok().map(Cow::Borrowed),
            Some(_) => list.other_fields.extend(std::str::from_utf8(field).ok().map(Cow::Borrowed)),
            None => {}
        }
    }
}

fn parse_entry(text: &[u8], is_v3: bool) -> Option<Entry<'_>> {
    let (uid, rest) = split_once(text, b' ')?;
    let uid = number(uid).and_then(NonZeroU32::new)?;
    let (fields, name) = if is_v3 { split_fields(rest)? } else { (&b""[..], rest) };
    if name.is_empty() || name.contains(&b'/') {
        return None;
    }
    Some(Entry { uid, fields: Cow::Borrowed(fields), name: Cow::Borrowed(name) })
}

/// The file name begins at the first colon that begins a field, since a value may hold one (`P1:2`).
fn split_fields(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let starts_field = |&at: &usize| at == 0 || rest.get(at - 1) == Some(&b' ');
    let colon = memchr::memchr_iter(b':', rest).find(starts_field)?;
    Some((rest.get(..colon)?.trim_ascii_end(), rest.get(colon + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nz(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    #[test]
    fn version_3_with_fields_is_read_and_written_back_byte_for_byte() {
        let text = b"3 V1518280872 N9 G3fbb2f43131ac088a6663a5911027276\n\
            1 P1 :1566.46597_600860.store1\n2 :b,S=3,W=4\n4 G00ff W12 P :c:2,S\n8 Pa:b :d\n";
        let (list, bad) = parse(text);
        assert_eq!(bad, []);
        assert_eq!((list.uid_validity, list.next_uid), (Some(nz(1_518_280_872)), Some(nz(9))));
        assert_eq!(list.guid.as_deref(), Some("3fbb2f43131ac088a6663a5911027276"));
        let uidls: Vec<_> = list.entries.iter().map(|entry| (entry.uid.get(), entry.base(), entry.uidl())).collect();
        assert_eq!(
            uidls,
            [
                (1, &b"1566.46597_600860.store1"[..], Some(&b"1"[..])),
                (2, b"b,S=3,W=4", None),
                (4, b"c", Some(b"c")),
                (8, b"d", Some(b"a:b")),
            ]
        );
        assert_eq!(list.encode(), text);
    }

    #[test]
    fn version_1_and_couriers_list_are_read() {
        let (list, bad) = parse(b"1 1036519287 7\n3 1036.M1P2.host,S=3\n6 b:2,S\n");
        assert_eq!(bad, []);
        assert_eq!((list.uid_validity, list.next_uid), (Some(nz(1_036_519_287)), Some(nz(7))));
        assert_eq!(
            list.entries.iter().map(|e| (e.uid.get(), e.base())).collect::<Vec<_>>(),
            [(3, &b"1036.M1P2.host,S=3"[..]), (6, b"b")]
        );
    }

    #[test]
    fn garbage_is_reported_and_the_rest_is_used() {
        let (list, bad) = parse(
            b"3 V5 N2\n0 :zero\nx :y\n3 :ok\n3 :again\n2 :back\n\n7 nofile\n9 :\n4294967295 :last\n4294967295 :to",
        );
        assert_eq!(list.entries.iter().map(|e| e.uid.get()).collect::<Vec<_>>(), [3, u32::MAX]);
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [2, 3, 5, 6, 8, 9]);
        assert_eq!(list.next_uid, Some(nz(2)), "a UID space that is used up has no next");
        assert_eq!(parse(b"3 V5 N2\n4 :a\n5 :torn").0.entries.len(), 1);
        let (list, bad) = parse(b"\0\0\0\n1 :a\n");
        assert!(list.entries.is_empty() && list.uid_validity.is_none() && bad.len() == 1);
        assert_eq!(parse(b""), (UidList::default(), vec![]));
        assert_eq!(parse(b"3 V5 N2\n4 :a\r\n").0.entries.first().map(Entry::base), Some(&b"a\r"[..]));
    }

    #[test]
    fn the_next_uid_is_never_below_a_used_one() {
        assert_eq!(parse(b"3 V5 N2\n7 :a\n").0.next_uid, Some(nz(8)));
        assert_eq!(parse(b"3 V5\n").0.next_uid, Some(nz(1)));
        assert_eq!(parse_head(b"3 V5 N9 Gabc\ngarbage").guid.as_deref(), Some("abc"));
    }

    proptest! {
        #[test]
        fn a_list_survives_encoding(
            validity in 1u32.., guid in proptest::option::of("[0-9a-f]{32}"),
            entries in proptest::collection::btree_map(
                1u32..u32::MAX, (proptest::option::of("[!-9;-~]{0,9}"), "[^/\r\n]{1,20}"), 0..20),
        ) {
            let entries: Vec<_> = entries
                .iter()
                .map(|(uid, (uidl, name))| Entry::new(nz(*uid), uidl.as_deref(), name.as_bytes()))
                .collect();
            let next_uid = Some(nz(entries.last().map_or(1, |last| last.uid.get() + 1)));
            let list = UidList {
                uid_validity: NonZeroU32::new(validity), next_uid, guid: guid.map(Cow::Owned),
                other_fields: vec![], entries,
            };
            let encoded = list.encode();
            prop_assert_eq!(parse(&encoded), (list, vec![]));
        }

        #[test]
        fn any_bytes_are_a_list(bytes: Vec<u8>) {
            let _ = parse(&bytes).0.encode();
            let _ = parse(&[b"3 V1 N1 \n", bytes.as_slice()].concat()).0.encode();
        }
    }
}
