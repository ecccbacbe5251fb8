//! One mail folder: its mark, and its listing from `cur`, `new` and the control files beside them.
//!
//! Promises: no `stat` per message, and no message lost to a rename that happens meanwhile. `new` is listed before `cur`,
//! and both again when they changed while they were listed, since a directory read can miss a file that is being renamed
//! in it. What cannot be read is an error of the call: an absence would look like a deletion.

use super::maildir::{self, folder_dir, keywords::Keywords, name, uidlist};
use super::mark::Fingerprint;
use super::site_db::FolderRow;
use super::text_file::BadLines;
use super::view::View;
use super::{DirectorySite, acl, io_error, layout, tree};
use crate::event::{Place, Reason, Rejection};
use crate::fs::{FileKind, Stat};
use crate::limits;
use crate::model::mailbox::{Folder, FolderKey, SpecialUse};
use crate::model::text;
use crate::site::{Depth, FolderListing, FolderScan, FoundItem, FoundItems, SiteError};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// The message files of a folder: a million of them may be there, so their names lie in one text.
#[derive(Default)]
struct Files {
    names: Vec<u8>,
    found: Vec<Found>,
}

/// A message file as a directory names it.
struct Found {
    /// Where its name begins in the text.
    start: usize,
    /// Bytes of the name. What the kernel tells of a directory's entry, its name within, has a length of two bytes.
    length: u16,
    in_cur: bool,
    /// Counted from 0; the last listing knows best.
    round: u8,
}

impl Files {
    fn push(&mut self, name: &[u8], in_cur: bool, round: u8) {
        let start = self.names.len();
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        self.names.extend_from_slice(name);
        self.found.push(Found { start, length, in_cur, round });
    }
}

impl Found {
    fn name<'n>(&self, names: &'n [u8]) -> &'n [u8] {
        names.get(self.start..self.start + usize::from(self.length)).unwrap_or_default()
    }

    fn dir(&self) -> &'static str {
        if self.in_cur { "cur" } else { "new" }
    }
}

fn is_subscribed(key: &FolderKey, view: &View) -> bool {
    view.subscribed.as_ref().is_ok_and(|subscribed| subscribed.contains(key.path()))
}

