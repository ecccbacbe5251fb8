//! After a snapshot that was made without its damaged parents: what the map knows under a number that only the lost
//! snapshot knew gets the number that it has now, so that nothing is brought twice.
//!
//! A record is the same when kind and name are, a folder when its place is, an item when its bytes are (in the same folder
//! first). Only what this snapshot newly numbered is compared with what the map has and the snapshot no longer knows.
//! Doing it again changes nothing.

use super::ImportError;
use super::account::Job;
use super::pass::Pass;
use crate::archive::history::History;
use crate::event::Place;
use crate::format::manifest::AccountState;
use crate::format::snapshot::Provisioning;
use crate::map::Map;
use crate::model::id::{FolderId, ItemId, ObjectId, RecordId, SnapshotNo};
use std::collections::{BTreeMap, HashMap};

/// The snapshots that the newest gap of the chain is made of, and the one that goes on after it.
fn gap<'h>(history: &'h History<'_>) -> Option<(SnapshotNo, &'h [SnapshotNo])> {
    history.heads().iter().rev().find(|head| !head.lost.is_empty()).map(|head| (head.no, head.lost.as_slice()))
}

/// Whether the account's mailbox was not known for certain when one of the snapshots was made.
fn is_salvaged(history: &History<'_>, account: RecordId) -> bool {
    let entries = history.heads().iter().flat_map(|head| &head.accounts);
    entries.into_iter().any(|entry| entry.id == account && entry.salvaged)
}

/// Tells the user what this import does that others do not.
pub fn announce(pass: &Pass<'_>) {
    if let Some((no, lost)) = gap(pass.history) {
        let lost = lost.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let text = format!(
            "snapshot {no} was made without {lost}, which cannot be read: accounts are compared as a whole with what was \
             imported, not only what came after; what only a lost snapshot knew is recognized by name and content"
        );
        pass.notice(Place::default(), text);
    }
}

/// Gives the map's records the numbers that the snapshot has for them.
pub fn records(map: &Map, history: &History<'_>, present: &Provisioning) -> Result<(), ImportError> {
    if gap(history).is_none() {
        return Ok(());
    }
    let rows = map.records()?;
    let known: BTreeMap<RecordId, ()> = rows.iter().map(|row| (row.id, ())).collect();
    let mut numbers = Vec::new();
    for row in rows.iter().filter(|row| !present.records.contains_key(&row.id)) {
        let same = present.find(row.kind, &row.source_key).map(|stored| stored.id);
        numbers.extend(same.filter(|id| !known.contains_key(id)).map(|id| (row.id, id)));
    }
    Ok(map.renumber_records(&numbers)?)
}

/// Gives the map's folders and items of one account the numbers that the snapshot has for them.
pub fn account(pass: &Pass<'_>, job: &Job, state: &AccountState) -> Result<(), ImportError> {
    if !is_salvaged(pass.history, job.record) {
        return Ok(());
    }
    let folders = pass.map.folders(job.record)?;
    let fresh: HashMap<_, FolderId> = state
        .folders
        .iter()
        .filter(|(id, _)| folders.iter().all(|row| row.id != **id))
        .map(|(id, folder)| (&folder.key, *id))
        .collect();
    let gone = folders.iter().filter(|row| !state.folders.contains_key(&row.id));
    let numbers: Vec<_> = gone.filter_map(|row| Some((row.id, *fresh.get(&row.source_key)?))).collect();
    pass.map.renumber_folders(job.record, &numbers)?;

    let mut known = std::collections::HashSet::new();
    let mut gone: Vec<(ItemId, FolderId, ObjectId)> = Vec::new();
    pass.map.each_item(job.record, |row| -> Result<(), ImportError> {
        match state.items.contains(row.id) {
            true => drop(known.insert(row.id)),
            false => gone.push((row.id, row.folder, row.object)),
        }
        Ok(())
    })?;
    let mut fresh: HashMap<ObjectId, Vec<(FolderId, ItemId)>> = HashMap::new();
    for (id, at) in state.items.iter().rev().filter(|(id, _)| !known.contains(id)) {
        fresh.entry(at.item.object).or_default().push((at.folder, id));
    }
    let mut numbers = Vec::new();
    // Copies of one message in several folders are told apart by the folder; what moved meanwhile comes after.
    for same_folder in [true, false] {
        gone.retain(|(old, folder, object)| {
            let candidates = fresh.get_mut(object);
            let found = candidates.and_then(|candidates| {
                let fits = |(at, _): &(FolderId, ItemId)| !same_folder || at == folder;
                candidates.iter().rposition(fits).map(|at| candidates.remove(at).1)
            });
            numbers.extend(found.map(|new| (*old, new)));
            found.is_none()
        });
    }
    pass.check_scratch()?;
    pass.map.renumber_items(job.record, &numbers)?;
    if !numbers.is_empty() {
        let text =
            format!("{} items have other numbers since a snapshot was lost; they were recognized", numbers.len());
        pass.notice(Place::account(&job.source), text);
    }
    Ok(())
}
