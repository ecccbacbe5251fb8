//! `site.sqlite`, read: the site's id, the lasting ids of records, and everything that has no file format of its own.
//!
//! The file comes from whoever made the site, so it is hostile: opened read-only, only tables and columns that are
//! known, every row bounded, a row that makes no sense reported and passed over. `source` reads it; `site_db_write`
//! writes it. Schema: `site_1.sql`.

use crate::db::{self, DbError, Durability, Kind};
use crate::limits;
use crate::model::id::SiteId;
use crate::model::mailbox::{FolderKey, FolderKind, SpecialUse};
use crate::model::provisioning::{AccountClass, AccountStatus, Attributes, ClassOfService, RecordKind, SiteSettings};
use crate::model::setting::Setting;
use crate::model::share::{Grant, Grantee, Rights};
use crate::site::FolderListing;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Row};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Name of the file below the site's root.
pub const FILE: &str = "site.sqlite";

/// How the file is kept. The id reads `WGSt`.
pub const KIND: Kind =
    Kind { application_id: 0x5747_5374, migrations: &[include_str!("site_1.sql")], durability: Durability::OneFile };

/// The file, open for reading.
pub struct SiteDb {
    db: Connection,
}

/// What the file says beside `etc/` and the tree of all records.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RecordRows {
    /// Lasting ids by kind and present key.
    pub ids: BTreeMap<(RecordKind, String), String>,
    pub settings: Vec<SiteSettings>,
    pub domains: BTreeMap<String, Attributes>,
    pub classes: Vec<ClassOfService>,
    pub accounts: BTreeMap<String, AccountRow>,
    pub addresses: BTreeMap<String, AddressRow>,
    /// Rows that make no sense, in words.
    pub bad: Vec<String>,
}

/// A row of `account`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountRow {
    pub class: AccountClass,
    pub status: AccountStatus,
    pub cos: Option<String>,
    pub name: Option<String>,
    pub groups: Vec<String>,
    pub attributes: Attributes,
}

/// A row of `address`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddressRow {
    pub is_list: bool,
    /// It has a line in the alias map; without one the row means nothing.
    pub mapped: bool,
    pub name: Option<String>,
    pub owners: Vec<String>,
    pub attributes: Attributes,
}

/// What the file says of one mailbox.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct MailboxRows {
    pub folders: BTreeMap<FolderKey, FolderRow>,
    /// Sorted by key.
    pub settings: Vec<Setting>,
    pub bad: Vec<String>,
}

/// A row of `folder` with what hangs on it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct FolderRow {
    /// `Some(None)`: the folder has no special use, whatever its name.
    pub special_use: Option<Option<SpecialUse>>,
    pub subscribed: Option<bool>,
    pub title: Option<String>,
    pub color: Option<String>,
    /// Sorted.
    pub grants: Vec<Grant>,
    /// By item name; values sorted.
    pub labels: BTreeMap<String, Labels>,
}

impl FolderRow {
    /// Adds all that the row says to a listing; whether it says anything.
    pub fn add_to(&self, listing: &mut FolderListing) -> bool {
        let folder = &mut listing.folder;
        folder.special_use = self.special_use.unwrap_or(folder.special_use);
        if folder.key.kind() != FolderKind::Mail {
            folder.subscribed = self.subscribed.unwrap_or(folder.subscribed);
        }
        folder.title = folder.title.take().or_else(|| self.title.clone());
        folder.color = folder.color.take().or_else(|| self.color.clone());
        folder.grants.extend_from_slice(&self.grants);
        folder.grants.sort_unstable();
        folder.grants.dedup();
        let labelled = listing.items.iter().map(|mut item| {
            if let Some(labels) = self.labels.get(&item.name) {
                item.tags.clone_from(&labels.tags);
                item.keywords.extend_from_slice(&labels.keywords);
                item.keywords.sort_unstable();
                item.keywords.dedup();
            }
            item
        });
        if !self.labels.is_empty() {
            listing.items = labelled.collect();
        }
        *self != Self::default()
    }
}

/// What an item has beside its file.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Labels {
    pub tags: Vec<String>,
    pub keywords: Vec<String>,
}

impl RecordRows {
    /// Puts what is kept under an account's former address under its present one, where that has nothing of its own and
    /// nobody bears the former any more. Returns (present, former) of those that were moved.
    pub fn follow(&mut self, renamed: &[(String, String)], bears: impl Fn(&str) -> bool) -> HashMap<String, String> {
        let key = |address: &str| (RecordKind::Account, address.to_owned());
        let mut moved = HashMap::new();
        // The newest name that something is kept under counts.
        for (former, present) in renamed.iter().rev() {
            let has = |rows: &Self, address: &str| {
                rows.accounts.contains_key(address) || rows.ids.contains_key(&key(address))
            };
            if !bears(present) || bears(former) || has(self, present) || !has(self, former) {
                continue;
            }
            if let Some(row) = self.accounts.remove(former) {
                self.accounts.insert(present.clone(), row);
            }
            if let Some(id) = self.ids.remove(&key(former)) {
                self.ids.insert(key(present), id);
            }
            moved.insert(present.clone(), former.clone());
        }
        moved
    }
}

