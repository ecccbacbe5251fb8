//! Which folders a user has subscribed to: Dovecot's `subscriptions`, and Courier's `courierimapsubscribed`.
//!
//! Dovecot, version 1: a folder a line, levels separated by `.`. Version 2: the header `V\t2` and an empty line, then
//! levels separated by tabs, each with `\x01` escapes. Courier: `INBOX.` in front of every folder. Levels are in
//! modified UTF-7 (or UTF-8). Specified in Dovecot's `subscription-file.c` only.

use super::super::text_file::lines;
use super::{folder_dir, mutf7};
use std::collections::BTreeSet;

const V2_HEADER: &[u8] = b"V\t2";

/// The paths that Dovecot's file names. Nothing says that the folders exist. A line with NUL names none: it is what a disk
/// that failed leaves of a file which was not synced.
pub fn parse(bytes: &[u8]) -> BTreeSet<String> {
    let is_v2 = lines(bytes).next().is_some_and(|(_, first)| first == V2_HEADER);
    let names = lines(bytes).map(|(_, line)| line).skip(usize::from(is_v2));
    let names = names.filter(|line| !line.is_empty() && !line.contains(&0));
    if is_v2 {
        let path = |line: &[u8]| {
            let levels: Vec<_> = line.split(|&byte| byte == b'\t').map(unescape).collect();
            folder_dir::join_levels(levels.iter().map(Vec::as_slice))
        };
        return names.map(path).collect();
    }
    names.map(parse_dotted).collect()
}

/// The paths that Courier's file names.
pub fn parse_courier(bytes: &[u8]) -> BTreeSet<String> {
    let names = lines(bytes).map(|(_, line)| line).filter(|line| !line.is_empty());
    names.map(|line| parse_dotted(line.strip_prefix(b"INBOX.").unwrap_or(line))).collect()
}

/// Dovecot's file, version 2, sorted.
pub fn encode(paths: &BTreeSet<String>) -> Vec<u8> {
    let mut out = [V2_HEADER, b"\n\n"].concat();
    for path in paths {
        // What has to be escaped is outside printable ASCII, so modified UTF-7 leaves nothing to escape.
        let line = path.split('/').map(mutf7::encode).collect::<Vec<_>>().join("\t");
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out
}

/// A `/` separates too: a Maildir++ name holds none, and some servers wrote it.
fn parse_dotted(line: &[u8]) -> String {
    folder_dir::join_levels(line.split(|&byte| byte == b'.' || byte == b'/'))
}

/// Dovecot's tab escapes: `\x01` and one of `0`, `1`, `t`, `n`, `r`.
fn unescape(level: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(level.len());
    let mut bytes = level.iter();
    while let Some(&byte) = bytes.next() {
        out.push(match byte {
            1 => match bytes.next() {
                Some(b'0') => 0,
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b'1') | None => 1,
                Some(&other) => other,
            },
            other => other,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().map(|&path| path.to_owned()).collect()
    }

    #[test]
    fn both_versions_and_couriers_file_name_the_same_folders() {
        let expected = set(&["INBOX", "Sent", "Archive/2023", "Entwürfe", "Q&A"]);
        assert_eq!(parse(b"V\t2\n\nINBOX\nSent\nArchive\t2023\nEntw&APw-rfe\nQ&-A\n"), expected);
        assert_eq!(parse("INBOX\nSent\nArchive.2023\nEntwürfe\nQ&A\n".as_bytes()), expected);
        assert_eq!(parse_courier(b"INBOX\nINBOX.Sent\nINBOX.Archive.2023\nINBOX.Entw&APw-rfe\nINBOX.Q&-A"), expected);
        assert_eq!(parse(b""), set(&[]));
        assert_eq!(parse(&[0; 90]), set(&[]));
        assert_eq!(parse(b"V\t2\n\na\x01tb\n"), set(&["a\tb"]));
    }

    proptest! {
        #[test]
        fn subscriptions_survive_encoding(paths in proptest::collection::btree_set("[^/]{1,9}(/[^/]{1,9}){0,3}", 0..9)) {
            prop_assert_eq!(parse(&encode(&paths)), paths);
        }

        #[test]
        fn any_bytes_are_subscriptions(bytes: Vec<u8>) {
            let _ = (parse(&bytes), parse_courier(&bytes));
            let _ = parse(&[b"V\t2\n\n", bytes.as_slice()].concat());
        }
    }
}
