//! A target that is only rehearsed: it answers as the real one does and says yes to every change, and nothing of it is
//! ever written. So a dry run takes the very steps of a pass. What the pass would have made or renamed by then is
//! remembered, so that later steps find it.

use super::folders::key_below;
use crate::event::Reason;
use crate::model::id::SiteId;
use crate::model::mailbox::{Flags, Folder, FolderKey, FolderKind};
use crate::model::setting::{Setting, SettingKey};
use crate::model::share::Grant;
use crate::shelf::Scratch;
use crate::site::{
    Capabilities, Content, Delivered, Delivery, Depth, FolderListing, FolderPut, FolderScan, FoundFolder, FoundItem,
    FoundItems, LineEnds, MailboxScan, Present, ProvisioningScan, RecordChange, SiteDescription, SiteError, Source,
    Target, UidsKept,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A target behind glass.
pub struct Rehearsal<'a> {
    real: &'a dyn Target,
    feigned: Mutex<Feigned>,
}

/// What the pass believes to have done.
#[derive(Default)]
struct Feigned {
    /// The real address of each account that was renamed.
    accounts: BTreeMap<String, String>,
    /// By account, folders that were renamed, oldest first: from where to where.
    renames: BTreeMap<String, Vec<(FolderKey, FolderKey)>>,
    made: BTreeMap<(String, FolderKey), Folder>,
    /// Folders and items that were removed, by account and where they really lie.
    folders_gone: BTreeSet<(String, FolderKey)>,
    items_gone: BTreeSet<(String, FolderKey, String)>,
    /// What the target says it would write for the records, in its own language, where it can tell.
    planned: Option<String>,
}

impl Feigned {
    fn account<'k>(&'k self, account: &'k str) -> &'k str {
        self.accounts.get(account).map_or(account, String::as_str)
    }

    /// Where a folder that really lies at `key` would be.
    fn renamed(&self, account: &str, key: &FolderKey) -> FolderKey {
        let renames = self.renames.get(account).into_iter().flatten();
        renames.fold(key.clone(), |key, (from, to)| match key == *from {
            true => to.clone(),
            false => key_below(&key, from, to).unwrap_or(key),
        })
    }

    /// Where the folder really lies.
    fn key(&self, account: &str, key: &FolderKey) -> FolderKey {
        let renames = self.renames.get(account).into_iter().flatten().rev();
        renames.fold(key.clone(), |key, (from, to)| match key == *to {
            true => from.clone(),
            false => key_below(&key, to, from).unwrap_or(key),
        })
    }
}

type Refusable<T> = Result<Result<T, Reason>, SiteError>;

impl<'a> Rehearsal<'a> {
    pub fn of(real: &'a dyn Target) -> Self {
        Self { real, feigned: Mutex::default() }
    }

    /// The changes to records in the target's own language (LDIF), where it can tell; with all secrets in them.
    pub fn planned(&self) -> Option<String> {
        self.feigned().planned.clone()
    }

