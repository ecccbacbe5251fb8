//! The scratch file of a shelf: without a name, written at its end, read anywhere.

use super::other_bytes;
use crate::fs::{FileRead, FileWrite, Fs};
use crate::limits::SHELF_WINDOW_BYTES;
use crate::model::packed::Unpacker;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

pub(super) struct File {
    /// Behind a lock only so that threads may share the shelf: nobody writes through a shared one.
    write: Mutex<Box<dyn FileWrite>>,
    read: Box<dyn FileRead>,
    /// What it holds.
    pub bytes: u64,
    window: Mutex<Window>,
}

/// What was read at once.
#[derive(Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    /// Where that begins in the file.
    at: u64,
}

impl File {
    /// A new one, which goes with the process.
    pub fn make(fs: &dyn Fs, dir: &Path) -> io::Result<Self> {
        let write = fs.create_temp(dir, "items-")?;
        let read = fs.open(write.path())?;
        fs.remove_file(write.path())?;
        Ok(Self { write: Mutex::new(write), read, bytes: 0, window: Mutex::default() })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write.get_mut().unwrap_or_else(PoisonError::into_inner).write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Reads one record.
    pub fn read<T>(&self, place: u64, take: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.record(self, place).map(|(record, _)| take(record))
    }
}

impl Window {
    /// The record that begins at `place`, and where the next one begins. An error where the file does not give it.
    pub fn record(&mut self, file: &File, place: u64) -> io::Result<(&[u8], u64)> {
        let mut wanted = SHELF_WINDOW_BYTES;
        while self.find(place).is_none() {
            let there = usize::try_from(file.bytes.saturating_sub(place)).unwrap_or(usize::MAX);
            if self.at == place && self.bytes.len() == there {
                return Err(other_bytes());
            }
            self.fill(file.read.as_ref(), place, wanted.min(there))?;
            // Few records are longer than a window.
            wanted *= 2;
        }
        let (start, end) = self.find(place).unwrap_or_default();
        Ok((self.bytes.get(start..end).unwrap_or_default(), self.at + end as u64))
    }

    /// Where in the window the record lies, if all of it does.
    fn find(&self, place: u64) -> Option<(usize, usize)> {
        let rest = self.bytes.get(usize::try_from(place.checked_sub(self.at)?).ok()?..)?;
        let mut unpacker = Unpacker::new(rest);
        let length = unpacker.bytes()?.len();
        let end = self.bytes.len() - unpacker.left();
        Some((end - length, end))
    }

    fn fill(&mut self, file: &dyn FileRead, place: u64, bytes: usize) -> io::Result<()> {
        (self.at, self.bytes) = (place, std::mem::take(&mut self.bytes));
        self.bytes.clear();
        self.bytes.resize(bytes, 0);
        let mut filled = 0;
        let read = loop {
            let Some(room) = self.bytes.get_mut(filled..).filter(|room| !room.is_empty()) else { break Ok(()) };
            match file.read_at(room, place + filled as u64) {
                Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        if read.is_err() {
            self.bytes.clear();
        }
        read
    }
}
