//! A site of servers as a [`Target`]: each call goes to the store that holds folders of that kind, records to the book.

use super::ServerSite;
use super::site::no_store;
use crate::event::Reason;
use crate::model::id::SiteId;
use crate::model::mailbox::{Flags, Folder, FolderKey, FolderKind};
use crate::model::provisioning::Record;
use crate::model::setting::{Setting, SettingKey, SettingKind};
use crate::model::share::Grant;
use crate::site::{
    Capabilities, Delivered, Delivery, FolderPut, LineEnds, Marking, PlannedRecords, Present, RecordChange, SiteError,
    StoredAs, Target, UidsKept,
};
use std::path::PathBuf;

type Refusable<T> = Result<Result<T, Reason>, SiteError>;

const SETTINGS: [SettingKind; 9] = [
    SettingKind::Identity,
    SettingKind::Signature,
    SettingKind::Forwarding,
    SettingKind::Vacation,
    SettingKind::Preference,
    SettingKind::ExternalSource,
    SettingKind::Tag,
    SettingKind::Mountpoint,
    SettingKind::Subscription,
];

/// Why a setting has no place on servers.
fn no_place(kind: SettingKind) -> String {
    match kind {
        SettingKind::Mountpoint => {
            "servers have no mountpoints: a client finds what is shared with it below the namespace of other users"
                .to_owned()
        }
        SettingKind::Vacation | SettingKind::Forwarding => {
            format!("this site's servers have no place for {} but Sieve scripts", kind.word())
        }
        other => format!("no server of this site has a place for settings of this kind ({})", other.word()),
    }
}

impl ServerSite {
    /// Renames the mailboxes of an account that is to get another address.
    fn move_mailboxes(&self, change: &RecordChange) -> Refusable<()> {
        let RecordChange::Put { record: Record::Account(account), was: Some(was) } = change else { return Ok(Ok(())) };
        for store in self.stores().filter(|_| *was != account.address) {
            if let Err(reason) = store.rename_account(was, &account.address)? {
                return Ok(Err(reason));
            }
        }
        Ok(Ok(()))
    }

    /// Makes the mailboxes of an account that the book has taken.
    fn make_mailboxes(&self, change: &RecordChange) -> Refusable<()> {
        let RecordChange::Put { record: Record::Account(account), .. } = change else { return Ok(Ok(())) };
        for store in self.stores() {
            if let Err(reason) = store.make_account(&account.address, account.quota_bytes)? {
                return Ok(Err(reason));
            }
        }
        Ok(Ok(()))
    }

    fn keeper(&self, kind: SettingKind) -> Option<&dyn super::Store> {
        self.stores().find(|store| store.setting_kinds().contains(&kind))
    }
}

impl Target for ServerSite {
    fn capabilities(&self) -> Capabilities {
        let keeps_uids = self.store(FolderKind::Mail).is_some_and(super::Store::keeps_uids);
        let kept = |kind: &SettingKind| self.keeper(*kind).is_some() || self.book.setting_kinds().contains(kind);
        let unsupported = SETTINGS.into_iter().filter(|kind| !kept(kind)).map(|kind| (kind, no_place(kind)));
        Capabilities { keeps_uids, all_grantees: false, unsupported_settings: unsupported.collect() }
    }

    /// RFC 9051 2.3.3 and RFC 5322 2.3: no other ends a line of a message. Everything else is kept as it is.
    fn line_ends(&self, kind: FolderKind) -> LineEnds {
        if kind == FolderKind::Mail { LineEnds::Crlf } else { LineEnds::Kept }
    }

    fn prepare(&self, fallback: &SiteId) -> Result<SiteId, SiteError> {
        if self.lock.get().is_none() {
            let lock = self.state.lock()?;
            // Another thread may have been first; its lock is as good as ours, which then goes.
            drop(self.lock.set(lock));
        }
        self.state.id_or(fallback)
    }

    fn put_records(&self, changes: &[RecordChange]) -> Result<Vec<Result<(), Reason>>, SiteError> {
        // One account's trouble leaves the others alone; a later pass tries it again.
        let told = |outcome: Refusable<()>| outcome.unwrap_or_else(|error| Err(refused(error)));
        // Mailboxes first: with a book that has the new address already, a mailbox that stayed behind would look emptied by
        // its user.
        let mut outcomes: Vec<_> = changes.iter().map(|change| told(self.move_mailboxes(change))).collect();
        let movable = changes.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
        let movable: Vec<RecordChange> = movable.map(|(change, _)| change.clone()).collect();
        let taken = self.book.put_records(&movable)?;
        let open = changes.iter().zip(&mut outcomes).filter(|(_, outcome)| outcome.is_ok());
        for ((change, outcome), taken) in open.zip(taken) {
            *outcome = taken.and_then(|()| told(self.make_mailboxes(change)));
        }
        Ok(outcomes)
    }

