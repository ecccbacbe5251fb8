//! A target that is only rehearsed: it answers as the real one does, says yes to every change, and nothing of it is ever
//! written. So a dry run takes the very steps of a pass. It remembers what it was told of names (folders made and
//! renamed, accounts renamed), because later steps ask for them.

use crate::event::Reason;
use crate::model::id::SiteId;
use crate::model::mailbox::{Flags, Folder, FolderKey};
use crate::model::provisioning::Record;
use crate::model::setting::{Setting, SettingKey};
use crate::model::share::Grant;
use crate::site::{
    Capabilities, Content, Delivered, Delivery, Depth, FolderListing, FolderPut, FolderScan, FoundFolder, FoundItem,
    MailboxScan, Present, ProvisioningScan, RecordChange, SiteDescription, SiteError, Source, Target, UidsKept,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A target behind glass.
pub struct Rehearsal<'a> {
    real: &'a dyn Target,
    told: Mutex<Told>,
}

/// What the pass has told of names.
#[derive(Default)]
struct Told {
    /// Address after a rename -> the real one.
    accounts: BTreeMap<String, String>,
    /// By real address: folders that were made.
    made: BTreeMap<String, BTreeMap<FolderKey, Folder>>,
    /// By real address: renames, in their order.
    renamed: BTreeMap<String, Vec<(FolderKey, FolderKey)>>,
}

type Refusable<T> = Result<Result<T, Reason>, SiteError>;

impl<'a> Rehearsal<'a> {
    pub fn of(real: &'a dyn Target) -> Self {
        Self { real, told: Mutex::default() }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address that the real target knows.
    fn real_account(&self, account: &str) -> String {
        self.told().accounts.get(account).cloned().unwrap_or_else(|| account.to_owned())
    }

    /// Where a folder really is.
    fn real_key(&self, account: &str, key: &FolderKey) -> FolderKey {
        let told = self.told();
        let renames = told.renamed.get(account).into_iter().flatten().rev();
        renames.fold(key.clone(), |key, (from, to)| moved(&key, to, from).unwrap_or(key))
    }
}

/// A folder's place after `from`, which is the folder or above it, became `to`.
fn moved(key: &FolderKey, from: &FolderKey, to: &FolderKey) -> Option<FolderKey> {
    let rest = Some(key.path()).filter(|_| key.kind() == from.kind())?.strip_prefix(from.path())?;
    if !rest.is_empty() && !rest.starts_with('/') {
        return None;
    }
    FolderKey::new(key.kind(), &format!("{}{rest}", to.path())).ok()
}

/// An account that the pass would have made has an empty mailbox.
fn unless_missing<T>(outcome: Result<T, SiteError>, empty: T) -> Result<T, SiteError> {
    match outcome {
        Err(SiteError::NoAccount(_)) => Ok(empty),
        other => other,
    }
}

impl Source for Rehearsal<'_> {
    fn describe(&self) -> Result<SiteDescription, SiteError> {
        self.real.describe()
    }

    fn provisioning(&self) -> Result<ProvisioningScan, SiteError> {
        match self.real.provisioning() {
            // A folder that does not exist yet is a target, though no site.
            Err(SiteError::NotASite(_)) => Ok(ProvisioningScan::default()),
            other => other,
        }
    }

    fn mailbox(&self, account: &str) -> Result<MailboxScan, SiteError> {
        let account = self.real_account(account);
        let mut scan = unless_missing(self.real.mailbox(&account), MailboxScan::default())?;
        let told = self.told();
        for (from, to) in told.renamed.get(&account).into_iter().flatten() {
            for found in &mut scan.folders {
                found.key = moved(&found.key, from, to).unwrap_or_else(|| found.key.clone());
            }
        }
        let made = told.made.get(&account).into_iter().flat_map(BTreeMap::keys);
        let new = made.filter(|key| scan.folders.iter().all(|found| found.key != **key)).cloned();
        let new: Vec<_> = new.map(|key| FoundFolder { key, ident: None }).collect();
        scan.folders.extend(new);
        Ok(scan)
    }

