//! `protect`: the archive's own machinery under its lock (`archive::parity`).

use crate::archive::parity::{self, ProtectOptions, ProtectReport};
use crate::archive::{Archive, ArchiveError};
use crate::event::Sink;

/// Makes parity of what has none yet.
pub fn protect(
    archive: &Archive,
    options: ProtectOptions,
    (holder, now): (&str, i64),
    sink: &dyn Sink,
) -> Result<ProtectReport, ArchiveError> {
    let lock = archive.lock(holder, now)?;
    parity::protect(archive, &lock, options, sink)
}
