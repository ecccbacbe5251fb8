//! Items that were imported before: what changed on the source since is brought to the target by the three-way rule.
//!
//! The target is asked only for the items that changed on the source.

use super::ImportError;
use super::account::{Folders, Job};
use super::contents;
use super::deliver;
use super::ledger::{AccountLedger, Fate, Tally};
use super::merge::{self, Verdict};
use super::pass::Pass;
use crate::event::{Place, Reason};
use crate::format::items::ItemAt;
use crate::format::manifest::AccountState;
use crate::fs::digest;
use crate::limits;
use crate::map::{ItemRow, ItemState};
use crate::model::id::{ItemId, ObjectId};
use crate::model::mailbox::{Flags, FolderKey};
use crate::site::{Content, Depth, FolderListing, FolderScan, Marking, Present, SiteError};
use std::collections::BTreeMap;
use std::io;

/// An account's items by what is to be done.
#[derive(Default)]
pub struct Sorted {
    /// Not in the map, and no rule keeps them out.
    pub fresh: Vec<ItemId>,
    /// In the map, and different now on the source.
    pub changed: Vec<ItemRow>,
    /// In the map, and gone from the source; only collected where deletions follow.
    pub gone: Vec<ItemRow>,
}

/// Compares map and snapshot, and counts in the ledger whatever is settled by that.
pub fn sort(
    pass: &Pass<'_>,
    job: &Job,
    state: &AccountState,
    folders: &Folders,
    ledger: &mut AccountLedger,
) -> Result<Sorted, ImportError> {
    let follows = pass.options.delete && !pass.options.additive;
    let mut sorted = Sorted::default();
    let mut items = state.items.iter().peekable();
    // Both sides come in order of id.
    pass.map.each_item(job.record, |row| {
        while let Some((id, at)) = items.next_if(|(id, _)| *id < row.id) {
            sort_new(pass, (id, &at), state, folders, (ledger, &mut sorted.fresh));
        }
        match items.next_if(|(id, _)| *id == row.id) {
            Some((id, at)) if row.state == ItemState::Rejected => {
                sort_new(pass, (id, &at), state, folders, (ledger, &mut sorted.fresh));
            }
            Some((_, at)) => {
                tally(ledger, state, &at).count(&Fate::AlreadyThere);
                if may_merge(pass, &row, state, &at) && differs(&row, &at) {
                    sorted.changed.push(row);
                }
            }
            None if follows && is_there(&row) => sorted.gone.push(row),
            None => {}
        }
        Ok::<_, ImportError>(())
    })?;
    for (id, at) in items {
        sort_new(pass, (id, &at), state, folders, (ledger, &mut sorted.fresh));
    }
    Ok(sorted)
}

fn is_there(row: &ItemRow) -> bool {
    matches!(row.state, ItemState::Done | ItemState::Adopted)
}

fn may_merge(pass: &Pass<'_>, row: &ItemRow, state: &AccountState, at: &ItemAt) -> bool {
    let kind = state.folders.get(&at.folder).map(|folder| folder.key.kind()).unwrap_or_default();
    is_there(row) && row.snapshot <= pass.snapshot && pass.skips_folder(kind).is_none()
}

fn sort_new(
    pass: &Pass<'_>,
    (id, at): (ItemId, &ItemAt),
    state: &AccountState,
    folders: &Folders,
    (ledger, fresh): (&mut AccountLedger, &mut Vec<ItemId>),
) {
    let kind = state.folders.get(&at.folder).map(|folder| folder.key.kind()).unwrap_or_default();
    let too_old = pass.options.since.is_some_and(|since| at.item.date < since);
    let fate = match pass.skips_folder(kind) {
        Some(rule) => Fate::Excluded(rule),
        None if too_old => Fate::Excluded("older than --since"),
        None => match folders.rejected.get(&at.folder) {
            Some(reason) => Fate::Rejected(reason.clone()),
            None => return fresh.push(id),
        },
    };
    tally(ledger, state, at).count(&fate);
}

