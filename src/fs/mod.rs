//! The file system as a trait, so that a test can count, fail or tear every operation.
//!
//! All archive and site I/O goes through [`Fs`]; `std::fs` is a disallowed method elsewhere (clippy.toml). [`Fs::replace`]
//! is the only way a file gets its final name: written, synced, renamed, and its folder synced.

pub(crate) mod forward;
mod patient;
mod real;
mod throttled;
mod unnamed;

pub use patient::PatientFs;
pub use real::RealFs;
pub use throttled::{Counted, Throttle, ThrottledFs};
pub use unnamed::{Secrecy, UnnamedFile};

use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What a name stands for, as `lstat` sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    File,
    Dir,
    Symlink,
    Other,
}

/// One name in a folder; `kind` as the listing gave it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    pub name: OsString,
    pub kind: FileKind,
}

/// What `stat` says; times in nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    pub kind: FileKind,
    pub size: u64,
    pub mtime_nanos: i128,
    pub ctime_nanos: i128,
    pub dev: u64,
    pub ino: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// A file open for reading at any offset.
pub trait FileRead: Send + Sync {
    fn stat(&self) -> io::Result<Stat>;
    /// Reads at most `buf.len()` bytes at `offset`; 0 at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// So many bytes at `at`, all of them. The caller knows the bound of what it asks for.
pub fn read_exact_at(file: &dyn FileRead, at: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut out = vec![0; bytes];
    fill_at(file, at, &mut out)?;
    Ok(out)
}

/// Fills `room` with what stands at `at`.
pub fn fill_at(file: &dyn FileRead, at: u64, room: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + filled as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A file being written under a temporary name. Dropping it without [`FileWrite::keep`] removes it.
pub trait FileWrite: io::Write + Send {
    fn sync(&mut self) -> io::Result<()>;
    /// Asks the system to begin writing these bytes to the disk, without waiting: a later [`FileWrite::sync`] has less to
    /// do. A hint; nothing is promised.
    fn write_behind(&mut self, _offset: u64, _bytes: u64) {}
    /// Modification time, seconds since 1970.
    fn set_mtime(&mut self, seconds: i64) -> io::Result<()>;
    fn set_mode(&mut self, mode: u32) -> io::Result<()>;
    fn path(&self) -> &Path;
    /// Leaves the file where it is, under its temporary name.
    fn keep(self: Box<Self>) -> PathBuf;
}

/// Every file operation that wagon does. Paths are absolute or relative to the working directory.
pub trait Fs: Send + Sync {
    /// What holds back whoever uses this, for those who reach the site by other ways than files; `None`: nothing does.
    fn throttle(&self) -> Option<Arc<Throttle>> {
        None
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn FileRead>>;
    /// Opens a file that users can put there: no symbolic link is followed, and a pipe is not waited for. What was opened
    /// may still be no regular file.
    fn open_plain(&self, path: &Path) -> io::Result<Box<dyn FileRead>> {
        let before = self.lstat(path)?;
        if before.kind != FileKind::File {
            return Err(not_regular());
        }
        let file = self.open(path)?;
        let stat = file.stat()?;
        // Somebody put another file there between the two calls.
        if (stat.dev, stat.ino) == (before.dev, before.ino) { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
    }
    /// Everything in the folder but `.` and `..`, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// [`Fs::list`] for a folder of which not all should be held: hands over one after the other.
    fn each_entry(&self, dir: &Path, take: &mut dyn FnMut(DirEntry)) -> io::Result<()> {
        self.list(dir)?.into_iter().for_each(take);
        Ok(())
    }
    /// Does not follow a symbolic link.
    fn lstat(&self, path: &Path) -> io::Result<Stat>;
    /// Follows symbolic links.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    fn read_link(&self, path: &Path) -> io::Result<PathBuf>;
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;
    /// Makes the folder and those above it.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// A new file in `dir` under a name that begins with `prefix` and that nobody has; mode 0600.
    fn create_temp(&self, dir: &Path, prefix: &str) -> io::Result<Box<dyn FileWrite>>;
    /// A new file at exactly this path, mode 0600; an error when there is one.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FileWrite>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames, but fails with `AlreadyExists` when `to` is there.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes everything written to the file system that holds `path` durable (`syncfs`).
    fn sync_all(&self, path: &Path) -> io::Result<()>;
    /// Bytes that may still be written to the file system of `path`.
    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()>;
    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// Takes an exclusive lock on the file, made if missing, that ends with the process; `None`: another holds it.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>>;

    /// Shares the file with others who do, until the process ends or the guard is dropped; `None`: somebody has it for
    /// himself. The file is only opened for reading, so this works on read-only media.
    fn try_share(&self, _path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        Ok(Some(Box::new(())))
    }
    /// Takes a file that is there for oneself; `None`: others share it, or one has it.
    fn try_exclude(&self, _path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        Ok(Some(Box::new(())))
    }

    /// The whole file, unless it has more than `limit` bytes (`FileTooLarge`).
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let size = file.stat()?.size;
        read_whole(file.as_ref(), size, limit)
    }

    /// Writes a file so that it is either complete under its name or not there: temporary, synced, renamed, folder
    /// synced. Replaces what was there.
    fn replace(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        self.replace_with(path, mode, &mut |out| out.write_all(bytes))
    }

    /// [`Fs::replace`] for what `write` writes, which is never in memory as a whole.
    fn replace_with(
        &self,
        path: &Path,
        mode: u32,
        write: &mut dyn FnMut(&mut dyn io::Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut file = self.create_temp(dir, ".wagon-")?;
        let mut out = io::BufWriter::new(&mut file);
        write(&mut out)?;
        io::Write::flush(&mut out)?;
        drop(out);
        file.set_mode(mode)?;
        file.sync()?;
        let temporary = file.keep();
        self.rename(&temporary, path).inspect_err(|_| drop(self.remove_file(&temporary)))?;
        self.sync_dir(dir)
    }
}

/// The error of opening what is no regular file where one is needed.
pub fn not_regular() -> io::Error {
    io::Error::other("not a regular file")
}

/// Reads the file to its end; `size` is what `stat` said and only a hint, `limit` is a bound.
pub fn read_whole(file: &dyn FileRead, size: u64, limit: u64) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {limit} bytes"));
    if size > limit {
        return Err(too_large());
    }
    // One byte more than the size, so that the end is seen without a second buffer.
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| too_large())? + 1];
    let mut filled = 0;
    loop {
        let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) else {
            if filled as u64 > limit {
                return Err(too_large());
            }
            bytes.resize(filled + 64 * 1024, 0);
            continue;
        };
        match file.read_at(rest, filled as u64) {
            Ok(0) => break,
            Ok(n) => {
                filled += n;
                // There was room for more, so this was the end.
                if filled as u64 == size {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// SHA-256 and length of all that `file` still gives.
pub fn digest(file: &mut dyn io::Read) -> io::Result<([u8; 32], u64)> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((digest.finalize().into(), size)),
            Ok(n) => {
                digest.update(buffer.get(..n).unwrap_or_default());
                size += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// How old a temporary file must be before it counts as left behind by a crash.
pub const STALE_TEMPORARY: Duration = Duration::from_secs(36 * 3600);
