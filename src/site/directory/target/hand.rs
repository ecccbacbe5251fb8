//! The hand that writes: every change of a target's files, with the owner that a server expects and errors that name
//! the path.
//!
//! Promises: what it makes belongs to the site's owner before it is visible under its name; a file it replaces is
//! complete and synced before it gets its name. Everything beneath `target` writes through it.

use super::shared_sync::SharedSync;
use crate::fs::{DirEntry, FileKind, FileWrite, Fs, Stat};
use crate::limits::CONTROL_FILE_BYTES;
use crate::site::SiteError;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How temporary names begin.
pub const TEMPORARY: &str = ".wagon-";
/// Mode of what only the mail server reads.
pub const PRIVATE: u32 = 0o600;
/// Mode of what the MTA reads as well.
pub const PUBLIC: u32 = 0o644;

/// Bytes of a control file that are written at once.
const DRAFT_BYTES: usize = 128 * 1024;

/// What a write waits for. A wait is a commit of the file system's journal, milliseconds each, so an import counts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sync {
    /// Content and name.
    Everything,
    /// The content, so that the name never leads to half of it; the caller syncs the folder.
    Content,
    /// Nothing: for new files without which nothing is lost.
    Nothing,
}

/// Writes files of a site. Cloning shares the file system.
#[derive(Clone)]
pub struct Hand {
    pub fs: Arc<dyn Fs>,
    /// Who gets what is written; `None`: whoever runs wagon.
    owner: Option<(u32, u32)>,
    /// Nanoseconds since 1970, of the full second: files of this pass are never older.
    began: i128,
    began_exactly: i128,
    /// Files that were there before and that this pass has written.
    rewritten: Arc<Mutex<HashSet<PathBuf>>>,
    syncs: Arc<SharedSync>,
}

/// `cannot ACTION PATH`, for `map_err`.
pub fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SiteError {
    let path = path.to_owned();
    move |source| SiteError::Io { action, path, source }
}

/// Whether the error concerns the whole site and not one item: the disk is full, a quota is used up, it is read-only.
pub fn is_fatal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied
    )
}

impl Hand {
    /// A hand for the site at `root`. Without an `owner`, what root writes goes to whom `mail/` belongs, because a mail
    /// server never serves as root.
    pub fn new(fs: Arc<dyn Fs>, root: &Path, owner: Option<(u32, u32)>) -> Self {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let inherited = || fs.stat(&root.join("mail")).ok().map(|stat| (stat.uid, stat.gid)).filter(|_| uid == 0);
        let owner = owner.or_else(inherited).filter(|&wanted| wanted != (uid, gid));
        let now = jiff::Timestamp::now();
        let began = i128::from(now.as_second()) * 1_000_000_000;
        Self { fs, owner, began, began_exactly: now.as_nanosecond(), rewritten: Arc::default(), syncs: Arc::default() }
    }

