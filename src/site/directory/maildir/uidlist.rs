//! `dovecot-uidlist`: UIDVALIDITY, next UID and GUID of a folder, and the UID of each message by its base name.
//!
//! Version 3: a header `3 V<uidvalidity> N<next uid> G<guid>`, then `<uid> [<letter><value> …]:<file name>`, UIDs
//! ascending. Of the fields, `P` is the POP3 UIDL (empty: the base name); others are kept as they are. Version 1
//! (`1 <uidvalidity> <next uid>`, `<uid> <file name>`), and Courier's `courierimapuiddb`, which has the same form, are
//! read. Specified in Dovecot's "Maildir" format page. A line that does not follow the format is reported and passed
//! over.

use super::super::text_file::{BadLines, number, split_once};
use super::name;
use std::fmt;
use std::io::{self, BufRead};
use std::num::NonZeroU32;

/// A parsed list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UidList {
    pub uid_validity: Option<NonZeroU32>,
    /// Above every UID of the list.
    pub next_uid: Option<NonZeroU32>,
    /// 32 hex digits, usually.
    pub guid: Option<String>,
    /// Header fields of other letters, as they stand.
    pub other_fields: Vec<String>,
    pub entries: Entries,
}

/// One message of the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    pub uid: NonZeroU32,
    /// Fields with a space between, each a letter and its value.
    pub fields: &'a [u8],
    /// The file name when the entry was written: with or without info.
    pub name: &'a [u8],
}

impl<'a> Entry<'a> {
    /// What names the message whatever its flags are now.
    pub fn base(&self) -> &'a [u8] {
        name::base(self.name)
    }

    /// The POP3 UIDL, where one is set.
    pub fn uidl(&self) -> Option<&'a [u8]> {
        let field = self.fields.split(|&byte| byte == b' ').find_map(|field| field.strip_prefix(b"P"))?;
        Some(if field.is_empty() { self.base() } else { field })
    }
}

/// Lines of a list that are written at once.
const PIECE_LINES: usize = 4096;

/// The messages of a list by ascending UID, as text: a folder may have a million of them.
#[derive(Clone, Default)]
pub struct Entries {
    /// What was read, and behind it what was added, as in a file of version 3.
    text: Vec<u8>,
    /// UIDs, and where what stands behind each begins: `[<fields> ]:<name>`, up to LF.
    places: Vec<(NonZeroU32, usize)>,
}

impl Entries {
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.places.iter().filter_map(|place| self.at(place))
    }

    /// The entry with that number, from 0.
    pub fn get(&self, number: usize) -> Option<Entry<'_>> {
        self.at(self.places.get(number)?)
    }

    /// Adds entries, each in the place of one that has its UID.
    pub fn add<'e>(&mut self, new: impl IntoIterator<Item = Entry<'e>>) {
        let known = self.places.len();
        new.into_iter().for_each(|entry| self.push(entry));
        // What came later stands before what it replaces, and stays.
        self.places.get_mut(known..).unwrap_or_default().reverse();
        self.places.rotate_left(known);
        self.places.sort_by_key(|(uid, _)| *uid);
        self.places.dedup_by_key(|(uid, _)| *uid);
    }

    fn push(&mut self, Entry { uid, fields, name }: Entry<'_>) {
        self.places.push((uid, self.text.len()));
        self.text.extend_from_slice(fields);
        self.text.extend_from_slice(if fields.is_empty() { b":" } else { b" :" });
        self.text.extend_from_slice(name);
        self.text.push(b'\n');
    }

    fn at(&self, &(uid, start): &(NonZeroU32, usize)) -> Option<Entry<'_>> {
        let (fields, name) = split_fields(self.line(start)?)?;
        Some(Entry { uid, fields, name })
    }

    fn line(&self, start: usize) -> Option<&[u8]> {
        let rest = self.text.get(start..)?;
        rest.get(..memchr::memchr(b'\n', rest)?)
    }
}

impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Entries {}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl UidList {
    /// The file, version 3, piece by piece. Without a UIDVALIDITY there is nothing that Dovecot would read: an empty file.
    pub fn pieces(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let chunks = self.uid_validity.map(|_| self.entries.places.chunks(PIECE_LINES)).into_iter().flatten();
        let lines = |places: &[(NonZeroU32, usize)]| {
            let mut piece = Vec::new();
            for &(uid, start) in places {
                piece.extend_from_slice(uid.to_string().as_bytes());
                piece.push(b' ');
                piece.extend_from_slice(self.entries.line(start).unwrap_or_default());
                piece.push(b'\n');
            }
            piece
        };
        std::iter::once(self.head()).chain(chunks.map(lines))
    }

    /// All pieces.
    pub fn encode(&self) -> Vec<u8> {
        self.pieces().flatten().collect()
    }

    fn head(&self) -> Vec<u8> {
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
        out
    }
}

