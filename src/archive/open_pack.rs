//! One pack being written: takes finished segments in order, ends the tar, and gives pack and index their names.
//!
//! Promises: nothing shows before [`OpenPack::publish`], and then the pack before its index. Dropping it removes the
//! temporary file. It compresses nothing. Format: format-spec/pack.md.

use super::archive_file::ArchiveFile;
use super::compressors::Compressed;
use super::cursor::Cursor;
use super::layout::{PACKS, PackName, io_error};
use super::spool::Spooled;
use super::{Archive, ArchiveError, seal};
use crate::format::pack_index::{IndexEntry, PackIndex, Prefix, SegmentRow};
use crate::format::segment::{Effort, Encoder};
use crate::format::tar_entry;
use crate::limits;
use std::io::BufRead;

pub(super) struct OpenPack {
    file: ArchiveFile,
    segments: Vec<SegmentRow>,
    entries: Vec<IndexEntry>,
}

impl OpenPack {
    pub fn create(archive: &Archive) -> Result<Self, ArchiveError> {
        Ok(Self { file: archive.begin(PACKS)?, segments: Vec::new(), entries: Vec::new() })
    }

    /// Whether it has `bytes`, or as many segments or objects as a pack may have, and should be published before more is
    /// added.
    pub fn is_full(&self, bytes: u64) -> bool {
        self.is_full_with(self.segments.len(), bytes)
    }

    /// Whether its first segments alone, so many of them, fill it.
    pub fn is_full_with(&self, segments: usize, bytes: u64) -> bool {
        let last = segments.checked_sub(1).and_then(|at| self.segments.get(at));
        // Entries are listed segment by segment.
        let objects = || self.entries.partition_point(|entry| usize::from(entry.segment) < segments);
        last.is_some_and(|row| row.offset + row.compressed >= bytes)
            || segments >= limits::SEGMENTS_PER_PACK
            || objects() >= limits::OBJECTS_PER_PACK
    }

    /// Segments that it has.
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// Appends a segment that was compressed in memory.
    pub fn append(&mut self, segment: Compressed) -> Result<(), ArchiveError> {
        let offset = self.file.bytes();
        self.file.put(&segment.member)?;
        self.list(offset, segment.uncompressed, segment.entries);
        Ok(())
    }

    /// Appends a segment of one large object.
    pub fn append_spooled(&mut self, archive: &Archive, prefix: Prefix, spooled: &Spooled) -> Result<(), ArchiveError> {
        let offset = self.file.bytes();
        let file = spooled.file.open(archive)?;
        let mut cursor = Cursor::new(file.as_ref(), 0, spooled.file.bytes);
        loop {
            let bytes = cursor.fill_buf().map_err(io_error("read", spooled.file.path()))?;
            if bytes.is_empty() {
                break;
            }
            let length = bytes.len();
            self.file.put(bytes)?;
            cursor.consume(length);
        }
        if self.file.bytes() - offset != spooled.file.bytes {
            let what = format!("{} was cut short by another program", spooled.file.path().display());
            return Err(ArchiveError::FaultyCompressor { what });
        }
        self.list(offset, spooled.uncompressed, vec![(prefix, 0)]);
        Ok(())
    }

    /// Appends a segment of another pack as it is.
    pub fn append_member(
        &mut self,
        member: &mut dyn BufRead,
        uncompressed: u64,
        entries: Vec<(Prefix, u16)>,
    ) -> Result<(), ArchiveError> {
        let offset = self.file.bytes();
        loop {
            let bytes = member.fill_buf().map_err(io_error("read a segment for", self.file.path()))?;
            if bytes.is_empty() {
                break;
            }
            let length = bytes.len();
            self.file.put(bytes)?;
            member.consume(length);
        }
        self.list(offset, uncompressed, entries);
        Ok(())
    }

    fn list(&mut self, offset: u64, uncompressed: u64, entries: Vec<(Prefix, u16)>) {
        // `is_full` keeps the number of segments below 16 bits.
        let segment = self.segments.len() as u16;
        self.segments.push(SegmentRow { offset, compressed: self.file.bytes() - offset, uncompressed });
        self.entries.extend(entries.into_iter().map(|(prefix, block)| IndexEntry { prefix, segment, block }));
    }

    /// Ends the tar and publishes the pack, then its index. Waits for the disk.
    pub fn publish(mut self, archive: &Archive) -> Result<(PackName, PackIndex), ArchiveError> {
        let end = Encoder::default().encode(&tar_entry::END, Effort::Most);
        let end = end.map_err(|error| ArchiveError::FaultyCompressor { what: error.to_string() })?;
        self.file.put(&end)?;
        if archive.is_encrypted() {
            for filling in seal::members(self.file.bytes()) {
                self.file.put(&filling)?;
            }
        }
        let written = self.file.finish()?;
        let name = PackName(written.digest);
        let index = PackIndex::new(name.0, written.bytes, self.segments, self.entries);
        archive.publish(written.file, &name.pack_path())?;
        archive.write_index(name, &index)?;
        Ok((name, index))
    }
}
