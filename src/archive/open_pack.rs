//! One pack being written: takes finished segments in order, ends the tar, and gives pack and index their names.
//!
//! Promises: nothing shows before [`OpenPack::publish`], and then the pack before its index. Dropping it removes the
//! temporary file. It compresses nothing. Format: format-spec/pack.md.

use super::compressors::Compressed;
use super::cursor::Cursor;
use super::layout::{PACKS, PackName, io_error};
use super::spool::Spooled;
use super::{Archive, ArchiveError};
use crate::format::pack_index::{IndexEntry, PackIndex, Prefix, SegmentRow};
use crate::format::segment::{Effort, Encoder};
use crate::format::tar_entry;
use crate::fs::FileWrite;
use crate::limits;
use sha2::{Digest, Sha256};
use std::io::{BufRead, Write};
use std::path::PathBuf;

pub(super) struct OpenPack {
    file: Box<dyn FileWrite>,
    path: PathBuf,
    digest: Sha256,
    bytes: u64,
    /// Up to here the disk was asked to write already.
    hastened: u64,
    segments: Vec<SegmentRow>,
    entries: Vec<IndexEntry>,
}

impl OpenPack {
    pub fn create(archive: &Archive) -> Result<Self, ArchiveError> {
        let file = archive.temporary(PACKS)?;
        let path = file.path().to_owned();
        Ok(Self { file, path, digest: Sha256::new(), bytes: 0, hastened: 0, segments: Vec::new(), entries: Vec::new() })
    }

    /// Whether it has `bytes`, or as many segments as a pack may have, and should be published before more is added.
    pub fn is_full(&self, bytes: u64) -> bool {
        self.bytes >= bytes || self.segments.len() >= limits::SEGMENTS_PER_PACK
    }

    /// Appends a segment that was compressed in memory.
    pub fn append(&mut self, segment: Compressed) -> Result<(), ArchiveError> {
        let offset = self.bytes;
        self.write(&segment.member)?;
        self.list(offset, segment.uncompressed, segment.entries);
        Ok(())
    }

    /// Appends a segment of one large object.
    pub fn append_spooled(&mut self, archive: &Archive, prefix: Prefix, spooled: &Spooled) -> Result<(), ArchiveError> {
        let offset = self.bytes;
        let file = archive.fs.open(&spooled.path).map_err(io_error("open", &spooled.path))?;
        let mut cursor = Cursor::new(file.as_ref(), 0, spooled.compressed);
        loop {
            let bytes = cursor.fill_buf().map_err(io_error("read", &spooled.path))?;
            if bytes.is_empty() {
                break;
            }
            let length = bytes.len();
            self.write(bytes)?;
            cursor.consume(length);
        }
        if self.bytes - offset != spooled.compressed {
            let what = format!("{} was cut short by another program", spooled.path.display());
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
        let offset = self.bytes;
        loop {
            let bytes = member.fill_buf().map_err(io_error("read a segment for", &self.path))?;
            if bytes.is_empty() {
                break;
            }
            let (length, bytes) = (bytes.len(), bytes.to_vec());
            self.write(&bytes)?;
            member.consume(length);
        }
        self.list(offset, uncompressed, entries);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.file.write_all(bytes).map_err(io_error("write", &self.path))?;
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        if self.bytes - self.hastened >= limits::WRITE_BEHIND_BYTES {
            // So that little is left to be written when the pack is synced, and everything waits for it.
            self.file.write_behind(self.hastened, self.bytes - self.hastened);
            self.hastened = self.bytes;
        }
        Ok(())
    }

    fn list(&mut self, offset: u64, uncompressed: u64, entries: Vec<(Prefix, u16)>) {
        // `is_full` keeps the number of segments below 16 bits.
        let segment = self.segments.len() as u16;
        self.segments.push(SegmentRow { offset, compressed: self.bytes - offset, uncompressed });
        self.entries.extend(entries.into_iter().map(|(prefix, block)| IndexEntry { prefix, segment, block }));
    }

    /// Ends the tar and publishes the pack, then its index. Waits for the disk.
    pub fn publish(mut self, archive: &Archive) -> Result<(PackName, PackIndex), ArchiveError> {
        let end = Encoder::default().encode(&tar_entry::END, Effort::Most);
        let end = end.map_err(|error| ArchiveError::FaultyCompressor { what: error.to_string() })?;
        self.write(&end)?;
        let name = PackName(self.digest.finalize().into());
        let index = PackIndex::new(name.0, self.bytes, self.segments, self.entries);
        archive.publish(self.file, &name.pack_path())?;
        archive.write_index(name, &index)?;
        Ok((name, index))
    }
}
