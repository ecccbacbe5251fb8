//! A folder's `dovecot-uidlist` and `dovecot-keywords`: read, changed, written back whole, under Dovecot's lock.
//!
//! Promises: between taking the lock and dropping the value, no server changes either file; what is written is complete
//! and belongs to the site's owner. So that nobody waits for our disk, a change can be drafted without the lock: looked
//! at, written to temporary files, synced together with the messages, and put in place under the lock if the files are
//! still the same.

use super::super::maildir::keywords::Keywords;
use super::super::maildir::uidlist::{self, Entry, UidList};
use super::super::maildir::{KEYWORDS, UIDLIST};
use super::dotlock::Dotlock;
use super::hand::{Hand, PRIVATE, Sync, Temporary};
use super::uids::Wish;
use crate::fs::Stat;
use crate::model::text;
use crate::site::SiteError;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::path::Path;

/// Both files of a folder, and what shall become of them.
pub struct UidFile<'a> {
    hand: &'a Hand,
    dir: &'a Path,
    /// `None` where the folder has no list that says a UIDVALIDITY; then nobody has given a UID that means anything.
    pub list: Option<UidList>,
    /// The letters of the folder.
    pub keywords: Keywords,
    keywords_before: Keywords,
    seen: Seen,
    drafts: Vec<Temporary<'a>>,
    lock: Option<Dotlock<'a>>,
}

/// What tells whether anybody has changed the files or opened the folder.
#[derive(PartialEq)]
struct Seen {
    files: [Option<(u64, u64, i128)>; 2],
    opened: bool,
}

impl<'a> UidFile<'a> {
    /// Locks the folder and reads both files.
    pub fn lock(hand: &'a Hand, dir: &'a Path) -> Result<Self, SiteError> {
        let lock = Dotlock::take(hand.fs.as_ref(), &dir.join(UIDLIST))?;
        Ok(Self { lock: Some(lock), ..Self::look(hand, dir)? })
    }

    /// Reads both files, for a draft.
    pub fn look(hand: &'a Hand, dir: &'a Path) -> Result<Self, SiteError> {
        // Before the content, so that a change meanwhile is seen later.
        let seen = Seen::now(hand, dir)?;
        let list = read_list(hand, dir)?;
        let keywords = read_keywords(hand, dir)?;
        let keywords_before = keywords.clone();
        Ok(Self { hand, dir, list, keywords_before, keywords, seen, drafts: Vec::new(), lock: None })
    }

    /// Whether a server has had the folder open.
    pub fn was_opened(&self) -> bool {
        self.seen.opened
    }

    /// Locks the folder of a draft; `false` when the draft is out of date.
    pub fn take_lock(&mut self) -> Result<bool, SiteError> {
        self.lock = Some(Dotlock::take(self.hand.fs.as_ref(), &self.dir.join(UIDLIST))?);
        Ok(Seen::now(self.hand, self.dir)? == self.seen)
    }

    /// UID and base name, as text, of the messages of the list that have the UID or the name of one of `wishes`.
    pub fn taken(&self, wishes: &[Wish<'_>]) -> HashMap<u32, String> {
        let uids: HashSet<NonZeroU32> = wishes.iter().filter_map(|wish| wish.uid).collect();
        let names: HashSet<&str> = wishes.iter().map(|wish| wish.name).collect();
        let entries = self.list.iter().flat_map(|list| list.entries.iter());
        let named = entries.map(|entry| (entry.uid, text::from_bytes(entry.base())));
        let met = named.filter(|(uid, name)| uids.contains(uid) || names.contains(name.as_str()));
        met.map(|(uid, name)| (uid.get(), name)).collect()
    }

    /// The next UID that the folder would give.
    pub fn next_uid(&self) -> u32 {
        self.list.as_ref().and_then(|list| list.next_uid).map_or(1, NonZeroU32::get)
    }

    /// Adds entries (replacing those of the same UID), and raises the next UID. Nothing where there is no list.
    pub fn add<'e>(&mut self, entries: impl IntoIterator<Item = Entry<'e>>, next_uid: u32) {
        let Some(list) = &mut self.list else { return };
        list.next_uid = list.next_uid.max(NonZeroU32::new(next_uid));
        list.entries.add(entries);
    }

    /// Writes what has changed under temporary names; it is [`UidFile::put_in_place`] that lets others see it.
    ///
    /// Dovecot reads the keywords again only when the file's time differs by a second or more from what it knows, so
    /// two changes within one second must not give it the same time.
    pub fn draft(&mut self, sync: Sync) -> Result<(), SiteError> {
        self.drafts.clear();
        if self.keywords != self.keywords_before {
            let path = self.dir.join(KEYWORDS);
            let before = self.hand.stat(&path)?;
            let last = before.and_then(|stat| i64::try_from(stat.mtime_nanos / 1_000_000_000).ok());
            let now = jiff::Timestamp::now().as_second();
            let time = last.map_or(now, |last| now.max(last.saturating_add(1)));
            let bytes = self.keywords.encode();
            self.drafts.push(self.hand.draft(path, [bytes], mode_of(before), sync, Some(time))?);
        }
        if let Some(list) = &self.list {
            let path = self.dir.join(UIDLIST);
            let mode = mode_of(self.hand.stat(&path)?);
            self.drafts.push(self.hand.draft(path, list.pieces(), mode, sync, None)?);
        }
        Ok(())
    }

    /// Gives the drafts their names. Only under the lock; the caller syncs the folder.
    pub fn put_in_place(&mut self) -> Result<(), SiteError> {
        self.drafts.drain(..).try_for_each(Temporary::put_in_place)?;
        self.keywords_before = self.keywords.clone();
        Ok(())
    }

    /// Both steps at once.
    pub fn save(&mut self, sync: Sync) -> Result<(), SiteError> {
        self.draft(sync)?;
        self.put_in_place()?;
        if sync == Sync::Everything { self.hand.sync_dir(self.dir) } else { Ok(()) }
    }
}

impl Seen {
    fn now(hand: &Hand, dir: &Path) -> Result<Self, SiteError> {
        let mark = |name: &str| Ok::<_, SiteError>(hand.stat(&dir.join(name))?.map(|s| (s.ino, s.size, s.mtime_nanos)));
        Ok(Self { files: [mark(UIDLIST)?, mark(KEYWORDS)?], opened: was_opened(hand, dir)? })
    }
}

fn mode_of(present: Option<Stat>) -> u32 {
    present.map_or(PRIVATE, |stat| stat.mode & 0o777)
}

/// The list as it is now, without the lock.
pub fn read_list(hand: &Hand, dir: &Path) -> Result<Option<UidList>, SiteError> {
    let bytes = hand.read(&dir.join(UIDLIST))?;
    let list = bytes.map(|bytes| uidlist::parse(bytes).0);
    Ok(list.filter(|list| list.uid_validity.is_some()))
}

/// The folder's keywords as they are now.
pub fn read_keywords(hand: &Hand, dir: &Path) -> Result<Keywords, SiteError> {
    Ok(hand.read(&dir.join(KEYWORDS))?.as_deref().map(Keywords::parse).unwrap_or_default())
}

/// A folder that a server has had open has an index, and clients may have seen every UID of the list.
fn was_opened(hand: &Hand, dir: &Path) -> Result<bool, SiteError> {
    for index in ["dovecot.index.log", "dovecot.index", "dovecot.index.cache"] {
        if hand.stat(&dir.join(index))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
