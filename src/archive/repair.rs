//! Makes an archive whole again as far as it can be: files from their parity (`parity`), indexes from packs, packs
//! without their damaged segments, messages delisted that cannot be joined any more, and a list of accounts for the
//! next export to read again.
//!
//! Promises: nothing that can still be read is lost; a damaged pack is set aside in `damaged/`, never deleted, and only
//! once what is sound in it lies in a new pack; doing it again on a whole archive changes nothing. Snapshots keep their
//! numbers, which must not be given away again. What the disk does not give is asked for again before it counts as lost.
//! Format: format-spec/archive.md, "Repair".

use super::history::manifest_name;
use super::index::IndexState;
use super::layout::{PackName, SNAPSHOTS, SnapshotName, io_error};
use super::lock::ArchiveLock;
use super::pack_reader::inflate;
use super::parallel::in_order;
use super::parity::{Beyond, MendedFile, mend_all};
use super::rewrite::{Rewriter, Style, large_object, sound_entry};
use super::seal::with_suffix;
use super::snapshot::RECORDS;
use super::usage::{Damage, Usage, advance, begin, by_segment, end, open_pack, stop_if_asked};
use super::wanted::Wanted;
use super::{Archive, ArchiveError};
use crate::event::{Place, Sink};
use crate::format::pack_index::{PackIndex, Prefix, prefix};
use crate::fs::FileRead;
use crate::limits::{FINDING_NAMES, WHOLE_ENTRY_BYTES, WHOLE_SEGMENT_BYTES};
use crate::model::id::SnapshotNo;
use serde::Serialize;
use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

const DAMAGED: &str = "damaged";

/// What a repair did, or would do.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct RepairReport {
    pub dry_run: bool,
    /// Files that their parity gave back, before anything else was done. In a dry run the rest of the report is of the
    /// archive without them.
    pub files_mended: Vec<MendedFile>,
    /// Files beside the folders (`wagon.json`, `key.age`, second copies of both) that were written again, before
    /// anything else.
    pub copies_made: Vec<PathBuf>,
    /// Files that have parity, and more damage than it can mend.
    pub beyond_parity: Vec<Beyond>,
    /// Parity files that were damaged, and were made again.
    pub parity_made: Vec<PathBuf>,
    /// Parity files whose files are gone for good.
    pub parity_removed: Vec<PathBuf>,
    pub packs: u64,
    /// Packs that were written anew without their damaged segments.
    pub packs_mended: Vec<MendedPack>,
    /// Indexes made again from their packs.
    pub indexes_made: Vec<PathBuf>,
    /// Indexes whose pack is gone.
    pub indexes_removed: Vec<PathBuf>,
    /// Objects that snapshots need and no pack holds any more.
    pub objects_lost: u64,
    /// Messages that cannot be joined, whether or not a snapshot needs them; no index lists them any more, so an export
    /// stores those again that the source still has.
    pub messages_unjoinable: u64,
    /// Items of all snapshots that this costs; an item counts once for each snapshot that names it anew.
    pub items: u64,
    /// The first of them.
    pub places: Vec<Place>,
    /// Accounts that the next export reads from beginning to end, by address.
    pub wanted: BTreeSet<String>,
    /// Snapshots of which only what is there twice, or what holds the file together, was damaged, and that were written
    /// again from the rest of the file.
    pub snapshots_mended: Vec<SnapshotNo>,
    /// Accounts of which a snapshot that can be read has lost what it said.
    pub manifests_lost: Vec<LostManifest>,
    /// Snapshots that cannot be read, or not as a whole. `export --full` goes on without them.
    pub snapshots_damaged: Vec<SnapshotNo>,
}

/// A pack with damage.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct MendedPack {
    pub path: PathBuf,
    /// Where it was put; absent when what was sound in it gave the very pack that its name says, and before it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aside: Option<PathBuf>,
    pub objects_kept: u64,
    /// Objects that its index lists and that are damaged, as far as there was an index.
    pub objects_lost: u64,
}

/// What a snapshot no longer says of one account, or of the site's records.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct LostManifest {
    pub snapshot: SnapshotNo,
    /// Its address; absent where it is the site's records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl RepairReport {
    /// Whether something is gone for good unless a source still has it.
    pub fn is_loss(&self) -> bool {
        self.objects_lost > 0 || !self.snapshots_damaged.is_empty()
    }
}

