//! The packs' part of a check: each index against its pack, and with `read_data` each segment, object and joined
//! message against its name.

use super::{Checking, Copy};
use crate::archive::ArchiveError;
use crate::archive::index::{IndexState, ends_as_tar};
use crate::archive::layout::{PackName, format_error, io_error};
use crate::archive::pack_reader::{ObjectReader, first_header, inflate, stream};
use crate::archive::table::{Keep, ObjectTable};
use crate::format::pack_index::{IndexEntry, PackIndex, SegmentRow, prefix};
use crate::format::tar_entry::{self, BLOCK, EntryName};
use crate::fs::FileRead;
use crate::limits;
use crate::model::id::ObjectId;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::io;

/// What joining a message came to, kept until all packs have been read: the cause may lie in a later one.
struct Unjoined {
    id: ObjectId,
    pack: PackName,
    error: ArchiveError,
}

/// Segments that do not inflate, by pack and offset, and their findings.
type DamagedSegments = HashMap<(String, u64), usize>;

impl Checking<'_> {
    /// Checks all packs; gives what they hold, and counts it.
    pub fn check_packs(&mut self, names: Vec<PackName>) -> Result<ObjectTable, ArchiveError> {
        let mut table = ObjectTable::new(self.archive);
        let indexes = self.archive.indexes()?;
        for path in &indexes.strange {
            self.find(path, "no file of an archive".to_owned());
        }
        let mut segments = DamagedSegments::new();
        for (number, &name) in names.iter().enumerate() {
            let (index, keep) = self.check_index(name)?;
            self.report.objects += index.len() as u64;
            self.check_extent(number, name, &index, &mut segments);
            table.push(name, index, keep)?;
            if !self.read_data {
                self.report.packs += 1;
                self.advance(0)?;
            }
        }
        if self.read_data {
            table = self.check_data(table, segments)?;
        }
        // After all others: what a missing pack held may lie in one that is there.
        for name in indexes.names.into_iter().filter(|name| names.binary_search(name).is_err()) {
            let finding = self.find(&name.pack_path(), "the pack is missing, its index is there".to_owned());
            if let IndexState::Sound(index) = self.archive.read_index(name)? {
                for entry in index.entries() {
                    if !table.contains(entry.prefix)? {
                        self.lose(entry.prefix, Copy::All, finding);
                    }
                }
            }
        }
        Ok(table)
    }

    fn check_index(&mut self, name: PackName) -> Result<(PackIndex, Keep), ArchiveError> {
        match self.archive.read_index(name)? {
            IndexState::Sound(index) => Ok((index, Keep::File)),
            IndexState::Unusable(why) => {
                let what = format!("the index cannot be used ({why}); the next export makes it again from the pack");
                self.find(&name.index_path(), what);
                Ok((self.archive.rebuild_index(name)?, Keep::Segments))
            }
        }
    }

    /// Compares the pack's length with its index, and looks at its end.
    fn check_extent(&mut self, number: usize, name: PackName, index: &PackIndex, segments: &mut DamagedSegments) {
        let path = name.pack_path();
        let file = self.archive.fs.open(&self.archive.dir.join(&path)).and_then(|file| {
            let size = file.stat()?.size;
            Ok((file, size))
        });
        let (file, size) = match file {
            Ok(opened) => opened,
            Err(error) => {
                let finding = self.find_error(&path, &error);
                index.entries().for_each(|entry| self.lose(entry.prefix, Copy::In(number), finding));
                return;
            }
        };
        let mut end = 0;
        for row in index.segments() {
            if row.offset > end {
                self.find(&path, format!("bytes {end} to {} hold no segment", row.offset));
            }
            end = row.offset + row.compressed;
        }
        if size != index.pack_bytes() {
            let what = format!("the pack has {size} bytes instead of {}", index.pack_bytes());
            let finding = self.find(&path, what);
            let lies_beyond =
                |entry: &IndexEntry| index.segment(entry.segment).is_none_or(|row| row.offset + row.compressed > size);
            index.entries().filter(lies_beyond).for_each(|entry| self.lose(entry.prefix, Copy::In(number), finding));
            for row in index.segments().iter().filter(|row| row.offset + row.compressed > size) {
                segments.insert((name.to_string(), row.offset), finding);
            }
        } else if !ends_as_tar(file.as_ref(), end, size) {
            self.find(&path, format!("bytes {end} to {size} are not the end of a tar file"));
        }
    }

    /// Reads everything. Takes the table and gives it back, because a reader owns one.
    fn check_data(&mut self, table: ObjectTable, mut segments: DamagedSegments) -> Result<ObjectTable, ArchiveError> {
        let reader = self.archive.objects_of(table);
        let mut unjoined = Vec::new();
        let names: Vec<_> = reader.table().into_iter().flat_map(ObjectTable::names).collect();
        for (number, name) in names.into_iter().enumerate() {
            // Read again: the indexes of a large archive are not held.
            let index = self.archive.usable_index(name)?.0;
            self.check_pack(number, name, &index, &reader, &mut segments, &mut unjoined)?;
            self.report.packs += 1;
            self.advance(index.pack_bytes())?;
        }
        for Unjoined { id, pack, error } in unjoined {
            let known = match &error {
                ArchiveError::DamagedSegment { pack, offset } => segments.get(&(pack.clone(), *offset)).copied(),
                ArchiveError::DamagedObject { id, .. } | ArchiveError::NoObject { id } => {
                    self.damaged.get(&prefix(id)).and_then(|copies| copies.first()).map(|(_, finding)| *finding)
                }
                _ => None,
            };
            let finding = match known {
                Some(finding) => finding,
                None => {
                    let what = format!("message {id} cannot be joined: {}", super::chain(&error));
                    self.find(&pack.pack_path(), what)
                }
            };
            self.lose(prefix(&id), Copy::All, finding);
        }
        Ok(reader.into_table().unwrap_or_else(|| ObjectTable::new(self.archive)))
    }

    fn check_pack(
        &mut self,
        number: usize,
        name: PackName,
        index: &PackIndex,
        reader: &ObjectReader,
        segments: &mut DamagedSegments,
        unjoined: &mut Vec<Unjoined>,
    ) -> Result<(), ArchiveError> {
        let path = self.archive.dir.join(name.pack_path());
        let Ok(file) = self.archive.fs.open(&path) else { return Ok(()) }; // a finding already
        let before = self.report.findings.len();
        let mut by_segment: BTreeMap<u16, Vec<IndexEntry>> = BTreeMap::new();
        for entry in index.entries() {
            by_segment.entry(entry.segment).or_default().push(entry);
        }
        for (segment, row) in index.segments().iter().enumerate() {
            // An index has at most 65,536 segments.
            let mut expected = by_segment.remove(&(segment as u16)).unwrap_or_default();
            expected.sort_unstable_by_key(|entry| entry.block);
            if segments.contains_key(&(name.to_string(), row.offset)) {
                continue; // it lies beyond the pack's end
            }
            match self.check_segment(file.as_ref(), name, row, &mut expected, reader, unjoined) {
                Ok(()) if expected.is_empty() => {}
                outcome => {
                    let what = match outcome {
                        Err(error) => super::chain(&error),
                        Ok(()) => format!("the segment at byte {} has not what its index says", row.offset),
                    };
                    let finding = self.find(&path, what);
                    segments.insert((name.to_string(), row.offset), finding);
                    expected.iter().for_each(|entry| self.lose(entry.prefix, Copy::In(number), finding));
                }
            }
            if self.sink.interrupted() {
                return Err(ArchiveError::Stopped);
            }
        }
        let digest = self.archive.digest_on_disk(&path).map_err(io_error("read", &path))?;
        if digest != name.0 && self.report.findings.len() == before {
            self.find(&path, "the pack's bytes are not those of its name, though every object in it is".to_owned());
        }
        Ok(())
    }

    /// Takes out of `expected` each object that is where the index says and is what its name says. What stays is lost.
    fn check_segment(
        &mut self,
        file: &dyn FileRead,
        pack: PackName,
        row: &SegmentRow,
        expected: &mut Vec<IndexEntry>,
        reader: &ObjectReader,
        unjoined: &mut Vec<Unjoined>,
    ) -> Result<(), ArchiveError> {
        if row.uncompressed > limits::WHOLE_SEGMENT_BYTES {
            let (name, size) = first_header(file, row, pack)?;
            let mut digest = Sha256::new();
            if let Some(name @ EntryName::Object(id)) = EntryName::parse(&name) {
                stream(file, row, pack, size, &mut Digesting(&mut digest), &id)?;
                if ObjectId::from_digest(digest.finalize().into()) == id {
                    expected.retain(|entry| entry.prefix != prefix(name.id()));
                }
            }
            return Ok(());
        }
        let tar = inflate(file, row, pack)?;
        let mut unlisted = 0u64;
        for entry in tar_entry::entries(&tar) {
            let path = self.archive.dir.join(pack.pack_path());
            let (at, name, content) = entry.map_err(format_error(&path))?;
            let Some(name) = EntryName::parse(name) else { continue };
            let short = prefix(name.id());
            let listed = expected.iter().position(|e| usize::from(e.block) * BLOCK == at && e.prefix == short);
            let sound = match name {
                EntryName::Object(id) => ObjectId::of(content) == id,
                EntryName::Recipe(id) => {
                    if let Err(error) = reader.copy(&id, &mut io::sink()) {
                        unjoined.push(Unjoined { id, pack, error });
                    }
                    true
                }
            };
            match listed {
                Some(listed) if sound => drop(expected.swap_remove(listed)),
                Some(_) => {}
                None => unlisted += u64::from(!reader.lists(short)?),
            }
        }
        if unlisted > 0 {
            let what = format!("the index lacks {unlisted} objects of the segment at byte {}", row.offset);
            self.find(&pack.index_path(), what);
        }
        Ok(())
    }
}

struct Digesting<'d>(&'d mut Sha256);

impl io::Write for Digesting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
