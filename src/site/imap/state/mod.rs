//! What is remembered of a server: its folders and messages as they were at the last look, and the name that each message
//! bears with us for ever, wherever it moves. SQLite below the state folder of a store.
//!
//! Promises: a name is borne by one message of an account at a time. Deleting the file costs a look at every folder,
//! and the names of messages that are there twice; what an import was cut off in could then no longer be settled.

mod copies;
mod deliveries;
mod messages;

pub use copies::Copying;
pub use deliveries::{Intent, Settled};
pub use messages::{Arrival, MessageRow};

use crate::db::{self, DbError, Durability, Kind};
use crate::model::mailbox::SpecialUse;
use crate::model::share::Grant;
use crate::site::SiteError;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const KIND: Kind = Kind {
    application_id: 0x5749_4d41, // "WIMA"
    migrations: &[include_str!("schema_1.sql"), include_str!("schema_2.sql"), include_str!("schema_3.sql")],
    // What announces deliveries is written to the disk at once; the rest a server would tell again.
    durability: Durability::Rebuildable,
};

/// What a server says of a folder beside its messages.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct About {
    pub special_use: Option<SpecialUse>,
    pub subscribed: bool,
    /// The server's own lasting name of the folder.
    pub guid: Option<String>,
    pub grants: Vec<Grant>,
    /// Its comments (RFC 5464, section 6.2): what it is for, and what its owner has noted on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A folder as it was at the last look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FolderRow {
    pub id: i64,
    pub path: String,
    pub wire: Vec<u8>,
    pub uid_validity: u32,
    pub uid_next: u32,
    pub modseq: u64,
    pub about: About,
    pub changed: i64,
}

/// The state of one server, used by several threads.
pub struct State {
    path: PathBuf,
    db: Mutex<Connection>,
    id: Vec<u8>,
}

impl State {
    /// Opens or makes it; its folder must exist. `fresh_id` is its id if it is new.
    pub fn open(path: &Path, fresh_id: [u8; 16]) -> Result<Self, SiteError> {
        let bad = |source| SiteError::Database { path: path.to_owned(), source };
        let db = db::open(path, &KIND).map_err(bad)?;
        let id = server_id(&db, fresh_id).map_err(|error| bad(error.into()))?;
        Ok(Self { path: path.to_owned(), db: Mutex::new(db), id })
    }

