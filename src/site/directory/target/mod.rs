//! The directory site as a [`Target`]: which module answers which call.
//!
//! Promises: one importer at a time (`.wagon/lock`); everything may be repeated; a server may use the site meanwhile.
//! What has no file format of its own goes to `site.sqlite`. Layout: [`super::layout`]; docs/serving.md says how a site
//! that was written is served.

mod dotlock;
mod file_items;
mod grants;
mod hand;
mod known_names;
mod listing;
mod mail_delivery;
mod mail_folders;
mod mail_items;
mod names;
mod place;
mod records;
mod shared_dict;
mod site_lock;
#[cfg(test)]
mod tests;
mod text_edit;
mod uid_file;
mod uids;

pub use grants::SHARED_DICT;

use super::maildir::{folder_dir, name};
use super::site_db_write::{self as db, FolderColumns, SiteDbWrite};
use super::{DirectorySite, acl, mail_folder, site_db};
use crate::db::DbError;
use crate::event::Reason;
use crate::model::id::SiteId;
use crate::model::mailbox::{Flags, Folder, FolderKey, FolderKind};
use crate::model::setting::{Setting, SettingKey};
use crate::model::share::Grant;
use crate::site::{
    Capabilities, Content, Delivered, Delivery, Depth, FolderPut, FolderScan, FoundItem, MailboxScan, Present,
    ProvisioningScan, RecordChange, SiteDescription, SiteError, Source, Target, UidsKept,
};
use hand::Hand;
use known_names::KnownNames;
use listing::Listings;
use place::AccountPlace;
use records::{Provisioning, is_maildir, make_mailbox};
use site_lock::SiteLock;
use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// A directory site that is written.
pub struct DirectoryTarget {
    site: DirectorySite,
    hand: Hand,
    names: KnownNames,
    listings: Listings,
    /// Why a mail folder's UIDVALIDITY is not the source's, by its directory.
    foreign: Mutex<HashMap<PathBuf, String>>,
    prepared: OnceLock<Prepared>,
}

struct Prepared {
    db: SiteDbWrite,
    _lock: SiteLock,
}

impl DirectoryTarget {
    /// Writes `site`; nothing happens before [`Target::prepare`].
    pub fn new(site: DirectorySite) -> Self {
        let hand = Hand::new(site.fs.clone(), &site.root, site.owner);
        Self {
            site,
            hand,
            names: KnownNames::default(),
            listings: Listings::default(),
            foreign: Mutex::default(),
            prepared: OnceLock::new(),
        }
    }

    fn root(&self) -> &Path {
        &self.site.root
    }

    fn db(&self) -> Result<&SiteDbWrite, SiteError> {
        let prepared = self.prepared.get();
        prepared.map(|prepared| &prepared.db).ok_or_else(|| SiteError::Unsupported("the site was not prepared".into()))
    }

    fn db_error(&self, source: DbError) -> SiteError {
        SiteError::Database { path: self.root().join(site_db::FILE), source }
    }

    fn place(&self, account: &str) -> Result<AccountPlace, SiteError> {
        AccountPlace::of(self.root(), account).map_err(|_| SiteError::NoAccount(account.to_owned()))
    }

    /// The directory of a folder of an account.
    fn dir(&self, account: &str, key: &FolderKey) -> Result<PathBuf, SiteError> {
        self.place(account)?.folder(&self.hand, key)
    }

    fn is_folder(&self, key: &FolderKey, dir: &Path) -> Result<bool, SiteError> {
        match key.kind() {
            FolderKind::Mail => is_maildir(&self.hand, dir),
            _ => self.hand.is_dir(dir),
        }
    }

