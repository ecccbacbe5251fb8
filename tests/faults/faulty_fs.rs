//! A file system that fails when it is told to: an error at the N-th operation, half a write, or the end of all power.
//!
//! Works on the real one, so that SQLite and whoever looks afterwards see the same files. Counts every call, also those on
//! open files; forwards every method that the real one implements itself, and leaves `read` and `replace` to the trait, so
//! that each of their steps counts. What a power cut takes with it is `disk`'s affair.

use crate::disk::Disk;
use stationwagon::fs::{DirEntry, FileRead, FileWrite, Fs, RealFs, Stat};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};

/// What happens at the operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It ends with EIO and does nothing; the next ones work.
    Io,
    /// The same with EINTR.
    Interrupted,
    /// It and every later one that needs room ends with ENOSPC.
    Full,
    /// A write writes half of its bytes and ends with EIO; what comes next works.
    Torn,
    /// It and all that follow do nothing and end with EIO: the machine is off.
    PowerCut,
}

impl Fault {
    /// Which operations it can happen to, and so which are counted.
    fn concerns(self, kind: Kind) -> bool {
        match self {
            Self::Io | Self::Interrupted => true,
            Self::Full => matches!(kind, Kind::Write | Kind::Room),
            Self::Torn => kind == Kind::Write,
            // Whether it happens before or after something is read makes no difference to a disk.
            Self::PowerCut => kind != Kind::Read,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Read,
    /// Writes bytes.
    Write,
    /// Needs room otherwise: a new name.
    Room,
    /// Changes or syncs something.
    Change,
}

/// The operating system's files with one fault.
#[derive(Clone)]
pub struct FaultyFs(Arc<State>);

struct State {
    fault: Fault,
    at: u64,
    count: AtomicU64,
    off: AtomicBool,
    struck: Mutex<Option<String>>,
    disk: Mutex<Disk>,
}

impl FaultyFs {
    /// `fault` happens at operation `at`, counted from 0 among those that it concerns. `grave` is an empty folder on the
    /// same file system; databases in `databases` are saved there when the power goes.
    pub fn new(fault: Fault, at: u64, grave: &Path, databases: &[PathBuf]) -> Self {
        let disk = Mutex::new(Disk::new(grave, databases));
        let (count, off, struck) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(None));
        Self(Arc::new(State { fault, at, count, off, struck, disk }))
    }

    /// The operation that the fault met, in words; `None`: it was not reached.
    pub fn struck(&self) -> Option<String> {
        self.0.struck.lock().unwrap().clone()
    }

    /// Operations so far that the fault could have met.
    pub fn operations(&self) -> u64 {
        self.0.count.load(SeqCst)
    }

    /// Ends all power now, unless it is off already.
    pub fn cut(&self) {
        if !self.0.off.swap(true, SeqCst) {
            self.disk().save_databases();
        }
    }

    /// Makes the disk what a power cut may leave of it; `seed` chooses. Nobody may have a database open.
    pub fn after_power_cut(&self, seed: u64) {
        self.disk().lose(seed);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.disk.lock().unwrap()
    }

    fn is_off(&self) -> bool {
        self.0.off.load(SeqCst)
    }

    /// Counts an operation; gives whether it is to be torn, or the error that it ends with.
    fn operation(&self, kind: Kind, what: &str, path: &Path) -> io::Result<bool> {
        let State { fault, at, count, .. } = &*self.0;
        if self.is_off() {
            return Err(rustix::io::Errno::IO.into());
        }
        if !fault.concerns(kind) {
            return Ok(false);
        }
        let number = count.fetch_add(1, SeqCst);
        if number < *at || (number > *at && *fault != Fault::Full) {
            return Ok(false);
        }
        self.0.struck.lock().unwrap().get_or_insert_with(|| format!("{what} {}", path.display()));
        match fault {
            Fault::Io => Err(rustix::io::Errno::IO.into()),
            Fault::Interrupted => Err(rustix::io::Errno::INTR.into()),
            Fault::Full => Err(rustix::io::Errno::NOSPC.into()),
            Fault::Torn => Ok(true),
            Fault::PowerCut => {
                self.cut();
                Err(rustix::io::Errno::IO.into())
            }
        }
    }

    fn wrap_read(&self, path: &Path, file: Box<dyn FileRead>) -> Box<dyn FileRead> {
        Box::new(FaultyRead { fs: self.clone(), path: path.to_owned(), file })
    }

    fn wrap_new(&self, file: Box<dyn FileWrite>) -> Box<dyn FileWrite> {
        self.disk().made(file.path());
        Box::new(FaultyWrite { fs: self.clone(), path: file.path().to_owned(), file: Some(file) })
    }
}

struct FaultyRead {
    fs: FaultyFs,
    path: PathBuf,
    file: Box<dyn FileRead>,
}

impl FileRead for FaultyRead {
    fn stat(&self) -> io::Result<Stat> {
        self.fs.operation(Kind::Read, "stat of open", &self.path)?;
        self.file.stat()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.fs.operation(Kind::Read, "read", &self.path)?;
        self.file.read_at(buf, offset)
    }
}

struct FaultyWrite {
    fs: FaultyFs,
    path: PathBuf,
    /// Absent once it is kept.
    file: Option<Box<dyn FileWrite>>,
}

impl FaultyWrite {
    fn file(&mut self) -> &mut dyn FileWrite {
        self.file.as_mut().unwrap().as_mut()
    }
}

impl Drop for FaultyWrite {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        if self.fs.is_off() {
            file.keep(); // nobody is left to remove it
        } else {
            // Where it lies under another name already, there is nothing to remove.
            self.fs.disk().removing(&self.path);
            drop(file);
        }
    }
}

