//! Where every object of an archive lies, without holding all of them: what was added last in memory, bounded
//! (`limits::TABLE_HELD_OBJECTS`), the rest in sorted files of this machine, a large one and a smaller, younger one.
//!
//! Promises that it finds what a list of all indexes would, in the order in which the packs were added; that a small
//! archive needs no file; and that what is wrong with the file is an error, never an answer. The indexes are read and
//! checked by `index`; the exporter's file lives on beside its catalog (`known`), a reader's goes with it.
//!
//! `measure` shows at ten million objects what a lookup, the making and the merging take, beside other ways.

mod direct;
mod finder;
mod held;
pub(super) mod known;
#[cfg(test)]
mod measure;
mod merge;
mod page;
mod sorted;
#[cfg(test)]
mod tests;

pub(super) use finder::Finder;

use super::index::IndexState;
use super::layout::{PackName, format_error, io_error};
use super::{Archive, ArchiveError};
use crate::format::pack_index::{PackIndex, Prefix};
use crate::fs::Fs;
use crate::limits;
use held::HeldTable;
use merge::{IndexRows, Source};
use sorted::SortedFile;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Beginning of the names of tables that are being written.
const TEMPORARY: &str = ".objects-";

/// An object's place: the pack by its number in the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Location {
    pub pack: usize,
    pub segment: u16,
    pub block: u16,
}

/// What is to be remembered of a pack's index once its objects are in the file.
pub(super) enum Keep {
    /// Nothing: its file is sound and can be looked into again.
    File,
    /// Its segments: it was made again from the pack and has no file.
    Segments,
}

/// All objects of several packs.
pub(super) struct ObjectTable {
    fs: Arc<dyn Fs>,
    /// The archive.
    dir: PathBuf,
    /// Where a file is made when one is needed.
    scratch: PathBuf,
    names: Vec<PackName>,
    /// The objects of the first packs.
    old: Option<SortedFile>,
    /// Those of the next ones. Writing the large file anew for each few packs would grow with the square of their number.
    young: Option<SortedFile>,
    /// Packs in both.
    merged: usize,
    /// Those of the others, except for what waits.
    held: HeldTable,
    /// Packs, by number, whose indexes are too many to be held and are merged before anything is looked up.
    waiting: Vec<u32>,
    /// Indexes whose objects are in the file, but whose segments stand nowhere else.
    rebuilt: HashMap<usize, PackIndex>,
}

impl ObjectTable {
    pub fn new(archive: &Archive) -> Self {
        Self {
            fs: archive.fs.clone(),
            dir: archive.dir.clone(),
            scratch: archive.scratch_dir(),
            names: Vec::new(),
            old: None,
            young: None,
            merged: 0,
            held: HeldTable::default(),
            waiting: Vec::new(),
            rebuilt: HashMap::new(),
        }
    }

    /// Adds the objects of a pack, which can be found from now on.
    pub fn push(&mut self, name: PackName, index: PackIndex, keep: Keep) -> Result<(), ArchiveError> {
        self.load(name, index, keep)?;
        self.settle()
    }

    /// Adds the objects of a pack, which can be found after [`Self::settle`].
    fn load(&mut self, name: PackName, index: PackIndex, keep: Keep) -> Result<(), ArchiveError> {
        // The number of packs is bounded by what a folder's listing may have.
        let number = self.names.len() as u32;
        self.names.push(name);
        let fits = self.held.len() + index.len() <= limits::TABLE_HELD_OBJECTS;
        if matches!(keep, Keep::Segments) {
            self.rebuilt.insert(number as usize, index.without_objects());
        }
        if fits || matches!(keep, Keep::Segments) {
            let path = self.dir.join(name.index_path());
            self.held.push(number, index).map_err(format_error(&path))?;
        } else {
            self.waiting.push(number);
        }
        if self.waiting.len() >= limits::TABLE_MERGED_AT_ONCE || self.held.len() > 2 * limits::TABLE_HELD_OBJECTS {
            self.merge()?;
        }
        Ok(())
    }

    /// Makes everything that was loaded findable, and memory bounded again.
    fn settle(&mut self) -> Result<(), ArchiveError> {
        let loose = self.held.packs().count();
        let many = self.held.len() > limits::TABLE_HELD_OBJECTS || loose > limits::TABLE_HELD_PACKS;
        if many || !self.waiting.is_empty() { self.merge() } else { Ok(()) }
    }

