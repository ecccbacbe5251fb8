//! A folder's `dovecot-uidlist` and `dovecot-keywords` under Dovecot's lock: read, changed, written back whole.
//!
//! Promises: between [`UidFile::lock`] and dropping, no server changes either file; what is written is complete and
//! belongs to the site's owner. Message bytes are never written while the lock is held.

use super::super::maildir::keywords::Keywords;
use super::super::maildir::uidlist::{self, Entry, UidList};
use super::super::maildir::{KEYWORDS, UIDLIST};
use super::dotlock::Dotlock;
use super::hand::{Hand, PRIVATE, Sync};
use crate::site::SiteError;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::Path;

/// A locked folder.
pub struct UidFile<'a> {
    hand: &'a Hand,
    dir: &'a Path,
    /// `None` where the folder has no list that says a UIDVALIDITY; then nobody has given a UID that means anything.
    pub list: Option<UidList<'static>>,
    /// The letters of the folder.
    pub keywords: Keywords,
    keywords_before: Keywords,
    _lock: Dotlock<'a>,
}

impl<'a> UidFile<'a> {
    /// Locks the folder and reads both files.
    pub fn lock(hand: &'a Hand, dir: &'a Path) -> Result<Self, SiteError> {
        let lock = Dotlock::take(hand.fs.as_ref(), &dir.join(UIDLIST))?;
        let list = read_list(hand, dir)?;
        let keywords = read_keywords(hand, dir)?;
        Ok(Self { hand, dir, list, keywords_before: keywords.clone(), keywords, _lock: lock })
    }

    /// UID and base name of every message of the list, as text.
    pub fn taken(&self) -> HashMap<u32, String> {
        let entries = self.list.iter().flat_map(|list| &list.entries);
        entries.map(|entry| (entry.uid.get(), crate::model::text::from_bytes(entry.base()))).collect()
    }

    /// The next UID that the folder would give.
    pub fn next_uid(&self) -> u32 {
        self.list.as_ref().and_then(|list| list.next_uid).map_or(1, NonZeroU32::get)
    }

    /// Adds entries (replacing those of the same UID), and raises the next UID. Nothing where there is no list.
    pub fn add(&mut self, entries: Vec<Entry<'static>>, next_uid: u32) {
        let Some(list) = &mut self.list else { return };
        list.next_uid = list.next_uid.max(NonZeroU32::new(next_uid));
        let last = list.entries.last().map_or(0, |entry| entry.uid.get());
        let in_order = entries.iter().all(|entry| entry.uid.get() > last);
        let new: std::collections::HashSet<u32> = entries.iter().map(|entry| entry.uid.get()).collect();
        if !in_order {
            list.entries.retain(|entry| !new.contains(&entry.uid.get()));
        }
        list.entries.extend(entries);
        list.entries.sort_by_key(|entry| entry.uid);
    }

    /// Writes the keywords if they have changed, and the list. The caller syncs the folder.
    pub fn save(&mut self, sync: Sync) -> Result<(), SiteError> {
        self.save_keywords()?;
        let Some(list) = &self.list else { return Ok(()) };
        let path = self.dir.join(UIDLIST);
        let mode = self.hand.stat(&path)?.map_or(PRIVATE, |stat| stat.mode & 0o777);
        self.hand.put(&path, &list.encode(), mode, sync, None)
    }

    /// Writes the keywords if they have changed. Dovecot reads the file again only when its time differs by a second or
    /// more from what it knows, so two changes within one second must not give it the same time.
    pub fn save_keywords(&mut self) -> Result<(), SiteError> {
        if self.keywords != self.keywords_before {
            let path = self.dir.join(KEYWORDS);
            let before = self.hand.stat(&path)?;
            let mode = before.map_or(PRIVATE, |stat| stat.mode & 0o777);
            let last = before.and_then(|stat| i64::try_from(stat.mtime_nanos / 1_000_000_000).ok());
            let now = jiff::Timestamp::now().as_second();
            let time = last.map_or(now, |last| now.max(last.saturating_add(1)));
            self.hand.put(&path, &self.keywords.encode(), mode, Sync::Content, Some(time))?;
            self.keywords_before = self.keywords.clone();
        }
        Ok(())
    }
}

/// The list as it is now, without the lock.
pub fn read_list(hand: &Hand, dir: &Path) -> Result<Option<UidList<'static>>, SiteError> {
    let bytes = hand.read(&dir.join(UIDLIST))?;
    let list = bytes.as_deref().map(|bytes| uidlist::parse(bytes).0.into_owned());
    Ok(list.filter(|list| list.uid_validity.is_some()))
}

/// The folder's keywords as they are now.
pub fn read_keywords(hand: &Hand, dir: &Path) -> Result<Keywords, SiteError> {
    Ok(hand.read(&dir.join(KEYWORDS))?.as_deref().map(Keywords::parse).unwrap_or_default())
}

/// Whether a server has had the folder open: it then has an index, and clients may have seen every UID of the list.
pub fn was_opened(hand: &Hand, dir: &Path) -> Result<bool, SiteError> {
    for index in ["dovecot.index.log", "dovecot.index", "dovecot.index.cache"] {
        if hand.stat(&dir.join(index))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
