//! Making folders of every kind, and saying what they have beside their files.

use super::super::mail_folder;
use super::super::site_db_write::{self as db, FolderColumns};
use super::place::{self, AccountPlace};
use super::records::{is_maildir, make_mailbox};
use super::{DirectoryTarget, file_items, mail_folders};
use crate::event::Reason;
use crate::model::mailbox::{Folder, FolderKey, FolderKind};
use crate::site::{FolderPut, SiteError};

impl DirectoryTarget {
    /// [`Target::put_folder`](crate::site::Target::put_folder).
    pub(super) fn make_folder(&self, account: &str, folder: &Folder) -> Result<Result<FolderPut, Reason>, SiteError> {
        let place = self.place(account)?;
        let key = match place::held(&folder.key) {
            Ok(key) => key,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut columns = FolderColumns {
            special_use: folder.special_use.map(Some),
            subscribed: folder.subscribed.then_some(true),
            title: folder.title.clone(),
            color: folder.color.clone(),
        };
        let created = match key.kind() {
            FolderKind::Mail => {
                if !is_maildir(&self.hand, &place.maildir())? {
                    make_mailbox(&self.hand, &place)?;
                }
                let usual = mail_folder::default_special_use(key.path());
                columns.special_use = (folder.special_use != usual).then_some(folder.special_use);
                columns.subscribed = None;
                self.put_mail_folder(&place, &key, folder)?
            }
            FolderKind::Filters => {
                let created = file_items::make(&self.hand, &place.sieve(), folder)?;
                if let Err(reason) = file_items::activate(&self.hand, &place, folder.active.as_deref())? {
                    return Ok(Err(reason));
                }
                created
            }
            kind => {
                if file_items::has_metadata_files(kind) {
                    (columns.title, columns.color) = (None, None);
                }
                file_items::make(&self.hand, &place.folder(&self.hand, &key)?, folder)?
            }
        };
        db::put_folder(self.db()?, account, &key, &columns).map_err(|error| self.db_error(error))?;
        Ok(Ok(FolderPut { created, lost: lost(folder), key }))
    }

    fn put_mail_folder(&self, place: &AccountPlace, key: &FolderKey, folder: &Folder) -> Result<bool, SiteError> {
        let made = mail_folders::make(&self.hand, place, key, folder)?;
        match made.foreign {
            Some(reason) => drop(self.foreign().insert(made.dir, reason)),
            None => drop(self.foreign().remove(&made.dir)),
        }
        if mail_folders::is_subscribed(&self.hand, place, key.path())? != folder.subscribed {
            mail_folders::subscribe(&self.hand, place, |paths| {
                if folder.subscribed {
                    paths.insert(key.path().to_owned())
                } else {
                    paths.remove(key.path())
                };
            })?;
        }
        Ok(made.created)
    }
}

/// What a folder should say of itself and a directory has no place for.
fn lost(folder: &Folder) -> Vec<String> {
    let described = folder.description.is_some() && !file_items::has_metadata_files(folder.key.kind());
    let has = [(described, "description"), (folder.comment.is_some(), "comment")];
    has.into_iter()
        .filter(|(has, _)| *has)
        .map(|(_, what)| format!("a directory has no place for its {what}"))
        .collect()
}
