//! A server that holds folders of some kinds for every account. The calls are those of [`Source`](crate::site::Source) and
//! [`Target`](crate::site::Target) that concern one mailbox, on the same terms; a store that can only be read leaves out
//! the second half.
//!
//! A store keeps what it must remember between runs (which name is which UID) below the state folder that it was made with,
//! because a server has no place for it.

use crate::event::Reason;
use crate::model::mailbox::{Flags, Folder, FolderKey, FolderKind};
use crate::model::setting::{Setting, SettingKey, SettingKind};
use crate::model::share::Grant;
use crate::shelf::Scratch;
use crate::site::{
    Content, Delivered, Delivery, Depth, FolderPut, FolderScan, FoundItem, MailboxScan, Marking, Present, SiteError,
    StoredAs, UidsKept,
};

/// What a server told about itself for `wagon site check`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// What it says it is, and its version, where it tells.
    pub software: Option<String>,
    /// Capabilities in its own words, sorted.
    pub capabilities: Vec<String>,
    /// A sentence each: what this server cannot give as a source.
    pub cannot_give: Vec<String>,
    /// A sentence each: what this server cannot hold as a target.
    pub cannot_hold: Vec<String>,
    /// Items and bytes of the account that was looked into, where the server tells cheaply.
    pub items: Option<u64>,
    pub bytes: Option<u64>,
}

/// Folders of some kinds on a server. Calls come from several threads, for different accounts at once.
pub trait Store: Send + Sync {
    /// The kinds of folders that lie here; no two stores of a site share one.
    fn kinds(&self) -> &'static [FolderKind];

    /// Where it is, without any secret: an URL.
    fn locator(&self) -> String;

    /// As [`Source::keep_in`](crate::site::Source::keep_in).
    fn keep_in(&self, _shelves: &Scratch) {}

    /// Logs in for `account` and tells what the server says of itself.
    fn survey(&self, account: &str) -> Result<Survey, SiteError>;

    /// Bytes that the account may have here; `None`: as many as it likes, or the server does not tell.
    fn quota(&self, _account: &str) -> Result<Option<u64>, SiteError> {
        Ok(None)
    }

    /// As [`Source::mailbox`](crate::site::Source::mailbox). An account that the server does not know, or whose login it
    /// refuses, is a `SiteError` for that account.
    fn mailbox(&self, account: &str) -> Result<MailboxScan, SiteError>;

    /// As [`Source::folder`](crate::site::Source::folder).
    fn folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError>;

    /// As [`Source::read`](crate::site::Source::read).
    fn read(&self, account: &str, key: &FolderKey, item: &FoundItem) -> Result<Content, SiteError>;

    /// Makes the account's mailbox where the server does not by itself. Safe to repeat.
    fn make_account(&self, _account: &str, _quota_bytes: Option<u64>) -> Result<Result<(), Reason>, SiteError> {
        Ok(Ok(()))
    }

    /// Whether items get the UIDs that they are delivered with.
    fn keeps_uids(&self) -> bool {
        false
    }

    /// Gives an account's mailbox to its new address. A server where that is for its administrator says so. Safe to repeat.
    fn rename_account(&self, from: &str, to: &str) -> Result<Result<(), Reason>, SiteError> {
        let what = format!(
            "{} cannot give the mailbox of {from} to {to}; rename it there and where the accounts are, and the next pass \
             goes on with it",
            self.locator()
        );
        Ok(Err(Reason::Unsupported(what)))
    }

