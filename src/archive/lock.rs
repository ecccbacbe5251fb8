//! Not written yet; the signatures that others build on.

use super::{Archive, ArchiveError};
use crate::fs::Fs;
use crate::model::id::SiteId;
use std::path::Path;
use std::sync::Arc;

/// The right to write into an archive; ends when dropped.
pub struct ArchiveLock {}

impl Archive {
    /// Makes an empty archive in `dir`, which must not exist or be empty.
    pub fn create(_fs: Arc<dyn Fs>, _dir: &Path, _id: SiteId, _created: i64) -> Result<Self, ArchiveError> {
        todo!()
    }

    pub fn open(_fs: Arc<dyn Fs>, _dir: &Path) -> Result<Self, ArchiveError> {
        todo!()
    }

    /// Takes the lock, over from a dead holder if need be. `holder` says who, for the one who comes second; `now` is in
    /// seconds since 1970.
    pub fn lock(&self, _holder: &str, _now: i64) -> Result<ArchiveLock, ArchiveError> {
        todo!()
    }
}
