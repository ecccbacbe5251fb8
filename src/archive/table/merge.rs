//! Merges sorted sources of rows (a table on disk, indexes in memory, indexes in their files) into a new table on disk:
//! each is read once from front to back, the table is written once.

use super::held;
use super::page::Row;
use super::sorted::{Scan, SortedFile, SortedWriter};
use crate::archive::ArchiveError;
use crate::archive::cursor::Cursor;
use crate::archive::layout::{format_error, io_error};
use crate::format::FormatError;
use crate::format::pack_index::{self, HEADER_BYTES, IndexEntry, IndexHeader, Prefix, ROW_BYTES};
use crate::fs::{FileRead, Fs, read_exact_at};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where sorted rows come from.
pub enum Source<'a> {
    Table(Box<Scan<'a>>),
    Held(Box<dyn Iterator<Item = Row> + 'a>),
    File(IndexRows<'a>),
}

impl Source<'_> {
    fn next(&mut self) -> Result<Option<Row>, ArchiveError> {
        match self {
            Self::Table(scan) => scan.next(),
            Self::Held(rows) => Ok(rows.next()),
            Self::File(rows) => rows.next(),
        }
    }
}

/// The rows of an index that has been checked and let go again, because it is too large to be held.
pub struct IndexRows<'a> {
    path: PathBuf,
    cursor: Cursor<'a>,
    left: u64,
    pack: u32,
    last: Option<Prefix>,
}

impl<'a> IndexRows<'a> {
    /// Of the pack that has this number in the table.
    pub fn open(file: &'a dyn FileRead, path: &Path, pack: u32) -> Result<Self, ArchiveError> {
        let size = file.stat().map_err(io_error("look at", path))?.size;
        let header = read_exact_at(file, 0, HEADER_BYTES).map_err(io_error("read", path))?;
        let header = header.first_chunk().and_then(|header| IndexHeader::parse(header, size));
        let header = header.ok_or_else(|| changed(path, 0))?;
        let place = pack_index::rows(u64::from(header.segments), header.objects);
        let cursor = Cursor::new(file, place.start, place.end);
        Ok(Self { path: path.to_owned(), cursor, left: header.objects, pack, last: None })
    }

    fn next(&mut self) -> Result<Option<Row>, ArchiveError> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut bytes = [0; ROW_BYTES];
        self.cursor.read_exact(&mut bytes).map_err(io_error("read", &self.path))?;
        let entry = IndexEntry::decode(&bytes);
        // It was in order a moment ago; a table that is not would hide objects.
        if self.last.is_some_and(|last| last >= entry.prefix) {
            return Err(changed(&self.path, self.cursor.position()));
        }
        self.last = Some(entry.prefix);
        self.left -= 1;
        Ok(Some(held::row(self.pack, entry)))
    }
}

fn changed(path: &Path, at: u64) -> ArchiveError {
    let what = "an index that changed while it was read".to_owned();
    format_error(path)(FormatError::Malformed { what, at })
}

/// Writes all rows of `sources` as one table in `dir`.
pub fn merge(fs: &dyn Fs, dir: &Path, mut sources: Vec<Source<'_>>) -> Result<SortedFile, ArchiveError> {
    let mut table = SortedWriter::create(fs, dir)?;
    let mut heads = BinaryHeap::with_capacity(sources.len());
    for (number, source) in sources.iter_mut().enumerate() {
        if let Some(row) = source.next()? {
            heads.push(Reverse((row, number)));
        }
    }
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((row, number)) = *head;
        table.push(row)?;
        let next = sources.get_mut(number).map(Source::next).transpose()?.flatten();
        match next {
            Some(row) => *head = Reverse((row, number)),
            None => drop(PeekMut::pop(head)),
        }
    }
    table.finish(fs)
}
