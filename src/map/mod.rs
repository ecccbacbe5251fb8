//! The map: `map_<source id>.sqlite` beside a target; old id -> new id for everything that was ever imported from one
//! source, with the state it was imported in.
//!
//! Promises: what was committed survives a power loss (but for outcomes of deliveries: a lost one leaves its intent,
//! which is settled again); a map of another source, archive or target is refused before anything is written. Called by
//! `verbs::import` (the one writer), `verbs::shares`, `verbs::verify` and `wagon map`. It decides nothing: rows in,
//! rows out. Schema: format-spec/map.md. SQL stands here and nowhere else.

mod copy;
mod folders;
mod items;
mod links;
mod records;
mod renumber;
mod shares_queries;
#[cfg(test)]
mod tests;
mod trusted;

pub use folders::{FolderRow, FolderState};
pub use items::{ItemRow, ItemState};
pub use links::{ConflictRow, GrantsRow, LinkKind, PendingRow, SettingRow};
pub use records::{Arrived, Progress, RecordRow, RecordState, Rules};
pub use shares_queries::KNOWN_TO_NOBODY;

use crate::db::{self, DbError, Durability, Kind};
use crate::fs::Fs;
use crate::model::id::SiteId;
use rusqlite::{Connection, Params, Row, TransactionBehavior, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// How the database is kept. `WgMp` as a number.
const KIND: Kind = Kind {
    application_id: 0x5767_4d70,
    migrations: &[include_str!("schema_1.sql"), include_str!("schema_2.sql")],
    durability: Durability::Full,
};

/// What can go wrong with a map.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    #[error("cannot {action} {path}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("the map {path} is unusable")]
    Database { path: PathBuf, source: DbError },
    #[error("the map {path} could not take a conflict ({why}), and takes nothing after that")]
    Refuses { path: PathBuf, why: String },
    #[error("{0} is no map: it does not say of which sites")]
    NotAMap(PathBuf),
    #[error("the map {path} is of source {found}, not of {wanted}")]
    OtherSource { path: PathBuf, found: SiteId, wanted: SiteId },
    #[error("the map {path} belongs to target {found}; this target is {wanted}")]
    OtherTarget { path: PathBuf, found: SiteId, wanted: SiteId },
    #[error("the map {path} was made from archive {found}; archive {wanted} numbers the same site in another way")]
    OtherArchive { path: PathBuf, found: SiteId, wanted: SiteId },
}

/// Of what a map is. `open` compares it, and writes it into a new one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Meta {
    pub source_site: SiteId,
    pub target_site: SiteId,
    /// Ids are given by an archive's chain of snapshots; another archive of the same source gives others.
    pub archive: SiteId,
    /// Version of the wagon that made the map.
    pub wagon: String,
    /// Seconds since 1970.
    pub created: i64,
}

/// An open map. Several threads may share one; each call is a transaction of its own.
pub struct Map {
    path: PathBuf,
    meta: Meta,
    db: Mutex<Connection>,
    /// Why it takes nothing more.
    refuses: OnceLock<String>,
}

/// The file name of the map of this source.
pub fn file_name(source: &SiteId) -> String {
    format!("map_{source}.sqlite")
}

/// The site in the name of a map file; `None` for any other file.
pub fn source_of_file_name(name: &str) -> Option<SiteId> {
    name.strip_prefix("map_")?.strip_suffix(".sqlite")?.parse().ok()
}

impl Map {
    /// Opens the map, or makes it. Refuses one of another source, target or archive.
    ///
    /// The file is made with mode 0600, because it holds password hashes.
    pub fn open(fs: &dyn Fs, path: &Path, expected: &Meta) -> Result<Self, MapError> {
        match fs.create_new(path) {
            Ok(file) => drop(file.keep()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(MapError::Io { action: "create", path: path.to_owned(), source }),
        }
        let db = db::open(path, &KIND).map_err(|source| unusable(path, source))?;
        Self::with_meta(db, path, Some(expected))
    }

    /// Opens a map for reading only: the way back, other sources' maps, `wagon map`.
    pub fn read(path: &Path) -> Result<Self, MapError> {
        let db = db::open_hostile(path, &KIND).map_err(|source| unusable(path, source))?;
        Self::with_meta(db, path, None)
    }

    /// Refuses what is not the expected map; the maker's version and time are not compared.
    fn with_meta(db: Connection, path: &Path, expected: Option<&Meta>) -> Result<Self, MapError> {
        let fail = |source| unusable(path, source);
        let found = read_meta(&db).map_err(fail)?;
        let meta = match (found, expected) {
            (Some(found), _) => found,
            (None, None) => return Err(MapError::NotAMap(path.to_owned())),
            (None, Some(expected)) => {
                write_meta(&db, expected).map_err(fail)?;
                expected.clone()
            }
        };
        let map = Self { path: path.to_owned(), meta, db: Mutex::new(db), refuses: OnceLock::new() };
        expected.map_or(Ok(()), |expected| map.check(expected))?;
        Ok(map)
    }

    fn check(&self, expected: &Meta) -> Result<(), MapError> {
        let differ = |found: &SiteId, wanted: &SiteId| {
            (found != wanted).then(|| (self.path.clone(), found.clone(), wanted.clone()))
        };
        if let Some((path, found, wanted)) = differ(&self.meta.source_site, &expected.source_site) {
            return Err(MapError::OtherSource { path, found, wanted });
        }
        if let Some((path, found, wanted)) = differ(&self.meta.target_site, &expected.target_site) {
            return Err(MapError::OtherTarget { path, found, wanted });
        }
        if let Some((path, found, wanted)) = differ(&self.meta.archive, &expected.archive) {
            return Err(MapError::OtherArchive { path, found, wanted });
        }
        Ok(())
    }

    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on the database, outside a transaction: for reading.
    fn reading<T>(&self, work: impl FnOnce(&Connection) -> Result<T, DbError>) -> Result<T, MapError> {
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        work(&db).map_err(|source| unusable(&self.path, source))
    }

    /// Runs `work` in one transaction and commits it, durably; an error rolls it back.
    fn writing<T>(&self, work: impl FnOnce(&Connection) -> Result<T, DbError>) -> Result<T, MapError> {
        let mut db = self.for_writing()?;
        commit(&mut db, work).map_err(|source| unusable(&self.path, source))
    }

    fn for_writing(&self) -> Result<MutexGuard<'_, Connection>, MapError> {
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        match self.refuses.get() {
            Some(why) => Err(MapError::Refuses { path: self.path.clone(), why: why.clone() }),
            None => Ok(db),
        }
    }

