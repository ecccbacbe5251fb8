//! Stories of the directory site as a source: a tree on disk, and what a pass sees of it.

#![allow(clippy::disallowed_methods, reason = "tests make the tree that the source reads")]

mod collections;
mod hooked_fs;
mod hostile;
mod mail;
mod provisioning;

use super::{DirectorySite, site_db, system_clock};
use crate::db;
use crate::event::Rejection;
use crate::fs::{Fs, RealFs};
use crate::model::mailbox::{FolderKey, FolderKind};
use crate::site::{Content, Depth, FolderListing, FolderScan, FoundItem, Source};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

const ANN: &str = "ann@a.test";
const MAILDIR: &str = "mail/a.test/ann/Maildir";

/// A site in a folder of its own.
struct World {
    root: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { root: TempDir::new().unwrap() };
        fs::create_dir(world.path("mail")).unwrap();
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn rename(&self, from: &str, to: &str) -> &Self {
        fs::create_dir_all(self.path(to).parent().unwrap()).unwrap();
        fs::rename(self.path(from), self.path(to)).unwrap();
        self
    }

    fn link(&self, target: impl AsRef<Path>, link: &str) -> &Self {
        let link = self.path(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, link).unwrap();
        self
    }

    /// Runs SQL on `site.sqlite`, made if missing.
    fn sql(&self, sql: &str) -> &Self {
        let db = db::open(&self.path(site_db::FILE), &site_db::KIND).unwrap();
        db.execute_batch(sql).unwrap();
        self
    }

    /// The source, with a clock ten seconds ahead: nothing on disk is young then, and marks are trusted.
    fn site(&self) -> DirectorySite {
        self.site_on(Arc::new(RealFs))
    }

    fn site_on(&self, fs: Arc<dyn Fs>) -> DirectorySite {
        let mut site = DirectorySite::open(fs, self.root.path()).unwrap();
        site.clock = || system_clock() + 10_000_000_000;
        site
    }

    fn folders(&self, account: &str) -> Vec<String> {
        self.site().mailbox(account).unwrap().folders.iter().map(|found| found.key.to_string()).collect()
    }

    fn list(&self, folder: &str) -> FolderListing {
        self.site().listing(ANN, &mail(folder), None)
    }
}

impl DirectorySite {
    fn listing(&self, account: &str, key: &FolderKey, mark: Option<&[u8]>) -> FolderListing {
        match self.folder(account, key, mark, Depth::Marks).unwrap() {
            FolderScan::Listed(listing) => *listing,
            other => panic!("{key}: {other:?}"),
        }
    }

    fn is_unchanged(&self, account: &str, key: &FolderKey, mark: &[u8]) -> bool {
        matches!(self.folder(account, key, Some(mark), Depth::Marks).unwrap(), FolderScan::Unchanged)
    }

    fn text(&self, key: &FolderKey, item: &FoundItem) -> String {
        match self.read(ANN, key, item).unwrap() {
            Content::Bytes { bytes, .. } => String::from_utf8(bytes).unwrap(),
            Content::Large { size, .. } => format!("large: {size}"),
            Content::Vanished => "vanished".to_owned(),
            Content::Rejected(reason) => reason.to_string(),
        }
    }
}

fn mail(path: &str) -> FolderKey {
    FolderKey::new(FolderKind::Mail, path).unwrap()
}

fn names(listing: &FolderListing) -> Vec<String> {
    listing.items.names().collect()
}

fn lines(rejected: &[Rejection]) -> Vec<String> {
    rejected.iter().map(|rejection| format!("{}: {}", rejection.place, rejection.reason)).collect()
}
