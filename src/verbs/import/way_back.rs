//! The way back: the map of the other direction says what on the source came from this very target.
//!
//! After a switch that must be taken back, the new site is exported and imported into the old one. What the old site
//! sent over is there already; it goes into this map as adopted, with the state in which it went over as the base, so
//! that only what is new arrives and what was changed on the new site is merged.

use super::book::{Book, plan_keys};
use super::pass::Pass;
use super::start::Started;
use super::{ImportError, ImportOptions};
use crate::format::items::ItemAt;
use crate::format::manifest::AccountState;
use crate::limits;
use crate::map::{self, FolderRow, FolderState, ItemRow, ItemState, LinkKind, Map, RecordRow, RecordState};
use crate::model::id::{FolderId, ItemId, RecordId};
use crate::model::mailbox::{Folder, FolderKey};
use crate::model::provisioning::{Record, RecordKind};
use crate::model::setting::{Setting, SettingKey};
use crate::model::share::{Grant, Grantee};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// Adds to `rows` the records of the snapshot that came from this target, and writes them into the map.
pub fn seed_records(
    started: &Started<'_>,
    options: &ImportOptions,
    rows: &mut BTreeMap<RecordId, RecordRow>,
) -> Result<(), ImportError> {
    let Some(other) = &started.way_back else { return Ok(()) };
    let mut came: BTreeMap<RecordId, RecordRow> = BTreeMap::new();
    for stored in started.provisioning.records.values().filter(|stored| !rows.contains_key(&stored.id)) {
        let kind = stored.record.kind();
        let Some(origin) = other.record_at_target(kind, stored.record.key())? else { continue };
        if origin.state == RecordState::Done {
            let row = RecordRow {
                id: stored.id,
                kind,
                source_key: stored.record.key().to_owned(),
                target_key: origin.source_key,
                state: RecordState::Done,
                base: origin.base,
                seen: None,
                snapshot: started.snapshot(),
            };
            came.insert(stored.id, row);
        }
    }
    rows.extend(came.iter().map(|(&id, row)| (id, row.clone())));
    // The bases are in the words of the new site; the names that were just learnt turn them into those of the old one.
    let records = started.provisioning.records.values().map(|stored| (stored.id, &stored.record));
    let book = Book::new(options.rename.clone(), &plan_keys(&options.rename, records, rows), rows, &[]);
    for row in came.values_mut() {
        row.base = book.record(&row.base, &row.target_key);
    }
    rows.extend(came.iter().map(|(&id, row)| (id, row.clone())));
    started.map.put_records(&came.into_values().collect::<Vec<_>>())?;
    Ok(())
}

/// The map of another source that put this record here.
pub fn other_owner(pass: &Pass<'_>, present: &Record) -> Result<Option<PathBuf>, ImportError> {
    let own = map::file_name(pass.started.source_site());
    let dir = &pass.started.state_dir;
    let entries = match pass.options.fs.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ImportError::Io { action: "list", path: dir.clone(), source }),
    };
    for entry in entries {
        let name = entry.name.to_string_lossy();
        if name == own || map::source_of_file_name(&name).is_none() {
            continue;
        }
        let path = dir.join(&entry.name);
        let row = Map::read(&path)?.record_at_target(present.kind(), present.key())?;
        if row.is_some_and(|row| row.state == RecordState::Done) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// What the other map knows of one account: where its folders are on the new site.
pub struct Origins<'a> {
    other: &'a Map,
    /// The account's id in the other direction.
    account: RecordId,
    folders: BTreeMap<FolderKey, FolderRow>,
    by_id: BTreeMap<FolderId, FolderKey>,
}

/// What the other map knows of the account that is at `address` on the source of this import.
pub fn origins<'a>(pass: &Pass<'a>, address: &str) -> Result<Option<Origins<'a>>, ImportError> {
    let Some(other) = &pass.started.way_back else { return Ok(None) };
    let Some(origin) = other.record_at_target(RecordKind::Account, address)? else { return Ok(None) };
    let folders: BTreeMap<_, _> = other
        .folders(origin.id)?
        .into_iter()
        .filter(|row| row.state == FolderState::Done)
        .map(|row| (row.target_key.clone(), row))
        .collect();
    let by_id = folders.iter().map(|(key, row)| (row.id, key.clone())).collect();
    Ok(Some(Origins { other, account: origin.id, folders, by_id }))
}

