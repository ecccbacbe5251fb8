//! Removes what no snapshot needs, and puts together what lies in packs with much waste or in many small ones.
//!
//! Promises: a plan is computed before anything changes, and says the same in a dry run; new packs and their indexes are
//! there before an old one goes, a batch at a time, so the disk needs
//! [`PruneOptions::batch_bytes`] beside the archive at most;
//! a process that is killed anywhere leaves duplicates at worst, which the next prune removes. Nothing goes while
//! somebody reads (`readers`). An archive with damage is not pruned: `repair` comes first.

use super::layout::{PackName, io_error};
use super::lock::ArchiveLock;
use super::rewrite::{Rewriter, Style};
use super::unjoinable::without;
use super::usage::{Damage, Usage, advance, begin, by_segment, end, share, stop_if_asked};
use super::{Archive, ArchiveError};
use crate::event::Sink;
use crate::format::pack_index::Prefix;
use crate::limits::{OBJECTS_PER_PACK, REWRITE_BATCH_BYTES, SMALL_PACK_BYTES, SMALL_PACKS};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

/// How much waste may stay.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum MaxUnused {
    /// So many hundredths of what the packs take.
    Percent(f64),
    Bytes(u64),
    Unlimited,
}

/// How to prune.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PruneOptions {
    pub max_unused: MaxUnused,
    /// Most bytes of old packs that are written anew.
    pub max_rewrite: Option<u64>,
    /// Write every pack anew at this level, like beside like.
    pub level: Option<i32>,
    /// Needed bytes of old packs that are written anew before these go, or the largest pack: the room that it takes on the
    /// disk beside the archive.
    pub batch_bytes: u64,
    pub dry_run: bool,
}

impl Default for PruneOptions {
    fn default() -> Self {
        let (max_unused, batch_bytes) = (MaxUnused::Percent(5.0), REWRITE_BATCH_BYTES);
        Self { max_unused, max_rewrite: None, level: None, batch_bytes, dry_run: false }
    }
}

/// What a prune does, or did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct PruneReport {
    pub dry_run: bool,
    pub packs: u64,
    pub pack_bytes: u64,
    /// Objects that some snapshot needs, and that no pack holds.
    pub objects_needed: u64,
    pub objects_missing: u64,
    /// Objects in packs that no snapshot needs, or that lie in another pack too.
    pub objects_unused: u64,
    pub unused_bytes: u64,
    /// Indexes that were missing or could not be used, of packs that stay.
    pub indexes_made: u64,
    pub packs_removed: u64,
    pub packs_rewritten: u64,
    pub rewritten_bytes: u64,
    pub packs_written: u64,
    pub written_bytes: u64,
    /// What the packs took less than before; in a dry run as far as can be said.
    pub freed_bytes: i64,
    /// Waste that stays.
    pub left_unused_bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Keep,
    Remove,
    Rewrite,
}

struct Pack {
    name: PackName,
    bytes: u64,
    used_bytes: u64,
    objects: u64,
    used: u64,
    has_index: bool,
    fate: Fate,
}

/// What is to become of each pack, and which pack is to keep each object.
struct Plan {
    packs: Vec<Pack>,
    owner: HashMap<Prefix, u32>,
    skeletons: HashSet<Prefix>,
    report: PruneReport,
}

/// Removes what is not needed. Returns when everything is done; [`ArchiveError::Stopped`] when it was interrupted, and
/// [`ArchiveError::InUse`] when readers do not end: then what was done stays done, and the next prune goes on.
pub fn prune(
    archive: &Archive,
    lock: Option<&ArchiveLock>,
    options: &PruneOptions,
    sink: &dyn Sink,
) -> Result<PruneReport, ArchiveError> {
    begin(sink, None);
    let usage = archive.usage(Damage::IsAnError, sink)?;
    let mut plan = plan(archive, usage, options, sink)?;
    plan.report.dry_run = options.dry_run;
    match lock.filter(|_| !options.dry_run) {
        Some(lock) => apply(archive, lock, &mut plan, options, sink)?,
        None => foresee(&mut plan),
    }
    end(sink);
    Ok(plan.report)
}

