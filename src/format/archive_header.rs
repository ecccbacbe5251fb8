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

    /// The bytes of the file that says what `bytes`, of which this was read, say, but has another SHA-256 of `key.age`. What
    /// a later version says beside what we read stays.
    pub fn encode_with_key(&self, bytes: &[u8], key_sha256: &str) -> Vec<u8> {
        let encryption =
            self.encryption.clone().map(|old| Encryption { key_sha256: Some(key_sha256.to_owned()), ..old });
        let changed = Self { encryption, sha256: None, ..self.clone() };
        let spliced = self.spliced(bytes, key_sha256).filter(|spliced| {
            let read = Self::parse(spliced).map(|read| Self { sha256: None, ..read });
            Self::proof(spliced) == Proof::Right && read.is_ok_and(|read| read == changed)
        });
        spliced.unwrap_or_else(|| changed.encode())
    }

    /// The same with other digits where both checksums stand, as they do in all but the oldest archives.
    fn spliced(&self, bytes: &[u8], key_sha256: &str) -> Option<Vec<u8>> {
        let with_key = with_digits(bytes, self.encryption.as_ref()?.key_sha256.as_ref()?, key_sha256)?;
        let blank = with_digits(&with_key, self.sha256.as_ref()?, BLANK)?;
        with_digits(&blank, BLANK, &hex::encode(&Sha256::digest(&blank)))
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

    #[test]
    fn another_key_changes_two_checksums_and_nothing_else_that_stands_there() {
        let old = "ab".repeat(32);
        let encryption = |key: Option<&str>| Encryption {
            method: "age".to_owned(),
            recipients: vec!["age1x".to_owned()],
            key_sha256: key.map(str::to_owned),
        };
        let new = "cd".repeat(32);
        let wanted = header(Some(encryption(Some(&new)))).encode();
        let change = |bytes: &[u8]| ArchiveHeader::parse(bytes).unwrap().encode_with_key(bytes, &new);
        let before = header(Some(encryption(Some(&old))));
        assert_eq!(change(&before.encode()), wanted);
        // What older ones lack is added.
        assert_eq!(change(&before.encode_without_checksum()), wanted);
        assert_eq!(change(&header(Some(encryption(None))).encode_without_checksum()), wanted);
        assert_eq!(change(&header(Some(encryption(None))).encode()), wanted);
        // A field of a later version stays.
        let later =
            String::from_utf8(before.encode()).unwrap().replace("\"created\"", "\"later\": [1],\n  \"created\"");
        let sum = ArchiveHeader::parse(later.as_bytes()).unwrap().sha256.unwrap();
        let blank = with_digits(later.as_bytes(), &sum, BLANK).unwrap();
        let later = with_digits(&blank, BLANK, &hex::encode(&Sha256::digest(&blank))).unwrap();
        let changed = change(&later);
        assert_eq!(ArchiveHeader::proof(&changed), Proof::Right);
        let text = String::from_utf8(changed).unwrap();
        assert!(text.contains("\"later\": [1]") && text.contains(&new) && !text.contains(&old), "{text}");
    }
}
