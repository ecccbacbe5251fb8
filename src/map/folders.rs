//! Folders in the map: old id -> new place, and every place they ever had on the source.

use super::{Map, MapError, collect, execute, from_json, spelling, to_json, word};
use crate::db::DbError;
use crate::model::id::{FolderId, RecordId, SnapshotNo};
use crate::model::mailbox::{Folder, FolderKey, FolderKind};
use rusqlite::{Connection, Row, params};

/// How far a folder came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FolderState {
    /// It is on the target, or was when last looked at.
    Done,
    /// It was removed from the target by a pass with `--delete`.
    Removed,
}

const STATES: &[(FolderState, &str)] = &[(FolderState::Done, "done"), (FolderState::Removed, "removed")];

/// One folder of one account, as it was last imported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FolderRow {
    pub record: RecordId,
    pub id: FolderId,
    /// Where it was on the source at `snapshot`.
    pub source_key: FolderKey,
    /// Where import put it; a user of the target may have moved it since.
    pub target_key: FolderKey,
    /// What the source said.
    pub base: Folder,
    /// Why clients load this folder again; absent while its UIDs could be kept.
    pub uids_lost: Option<String>,
    pub state: FolderState,
    pub snapshot: SnapshotNo,
}

const COLUMNS: &str = "SELECT record, id, kind, source_path, target_path, base, uids_lost, state, snapshot FROM folder";

fn key(kind: &str, path: &str) -> Result<FolderKey, DbError> {
    let corrupt = |what: String| DbError::Corrupt(what);
    let kind = FolderKind::from_word(kind).ok_or_else(|| corrupt(format!("{kind:?} is no kind of folder")))?;
    FolderKey::new(kind, path).map_err(|error| corrupt(error.to_string()))
}

fn folder(row: &Row<'_>) -> Result<FolderRow, DbError> {
    let kind: String = row.get(2)?;
    Ok(FolderRow {
        record: RecordId(row.get(0)?),
        id: FolderId(row.get(1)?),
        source_key: key(&kind, &row.get::<_, String>(3)?)?,
        target_key: key(&kind, &row.get::<_, String>(4)?)?,
        base: from_json(row, 5)?,
        uids_lost: row.get(6)?,
        state: word(row, 7, STATES)?,
        snapshot: SnapshotNo(row.get(8)?),
    })
}

fn put(db: &Connection, row: &FolderRow) -> Result<(), DbError> {
    const PUT: &str =
        "INSERT INTO folder (record, id, kind, source_path, target_path, base, uids_lost, state, snapshot)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
        ON CONFLICT (record, id) DO UPDATE SET kind = ?3, source_path = ?4, target_path = ?5, base = ?6,
            uids_lost = ?7, state = ?8, snapshot = ?9";
    const KEY: &str = "INSERT INTO folder_key (record, kind, source_path, folder, snapshot) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO UPDATE SET snapshot = ?5";
    let kind = row.source_key.kind().word();
    let (record, id, snapshot, state) = (row.record.0, row.id.0, row.snapshot.0, spelling(row.state, STATES));
    let (from, to) = (row.source_key.path(), row.target_key.path());
    execute(db, PUT, params![record, id, kind, from, to, to_json(&row.base)?, row.uids_lost, state, snapshot])?;
    execute(db, KEY, params![record, kind, from, id, snapshot])?;
    Ok(())
}

impl Map {
    /// The folders of one account, by id.
    pub fn folders(&self, record: RecordId) -> Result<Vec<FolderRow>, MapError> {
        self.reading(|db| collect(db, &format!("{COLUMNS} WHERE record = ?1 ORDER BY id"), [record.0], folder))
    }

    /// The folder of an account that the source has at `source_key`, or had there before a rename; where several lay
    /// there one after the other, the one that does now, else the one that did last.
    pub fn folder_once_at(&self, record: RecordId, source_key: &FolderKey) -> Result<Option<FolderRow>, MapError> {
        const STATEMENT: &str =
            "SELECT f.record, f.id, f.kind, f.source_path, f.target_path, f.base, f.uids_lost, f.state, f.snapshot
            FROM folder_key k JOIN folder f ON f.record = k.record AND f.id = k.folder
            WHERE k.record = ?1 AND k.kind = ?2 AND k.source_path = ?3
            ORDER BY f.source_path = ?3 DESC, k.snapshot DESC, f.id DESC";
        let values = params![record.0, source_key.kind().word(), source_key.path()];
        Ok(self.reading(|db| collect(db, STATEMENT, values, folder))?.into_iter().next())
    }

    /// Folders of all accounts whose UIDs could not be kept.
    pub fn folders_without_uids(&self) -> Result<Vec<FolderRow>, MapError> {
        let statement = format!("{COLUMNS} WHERE uids_lost IS NOT NULL ORDER BY record, id");
        self.reading(|db| collect(db, &statement, [], folder))
    }

    /// Writes rows, and remembers their source places for ever. One transaction.
    pub fn put_folders(&self, rows: &[FolderRow]) -> Result<(), MapError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.writing(|db| rows.iter().try_for_each(|row| put(db, row)))
    }
}
