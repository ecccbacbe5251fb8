//! A target that is only rehearsed: it answers as the real one does and says yes to every change, and nothing of it is
//! ever written. So a dry run takes the very steps of a pass.

use crate::event::Reason;
use crate::model::id::SiteId;
use crate::model::mailbox::{Flags, Folder, FolderKey};
use crate::model::setting::{Setting, SettingKey};
use crate::model::share::Grant;
use crate::site::{
    Capabilities, Content, Delivered, Delivery, Depth, FolderPut, FolderScan, FoundItem, MailboxScan, Present,
    ProvisioningScan, RecordChange, SiteDescription, SiteError, Source, Target, UidsKept,
};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A target behind glass.
pub struct Rehearsal<'a> {
    real: &'a dyn Target,
}

type Refusable<T> = Result<Result<T, Reason>, SiteError>;

impl<'a> Rehearsal<'a> {
    pub fn of(real: &'a dyn Target) -> Self {
        Self { real }
    }
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
        unless_missing(self.real.mailbox(account), MailboxScan::default())
    }

    fn folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        unless_missing(self.real.folder(account, key, mark, depth), FolderScan::Vanished)
    }

    fn read(&self, account: &str, key: &FolderKey, item: &FoundItem) -> Result<Content, SiteError> {
        self.real.read(account, key, item)
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
        Ok(changes.iter().map(|_| Ok(())).collect())
    }

    fn put_folder(&self, _: &str, folder: &Folder) -> Refusable<FolderPut> {
        Ok(Ok(FolderPut { key: folder.key.clone(), created: true }))
    }

    fn rename_folder(&self, _: &str, _: &FolderKey, _: &FolderKey) -> Refusable<()> {
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
