//! The newest signed state of the source that this target has seen, so that an older one is not taken for the newest.

use super::{Map, MapError, collect, execute};
use crate::model::id::SnapshotNo;
use rusqlite::params;

impl Map {
    /// Number and hash of the newest snapshot that was imported from a trusted archive; `None`: none was.
    pub fn trusted(&self) -> Result<Option<(SnapshotNo, String)>, MapError> {
        const KNOWS: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name = 'trusted'";
        const NEWEST: &str = "SELECT snapshot, digest FROM trusted WHERE one = 1";
        self.reading(|db| {
            // A map that is only read may be of the time before this table.
            if collect(db, KNOWS, [], |_| Ok(()))?.is_empty() {
                return Ok(None);
            }
            Ok(collect(db, NEWEST, [], |row| Ok((SnapshotNo(row.get(0)?), row.get(1)?)))?.pop())
        })
    }

    pub fn set_trusted(&self, snapshot: SnapshotNo, digest: &str) -> Result<(), MapError> {
        const PUT: &str = "INSERT OR REPLACE INTO trusted (one, snapshot, digest) VALUES (1, ?1, ?2)";
        self.writing(|db| execute(db, PUT, params![snapshot.0, digest]).map(drop))
    }
}
