//! Answers as typed values. Pure: from the bytes of one answer, literals in it, to what it means.
//!
//! What an answer says that nobody here needs is [`Untagged::Other`]; one that cannot be understood is too, because
//! servers send what they like and only the tagged status of a command decides.

use super::code::{Said, words};
use super::value::{Value, Values};
use crate::limits;
use imap_proto::Response;
use std::ops::RangeInclusive;

/// Numbers of messages, as ranges in the order of the answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Numbers(Vec<RangeInclusive<u32>>);

impl Numbers {
    /// Reads `3:5,9`.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let one = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u32>().ok();
        let count = memchr::memchr_iter(b',', bytes).count() + 1;
        if count > limits::IMAP_RANGES {
            return None;
        }
        let mut ranges = Vec::with_capacity(count);
        for part in bytes.split(|&byte| byte == b',') {
            let mut ends = part.splitn(2, |&byte| byte == b':');
            let from = one(ends.next()?)?;
            let to = ends.next().map_or(Some(from), one)?;
            ranges.push(from.min(to)..=from.max(to));
        }
        Some(Self(ranges))
    }

    pub fn ranges(&self) -> &[RangeInclusive<u32>] {
        &self.0
    }

    /// One by one; a hostile server may list four thousand million, so whoever asks stops in time.
    pub fn each(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(Clone::clone)
    }
}

/// UIDs as a set in a command: neighbours as ranges.
pub fn set_of(uids: &[u32]) -> String {
    let mut sorted = uids.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for uid in sorted {
        match ranges.last_mut() {
            Some((_, to)) if uid == *to + 1 => *to = uid,
            _ => ranges.push((uid, uid)),
        }
    }
    let shown = ranges.iter().map(|(from, to)| if from == to { from.to_string() } else { format!("{from}:{to}") });
    shown.collect::<Vec<_>>().join(",")
}

/// A folder of a LIST answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listed {
    /// In lower case, with the backslash.
    pub attributes: Vec<String>,
    pub separator: Option<u8>,
    /// As on the wire.
    pub name: Vec<u8>,
}

impl Listed {
    pub fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|known| known == attribute)
    }
}

/// A folder's state, as STATUS tells it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Status {
    pub messages: Option<u32>,
    pub uid_next: Option<u32>,
    pub uid_validity: Option<u32>,
    pub modseq: Option<u64>,
    /// Bytes of all its messages (RFC 8438).
    pub size: Option<u64>,
    /// MAILBOXID (RFC 8474), or Dovecot's X-GUID.
    pub id: Option<String>,
}

/// What FETCH tells of a message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fetched {
    pub uid: Option<u32>,
    pub flags: Option<Vec<String>>,
    pub modseq: Option<u64>,
    /// Seconds since 1970.
    pub date: Option<i64>,
    pub size: Option<u64>,
    /// EMAILID (RFC 8474), X-GM-MSGID, or Dovecot's X-GUID.
    pub id: Option<String>,
    pub header: Option<Vec<u8>>,
    /// BODY[], whole or a piece of it.
    pub body: Option<Vec<u8>>,
}

/// An answer that belongs to no one command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Untagged {
    Said(Said),
    Capability(Vec<String>),
    Enabled(Vec<String>),
    Exists(u32),
    Fetch(Box<Fetched>),
    /// UIDs.
    Vanished(Numbers),
    Search(Vec<u32>),
    List(Listed),
    Status(Vec<u8>, Status),
    /// Identifier and rights, by folder.
    Acl(Vec<u8>, Vec<(String, String)>),
    /// Used and allowed kibibytes of STORAGE, by quota root.
    Quota(String, Option<(u64, u64)>),
    QuotaRoot(Vec<u8>, Vec<String>),
    /// Prefixes and separators: of the user's own folders, of other users', of shared ones.
    Namespace([Vec<(Vec<u8>, Option<u8>)>; 3]),
    Id(Vec<(String, String)>),
    /// A folder's annotations that have a value (RFC 5464, section 4.4).
    Metadata(Vec<(String, String)>),
    Other,
}

