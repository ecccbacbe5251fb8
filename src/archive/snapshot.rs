//! Not written yet; the signatures that others build on.

use super::{Archive, ArchiveError};
use crate::format::snapshot::SnapshotHead;
use crate::model::id::SnapshotNo;
use std::path::Path;

/// An open snapshot.
pub struct SnapshotReader {}

impl SnapshotReader {
    pub fn path(&self) -> &Path {
        todo!()
    }

    pub fn head(&self) -> &SnapshotHead {
        todo!()
    }

    /// The bytes of one entry; `None` when the snapshot has none of that name.
    pub fn entry(&self, _name: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        todo!()
    }
}

impl Archive {
    /// All heads, oldest first.
    pub fn snapshot_heads(&self) -> Result<Vec<SnapshotHead>, ArchiveError> {
        todo!()
    }

    pub fn open_snapshot(&self, _no: SnapshotNo) -> Result<SnapshotReader, ArchiveError> {
        todo!()
    }
}

/// A snapshot being written; dropping it leaves nothing behind.
pub struct SnapshotWriter {}

impl Archive {
    /// A writer for the next snapshot.
    pub fn snapshot_writer(&self, _lock: &super::lock::ArchiveLock) -> Result<SnapshotWriter, ArchiveError> {
        todo!()
    }
}

impl SnapshotWriter {
    /// The number that this snapshot will have.
    pub fn no(&self) -> SnapshotNo {
        todo!()
    }

    /// Adds an entry (`provisioning.jsonl`, `accounts/7.jsonl`, `rejected.jsonl`); no name twice.
    pub fn add(&mut self, _name: &str, _bytes: &[u8]) -> Result<(), ArchiveError> {
        todo!()
    }

    /// Publishes it with `head` as its first entry. From here on the pass is committed.
    pub fn publish(self, _head: &SnapshotHead) -> Result<(), ArchiveError> {
        todo!()
    }
}
