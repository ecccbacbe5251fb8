//! `repair`: the archive's own machinery under its lock (`archive::repair`).

use crate::archive::repair::{self, RepairReport};
use crate::archive::{Archive, ArchiveError};
use crate::event::Sink;

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