    /// Removes what a pass that was killed has left in this folder. Temporary files of this pass are younger than it.
    pub fn sweep(&self, dir: &Path) -> Result<(), SiteError> {
        for entry in self.list(dir)? {
            let path = dir.join(&entry.name);
            let is_ours =
                entry.kind != FileKind::Dir && entry.name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes());
            if is_ours && self.fs.lstat(&path).is_ok_and(|stat| stat.ctime_nanos < self.began) {
                self.remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Whether a file was last written before this pass began; also that of a pass a moment ago. File times are behind the
    /// clock by up to a tick, so what this pass writes first may count as earlier.
    pub fn is_earlier(&self, stat: &Stat) -> bool {
        stat.mtime_nanos < self.began_exactly
    }

    /// Whether a file certainly was last written before this pass began: file times are behind the clock, though never by a
    /// second.
    pub fn is_of_before(&self, stat: &Stat) -> bool {
        stat.mtime_nanos < self.began_exactly - 1_000_000_000
    }

    /// Whether the file that is about to be written was there before this pass, or may have been, as `stat` or the pass's
    /// own memory tell: after the first time, the file's own time is that of the pass.
    pub fn rewrites(&self, path: &Path, was_there: bool) -> bool {
        let mut rewritten = self.rewritten.lock().unwrap_or_else(PoisonError::into_inner);
        if was_there {
            rewritten.insert(path.to_owned());
        }
        was_there || rewritten.contains(path)
    }

    /// Gives a new file or folder to the owner.
    pub fn hand_over(&self, path: &Path) -> Result<(), SiteError> {
        self.hand_over_raw(path).map_err(io_error("set the owner of", path))
    }

    /// [`Hand::hand_over`] where the caller knows what the error means.
    pub fn hand_over_raw(&self, path: &Path) -> io::Result<()> {
        self.owner.map_or(Ok(()), |(uid, gid)| self.fs.set_owner(path, uid, gid))
    }

    /// Makes the folder and those above it that are missing, mode 0755 above and `mode` for itself.
    pub fn make_dir(&self, dir: &Path, mode: u32) -> Result<(), SiteError> {
        if self.is_dir(dir)? {
            return Ok(());
        }
        if let Some(above) = dir.parent()
            && !self.is_dir(above)?
        {
            self.make_dir(above, 0o755)?;
        }
        self.fs.create_dir_all(dir).map_err(io_error("make the folder", dir))?;
        self.fs.set_mode(dir, mode).map_err(io_error("set the mode of", dir))?;
        self.hand_over(dir)
    }

    /// Whether there is a folder at this path (through a link as well).
    pub fn is_dir(&self, path: &Path) -> Result<bool, SiteError> {
        Ok(self.stat(path)?.is_some_and(|stat| stat.kind == FileKind::Dir))
    }

    /// What lies at this path, links followed; `None` when nothing does.
    pub fn stat(&self, path: &Path) -> Result<Option<Stat>, SiteError> {
        absent(self.fs.stat(path)).map_err(io_error("look at", path))
    }

    /// Everything in the folder; nothing where there is none.
    pub fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, SiteError> {
        Ok(absent(self.fs.list(dir)).map_err(io_error("list", dir))?.unwrap_or_default())
    }

    /// The whole control file; `None` when there is none.
    pub fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, SiteError> {
        absent(self.fs.read(path, CONTROL_FILE_BYTES)).map_err(io_error("read", path))
    }

    /// Writes a file so that it is either complete under its name or not there, and durable.
    pub fn replace(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), SiteError> {
        self.put(path, bytes, mode, Sync::Everything)
    }

    /// [`Hand::replace`] with a choice of what is durable when it returns.
    pub fn put(&self, path: &Path, bytes: &[u8], mode: u32, sync: Sync) -> Result<(), SiteError> {
        self.draft(path.to_owned(), mode, sync, None, |out| out.write_all(bytes))?.put_in_place()?;
        if sync == Sync::Everything { self.sync_dir(path.parent().unwrap_or(Path::new("."))) } else { Ok(()) }
    }

    /// Writes a file under a temporary name beside `path`, with a modification time of its own (seconds since 1970) if
    /// asked for.
    pub fn draft(
        &self,
        path: PathBuf,
        mode: u32,
        sync: Sync,
        mtime: Option<i64>,
        content: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<Temporary<'_>, SiteError> {
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut file = self.fs.create_temp(dir, TEMPORARY).map_err(io_error("write in", dir))?;
        let fill = |file: &mut Box<dyn FileWrite>| {
            let mut out = BufWriter::with_capacity(DRAFT_BYTES, &mut *file);
            content(&mut out)?;
            out.flush()?;
            drop(out);
            file.set_mode(mode)?;
            if let Some(seconds) = mtime {
                file.set_mtime(seconds)?;
            }
            if sync == Sync::Nothing { Ok(()) } else { file.sync() }
        };
        fill(&mut file).map_err(io_error("write", &path))?;
        self.hand_over(file.path())?;
        Ok(Temporary::new(self, file, path))
    }

    /// Replaces the file unless it has this content already; keeps the mode of one that is there. Whether it wrote.
    pub fn update(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<bool, SiteError> {
        let before = self.stat(path)?;
        if before.is_some() && self.read(path)?.is_some_and(|present| present == bytes) {
            return Ok(false);
        }
        self.replace(path, bytes, before.map_or(mode, |stat| stat.mode & 0o7777))?;
        Ok(true)
    }

    /// Renames a file or folder.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), SiteError> {
        self.fs.rename(from, to).map_err(io_error("rename", from))
    }

    /// Removes a file; that it was not there is fine. Whether it was.
    pub fn remove_file(&self, path: &Path) -> Result<bool, SiteError> {
        Ok(absent(self.fs.remove_file(path)).map_err(io_error("remove", path))?.is_some())
    }

    /// Makes the names in a folder durable.
    pub fn sync_dir(&self, dir: &Path) -> Result<(), SiteError> {
        self.fs.sync_dir(dir).map_err(io_error("sync", dir))
    }

    /// Makes everything durable that was written on the file systems of these folders: content, names, UID lists. Threads
    /// that ask at the same time share one `syncfs`.
    pub fn sync_sites<'d>(&self, dirs: impl Iterator<Item = &'d Path>) -> Result<(), SiteError> {
        let mut devices = BTreeMap::new();
        for dir in dirs {
            devices.insert(self.fs.stat(dir).map_err(io_error("look at", dir))?.dev, dir);
        }
        let sync = |(device, dir)| self.syncs.sync(device, || self.fs.sync_all(dir)).map_err(io_error("sync", dir));
        devices.into_iter().try_for_each(sync)
    }

    /// Makes the file at `link` a symbolic link to `to`, replacing what was there, never leaving nothing.
    pub fn link(&self, to: &Path, link: &Path) -> Result<(), SiteError> {
        if self.fs.read_link(link).is_ok_and(|present| present == to) {
            return Ok(());
        }
        let temporary = beside(link, ".wagon-link");
        self.remove_file(&temporary)?;
        self.fs.symlink(to, &temporary).map_err(io_error("link", link))?;
        self.hand_over(&temporary)?;
        self.fs
            .rename(&temporary, link)
            .inspect_err(|_| drop(self.fs.remove_file(&temporary)))
            .map_err(io_error("link", link))?;
        self.sync_dir(link.parent().unwrap_or(Path::new(".")))
    }
}

/// A file that is written and has not got its name yet; dropping removes it.
pub struct Temporary<'a> {
    hand: &'a Hand,
    temporary: Option<PathBuf>,
    path: PathBuf,
}

impl<'a> Temporary<'a> {
    /// A file that was written, to be called `path`.
    pub fn new(hand: &'a Hand, file: Box<dyn FileWrite>, path: PathBuf) -> Self {
        Self { hand, temporary: Some(file.keep()), path }
    }

    /// Gives it its name, unless something has it: then that stays.
    pub fn put_in_place_if_new(mut self) -> Result<(), SiteError> {
        if let Some(temporary) = &self.temporary {
            match self.hand.fs.rename_new(temporary, &self.path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
                outcome => outcome.map_err(io_error("make", &self.path))?,
            }
        }
        self.temporary = None;
        Ok(())
    }

    /// Gives it its name, replacing what was there.
    pub fn put_in_place(mut self) -> Result<(), SiteError> {
        if let Some(temporary) = &self.temporary {
            self.hand.fs.rename(temporary, &self.path).map_err(io_error("replace", &self.path))?;
        }
        self.temporary = None;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            drop(self.hand.fs.remove_file(temporary));
        }
    }
}

/// "It is not there" as a value.
pub fn absent<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn beside(path: &Path, name: &str) -> PathBuf {
    path.with_file_name(name)
}
