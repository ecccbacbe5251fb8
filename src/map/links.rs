//! Settings, grants, links that wait for somebody, and conflicts in the map.
//!
//! Of a grant list and of a mountpoint the map holds both what the source said and what was written, so that links can
//! be repaired without opening the archive.

use super::{Map, MapError, collect, execute, from_json, from_json_or_null, spelling, to_json, word};
use crate::db::DbError;
use crate::event::Place;
use crate::model::id::{FolderId, RecordId, SnapshotNo};
use crate::model::setting::{Setting, SettingKey, SettingKind};
use crate::model::share::Grant;
use rusqlite::{Connection, Row, params};
use std::error::Error as _;

/// One setting of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SettingRow {
    pub record: RecordId,
    /// What the source says.
    pub source: Setting,
    /// What the target was given, in its own words; absent while it waits or is refused.
    pub written: Option<Setting>,
    pub snapshot: SnapshotNo,
}

/// The access list of one folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantsRow {
    pub record: RecordId,
    pub folder: FolderId,
    /// What the source says.
    pub source: Vec<Grant>,
    /// What the target was given, in its own words; without the grants that wait.
    pub written: Vec<Grant>,
    pub snapshot: SnapshotNo,
}

/// The two ends of a share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    Grant,
    Mountpoint,
}

const LINKS: &[(LinkKind, &str)] = &[(LinkKind::Grant, "grant"), (LinkKind::Mountpoint, "mountpoint")];

/// A link that refers to somebody who has not arrived.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PendingRow {
    /// The owner of the folder, or of the mailbox with the mountpoint.
    pub record: RecordId,
    pub link: LinkKind,
    /// The folder or the mountpoint, as the source calls it.
    pub place: String,
    /// The address that is not known yet, as the source writes it.
    pub refers: String,
    pub cause: String,
    pub snapshot: SnapshotNo,
}

/// Source and target both changed it; the target stayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConflictRow {
    pub snapshot: SnapshotNo,
    pub place: Place,
    pub what: String,
}

const KINDS: &[(SettingKind, &str)] = &[
    (SettingKind::Identity, "identity"),
    (SettingKind::Signature, "signature"),
    (SettingKind::Forwarding, "forwarding"),
    (SettingKind::Vacation, "vacation"),
    (SettingKind::Preference, "preference"),
    (SettingKind::ExternalSource, "external-source"),
    (SettingKind::Tag, "tag"),
    (SettingKind::Mountpoint, "mountpoint"),
    (SettingKind::Subscription, "subscription"),
];

fn setting(row: &Row<'_>) -> Result<SettingRow, DbError> {
    Ok(SettingRow {
        record: RecordId(row.get(0)?),
        source: from_json(row, 1)?,
        written: from_json_or_null(row, 2)?,
        snapshot: SnapshotNo(row.get(3)?),
    })
}

fn grants(row: &Row<'_>) -> Result<GrantsRow, DbError> {
    Ok(GrantsRow {
        record: RecordId(row.get(0)?),
        folder: FolderId(row.get(1)?),
        source: from_json(row, 2)?,
        written: from_json(row, 3)?,
        snapshot: SnapshotNo(row.get(4)?),
    })
}

impl Map {
    /// The settings of an account, by kind and name.
    pub fn settings(&self, record: RecordId) -> Result<Vec<SettingRow>, MapError> {
        const STATEMENT: &str =
            "SELECT record, source, written, snapshot FROM setting WHERE record = ?1 ORDER BY kind, name";
        self.reading(|db| collect(db, STATEMENT, [record.0], setting))
    }

    /// The mountpoints of all accounts.
    pub fn mountpoints(&self) -> Result<Vec<SettingRow>, MapError> {
        const STATEMENT: &str =
            "SELECT record, source, written, snapshot FROM setting WHERE kind = 'mountpoint' ORDER BY record, name";
        self.reading(|db| collect(db, STATEMENT, [], setting))
    }

