//! The index of one pack: read and checked as a whole, written, and made again from the pack where it is missing or
//! damaged. A pack that is damaged itself loses what lies in its damaged segments and nothing else. Searching them, one by
//! one or as one table, is `table`'s.

use super::cursor::Cursor;
use super::layout::{INDEXES, PackName, format_error, io_error};
use super::seal::SEALED_CHUNK;
use super::{Archive, ArchiveError, SealError, seal};
use crate::format::FormatError;
use crate::format::pack_index::{IndexEntry, PackIndex, SegmentRow};
use crate::format::segment::{self, MEMBER_MAGIC};
use crate::format::tar_entry;
use crate::fs::FileRead;
use crate::limits;
use std::io::{self, BufRead, Read};

/// What became of reading an index.
pub(super) enum IndexState {
    Sound(PackIndex),
    /// It is missing, damaged or of another pack; why, for people.
    Unusable(String),
    /// The disk did not give it, and may give it the next time.
    Refused(io::Error),
}

impl Archive {
    /// The index of a pack as its file has it.
    pub(super) fn read_index(&self, name: PackName) -> Result<IndexState, ArchiveError> {
        let path = self.dir.join(name.index_path());
        let bytes = match self.fs.read(&path, limits::INDEX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(IndexState::Unusable("it is missing".to_owned()));
            }
            Err(error) if error.raw_os_error().is_some() => return Ok(IndexState::Refused(error)),
            Err(error) => return Ok(IndexState::Unusable(error.to_string())),
        };
        match PackIndex::parse(&bytes) {
            Ok(index) if *index.pack() == name.0 => Ok(IndexState::Sound(index)),
            Ok(_) => Ok(IndexState::Unusable("it is the index of another pack".to_owned())),
            Err(error @ FormatError::TooNew { .. }) => Err(format_error(&path)(error)),
            Err(error) => Ok(IndexState::Unusable(error.to_string())),
        }
    }

    /// Writes the index of a pack, over an old one if there is one.
    pub(super) fn write_index(&self, name: PackName, index: &PackIndex) -> Result<(), ArchiveError> {
        let bytes = index.encode();
        self.remove_parity(&name.index_path())?;
        let mut file = self.begin(INDEXES)?;
        file.put(&bytes)?;
        if self.is_encrypted() {
            let padding = seal::padded(file.bytes()) - file.bytes();
            // An index is held in memory, and this is an eighth of it at most.
            file.put(&vec![0; usize::try_from(padding).unwrap_or_default()])?;
        }
        let written = file.finish()?;
        self.copy_index(name, written.tag, &bytes)?;
        self.publish(written.file, &name.index_path())
    }

    /// Makes the index of a pack from the pack itself, for somebody who keeps it: what the disk does not give is an error,
    /// for it may give it the next time. Damaged segments are left out.
    pub(super) fn rebuild_index(&self, name: PackName) -> Result<PackIndex, ArchiveError> {
        let scan = self.scan(name)?;
        match scan.refused {
            Some(source) => Err(io_error("read", &self.dir.join(name.pack_path()))(source)),
            None => Ok(scan.index),
        }
    }

    /// The same, for somebody who is to get what there is at this moment.
    pub(super) fn salvage_index(&self, name: PackName) -> Result<PackIndex, ArchiveError> {
        Ok(self.scan(name)?.index)
    }

    /// The same, for somebody who removes what it does not list: a pack with damage is an error.
    pub(super) fn whole_index(&self, name: PackName) -> Result<PackIndex, ArchiveError> {
        let scan = self.scan(name)?;
        match (scan.refused, scan.damaged) {
            (Some(source), _) => Err(io_error("read", &self.dir.join(name.pack_path()))(source)),
            (None, Some(offset)) => Err(ArchiveError::DamagedSegment { pack: name.to_string(), offset }),
            (None, None) => Ok(scan.index),
        }
    }

    fn scan(&self, name: PackName) -> Result<Scan, ArchiveError> {
        let path = self.dir.join(name.pack_path());
        let file = match self.fs.open(&path).map_err(io_error("open", &path)) {
            // What begins an encrypted file is damaged: none of it can be opened, and nothing else is concerned.
            Err(error @ ArchiveError::Sealed { .. }) if error.is_damage() => {
                let index = PackIndex::new(name.0, 0, Vec::new(), Vec::new());
                return Ok(Scan { index, damaged: Some(0), refused: None });
            }
            opened => opened?,
        };
        let size = file.stat().map_err(io_error("look at", &path))?.size;
        Ok(scan_pack(file.as_ref(), name, size))
    }
}

/// What a pack gave that was read from beginning to end.
struct Scan {
    index: PackIndex,
    /// The first byte of what is no segment of ours.
    damaged: Option<u64>,
    /// The first error of the disk.
    refused: Option<io::Error>,
}

