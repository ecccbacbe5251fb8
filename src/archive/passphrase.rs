//! Another passphrase for an archive that has one. The identity under it stays, and so does every file that is encrypted.
//!
//! Promises: cut off anywhere, the old or the new passphrase opens the archive, and changing it again completes. Until
//! `wagon.json` speaks of the new file a repair takes the change back, from then on it completes it; the order in which
//! files get their names is all there is to that. Called by `verbs::passphrase`. Format: format-spec/encryption.md,
//! "Another passphrase".

use super::beside::{self, HEADER_AGAIN, KEY_AGAIN, put};
use super::layout::{HEADER, KEY, io_error};
use super::lock::ArchiveLock;
use super::parity::{self, parity_path};
use super::{Archive, ArchiveError, UnlockedKey};
use crate::limits::ARCHIVE_HEADER_BYTES;
use crate::model::hex;
use sha2::{Digest, Sha256};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

impl Archive {
    /// Puts `locked`, which is [`Archive::lock_again`] of `key`, into the place of what the old passphrase opens. What
    /// an earlier change did not come to is done before. Refuses when the archive holds another one by now.
    pub fn change_key(&self, lock: &ArchiveLock, key: &UnlockedKey, locked: &[u8]) -> Result<(), ArchiveError> {
        let (fs, dir) = (self.raw.as_ref(), self.dir.as_path());
        let now = beside::look(fs, dir)?.header;
        if now != self.header || !self.locked_identities()?.contains(&key.locked) {
            return Err(ArchiveError::PassphraseChanged);
        }
        self.mend_beside_folders(lock)?;
        // Until the end: readers hold `wagon.json` by its file, so it is put in its place when nobody reads.
        let _alone = self.without_readers()?;
        let path = dir.join(HEADER);
        let spelt = fs.read(&path, ARCHIVE_HEADER_BYTES).map_err(io_error("read", &path))?;
        let header = now.encode_with_key(&spelt, &hex::encode(&Sha256::digest(locked)));
        // `key.age` is still what `wagon.json` says, so the old passphrase opens it.
        put(fs, dir, KEY_AGAIN, locked)?;
        // Two sound headers that differ are refused, so the second copy is not there while the first one changes.
        self.remove_second_header()?;
        put(fs, dir, HEADER, &header)?;
        // `key-again.age` is now what `wagon.json` says, so the new one opens it.
        put(fs, dir, HEADER_AGAIN, &header)?;
        put(fs, dir, KEY, locked)
    }

    /// Writes again what is damaged of the files beside the folders, as a repair does; also what a change of the
    /// passphrase did not come to.
    pub fn mend_beside_folders(&self, _lock: &ArchiveLock) -> Result<(), ArchiveError> {
        let wanted = beside::wanted(self.raw.as_ref(), &self.dir)?;
        let has_header = wanted.iter().any(|(name, _)| *name == HEADER);
        let _alone = has_header.then(|| self.without_readers()).transpose()?;
        wanted.iter().try_for_each(|(name, bytes)| put(self.raw.as_ref(), &self.dir, name, bytes))
    }

    /// Gives what lies beside the folders parity again where a change took it, if files of the archive have parity: as
    /// much as `percent`, or as others have now. Gives the parity files that were made.
    pub fn protect_beside_again(&self, lock: &ArchiveLock, percent: Option<u16>) -> Result<Vec<PathBuf>, ArchiveError> {
        match percent.map_or_else(|| self.parity_percent(), |percent| Ok(Some(percent)))? {
            Some(percent) => self.protect_beside(lock, percent),
            None => Ok(Vec::new()),
        }
    }

    fn remove_second_header(&self) -> Result<(), ArchiveError> {
        parity::remove_for_good(self.raw.as_ref(), &self.dir.join(parity_path(Path::new(HEADER_AGAIN))))?;
        let path = self.dir.join(HEADER_AGAIN);
        match self.raw.remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io_error("remove", &path)(error)),
            _ => {}
        }
        // Or a power cut might leave it beside the first copy that comes next.
        self.raw.sync_dir(&self.dir).map_err(io_error("sync", &self.dir))
    }
}