    /// Takes what is held or waits into the young file, and that into the old one when it has grown to the size at which
    /// both kinds of merges cost the same: the root of the product of what the old one has and what memory holds.
    fn merge(&mut self) -> Result<(), ArchiveError> {
        let old = self.old.as_ref().map_or(0, SortedFile::len);
        let young = self.young.as_ref().map_or(0, SortedFile::len);
        let bound = old.saturating_mul(limits::TABLE_HELD_OBJECTS as u64);
        // A reader's table is made at once, so many indexes at a time that a young file would gain nothing.
        if young.saturating_mul(young) >= bound || self.waiting.len() >= limits::TABLE_MERGED_AT_ONCE {
            self.merge_all()
        } else {
            self.young = Some(self.merged(false)?);
            self.loosen();
            Ok(())
        }
    }

    /// Writes one file of all that is there.
    fn merge_all(&mut self) -> Result<(), ArchiveError> {
        self.old = Some(self.merged(true)?);
        self.young = None;
        self.loosen();
        Ok(())
    }

    /// Forgets what is in a file now.
    fn loosen(&mut self) {
        self.merged = self.names.len();
        self.held = HeldTable::default();
        self.waiting.clear();
    }

    /// A new file of what is young, held or waits, and if `all` of what is old.
    fn merged(&self, all: bool) -> Result<SortedFile, ArchiveError> {
        let mut files = Vec::new();
        for &number in &self.waiting {
            let Some(name) = self.names.get(number as usize) else { continue };
            let path = self.dir.join(name.index_path());
            let file = self.fs.open(&path).map_err(io_error("open", &path))?;
            files.push((number, path, file));
        }
        let mut sources: Vec<Source<'_>> = Vec::new();
        let tables = self.old.iter().filter(|_| all).chain(&self.young);
        sources.extend(tables.map(|table| Source::Table(Box::new(table.scan()))));
        sources.extend(self.held.packs().map(|rows| Source::Held(Box::new(rows))));
        for (number, path, file) in &files {
            sources.push(Source::File(IndexRows::open(file.as_ref(), path, *number)?));
        }
        merge::merge(self.fs.as_ref(), &self.scratch, sources)
    }

    /// Every place where an object of this prefix lies, in the order in which the packs were added. There are several
    /// only after a repair.
    pub fn find(&self, prefix: Prefix) -> Result<Vec<Location>, ArchiveError> {
        let mut rows = Vec::new();
        for file in self.old.iter().chain(&self.young) {
            file.find(&prefix, &mut rows)?;
        }
        self.held.find(&prefix, &mut rows);
        let location = |row: page::Row| Location { pack: row.pack as usize, segment: row.segment, block: row.block };
        Ok(rows.into_iter().map(location).collect())
    }

    pub fn contains(&self, prefix: Prefix) -> Result<bool, ArchiveError> {
        Ok(!self.find(prefix)?.is_empty())
    }

    /// Whether answers come from a file that an earlier pass wrote.
    fn is_kept(&self) -> bool {
        self.old.as_ref().is_some_and(SortedFile::is_kept)
    }

    /// The packs in the order of adding.
    pub fn names(&self) -> impl Iterator<Item = PackName> + '_ {
        self.names.iter().copied()
    }

    /// The index of a pack, for its segments, as far as it is held.
    fn index_in_memory(&self, number: usize) -> Option<&PackIndex> {
        self.rebuilt.get(&number).or_else(|| self.held.index(u32::try_from(number).ok()?))
    }
}

impl Archive {
    /// All objects of these packs, for reading. Indexes that cannot be used are made again in memory.
    fn table_for_reading(&self, names: &[PackName]) -> Result<ObjectTable, ArchiveError> {
        let mut table = ObjectTable::new(self);
        for &name in names {
            let (index, keep) = self.usable_index(name)?;
            table.load(name, index, keep)?;
        }
        table.settle()?;
        table.old.iter_mut().chain(&mut table.young).for_each(SortedFile::unlink);
        Ok(table)
    }

    /// The index of a pack, made again in memory if its file cannot be used.
    pub(super) fn usable_index(&self, name: PackName) -> Result<(PackIndex, Keep), ArchiveError> {
        Ok(match self.read_index(name)? {
            IndexState::Sound(index) => (index, Keep::File),
            IndexState::Unusable(_) | IndexState::Refused(_) => (self.salvage_index(name)?, Keep::Segments),
        })
    }
}
