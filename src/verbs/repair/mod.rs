//! `repair`: the archive's own machinery under its lock (`archive::repair`).

use crate::archive::parity::{self, MendedFile};
use crate::archive::repair::{self, RepairReport};
use crate::archive::{self, Archive, ArchiveError};
use crate::event::Sink;
use crate::fs::Fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Repairs; a dry run takes no lock and changes nothing.
pub fn repair(
    archive: &Archive,
    dry_run: bool,
    (holder, now): (&str, i64),
    sink: &dyn Sink,
) -> Result<RepairReport, ArchiveError> {
    let lock = match dry_run {
        true => None,
        false => Some(archive.lock(holder, now)?),
    };
    repair::repair(archive, lock.as_ref(), sink)
}

/// Brings back what an archive cannot be opened without, where it has parity. Gives what was, or in a dry run would be,
/// brought back.
pub fn mend_beside(fs: &Arc<dyn Fs>, dir: &Path, dry_run: bool) -> Result<Vec<MendedFile>, ArchiveError> {
    parity::mend_beside(fs.as_ref(), dir, dry_run)
}

/// Writes again what an archive cannot be opened without where one of its two copies is damaged, and a second copy
/// where there is none. Gives which files that are, or in a dry run would be.
pub fn mend_copies(fs: &Arc<dyn Fs>, dir: &Path, dry_run: bool) -> Result<Vec<PathBuf>, ArchiveError> {
    archive::mend_copies(fs.as_ref(), dir, dry_run)
}
