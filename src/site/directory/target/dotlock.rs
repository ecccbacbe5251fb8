//! Dovecot's dotlock protocol, for `dovecot-uidlist` and the dictionary of shared folders.
//!
//! Promises: while a [`Dotlock`] lives, no Dovecot and no other wagon changes the file it guards. The lock is the file
//! `NAME.lock`, named exclusively, with `PID:HOST` in it as Dovecot writes it: a holder that died on this host is taken
//! over at once, any other lock after it has not changed for [`LOCK_STALE`]. Dropping gives it back.
//!
//! Called around every change of a uidlist. Never held while message bytes are written or synced.

use super::super::super::SiteError;
use super::hand::TEMPORARY;
use crate::fs::{Fs, Stat};
use crate::limits::{LOCK_POLL, LOCK_STALE, LOCK_WAIT};
use std::ffi::OsString;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A lock that is held. Dropping it removes the lock file, unless somebody has taken it over meanwhile.
pub struct Dotlock<'a> {
    fs: &'a dyn Fs,
    path: PathBuf,
    ino: u64,
}

impl<'a> Dotlock<'a> {
    /// Waits until the lock of `file` is ours: [`LOCK_WAIT`] at most, then `Locked`.
    ///
    /// The lock gets its name when it says whose it is: an empty one, of somebody who died before the first byte, would
    /// have to be waited for until it is stale.
    pub fn take(fs: &'a dyn Fs, file: &Path) -> Result<Self, SiteError> {
        let mut name = file.file_name().map_or_else(OsString::new, OsString::from);
        name.push(".lock");
        let path = file.with_file_name(name);
        let written = write_own(fs, &path);
        let (own, ino) = written.map_err(|source| SiteError::Io { action: "lock", path: path.clone(), source })?;
        let taken = Self::wait(fs, &own, &path);
        if taken.is_err() {
            drop(fs.remove_file(&own));
        }
        taken.map(|()| Self { fs, path, ino })
    }

    /// Gives the file at `own` the lock's name as soon as nobody else has it.
    fn wait(fs: &dyn Fs, own: &Path, path: &Path) -> Result<(), SiteError> {
        let io = |action| move |source| SiteError::Io { action, path: path.to_owned(), source };
        let began = Instant::now();
        let mut seen: Option<(Stat, Instant)> = None;
        loop {
            match fs.rename_new(own, path) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io("lock")(error)),
            }
            let now = match fs.lstat(path) {
                Ok(stat) => stat,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(io("look at the lock")(error)),
            };
            let unchanged = seen.filter(|(before, _)| before.ino == now.ino && before.mtime_nanos == now.mtime_nanos);
            let since = unchanged.map_or_else(Instant::now, |(_, since)| since);
            seen = Some((now, since));
            if since.elapsed() >= LOCK_STALE || holder_is_dead(fs, path) {
                // Whoever else waits may have been first: then the next round finds a new lock.
                drop(fs.remove_file(path));
            } else if began.elapsed() >= LOCK_WAIT {
                return Err(SiteError::Locked { path: path.to_owned(), since: seconds(now.mtime_nanos) });
            } else {
                std::thread::sleep(LOCK_POLL);
            }
        }
    }
}

/// Writes who we are beside the lock; gives its path and inode. That it is whole only helps others to see that we died.
fn write_own(fs: &dyn Fs, lock: &Path) -> io::Result<(PathBuf, u64)> {
    let mut file = fs.create_temp(lock.parent().unwrap_or(Path::new(".")), TEMPORARY)?;
    drop(file.write_all(format!("{}:{}", std::process::id(), host(fs)).as_bytes()));
    let ino = fs.lstat(file.path())?.ino;
    Ok((file.keep(), ino))
}

impl Drop for Dotlock<'_> {
    fn drop(&mut self) {
        // When the disk does not answer, the lock is most likely still ours, and left behind it would keep all others
        // out. One that was taken over is another's.
        if self.fs.lstat(&self.path).map_or_else(|error| error.kind() != ErrorKind::NotFound, |now| now.ino == self.ino)
        {
            // Left behind, it would keep everybody waiting, ourselves too, so one failure is not taken for an answer.
            drop(self.fs.remove_file(&self.path).or_else(|_| self.fs.remove_file(&self.path)));
        }
    }
}

fn host(fs: &dyn Fs) -> String {
    let name = fs.read(Path::new("/proc/sys/kernel/hostname"), 256).unwrap_or_default();
    String::from_utf8_lossy(&name).trim().to_owned()
}

/// Whether the lock names a process of this host that is no more. Any doubt means no.
fn holder_is_dead(fs: &dyn Fs, lock: &Path) -> bool {
    let Ok(content) = fs.read(lock, 512) else { return false };
    let text = String::from_utf8_lossy(&content);
    let Some((pid, on)) = text.trim().split_once(':') else { return false };
    let Ok(pid) = pid.parse::<u32>() else { return false };
    on == host(fs)
        && fs.lstat(Path::new("/proc/self")).is_ok()
        && fs.lstat(&Path::new("/proc").join(pid.to_string())).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// A time of a file in nanoseconds, for people.
pub fn seconds(nanos: i128) -> String {
    let seconds = i64::try_from(nanos / 1_000_000_000).unwrap_or_default();
    jiff::Timestamp::from_second(seconds).map_or_else(|_| format!("{seconds} s"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;
    use std::time::Duration;

    #[test]
    fn a_lock_is_a_file_beside_the_guarded_one_and_goes_with_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("dovecot-uidlist");
        let lock = Dotlock::take(&RealFs, &list).unwrap();
        let text = String::from_utf8(RealFs.read(&dir.path().join("dovecot-uidlist.lock"), 100).unwrap()).unwrap();
        assert!(text.starts_with(&format!("{}:", std::process::id())), "{text}");
        drop(lock);
        assert!(RealFs.list(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn a_second_one_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("dovecot-uidlist");
        let first = Dotlock::take(&RealFs, &list).unwrap();
        let held_for = Duration::from_millis(150);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let began = Instant::now();
                let _second = Dotlock::take(&RealFs, &list).unwrap();
                began.elapsed()
            });
            std::thread::sleep(held_for);
            drop(first);
            assert!(waiting.join().unwrap() >= held_for / 2);
        });
    }

    #[test]
    fn the_lock_of_a_dead_process_of_this_host_is_taken_over_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("dovecot-uidlist");
        let mut file = RealFs.create_new(&dir.path().join("dovecot-uidlist.lock")).unwrap();
        // Above the largest pid that Linux gives (2^22).
        file.write_all(format!("99999999:{}", host(&RealFs)).as_bytes()).unwrap();
        file.keep();
        let began = Instant::now();
        let _lock = Dotlock::take(&RealFs, &list).unwrap();
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_lock_that_was_taken_over_is_not_removed_by_its_first_holder() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("dovecot-uidlist");
        let path = dir.path().join("dovecot-uidlist.lock");
        let first = Dotlock::take(&RealFs, &list).unwrap();
        let other = RealFs.create_new(&dir.path().join("other")).unwrap().keep();
        RealFs.rename(&other, &path).unwrap();
        drop(first);
        assert!(RealFs.lstat(&path).is_ok());
    }
}
