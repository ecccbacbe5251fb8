//! `prune` and `repack`: the archive's own machinery under its lock (`archive::prune`).

use crate::archive::prune::{self, PruneOptions, PruneReport};
use crate::archive::{Archive, ArchiveError};
use crate::event::Sink;

/// Removes what no snapshot needs. A dry run takes no lock and changes nothing.
pub fn prune(
    archive: &Archive,
    options: &PruneOptions,
    (holder, now): (&str, i64),
    sink: &dyn Sink,
) -> Result<PruneReport, ArchiveError> {
    let lock = match options.dry_run {
        true => None,
        false => Some(archive.lock(holder, now)?),
    };
    prune::prune(archive, lock.as_ref(), options, sink)
}
