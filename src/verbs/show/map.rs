//! Reading a map: what it belongs to, how much it holds in which state, and every row as old name and new name.
//! Schema: format-spec/map.md.

use crate::map::{FolderState, Map, MapError, Meta, RecordState};
use crate::model::id::{RecordId, SnapshotNo};
use crate::model::provisioning::RecordKind;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a map belongs to and holds.
#[derive(Debug, Clone, Serialize)]
pub struct MapSummary {
    pub path: PathBuf,
    #[serde(flatten)]
    pub meta: Meta,
    /// Provisioning records by kind.
    pub records: BTreeMap<&'static str, u64>,
    /// Accounts of which a snapshot was imported completely, with their newest such snapshot.
    pub complete: BTreeMap<String, SnapshotNo>,
    pub folders: u64,
    /// Folders that clients load again.
    pub folders_without_uids: u64,
    /// Items by state.
    pub items: BTreeMap<&'static str, u64>,
    /// Links that wait for somebody.
    pub pending: u64,
    pub conflicts: u64,
}

/// One row: something of the source, and what it is on the target.
#[derive(Debug, Clone, Serialize)]
pub struct MapLine {
    /// `account`, `domain`, `list` …, `folder`, `item`.
    pub what: &'static str,
    /// The account it is in, as the source calls it; empty for a provisioning record.
    pub account: String,
    pub id: u32,
    /// Key of a record, path of a folder, path and name of an item.
    pub source: String,
    pub target: String,
    pub state: &'static str,
    pub reason: String,
    pub snapshot: SnapshotNo,
}

/// Counts what a map holds; reads all of it, an account at a time.
pub fn summary(map: &Map) -> Result<MapSummary, MapError> {
    let mut summary = MapSummary {
        path: map.path().to_owned(),
        meta: map.meta().clone(),
        records: BTreeMap::new(),
        complete: BTreeMap::new(),
        folders: 0,
        folders_without_uids: map.folders_without_uids()?.len() as u64,
        items: BTreeMap::new(),
        pending: map.pending()?.len() as u64,
        conflicts: map.conflicts()?.len() as u64,
    };
    let progress: BTreeMap<RecordId, SnapshotNo> =
        map.progress()?.into_iter().map(|(id, progress)| (id, progress.snapshot)).collect();
    for record in map.records()? {
        *summary.records.entry(record.kind.word()).or_default() += 1;
        if record.kind != RecordKind::Account {
            continue;
        }
        if let Some(snapshot) = progress.get(&record.id) {
            summary.complete.insert(record.source_key, *snapshot);
        }
        summary.folders += map.folders(record.id)?.len() as u64;
        map.each_item(record.id, |item| {
            *summary.items.entry(item.state.word()).or_default() += 1;
            Ok::<(), MapError>(())
        })?;
    }
    Ok(summary)
}

/// Calls `each` with every row: records in order of id, behind each account its folders and items. `E` is the caller's
/// error.
pub fn each_line<E: From<MapError>>(map: &Map, mut each: impl FnMut(MapLine) -> Result<(), E>) -> Result<(), E> {
    for record in map.records()? {
        let (id, account) = (record.id, record.source_key.clone());
        let what = record.kind.word();
        each(MapLine {
            what,
            account: String::new(),
            id: id.0,
            source: record.source_key,
            target: record.target_key,
            state: record_state(record.state),
            reason: String::new(),
            snapshot: record.snapshot,
        })?;
        if record.kind != RecordKind::Account {
            continue;
        }
        let folders = map.folders(id)?;
        for folder in &folders {
            each(MapLine {
                what: "folder",
                account: account.clone(),
                id: folder.id.0,
                source: folder.source_key.to_string(),
                target: folder.target_key.to_string(),
                state: folder_state(folder.state),
                reason: folder.uids_lost.clone().unwrap_or_default(),
                snapshot: folder.snapshot,
            })?;
        }
        let places: BTreeMap<_, _> = folders
            .iter()
            .map(|folder| (folder.id, (folder.source_key.to_string(), folder.target_key.to_string())))
            .collect();
        map.each_item(id, |item| {
            let (from, to) = places.get(&item.folder).cloned().unwrap_or_default();
            each(MapLine {
                what: "item",
                account: account.clone(),
                id: item.id.0,
                source: format!("{from}/{}", item.source_name),
                target: format!("{to}/{}", item.target_name),
                state: item.state.word(),
                reason: item.reason.unwrap_or_default(),
                snapshot: item.snapshot,
            })
        })?;
    }
    Ok(())
}

fn record_state(state: RecordState) -> &'static str {
    match state {
        RecordState::Intent => "intent",
        RecordState::Done => "done",
        RecordState::Removed => "removed",
    }
}

fn folder_state(state: FolderState) -> &'static str {
    match state {
        FolderState::Done => "done",
        FolderState::Removed => "removed",
    }
}