/// Finds the segments of a pack without an index. Where a member does not inflate, the search goes on at the next place
/// that looks like the beginning of one: damage costs its own segment.
fn scan_pack(file: &dyn FileRead, name: PackName, size: u64) -> Scan {
    let (mut segments, mut entries) = (Vec::new(), Vec::new());
    let (mut damaged, mut refused, mut ended) = (None, None, false);
    let mut cursor = Cursor::new(file, 0, size);
    while cursor.position() < size && segments.len() <= usize::from(u16::MAX) {
        let offset = cursor.position();
        // At most 65,536 rows have been pushed, so the number fits.
        let number = segments.len() as u16;
        match scan_member(&mut cursor, number, &mut refused) {
            Some((uncompressed, found)) => {
                ended |= uncompressed == tar_entry::END.len() as u64 && found.is_empty();
                if !found.is_empty() {
                    let compressed = cursor.position() - offset;
                    segments.push(SegmentRow { offset, compressed, uncompressed });
                    entries.extend(found);
                }
            }
            None => {
                damaged.get_or_insert(offset);
                cursor.seek(offset + 1);
                if !seek_magic(&mut cursor, &mut refused) {
                    break;
                }
            }
        }
    }
    if !ended {
        damaged.get_or_insert(size);
    }
    Scan { index: PackIndex::new(name.0, size, segments, entries), damaged, refused }
}

/// Notes an error of the disk; one of the decoder has no number.
fn note(refused: &mut Option<io::Error>) -> impl FnMut(io::Error) {
    |error| {
        if error.raw_os_error().is_some() {
            refused.get_or_insert(error);
        }
    }
}

/// Whether the bytes from `at` to the end are the gzip member that ends a tar file, and nothing else.
pub(super) fn ends_as_tar(file: &dyn FileRead, at: u64, size: u64) -> bool {
    let mut cursor = Cursor::new(file, at, size);
    let mut end = Vec::new();
    let most = tar_entry::END.len() as u64 + 1;
    let read = flate2::bufread::GzDecoder::new(&mut cursor).take(most).read_to_end(&mut end);
    read.is_ok() && end == tar_entry::END && only_padding(cursor)
}

/// Whether what is left are gzip members that hold nothing: they hide the length of an encrypted file.
pub(super) fn only_padding(mut cursor: Cursor<'_>) -> bool {
    while cursor.position() < cursor.end() {
        let mut inflated = [0];
        let read = flate2::bufread::GzDecoder::new(&mut cursor).read(&mut inflated);
        if !matches!(read, Ok(0)) {
            return false;
        }
    }
    true
}

/// Inflates the member under the cursor; `None` when it is none of ours. The end of the tar lists no entries.
fn scan_member(
    cursor: &mut Cursor<'_>,
    number: u16,
    refused: &mut Option<io::Error>,
) -> Option<(u64, Vec<IndexEntry>)> {
    let mut decoder = flate2::bufread::GzDecoder::new(&mut *cursor);
    let mut tar = Vec::new();
    let read = (&mut decoder).take(limits::WHOLE_SEGMENT_BYTES).read_to_end(&mut tar);
    read.map_err(note(refused)).ok()?;
    if tar == tar_entry::END {
        return Some((tar.len() as u64, Vec::new()));
    }
    if (tar.len() as u64) < limits::WHOLE_SEGMENT_BYTES {
        return Some((tar.len() as u64, segment::list(&tar, number).ok()?));
    }
    // An object too large to be held is alone in its segment.
    let (name, size) = tar_entry::parse_header(tar.get(..tar_entry::BLOCK)?, 0).ok()?;
    let name = tar_entry::EntryName::parse(name)?;
    let rest = io::copy(&mut decoder.take(limits::COPIED_BYTES), &mut io::sink()).map_err(note(refused)).ok()?;
    let uncompressed = limits::WHOLE_SEGMENT_BYTES + rest;
    let entry = IndexEntry { prefix: crate::format::pack_index::prefix(name.id()), segment: number, block: 0 };
    (uncompressed == tar_entry::entry_bytes(size)).then(|| (uncompressed, vec![entry]))
}

/// Moves the cursor to the next bytes that begin a gzip member of ours; `false` at the end of the file, and where the disk
/// does not give it. A chunk of an encrypted file that does not decrypt is passed over.
pub(super) fn seek_magic(cursor: &mut Cursor<'_>, refused: &mut Option<io::Error>) -> bool {
    let [first, ..] = MEMBER_MAGIC;
    loop {
        let (skip, found) = match cursor.fill_buf() {
            Ok([]) => return false,
            Ok(buffer) => match memchr::memchr(first, buffer) {
                Some(at) => (at, true),
                None => (buffer.len(), false),
            },
            Err(error) if is_damaged_chunk(&error) => {
                next_chunk(cursor);
                continue;
            }
            Err(error) => {
                note(refused)(error);
                return false;
            }
        };
        cursor.consume(skip);
        if !found {
            continue;
        }
        let here = cursor.position();
        let mut magic = [0; MEMBER_MAGIC.len()];
        match cursor.read_exact(&mut magic) {
            Ok(()) => {}
            Err(error) if is_damaged_chunk(&error) => {
                next_chunk(cursor);
                continue;
            }
            Err(_) => return false,
        }
        let at = if magic == MEMBER_MAGIC { here } else { here + 1 };
        cursor.seek(at);
        if magic == MEMBER_MAGIC {
            return true;
        }
    }
}

fn is_damaged_chunk(error: &io::Error) -> bool {
    matches!(error.get_ref().and_then(|inner| inner.downcast_ref()), Some(SealError::Damaged(_)))
}

/// Goes on behind the chunk in which the cursor is.
fn next_chunk(cursor: &mut Cursor<'_>) {
    let behind = (cursor.position() / SEALED_CHUNK + 1).saturating_mul(SEALED_CHUNK);
    cursor.seek(behind.min(cursor.end()));
}
