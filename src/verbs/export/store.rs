//! The last stage: takes the steps in scan order, stores what the archive does not hold, and writes the manifests.

use super::budget::Budget;
use super::scan::{Begin, End, Read, Step};
use super::split::{Body, OwnedSplit, PartBytes, Prepared, Ready, split};
use super::{ExportError, ExportOptions, diff};
use crate::archive::ArchiveError;
use crate::archive::history::manifest_name;
use crate::archive::long_entry::LongEntry;
use crate::archive::pack_writer::{Class, PackWriter};
use crate::archive::snapshot_writer::SnapshotWriter;
use crate::catalog::AccountMark;
use crate::event::{Event, Phase, Place, Reason, Rejection, Sink};
use crate::format::manifest::{AccountState, ItemChange, ItemLine, ManifestLine};
use crate::format::snapshot::{AccountEntry, Counts};
use crate::message::encode_recipe;
use crate::model::id::{FolderId, ItemId, ObjectId, RecordId};
use crate::model::mailbox::{FolderKind, Item};
use crossbeam_channel::Receiver;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What the pass stored.
#[derive(Default)]
pub(super) struct Stored {
    pub accounts: Vec<AccountEntry>,
    pub marks: Vec<(RecordId, AccountMark)>,
    pub counts: Counts,
    pub rejected: Vec<Rejection>,
}

pub(super) fn run(
    mut writer: PackWriter<'_>,
    snapshot: &mut SnapshotWriter,
    batches: Receiver<Prepared>,
    budget: &Budget,
    options: &ExportOptions,
    sink: &dyn Sink,
) -> Result<Stored, ExportError> {
    let mut stored = Stored::default();
    let mut waiting: BTreeMap<u64, Prepared> = BTreeMap::new();
    let mut next = 0;
    let mut open: Option<OpenAccount> = None;
    for prepared in batches {
        waiting.insert(prepared.number, prepared);
        while let Some(Prepared { bytes, steps, .. }) = waiting.remove(&next) {
            next += steps.len() as u64;
            for step in steps {
                take_step(step, &mut open, &mut writer, snapshot, &mut stored, options, sink)?;
            }
            budget.give(next, bytes);
            if sink.interrupted() {
                return Err(ExportError::Interrupted);
            }
        }
    }
    if !waiting.is_empty() || open.is_some() {
        return Err(ExportError::Broken);
    }
    if !options.dry_run {
        let added = writer.finish()?;
        stored.counts.objects_added = added.objects;
        stored.counts.object_bytes = added.object_bytes;
        stored.counts.pack_bytes = added.pack_bytes;
    }
    Ok(stored)
}

fn take_step(
    step: Ready,
    open: &mut Option<OpenAccount>,
    writer: &mut PackWriter<'_>,
    snapshot: &mut SnapshotWriter,
    stored: &mut Stored,
    options: &ExportOptions,
    sink: &dyn Sink,
) -> Result<(), ExportError> {
    match step {
        Ready::Step(Step::Begin(begin)) => *open = Some(OpenAccount::new(*begin)),
        Ready::Step(Step::End(end)) => {
            if let Some(account) = open.take() {
                account.close(*end, snapshot, stored, options)?;
            }
        }
        Ready::Step(Step::Line(line)) => {
            if let Some(account) = open {
                account.note(&line, &mut stored.counts);
                account.line(*line)?;
                account.spill(snapshot, options)?;
            }
        }
        Ready::Step(Step::Read(_)) => {}
        Ready::Read { read, content } => {
            if let Some(account) = open {
                account.take(*read, content, writer, stored, sink)?;
                account.spill(snapshot, options)?;
            }
        }
    }
    Ok(())
}

/// The account whose manifest is being written.
struct OpenAccount {
    id: RecordId,
    address: String,
    state: AccountState,
    /// Items that are in no folder any more, by content: one that is read under another name is a move.
    gone: HashMap<ObjectId, Vec<ItemId>>,
    /// Items that were removed by earlier passes, by content.
    removed: HashMap<ObjectId, Vec<ItemId>>,
    lines: LongEntry,
    count: u64,
    /// Items that are new, and their bytes. Nothing in this pass asks for one of them again, so they are not kept; there
    /// may be a million of them.
    added: (u64, u64),
    /// Folders in which something found could not be recorded; they are looked at again.
    unsure: HashSet<FolderId>,
    full: bool,
    salvaged: bool,
}