    fn feigned(&self) -> MutexGuard<'_, Feigned> {
        self.feigned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn empty(folder: Folder) -> FolderScan {
    let listing = FolderListing {
        folder,
        items: FoundItems::default(),
        rejected: Vec::new(),
        beside_unseen: false,
        subscription_unseen: false,
        mark: Vec::new(),
    };
    FolderScan::Listed(Box::new(listing))
}

/// An account that the pass would have made has an empty mailbox.
fn unless_missing<T>(outcome: Result<T, SiteError>, empty: T) -> Result<T, SiteError> {
    match outcome {
        Err(SiteError::NoAccount(_)) => Ok(empty),
        other => other,
    }
}

impl Source for Rehearsal<'_> {
    fn keep_in(&self, scratch: &Scratch) {
        self.real.keep_in(scratch);
    }

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
        let real = self.feigned().account(account).to_owned();
        let mut scan = unless_missing(self.real.mailbox(&real), MailboxScan::default())?;
        let feigned = self.feigned();
        scan.folders.retain(|found| !feigned.folders_gone.contains(&(real.clone(), found.key.clone())));
        scan.folders.iter_mut().for_each(|found| found.key = feigned.renamed(account, &found.key));
        let made = feigned.made.keys().filter(|(of, _)| of == account).map(|(_, key)| key.clone());
        let known: BTreeSet<FolderKey> = scan.folders.iter().map(|found| found.key.clone()).collect();
        scan.folders.extend(made.filter(|key| !known.contains(key)).map(|key| FoundFolder { key, ident: None }));
        scan.folders.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(scan)
    }

    fn folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        let (real, there, made) = {
            let feigned = self.feigned();
            let made = feigned.made.get(&(account.to_owned(), key.clone())).cloned();
            (feigned.account(account).to_owned(), feigned.key(account, key), made)
        };
        match (unless_missing(self.real.folder(&real, &there, mark, depth), FolderScan::Vanished)?, made) {
            (FolderScan::Vanished, Some(made)) => Ok(empty(made)),
            (FolderScan::Listed(mut listing), _) => {
                let gone = &self.feigned().items_gone;
                let stays = |item: &FoundItem| !gone.contains(&(real.clone(), there.clone(), item.name.clone()));
                if !gone.is_empty() {
                    listing.items = listing.items.iter().filter(stays).collect();
                }
                Ok(FolderScan::Listed(listing))
            }
            (scan, _) => Ok(scan),
        }
    }

    fn read(&self, account: &str, key: &FolderKey, item: &FoundItem) -> Result<Content, SiteError> {
        self.real.read(account, key, item)
    }
}

impl Target for Rehearsal<'_> {
    fn capabilities(&self) -> Capabilities {
        self.real.capabilities()
    }

    fn line_ends(&self, kind: FolderKind) -> LineEnds {
        self.real.line_ends(kind)
    }

    fn prepare(&self, fallback: &SiteId) -> Result<SiteId, SiteError> {
        Ok(self.describe()?.id.unwrap_or_else(|| fallback.clone()))
    }

    fn put_records(&self, changes: &[RecordChange]) -> Result<Vec<Result<(), Reason>>, SiteError> {
        let plan = self.real.plan_records(changes)?;
        let mut feigned = self.feigned();
        for change in changes {
            if let RecordChange::Put { record, was: Some(was) } = change {
                let real = feigned.account(was).to_owned();
                feigned.accounts.insert(record.key().to_owned(), real);
            }
        }
        Ok(match plan {
            Some(plan) => {
                feigned.planned.get_or_insert_default().push_str(&plan.text);
                plan.outcomes
            }
            None => changes.iter().map(|_| Ok(())).collect(),
        })
    }

    fn put_folder(&self, account: &str, folder: &Folder) -> Refusable<FolderPut> {
        self.feigned().made.insert((account.to_owned(), folder.key.clone()), folder.clone());
        Ok(Ok(FolderPut { key: folder.key.clone(), created: true, lost: Vec::new() }))
    }

    fn rename_folder(&self, account: &str, from: &FolderKey, to: &FolderKey) -> Refusable<()> {
        self.feigned().renames.entry(account.to_owned()).or_default().push((from.clone(), to.clone()));
        Ok(Ok(()))
    }

    fn remove_folder(&self, account: &str, key: &FolderKey) -> Refusable<()> {
        let mut feigned = self.feigned();
        let gone = (feigned.account(account).to_owned(), feigned.key(account, key));
        feigned.folders_gone.insert(gone);
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
            for item in listing.items.iter() {
                let (key, FoundItem { name, flags, keywords, .. }) = (folder.key.clone(), item);
                found.insert(name.clone(), Present { key, name, flags, keywords });
            }
        }
        Ok(names.iter().map(|name| found.remove(name)).collect())
    }

    fn unfit_keywords(&self, kind: FolderKind, keywords: &[String]) -> Vec<String> {
        self.real.unfit_keywords(kind, keywords)
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

    fn remove_item(&self, account: &str, key: &FolderKey, name: &str) -> Result<bool, SiteError> {
        let mut feigned = self.feigned();
        let gone = (feigned.account(account).to_owned(), feigned.key(account, key), name.to_owned());
        feigned.items_gone.insert(gone);
        Ok(true)
    }

    fn finish(&self) -> Result<(), SiteError> {
        Ok(())
    }

    fn state_dir(&self) -> PathBuf {
        self.real.state_dir()
    }
}
