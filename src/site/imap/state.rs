//! What is remembered of a server: its folders and messages as they were at the last look, and the name that each message
//! bears with us for ever, wherever it moves. SQLite below the state folder of a store.
//!
//! Promises: a name is borne by one message of an account at a time. Deleting the file costs a look at every folder, and the
//! names of messages that are there twice; what an import was cut off in could then no longer be settled.

use crate::db::{self, DbError, Durability, Kind};
use crate::model::mailbox::{Flags, SpecialUse};
use crate::model::share::Grant;
use crate::site::SiteError;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const KIND: Kind = Kind {
    application_id: 0x5749_4d41, // "WIMA"
    migrations: &[include_str!("state_1.sql")],
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

/// A message as it was at the last look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageRow {
    pub uid: u32,
    pub name: String,
    pub size: u64,
    pub date: i64,
    pub flags: Flags,
    pub keywords: Vec<String>,
}

/// A message that a look found; its name is given later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrival {
    pub uid: u32,
    pub ident: String,
    pub size: u64,
    pub date: i64,
    pub flags: Flags,
    pub keywords: Vec<String>,
}

/// A delivery that was announced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Intent {
    pub name: String,
    pub folder: i64,
    pub uid_validity: u32,
    pub uid_from: u32,
    pub size: u64,
    pub hash: [u8; 32],
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
        let mut db = self.db();
        let run = || {
            let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
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
            depart(db, account, folder, None)?;
            db.prepare_cached("DELETE FROM intent WHERE folder = ?1")?.execute([folder])?;
            db.prepare_cached("DELETE FROM folder WHERE id = ?1")?.execute([folder]).map(drop)
        })
    }

    /// Another path for a folder, its messages and names stay.
    pub fn rename_folder(&self, folder: i64, path: &str, wire: &[u8]) -> Result<(), SiteError> {
        const SQL: &str = "UPDATE folder SET path = ?2, wire = ?3, changed = changed + 1 WHERE id = ?1";
        self.write(|db| db.prepare_cached(SQL)?.execute(params![folder, path, wire]).map(drop))
    }

    /// Takes in messages; one that is known by its UID keeps its name.
    pub fn arrive(&self, account: i64, folder: i64, arrivals: &[Arrival]) -> Result<(), SiteError> {
        const SQL: &str = "INSERT INTO message (folder, uid, account, ident, size, date, flags, keywords) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
            ON CONFLICT (folder, uid) DO UPDATE SET ident = ?4, size = ?5, date = ?6, flags = ?7, keywords = ?8";
        if arrivals.is_empty() {
            return Ok(());
        }
        self.write(|db| {
            for one in arrivals {
                let size = i64::try_from(one.size).unwrap_or(i64::MAX);
                let (flags, keywords) = (one.flags.to_string(), keywords_text(&one.keywords));
                let values = params![folder, one.uid, account, one.ident, size, one.date, flags, keywords];
                db.prepare_cached(SQL)?.execute(values)?;
            }
            touch(db, folder)
        })
    }

    /// Sets flags and keywords where they differ.
    pub fn set_flags(&self, folder: i64, changes: &[(u32, Flags, Vec<String>)]) -> Result<(), SiteError> {
        const SQL: &str = "UPDATE message SET flags = ?3, keywords = ?4 \
            WHERE folder = ?1 AND uid = ?2 AND (flags != ?3 OR keywords != ?4)";
        if changes.is_empty() {
            return Ok(());
        }
        self.write(|db| {
            let mut changed = 0;
            for (uid, flags, keywords) in changes {
                let values = params![folder, uid, flags.to_string(), keywords_text(keywords)];
                changed += db.prepare_cached(SQL)?.execute(values)?;
            }
            if changed > 0 { touch(db, folder) } else { Ok(()) }
        })
    }

    /// The UIDs of a folder, ascending.
    pub fn uids(&self, folder: i64) -> Result<Vec<u32>, SiteError> {
        const SQL: &str = "SELECT uid FROM message WHERE folder = ?1 ORDER BY uid";
        self.read(|db| db.prepare_cached(SQL)?.query_map([folder], |row| row.get(0))?.collect())
    }

    pub fn count(&self, folder: i64) -> Result<u64, SiteError> {
        const SQL: &str = "SELECT count(*) FROM message WHERE folder = ?1";
        self.read(|db| db.prepare_cached(SQL)?.query_row([folder], |row| row.get::<_, i64>(0))).map(i64::cast_unsigned)
    }

    /// Messages with these UIDs left the folder.
    pub fn leave(&self, account: i64, folder: i64, uids: &[u32]) -> Result<(), SiteError> {
        if uids.is_empty() {
            return Ok(());
        }
        self.write(|db| {
            for uid in uids {
                depart(db, account, folder, Some((*uid, *uid)))?;
            }
            touch(db, folder)
        })
    }

    /// The same for ranges, as a server tells them.
    pub fn leave_ranges(
        &self,
        account: i64,
        folder: i64,
        ranges: &[std::ops::RangeInclusive<u32>],
    ) -> Result<(), SiteError> {
        if ranges.is_empty() {
            return Ok(());
        }
        self.write(|db| {
            let mut left = 0;
            for range in ranges {
                left += depart(db, account, folder, Some((*range.start(), *range.end())))?;
            }
            if left > 0 { touch(db, folder) } else { Ok(()) }
        })
    }

    /// Everything left the folder: it has another UIDVALIDITY now.
    pub fn leave_all(&self, account: i64, folder: i64) -> Result<(), SiteError> {
        self.write(|db| {
            depart(db, account, folder, None)?;
            touch(db, folder)
        })
    }

    /// Gives a name to every message that has none: that of a message with the same ident that left, else a new one.
    /// `whole`: the whole account was looked at, so what left two looks ago is not waited for any more.
    pub fn give_names(&self, account: i64, whole: bool) -> Result<(), SiteError> {
        const NAMELESS: &str = "SELECT message.folder, message.uid, message.ident FROM message \
            JOIN folder ON folder.id = message.folder \
            WHERE message.account = ?1 AND message.name IS NULL AND message.ident IS NOT NULL \
            ORDER BY folder.path, message.uid LIMIT 10000";
        const LEFT: &str = "SELECT name FROM departed WHERE account = ?1 AND ident = ?2 ORDER BY name LIMIT 1";
        const FORGET: &str = "DELETE FROM departed WHERE account = ?1 AND name = ?2";
        const NAME: &str = "UPDATE message SET name = ?3 WHERE folder = ?1 AND uid = ?2";
        loop {
            let named = self.write(|db| {
                let row = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, row.get::<_, String>(2)?));
                let nameless: Vec<_> =
                    db.prepare_cached(NAMELESS)?.query_map([account], row)?.collect::<Result<_, _>>()?;
                for (folder, uid, ident) in &nameless {
                    let left: Option<String> =
                        db.prepare_cached(LEFT)?.query_row(params![account, ident], |row| row.get(0)).optional()?;
                    let name = match left {
                        Some(name) => {
                            db.prepare_cached(FORGET)?.execute(params![account, name])?;
                            name
                        }
                        None => free_name(db, account, &super::names::item_name(ident))?,
                    };
                    db.prepare_cached(NAME)?.execute(params![folder, uid, name])?;
                }
                Ok(nameless.len())
            })?;
            if named == 0 {
                break;
            }
        }
        if whole {
            self.write(|db| {
                db.prepare_cached("UPDATE account SET look = look + 1 WHERE id = ?1")?.execute([account])?;
                const OLD: &str = "DELETE FROM departed WHERE account = ?1 \
                    AND look + 1 < (SELECT look FROM account WHERE id = ?1)";
                db.prepare_cached(OLD)?.execute([account]).map(drop)
            })?;
        }
        Ok(())
    }

    /// The messages of a folder by name.
    pub fn messages(&self, folder: i64) -> Result<Vec<MessageRow>, SiteError> {
        const SQL: &str = "SELECT uid, name, size, date, flags, keywords FROM message \
            WHERE folder = ?1 AND name IS NOT NULL ORDER BY name";
        self.read(|db| db.prepare_cached(SQL)?.query_map([folder], message_row)?.collect())
    }

    /// Where the message of that name lies: its folder and itself.
    pub fn find(&self, account: i64, name: &str) -> Result<Option<(i64, MessageRow)>, SiteError> {
        const SQL: &str = "SELECT uid, name, size, date, flags, keywords, folder FROM message \
            WHERE account = ?1 AND name = ?2 ORDER BY folder LIMIT 1";
        self.read(|db| {
            let row = |row: &Row<'_>| Ok((row.get(6)?, message_row(row)?));
            db.prepare_cached(SQL)?.query_row(params![account, name], row).optional()
        })
    }

    /// Whether nobody bears that name: no message, none that left lately, none that is announced.
    pub fn is_free(&self, account: i64, name: &str) -> Result<bool, SiteError> {
        self.read(|db| is_free(db, account, name))
    }

    /// Announces deliveries; they outlive a power loss when this returns.
    pub fn add_intents(&self, account: i64, intents: &[Intent]) -> Result<(), SiteError> {
        const SQL: &str = "INSERT OR REPLACE INTO intent \
            (account, name, folder, uid_validity, uid_from, size, hash, mended, date) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let durable = |on: bool| {
            let mode = if on { "FULL" } else { "NORMAL" };
            self.read(|db| db.pragma_update(None, "synchronous", mode))
        };
        durable(true)?;
        let written = self.write(|db| {
            for one in intents {
                let size = i64::try_from(one.size).unwrap_or(i64::MAX);
                let (validity, from, hash) = (one.uid_validity, one.uid_from, one.hash.as_slice());
                let values = params![account, one.name, one.folder, validity, from, size, hash, one.mended, one.date];
                db.prepare_cached(SQL)?.execute(values)?;
            }
            Ok(())
        });
        durable(false)?;
        written
    }

    /// Announced deliveries of an account whose end is not known, folder by folder.
    pub fn intents(&self, account: i64) -> Result<Vec<Intent>, SiteError> {
        const SQL: &str = "SELECT name, folder, uid_validity, uid_from, size, hash, mended, date FROM intent \
            WHERE account = ?1 ORDER BY folder, name";
        self.read(|db| db.prepare_cached(SQL)?.query_map([account], intent_row)?.collect())
    }

    /// Deliveries came to an end: these lie in the folder now, under their names; those do not.
    pub fn delivered(&self, account: i64, folder: i64, there: &[Settled], not: &[String]) -> Result<(), SiteError> {
        const ADD: &str = "INSERT OR REPLACE INTO message \
            (folder, uid, account, name, ident, size, date, flags, keywords, object, by_server) \
            VALUES (?1, ?2, ?3, ?4, (SELECT ident FROM message WHERE folder = ?1 AND uid = ?2), ?5, ?6, ?7, ?8, ?9, ?10)";
        const DONE: &str = "DELETE FROM intent WHERE account = ?1 AND name = ?2";
        self.write(|db| {
            for Settled { message, object, by_server } in there {
                let size = i64::try_from(message.size).unwrap_or(i64::MAX);
                let (flags, keywords) = (message.flags.to_string(), keywords_text(&message.keywords));
                let (uid, name, date) = (message.uid, &message.name, message.date);
                let object = object.as_ref().map(<[u8; 32]>::as_slice);
                let values = params![folder, uid, account, name, size, date, flags, keywords, object, by_server];
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

    /// Another name for a message.
    pub fn rename(&self, account: i64, from: &str, to: &str) -> Result<(), SiteError> {
        const SQL: &str = "UPDATE message SET name = ?3 WHERE account = ?1 AND name = ?2";
        self.write(|db| {
            db.prepare_cached("DELETE FROM departed WHERE account = ?1 AND name = ?2")?
                .execute(params![account, to])?;
            db.prepare_cached(SQL)?.execute(params![account, from, to]).map(drop)
        })
    }

    pub fn folder_by_id(&self, folder: i64) -> Result<Option<FolderRow>, SiteError> {
        const SQL: &str = "SELECT id, path, wire, uid_validity, uid_next, modseq, about, changed FROM folder \
            WHERE id = ?1";
        self.read(|db| db.prepare_cached(SQL)?.query_row([folder], folder_row).optional())
    }

    /// UIDs of the folder that bear a name already: a message that is looked for is none of them.
    pub fn named_uids(&self, folder: i64, from: u32) -> Result<HashSet<u32>, SiteError> {
        const SQL: &str = "SELECT uid FROM message WHERE folder = ?1 AND uid >= ?2 AND name IS NOT NULL";
        self.read(|db| db.prepare_cached(SQL)?.query_map(params![folder, from], |row| row.get(0))?.collect())
    }

    /// A message moved to another folder of the account and has this UID there.
    pub fn moved(&self, from: (i64, u32), to: (i64, u32)) -> Result<(), SiteError> {
        const CLEAR: &str = "DELETE FROM message WHERE folder = ?1 AND uid = ?2";
        const MOVE: &str = "UPDATE message SET folder = ?3, uid = ?4 WHERE folder = ?1 AND uid = ?2";
        self.write(|db| {
            db.prepare_cached(CLEAR)?.execute(params![to.0, to.1])?;
            db.prepare_cached(MOVE)?.execute(params![from.0, from.1, to.0, to.1])?;
            touch(db, from.0)?;
            touch(db, to.0)
        })
    }
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
    })
}

fn message_row(row: &Row<'_>) -> Result<MessageRow, rusqlite::Error> {
    let (flags, keywords): (String, String) = (row.get(4)?, row.get(5)?);
    Ok(MessageRow {
        uid: row.get(0)?,
        name: row.get(1)?,
        size: row.get::<_, i64>(2)?.cast_unsigned(),
        date: row.get(3)?,
        flags: Flags::from_letters(&flags),
        keywords: if keywords.is_empty() { Vec::new() } else { serde_json::from_str(&keywords).unwrap_or_default() },
    })
}

fn keywords_text(keywords: &[String]) -> String {
    if keywords.is_empty() { String::new() } else { serde_json::to_string(keywords).unwrap_or_default() }
}

fn text_of(about: &About) -> String {
    serde_json::to_string(about).unwrap_or_default()
}

fn touch(db: &Transaction<'_>, folder: i64) -> Result<(), rusqlite::Error> {
    db.prepare_cached("UPDATE folder SET changed = changed + 1 WHERE id = ?1")?.execute([folder]).map(drop)
}

/// Moves messages of a folder to those that left: all, or those with UIDs in a range.
fn depart(
    db: &Transaction<'_>,
    account: i64,
    folder: i64,
    range: Option<(u32, u32)>,
) -> Result<usize, rusqlite::Error> {
    const NOTE: &str = "INSERT OR REPLACE INTO departed (account, name, ident, look) \
        SELECT ?1, name, ident, (SELECT look FROM account WHERE id = ?1) FROM message \
        WHERE folder = ?2 AND uid BETWEEN ?3 AND ?4 AND name IS NOT NULL";
    const DROP: &str = "DELETE FROM message WHERE folder = ?1 AND uid BETWEEN ?2 AND ?3";
    let (from, to) = range.unwrap_or((0, u32::MAX));
    db.prepare_cached(NOTE)?.execute(params![account, folder, from, to])?;
    db.prepare_cached(DROP)?.execute(params![folder, from, to])
}

fn is_free(db: &Connection, account: i64, name: &str) -> Result<bool, rusqlite::Error> {
    const SQL: &str = "SELECT EXISTS (SELECT 1 FROM message WHERE account = ?1 AND name = ?2) \
        OR EXISTS (SELECT 1 FROM departed WHERE account = ?1 AND name = ?2) \
        OR EXISTS (SELECT 1 FROM intent WHERE account = ?1 AND name = ?2)";
    db.prepare_cached(SQL)?.query_row(params![account, name], |row| row.get::<_, bool>(0)).map(|taken| !taken)
}

fn free_name(db: &Connection, account: i64, base: &str) -> Result<String, rusqlite::Error> {
    let mut name = base.to_owned();
    let mut count = 1u64;
    while !is_free(db, account, &name)? {
        count += 1;
        name = format!("{base}-c{count}");
    }
    Ok(name)
}
