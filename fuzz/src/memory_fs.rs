//! Files that exist in memory only, for archives that are made up anew with each input. Nothing can be written.

use stationwagon::fs::{DirEntry, FileKind, FileRead, FileWrite, Fs, Stat};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Default)]
pub struct MemoryFs(BTreeMap<PathBuf, Arc<Vec<u8>>>);

struct File(Arc<Vec<u8>>);

impl MemoryFs {
    pub fn put(&mut self, path: impl AsRef<Path>, bytes: Vec<u8>) {
        self.0.insert(path.as_ref().to_owned(), Arc::new(bytes));
    }
}

fn stat(kind: FileKind, size: usize) -> Stat {
    Stat { kind, size: size as u64, mtime_nanos: 0, ctime_nanos: 0, dev: 0, ino: 0, mode: 0o600, uid: 0, gid: 0 }
}

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl FileRead for File {
    fn stat(&self) -> io::Result<Stat> {
        Ok(stat(FileKind::File, self.0.len()))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.0.get(at..)).unwrap_or_default();
        let length = rest.len().min(buf.len());
        buf[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

impl Fs for MemoryFs {
    fn open(&self, path: &Path) -> io::Result<Box<dyn FileRead>> {
        let bytes = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(File(bytes.clone())))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut found = BTreeSet::new();
        for path in self.0.keys() {
            let Ok(below) = path.strip_prefix(dir) else { continue };
            let mut levels = below.iter();
            let Some(name) = levels.next() else { continue };
            found.insert((name.to_owned(), levels.next().is_some()));
        }
        let kind = |is_dir| if is_dir { FileKind::Dir } else { FileKind::File };
        Ok(found.into_iter().map(|(name, is_dir)| DirEntry { name, kind: kind(is_dir) }).collect())
    }

    fn lstat(&self, path: &Path) -> io::Result<Stat> {
        self.stat(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        match self.0.get(path) {
            Some(bytes) => Ok(stat(FileKind::File, bytes.len())),
            None if self.0.keys().any(|other| other.starts_with(path)) => Ok(stat(FileKind::Dir, 0)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn read_link(&self, _: &Path) -> io::Result<PathBuf> {
        Err(io::ErrorKind::InvalidInput.into())
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn create_temp(&self, _: &Path, _: &str) -> io::Result<Box<dyn FileWrite>> {
        read_only()
    }

    fn create_new(&self, _: &Path) -> io::Result<Box<dyn FileWrite>> {
        read_only()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn rename_new(&self, _: &Path, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn symlink(&self, _: &Path, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn remove_file(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn sync_all(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn set_owner(&self, _: &Path, _: u32, _: u32) -> io::Result<()> {
        read_only()
    }

    fn set_mode(&self, _: &Path, _: u32) -> io::Result<()> {
        read_only()
    }

    fn try_lock(&self, _: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        read_only()
    }
}
