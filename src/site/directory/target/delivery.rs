//! Delivering batches for several folders of an account at once.
//!
//! Promises: whatever is `Done` is durable, and nobody has seen any of it before its content was. All files of all
//! folders are written first and made durable together, then every folder gets its own, then their names are made
//! durable together: the disk is waited for twice, however many folders and messages there are.

use super::hand::Sync;
use super::listing::Messages;
use super::{DirectoryTarget, file_items, mail_delivery};
use crate::event::Reason;
use crate::limits::SYNC_ONE_BY_ONE;
use crate::model::mailbox::{FolderKey, FolderKind};
use crate::site::directory::site_db_labels as labels;
use crate::site::{Batch, Delivered, Delivery, SiteError, UidsKept};
use std::path::PathBuf;

/// A folder of the call, looked up.
struct Folder {
    /// `None`: there is no such folder.
    dir: Option<PathBuf>,
    /// Why its UIDVALIDITY is not the source's.
    foreign: Option<String>,
    present: Messages,
}

enum Staged<'a> {
    NoFolder,
    Mail(Box<mail_delivery::Waiting<'a>>),
    Files(Vec<Result<super::hand::Temporary<'a>, Reason>>),
}

impl DirectoryTarget {
    /// [`Target::deliver_all`](crate::site::Target::deliver_all).
    pub(super) fn deliver_batches(
        &self,
        account: &str,
        batches: &[Batch],
    ) -> Result<Vec<(Vec<Delivered>, UidsKept)>, SiteError> {
        let folders: Vec<_> = batches.iter().map(|batch| self.look_up(account, batch)).collect::<Result<_, _>>()?;
        // A few messages for a site that is served must not make all that others have written durable first.
        let few = batches.iter().map(|batch| batch.items.len()).sum::<usize>() <= SYNC_ONE_BY_ONE;
        let sync = if few { Sync::Content } else { Sync::Nothing };
        let mut staged = Vec::with_capacity(batches.len());
        for (batch, folder) in batches.iter().zip(&folders) {
            staged.push(self.stage(batch, folder, sync)?);
        }
        if !few {
            self.sync_folders(&folders)?;
        }
        let mut outcomes = Vec::with_capacity(batches.len());
        for (staged, batch) in staged.into_iter().zip(batches) {
            outcomes.push(match staged {
                Staged::NoFolder => {
                    let gone = Delivered::Rejected(Reason::Refused(format!("there is no folder {}", batch.key)));
                    (vec![gone; batch.items.len()], UidsKept::Yes, Vec::new())
                }
                Staged::Mail(waiting) => {
                    let outcome = waiting.publish()?;
                    (outcome.delivered, outcome.uids, outcome.surplus)
                }
                Staged::Files(drafts) => (file_items::publish(drafts)?, UidsKept::Yes, Vec::new()),
            });
        }
        if few {
            for (batch, dir) in batches.iter().zip(&folders).filter_map(|(batch, at)| Some((batch, at.dir.as_ref()?))) {
                self.hand.sync_dir(dir)?;
                if batch.key.kind() == FolderKind::Mail {
                    self.hand.sync_dir(&dir.join("cur"))?;
                }
            }
        } else {
            self.sync_folders(&folders)?;
        }
        let place = self.place(account)?;
        for ((batch, folder), (delivered, _, surplus)) in batches.iter().zip(&folders).zip(&outcomes) {
            if let Some(dir) = &folder.dir {
                self.names.delivered(&place, &batch.key, dir, &batch.items);
                self.label(account, &batch.key, &batch.items, delivered, surplus)?;
            }
        }
        Ok(outcomes.into_iter().map(|(delivered, uids, _)| (delivered, uids)).collect())
    }

    fn look_up(&self, account: &str, batch: &Batch) -> Result<Folder, SiteError> {
        let place = self.place(account)?;
        let dir = place.folder(&self.hand, &batch.key)?;
        if !self.is_folder(&batch.key, &dir)? {
            return Ok(Folder { dir: None, foreign: None, present: Messages::new() });
        }
        if batch.key.kind() != FolderKind::Mail {
            return Ok(Folder { dir: Some(dir), foreign: None, present: Messages::new() });
        }
        // Some programs leave a Maildir without it.
        self.hand.make_dir(&dir.join("tmp"), 0o700)?;
        let present = self.names.present(&self.hand, &place, &batch.key, &batch.items)?;
        let foreign = self.foreign().get(&dir).cloned();
        Ok(Folder { dir: Some(dir), foreign, present })
    }

    fn stage<'a>(&'a self, batch: &'a Batch, folder: &'a Folder, sync: Sync) -> Result<Staged<'a>, SiteError> {
        let Some(dir) = &folder.dir else { return Ok(Staged::NoFolder) };
        let (hand, items) = (&self.hand, &batch.items);
        Ok(match batch.key.kind() {
            FolderKind::Mail => {
                let foreign = folder.foreign.as_deref();
                Staged::Mail(Box::new(mail_delivery::stage_batch(hand, dir, foreign, items, &folder.present, sync)?))
            }
            kind => Staged::Files(file_items::stage_batch(hand, dir, kind, items, sync)?),
        })
    }

    fn sync_folders(&self, folders: &[Folder]) -> Result<(), SiteError> {
        self.hand.sync_sites(folders.iter().filter_map(|folder| folder.dir.as_deref()))
    }

    /// Writes down what the files of a batch cannot hold: tags, and keywords that found no letter.
    pub(super) fn label(
        &self,
        account: &str,
        key: &FolderKey,
        batch: &[Delivery],
        delivered: &[Delivered],
        surplus: &[(String, String)],
    ) -> Result<(), SiteError> {
        let done = batch.iter().zip(delivered).filter(|(_, outcome)| matches!(outcome, Delivered::Done { .. }));
        let labels = |delivery: &Delivery| {
            let mut labels: Vec<(&'static str, String)> =
                delivery.tags.iter().map(|tag| ("tag", tag.clone())).collect();
            if key.kind() != FolderKind::Mail {
                labels.extend(delivery.keywords.iter().map(|keyword| ("keyword", keyword.clone())));
            }
            let own = surplus.iter().filter(|(name, _)| *name == delivery.name);
            labels.extend(own.map(|(_, keyword)| ("keyword", keyword.clone())));
            labels
        };
        let items: Vec<(&str, Vec<_>)> = done.map(|(delivery, _)| (delivery.name.as_str(), labels(delivery))).collect();
        labels::put_labels(self.db()?, account, key, &["tag", "keyword"], &items).map_err(|error| self.db_error(error))
    }
}
