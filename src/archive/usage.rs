//! Which objects are needed: what the items of all snapshots name, and what those are joined from.
//!
//! Promises that nothing a snapshot could need is left out: a snapshot that cannot be read is an error, and every segment
//! with something needed is inflated, for a part may be a recipe itself. Memory: some 50 bytes a needed object.

use super::history::manifest_name;
use super::index::IndexState;
use super::layout::{PackName, io_error};
use super::pack_reader::inflate;
use super::parallel::in_order;
use super::{Archive, ArchiveError};
use crate::event::{Event, Phase, Sink};
use crate::format::manifest::{ItemLine, ManifestLine};
use crate::format::pack_index::{IndexEntry, PackIndex, Prefix, SegmentRow, prefix};
use crate::format::snapshot::{AccountEntry, SnapshotHead};
use crate::format::tar_entry::{self, BLOCK, EntryName};
use crate::fs::FileRead;
use crate::limits;
use crate::message;
use crate::model::id::{FolderId, RecordId, SiteId};
use crate::model::mailbox::FolderKey;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What to do about what cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Damage {
    IsAnError,
    /// As if it were not there.
    PassedOver,
}

/// What is needed.
#[derive(Default)]
pub(super) struct Usage {
    /// Each needed object, and whether a pack holds it.
    pub needed: HashMap<Prefix, bool>,
    /// Those that are skeletons.
    pub skeletons: HashSet<Prefix>,
    /// Needed objects that cannot be joined, because what they are joined from is in no pack.
    pub broken: HashSet<Prefix>,
}

impl Usage {
    /// Needed objects that no pack holds.
    pub fn missing(&self) -> impl Iterator<Item = &Prefix> {
        self.needed.iter().filter(|(_, there)| !**there).map(|(prefix, _)| prefix)
    }
}

/// Takes an item line with its snapshot's head, its account's entry, and the folder that it is put into.
pub(super) type ItemInPlace<'a> = dyn FnMut(&SnapshotHead, &AccountEntry, Option<&FolderKey>, &ItemLine) + 'a;

/// A needed object as it was found: what it refers to.
enum Refers {
    Nothing,
    Skeleton(Prefix),
    Parts(Vec<Prefix>),
}

impl Archive {
    /// What the snapshots need. Damage is an error, or passed over.
    pub(super) fn usage(&self, damage: Damage, sink: &dyn Sink) -> Result<Usage, ArchiveError> {
        let mut named = HashSet::new();
        self.each_item_line(damage, sink, &mut |_, _, line| {
            named.insert(prefix(&line.item.object));
        })?;
        self.usage_of(named, &|_| true, damage, sink)
    }

    /// What these objects need. What is not to remain counts as missing to those that are joined from it.
    pub(super) fn usage_of(
        &self,
        named: HashSet<Prefix>,
        remains: &dyn Fn(&Prefix) -> bool,
        damage: Damage,
        sink: &dyn Sink,
    ) -> Result<Usage, ArchiveError> {
        let needed = named.iter().map(|one| (*one, false)).collect();
        let mut usage = Usage { needed, ..Usage::default() };
        let mut refers: HashMap<Prefix, Vec<Prefix>> = HashMap::new();
        let mut round = named;
        while !round.is_empty() {
            let mut next = HashSet::new();
            for name in self.packs()?.names {
                for (found, to) in self.look_up(name, &round, &usage.skeletons, damage)? {
                    usage.needed.insert(found, true);
                    let to = match to {
                        Refers::Nothing => continue,
                        Refers::Skeleton(skeleton) => {
                            if usage.skeletons.insert(skeleton) {
                                next.insert(skeleton);
                            }
                            vec![skeleton]
                        }
                        Refers::Parts(parts) => {
                            next.extend(parts.iter().filter(|part| !usage.needed.contains_key(*part)).copied());
                            parts
                        }
                    };
                    for part in &to {
                        usage.needed.entry(*part).or_insert(false);
                    }
                    refers.entry(found).or_default().extend(to);
                }
                stop_if_asked(sink)?;
            }
            round = next;
        }
        usage.broken = broken(&usage, &refers, remains);
        Ok(usage)
    }

