//! The files of an encrypted archive under the names and with the bytes that they would have without encryption.
//!
//! `packs/3f/3f….tar.gz` is read from `packs/3f/3f….tar.gz.age`, an index without its padding; a file that is not
//! encrypted is none of the archive. Names that begin with a dot, signatures, and everything beside the three folders
//! are as they are. What the exporter keeps copies of is read from those. Writing: `archive_file`.

use super::sealed_file::{SealedFile, plain_size};
use super::{SUFFIX, Seal, SealError};
use crate::archive::layout::{INDEXES, PACKS, SNAPSHOTS};
use crate::archive::signature;
use crate::format::pack_index;
use crate::fs::{DirEntry, FileKind, FileRead, FileWrite, Fs, Stat};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(in crate::archive) struct SealedFs {
    raw: Arc<dyn Fs>,
    dir: PathBuf,
    seal: Arc<Seal>,
}

impl SealedFs {
    pub fn new(raw: Arc<dyn Fs>, dir: &Path, seal: Arc<Seal>) -> Self {
        Self { raw, dir: dir.to_owned(), seal }
    }

    /// Whether a folder's files are encrypted.
    fn is_sealed_folder(&self, dir: &Path) -> bool {
        let Ok(inside) = dir.strip_prefix(&self.dir) else { return false };
        let mut levels = inside.iter();
        let folder = levels.next().and_then(|level| level.to_str());
        matches!((folder, levels.count()), (Some(PACKS | INDEXES), 1) | (Some(SNAPSHOTS), 0))
    }

    /// The file that is really there.
    fn real(&self, path: &Path) -> PathBuf {
        let name = path.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
        let plain = name.starts_with(b".") || name.ends_with(signature::SUFFIX.as_bytes());
        match path.parent() {
            Some(dir) if !plain && self.is_sealed_folder(dir) => with_suffix(path),
            _ => path.to_owned(),
        }
    }

    fn is_index(&self, path: &Path) -> bool {
        path.strip_prefix(&self.dir).is_ok_and(|inside| inside.starts_with(INDEXES))
    }
}

/// The name under which an encrypted file lies.
pub(in crate::archive) fn with_suffix(path: &Path) -> PathBuf {
    let mut real = path.as_os_str().to_owned();
    real.push(SUFFIX);
    real.into()
}

impl Fs for SealedFs {
    fn open(&self, path: &Path) -> io::Result<Box<dyn FileRead>> {
        let real = self.real(path);
        let file = self.raw.open(&real)?;
        if real == path {
            return Ok(file);
        }
        if let Some(copies) = &self.seal.copies
            && let Some(copy) = copies.open(path, file.as_ref())
        {
            return Ok(copy);
        }
        if self.seal.copies.is_some() && self.seal.identities.is_empty() {
            return Err(SealError::NotKnownHere.into_io());
        }
        let mut opened = SealedFile::open(file, &self.seal.identities).map_err(|error| self.seal.judge(error))?;
        if self.is_index(path) {
            let header = crate::fs::read_exact_at(&opened, 0, pack_index::HEADER_BYTES)?;
            opened.shorten(header.first_chunk().map_or(0, pack_index::length));
        }
        Ok(Box::new(opened))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = self.raw.list(dir)?;
        if self.is_sealed_folder(dir) {
            for entry in &mut entries {
                let name = entry.name.to_str().unwrap_or_default();
                if let Some(plain) = name.strip_suffix(SUFFIX) {
                    entry.name = plain.into();
                } else if !name.starts_with('.') && !name.ends_with(signature::SUFFIX) {
                    entry.kind = FileKind::Other;
                }
            }
        }
        Ok(entries)
    }

    fn lstat(&self, path: &Path) -> io::Result<Stat> {
        self.raw.lstat(&self.real(path))
    }

    /// With the length of what an encrypted file holds.
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let real = self.real(path);
        let stat = self.raw.stat(&real)?;
        if real == path {
            return Ok(stat);
        }
        Ok(Stat { size: plain_size(self.raw.open(&real)?.as_ref())?, ..stat })
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.raw.read_link(&self.real(path))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.raw.canonical(&self.real(path))
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.raw.create_dir_all(dir)
    }

    fn create_temp(&self, dir: &Path, prefix: &str) -> io::Result<Box<dyn FileWrite>> {
        self.raw.create_temp(dir, prefix)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FileWrite>> {
        self.raw.create_new(&self.real(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.raw.rename(&self.real(from), &self.real(to))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.raw.rename_new(&self.real(from), &self.real(to))
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        self.raw.symlink(target, &self.real(link))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.raw.remove_file(&self.real(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.raw.remove_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.raw.sync_dir(dir)
    }

    fn sync_all(&self, path: &Path) -> io::Result<()> {
        self.raw.sync_all(&self.real(path))
    }

    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        self.raw.set_owner(&self.real(path), uid, gid)
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.raw.set_mode(&self.real(path), mode)
    }

    fn try_share(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.raw.try_share(path)
    }

    fn try_exclude(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.raw.try_exclude(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.raw.try_lock(&self.real(path))
    }
}