/// The line of the ledger for the folder of an item.
pub fn tally<'l>(ledger: &'l mut AccountLedger, state: &AccountState, at: &ItemAt) -> &'l mut Tally {
    let name = state.folders.get(&at.folder).map(|folder| folder.key.to_string()).unwrap_or_default();
    ledger.folders.entry(name).or_default()
}

/// Counts items that were found on the target.
pub fn count_found(rows: &[ItemRow], state: &AccountState, ledger: &mut AccountLedger) {
    for at in rows.iter().filter_map(|row| state.items.get(row.id)) {
        tally(ledger, state, &at).count(&Fate::AlreadyThere);
    }
}

/// Those of `rows` that are there and that the source has in another state now.
pub fn differing(rows: Vec<ItemRow>, state: &AccountState, pass: &Pass<'_>) -> Vec<ItemRow> {
    let differ =
        |row: &ItemRow| state.items.get(row.id).is_some_and(|at| may_merge(pass, row, state, &at) && differs(row, &at));
    rows.into_iter().filter(differ).collect()
}

fn differs(row: &ItemRow, at: &ItemAt) -> bool {
    let item = &at.item;
    row.flags != item.flags
        || row.folder != at.folder
        || row.object != item.object
        || row.keywords != item.keywords
        || row.tags != item.tags
        || row.source_name != item.name
}

/// Brings the changes of `rows` to the target, and the new state into the map. `false`: some content could not be had, and
/// the next pass has to try again.
pub fn apply(
    pass: &Pass<'_>,
    job: &Job,
    state: &AccountState,
    folders: &Folders,
    rows: Vec<ItemRow>,
) -> Result<bool, ImportError> {
    let mut complete = true;
    let mut settled = Vec::new();
    let mut contents = Contents::new(pass, &job.target);
    let tags = rows.iter().filter(|row| state.items.get(row.id).is_some_and(|at| at.item.tags != row.tags)).count();
    if tags > 0 {
        let text = format!("the tags of {tags} items changed on the source; the target keeps those they came with");
        pass.notice(Place::account(&job.source), text);
    }
    for (key, rows) in by_place(rows, folders) {
        for chunk in rows.chunks(limits::BATCH_ITEMS) {
            pass.go_on()?;
            let names: Vec<_> = chunk.iter().map(|row| row.target_name.clone()).collect();
            let present = pass.target.settle(&job.target, &key, &names)?;
            let mut merging = Vec::new();
            for (row, present) in chunk.iter().zip(present) {
                let Some(at) = state.items.get(row.id) else { continue };
                let Some(present) = present else {
                    let gone = ItemRow { state: ItemState::DeletedOnTarget, snapshot: pass.snapshot, ..row.clone() };
                    settled.push(gone);
                    continue;
                };
                match moved(pass, job, folders, Merging::new(pass, row, at, present))? {
                    Ok(one) => merging.push(one),
                    Err(gone) => settled.push(gone),
                }
            }
            mark(pass, job, folders, &merging)?;
            for one in merging {
                let wanted = one.at.item.object;
                let next = replaced(pass, job, folders, &mut contents, one)?;
                complete &= next.object == wanted;
                settled.push(next);
            }
            if settled.len() >= limits::BATCH_ITEMS {
                remember(pass, job, &std::mem::take(&mut settled))?;
            }
        }
    }
    remember(pass, job, &settled)?;
    Ok(complete)
}

/// Tells the map what was changed on the target, once a power loss cannot take it back there: what the map knows is not
/// done again.
pub fn remember(pass: &Pass<'_>, job: &Job, rows: &[ItemRow]) -> Result<(), ImportError> {
    if !rows.is_empty() {
        pass.check_scratch()?;
        pass.target.changes_made(&job.target)?;
        pass.map.put_items(rows)?;
    }
    Ok(())
}