    /// [`Map::writing`] without waiting for the disk: until the next one that waits, a power loss may take this
    /// transaction back as a whole, after all later ones. For what the target can be asked again, and for what only the
    /// next transaction makes true.
    fn writing_lazily<T>(&self, work: impl FnOnce(&Connection) -> Result<T, DbError>) -> Result<T, MapError> {
        let mut db = self.for_writing()?;
        // The lock is held until the level is back, so nobody else's transaction is written with this one. With a
        // write-ahead log, NORMAL leaves out the sync of a commit and nothing else (https://sqlite.org/pragma.html).
        let run = || {
            db.pragma_update(None, "synchronous", "NORMAL")?;
            let outcome = commit(&mut db, work);
            db.pragma_update(None, "synchronous", "FULL")?;
            outcome
        };
        run().map_err(|source| unusable(&self.path, source))
    }
}

fn commit<T>(db: &mut Connection, work: impl FnOnce(&Connection) -> Result<T, DbError>) -> Result<T, DbError> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

fn unusable(path: &Path, source: DbError) -> MapError {
    MapError::Database { path: path.to_owned(), source }
}

fn read_meta(db: &Connection) -> Result<Option<Meta>, DbError> {
    const META: &str = "SELECT source_site, target_site, archive, wagon, created FROM meta";
    let rows = collect(db, META, [], |row| {
        Ok(Meta {
            source_site: site(row, 0)?,
            target_site: site(row, 1)?,
            archive: site(row, 2)?,
            wagon: row.get(3)?,
            created: row.get(4)?,
        })
    })?;
    Ok(rows.into_iter().next())
}

fn write_meta(db: &Connection, meta: &Meta) -> Result<(), DbError> {
    const PUT: &str = "INSERT INTO meta (one, source_site, target_site, archive, wagon, created)
                       VALUES (1, ?1, ?2, ?3, ?4, ?5)";
    let Meta { source_site, target_site, archive, wagon, created } = meta;
    db.execute(PUT, params![source_site.as_str(), target_site.as_str(), archive.as_str(), wagon, created])?;
    Ok(())
}

fn site(row: &Row<'_>, column: usize) -> Result<SiteId, DbError> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error| DbError::Corrupt(format!("{error}")))
}

/// Every row of a statement as a value.
fn collect<T>(
    db: &Connection,
    statement: &str,
    values: impl Params,
    mut convert: impl FnMut(&Row<'_>) -> Result<T, DbError>,
) -> Result<Vec<T>, DbError> {
    let mut statement = db.prepare_cached(statement)?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(convert(row)?);
    }
    Ok(found)
}

fn execute(db: &Connection, statement: &str, values: impl Params) -> Result<usize, DbError> {
    Ok(db.prepare_cached(statement)?.execute(values)?)
}

/// A value as the JSON text of a column.
fn to_json<T: Serialize>(value: &T) -> Result<String, DbError> {
    serde_json::to_string(value).map_err(|error| DbError::Corrupt(error.to_string()))
}

/// The value that a column's JSON text holds.
fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, DbError> {
    let text = row.get_ref(column)?.as_str().map_err(|error| DbError::Corrupt(error.to_string()))?;
    serde_json::from_str(text).map_err(|error| DbError::Corrupt(format!("column {column}: {error}")))
}

/// As [`from_json`], for a column that may be null.
fn from_json_or_null<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<Option<T>, DbError> {
    let null = row.get_ref(column)?.as_str_or_null().map_err(|error| DbError::Corrupt(error.to_string()))?.is_none();
    if null { Ok(None) } else { from_json(row, column).map(Some) }
}

/// A word of a column as one of `all`, by its spelling.
fn word<T: Copy>(row: &Row<'_>, column: usize, all: &[(T, &'static str)]) -> Result<T, DbError> {
    let text = row.get_ref(column)?.as_str().map_err(|error| DbError::Corrupt(error.to_string()))?;
    let found = all.iter().find(|(_, spelling)| *spelling == text).map(|(value, _)| *value);
    found.ok_or_else(|| DbError::Corrupt(format!("column {column} says {text:?}")))
}

/// The spelling of a value of such a column.
fn spelling<T: Copy + PartialEq>(value: T, all: &[(T, &'static str)]) -> &'static str {
    all.iter().find(|(other, _)| *other == value).map_or("", |(_, spelling)| spelling)
}
