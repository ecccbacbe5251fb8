//! Opening SQLite: one file a database, one module a file, SQL nowhere else.
//!
//! Schemas grow by numbered migrations and `user_version`; a released one is never edited. A file of another program is
//! refused by its `application_id`, a newer one by its version, both politely.

use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// What can go wrong with a database of ours.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    #[error("the database does not answer as it should")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the database is of another program")]
    Foreign,
    #[error("the database has version {found}, newer than {known}, the newest this wagon knows")]
    TooNew { found: u32, known: u32 },
    #[error("the database says something impossible: {0}")]
    Corrupt(String),
}

/// How a database is kept.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// `application_id` of the file: tells ours from a stranger's.
    pub application_id: i32,
    /// Each brings the schema from its index to the next version.
    pub migrations: &'static [&'static str],
    pub durability: Durability,
}

/// What a power loss may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Nothing that was committed: write-ahead log, every commit synced.
    Full,
    /// The last commits; the file stays sound. For what can be rebuilt.
    Rebuildable,
    /// Nothing, and the database stays one file: rollback journal.
    OneFile,
}

/// Opens or creates, and brings the schema up to date.
pub fn open(path: &Path, kind: &Kind) -> Result<Connection, DbError> {
    let mut db = Connection::open(path)?;
    db.busy_timeout(Duration::from_secs(10))?;
    check_owner(&db, kind)?;
    let (journal, synchronous) = match kind.durability {
        Durability::Full => ("WAL", "FULL"),
        Durability::Rebuildable => ("WAL", "NORMAL"),
        Durability::OneFile => ("DELETE", "FULL"),
    };
    db.pragma_update(None, "journal_mode", journal)?;
    db.pragma_update(None, "synchronous", synchronous)?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.set_prepared_statement_cache_capacity(64);
    let known = u32::try_from(kind.migrations.len()).unwrap_or(u32::MAX);
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(DbError::TooNew { found, known });
    }
    for migration in kind.migrations.iter().skip(found as usize) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", kind.application_id)?;
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(db)
}

/// Opens a database that somebody else wrote: read-only, no schema of its own trusted, defensive. Its version may be
/// older; a newer one is refused.
pub fn open_hostile(path: &Path, kind: &Kind) -> Result<Connection, DbError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(Duration::from_secs(10))?;
    db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    check_owner(&db, kind)?;
    let known = u32::try_from(kind.migrations.len()).unwrap_or(u32::MAX);
    let found: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(DbError::TooNew { found, known });
    }
    Ok(db)
}

/// An empty file has id 0 and no tables; anything else must bear our id.
fn check_owner(db: &Connection, kind: &Kind) -> Result<(), DbError> {
    let found: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: u32 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if found != kind.application_id && !(found == 0 && tables == 0) {
        return Err(DbError::Foreign);
    }
    Ok(())
}