/// Parses a list of either version; what cannot be read is in the second value. An empty file gives an empty list.
pub fn parse(bytes: impl Into<Vec<u8>>) -> (UidList, BadLines) {
    let bytes = bytes.into();
    let mut entries = Entries::default();
    // A last line without an end is still being written; Dovecot does not look at it either.
    let complete = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
    // Lines end in LF alone, as Dovecot reads them: a CR before it belongs to a file's name.
    let whole = bytes.get(..complete.saturating_sub(1)).unwrap_or_default();
    let mut lines = Lines::default();
    let mut end = 0;
    for line in whole.split(|&byte| byte == b'\n').filter(|_| complete > 0) {
        end += line.len() + 1;
        if let Some((entry, rest)) = lines.take(line) {
            match lines.is_v3 {
                true => entries.places.push((entry.uid, end - 1 - rest.len())),
                false => entries.push(entry),
            }
        }
    }
    if lines.is_v3 {
        entries.text = bytes;
    }
    let (list, bad) = lines.finish();
    (UidList { entries, ..list }, bad)
}

/// Hands the entries of a list over as they are read, and gives back the rest of it.
pub fn read(mut file: impl BufRead, mut each: impl FnMut(Entry<'_>)) -> io::Result<(UidList, BadLines)> {
    let (mut lines, mut line) = (Lines::default(), Vec::new());
    loop {
        line.clear();
        file.read_until(b'\n', &mut line)?;
        let Some(line) = line.strip_suffix(b"\n") else { return Ok(lines.finish()) };
        if let Some((entry, _)) = lines.take(line) {
            each(entry);
        }
    }
}

/// What the lines so far say, but for the entries.
#[derive(Default)]
struct Lines {
    list: UidList,
    bad: BadLines,
    is_v3: bool,
    /// Lines so far, and the last UID.
    count: usize,
    last: u32,
}

impl Lines {
    /// Takes in a line; an entry is given back with what stands behind its UID.
    fn take<'l>(&mut self, line: &'l [u8]) -> Option<(Entry<'l>, &'l [u8])> {
        self.count += 1;
        if self.count == 1 {
            self.head(line);
            return None;
        }
        // Without a UIDVALIDITY the UIDs mean nothing.
        if self.list.uid_validity.is_none() || line.is_empty() {
            return None;
        }
        match parse_entry(line, self.is_v3) {
            Some((entry, rest)) if entry.uid.get() > self.last => {
                self.last = entry.uid.get();
                return Some((entry, rest));
            }
            Some(_) => self.bad.push(self.count, "the UID is not above those before it"),
            None => self.bad.push(self.count, "is no UID with a file name"),
        }
        None
    }

    fn head(&mut self, header: &[u8]) {
        let list = &mut self.list;
        self.is_v3 = header.starts_with(b"3 ");
        if self.is_v3 {
            parse_header(header, list);
        } else if let Some((validity, next)) = header.strip_prefix(b"1 ").and_then(|rest| split_once(rest, b' ')) {
            list.uid_validity = number(validity).and_then(NonZeroU32::new);
            list.next_uid = number(next).and_then(NonZeroU32::new);
        }
        if list.uid_validity.is_none() {
            self.bad.push(1, "the header has no UIDVALIDITY, so the UIDs mean nothing");
            self.is_v3 = false;
        }
    }

    fn finish(self) -> (UidList, BadLines) {
        let Self { mut list, bad, last, .. } = self;
        if list.uid_validity.is_some() {
            // A crash between appending an entry and rewriting the header leaves the header behind.
            list.next_uid = list.next_uid.max(last.checked_add(1).and_then(NonZeroU32::new));
        }
        (list, bad)
    }
}

/// What a header alone says: a folder's identity without its messages. Needs the first line only.
pub fn parse_head(bytes: &[u8]) -> UidList {
    let end = memchr::memchr(b'\n', bytes).map_or(0, |at| at + 1);
    parse(bytes.get(..end).unwrap_or_default()).0
}

