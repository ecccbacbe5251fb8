//! The operating system's files until a test says that the disk is full, that what is open cannot be read any more, or that
//! somebody else does something right before a file gets its name.

use crate::fs::forward::{forward, forward_looking};
use crate::fs::{FileRead, FileWrite, Fs, RealFs, Stat};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

/// Files that can begin to fail.
#[derive(Default)]
pub struct FailingFs {
    inner: RealFs,
    full: Arc<AtomicBool>,
    broken: Arc<AtomicBool>,
    blank: Arc<AtomicBool>,
    meddler: Mutex<Option<Meddler>>,
}

type Meddler = Box<dyn FnOnce() + Send>;

impl FailingFs {
    /// From now on no new file can be made, and of what is written to those that are being made only half.
    pub fn fill(&self) {
        self.full.store(true, SeqCst);
    }

    /// There is room again.
    pub fn empty(&self) {
        self.full.store(false, SeqCst);
    }

    /// Does this right before the next file gets a name that nothing may have.
    pub fn before_rename(&self, meddle: impl FnOnce() + Send + 'static) {
        *self.meddler.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(meddle));
    }

    /// From now on no file can be read, also none that is open.
    pub fn break_down(&self) {
        self.broken.store(true, SeqCst);
    }

    /// From now on every file gives zeros, as one does that was never brought to the disk.
    pub fn blank(&self) {
        self.blank.store(true, SeqCst);
    }
}

struct Reader {
    inner: Box<dyn FileRead>,
    broken: Arc<AtomicBool>,
    blank: Arc<AtomicBool>,
}

impl FileRead for Reader {
    fn stat(&self) -> io::Result<Stat> {
        self.inner.stat()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.broken.load(SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        let read = self.inner.read_at(buf, offset)?;
        if self.blank.load(SeqCst) {
            buf.iter_mut().take(read).for_each(|byte| *byte = 0);
        }
        Ok(read)
    }
}

struct Writer {
    inner: Box<dyn FileWrite>,
    full: Arc<AtomicBool>,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.full.load(SeqCst) {
            self.inner.write_all(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl FileWrite for Writer {
    fn sync(&mut self) -> io::Result<()> {
        self.inner.sync()
    }

    fn set_mtime(&mut self, seconds: i64) -> io::Result<()> {
        self.inner.set_mtime(seconds)
    }

    fn set_mode(&mut self, mode: u32) -> io::Result<()> {
        self.inner.set_mode(mode)
    }

    fn path(&self) -> &Path {
        self.inner.path()
    }

    fn keep(self: Box<Self>) -> PathBuf {
        self.inner.keep()
    }
}

impl Fs for FailingFs {
    fn open(&self, path: &Path) -> io::Result<Box<dyn FileRead>> {
        let (broken, blank) = (Arc::clone(&self.broken), Arc::clone(&self.blank));
        Ok(Box::new(Reader { inner: self.inner.open(path)?, broken, blank }))
    }

    fn create_temp(&self, dir: &Path, prefix: &str) -> io::Result<Box<dyn FileWrite>> {
        match self.full.load(SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(Box::new(Writer { inner: self.inner.create_temp(dir, prefix)?, full: Arc::clone(&self.full) })),
        }
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let meddler = self.meddler.lock().unwrap_or_else(PoisonError::into_inner).take();
        meddler.into_iter().for_each(|meddle| meddle());
        self.inner.rename_new(from, to)
    }

    forward_looking!();
    forward! {
        create_new(path: &Path) -> Box<dyn FileWrite>;
        create_dir_all(dir: &Path) -> ();
        rename(from: &Path, to: &Path) -> ();
        symlink(target: &Path, link: &Path) -> ();
        remove_file(path: &Path) -> ();
        remove_dir(path: &Path) -> ();
        sync_dir(dir: &Path) -> ();
        sync_all(path: &Path) -> ();
        free_bytes(path: &Path) -> u64;
        set_owner(path: &Path, uid: u32, gid: u32) -> ();
        set_mode(path: &Path, mode: u32) -> ();
        try_lock(path: &Path) -> Option<Box<dyn Send + Sync>>;
        try_share(path: &Path) -> Option<Box<dyn Send + Sync>>;
        try_exclude(path: &Path) -> Option<Box<dyn Send + Sync>>;
    }
}
