//! A store as a source: looking at accounts and folders through the state, reading messages.

use super::ahead::{Got, Place};
use super::listing::{self, Listing};
use super::look::{self, Opening};
use super::pieces::Pieces;
use super::state::{FolderRow, MessageRow};
use super::{ImapStore, Seen, pool};
use crate::event::Reason;
use crate::limits;
use crate::model::mailbox::{Folder, FolderKey, FolderKind};
use crate::model::setting::Setting;
use crate::site::{
    Content, Depth, FolderListing, FolderScan, FoundFolder, FoundItem, FoundItems, MailboxScan, SiteError,
};
use std::io::Read as _;
use std::num::NonZeroU32;
use std::sync::{Arc, MutexGuard, PoisonError};

impl ImapStore {
    pub(super) fn look_at_account(&self, account: &str) -> Result<MailboxScan, SiteError> {
        let seen = self.seen(account);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let listing = self.refresh(account, &mut seen)?;
        let folders = listing
            .folders
            .iter()
            .map(|(key, folder)| FoundFolder { key: key.clone(), ident: folder.about.guid.clone() });
        let settings = listing.only_subscribed.iter().map(|path| Setting::Subscription { path: path.clone() });
        Ok(MailboxScan {
            folders: folders.collect(),
            settings: settings.collect(),
            rejected: listing.rejected,
            settings_unseen: listing.subscriptions_unseen,
        })
    }

    /// Brings the state of the whole account up to date.
    pub(super) fn refresh(&self, account: &str, seen: &mut MutexGuard<'_, Seen>) -> Result<Listing, SiteError> {
        let id = self.state.account(account)?;
        let listing = pool::patiently(|| {
            let known = self.state.folders(id)?;
            let mut lease = self.lease(account)?;
            let listing = listing::list(&mut lease, account, &known)?;
            seen.fresh.clear();
            for folder in &known {
                let is_here = |key: &FolderKey| listing.folders.contains_key(key);
                let key = FolderKey::new(FolderKind::Mail, &folder.path);
                if !key.as_ref().is_ok_and(is_here) && !is_rejected(&listing, folder) {
                    self.state.remove_folder(id, folder.id)?;
                }
            }
            for (key, folder) in &listing.folders {
                let number = match known.iter().find(|row| row.path == key.path() && row.wire == folder.wire) {
                    Some(row) => row.id,
                    None => self.state.add_folder(id, key.path(), &folder.wire)?,
                };
                self.state.set_about(number, &folder.about)?;
                let Some(row) = self.state.folder(id, key.path())? else { continue };
                let same = match &folder.status {
                    Some(status) => look::is_as_before(&self.state, &row, status)?,
                    None => false,
                };
                // A folder that cannot be opened says so when somebody asks for it.
                if same || look::look(&mut lease, &self.state, id, &row, Opening::ToRead)?.is_ok() {
                    seen.fresh.insert(key.path().to_owned());
                }
            }
            Ok(listing)
        })?;
        self.settle_intents(account, id)?;
        self.state.give_names(id, true)?;
        seen.spelling = Some(listing.spelling.clone());
        Ok(listing)
    }

    /// The present row of a folder, looked at just now unless it was since somebody last asked. `None`: there is none.
    pub(super) fn present(
        &self,
        account: &str,
        key: &FolderKey,
        seen: &mut MutexGuard<'_, Seen>,
        opening: Opening,
    ) -> Result<Option<FolderRow>, SiteError> {
        let id = self.state.account(account)?;
        if seen.fresh.remove(key.path()) {
            return self.state.folder(id, key.path());
        }
        let Some(row) = self.state.folder(id, key.path())? else {
            self.refresh(account, seen)?;
            seen.fresh.remove(key.path());
            return self.state.folder(id, key.path());
        };
        let looked = pool::patiently(|| look::look(&mut *self.lease(account)?, &self.state, id, &row, opening))?;
        if let Err(said) = looked {
            let listing = self.refresh(account, seen)?;
            if !listing.folders.contains_key(key) {
                return Ok(None);
            }
            let what = format!("does not open the folder {key} of {account}: {said}");
            return Err(SiteError::Server { server: self.pool.server(), what });
        }
        self.settle_intents(account, id)?;
        self.state.give_names(id, false)?;
        self.state.folder(id, key.path())
    }

