//! Finds objects for readers: in the indexes as they lie while lookups are few, in a table of all of them when they are
//! many, or when an answer is in doubt.
//!
//! Promises that an object that any pack holds is found, also when its index is missing or damaged: what the search in
//! unchecked indexes does not find, or finds wrong, is asked of the table, whose indexes have been compared with their
//! checksums and made again in memory if need be. Several threads share one.

use super::direct::DirectSearch;
use super::{Location, ObjectTable};
use crate::archive::layout::PackName;
use crate::archive::{Archive, ArchiveError};
use crate::format::pack_index::{Prefix, SegmentRow};
use std::sync::{Mutex, OnceLock, PoisonError};

pub(in crate::archive) struct Finder {
    archive: Archive,
    names: Vec<PackName>,
    direct: Mutex<DirectSearch>,
    table: OnceLock<ObjectTable>,
    /// Held while the table is made, so that one thread makes it and the others wait.
    making: Mutex<()>,
}

/// Places of an object.
pub(in crate::archive) struct Places {
    pub at: Vec<Location>,
    /// Whether these are all there are, by indexes that have been checked.
    pub sure: bool,
}

impl Finder {
    /// Of the packs that the archive has now. Reads no index yet.
    pub fn new(archive: Archive) -> Result<Self, ArchiveError> {
        let names = archive.packs()?.names;
        let direct = Mutex::new(DirectSearch::new(names.len()));
        Ok(Self { archive, names, direct, table: OnceLock::new(), making: Mutex::new(()) })
    }

    /// Of a table that is there already.
    pub fn of(archive: Archive, table: ObjectTable) -> Self {
        let names: Vec<_> = table.names().collect();
        let direct = Mutex::new(DirectSearch::new(names.len()));
        Self { archive, names, direct, table: OnceLock::from(table), making: Mutex::new(()) }
    }

    /// Where the object lies; with `sure` unset there may be other places, or some where nothing was found.
    pub fn find(&self, prefix: Prefix) -> Result<Places, ArchiveError> {
        if let Some(table) = self.table.get() {
            return Ok(Places { at: table.find(prefix)?, sure: true });
        }
        let mut direct = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
        if direct.is_worn() {
            drop(direct);
            return self.find_surely(prefix);
        }
        let hit = direct.find(self.archive.fs.as_ref(), &self.archive.dir, &self.names, &prefix);
        let at = hit.map(|(pack, segment, block)| Location { pack, segment, block });
        Ok(Places { at: at.into_iter().collect(), sure: false })
    }

    /// Where the object lies, by indexes that have been checked.
    pub fn find_surely(&self, prefix: Prefix) -> Result<Places, ArchiveError> {
        Ok(Places { at: self.table()?.find(prefix)?, sure: true })
    }

    pub fn contains(&self, prefix: Prefix) -> Result<bool, ArchiveError> {
        Ok(!self.find(prefix)?.at.is_empty() || !self.find_surely(prefix)?.at.is_empty())
    }

    fn table(&self) -> Result<&ObjectTable, ArchiveError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = self.table.get() {
            return Ok(table);
        }
        // Added in the order of the names, so that a pack has the same number in both.
        let table = self.archive.table_for_reading(&self.names)?;
        Ok(self.table.get_or_init(|| table))
    }

    /// The table, once it has been made.
    pub fn made_table(&self) -> Option<&ObjectTable> {
        self.table.get()
    }

    pub fn into_table(self) -> Option<ObjectTable> {
        self.table.into_inner()
    }

    pub fn pack(&self, number: usize) -> Option<PackName> {
        self.names.get(number).copied()
    }

    /// Where a segment lies in its pack; `None` when the index has none such that can be true.
    pub fn segment(&self, at: Location) -> Option<SegmentRow> {
        if let Some(index) = self.table.get().and_then(|table| table.index_in_memory(at.pack)) {
            return index.segment(at.segment).copied();
        }
        let mut direct = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
        direct.segment(self.archive.fs.as_ref(), &self.archive.dir, &self.names, at.pack, at.segment)
    }
}