    /// Random, made with the file.
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    fn db(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>) -> Result<T, SiteError> {
        work(&self.db()).map_err(|error| self.bad(error))
    }

    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>) -> Result<T, SiteError> {
        write(&mut self.db(), work).map_err(|error| self.bad(error))
    }

    /// [`State::write`] that outlives a power loss when it returns.
    fn durably<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>) -> Result<T, SiteError> {
        // One guard for all of it: other threads write with the same connection.
        let mut db = self.db();
        let run = || {
            db.pragma_update(None, "synchronous", "FULL")?;
            let written = write(&mut db, work);
            db.pragma_update(None, "synchronous", "NORMAL")?;
            written
        };
        run().map_err(|error| self.bad(error))
    }

    fn bad(&self, error: rusqlite::Error) -> SiteError {
        SiteError::Database { path: self.path.clone(), source: DbError::from(error) }
    }

    /// The number of an account; a new one is given one.
    pub fn account(&self, address: &str) -> Result<i64, SiteError> {
        const FIND: &str = "SELECT id FROM account WHERE address = ?1";
        const ADD: &str = "INSERT INTO account (address) VALUES (?1) ON CONFLICT DO NOTHING";
        let find = |db: &Connection| db.prepare_cached(FIND)?.query_row([address], |row| row.get(0)).optional();
        if let Some(id) = self.read(find)? {
            return Ok(id);
        }
        self.write(|db| {
            db.prepare_cached(ADD)?.execute([address])?;
            find(db)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
        })
    }

    /// Folders of an account by path.
    pub fn folders(&self, account: i64) -> Result<Vec<FolderRow>, SiteError> {
        const SQL: &str = "SELECT id, path, wire, uid_validity, uid_next, modseq, about, changed FROM folder \
            WHERE account = ?1 ORDER BY path";
        self.read(|db| db.prepare_cached(SQL)?.query_map([account], folder_row)?.collect())
    }

    pub fn folder(&self, account: i64, path: &str) -> Result<Option<FolderRow>, SiteError> {
        const SQL: &str = "SELECT id, path, wire, uid_validity, uid_next, modseq, about, changed FROM folder \
            WHERE account = ?1 AND path = ?2";
        self.read(|db| db.prepare_cached(SQL)?.query_row(params![account, path], folder_row).optional())
    }

    /// Remembers a folder of which nothing has been looked at, and gives its number.
    pub fn add_folder(&self, account: i64, path: &str, wire: &[u8]) -> Result<i64, SiteError> {
        const SQL: &str = "INSERT INTO folder (account, path, wire, uid_validity, uid_next, modseq, about, changed) \
            VALUES (?1, ?2, ?3, 0, 1, 0, ?4, 1) ON CONFLICT (account, path) DO UPDATE SET wire = ?3 RETURNING id";
        self.write(|db| {
            let about = text_of(&About::default());
            db.prepare_cached(SQL)?.query_row(params![account, path, wire, about], |row| row.get(0))
        })
    }

    /// Says that the messages up to here have been looked at.
    pub fn looked_at(&self, folder: i64, uid_validity: u32, uid_next: u32, modseq: u64) -> Result<(), SiteError> {
        const SQL: &str = "UPDATE folder SET changed = changed + \
            (uid_validity != ?2 OR uid_next != ?3), uid_validity = ?2, uid_next = ?3, modseq = ?4 \
            WHERE id = ?1 AND (uid_validity != ?2 OR uid_next != ?3 OR modseq != ?4)";
        let modseq = i64::try_from(modseq).unwrap_or(0);
        self.write(|db| db.prepare_cached(SQL)?.execute(params![folder, uid_validity, uid_next, modseq]).map(drop))
    }

    pub fn set_about(&self, folder: i64, about: &About) -> Result<(), SiteError> {
        const SQL: &str = "UPDATE folder SET about = ?2, changed = changed + 1 WHERE id = ?1 AND about != ?2";
        self.write(|db| db.prepare_cached(SQL)?.execute(params![folder, text_of(about)]).map(drop))
    }

    /// A folder that is gone; its messages may turn up elsewhere.
    pub fn remove_folder(&self, account: i64, folder: i64) -> Result<(), SiteError> {
        self.write(|db| {
            messages::depart(db, account, folder, None)?;
            db.prepare_cached("DELETE FROM intent WHERE folder = ?1")?.execute([folder])?;
            db.prepare_cached("DELETE FROM copying WHERE to_folder = ?1")?.execute([folder])?;
            db.prepare_cached("DELETE FROM folder WHERE id = ?1")?.execute([folder]).map(drop)
        })
    }

    /// Another path for a folder, its messages and names stay.
    pub fn rename_folder(&self, folder: i64, path: &str, wire: &[u8]) -> Result<(), SiteError> {
        const SQL: &str = "UPDATE folder SET path = ?2, wire = ?3, changed = changed + 1 WHERE id = ?1";
        self.write(|db| db.prepare_cached(SQL)?.execute(params![folder, path, wire]).map(drop))
    }

    pub fn folder_by_id(&self, folder: i64) -> Result<Option<FolderRow>, SiteError> {
        const SQL: &str = "SELECT id, path, wire, uid_validity, uid_next, modseq, about, changed FROM folder \
            WHERE id = ?1";
        self.read(|db| db.prepare_cached(SQL)?.query_row([folder], folder_row).optional())
    }
}

fn write<T>(
    db: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
) -> Result<T, rusqlite::Error> {
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

fn server_id(db: &Connection, fresh: [u8; 16]) -> Result<Vec<u8>, rusqlite::Error> {
    const ADD: &str = "INSERT INTO server (one, id) VALUES (1, ?1) ON CONFLICT DO NOTHING";
    const FIND: &str = "SELECT id FROM server WHERE one = 1";
    if let Some(id) = db.query_row(FIND, [], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    db.execute(ADD, [fresh.as_slice()])?;
    db.query_row(FIND, [], |row| row.get(0))
}

fn folder_row(row: &Row<'_>) -> Result<FolderRow, rusqlite::Error> {
    let about: String = row.get(6)?;
    Ok(FolderRow {
        id: row.get(0)?,
        path: row.get(1)?,
        wire: row.get(2)?,
        uid_validity: row.get(3)?,
        uid_next: row.get(4)?,
        modseq: row.get::<_, i64>(5)?.cast_unsigned(),
        // Of a later version; the next look writes it anew.
        about: serde_json::from_str(&about).unwrap_or_default(),
        changed: row.get(7)?,
    })
}

fn text_of(about: &About) -> String {
    serde_json::to_string(about).unwrap_or_default()
}

fn touch(db: &Transaction<'_>, folder: i64) -> Result<(), rusqlite::Error> {
    db.prepare_cached("UPDATE folder SET changed = changed + 1 WHERE id = ?1")?.execute([folder]).map(drop)
}