/// Rows by the folder of the target in which import left them.
pub fn by_place(rows: Vec<ItemRow>, folders: &Folders) -> BTreeMap<FolderKey, Vec<ItemRow>> {
    let mut placed: BTreeMap<FolderKey, Vec<ItemRow>> = BTreeMap::new();
    for row in rows {
        if let Some(folder) = folders.rows.get(&row.folder) {
            placed.entry(folder.target_key.clone()).or_default().push(row);
        }
    }
    placed
}

/// An item that is being merged.
struct Merging<'r> {
    row: &'r ItemRow,
    at: ItemAt,
    present: Present,
    /// Its row after that.
    next: ItemRow,
}

impl<'r> Merging<'r> {
    fn new(pass: &Pass<'_>, row: &'r ItemRow, at: ItemAt, present: Present) -> Self {
        let item = &at.item;
        let next = ItemRow {
            source_name: item.name.clone(),
            tags: item.tags.clone(),
            flags: item.flags,
            keywords: item.keywords.clone(),
            snapshot: pass.snapshot,
            ..row.clone()
        };
        Self { row, at, present, next }
    }

    fn place(&self, job: &Job, folders: &Folders) -> Place {
        let folder = folders.rows.get(&self.at.folder).map(|folder| folder.source_key.to_string()).unwrap_or_default();
        Place::item(&job.source, &folder, &self.at.item.name)
    }
}

/// Moves an item where the source has moved it; `Err` inside: its row, for it is gone. Doing it twice changes nothing, here
/// and in what follows.
fn moved<'r>(
    pass: &Pass<'_>,
    job: &Job,
    folders: &Folders,
    mut one: Merging<'r>,
) -> Result<Result<Merging<'r>, ItemRow>, ImportError> {
    let (row, folder) = (one.row, one.at.folder);
    let key_of = |id| folders.rows.get(&id).map(|folder| &folder.target_key);
    if row.folder != folder
        && !pass.options.additive
        && let (Some(from), Some(to)) = (key_of(row.folder), key_of(folder))
    {
        match merge::one(from, to, &one.present.key) {
            Verdict::Apply => {
                if !pass.target.move_item(&job.target, &one.present.key, &row.target_name, to)? {
                    return Ok(Err(ItemRow { state: ItemState::DeletedOnTarget, ..one.next }));
                }
                one.present.key = to.clone();
            }
            Verdict::Conflict => {
                let there = &one.present.key;
                let text = format!("moved on the source; on the target it lies in {there}");
                pass.conflict(one.place(job, folders), text);
            }
            Verdict::Keep => {}
        }
        one.next.folder = folder;
    }
    Ok(Ok(one))
}

/// Sets flags and keywords where the source changed them, those of a folder together.
fn mark(pass: &Pass<'_>, job: &Job, folders: &Folders, merging: &[Merging<'_>]) -> Result<(), ImportError> {
    let mut wanted: BTreeMap<&FolderKey, (Vec<Marking>, Vec<Place>)> = BTreeMap::new();
    for one in merging {
        let Merging { row, at: ItemAt { item, .. }, present, .. } = one;
        let flags = Flags::merge(row.flags, item.flags, present.flags);
        let keywords = merge::keywords(&row.keywords, &item.keywords, &present.keywords);
        if flags != present.flags || keywords != present.keywords {
            let (markings, places) = wanted.entry(&present.key).or_default();
            markings.push(Marking { name: row.target_name.clone(), flags, keywords });
            places.push(one.place(job, folders));
        }
    }
    for (key, (markings, places)) in wanted {
        pass.target.mark_items(&job.target, key, &markings)?;
        // Only now the target knows what its server refuses.
        for (marking, place) in markings.iter().zip(&places) {
            deliver::tell_keywords(pass, place, key.kind(), &marking.keywords);
        }
    }
    Ok(())
}

