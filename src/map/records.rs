//! Provisioning records in the map: old id -> new key, every key they ever had, and how far each account's data came.

use super::{Map, MapError, collect, execute, from_json, from_json_or_null, spelling, to_json, word};
use crate::db::DbError;
use crate::model::id::{RecordId, SnapshotNo};
use crate::model::provisioning::{Record, RecordKind};
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How far a record came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordState {
    /// Its writing was announced; whether it happened shows on the target.
    Intent,
    Done,
    /// It was removed from the target by a pass with `--delete`.
    Removed,
}

const STATES: &[(RecordState, &str)] =
    &[(RecordState::Intent, "intent"), (RecordState::Done, "done"), (RecordState::Removed, "removed")];

pub(super) const KINDS: &[(RecordKind, &str)] = &[
    (RecordKind::Settings, "settings"),
    (RecordKind::Domain, "domain"),
    (RecordKind::Cos, "cos"),
    (RecordKind::Account, "account"),
    (RecordKind::List, "list"),
    (RecordKind::Alias, "alias"),
];

/// One record of the source, as it was last imported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordRow {
    pub id: RecordId,
    pub kind: RecordKind,
    /// Its key on the source at `snapshot`.
    pub source_key: String,
    /// Its key on the target.
    pub target_key: String,
    pub state: RecordState,
    /// What the source said, in the target's words (after renaming).
    pub base: Record,
    /// What the target showed right after the write, where that differs from `base`.
    pub seen: Option<Record>,
    pub snapshot: SnapshotNo,
}

/// A record that is on the target: what it is called on either side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrived {
    pub id: RecordId,
    pub kind: RecordKind,
    pub source_key: String,
    pub target_key: String,
}

/// How far an account's data has been imported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// The snapshot that was imported completely.
    pub snapshot: SnapshotNo,
    pub rules: Rules,
    /// The account's part of the ledger, as JSON.
    pub ledger: String,
}

/// The options of a pass that decide what an account gets. Other rules than last time, and the account is looked at again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Rules {
    /// Nothing was moved, renamed or removed on the target.
    #[serde(default)]
    pub additive: bool,
    /// Deletions followed.
    #[serde(default)]
    pub delete: bool,
    /// Items older than this (seconds since 1970) were left out.
    #[serde(default)]
    pub since: Option<i64>,
    /// What was left out by its kind, as the command line calls it: `shares`.
    #[serde(default)]
    pub skip: BTreeSet<String>,
}

const COLUMNS: &str = "SELECT id, kind, source_key, target_key, state, base, seen, snapshot FROM record";

fn record(row: &Row<'_>) -> Result<RecordRow, DbError> {
    Ok(RecordRow {
        id: RecordId(row.get(0)?),
        kind: word(row, 1, KINDS)?,
        source_key: row.get(2)?,
        target_key: row.get(3)?,
        state: word(row, 4, STATES)?,
        base: from_json(row, 5)?,
        seen: from_json_or_null(row, 6)?,
        snapshot: SnapshotNo(row.get(7)?),
    })
}

fn put(db: &Connection, row: &RecordRow) -> Result<(), DbError> {
    const PUT: &str = "INSERT INTO record (id, kind, source_key, target_key, state, base, seen, snapshot)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (id) DO UPDATE SET kind = ?2, source_key = ?3, target_key = ?4, state = ?5, base = ?6, seen = ?7,
            snapshot = ?8";
    const KEY: &str = "INSERT INTO record_key (kind, source_key, record, snapshot) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT DO UPDATE SET snapshot = ?4";
    let kind = spelling(row.kind, KINDS);
    let seen = row.seen.as_ref().map(to_json).transpose()?;
    let state = spelling(row.state, STATES);
    let (id, snapshot) = (row.id.0, row.snapshot.0);
    execute(db, PUT, params![id, kind, row.source_key, row.target_key, state, to_json(&row.base)?, seen, snapshot])?;
    execute(db, KEY, params![kind, row.source_key, id, snapshot])?;
    Ok(())
}

impl Map {
    /// All records, by id.
    pub fn records(&self) -> Result<Vec<RecordRow>, MapError> {
        self.reading(|db| collect(db, &format!("{COLUMNS} ORDER BY id"), [], record))
    }

    /// The records that are on the target, by id.
    pub fn arrived(&self) -> Result<BTreeMap<RecordId, Arrived>, MapError> {
        const STATEMENT: &str = "SELECT id, kind, source_key, target_key FROM record WHERE state = 'done' ORDER BY id";
        let arrived = self.reading(|db| {
            collect(db, STATEMENT, [], |row| {
                let id = RecordId(row.get(0)?);
                Ok((id, Arrived { id, kind: word(row, 1, KINDS)?, source_key: row.get(2)?, target_key: row.get(3)? }))
            })
        })?;
        Ok(arrived.into_iter().collect())
    }

