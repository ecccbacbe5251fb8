//! Readers and those who remove files: whoever has an archive open shares its `wagon.json`; whoever removes packs or
//! snapshots has it for himself meanwhile. The system takes either back when its process ends, however it ends.
//!
//! Promises that no file goes while somebody who opened the archive may still need it. On a file system without locks a
//! reader goes on without; there a prune must be kept apart by hand. Format: format-spec/archive.md, "The locks".

use super::layout::{HEADER, io_error};
use super::{Archive, ArchiveError};
use crate::limits;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What a reader holds.
#[derive(Default)]
pub(super) struct Sharing(Mutex<Option<Box<dyn Send + Sync>>>);

/// The right to remove files; ends when dropped.
pub(super) struct NoReaders<'a> {
    archive: &'a Archive,
    held: Option<Box<dyn Send + Sync>>,
}

impl Archive {
    /// Says that this process reads.
    pub(super) fn share(&self) -> Result<(), ArchiveError> {
        let held = match self.wait_for(|path| self.fs.try_share(path)) {
            // A file system without locks.
            Err(ArchiveError::Io { source, .. })
                if matches!(source.kind(), io::ErrorKind::Unsupported | io::ErrorKind::Other)
                    || source.raw_os_error() == Some(37) =>
            {
                None
            }
            Err(error) => return Err(error),
            Ok(None) => return Err(in_use("a wagon prune that removes files")),
            Ok(held) => held,
        };
        *self.sharing.0.lock().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(())
    }

    /// Waits a little for others who read, and keeps new ones waiting.
    pub(super) fn without_readers(&self) -> Result<NoReaders<'_>, ArchiveError> {
        drop(self.sharing.0.lock().unwrap_or_else(PoisonError::into_inner).take());
        match self.wait_for(|path| self.fs.try_exclude(path)) {
            Ok(Some(held)) => Ok(NoReaders { archive: self, held: Some(held) }),
            outcome => {
                self.share()?;
                Err(outcome.err().unwrap_or_else(|| in_use("somebody who reads it")))
            }
        }
    }

    fn wait_for<T>(
        &self,
        mut attempt: impl FnMut(&PathBuf) -> io::Result<Option<T>>,
    ) -> Result<Option<T>, ArchiveError> {
        let (path, begun) = (self.dir.join(HEADER), Instant::now());
        loop {
            let held = attempt(&path).map_err(io_error("lock", &path))?;
            if held.is_some() || begun.elapsed() > limits::READER_WAIT {
                return Ok(held);
            }
            std::thread::sleep(limits::LOCK_POLL);
        }
    }
}

fn in_use(holder: &str) -> ArchiveError {
    ArchiveError::InUse { holder: holder.to_owned(), since: "some seconds at least".to_owned() }
}

impl Drop for NoReaders<'_> {
    fn drop(&mut self) {
        drop(self.held.take());
        // Nobody removes files but the holder of the writer's lock, who we are.
        drop(self.archive.share());
    }
}
