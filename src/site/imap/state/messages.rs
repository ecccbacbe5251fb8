//! Messages of the state: arriving, leaving, and the name that each bears for ever.

use super::{State, touch};
use crate::limits;
use crate::model::mailbox::Flags;
use crate::site::SiteError;
use crate::site::imap::flags::{FORWARDED, is_passed};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use std::collections::{HashMap, HashSet};

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

impl State {
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

    /// Notes whether the keyword of a message stands for its having been passed on.
    pub fn set_passed(&self, folder: i64, uid: u32, flags: Flags, keywords: &[String]) -> Result<(), SiteError> {
        const SQL: &str = "UPDATE message SET passed = ?3 WHERE folder = ?1 AND uid = ?2 AND passed != ?3";
        let passed = is_passed(flags, keywords);
        self.write(|db| db.prepare_cached(SQL)?.execute(params![folder, uid, passed]).map(drop))
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
        // A server may name everything that ever was there; only what is known costs a statement.
        let known = if ranges.is_empty() { Vec::new() } else { self.uids(folder)? };
        let has_known = |range: &&std::ops::RangeInclusive<u32>| {
            let at = known.partition_point(|uid| uid < range.start());
            known.get(at).is_some_and(|uid| range.contains(uid))
        };
        let mut ranges = ranges.iter().filter(has_known).peekable();
        if ranges.peek().is_none() {
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
        // Thousands of copies of one message may have come.
        let mut counts = HashMap::new();
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
                        None => free_name(db, account, &crate::site::imap::names::item_name(ident), &mut counts)?,
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

    /// Hands over the messages of a folder by name; `false`: their keywords take more than [`limits::IMAP_KEYWORD_BYTES`],
    /// and none was handed over.
    pub fn each_message(&self, folder: i64, mut take: impl FnMut(MessageRow)) -> Result<bool, SiteError> {
        const BYTES: &str = "SELECT total(length(CAST(keywords AS BLOB))) FROM message \
            WHERE folder = ?1 AND name IS NOT NULL";
        const SQL: &str = "SELECT uid, name, size, date, flags, keywords, passed FROM message \
            WHERE folder = ?1 AND name IS NOT NULL ORDER BY name";
        self.read(|db| {
            let keywords: f64 = db.prepare_cached(BYTES)?.query_row([folder], |row| row.get(0))?;
            if keywords > limits::IMAP_KEYWORD_BYTES as f64 {
                return Ok(false);
            }
            for message in db.prepare_cached(SQL)?.query_map([folder], message_row)? {
                take(message?);
            }
            Ok(true)
        })
    }

    /// Where the message of that name lies: its folder and itself.
    pub fn find(&self, account: i64, name: &str) -> Result<Option<(i64, MessageRow)>, SiteError> {
        const SQL: &str = "SELECT uid, name, size, date, flags, keywords, passed, folder FROM message \
            WHERE account = ?1 AND name = ?2 ORDER BY folder LIMIT 1";
        self.read(|db| {
            let row = |row: &Row<'_>| Ok((row.get(7)?, message_row(row)?));
            db.prepare_cached(SQL)?.query_row(params![account, name], row).optional()
        })
    }

    /// Whether nobody bears that name: no message, none that left lately, none that is announced.
    pub fn is_free(&self, account: i64, name: &str) -> Result<bool, SiteError> {
        self.read(|db| is_free(db, account, name))
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

fn message_row(row: &Row<'_>) -> Result<MessageRow, rusqlite::Error> {
    let (flags, keywords): (String, String) = (row.get(4)?, row.get(5)?);
    let mut flags = Flags::from_letters(&flags);
    let mut keywords: Vec<String> =
        if keywords.is_empty() { Vec::new() } else { serde_json::from_str(&keywords).unwrap_or_default() };
    if row.get(6)?
        && let Some(at) = keywords.iter().position(|keyword| keyword == FORWARDED)
    {
        keywords.remove(at);
        flags = Flags::from_letters(&format!("{flags}P"));
    }
    Ok(MessageRow {
        uid: row.get(0)?,
        name: row.get(1)?,
        size: row.get::<_, i64>(2)?.cast_unsigned(),
        date: row.get(3)?,
        flags,
        keywords,
    })
}

/// Keywords as a column holds them.
pub fn keywords_text(keywords: &[String]) -> String {
    if keywords.is_empty() { String::new() } else { serde_json::to_string(keywords).unwrap_or_default() }
}

/// Moves messages of a folder to those that left: all, or those with UIDs in a range.
pub fn depart(
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

/// `base`, or with the first number behind it that makes it free; `counts` are the last numbers given, by base.
fn free_name(
    db: &Connection,
    account: i64,
    base: &str,
    counts: &mut HashMap<String, u64>,
) -> Result<String, rusqlite::Error> {
    if is_free(db, account, base)? {
        return Ok(base.to_owned());
    }
    let count = counts.entry(base.to_owned()).or_insert(1);
    loop {
        *count += 1;
        let name = format!("{base}-c{count}");
        if is_free(db, account, &name)? {
            return Ok(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_one_message_get_a_name_each_and_ten_thousand_take_no_longer_than_ten_thousand_others() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(&dir.path().join("imap.sqlite"), [7; 16]).unwrap();
        let account = state.account("ann@a.test").unwrap();
        let mut took = Vec::new();
        for (path, same) in [("Others", false), ("Copies", true)] {
            let folder = state.add_folder(account, path, path.as_bytes()).unwrap();
            let arrivals: Vec<_> = (1..=10_000)
                .map(|uid| Arrival {
                    uid,
                    ident: if same { "same".to_owned() } else { format!("other{uid}") },
                    size: 5,
                    date: 0,
                    flags: Flags::default(),
                    keywords: Vec::new(),
                })
                .collect();
            state.arrive(account, folder, &arrivals).unwrap();
            let begun = std::time::Instant::now();
            state.give_names(account, true).unwrap();
            took.push(begun.elapsed());
            let mut names = HashSet::new();
            assert!(state.each_message(folder, |message| assert!(names.insert(message.name))).unwrap());
            assert_eq!(names.len(), 10_000);
        }
        // One by one from the first number on it was hundreds of times as long.
        assert!(took[1] < took[0] * 20, "{took:?}");
    }
}
