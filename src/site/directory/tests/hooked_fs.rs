//! A file system that counts what is asked of it, and lets a test act between two calls or fail one.

use crate::fs::{DirEntry, FileRead, FileWrite, Fs, RealFs, Stat};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

type Hook = Box<dyn FnMut(&'static str, &Path) -> io::Result<()> + Send>;

/// Calls its hook with the name and path of each call before it is done.
pub struct HookedFs {
    hook: Mutex<Hook>,
    calls: Mutex<Vec<(&'static str, PathBuf)>>,
}

impl HookedFs {
    pub fn new(hook: impl FnMut(&'static str, &Path) -> io::Result<()> + Send + 'static) -> Self {
        Self { hook: Mutex::new(Box::new(hook)), calls: Mutex::default() }
    }

    /// The calls since the last time this was asked.
    pub fn take_calls(&self) -> Vec<(&'static str, PathBuf)> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn before(&self, call: &'static str, path: &Path) -> io::Result<()> {
        self.calls.lock().unwrap().push((call, path.to_owned()));
        (self.hook.lock().unwrap())(call, path)
    }
}

impl Fs for HookedFs {
    fn open(&self, path: &Path) -> io::Result<Box<dyn FileRead>> {
        self.before("open", path)?;
        RealFs.open(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.before("list", dir)?;
        RealFs.list(dir)
    }

    fn lstat(&self, path: &Path) -> io::Result<Stat> {
        self.before("lstat", path)?;
        RealFs.lstat(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.before("stat", path)?;
        RealFs.stat(path)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.before("read_link", path)?;
        RealFs.read_link(path)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        RealFs.canonical(path)
    }

    // A source writes nothing.

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn create_temp(&self, _: &Path, _: &str) -> io::Result<Box<dyn FileWrite>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn create_new(&self, _: &Path) -> io::Result<Box<dyn FileWrite>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn rename_new(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn symlink(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove_file(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_all(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn set_owner(&self, _: &Path, _: u32, _: u32) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn set_mode(&self, _: &Path, _: u32) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn try_lock(&self, _: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
