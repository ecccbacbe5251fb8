//! The content of one item: opened where the listing saw it, or where it has gone since.

use super::maildir::name;
use super::{DirectorySite, tree};
use crate::event::Reason;
use crate::fs::{FileRead, Stat};
use crate::limits;
use crate::model::mailbox::{FolderKey, FolderKind};
use crate::model::text;
use crate::site::{Content, FoundItem};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How often an item that is being moved or written is tried again before it is left for the next pass.
const ATTEMPTS: usize = 3;

impl DirectorySite {
    pub(super) fn read_item(&self, key: &FolderKey, item: &FoundItem) -> Content {
        let mut path = self.root.join(OsStr::from_bytes(&item.place));
        for _ in 0..ATTEMPTS {
            match self.read_at(key.kind(), &path) {
                Ok(Some(content)) => return content,
                Ok(None) => {}
                Err(error) => return Content::Rejected(Reason::Unreadable(error.to_string())),
            }
            if key.kind() == FolderKind::Mail {
                match self.renamed(&path, &item.name) {
                    Ok(Some(now)) => path = now,
                    Ok(None) => return Content::Vanished,
                    Err(error) => return Content::Rejected(Reason::Unreadable(error.to_string())),
                }
            }
        }
        Content::Vanished
    }

    /// Reads the file at `path`; `None` where there is none, or where it changed while it was read.
    fn read_at(&self, kind: FolderKind, path: &Path) -> io::Result<Option<Content>> {
        let Some((file, stat)) = tree::open_regular(self.fs.as_ref(), path)? else { return Ok(None) };
        let date = seconds(&stat);
        if stat.size > limits::WHOLE_ITEM_BYTES {
            return Ok(Some(large(file.into(), &stat)));
        }
        let bytes = tree::read_open(file.as_ref(), stat.size)?;
        // A message file never changes under its name; the others may be edited in place.
        if kind != FolderKind::Mail {
            let after = file.stat()?;
            if (after.mtime_nanos, after.size) != (stat.mtime_nanos, stat.size) || bytes.len() as u64 != stat.size {
                return Ok(None);
            }
        }
        Ok(Some(Content::Bytes { bytes, date }))
    }

    /// Where the message that was at `path` is now, in the same folder: moved from `new` to `cur`, or with other flags.
    fn renamed(&self, path: &Path, item: &str) -> io::Result<Option<PathBuf>> {
        let Some(folder) = path.parent().and_then(Path::parent) else { return Ok(None) };
        for dir in ["new", "cur"] {
            let dir = folder.join(dir);
            let entries = tree::list(self.fs.as_ref(), &dir)?.unwrap_or_default();
            let same = |name: &&OsStr| text::from_bytes(name::base(name.as_bytes())) == item;
            if let Some(name) = entries.iter().map(|entry| entry.name.as_os_str()).find(same) {
                return Ok(Some(dir.join(name)));
            }
        }
        Ok(None)
    }
}

/// Seconds since 1970, rounded down.
fn seconds(stat: &Stat) -> i64 {
    i64::try_from(stat.mtime_nanos.div_euclid(1_000_000_000)).unwrap_or_default()
}

/// An item that is streamed. The file stays open, so that a rename between two readings does not matter.
fn large(file: Arc<dyn FileRead>, stat: &Stat) -> Content {
    let size = stat.size;
    let open = move || -> io::Result<Box<dyn io::Read + Send>> {
        Ok(Box::new(Streamed { file: Arc::clone(&file), offset: 0, size }))
    };
    Content::Large { size, date: seconds(stat), open: Box::new(open) }
}

/// The first `size` bytes of an open file; an error where it has become shorter.
struct Streamed {
    file: Arc<dyn FileRead>,
    offset: u64,
    size: u64,
}

impl io::Read for Streamed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.offset).unwrap_or(usize::MAX);
        let end = buf.len().min(left);
        let Some(part) = buf.get_mut(..end).filter(|part| !part.is_empty()) else { return Ok(0) };
        let n = self.file.read_at(part, self.offset)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += n as u64;
        Ok(n)
    }
}
