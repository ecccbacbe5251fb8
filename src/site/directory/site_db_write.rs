//! `site.sqlite`, written: the site's id, lasting ids of records, and everything that has no file format of its own.
//!
//! Promises: one transaction a call, durable when it returns; saying again what is there already writes nothing. The
//! schema and its meaning: `site_1.sql`; `site_db` reads it. Called by `target` only, under the site's lock.

use super::site_db::{KIND, grantee_columns};
use crate::db::{self, DbError};
use crate::model::hex;
use crate::model::id::SiteId;
use crate::model::mailbox::{FolderKey, SpecialUse};
use crate::model::provisioning::{Account, Alias, ClassOfService, DistributionList, RecordKind};
use crate::model::setting::{Setting, SettingKey};
use crate::model::share::Grant;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde::Serialize;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The file, open for writing.
pub struct SiteDbWrite(Mutex<Connection>);

/// What `folder` has beside its files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FolderColumns {
    /// `Some(None)`: none, whatever its name.
    pub special_use: Option<Option<SpecialUse>>,
    pub subscribed: Option<bool>,
    pub title: Option<String>,
    pub color: Option<String>,
}

impl SiteDbWrite {
    /// Opens the file, made if missing.
    pub fn open(path: &Path) -> Result<Self, DbError> {
        Ok(Self(Mutex::new(db::open(path, &KIND)?)))
    }

    /// The site's id; `fallback` becomes it where there is none.
    pub fn site_id(&self, fallback: &SiteId) -> Result<SiteId, DbError> {
        self.write(|tx| {
            let present: Option<String> = tx.query_row("SELECT id FROM site", [], |row| row.get(0)).optional()?;
            match present {
                Some(text) => text.parse().map_err(|_| DbError::Corrupt("the site's id is none".to_owned())),
                None => {
                    tx.execute("INSERT INTO site (one, id) VALUES (1, ?)", [fallback.as_str()])?;
                    Ok(fallback.clone())
                }
            }
        })
    }