    fn foreign(&self) -> MutexGuard<'_, HashMap<PathBuf, String>> {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_mail_folder(&self, place: &AccountPlace, key: &FolderKey, folder: &Folder) -> Result<bool, SiteError> {
        let made = mail_folders::make(&self.hand, place, key, folder)?;
        match made.foreign {
            Some(reason) => drop(self.foreign().insert(made.dir, reason)),
            None => drop(self.foreign().remove(&made.dir)),
        }
        if mail_folders::is_subscribed(&self.hand, place, key.path())? != folder.subscribed {
            mail_folders::subscribe(&self.hand, place, |paths| {
                if folder.subscribed {
                    paths.insert(key.path().to_owned())
                } else {
                    paths.remove(key.path())
                };
            })?;
        }
        Ok(made.created)
    }

    fn label(
        &self,
        account: &str,
        key: &FolderKey,
        batch: &[Delivery],
        delivered: &[Delivered],
        surplus: &[(String, String)],
    ) -> Result<(), SiteError> {
        let done = batch.iter().zip(delivered).filter(|(_, outcome)| matches!(outcome, Delivered::Done { .. }));
        let labels = |delivery: &Delivery| {
            let mut labels: Vec<(&'static str, String)> =
                delivery.tags.iter().map(|tag| ("tag", tag.clone())).collect();
            if key.kind() != FolderKind::Mail {
                labels.extend(delivery.keywords.iter().map(|keyword| ("keyword", keyword.clone())));
            }
            let own = surplus.iter().filter(|(name, _)| *name == delivery.name);
            labels.extend(own.map(|(_, keyword)| ("keyword", keyword.clone())));
            labels
        };
        let items: Vec<(&str, Vec<_>)> = done.map(|(delivery, _)| (delivery.name.as_str(), labels(delivery))).collect();
        db::put_labels(self.db()?, account, key, &["tag", "keyword"], &items).map_err(|error| self.db_error(error))
    }

    /// Where else than in `key` the account has mail.
    fn other_mail_folders(&self, maildir: &Path, key: &FolderKey) -> Result<Vec<(FolderKey, PathBuf)>, SiteError> {
        let mut found = Vec::new();
        for dir in grants::folders(&self.hand, maildir)? {
            let path = match dir.strip_prefix(maildir) {
                Ok(rest) if rest.as_os_str().is_empty() => "INBOX".to_owned(),
                Ok(rest) => folder_dir::parse(rest.as_os_str().as_bytes()),
                Err(_) => continue,
            };
            match FolderKey::new(FolderKind::Mail, &path) {
                Ok(other) if other != *key => found.push((other, dir)),
                _ => {}
            }
        }
        Ok(found)
    }

    fn settle_mail(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<Vec<Option<Present>>, SiteError> {
        let place = self.place(account)?;
        let mut missing: HashSet<&str> = names.iter().map(String::as_str).collect();
        let mut found: HashMap<&str, Present> = HashMap::new();
        let first = (key.clone(), place.folder(&self.hand, key)?);
        let others = self.other_mail_folders(&place.maildir(), key)?;
        for (at, dir) in std::iter::once(first).chain(others) {
            if missing.is_empty() {
                break;
            }
            let messages = listing::list(&self.hand, &dir)?;
            let here: HashSet<&str> = missing.iter().copied().filter(|name| messages.contains_key(*name)).collect();
            if here.is_empty() {
                continue;
            }
            mail_items::complete_uids(&self.hand, &dir, &messages, &here)?;
            let keywords = uid_file::read_keywords(&self.hand, &dir)?;
            for item in here {
                let Some(file) = messages.get(item) else { continue };
                let parsed = name::parse(file.bytes());
                missing.remove(item);
                found.insert(
                    item,
                    Present {
                        key: at.clone(),
                        name: item.to_owned(),
                        flags: parsed.flags,
                        keywords: keywords.of(parsed.keywords),
                    },
                );
            }
        }
        Ok(names.iter().map(|name| found.get(name.as_str()).cloned()).collect())
    }
}

/// A target can be read like any site; what it holds, it can tell.
impl Source for DirectoryTarget {
    fn describe(&self) -> Result<SiteDescription, SiteError> {
        self.site.describe()
    }

    fn provisioning(&self) -> Result<ProvisioningScan, SiteError> {
        self.site.provisioning()
    }

    fn mailbox(&self, account: &str) -> Result<MailboxScan, SiteError> {
        self.site.mailbox(account)
    }

    fn folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        self.site.folder(account, key, mark, depth)
    }

    fn read(&self, account: &str, key: &FolderKey, item: &FoundItem) -> Result<Content, SiteError> {
        self.site.read(account, key, item)
    }
}