    pub fn put_settings(&self, rows: &[SettingRow]) -> Result<(), MapError> {
        const PUT: &str = "INSERT OR REPLACE INTO setting (record, kind, name, source, written, snapshot)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        if rows.is_empty() {
            return Ok(());
        }
        self.writing(|db| {
            rows.iter().try_for_each(|row| {
                let (kind, name) = row.source.key();
                let written = row.written.as_ref().map(to_json).transpose()?;
                let source = to_json(&row.source)?;
                execute(db, PUT, params![row.record.0, spelling(kind, KINDS), name, source, written, row.snapshot.0])
                    .map(|_| ())
            })
        })
    }

    pub fn drop_settings(&self, record: RecordId, keys: &[SettingKey]) -> Result<(), MapError> {
        const DROP: &str = "DELETE FROM setting WHERE record = ?1 AND kind = ?2 AND name = ?3";
        if keys.is_empty() {
            return Ok(());
        }
        self.writing(|db| {
            keys.iter().try_for_each(|(kind, name)| {
                execute(db, DROP, params![record.0, spelling(*kind, KINDS), name]).map(|_| ())
            })
        })
    }

    /// The access lists of all folders that have or had one.
    pub fn grants(&self) -> Result<Vec<GrantsRow>, MapError> {
        const STATEMENT: &str = "SELECT record, folder, source, written, snapshot FROM grants ORDER BY record, folder";
        self.reading(|db| collect(db, STATEMENT, [], grants))
    }

    pub fn grants_of(&self, record: RecordId) -> Result<Vec<GrantsRow>, MapError> {
        const STATEMENT: &str =
            "SELECT record, folder, source, written, snapshot FROM grants WHERE record = ?1 ORDER BY folder";
        self.reading(|db| collect(db, STATEMENT, [record.0], grants))
    }

    /// Writes access lists; one that is empty on both sides is forgotten.
    pub fn put_grants(&self, rows: &[GrantsRow]) -> Result<(), MapError> {
        const PUT: &str = "INSERT OR REPLACE INTO grants (record, folder, source, written, snapshot)
            VALUES (?1, ?2, ?3, ?4, ?5)";
        const DROP: &str = "DELETE FROM grants WHERE record = ?1 AND folder = ?2";
        if rows.is_empty() {
            return Ok(());
        }
        self.writing(|db| {
            rows.iter().try_for_each(|row| {
                let (record, folder) = (row.record.0, row.folder.0);
                if row.source.is_empty() && row.written.is_empty() {
                    return execute(db, DROP, [record, folder]).map(|_| ());
                }
                let (source, written) = (to_json(&row.source)?, to_json(&row.written)?);
                execute(db, PUT, params![record, folder, source, written, row.snapshot.0]).map(|_| ())
            })
        })
    }

    /// All links that wait, sorted.
    pub fn pending(&self) -> Result<Vec<PendingRow>, MapError> {
        const STATEMENT: &str = "SELECT record, link, place, refers, cause, snapshot FROM pending
            ORDER BY record, link, place, refers";
        self.reading(|db| {
            collect(db, STATEMENT, [], |row| {
                Ok(PendingRow {
                    record: RecordId(row.get(0)?),
                    link: word(row, 1, LINKS)?,
                    place: row.get(2)?,
                    refers: row.get(3)?,
                    cause: row.get(4)?,
                    snapshot: SnapshotNo(row.get(5)?),
                })
            })
        })
    }

    /// Replaces the whole list of links that wait.
    pub fn set_pending(&self, rows: &[PendingRow]) -> Result<(), MapError> {
        const PUT: &str = "INSERT OR REPLACE INTO pending (record, link, place, refers, cause, snapshot)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        if rows == self.pending()? {
            return Ok(());
        }
        self.writing(|db| {
            execute(db, "DELETE FROM pending", [])?;
            rows.iter().try_for_each(|row| {
                let link = spelling(row.link, LINKS);
                let values = params![row.record.0, link, row.place, row.refers, row.cause, row.snapshot.0];
                execute(db, PUT, values).map(|_| ())
            })
        })
    }

    /// All conflicts that passes met, oldest first.
    pub fn conflicts(&self) -> Result<Vec<ConflictRow>, MapError> {
        const STATEMENT: &str = "SELECT snapshot, place, what FROM conflict ORDER BY no";
        self.reading(|db| {
            collect(db, STATEMENT, [], |row| {
                Ok(ConflictRow { snapshot: SnapshotNo(row.get(0)?), place: from_json(row, 1)?, what: row.get(2)? })
            })
        })
    }

    /// Remembers conflicts; one that the same snapshot brought before is not repeated.
    pub fn add_conflicts(&self, rows: &[ConflictRow]) -> Result<(), MapError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.writing(|db| rows.iter().try_for_each(|row| put_conflict(db, row)))
    }

    /// Remembers a conflict without waiting for the disk: it is durable as soon as anything is that was committed later.
    /// A map that could not take it takes nothing more: no later pass would meet the conflict again once the state that
    /// came of it is known.
    pub fn note_conflict(&self, row: &ConflictRow) -> Result<(), MapError> {
        self.writing_lazily(|db| put_conflict(db, row)).inspect_err(|error| {
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            let _ = self.refuses.set(why);
        })
    }
}

fn put_conflict(db: &Connection, row: &ConflictRow) -> Result<(), DbError> {
    const PUT: &str = "INSERT OR IGNORE INTO conflict (snapshot, place, what) VALUES (?1, ?2, ?3)";
    execute(db, PUT, params![row.snapshot.0, to_json(&row.place)?, row.what]).map(|_| ())
}