    /// Shows every item line of every snapshot, with its snapshot's head and its account's entry.
    pub(super) fn each_item_line(
        &self,
        damage: Damage,
        sink: &dyn Sink,
        each: &mut dyn FnMut(&SnapshotHead, &AccountEntry, &ItemLine),
    ) -> Result<(), ArchiveError> {
        self.each_line(damage, sink, &mut |head, entry, line| {
            if let ManifestLine::Item(line) = line {
                each(head, entry, line);
            }
        })
    }

    fn each_line(
        &self,
        damage: Damage,
        sink: &dyn Sink,
        each: &mut dyn FnMut(&SnapshotHead, &AccountEntry, &ManifestLine),
    ) -> Result<(), ArchiveError> {
        let pass_over = |outcome: Result<(), ArchiveError>| match outcome {
            Err(error) if damage == Damage::PassedOver && error.is_damage() => Ok(()),
            outcome => outcome,
        };
        for name in self.standing_names()? {
            pass_over(self.open_named_snapshot(name).and_then(|snapshot| {
                for entry in &snapshot.head().accounts {
                    let read = snapshot.lines(&manifest_name(entry.id), |line: ManifestLine| {
                        each(snapshot.head(), entry, &line);
                        Ok(())
                    });
                    pass_over(read.map(drop))?;
                }
                Ok(())
            }))?;
            stop_if_asked(sink)?;
        }
        Ok(())
    }

    /// The same, with the folder that each item is put into, as far as the manifests that can be read tell. Holds the
    /// folders of all accounts, not their items.
    pub(super) fn each_item_in_place(
        &self,
        damage: Damage,
        sink: &dyn Sink,
        each: &mut ItemInPlace<'_>,
    ) -> Result<(), ArchiveError> {
        let mut folders: HashMap<(SiteId, RecordId), HashMap<FolderId, FolderKey>> = HashMap::new();
        self.each_line(damage, sink, &mut |head, entry, line| {
            let of_account = || (head.source.clone(), entry.id);
            match line {
                ManifestLine::Folder(folder) => {
                    folders.entry(of_account()).or_default().insert(folder.id, folder.folder.key.clone());
                }
                ManifestLine::Item(line) => {
                    let known = folders.get(&of_account());
                    each(head, entry, known.and_then(|known| known.get(&line.folder)), line);
                }
                _ => {}
            }
        })
    }

