//! Giving what was imported another number of the source, where an archive had to go on without a snapshot that it lost.
//!
//! Promises that one call is one transaction, and that everything that refers to the old number refers to the new one
//! afterwards. The new numbers must not be in use. What is the same is for the caller to know (`verbs::import`).

use super::{Map, MapError, execute};
use crate::model::id::{FolderId, ItemId, RecordId};
use rusqlite::params;

impl Map {
    pub fn renumber_records(&self, numbers: &[(RecordId, RecordId)]) -> Result<(), MapError> {
        const STATEMENTS: [&str; 9] = [
            "UPDATE record SET id = ?2 WHERE id = ?1",
            "UPDATE record_key SET record = ?2 WHERE record = ?1",
            "UPDATE progress SET record = ?2 WHERE record = ?1",
            "UPDATE folder SET record = ?2 WHERE record = ?1",
            "UPDATE folder_key SET record = ?2 WHERE record = ?1",
            "UPDATE item SET record = ?2 WHERE record = ?1",
            "UPDATE setting SET record = ?2 WHERE record = ?1",
            "UPDATE grants SET record = ?2 WHERE record = ?1",
            "UPDATE pending SET record = ?2 WHERE record = ?1",
        ];
        self.writing(|db| {
            // Rows refer to a record that gets its new number a statement earlier or later.
            db.execute_batch("PRAGMA defer_foreign_keys = ON")?;
            for (old, new) in numbers {
                for statement in STATEMENTS {
                    execute(db, statement, params![old.0, new.0])?;
                }
            }
            Ok(())
        })
    }

    pub fn renumber_folders(&self, record: RecordId, numbers: &[(FolderId, FolderId)]) -> Result<(), MapError> {
        const STATEMENTS: [&str; 4] = [
            "UPDATE folder SET id = ?3 WHERE record = ?1 AND id = ?2",
            "UPDATE folder_key SET folder = ?3 WHERE record = ?1 AND folder = ?2",
            "UPDATE item SET folder = ?3 WHERE record = ?1 AND folder = ?2",
            "UPDATE grants SET folder = ?3 WHERE record = ?1 AND folder = ?2",
        ];
        self.writing(|db| {
            for (old, new) in numbers {
                for statement in STATEMENTS {
                    execute(db, statement, params![record.0, old.0, new.0])?;
                }
            }
            Ok(())
        })
    }

    pub fn renumber_items(&self, record: RecordId, numbers: &[(ItemId, ItemId)]) -> Result<(), MapError> {
        const STATEMENT: &str = "UPDATE item SET id = ?3 WHERE record = ?1 AND id = ?2";
        self.writing(|db| {
            numbers
                .iter()
                .try_for_each(|(old, new)| execute(db, STATEMENT, params![record.0, old.0, new.0]).map(|_| ()))
        })
    }
}
