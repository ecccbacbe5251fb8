//! A folder's `dovecot-uidlist` and `dovecot-keywords`: read, changed, written back whole, under Dovecot's lock. The list
//! of messages goes from file to file, line by line, because a folder may have a million of them.
//!
//! Promises: between taking the lock and dropping the value, no server changes either file; what is written is complete
//! and belongs to the site's owner. So that nobody waits for our disk, a change can be drafted without the lock: looked
//! at, written to temporary files, synced together with the messages, and put in place under the lock if the files are
//! still the same.

use super::super::maildir::keywords::Keywords;
use super::super::maildir::uidlist::{self, Added, Entry, Places, UidList};
use super::super::maildir::{KEYWORDS, UIDLIST};
use super::super::tree;
use super::dotlock::Dotlock;
use super::hand::{Hand, PRIVATE, Sync, Temporary, io_error};
use super::uids::{Taken, Wish};
use crate::fs::Stat;
use crate::model::text;
use crate::site::SiteError;
use std::cell::Cell;
use std::collections::HashSet;
use std::io::{BufRead, Read};
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
    places: Places,
    /// Those that it is to have as well.
    added: Added,
    /// The letters of the folder.
    pub keywords: Keywords,
    keywords_before: Keywords,
    seen: Seen,
    drafts: Vec<Temporary<'a>>,
    /// The list was another one when the draft was made than when it was looked at.
    outdated: bool,
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
        let ReadList { list, taken, places } = read_list(hand, dir, wishes)?;
        let keywords = read_keywords(hand, dir)?;
        Ok(Self {
            hand,
            dir,
            list_before: list.clone(),
            list,
            taken,
            places,
            added: Added::default(),
            keywords_before: keywords.clone(),
            keywords,
            seen,
            drafts: Vec::new(),
            outdated: false,
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
        Ok(!self.outdated && Seen::now(self.hand, self.dir)? == self.seen)
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
        self.draft_list(sync)
    }

    fn draft_list(&mut self, sync: Sync) -> Result<(), SiteError> {
        let Some(list) = &self.list else { return Ok(()) };
        let path = self.dir.join(UIDLIST);
        let present = self.hand.stat(&path)?;
        // One that this pass has written may not be durable yet, and its messages shall not be without it.
        let is_durable = sync == Sync::Nothing || present.is_some_and(|stat| self.hand.is_of_before(&stat));
        if self.list == self.list_before && self.added.is_empty() && is_durable {
            return Ok(());
        }
        let unreadable = Cell::new(false);
        let old = tree::open_control(self.hand.fs.as_ref(), &path).map_err(io_error("read", &path))?;
        let old = old.map(|inner| Watched { inner, failed: &unreadable });
        let (places, added) = (&self.places, &self.added);
        let mut whole = true;
        let written = self.hand.draft(path.clone(), mode_of(present), sync, None, |out| {
            whole = match old {
                Some(old) => uidlist::write(out, list, old, places, added)?,
                None => uidlist::write(out, list, std::io::empty(), places, added)?,
            };
            Ok(())
        });
        self.drafts.push(written.map_err(|error| match error {
            SiteError::Io { path, source, .. } if unreadable.get() => SiteError::Io { action: "read", path, source },
            other => other,
        })?);
        if !whole && self.lock.is_some() {
            let what = "another program changed it without its lock (dovecot-uidlist.lock); it was left as it is, run this again";
            return Err(io_error("rewrite", &path)(std::io::Error::other(what)));
        }
        self.outdated = !whole;
        Ok(())
    }

    /// Gives the drafts their names. Only under the lock; the caller syncs the folder. Another change needs another value,
    /// which reads the files as they are then.
    pub fn put_in_place(&mut self) -> Result<(), SiteError> {
        self.drafts.drain(..).try_for_each(Temporary::put_in_place)
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

/// A file that tells whether it was the one that failed, where what is read goes straight into another.
struct Watched<'a, R> {
    inner: R,
    failed: &'a Cell<bool>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read(buf).inspect_err(|_| self.failed.set(true))
    }
}

impl<R: BufRead> BufRead for Watched<'_, R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.inner.fill_buf().inspect_err(|_| self.failed.set(true))
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
    }
}

/// A list that was read.
#[derive(Default)]
pub struct ReadList {
    /// `None` where there is none that says a UIDVALIDITY.
    pub list: Option<UidList>,
    /// Those of its messages that have the UID or the name of a wish.
    pub taken: Taken,
    places: Places,
}