    fn folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        let account = self.real_account(account);
        let real_key = self.real_key(&account, key);
        let scan = unless_missing(self.real.folder(&account, &real_key, mark, depth), FolderScan::Vanished)?;
        let made = || self.told().made.get(&account).and_then(|made| made.get(key)).cloned();
        Ok(match scan {
            FolderScan::Vanished => made().map_or(FolderScan::Vanished, |folder| {
                let (items, rejected, mark) = (Vec::new(), Vec::new(), Vec::new());
                FolderScan::Listed(Box::new(FolderListing { folder, items, rejected, mark }))
            }),
            found => found,
        })
    }

    fn read(&self, account: &str, key: &FolderKey, item: &FoundItem) -> Result<Content, SiteError> {
        let account = self.real_account(account);
        self.real.read(&account, &self.real_key(&account, key), item)
    }
}

impl Target for Rehearsal<'_> {
    fn capabilities(&self) -> Capabilities {
        self.real.capabilities()
    }

    fn prepare(&self, fallback: &SiteId) -> Result<SiteId, SiteError> {
        Ok(self.describe()?.id.unwrap_or_else(|| fallback.clone()))
    }

    fn put_records(&self, changes: &[RecordChange]) -> Result<Vec<Result<(), Reason>>, SiteError> {
        for change in changes {
            if let RecordChange::Put { record: Record::Account(account), was: Some(was) } = change {
                let real = self.real_account(was);
                self.told().accounts.insert(account.address.clone(), real);
            }
        }
        Ok(changes.iter().map(|_| Ok(())).collect())
    }

    fn put_folder(&self, account: &str, folder: &Folder) -> Refusable<FolderPut> {
        let account = self.real_account(account);
        self.told().made.entry(account).or_default().entry(folder.key.clone()).or_insert_with(|| folder.clone());
        Ok(Ok(FolderPut { key: folder.key.clone(), created: true }))
    }

    fn rename_folder(&self, account: &str, from: &FolderKey, to: &FolderKey) -> Refusable<()> {
        let account = self.real_account(account);
        self.told().renamed.entry(account).or_default().push((from.clone(), to.clone()));
        Ok(Ok(()))
    }

    fn remove_folder(&self, _: &str, _: &FolderKey) -> Refusable<()> {
        Ok(Ok(()))
    }

    fn put_grants(&self, _: &str, _: &FolderKey, _: &[Grant]) -> Refusable<()> {
        Ok(Ok(()))
    }

    fn put_setting(&self, _: &str, _: &Setting) -> Refusable<()> {
        Ok(Ok(()))
    }

    fn remove_setting(&self, _: &str, _: &SettingKey) -> Result<(), SiteError> {
        Ok(())
    }

    fn reserve_names(&self, _: &str, _: &FolderKey, wanted: &[String]) -> Result<Vec<String>, SiteError> {
        Ok(wanted.to_vec())
    }

    fn deliver(&self, _: &str, _: &FolderKey, batch: Vec<Delivery>) -> Result<(Vec<Delivered>, UidsKept), SiteError> {
        Ok((batch.iter().map(|_| Delivered::Done { uid: None }).collect(), UidsKept::Yes))
    }

    /// Looks through all folders itself: the real one would also complete what a crash left half done.
    fn settle(&self, account: &str, _: &FolderKey, names: &[String]) -> Result<Vec<Option<Present>>, SiteError> {
        let mut found: BTreeMap<String, Present> = BTreeMap::new();
        for folder in self.mailbox(account)?.folders {
            let FolderScan::Listed(listing) = self.folder(account, &folder.key, None, Depth::Marks)? else { continue };
            for item in listing.items {
                let (key, FoundItem { name, flags, keywords, .. }) = (folder.key.clone(), item);
                found.insert(name.clone(), Present { key, name, flags, keywords });
            }
        }
        Ok(names.iter().map(|name| found.remove(name)).collect())
    }

    fn set_flags(&self, _: &str, _: &FolderKey, _: &str, _: Flags, _: &[String]) -> Result<bool, SiteError> {
        Ok(true)
    }

    fn move_item(&self, _: &str, _: &FolderKey, _: &str, _: &FolderKey) -> Result<bool, SiteError> {
        Ok(true)
    }

    fn replace_item(&self, _: &str, _: &FolderKey, _: Delivery) -> Result<bool, SiteError> {
        Ok(true)
    }

    fn remove_item(&self, _: &str, _: &FolderKey, _: &str) -> Result<bool, SiteError> {
        Ok(true)
    }

    fn finish(&self) -> Result<(), SiteError> {
        Ok(())
    }

    fn state_dir(&self) -> PathBuf {
        self.real.state_dir()
    }
}
