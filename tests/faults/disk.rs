//! What of a disk is durable, and what a power cut takes with it.
//!
//! The rules are those of POSIX, which are harder than those of any journalling file system: the content of a file is
//! durable after its own sync, a name after the sync of the folder that it is in, and `syncfs` makes everything durable.
//! Whatever is not may survive or not, each change by itself; only that a rename is one step, and that nothing lies in a
//! folder that does not exist, holds always. Content that was not synced is whole, empty, cut in half or zeros. Modes,
//! owners and times are not taken back. Files of SQLite are left out here: SQLite syncs them itself, and `databases` says
//! what of them may be lost.

use crate::databases::Saved;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

#[derive(Debug)]
enum Change {
    Made(PathBuf),
    Renamed { from: PathBuf, to: PathBuf, replaced: Option<PathBuf>, is_dir: bool },
    Removed { path: PathBuf, grave: PathBuf },
    RemovedDir(PathBuf),
}

impl Change {
    fn paths(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::Made(path) | Self::Removed { path, .. } | Self::RemovedDir(path) => vec![path],
            Self::Renamed { from, to, .. } => vec![from, to],
        }
    }

    fn names(&self) -> Vec<&Path> {
        match self {
            Self::Made(path) | Self::Removed { path, .. } | Self::RemovedDir(path) => vec![path],
            Self::Renamed { from, to, .. } => vec![from, to],
        }
    }

    /// The folder whose sync makes it durable.
    fn home(&self) -> &Path {
        match self {
            Self::Made(path) | Self::Removed { path, .. } | Self::RemovedDir(path) => path.parent().unwrap(),
            Self::Renamed { to, .. } => to.parent().unwrap(),
        }
    }

    /// Whether this cannot have happened if `earlier` did not.
    fn needs(&self, earlier: &Self) -> bool {
        let empties = matches!(self, Self::RemovedDir(_) | Self::Renamed { is_dir: true, .. });
        let meet = |mine: &Path, its: &Path| mine.starts_with(its) || (empties && its.starts_with(mine));
        self.names().iter().any(|mine| earlier.names().iter().any(|its| meet(mine, its)))
    }
}

/// The state of a disk beside what one sees of it.
pub struct Disk {
    grave: PathBuf,
    buried: u64,
    databases: Vec<PathBuf>,
    saved: Option<Saved>,
    /// What is not durable, in order; in paths as they are now.
    changes: Vec<Change>,
    /// Inodes of files whose content is not durable.
    dirty: BTreeSet<u64>,
}

fn inode(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().map(|meta| meta.ino())
}

fn is_database(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(".sqlite"))
}

impl Disk {
    pub fn new(grave: &Path, databases: &[PathBuf]) -> Self {
        Self {
            grave: grave.to_owned(),
            buried: 0,
            databases: databases.to_vec(),
            saved: None,
            changes: Vec::new(),
            dirty: BTreeSet::new(),
        }
    }

    pub fn made(&mut self, path: &Path) {
        if !is_database(path) {
            self.dirty.extend(inode(path));
            self.changes.push(Change::Made(path.to_owned()));
        }
    }

    pub fn made_dir(&mut self, path: &Path) {
        self.changes.push(Change::Made(path.to_owned()));
    }

    /// Keeps what lies at the path under a name in the grave; nothing when nothing does.
    pub fn bury(&mut self, path: &Path) -> Option<PathBuf> {
        let kept = self.grave.join(self.buried.to_string());
        self.buried += 1;
        fs::hard_link(path, &kept).ok().map(|()| kept)
    }

    pub fn renamed(&mut self, from: &Path, to: &Path, replaced: Option<PathBuf>) {
        let is_dir = to.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        if is_dir {
            self.changes.iter_mut().for_each(|change| change_beneath(change, from, to));
        }
        self.changes.push(Change::Renamed { from: from.to_owned(), to: to.to_owned(), replaced, is_dir });
    }

    /// To be called before the removal.
    pub fn removing(&mut self, path: &Path) {
        if let Some(grave) = self.bury(path).filter(|_| !is_database(path)) {
            self.changes.push(Change::Removed { path: path.to_owned(), grave });
        }
    }

    pub fn removed_dir(&mut self, path: &Path) {
        self.changes.push(Change::RemovedDir(path.to_owned()));
    }

    pub fn synced(&mut self, path: &Path) {
        if let Some(inode) = inode(path) {
            self.dirty.remove(&inode);
        }
    }

