//! The operating system's files until a test says that the disk is full, or that what is open cannot be read any more.

use crate::fs::forward::{forward, forward_changes, forward_looking};
use crate::fs::{FileRead, FileWrite, Fs, RealFs, Stat};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Files that can begin to fail.
#[derive(Default)]
pub struct FailingFs {
    inner: RealFs,
    full: AtomicBool,
    broken: Arc<AtomicBool>,
    blank: Arc<AtomicBool>,
}

impl FailingFs {
    /// From now on no new file can be made.
    pub fn fill(&self) {
        self.full.store(true, SeqCst);
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

impl Fs for FailingFs {
    fn open(&self, path: &Path) -> io::Result<Box<dyn FileRead>> {
        let (broken, blank) = (Arc::clone(&self.broken), Arc::clone(&self.blank));
        Ok(Box::new(Reader { inner: self.inner.open(path)?, broken, blank }))
    }

    fn create_temp(&self, dir: &Path, prefix: &str) -> io::Result<Box<dyn FileWrite>> {
        match self.full.load(SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => self.inner.create_temp(dir, prefix),
        }
    }

    forward! { create_new(path: &Path) -> Box<dyn FileWrite>; }
    forward_looking!();
    forward_changes!();
}
