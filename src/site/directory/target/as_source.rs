//! A target can be read like any site; what it holds, it can tell.

use super::DirectoryTarget;
use crate::model::mailbox::FolderKey;
use crate::shelf::Scratch;
use crate::site::{
    Content, Depth, FolderScan, FoundItem, MailboxScan, ProvisioningScan, SiteDescription, SiteError, Source,
};

impl Source for DirectoryTarget {
    fn keep_in(&self, scratch: &Scratch) {
        self.site.keep_in(scratch);
    }

    fn describe(&self) -> Result<SiteDescription, SiteError> {
        self.site.describe()
    }

    fn provisioning(&self) -> Result<ProvisioningScan, SiteError> {
        self.site.provisioning()
    }

    fn mailbox(&self, account: &str) -> Result<MailboxScan, SiteError> {
        self.site.mailbox(account)
    }

    fn folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        self.site.folder(account, key, mark, depth)
    }

    fn read(&self, account: &str, key: &FolderKey, item: &FoundItem) -> Result<Content, SiteError> {
        self.site.read(account, key, item)
    }
}