/// A pack that was looked at.
enum Examined {
    /// Every byte is as it was written; its index, and whether the file of that has to be made again.
    Sound { remake: Option<PackIndex> },
    /// The index of what is sound in it.
    Damaged { sound: PackIndex, lost: u64 },
}

/// Repairs. Without a lock it only looks.
pub fn repair(archive: &Archive, lock: Option<&ArchiveLock>, sink: &dyn Sink) -> Result<RepairReport, ArchiveError> {
    let archive = &archive.patient();
    let mut report = RepairReport { dry_run: lock.is_none(), ..RepairReport::default() };
    let mended = mend_all(archive, lock, sink)?;
    report.files_mended = mended.files;
    report.beyond_parity = mended.beyond;
    (report.parity_made, report.parity_removed) = (mended.made, mended.removed);
    let names = archive.packs()?.names;
    begin(sink, Some(names.len() as u64));
    for &name in &names {
        mend_pack(archive, lock, name, &mut report)?;
        report.packs += 1;
        advance(sink, 0);
        stop_if_asked(sink)?;
    }
    for name in archive.indexes()?.names {
        if names.binary_search(&name).is_err() && archive.fs.lstat(&archive.dir.join(name.pack_path())).is_err() {
            report.indexes_removed.push(name.index_path());
            lock.map_or(Ok(()), |_| archive.remove_index(name))?;
        }
    }
    archive.sync_shelves(report.indexes_removed.iter().filter(|_| lock.is_some()).cloned())?;
    let usage = archive.usage(Damage::PassedOver, sink)?;
    report.objects_lost = usage.missing().count() as u64;
    let unjoinable = archive.unjoinable(&usage, sink)?;
    report.messages_unjoinable = unjoinable.len() as u64;
    if lock.is_some() {
        archive.delist(&unjoinable)?;
    }
    want(archive, lock, &usage, sink, &mut report)?;
    look_at_snapshots(archive, lock, &mut report)?;
    end(sink);
    Ok(report)
}

fn mend_pack(
    archive: &Archive,
    lock: Option<&ArchiveLock>,
    name: PackName,
    report: &mut RepairReport,
) -> Result<(), ArchiveError> {
    match archive.examine(name)? {
        Examined::Sound { remake: None } => {}
        Examined::Sound { remake: Some(index) } => {
            report.indexes_made.push(name.index_path());
            lock.map_or(Ok(()), |_| archive.write_index(name, &index))?;
        }
        Examined::Damaged { sound, lost } => {
            let mut mended = MendedPack {
                path: name.pack_path(),
                aside: None,
                objects_kept: sound.len() as u64,
                objects_lost: lost,
            };
            if let Some(lock) = lock {
                let nothing = HashSet::new();
                let mut rewriter = Rewriter::new(archive, lock, Style::AsTheyAre, &nothing);
                if !sound.is_empty() {
                    rewriter.take(name, &sound, |_| true)?;
                }
                let written = rewriter.finish()?;
                // Damage behind the last segment leaves all there was; then the new pack has taken the old one's place.
                if written.iter().all(|(new, _)| *new != name) {
                    let aside = PathBuf::from(DAMAGED).join(format!("{name}.tar.gz"));
                    archive.set_aside(name, &aside)?;
                    mended.aside = Some(aside);
                }
            }
            report.packs_mended.push(mended);
        }
    }
    Ok(())
}

/// Names what is lost, and puts its accounts on the list for the next export.
fn want(
    archive: &Archive,
    lock: Option<&ArchiveLock>,
    usage: &Usage,
    sink: &dyn Sink,
    report: &mut RepairReport,
) -> Result<(), ArchiveError> {
    let mut wanted = Wanted::new();
    archive.each_item_in_place(Damage::PassedOver, sink, &mut |head, entry, folder, line| {
        let object = prefix(&line.item.object);
        if usage.broken.contains(&object) || usage.needed.get(&object) == Some(&false) {
            report.items += 1;
            report.wanted.insert(entry.address.clone());
            wanted.entry(head.source.clone()).or_default().insert(entry.id);
            if report.places.len() < FINDING_NAMES {
                report.places.push(Place {
                    account: Some(entry.address.clone()),
                    folder: folder.map(ToString::to_string),
                    item: Some(line.item.name.clone()),
                });
            }
        }
    })?;
    add_wanted(archive, lock, wanted)
}