    /// Kinds of settings of an account that this server keeps beside folders (subscriptions to folders that are not there).
    /// [`Store::mailbox`] lists them.
    fn setting_kinds(&self) -> &'static [SettingKind] {
        &[]
    }

    /// As [`Target::put_setting`](crate::site::Target::put_setting).
    fn put_setting(&self, account: &str, setting: &Setting) -> Result<Result<(), Reason>, SiteError> {
        let _ = (account, setting);
        Err(self.read_only())
    }

    /// As [`Target::remove_setting`](crate::site::Target::remove_setting).
    fn remove_setting(&self, account: &str, key: &SettingKey) -> Result<(), SiteError> {
        let _ = (account, key);
        Err(self.read_only())
    }

    /// What was delivered or changed for this account is durable on this side too (a state file is written).
    fn changes_made(&self, account: &str) -> Result<(), SiteError> {
        let _ = account;
        Ok(())
    }

    fn put_folder(&self, account: &str, folder: &Folder) -> Result<Result<FolderPut, Reason>, SiteError> {
        let _ = (account, folder);
        Err(self.read_only())
    }

    fn rename_folder(&self, account: &str, from: &FolderKey, to: &FolderKey) -> Result<Result<(), Reason>, SiteError> {
        let _ = (account, from, to);
        Err(self.read_only())
    }

    fn remove_folder(&self, account: &str, key: &FolderKey) -> Result<Result<(), Reason>, SiteError> {
        let _ = (account, key);
        Err(self.read_only())
    }

    fn put_grants(&self, account: &str, key: &FolderKey, grants: &[Grant]) -> Result<Result<(), Reason>, SiteError> {
        let _ = (account, key, grants);
        Err(self.read_only())
    }

    fn reserve_names(&self, account: &str, key: &FolderKey, wanted: &[String]) -> Result<Vec<String>, SiteError> {
        let _ = (account, key, wanted);
        Err(self.read_only())
    }

    fn deliver(
        &self,
        account: &str,
        key: &FolderKey,
        batch: Vec<Delivery>,
    ) -> Result<(Vec<Delivered>, UidsKept), SiteError> {
        let _ = (account, key, batch);
        Err(self.read_only())
    }

    fn settle(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<Vec<Option<Present>>, SiteError> {
        let _ = (account, key, names);
        Err(self.read_only())
    }

    /// As [`Target::stored_as`](crate::site::Target::stored_as).
    fn stored_as(
        &self,
        _account: &str,
        _key: &FolderKey,
        _names: &[String],
    ) -> Result<Vec<Option<StoredAs>>, SiteError> {
        Ok(Vec::new())
    }

    /// As [`Target::unfit_keywords`](crate::site::Target::unfit_keywords).
    fn unfit_keywords(&self, _keywords: &[String]) -> Vec<String> {
        Vec::new()
    }

    fn set_flags(
        &self,
        account: &str,
        key: &FolderKey,
        name: &str,
        flags: Flags,
        keywords: &[String],
    ) -> Result<bool, SiteError> {
        let _ = (account, key, name, flags, keywords);
        Err(self.read_only())
    }

    /// As [`Target::mark_items`](crate::site::Target::mark_items).
    fn mark_items(&self, account: &str, key: &FolderKey, wanted: &[Marking]) -> Result<Vec<bool>, SiteError> {
        wanted.iter().map(|one| self.set_flags(account, key, &one.name, one.flags, &one.keywords)).collect()
    }

    fn move_item(&self, account: &str, from: &FolderKey, name: &str, to: &FolderKey) -> Result<bool, SiteError> {
        let _ = (account, from, name, to);
        Err(self.read_only())
    }

    fn replace_item(&self, account: &str, key: &FolderKey, delivery: Delivery) -> Result<bool, SiteError> {
        let _ = (account, key, delivery);
        Err(self.read_only())
    }

    fn remove_item(&self, account: &str, key: &FolderKey, name: &str) -> Result<bool, SiteError> {
        let _ = (account, key, name);
        Err(self.read_only())
    }

    /// As [`Target::remove_items`](crate::site::Target::remove_items).
    fn remove_items(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<Vec<bool>, SiteError> {
        names.iter().map(|name| self.remove_item(account, key, name)).collect()
    }

    /// The error of a store that cannot be written.
    fn read_only(&self) -> SiteError {
        SiteError::Unsupported(format!("{} can be read and not written", self.locator()))
    }
}
