//! A folder's `dovecot-uidlist` and `dovecot-keywords`: read, changed, written back whole, under Dovecot's lock. The list
//! of messages goes from file to file, line by line, because a folder may have a million of them.
//!
//! Promises: between taking the lock and dropping the value, no server changes either file; what is written is complete
//! and belongs to the site's owner. So that nobody waits for our disk, a change can be drafted without the lock: looked
//! at, written to temporary files, synced together with the messages, and put in place under the lock if the files are
//! still the same.

use super::super::maildir::keywords::Keywords;
use super::super::maildir::uidlist::{self, Added, Entry, UidList};
use super::super::maildir::{KEYWORDS, UIDLIST};
use super::super::tree;
use super::dotlock::Dotlock;
use super::hand::{Hand, PRIVATE, Sync, Temporary, io_error};
use super::uids::{Taken, Wish};
use crate::fs::Stat;
use crate::model::text;
use crate::site::SiteError;
use std::collections::HashSet;
use std::num::NonZeroU32;
use std::path::Path;

/// Both files of a folder, and what shall become of them.
pub struct UidFile<'a> {
    hand: &'a Hand,
    dir: &'a Path,
    /// `None` where the folder has no list that says a UIDVALIDITY; then nobody has given a UID that means anything.
    pub list: Option<UidList>,
    list_before: Option<UidList>,
    /// Of the messages of the list, those of which somebody asked when it was read.
    pub taken: Taken,
    /// Those that it is to have as well.
    added: Added,
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
    /// Locks the folder and reads both files; of the messages it keeps those that have a UID or name of `wishes`.
    pub fn lock(hand: &'a Hand, dir: &'a Path, wishes: &[Wish<'_>]) -> Result<Self, SiteError> {
        let lock = Dotlock::take(hand.fs.as_ref(), &dir.join(UIDLIST))?;
        Ok(Self { lock: Some(lock), ..Self::look(hand, dir, wishes)? })
    }

    /// Reads both files, for a draft.
    pub fn look(hand: &'a Hand, dir: &'a Path, wishes: &[Wish<'_>]) -> Result<Self, SiteError> {
        // Before the content, so that a change meanwhile is seen later.
        let seen = Seen::now(hand, dir)?;
        let (list, taken) = read_list(hand, dir, wishes)?;
        let keywords = read_keywords(hand, dir)?;
        Ok(Self {
            hand,
            dir,
            list_before: list.clone(),
            list,
            taken,
            added: Added::default(),
            keywords_before: keywords.clone(),
            keywords,
            seen,
            drafts: Vec::new(),
            lock: None,
        })
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

    /// The next UID that the folder would give.
    pub fn next_uid(&self) -> u32 {
        self.list.as_ref().and_then(|list| list.next_uid).map_or(1, NonZeroU32::get)
    }

    /// Adds entries (replacing those of the same UID), and raises the next UID. Nothing where there is no list.
    pub fn add<'e>(&mut self, entries: impl IntoIterator<Item = Entry<'e>>, next_uid: u32) {
        let Some(list) = &mut self.list else { return };
        list.next_uid = list.next_uid.max(NonZeroU32::new(next_uid));
        entries.into_iter().for_each(|entry| self.added.add(entry));
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
            let draft = self.hand.draft(path, mode_of(before), sync, Some(time), |out| out.write_all(&bytes))?;
            self.drafts.push(draft);
        }
        if let Some(list) = self.list.as_ref().filter(|_| self.list != self.list_before || !self.added.is_empty()) {
            let path = self.dir.join(UIDLIST);
            let mode = mode_of(self.hand.stat(&path)?);
            let old = tree::open_control(self.hand.fs.as_ref(), &path).map_err(io_error("read", &path))?;
            let draft = self.hand.draft(path, mode, sync, None, |out| match old {
                Some(old) => uidlist::write(out, list, old, &self.added),
                None => uidlist::write(out, list, std::io::empty(), &self.added),
            })?;
            self.drafts.push(draft);
        }
        Ok(())
    }

    /// Gives the drafts their names. Only under the lock; the caller syncs the folder.
    pub fn put_in_place(&mut self) -> Result<(), SiteError> {
        self.drafts.drain(..).try_for_each(Temporary::put_in_place)?;
        self.keywords_before = self.keywords.clone();
        self.list_before = self.list.clone();
        self.added = Added::default();
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

/// The list as it is now, without the lock, and those of its messages that have the UID or the name of one of `wishes`.
pub fn read_list(hand: &Hand, dir: &Path, wishes: &[Wish<'_>]) -> Result<(Option<UidList>, Taken), SiteError> {
    let uids: HashSet<NonZeroU32> = wishes.iter().filter_map(|wish| wish.uid).collect();
    let names: HashSet<&str> = wishes.iter().map(|wish| wish.name).collect();
    let mut taken = Taken::new();
    let path = dir.join(UIDLIST);
    let Some(file) = tree::open_control(hand.fs.as_ref(), &path).map_err(io_error("read", &path))? else {
        return Ok((None, taken));
    };
    let keep = |entry: Entry<'_>| {
        let name = text::of_bytes(entry.base());
        if uids.contains(&entry.uid) || names.contains(name.as_ref()) {
            taken.insert(entry.uid.get(), name.into_owned());
        }
    };
    let (list, _) = uidlist::read(file, keep).map_err(io_error("read", &path))?;
    Ok((Some(list).filter(|list| list.uid_validity.is_some()), taken))
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
