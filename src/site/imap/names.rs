//! Names: of folders, between our paths and what a server calls them; of messages, from what a server knows them by. Pure.

use super::client::utf7;
use crate::limits;
use crate::model::hex;
use crate::model::mailbox::{FolderKey, FolderKind};
use sha2::{Digest, Sha256};

/// How the server spells the user's own folders.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Spelling {
    /// Between levels; `None`: the server has no levels.
    pub separator: Option<u8>,
    /// Before every name but the inbox (`INBOX.`).
    pub prefix: Vec<u8>,
    /// Prefixes of what is not the user's own.
    pub foreign: Vec<Vec<u8>>,
    /// Prefix and separator of what other users own; one of `foreign`.
    pub others: Option<(Vec<u8>, u8)>,
    /// Names are UTF-8 and not modified UTF-7.
    pub utf8: bool,
}

/// Stands for a `/` in a level, which no path can hold: U+2215, the division slash.
const SLASH: char = '\u{2215}';

/// Below this level the folders of other users are in the path of a subscription, whatever the server calls that place: as
/// in the Dovecot that `wagon config` makes, `shared/bob@example.org/Work`.
const OTHERS: &str = "shared";

impl Spelling {
    /// The path of a folder; `Err` holds its name as well as it can be shown. `None`: it is not the user's own.
    pub fn key(&self, wire: &[u8]) -> Option<Result<FolderKey, String>> {
        if self.foreign.iter().any(|prefix| wire.starts_with(prefix)) {
            return None;
        }
        let own = match wire.strip_prefix(self.prefix.as_slice()) {
            Some(own) if !own.is_empty() => own,
            _ => wire,
        };
        let bad = || Err(crate::model::text::from_bytes(wire));
        let Some(mut path) = self.levels(own, self.separator) else { return Some(bad()) };
        if let Some(first) = path.first_mut()
            && first.eq_ignore_ascii_case("INBOX")
        {
            *first = "INBOX".to_owned();
        }
        Some(FolderKey::new(FolderKind::Mail, &path.join("/")).or_else(|_| bad()))
    }

    /// What the server would call a folder; the flag says that a level could not stay as it is.
    pub fn wire(&self, key: &FolderKey) -> (Vec<u8>, bool) {
        if key.path() == "INBOX" {
            return (b"INBOX".to_vec(), false);
        }
        let (name, mapped) = self.spell(key.levels(), self.separator);
        let below_inbox = key.levels().next() == Some("INBOX") && self.prefix.eq_ignore_ascii_case(b"INBOX.");
        let prefix = if below_inbox { &[][..] } else { self.prefix.as_slice() };
        ([prefix, name.as_slice()].concat(), mapped)
    }

    /// What is subscribed to, as a path: that of an own folder, or `shared/ADDRESS/…` for somebody else's. `Err` holds the
    /// name as well as it can be shown.
    pub fn subscription(&self, wire: &[u8]) -> Result<String, String> {
        let others =
            self.others.as_ref().and_then(|(prefix, separator)| Some((wire.strip_prefix(&prefix[..])?, *separator)));
        let is_foreign = self.foreign.iter().any(|prefix| wire.starts_with(prefix));
        let levels = match others {
            Some((rest, separator)) => self.levels(rest, Some(separator)).map(|mut levels| {
                levels.insert(0, OTHERS.to_owned());
                levels
            }),
            None if is_foreign => self.levels(wire, self.separator),
            None => self.levels(wire.strip_prefix(self.prefix.as_slice()).unwrap_or(wire), self.separator),
        };
        levels.map(|levels| levels.join("/")).ok_or_else(|| crate::model::text::from_bytes(wire))
    }

    /// What to say to subscribe to that path; `None`: the server cannot spell it.
    pub fn subscription_wire(&self, path: &str) -> Option<Vec<u8>> {
        let levels: Vec<&str> = path.split('/').collect();
        if let (Some((prefix, separator)), [OTHERS, rest @ ..]) = (&self.others, levels.as_slice())
            && rest.first().is_some_and(|owner| owner.contains('@'))
        {
            let (name, mapped) = self.spell(rest.iter().copied(), Some(*separator));
            return (!mapped).then(|| [prefix.as_slice(), &name].concat());
        }
        let (name, mapped) = self.spell(levels.iter().copied(), self.separator);
        let stands_alone = path.is_empty()
            || path == "INBOX"
            || self.foreign.iter().any(|prefix| name.starts_with(prefix))
            || (levels.first() == Some(&"INBOX") && self.prefix.eq_ignore_ascii_case(b"INBOX."));
        let prefix = if stands_alone { &[][..] } else { self.prefix.as_slice() };
        (!mapped && !path.is_empty()).then(|| [prefix, name.as_slice()].concat())
    }

