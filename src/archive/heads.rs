//! The heads of all snapshots: which file stands for a number when another takes its place, and which cannot be read.
//!
//! Promises that a snapshot that cannot be read stands in the way of nobody who does not need it, and that what only this
//! machine cannot read (rights, a newer format) is never taken for damage. Format: format-spec/snapshot.md.

use super::layout::{SnapshotName, format_error};
use super::{Archive, ArchiveError, SealError};
use crate::format::FormatError;
use crate::format::snapshot::SnapshotHead;
use crate::model::hex;
use crate::model::id::SnapshotNo;
use std::collections::BTreeSet;
use std::io;

/// What there is of snapshots.
pub struct Heads {
    /// Oldest first.
    pub read: Vec<SnapshotHead>,
    /// Those that cannot be read, and why, oldest first.
    pub unreadable: Vec<(SnapshotNo, ArchiveError)>,
}

impl ArchiveError {
    /// Whether bytes of the archive are gone for good, as far as can be seen: no newer format, no missing right, no
    /// other program.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Format { source, .. } => source.is_damage(),
            Self::Io { source, .. } => {
                // EIO is what a bad sector gives; the standard library has no name for it.
                source.raw_os_error() == Some(5)
                    || matches!(
                        source.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
                    )
            }
            Self::Sealed { source, .. } => matches!(source, SealError::Damaged(_)),
            Self::NoSnapshot(_) | Self::NoObject { .. } | Self::DamagedObject { .. } | Self::DamagedSegment { .. } => {
                true
            }
            _ => false,
        }
    }
}

impl Archive {
    /// All heads that can be read, and what is wrong with the others.
    pub fn heads(&self) -> Result<Heads, ArchiveError> {
        let mut heads = Heads { read: Vec::new(), unreadable: Vec::new() };
        for name in self.standing_names()? {
            match self.read_named_head(name) {
                Ok(head) => heads.read.push(head),
                Err(error) if error.is_damage() => heads.unreadable.push((name.no, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(heads)
    }

    /// The files of all snapshots, oldest first, one for each number: where several have it, the one that takes the
    /// place of the others.
    pub(super) fn standing_names(&self) -> Result<Vec<SnapshotName>, ArchiveError> {
        let mut names = self.snapshot_names()?.names;
        let foreign = self.foreign_snapshots()?;
        names.retain(|name| !foreign.contains(&name.to_string()));
        let replaced = self.replaced_among(&names);
        let standing: Vec<_> = names.into_iter().filter(|name| !replaced.contains(name)).collect();
        for (older, newer) in standing.iter().zip(standing.iter().skip(1)) {
            if older.no == newer.no {
                let what = format!("{older} has the same number; the archive was written by two at once");
                let path = self.dir.join(newer.path());
                return Err(format_error(&path)(FormatError::Malformed { what, at: 0 }));
            }
        }
        Ok(standing)
    }

    /// Files whose place another one of the same number takes; a killed `forget` or `repair` leaves them behind. Where that
    /// would leave none of a number, because they point at one another, none of them is replaced: readers refuse them.
    pub(super) fn replaced_among(&self, names: &[SnapshotName]) -> BTreeSet<SnapshotName> {
        let twice = |no: SnapshotNo| names.iter().filter(|name| name.no == no).count() > 1;
        let contested = names.iter().filter(|name| twice(name.no));
        let heads = contested.filter_map(|name| self.read_named_head(*name).ok().map(|head| (*name, head)));
        let mut replaced: BTreeSet<SnapshotName> = heads
            .filter_map(|(name, head)| {
                let digest = hex::decode_lower(head.replaces.as_deref()?)?;
                // A file cannot know its own hash, so no file stands in its own way.
                Some(SnapshotName { no: name.no, digest }).filter(|old| *old != name)
            })
            .collect();
        let standing: BTreeSet<_> = names.iter().filter(|name| !replaced.contains(name)).map(|name| name.no).collect();
        replaced.retain(|name| standing.contains(&name.no));
        replaced
    }
}
