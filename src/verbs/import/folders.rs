//! The folders of one account: made, renamed and described as on the source, by the three-way rule.
//!
//! Safe to repeat at any point: making is repeatable, and a rename whose outcome never reached the map is recognised by
//! its result. Grants are only noted here; they are links, written when everybody has arrived.

use super::account::{Folders, Job};
use super::merge::{Verdict, one};
use super::pass::Pass;
use super::way_back::{self, Origins};
use super::{ImportError, Skip};
use crate::event::{Place, Reason};
use crate::format::manifest::AccountState;
use crate::map::{FolderRow, FolderState, GrantsRow};
use crate::model::id::FolderId;
use crate::model::mailbox::{Folder, FolderKey, FolderKind};
use crate::site::{Depth, FolderPut, FolderScan};
use std::collections::{BTreeMap, BTreeSet};

/// The target's folders of an account, listed when first asked for.
pub struct Present<'p> {
    pass: &'p Pass<'p>,
    account: &'p str,
    keys: Option<BTreeSet<FolderKey>>,
}

impl<'p> Present<'p> {
    pub fn new(pass: &'p Pass<'p>, account: &'p str) -> Self {
        Self { pass, account, keys: None }
    }

    fn keys(&mut self) -> Result<&mut BTreeSet<FolderKey>, ImportError> {
        let keys = match self.keys.take() {
            Some(keys) => keys,
            None => self.pass.target.mailbox(self.account)?.folders.into_iter().map(|found| found.key).collect(),
        };
        Ok(self.keys.insert(keys))
    }

    pub fn has(&mut self, key: &FolderKey) -> Result<bool, ImportError> {
        Ok(self.keys()?.contains(key))
    }

    pub fn add(&mut self, key: FolderKey) -> Result<(), ImportError> {
        self.keys()?.insert(key);
        Ok(())
    }
}

/// What the target says of a folder; only the place where it is not there.
pub fn on_target(pass: &Pass<'_>, account: &str, key: &FolderKey) -> Result<Option<Folder>, ImportError> {
    match pass.target.folder(account, key, None, Depth::Marks)? {
        FolderScan::Listed(listing) => Ok(Some(listing.folder)),
        FolderScan::Unchanged | FolderScan::Vanished => Ok(None),
    }
}

/// Brings the folders of one account, outermost first.
pub fn bring(pass: &Pass<'_>, job: &Job, state: &AccountState) -> Result<Folders, ImportError> {
    let rows = pass.map.folders(job.record)?.into_iter().filter(|row| row.state == FolderState::Done);
    let mut folders = Folders { rows: rows.map(|row| (row.id, row)).collect(), rejected: BTreeMap::new() };
    let taken = state.folders.iter().map(|(&id, folder)| (id, folder));
    let taken = taken.filter(|(_, folder)| pass.skips_folder(folder.key.kind()).is_none());
    let (known, mut new): (Vec<_>, Vec<_>) = taken.partition(|(id, _)| folders.rows.contains_key(id));
    new.sort_by_key(|(_, folder)| depth_first(folder));
    let mut present = Present::new(pass, &job.target);
    // Known ones first: a new folder may take the place of one that was renamed.
    for (id, folder) in renames_in_order(known, &folders) {
        follow(pass, job, (id, folder), &mut folders, &mut present)?;
    }
    let origins = if new.is_empty() { None } else { way_back::origins(pass, &job.source)? };
    let mut made = Vec::new();
    for &(id, folder) in &new {
        match make(pass, job, (id, folder), origins.as_ref(), &mut present)? {
            Ok(row) => made.push(row),
            Err(reason) => {
                pass.reject(Place::folder(&job.source, &folder.key), reason.clone());
                folders.rejected.insert(id, reason);
            }
        }
    }
    // Making a folder twice changes nothing, so one wait for the disk and one commit do for all.
    if !made.is_empty() {
        pass.target.folders_made(&job.target)?;
    }
    pass.map.put_folders(&made)?;
    folders.rows.extend(made.into_iter().map(|row| (row.id, row)));
    if origins.is_some() {
        for &(id, folder) in &new {
            follow(pass, job, (id, folder), &mut folders, &mut present)?;
        }
    }
    note_grants(pass, job, state, &folders, origins.as_ref())?;
    Ok(folders)
}

fn depth_first(folder: &Folder) -> (usize, &FolderKey) {
    (folder.key.levels().count(), &folder.key)
}

