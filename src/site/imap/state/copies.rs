//! Moves of the state that take two commands: announced before the first, and forgotten after the second.

use super::{State, touch};
use crate::site::SiteError;
use rusqlite::{OptionalExtension as _, Row, params};

/// A message that is copied to another folder and then removed from its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copying {
    pub name: String,
    pub folder: i64,
    pub uid_validity: u32,
    pub uid: u32,
    pub to: i64,
    pub to_validity: u32,
    /// The copy has this UID or a greater one.
    pub to_from: u32,
}

impl State {
    /// Announces a copy; it outlives a power loss when this returns.
    pub fn add_copying(&self, account: i64, one: &Copying) -> Result<(), SiteError> {
        const SQL: &str = "INSERT OR REPLACE INTO copying \
            (account, name, folder, uid_validity, uid, to_folder, to_validity, to_from, ident, size) \
            SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ident, size FROM message WHERE folder = ?3 AND uid = ?5";
        self.durably(|db| {
            let Copying { name, folder, uid_validity, uid, to, to_validity, to_from } = one;
            let values = params![account, name, folder, uid_validity, uid, to, to_validity, to_from];
            db.prepare_cached(SQL)?.execute(values).map(drop)
        })
    }

    /// Whether it is known by what a message would be known again elsewhere.
    pub fn has_ident(&self, folder: i64, uid: u32) -> Result<bool, SiteError> {
        const SQL: &str = "SELECT 1 FROM message WHERE folder = ?1 AND uid = ?2 AND ident IS NOT NULL";
        self.read(|db| db.prepare_cached(SQL)?.exists(params![folder, uid]))
    }

    pub fn copyings(&self, account: i64) -> Result<Vec<Copying>, SiteError> {
        const SQL: &str = "SELECT name, folder, uid_validity, uid, to_folder, to_validity, to_from FROM copying \
            WHERE account = ?1 ORDER BY name";
        self.read(|db| db.prepare_cached(SQL)?.query_map([account], copying_row)?.collect())
    }

    /// The UID of the copy, among the messages that were looked at: it has the same ident. `done`: the server has said that it
    /// is there; then it may have called it otherwise, and the size will do.
    pub fn copy_of(&self, account: i64, one: &Copying, done: bool) -> Result<Option<u32>, SiteError> {
        const SQL: &str = "SELECT message.uid FROM message, copying WHERE message.folder = ?1 AND message.uid >= ?2 \
            AND copying.account = ?3 AND copying.name = ?4 \
            AND (message.ident = copying.ident OR (?5 AND message.size = copying.size)) \
            ORDER BY message.ident IS copying.ident DESC, message.uid LIMIT 1";
        let values = params![one.to, one.to_from, account, one.name, done];
        self.read(|db| db.prepare_cached(SQL)?.query_row(values, |row| row.get(0)).optional())
    }

    /// Ends it: the message lies there with this UID and under its name; `None`: nothing is left to be noted.
    pub fn end_copying(&self, account: i64, one: &Copying, copy: Option<u32>) -> Result<(), SiteError> {
        // What only we know of it goes along.
        const OURS: &str = "UPDATE message SET (passed, object, by_server) = \
            (SELECT passed, object, by_server FROM message WHERE folder = ?1 AND uid = ?2) \
            WHERE folder = ?3 AND uid = ?4 AND EXISTS (SELECT 1 FROM message WHERE folder = ?1 AND uid = ?2)";
        const LEFT: &str = "DELETE FROM message WHERE folder = ?1 AND uid = ?2";
        const DEPARTED: &str = "DELETE FROM departed WHERE account = ?1 AND name = ?2";
        const NAME: &str = "UPDATE message SET name = ?3 WHERE folder = ?1 AND uid = ?2";
        const DONE: &str = "DELETE FROM copying WHERE account = ?1 AND name = ?2";
        self.write(|db| {
            if let Some(copy) = copy {
                db.prepare_cached(OURS)?.execute(params![one.folder, one.uid, one.to, copy])?;
                db.prepare_cached(LEFT)?.execute(params![one.folder, one.uid])?;
                db.prepare_cached(DEPARTED)?.execute(params![account, one.name])?;
                db.prepare_cached(NAME)?.execute(params![one.to, copy, one.name])?;
                touch(db, one.folder)?;
                touch(db, one.to)?;
            }
            db.prepare_cached(DONE)?.execute(params![account, one.name]).map(drop)
        })
    }
}

fn copying_row(row: &Row<'_>) -> Result<Copying, rusqlite::Error> {
    Ok(Copying {
        name: row.get(0)?,
        folder: row.get(1)?,
        uid_validity: row.get(2)?,
        uid: row.get(3)?,
        to: row.get(4)?,
        to_validity: row.get(5)?,
        to_from: row.get(6)?,
    })
}