    /// The levels of a name on the wire; `None`: it is no text.
    fn levels(&self, name: &[u8], separator: Option<u8>) -> Option<Vec<String>> {
        let plain = || std::str::from_utf8(name).ok().map(str::to_owned);
        let name = if self.utf8 { plain()? } else { utf7::decode(name).or_else(plain)? };
        let levels: Vec<&str> = match separator {
            Some(separator) => name.split(char::from(separator)).collect(),
            None => vec![name.as_str()],
        };
        Some(levels.iter().map(|level| level.replace('/', &SLASH.to_string())).collect())
    }

    /// Levels as the server would spell them; the flag says that one could not stay as it is.
    fn spell<'a>(&self, levels: impl Iterator<Item = &'a str>, separator: Option<u8>) -> (Vec<u8>, bool) {
        let separator = separator.map(char::from);
        let mut mapped = false;
        let levels: Vec<String> = levels
            .map(|level| {
                let back = level.replace(SLASH, "/");
                let plain = if separator == Some('/') { level.to_owned() } else { back };
                let clean: String = plain
                    .chars()
                    .map(|c| match c {
                        c if Some(c) == separator && c != '/' => '_',
                        '\r' | '\n' | '\0' => '_',
                        c => c,
                    })
                    .collect();
                mapped |= clean != plain;
                clean
            })
            .collect();
        let joined = match separator {
            Some(separator) => levels.join(&separator.to_string()),
            None => {
                mapped |= levels.len() > 1;
                levels.join("_")
            }
        };
        let name = if self.utf8 { joined } else { utf7::encode(&joined) };
        (name.into_bytes(), mapped)
    }
}

/// The name of a message that the server knows by `ident`: the same, where other sites could have it as a file name.
///
/// A Dovecot that serves Maildirs gives file names, with sizes in them (`,S=…,W=…`) that are those of the file and not of
/// what goes over the wire; they are cut off, because whoever serves a file of that name believes them.
pub fn item_name(ident: &str) -> String {
    let ident = [",S=", ",W="].iter().fold(ident, |name, field| name.split(field).next().unwrap_or(name));
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '\\');
    let plain = !ident.is_empty() && !ident.starts_with('.') && ident.chars().all(fits);
    if plain && ident.len() <= limits::ITEM_NAME_BYTES - 20 {
        return ident.to_owned();
    }
    let digest: [u8; 32] = Sha256::digest(ident.as_bytes()).into();
    format!("i{}", hex::encode(digest.get(..16).unwrap_or_default()))
}

/// By what a message is known again on a server without lasting names: its header, size and internal date.
pub fn fingerprint(header: &[u8], size: u64, date: i64) -> String {
    let mut digest = Sha256::new();
    digest.update(size.to_be_bytes());
    digest.update(date.to_be_bytes());
    digest.update(header);
    let digest: [u8; 32] = digest.finalize().into();
    format!("h{}", hex::encode(digest.get(..16).unwrap_or_default()))
}

/// Paths for a folder whose own the server refuses, the best first: without characters that servers refuse in names, and
/// with one short level, always the same for the same folder, where levels are too many or too long.
pub fn stand_ins(key: &FolderKey) -> [FolderKey; 2] {
    let tame = tame(key);
    let digest: [u8; 32] = Sha256::digest(key.path().as_bytes()).into();
    let id = hex::encode(digest.get(..4).unwrap_or_default());
    let begin: String = tame.path().chars().map(|c| if c == '/' { '-' } else { c }).take(STAND_IN_CHARS).collect();
    let flat = FolderKey::new(key.kind(), &format!("{}-{id}", begin.trim_end())).unwrap_or_else(|_| tame.clone());
    [tame, flat]
}

/// Characters of a path that a stand-in begins with; in modified UTF-7 they have 240 bytes at most, and file names 255.
const STAND_IN_CHARS: usize = 40;