impl DirectorySite {
    pub(super) fn mail_folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        let Some(maildir) = self.maildir(account) else { return Ok(FolderScan::Vanished) };
        if let (Depth::Marks, Some(mark)) = (depth, mark)
            && self.is_as_marked(account, &maildir, key, mark)
        {
            return Ok(FolderScan::Unchanged);
        }
        let Some(dir) = self.folder_dir(&maildir, key)? else { return Ok(FolderScan::Vanished) };
        let view = self.view(account, &maildir)?;
        let (new_mark, trusted) = self.mail_mark(&dir, key, &view)?;
        if depth == Depth::Marks && mark == Some(new_mark.as_slice()) && !view.fault_is_new && view.subscribed.is_ok() {
            return Ok(FolderScan::Unchanged);
        }
        let mut listing = self.list_mail(account, key, &dir, &view)?;
        listing.folder.subscribed = is_subscribed(key, &view);
        listing.note_view(account, &view);
        let unseen = listing.beside_unseen || listing.subscription_unseen;
        listing.mark = if trusted && !unseen { new_mark } else { Vec::new() };
        Ok(FolderScan::Listed(Box::new(listing)))
    }

    /// Whether the folder is where it is looked for first and has this mark: the usual case, for the fewest calls. Where
    /// it is not, all of it is looked at again.
    fn is_as_marked(&self, account: &str, maildir: &Path, key: &FolderKey, mark: &[u8]) -> bool {
        let Some(view) = self.fresh_view(account) else { return false };
        let spelled = folder_dir::encode(key.path());
        let dir = if spelled.is_empty() { maildir.to_owned() } else { maildir.join(spelled) };
        self.mail_mark(&dir, key, &view).is_ok_and(|(found, _)| found == mark)
    }

    /// The mark of a folder now, and whether the next scan may trust it.
    fn mail_mark(&self, dir: &Path, key: &FolderKey, view: &View) -> Result<(Vec<u8>, bool), SiteError> {
        let mut fingerprint = Fingerprint::new((self.clock)());
        let mut stamp = |file: &str| -> Result<bool, SiteError> {
            let path = dir.join(file);
            let stat = tree::stat(self.fs.as_ref(), &path).map_err(io_error("look at", &path))?;
            fingerprint.stat(stat.as_ref());
            Ok(stat.is_some())
        };
        for file in ["cur", "new", maildir::KEYWORDS, maildir::ACL] {
            stamp(file)?;
        }
        if !stamp(maildir::UIDLIST)? {
            stamp(maildir::COURIER_UIDS)?;
        }
        fingerprint.value(&is_subscribed(key, view));
        fingerprint.value(&view.row(key));
        Ok(fingerprint.finish())
    }

    /// The Maildir of an account, absolute; `None` for an address that has no place in the tree.
    pub(super) fn maildir(&self, account: &str) -> Option<PathBuf> {
        Some(self.root.join(layout::mail_home(account)?).join(layout::MAILDIR))
    }

    /// The directory of a folder that exists, whatever its spelling on disk.
    pub(super) fn folder_dir(&self, maildir: &Path, key: &FolderKey) -> Result<Option<PathBuf>, SiteError> {
        for spelled in [folder_dir::encode(key.path()), folder_dir::encode_utf8(key.path())] {
            let dir = if spelled.is_empty() { maildir.to_owned() } else { maildir.join(spelled) };
            match tree::stat(self.fs.as_ref(), &dir) {
                Ok(Some(stat)) if stat.kind == FileKind::Dir => return Ok(Some(dir)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {}
                Err(error) => return Err(io_error("look at", &dir)(error)),
            }
        }
        let entries = tree::list(self.fs.as_ref(), maildir).map_err(io_error("list", maildir))?.unwrap_or_default();
        let is_it = |name: &OsStr| {
            name.as_bytes().starts_with(b".")
                && folder_dir::parse(name.as_bytes()) == key.path()
                && key.path() != "INBOX"
        };
        let name = entries.into_iter().map(|entry| entry.name).filter(|name| is_it(name)).min();
        Ok(name.map(|name| maildir.join(name)))
    }

    fn list_mail(&self, account: &str, key: &FolderKey, dir: &Path, view: &View) -> Result<FolderListing, SiteError> {
        let place = |item: &str| Place::item(account, key, item);
        let mut rejected = Vec::new();
        let mut files = self.message_files(dir, |name, reason| {
            rejected.push(Rejection { place: place(&text::from_bytes(name)), reason });
        })?;
        // The control files are read after the listing, so that every message seen has its UID if it has one.
        let read = |file| {
            let path = dir.join(file);
            tree::read_control(self.fs.as_ref(), &path).map_err(io_error("read", &path))
        };
        let uid_bytes = match read(maildir::UIDLIST)? {
            Some(bytes) => bytes,
            None => read(maildir::COURIER_UIDS)?.unwrap_or_default(),
        };
        let (uids, bad) = uidlist::parse(uid_bytes);
        reject_lines(&mut rejected, &Place::folder(account, key), maildir::UIDLIST, bad);
        let words = read(maildir::KEYWORDS)?.map(|bytes| Keywords::parse(&bytes)).unwrap_or_default();
        let (mut grants, bad) = read(maildir::ACL)?.map(|bytes| acl::parse(&bytes)).unwrap_or_default();
        reject_lines(&mut rejected, &Place::folder(account, key), maildir::ACL, bad);

        self.keep_one_of_each(dir, &mut files, |name| {
            let reason = Reason::BadName("another message of the folder has the same name without flags".to_owned());
            rejected.push(Rejection { place: place(&text::from_bytes(name)), reason });
        });
        let row = view.row(key);
        let mut maker = ItemMaker { words: &words, row, nameless: BTreeSet::new() };
        let relative = dir.strip_prefix(&self.root).unwrap_or(dir);
        let mut by_base: Vec<u32> = (0..).take(uids.entries.len()).collect();
        let base = |number: &u32| uids.entries.get(*number as usize).map(|entry| entry.base());
        by_base.sort_by(|a, b| base(a).cmp(&base(b)).then(a.cmp(b)));
        let mut entries = by_base.iter().filter_map(|&number| uids.entries.get(number as usize)).peekable();
        let mut items = FoundItems::default();
        for file in &files.found {
            let name = file.name(&files.names);
            let mut entry = None;
            while let Some(next) = entries.next_if(|next| next.base() <= name::base(name)) {
                entry = Some(next).filter(|next| next.base() == name::base(name)).or(entry);
            }
            items.push(&maker.item(relative, (file.dir(), name), entry.as_ref()));
        }
        items.sort(|name| {
            let reason = Reason::BadName("another message has a name that looks the same".to_owned());
            rejected.push(Rejection { place: place(name), reason });
        });
        if !maker.nameless.is_empty() {
            let what = format!("keyword letters {} have no name in {}", maker.letters(), maildir::KEYWORDS);
            rejected.push(Rejection { place: Place::folder(account, key), reason: Reason::Malformed(what) });
        }

        let mut folder = Folder::at(key.clone());
        folder.special_use = special_use(key, row);
        folder.uid_validity = uids.uid_validity;
        folder.uid_next = uids.uid_validity.and(uids.next_uid);
        folder.guid = uids.guid;
        if let Some(row) = row {
            folder.title.clone_from(&row.title);
            folder.color.clone_from(&row.color);
            grants.extend_from_slice(&row.grants);
        }
        grants.sort_unstable();
        grants.dedup();
        folder.grants = grants;
        Ok(FolderListing {
            folder,
            items,
            rejected,
            beside_unseen: false,
            subscription_unseen: false,
            mark: Vec::new(),
        })
    }

    /// Every message file, from as many listings as it takes for one in which nothing changed.
    fn message_files(&self, dir: &Path, mut reject: impl FnMut(&[u8], Reason)) -> Result<Files, SiteError> {
        let (cur, new) = (dir.join("cur"), dir.join("new"));
        let times = |path: &Path| -> Result<_, SiteError> {
            let stat = tree::stat(self.fs.as_ref(), path).map_err(io_error("look at", path))?;
            Ok(stat.map(|Stat { mtime_nanos, ctime_nanos, ino, .. }| (mtime_nanos, ctime_nanos, ino)))
        };
        let mut before = (times(&new)?, times(&cur)?);
        let mut files = Files::default();
        let mut strange = BTreeSet::new();
        for round in 0..limits::LISTING_ROUNDS {
            for (path, in_cur) in [(&new, false), (&cur, true)] {
                let entries = tree::list(self.fs.as_ref(), path).map_err(io_error("list", path))?;
                for entry in entries.unwrap_or_default() {
                    let name = entry.name.into_vec();
                    if name.starts_with(b".") {
                        continue;
                    }
                    let reason = match entry.kind {
                        FileKind::File if name::base(&name).is_empty() => "it has nothing before its flags",
                        FileKind::File => {
                            files.push(&name, in_cur, round);
                            continue;
                        }
                        FileKind::Dir => "it is a directory among messages",
                        FileKind::Symlink => "it is a symbolic link among messages",
                        FileKind::Other => "it is no file, among messages",
                    };
                    if strange.insert(name.clone()) {
                        reject(&name, Reason::BadName(reason.to_owned()));
                    }
                }
            }
            let after = (times(&new)?, times(&cur)?);
            if after == before {
                break;
            }
            before = after;
        }
        Ok(files)
    }

    /// Leaves one file of each base name, sorted: of those in `cur` and `new` the one in `cur`, of several in one place
    /// what the last listing saw. A rename makes such twins for a moment; two files that are still there are two messages,
    /// and the second is handed to `reject`.
    fn keep_one_of_each(&self, dir: &Path, files: &mut Files, mut reject: impl FnMut(&[u8])) {
        let names = files.names.as_slice();
        let base = |file: &Found| name::base(file.name(names));
        files.found.sort_unstable_by(|a, b| {
            let rank = |file: &Found| (std::cmp::Reverse(file.round), !file.in_cur, file.name(names));
            base(a).cmp(base(b)).then_with(|| rank(a).cmp(&rank(b)))
        });
        let stat = |file: &Found| {
            let path = dir.join(file.dir()).join(OsStr::from_bytes(file.name(names)));
            self.fs.lstat(&path).ok().map(|stat| (stat.dev, stat.ino))
        };
        files.found.dedup_by(|later, kept| {
            if base(later) != base(kept) {
                return false;
            }
            if (later.name(names), later.in_cur) != (kept.name(names), kept.in_cur) {
                match (stat(kept), stat(later)) {
                    (Some(a), Some(b)) if a != b => reject(later.name(names)),
                    // What was seen first is gone: the message has the other name now.
                    (None, Some(_)) => std::mem::swap(later, kept),
                    _ => {}
                }
            }
            true
        });
    }
}

