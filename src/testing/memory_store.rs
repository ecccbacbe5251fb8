//! A server in memory: the folders of some kinds of a [`MemorySite`], as a [`Store`]. Accounts can be locked out, as when
//! their login is refused.

use super::memory_site::MemorySite;
use crate::event::Reason;
use crate::model::mailbox::{Flags, Folder, FolderKey, FolderKind};
use crate::model::share::Grant;
use crate::site::server::{Store, Survey};
use crate::site::{
    Content, Delivered, Delivery, Depth, FolderPut, FolderScan, FoundItem, MailboxScan, Present, SiteError,
    Source as _, Target as _, UidsKept,
};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The server.
pub struct MemoryStore {
    name: &'static str,
    kinds: &'static [FolderKind],
    site: Arc<MemorySite>,
    locked_out: Mutex<BTreeSet<String>>,
}

impl MemoryStore {
    pub fn new(name: &'static str, kinds: &'static [FolderKind], site: Arc<MemorySite>) -> Self {
        Self { name, kinds, site, locked_out: Mutex::default() }
    }

    /// Refuses the login of this account from now on.
    pub fn lock_out(&self, account: &str) {
        self.locked_out.lock().unwrap_or_else(PoisonError::into_inner).insert(account.to_owned());
    }

    fn log_in(&self, account: &str) -> Result<&MemorySite, SiteError> {
        if self.locked_out.lock().unwrap_or_else(PoisonError::into_inner).contains(account) {
            return Err(SiteError::Server { server: self.locator(), what: format!("refuses the login of {account}") });
        }
        Ok(&self.site)
    }
}

type Refusable<T> = Result<Result<T, Reason>, SiteError>;

impl Store for MemoryStore {
    fn kinds(&self) -> &'static [FolderKind] {
        self.kinds
    }

    fn locator(&self) -> String {
        format!("memory://{}", self.name)
    }

    fn survey(&self, account: &str) -> Result<Survey, SiteError> {
        let folders = self.mailbox(account)?.folders.len() as u64;
        Ok(Survey { software: Some(self.name.to_owned()), items: Some(folders), ..Survey::default() })
    }

    fn mailbox(&self, account: &str) -> Result<MailboxScan, SiteError> {
        let mut scan = self.log_in(account)?.mailbox(account)?;
        scan.folders.retain(|found| self.kinds.contains(&found.key.kind()));
        scan.settings.clear();
        Ok(scan)
    }

    fn folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        self.log_in(account)?.folder(account, key, mark, depth)
    }

    fn read(&self, account: &str, key: &FolderKey, item: &FoundItem) -> Result<Content, SiteError> {
        self.log_in(account)?.read(account, key, item)
    }

    fn make_account(&self, account: &str, _quota_bytes: Option<u64>) -> Refusable<()> {
        self.log_in(account)?.edit(|contents| {
            contents.mailboxes.entry(account.to_owned()).or_default();
        });
        Ok(Ok(()))
    }

    fn keeps_uids(&self) -> bool {
        true
    }

    fn put_folder(&self, account: &str, folder: &Folder) -> Refusable<FolderPut> {
        self.log_in(account)?.put_folder(account, folder)
    }

    fn rename_folder(&self, account: &str, from: &FolderKey, to: &FolderKey) -> Refusable<()> {
        self.log_in(account)?.rename_folder(account, from, to)
    }

    fn remove_folder(&self, account: &str, key: &FolderKey) -> Refusable<()> {
        self.log_in(account)?.remove_folder(account, key)
    }

    fn put_grants(&self, account: &str, key: &FolderKey, grants: &[Grant]) -> Refusable<()> {
        self.log_in(account)?.put_grants(account, key, grants)
    }

    fn reserve_names(&self, account: &str, key: &FolderKey, wanted: &[String]) -> Result<Vec<String>, SiteError> {
        self.log_in(account)?.reserve_names(account, key, wanted)
    }

    fn deliver(
        &self,
        account: &str,
        key: &FolderKey,
        batch: Vec<Delivery>,
    ) -> Result<(Vec<Delivered>, UidsKept), SiteError> {
        self.log_in(account)?.deliver(account, key, batch)
    }

    fn settle(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<Vec<Option<Present>>, SiteError> {
        self.log_in(account)?.settle(account, key, names)
    }

    fn set_flags(
        &self,
        account: &str,
        key: &FolderKey,
        name: &str,
        flags: Flags,
        keywords: &[String],
    ) -> Result<bool, SiteError> {
        self.log_in(account)?.set_flags(account, key, name, flags, keywords)
    }

    fn move_item(&self, account: &str, from: &FolderKey, name: &str, to: &FolderKey) -> Result<bool, SiteError> {
        self.log_in(account)?.move_item(account, from, name, to)
    }

    fn replace_item(&self, account: &str, key: &FolderKey, delivery: Delivery) -> Result<bool, SiteError> {
        self.log_in(account)?.replace_item(account, key, delivery)
    }

    fn remove_item(&self, account: &str, key: &FolderKey, name: &str) -> Result<bool, SiteError> {
        self.log_in(account)?.remove_item(account, key, name)
    }
}
