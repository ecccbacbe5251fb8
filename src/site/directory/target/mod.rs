//! The directory site as a [`Target`]: which module answers which call.
//!
//! Promises: one importer at a time (`.wagon/lock`); everything may be repeated; a server may use the site meanwhile.
//! What has no file format of its own goes to `site.sqlite`. Layout: [`super::layout`]; docs/serving.md says how a site
//! that was written is served.

mod any_folder;
mod as_source;
mod delivery;
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
mod settle;
mod shared_dict;
mod shared_sync;
mod site_lock;
#[cfg(test)]
mod tests;
pub(in crate::site) mod text_edit;
mod uid_file;
mod uids;

pub use grants::SHARED_DICT;

use super::maildir::name::{self, KeywordLetters};
use super::site_db_labels as labels;
use super::site_db_write::{self as db, SiteDbWrite};
use super::{DirectorySite, acl, site_db};
use crate::db::DbError;
use crate::event::Reason;
use crate::model::id::SiteId;
use crate::model::mailbox::{Flags, Folder, FolderKey, FolderKind};
use crate::model::provisioning::RecordKind;
use crate::model::setting::{Setting, SettingKey, SettingKind};
use crate::model::share::Grant;
use crate::site::{
    Batch, Capabilities, Delivered, Delivery, FolderPut, Present, RecordChange, SiteError, Target, UidsKept,
};
use hand::{Hand, PRIVATE};
use known_names::KnownNames;
use listing::{Listings, MessageFile};
use place::AccountPlace;
use records::{Provisioning, is_maildir};
use site_lock::SiteLock;
use std::collections::{HashMap, HashSet};
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
    /// Writes `site`; nothing happens before [`Target::prepare`], but that a commit of `site.sqlite` which was cut off is
    /// taken back: until then the database cannot even be read.
    pub fn new(site: DirectorySite) -> Self {
        let hand = Hand::new(site.fs.clone(), &site.root, site.owner);
        let path = site.root.join(site_db::FILE);
        if site.fs.lstat(&site.root.join(format!("{}-journal", site_db::FILE))).is_ok() {
            // What goes wrong here goes wrong again where the database is needed, and is told there.
            drop(SiteDbWrite::open(&path));
        }
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
}

impl Target for DirectoryTarget {
    fn capabilities(&self) -> Capabilities {
        Capabilities { keeps_uids: true, all_grantees: true, unsupported_settings: Vec::new() }
    }

    fn prepare(&self, fallback: &SiteId) -> Result<SiteId, SiteError> {
        if self.prepared.get().is_none() {
            let lock = SiteLock::take(&self.hand, self.root())?;
            let mut made = Vec::new();
            for top in ["mail", "dav", "etc"].map(|top| self.root().join(top)) {
                if !self.hand.is_dir(&top)? {
                    self.hand.make_dir(&top, 0o755)?;
                    made.push(top);
                }
            }
            // The folders above may be new as well, and what follows syncs only what is below.
            self.hand.sync_sites(made.iter().map(PathBuf::as_path))?;
            let path = self.root().join(site_db::FILE);
            let db = SiteDbWrite::open(&path).map_err(|error| self.db_error(error))?;
            // It holds passwords of external sources.
            self.hand.fs.set_mode(&path, PRIVATE).map_err(hand::io_error("set the mode of", &path))?;
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
        let account = |change: &RecordChange| {
            let (RecordChange::Put { record, .. } | RecordChange::Remove { record }) = change;
            record.kind() == RecordKind::Account
        };
        if changes.iter().any(account) {
            // Mailboxes were made, renamed or removed, and the caller is about to remember it.
            self.hand.sync_sites(std::iter::once(self.root()))?;
        }
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
        self.make_folder(account, folder)
    }

    fn folders_made(&self, account: &str) -> Result<(), SiteError> {
        let place = self.place(account)?;
        let tops = [place.home, place.dav];
        let mut there = Vec::new();
        for top in &tops {
            if self.hand.is_dir(top)? {
                there.push(top.as_path());
            }
        }
        self.hand.sync_sites(there.into_iter())
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
        let place = self.place(account)?;
        if let Setting::Subscription { path } = setting {
            return mail_folders::subscribe_blindly(&self.hand, &place, path);
        }
        db::put_setting(self.db()?, account, setting).map_err(|error| self.db_error(error))?;
        Ok(Ok(()))
    }

    fn remove_setting(&self, account: &str, key: &SettingKey) -> Result<(), SiteError> {
        if key.0 == SettingKind::Subscription {
            return mail_folders::unsubscribe_blindly(&self.hand, &self.place(account)?, &key.1);
        }
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
        let outcomes = self.deliver_all(account, vec![Batch { key: key.clone(), items: batch }])?;
        // One batch has one outcome.
        Ok(outcomes.into_iter().next().unwrap_or((Vec::new(), UidsKept::Yes)))
    }

    fn deliver_all(&self, account: &str, batches: Vec<Batch>) -> Result<Vec<(Vec<Delivered>, UidsKept)>, SiteError> {
        self.deliver_batches(account, &batches)
    }

    fn delivered(
        &self,
        account: &str,
        key: &FolderKey,
        name: &str,
        flags: Flags,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, SiteError> {
        if key.kind() != FolderKind::Mail {
            return Ok(None);
        }
        let file = name::encode(name.as_bytes(), flags, KeywordLetters::default());
        let path = MessageFile::in_cur(file).path(&self.dir(account, key)?);
        // Whatever is in the way, the archive has it too.
        Ok(self.hand.fs.read(&path, limit).ok())
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
        labels::put_labels(self.db()?, account, key, &["keyword"], &[(name, labels)])
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
        labels::move_labels(self.db()?, account, from, name, Some(to)).map_err(|error| self.db_error(error))?;
        if !surplus.is_empty() {
            let labels = surplus.into_iter().map(|keyword| ("keyword", keyword)).collect();
            labels::put_labels(self.db()?, account, to, &[], &[(name, labels)])
                .map_err(|error| self.db_error(error))?;
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
            return Err(SiteError::Refused(reason));
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
        labels::move_labels(self.db()?, account, key, name, None).map_err(|error| self.db_error(error))?;
        Ok(removed)
    }

    fn finish(&self) -> Result<(), SiteError> {
        grants::write_shared_dict(&self.hand, self.root())
    }

    fn state_dir(&self) -> PathBuf {
        self.root().to_owned()
    }
}
