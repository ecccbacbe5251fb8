//! The packs' part of a check: each index against its pack, and with `read_data` each segment, object and joined
//! message against its name.

use super::joining::{Joining, Recipe};
use super::{Checking, Copy, Reading, sample};
use crate::archive::ArchiveError;
use crate::archive::index::{IndexState, ends_as_tar};
use crate::archive::layout::{PackName, format_error, io_error};
use crate::archive::pack_reader::{ObjectReader, inflate};
use crate::archive::parallel::in_order;
use crate::archive::rewrite::large_object;
use crate::archive::table::{Keep, ObjectTable};
use crate::archive::usage::by_segment;
use crate::event::{Event, Phase};
use crate::format::pack_index::{IndexEntry, PackIndex, SegmentRow, prefix};
use crate::format::tar_entry::{self, BLOCK, EntryName};
use crate::fs::FileRead;
use crate::limits;
use crate::model::id::ObjectId;
use std::collections::HashMap;

/// What joining a message came to, kept until all packs have been read: the cause may lie in a later one.
pub(super) struct Unjoined {
    pub id: ObjectId,
    pub pack: PackName,
    pub error: ArchiveError,
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
            self.report.packs += 1;
            self.advance(0)?;
        }
        if self.reading != Reading::Nothing {
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
        let what = match self.archive.read_index(name)? {
            IndexState::Sound(index) => return Ok((index, Keep::File)),
            IndexState::Unusable(why) => {
                format!("the index cannot be used ({why}); the next export makes it again from the pack")
            }
            IndexState::Refused(error) => {
                format!("the index cannot be read ({error}); if it stays so, wagon repair makes it again from the pack")
            }
        };
        self.find(&name.index_path(), what);
        Ok((self.archive.salvage_index(name)?, Keep::Segments))
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
        let chosen = sample::packs(self.reading, &names);
        for (number, &name) in names.iter().enumerate().filter(|(_, name)| chosen.contains(name)) {
            // Read again: the indexes of a large archive are not held.
            let index = self.archive.usable_index(name)?.0;
            self.check_pack(number, name, &index, &reader, &mut segments, &mut unjoined)?;
            self.report.packs_read += 1;
            self.sink.emit(Event::Advanced { phase: Phase::Check, items: 0, bytes: index.pack_bytes() });
        }
        if let Reading::Sample(most) = self.reading {
            self.check_sample(most, &names, &reader, &mut unjoined)?;
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
        let beyond = |row: &SegmentRow| segments.contains_key(&(name.to_string(), row.offset));
        let mut by_segment = by_segment(index, |_| true);
        let jobs: Vec<Job<'_>> = (0u16..)
            .zip(index.segments())
            .map(|(segment, row)| (row, by_segment.remove(&segment).unwrap_or_default()))
            .filter(|(row, _)| !beyond(row))
            .collect();
        let mut joining = Joining::default();
        let digest = std::thread::scope(|scope| {
            let digest = scope.spawn(|| self.archive.digest_on_disk(&path));
            for jobs in jobs.chunks(limits::CHECK_SEGMENTS) {
                let seen = in_order(
                    jobs,
                    || (),
                    |(), (row, expected)| match self.sink.interrupted() {
                        true => Err(ArchiveError::Stopped),
                        false => Ok(look_at(file.as_ref(), name, row, expected, reader)),
                    },
                );
                for ((row, _), seen) in jobs.iter().zip(seen) {
                    let mut seen = seen?;
                    if let Some(error) = seen.unanswered {
                        return Err(error);
                    }
                    let recipes = std::mem::take(&mut seen.recipes);
                    unjoined.extend(joining.add(recipes, reader, self.sink)?);
                    self.note(number, name, row, seen, segments);
                }
            }
            Ok::<_, ArchiveError>(digest.join())
        })?;
        unjoined.extend(joining.join(reader, self.sink)?);
        let digest = digest.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if digest.map_err(io_error("read", &path))? != name.0 && self.report.findings.len() == before {
            self.find(&path, "the pack's bytes are not those of its name, though every object in it is".to_owned());
        }
        Ok(())
    }

    /// Finds what is wrong with a segment.
    fn note(&mut self, number: usize, name: PackName, row: &SegmentRow, seen: Seen, segments: &mut DamagedSegments) {
        if seen.unlisted > 0 {
            let what = format!("the index lacks {} objects of the segment at byte {}", seen.unlisted, row.offset);
            self.find(&name.index_path(), what);
        }
        if seen.error.is_some() || !seen.lost.is_empty() {
            let what = match seen.error {
                Some(error) => super::chain(&error),
                None => format!("the segment at byte {} has not what its index says", row.offset),
            };
            let finding = self.find(&name.pack_path(), what);
            segments.insert((name.to_string(), row.offset), finding);
            seen.lost.iter().for_each(|entry| self.lose(entry.prefix, Copy::In(number), finding));
        }
    }

    /// Reads some objects as an import would.
    fn check_sample(
        &mut self,
        most: u64,
        names: &[PackName],
        reader: &ObjectReader,
        unjoined: &mut Vec<Unjoined>,
    ) -> Result<(), ArchiveError> {
        for &name in names {
            let index = &self.archive.usable_index(name)?.0;
            let share = sample::share(most, index.len() as u64, self.report.objects);
            let entries = sample::entries(index, share);
            let read = in_order(
                &entries,
                || (),
                |(), entry| match self.sink.interrupted() {
                    true => Err(ArchiveError::Stopped),
                    false => Ok(self.read_one(name, index, entry, reader)),
                },
            );
            for outcome in read {
                unjoined.extend(outcome?);
                self.report.objects_read += 1;
            }
        }
        Ok(())
    }

    /// Reads one object; what was wrong with it.
    fn read_one(
        &self,
        pack: PackName,
        index: &PackIndex,
        entry: &IndexEntry,
        reader: &ObjectReader,
    ) -> Option<Unjoined> {
        let row = index.segment(entry.segment)?;
        let file = self.archive.fs.open(&self.archive.dir.join(pack.pack_path())).ok()?; // a finding already
        let seen = look_at(file.as_ref(), pack, row, &[*entry], reader);
        for Recipe { id, content, .. } in seen.recipes {
            if let Err(error) = reader.try_join(&id, &content) {
                return Some(Unjoined { id, pack, error });
            }
        }
        let error = match seen.error {
            None if seen.lost.is_empty() => return None,
            None => ArchiveError::DamagedSegment { pack: pack.to_string(), offset: row.offset },
            Some(error) => error,
        };
        // Only 20 of its 32 bytes are known; the rest of the name is lost with the object.
        let mut id = [0; 32];
        id.iter_mut().zip(entry.prefix).for_each(|(to, from)| *to = from);
        Some(Unjoined { id: ObjectId::from_digest(id), pack, error })
    }
}

