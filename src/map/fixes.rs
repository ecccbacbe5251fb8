//! What `shares fix` changed on the target, with the state before, so that it can be undone.
//!
//! A change is announced, made, and then confirmed; so a fix that was killed can be undone as well.

use super::{Map, MapError, collect, execute, from_json, spelling, to_json, word};
use crate::model::mailbox::FolderKey;
use crate::model::setting::{Setting, SettingKey};
use crate::model::share::Grant;
use rusqlite::params;
use serde::{Deserialize, Serialize};

/// How far a change came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeState {
    Intent,
    Done,
    Undone,
}

const STATES: &[(ChangeState, &str)] =
    &[(ChangeState::Intent, "intent"), (ChangeState::Done, "done"), (ChangeState::Undone, "undone")];

/// What a change concerns, with both its states.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShareSubject {
    /// The access list of a folder.
    Grants { folder: FolderKey, before: Vec<Grant>, after: Vec<Grant> },
    /// A mountpoint; `None`: there was, or is, none.
    Mountpoint { key: SettingKey, before: Option<Setting>, after: Option<Setting> },
}

/// One change of one fix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareChange {
    /// Its number in the map, in the order of making.
    pub no: i64,
    /// All changes of one `shares fix` bear the same number.
    pub fix: i64,
    /// Seconds since 1970.
    pub made: i64,
    /// Address on the target of the account whose folder or mountpoint it is.
    pub account: String,
    pub subject: ShareSubject,
    pub state: ChangeState,
}

impl Map {
    /// Announces the changes of a new fix, and gives it its number. Nothing to do gives no fix.
    pub fn begin_fix(&self, made: i64, changes: &[(String, ShareSubject)]) -> Result<Option<i64>, MapError> {
        const LAST: &str = "SELECT coalesce(max(fix), 0) FROM share_change";
        const PUT: &str = "INSERT INTO share_change (fix, made, account, subject, state)
            VALUES (?1, ?2, ?3, ?4, 'intent')";
        if changes.is_empty() {
            return Ok(None);
        }
        self.writing(|db| {
            let last: i64 = db.query_row(LAST, [], |row| row.get(0))?;
            let fix = last.saturating_add(1);
            for (account, subject) in changes {
                execute(db, PUT, params![fix, made, account, to_json(subject)?])?;
            }
            Ok(Some(fix))
        })
    }

    /// The changes of a fix, in the order of making.
    pub fn fix(&self, fix: i64) -> Result<Vec<ShareChange>, MapError> {
        const STATEMENT: &str =
            "SELECT no, fix, made, account, subject, state FROM share_change WHERE fix = ?1 ORDER BY no";
        self.reading(|db| {
            collect(db, STATEMENT, [fix], |row| {
                Ok(ShareChange {
                    no: row.get(0)?,
                    fix: row.get(1)?,
                    made: row.get(2)?,
                    account: row.get(3)?,
                    subject: from_json(row, 4)?,
                    state: word(row, 5, STATES)?,
                })
            })
        })
    }

    /// The newest fix of which something is not undone.
    pub fn last_fix(&self) -> Result<Option<i64>, MapError> {
        const STATEMENT: &str = "SELECT max(fix) FROM share_change WHERE state <> 'undone'";
        self.reading(|db| Ok(db.query_row(STATEMENT, [], |row| row.get(0))?))
    }

    /// Confirms that changes were made, or undone.
    pub fn set_changes(&self, changes: &[i64], state: ChangeState) -> Result<(), MapError> {
        const SET: &str = "UPDATE share_change SET state = ?2 WHERE no = ?1";
        self.writing(|db| {
            changes.iter().try_for_each(|no| execute(db, SET, params![no, spelling(state, STATES)]).map(|_| ()))
        })
    }
}