impl Origins<'_> {
    /// The row of a folder that came from this target, where it has the same place still.
    pub fn folder(&self, record: RecordId, id: FolderId, folder: &Folder, pass: &Pass<'_>) -> Option<FolderRow> {
        let origin = self.folders.get(&folder.key)?;
        // Grants are links; they find their own base.
        let base = Folder { key: folder.key.clone(), grants: Vec::new(), ..origin.base.clone() };
        Some(FolderRow {
            record,
            id,
            source_key: folder.key.clone(),
            target_key: origin.source_key.clone(),
            base,
            uids_lost: None,
            state: FolderState::Done,
            snapshot: pass.snapshot,
        })
    }

    /// What this target gave out as grants of a folder, when it was exported; without those that never went over,
    /// because they waited for somebody.
    pub fn grants(&self, key: &FolderKey) -> Result<Vec<Grant>, ImportError> {
        let Some(origin) = self.folders.get(key) else { return Ok(Vec::new()) };
        let rows = self.other.grants_of(self.account)?;
        let Some(row) = rows.into_iter().find(|row| row.folder == origin.id) else { return Ok(Vec::new()) };
        let place = origin.source_key.to_string();
        let pending = self.other.pending()?;
        let waits = |grant: &Grant| match &grant.grantee {
            Grantee::User(who) | Grantee::List(who) => pending.iter().any(|waiting| {
                (waiting.record, waiting.link) == (self.account, LinkKind::Grant)
                    && waiting.place == place
                    && waiting.refers == *who
            }),
            _ => false,
        };
        Ok(row.source.into_iter().filter(|grant| !waits(grant)).collect())
    }

    /// Settings that went over, by what the new site was given, each with what this target had.
    pub fn settings(&self) -> Result<BTreeMap<SettingKey, Setting>, ImportError> {
        let rows = self.other.settings(self.account)?;
        Ok(rows.into_iter().filter_map(|row| Some((row.written?.key(), row.source))).collect())
    }

    /// Takes into the map those of `fresh` that came from this target; returns the others. `address` is the account's
    /// on the target.
    pub fn adopt(
        &self,
        pass: &Pass<'_>,
        (record, address): (RecordId, &str),
        state: &AccountState,
        fresh: Vec<ItemId>,
    ) -> Result<(Vec<ItemId>, Vec<ItemRow>), ImportError> {
        // Names are unique in a folder; in an account they need not be.
        let mut origins: HashMap<String, Vec<ItemRow>> = HashMap::new();
        self.other.each_item(self.account, |row| {
            if matches!(row.state, ItemState::Done | ItemState::Adopted) {
                origins.entry(row.target_name.clone()).or_default().push(row);
            }
            Ok::<_, ImportError>(())
        })?;
        let mut came: BTreeMap<FolderKey, Vec<ItemRow>> = BTreeMap::new();
        let mut left = fresh;
        // What lies where it was put is known by that; only then comes what was moved and has its content still.
        for anywhere in [false, true] {
            let mut rest = Vec::new();
            for id in left {
                let Some(at) = state.items.get(id) else { continue };
                let place = state.folders.get(&at.folder).map(|folder| &folder.key);
                let fits = |origin: &ItemRow| match anywhere {
                    false => self.by_id.get(&origin.folder) == place,
                    true => origin.target_object.unwrap_or(origin.object) == at.item.object,
                };
                let candidates = origins.get_mut(&at.item.name);
                let origin =
                    candidates.and_then(|rows| rows.iter().position(fits).map(|found| rows.swap_remove(found)));
                match origin.and_then(|origin| self.row(pass, (record, id), &origin, &at, state)) {
                    Some((key, row)) => came.entry(key).or_default().push(row),
                    None => rest.push(id),
                }
            }
            left = rest;
        }
        let mut adopted = Vec::new();
        for (key, rows) in came {
            for chunk in rows.chunks(limits::BATCH_ITEMS) {
                pass.go_on()?;
                let names: Vec<_> = chunk.iter().map(|row| row.target_name.clone()).collect();
                let present = pass.target.settle(address, &key, &names)?;
                let settled = chunk.iter().zip(present).map(|(row, present)| ItemRow {
                    // Who deleted it on the old site after it had gone over does not get it back.
                    state: if present.is_some() { ItemState::Adopted } else { ItemState::DeletedOnTarget },
                    ..row.clone()
                });
                let settled: Vec<_> = settled.collect();
                pass.check_scratch()?;
                pass.map.put_items(&settled)?;
                adopted.extend(settled);
            }
        }
        Ok((left, adopted))
    }

    /// The row for an item that came over, and the folder of this target that it came from.
    fn row(
        &self,
        pass: &Pass<'_>,
        (record, id): (RecordId, ItemId),
        origin: &ItemRow,
        at: &ItemAt,
        state: &AccountState,
    ) -> Option<(FolderKey, ItemRow)> {
        let went_to = self.by_id.get(&origin.folder)?;
        let came_from = &self.folders.get(went_to)?.source_key;
        let delivered = origin.target_object.unwrap_or(origin.object);
        let base_folder =
            state.folders.iter().find(|(_, folder)| folder.key == *went_to).map_or(at.folder, |(&id, _)| id);
        let row = ItemRow {
            record,
            id,
            folder: base_folder,
            source_name: at.item.name.clone(),
            target_name: origin.source_name.clone(),
            object: delivered,
            target_object: Some(origin.object).filter(|object| *object != delivered),
            flags: origin.flags,
            keywords: origin.keywords.clone(),
            tags: origin.tags.clone(),
            state: ItemState::Adopted,
            reason: None,
            snapshot: pass.snapshot,
        };
        Some((came_from.clone(), row))
    }
}