impl SiteDb {
    /// Opens the file that somebody else may have made.
    pub fn open(path: &Path) -> Result<Self, DbError> {
        Ok(Self { db: db::open_hostile(path, &KIND)? })
    }

    /// Changes with every commit of another connection.
    pub fn version(&self) -> Result<i64, DbError> {
        Ok(self.db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
    }

    /// The id that the site keeps for ever; `None` in a file that nobody has finished.
    pub fn site_id(&self) -> Result<Option<SiteId>, DbError> {
        if !self.has_schema()? {
            return Ok(None);
        }
        let text: Option<String> = self.db.query_row("SELECT id FROM site", [], |row| row.get(0)).optional()?;
        text.map(|text| text.parse().map_err(|_| DbError::Corrupt("the site's id is none".to_owned()))).transpose()
    }

    /// Everything about records.
    pub fn records(&self) -> Result<RecordRows, DbError> {
        let mut found = RecordRows::default();
        if !self.has_schema()? {
            return Ok(found);
        }
        self.each("SELECT kind, key, id FROM record", [], &mut found.bad, |row| {
            found.ids.insert((word(row, 0)?, text(row, 1)?), text(row, 2)?);
            Some(())
        })?;
        self.each("SELECT name, attributes FROM settings ORDER BY name", [], &mut found.bad, |row| {
            found.settings.push(SiteSettings { name: text(row, 0)?, attributes: json(row, 1)? });
            Some(())
        })?;
        self.each("SELECT name, attributes FROM domain", [], &mut found.bad, |row| {
            found.domains.insert(text(row, 0)?, json(row, 1)?);
            Some(())
        })?;
        self.each("SELECT name, attributes, quota_bytes FROM cos ORDER BY name", [], &mut found.bad, |row| {
            let quota_bytes = value::<Option<i64>>(row, 2)?.map(u64::try_from).transpose().ok()?;
            found.classes.push(ClassOfService { name: text(row, 0)?, quota_bytes, attributes: json(row, 1)? });
            Some(())
        })?;
        const ACCOUNTS: &str = "SELECT address, class, status, cos, name, groups, attributes FROM account";
        self.each(ACCOUNTS, [], &mut found.bad, |row| {
            let account = AccountRow {
                class: word(row, 1)?,
                status: word(row, 2)?,
                cos: optional_text(row, 3)?,
                name: optional_text(row, 4)?,
                groups: json(row, 5)?,
                attributes: json(row, 6)?,
            };
            found.accounts.insert(text(row, 0)?, account);
            Some(())
        })?;
        const ADDRESSES: &str = "SELECT address, kind, mapped, name, owners, attributes FROM address";
        self.each(ADDRESSES, [], &mut found.bad, |row| {
            let address = AddressRow {
                is_list: value::<String>(row, 1)? == "list",
                mapped: value(row, 2)?,
                name: optional_text(row, 3)?,
                owners: json(row, 4)?,
                attributes: json(row, 5)?,
            };
            found.addresses.insert(text(row, 0)?, address);
            Some(())
        })?;
        Ok(found)
    }

    /// Everything about one mailbox.
    pub fn mailbox(&self, account: &str) -> Result<MailboxRows, DbError> {
        let mut found = MailboxRows::default();
        if !self.has_schema()? {
            return Ok(found);
        }
        const FOLDERS: &str = "SELECT kind, path, special_use, subscribed, title, color FROM folder WHERE account = ?";
        self.each(FOLDERS, [account], &mut found.bad, |row| {
            let special_use = match optional_text(row, 2)?.as_deref() {
                None => None,
                Some("") => Some(None),
                Some(name) => Some(Some(from_word(name)?)),
            };
            let folder = found.folders.entry(folder_key(row, 0)?).or_default();
            folder.special_use = special_use;
            folder.subscribed = value(row, 3)?;
            folder.title = optional_text(row, 4)?;
            folder.color = optional_text(row, 5)?;
            Some(())
        })?;
        const GRANTS: &str = "SELECT kind, path, grantee, who, negative, rights FROM folder_grant WHERE account = ?";
        self.each(GRANTS, [account], &mut found.bad, |row| {
            let grantee = parse_grantee(&text(row, 2)?, text(row, 3)?)?;
            let grant = Grant { grantee, rights: Rights::from_letters(&text(row, 5)?), negative: value(row, 4)? };
            found.folders.entry(folder_key(row, 0)?).or_default().grants.push(grant);
            Some(())
        })?;
        const LABELS: &str = "SELECT kind, path, name, label, value FROM item_label WHERE account = ? \
            ORDER BY kind, path, name, label, value";
        self.each(LABELS, [account], &mut found.bad, |row| {
            let folder = found.folders.entry(folder_key(row, 0)?).or_default();
            let labels = folder.labels.entry(text(row, 2)?).or_default();
            match text(row, 3)?.as_str() {
                "tag" => labels.tags.push(text(row, 4)?),
                "keyword" => labels.keywords.push(text(row, 4)?),
                _ => return None,
            }
            Some(())
        })?;
        self.each("SELECT value FROM setting WHERE account = ?", [account], &mut found.bad, |row| {
            found.settings.push(json(row, 0)?);
            Some(())
        })?;
        found.folders.values_mut().for_each(|folder| folder.grants.sort_unstable());
        found.settings.sort_by_cached_key(Setting::key);
        found.settings.dedup_by_key(|setting| setting.key());
        Ok(found)
    }

    /// Whether the schema has been made: a file that a crash left empty has none.
    fn has_schema(&self) -> Result<bool, DbError> {
        let version: u32 = self.db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok(version > 0)
    }

    /// Hands every row to `take`; one that it cannot make sense of is noted in `bad`.
    fn each(
        &self,
        sql: &'static str,
        arguments: impl rusqlite::Params,
        bad: &mut Vec<String>,
        mut take: impl FnMut(&Row<'_>) -> Option<()>,
    ) -> Result<(), DbError> {
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query(arguments)?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += 1;
            if count > limits::SITE_DB_ROWS {
                return Err(DbError::Corrupt(format!("more than {} rows", limits::SITE_DB_ROWS)));
            }
            if take(row).is_none() {
                let table = sql.split_once("FROM ").map_or(sql, |(_, rest)| rest);
                bad.push(format!("row {count} of {}", table.split(' ').next().unwrap_or(table)));
            }
        }
        Ok(())
    }
}

/// A grantee from its two columns.
fn parse_grantee(kind: &str, who: String) -> Option<Grantee> {
    Some(match (kind, who.is_empty()) {
        ("everyone", true) => Grantee::Everyone,
        ("public", true) => Grantee::Public,
        ("owner", true) => Grantee::Owner,
        ("user", false) => Grantee::User(who),
        ("group", false) => Grantee::Group(who),
        ("list", false) => Grantee::List(who),
        ("domain", false) => Grantee::Domain(who),
        ("cos", false) => Grantee::Cos(who),
        ("guest", false) => Grantee::Guest(who),
        _ => return None,
    })
}

/// A grantee as its two columns: kind and who.
pub fn grantee_columns(grantee: &Grantee) -> (&'static str, &str) {
    match grantee {
        Grantee::User(who) => ("user", who),
        Grantee::Group(who) => ("group", who),
        Grantee::List(who) => ("list", who),
        Grantee::Domain(who) => ("domain", who),
        Grantee::Cos(who) => ("cos", who),
        Grantee::Guest(who) => ("guest", who),
        Grantee::Everyone => ("everyone", ""),
        Grantee::Public => ("public", ""),
        Grantee::Owner => ("owner", ""),
    }
}

fn folder_key(row: &Row<'_>, at: usize) -> Option<FolderKey> {
    FolderKey::new(FolderKind::from_word(&text(row, at)?)?, &text(row, at + 1)?).ok()
}

fn value<T: FromSql>(row: &Row<'_>, at: usize) -> Option<T> {
    row.get(at).ok()
}

/// Text of a bounded length, without a copy before the bound is known to hold.
fn text(row: &Row<'_>, at: usize) -> Option<String> {
    let text = row.get_ref(at).ok()?.as_str().ok()?;
    (text.len() <= limits::SITE_DB_VALUE_BYTES).then(|| text.to_owned())
}

/// `Some(None)` for NULL; `None` for what is no text or too long.
fn optional_text(row: &Row<'_>, at: usize) -> Option<Option<String>> {
    match row.get_ref(at).ok()? {
        rusqlite::types::ValueRef::Null => Some(None),
        _ => text(row, at).map(Some),
    }
}

fn json<T: DeserializeOwned>(row: &Row<'_>, at: usize) -> Option<T> {
    serde_json::from_str(&text(row, at)?).ok()
}

/// A word of an enumeration, as serde spells it.
fn word<T: DeserializeOwned>(row: &Row<'_>, at: usize) -> Option<T> {
    from_word(&text(row, at)?)
}

fn from_word<T: DeserializeOwned>(word: &str) -> Option<T> {
    use serde::de::IntoDeserializer as _;
    use serde::de::value::{Error, StrDeserializer};
    let deserializer: StrDeserializer<'_, Error> = word.into_deserializer();
    T::deserialize(deserializer).ok()
}
