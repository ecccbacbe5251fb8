//! The snapshots of an archive, from their heads alone.

use super::ShowError;
use crate::archive::Archive;
use crate::format::snapshot::{Counts, Selection, SnapshotHead};
use crate::model::id::{SiteId, SnapshotNo};
use serde::Serialize;

/// One snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct SnapshotLine {
    pub no: SnapshotNo,
    pub parent: Option<SnapshotNo>,
    pub source: SiteId,
    pub locator: String,
    pub label: Option<String>,
    /// Seconds since 1970.
    pub started: i64,
    pub finished: i64,
    pub selection: Selection,
    pub counts: Counts,
}

impl From<SnapshotHead> for SnapshotLine {
    fn from(head: SnapshotHead) -> Self {
        Self {
            no: head.no,
            parent: head.parent,
            source: head.source,
            locator: head.locator,
            label: head.label,
            started: head.started,
            finished: head.finished,
            selection: head.selection,
            counts: head.counts,
        }
    }
}

/// All snapshots, oldest first; of one source, where that is asked for.
pub fn snapshots(archive: &Archive, source: Option<&SiteId>) -> Result<Vec<SnapshotLine>, ShowError> {
    let heads = archive.heads()?.read.into_iter();
    Ok(heads.filter(|head| source.is_none_or(|source| head.source == *source)).map(SnapshotLine::from).collect())
}
