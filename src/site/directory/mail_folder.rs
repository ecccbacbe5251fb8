//! One mail folder: its mark, and its listing from `cur`, `new` and the control files beside them.
//!
//! Promises: no `stat` per message, and no message lost to a rename that happens meanwhile. `new` is listed before `cur`,
//! and both again when they changed while they were listed, since a directory read can miss a file that is being renamed
//! in it. What cannot be read is an error of the call: an absence would look like a deletion.

use super::maildir::uidlist::{self, UidList};
use super::maildir::{self, folder_dir, keywords::Keywords, name};
use super::mark::Fingerprint;
use super::site_db::FolderRow;
use super::text_file::BadLines;
use super::view::View;
use super::{DirectorySite, acl, io_error, layout, tree};
use crate::event::{Place, Reason, Rejection};
use crate::fs::{DirEntry, FileKind, Stat};
use crate::limits;
use crate::model::mailbox::{Folder, FolderKey, SpecialUse};
use crate::model::packed::{Packer, Unpacker};
use crate::model::text;
use crate::shelf::{Sorted, Sorter};
use crate::site::{Depth, FolderListing, FolderScan, FoundItem, FoundItems, SiteError};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::num::NonZeroU32;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// A message file as a directory names it.
struct Found {
    /// What comes before the flags.
    base: Vec<u8>,
    name: Vec<u8>,
    in_cur: bool,
}

impl Found {
    /// By which files are sorted: by base name; then what the last listing saw, counted from 0, comes first, what lies in
    /// `cur`, and the name. No name has a NUL.
    fn key(name: &[u8], in_cur: bool, round: u8) -> Vec<u8> {
        [name::base(name), &[0, u8::MAX - round, u8::from(!in_cur)], name].concat()
    }

    fn of_key(key: &[u8]) -> Option<Self> {
        let (base, rest) = key.split_at_checked(memchr::memchr(0, key)?)?;
        let (&[_, _, not_in_cur], name) = rest.split_first_chunk()?;
        Some(Self { base: base.to_vec(), name: name.to_vec(), in_cur: not_in_cur == 0 })
    }

    fn dir(&self) -> &'static str {
        if self.in_cur { "cur" } else { "new" }
    }
}

/// What a UID list says of a message.
struct Listed {
    base: Vec<u8>,
    uid: Option<NonZeroU32>,
    uidl: Option<String>,
}

impl Listed {
    fn push(entry: &uidlist::Entry<'_>, into: &mut Sorter) {
        let mut value = Vec::new();
        let mut packer = Packer::new(&mut value);
        packer.number(entry.uid.get().into());
        packer.text_or_none(entry.uidl().map(text::from_bytes).as_deref());
        into.push(entry.base(), &value);
    }