impl OpenAccount {
    fn new(begin: Begin) -> Self {
        let mut gone: HashMap<ObjectId, Vec<ItemId>> = HashMap::new();
        for item in begin.gone {
            if let Some(at) = begin.state.items.get(item) {
                gone.entry(at.item.object).or_default().push(item);
            }
        }
        let mut removed: HashMap<ObjectId, Vec<ItemId>> = HashMap::new();
        for (id, at) in begin.state.removed.iter() {
            removed.entry(at.item.object).or_default().push(id);
        }
        let Begin { id, address, state, full, salvaged, .. } = begin;
        Self {
            id,
            address,
            state,
            gone,
            removed,
            lines: LongEntry::default(),
            count: 0,
            added: (0, 0),
            unsure: HashSet::new(),
            full,
            salvaged,
        }
    }

    fn line(&mut self, line: ManifestLine) -> Result<(), ExportError> {
        self.lines.push(&line);
        self.count += 1;
        if let ManifestLine::Item(ItemLine { id, folder, item }) = &line
            && !self.full
            && *id > self.state.last_item
            && self.state.folders.contains_key(folder)
        {
            self.state.last_item = *id;
            self.added = (self.added.0 + 1, self.added.1.saturating_add(item.size));
            return Ok(());
        }
        // The lines are our own; one that does not apply is a defect, not an input.
        self.state.apply(line).map_err(|_| ExportError::Broken)
    }

    /// Puts what the manifest has so far out of memory, once it is much. A dry run forgets it.
    fn spill(&mut self, snapshot: &SnapshotWriter<'_>, options: &ExportOptions) -> Result<(), ExportError> {
        if !self.lines.is_long() {
            return Ok(());
        }
        if options.dry_run {
            self.lines = LongEntry::default();
            return Ok(());
        }
        Ok(snapshot.spill(&mut self.lines)?)
    }

    fn note(&self, line: &ManifestLine, counts: &mut Counts) {
        match line {
            ManifestLine::Change(ItemChange { folder: Some(_), .. }) => counts.items_moved += 1,
            ManifestLine::Change(_) => counts.items_changed += 1,
            _ => {}
        }
    }

    /// Stores the content of an item and records it.
    fn take(
        &mut self,
        read: Read,
        content: Body,
        writer: &mut PackWriter<'_>,
        stored: &mut Stored,
        sink: &dyn Sink,
    ) -> Result<(), ExportError> {
        let (id, size, date) = match content {
            Body::Unread => {
                match read.known {
                    Some(_) => stored.counts.items_changed += 1,
                    None => stored.counts.items_added += 1,
                }
                return Ok(());
            }
            Body::Vanished => {
                self.unsure.insert(read.folder);
                return Ok(());
            }
            Body::Rejected(reason) => {
                self.reject(&read, reason, stored, sink);
                return Ok(());
            }
            Body::Whole { id, raw, date } => {
                writer.add(id, Class::Part, &raw)?;
                (id, raw.len() as u64, date)
            }
            Body::Split { id, raw, date, split } => {
                store_split(writer, id, &raw, split)?;
                (id, raw.len() as u64, date)
            }
            Body::Copy { id, raw, date, trace, skeleton_id, likeness } => {
                if writer.contains(&skeleton_id)? {
                    let trace = raw.get(trace).unwrap_or_default();
                    writer.add_recipe(id, likeness, &encode_recipe(&skeleton_id, trace))?;
                } else if let Some(split) = split(&raw) {
                    // The message that its body was taken apart for was known already, in another form.
                    store_split(writer, id, &raw, split)?;
                } else {
                    writer.add(id, Class::Part, &raw)?;
                }
                (id, raw.len() as u64, date)
            }
            Body::Large { id, size, date, open } => {
                match open().map_err(Some).and_then(|mut file| {
                    writer.add_stream(id, size, &mut file).map_err(|error| match error {
                        // It changed between two readings: left for the next pass.
                        ArchiveError::DamagedObject { .. } => None,
                        error => Some(std::io::Error::other(error)),
                    })
                }) {
                    Ok(()) => (id, size, date),
                    Err(None) => {
                        self.unsure.insert(read.folder);
                        return Ok(());
                    }
                    Err(Some(error)) => match error.downcast::<ArchiveError>() {
                        Ok(error) => return Err(error.into()),
                        Err(error) => {
                            self.reject(&read, Reason::Unreadable(error.to_string()), stored, sink);
                            return Ok(());
                        }
                    },
                }
            }
        };
        sink.emit(Event::Advanced { phase: Phase::Store, items: 1, bytes: size });
        stored.counts.bytes_read += size;
        self.record(read, id, size, date, &mut stored.counts)
    }

