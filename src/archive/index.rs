//! Where every object of an archive lies: the indexes of all packs, searched as one.
//!
//! An index is derived: one that is missing or damaged is made again from its pack. A pack that is damaged itself loses
//! what lies in its damaged segments and nothing else. Promises no more than finding; the reader compares names and
//! hashes.

use super::cursor::Cursor;
use super::layout::{INDEXES, PackName, format_error, io_error};
use super::{Archive, ArchiveError};
use crate::format::FormatError;
use crate::format::pack_index::{IndexEntry, PackIndex, Prefix, SegmentRow};
use crate::format::segment::{self, MEMBER_MAGIC};
use crate::format::tar_entry;
use crate::fs::FileRead;
use crate::limits;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, Read, Write};

/// An object's place: the pack by its number in the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Location {
    pub pack: usize,
    pub segment: u16,
    pub block: u16,
}

struct TablePack {
    name: PackName,
    index: PackIndex,
    /// Number of its first entry among those of all packs.
    first: u32,
}

/// All objects of several packs. Beside the 24 bytes that an index has for an object it takes 6 to 11 more.
#[derive(Default)]
pub(super) struct ObjectTable {
    packs: Vec<TablePack>,
    /// Open addressing, numbers of entries; at most three quarters are taken.
    slots: Vec<u32>,
    entries: u32,
    // Names in a forged index are no hashes; unless they are mixed with something unknown, all could meet in one slot.
    hasher: RandomState,
}

const FREE: u32 = u32::MAX;

impl ObjectTable {
    /// Adds the objects of a pack.
    pub fn push(&mut self, name: PackName, index: PackIndex) -> Result<(), FormatError> {
        let bound = u64::from(FREE) - 1;
        let total = u64::from(self.entries) + index.len() as u64;
        let Some(after) = u32::try_from(total).ok().filter(|_| total <= bound) else {
            return Err(FormatError::OverBound { what: "objects of an archive", found: total, bound });
        };
        let first = self.entries;
        self.packs.push(TablePack { name, index, first });
        self.entries = after;
        if after as usize >= self.slots.len() / 4 * 3 {
            self.slots = vec![FREE; (after as usize * 2).next_power_of_two().max(1024)];
            (0..after).for_each(|number| self.insert(number));
        } else {
            (first..after).for_each(|number| self.insert(number));
        }
        Ok(())
    }

    fn insert(&mut self, number: u32) {
        let Some((_, entry)) = self.entry(number) else { return };
        let mut at = self.first_slot(&entry.prefix);
        loop {
            match self.slots.get_mut(at) {
                Some(slot) if *slot == FREE => {
                    *slot = number;
                    return;
                }
                Some(_) => at += 1,
                None => at = 0,
            }
        }
    }

    fn first_slot(&self, prefix: &Prefix) -> usize {
        // The length is a power of two, so the mask keeps the slot in range.
        self.hasher.hash_one(prefix) as usize & (self.slots.len().wrapping_sub(1))
    }

    fn entry(&self, number: u32) -> Option<(usize, IndexEntry)> {
        let pack = self.packs.partition_point(|pack| pack.first <= number).checked_sub(1)?;
        let held = self.packs.get(pack)?;
        Some((pack, held.index.entry((number - held.first) as usize)?))
    }

    /// Every place where an object of this prefix lies, in the order in which the packs were added. There are several
    /// only after a repair.
    pub fn find(&self, prefix: Prefix) -> impl Iterator<Item = Location> + '_ {
        let mut at = self.first_slot(&prefix);
        std::iter::from_fn(move || {
            loop {
                let Some(&number) = self.slots.get(at) else {
                    if self.slots.is_empty() {
                        return None;
                    }
                    at = 0;
                    continue;
                };
                if number == FREE {
                    return None;
                }
                at += 1;
                if let Some((pack, entry)) = self.entry(number).filter(|(_, entry)| entry.prefix == prefix) {
                    return Some(Location { pack, segment: entry.segment, block: entry.block });
                }
            }
        })
    }

    pub fn contains(&self, prefix: Prefix) -> bool {
        self.find(prefix).next().is_some()
    }

    /// Name and index of a pack of this table.
    pub fn pack(&self, number: usize) -> Option<(PackName, &PackIndex)> {
        self.packs.get(number).map(|pack| (pack.name, &pack.index))
    }

    /// Names and indexes in the order of adding.
    pub fn packs(&self) -> impl Iterator<Item = (PackName, &PackIndex)> {
        self.packs.iter().map(|pack| (pack.name, &pack.index))
    }
}