/// One whole answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    Untagged(Untagged),
    Tagged {
        tag: Vec<u8>,
        said: Said,
    },
    /// The server waits for more; what it says is a challenge, if anything.
    Go(Vec<u8>),
}

impl Answer {
    /// Reads one answer with its literals and line end; `None` where it is no answer at all.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let line = bytes.strip_suffix(b"\r\n").or(bytes.strip_suffix(b"\n"))?;
        if let Some(challenge) = line.strip_prefix(b"+") {
            return Some(Self::Go(challenge.trim_ascii().to_vec()));
        }
        if let Some(rest) = line.strip_prefix(b"* ") {
            return Some(Self::Untagged(untagged(rest, bytes).unwrap_or(Untagged::Other)));
        }
        let space = line.iter().position(|&byte| byte == b' ')?;
        let (tag, rest) = (line.get(..space)?, line.get(space + 1..)?);
        Some(Self::Tagged { tag: tag.to_vec(), said: Said::parse(rest)? })
    }
}

fn untagged(rest: &[u8], whole: &[u8]) -> Option<Untagged> {
    if let Some(said) = Said::parse(rest) {
        return Some(Untagged::Said(said));
    }
    let mut values = Values::new(rest);
    let first = values.word()?;
    if let Some(number) = std::str::from_utf8(first).ok().and_then(|text| text.parse::<u32>().ok()) {
        return Some(match values.word()?.to_ascii_uppercase().as_slice() {
            b"EXISTS" => Untagged::Exists(number),
            b"FETCH" => Untagged::Fetch(Box::new(fetched(&values.next()?))),
            _ => Untagged::Other,
        });
    }
    Some(match first.to_ascii_uppercase().as_slice() {
        b"CAPABILITY" => Untagged::Capability(words(&mut values)),
        b"ENABLED" => Untagged::Enabled(words(&mut values)),
        b"LIST" | b"LSUB" => {
            let attributes = values.next()?;
            let attributes = attributes.list().iter().filter_map(Value::text).map(|name| name.to_ascii_lowercase());
            let attributes = attributes.collect();
            let separator = values.next()?.bytes().and_then(|bytes| bytes.first().copied());
            Untagged::List(Listed { attributes, separator, name: values.next()?.bytes()?.to_vec() })
        }
        b"STATUS" => {
            let name = values.next()?.bytes()?.to_vec();
            Untagged::Status(name, status(&values.next()?))
        }
        b"NAMESPACE" => {
            let mut kind = || -> Option<Vec<(Vec<u8>, Option<u8>)>> {
                let entries = values.next()?;
                let entry = |entry: &Value<'_>| {
                    let [prefix, separator, ..] = entry.list() else { return None };
                    Some((prefix.bytes()?.to_vec(), separator.bytes().and_then(|bytes| bytes.first().copied())))
                };
                Some(entries.list().iter().filter_map(entry).collect())
            };
            Untagged::Namespace([kind()?, kind()?, kind()?])
        }
        b"METADATA" => {
            values.next()?;
            let list = values.next()?;
            let named = list.list().chunks_exact(2).filter_map(|pair| match pair {
                [name, value] => Some((name.text()?.to_ascii_lowercase(), value.text()?)),
                _ => None,
            });
            Untagged::Metadata(named.collect())
        }
        b"VANISHED" => {
            let mut numbers = values.rest();
            if let Value::List(_) = Values::new(numbers).next()? {
                values.next()?;
                numbers = values.rest();
            }
            Untagged::Vanished(Numbers::parse(numbers.trim_ascii())?)
        }
        b"SEARCH" | b"ACL" | b"QUOTA" | b"QUOTAROOT" | b"ID" => known(whole)?,
        _ => Untagged::Other,
    })
}