    fn plan_records(&self, changes: &[RecordChange]) -> Result<Option<PlannedRecords>, SiteError> {
        self.book.plan_records(changes)
    }

    fn put_folder(&self, account: &str, folder: &Folder) -> Refusable<FolderPut> {
        match self.store(folder.key.kind()) {
            Some(store) => store.put_folder(account, folder),
            None => Ok(Err(Reason::Unsupported(no_store(folder.key.kind())))),
        }
    }

    fn folders_made(&self, account: &str) -> Result<(), SiteError> {
        self.stores().try_for_each(|store| store.changes_made(account))
    }

    fn rename_folder(&self, account: &str, from: &FolderKey, to: &FolderKey) -> Refusable<()> {
        match self.store(from.kind()) {
            Some(store) if store.kinds().contains(&to.kind()) => store.rename_folder(account, from, to),
            _ => Ok(Err(Reason::BadName(format!("a folder cannot be called {to} here")))),
        }
    }

    fn remove_folder(&self, account: &str, key: &FolderKey) -> Refusable<()> {
        match self.store(key.kind()) {
            Some(store) => store.remove_folder(account, key),
            None => Ok(Ok(())),
        }
    }

    fn put_grants(&self, account: &str, key: &FolderKey, grants: &[Grant]) -> Refusable<()> {
        match self.store(key.kind()) {
            Some(store) => store.put_grants(account, key, grants),
            None => Ok(Err(Reason::Unsupported(no_store(key.kind())))),
        }
    }

    fn put_setting(&self, account: &str, setting: &Setting) -> Refusable<()> {
        let kind = setting.key().0;
        match self.keeper(kind) {
            Some(store) => store.put_setting(account, setting),
            None if self.book.setting_kinds().contains(&kind) => self.book.put_setting(account, setting),
            None => Ok(Err(Reason::Unsupported(no_place(kind)))),
        }
    }

    fn remove_setting(&self, account: &str, key: &SettingKey) -> Result<(), SiteError> {
        match self.keeper(key.0) {
            Some(store) => store.remove_setting(account, key),
            None if self.book.setting_kinds().contains(&key.0) => self.book.remove_setting(account, key),
            None => Ok(()),
        }
    }

    fn reserve_names(&self, account: &str, key: &FolderKey, wanted: &[String]) -> Result<Vec<String>, SiteError> {
        self.holder(key)?.reserve_names(account, key, wanted)
    }

    fn deliver(
        &self,
        account: &str,
        key: &FolderKey,
        batch: Vec<Delivery>,
    ) -> Result<(Vec<Delivered>, UidsKept), SiteError> {
        self.holder(key)?.deliver(account, key, batch)
    }

    fn settle(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<Vec<Option<Present>>, SiteError> {
        self.holder(key)?.settle(account, key, names)
    }

    fn stored_as(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<Vec<Option<StoredAs>>, SiteError> {
        self.holder(key)?.stored_as(account, key, names)
    }

    fn unfit_keywords(&self, kind: FolderKind, keywords: &[String]) -> Vec<String> {
        self.store(kind).map(|store| store.unfit_keywords(keywords)).unwrap_or_default()
    }

    fn set_flags(
        &self,
        account: &str,
        key: &FolderKey,
        name: &str,
        flags: Flags,
        keywords: &[String],
    ) -> Result<bool, SiteError> {
        self.holder(key)?.set_flags(account, key, name, flags, keywords)
    }

    fn mark_items(&self, account: &str, key: &FolderKey, wanted: &[Marking]) -> Result<Vec<bool>, SiteError> {
        self.holder(key)?.mark_items(account, key, wanted)
    }

    fn move_item(&self, account: &str, from: &FolderKey, name: &str, to: &FolderKey) -> Result<bool, SiteError> {
        let store = self.holder(from)?;
        if !store.kinds().contains(&to.kind()) {
            return Err(SiteError::Unsupported(format!(
                "{name} cannot move from {from} to {to}: they are on different servers"
            )));
        }
        store.move_item(account, from, name, to)
    }

    fn replace_item(&self, account: &str, key: &FolderKey, delivery: Delivery) -> Result<bool, SiteError> {
        self.holder(key)?.replace_item(account, key, delivery)
    }

    fn remove_item(&self, account: &str, key: &FolderKey, name: &str) -> Result<bool, SiteError> {
        self.holder(key)?.remove_item(account, key, name)
    }

    fn remove_items(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<Vec<bool>, SiteError> {
        self.holder(key)?.remove_items(account, key, names)
    }

    fn finish(&self) -> Result<(), SiteError> {
        Ok(())
    }

    fn state_dir(&self) -> PathBuf {
        self.state.dir().to_owned()
    }
}

fn refused(error: SiteError) -> Reason {
    match error.as_reason() {
        Reason::Unreadable(text) => Reason::Refused(text),
        other => other,
    }
}
