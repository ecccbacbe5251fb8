//! The scratch file of a shelf, read record by record.

use super::{Place, other_bytes};
use crate::fs::{UnnamedFile, fill_at};
use crate::limits::SHELF_WINDOW_BYTES;
use crate::model::packed::Unpacker;
use std::io;
use std::sync::{Mutex, PoisonError};

pub(super) struct File {
    file: Box<UnnamedFile>,
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
    pub fn make(place: &Place) -> io::Result<Self> {
        let file = UnnamedFile::make(place.fs.as_ref(), &place.dir, "items-", place.secrecy)?;
        Ok(Self { file: Box::new(file), bytes: 0, window: Mutex::default() })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)?;
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
            self.fill(&file.file, place, wanted.min(there))?;
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

    fn fill(&mut self, file: &UnnamedFile, place: u64, bytes: usize) -> io::Result<()> {
        self.at = place;
        self.bytes.clear();
        self.bytes.resize(bytes, 0);
        let read = fill_at(file, place, &mut self.bytes);
        if read.is_err() {
            self.bytes.clear();
        }
        read
    }
}
