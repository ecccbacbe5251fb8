//! A mail site in memory: source and target, complete in what it holds, and breakable on purpose.
//!
//! Promises the contract of [`Source`] and [`Target`] and nothing more, so stories about import and export need no
//! files; and it is the example from which a new connector is written. [`MemorySite::edit`] is what a user of the site
//! does between two passes. [`MemorySite::fail_at`] makes the n-th write fail halfway, and all that follow, as when the
//! process is killed.
//!
//! [`Source`]: crate::site::Source
//! [`Target`]: crate::site::Target

mod source;
mod target;

use crate::model::id::SiteId;
use crate::model::mailbox::{Flags, Folder, FolderKey};
use crate::model::provisioning::{Account, AccountClass, AccountStatus, Attributes, Record, RecordKind, Secret};
use crate::model::setting::{Setting, SettingKey};
use crate::site::SiteError;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The site. Every call locks it as a whole.
pub struct MemorySite {
    state_dir: PathBuf,
    contents: Mutex<Contents>,
    faults: Mutex<Faults>,
}

/// All that the site holds.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    pub id: Option<SiteId>,
    pub records: BTreeMap<(RecordKind, String), StoredRecord>,
    pub mailboxes: BTreeMap<String, Mailbox>,
    /// Numbers for idents, names and versions; each is given once.
    pub last_number: u64,
}

