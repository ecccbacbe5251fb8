//! With `--delete`: what the source removed is removed from the target, unless a user of the target has touched it.

use super::ImportError;
use super::account::{Folders, Job};
use super::changes::{self, Contents, by_place};
use super::pass::Pass;
use super::provisioning::{OnTarget, by_key};
use crate::event::{Place, Reason};
use crate::format::manifest::AccountState;
use crate::limits;
use crate::map::{FolderRow, FolderState, ItemRow, ItemState, RecordRow, RecordState};
use crate::model::mailbox::{Flags, FolderKey, FolderKind};
use crate::model::provisioning::{RecordKind, domain_of};
use crate::site::{Depth, FolderScan, Present, RecordChange};
use std::collections::BTreeSet;

/// Removes items, then the folders that are empty without them. `false`: some item of the target could not be read, so
/// nobody knows whether it was touched, and the next pass has to try again.
pub fn follow(
    pass: &Pass<'_>,
    job: &Job,
    state: &AccountState,
    folders: &Folders,
    gone: Vec<ItemRow>,
) -> Result<bool, ImportError> {
    if !pass.options.delete || pass.options.additive {
        return Ok(true);
    }
    let mut unread = BTreeSet::new();
    let mut contents = Contents::new(pass, &job.target);
    let mut settled = Vec::new();
    for (key, rows) in by_place(gone, folders) {
        if pass.skips_folder(key.kind()).is_some() {
            continue;
        }
        // A message has one content for ever; anything else may be edited between the look at it and its end, so those go
        // one by one, each right after it was looked at.
        let together = key.kind() == FolderKind::Mail;
        for chunk in rows.chunks(limits::BATCH_ITEMS) {
            pass.go_on()?;
            let names: Vec<_> = chunk.iter().map(|row| row.target_name.clone()).collect();
            let present = pass.target.settle(&job.target, &key, &names)?;
            let mut going = Vec::new();
            for (row, present) in chunk.iter().zip(present) {
                let touched = match &present {
                    Some(present) => is_touched(&mut contents, row, &key, present)?,
                    None => Ok(false),
                };
                match touched {
                    Err(reason) => {
                        pass.reject(Place::item(&job.source, &key, &row.source_name), reason);
                        unread.insert(key.clone());
                        pass.postpone(job.record);
                    }
                    Ok(true) => {
                        let place = Place::item(&job.source, &key, &row.source_name);
                        pass.conflict(place, "removed on the source, changed on the target: it stays");
                    }
                    Ok(false) if present.is_some() => {
                        if !together {
                            pass.target.remove_item(&job.target, &key, &row.target_name)?;
                        }
                        going.push(row);
                    }
                    // By its user, or by this very pass before it was killed: gone on both sides.
                    Ok(false) => settled.push(removed(pass, row)),
                }
            }
            // What was touched is kept, so all of these lie where import left them.
            if together {
                let names: Vec<_> = going.iter().map(|row| row.target_name.clone()).collect();
                pass.target.remove_items(&job.target, &key, &names)?;
            }
            for row in going {
                let place = Place::folder(&job.source, source_key(folders, row, &key));
                pass.removed(place, |removed| removed.items += 1);
                settled.push(removed(pass, row));
            }
            // Each waits for the disk, so the few of many folders go together.
            if settled.len() >= limits::BATCH_ITEMS {
                changes::remember(pass, job, &std::mem::take(&mut settled))?;
            }
        }
    }
    changes::remember(pass, job, &settled)?;
    remove_folders(pass, job, state, folders, &unread)?;
    Ok(unread.is_empty())
}

fn removed(pass: &Pass<'_>, row: &ItemRow) -> ItemRow {
    ItemRow { state: ItemState::Removed, snapshot: pass.snapshot, ..row.clone() }
}

/// What the source calls the item's folder.
fn source_key<'f>(folders: &'f Folders, row: &ItemRow, target_key: &'f FolderKey) -> &'f FolderKey {
    folders.rows.get(&row.folder).map_or(target_key, |folder| &folder.source_key)
}

fn is_touched(
    contents: &mut Contents<'_>,
    row: &ItemRow,
    key: &FolderKey,
    present: &Present,
) -> Result<Result<bool, Reason>, ImportError> {
    // Who marked it as deleted wants what the source has done; and so did a removal that was cut off.
    let marked = Flags::from_letters(&format!("{}T", row.flags));
    let same_flags = present.flags == row.flags || present.flags == marked;
    if present.key != *key || !same_flags || present.keywords != row.keywords {
        return Ok(Ok(true));
    }
    // A message has one content for ever; anything else may have been edited in place.
    if key.kind() == FolderKind::Mail {
        return Ok(Ok(false));
    }
    let wanted = row.target_object.unwrap_or(row.object);
    Ok(contents.object(present)?.map(|has| has != Some(wanted)))
}