    fn of((base, value): (Vec<u8>, Vec<u8>)) -> Option<Self> {
        let mut value = Unpacker::new(&value);
        Some(Self { base, uid: NonZeroU32::new(value.number32()?), uidl: value.text_or_none()? })
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
        let scratch = self.scratch();
        let mut rejected = Vec::new();
        let files = self.message_files(dir, |name, reason| {
            rejected.push(Rejection { place: place(&text::from_bytes(name)), reason });
        })?;
        // The control files are read after the listing, so that every message seen has its UID if it has one.
        let read = |file| {
            let path = dir.join(file);
            tree::read_control(self.fs.as_ref(), &path).map_err(io_error("read", &path))
        };
        let mut listed = Sorter::new(&scratch);
        let (uids, bad) = self.uid_list(dir, |entry| Listed::push(&entry, &mut listed))?;
        reject_lines(&mut rejected, &Place::folder(account, key), maildir::UIDLIST, bad);
        let words = read(maildir::KEYWORDS)?.map(|bytes| Keywords::parse(&bytes)).unwrap_or_default();
        let (mut grants, bad) = read(maildir::ACL)?.map(|bytes| acl::parse(&bytes)).unwrap_or_default();
        reject_lines(&mut rejected, &Place::folder(account, key), maildir::ACL, bad);

        let row = view.row(key);
        let mut maker = ItemMaker { words: &words, row, nameless: BTreeSet::new() };
        let relative = dir.strip_prefix(&self.root).unwrap_or(dir);
        let mut listed = listed.finish().filter_map(Listed::of).peekable();
        let mut items = FoundItems::new(&scratch);
        let mut doubles = Vec::new();
        self.one_of_each(dir, files, &mut doubles, |file| {
            let mut entry = None;
            while let Some(next) = listed.next_if(|next| next.base <= file.base) {
                entry = Some(next).filter(|next| next.base == file.base).or(entry.take());
            }
            items.push(&maker.item(relative, file, entry));
        });
        rejected.extend(doubles.into_iter().map(|name| {
            let reason = Reason::BadName("another message of the folder has the same name without flags".to_owned());
            Rejection { place: place(&text::from_bytes(&name)), reason }
        }));
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

    /// The UID list of a folder, Dovecot's or Courier's; each entry goes to `each`.
    fn uid_list(&self, dir: &Path, each: impl FnMut(uidlist::Entry<'_>)) -> Result<(UidList, BadLines), SiteError> {
        for file in [maildir::UIDLIST, maildir::COURIER_UIDS] {
            let path = dir.join(file);
            if let Some(file) = tree::open_control(self.fs.as_ref(), &path).map_err(io_error("read", &path))? {
                return uidlist::read(file, each).map_err(io_error("read", &path));
            }
        }
        Ok((UidList::default(), BadLines::default()))
    }

    /// Every message file, by its [`Found::key`], from as many listings as it takes for one in which nothing changed.
    fn message_files(&self, dir: &Path, mut reject: impl FnMut(&[u8], Reason)) -> Result<Sorted, SiteError> {
        let (cur, new) = (dir.join("cur"), dir.join("new"));
        let times = |path: &Path| -> Result<_, SiteError> {
            let stat = tree::stat(self.fs.as_ref(), path).map_err(io_error("look at", path))?;
            Ok(stat.map(|Stat { mtime_nanos, ctime_nanos, ino, .. }| (mtime_nanos, ctime_nanos, ino)))
        };
        let mut before = (times(&new)?, times(&cur)?);
        let mut files = Sorter::new(&self.scratch());
        let mut strange = BTreeSet::new();
        for round in 0..limits::LISTING_ROUNDS {
            for (path, in_cur) in [(&new, false), (&cur, true)] {
                let mut take = |entry: DirEntry| {
                    let name = entry.name.into_vec();
                    if name.starts_with(b".") {
                        return;
                    }
                    let reason = match entry.kind {
                        FileKind::File if name::base(&name).is_empty() => "it has nothing before its flags",
                        FileKind::File => return files.push(&Found::key(&name, in_cur, round), &[]),
                        FileKind::Dir => "it is a directory among messages",
                        FileKind::Symlink => "it is a symbolic link among messages",
                        FileKind::Other => "it is no file, among messages",
                    };
                    if strange.insert(name.clone()) {
                        reject(&name, Reason::BadName(reason.to_owned()));
                    }
                };
                tree::each_entry(self.fs.as_ref(), path, &mut take).map_err(io_error("list", path))?;
            }
            let after = (times(&new)?, times(&cur)?);
            if after == before {
                break;
            }
            before = after;
        }
        Ok(files.finish())
    }

    /// Hands over one file of each base name, in order of that: of those in `cur` and `new` the one in `cur`, of several in
    /// one place what the last listing saw. A rename makes such twins for a moment; two files that are still there are two
    /// messages, and the name of the second is put among the `doubles`.
    fn one_of_each(&self, dir: &Path, files: Sorted, doubles: &mut Vec<Vec<u8>>, mut take: impl FnMut(&Found)) {
        let stat = |file: &Found| {
            let path = dir.join(file.dir()).join(OsStr::from_bytes(&file.name));
            self.fs.lstat(&path).ok().map(|stat| (stat.dev, stat.ino))
        };
        let mut kept: Option<Found> = None;
        for later in files.filter_map(|(key, _)| Found::of_key(&key)) {
            let Some(first) = kept.as_mut().filter(|first| first.base == later.base) else {
                kept.replace(later).iter().for_each(&mut take);
                continue;
            };
            if (&later.name, later.in_cur) != (&first.name, first.in_cur) {
                match (stat(first), stat(&later)) {
                    (Some(a), Some(b)) if a != b => doubles.push(later.name),
                    // What was seen first is gone: the message has the other name now.
                    (None, Some(_)) => *first = later,
                    _ => {}
                }
            }
        }
        kept.iter().for_each(take);
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
    fn item(&mut self, relative: &Path, file: &Found, entry: Option<Listed>) -> FoundItem {
        let parsed = name::parse(&file.name);
        let (uid, uidl) = entry.map(|entry| (entry.uid, entry.uidl)).unwrap_or_default();
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
            place: [relative.as_os_str().as_bytes(), b"/", file.dir().as_bytes(), b"/", &file.name].concat(),
            flags: parsed.flags,
            keywords,
            tags: labels.map(|labels| labels.tags.clone()).unwrap_or_default(),
            uid,
            uidl,
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
