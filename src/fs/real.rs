//! The one real implementation of [`Fs`](super::Fs): the operating system's.

#![allow(clippy::disallowed_methods, reason = "this is the one place that touches the file system")]

use super::{DirEntry, FileKind, FileRead, FileWrite, Fs, Stat};
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The operating system's files.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealFs;

struct RealFile(File);

impl FileRead for RealFile {
    fn stat(&self) -> io::Result<Stat> {
        Ok(to_stat(&self.0.metadata()?))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
}

struct RealTemporary {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl Write for RealTemporary {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FileWrite for RealTemporary {
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn write_behind(&mut self, offset: u64, bytes: u64) {
        // Dirty pages cannot be dropped from the cache, so Linux begins to write them and goes on. That it is refused on
        // other systems changes nothing.
        let bytes = std::num::NonZeroU64::new(bytes);
        let _ = rustix::fs::fadvise(&self.file, offset, bytes, rustix::fs::Advice::DontNeed);
    }

    fn set_mtime(&mut self, seconds: i64) -> io::Result<()> {
        let distance = Duration::from_secs(seconds.unsigned_abs());
        let time = if seconds < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        };
        self.file.set_modified(time.ok_or(io::ErrorKind::InvalidInput)?)
    }

    fn set_mode(&mut self, mode: u32) -> io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(mode))
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn keep(mut self: Box<Self>) -> PathBuf {
        self.kept = true;
        self.path.clone()
    }
}

impl Drop for RealTemporary {
    fn drop(&mut self) {
        if !self.kept {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

impl Fs for RealFs {
    fn open(&self, path: &Path) -> io::Result<Box<dyn FileRead>> {
        Ok(Box::new(RealFile(File::open(path)?)))
    }

    fn open_plain(&self, path: &Path) -> io::Result<Box<dyn FileRead>> {
        use rustix::fs::OFlags;
        use rustix::io::Errno;
        use std::os::unix::fs::OpenOptionsExt;
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        match File::options().read(true).custom_flags(flags).open(path) {
            Ok(file) => Ok(Box::new(RealFile(file))),
            // A symbolic link (LOOP; MLINK on FreeBSD), or a socket.
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::LOOP | Errno::MLINK | Errno::NXIO)) => {
                Err(super::not_regular())
            }
            Err(error) => Err(error),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        self.each_entry(dir, &mut |entry| entries.push(entry))?;
        Ok(entries)
    }

    fn each_entry(&self, dir: &Path, take: &mut dyn FnMut(DirEntry)) -> io::Result<()> {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            take(DirEntry { name: entry.file_name(), kind: to_kind(entry.file_type()?) });
        }
        Ok(())
    }

    fn lstat(&self, path: &Path) -> io::Result<Stat> {
        Ok(to_stat(&std::fs::symlink_metadata(path)?))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        Ok(to_stat(&std::fs::metadata(path)?))
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::read_link(path)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::canonicalize(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)
    }

    fn create_temp(&self, dir: &Path, prefix: &str) -> io::Result<Box<dyn FileWrite>> {
        let (file, path) = tempfile::Builder::new().prefix(prefix).tempfile_in(dir)?.keep()?;
        Ok(Box::new(RealTemporary { file, path, kept: false }))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FileWrite>> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(RealTemporary { file, path: path.to_owned(), kept: false }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // A file system without this flag: a link fails when the name is taken, which is the same promise.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                std::fs::hard_link(from, to)?;
                std::fs::remove_file(from)
            }
            outcome => Ok(outcome?),
        }
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(target, link)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn sync_all(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(path)?)?)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        std::os::unix::fs::lchown(path, Some(uid), Some(gid))
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        std::fs::set_permissions(path, Permissions::from_mode(mode))
    }

    fn try_share(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let file = File::open(path)?;
        held(file.try_lock_shared(), file)
    }

    fn try_exclude(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let file = File::open(path)?;
        held(file.try_lock(), file)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        held(file.try_lock(), file)
    }
}

/// The lock on a file lives as long as the file is open.
fn held(outcome: Result<(), std::fs::TryLockError>, file: File) -> io::Result<Option<Box<dyn Send + Sync>>> {
    match outcome {
        Ok(()) => Ok(Some(Box::new(file))),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

fn to_kind(kind: std::fs::FileType) -> FileKind {
    if kind.is_file() {
        FileKind::File
    } else if kind.is_dir() {
        FileKind::Dir
    } else if kind.is_symlink() {
        FileKind::Symlink
    } else {
        FileKind::Other
    }
}

fn to_stat(meta: &Metadata) -> Stat {
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Stat {
        kind: to_kind(meta.file_type()),
        size: meta.len(),
        mtime_nanos: nanos(meta.mtime(), meta.mtime_nsec()),
        ctime_nanos: nanos(meta.ctime(), meta.ctime_nsec()),
        dev: meta.dev(),
        ino: meta.ino(),
        mode: meta.mode(),
        uid: meta.uid(),
        gid: meta.gid(),
    }
}
