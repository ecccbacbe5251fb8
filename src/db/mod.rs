//! Opening SQLite: one file a database, one module a file, SQL nowhere else.
//!
//! Schemas grow by numbered migrations and `user_version`; a released one is never edited. A file of another program is
//! refused by its `application_id`, a newer one by its version, both politely.

use crate::fs::{Fs, RealFs};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

/// What can go wrong with a database of ours.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    #[error("the database does not answer as it should")]
    Sqlite(#[source] rusqlite::Error),
    #[error("the database cannot grow")]
    Full(#[source] io::Error),
    #[error("another program has been writing the database for longer than could be waited")]
    InUse,
    #[error("the database is of another program")]
    Foreign,
    #[error("the database has version {found}, newer than {known}, the newest this wagon knows")]
    TooNew { found: u32, known: u32 },
    #[error("the database says something impossible: {0}")]
    Corrupt(String),
}

impl DbError {
    /// Whether the file is no sound database, so that one that only saves time may be made anew.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Sqlite(error) => {
                // Values that no statement of ours writes, and tables that are not as ours are, are damage as well.
                matches!(
                    error.sqlite_error_code(),
                    Some(
                        ErrorCode::NotADatabase
                            | ErrorCode::DatabaseCorrupt
                            | ErrorCode::ConstraintViolation
                            | ErrorCode::SchemaChanged
                            | ErrorCode::TypeMismatch
                            | ErrorCode::Unknown
                            // So says the header of the file; what only may not be written gives the same.
                            | ErrorCode::ReadOnly
                    )
                ) || matches!(
                    error,
                    rusqlite::Error::FromSqlConversionFailure(..)
                        | rusqlite::Error::IntegralValueOutOfRange(..)
                        | rusqlite::Error::InvalidColumnType(..)
                        | rusqlite::Error::Utf8Error(..)
                        | rusqlite::Error::SqlInputError { .. }
                )
            }
            Self::Corrupt(_) => true,
            _ => false,
        }
    }
}

impl From<rusqlite::Error> for DbError {
    /// A full disk becomes the error that every other file gives, because it asks the same of people; also where it
    /// shows in the files beside the database.
    fn from(error: rusqlite::Error) -> Self {
        let extended = error.sqlite_error().map(|error| error.extended_code);
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(rustix::io::Errno::NOSPC.into()),
            _ if extended == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => Self::Full(rustix::io::Errno::NOSPC.into()),
            Some(ErrorCode::DatabaseBusy) => Self::InUse,
            _ => Self::Sqlite(error),
        }
    }
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
    let number = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if number("user_version")? == i64::from(known) && number("application_id")? == i64::from(kind.application_id) {
        return Ok(db); // nothing to write, so nothing to wait for the disk for
    }
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
    open_to_read(path, kind).map(|(db, _)| db)
}

/// The URI by which a database can be attached for reading; refuses what [`open_hostile`] refuses.
pub fn reading_uri(path: &Path, kind: &Kind) -> Result<String, DbError> {
    open_to_read(path, kind).map(|(_, uri)| uri)
}

/// A database with a write-ahead log wants to make files beside it even to be read. Where that cannot be (a snapshot of
/// the disk, a read-only mount) and its log is empty, the file itself is all there is, and is read as it stands.
fn open_to_read(path: &Path, kind: &Kind) -> Result<(Connection, String), DbError> {
    let uri = uri(path);
    match open_plainly(path, kind) {
        Err(DbError::Sqlite(error)) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) && is_whole(path) => {
            let uri = format!("{uri}&immutable=1");
            open_plainly(Path::new(&uri), kind).map(|db| (db, uri))
        }
        opened => opened.map(|db| (db, uri)),
    }
}

/// `path` may be a URI.
fn open_plainly(path: &Path, kind: &Kind) -> Result<Connection, DbError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
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
    refuse_programs(&db)?;
    Ok(db)
}

/// A view or a computed column is a program of whoever wrote the file: it can give rows or bytes without end. Databases
/// of ours have tables and indexes alone, which give no more than the file holds.
fn refuse_programs(db: &Connection) -> Result<(), DbError> {
    // What is stored nowhere has no root page: views, triggers, virtual tables. 2 and 3 are computed columns.
    const PROGRAMS: &str = "SELECT count(*) FROM sqlite_schema \
                            WHERE type NOT IN ('table', 'index') OR coalesce(rootpage, 0) <= 0";
    const COMPUTED: &str = "SELECT count(*) FROM sqlite_schema AS t, pragma_table_xinfo(t.name) AS c \
                            WHERE t.type = 'table' AND c.hidden > 1";
    for statement in [PROGRAMS, COMPUTED] {
        if db.query_row(statement, [], |row| row.get::<_, i64>(0))? > 0 {
            let what = "it has views, triggers, virtual tables or computed columns, which no database of wagon has";
            return Err(DbError::Corrupt(what.to_owned()));
        }
    }
    Ok(())
}

/// <https://sqlite.org/uri.html>: whatever is no plain letter is escaped.
fn uri(path: &Path) -> String {
    let mut uri = if path.is_absolute() { "file://".to_owned() } else { "file:".to_owned() };
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(byte)),
            other => uri.push_str(&format!("%{other:02x}")),
        }
    }
    uri + "?mode=ro"
}

/// Whether the file is there and nothing was committed that has not reached it.
fn is_whole(path: &Path) -> bool {
    if RealFs.stat(path).is_err() {
        return false;
    }
    let mut log = OsString::from(path);
    log.push("-wal");
    match RealFs.lstat(Path::new(&log)) {
        Ok(stat) => stat.size == 0,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
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
