//! `wagon.json`: the one file that makes a directory an archive. Format: format-spec/archive.md.

use super::FormatError;
use crate::model::hex;
use crate::model::id::SiteId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

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
    /// SHA-256 of `key.age` where the archive was made with a passphrase, in 64 hex digits; absent in older archives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_sha256: Option<String>,
}

/// What a header's checksum says of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    Right,
    Wrong,
    /// There is none: an older archive, or bytes that are no header.
    Absent,
}

/// Digits that stand for the checksum while it is computed.
const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";

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
    /// SHA-256 of the file, with its own 64 digits taken as zeros; absent in older archives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
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

    /// Compares the bytes of a file with the checksum in them.
    pub fn proof(bytes: &[u8]) -> Proof {
        let value: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
        let Some(said) = value.as_ref().and_then(|value| value.get("sha256")) else { return Proof::Absent };
        let digits = said.as_str().filter(|digits| hex::decode_lower::<32>(digits).is_some());
        match digits.and_then(|digits| Some((digits, with_digits(bytes, digits, BLANK)?))) {
            Some((digits, blank)) if hex::encode(&Sha256::digest(&blank)) == digits => Proof::Right,
            _ => Proof::Wrong,
        }
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let blank = Self { sha256: Some(BLANK.to_owned()), ..self.clone() }.pretty();
        let digits = hex::encode(&Sha256::digest(&blank));
        with_digits(&blank, BLANK, &digits).unwrap_or(blank)
    }

    /// The bytes of the file that an older wagon wrote.
    pub fn encode_without_checksum(&self) -> Vec<u8> {
        Self { sha256: None, ..self.clone() }.pretty()
    }

    fn pretty(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// The same bytes with other digits where these are found last.
fn with_digits(bytes: &[u8], digits: &str, others: &str) -> Option<Vec<u8>> {
    let at = memchr::memmem::rfind(bytes, digits.as_bytes())?;
    let (before, rest) = bytes.split_at_checked(at)?;
    Some([before, others.as_bytes(), rest.get(digits.len()..)?].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(encryption: Option<Encryption>) -> ArchiveHeader {
        let format = if encryption.is_some() { ENCRYPTED_FORMAT } else { FORMAT };
        // An id that looks like the digits that stand for the checksum.
        let id = BLANK.parse().unwrap();
        ArchiveHeader { archive: "wagon".to_owned(), format, id, created: 1_700_000_000, encryption, sha256: None }
    }

    #[test]
    fn every_bit_that_flips_in_a_header_is_seen() {
        let encryption = Encryption {
            method: "age".to_owned(),
            recipients: vec!["age1x".to_owned()],
            key_sha256: Some("ab".repeat(32)),
        };
        for header in [header(None), header(Some(encryption))] {
            let bytes = header.encode();
            assert_eq!(ArchiveHeader::proof(&bytes), Proof::Right);
            let parsed = ArchiveHeader::parse(&bytes).unwrap();
            assert_eq!(ArchiveHeader { sha256: None, ..parsed.clone() }, header);
            assert_eq!(parsed.encode(), bytes);
            for at in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[at / 8] ^= 1 << (at % 8);
                assert_ne!(ArchiveHeader::proof(&flipped), Proof::Right, "bit {at}");
            }
            assert_eq!(ArchiveHeader::proof(&header.encode_without_checksum()), Proof::Absent);
        }
    }
}