/// Answers that `imap-proto` reads soundly.
fn known(whole: &[u8]) -> Option<Untagged> {
    let (_, response) = Response::parse(whole).ok()?;
    Some(match response {
        Response::MailboxData(imap_proto::MailboxDatum::Search(found)) => Untagged::Search(found),
        Response::Acl(acl) => {
            let letters = |rights: &[imap_proto::rfc4314::AclRight]| {
                rights.iter().map(|&right| char::from(right)).collect::<String>()
            };
            let entries = acl.acls.iter().map(|entry| (unquoted(&entry.identifier), letters(&entry.rights)));
            Untagged::Acl(unquoted(&acl.mailbox).into_bytes(), entries.collect())
        }
        Response::Quota(quota) => {
            use imap_proto::rfc2087::QuotaResourceName::Storage;
            let storage = quota.resources.iter().find(|resource| resource.name == Storage);
            Untagged::Quota(unquoted(&quota.root_name), storage.map(|storage| (storage.usage, storage.limit)))
        }
        Response::QuotaRoot(root) => {
            let names = root.quota_root_names.iter().map(|name| unquoted(name)).collect();
            Untagged::QuotaRoot(unquoted(&root.mailbox_name).into_bytes(), names)
        }
        Response::Id(fields) => {
            let mut fields: Vec<_> =
                fields.into_iter().flatten().map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
            fields.sort();
            Untagged::Id(fields)
        }
        _ => Untagged::Other,
    })
}

/// `imap-proto` leaves the backslashes of quoted strings in. A name sent as a literal may have backslashes of its own, but
/// servers send those as quoted strings too.
fn unquoted(text: &str) -> String {
    text.replace("\\\"", "\"").replace("\\\\", "\\")
}

fn status(list: &Value<'_>) -> Status {
    let mut status = Status::default();
    for pair in list.list().chunks_exact(2) {
        let [name, value] = pair else { continue };
        let small = || value.number().and_then(|number| u32::try_from(number).ok());
        match name.bytes().unwrap_or_default().to_ascii_uppercase().as_slice() {
            b"MESSAGES" => status.messages = small(),
            b"UIDNEXT" => status.uid_next = small(),
            b"UIDVALIDITY" => status.uid_validity = small(),
            b"HIGHESTMODSEQ" => status.modseq = value.number(),
            b"SIZE" => status.size = value.number(),
            b"MAILBOXID" => status.id = value.list().first().and_then(Value::text).filter(|id| is_lasting(id)),
            b"X-GUID" => status.id = value.text().filter(|id| is_lasting(id)),
            _ => {}
        }
    }
    status
}

/// Whether it can be the lasting name of a folder; one without is known again by its path.
fn is_lasting(id: &str) -> bool {
    id.len() <= limits::IMAP_IDENT_BYTES
}

fn fetched(list: &Value<'_>) -> Fetched {
    let mut fetched = Fetched::default();
    for pair in list.list().chunks_exact(2) {
        let [name, value] = pair else { continue };
        let name = name.bytes().unwrap_or_default().to_ascii_uppercase();
        match name.as_slice() {
            b"UID" => fetched.uid = value.number().and_then(|number| u32::try_from(number).ok()),
            b"FLAGS" => fetched.flags = Some(value.list().iter().filter_map(Value::text).collect()),
            b"MODSEQ" => fetched.modseq = value.list().first().and_then(Value::number),
            b"INTERNALDATE" => fetched.date = value.bytes().and_then(parse_date),
            b"RFC822.SIZE" => fetched.size = value.number(),
            b"EMAILID" => fetched.id = value.list().first().and_then(Value::text),
            b"X-GUID" | b"X-GM-MSGID" => fetched.id = value.text(),
            body if body.starts_with(b"BODY[]") => fetched.body = value.bytes().map(<[u8]>::to_vec),
            body if body.starts_with(b"BODY[HEADER") => fetched.header = value.bytes().map(<[u8]>::to_vec),
            _ => {}
        }
    }
    fetched
}