fn plan(archive: &Archive, usage: Usage, options: &PruneOptions, sink: &dyn Sink) -> Result<Plan, ArchiveError> {
    let mut report = PruneReport {
        objects_needed: usage.needed.len() as u64,
        objects_missing: usage.missing().count() as u64,
        ..PruneReport::default()
    };
    let needed = |prefix: &Prefix| usage.needed.contains_key(prefix);
    // Of several copies the one in the pack with the least waste stays, so that the others can go.
    let mut order = Vec::new();
    for name in archive.packs()?.names {
        let index = archive.current_index(name, Damage::IsAnError)?;
        let used = index.entries().filter(|entry| needed(&entry.prefix)).count();
        order.push((index.len() - used, std::cmp::Reverse(used), name));
    }
    order.sort_unstable();
    let mut owner: HashMap<Prefix, u32> = HashMap::with_capacity(usage.needed.len());
    let mut packs = Vec::new();
    for (number, (_, _, name)) in (0u32..).zip(order) {
        let index = archive.current_index(name, Damage::IsAnError)?;
        let mut used = 0;
        for entry in index.entries().filter(|entry| needed(&entry.prefix)) {
            used += u64::from(*owner.entry(entry.prefix).or_insert(number) == number);
        }
        let mine = |prefix: &Prefix| owner.get(prefix) == Some(&number);
        let used_bytes = by_segment(&index, |_| true)
            .iter()
            .filter_map(|(segment, all)| Some(share(index.segment(*segment)?, all, |entry| mine(&entry.prefix))))
            .sum();
        let (bytes, objects) = (index.pack_bytes(), index.len() as u64);
        let fate = if used == 0 { Fate::Remove } else { Fate::Keep };
        let has_index = archive.stored_index(name)?.is_some();
        packs.push(Pack { name, bytes, used_bytes, objects, used, has_index, fate });
        stop_if_asked(sink)?;
    }
    report.packs = packs.len() as u64;
    report.pack_bytes = packs.iter().map(|pack| pack.bytes).sum();
    report.objects_unused = packs.iter().map(|pack| pack.objects - pack.used).sum();
    report.unused_bytes = packs.iter().map(unused).sum();
    choose(&mut packs, options);
    Ok(Plan { packs, owner, skeletons: usage.skeletons, report })
}

/// Bytes of a pack that hold nothing needed. Frames and rounding, which every pack has, do not count.
fn unused(pack: &Pack) -> u64 {
    if pack.used == pack.objects { 0 } else { pack.bytes.saturating_sub(pack.used_bytes) }
}

/// Says which packs are written anew: those with most waste until what stays is little enough, and small ones when there
/// are many.
fn choose(packs: &mut [Pack], options: &PruneOptions) {
    let kept: u64 = packs.iter().filter(|pack| pack.fate == Fate::Keep).map(|pack| pack.bytes).sum();
    let allowed = match options.max_unused {
        // A share of a length; what is lost in rounding decides nothing.
        MaxUnused::Percent(percent) => (kept as f64 * percent / 100.0) as u64,
        MaxUnused::Bytes(bytes) => bytes,
        MaxUnused::Unlimited => u64::MAX,
    };
    let mut left: u64 = packs.iter().filter(|pack| pack.fate == Fate::Keep).map(unused).sum();
    let mut room = options.max_rewrite.unwrap_or(u64::MAX);
    let mut take = |pack: &mut Pack| {
        let fits = pack.fate == Fate::Keep && pack.bytes <= room;
        if fits {
            room -= pack.bytes;
            pack.fate = Fate::Rewrite;
        }
        fits
    };
    let mut order: Vec<&mut Pack> = packs.iter_mut().filter(|pack| pack.fate == Fate::Keep).collect();
    // Waste in a thousand bytes, most first.
    order.sort_by_key(|pack| std::cmp::Reverse(unused(pack).saturating_mul(1000) / pack.bytes.max(1)));
    for pack in &mut order {
        let waste = unused(pack);
        if (options.level.is_some() || (left > allowed && waste > 0)) && take(pack) {
            left = left.saturating_sub(waste);
        }
    }
    // One that was published for the number of its objects is none, however few bytes they have.
    let has_few = |pack: &Pack| pack.bytes < SMALL_PACK_BYTES && pack.objects < OBJECTS_PER_PACK as u64;
    let is_small = |pack: &&mut Pack| pack.fate != Fate::Remove && has_few(pack);
    if order.iter().filter(|pack| is_small(pack)).count() >= SMALL_PACKS {
        for pack in order.into_iter().filter(is_small) {
            take(pack);
        }
    }
}

