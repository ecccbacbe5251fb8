//! `dovecot-uidlist`: UIDVALIDITY, next UID and GUID of a folder, and the UID of each message by its base name.
//!
//! Version 3: a header `3 V<uidvalidity> N<next uid> G<guid>`, then `<uid> [<letter><value> …]:<file name>`, UIDs
//! ascending. Of the fields, `P` is the POP3 UIDL (empty: the base name); others are kept as they are. Version 1
//! (`1 <uidvalidity> <next uid>`, `<uid> <file name>`), and Courier's `courierimapuiddb`, which has the same form, are
//! read. Specified in Dovecot's "Maildir" format page. A line that does not follow the format is reported and passed
//! over.

use super::super::text_file::{BadLines, number, split_once};
use super::name;
use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _, Write};
use std::num::NonZeroU32;
use std::ops::Range;

/// A list, but for its messages: a folder may have a million of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UidList {
    pub uid_validity: Option<NonZeroU32>,
    /// Above every UID of the list.
    pub next_uid: Option<NonZeroU32>,
    /// 32 hex digits, usually.
    pub guid: Option<String>,
    /// Header fields of other letters, as they stand.
    pub other_fields: Vec<String>,
    /// Messages that it lists.
    pub messages: usize,
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

/// Messages that a list is to have beside those that it has, by ascending UID.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Added(BTreeMap<NonZeroU32, Vec<u8>>);

impl Added {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a message in the place of one that has its UID.
    pub fn add(&mut self, entry: Entry<'_>) {
        self.0.insert(entry.uid, line(entry));
    }
}

/// Where in a list messages stand, so that others can be put between them without looking at its lines once more.
#[derive(Debug, Default)]
pub struct Places {
    /// Bytes of the header, and up to the end of the last complete line.
    head: u64,
    end: u64,
    /// The last UID.
    last: u32,
    /// It is of version 3, and every line says something.
    exact: bool,
    /// Where those messages stand of which somebody asked, or would stand (an empty range).
    of: BTreeMap<NonZeroU32, Range<u64>>,
}

impl Places {
    /// Where each of these goes: the bytes that it replaces. `None`: the lines have to be looked at.
    fn of_all<'a>(&self, added: &'a Added) -> Option<Vec<(Range<u64>, &'a [u8])>> {
        if !self.exact {
            return None;
        }
        let place = |(uid, line): (&NonZeroU32, &'a Vec<u8>)| match self.of.get(uid) {
            Some(place) => Some((place.clone(), line.as_slice())),
            None => (uid.get() > self.last).then_some((self.end..self.end, line.as_slice())),
        };
        added.0.iter().map(place).collect()
    }
}

/// Writes the file, version 3: the head of `list`, the messages of `old` and those that were added, each in the place of one
/// that has its UID. `places` are those of `old` when it was looked at; `false`: it is another one now, and what was written
/// is of no use. Without a UIDVALIDITY there is nothing that Dovecot would read: an empty file.
pub fn write(
    out: &mut dyn Write,
    list: &UidList,
    mut old: impl BufRead,
    places: &Places,
    added: &Added,
) -> io::Result<bool> {
    let Some(head) = head(list) else { return Ok(true) };
    out.write_all(&head)?;
    let Some(pieces) = places.of_all(added) else {
        return Ok(merge(out, old, added)? == list.messages);
    };
    let mut at = 0;
    let mut pass = |to: u64, out: &mut dyn Write| {
        at += io::copy(&mut old.by_ref().take(to.saturating_sub(at)), out)?;
        Ok::<_, io::Error>(at == to)
    };
    let mut whole = pass(places.head, &mut io::sink())?;
    for (place, line) in pieces {
        whole &= pass(place.start, out)? && pass(place.end, &mut io::sink())?;
        out.write_all(line)?;
    }
    Ok(whole & pass(places.end, out)?)
}

/// The same line by line; what cannot be read is left out. How many messages the old list has.
fn merge(out: &mut dyn Write, old: impl BufRead, added: &Added) -> io::Result<usize> {
    let mut added = added.0.iter().peekable();
    let mut written = Ok(());
    let mut put = |entry: Entry<'_>, out: &mut dyn Write| {
        while let Some((_, line)) = added.next_if(|(uid, _)| **uid < entry.uid) {
            out.write_all(line)?;
        }
        match added.next_if(|(uid, _)| **uid == entry.uid) {
            Some((_, line)) => out.write_all(line),
            None => out.write_all(&line(entry)),
        }
    };
    let (old, _) = read(old, |entry| {
        if written.is_ok() {
            written = put(entry, out);
        }
    })?;
    written?;
    added.try_for_each(|(_, line)| out.write_all(line))?;
    Ok(old.messages)
}

