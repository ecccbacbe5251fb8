//! The memory site as a target. Every change is a write that can be made to fail; a delivery that fails has delivered
//! half of its batch.

use super::{Contents, MemorySite, StoredFolder, StoredItem};
use crate::event::Reason;
use crate::model::id::SiteId;
use crate::model::mailbox::{Flags, Folder, FolderKey};
use crate::model::provisioning::{Record, RecordKind};
use crate::model::setting::{Setting, SettingKey};
use crate::model::share::Grant;
use crate::site::{
    Capabilities, Delivered, Delivery, FolderPut, ItemContent, Present, RecordChange, SiteError, Target, UidsKept,
};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::PathBuf;

type Refusable<T> = Result<Result<T, Reason>, SiteError>;

impl Target for MemorySite {
    fn capabilities(&self) -> Capabilities {
        Capabilities { keeps_uids: true, all_grantees: true, unsupported_settings: Vec::new() }
    }

    fn prepare(&self, fallback: &SiteId) -> Result<SiteId, SiteError> {
        Ok(self.contents().id.get_or_insert_with(|| fallback.clone()).clone())
    }

    fn put_records(&self, changes: &[RecordChange]) -> Result<Vec<Result<(), Reason>>, SiteError> {
        self.count_write()?;
        let mut contents = self.contents();
        Ok(changes.iter().map(|change| put_record(&mut contents, change)).collect())
    }

    fn put_folder(&self, account: &str, folder: &Folder) -> Refusable<FolderPut> {
        self.count_write()?;
        let mut contents = self.contents();
        let mailbox = known(&mut contents, account)?;
        let created = !mailbox.contains_key(&folder.key);
        let stored = contents.folder(account, &folder.key);
        let Folder { uid_validity, uid_next, ref guid, ref grants, .. } = stored.folder;
        let (guid, grants) = (guid.clone(), grants.clone());
        stored.folder = Folder { uid_validity, uid_next, guid, grants, ..folder.clone() };
        if stored.items.is_empty() && stored.folder.uid_validity.is_none() {
            (stored.folder.uid_validity, stored.folder.uid_next) = (folder.uid_validity, folder.uid_next);
        }
        Ok(Ok(FolderPut { key: folder.key.clone(), created, lost: Vec::new() }))
    }

    fn rename_folder(&self, account: &str, from: &FolderKey, to: &FolderKey) -> Refusable<()> {
        self.count_write()?;
        let mut contents = self.contents();
        let folders = known(&mut contents, account)?;
        if folders.contains_key(to) {
            return Ok(Err(Reason::Refused(format!("{to} is there"))));
        }
        contents.rename_folder(account, from, to);
        Ok(Ok(()))
    }

    fn remove_folder(&self, account: &str, key: &FolderKey) -> Refusable<()> {
        self.count_write()?;
        let mut contents = self.contents();
        let folders = known(&mut contents, account)?;
        if folders.get(key).is_some_and(|folder| !folder.items.is_empty()) {
            return Ok(Err(Reason::Refused(format!("{key} is not empty"))));
        }
        folders.remove(key);
        Ok(Ok(()))
    }

    fn put_grants(&self, account: &str, key: &FolderKey, grants: &[Grant]) -> Refusable<()> {
        self.count_write()?;
        let mut contents = self.contents();
        if !known(&mut contents, account)?.contains_key(key) {
            return Ok(Err(Reason::Refused(format!("there is no folder {key}"))));
        }
        contents.folder(account, key).folder.grants = grants.to_vec();
        Ok(Ok(()))
    }

    fn put_setting(&self, account: &str, setting: &Setting) -> Refusable<()> {
        self.count_write()?;
        let mut contents = self.contents();
        known(&mut contents, account)?;
        let mailbox = contents.mailboxes.entry(account.to_owned()).or_default();
        mailbox.settings.insert(setting.key(), setting.clone());
        Ok(Ok(()))
    }

    fn remove_setting(&self, account: &str, key: &SettingKey) -> Result<(), SiteError> {
        self.count_write()?;
        let mut contents = self.contents();
        known(&mut contents, account)?;
        let mailbox = contents.mailboxes.entry(account.to_owned()).or_default();
        mailbox.settings.remove(key);
        Ok(())
    }

    fn reserve_names(&self, account: &str, _: &FolderKey, wanted: &[String]) -> Result<Vec<String>, SiteError> {
        let mut contents = self.contents();
        let folders = known(&mut contents, account)?;
        let mut taken: BTreeSet<String> = folders.values().flat_map(|folder| folder.items.keys().cloned()).collect();
        let mut names = Vec::new();
        for name in wanted {
            let mut free = name.clone();
            let mut number = 2;
            while !taken.insert(free.clone()) {
                free = format!("{name}-{number}");
                number += 1;
            }
            names.push(free);
        }
        Ok(names)
    }

