//! The lock of an archive: one writer at a time.
//!
//! The right lies in the system's lock on the file `lock`, so it ends with its holder's process, however that ends, and
//! nothing has to be taken over. Who holds it stands beside it in `lock.json`, for the one who comes second. Readers
//! need no lock: what they see is complete. Format: format-spec/archive.md.

use super::layout::{INDEXES, PACKS, SNAPSHOTS, TEMPORARY, io_error};
use super::parity::PARITY;
use super::{Archive, ArchiveError};
use crate::fs::Fs;
use crate::limits::ARCHIVE_HEADER_BYTES;
use crate::model::text;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) const LOCK: &str = "lock";
const HOLDER: &str = "lock.json";

/// The right to write into an archive; ends when dropped.
pub struct ArchiveLock {
    fs: Arc<dyn Fs>,
    holder: PathBuf,
    _held: Box<dyn Send + Sync>,
}

/// What `lock.json` says.
#[derive(Serialize, Deserialize)]
struct Holder {
    holder: String,
    pid: u32,
    /// Seconds since 1970.
    since: i64,
}

/// The lock of an archive that cannot be opened.
pub(super) fn writers_lock(fs: &dyn Fs, dir: &Path) -> Result<Box<dyn Send + Sync>, ArchiveError> {
    let path = dir.join(LOCK);
    fs.try_lock(&path).map_err(io_error("lock", &path))?.ok_or_else(|| in_use(fs, dir))
}

impl Archive {
    /// Takes the lock, over from a dead holder if need be, and removes what the dead left half written. `holder` says
    /// who, for the one who comes second; `now` is in seconds since 1970.
    pub fn lock(&self, holder: &str, now: i64) -> Result<ArchiveLock, ArchiveError> {
        let path = self.dir.join(LOCK);
        let Some(held) = self.fs.try_lock(&path).map_err(io_error("lock", &path))? else {
            return Err(in_use(self.fs.as_ref(), &self.dir));
        };
        let lock = ArchiveLock { fs: self.fs.clone(), holder: self.dir.join(HOLDER), _held: held };
        let says = Holder { holder: holder.to_owned(), pid: std::process::id(), since: now };
        let says = serde_json::to_vec(&says).unwrap_or_default();
        // It only informs, and so is not worth waiting for the disk.
        let error = |source| io_error("write", &lock.holder)(source);
        let mut file = self.fs.create_temp(&self.dir, ".wagon-").map_err(error)?;
        file.write_all(&says).map_err(error)?;
        self.fs.rename(file.path(), &lock.holder).map_err(error)?;
        drop(file.keep());
        for folder in [PACKS, INDEXES, SNAPSHOTS, PARITY] {
            self.remove_left_behind(folder)?;
        }
        Ok(lock)
    }

    /// Nobody else writes while we hold the lock, so whatever is temporary is dead.
    fn remove_left_behind(&self, folder: &str) -> Result<(), ArchiveError> {
        let dir = self.dir.join(folder);
        for entry in self.fs.list(&dir).unwrap_or_default() {
            if entry.name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
                let path = dir.join(&entry.name);
                self.fs.remove_file(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(())
    }
}

fn in_use(fs: &dyn Fs, dir: &Path) -> ArchiveError {
    let says = fs.read(&dir.join(HOLDER), ARCHIVE_HEADER_BYTES).ok();
    // The other one may have the lock and not yet have said so.
    let Some(says) = says.and_then(|bytes| serde_json::from_slice::<Holder>(&bytes).ok()) else {
        return ArchiveError::InUse { holder: "another program".to_owned(), since: "a moment ago".to_owned() };
    };
    let holder = says.holder.chars().take(200).collect::<String>();
    ArchiveError::InUse {
        holder: format!("{} (process {})", text::printable(&holder), says.pid),
        since: jiff::Timestamp::from_second(says.since).map(|time| time.to_string()).unwrap_or_default(),
    }
}

impl Drop for ArchiveLock {
    fn drop(&mut self) {
        // It only informs; if it stays, the next holder replaces it.
        drop(self.fs.remove_file(&self.holder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;

    fn archive(dir: &std::path::Path) -> Archive {
        Archive::create(Arc::new(RealFs), dir, "test".parse().unwrap(), 0).unwrap()
    }

    #[test]
    fn the_second_is_told_who_holds_it_and_since_when() {
        let dir = tempfile::tempdir().unwrap();
        let archive = archive(dir.path());
        let first = archive.lock("wagon export\u{1b}[2J on mx1", 1_700_000_000).unwrap();
        let error = archive.lock("wagon export on mx2", 1_700_000_100).err().unwrap().to_string();
        let pid = std::process::id();
        assert_eq!(
            error,
            format!(
                "the archive is in use by wagon export\\u{{1b}}[2J on mx1 (process {pid}) since 2023-11-14T22:13:20Z"
            )
        );
        drop(first);
        archive.lock("wagon export on mx2", 1_700_000_100).unwrap();
    }

    #[test]
    fn what_a_dead_holder_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let archive = archive(dir.path());
        std::fs::write(dir.path().join("lock"), "").unwrap();
        std::fs::write(dir.path().join("lock.json"), r#"{"holder":"the dead","pid":1,"since":0}"#).unwrap();
        std::fs::write(dir.path().join("packs/.tmp-abc"), "half a pack").unwrap();
        std::fs::write(dir.path().join("snapshots/.tmp-def"), "half a snapshot").unwrap();
        std::fs::write(dir.path().join("snapshots/.rsync"), "somebody else's").unwrap();
        let _lock = archive.lock("the living", 0).unwrap();
        assert!(!dir.path().join("packs/.tmp-abc").exists());
        assert!(!dir.path().join("snapshots/.tmp-def").exists());
        assert!(dir.path().join("snapshots/.rsync").exists());
    }
}
