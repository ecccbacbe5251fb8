//! A mailbox: folders and the items in them.

use super::id::ObjectId;
use super::share::Grant;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU32;

/// What a folder holds. `Filters` holds the Sieve scripts of an account as items.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FolderKind {
    #[default]
    Mail,
    Calendars,
    Contacts,
    Tasks,
    Files,
    Filters,
}

impl FolderKind {
    /// The word of an address (`ann@example.org:calendars/personal`) and of a manifest.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Calendars => "calendars",
            Self::Contacts => "contacts",
            Self::Tasks => "tasks",
            Self::Files => "files",
            Self::Filters => "filters",
        }
    }

    /// The kind that `word` names.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Mail, Self::Calendars, Self::Contacts, Self::Tasks, Self::Files, Self::Filters]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// Where a folder is in its mailbox: its kind, and its path with `/` between levels (`INBOX`, `Archive/2023`).
///
/// The path is Unicode, whatever the site's encoding; no level is empty, `.` or `..`; a level holds no `/` and no NUL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "RawFolderKey")]
pub struct FolderKey {
    #[serde(default, skip_serializing_if = "is_mail")]
    kind: FolderKind,
    path: String,
}

#[derive(Deserialize)]
struct RawFolderKey {
    #[serde(default)]
    kind: FolderKind,
    path: String,
}

fn is_mail(kind: &FolderKind) -> bool {
    *kind == FolderKind::Mail
}

impl TryFrom<RawFolderKey> for FolderKey {
    type Error = BadFolderPath;

    fn try_from(raw: RawFolderKey) -> Result<Self, BadFolderPath> {
        Self::new(raw.kind, &raw.path)
    }
}

/// A text that is no folder path.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a folder path")]
pub struct BadFolderPath(String);

impl FolderKey {
    /// The folder of `kind` at `path`; refuses empty levels, `.`, `..`, NUL, and more than
    /// [`FOLDER_PATH_BYTES`](crate::limits::FOLDER_PATH_BYTES).
    pub fn new(kind: FolderKind, path: &str) -> Result<Self, BadFolderPath> {
        let bad_level = |level: &str| matches!(level, "" | "." | "..") || level.contains('\0');
        if path.len() > crate::limits::FOLDER_PATH_BYTES || path.split('/').any(bad_level) {
            return Err(BadFolderPath(path.chars().take(80).collect()));
        }
        Ok(Self { kind, path: path.to_owned() })
    }

    /// The inbox.
    pub fn inbox() -> Self {
        Self { kind: FolderKind::Mail, path: "INBOX".to_owned() }
    }

    pub fn kind(&self) -> FolderKind {
        self.kind
    }

    /// Levels joined by `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it lies, at whatever depth, in `other`.
    pub fn is_below(&self, other: &Self) -> bool {
        self.kind == other.kind && self.path.strip_prefix(&other.path).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The levels of the path, outermost first; at least one.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.path.split('/')
    }
}

/// As an address shows it: a mail folder by its path alone, any other with its kind in front (`calendars/personal`).
impl fmt::Display for FolderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FolderKind::Mail => f.write_str(&self.path),
            kind => write!(f, "{}/{}", kind.word(), self.path),
        }
    }
}

/// The use that RFC 6154 gives a folder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpecialUse {
    All,
    Archive,
    Drafts,
    Flagged,
    Important,
    Junk,
    Sent,
    Trash,
}