    /// What those of `wanted` refer to that lie in one pack.
    fn look_up(
        &self,
        name: PackName,
        wanted: &HashSet<Prefix>,
        skeletons: &HashSet<Prefix>,
        damage: Damage,
    ) -> Result<Vec<(Prefix, Refers)>, ArchiveError> {
        let index = &self.current_index(name, damage)?;
        let segments: Vec<_> = by_segment(index, |entry| wanted.contains(&entry.prefix)).into_iter().collect();
        if segments.is_empty() {
            return Ok(Vec::new());
        }
        let path = self.dir.join(name.pack_path());
        let file = self.fs.open(&path).map_err(io_error("open", &path))?;
        let found = in_order(
            &segments,
            || (),
            |(), (number, entries)| {
                let Some(row) = index.segment(*number) else { return Ok(Vec::new()) };
                if row.uncompressed > limits::WHOLE_SEGMENT_BYTES {
                    // Large objects are never taken apart.
                    return Ok(entries.iter().map(|entry| (entry.prefix, Refers::Nothing)).collect());
                }
                let tar = match inflate(file.as_ref(), row, name) {
                    Err(error) if damage == Damage::PassedOver && error.is_damage() => return Ok(Vec::new()),
                    outcome => outcome?,
                };
                Ok(entries.iter().filter_map(|entry| refers(&tar, entry, skeletons)).collect())
            },
        );
        let found: Vec<Vec<_>> = found.into_iter().collect::<Result<_, ArchiveError>>()?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The index of a pack, made again in memory where its file cannot be used or is not of the pack as it is.
    pub(super) fn current_index(&self, name: PackName, damage: Damage) -> Result<PackIndex, ArchiveError> {
        match (self.stored_index(name)?, damage) {
            (Some(index), _) => Ok(index),
            (None, Damage::IsAnError) => self.whole_index(name),
            (None, Damage::PassedOver) => self.salvage_index(name),
        }
    }

    /// The file of a pack's index, where it can be used and is of the pack as it is.
    pub(super) fn stored_index(&self, name: PackName) -> Result<Option<PackIndex>, ArchiveError> {
        let path = self.dir.join(name.pack_path());
        let size = self.fs.stat(&path).map_err(io_error("look at", &path))?.size;
        Ok(match self.read_index(name)? {
            IndexState::Sound(index) if index.pack_bytes() == size => Some(index),
            _ => None,
        })
    }
}

/// Some entries of an index by segment, in the order of the segment.
pub(super) fn by_segment(index: &PackIndex, keep: impl Fn(&IndexEntry) -> bool) -> BTreeMap<u16, Vec<IndexEntry>> {
    let mut segments: BTreeMap<u16, Vec<IndexEntry>> = BTreeMap::new();
    for entry in index.entries().filter(keep) {
        segments.entry(entry.segment).or_default().push(entry);
    }
    segments.values_mut().for_each(|entries| entries.sort_unstable_by_key(|entry| entry.block));
    segments
}

/// What one entry refers to; `None` when something else lies there.
fn refers(tar: &[u8], entry: &IndexEntry, skeletons: &HashSet<Prefix>) -> Option<(Prefix, Refers)> {
    let (name, content) = tar_entry::entry_at(tar, usize::from(entry.block) * BLOCK).ok()?;
    let name = EntryName::parse(name).filter(|name| prefix(name.id()) == entry.prefix)?;
    let refers = match name {
        EntryName::Recipe(_) => Refers::Skeleton(prefix(&message::skeleton_of(content).ok()?)),
        EntryName::Object(_) if skeletons.contains(&entry.prefix) => {
            Refers::Parts(message::parts_of(content).ok()?.iter().map(prefix).collect())
        }
        EntryName::Object(_) => Refers::Nothing,
    };
    Some((entry.prefix, refers))
}

/// What refers to something that is missing or does not remain, at any depth.
fn broken(usage: &Usage, refers: &HashMap<Prefix, Vec<Prefix>>, remains: &dyn Fn(&Prefix) -> bool) -> HashSet<Prefix> {
    let absent = usage.needed.iter().filter(|(prefix, there)| !**there || !remains(prefix));
    let mut absent: HashSet<Prefix> = absent.map(|(prefix, _)| *prefix).collect();
    let mut broken = HashSet::new();
    loop {
        let before = broken.len();
        for (from, to) in refers {
            if to.iter().any(|to| absent.contains(to)) {
                absent.insert(*from);
                broken.insert(*from);
            }
        }
        if broken.len() == before {
            return broken;
        }
    }
}

pub(super) fn stop_if_asked(sink: &dyn Sink) -> Result<(), ArchiveError> {
    if sink.interrupted() { Err(ArchiveError::Stopped) } else { Ok(()) }
}

/// A segment's file, row and pack for whoever copies it.
pub(super) fn open_pack(archive: &Archive, name: PackName) -> Result<Box<dyn FileRead>, ArchiveError> {
    let path = archive.dir.join(name.pack_path());
    archive.fs.open(&path).map_err(io_error("open", &path))
}

/// How many bytes of a compressed segment some of its entries take, as far as that can be said.
pub(super) fn share(row: &SegmentRow, all: &[IndexEntry], some: impl Fn(&IndexEntry) -> bool) -> u64 {
    let ends = all.iter().skip(1).map(|entry| u64::from(entry.block) * BLOCK as u64).chain([row.uncompressed]);
    let taken: u64 = all
        .iter()
        .zip(ends)
        .filter(|(entry, _)| some(entry))
        .map(|(entry, end)| end.saturating_sub(u64::from(entry.block) * BLOCK as u64))
        .sum();
    // Lengths of one segment; their product stays below 2^64 for any segment of less than 4 GiB, and is capped beyond.
    row.compressed.saturating_mul(taken) / row.uncompressed.max(1)
}

pub(super) fn begin(sink: &dyn Sink, total: Option<u64>) {
    sink.emit(Event::PhaseStarted { phase: Phase::Upkeep, total });
}

pub(super) fn advance(sink: &dyn Sink, bytes: u64) {
    sink.emit(Event::Advanced { phase: Phase::Upkeep, items: 1, bytes });
}

pub(super) fn end(sink: &dyn Sink) {
    sink.emit(Event::PhaseFinished { phase: Phase::Upkeep });
}