/// The list as it is now, without the lock.
pub fn read_list(hand: &Hand, dir: &Path, wishes: &[Wish<'_>]) -> Result<ReadList, SiteError> {
    let mut uids: Vec<NonZeroU32> = wishes.iter().filter_map(|wish| wish.uid).collect();
    uids.sort_unstable();
    let names: HashSet<&[u8]> = wishes.iter().map(|wish| wish.name.as_bytes()).collect();
    let mut taken = Taken::new();
    let path = dir.join(UIDLIST);
    let Some(file) = tree::open_control(hand.fs.as_ref(), &path).map_err(io_error("read", &path))? else {
        return Ok(ReadList::default());
    };
    let keep = |entry: Entry<'_>| {
        let base = entry.base();
        // Names are compared as text, and nearly all of them are.
        let is_named = names.contains(base) || (!base.is_ascii() && names.contains(text::of_bytes(base).as_bytes()));
        let is_met = is_named || uids.binary_search(&entry.uid).is_ok();
        if is_met {
            taken.insert(entry.uid.get(), text::from_bytes(base));
        }
        is_met
    };
    let (list, _, places) = uidlist::locate(file, &uids, keep).map_err(io_error("read", &path))?;
    Ok(ReadList { list: Some(list).filter(|list| list.uid_validity.is_some()), taken, places })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Fs, RealFs};
    use std::sync::Arc;

    const LIST: &str = "3 V7 N3\n1 :a\n2 :b\n";

    struct Folder {
        dir: tempfile::TempDir,
        hand: Hand,
    }

    impl Folder {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let hand = Hand::new(Arc::new(RealFs), dir.path(), None);
            let folder = Self { dir, hand };
            folder.write(LIST);
            folder
        }

        /// As a server does that rewrites its list.
        fn write(&self, text: &str) {
            RealFs.replace(&self.dir.path().join(UIDLIST), text.as_bytes(), 0o600).unwrap();
        }

        fn text(&self) -> String {
            String::from_utf8(RealFs.read(&self.dir.path().join(UIDLIST), 1 << 20).unwrap()).unwrap()
        }

        fn looked(&self) -> UidFile<'_> {
            UidFile::look(&self.hand, self.dir.path(), &[Wish { name: "x", uid: None }]).unwrap()
        }
    }

    fn add(file: &mut UidFile<'_>) {
        let uid = NonZeroU32::new(file.next_uid()).unwrap();
        file.add([Entry { uid, fields: b"", name: b"x" }], uid.get() + 1);
    }

    #[test]
    fn a_draft_over_a_list_that_a_server_has_changed_is_out_of_date() {
        for changed in ["3 V7 N3\n1 :a\n2 :b\n3 :new\n", "3 V7 N3\n2 :b\n", "3 V7 N9\n1 :a\n2 :b\n", ""] {
            for before_draft in [true, false] {
                let folder = Folder::new();
                let mut file = folder.looked();
                add(&mut file);
                if before_draft {
                    folder.write(changed);
                }
                file.draft(Sync::Nothing).unwrap();
                if !before_draft {
                    folder.write(changed);
                }
                assert!(!file.take_lock().unwrap(), "{changed:?}");
                drop(file);
                assert_eq!(folder.text(), changed);
            }
        }
        let folder = Folder::new();
        let mut file = folder.looked();
        add(&mut file);
        file.draft(Sync::Nothing).unwrap();
        assert!(file.take_lock().unwrap());
        file.put_in_place().unwrap();
        assert_eq!(folder.text(), "3 V7 N4\n1 :a\n2 :b\n3 :x\n");
    }

    #[test]
    fn a_list_that_somebody_changes_without_its_lock_is_left_as_it_is() {
        for changed in ["3 V7 N3\n2 :b\n", ""] {
            let folder = Folder::new();
            let mut file = UidFile::lock(&folder.hand, folder.dir.path(), &[]).unwrap();
            add(&mut file);
            folder.write(changed);
            let error = file.save(Sync::Nothing).unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains("without its lock"), "{error}: {cause}");
            drop(file);
            assert_eq!(folder.text(), changed);
        }
    }

    #[test]
    fn a_list_that_does_not_change_is_written_only_while_it_may_not_be_durable() {
        let folder = Folder::new();
        let inode = || RealFs.stat(&folder.dir.path().join(UIDLIST)).unwrap().ino;
        let before = inode();
        folder.looked().save(Sync::Nothing).unwrap();
        assert_eq!(inode(), before, "who needs nothing durable needs nothing written");
        folder.looked().save(Sync::Everything).unwrap();
        assert_ne!(inode(), before, "it may be this pass that wrote it, without a sync");
        let mut file = RealFs.create_temp(folder.dir.path(), "old").unwrap();
        std::io::Write::write_all(&mut file, LIST.as_bytes()).unwrap();
        file.set_mtime(jiff::Timestamp::now().as_second() - 60).unwrap();
        RealFs.rename(&file.keep(), &folder.dir.path().join(UIDLIST)).unwrap();
        let before = inode();
        folder.looked().save(Sync::Everything).unwrap();
        assert_eq!(inode(), before, "an earlier pass wrote it");
        assert_eq!(folder.text(), LIST);
    }
}