/// A record with the number that stays its own through every rename.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRecord {
    pub ident: u64,
    pub record: Record,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mailbox {
    pub folders: BTreeMap<FolderKey, StoredFolder>,
    pub settings: BTreeMap<SettingKey, Setting>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredFolder {
    pub ident: u64,
    /// Changes with everything in the folder; it is the scan mark.
    pub version: u64,
    pub folder: Folder,
    pub items: BTreeMap<String, StoredItem>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoredItem {
    pub bytes: Vec<u8>,
    pub date: i64,
    pub flags: Flags,
    pub keywords: Vec<String>,
    pub tags: Vec<String>,
    pub uid: Option<NonZeroU32>,
    pub uidl: Option<String>,
    /// Changes with the bytes.
    pub version: u64,
}

#[derive(Default)]
struct Faults {
    /// Writes until one fails.
    left: Option<u64>,
    /// Items that the target refuses, by a part of their name.
    refused: BTreeSet<String>,
    /// Items that nobody can read, by a part of their name.
    unreadable: BTreeSet<String>,
}

impl MemorySite {
    /// An empty site; what import keeps beside it goes to `state_dir`.
    pub fn new(state_dir: &Path) -> Self {
        Self { state_dir: state_dir.to_owned(), contents: Mutex::default(), faults: Mutex::default() }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does to the site what its users and administrators do.
    pub fn edit<T>(&self, edit: impl FnOnce(&mut Contents) -> T) -> T {
        edit(&mut self.contents())
    }

    /// The `writes`-th write from now on fails halfway, and so does every later one; `None` ends that.
    pub fn fail_at(&self, writes: Option<u64>) {
        self.faults().left = writes;
    }

    /// Refuses every delivery of an item whose name contains `part`.
    pub fn refuse(&self, part: &str) {
        self.faults().refused.insert(part.to_owned());
    }

    /// Refuses nothing any more.
    pub fn refuse_nothing(&self) {
        self.faults().refused.clear();
    }

    /// Gives no item whose name contains `part`, as a disk with a bad sector.
    pub fn lose_sight_of(&self, part: &str) {
        self.faults().unreadable.insert(part.to_owned());
    }

    /// Gives all items again.
    pub fn see_all(&self) {
        self.faults().unreadable.clear();
    }

    /// Counts one write; an error when it is the one to fail, or later.
    fn count_write(&self) -> Result<(), SiteError> {
        match &mut self.faults().left {
            None => Ok(()),
            Some(0) => Err(SiteError::Io {
                action: "write",
                path: self.state_dir.clone(),
                source: io::Error::from(io::ErrorKind::StorageFull),
            }),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

impl Contents {
    /// A number that nothing has had.
    pub fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Makes a record, or sets it.
    pub fn put(&mut self, record: Record) {
        let key = (record.kind(), record.key().to_owned());
        let ident = match self.records.get(&key) {
            Some(known) => known.ident,
            None => self.number(),
        };
        if let Record::Account(account) = &record {
            self.mailboxes.entry(account.address.clone()).or_default();
        }
        self.records.insert(key, StoredRecord { ident, record });
    }

    /// Makes an account of which only address and password are known.
    pub fn put_account(&mut self, address: &str, password: &str) {
        self.put(Record::Account(Account {
            address: address.to_owned(),
            class: AccountClass::User,
            name: None,
            password: Some(Secret::new(password)),
            quota_bytes: None,
            status: AccountStatus::Active,
            cos: None,
            groups: Vec::new(),
            attributes: Attributes::new(),
        }));
    }

    /// Gives a record another key; an account's mailbox moves along. Whether there was one.
    pub fn rename_record(&mut self, kind: RecordKind, from: &str, record: Record) -> bool {
        let Some(known) = self.records.remove(&(kind, from.to_owned())) else { return false };
        if kind == RecordKind::Account
            && let Some(mailbox) = self.mailboxes.remove(from)
        {
            self.mailboxes.insert(record.key().to_owned(), mailbox);
        }
        self.records.insert((kind, record.key().to_owned()), StoredRecord { ident: known.ident, record });
        true
    }

    /// The folder, made if it is not there.
    pub fn folder(&mut self, account: &str, key: &FolderKey) -> &mut StoredFolder {
        let (ident, version) = (self.number(), self.number());
        let mailbox = self.mailboxes.entry(account.to_owned()).or_default();
        let folder = mailbox.folders.entry(key.clone()).or_insert_with(|| StoredFolder {
            ident,
            version,
            folder: Folder::at(key.clone()),
            items: BTreeMap::new(),
        });
        folder.version = version;
        folder
    }

    /// Puts an item into a folder, or other bytes into one that is there.
    pub fn put_item(&mut self, account: &str, key: &FolderKey, name: &str, bytes: &[u8], date: i64) -> &mut StoredItem {
        let version = self.number();
        let folder = self.folder(account, key);
        let highest = folder.items.values().filter_map(|item| item.uid).max();
        let next = folder.folder.uid_next.max(highest.and_then(|uid| uid.checked_add(1))).unwrap_or(NonZeroU32::MIN);
        let item = folder
            .items
            .entry(name.to_owned())
            .or_insert_with(|| StoredItem { uid: Some(next), ..StoredItem::default() });
        (item.bytes, item.date, item.version) = (bytes.to_vec(), date, version);
        folder.folder.uid_next = next.checked_add(1);
        item
    }

    /// The folder in which an item lies.
    pub fn place_of(&self, account: &str, name: &str) -> Option<FolderKey> {
        let mailbox = self.mailboxes.get(account)?;
        mailbox.folders.iter().find(|(_, folder)| folder.items.contains_key(name)).map(|(key, _)| key.clone())
    }

    /// An item wherever it is, to be changed.
    pub fn item(&mut self, account: &str, name: &str) -> Option<&mut StoredItem> {
        let key = self.place_of(account, name)?;
        self.folder(account, &key).items.get_mut(name)
    }

    /// Moves an item within its account. Whether it was there.
    pub fn move_item(&mut self, account: &str, name: &str, to: &FolderKey) -> bool {
        let Some(item) = self.remove_item(account, name) else { return false };
        self.folder(account, to).items.insert(name.to_owned(), item);
        true
    }

    /// Takes an item away.
    pub fn remove_item(&mut self, account: &str, name: &str) -> Option<StoredItem> {
        let key = self.place_of(account, name)?;
        self.folder(account, &key).items.remove(name)
    }

    /// Renames a folder with everything below it. Whether it was there.
    pub fn rename_folder(&mut self, account: &str, from: &FolderKey, to: &FolderKey) -> bool {
        let Some(mailbox) = self.mailboxes.get_mut(account) else { return false };
        if !mailbox.folders.contains_key(from) {
            return false;
        }
        let below = format!("{}/", from.path());
        let moved = |key: &FolderKey| -> Option<FolderKey> {
            let rest = key.path().strip_prefix(&below).filter(|_| key.kind() == from.kind())?;
            FolderKey::new(key.kind(), &format!("{}/{rest}", to.path())).ok()
        };
        let folders = std::mem::take(&mut mailbox.folders);
        for (key, mut folder) in folders {
            let key = if key == *from { to.clone() } else { moved(&key).unwrap_or(key) };
            folder.folder.key = key.clone();
            folder.version += 1;
            mailbox.folders.insert(key, folder);
        }
        self.last_number += 1;
        true
    }

    /// An account's folders and items as a person would list them: name, flags, keywords.
    pub fn tree(&self, account: &str) -> String {
        let mut text = String::new();
        for (key, folder) in self.mailboxes.get(account).into_iter().flat_map(|mailbox| &mailbox.folders) {
            text.push_str(&format!("{key}\n"));
            for (name, item) in &folder.items {
                let words = [name.clone(), item.flags.to_string()].into_iter().chain(item.keywords.iter().cloned());
                let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
                text.push_str(&format!("  {}\n", words.join("  ")));
            }
        }
        text
    }
}
