//! What became of intended deliveries of messages, wherever in the account a user has moved them since.

use super::super::maildir::{folder_dir, name};
use super::{DirectoryTarget, grants, listing, mail_items, uid_file};
use crate::model::mailbox::{FolderKey, FolderKind};
use crate::site::{Present, SiteError};
use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

impl DirectoryTarget {
    /// Where else than in `key` the account has mail.
    fn other_mail_folders(&self, maildir: &Path, key: &FolderKey) -> Result<Vec<(FolderKey, PathBuf)>, SiteError> {
        let mut found = Vec::new();
        for dir in grants::folders(&self.hand, maildir)? {
            let path = match dir.strip_prefix(maildir) {
                Ok(rest) if rest.as_os_str().is_empty() => "INBOX".to_owned(),
                Ok(rest) => folder_dir::parse(rest.as_os_str().as_bytes()),
                Err(_) => continue,
            };
            match FolderKey::new(FolderKind::Mail, &path) {
                Ok(other) if other != *key => found.push((other, dir)),
                _ => {}
            }
        }
        Ok(found)
    }

    /// Which of these messages are in the account, looked for in `key` first; those that have no UID get one where their
    /// folder gives any.
    pub(super) fn settle_mail(
        &self,
        account: &str,
        key: &FolderKey,
        names: &[String],
    ) -> Result<Vec<Option<Present>>, SiteError> {
        let place = self.place(account)?;
        let mut missing: HashSet<&str> = names.iter().map(String::as_str).collect();
        let mut found: HashMap<&str, Present> = HashMap::new();
        let first = (key.clone(), place.folder(&self.hand, key)?);
        let others = self.other_mail_folders(&place.maildir(), key)?;
        for (at, dir) in std::iter::once(first).chain(others) {
            if missing.is_empty() {
                break;
            }
            let messages = listing::list(&self.hand, &dir)?;
            let here: HashSet<&str> = missing.iter().copied().filter(|name| messages.contains_key(*name)).collect();
            if here.is_empty() {
                continue;
            }
            mail_items::complete_uids(&self.hand, &dir, &messages, &here)?;
            let keywords = uid_file::read_keywords(&self.hand, &dir)?;
            for item in here {
                let Some(file) = messages.get(item) else { continue };
                let parsed = name::parse(file.bytes());
                missing.remove(item);
                found.insert(
                    item,
                    Present {
                        key: at.clone(),
                        name: item.to_owned(),
                        flags: parsed.flags,
                        keywords: keywords.of(parsed.keywords),
                    },
                );
            }
        }
        Ok(names.iter().map(|name| found.get(name.as_str()).cloned()).collect())
    }
}
