//! Writes the example site's files: every file with a fixed time, because times of messages, events and scripts are
//! part of what is moved. Nothing is synced; a power loss costs an example.

use crate::fs::Fs;
use crate::limits;
use crate::site::SiteError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A site's root, to be written below.
pub struct Tree<'a> {
    pub fs: &'a Arc<dyn Fs>,
    pub root: &'a Path,
}

impl Tree<'_> {
    fn failed(&self, action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SiteError {
        let path = path.to_owned();
        move |source| SiteError::Io { action, path, source }
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub fn dir(&self, path: &str) -> Result<(), SiteError> {
        let path = self.at(path);
        self.fs.create_dir_all(&path).map_err(self.failed("create", &path))
    }

    /// Makes or replaces a file; `time` in seconds since 1970.
    pub fn file(&self, path: &str, bytes: impl AsRef<[u8]>, time: i64) -> Result<(), SiteError> {
        let path = self.at(path);
        let dir = path.parent().unwrap_or(self.root);
        self.fs.create_dir_all(dir).map_err(self.failed("create", dir))?;
        let write = || {
            let mut file = self.fs.create_temp(dir, ".example-")?;
            file.write_all(bytes.as_ref())?;
            file.set_mode(0o640)?;
            file.set_mtime(time)?;
            let temporary = file.keep();
            self.fs.rename(&temporary, &path)
        };
        write().map_err(self.failed("write", &path))
    }

    pub fn link(&self, target: &str, path: &str) -> Result<(), SiteError> {
        let path = self.at(path);
        self.fs.symlink(Path::new(target), &path).map_err(self.failed("link", &path))
    }

    pub fn read(&self, path: &str) -> Result<Vec<u8>, SiteError> {
        let path = self.at(path);
        self.fs.read(&path, limits::CONTROL_FILE_BYTES).map_err(self.failed("read", &path))
    }

    /// Reads a text, changes it, writes it back.
    pub fn edit(&self, path: &str, time: i64, change: impl FnOnce(String) -> String) -> Result<(), SiteError> {
        let text = String::from_utf8_lossy(&self.read(path)?).into_owned();
        self.file(path, change(text), time)
    }

    pub fn rename(&self, from: &str, to: &str) -> Result<(), SiteError> {
        let from = self.at(from);
        self.fs.rename(&from, &self.at(to)).map_err(self.failed("rename", &from))
    }

    pub fn remove(&self, path: &str) -> Result<(), SiteError> {
        let path = self.at(path);
        self.fs.remove_file(&path).map_err(self.failed("remove", &path))
    }

    /// File names in a folder, sorted.
    pub fn names(&self, dir: &str) -> Result<Vec<String>, SiteError> {
        let dir = self.at(dir);
        let entries = self.fs.list(&dir).map_err(self.failed("list", &dir))?;
        let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name.to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    }
}