/// What a dry run can say of what would be.
fn foresee(plan: &mut Plan) {
    let of = |fate: Fate| plan.packs.iter().filter(move |pack| pack.fate == fate);
    let report = &mut plan.report;
    report.indexes_made = of(Fate::Keep).filter(|pack| !pack.has_index).count() as u64;
    report.packs_removed = of(Fate::Remove).count() as u64;
    report.packs_rewritten = of(Fate::Rewrite).count() as u64;
    report.rewritten_bytes = of(Fate::Rewrite).map(|pack| pack.bytes).sum();
    let freed = of(Fate::Remove).map(|pack| pack.bytes).sum::<u64>() + of(Fate::Rewrite).map(unused).sum::<u64>();
    report.freed_bytes = i64::try_from(freed).unwrap_or(i64::MAX);
    report.left_unused_bytes = of(Fate::Keep).map(unused).sum();
}

fn apply(
    archive: &Archive,
    lock: &ArchiveLock,
    plan: &mut Plan,
    options: &PruneOptions,
    sink: &dyn Sink,
) -> Result<(), ArchiveError> {
    let style = options.level.map_or(Style::AsTheyAre, Style::Small);
    delist(archive, plan, sink)?;
    let mut gone: Vec<PackName> = Vec::new();
    for pack in plan.packs.iter().filter(|pack| pack.fate == Fate::Remove) {
        gone.push(pack.name);
        plan.report.packs_removed += 1;
        plan.report.freed_bytes += signed(pack.bytes);
    }
    let mut numbered: Vec<(u32, &Pack)> =
        (0u32..).zip(&plan.packs).filter(|(_, pack)| pack.fate == Fate::Rewrite).collect();
    // Small ones together, so that they become one.
    numbered.sort_by_key(|(_, pack)| pack.bytes);
    archive.remove_packs(&gone)?;
    while !numbered.is_empty() {
        let mut bytes = 0;
        let fits = numbered.iter().take_while(|(_, pack)| {
            bytes += pack.used_bytes;
            bytes <= options.batch_bytes
        });
        let batch: Vec<(u32, &Pack)> = numbered.drain(..fits.count().max(1)).collect();
        let mut rewriter = Rewriter::new(archive, lock, style, &plan.skeletons);
        let mut moved: HashSet<Prefix> = HashSet::new();
        for (number, pack) in &batch {
            let index = archive.current_index(pack.name, Damage::IsAnError)?;
            let mine = |prefix: &Prefix| plan.owner.get(prefix) == Some(number);
            rewriter.take(pack.name, &index, mine)?;
            moved.extend(index.entries().map(|entry| entry.prefix).filter(mine));
            advance(sink, pack.bytes);
            stop_if_asked(sink)?;
        }
        let written = rewriter.finish()?;
        for (_, index) in &written {
            for entry in index.entries() {
                moved.remove(&entry.prefix);
            }
            plan.report.packs_written += 1;
            plan.report.written_bytes += index.pack_bytes();
            plan.report.freed_bytes -= signed(index.pack_bytes());
        }
        if !moved.is_empty() {
            let what = format!("{} objects did not arrive in the new packs; the old ones stay", moved.len());
            return Err(ArchiveError::FaultyCompressor { what });
        }
        for (_, pack) in &batch {
            plan.report.packs_rewritten += 1;
            plan.report.rewritten_bytes += pack.bytes;
            plan.report.freed_bytes += signed(pack.bytes);
        }
        // What is there twice now is harmless: the next prune removes it.
        stop_if_asked(sink)?;
        // A pack that came out the same has the same name.
        let old = batch.iter().map(|(_, pack)| pack.name);
        let old: Vec<_> = old.filter(|name| written.iter().all(|(new, _)| new != name)).collect();
        archive.remove_packs(&old)?;
    }
    plan.report.left_unused_bytes = plan.packs.iter().filter(|pack| pack.fate == Fate::Keep).map(unused).sum();
    Ok(())
}

