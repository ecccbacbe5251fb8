//! Whether an archive whose snapshots are signed is as new as what a target has seen of it. Whoever may write into an
//! archive can put back an older state that was signed as well; only the target knows better.

use crate::archive::{Archive, ArchiveError};
use crate::map::{Map, MapError};
use crate::model::id::{SiteId, SnapshotNo};
use std::path::PathBuf;

/// Why a signed archive is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RollbackError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Map(#[from] MapError),
    #[error("{archive} was set back: its newest snapshot is {newest}, and this target has seen {seen}")]
    Older { archive: PathBuf, newest: SnapshotNo, seen: SnapshotNo },
    #[error("snapshot {seen} of {archive} is another than the one that this target has seen under this number")]
    Other { archive: PathBuf, seen: SnapshotNo },
}

/// Compares the newest signed snapshot of `source` with what the map has seen. Gives what is to be noted; nothing, when no
/// key is trusted.
pub fn compare(archive: &Archive, source: &SiteId, map: &Map) -> Result<Option<(SnapshotNo, String)>, RollbackError> {
    let Some(newest) = archive.newest_signed(source)? else { return Ok(None) };
    if let Some((seen, digest)) = map.trusted()? {
        let archive = archive.dir().to_owned();
        if newest.snapshot < seen {
            return Err(RollbackError::Older { archive, newest: newest.snapshot, seen });
        }
        // `forget` writes a snapshot again, and says in the new file, which is signed, which one it was.
        let replaces = newest.replaces.as_ref().is_some_and(|old| !old.is_empty() && digest.starts_with(old));
        if newest.snapshot == seen && newest.digest != digest && !replaces {
            return Err(RollbackError::Other { archive, seen });
        }
    }
    Ok(Some((newest.snapshot, newest.digest)))
}