/// Known folders, outermost first, but one that moves to a place after the one that leaves it.
fn renames_in_order<'s>(known: Vec<(FolderId, &'s Folder)>, folders: &Folders) -> Vec<(FolderId, &'s Folder)> {
    let mut left = known;
    left.sort_by_key(|(_, folder)| depth_first(folder));
    let mut order = Vec::new();
    while !left.is_empty() {
        let leaves = |id: &FolderId| folders.rows.get(id).map(|row| &row.target_key);
        let occupied = |&(id, folder): &(FolderId, &Folder)| {
            let holds = |(other, to): &(FolderId, &Folder)| {
                *other != id && leaves(other) == Some(&folder.key) && to.key != folder.key
            };
            leaves(&id) != Some(&folder.key) && left.iter().any(holds)
        };
        let waiting: Vec<&FolderKey> =
            left.iter().filter(|each| occupied(each)).filter_map(|(id, _)| leaves(id)).collect();
        // What lies below a folder that waits moves with it.
        let waits = |(id, _): &(FolderId, &Folder)| {
            leaves(id).is_some_and(|place| waiting.iter().any(|above| *above == place || is_below(place, above)))
        };
        let (later, now): (Vec<_>, Vec<_>) = left.iter().copied().partition(waits);
        // Folders that change places with each other cannot be put in order.
        let stuck = now.is_empty();
        order.extend(if stuck { later.clone() } else { now });
        left = if stuck { Vec::new() } else { later };
    }
    order
}

/// Notes in the map what the source says of grants.
fn note_grants(
    pass: &Pass<'_>,
    job: &Job,
    state: &AccountState,
    folders: &Folders,
    origins: Option<&Origins<'_>>,
) -> Result<(), ImportError> {
    let mut grants: BTreeMap<FolderId, GrantsRow> =
        pass.map.grants_of(job.record)?.into_iter().map(|row| (row.folder, row)).collect();
    let mut new_grants = Vec::new();
    for (&id, folder) in state.folders.iter().filter(|(id, _)| folders.rows.contains_key(id)) {
        let known = grants.remove(&id);
        let written = match (&known, origins) {
            (Some(known), _) => known.written.clone(),
            (None, Some(origins)) => origins.grants(&folder.key)?,
            (None, None) => Vec::new(),
        };
        let source = &folder.grants;
        if known.map_or(!source.is_empty() || !written.is_empty(), |known| known.source != *source) {
            let (record, source, snapshot) = (job.record, source.clone(), pass.snapshot);
            new_grants.push(GrantsRow { record, folder: id, source, written, snapshot });
        }
    }
    if !pass.options.skip.contains(&Skip::Shares) {
        pass.map.put_grants(&new_grants)?;
    }
    Ok(())
}

/// Makes a folder that the map does not know, or takes the one that is there; its row is not in the map yet.
fn make(
    pass: &Pass<'_>,
    job: &Job,
    (id, folder): (FolderId, &Folder),
    origins: Option<&Origins<'_>>,
    present: &mut Present<'_>,
) -> Result<Result<FolderRow, Reason>, ImportError> {
    if let Some(row) = origins.and_then(|origins| origins.folder(job.record, id, folder, pass)) {
        return Ok(Ok(row));
    }
    // The active script is named once the scripts are there; grants are links.
    let base = Folder { active: None, grants: Vec::new(), ..folder.clone() };
    let there = if present.has(&folder.key)? { on_target(pass, &job.target, &folder.key)? } else { None };
    let wanted = match there {
        Some(there) => describe(&Folder::at(folder.key.clone()), &base, &there).0,
        None => base.clone(),
    };
    let put = match pass.target.put_folder(&job.target, &wanted)? {
        Ok(put) => put,
        Err(reason) => return Ok(Err(reason)),
    };
    if put.key != folder.key {
        let text = format!("is called {} on the target, which cannot hold the name", put.key);
        pass.notice(Place::folder(&job.source, &folder.key), text);
    }
    tell_lost(pass, job, &folder.key, &put);
    present.add(put.key.clone())?;
    let row = FolderRow {
        record: job.record,
        id,
        source_key: folder.key.clone(),
        target_key: put.key,
        base,
        uids_lost: None,
        state: FolderState::Done,
        snapshot: pass.snapshot,
    };
    Ok(Ok(row))
}

fn tell_lost(pass: &Pass<'_>, job: &Job, key: &FolderKey, put: &FolderPut) {
    put.lost.iter().for_each(|what| pass.notice(Place::folder(&job.source, key), what));
}