/// What became of reading an index.
pub(super) enum IndexState {
    Sound(PackIndex),
    /// It is missing, damaged or of another pack; why, for people.
    Unusable(String),
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
            Err(error) => return Ok(IndexState::Unusable(error.to_string())),
        };
        match PackIndex::parse(&bytes) {
            Ok(index) if *index.pack() == name.0 => Ok(IndexState::Sound(index)),
            Ok(_) => Ok(IndexState::Unusable("it is the index of another pack".to_owned())),
            Err(error @ FormatError::TooNew { .. }) => Err(format_error(&path)(error)),
            Err(error) => Ok(IndexState::Unusable(error.to_string())),
        }
    }

    /// All objects, for reading. Indexes that cannot be used are made again in memory.
    pub(super) fn table_for_reading(&self) -> Result<ObjectTable, ArchiveError> {
        let mut table = ObjectTable::default();
        for name in self.packs()?.names {
            let index = match self.read_index(name)? {
                IndexState::Sound(index) => index,
                IndexState::Unusable(_) => self.rebuild_index(name)?,
            };
            let path = self.dir.join(name.index_path());
            table.push(name, index).map_err(format_error(&path))?;
        }
        Ok(table)
    }

    /// All objects, for knowing what need not be written. Indexes that cannot be used, or that do not fit the length of
    /// their pack, are made again and written: what a damaged pack has lost is then no longer held for present.
    pub(super) fn table_for_writing(&self) -> Result<ObjectTable, ArchiveError> {
        let mut table = ObjectTable::default();
        for name in self.packs()?.names {
            let path = self.dir.join(name.pack_path());
            let size = self.fs.stat(&path).map_err(io_error("look at", &path))?.size;
            let index = match self.read_index(name)? {
                IndexState::Sound(index) if index.pack_bytes() == size => index,
                _ => {
                    let index = self.rebuild_index(name)?;
                    self.write_index(name, &index)?;
                    index
                }
            };
            table.push(name, index).map_err(format_error(&path))?;
        }
        Ok(table)
    }

    /// Writes the index of a pack, over an old one if there is one.
    pub(super) fn write_index(&self, name: PackName, index: &PackIndex) -> Result<(), ArchiveError> {
        let mut file = self.temporary(INDEXES)?;
        let path = file.path().to_owned();
        file.write_all(&index.encode()).map_err(io_error("write", &path))?;
        self.publish(file, &name.index_path())
    }

    /// Makes the index of a pack from the pack itself.
    pub(super) fn rebuild_index(&self, name: PackName) -> Result<PackIndex, ArchiveError> {
        let path = self.dir.join(name.pack_path());
        let file = self.fs.open(&path).map_err(io_error("open", &path))?;
        let size = file.stat().map_err(io_error("look at", &path))?.size;
        let (segments, entries) = scan_pack(file.as_ref(), size);
        Ok(PackIndex::new(name.0, size, segments, entries))
    }
}

/// Finds the segments of a pack without an index. Where a member does not inflate, the search goes on at the next place
/// that looks like the beginning of one: damage costs its own segment.
fn scan_pack(file: &dyn FileRead, size: u64) -> (Vec<SegmentRow>, Vec<IndexEntry>) {
    let (mut segments, mut entries) = (Vec::new(), Vec::new());
    let mut cursor = Cursor::new(file, 0, size);
    while cursor.position() < size && segments.len() <= usize::from(u16::MAX) {
        let offset = cursor.position();
        // At most 65,536 rows have been pushed, so the number fits.
        let number = segments.len() as u16;
        match scan_member(&mut cursor, number) {
            Some((uncompressed, found)) => {
                if !found.is_empty() {
                    let compressed = cursor.position() - offset;
                    segments.push(SegmentRow { offset, compressed, uncompressed });
                    entries.extend(found);
                }
            }
            None => {
                cursor.seek(offset + 1);
                if !seek_magic(&mut cursor) {
                    break;
                }
            }
        }
    }
    (segments, entries)
}

