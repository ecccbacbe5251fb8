//! Files for somebody to whom what cannot be read is lost: a read that ends with an error of the disk is tried again.
//!
//! A loose cable, a busy controller, a signal: what failed once often does not fail the next time, and a repair must not
//! write off what could be read a moment later. A sector that is bad stays bad, and its error is passed on after
//! [`READ_TRIES`]. Writing is not tried again: after an error nobody knows what a disk has taken.

use super::forward::forward_changes;
use super::{DirEntry, FileRead, FileWrite, Fs, Stat};
use crate::limits::READ_TRIES;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Another file system, read with patience.
pub struct PatientFs {
    inner: Arc<dyn Fs>,
}

impl PatientFs {
    pub fn new(inner: Arc<dyn Fs>) -> Self {
        Self { inner }
    }
}

/// Does it again while it ends with EIO or EINTR.
fn again<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    use rustix::io::Errno;
    let mut tries = 1;
    loop {
        match read() {
            Err(error)
                if tries < READ_TRIES && matches!(Errno::from_io_error(&error), Some(Errno::IO | Errno::INTR)) =>
            {
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

struct PatientRead(Box<dyn FileRead>);

fn read_through(file: Box<dyn FileRead>) -> Box<dyn FileRead> {
    Box::new(PatientRead(file))
}

impl FileRead for PatientRead {
    fn stat(&self) -> io::Result<Stat> {
        again(|| self.0.stat())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        again(|| self.0.read_at(buf, offset))
    }
}

impl Fs for PatientFs {
    fn open(&self, path: &Path) -> io::Result<Box<dyn FileRead>> {
        Ok(read_through(again(|| self.inner.open(path))?))
    }

    fn open_plain(&self, path: &Path) -> io::Result<Box<dyn FileRead>> {
        Ok(read_through(again(|| self.inner.open_plain(path))?))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        again(|| self.inner.list(dir))
    }

    fn lstat(&self, path: &Path) -> io::Result<Stat> {
        again(|| self.inner.lstat(path))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        again(|| self.inner.stat(path))
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        again(|| self.inner.read_link(path))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        again(|| self.inner.canonical(path))
    }

    fn create_temp(&self, dir: &Path, prefix: &str) -> io::Result<Box<dyn FileWrite>> {
        self.inner.create_temp(dir, prefix)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FileWrite>> {
        self.inner.create_new(path)
    }

    forward_changes!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;
    use std::cell::Cell;

    #[test]
    fn what_fails_twice_is_read_and_what_fails_always_or_in_another_way_is_an_error() {
        let tries = Cell::new(0);
        let fails = |times: u32, errno: Errno| {
            tries.set(0);
            again(|| {
                tries.set(tries.get() + 1);
                if tries.get() > times { Ok(()) } else { Err(io::Error::from(errno)) }
            })
        };
        assert!(fails(2, Errno::IO).is_ok() && fails(1, Errno::INTR).is_ok());
        assert!(fails(u32::MAX, Errno::IO).is_err());
        assert_eq!(tries.get(), READ_TRIES);
        assert!(fails(1, Errno::NOENT).is_err());
        assert_eq!(tries.get(), 1);
    }
}