    pub fn synced_dir(&mut self, dir: &Path) {
        let mut durable = vec![false; self.changes.len()];
        for at in (0..self.changes.len()).rev() {
            // With a name, what led to it is durable too.
            let leads = |to: &usize| durable[*to] && touches(&self.changes[*to], &self.changes[at]);
            durable[at] = self.changes[at].home() == dir || (at + 1..self.changes.len()).any(|to| leads(&to));
        }
        let mut durable = durable.into_iter();
        self.changes.retain(|_| durable.next() == Some(false));
    }

    pub fn synced_all(&mut self) {
        self.changes.clear();
        self.dirty.clear();
    }

    pub fn save_databases(&mut self) {
        let saved = Saved::take(&self.databases, &self.grave.join("databases"));
        self.saved = Some(saved);
    }

    /// Makes the disk what is left of it.
    pub fn lose(&mut self, seed: u64) {
        let mut dice = Dice(seed);
        let lost = self.choose(&mut dice);
        let mut changes = std::mem::take(&mut self.changes);
        for at in (0..changes.len()).rev().filter(|at| lost[*at]) {
            let (earlier, rest) = changes.split_at_mut(at);
            self.undo(&rest[0]);
            if let Change::Renamed { from, to, is_dir: true, .. } = &rest[0] {
                earlier.iter_mut().for_each(|change| change_beneath(change, to, from));
            }
        }
        let dirs = self.databases.clone();
        dirs.iter().for_each(|dir| self.tear_below(dir, &mut dice));
        if let Some(saved) = self.saved.take() {
            saved.put_back(&mut dice);
        }
    }

    /// Which changes are lost: none, all, those after one moment, or any.
    fn choose(&self, dice: &mut Dice) -> Vec<bool> {
        let count = self.changes.len();
        let how = dice.roll(4);
        let moment = dice.roll(count as u64 + 1) as usize;
        let mut lost = Vec::with_capacity(count);
        for (at, change) in self.changes.iter().enumerate() {
            let chosen = match how {
                0 => false,
                1 => true,
                2 => at >= moment,
                _ => dice.roll(2) == 0,
            };
            let follows = self.changes.iter().zip(&lost).any(|(earlier, lost)| *lost && change.needs(earlier));
            lost.push(chosen || follows);
        }
        lost
    }

    fn undo(&mut self, change: &Change) {
        match change {
            Change::Made(path) => {
                // What was durable in a folder is lost with the folder's name.
                let away = self.grave.join(format!("lost-{}", self.buried));
                self.buried += 1;
                fs::rename(path, away).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
            Change::Renamed { from, to, replaced, .. } => {
                fs::rename(to, from).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
                if let Some(kept) = replaced {
                    fs::hard_link(kept, to).unwrap();
                }
            }
            Change::Removed { path, grave } => {
                fs::hard_link(grave, path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
            Change::RemovedDir(path) => fs::create_dir(path).unwrap(),
        }
    }

    fn tear_below(&self, dir: &Path, dice: &mut Dice) {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            if meta.is_dir() {
                self.tear_below(&path, dice);
            } else if path.to_string_lossy().ends_with(".lock") {
                bury_holder(&path);
            } else if meta.is_file() && self.dirty.contains(&meta.ino()) && !is_database(&path) {
                let bytes = fs::read(&path).unwrap();
                let left = match dice.roll(4) {
                    0 => bytes,
                    1 => Vec::new(),
                    2 => bytes[..bytes.len() / 2].to_vec(),
                    _ => vec![0; bytes.len()],
                };
                fs::write(&path, left).unwrap();
            }
        }
    }
}

/// The process that made a lock is dead after a power cut, and has ended after a pass; here it goes on, as the one that
/// runs the test, and the lock would be waited for until it is stale, for two minutes.
fn bury_holder(lock: &Path) {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    fs::write(lock, format!("99999999:{}", host.trim())).unwrap();
}

/// The same for all locks of mailboxes below a folder.
pub fn bury_holders(dir: &Path) {
    let files = crate::story::files_below(dir).into_iter();
    files.filter(|path| path.to_string_lossy().ends_with(".lock")).for_each(|lock| bury_holder(&lock));
}

/// Whether `earlier` gave `later` a name that it needs, or freed one.
fn touches(later: &Change, earlier: &Change) -> bool {
    later.names().iter().any(|mine| earlier.names().contains(mine))
}

/// Moves what lies beneath `from`.
fn change_beneath(change: &mut Change, from: &Path, to: &Path) {
    for path in change.paths() {
        if let Ok(rest) = path.strip_prefix(from)
            && !rest.as_os_str().is_empty()
        {
            *path = to.join(rest);
        }
    }
}

/// Numbers that look like chance and are the same every time (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    /// 0 to `sides` - 1.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}
