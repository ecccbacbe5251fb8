//! Folder paths and their directories in a Maildir++: `Archive/2023` lies in `.Archive.2023`, `INBOX` in the Maildir
//! itself.
//!
//! Levels are in modified UTF-7; with Dovecot's option `UTF-8` they are as they are. Both are read, the first is
//! written. Some names cannot be held at all: for these [`holdable`] gives another, always the same, and says why.
//! Specified in Dovecot's "Maildir" format page and <https://www.courier-mta.org/imap/README.maildirquota.html>.

use super::mutf7;
use crate::model::id::ObjectId;
use crate::model::{hex, text};

/// Longest name of a directory, bytes (`NAME_MAX` of every usual file system).
pub const NAME_BYTES: usize = 255;

/// Where Dovecot puts folders that it is about to delete; no folder.
pub const DOVECOT_TRASHED: &[u8] = b"..DOVECOT-TRASHED";

/// The directory of the folder at `path` in the Maildir, in modified UTF-7; empty for the inbox. `path` has to be
/// [`holdable`]; another gives a directory that reads back as another folder.
pub fn encode(path: &str) -> String {
    spell(path, mutf7::encode)
}

/// The directory of the folder at `path` where names are UTF-8.
pub fn encode_utf8(path: &str) -> String {
    spell(path, str::to_owned)
}

fn spell(path: &str, level: impl Fn(&str) -> String) -> String {
    if path == "INBOX" {
        return String::new();
    }
    path.split('/').map(|each| format!(".{}", level(each))).collect()
}

/// The path of the folder whose directory is called `name` (with its leading `.`). It may still be no folder path:
/// `FolderKey::new` tells.
pub fn parse(name: &[u8]) -> String {
    let name = name.strip_prefix(b".").unwrap_or(name);
    join_levels(name.split(|&byte| byte == b'.'))
}

/// Levels as they are spelled on disk, as a path.
pub fn join_levels<'a>(levels: impl Iterator<Item = &'a [u8]>) -> String {
    levels.map(parse_level).collect::<Vec<_>>().join("/")
}

fn parse_level(level: &[u8]) -> String {
    // A name that is no modified UTF-7 is one of a UTF-8 site, or somebody's mistake: literal in both cases.
    std::str::from_utf8(level).ok().and_then(mutf7::decode).unwrap_or_else(|| text::from_bytes(level))
}

/// A path that a Maildir++ can hold, in place of one that it cannot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replacement {
    pub path: String,
    /// What stands in the way of the path as it was.
    pub reason: String,
}

/// What must take the place of `path`; `None` where it can be held as it is.
///
/// The same path always gives the same replacement, a replacement needs none itself, and look-alikes that nobody types
/// (U+2024 for a dot, U+FF5E for a leading tilde) keep different folders apart. A path that is too long is cut and ends
/// in a part of its hash.
pub fn holdable(path: &str) -> Option<Replacement> {
    let mut reasons = Vec::new();
    let mut new = path.to_owned();
    if path.contains('.') {
        reasons.push("Maildir++ separates levels by a dot".to_owned());
        new = new.replace('.', "\u{2024}");
    }
    if path.split('/').any(|level| level.starts_with('~')) {
        reasons.push("Dovecot refuses names that begin with ~".to_owned());
        let level = |level: &str| level.strip_prefix('~').map_or(level.to_owned(), |rest| format!("\u{ff5e}{rest}"));
        new = new.split('/').map(level).collect::<Vec<_>>().join("/");
    }
    if path != "INBOX" && path.eq_ignore_ascii_case("INBOX") {
        reasons.push("INBOX has this name in any case".to_owned());
        new.push('_');
    }
    if encode(&new).len() > NAME_BYTES {
        reasons.push(format!("the name of its directory would have more than {NAME_BYTES} bytes"));
        new = shorten(&new, path);
    }
    (!reasons.is_empty()).then(|| Replacement { path: new, reason: reasons.join("; ") })
}

fn shorten(new: &str, original: &str) -> String {
    let hash = ObjectId::of(original.as_bytes());
    let mark = hex::encode(hash.as_bytes().get(..6).unwrap_or_default());
    let with_mark = |end: usize| format!("{} {mark}", new.get(..end).unwrap_or_default().trim_end_matches(['/', ' ']));
    // Encoded length grows with the cut, so the longest that fits is the first from the end.
    let ends = new.char_indices().map(|(at, _)| at).rev();
    ends.map(with_mark).find(|cut| encode(cut).len() <= NAME_BYTES && !cut.starts_with(' ')).unwrap_or(mark.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::mailbox::{FolderKey, FolderKind};
    use proptest::prelude::*;

    #[test]
    fn directories_are_named_as_servers_name_them() {
        for (path, dir) in [
            ("INBOX", ""),
            ("Archive/2023", ".Archive.2023"),
            ("Rechnungen/Müller & Söhne", ".Rechnungen.M&APw-ller &- S&APY-hne"),
            ("INBOX/below", ".INBOX.below"),
        ] {
            assert_eq!(encode(path), dir);
            assert_eq!(parse(dir.as_bytes()), if dir.is_empty() { "" } else { path });
        }
    }

    #[test]
    fn names_in_utf8_or_in_bad_utf7_or_in_neither_are_literal() {
        assert_eq!(parse(".Entwürfe.Q&A".as_bytes()), "Entwürfe/Q&A");
        assert_eq!(parse(b".Q&A"), "Q&A");
        assert_eq!(parse(b".a\xffb"), "a\\xffb");
        assert_eq!(parse(b".&AC8-"), "&AC8-", "a slash in base64 is not the right spelling, so it makes no level");
        assert!(FolderKey::new(FolderKind::Mail, &parse(b".a..b")).is_err());
        assert_eq!(encode_utf8("Entwürfe/Q&A"), ".Entwürfe.Q&A");
    }

    #[test]
    fn what_maildir_cannot_hold_gets_another_name_with_the_reason() {
        assert_eq!(holdable("Archive/2023"), None);
        assert_eq!(holdable("INBOX"), None);
        let dotted = holdable("v1.0/~tmp").unwrap();
        assert_eq!(dotted.path, "v1\u{2024}0/\u{ff5e}tmp");
        assert_eq!(dotted.reason, "Maildir++ separates levels by a dot; Dovecot refuses names that begin with ~");
        assert_eq!(holdable("Inbox").unwrap().path, "Inbox_");
        let long = |last| format!("{}/{last}", "ü".repeat(200));
        let (a, b) = (holdable(&long("a")).unwrap(), holdable(&long("b")).unwrap());
        assert_ne!(a.path, b.path);
        assert!(a.path.starts_with("üüü") && encode(&a.path).len() > 240, "{}", a.path);
    }

    proptest! {
        #[test]
        fn a_replacement_needs_none_and_comes_back(path in "[a.~üX/]{1,9}|\\PC{0,90}(/\\PC{1,60}){0,9}") {
            if let Ok(key) = FolderKey::new(FolderKind::Mail, &path) {
                let held = holdable(key.path()).map_or(path.clone(), |replacement| replacement.path);
                prop_assert_eq!(holdable(&held), None);
                prop_assert!(FolderKey::new(FolderKind::Mail, &held).is_ok());
                prop_assert!(encode(&held).len() <= NAME_BYTES);
                if held != "INBOX" {
                    prop_assert_eq!(parse(encode(&held).as_bytes()), held);
                }
            }
        }

        #[test]
        fn any_bytes_are_a_directory(name: Vec<u8>) {
            let _ = parse(&name);
        }
    }
}
