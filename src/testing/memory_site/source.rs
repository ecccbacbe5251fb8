//! The memory site as a source.

use super::MemorySite;
use crate::event::Reason;
use crate::model::mailbox::FolderKey;
use crate::site::{
    Content, Depth, FolderListing, FolderScan, FoundFolder, FoundItem, FoundRecord, MailboxScan, ProvisioningScan,
    Seen, SiteDescription, SiteError, Source,
};

impl Source for MemorySite {
    fn describe(&self) -> Result<SiteDescription, SiteError> {
        let locator = self.state_dir.display().to_string();
        Ok(SiteDescription { scheme: "memory", locator, id: self.contents().id.clone(), id_unseen: false })
    }

    fn provisioning(&self) -> Result<ProvisioningScan, SiteError> {
        let contents = self.contents();
        let found = contents.records.values().map(|stored| FoundRecord {
            record: stored.record.clone(),
            idents: vec![format!("number:{}", stored.ident)],
            idents_unseen: false,
            seen: Seen::Whole,
        });
        Ok(ProvisioningScan { records: found.collect(), ..ProvisioningScan::default() })
    }

    fn mailbox(&self, account: &str) -> Result<MailboxScan, SiteError> {
        let contents = self.contents();
        let mailbox = contents.mailboxes.get(account).ok_or_else(|| SiteError::NoAccount(account.to_owned()))?;
        let folders = mailbox
            .folders
            .iter()
            .map(|(key, folder)| FoundFolder { key: key.clone(), ident: Some(format!("number:{}", folder.ident)) });
        let settings = mailbox.settings.values().cloned().collect();
        Ok(MailboxScan { folders: folders.collect(), settings, ..MailboxScan::default() })
    }

    fn folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        let contents = self.contents();
        let Some(folder) = contents.mailboxes.get(account).and_then(|mailbox| mailbox.folders.get(key)) else {
            return Ok(FolderScan::Vanished);
        };
        let present = folder.version.to_be_bytes();
        if depth == Depth::Marks && mark == Some(present.as_slice()) {
            return Ok(FolderScan::Unchanged);
        }
        let items = folder.items.iter().map(|(name, item)| FoundItem {
            name: name.clone(),
            place: name.clone().into_bytes(),
            flags: item.flags,
            keywords: item.keywords.clone(),
            tags: item.tags.clone(),
            uid: item.uid,
            uidl: item.uidl.clone(),
            version: item.version,
        });
        let (folder, items) = (folder.folder.clone(), items.collect());
        let mark = present.to_vec();
        let listing = FolderListing {
            folder,
            items,
            rejected: Vec::new(),
            beside_unseen: false,
            subscription_unseen: false,
            mark,
        };
        Ok(FolderScan::Listed(Box::new(listing)))
    }

    fn read(&self, account: &str, key: &FolderKey, item: &FoundItem) -> Result<Content, SiteError> {
        if self.faults().unreadable.iter().any(|part| item.name.contains(part.as_str())) {
            return Ok(Content::Rejected(Reason::Unreadable("a bad sector".to_owned())));
        }
        let contents = self.contents();
        let folder = contents.mailboxes.get(account).and_then(|mailbox| mailbox.folders.get(key));
        Ok(match folder.and_then(|folder| folder.items.get(&item.name)) {
            Some(stored) => Content::Bytes { bytes: stored.bytes.clone(), date: stored.date },
            None => Content::Vanished,
        })
    }
}
