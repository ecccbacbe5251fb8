//! The directory site as a [`Source`]: which module answers which call.

use super::{DirectorySite, Unreadable};
use crate::model::mailbox::{FolderKey, FolderKind};
use crate::model::text;
use crate::shelf::Scratch;
use crate::site::{
    Content, Depth, FolderListing, FolderScan, FoundItem, MailboxScan, ProvisioningScan, SiteDescription, SiteError,
    Source,
};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::PoisonError;

impl Source for DirectorySite {
    fn describe(&self) -> Result<SiteDescription, SiteError> {
        let locator = text::from_bytes(self.root.as_os_str().as_bytes());
        let (id, id_unseen) = match self.kept_site_id() {
            Ok(id) => (id, false),
            Err(_) if self.unreadable == Unreadable::Listed => (None, true), // the scan lists the cause
            Err(error) => return Err(error),
        };
        Ok(SiteDescription { scheme: "dir", locator, id, id_unseen })
    }

    fn keep_in(&self, scratch: &Scratch) {
        *self.scratch.lock().unwrap_or_else(PoisonError::into_inner) = scratch.clone();
    }

    fn follow_accounts(&self, renamed: Vec<(String, String)>) {
        self.note_renamed(renamed);
    }

    fn carry_beside(&self, account: &str, former: &FolderKey, listing: &mut FolderListing) -> Result<bool, SiteError> {
        let view = self.view(account, &self.maildir(account).unwrap_or_default())?;
        if view.fault_is_new
            && let Some(reason) = &view.fault
        {
            return Err(SiteError::Unsupported(reason.to_string()));
        }
        let own = view.row(&listing.folder.key);
        Ok(own.is_none() && view.row(former).is_some_and(|row| row.add_to(listing)))
    }

    fn provisioning(&self) -> Result<ProvisioningScan, SiteError> {
        self.scan_provisioning()
    }

    fn mailbox(&self, account: &str) -> Result<MailboxScan, SiteError> {
        self.scan_mailbox(account)
    }

    fn folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        match key.kind() {
            FolderKind::Mail => self.mail_folder(account, key, mark, depth),
            _ => self.collection(account, key, mark, depth),
        }
    }

    fn read(&self, _account: &str, key: &FolderKey, item: &FoundItem) -> Result<Content, SiteError> {
        Ok(self.read_item(key, item))
    }
}