    pub fn record(&self, id: RecordId) -> Result<Option<RecordRow>, MapError> {
        let found = self.reading(|db| collect(db, &format!("{COLUMNS} WHERE id = ?1"), [id.0], record))?;
        Ok(found.into_iter().next())
    }

    /// The record of `kind` that the target has under `target_key`.
    pub fn record_at_target(&self, kind: RecordKind, target_key: &str) -> Result<Option<RecordRow>, MapError> {
        let statement = format!("{COLUMNS} WHERE kind = ?1 AND target_key = ?2 ORDER BY state, id");
        let values = params![spelling(kind, KINDS), target_key];
        Ok(self.reading(|db| collect(db, &statement, values, record))?.into_iter().next())
    }

    /// The record of `kind` that the source calls `source_key`, or called so before a rename; where several had that
    /// name one after the other, the one that has it now, else the one that had it last.
    pub fn record_once_called(&self, kind: RecordKind, source_key: &str) -> Result<Option<RecordRow>, MapError> {
        const STATEMENT: &str = "SELECT r.id, r.kind, r.source_key, r.target_key, r.state, r.base, r.seen, r.snapshot
            FROM record_key k JOIN record r ON r.id = k.record
            WHERE k.kind = ?1 AND k.source_key = ?2
            ORDER BY r.source_key = ?2 DESC, k.snapshot DESC, r.id DESC";
        let values = params![spelling(kind, KINDS), source_key];
        Ok(self.reading(|db| collect(db, STATEMENT, values, record))?.into_iter().next())
    }

    /// Every key that records of this source ever had: kind, key, record; sorted.
    pub fn record_keys(&self) -> Result<Vec<(RecordKind, String, RecordId)>, MapError> {
        const STATEMENT: &str = "SELECT kind, source_key, record FROM record_key ORDER BY kind, source_key, snapshot";
        self.reading(|db| {
            collect(db, STATEMENT, [], |row| Ok((word(row, 0, KINDS)?, row.get(1)?, RecordId(row.get(2)?))))
        })
    }

    /// Writes rows, and remembers their source keys for ever. One transaction.
    pub fn put_records(&self, rows: &[RecordRow]) -> Result<(), MapError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.writing(|db| rows.iter().try_for_each(|row| put(db, row)))
    }

    /// Forgets a record whose intent came to nothing, and that has no data.
    pub fn drop_record_intent(&self, id: RecordId) -> Result<(), MapError> {
        self.writing(|db| {
            let intent: Vec<RecordId> =
                collect(db, "SELECT id FROM record WHERE id = ?1 AND state = 'intent'", [id.0], |row| {
                    Ok(RecordId(row.get(0)?))
                })?;
            if !intent.is_empty() {
                execute(db, "DELETE FROM record_key WHERE record = ?1", [id.0])?;
                execute(db, "DELETE FROM record WHERE id = ?1", [id.0])?;
            }
            Ok(())
        })
    }

    /// How far each account came.
    pub fn progress(&self) -> Result<Vec<(RecordId, Progress)>, MapError> {
        const STATEMENT: &str = "SELECT record, snapshot, rules, ledger FROM progress ORDER BY record";
        self.reading(|db| {
            collect(db, STATEMENT, [], |row| {
                let progress =
                    Progress { snapshot: SnapshotNo(row.get(1)?), rules: from_json(row, 2)?, ledger: row.get(3)? };
                Ok((RecordId(row.get(0)?), progress))
            })
        })
    }

    /// The newest snapshot of which some account has been imported completely.
    pub fn newest_progress(&self) -> Result<Option<SnapshotNo>, MapError> {
        const STATEMENT: &str = "SELECT snapshot FROM progress ORDER BY snapshot DESC LIMIT 1";
        let newest = self.reading(|db| collect(db, STATEMENT, [], |row| Ok(SnapshotNo(row.get(0)?))))?;
        Ok(newest.into_iter().next())
    }

    /// Remembers that an account's data came so far; `None` forgets it, so that the next pass looks at every item.
    pub fn set_progress(&self, id: RecordId, progress: Option<&Progress>) -> Result<(), MapError> {
        const PUT: &str = "INSERT INTO progress (record, snapshot, rules, ledger) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (record) DO UPDATE SET snapshot = ?2, rules = ?3, ledger = ?4";
        self.writing(|db| {
            match progress {
                Some(Progress { snapshot, rules, ledger }) => {
                    execute(db, PUT, params![id.0, snapshot.0, to_json(rules)?, ledger])?
                }
                None => execute(db, "DELETE FROM progress WHERE record = ?1", [id.0])?,
            };
            Ok(())
        })
    }
}