impl Target for DirectoryTarget {
    fn capabilities(&self) -> Capabilities {
        Capabilities { keeps_uids: true, all_grantees: true, unsupported_settings: Vec::new() }
    }

    fn prepare(&self, fallback: &SiteId) -> Result<SiteId, SiteError> {
        if self.prepared.get().is_none() {
            let lock = SiteLock::take(&self.hand, self.root())?;
            for top in ["mail", "dav", "etc"] {
                self.hand.make_dir(&self.root().join(top), 0o755)?;
            }
            let path = self.root().join(site_db::FILE);
            let db = SiteDbWrite::open(&path).map_err(|error| self.db_error(error))?;
            self.hand.hand_over(&path)?;
            // Another thread may have been first; its lock is as good as ours, which then goes.
            drop(self.prepared.set(Prepared { db, _lock: lock }));
        }
        self.db()?.site_id(fallback).map_err(|error| self.db_error(error))
    }

    fn put_records(&self, changes: &[RecordChange]) -> Result<Vec<Result<(), Reason>>, SiteError> {
        let mut provisioning = Provisioning::read(&self.hand, self.root())?;
        let outcomes = provisioning.apply(changes)?;
        records::save_rows(self.db()?, changes, &outcomes).map_err(|error| self.db_error(error))?;
        provisioning.save()?;
        if changes
            .iter()
            .any(|change| matches!(change, RecordChange::Put { was: Some(_), .. } | RecordChange::Remove { .. }))
        {
            self.names.forget(self.root());
            self.listings.forget(self.root());
        }
        Ok(outcomes)
    }

