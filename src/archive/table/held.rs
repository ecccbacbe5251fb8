//! Objects of a few packs, held in memory: the whole table of a small archive, and of a large one what was added since
//! the table on disk was written. Beside the 24 bytes that an index has for an object it takes 6 to 11 more.

use super::page::Row;
use crate::format::FormatError;
use crate::format::pack_index::{IndexEntry, PackIndex, Prefix};
use std::hash::{BuildHasher, RandomState};

struct HeldPack {
    /// Its number in the table.
    number: u32,
    index: PackIndex,
    /// Number of its first entry among those of all packs held.
    first: u32,
}

#[derive(Default)]
pub struct HeldTable {
    packs: Vec<HeldPack>,
    /// Open addressing, numbers of entries; at most three quarters are taken.
    slots: Vec<u32>,
    entries: u32,
    // Names in a forged index are no hashes; unless they are mixed with something unknown, all could meet in one slot.
    hasher: RandomState,
}

const FREE: u32 = u32::MAX;

impl HeldTable {
    /// Adds the objects of a pack, whose number must be above those of all before it.
    pub fn push(&mut self, number: u32, index: PackIndex) -> Result<(), FormatError> {
        let bound = u64::from(FREE) - 1;
        let total = u64::from(self.entries) + index.len() as u64;
        let Some(after) = u32::try_from(total).ok().filter(|_| total <= bound) else {
            return Err(FormatError::OverBound { what: "objects of an archive", found: total, bound });
        };
        let first = self.entries;
        self.packs.push(HeldPack { number, index, first });
        self.entries = after;
        if after as usize >= self.slots.len() / 4 * 3 {
            self.slots = vec![FREE; (after as usize * 2).next_power_of_two().max(1024)];
            (0..after).for_each(|number| self.insert(number));
        } else {
            (first..after).for_each(|number| self.insert(number));
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.entries as usize
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

    fn entry(&self, number: u32) -> Option<(u32, IndexEntry)> {
        let pack = self.packs.partition_point(|pack| pack.first <= number).checked_sub(1)?;
        let held = self.packs.get(pack)?;
        Some((held.number, held.index.entry((number - held.first) as usize)?))
    }

    /// Adds every place where an object of this prefix lies to `found`, in the order in which the packs were added.
    pub fn find(&self, prefix: &Prefix, found: &mut Vec<Row>) {
        if self.slots.is_empty() {
            return;
        }
        let mut at = self.first_slot(prefix);
        loop {
            let Some(&number) = self.slots.get(at) else {
                at = 0;
                continue;
            };
            if number == FREE {
                return;
            }
            at += 1;
            if let Some((pack, entry)) = self.entry(number).filter(|(_, entry)| entry.prefix == *prefix) {
                found.push(row(pack, entry));
            }
        }
    }

    /// The index of a pack, by its number in the table.
    pub fn index(&self, number: u32) -> Option<&PackIndex> {
        let at = self.packs.binary_search_by_key(&number, |pack| pack.number).ok()?;
        self.packs.get(at).map(|pack| &pack.index)
    }

    /// The rows of each pack, sorted by name as an index is.
    pub fn packs(&self) -> impl Iterator<Item = impl Iterator<Item = Row> + '_> {
        self.packs.iter().map(|pack| pack.index.entries().map(|entry| row(pack.number, entry)))
    }
}

pub fn row(pack: u32, entry: IndexEntry) -> Row {
    Row { prefix: entry.prefix, pack, segment: entry.segment, block: entry.block }
}
