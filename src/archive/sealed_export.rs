//! What export needs of an encrypted archive beyond writing files: the copies that stand for a private key, and beginning
//! anew where they are lost. Nothing here does anything for an archive that is not encrypted.

use super::layout::{PackName, SnapshotName, io_error};
use super::lock::ArchiveLock;
use super::seal::{Copies, Tag, tag_of, with_suffix};
use super::{Archive, ArchiveError};
use crate::fs::FileWrite;
use crate::limits;
use crate::model::id::SnapshotNo;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::path::Path;

impl Archive {
    /// The same archive for an exporter, with `dir` as the place for what it must know of an encrypted one without being
    /// able to read it. Refuses an archive that was encrypted for others, or at all, when this place was first used.
    pub fn with_copies_in(self, dir: &Path) -> Result<Self, ArchiveError> {
        let copies = Copies::new(self.raw.clone(), dir);
        copies.pin(&self.dir, &self.recipients())?;
        Ok(self.resealed(|seal| seal.copies = Some(copies)))
    }

    /// Whether it can neither be read nor is known from earlier passes what a snapshot holds.
    pub fn has_unknown_snapshots(&self) -> Result<bool, ArchiveError> {
        let Some(copies) = self.copies().filter(|_| !self.has_identities()) else { return Ok(false) };
        let foreign = copies.foreign()?;
        let names = self.snapshot_names()?.names;
        let unknown = |name: &SnapshotName| {
            let name = name.to_string();
            !copies.has_snapshot(&name) && !foreign.contains(&name)
        };
        Ok(names.iter().any(unknown))
    }

    /// Whether all snapshots count as those of others: it began anew, and did not come to its first snapshot.
    pub fn has_begun_anew(&self) -> Result<bool, ArchiveError> {
        Ok(!self.foreign_snapshots()?.is_empty() && self.standing_names()?.is_empty())
    }

    /// Takes all snapshots that are there for those of others, and forgets what was known of them. What is exported next
    /// must have an id that no snapshot has.
    pub fn begin_anew(&self, _lock: &ArchiveLock) -> Result<(), ArchiveError> {
        let Some(copies) = self.copies() else { return Ok(()) };
        let names: Vec<_> = self.snapshot_names()?.names.iter().map(ToString::to_string).collect();
        copies.set_foreign(&names)
    }

    /// Removes copies of what is gone, and, where a key was given, makes those that are missing: of the snapshots of
    /// `chain` and of all indexes.
    pub fn renew_copies(&self, _lock: &ArchiveLock, chain: &[SnapshotNo]) -> Result<(), ArchiveError> {
        let Some(copies) = self.copies() else { return Ok(()) };
        let names = self.snapshot_names()?.names;
        let ours: Vec<_> = names.iter().filter(|name| chain.contains(&name.no)).collect();
        if self.has_identities() {
            let others = names.iter().filter(|name| !chain.contains(&name.no));
            copies.set_foreign(&others.map(ToString::to_string).collect::<Vec<_>>())?;
            for name in ours.iter().filter(|name| !copies.has_snapshot(&name.to_string())) {
                self.learn_snapshot(copies, **name)?;
            }
            for name in self.indexes()?.names {
                self.learn_index(copies, name)?;
            }
        }
        let snapshots = ours.iter().map(ToString::to_string).collect();
        let indexes = self.indexes()?.names.iter().map(|name| name.to_string()).collect();
        copies.tidy(&snapshots, &indexes)
    }

    fn learn_snapshot(&self, copies: &Copies, name: SnapshotName) -> Result<(), ArchiveError> {
        let path = self.dir.join(name.path());
        let file = self.fs.open(&path).map_err(io_error("open", &path))?;
        let mut copy = copies.create_snapshot()?;
        super::cursor::each_piece(file.as_ref(), |bytes| copy.write_all(bytes)).map_err(io_error("copy", &path))?;
        copies.keep_snapshot(copy, &name.to_string())
    }

    /// One that cannot be used is passed over: what its pack holds is stored again.
    fn learn_index(&self, copies: &Copies, name: PackName) -> Result<(), ArchiveError> {
        let path = self.dir.join(name.index_path());
        let sealed = self.raw.open(&with_suffix(&path)).map_err(io_error("open", &path))?;
        let Some(tag) = tag_of(sealed.as_ref()) else { return Ok(()) };
        if copies.has_index(&index_name(name), tag) {
            return Ok(());
        }
        match self.fs.read(&path, limits::INDEX_BYTES) {
            Ok(bytes) => copies.keep_index(&index_name(name), tag, &bytes),
            Err(_) => Ok(()),
        }
    }

    /// Keeps what an exporter will have to know of an index that is about to be published.
    pub(super) fn copy_index(&self, name: PackName, tag: Tag, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.copies().map_or(Ok(()), |copies| copies.keep_index(&index_name(name), tag, bytes))
    }

    /// The file for what an exporter will have to know of a snapshot that is about to be written.
    pub(super) fn begin_copy(&self) -> Result<Option<Box<dyn FileWrite>>, ArchiveError> {
        self.copies().map(Copies::create_snapshot).transpose()
    }

    pub(super) fn keep_copy(&self, copy: Option<Box<dyn FileWrite>>, name: SnapshotName) -> Result<(), ArchiveError> {
        match (self.copies(), copy) {
            (Some(copies), Some(copy)) => copies.keep_snapshot(copy, &name.to_string()),
            _ => Ok(()),
        }
    }

    /// Snapshots that an exporter without a key passes over.
    pub(super) fn foreign_snapshots(&self) -> Result<HashSet<String>, ArchiveError> {
        match self.copies().filter(|_| !self.has_identities()) {
            Some(copies) => copies.foreign(),
            None => Ok(HashSet::new()),
        }
    }

    fn copies(&self) -> Option<&Copies> {
        self.seal.as_ref()?.copies.as_ref()
    }

    /// SHA-256 of a file of the archive as it lies on the disk.
    pub(super) fn digest_on_disk(&self, path: &Path) -> std::io::Result<[u8; 32]> {
        let real = if self.is_encrypted() { with_suffix(path) } else { path.to_owned() };
        let file = self.raw.open(&real)?;
        let mut digest = Sha256::new();
        super::cursor::each_piece(file.as_ref(), |bytes| {
            digest.update(bytes);
            Ok(())
        })?;
        Ok(digest.finalize().into())
    }
}

fn index_name(name: PackName) -> String {
    format!("{name}.idx")
}
