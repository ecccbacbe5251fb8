//! Folders whose items are files that may be edited in place: vdir collections, folders of files, Sieve scripts.
//!
//! Here each file's own times count, so every pass looks at every file; they are few. The mark is over all of them.

use super::mark::{self, Fingerprint};
use super::view::View;
use super::{DirectorySite, io_error, layout, tree, vdir};
use crate::event::{Place, Reason, Rejection};
use crate::fs::FileKind;
use crate::model::mailbox::{Flags, Folder, FolderKey, FolderKind};
use crate::model::text;
use crate::site::{Depth, FolderListing, FolderScan, FoundItem, FoundItems, SiteError};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Name of the item that stands for an active script which is a file of its own instead of a link; Pigeonhole gives such
/// a file this name when it takes it over.
pub const UNMANAGED_SCRIPT: &str = "dovecot.orig";

impl DirectorySite {
    pub(super) fn collection(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        let Some(dir) = self.collection_dir(account, key) else { return Ok(FolderScan::Vanished) };
        let maildir = self.maildir(account).unwrap_or_default(); // only for a view that mail folders may use as well
        let fresh = mark.filter(|_| depth == Depth::Marks).and_then(|_| self.fresh_view(account));
        let view = fresh.map_or_else(|| self.view(account, &maildir), Ok)?;
        let now = (self.clock)();
        let mut scan = CollectionScan {
            site: self,
            account,
            key,
            view: &view,
            now,
            fingerprint: Fingerprint::new(now),
            listing: FolderListing {
                folder: Folder::at(key.clone()),
                items: FoundItems::default(),
                rejected: Vec::new(),
                beside_unseen: false,
                subscription_unseen: false,
                mark: Vec::new(),
            },
        };
        let exists = match key.kind() {
            FolderKind::Filters => scan.scripts(&dir)?,
            _ => scan.vdir(&dir)?,
        };
        if !exists {
            return Ok(FolderScan::Vanished);
        }
        let CollectionScan { mut fingerprint, mut listing, .. } = scan;
        fingerprint.value(&view.row(key));
        let (new_mark, trusted) = fingerprint.finish();
        if depth == Depth::Marks && mark == Some(new_mark.as_slice()) && !view.fault_is_new {
            return Ok(FolderScan::Unchanged);
        }
        listing.items.sort(|name| {
            let reason = Reason::BadName("another item has a name that looks the same".to_owned());
            listing.rejected.push(Rejection { place: Place::item(account, key, name), reason });
        });
        if let Some(row) = view.row(key) {
            listing.folder.special_use = row.special_use.flatten();
            listing.folder.subscribed = row.subscribed.unwrap_or_default();
            listing.folder.grants.clone_from(&row.grants);
            if listing.folder.title.is_none() {
                listing.folder.title.clone_from(&row.title);
            }
            if listing.folder.color.is_none() {
                listing.folder.color.clone_from(&row.color);
            }
        }
        listing.note_view(account, &view);
        if trusted && !listing.beside_unseen {
            listing.mark = new_mark;
        }
        Ok(FolderScan::Listed(Box::new(listing)))
    }

    /// Where the items of a folder that is not mail lie, absolute.
    pub(super) fn collection_dir(&self, account: &str, key: &FolderKey) -> Option<PathBuf> {
        match key.kind() {
            FolderKind::Mail => None,
            FolderKind::Filters if key.path() != layout::FILTERS_PATH => None,
            FolderKind::Filters => Some(self.root.join(layout::mail_home(account)?).join(layout::SIEVE)),
            kind => {
                let mut dir = self.root.join(layout::dav_home(account)?).join(vdir::kind_dir(kind)?);
                dir.extend(key.levels().map(|level| OsString::from_vec(layout::to_bytes(level).into_owned())));
                Some(dir)
            }
        }
    }
}

/// One look at one folder.
struct CollectionScan<'a> {
    site: &'a DirectorySite,
    account: &'a str,
    key: &'a FolderKey,
    view: &'a View,
    now: i128,
    fingerprint: Fingerprint,
    listing: FolderListing,
}