/// Brings a known folder's name and description up to date.
fn follow(
    pass: &Pass<'_>,
    job: &Job,
    (id, folder): (FolderId, &Folder),
    folders: &mut Folders,
    present: &mut Present<'_>,
) -> Result<(), ImportError> {
    let Some(row) = folders.rows.get(&id) else { return Ok(()) };
    if row.snapshot > pass.snapshot {
        return Ok(());
    }
    let described = |of: &Folder| {
        let Folder { title, color, description, comment, components, order, .. } = of.clone();
        (of.subscribed, of.special_use, title, color, description, comment, components, order)
    };
    let renamed = row.base.key != folder.key;
    let redescribed = described(&row.base) != described(folder);
    if !renamed && !redescribed {
        return Ok(());
    }
    let mut row = row.clone();
    row.source_key = folder.key.clone();
    row.snapshot = pass.snapshot;
    let place = Place::folder(&job.source, &folder.key);
    if redescribed && let Some(there) = on_target(pass, &job.target, &row.target_key)? {
        let (merged, conflicts) = describe(&row.base, folder, &there);
        for what in conflicts {
            pass.conflict(place.clone(), format!("{what} differs on source and target"));
        }
        if described(&merged) != described(&there) {
            match pass.target.put_folder(&job.target, &merged)? {
                Ok(put) => tell_lost(pass, job, &folder.key, &put),
                Err(reason) => pass.reject(place.clone(), reason),
            }
        }
    }
    let (old_key, active, grants) = (row.base.key.clone(), row.base.active.clone(), Vec::new());
    row.base = Folder { key: old_key, active, grants, ..folder.clone() };
    let mut rows = vec![row];
    if renamed && !pass.options.additive {
        rename(pass, job, folder, folders, present, &mut rows)?;
    }
    pass.target.changes_made(&job.target)?;
    pass.map.put_folders(&rows)?;
    folders.rows.extend(rows.into_iter().map(|row| (row.id, row)));
    Ok(())
}

/// Renames on the target what was renamed on the source. `rows` begins with the folder's own row; those of the folders
/// below it, which move along, are added.
fn rename(
    pass: &Pass<'_>,
    job: &Job,
    folder: &Folder,
    folders: &Folders,
    present: &mut Present<'_>,
    rows: &mut Vec<FolderRow>,
) -> Result<(), ImportError> {
    let Some(row) = rows.first_mut() else { return Ok(()) };
    let (from, to) = (row.target_key.clone(), folder.key.clone());
    let place = Place::folder(&job.source, &folder.key);
    let taken = folders.rows.values().any(|other| other.id != row.id && other.target_key == to);
    let (has_old, has_new) = (present.has(&from)?, present.has(&to)?);
    row.base.key = to.clone();
    if from == to {
        return Ok(());
    }
    if has_old != has_new && !(has_new && taken) {
        // Where it has its new name already, a pass that was cut off may not have brought along what refers to it.
        if let Err(reason) = pass.target.rename_folder(&job.target, &from, &to)?
            && has_old
        {
            pass.reject(place, reason);
            return Ok(());
        }
    } else {
        let why = if has_old { "it has another folder of that name" } else { "it is gone from there" };
        pass.conflict(place, format!("was {from} and was renamed on the source; on the target {why}"));
        return Ok(());
    }
    row.target_key = to.clone();
    let id = row.id;
    let below = folders.rows.values().filter(|other| other.id != id);
    let moved: Vec<_> = below.filter_map(|other| moved_along(other, &from, &to)).collect();
    rows.extend(moved);
    let keys = present.keys()?;
    *keys = keys.iter().map(|key| key_below(key, &from, &to).unwrap_or_else(|| key.clone())).collect();
    keys.remove(&from);
    keys.insert(to);
    Ok(())
}

fn moved_along(row: &FolderRow, from: &FolderKey, to: &FolderKey) -> Option<FolderRow> {
    Some(FolderRow { target_key: key_below(&row.target_key, from, to)?, ..row.clone() })
}

/// The rest of a folder's path below another.
fn rest_below<'k>(key: &'k FolderKey, above: &FolderKey) -> Option<&'k str> {
    let path = Some(key.path()).filter(|_| key.kind() == above.kind())?;
    path.strip_prefix(above.path())?.strip_prefix('/')
}