/// All that is known of a folder but its items.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Folder {
    #[serde(flatten)]
    pub key: FolderKey,
    #[serde(default, rename = "special", skip_serializing_if = "Option::is_none")]
    pub special_use: Option<SpecialUse>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub subscribed: bool,
    /// RFC 9051 2.3.1.1; mail folders that an IMAP server has opened have one.
    #[serde(default, rename = "uidvalidity", skip_serializing_if = "Option::is_none")]
    pub uid_validity: Option<NonZeroU32>,
    /// The smallest UID that no message has had.
    #[serde(default, rename = "uidnext", skip_serializing_if = "Option::is_none")]
    pub uid_next: Option<NonZeroU32>,
    /// The server's own lasting name of the folder (Dovecot: 32 hex digits in the uidlist).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
    /// What a person sees, where it is not the last level of the path (vdir `displayname`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// `#rrggbb` or `#rrggbbaa`, as the site spells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// What it is for, in a sentence or more (RFC 4791 5.2.1, vdirsyncer's `description`; `/shared/comment` of RFC 5464).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What its owner has noted on it for himself (RFC 5464 6.2.2, `/private/comment`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Names of the components that a calendar takes, sorted, with spaces between them (RFC 4791 5.2.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub components: Option<String>,
    /// Where it stands among its like, as the site spells it: a number, the smallest first (Apple's `calendar-order`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// Name of the active script; `Filters` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
}

impl Folder {
    /// A folder of which only the place is known.
    pub fn at(key: FolderKey) -> Self {
        Self {
            key,
            special_use: None,
            subscribed: false,
            uid_validity: None,
            uid_next: None,
            guid: None,
            title: None,
            color: None,
            description: None,
            comment: None,
            components: None,
            order: None,
            active: None,
            grants: Vec::new(),
        }
    }
}

/// The system flags of a message, as a set. Written as Maildir letters in alphabetical order: `D`raft, `F`lagged,
/// `P`assed, `R`eplied, `S`een, `T`rashed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Flags(u8);

impl Flags {
    const LETTERS: &'static str = "DFPRST";

    /// The flags that `letters` names; anything that is no flag letter is passed over.
    pub fn from_letters(letters: &str) -> Self {
        let bit = |letter| Self::LETTERS.find(letter).map_or(0, |at| 1 << at);
        Self(letters.chars().map(bit).fold(0, |all, one| all | one))
    }

    /// One bit a flag, for [`from_bits`](Self::from_bits) alone.
    pub fn bits(self) -> u8 {
        self.0
    }

    pub fn from_bits(bits: u8) -> Self {
        Self(bits & ((1 << Self::LETTERS.len()) - 1))
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn contains(self, letter: char) -> bool {
        Self::LETTERS.find(letter).is_some_and(|at| self.0 >> at & 1 == 1)
    }

    /// Flag by flag, the three-way rule: what differs between `base` and `source` is taken from `source` unless
    /// `target` differs from `base` there too. With one bit a flag, both changing means both agree.
    pub fn merge(base: Self, source: Self, target: Self) -> Self {
        Self(target.0 ^ ((base.0 ^ source.0) & !(base.0 ^ target.0)))
    }
}

impl From<String> for Flags {
    fn from(letters: String) -> Self {
        Self::from_letters(&letters)
    }
}

impl From<Flags> for String {
    fn from(flags: Flags) -> String {
        flags.to_string()
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::LETTERS.chars().filter(|&letter| self.contains(letter)).try_for_each(|letter| write!(f, "{letter}"))
    }
}

/// An item as a manifest records it: a message, an event, a contact, a task, a file, a script.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Item {
    /// Its name in the folder: the Maildir file name without flags, the file name of a vdir item, a script's name.
    #[serde(rename = "n")]
    pub name: String,
    #[serde(rename = "o")]
    pub object: ObjectId,
    /// Bytes of the object.
    #[serde(rename = "s")]
    pub size: u64,
    /// Internal date, or time of the last change: seconds since 1970.
    #[serde(rename = "d")]
    pub date: i64,
    #[serde(default, rename = "fl", skip_serializing_if = "Flags::is_unset")]
    pub flags: Flags,
    /// IMAP keywords, sorted, each once.
    #[serde(default, rename = "k", skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Names of the account's tags, sorted, each once.
    #[serde(default, rename = "t", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(default, rename = "u", skip_serializing_if = "Option::is_none")]
    pub uid: Option<NonZeroU32>,
    /// POP3 UIDL, where one is set that the server would not derive.
    #[serde(default, rename = "p", skip_serializing_if = "Option::is_none")]
    pub uidl: Option<String>,
}

impl Flags {
    // serde passes a reference.
    fn is_unset(&self) -> bool {
        self.is_empty()
    }
}