impl CollectionScan<'_> {
    /// Whether the collection exists.
    fn vdir(&mut self, dir: &Path) -> Result<bool, SiteError> {
        let Some(entries) = tree::list(self.site.fs.as_ref(), dir).map_err(io_error("list", dir))? else {
            return Ok(false);
        };
        let mut names: Vec<_> = entries.into_iter().map(|entry| (entry.name, entry.kind)).collect();
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let extension = vdir::extension(self.key.kind());
        for (name, kind) in names {
            let has_metadata = extension.is_some();
            match kind {
                FileKind::Dir => {} // a folder of its own
                // Hidden files of a folder of files are the user's; elsewhere they are a server's caches.
                _ if layout::is_hidden(&name) && has_metadata => {}
                _ if has_metadata && is_temporary(&name) => {}
                _ if has_metadata && vdir::METADATA.iter().any(|file| name == *file) => {
                    let text = self.metadata(dir, &name)?;
                    if let Some(place) = vdir::metadata(&mut self.listing.folder, name.as_bytes()) {
                        *place = text;
                    }
                }
                _ if extension.is_none_or(|extension| has_extension(&name, extension)) => {
                    let path = dir.join(&name);
                    self.item(text::from_bytes(name.as_bytes()), &path)?;
                }
                _ => self.reject(&name, "it is no item of a collection like this"),
            }
        }
        Ok(true)
    }

    /// Whether the account has any script.
    fn scripts(&mut self, dir: &Path) -> Result<bool, SiteError> {
        let fs = self.site.fs.as_ref();
        let entries = tree::list(fs, dir).map_err(io_error("list", dir))?;
        let mut exists = entries.is_some();
        let mut names: Vec<_> = entries.unwrap_or_default().into_iter().map(|entry| (entry.name, entry.kind)).collect();
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in names {
            let stem = name.as_bytes().strip_suffix(b".sieve").filter(|stem| !stem.is_empty());
            match (kind, stem) {
                (FileKind::Dir, _) => {} // Pigeonhole's `tmp`
                _ if layout::is_hidden(&name) || name.as_bytes().ends_with(b".svbin") => {}
                (_, Some(stem)) => self.item(text::from_bytes(stem), &dir.join(&name))?,
                _ => self.reject(&name, "it is no script"),
            }
        }
        let active = dir.with_file_name(layout::ACTIVE_SIEVE);
        let stat = tree::found(fs.lstat(&active)).map_err(io_error("look at", &active))?;
        self.fingerprint.stat(stat.as_ref());
        exists |= stat.is_some();
        match stat.map(|stat| stat.kind) {
            Some(FileKind::Symlink) => {
                let target = fs.read_link(&active).map_err(io_error("read", &active))?;
                let name = script_of(&target).filter(|name| self.listing.items.names().any(|item| item == *name));
                if name.is_none() {
                    self.reject(OsStr::new(layout::ACTIVE_SIEVE), "it leads to none of the account's scripts");
                }
                self.listing.folder.active = name;
            }
            Some(FileKind::File) => {
                self.item(UNMANAGED_SCRIPT.to_owned(), &active)?;
                self.listing.folder.active = Some(UNMANAGED_SCRIPT.to_owned());
            }
            Some(_) => self.reject(OsStr::new(layout::ACTIVE_SIEVE), "it is neither a file nor a link"),
            None => {}
        }
        Ok(exists)
    }

    fn metadata(&mut self, dir: &Path, name: &OsStr) -> Result<Option<String>, SiteError> {
        let path = dir.join(name);
        let stat = tree::found(self.site.fs.lstat(&path)).map_err(io_error("look at", &path))?;
        self.fingerprint.stat(stat.as_ref());
        let bytes = tree::read_control(self.site.fs.as_ref(), &path).map_err(io_error("read", &path))?;
        let text = bytes.and_then(|bytes| vdir::parse_metadata(&bytes));
        Ok(if name == vdir::COMPONENTS { text.and_then(|text| vdir::components(&text)) } else { text })
    }

    fn item(&mut self, name: String, path: &Path) -> Result<(), SiteError> {
        // One that vanishes now was never seen.
        let Some(stat) = tree::found(self.site.fs.lstat(path)).map_err(io_error("look at", path))? else {
            return Ok(());
        };
        self.fingerprint.value(&name);
        self.fingerprint.stat(Some(&stat));
        if stat.kind != FileKind::File {
            let shown = path.file_name().unwrap_or_default();
            self.reject(shown, "it is no regular file");
            return Ok(());
        }
        let labels = self.view.row(self.key).and_then(|row| row.labels.get(&name)).cloned().unwrap_or_default();
        let place = path.strip_prefix(&self.site.root).unwrap_or(path);
        self.listing.items.push(&FoundItem {
            name,
            place: place.as_os_str().as_bytes().to_vec(),
            flags: Flags::default(),
            keywords: labels.keywords,
            tags: labels.tags,
            uid: None,
            uidl: None,
            version: mark::version(&stat, self.now),
        });
        Ok(())
    }

    fn reject(&mut self, name: &OsStr, why: &str) {
        self.fingerprint.value(&name);
        let place = Place::item(self.account, self.key, &text::from_bytes(name.as_bytes()));
        self.listing.rejected.push(Rejection { place, reason: Reason::BadName(why.to_owned()) });
    }
}

/// A file that a client is about to rename into place (vdir, "Writing to vdirs").
fn is_temporary(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b".tmp") || name.as_bytes().ends_with(b"~")
}

fn has_extension(name: &OsStr, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// The name of the script that the link leads to; `None` where it leads out of the folder of scripts.
fn script_of(target: &Path) -> Option<String> {
    let stem = target.file_name()?.as_bytes().strip_suffix(b".sieve")?;
    let folder = target.parent()?.file_name()?;
    (folder == layout::SIEVE).then(|| text::from_bytes(stem))
}