    pub(super) fn look_at_folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        let seen = self.seen(account);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(row) = self.present(account, key, &mut seen, Opening::ToRead)? else {
            return Ok(FolderScan::Vanished);
        };
        let now = self.mark(&row);
        if depth == Depth::Marks && mark == Some(now.as_slice()) {
            return Ok(FolderScan::Unchanged);
        }
        let before = mark.and_then(|mark| seen_before(mark, &now));
        let (mut items, mut order) = (FoundItems::new(&self.scratch()), Vec::new());
        let all = self.state.each_message(row.id, |message| {
            // What the reader will probably be asked for: what came since the mark, or everything.
            if before.is_none_or(|before| message.uid >= before) {
                order.push((message.uid, u32::try_from(message.size).unwrap_or(u32::MAX)));
            }
            items.push(&found_item(&row, message));
        })?;
        if !all {
            let bound = limits::IMAP_KEYWORD_BYTES;
            let what = format!(
                "has messages in {key} of {account} with more than {bound} bytes of keywords; the folder was not listed. \
                 Remove keywords there that nobody needs, and run the pass again"
            );
            return Err(SiteError::Server { server: self.pool.server(), what });
        }
        if !order.is_empty() {
            self.readers.plan(account, &row.wire, row.uid_validity, order);
        }
        let folder = Folder {
            special_use: row.about.special_use,
            subscribed: row.about.subscribed,
            uid_validity: NonZeroU32::new(row.uid_validity),
            uid_next: NonZeroU32::new(row.uid_next),
            guid: row.about.guid.clone(),
            grants: row.about.grants.clone(),
            description: row.about.description.clone(),
            comment: row.about.comment.clone(),
            ..Folder::at(key.clone())
        };
        let (beside_unseen, subscription_unseen) = (false, false);
        Ok(FolderScan::Listed(Box::new(FolderListing {
            folder,
            items,
            rejected: Vec::new(),
            beside_unseen,
            subscription_unseen,
            mark: now,
        })))
    }

    /// The state's id, the folder's number in it, its count of changes; then what the reader may guess by.
    fn mark(&self, row: &FolderRow) -> Vec<u8> {
        let mut mark = self.state.id().to_vec();
        mark.extend(row.id.to_be_bytes());
        mark.extend(row.changed.to_be_bytes());
        mark.extend(row.uid_validity.to_be_bytes());
        mark.extend(row.uid_next.to_be_bytes());
        mark
    }

    pub(super) fn read_message(&self, account: &str, item: &FoundItem) -> Result<Content, SiteError> {
        let Some(place) = Place::parse(&item.place) else { return Ok(Content::Vanished) };
        let date = place.date;
        let (pool, readers) = (Arc::clone(&self.pool), Arc::clone(&self.readers));
        let long = |place: Place| {
            let account = account.to_owned();
            move || Pieces::new(Arc::clone(&pool), Arc::clone(&readers), account.clone(), place.clone())
        };
        if place.size > limits::WHOLE_ITEM_BYTES {
            let size = place.size;
            let open = long(place);
            return Ok(Content::Large { size, date, open: Box::new(move || Ok(Box::new(open()))) });
        }
        match self.readers.read(&self.pool, account, &place)? {
            Got::Bytes(bytes) => Ok(Content::Bytes { bytes, date }),
            Got::Vanished => Ok(Content::Vanished),
            Got::Refused(why) => Ok(Content::Rejected(Reason::Unreadable(why))),
            Got::Begun(beginning) => {
                drop(beginning);
                let open = long(place);
                let mut bytes = Vec::new();
                let read = open().take(limits::WHOLE_ITEM_BYTES + 1).read_to_end(&mut bytes);
                match read {
                    Ok(_) if bytes.len() as u64 <= limits::WHOLE_ITEM_BYTES => Ok(Content::Bytes { bytes, date }),
                    // The server had told a smaller size.
                    Ok(_) => {
                        let size = bytes.len() as u64;
                        Ok(Content::Large { size, date, open: Box::new(move || Ok(Box::new(open()))) })
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Content::Vanished),
                    Err(source) => {
                        let doing = format!("reading a message of {account}");
                        Err(SiteError::Lost { server: self.pool.server(), doing, source })
                    }
                }
            }
        }
    }
}

/// A folder that is there, but not under a path that we can have.
fn is_rejected(listing: &Listing, folder: &FolderRow) -> bool {
    listing.rejected.iter().any(|rejection| rejection.place.folder.as_deref() == Some(folder.path.as_str()))
}

/// From which UID on messages are newer than the mark; `None` where nothing tells.
fn seen_before(mark: &[u8], now: &[u8]) -> Option<u32> {
    const NEXT: usize = 16 + 8 + 8 + 4;
    let same = mark.get(..24)? == now.get(..24)? && mark.get(32..NEXT)? == now.get(32..NEXT)?;
    let next = mark.get(NEXT..)?.try_into().ok().map(u32::from_be_bytes)?;
    same.then_some(next)
}

fn found_item(row: &FolderRow, message: MessageRow) -> FoundItem {
    let MessageRow { uid, name, size, date, flags, keywords } = message;
    let place = Place { uid_validity: row.uid_validity, uid, size, date, wire: row.wire.clone() };
    FoundItem {
        name,
        place: place.encode(),
        flags,
        keywords,
        tags: Vec::new(),
        uid: NonZeroU32::new(uid),
        uidl: None,
        version: 0,
    }
}
