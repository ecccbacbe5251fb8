//! New items, newest first, each exactly once.
//!
//! For every batch: names are reserved, intents committed to the map, items delivered, outcomes committed. Killed in
//! between, the next pass asks the target for the items of that one batch, and goes on.

use super::ImportError;
use super::account::{Folders, Job};
use super::changes::tally;
use super::contents::{self, Found};
use super::copies::{Copy, Made, folder_of};
use super::folders::{self, Present};
use super::ledger::{AccountLedger, Fate};
use super::pass::Pass;
use crate::event::{Event, Phase, Place, Reason};
use crate::format::items::ItemAt;
use crate::format::manifest::AccountState;
use crate::limits;
use crate::map::{ItemRow, ItemState};
use crate::model::id::{FolderId, ItemId};
use crate::model::mailbox::{FolderKey, FolderKind, Item};
use crate::shelf::Sorter;
use crate::site::{self, Delivered, Delivery, ItemContent, UidsKept};
use std::collections::{BTreeMap, BTreeSet};

/// Settles what an earlier pass announced and did not live to confirm.
pub fn settle_intents(pass: &Pass<'_>, job: &Job) -> Result<(), ImportError> {
    let intents = pass.map.open_intents(job.record)?;
    if intents.is_empty() {
        return Ok(());
    }
    let folders: BTreeMap<_, _> =
        pass.map.folders(job.record)?.into_iter().map(|row| (row.id, row.target_key)).collect();
    let mut by_folder: BTreeMap<FolderId, Vec<ItemRow>> = BTreeMap::new();
    intents.into_iter().for_each(|row| by_folder.entry(row.folder).or_default().push(row));
    for (folder, rows) in by_folder {
        let names: Vec<_> = rows.iter().map(|row| row.target_name.clone()).collect();
        let present = match folders.get(&folder) {
            Some(key) => pass.target.settle(&job.target, key, &names)?,
            None => vec![None; names.len()],
        };
        for (row, present) in rows.iter().zip(&present) {
            complete_keywords(pass, job, row, present.as_ref())?;
        }
        let (there, not): (Vec<_>, Vec<_>) = rows.iter().zip(present).partition(|(_, present)| present.is_some());
        let (there, _): (Vec<&ItemRow>, Vec<_>) = there.into_iter().unzip();
        let done: Vec<_> = there.iter().map(|row| (row.id, ItemState::Done, None)).collect();
        pass.map.set_item_outcomes(job.record, &done)?;
        if let Some(key) = folders.get(&folder) {
            note_stored(pass, job, key, &there)?;
        }
        pass.map.drop_item_intents(job.record, &not.into_iter().map(|(row, _)| row.id).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// A folder's list of keywords can be lost with the power where its messages are not. Whoever has changed the flags since
/// has seen the message without, and it stays so.
fn complete_keywords(
    pass: &Pass<'_>,
    job: &Job,
    row: &ItemRow,
    present: Option<&site::Present>,
) -> Result<(), ImportError> {
    let Some(present) = present.filter(|there| there.key.kind() == FolderKind::Mail && there.flags == row.flags) else {
        return Ok(());
    };
    if row.keywords.iter().any(|keyword| !present.keywords.contains(keyword)) {
        pass.target.set_flags(&job.target, &present.key, &present.name, present.flags, &row.keywords)?;
    }
    Ok(())
}

/// Delivers `fresh`: the inbox first, then folder by folder, each from its newest item on.
pub fn deliver(
    pass: &Pass<'_>,
    job: &Job,
    state: &AccountState,
    folders: &mut Folders,
    fresh: Vec<ItemId>,
    ledger: &mut AccountLedger,
) -> Result<(), ImportError> {
    if fresh.is_empty() {
        return Ok(());
    }
    let mut present = Present::new(pass, &job.target);
    let share = limits::BATCH_BYTES / pass.options.jobs.get() as u64;
    let mut batch = Batch { bound: share.max(limits::BATCH_BYTES_LEAST), ..Batch::default() };
    for id in newest_first(state, &fresh) {
        let Some(at) = state.items.get(id) else { continue };
        if batch.is_full_for(&at) {
            batch.run(pass, job, state, folders, &mut present, ledger)?;
            pass.go_on()?;
        }
        batch.take(id, &at);
    }
    batch.run(pass, job, state, folders, &mut present, ledger)
}

fn newest_first(state: &AccountState, fresh: &[ItemId]) -> impl Iterator<Item = ItemId> + use<> {
    let dated = || fresh.iter().filter_map(|id| state.items.get(*id).map(|at| (*id, at.folder, at.item.date)));
    let mut newest: BTreeMap<FolderId, i64> = BTreeMap::new();
    for (_, folder, date) in dated() {
        newest.entry(folder).and_modify(|newest| *newest = date.max(*newest)).or_insert(date);
    }
    let mut folders: Vec<_> = newest.into_iter().collect();
    folders.sort_by_key(|(id, date)| {
        let is_inbox = state.folders.get(id).is_some_and(|folder| folder.key == FolderKey::inbox());
        (!is_inbox, std::cmp::Reverse(*date), *id)
    });
    let ranks: BTreeMap<FolderId, u32> = folders.into_iter().map(|(id, _)| id).zip(0..).collect();
    let mut sorter = Sorter::new(state.items.scratch());
    for (id, folder, date) in dated() {
        let rank = ranks.get(&folder).copied().unwrap_or_default();
        // As bytes these sort as the numbers do: the later date and the higher id first.
        let (date, number) = (date.cast_unsigned() ^ 1 << 63, id.0);
        sorter.push(&[&rank.to_be_bytes()[..], &(!date).to_be_bytes(), &(!number).to_be_bytes()].concat(), &[]);
    }
    sorter.finish().filter_map(|(key, _)| key.last_chunk().map(|number| ItemId(!u32::from_be_bytes(*number))))
}

/// Items that are delivered together; they may lie in several folders, one after the other.
#[derive(Default)]
struct Batch {
    ids: Vec<ItemId>,
    bytes: u64,
    /// Most bytes of it.
    bound: u64,
    names: BTreeSet<String>,
}

impl Batch {
    fn is_full_for(&self, at: &ItemAt) -> bool {
        let bytes = self.bytes.saturating_add(at.item.size);
        // A name is reserved only by its delivery; so the same one twice takes two batches.
        !self.ids.is_empty()
            && (self.ids.len() >= limits::BATCH_ITEMS || bytes > self.bound || self.names.contains(&at.item.name))
    }

    fn take(&mut self, id: ItemId, at: &ItemAt) {
        self.ids.push(id);
        self.bytes = self.bytes.saturating_add(at.item.size);
        self.names.insert(at.item.name.clone());
    }

    fn run(
        &mut self,
        pass: &Pass<'_>,
        job: &Job,
        state: &AccountState,
        folders: &mut Folders,
        present: &mut Present<'_>,
        ledger: &mut AccountLedger,
    ) -> Result<(), ImportError> {
        let batch = std::mem::replace(self, Self { bound: self.bound, ..Self::default() });
        let mut groups: Vec<(FolderId, Vec<(ItemId, ItemAt)>)> = Vec::new();
        for (id, at) in batch.ids.iter().filter_map(|&id| Some((id, state.items.get(id)?))) {
            match groups.last_mut() {
                Some((folder, group)) if *folder == at.folder => group.push((id, at)),
                _ => groups.push((at.folder, vec![(id, at)])),
            }
        }
        let mut placed = Vec::new();
        for (folder, group) in groups {
            let Some(key) = place(pass, job, folder, folders, present)? else { continue };
            placed.push((folder, key, group));
        }
        let wanted = placed.iter().flat_map(|(_, key, group)| group.iter().map(|(_, at)| (at, key.kind())));
        let mut contents = contents::read_all(pass, &wanted.collect::<Vec<_>>())?.into_iter();
        let mut prepared = Vec::new();
        let mut intents = Vec::new();
        for (folder, key, group) in placed {
            let wanted: Vec<_> = group.iter().map(|(_, at)| at.item.name.clone()).collect();
            let names = pass.target.reserve_names(&job.target, &key, &wanted)?;
            let mut deliveries = Vec::new();
            for (((id, at), name), content) in group.into_iter().zip(names).zip(contents.by_ref()) {
                let (row, delivery) = prepare(pass, job, (id, &at), name, &key, content);
                match delivery {
                    Some(delivery) => deliveries.push((id, at, delivery)),
                    None => tally(ledger, state, &at).count(&Fate::Rejected(Reason::Damaged(String::new()))),
                }
                intents.push(row);
            }
            prepared.push((folder, key, deliveries));
        }
        pass.map.put_items(&intents)?;
        let mut outcomes = Vec::new();
        let mut progress = (0, 0_u64);
        let (mut places, mut batches) = (Vec::new(), Vec::new());
        let mut keys = Vec::new();
        for (folder, key, deliveries) in prepared {
            if deliveries.is_empty() {
                continue;
            }
            let mut items = Vec::with_capacity(deliveries.len());
            let mut waiting = Vec::with_capacity(deliveries.len());
            let shared = folder_of(job, &key);
            for (id, at, (delivery, made)) in deliveries {
                // With keywords its file name depends on the folder's letters, and is not looked for.
                let copy = made.filter(|_| delivery.keywords.is_empty()).map(|made| {
                    let (folder, name, flags) = (shared.clone(), delivery.name.as_str().into(), delivery.flags);
                    (made.skeleton, Copy { folder, name, flags, trace_bytes: made.trace_bytes })
                });
                waiting.push((id, at, copy));
                items.push(delivery);
            }
            places.push((folder, waiting));
            keys.push((folder, key.clone()));
            batches.push(site::Batch { key, items });
        }
        let delivered = pass.target.deliver_all(&job.target, batches)?;
        for ((folder, waiting), (delivered, uids)) in places.into_iter().zip(delivered) {
            note_uids(pass, folder, folders, uids)?;
            let kind = state.folders.get(&folder).map(|folder| folder.key.kind()).unwrap_or_default();
            for ((id, at, copy), delivered) in waiting.into_iter().zip(delivered) {
                let tally = tally(ledger, state, &at);
                match delivered {
                    Delivered::Done { .. } => {
                        tally.count(&Fate::Imported);
                        tell_keywords(pass, &place_of(job, state, &at), kind, &at.item.keywords);
                        progress = (progress.0 + 1, progress.1.saturating_add(at.item.size));
                        outcomes.push((id, ItemState::Done, None));
                        copy.into_iter().for_each(|(skeleton, copy)| pass.copies.remember(&skeleton, copy));
                    }
                    Delivered::Rejected(reason) => {
                        outcomes.push((id, ItemState::Rejected, Some(reason.to_string())));
                        tally.count(&Fate::Rejected(reason.clone()));
                        pass.reject(place_of(job, state, &at), reason);
                    }
                }
            }
        }
        pass.map.set_item_outcomes(job.record, &outcomes)?;
        let done: BTreeSet<ItemId> =
            outcomes.iter().filter(|(_, state, _)| *state == ItemState::Done).map(|(id, ..)| *id).collect();
        for (folder, key) in keys {
            let rows: Vec<_> = intents.iter().filter(|row| row.folder == folder && done.contains(&row.id)).collect();
            note_stored(pass, job, &key, &rows)?;
        }
        let (items, bytes) = progress;
        pass.add_bytes(bytes);
        pass.sink.emit(Event::Advanced { phase: Phase::Items, items, bytes });
        Ok(())
    }
}

/// Notes in the map what a target has of delivered items where it could not keep their bytes, and tells it.
fn note_stored(pass: &Pass<'_>, job: &Job, key: &FolderKey, rows: &[&ItemRow]) -> Result<(), ImportError> {
    let names: Vec<_> = rows.iter().map(|row| row.target_name.clone()).collect();
    let stored = pass.target.stored_as(&job.target, key, &names)?;
    let mut changed = Vec::new();
    for (row, stored) in rows.iter().zip(stored) {
        let Some(stored) = stored.filter(|stored| stored.object != row.target_object.unwrap_or(row.object)) else {
            continue;
        };
        if stored.by_server {
            let place = Place::item(&job.source, key, &row.source_name);
            pass.notice(place, "the target's server changed some of its bytes");
        }
        let (state, target_object) = (ItemState::Done, Some(stored.object));
        changed.push(ItemRow { state, target_object, ..(*row).clone() });
    }
    pass.map.put_items(&changed)?;
    Ok(())
}

/// Tells which keywords items come without because the target has no way to hold them; once for a folder and keyword.
pub fn tell_keywords(pass: &Pass<'_>, item: &Place, kind: FolderKind, keywords: &[String]) {
    if keywords.is_empty() {
        return;
    }
    for keyword in pass.target.unfit_keywords(kind, keywords) {
        let shown: String = keyword.chars().take(limits::SHOWN_KEYWORD).collect();
        let text = format!("the target cannot hold the keyword {shown:?}; messages come without it");
        pass.notice(Place { item: None, ..item.clone() }, text);
    }
}

fn place_of(job: &Job, state: &AccountState, at: &ItemAt) -> Place {
    let folder = state.folders.get(&at.folder).map(|folder| folder.key.to_string()).unwrap_or_default();
    Place::item(&job.source, &folder, &at.item.name)
}

/// Where a folder's items go; makes it again where a user of the target removed it.
fn place(
    pass: &Pass<'_>,
    job: &Job,
    id: FolderId,
    folders: &mut Folders,
    present: &mut Present<'_>,
) -> Result<Option<FolderKey>, ImportError> {
    // A folder without a row was rejected; its items never come here.
    let Some(row) = folders.rows.get_mut(&id) else { return Ok(None) };
    if !present.has(&row.target_key)? {
        match folders::make_again(pass, job, row)? {
            Ok(key) => {
                present.add(key.clone())?;
                if key != row.target_key {
                    row.target_key = key;
                    pass.map.put_folders(std::slice::from_ref(row))?;
                }
            }
            Err(reason) => pass.reject(Place::folder(&job.source, &row.source_key), reason),
        }
    }
    Ok(Some(row.target_key.clone()))
}

fn note_uids(pass: &Pass<'_>, id: FolderId, folders: &mut Folders, uids: UidsKept) -> Result<(), ImportError> {
    if let (UidsKept::No(reason), Some(row)) = (uids, folders.rows.get_mut(&id))
        && row.uids_lost.is_none()
    {
        row.uids_lost = Some(reason);
        pass.map.put_folders(std::slice::from_ref(row))?;
    }
    Ok(())
}

/// A delivery, and what copies of it have in common with it.
type Prepared = (Delivery, Option<Made>);

/// An item's intent and its delivery; where the archive no longer has its content, its rejection.
fn prepare(
    pass: &Pass<'_>,
    job: &Job,
    (id, at): (ItemId, &ItemAt),
    name: String,
    key: &FolderKey,
    content: Result<Found, Reason>,
) -> (ItemRow, Option<Prepared>) {
    let item = &at.item;
    let mut row = ItemRow {
        record: job.record,
        id,
        folder: at.folder,
        source_name: item.name.clone(),
        target_name: name.clone(),
        object: item.object,
        target_object: None,
        flags: item.flags,
        keywords: item.keywords.clone(),
        tags: item.tags.clone(),
        state: ItemState::Intent,
        reason: None,
        snapshot: pass.snapshot,
    };
    let place = || Place::item(&job.source, key, &item.name);
    match content {
        Ok(Found { content, target_object, made }) => {
            if target_object.is_some() && key.kind() == FolderKind::Filters {
                pass.notice(place(), "addresses in its redirects were rewritten");
            }
            row.target_object = target_object;
            (row, Some((delivery(name, content, item), made)))
        }
        Err(reason) => {
            (row.state, row.reason) = (ItemState::Rejected, Some(reason.to_string()));
            pass.reject(place(), reason);
            (row, None)
        }
    }
}

/// The item on its way in.
pub fn delivery(name: String, content: ItemContent, item: &Item) -> Delivery {
    Delivery {
        name,
        content,
        date: item.date,
        flags: item.flags,
        keywords: item.keywords.clone(),
        tags: item.tags.clone(),
        uid: item.uid,
        uidl: item.uidl.clone(),
    }
}
