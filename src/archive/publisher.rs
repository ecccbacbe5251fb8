//! Publishes packs beside the writing of the next one: a pack waits for the disk twice, and so does its index.
//!
//! Promises that one pack is published at a time, in order, and that nothing goes on behind the back of whoever drops it.
//! Called by `pack_writer` and `rewrite`.

use super::layout::PackName;
use super::open_pack::OpenPack;
use super::{Archive, ArchiveError};
use crate::format::pack_index::PackIndex;
use std::thread::JoinHandle;

type Outcome = Result<(PackName, PackIndex), ArchiveError>;

#[derive(Default)]
pub(super) struct Publisher {
    running: Option<JoinHandle<Outcome>>,
}

impl Publisher {
    /// Begins to publish a pack. The one before must have been waited for.
    pub fn start(&mut self, pack: OpenPack, archive: &Archive) -> Result<(), ArchiveError> {
        if self.running.is_some() {
            return Err(ArchiveError::Stopped);
        }
        let archive = archive.again();
        self.running = Some(std::thread::spawn(move || pack.publish(&archive)));
        Ok(())
    }

    /// The pack that was being published, once it is; `None` when there is none.
    pub fn wait(&mut self) -> Result<Option<(PackName, PackIndex)>, ArchiveError> {
        match self.running.take() {
            Some(running) => running.join().unwrap_or(Err(ArchiveError::Stopped)).map(Some),
            None => Ok(None),
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // What it publishes is complete and harmless; its error has nobody left to be told.
        drop(self.wait());
    }
}