/// Makes items of message files.
struct ItemMaker<'a> {
    words: &'a Keywords,
    row: Option<&'a FolderRow>,
    /// Keyword letters that were met and mean nothing.
    nameless: BTreeSet<u8>,
}

impl ItemMaker<'_> {
    fn item(&mut self, relative: &Path, (dir, file): (&str, &[u8]), entry: Option<&uidlist::Entry<'_>>) -> FoundItem {
        let parsed = name::parse(file);
        let name = text::from_bytes(parsed.base);
        let labels = self.row.and_then(|row| row.labels.get(&name));
        let mut keywords = Vec::new();
        if !parsed.keywords.is_empty() {
            keywords = self.words.of(parsed.keywords);
            self.nameless.extend(parsed.keywords.iter().filter(|&letter| self.words.name(letter).is_none()));
        }
        if let Some(more) = labels.map(|labels| &labels.keywords).filter(|more| !more.is_empty()) {
            keywords.extend_from_slice(more);
            keywords.sort_unstable();
            keywords.dedup();
        }
        FoundItem {
            place: [relative.as_os_str().as_bytes(), b"/", dir.as_bytes(), b"/", file].concat(),
            flags: parsed.flags,
            keywords,
            tags: labels.map(|labels| labels.tags.clone()).unwrap_or_default(),
            uid: entry.map(|entry| entry.uid),
            uidl: entry.and_then(|entry| entry.uidl()).map(text::from_bytes),
            version: 0,
            name,
        }
    }

    fn letters(&self) -> String {
        self.nameless.iter().map(|&letter| char::from(letter)).collect()
    }
}

/// What the database says, else what Dovecot's example configuration gives folders of these names.
fn special_use(key: &FolderKey, row: Option<&FolderRow>) -> Option<SpecialUse> {
    row.and_then(|row| row.special_use).unwrap_or_else(|| default_special_use(key.path()))
}

/// The special use of a mail folder of which nothing else is said.
pub fn default_special_use(path: &str) -> Option<SpecialUse> {
    match path {
        "Drafts" => Some(SpecialUse::Drafts),
        "Sent" => Some(SpecialUse::Sent),
        "Junk" => Some(SpecialUse::Junk),
        "Trash" => Some(SpecialUse::Trash),
        "Archive" => Some(SpecialUse::Archive),
        _ => None,
    }
}

/// Lists bad lines of a control file as rejections, and only counts those beyond a bound.
fn reject_lines(rejected: &mut Vec<Rejection>, place: &Place, file: &str, bad: BadLines) {
    let reason = |what: String| Rejection { place: place.clone(), reason: Reason::Malformed(what) };
    rejected.extend(bad.first.iter().map(|line| reason(format!("{file} {line}"))));
    if bad.more > 0 {
        rejected.push(reason(format!("{file} has {} more lines that do not follow its format", bad.more)));
    }
}