/// Brings an item's content, where the source has another one now. Returns its new row.
fn replaced(
    pass: &Pass<'_>,
    job: &Job,
    folders: &Folders,
    contents: &mut Contents<'_>,
    one: Merging<'_>,
) -> Result<ItemRow, ImportError> {
    let place = || one.place(job, folders);
    let (row, at, item, present) = (one.row, &one.at, &one.at.item, &one.present);
    let mut next = one.next.clone();
    if row.object != item.object {
        let contents::Found { content, target_object, .. } = match contents::content(pass, at, present.key.kind())? {
            Ok(found) => found,
            Err(reason) => {
                pass.reject(place(), reason);
                return Ok(ItemRow { object: row.object, ..next });
            }
        };
        let (mut target_object, base) = (target_object, row.target_object.unwrap_or(row.object));
        let wanted = target_object.unwrap_or(item.object);
        let has = match contents.object(present)? {
            Ok(has) => has,
            Err(reason) => {
                pass.reject(place(), reason);
                return Ok(ItemRow { object: row.object, ..next });
            }
        };
        match merge::one(&Some(base), &Some(wanted), &has) {
            Verdict::Apply => {
                let delivery = deliver::delivery(row.target_name.clone(), content, item);
                let replaced = match pass.target.replace_item(&job.target, &present.key, delivery) {
                    Err(SiteError::Refused(reason)) => {
                        pass.reject(place(), reason);
                        return Ok(ItemRow { object: row.object, ..next });
                    }
                    outcome => outcome?,
                };
                if replaced {
                    let names = std::slice::from_ref(&row.target_name);
                    let stored = pass.target.stored_as(&job.target, &present.key, names)?;
                    // The target may have made something else of it.
                    let altered =
                        stored.into_iter().flatten().map(|stored| stored.object).find(|object| *object != wanted);
                    target_object = altered.or(target_object);
                }
            }
            Verdict::Conflict => pass.conflict(place(), "edited on both sides; the target's stays"),
            Verdict::Keep => {}
        }
        (next.object, next.target_object) = (item.object, target_object);
    }
    Ok(next)
}

/// What the target's items contain right now, folder by folder.
pub struct Contents<'p> {
    pass: &'p Pass<'p>,
    account: &'p str,
    listings: BTreeMap<FolderKey, Option<Box<FolderListing>>>,
}

impl<'p> Contents<'p> {
    pub fn new(pass: &'p Pass<'p>, account: &'p str) -> Self {
        Self { pass, account, listings: BTreeMap::new() }
    }

    /// The object that the item's content is; `None` when it is gone. What cannot be read is no change of the target's.
    pub fn object(&mut self, present: &Present) -> Result<Result<Option<ObjectId>, Reason>, ImportError> {
        if !self.listings.contains_key(&present.key) {
            let listing = match self.pass.target.folder(self.account, &present.key, None, Depth::Deep)? {
                FolderScan::Listed(listing) => Some(listing),
                FolderScan::Unchanged | FolderScan::Vanished => None,
            };
            self.listings.insert(present.key.clone(), listing);
        }
        let listing = self.listings.get(&present.key).and_then(Option::as_ref);
        let found = listing.and_then(|listing| listing.items.find(&present.name));
        let Some(found) = found else {
            let mut rejected = listing.into_iter().flat_map(|listing| &listing.rejected);
            let unread = rejected.find(|one| one.place.item.as_ref() == Some(&present.name));
            return Ok(unread.map_or(Ok(None), |one| Err(one.reason.clone())));
        };
        match self.pass.target.read(self.account, &present.key, &found)? {
            Content::Rejected(reason) => Ok(Err(reason)),
            content => Ok(object_of(content).map_err(|error| Reason::Unreadable(error.to_string()))),
        }
    }
}

/// The name of some content; `None` where there is none.
pub fn object_of(content: Content) -> io::Result<Option<ObjectId>> {
    Ok(match content {
        Content::Bytes { bytes, .. } => Some(ObjectId::of(&bytes)),
        Content::Large { open, .. } => {
            let (digest, _) = digest(open()?.as_mut())?;
            Some(ObjectId::from_digest(digest))
        }
        Content::Vanished | Content::Rejected(_) => None,
    })
}
