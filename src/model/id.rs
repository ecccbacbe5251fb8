//! The names that things have in an archive and in a map. Parsing is the only way in, and one value has one spelling.

use super::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Names an object: the SHA-256 of its uncompressed bytes; 32 bytes, written as 64 lower-case hex digits.
///
/// Upper case is refused, so that one object has one spelling in file names and manifests (format-spec/pack.md).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectId([u8; 32]);

impl ObjectId {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The name that a finished digest gives.
    pub fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The 32 bytes of the digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A text that names no object; holds at most 80 characters of it.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not 64 lower-case hex digits")]
pub struct BadObjectId(String);

impl FromStr for ObjectId {
    type Err = BadObjectId;

    fn from_str(text: &str) -> Result<Self, BadObjectId> {
        hex::decode_lower(text).map(Self).ok_or_else(|| BadObjectId(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for ObjectId {
    type Error = BadObjectId;

    fn try_from(text: String) -> Result<Self, BadObjectId> {
        text.parse()
    }
}

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> String {
        id.to_string()
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({self})")
    }
}

/// Names a site for ever: 1 to 64 of `a-z`, `0-9` and `-`, beginning with a letter or digit. It becomes part of file
/// names (`map_<site id>.sqlite`), so nothing else is let in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SiteId(String);

/// A text that cannot name a site or an archive.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not 1 to 64 of a-z, 0-9 and -, beginning with a letter or digit")]
pub struct BadSiteId(String);

impl SiteId {
    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SiteId {
    type Err = BadSiteId;

    fn from_str(text: &str) -> Result<Self, BadSiteId> {
        let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || text.len() > 64 || text.starts_with('-') || !text.bytes().all(fine) {
            return Err(BadSiteId(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SiteId {
    type Error = BadSiteId;

    fn try_from(text: String) -> Result<Self, BadSiteId> {
        text.parse()
    }
}

impl From<SiteId> for String {
    fn from(id: SiteId) -> String {
        id.0
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// A snapshot's place in its archive: 1, 2, 3 …, written with eight digits in its file name.
    SnapshotNo
);
number_id!(
    /// A provisioning record (domain, account, list …) of one source site, from its first export on, through every
    /// rename. An account's manifest is named after it.
    RecordId
);
number_id!(
    /// A folder of one account, from its first export on, through every rename.
    FolderId
);
number_id!(
    /// An item of one account, from its first export on, through every move between folders.
    ItemId
);