    /// One transaction.
    pub fn write<T>(&self, act: impl FnOnce(&Transaction<'_>) -> Result<T, DbError>) -> Result<T, DbError> {
        let mut db = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = act(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    /// Looks without a transaction.
    pub fn read<T>(&self, look: impl FnOnce(&Connection) -> Result<T, DbError>) -> Result<T, DbError> {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps the lasting id of a record, through a rename from `was`; gives it one where it has none.
pub fn keep_record(db: &Connection, kind: RecordKind, key: &str, was: Option<&str>) -> Result<(), DbError> {
    if let Some(was) = was.filter(|was| *was != key) {
        db.prepare_cached("UPDATE OR REPLACE record SET key = ?3 WHERE kind = ?1 AND key = ?2")?.execute([
            kind.word(),
            was,
            key,
        ])?;
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| DbError::Corrupt(error.to_string()))?;
    db.prepare_cached("INSERT OR IGNORE INTO record (kind, key, id) VALUES (?, ?, ?)")?.execute([
        kind.word(),
        key,
        &hex::encode(&random),
    ])?;
    Ok(())
}

/// Removes what the file says of a record.
pub fn remove_record(db: &Connection, kind: RecordKind, key: &str) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM record WHERE kind = ? AND key = ?")?.execute([kind.word(), key])?;
    let sql = match kind {
        RecordKind::Settings => "DELETE FROM settings WHERE name = ?",
        RecordKind::Domain => "DELETE FROM domain WHERE name = ?",
        RecordKind::Cos => "DELETE FROM cos WHERE name = ?",
        RecordKind::Account => "DELETE FROM account WHERE address = ?",
        RecordKind::List | RecordKind::Alias => "DELETE FROM address WHERE address = ?",
    };
    db.prepare_cached(sql)?.execute([key])?;
    Ok(())
}

/// Server settings, kept for reference.
pub fn put_settings(db: &Connection, name: &str, attributes: &impl Serialize) -> Result<(), DbError> {
    db.prepare_cached("INSERT OR REPLACE INTO settings (name, attributes) VALUES (?, ?)")?
        .execute(params![name, json(attributes)?])?;
    Ok(())
}

/// A domain's attributes.
pub fn put_domain(db: &Connection, name: &str, attributes: &impl Serialize) -> Result<(), DbError> {
    db.prepare_cached("INSERT OR REPLACE INTO domain (name, attributes) VALUES (?, ?)")?
        .execute(params![name, json(attributes)?])?;
    Ok(())
}

/// A class of service.
pub fn put_cos(db: &Connection, cos: &ClassOfService) -> Result<(), DbError> {
    let quota = cos.quota_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    db.prepare_cached("INSERT OR REPLACE INTO cos (name, quota_bytes, attributes) VALUES (?, ?, ?)")?
        .execute(params![cos.name, quota, json(&cos.attributes)?])?;
    Ok(())
}

/// Moves everything of an account to its new address.
pub fn rename_account(db: &Connection, was: &str, address: &str) -> Result<(), DbError> {
    db.prepare_cached("UPDATE OR IGNORE account SET address = ?2 WHERE address = ?1")?.execute([was, address])?;
    Ok(())
}

/// What `etc/passwd` does not hold of an account: `name` and `groups` are those that it cannot.
pub fn put_account(db: &Connection, account: &Account, name: Option<&str>, groups: &[&str]) -> Result<(), DbError> {
    const PUT: &str = "INSERT INTO account (address, class, status, cos, name, groups, attributes) \
        VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (address) DO UPDATE SET class = excluded.class, \
        status = excluded.status, cos = excluded.cos, name = excluded.name, groups = excluded.groups, \
        attributes = excluded.attributes";
    let own: crate::model::provisioning::Attributes =
        account.attributes.iter().filter(|(key, _)| !key.starts_with("passwd.")).map(pair).collect();
    db.prepare_cached(PUT)?.execute(params![
        account.address,
        word(&account.class)?,
        word(&account.status)?,
        account.cos,
        name,
        json(&groups)?,
        json(&own)?
    ])?;
    Ok(())
}

fn pair((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

/// What the alias map does not hold of a list.
pub fn put_list(db: &Connection, list: &DistributionList) -> Result<(), DbError> {
    db.prepare_cached(PUT_ADDRESS)?.execute(params![
        list.address,
        "list",
        !list.members.is_empty(),
        list.name,
        json(&list.owners)?,
        json(&list.attributes)?
    ])?;
    Ok(())
}

/// That an address is an alias and no list, whatever the number of its targets.
pub fn put_alias(db: &Connection, alias: &Alias) -> Result<(), DbError> {
    db.prepare_cached(PUT_ADDRESS)?.execute(params![
        alias.address,
        "alias",
        !alias.targets.is_empty(),
        None::<String>,
        "[]",
        "{}"
    ])?;
    Ok(())
}

const PUT_ADDRESS: &str =
    "INSERT OR REPLACE INTO address (address, kind, mapped, name, owners, attributes) VALUES (?, ?, ?, ?, ?, ?)";

/// What the file says of a folder; `None`: it has no row.
pub fn folder_columns(
    db: &Connection,
    account: &str,
    key: &FolderKey,
) -> Result<Option<(Option<String>, FolderColumns)>, DbError> {
    const GET: &str =
        "SELECT special_use, subscribed, title, color FROM folder WHERE account = ? AND kind = ? AND path = ?";
    let mut statement = db.prepare_cached(GET)?;
    let row = statement.query_row([account, key.kind().word(), key.path()], |row| {
        let columns =
            FolderColumns { special_use: None, subscribed: row.get(1)?, title: row.get(2)?, color: row.get(3)? };
        Ok((row.get(0)?, columns))
    });
    Ok(row.optional()?)
}

/// Says what a folder has beside its files. Nothing to say and no row: writes none.
pub fn put_folder(site: &SiteDbWrite, account: &str, key: &FolderKey, columns: &FolderColumns) -> Result<(), DbError> {
    let special_use = match &columns.special_use {
        None => None,
        Some(None) => Some(String::new()),
        Some(Some(special_use)) => Some(word(special_use)?),
    };
    let unchanged = match site.read(|db| folder_columns(db, account, key))? {
        None => *columns == FolderColumns::default(),
        Some((present_use, present)) => {
            present_use == special_use && FolderColumns { special_use: columns.special_use, ..present } == *columns
        }
    };
    if unchanged {
        return Ok(());
    }
    site.write(|tx| {
        need_folder(tx, account, key)?;
        const PUT: &str = "UPDATE folder SET special_use = ?, subscribed = ?, title = ?, color = ? \
            WHERE account = ? AND kind = ? AND path = ?";
        tx.prepare_cached(PUT)?.execute(params![
            special_use,
            columns.subscribed,
            columns.title,
            columns.color,
            account,
            key.kind().word(),
            key.path()
        ])?;
        Ok(())
    })
}

/// Paths of mail folders with the special use that accounts give them, the most frequent first.
pub fn special_uses(path: &Path) -> Result<Vec<(String, SpecialUse)>, DbError> {
    const GET: &str = "SELECT path, special_use FROM folder WHERE kind = 'mail' AND special_use <> '' \
        GROUP BY path, special_use ORDER BY count(*) DESC, path, special_use LIMIT 1000";
    let db = db::open_hostile(path, &KIND)?;
    let mut statement = db.prepare(GET)?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (path, word) = row?;
        // A word that is no special use says nothing.
        found.extend(serde_json::from_value(word.into()).ok().map(|special_use| (path, special_use)));
    }
    Ok(found)
}

/// Makes the rows that others hang on.
fn need_account(db: &Connection, account: &str) -> Result<(), DbError> {
    const MAKE: &str = "INSERT OR IGNORE INTO account (address, class, status, groups, attributes) \
        VALUES (?, 'user', 'active', '[]', '{}')";
    db.prepare_cached(MAKE)?.execute([account])?;
    Ok(())
}

/// The row of a folder, and that of its account.
pub fn need_folder(db: &Connection, account: &str, key: &FolderKey) -> Result<(), DbError> {
    need_account(db, account)?;
    db.prepare_cached("INSERT OR IGNORE INTO folder (account, kind, path) VALUES (?, ?, ?)")?.execute([
        account,
        key.kind().word(),
        key.path(),
    ])?;
    Ok(())
}

/// Moves the rows of a folder and of those below it.
pub fn rename_folder(db: &Connection, account: &str, from: &FolderKey, to: &FolderKey) -> Result<(), DbError> {
    const BELOW: &str =
        "SELECT path FROM folder WHERE account = ? AND kind = ? AND (path = ? OR substr(path, 1, ?) = ?)";
    let below = format!("{}/", from.path());
    let mut statement = db.prepare_cached(BELOW)?;
    let characters = i64::try_from(below.chars().count()).unwrap_or(i64::MAX);
    let paths = statement
        .query_map(params![account, from.kind().word(), from.path(), characters, below], |row| row.get(0))?
        .collect::<Result<Vec<String>, _>>()?;
    for path in paths {
        let new = format!("{}{}", to.path(), path.get(from.path().len()..).unwrap_or_default());
        const MOVE: &str = "UPDATE OR REPLACE folder SET path = ?4 WHERE account = ?1 AND kind = ?2 AND path = ?3";
        db.prepare_cached(MOVE)?.execute([account, from.kind().word(), &path, &new])?;
    }
    Ok(())
}

/// Forgets a folder.
pub fn remove_folder(db: &Connection, account: &str, key: &FolderKey) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM folder WHERE account = ? AND kind = ? AND path = ?")?.execute([
        account,
        key.kind().word(),
        key.path(),
    ])?;
    Ok(())
}

/// Replaces the grants that no file of the folder holds.
pub fn put_grants(site: &SiteDbWrite, account: &str, key: &FolderKey, grants: &[&Grant]) -> Result<(), DbError> {
    const COUNT: &str = "SELECT count(*) FROM folder_grant WHERE account = ? AND kind = ? AND path = ?";
    let place = [account, key.kind().word(), key.path()];
    let present: i64 = site.read(|db| Ok(db.prepare_cached(COUNT)?.query_row(place, |row| row.get(0))?))?;
    if present == 0 && grants.is_empty() {
        return Ok(());
    }
    site.write(|tx| {
        need_folder(tx, account, key)?;
        tx.prepare_cached("DELETE FROM folder_grant WHERE account = ? AND kind = ? AND path = ?")?.execute(place)?;
        const PUT: &str = "INSERT OR REPLACE INTO folder_grant (account, kind, path, grantee, who, negative, rights) \
            VALUES (?, ?, ?, ?, ?, ?, ?)";
        for grant in grants {
            let (kind, who) = grantee_columns(&grant.grantee);
            let [account, folder_kind, path] = place;
            tx.prepare_cached(PUT)?.execute(params![
                account,
                folder_kind,
                path,
                kind,
                who,
                grant.negative,
                grant.rights.as_str()
            ])?;
        }
        Ok(())
    })
}

/// Keeps a setting.
pub fn put_setting(site: &SiteDbWrite, account: &str, setting: &Setting) -> Result<(), DbError> {
    let (kind, key) = setting.key();
    let (kind, value) = (word(&kind)?, json(setting)?);
    const GET: &str = "SELECT value FROM setting WHERE account = ? AND kind = ? AND key = ?";
    let present: Option<String> =
        site.read(|db| Ok(db.prepare_cached(GET)?.query_row([account, &kind, &key], |row| row.get(0)).optional()?))?;
    if present.as_ref() == Some(&value) {
        return Ok(());
    }
    site.write(|tx| {
        need_account(tx, account)?;
        tx.prepare_cached("INSERT OR REPLACE INTO setting (account, kind, key, value) VALUES (?, ?, ?, ?)")?
            .execute([account, &kind, &key, &value])?;
        Ok(())
    })
}

/// Forgets a setting.
pub fn remove_setting(site: &SiteDbWrite, account: &str, (kind, key): &SettingKey) -> Result<(), DbError> {
    let kind = word(kind)?;
    site.write(|tx| {
        tx.prepare_cached("DELETE FROM setting WHERE account = ? AND kind = ? AND key = ?")?
            .execute([account, &kind, key])?;
        Ok(())
    })
}

fn json(value: &(impl Serialize + ?Sized)) -> Result<String, DbError> {
    serde_json::to_string(value).map_err(|error| DbError::Corrupt(error.to_string()))
}

/// A word of an enumeration, as serde spells it.
fn word(value: &impl Serialize) -> Result<String, DbError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        _ => Err(DbError::Corrupt("a word that is none".to_owned())),
    }
}