/// Removes what has no item left, from the innermost folder on. One that holds something `unread`, or has such a folder
/// below it, is left to the next pass.
fn remove_folders(
    pass: &Pass<'_>,
    job: &Job,
    state: &AccountState,
    folders: &Folders,
    unread: &BTreeSet<FolderKey>,
) -> Result<(), ImportError> {
    let gone = folders.rows.values().filter(|row| !state.folders.contains_key(&row.id));
    let mut gone: Vec<&FolderRow> = gone.filter(|row| pass.skips_folder(row.target_key.kind()).is_none()).collect();
    gone.sort_by_key(|row| std::cmp::Reverse(row.target_key.levels().count()));
    for row in gone {
        // Another folder of the source may have taken its place on the target.
        let shared = folders.rows.values().any(|other| other.id != row.id && other.target_key == row.target_key);
        let place = Place::folder(&job.source, &row.source_key);
        let waits = unread.iter().any(|key| *key == row.target_key || key.is_below(&row.target_key));
        if row.target_key == FolderKey::inbox() || shared || waits {
            continue;
        }
        if is_empty(pass, &job.target, &row.target_key)? {
            if let Err(reason) = pass.target.remove_folder(&job.target, &row.target_key)? {
                pass.conflict(place, format!("removed on the source, kept on the target: {reason}"));
                continue;
            }
        } else {
            pass.conflict(place, "removed on the source, but not empty on the target: it stays");
            continue;
        }
        pass.removed(place, |removed| removed.whole = Some("folder"));
        let removed = FolderRow { state: FolderState::Removed, snapshot: pass.snapshot, ..row.clone() };
        pass.target.changes_made(&job.target)?;
        pass.map.put_folders(&[removed])?;
    }
    Ok(())
}

fn is_empty(pass: &Pass<'_>, account: &str, key: &FolderKey) -> Result<bool, ImportError> {
    Ok(match pass.target.folder(account, key, None, Depth::Marks)? {
        FolderScan::Listed(listing) => listing.items.is_empty() && listing.rejected.is_empty(),
        FolderScan::Vanished => true,
        FolderScan::Unchanged => false,
    })
}

/// Whether nothing at all lies in the account's mailbox.
fn mailbox_is_empty(pass: &Pass<'_>, account: &str) -> Result<bool, ImportError> {
    for found in pass.target.mailbox(account)?.folders {
        if !is_empty(pass, account, &found.key)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// With `--delete`: removes from the target what the source no longer has and nobody has touched. An account goes only
/// when its mailbox is empty, for its items went before; where this pass could not take one, the next one sees to both.
pub fn records(pass: &Pass<'_>) -> Result<(), ImportError> {
    let present = &pass.started.provisioning.records;
    let gone: Vec<_> = pass
        .rows
        .values()
        .filter(|row| {
            row.state == RecordState::Done && !present.contains_key(&row.id) && pass.is_chosen(&row.source_key)
        })
        .collect();
    if !pass.options.delete || pass.options.additive || gone.is_empty() {
        return Ok(());
    }
    let on_target: OnTarget = by_key(pass.target.provisioning()?.records);
    // What refers to others goes before them: the reverse of the order of making.
    for row in gone.into_iter().rev() {
        let removed = RecordRow { state: RecordState::Removed, snapshot: pass.snapshot, ..row.clone() };
        let Some(record) = on_target.get(&(row.kind, row.target_key.clone())) else {
            pass.map.put_records(&[removed])?;
            continue;
        };
        if pass.is_postponed(row.id) {
            continue;
        }
        let touched = *record != *row.seen.as_ref().unwrap_or(&row.base);
        let keeps = match row.kind {
            _ if touched => Some("changed on the target"),
            RecordKind::Account if !mailbox_is_empty(pass, &row.target_key)? => Some("its mailbox is not empty"),
            RecordKind::Domain
                if on_target.keys().any(|(_, key)| domain_of(key) == row.target_key && key.contains('@')) =>
            {
                Some("somebody has an address in it")
            }
            _ => None,
        };
        if let Some(why) = keeps {
            pass.conflict(Place::account(&row.source_key), format!("removed on the source; kept on the target: {why}"));
            continue;
        }
        let outcome = pass.target.put_records(&[RecordChange::Remove { record: record.clone() }])?;
        match outcome.into_iter().next() {
            Some(Err(reason)) => pass.reject(Place::account(&row.source_key), reason),
            _ => {
                pass.removed(Place::account(&row.source_key), |removed| removed.whole = Some(row.kind.word()));
                pass.map.put_records(&[removed])?;
            }
        }
    }
    Ok(())
}