    fn deliver(
        &self,
        account: &str,
        key: &FolderKey,
        batch: Vec<Delivery>,
    ) -> Result<(Vec<Delivered>, UidsKept), SiteError> {
        let whole = self.count_write();
        let refused = self.faults().refused.clone();
        let mut contents = self.contents();
        if !known(&mut contents, account)?.contains_key(key) {
            return Err(SiteError::NoAccount(format!("{account}:{key}")));
        }
        let half = batch.len() / 2;
        let mut outcomes = Vec::new();
        let mut uids = UidsKept::Yes;
        for (at, delivery) in batch.into_iter().enumerate() {
            if at >= half && whole.is_err() {
                break;
            }
            if refused.iter().any(|part| delivery.name.contains(part.as_str())) {
                outcomes.push(Delivered::Rejected(Reason::Refused("this item is not wanted".to_owned())));
                continue;
            }
            let version = contents.number();
            let (uid, item) = deliver_one(contents.folder(account, key), delivery, version);
            if item {
                uids = UidsKept::No("the folder had messages already".to_owned());
            }
            outcomes.push(Delivered::Done { uid });
        }
        whole.map(|()| (outcomes, uids))
    }

    fn settle(&self, account: &str, _: &FolderKey, names: &[String]) -> Result<Vec<Option<Present>>, SiteError> {
        let mut contents = self.contents();
        let folders = known(&mut contents, account)?;
        let find = |name: &String| {
            folders.iter().find_map(|(key, folder)| {
                folder.items.get(name).map(|item| Present {
                    key: key.clone(),
                    name: name.clone(),
                    flags: item.flags,
                    keywords: item.keywords.clone(),
                })
            })
        };
        Ok(names.iter().map(find).collect())
    }

    fn set_flags(
        &self,
        account: &str,
        key: &FolderKey,
        name: &str,
        flags: Flags,
        keywords: &[String],
    ) -> Result<bool, SiteError> {
        self.count_write()?;
        let mut contents = self.contents();
        let item = contents.folder(account, key).items.get_mut(name);
        Ok(item.map(|item| (item.flags, item.keywords) = (flags, keywords.to_vec())).is_some())
    }

    fn move_item(&self, account: &str, _: &FolderKey, name: &str, to: &FolderKey) -> Result<bool, SiteError> {
        self.count_write()?;
        Ok(self.contents().move_item(account, name, to))
    }

    fn replace_item(&self, account: &str, key: &FolderKey, delivery: Delivery) -> Result<bool, SiteError> {
        self.count_write()?;
        let mut contents = self.contents();
        let version = contents.number();
        let Some(item) = contents.folder(account, key).items.get_mut(&delivery.name) else { return Ok(false) };
        (item.bytes, item.date, item.version) = (bytes_of(delivery.content), delivery.date, version);
        Ok(true)
    }

    fn remove_item(&self, account: &str, key: &FolderKey, name: &str) -> Result<bool, SiteError> {
        self.count_write()?;
        Ok(self.contents().folder(account, key).items.remove(name).is_some())
    }

    fn finish(&self) -> Result<(), SiteError> {
        self.count_write()
    }

    fn state_dir(&self) -> PathBuf {
        self.state_dir.clone()
    }
}

/// The folders of an account that exists.
fn known<'c>(
    contents: &'c mut Contents,
    account: &str,
) -> Result<&'c mut std::collections::BTreeMap<FolderKey, StoredFolder>, SiteError> {
    let mailbox = contents.mailboxes.get_mut(account).ok_or_else(|| SiteError::NoAccount(account.to_owned()))?;
    Ok(&mut mailbox.folders)
}

fn put_record(contents: &mut Contents, change: &RecordChange) -> Result<(), Reason> {
    match change {
        RecordChange::Put { record, was } => {
            let key = (record.kind(), record.key().to_owned());
            if let Some(was) = was.as_ref().filter(|was| *was != record.key()) {
                if contents.records.contains_key(&key) && contents.records.contains_key(&(key.0, was.clone())) {
                    return Err(Reason::Refused(format!("{} is taken", record.key())));
                }
                contents.rename_record(record.kind(), was, record.clone());
            }
            contents.put(record.clone());
            if let Record::Account(account) = record {
                contents.folder(&account.address, &FolderKey::inbox());
            }
        }
        RecordChange::Remove { record } => {
            contents.records.remove(&(record.kind(), record.key().to_owned()));
            if record.kind() == RecordKind::Account {
                contents.mailboxes.remove(record.key());
            }
        }
    }
    Ok(())
}

/// Puts one item in; the UID it got, and whether that is another than the wanted one.
fn deliver_one(folder: &mut StoredFolder, delivery: Delivery, version: u64) -> (Option<NonZeroU32>, bool) {
    let highest = folder.items.values().filter_map(|item| item.uid).max();
    let next = folder.folder.uid_next.max(highest.and_then(|uid| uid.checked_add(1))).unwrap_or(NonZeroU32::MIN);
    let is_free = |uid: &NonZeroU32| folder.items.values().all(|item| item.uid != Some(*uid));
    let wanted = delivery.uid;
    let uid = wanted.filter(is_free).unwrap_or(next);
    folder.folder.uid_next = uid.checked_add(1).max(Some(next));
    let item = StoredItem {
        bytes: bytes_of(delivery.content),
        date: delivery.date,
        flags: delivery.flags,
        keywords: delivery.keywords,
        tags: delivery.tags,
        uid: Some(uid),
        uidl: delivery.uidl,
        version,
    };
    folder.items.insert(delivery.name, item);
    (Some(uid), wanted.is_some_and(|wanted| wanted != uid))
}

fn bytes_of(content: ItemContent) -> Vec<u8> {
    match content {
        ItemContent::Bytes(bytes) => bytes,
        ItemContent::Stream { write, .. } => {
            let mut bytes = Vec::new();
            // A stream that fails is cut where it failed; a target of files would refuse the item.
            drop(write(&mut bytes));
            bytes
        }
    }
}