/// One segment of a pack, and what its index says lies in it.
type Job<'i> = (&'i SegmentRow, Vec<IndexEntry>);

/// What was seen of a segment.
#[derive(Default)]
struct Seen {
    error: Option<ArchiveError>,
    /// Listed objects that are not there, or are not what their names say.
    lost: Vec<IndexEntry>,
    /// Still to be joined.
    recipes: Vec<Recipe>,
    /// Objects that no index lists.
    unlisted: u64,
    /// The table of objects could not tell, which is no finding but the end of the check.
    unanswered: Option<ArchiveError>,
}

/// Inflates a segment, and looks for each object where the index says; whether it is what its name says.
fn look_at(
    file: &dyn FileRead,
    pack: PackName,
    row: &SegmentRow,
    expected: &[IndexEntry],
    reader: &ObjectReader,
) -> Seen {
    let mut seen = Seen { lost: expected.to_vec(), ..Seen::default() };
    if row.uncompressed > limits::WHOLE_SEGMENT_BYTES {
        match large_object(pack, file, row, expected) {
            Ok(()) => seen.lost.clear(),
            Err(error) => seen.error = Some(error),
        }
        return seen;
    }
    let tar = match inflate(file, row, pack) {
        Ok(tar) => tar,
        Err(error) => return Seen { error: Some(error), ..seen },
    };
    for entry in tar_entry::entries(&tar) {
        let (at, name, content) = match entry {
            Ok(entry) => entry,
            Err(error) => return Seen { error: Some(format_error(&pack.pack_path())(error)), ..seen },
        };
        let Some(name) = EntryName::parse(name) else { continue };
        let short = prefix(name.id());
        let listed = seen.lost.iter().position(|e| usize::from(e.block) * BLOCK == at && e.prefix == short);
        let sound = match name {
            EntryName::Object(id) => ObjectId::of(content) == id,
            EntryName::Recipe(id) if listed.is_some() => {
                seen.recipes.push(Recipe { id, pack, content: content.to_vec() });
                true
            }
            // A repair has taken it out of the index because it cannot be joined.
            EntryName::Recipe(_) => continue,
        };
        match listed {
            Some(listed) if sound => drop(seen.lost.swap_remove(listed)),
            Some(_) => {}
            None => match reader.lists(short) {
                Ok(listed) => seen.unlisted += u64::from(!listed),
                Err(error) => return Seen { unanswered: Some(error), ..seen },
            },
        }
    }
    seen
}