/// Seconds since 1970 of ` 1-Jan-2024 12:00:00 +0100`.
fn parse_date(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let parsed = jiff::fmt::strtime::parse("%d-%b-%Y %H:%M:%S %z", text).ok()?;
    Some(parsed.to_timestamp().ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn untagged(text: &str) -> Untagged {
        match Answer::parse(text.as_bytes()) {
            Some(Answer::Untagged(untagged)) => untagged,
            other => panic!("{text:?} gives {other:?}"),
        }
    }

    #[test]
    fn what_servers_answer_is_understood() {
        let Untagged::Fetch(fetched) = untagged(
            "* 3 FETCH (UID 9 FLAGS (\\Seen $Work) INTERNALDATE \" 3-Feb-2001 04:05:06 +0100\" RFC822.SIZE 5 \
             MODSEQ (77) X-GUID 12.M3.host BODY[]<0> {5}\r\nhello)\r\n",
        ) else {
            panic!()
        };
        let expected = Fetched {
            uid: Some(9),
            flags: Some(vec!["\\Seen".into(), "$Work".into()]),
            modseq: Some(77),
            date: Some(981_169_506),
            size: Some(5),
            id: Some("12.M3.host".into()),
            header: None,
            body: Some(b"hello".to_vec()),
        };
        assert_eq!(*fetched, expected);
        assert_eq!(
            untagged("* LIST (\\HasNoChildren \\Sent) \"/\" \"a\\\\b\\\"c\"\r\n"),
            Untagged::List(Listed {
                attributes: vec!["\\hasnochildren".into(), "\\sent".into()],
                separator: Some(b'/'),
                name: b"a\\b\"c".to_vec()
            })
        );
        assert_eq!(
            untagged("* STATUS {5}\r\nINBOX (MESSAGES 2 UIDNEXT 3 UIDVALIDITY 4 HIGHESTMODSEQ 5 MAILBOXID (F1))\r\n"),
            Untagged::Status(
                b"INBOX".to_vec(),
                Status {
                    messages: Some(2),
                    uid_next: Some(3),
                    uid_validity: Some(4),
                    modseq: Some(5),
                    size: None,
                    id: Some("F1".into())
                }
            )
        );
        assert_eq!(untagged("* VANISHED (EARLIER) 3:5,9\r\n"), Untagged::Vanished(Numbers(vec![3..=5, 9..=9])));
        assert_eq!(
            untagged("* NAMESPACE ((\"\" \"/\")) NIL ((\"Public/\" \"/\"))\r\n"),
            Untagged::Namespace([vec![(Vec::new(), Some(b'/'))], vec![], vec![(b"Public/".to_vec(), Some(b'/'))]])
        );
        assert_eq!(
            untagged("* ACL INBOX ann@a.test lrswipkxtecda \"two words\" lr\r\n"),
            Untagged::Acl(
                b"INBOX".to_vec(),
                vec![("ann@a.test".into(), "lrswipkxtecda".into()), ("two words".into(), "lr".into())]
            )
        );
        assert_eq!(untagged("* QUOTA \"\" (STORAGE 10 512)\r\n"), Untagged::Quota(String::new(), Some((10, 512))));
        assert_eq!(
            untagged("* METADATA \"a b\" (/private/comment {2}\r\nhi /shared/comment NIL)\r\n"),
            Untagged::Metadata(vec![("/private/comment".into(), "hi".into())])
        );
        assert_eq!(untagged("* SEARCH 1 5\r\n"), Untagged::Search(vec![1, 5]));
        assert_eq!(untagged("* 1 FETCH (INTERNALDATE NIL)\r\n"), Untagged::Fetch(Box::default()));
        assert_eq!(untagged("* XSOMETHING new\r\n"), Untagged::Other);
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for text in ["", "\r\n", "garbage\r\n", "A1 MAYBE\r\n", "* OK without an end"] {
            assert_eq!(Answer::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Answer::parse(&bytes);
        }

        #[test]
        fn no_line_makes_it_panic(
            head in "\\* (ACL|QUOTA|QUOTAROOT|ID|SEARCH|VANISHED|LIST|OK|1 FETCH)",
            tail in " ?[ -~é()\"{}\\[\\]]{0,80}",
        ) {
            let _ = Answer::parse(format!("{head}{tail}\r\n").as_bytes());
        }
    }
}
