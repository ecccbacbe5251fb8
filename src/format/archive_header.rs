//! `wagon.json`: the one file that makes a directory an archive. Format: format-spec/archive.md.

use super::FormatError;
use crate::model::id::SiteId;
use serde::{Deserialize, Serialize};

/// The format that this wagon writes where nothing is encrypted, and that of snapshots.
pub const FORMAT: u32 = 1;

/// The format of an archive that is encrypted; an older wagon refuses it by this number.
pub const ENCRYPTED_FORMAT: u32 = 2;

/// For whom the files of an archive are encrypted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Encryption {
    /// Always `age`.
    pub method: String,
    /// Public keys, `age1…`.
    pub recipients: Vec<String>,
}

/// What `wagon.json` says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ArchiveHeader {
    /// Always `wagon`; tells the file from any other JSON.
    pub archive: String,
    pub format: u32,
    pub id: SiteId,
    /// Seconds since 1970.
    pub created: i64,
    /// There exactly in an archive of [`ENCRYPTED_FORMAT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
}

impl ArchiveHeader {
    /// Reads the header; refuses another program's file and a newer format.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let malformed = |what: String| FormatError::Malformed { what, at: 0 };
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|e| malformed(e.to_string()))?;
        if value.get("archive").and_then(|name| name.as_str()) != Some("wagon") {
            return Err(malformed("this is no archive header of wagon".to_owned()));
        }
        let found = value.get("format").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if found > u64::from(ENCRYPTED_FORMAT) {
            return Err(FormatError::TooNew {
                found: u32::try_from(found).unwrap_or(u32::MAX),
                known: ENCRYPTED_FORMAT,
            });
        }
        let header: Self = serde_json::from_value(value).map_err(|e| malformed(e.to_string()))?;
        let encrypted = header.encryption.is_some();
        if encrypted != (header.format == ENCRYPTED_FORMAT) {
            return Err(malformed(format!("format {} and its encryption contradict each other", header.format)));
        }
        if header.encryption.as_ref().is_some_and(|encryption| encryption.recipients.is_empty()) {
            return Err(malformed("it is encrypted for nobody".to_owned()));
        }
        if header.encryption.as_ref().is_some_and(|encryption| encryption.method != "age") {
            return Err(malformed("it is encrypted by a method that is not known".to_owned()));
        }
        Ok(header)
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}