impl Write for FaultyWrite {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.fs.operation(Kind::Write, "write", &self.path)? {
            self.file().write_all(&buf[..buf.len() / 2])?;
            return Err(rustix::io::Errno::IO.into());
        }
        self.file().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

impl FileWrite for FaultyWrite {
    fn sync(&mut self) -> io::Result<()> {
        self.fs.operation(Kind::Change, "sync", &self.path)?;
        self.file().sync()?;
        self.fs.disk().synced(&self.path);
        Ok(())
    }

    fn write_behind(&mut self, offset: u64, bytes: u64) {
        self.file().write_behind(offset, bytes);
    }

    fn set_mtime(&mut self, seconds: i64) -> io::Result<()> {
        self.fs.operation(Kind::Change, "set time", &self.path)?;
        self.file().set_mtime(seconds)
    }

    fn set_mode(&mut self, mode: u32) -> io::Result<()> {
        self.fs.operation(Kind::Change, "set mode", &self.path)?;
        self.file().set_mode(mode)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn keep(mut self: Box<Self>) -> PathBuf {
        self.file.take().unwrap().keep()
    }
}

impl Fs for FaultyFs {
    fn open(&self, path: &Path) -> io::Result<Box<dyn FileRead>> {
        self.operation(Kind::Read, "open", path)?;
        Ok(self.wrap_read(path, RealFs.open(path)?))
    }

    fn open_plain(&self, path: &Path) -> io::Result<Box<dyn FileRead>> {
        self.operation(Kind::Read, "open", path)?;
        Ok(self.wrap_read(path, RealFs.open_plain(path)?))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.operation(Kind::Read, "list", dir)?;
        RealFs.list(dir)
    }

    fn lstat(&self, path: &Path) -> io::Result<Stat> {
        self.operation(Kind::Read, "lstat", path)?;
        RealFs.lstat(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.operation(Kind::Read, "stat", path)?;
        RealFs.stat(path)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        self.operation(Kind::Read, "read link", path)?;
        RealFs.read_link(path)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.operation(Kind::Read, "canonical", path)?;
        RealFs.canonical(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.operation(Kind::Room, "make folder", dir)?;
        let missing: Vec<_> = dir.ancestors().take_while(|path| RealFs.lstat(path).is_err()).collect();
        RealFs.create_dir_all(dir)?;
        missing.into_iter().rev().for_each(|path| self.disk().made_dir(path));
        Ok(())
    }

    fn create_temp(&self, dir: &Path, prefix: &str) -> io::Result<Box<dyn FileWrite>> {
        self.operation(Kind::Room, "make temporary in", dir)?;
        Ok(self.wrap_new(RealFs.create_temp(dir, prefix)?))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FileWrite>> {
        self.operation(Kind::Room, "make", path)?;
        Ok(self.wrap_new(RealFs.create_new(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operation(Kind::Room, "rename to", to)?;
        let mut disk = self.disk();
        let replaced = disk.bury(to);
        RealFs.rename(from, to)?;
        disk.renamed(from, to, replaced);
        Ok(())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operation(Kind::Room, "rename to new", to)?;
        RealFs.rename_new(from, to)?;
        self.disk().renamed(from, to, None);
        Ok(())
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        self.operation(Kind::Room, "link", link)?;
        RealFs.symlink(target, link)?;
        self.disk().made_dir(link); // as a folder it has no content of its own to lose
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.operation(Kind::Change, "remove", path)?;
        self.disk().removing(path);
        RealFs.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.operation(Kind::Change, "remove folder", path)?;
        RealFs.remove_dir(path)?;
        self.disk().removed_dir(path);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.operation(Kind::Change, "sync folder", dir)?;
        RealFs.sync_dir(dir)?;
        self.disk().synced_dir(dir);
        Ok(())
    }

    fn sync_all(&self, path: &Path) -> io::Result<()> {
        self.operation(Kind::Change, "sync all", path)?;
        // Not the real one: it would wait for whatever else this machine writes.
        self.disk().synced_all();
        Ok(())
    }

    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        self.operation(Kind::Change, "set owner of", path)?;
        RealFs.set_owner(path, uid, gid)
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.operation(Kind::Change, "set mode of", path)?;
        RealFs.set_mode(path, mode)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.operation(Kind::Room, "lock", path)?;
        RealFs.try_lock(path)
    }

    fn try_share(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.operation(Kind::Read, "share", path)?;
        RealFs.try_share(path)
    }

    fn try_exclude(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.operation(Kind::Read, "take for oneself", path)?;
        RealFs.try_exclude(path)
    }
}