/// Whether the bytes from `at` to the end are the gzip member that ends a tar file, and nothing else.
pub(super) fn ends_as_tar(file: &dyn FileRead, at: u64, size: u64) -> bool {
    let mut cursor = Cursor::new(file, at, size);
    let mut end = Vec::new();
    let most = tar_entry::END.len() as u64 + 1;
    let read = flate2::bufread::GzDecoder::new(&mut cursor).take(most).read_to_end(&mut end);
    read.is_ok() && end == tar_entry::END && cursor.position() == size
}

/// Inflates the member under the cursor; `None` when it is none of ours. The end of the tar lists no entries.
fn scan_member(cursor: &mut Cursor<'_>, number: u16) -> Option<(u64, Vec<IndexEntry>)> {
    let mut decoder = flate2::bufread::GzDecoder::new(&mut *cursor);
    let mut tar = Vec::new();
    (&mut decoder).take(limits::WHOLE_SEGMENT_BYTES).read_to_end(&mut tar).ok()?;
    if tar == tar_entry::END {
        return Some((tar.len() as u64, Vec::new()));
    }
    if (tar.len() as u64) < limits::WHOLE_SEGMENT_BYTES {
        return Some((tar.len() as u64, segment::list(&tar, number).ok()?));
    }
    // An object too large to be held is alone in its segment.
    let (name, size) = tar_entry::parse_header(tar.get(..tar_entry::BLOCK)?, 0).ok()?;
    let name = tar_entry::EntryName::parse(name)?;
    let rest = std::io::copy(&mut decoder.take(limits::COPIED_BYTES), &mut std::io::sink()).ok()?;
    let uncompressed = limits::WHOLE_SEGMENT_BYTES + rest;
    let entry = IndexEntry { prefix: crate::format::pack_index::prefix(name.id()), segment: number, block: 0 };
    (uncompressed == tar_entry::entry_bytes(size)).then(|| (uncompressed, vec![entry]))
}

/// Moves the cursor to the next bytes that begin a gzip member of ours; `false` at the end of the file.
fn seek_magic(cursor: &mut Cursor<'_>) -> bool {
    let [first, ..] = MEMBER_MAGIC;
    loop {
        let Ok(buffer) = cursor.fill_buf() else { return false };
        if buffer.is_empty() {
            return false;
        }
        let skip = memchr::memchr(first, buffer).unwrap_or(buffer.len());
        let found = skip < buffer.len();
        cursor.consume(skip);
        if !found {
            continue;
        }
        let here = cursor.position();
        let mut magic = [0; MEMBER_MAGIC.len()];
        if cursor.read_exact(&mut magic).is_err() {
            return false;
        }
        let at = if magic == MEMBER_MAGIC { here } else { here + 1 };
        cursor.seek(at);
        if magic == MEMBER_MAGIC {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A pack of one segment that lists these names.
    fn index(names: &[u16]) -> PackIndex {
        let rows = vec![SegmentRow { offset: 0, compressed: 1 << 20, uncompressed: 1 << 25 }];
        let entry = |&name: &u16| IndexEntry { prefix: spread(name), segment: 0, block: name };
        PackIndex::new([0; 32], 1 << 20, rows, names.iter().map(entry).collect())
    }

    /// Names that are no hashes: all bytes but two are the same.
    fn spread(name: u16) -> Prefix {
        let mut prefix = [7; 20];
        prefix[18..].copy_from_slice(&name.to_be_bytes());
        prefix
    }

    proptest! {
        #[test]
        fn the_table_finds_what_a_list_would(packs in prop::collection::vec(prop::collection::vec(0..3000u16, 0..900), 0..5)) {
            let mut table = ObjectTable::default();
            for (number, names) in packs.iter().enumerate() {
                table.push(PackName([number as u8; 32]), index(names)).unwrap();
            }
            for name in 0..3000 {
                let found: Vec<_> = table.find(spread(name)).map(|at| (at.pack, at.block)).collect();
                let listed = packs.iter().enumerate().filter(|(_, names)| names.contains(&name));
                prop_assert_eq!(found, listed.map(|(pack, _)| (pack, name)).collect::<Vec<_>>());
            }
        }
    }
}