/// Names what snapshots have lost, and writes those again that have lost nothing but what holds the file together.
fn look_at_snapshots(
    archive: &Archive,
    lock: Option<&ArchiveLock>,
    report: &mut RepairReport,
) -> Result<(), ArchiveError> {
    let mut wanted = Wanted::new();
    for name in archive.standing_names()? {
        let snapshot = match archive.open_named_snapshot(name) {
            Err(error) if error.is_damage() => {
                report.snapshots_damaged.push(name.no);
                continue;
            }
            outcome => outcome?,
        };
        let reads = |entry: &str| {
            // A large one line by line: nobody has to hold what a forged one inflates to.
            let is_large = snapshot.place(entry).is_some_and(|(_, place)| place.size > WHOLE_ENTRY_BYTES);
            let read = match is_large {
                true => snapshot.lines(entry, |_: serde::de::IgnoredAny| Ok(())),
                false => snapshot.entry(entry).map(|bytes| bytes.is_some()),
            };
            match read {
                Err(error) if error.is_damage() => Ok(false),
                outcome => outcome,
            }
        };
        let before = report.manifests_lost.len();
        let mut damaged = false;
        let head = snapshot.head();
        let records = match snapshot.record_lines(drop) {
            Err(error) if error.is_damage() => false,
            outcome => outcome?,
        };
        if head.provisioning_lines > 0 && !records {
            report.manifests_lost.push(LostManifest { snapshot: name.no, account: None });
        }
        for entry in &head.accounts {
            if !reads(&manifest_name(entry.id))? {
                let account = Some(entry.address.clone());
                report.manifests_lost.push(LostManifest { snapshot: name.no, account });
                report.wanted.insert(entry.address.clone());
                wanted.entry(head.source.clone()).or_default().insert(entry.id);
            }
        }
        for entry in snapshot.names().iter().filter(|entry| *entry != RECORDS) {
            damaged |= !reads(entry)?;
        }
        let ends_well = match snapshot.ends_well() {
            Err(error) if error.is_damage() => false,
            outcome => outcome.map(|()| true)?,
        };
        let path = archive.dir.join(name.path());
        let digest = archive.digest_on_disk(&path).map_err(io_error("read", &path))?;
        let holds_together = snapshot.damage().is_none() && ends_well && digest.starts_with(&name.digest);
        let whole = report.manifests_lost.len() == before && !damaged;
        let mended = !holds_together && whole && write_again(archive, lock, name, head.parent)?;
        match (mended, whole && holds_together) {
            (true, _) => report.snapshots_mended.push(name.no),
            (_, false) => report.snapshots_damaged.push(name.no),
            _ => {}
        }
    }
    add_wanted(archive, lock, wanted)
}

/// Writes a snapshot again from what can be read of it, on the same parent; the old file is set aside. `false` where it
/// has to stay: what it builds on cannot be read, or it was signed and nobody can sign it.
fn write_again(
    archive: &Archive,
    lock: Option<&ArchiveLock>,
    name: SnapshotName,
    parent: Option<SnapshotNo>,
) -> Result<bool, ArchiveError> {
    let Some(lock) = lock else { return Ok(true) };
    match archive.rebase(lock, name.no, parent) {
        Err(error) if error.is_damage() || matches!(error, ArchiveError::Untrusted { .. }) => return Ok(false),
        outcome => outcome?,
    }
    let aside = archive.dir.join(DAMAGED).join(name.to_string());
    archive.move_aside(&name.path(), &aside)?;
    archive.remove_signature(name)?;
    let dir = archive.dir.join(SNAPSHOTS);
    archive.fs.sync_dir(&dir).map_err(io_error("sync", &dir))?;
    Ok(true)
}

/// Puts accounts on the list for the next export.
fn add_wanted(archive: &Archive, lock: Option<&ArchiveLock>, mut wanted: Wanted) -> Result<(), ArchiveError> {
    let Some(lock) = lock.filter(|_| !wanted.is_empty()) else { return Ok(()) };
    for (source, accounts) in archive.wanted()? {
        wanted.entry(source).or_default().extend(accounts);
    }
    archive.set_wanted(lock, &wanted)
}

