//! The folders and settings of one account: which directories are folders, under which keys.
//!
//! A directory that cannot be read is still a folder, and reading it is what fails then: it must not look deleted. Two
//! directories that give one key, or one directory under two names, are one folder and a rejection.

use super::maildir::{SUBSCRIPTIONS, folder_dir};
use super::view::View;
use super::{DirectorySite, Unreadable, io_error, layout, tree, vdir};
use crate::event::{Place, Reason, Rejection};
use crate::fs::{FileKind, Stat};
use crate::limits;
use crate::model::mailbox::{FolderKey, FolderKind};
use crate::model::setting::Setting;
use crate::model::text;
use crate::site::{FoundFolder, MailboxScan, SiteError};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// What hints at a folder under another path: device and inode of its directory.
pub fn ident(stat: &Stat) -> String {
    format!("ino:{:x}-{}", stat.dev, stat.ino)
}

impl DirectorySite {
    pub(super) fn scan_mailbox(&self, account: &str) -> Result<MailboxScan, SiteError> {
        let Some(maildir) = self.maildir(account) else { return Ok(MailboxScan::default()) };
        let reached = match layout::mail_home(account).map_or(Ok(()), |home| self.reach(&home)) {
            Err(error) if self.unreadable == Unreadable::Fails => return Err(error),
            reached => reached,
        };
        let view = self.scanned_view(account, &maildir)?;
        let mut scan =
            Scan { site: self, account, folders: BTreeMap::new(), seen: HashMap::new(), rejected: Vec::new() };
        match reached {
            Ok(()) => {
                scan.mail(&maildir)?;
                scan.filters(&maildir)?;
                scan.rejected.extend(
                    view.subscribed
                        .as_ref()
                        .err()
                        .map(|reason| Rejection { place: Place::account(account), reason: reason.clone() }),
                );
            }
            Err(error) => scan.reject_part(error)?,
        }
        scan.dav()?;
        scan.rejected.extend(
            view.fault.iter().map(|reason| Rejection { place: Place::account(account), reason: reason.clone() }),
        );
        let bad_rows = view.rows.bad.iter().map(|what| Rejection {
            place: Place::account(account),
            reason: Reason::Malformed(format!("{} in site.sqlite makes no sense", what)),
        });
        scan.rejected.extend(bad_rows);
        let mut settings = view.rows.settings.clone();
        settings.extend(scan.subscriptions_elsewhere(&view));
        let folders = scan.folders.into_iter().map(|(key, ident)| FoundFolder { key, ident }).collect();
        settings.sort_by_cached_key(Setting::key);
        settings.dedup_by_key(|setting| setting.key());
        let settings_unseen = view.rows_unseen;
        Ok(MailboxScan { folders, settings, rejected: scan.rejected, settings_unseen })
    }

    /// Refuses a home that cannot be looked into: what lies below it would seem to be gone, where a directory above it is
    /// a file, or a link to a disk that is not there. A home that does not exist is no trouble.
    fn reach(&self, home: &Path) -> Result<(), SiteError> {
        let mut path = self.root.clone();
        for level in home {
            path.push(level);
            match tree::stat(self.fs.as_ref(), &path).map_err(io_error("look at", &path))? {
                Some(stat) if stat.kind == FileKind::Dir => {}
                Some(_) => return Err(io_error("list", &path)(io::ErrorKind::NotADirectory.into())),
                None => break,
            }
        }
        Ok(())
    }
}

struct Scan<'a> {
    site: &'a DirectorySite,
    account: &'a str,
    folders: BTreeMap<FolderKey, Option<String>>,
    /// Key of the folder whose directory has this ident.
    seen: HashMap<String, FolderKey>,
    rejected: Vec<Rejection>,
}