fn line(Entry { uid, fields, name }: Entry<'_>) -> Vec<u8> {
    let mut line = uid.to_string().into_bytes();
    line.push(b' ');
    line.extend_from_slice(fields);
    line.extend_from_slice(if fields.is_empty() { b":" } else { b" :" });
    line.extend_from_slice(name);
    line.push(b'\n');
    line
}

fn head(list: &UidList) -> Option<Vec<u8>> {
    let next_uid = list.next_uid.map_or(1, NonZeroU32::get);
    let mut out = format!("3 V{} N{next_uid}", list.uid_validity?).into_bytes();
    if let Some(guid) = &list.guid {
        out.extend_from_slice(b" G");
        out.extend_from_slice(guid.as_bytes());
    }
    for field in &list.other_fields {
        out.push(b' ');
        out.extend_from_slice(field.as_bytes());
    }
    out.push(b'\n');
    Some(out)
}

/// Hands the messages of a list of either version over as they are read, and gives back the rest of it; what cannot be read
/// is in the second value. An empty file gives an empty list. A last line without an end is still being written; Dovecot
/// does not look at it either. Lines end in LF alone, as Dovecot reads them: a CR before it belongs to a file's name.
pub fn read(file: impl BufRead, mut each: impl FnMut(Entry<'_>)) -> io::Result<(UidList, BadLines)> {
    let (list, bad, _) = locate(file, &[], |entry| {
        each(entry);
        false
    })?;
    Ok((list, bad))
}

/// The same, with the places of the messages that have one of `uids` (ascending) or for which `each` asks.
pub fn locate(
    mut file: impl BufRead,
    uids: &[NonZeroU32],
    mut each: impl FnMut(Entry<'_>) -> bool,
) -> io::Result<(UidList, BadLines, Places)> {
    let (mut lines, mut line, mut places) = (Lines::default(), Vec::new(), Places::default());
    let mut uids = uids.iter().copied().peekable();
    let mut silent = 0;
    loop {
        line.clear();
        file.read_until(b'\n', &mut line)?;
        let Some(text) = line.strip_suffix(b"\n") else { break };
        let place = places.end..places.end + line.len() as u64;
        places.end = place.end;
        let Some(entry) = lines.take(text) else {
            silent += 1;
            continue;
        };
        places.last = entry.uid.get();
        while let Some(uid) = uids.next_if(|uid| *uid <= entry.uid) {
            places.of.insert(uid, if uid == entry.uid { place.clone() } else { place.start..place.start });
        }
        let uid = entry.uid;
        if each(entry) {
            places.of.insert(uid, place);
        }
    }
    // The header is no message; nothing else may be none.
    places.exact = lines.is_v3 && silent == 1;
    places.head = lines.head_bytes;
    let (list, bad) = lines.finish();
    Ok((list, bad, places))
}

/// What the lines so far say, but for the entries.
#[derive(Default)]
struct Lines {
    list: UidList,
    bad: BadLines,
    is_v3: bool,
    head_bytes: u64,
    /// Lines so far, and the last UID.
    count: usize,
    last: u32,
}

impl Lines {
    /// Takes in a line; an entry is given back.
    fn take<'l>(&mut self, line: &'l [u8]) -> Option<Entry<'l>> {
        self.count += 1;
        if self.count == 1 {
            self.head_bytes = line.len() as u64 + 1;
            self.head(line);
            return None;
        }
        // Without a UIDVALIDITY the UIDs mean nothing.
        if self.list.uid_validity.is_none() || line.is_empty() {
            return None;
        }
        match parse_entry(line, self.is_v3) {
            Some(entry) if entry.uid.get() > self.last => {
                self.last = entry.uid.get();
                self.list.messages += 1;
                return Some(entry);
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
    let mut lines = Lines::default();
    memchr::memchr(b'\n', bytes).and_then(|end| bytes.get(..end)).and_then(|line| lines.take(line));
    lines.finish().0
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

fn parse_entry(text: &[u8], is_v3: bool) -> Option<Entry<'_>> {
    let (uid, rest) = split_once(text, b' ')?;
    let uid = number(uid).and_then(NonZeroU32::new)?;
    let (fields, name) = if is_v3 { split_fields(rest)? } else { (&b""[..], rest) };
    if name.is_empty() || name.contains(&b'/') {
        return None;
    }
    Some(Entry { uid, fields, name })
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

    /// Everything of a list, and what could not be read of it.
    fn parse(bytes: &[u8]) -> (UidList, Added, BadLines) {
        let mut entries = Added::default();
        let (list, bad) = read(bytes, |entry| entries.add(entry)).unwrap();
        assert_eq!(list.messages, entries.0.len());
        (list, entries, bad)
    }

    /// What is written, the same whether all places are known or none.
    fn encode(list: &UidList, old: &[u8], added: &Added) -> Vec<u8> {
        let uids: Vec<_> = added.0.keys().copied().collect();
        let (_, _, places) = locate(old, &uids, |_| false).unwrap();
        let (mut out, mut again) = (Vec::new(), Vec::new());
        write(&mut out, list, old, &places, added).unwrap();
        write(&mut again, list, old, &Places::default(), added).unwrap();
        assert_eq!(parse(&out), parse(&again));
        out
    }

    /// UID, base name and UIDL of each message.
    fn messages(bytes: &[u8]) -> Vec<(u32, Vec<u8>, Option<Vec<u8>>)> {
        let mut all = Vec::new();
        let each = |entry: Entry<'_>| {
            all.push((entry.uid.get(), entry.base().to_vec(), entry.uidl().map(<[u8]>::to_vec)));
        };
        read(bytes, each).unwrap();
        all
    }

    #[test]
    fn version_3_with_fields_is_read_and_written_back_byte_for_byte() {
        let text = b"3 V1518280872 N9 G3fbb2f43131ac088a6663a5911027276\n\
            1 P1 :1566.46597_600860.store1\n2 :b,S=3,W=4\n4 G00ff W12 P :c:2,S\n8 Pa:b :d\n";
        let (list, entries, bad) = parse(text);
        assert_eq!(bad, BadLines::default());
        assert_eq!((list.uid_validity, list.next_uid), (Some(nz(1_518_280_872)), Some(nz(9))));
        assert_eq!(list.guid.as_deref(), Some("3fbb2f43131ac088a6663a5911027276"));
        let message = |uid, base: &[u8], uidl: Option<&[u8]>| (uid, base.to_vec(), uidl.map(<[u8]>::to_vec));
        assert_eq!(
            messages(text),
            [
                message(1, b"1566.46597_600860.store1", Some(b"1")),
                message(2, b"b,S=3,W=4", None),
                message(4, b"c", Some(b"c")),
                message(8, b"d", Some(b"a:b")),
            ]
        );
        assert_eq!(encode(&list, text, &Added::default()), text);
        assert_eq!(encode(&list, b"", &entries), text);
    }

    #[test]
    fn version_1_and_couriers_list_are_read_and_become_version_3() {
        let text = b"1 1036519287 7\n3 1036.M1P2.host,S=3\n6 b:2,S\n";
        let (list, _, bad) = parse(text);
        assert_eq!(bad, BadLines::default());
        assert_eq!(messages(text), [(3, b"1036.M1P2.host,S=3".to_vec(), None), (6, b"b".to_vec(), None)]);
        let written = encode(&list, text, &Added::default());
        assert_eq!(written, b"3 V1036519287 N7\n3 :1036.M1P2.host,S=3\n6 :b:2,S\n");
    }

    #[test]
    fn garbage_is_reported_and_the_rest_is_used() {
        let text =
            b"3 V5 N2\n0 :zero\nx :y\n3 :ok\n3 :again\n2 :back\n\n7 nofile\n9 :\n4294967295 :last\n4294967295 :to";
        let (list, _, bad) = parse(text);
        assert_eq!(messages(text).iter().map(|message| message.0).collect::<Vec<_>>(), [3, u32::MAX]);
        assert_eq!(bad.first.iter().map(|bad| bad.line).collect::<Vec<_>>(), [2, 3, 5, 6, 8, 9]);
        assert_eq!(list.next_uid, Some(nz(2)), "a UID space that is used up has no next");
        assert_eq!(parse(b"3 V5 N2\n4 :a\n5 :torn").0.messages, 1);
        let (list, entries, bad) = parse(b"\0\0\0\n1 :a\n");
        assert!(entries.is_empty() && list.uid_validity.is_none() && bad.first.len() == 1);
        assert_eq!(parse(b""), (UidList::default(), Added::default(), BadLines::default()));
        assert_eq!(messages(b"3 V5 N2\n4 :a\r\n"), [(4, b"a\r".to_vec(), None)]);
    }

    #[test]
    fn of_a_million_bad_lines_the_first_are_kept_and_the_others_counted() {
        let (list, _, bad) = parse(&[b"3 V5 N2\n".as_slice(), &b"x\n".repeat(1_000_000), b"4 :a\n"].concat());
        assert_eq!((list.messages, bad.first.len(), bad.more), (1, 20, 999_980));
    }

    #[test]
    fn an_entry_takes_the_place_of_the_one_with_its_uid_and_all_stay_in_order() {
        let text = b"3 V5 N9\n2 :b\n4 P1 :d\n7 :g\n";
        let mut added = Added::default();
        for (uid, name) in [(4, b"later".as_slice()), (1, b"a"), (9, b"i"), (4, b"last")] {
            added.add(Entry { uid: nz(uid), fields: b"Px", name });
        }
        let written = encode(&parse(text).0, text, &added);
        assert_eq!(written, b"3 V5 N9\n1 Px :a\n2 :b\n4 Px :last\n7 :g\n9 Px :i\n");
    }

    #[test]
    fn a_message_that_is_added_where_nobody_asked_for_a_place_gets_into_its_order_all_the_same() {
        let text = b"3 V5 N9\n2 :b\n7 :g\n";
        let (list, _, places) = locate(text.as_slice(), &[nz(2)], |entry| entry.name == b"g").unwrap();
        let written = |uid: u32| {
            let (mut added, mut out) = (Added::default(), Vec::new());
            added.add(Entry { uid: nz(uid), fields: b"", name: b"x" });
            write(&mut out, &list, text.as_slice(), &places, &added).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(2), "3 V5 N9\n2 :x\n7 :g\n");
        assert_eq!(written(4), "3 V5 N9\n2 :b\n4 :x\n7 :g\n");
        assert_eq!(written(7), "3 V5 N9\n2 :b\n7 :x\n");
        assert_eq!(written(8), "3 V5 N9\n2 :b\n7 :g\n8 :x\n");
    }

    #[test]
    fn the_next_uid_is_never_below_a_used_one() {
        assert_eq!(parse(b"3 V5 N2\n7 :a\n").0.next_uid, Some(nz(8)));
        assert_eq!(parse(b"3 V5\n").0.next_uid, Some(nz(1)));
        assert_eq!(parse_head(b"3 V5 N9 Gabc\ngarbage").guid.as_deref(), Some("abc"));
    }

    proptest! {
        #[test]
        fn a_list_survives_encoding_in_two_portions(
            validity in 1u32.., guid in proptest::option::of("[0-9a-f]{32}"),
            entries in proptest::collection::btree_map(
                1u32..u32::MAX, (proptest::option::of("[!-9;-~]{0,9}"), "[^/\r\n]{1,20}", any::<bool>()), 0..20),
        ) {
            let next_uid = Some(nz(entries.keys().last().map_or(1, |last| last + 1)));
            let list = UidList { uid_validity: NonZeroU32::new(validity), next_uid, guid, ..UidList::default() };
            let portion = |wanted: Option<bool>| {
                let mut portion = Added::default();
                for (uid, (uidl, name, is_first)) in &entries {
                    let fields = uidl.as_ref().map(|uidl| format!("P{uidl}")).unwrap_or_default();
                    if wanted.is_none_or(|wanted| wanted == *is_first) {
                        portion.add(Entry { uid: nz(*uid), fields: fields.as_bytes(), name: name.as_bytes() });
                    }
                }
                portion
            };
            let first = encode(&list, b"", &portion(Some(true)));
            let both = encode(&list, &first, &portion(Some(false)));
            prop_assert_eq!(&both, &encode(&list, b"", &portion(None)));
            let list = UidList { messages: entries.len(), ..list };
            prop_assert_eq!(parse(&both), (list, portion(None), BadLines::default()));
        }

        #[test]
        fn any_bytes_are_a_list_that_reads_the_same_once_it_was_written(bytes: Vec<u8>) {
            for bytes in [bytes.clone(), [b"3 V1 N1 \n", bytes.as_slice()].concat()] {
                let (list, entries, _) = parse(&bytes);
                let written = encode(&list, &bytes, &Added::default());
                if list.uid_validity.is_some() {
                    prop_assert_eq!(parse(&written), (list, entries, BadLines::default()));
                }
            }
        }
    }
}
