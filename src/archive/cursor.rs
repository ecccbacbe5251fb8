//! Reads a stretch of a file from front to back, and knows where it is. What inflates from it leaves it at the byte
//! after the gzip member, which is how members are told apart where no index says.

use crate::fs::FileRead;
use std::io::{self, BufRead, Read};

const BUFFER: usize = 64 * 1024;

pub(super) struct Cursor<'f> {
    file: &'f dyn FileRead,
    /// Where in the file `buf[start]` comes from.
    at: u64,
    end: u64,
    buf: Vec<u8>,
    start: usize,
    filled: usize,
}

impl<'f> Cursor<'f> {
    /// Reads `file` from byte `at` to byte `end`, or to its own end if that comes first.
    pub fn new(file: &'f dyn FileRead, at: u64, end: u64) -> Self {
        Self { file, at, end, buf: Vec::new(), start: 0, filled: 0 }
    }

    /// The byte that is read next.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The byte before which it stops.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Goes on from byte `at`.
    pub fn seek(&mut self, at: u64) {
        (self.at, self.start, self.filled) = (at, 0, 0);
    }
}

impl BufRead for Cursor<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.filled {
            let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
            self.buf.resize(BUFFER, 0);
            let room = self.buf.get_mut(..left.min(BUFFER)).unwrap_or_default();
            (self.start, self.filled) = (0, if room.is_empty() { 0 } else { self.file.read_at(room, self.at)? });
        }
        Ok(self.buf.get(self.start..self.filled).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.filled - self.start);
        self.start += amount;
        self.at += amount as u64;
    }
}

impl Read for Cursor<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

/// Shows a file to `take`, piece by piece.
pub(super) fn each_piece(file: &dyn FileRead, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut cursor = Cursor::new(file, 0, u64::MAX);
    loop {
        let bytes = cursor.fill_buf()?;
        if bytes.is_empty() {
            return Ok(());
        }
        take(bytes)?;
        let length = bytes.len();
        cursor.consume(length);
    }
}