impl Scan<'_> {
    fn mail(&mut self, maildir: &Path) -> Result<(), SiteError> {
        let fs = self.site.fs.as_ref();
        let Some(entries) = tree::list(fs, maildir).map_err(io_error("list", maildir))? else { return Ok(()) };
        self.add(FolderKey::inbox(), maildir)?;
        let mut dirs: Vec<_> = entries
            .into_iter()
            .filter(|entry| matches!(entry.kind, FileKind::Dir | FileKind::Symlink))
            .filter(|entry| {
                let name = entry.name.as_bytes();
                name.starts_with(b".") && name != folder_dir::DOVECOT_TRASHED
            })
            .map(|entry| {
                let path = folder_dir::parse(entry.name.as_bytes());
                // Of several spellings the one that is looked for first by `DirectorySite::folder_dir` is the folder, and
                // a directory goes before a link to it.
                let name = entry.name.as_bytes();
                let spelling = if name == folder_dir::encode(&path).as_bytes() {
                    0
                } else if name == folder_dir::encode_utf8(&path).as_bytes() {
                    1
                } else {
                    2
                };
                (entry.kind == FileKind::Symlink, spelling, path, entry.name)
            })
            .collect();
        dirs.sort_unstable();
        for (is_link, _, path, name) in dirs {
            let shown = text::from_bytes(name.as_bytes());
            let dir = maildir.join(&name);
            // A link to a file is nobody's folder.
            if is_link && matches!(tree::stat(fs, &dir), Ok(Some(stat)) if stat.kind != FileKind::Dir) {
                continue;
            }
            if path == "INBOX" {
                self.reject(&shown, Reason::BadName("the inbox is the Maildir itself".to_owned()));
                continue;
            }
            match self.key(FolderKind::Mail, &path) {
                Ok(key) => self.add(key, &dir)?,
                Err(reason) => self.reject(&shown, reason),
            }
        }
        Ok(())
    }

    /// Subscriptions to what is no folder of the mailbox, as far as they can be carried.
    fn subscriptions_elsewhere(&mut self, view: &View) -> Vec<Setting> {
        let Ok(subscribed) = &view.subscribed else { return Vec::new() };
        let is_folder =
            |path: &str| FolderKey::new(FolderKind::Mail, path).is_ok_and(|key| self.folders.contains_key(&key));
        let (mut found, mut too_long) = (Vec::new(), 0);
        for path in subscribed.iter().filter(|path| !is_folder(path)) {
            if path.len() > limits::FOLDER_PATH_BYTES || found.len() >= limits::FOLDERS_PER_ACCOUNT {
                too_long += 1;
            } else {
                found.push(Setting::Subscription { path: path.clone() });
            }
        }
        if too_long > 0 {
            let what = format!("{too_long} subscriptions are longer or more than are carried");
            self.reject(SUBSCRIPTIONS, Reason::TooLarge(what));
        }
        found
    }

    fn dav(&mut self) -> Result<(), SiteError> {
        let Some(home) = layout::dav_home(self.account) else { return Ok(()) };
        if let Err(error) = self.site.reach(&home) {
            return self.reject_part(error);
        }
        let home = self.site.root.join(home);
        for kind in [FolderKind::Calendars, FolderKind::Contacts, FolderKind::Tasks, FolderKind::Files] {
            let Some(dir) = vdir::kind_dir(kind).map(|name| home.join(name)) else { continue };
            self.collections(kind, &dir, "")?;
        }
        Ok(())
    }

    /// The folders in `dir`, which is the folder at `above`, or the top of its kind where that is empty.
    fn collections(&mut self, kind: FolderKind, dir: &Path, above: &str) -> Result<(), SiteError> {
        let listed = tree::list(self.site.fs.as_ref(), dir);
        let mut entries = match listed {
            Ok(entries) => entries.unwrap_or_default(),
            // The folder itself is known already, and looking into it will fail again, as an error.
            Err(error) if !above.is_empty() => {
                let reason = Reason::Unreadable(format!("what lies below it: {error}"));
                self.reject(&format!("{}/{above}", kind.word()), reason);
                return Ok(());
            }
            Err(error) => return self.reject_part(io_error("list", dir)(error)),
        };
        entries.sort_unstable_by(|a, b| {
            (a.kind == FileKind::Symlink, &a.name).cmp(&(b.kind == FileKind::Symlink, &b.name))
        });
        for entry in entries {
            let name = text::from_bytes(entry.name.as_bytes());
            let path = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
            let child = dir.join(&entry.name);
            let is_dir = match entry.kind {
                FileKind::Dir => true,
                FileKind::Symlink => {
                    !matches!(tree::stat(self.site.fs.as_ref(), &child), Ok(Some(stat)) if stat.kind != FileKind::Dir)
                }
                FileKind::File | FileKind::Other => false,
            };
            if layout::is_hidden(&entry.name) {
                continue;
            }
            let shown = format!("{}/{path}", kind.word());
            if !is_dir {
                // Items of a folder are its listing's; at the top there is no folder that could hold them.
                if above.is_empty() {
                    self.reject(&shown, Reason::BadName("it is a file outside of any folder".to_owned()));
                }
                continue;
            }
            if layout::to_bytes(&name) != entry.name.as_bytes() {
                self.reject(&shown, Reason::BadName("it looks like a name in another encoding".to_owned()));
                continue;
            }
            match self.key(kind, &path) {
                Ok(key) => {
                    let known = self.folders.len();
                    self.add(key, &child)?;
                    if self.folders.len() > known {
                        self.collections(kind, &child, &path)?;
                    }
                }
                Err(reason) => self.reject(&shown, reason),
            }
        }
        Ok(())
    }

    fn filters(&mut self, maildir: &Path) -> Result<(), SiteError> {
        let dir = maildir.with_file_name(layout::SIEVE);
        let active = maildir.with_file_name(layout::ACTIVE_SIEVE);
        let fs = self.site.fs.as_ref();
        let stat = tree::stat(fs, &dir).map_err(io_error("look at", &dir))?;
        let active = tree::found(fs.lstat(&active)).map_err(io_error("look at", &active))?;
        if stat.is_none() && active.is_none() {
            return Ok(());
        }
        if let Ok(key) = self.key(FolderKind::Filters, layout::FILTERS_PATH) {
            self.folders.insert(key, stat.as_ref().map(ident));
        }
        Ok(())
    }

    fn key(&self, kind: FolderKind, path: &str) -> Result<FolderKey, Reason> {
        let key = FolderKey::new(kind, path).map_err(|bad| Reason::BadName(bad.to_string()))?;
        if key.levels().count() > limits::FOLDER_DEPTH {
            return Err(Reason::TooLarge(format!("it has more than {} levels", limits::FOLDER_DEPTH)));
        }
        Ok(key)
    }

    fn add(&mut self, key: FolderKey, dir: &Path) -> Result<(), SiteError> {
        if self.folders.len() >= limits::FOLDERS_PER_ACCOUNT {
            let what = format!("more than {} folders", limits::FOLDERS_PER_ACCOUNT);
            return Err(SiteError::Malformed { path: dir.to_owned(), what });
        }
        if self.folders.contains_key(&key) {
            let name = dir.file_name().unwrap_or_default();
            let reason = Reason::BadName(format!("{} is another spelling of it", text::from_bytes(name.as_bytes())));
            self.reject(&key.to_string(), reason);
            return Ok(());
        }
        let stat = match tree::stat(self.site.fs.as_ref(), dir) {
            Ok(Some(stat)) => stat,
            Ok(None) => return Ok(()), // gone since it was listed
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.reject(&key.to_string(), Reason::Unreadable("a symbolic link that leads nowhere".to_owned()));
                return Ok(());
            }
            // On a target it would pass for gone.
            Err(error) if self.site.unreadable == Unreadable::Fails => return Err(io_error("look at", dir)(error)),
            Err(error) => {
                self.reject(&key.to_string(), Reason::Unreadable(error.to_string()));
                return Ok(());
            }
        };
        let ident = ident(&stat);
        if let Some(first) = self.seen.get(&ident) {
            let reason = Reason::BadName(format!("the same directory as {first}"));
            self.reject(&key.to_string(), reason);
            return Ok(());
        }
        self.seen.insert(ident.clone(), key.clone());
        self.folders.insert(key, Some(ident));
        Ok(())
    }

    /// Lists a part of the mailbox that nobody can look into; the rest goes on.
    fn reject_part(&mut self, error: SiteError) -> Result<(), SiteError> {
        if self.site.unreadable == Unreadable::Fails {
            return Err(error);
        }
        self.rejected.push(Rejection { place: Place::account(self.account), reason: error.as_reason() });
        Ok(())
    }

    fn reject(&mut self, folder: &str, reason: Reason) {
        self.rejected.push(Rejection { place: Place::folder(self.account, &folder), reason });
    }
}