/// Takes what cannot be joined any more, once everything is gone that is to go, out of the indexes of all packs before
/// anything goes: a message that no snapshot needs may come back, and must not pass for present by its recipe alone.
/// Makes indexes that are missing; a prune that was killed may have left a new pack without one.
fn delist(archive: &Archive, plan: &mut Plan, sink: &dyn Sink) -> Result<(), ArchiveError> {
    let stays = |pack: &&Pack| pack.fate == Fate::Keep;
    if plan.packs.iter().all(|pack| stays(&pack) && pack.has_index) {
        return Ok(());
    }
    let (mut unneeded, mut staying) = (HashSet::new(), HashSet::new());
    for pack in plan.packs.iter().filter(|pack| pack.fate != Fate::Remove) {
        let index = archive.current_index(pack.name, Damage::IsAnError)?;
        for entry in index.entries().filter(|entry| !plan.owner.contains_key(&entry.prefix)) {
            unneeded.insert(entry.prefix);
            if stays(&pack) {
                staying.insert(entry.prefix);
            }
        }
    }
    let remains = |prefix: &Prefix| plan.owner.contains_key(prefix) || staying.contains(prefix);
    let usage = archive.usage_of(unneeded, &remains, Damage::IsAnError, sink)?;
    let unjoinable: HashSet<Prefix> = usage.unjoinable().collect();
    for pack in plan.packs.iter().filter(|pack| pack.fate != Fate::Remove) {
        let (index, any) = without(&archive.current_index(pack.name, Damage::IsAnError)?, &unjoinable);
        let missing = stays(&pack) && !pack.has_index;
        if any || missing {
            archive.write_index(pack.name, &index)?;
        }
        plan.report.indexes_made += u64::from(missing);
    }
    Ok(())
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Archive {
    /// Removes packs whose objects are elsewhere or nowhere needed, after their indexes are gone from the disk: a pack
    /// without an index is still a pack, an index without a pack would look like a loss. What is gone does not come back
    /// with a power cut.
    pub(super) fn remove_packs(&self, names: &[PackName]) -> Result<(), ArchiveError> {
        if names.is_empty() {
            return Ok(());
        }
        let _alone = self.without_readers()?;
        names.iter().try_for_each(|name| self.remove_index(*name))?;
        self.sync_shelves(names.iter().map(|name| name.index_path()))?;
        for name in names {
            self.remove_parity(&name.pack_path())?;
            let path = self.dir.join(name.pack_path());
            self.fs.remove_file(&path).map_err(io_error("remove", &path))?;
        }
        self.sync_shelves(names.iter().map(|name| name.pack_path()))
    }

    /// Makes durable what became of files, given below the archive.
    pub(super) fn sync_shelves(&self, files: impl Iterator<Item = PathBuf>) -> Result<(), ArchiveError> {
        let shelves: BTreeSet<_> = files.filter_map(|file| file.parent().map(|shelf| self.dir.join(shelf))).collect();
        for shelf in shelves {
            match self.fs.sync_dir(&shelf) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io_error("sync", &shelf)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn remove_index(&self, name: PackName) -> Result<(), ArchiveError> {
        self.remove_parity(&name.index_path())?;
        let path = self.dir.join(name.index_path());
        match self.fs.remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_error("remove", &path)(error)),
            _ => Ok(()),
        }
    }
}