fn is_below(key: &FolderKey, above: &FolderKey) -> bool {
    rest_below(key, above).is_some()
}

/// The new place of a folder below one that moved.
pub(super) fn key_below(key: &FolderKey, from: &FolderKey, to: &FolderKey) -> Option<FolderKey> {
    FolderKey::new(key.kind(), &format!("{}/{}", to.path(), rest_below(key, from)?)).ok()
}

/// What the target's folder should say of itself, and what both sides changed differently.
fn describe(base: &Folder, source: &Folder, target: &Folder) -> (Folder, Vec<&'static str>) {
    let mut merged = target.clone();
    let mut conflicts = Vec::new();
    let mut judge = |what, verdict| {
        if verdict == Verdict::Conflict {
            conflicts.push(what);
        }
        verdict == Verdict::Apply
    };
    if judge("the subscription", one(&base.subscribed, &source.subscribed, &target.subscribed)) {
        merged.subscribed = source.subscribed;
    }
    if judge("the special use", one(&base.special_use, &source.special_use, &target.special_use)) {
        merged.special_use = source.special_use;
    }
    if judge("the title", one(&base.title, &source.title, &target.title)) {
        merged.title.clone_from(&source.title);
    }
    if judge("the colour", one(&base.color, &source.color, &target.color)) {
        merged.color.clone_from(&source.color);
    }
    if judge("the description", one(&base.description, &source.description, &target.description)) {
        merged.description.clone_from(&source.description);
    }
    if judge("the comment", one(&base.comment, &source.comment, &target.comment)) {
        merged.comment.clone_from(&source.comment);
    }
    if judge("the place in the order", one(&base.order, &source.order, &target.order)) {
        merged.order.clone_from(&source.order);
    }
    // Users do not change what a calendar takes, so it follows the source; a server that cannot change it either says so.
    if base.components != source.components {
        merged.components.clone_from(&source.components);
    }
    // A folder that nobody has opened takes these; any other keeps its own.
    merged.uid_validity = source.uid_validity;
    merged.uid_next = source.uid_next;
    merged.guid.clone_from(&source.guid);
    (merged, conflicts)
}

/// Makes a folder again that a user of the target removed, and that gets new items; returns where it is.
pub fn make_again(pass: &Pass<'_>, job: &Job, row: &FolderRow) -> Result<Result<FolderKey, Reason>, ImportError> {
    let wanted = Folder { key: row.target_key.clone(), active: None, ..row.base.clone() };
    let put = pass.target.put_folder(&job.target, &wanted)?;
    if put.is_ok() {
        pass.notice(
            Place::folder(&job.source, &row.source_key),
            "was removed on the target and has new items: made again",
        );
    }
    Ok(put.map(|put| {
        tell_lost(pass, job, &row.source_key, &put);
        put.key
    }))
}

/// Activates the script that the source has active, once the scripts are there.
pub fn set_active_scripts(
    pass: &Pass<'_>,
    job: &Job,
    state: &AccountState,
    folders: &mut Folders,
) -> Result<(), ImportError> {
    for (&id, folder) in state.folders.iter().filter(|(_, folder)| folder.key.kind() == FolderKind::Filters) {
        let Some(row) = folders.rows.get_mut(&id).filter(|row| row.base.active != folder.active) else { continue };
        let wanted = match &folder.active {
            Some(name) => {
                let script = state.items.names().find(|(_, folder, script)| *folder == id && script == name);
                let arrived = script.map(|(item, ..)| pass.map.item(job.record, item)).transpose()?.flatten();
                // A script that could not be delivered cannot be active; that it is missing is in the ledger.
                let Some(arrived) = arrived.filter(|row| row.reason.is_none()) else { continue };
                Some(arrived.target_name)
            }
            None => None,
        };
        let Some(there) = on_target(pass, &job.target, &row.target_key)? else { continue };
        match one(&row.base.active, &wanted, &there.active) {
            Verdict::Keep => {}
            Verdict::Conflict => {
                pass.conflict(Place::folder(&job.source, &folder.key), "another script is active on the target");
            }
            Verdict::Apply => {
                let put = pass.target.put_folder(&job.target, &Folder { active: wanted, ..there })?;
                if let Err(reason) = put {
                    pass.reject(Place::folder(&job.source, &folder.key), reason);
                    continue;
                }
            }
        }
        row.base.active.clone_from(&folder.active);
        pass.map.put_folders(std::slice::from_ref(row))?;
    }
    Ok(())
}