fn parse_header(header: &[u8], list: &mut UidList) {
    for field in header.split(|&byte| byte == b' ').skip(1) {
        match field.split_first() {
            Some((b'V', value)) => list.uid_validity = number(value).and_then(NonZeroU32::new),
            Some((b'N', value)) => list.next_uid = number(value).and_then(NonZeroU32::new),
            Some((b'G', value)) if !value.is_empty() => list.guid = std::str::from_utf8(value).ok().map(str::to_owned),
            Some(_) => list.other_fields.extend(std::str::from_utf8(field).ok().map(str::to_owned)),
            None => {}
        }
    }
}

/// An entry, and what stands behind its UID.
fn parse_entry(text: &[u8], is_v3: bool) -> Option<(Entry<'_>, &[u8])> {
    let (uid, rest) = split_once(text, b' ')?;
    let uid = number(uid).and_then(NonZeroU32::new)?;
    let (fields, name) = if is_v3 { split_fields(rest)? } else { (&b""[..], rest) };
    if name.is_empty() || name.contains(&b'/') {
        return None;
    }
    Some((Entry { uid, fields, name }, rest))
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
        assert_eq!(bad, BadLines::default());
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
        assert_eq!(bad, BadLines::default());
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
        assert_eq!(bad.first.iter().map(|bad| bad.line).collect::<Vec<_>>(), [2, 3, 5, 6, 8, 9]);
        assert_eq!(list.next_uid, Some(nz(2)), "a UID space that is used up has no next");
        assert_eq!(parse(b"3 V5 N2\n4 :a\n5 :torn").0.entries.len(), 1);
        let (list, bad) = parse(b"\0\0\0\n1 :a\n");
        assert!(list.entries.is_empty() && list.uid_validity.is_none() && bad.first.len() == 1);
        assert_eq!(parse(b""), (UidList::default(), BadLines::default()));
        assert_eq!(parse(b"3 V5 N2\n4 :a\r\n").0.entries.get(0).map(|entry| entry.base()), Some(&b"a\r"[..]));
    }

    #[test]
    fn of_a_million_bad_lines_the_first_are_kept_and_the_others_counted() {
        let (list, bad) = parse([b"3 V5 N2\n".as_slice(), &b"x\n".repeat(1_000_000), b"4 :a\n"].concat());
        assert_eq!((list.entries.len(), bad.first.len(), bad.more), (1, 20, 999_980));
    }

    #[test]
    fn an_entry_takes_the_place_of_the_one_with_its_uid_and_all_stay_in_order() {
        let (mut list, _) = parse(b"3 V5 N9\n2 :b\n4 P1 :d\n7 :g\n");
        let entry = |uid, name| Entry { uid: nz(uid), fields: b"Px", name };
        list.entries.add([entry(4, b"later"), entry(1, b"a"), entry(9, b"i"), entry(4, b"last")]);
        assert_eq!(list.encode(), b"3 V5 N9\n1 Px :a\n2 :b\n4 Px :last\n7 :g\n9 Px :i\n");
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
            let next_uid = Some(nz(entries.keys().last().map_or(1, |last| last + 1)));
            let uid_validity = NonZeroU32::new(validity);
            let mut list = UidList { uid_validity, next_uid, guid, ..UidList::default() };
            let fields = |uidl: &Option<String>| uidl.as_ref().map(|uidl| format!("P{uidl}")).unwrap_or_default();
            let entries: Vec<_> =
                entries.iter().map(|(uid, (uidl, name))| (nz(*uid), fields(uidl), name.as_bytes())).collect();
            // In whatever order, and twice.
            for entries in [entries.iter().rev().collect::<Vec<_>>(), entries.iter().collect()] {
                list.entries.add(entries.into_iter().map(|(uid, fields, name)| {
                    Entry { uid: *uid, fields: fields.as_bytes(), name }
                }));
            }
            let encoded = list.encode();
            let mut read_entries = Entries::default();
            let (read_list, bad) = read(encoded.as_slice(), |entry| read_entries.push(entry)).unwrap();
            prop_assert_eq!((UidList { entries: read_entries, ..read_list }, bad), (list.clone(), BadLines::default()));
            prop_assert_eq!(parse(encoded.as_slice()), (list, BadLines::default()));
        }

        #[test]
        fn any_bytes_are_a_list_and_the_same_one_where_they_are_read_line_by_line(bytes: Vec<u8>) {
            for bytes in [bytes.clone(), [b"3 V1 N1 \n", bytes.as_slice()].concat()] {
                let (list, bad) = parse(bytes.as_slice());
                let _ = list.encode();
                let mut entries = Entries::default();
                let (head, bad_lines) = read(bytes.as_slice(), |entry| entries.push(entry)).unwrap();
                prop_assert_eq!((UidList { entries, ..head }, bad_lines), (list, bad));
            }
        }
    }
}
