//! What is remembered of a collection from one pass to the next: its state in the server's words, and, as long as that is
//! short, what lay in it, so that the next pass can ask for the changes alone.

use super::collection::Collection;
use super::members::{Member, Members, hash};
use crate::limits;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Another form of mark says nothing.
const VERSION: u8 = 1;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    v: u8,
    /// The token of `sync-collection`.
    pub token: Option<String>,
    ctag: Option<String>,
    /// Over title, colour and grants.
    folder: u64,
    /// Name, version, size. Absent where there are too many, or where the server tells of changes by nothing else and all
    /// are in `listed`.
    members: Option<Vec<(String, u64, Option<u64>)>>,
    /// Over the members.
    listed: u64,
}

impl Mark {
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|mark: &Self| mark.v == VERSION)
    }

    /// `token` is that of the answer that gave the members.
    pub fn of(collection: &Collection, token: Option<String>, members: &Members) -> Self {
        let ctag = collection.ctag.clone().filter(|_| token.is_none());
        let few = token.is_some() && members.len() <= limits::DAV_MARK_MEMBERS;
        let rows = || members.iter().map(|(name, member)| (name.clone(), member.version, member.size)).collect();
        Self {
            v: VERSION,
            token,
            ctag,
            folder: folder_hash(collection),
            members: few.then(rows),
            listed: listed_hash(members),
        }
    }

    /// Empty where it cannot be written, which is never trusted.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether the server says that nothing has changed since.
    pub fn holds(&self, collection: &Collection) -> bool {
        let same = |mine: &Option<String>, theirs: &Option<String>| mine.is_some() && mine == theirs;
        self.folder == folder_hash(collection)
            && (same(&self.token, &collection.token) || (self.token.is_none() && same(&self.ctag, &collection.ctag)))
    }

    /// What lay in the collection.
    pub fn members(&self) -> Option<Members> {
        let rows = self.members.as_ref()?;
        Some(
            rows.iter()
                .map(|(name, version, size)| (name.clone(), Member { version: *version, size: *size }))
                .collect(),
        )
    }
}

fn listed_hash(members: &Members) -> u64 {
    let mut digest = Sha256::new();
    for (name, member) in members {
        digest.update(name.as_bytes());
        digest.update([0]);
        digest.update(member.version.to_le_bytes());
    }
    hash(&digest.finalize())
}

fn folder_hash(collection: &Collection) -> u64 {
    hash(&serde_json::to_vec(&collection.folder).unwrap_or_default())
}
