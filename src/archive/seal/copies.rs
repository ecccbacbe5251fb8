//! What an exporter without a private key must know of an encrypted archive, in the clear beside its catalog: the
//! snapshots of its own chain and the indexes. And for whom the archive was encrypted when it saw it first, so that
//! whoever may write into the archive cannot have the next pass encrypted for himself.
//!
//! Promises: a copy is used only for the very file it was made of; files are 0600, folders 0700; copies of files that are
//! gone go with them. Losing it costs one pass with an identity. What a thief learns from it: format-spec/encryption.md.

use super::{Recipients, SealError};
use crate::archive::ArchiveError;
use crate::archive::layout::{INDEXES, SNAPSHOTS, io_error};
use crate::fs::{FileRead, FileWrite, Fs, read_exact_at};
use crate::limits;
use crate::model::hex;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The recipients as they were at first.
const PINNED: &str = "recipients";

/// Names of snapshots that are none of this exporter's.
const FOREIGN: &str = "foreign";

const TEMPORARY: &str = ".tmp-";

#[derive(Clone)]
pub(in crate::archive) struct Copies {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
}

/// The last bytes of an encrypted file: the tag of its last chunk, under a key of its own. No two files share it.
pub(in crate::archive) type Tag = [u8; 16];

impl Copies {
    pub fn new(fs: Arc<dyn Fs>, dir: &Path) -> Self {
        Self { fs, dir: dir.to_owned() }
    }

    /// The copy of what the archive has as `path`, if it is one of `sealed`.
    pub fn open(&self, path: &Path, sealed: &dyn FileRead) -> Option<Box<dyn FileRead>> {
        let name = path.file_name()?.to_str()?;
        let shelf = path.parent()?;
        if shelf.file_name() == Some(OsStr::new(SNAPSHOTS)) {
            return self.fs.open(&self.snapshot(name)).ok();
        }
        let is_index = shelf.parent()?.file_name() == Some(OsStr::new(INDEXES));
        if is_index { self.fs.open(&self.index(name, tag_of(sealed)?)).ok() } else { None }
    }

    fn snapshot(&self, name: &str) -> PathBuf {
        self.dir.join(SNAPSHOTS).join(name)
    }

    fn index(&self, name: &str, tag: Tag) -> PathBuf {
        self.dir.join(INDEXES).join(format!("{name}.{}", hex::encode(&tag)))
    }

    /// Makes the folders.
    fn prepare(&self) -> Result<(), ArchiveError> {
        for dir in [self.dir.clone(), self.dir.join(SNAPSHOTS), self.dir.join(INDEXES)] {
            self.fs.create_dir_all(&dir).map_err(io_error("make", &dir))?;
            self.fs.set_mode(&dir, 0o700).map_err(io_error("set the mode of", &dir))?;
        }
        Ok(())
    }

    /// A file for the copy of a snapshot, whose name is not known yet.
    pub fn create_snapshot(&self) -> Result<Box<dyn FileWrite>, ArchiveError> {
        let dir = self.dir.join(SNAPSHOTS);
        self.fs.create_temp(&dir, TEMPORARY).map_err(io_error("make a file in", &dir))
    }

    /// Waits for the disk: it must be there before the snapshot is.
    pub fn keep_snapshot(&self, mut file: Box<dyn FileWrite>, name: &str) -> Result<(), ArchiveError> {
        let path = self.snapshot(name);
        file.sync().map_err(io_error("sync", &path))?;
        self.fs.rename(file.path(), &path).map_err(io_error("rename to", &path))?;
        drop(file.keep());
        let dir = self.dir.join(SNAPSHOTS);
        self.fs.sync_dir(&dir).map_err(io_error("sync", &dir))
    }

    /// Does not wait for the disk: an index that is lost, or torn, costs storing again what its pack holds.
    pub fn keep_index(&self, name: &str, tag: Tag, bytes: &[u8]) -> Result<(), ArchiveError> {
        let path = self.index(name, tag);
        let dir = self.dir.join(INDEXES);
        let mut file = self.fs.create_temp(&dir, TEMPORARY).map_err(io_error("make a file in", &dir))?;
        file.write_all(bytes).map_err(io_error("write", &path))?;
        self.fs.rename(file.path(), &path).map_err(io_error("rename to", &path))?;
        drop(file.keep());
        Ok(())
    }

    pub fn has_snapshot(&self, name: &str) -> bool {
        self.fs.lstat(&self.snapshot(name)).is_ok()
    }

    pub fn has_index(&self, name: &str, tag: Tag) -> bool {
        self.fs.lstat(&self.index(name, tag)).is_ok()
    }

    /// Removes what is not wanted any more, and what a pass that was killed left half written.
    pub fn tidy(&self, snapshots: &HashSet<String>, indexes: &HashSet<String>) -> Result<(), ArchiveError> {
        for (folder, wanted) in [(SNAPSHOTS, snapshots), (INDEXES, indexes)] {
            let dir = self.dir.join(folder);
            for entry in self.fs.list(&dir).map_err(io_error("list", &dir))? {
                let name = entry.name.to_str().unwrap_or_default();
                let stem = name.split_once(".idx.").map_or(name, |(stem, _)| stem);
                if !wanted.contains(stem) {
                    let path = dir.join(&entry.name);
                    self.fs.remove_file(&path).map_err(io_error("remove", &path))?;
                }
            }
        }
        Ok(())
    }

    /// Compares for whom the archive is encrypted with what was noted at first, and notes it the first time.
    pub fn pin(&self, archive: &Path, recipients: &Recipients) -> Result<(), ArchiveError> {
        let path = self.dir.join(PINNED);
        let pinned = match self.fs.read(&path, limits::AGE_HEADER_BYTES) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let pinned = pinned.map(|text| Recipients::parse_file(&text)).transpose();
        let pinned = pinned.map_err(|source: SealError| ArchiveError::Sealed { path: path.clone(), source })?;
        match pinned {
            Some(pinned) if pinned.same(recipients) => self.prepare(),
            Some(_) => Err(ArchiveError::OtherRecipients { archive: archive.to_owned(), pinned: path }),
            None if recipients.is_empty() => Ok(()),
            None => {
                self.prepare()?;
                let text = recipients.texts().join("\n") + "\n";
                self.fs.replace(&path, text.as_bytes(), 0o600).map_err(io_error("write", &path))
            }
        }
    }

    /// Snapshots that are none of this exporter's, by the names of their files.
    pub fn foreign(&self) -> Result<HashSet<String>, ArchiveError> {
        let path = self.dir.join(FOREIGN);
        match self.fs.read(&path, limits::FOREIGN_BYTES) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).lines().map(ToOwned::to_owned).collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(HashSet::new()),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    pub fn set_foreign(&self, names: &[String]) -> Result<(), ArchiveError> {
        let path = self.dir.join(FOREIGN);
        self.fs.replace(&path, (names.join("\n") + "\n").as_bytes(), 0o600).map_err(io_error("write", &path))
    }
}

/// The tag of a file; `None` when it is too short to have one.
pub(in crate::archive) fn tag_of(sealed: &dyn FileRead) -> Option<Tag> {
    let size = sealed.stat().ok()?.size;
    let end = read_exact_at(sealed, size.checked_sub(16)?, 16).ok()?;
    end.try_into().ok()
}
