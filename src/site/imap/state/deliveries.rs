//! Deliveries of the state: announced before the first byte goes out, and what became of them.

use super::messages::{MessageRow, keywords_text};
use super::{State, touch};
use crate::site::SiteError;
use crate::site::imap::flags::is_passed;
use rusqlite::{OptionalExtension as _, Row, params};

/// A delivery that was announced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Intent {
    pub name: String,
    pub folder: i64,
    pub uid_validity: u32,
    pub uid_from: u32,
    pub size: u64,
    pub hash: [u8; 32],
    /// By how many bytes some servers make it shorter.
    pub less: u64,
    /// Its line ends were changed to be sent.
    pub mended: bool,
    pub date: i64,
}

/// A delivery that lies in its folder now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settled {
    pub message: MessageRow,
    /// What the server has, where it was delivered with other bytes.
    pub object: Option<[u8; 32]>,
    /// The server changed them, and not only we the line ends.
    pub by_server: bool,
}

impl State {
    /// Announces deliveries; they outlive a power loss when this returns.
    pub fn add_intents(&self, account: i64, intents: &[Intent]) -> Result<(), SiteError> {
        const SQL: &str = "INSERT OR REPLACE INTO intent \
            (account, name, folder, uid_validity, uid_from, size, hash, less, mended, date) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        self.durably(|db| {
            for one in intents {
                let size = i64::try_from(one.size).unwrap_or(i64::MAX);
                let (validity, from, hash) = (one.uid_validity, one.uid_from, one.hash.as_slice());
                let less = i64::try_from(one.less).unwrap_or(i64::MAX);
                let values =
                    params![account, one.name, one.folder, validity, from, size, hash, less, one.mended, one.date];
                db.prepare_cached(SQL)?.execute(values)?;
            }
            Ok(())
        })
    }

    /// Announced deliveries of an account whose end is not known, folder by folder.
    pub fn intents(&self, account: i64) -> Result<Vec<Intent>, SiteError> {
        const SQL: &str = "SELECT name, folder, uid_validity, uid_from, size, hash, mended, date, less FROM intent \
            WHERE account = ?1 ORDER BY folder, name";
        self.read(|db| db.prepare_cached(SQL)?.query_map([account], intent_row)?.collect())
    }

    /// Deliveries came to an end: these lie in the folder now, under their names; those do not.
    pub fn delivered(&self, account: i64, folder: i64, there: &[Settled], not: &[String]) -> Result<(), SiteError> {
        const ADD: &str = "INSERT OR REPLACE INTO message \
            (folder, uid, account, name, ident, size, date, flags, keywords, object, by_server, passed) \
            VALUES (?1, ?2, ?3, ?4, (SELECT ident FROM message WHERE folder = ?1 AND uid = ?2), ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        const DONE: &str = "DELETE FROM intent WHERE account = ?1 AND name = ?2";
        self.write(|db| {
            for Settled { message, object, by_server } in there {
                let size = i64::try_from(message.size).unwrap_or(i64::MAX);
                let (flags, keywords) = (message.flags.to_string(), keywords_text(&message.keywords));
                let (uid, name, date) = (message.uid, &message.name, message.date);
                let object = object.as_ref().map(<[u8; 32]>::as_slice);
                let passed = is_passed(message.flags, &message.keywords);
                let values =
                    params![folder, uid, account, name, size, date, flags, keywords, object, by_server, passed];
                db.prepare_cached(ADD)?.execute(values)?;
            }
            for name in there.iter().map(|one| &one.message.name).chain(not) {
                db.prepare_cached(DONE)?.execute(params![account, name])?;
            }
            if there.is_empty() { Ok(()) } else { touch(db, folder) }
        })
    }

    /// What the server has of a message, where it was delivered with other bytes; and whether the server changed them.
    pub fn object(&self, account: i64, name: &str) -> Result<Option<([u8; 32], bool)>, SiteError> {
        const SQL: &str = "SELECT object, by_server FROM message \
            WHERE account = ?1 AND name = ?2 AND object IS NOT NULL";
        self.read(|db| {
            let row = |row: &Row<'_>| Ok((row.get::<_, [u8; 32]>(0)?, row.get(1)?));
            db.prepare_cached(SQL)?.query_row(params![account, name], row).optional()
        })
    }
}

fn intent_row(row: &Row<'_>) -> Result<Intent, rusqlite::Error> {
    Ok(Intent {
        name: row.get(0)?,
        folder: row.get(1)?,
        uid_validity: row.get(2)?,
        uid_from: row.get(3)?,
        size: row.get::<_, i64>(4)?.cast_unsigned(),
        hash: row.get(5)?,
        mended: row.get(6)?,
        date: row.get(7)?,
        less: row.get::<_, i64>(8)?.cast_unsigned(),
    })
}