    fn reject(&mut self, read: &Read, reason: Reason, stored: &mut Stored, sink: &dyn Sink) {
        let rejection = Rejection { place: Place::item(&self.address, &read.key, &read.found.name), reason };
        sink.emit(Event::Rejected(rejection.clone()));
        stored.rejected.push(rejection);
        self.unsure.insert(read.folder);
    }

    fn record(
        &mut self,
        read: Read,
        object: ObjectId,
        size: u64,
        date: i64,
        counts: &mut Counts,
    ) -> Result<(), ExportError> {
        let Read { key, folder, found, known, .. } = read;
        if let Some(id) = known
            && let Some(at) = self.state.items.get(id)
            && at.item.object == object
        {
            if at.item.date == date {
                return Ok(());
            }
            counts.items_changed += 1;
            return self.line(ManifestLine::Change(ItemChange { id, date: Some(date), ..ItemChange::default() }));
        }
        let moved = match key.kind() {
            FolderKind::Mail if known.is_none() => self.gone.get_mut(&object).and_then(Vec::pop),
            _ => None,
        };
        if let Some(id) = moved
            && let Some(at) = self.state.items.get(id)
        {
            let mut change = diff::change(id, &at.item, &found, Some(folder)).unwrap_or(ItemChange {
                id,
                folder: Some(folder),
                ..ItemChange::default()
            });
            change.date = (at.item.date != date).then_some(date);
            counts.items_moved += 1;
            return self.line(ManifestLine::Change(change));
        }
        let back = match key.kind() {
            FolderKind::Mail if known.is_none() => self.removed.get_mut(&object).and_then(Vec::pop),
            _ => None,
        };
        let id = known.or(back).unwrap_or(ItemId(self.state.last_item.0 + 1));
        match known {
            Some(_) => counts.items_changed += 1,
            None => counts.items_added += 1,
        }
        let item = Item {
            name: found.name,
            object,
            size,
            date,
            flags: found.flags,
            keywords: found.keywords,
            tags: found.tags,
            uid: found.uid,
            uidl: found.uidl,
        };
        self.line(ManifestLine::Item(ItemLine { id, folder, item }))
    }

    /// Records what is gone and writes the manifest.
    fn close(
        mut self,
        end: End,
        snapshot: &mut SnapshotWriter,
        stored: &mut Stored,
        options: &ExportOptions,
    ) -> Result<(), ExportError> {
        let mut gone: Vec<ItemId> = std::mem::take(&mut self.gone).into_values().flatten().collect();
        gone.sort_unstable();
        for item in gone {
            stored.counts.items_removed += 1;
            self.line(ManifestLine::ItemGone(item))?;
            self.spill(snapshot, options)?;
        }
        for folder in end.folders_gone {
            self.line(ManifestLine::FolderGone(folder))?;
        }
        let mut mark = end.mark;
        for folder in mark.folders.iter_mut().filter(|folder| self.unsure.contains(&folder.id)) {
            folder.mark.clear();
            folder.versions.clear();
        }
        stored.marks.push((self.id, mark));
        let full = self.full;
        if self.count == 0 && !full {
            return Ok(());
        }
        if full {
            (self.lines, self.count) = (LongEntry::default(), 0);
            let state = std::mem::take(&mut self.state);
            for line in state.lines() {
                self.lines.push(&line);
                self.count += 1;
                self.spill(snapshot, options)?;
            }
            self.state = state;
        }
        let (items, bytes) = self.state.totals();
        let (items, bytes) = (items + self.added.0, bytes.saturating_add(self.added.1));
        let (id, address, salvaged, lines) = (self.id, self.address, self.salvaged, self.count);
        let entry = AccountEntry { id, address, full, salvaged, lines, items, bytes };
        if !options.dry_run {
            snapshot.add_long(&manifest_name(self.id), self.lines)?;
        }
        stored.accounts.push(entry);
        Ok(())
    }
}

/// Stores the layers of a message that the archive does not hold. A message that it holds costs one look.
fn store_split(writer: &mut PackWriter<'_>, id: ObjectId, raw: &[u8], split: OwnedSplit) -> Result<(), ArchiveError> {
    if writer.contains(&id)? {
        return Ok(());
    }
    for (part, bytes) in &split.parts {
        let bytes = match bytes {
            PartBytes::Raw(range) => raw.get(range.clone()).unwrap_or_default(),
            PartBytes::Decoded(bytes) => bytes,
        };
        writer.add_like(*part, Class::Part, split.likeness, bytes)?;
    }
    writer.add_like(split.skeleton_id, Class::Skeleton, split.likeness, &split.skeleton)?;
    let trace = raw.get(split.trace).unwrap_or_default();
    writer.add_recipe(id, split.likeness, &encode_recipe(&split.skeleton_id, trace))
}