/// A path without the characters that servers refuse in names.
fn tame(key: &FolderKey) -> FolderKey {
    let levels = key.levels().map(|level| {
        let clean: String = level
            .chars()
            .map(|c| match c {
                '.' | '%' | '*' | '^' | '~' | '#' | '&' | '\\' | '"' => '_',
                c if c.is_control() => '_',
                c => c,
            })
            .collect();
        clean.trim().to_owned()
    });
    let path = levels.map(|level| if level.is_empty() { "_".to_owned() } else { level }).collect::<Vec<_>>().join("/");
    FolderKey::new(key.kind(), &path).unwrap_or_else(|_| key.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelling(separator: u8, prefix: &str) -> Spelling {
        let foreign = vec![b"shared/".to_vec(), b"Other Users/".to_vec()];
        let others = Some((b"Other Users/".to_vec(), b'/'));
        Spelling { separator: Some(separator), prefix: prefix.into(), foreign, others, utf8: false }
    }

    fn key(path: &str) -> FolderKey {
        FolderKey::new(FolderKind::Mail, path).unwrap()
    }

    #[test]
    fn a_folder_whose_name_is_refused_gets_one_like_it_always_the_same() {
        let deep = vec!["\u{1f4c1}".repeat(20); 12].join("/");
        let [tame, flat] = stand_ins(&key(&deep));
        assert_eq!(tame, key(&deep));
        assert!(flat.levels().count() == 1 && spelling(b'/', "").wire(&flat).0.len() < 255, "{flat}");
        assert_eq!(stand_ins(&key(&deep))[1], flat);
        assert_ne!(stand_ins(&key(&format!("{deep}/more")))[1], flat);
        assert_eq!(stand_ins(&key("a.b/50%")).map(|key| key.path().to_owned())[0], "a_b/50_");
    }

    #[test]
    fn folders_keep_their_paths_on_servers_of_every_spelling() {
        for (spelling, wire, path) in [
            (spelling(b'/', ""), "Entw&APw-rfe/2024", "Entwürfe/2024"),
            (spelling(b'.', "INBOX."), "INBOX.Sent.2024", "Sent/2024"),
            (spelling(b'.', ""), "a.b&-c", "a/b&c"),
            (spelling(b'.', ""), "either/or", "either\u{2215}or"),
            (spelling(b'/', ""), "INBOX/below", "INBOX/below"),
        ] {
            assert_eq!(spelling.key(wire.as_bytes()), Some(Ok(key(path))), "{wire}");
            assert_eq!(spelling.wire(&key(path)), (wire.as_bytes().to_vec(), false), "{path}");
        }
        assert_eq!(spelling(b'/', "").key(b"inbox"), Some(Ok(FolderKey::inbox())));
        assert_eq!(spelling(b'/', "").key(b"shared/bob@a.test/x"), None);
        assert!(spelling(b'/', "").key(b"a//b").unwrap().is_err());
    }

    #[test]
    fn what_a_server_cannot_spell_is_mapped_and_said() {
        assert_eq!(spelling(b'.', "").wire(&key("v1.2/x")), (b"v1_2.x".to_vec(), true));
        assert_eq!(Spelling::default().wire(&key("a/b")), (b"a_b".to_vec(), true));
    }

    #[test]
    fn subscriptions_to_what_is_no_own_folder_have_a_path_that_other_servers_understand() {
        for (spelling, wire, path) in [
            (spelling(b'/', ""), "Old.Folder &APw-", "Old.Folder \u{fc}"),
            (spelling(b'.', "INBOX."), "INBOX.Gone.Away", "Gone/Away"),
            (spelling(b'/', ""), "Other Users/bob@a.test/Work", "shared/bob@a.test/Work"),
            (spelling(b'/', "INBOX."), "shared/News", "shared/News"),
        ] {
            assert_eq!(spelling.subscription(wire.as_bytes()).as_deref(), Ok(path), "{wire}");
            assert_eq!(spelling.subscription_wire(path).as_deref(), Some(wire.as_bytes()), "{path}");
        }
        assert_eq!(spelling(b'.', "").subscription_wire("v1.2/x"), None, "a level that it cannot spell");
        assert_eq!(spelling(b'/', "").subscription_wire("a\nb"), None);
        assert_eq!(spelling(b'/', "").subscription_wire(""), None);
        assert!(spelling(b'/', "").subscription(b"\xff").is_err());
    }

    #[test]
    fn names_of_messages_are_plain() {
        assert_eq!(item_name("1234.M5P6.host,S=1,W=2"), "1234.M5P6.host");
        assert_eq!(item_name("1234.M5P6.host,x"), "1234.M5P6.host,x");
        for ident in ["", ".hidden", "a/b", "a b", "x:2,S", &"x".repeat(300)] {
            let name = item_name(ident);
            assert!(name.len() == 33 && name.starts_with('i'), "{name}");
        }
    }
}
