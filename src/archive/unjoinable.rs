//! Recipes that a pack still holds and that cannot be joined any more, because their skeleton or one of their parts is in
//! no pack: no index may list them, or the next export would take their messages for present.
//!
//! Whether one can be joined is decided from the packs alone, whether or not a snapshot needs it: a message that was
//! removed may come back. So an archive that lost its indexes, or was copied without them, gets the same ones again as a
//! repair left it with. Format: format-spec/archive.md, "Repair".

use super::layout::PackName;
use super::usage::{Damage, Usage};
use super::{Archive, ArchiveError, SealError};
use crate::event::{Silent, Sink};
use crate::format::pack_index::{PackIndex, Prefix};
use std::collections::HashSet;

impl Usage {
    /// What is broken and no skeleton: one that lacks a part is none of a message's own, and its part is stored again.
    pub(super) fn unjoinable(&self) -> impl Iterator<Item = Prefix> {
        self.broken.difference(&self.skeletons).copied()
    }
}

impl Archive {
    /// Recipes that cannot be joined, among those that snapshots need (`usage`) and all others that an index lists. Memory:
    /// some 50 bytes for each object that no snapshot needs.
    pub(super) fn unjoinable(&self, usage: &Usage, sink: &dyn Sink) -> Result<HashSet<Prefix>, ArchiveError> {
        let mut others = HashSet::new();
        for name in self.packs()?.names {
            let index = self.current_index(name, Damage::PassedOver)?;
            others.extend(index.entries().map(|entry| entry.prefix).filter(|one| !usage.needed.contains_key(one)));
        }
        let mut found: HashSet<Prefix> = usage.unjoinable().collect();
        if !others.is_empty() {
            found.extend(self.usage_of(others, &|_| true, Damage::PassedOver, sink)?.unjoinable());
        }
        Ok(found)
    }

    /// Takes messages that cannot be joined out of the indexes, so that they do not count as present.
    pub(super) fn delist(&self, unjoinable: &HashSet<Prefix>) -> Result<(), ArchiveError> {
        if unjoinable.is_empty() {
            return Ok(());
        }
        for name in self.packs()?.names {
            let index = self.current_index(name, Damage::PassedOver)?;
            let (kept, any) = without(&index, unjoinable);
            if any {
                self.write_index(name, &kept)?;
            }
        }
        Ok(())
    }

    /// Makes the indexes of these packs again from the packs and writes them, without what cannot be joined. A pack that
    /// this machine has no key for is passed over. Reads each pack several times, which is the price of never having an
    /// index on the disk, not even for a moment, that lists too much.
    pub(super) fn write_indexes_again(&self, names: &[PackName]) -> Result<(), ArchiveError> {
        let (mut opened, mut listed) = (Vec::new(), HashSet::new());
        for &name in names {
            match self.rebuild_index(name) {
                Err(ArchiveError::Sealed { source: SealError::NotKnownHere, .. }) => {}
                index => {
                    listed.extend(index?.entries().map(|entry| entry.prefix));
                    opened.push(name);
                }
            }
        }
        if opened.is_empty() {
            return Ok(());
        }
        let unjoinable = self.usage_of(listed, &|_| true, Damage::PassedOver, &Silent)?.unjoinable().collect();
        for name in opened {
            let (index, _) = without(&self.rebuild_index(name)?, &unjoinable);
            self.write_index(name, &index)?;
        }
        Ok(())
    }
}

/// An index without these objects, and whether it listed any.
pub(super) fn without(index: &PackIndex, gone: &HashSet<Prefix>) -> (PackIndex, bool) {
    let kept: Vec<_> = index.entries().filter(|entry| !gone.contains(&entry.prefix)).collect();
    let any = kept.len() < index.len();
    (PackIndex::new(*index.pack(), index.pack_bytes(), index.segments().to_vec(), kept), any)
}