impl Archive {
    fn examine(&self, name: PackName) -> Result<Examined, ArchiveError> {
        let file = match open_pack(self, name) {
            // The first bytes of an encrypted pack are damaged, and so nothing in it can be read. Who has no key of the
            // archive's is not the one to say so.
            Err(error @ ArchiveError::Sealed { .. }) if error.is_damage() && self.has_own_identity() => {
                let lost = match self.read_index(name)? {
                    IndexState::Sound(index) => index.len() as u64,
                    IndexState::Unusable(_) | IndexState::Refused(_) => 0,
                };
                return Ok(Examined::Damaged { sound: self.salvage_index(name)?, lost });
            }
            opened => opened?,
        };
        let size = file.stat().map_err(io_error("look at", &self.dir.join(name.pack_path())))?.size;
        let stored = match self.read_index(name)? {
            IndexState::Sound(index) => Some(index),
            IndexState::Unusable(_) | IndexState::Refused(_) => None,
        };
        let whole = self.digest_on_disk(&self.dir.join(name.pack_path())).is_ok_and(|digest| digest == name.0);
        if whole {
            if let Some(index) = stored.filter(|index| index.pack_bytes() == size) {
                let listed = index.len();
                if sound_entries(file.as_ref(), name, &index).len() == listed {
                    return Ok(Examined::Sound { remake: None });
                }
            }
            return Ok(Examined::Sound { remake: Some(self.whole_index(name)?) });
        }
        let found = self.salvage_index(name)?;
        let sound = sound_entries(file.as_ref(), name, &found);
        let entries = found.entries().filter(|entry| sound.contains(&entry.prefix)).collect();
        let sound_index = PackIndex::new(name.0, found.pack_bytes(), found.segments().to_vec(), entries);
        let lost = stored.map_or(0, |index| index.entries().filter(|entry| !sound.contains(&entry.prefix)).count());
        Ok(Examined::Damaged { sound: sound_index, lost: lost as u64 })
    }

    /// Moves a pack whose sound objects lie elsewhere out of the way.
    fn set_aside(&self, name: PackName, aside: &std::path::Path) -> Result<(), ArchiveError> {
        self.remove_index(name)?;
        self.sync_shelves([name.index_path()].into_iter())?;
        self.move_aside(&name.pack_path(), &self.dir.join(aside))
    }

    /// Moves a file of the archive, and its parity with it, to `damaged/`.
    fn move_aside(&self, path: &std::path::Path, to: &std::path::Path) -> Result<(), ArchiveError> {
        let _alone = self.without_readers()?;
        let (dir, from) = (self.dir.join(DAMAGED), self.dir.join(path));
        let to = if self.is_encrypted() { with_suffix(to) } else { to.to_owned() };
        self.fs.create_dir_all(&dir).map_err(io_error("make", &dir))?;
        self.fs.set_mode(&dir, 0o700).map_err(io_error("set the mode of", &dir))?;
        // Also where it was made by a repair that did not come to its end.
        self.fs.sync_dir(&self.dir).map_err(io_error("sync", &self.dir))?;
        self.set_parity_aside(path, &to)?;
        self.fs.rename(&from, &to).map_err(io_error("rename to", &to))?;
        self.sync_shelves([path.to_owned()].into_iter())?;
        self.fs.sync_dir(&dir).map_err(io_error("sync", &dir))
    }
}

/// Which of the listed objects are there and are what their names say.
fn sound_entries(file: &dyn FileRead, name: PackName, index: &PackIndex) -> HashSet<Prefix> {
    let segments: Vec<_> = by_segment(index, |_| true).into_iter().collect();
    let sound = in_order(
        &segments,
        || (),
        |(), (number, entries)| {
            let Some(row) = index.segment(*number) else { return Vec::new() };
            if row.uncompressed > WHOLE_SEGMENT_BYTES {
                let sound = large_object(name, file, row, entries).is_ok();
                return entries.iter().filter(|_| sound).map(|entry| entry.prefix).collect();
            }
            let Ok(tar) = inflate(file, row, name) else { return Vec::new() };
            let sound = entries.iter().filter(|entry| sound_entry(&tar, entry, name, row).is_ok());
            sound.map(|entry| entry.prefix).collect()
        },
    );
    sound.into_iter().flatten().collect()
}
