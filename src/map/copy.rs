//! A copy of a map in memory, for a rehearsal: it can be written as the map itself, and nothing of it stays.

use super::{KIND, Map, MapError, Meta, unusable};
use crate::db::DbError;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// Tables in an order in which no row refers to a later one.
const TABLES: &[&str] = &[
    "meta",
    "record",
    "record_key",
    "progress",
    "folder",
    "folder_key",
    "item",
    "setting",
    "grants",
    "pending",
    "conflict",
];

impl Map {
    /// The map at `path` as it is now, or an empty one where there is none, in memory. The file is not touched.
    pub fn open_copy(path: &Path, exists: bool, expected: &Meta) -> Result<Self, MapError> {
        let fail = |source: DbError| unusable(path, source);
        let copy = in_memory().map_err(fail)?;
        if exists {
            // Opened once by itself, so that a stranger's file is refused in the same words as ever.
            let original = Self::read(path)?;
            original.check(expected)?;
            drop(original);
            fill(&copy, path).map_err(fail)?;
        }
        Self::with_meta(copy, path, Some(expected))
    }
}

fn in_memory() -> Result<Connection, DbError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(":memory:", flags)?;
    KIND.migrations.iter().try_for_each(|migration| db.execute_batch(migration))?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

fn fill(copy: &Connection, path: &Path) -> Result<(), DbError> {
    copy.execute("ATTACH DATABASE ?1 AS original", [crate::db::reading_uri(path, &KIND)?])?;
    for table in TABLES {
        copy.execute(&format!("INSERT INTO main.{table} SELECT * FROM original.{table}"), [])?;
    }
    copy.execute("DETACH DATABASE original", [])?;
    Ok(())
}