    fn put_folder(&self, account: &str, folder: &Folder) -> Result<Result<FolderPut, Reason>, SiteError> {
        let place = self.place(account)?;
        let key = match place::held(&folder.key) {
            Ok(key) => key,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut columns = FolderColumns {
            special_use: folder.special_use.map(Some),
            subscribed: folder.subscribed.then_some(true),
            title: folder.title.clone(),
            color: folder.color.clone(),
        };
        let created = match key.kind() {
            FolderKind::Mail => {
                if !is_maildir(&self.hand, &place.maildir())? {
                    make_mailbox(&self.hand, &place)?;
                }
                let usual = mail_folder::default_special_use(key.path());
                columns.special_use = (folder.special_use != usual).then_some(folder.special_use);
                columns.subscribed = None;
                self.put_mail_folder(&place, &key, folder)?
            }
            FolderKind::Filters => {
                let created = file_items::make(&self.hand, &place.sieve(), folder)?;
                if let Err(reason) = file_items::activate(&self.hand, &place, folder.active.as_deref())? {
                    return Ok(Err(reason));
                }
                created
            }
            kind => {
                if file_items::has_metadata_files(kind) {
                    (columns.title, columns.color) = (None, None);
                }
                file_items::make(&self.hand, &place.folder(&self.hand, &key)?, folder)?
            }
        };
        db::put_folder(self.db()?, account, &key, &columns).map_err(|error| self.db_error(error))?;
        Ok(Ok(FolderPut { key, created }))
    }

    fn rename_folder(&self, account: &str, from: &FolderKey, to: &FolderKey) -> Result<Result<(), Reason>, SiteError> {
        let place = self.place(account)?;
        match place::held(to) {
            Ok(held) if held == *to && from.kind() == to.kind() && to.kind() != FolderKind::Filters => {}
            Ok(_) => return Ok(Err(Reason::BadName(format!("a folder cannot be called {to} here")))),
            Err(reason) => return Ok(Err(reason)),
        }
        let (old, new) = (place.folder(&self.hand, from)?, place.folder(&self.hand, to)?);
        let outcome = match from.kind() {
            FolderKind::Mail => mail_folders::rename(&self.hand, &place, from, to)?,
            _ => file_items::rename(&self.hand, &old, &new, from)?,
        };
        if outcome.is_ok() {
            self.listings.forget(&place.home);
            self.names.forget(&place.dav);
            let rows = self.db()?.write(|tx| db::rename_folder(tx, account, from, to));
            rows.map_err(|error| self.db_error(error))?;
        }
        Ok(outcome)
    }

    fn remove_folder(&self, account: &str, key: &FolderKey) -> Result<Result<(), Reason>, SiteError> {
        let place = self.place(account)?;
        let outcome = match key.kind() {
            FolderKind::Mail => mail_folders::remove(&self.hand, &place, key)?,
            _ => file_items::remove(&self.hand, &place.folder(&self.hand, key)?, key)?,
        };
        if outcome.is_ok() {
            let rows = self.db()?.write(|tx| db::remove_folder(tx, account, key));
            rows.map_err(|error| self.db_error(error))?;
        }
        Ok(outcome)
    }

    fn put_grants(&self, account: &str, key: &FolderKey, grants: &[Grant]) -> Result<Result<(), Reason>, SiteError> {
        let place = self.place(account)?;
        let dir = place.folder(&self.hand, key)?;
        if !self.is_folder(key, &dir)? {
            return Ok(Err(Reason::Refused(format!("there is no folder {key}"))));
        }
        let is_mail = key.kind() == FolderKind::Mail;
        if is_mail {
            grants::write(&self.hand, &place.maildir(), &dir, grants)?;
        }
        let rest: Vec<&Grant> = grants.iter().filter(|grant| !(is_mail && acl::holds(&grant.grantee))).collect();
        db::put_grants(self.db()?, account, key, &rest).map_err(|error| self.db_error(error))?;
        Ok(Ok(()))
    }

    fn put_setting(&self, account: &str, setting: &Setting) -> Result<Result<(), Reason>, SiteError> {
        self.place(account)?;
        db::put_setting(self.db()?, account, setting).map_err(|error| self.db_error(error))?;
        Ok(Ok(()))
    }

    fn remove_setting(&self, account: &str, key: &SettingKey) -> Result<(), SiteError> {
        db::remove_setting(self.db()?, account, key).map_err(|error| self.db_error(error))
    }

    fn reserve_names(&self, account: &str, key: &FolderKey, wanted: &[String]) -> Result<Vec<String>, SiteError> {
        self.names.reserve(&self.hand, &self.place(account)?, key, wanted)
    }

    fn deliver(
        &self,
        account: &str,
        key: &FolderKey,
        batch: Vec<Delivery>,
    ) -> Result<(Vec<Delivered>, UidsKept), SiteError> {
        let place = self.place(account)?;
        let dir = place.folder(&self.hand, key)?;
        if !self.is_folder(key, &dir)? {
            let gone = Delivered::Rejected(Reason::Refused(format!("there is no folder {key}")));
            return Ok((vec![gone; batch.len()], UidsKept::Yes));
        }
        let (delivered, uids, surplus) = match key.kind() {
            FolderKind::Mail => {
                let known = self.names.present(&self.hand, &place, key, &batch)?;
                let reason = self.foreign().get(&dir).cloned();
                let outcome = mail_delivery::deliver(&self.hand, &dir, reason.as_deref(), &batch, &known)?;
                (outcome.delivered, outcome.uids, outcome.surplus)
            }
            kind => (file_items::deliver(&self.hand, &dir, kind, &batch)?, UidsKept::Yes, Vec::new()),
        };
        self.names.delivered(&place, key, &dir, &batch);
        self.label(account, key, &batch, &delivered, &surplus)?;
        Ok((delivered, uids))
    }

    fn settle(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<Vec<Option<Present>>, SiteError> {
        if key.kind() == FolderKind::Mail {
            return self.settle_mail(account, key, names);
        }
        // A name is reserved within its folder only, so one elsewhere is another item.
        let present: HashSet<String> =
            file_items::names(&self.hand, &self.dir(account, key)?, key.kind())?.into_iter().collect();
        let found = |name: &String| {
            let there = || Present { key: key.clone(), name: name.clone(), flags: Flags::default(), keywords: vec![] };
            present.contains(name).then(there)
        };
        Ok(names.iter().map(found).collect())
    }

    fn set_flags(
        &self,
        account: &str,
        key: &FolderKey,
        name: &str,
        flags: Flags,
        keywords: &[String],
    ) -> Result<bool, SiteError> {
        let dir = self.dir(account, key)?;
        let surplus = match key.kind() {
            FolderKind::Mail => {
                let (known, letters, surplus) = mail_items::letters_for(&self.hand, &dir, keywords)?;
                if !mail_items::set_flags(&self.hand, &self.listings, &dir, name, flags, letters, &known)? {
                    return Ok(false);
                }
                surplus
            }
            kind if !file_items::exists(&self.hand, &dir, kind, name)? => return Ok(false),
            _ => keywords.to_vec(),
        };
        let labels = surplus.into_iter().map(|keyword| ("keyword", keyword)).collect();
        db::put_labels(self.db()?, account, key, &["keyword"], &[(name, labels)])
            .map_err(|error| self.db_error(error))?;
        Ok(true)
    }

    fn move_item(&self, account: &str, from: &FolderKey, name: &str, to: &FolderKey) -> Result<bool, SiteError> {
        let (old, new) = (self.dir(account, from)?, self.dir(account, to)?);
        if from.kind() != to.kind() || !self.is_folder(to, &new)? {
            return Err(SiteError::Unsupported(format!("{account}: {name} cannot move from {from} to {to}")));
        }
        let moved = match from.kind() {
            FolderKind::Mail => mail_items::move_to(&self.hand, &self.listings, &old, name, &new)?,
            kind => file_items::move_to(&self.hand, &old, &new, kind, name)?.then(Vec::new),
        };
        let Some(surplus) = moved else { return Ok(false) };
        db::move_labels(self.db()?, account, from, name, Some(to)).map_err(|error| self.db_error(error))?;
        if !surplus.is_empty() {
            let labels = surplus.into_iter().map(|keyword| ("keyword", keyword)).collect();
            db::put_labels(self.db()?, account, to, &[], &[(name, labels)]).map_err(|error| self.db_error(error))?;
        }
        Ok(true)
    }

    fn replace_item(&self, account: &str, key: &FolderKey, delivery: Delivery) -> Result<bool, SiteError> {
        if key.kind() == FolderKind::Mail {
            return Err(SiteError::Unsupported(format!("{account}:{key}: a message is never changed in place")));
        }
        let dir = self.dir(account, key)?;
        if !file_items::exists(&self.hand, &dir, key.kind(), &delivery.name)? {
            return Ok(false);
        }
        if let Err(reason) = file_items::replace(&self.hand, &dir, key.kind(), &delivery)? {
            return Err(SiteError::Unsupported(format!("{account}:{key}/{}: {reason}", delivery.name)));
        }
        self.label(account, key, &[delivery], &[Delivered::Done { uid: None }], &[])?;
        Ok(true)
    }

    fn remove_item(&self, account: &str, key: &FolderKey, name: &str) -> Result<bool, SiteError> {
        let dir = self.dir(account, key)?;
        let removed = match key.kind() {
            FolderKind::Mail => mail_items::remove(&self.hand, &self.listings, &dir, name)?,
            kind => self.hand.remove_file(&file_items::path_of(&dir, kind, name))?,
        };
        db::move_labels(self.db()?, account, key, name, None).map_err(|error| self.db_error(error))?;
        Ok(removed)
    }

    fn finish(&self) -> Result<(), SiteError> {
        grants::write_shared_dict(&self.hand, self.root())
    }

    fn state_dir(&self) -> PathBuf {
        self.root().to_owned()
    }
}
