//! The files of an archive: packs, indexes, snapshots, the lock. Knows nothing of sites.
//! Format: format-spec/archive.md.

pub mod check;
mod compressors;
mod cursor;
mod entry_lines;
pub mod forget;
pub mod heads;
pub mod history;
mod index;
mod layout;
pub mod lock;
mod merge;
mod open_pack;
pub mod pack_reader;
pub mod pack_writer;
mod parallel;
pub mod prune;
mod publisher;
mod readers;
pub mod repair;
mod rewrite;
mod salvage;
mod segment_cache;
pub mod snapshot;
mod spool;
mod table;
mod usage;
pub mod wanted;
mod window;

use crate::format::FormatError;
use crate::format::archive_header::ArchiveHeader;
use crate::fs::Fs;
use crate::model::id::{ObjectId, SiteId, SnapshotNo};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What can go wrong between a verb and the files of an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    #[error("cannot {action} {path}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{0} is not an archive of wagon: it has no wagon.json")]
    NotAnArchive(PathBuf),
    #[error("{path} cannot be read as an archive's file")]
    Format { path: PathBuf, source: FormatError },
    #[error("the archive is in use by {holder} since {since}")]
    InUse { holder: String, since: String },
    #[error("the archive has no snapshot {0}")]
    NoSnapshot(SnapshotNo),
    #[error("the archive has no snapshot{}", .0.as_ref().map(|id| format!(" of source {id}")).unwrap_or_default())]
    Empty(Option<SiteId>),
    #[error("the archive holds several sources ({0}); name one with --source")]
    SeveralSources(String),
    #[error("object {id} is not in the archive")]
    NoObject { id: ObjectId },
    #[error("object {id} is damaged: {what}")]
    DamagedObject { id: ObjectId, what: String },
    #[error("pack {pack}: segment at byte {offset} does not inflate")]
    DamagedSegment { pack: String, offset: u64 },
    #[error("what was just compressed does not inflate to the same bytes: {what}; nothing was committed")]
    FaultyCompressor { what: String },
    #[error("the writing of the archive was stopped")]
    Stopped,
}

/// An archive that is open for reading. [`lock::ArchiveLock`] is needed to write.
pub struct Archive {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    header: ArchiveHeader,
    open_snapshots: snapshot::OpenSnapshots,
    /// Says that somebody reads (`readers`).
    sharing: Arc<readers::Sharing>,
    /// Where tables of objects are made and kept; without it they go with the process.
    scratch: Option<PathBuf>,
}

impl Archive {
    fn new(fs: Arc<dyn Fs>, dir: &Path, header: ArchiveHeader) -> Self {
        Self {
            fs,
            dir: dir.to_owned(),
            header,
            open_snapshots: snapshot::OpenSnapshots::default(),
            sharing: Arc::default(),
            scratch: None,
        }
    }

    /// The same with `dir`, which must exist, as the place for what a large archive's tables of objects need: 28 bytes
    /// for each object. A writer leaves its table there for the next pass. Without it, the system's folder for temporary
    /// files is used, and nothing is left.
    #[must_use]
    pub fn with_tables_in(mut self, dir: &Path) -> Self {
        self.scratch = Some(dir.to_owned());
        self
    }

    fn scratch_dir(&self) -> PathBuf {
        self.scratch.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// The same archive for somebody who outlives this value.
    fn again(&self) -> Self {
        Self {
            sharing: self.sharing.clone(),
            scratch: self.scratch.clone(),
            ..Self::new(self.fs.clone(), &self.dir, self.header.clone())
        }
    }

    pub fn id(&self) -> &SiteId {
        &self.header.id
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}
