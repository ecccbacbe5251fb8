//! `wanted.json`: accounts of which a repair had to drop something. The next export reads them as with `--deep`, so that
//! what the source still has is stored again, and takes them off the list.
//!
//! It is no part of any snapshot: without it, `export --deep` does the same. Format: format-spec/archive.md.

use super::layout::{format_error, io_error};
use super::lock::ArchiveLock;
use super::{Archive, ArchiveError};
use crate::format::FormatError;
use crate::limits::WANTED_BYTES;
use crate::model::id::{RecordId, SiteId};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

const WANTED: &str = "wanted.json";

/// Accounts by source.
pub type Wanted = BTreeMap<SiteId, BTreeSet<RecordId>>;

impl Archive {
    /// The accounts that lost something, of all sources. A list that cannot be read is empty: it only saves time.
    pub fn wanted(&self) -> Result<Wanted, ArchiveError> {
        let path = self.dir.join(WANTED);
        match self.fs.read(&path, WANTED_BYTES) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Wanted::new()),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    /// Writes the list; an empty one is removed.
    pub fn set_wanted(&self, _lock: &ArchiveLock, wanted: &Wanted) -> Result<(), ArchiveError> {
        let path = self.dir.join(WANTED);
        if wanted.values().all(BTreeSet::is_empty) {
            return match self.fs.remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path)(error)),
                _ => Ok(()),
            };
        }
        let bytes = serde_json::to_vec(wanted)
            .map_err(|error| format_error(&path)(FormatError::Malformed { what: error.to_string(), at: 0 }))?;
        self.fs.replace(&path, &bytes, 0o600).map_err(io_error("write", &path))
    }
}
