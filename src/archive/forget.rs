//! Takes snapshots away: those that stay are written again where they build on one that goes, then files are removed.
//!
//! Promises that at every moment each snapshot that stays can be replayed, whatever happens to the process, and that the
//! newest of a source stays: its number and the numbers in it must not be used again. Which go is for `verbs::forget` to
//! say. Format: format-spec/snapshot.md, "Two files of one number".

use super::heads::Heads;
use super::layout::{SNAPSHOTS, SnapshotName, io_error};
use super::lock::ArchiveLock;
use super::usage::{advance, begin, end, stop_if_asked};
use super::{Archive, ArchiveError};
use crate::event::Sink;
use crate::format::snapshot::SnapshotHead;
use crate::model::id::SnapshotNo;
use std::collections::BTreeSet;

/// What has to happen for some snapshots to go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ForgetPlan {
    /// To be written again, on this parent.
    pub rewrite: Vec<(SnapshotNo, Option<SnapshotNo>)>,
    /// Snapshots to go.
    pub forget: BTreeSet<SnapshotNo>,
}

impl Archive {
    /// How `forget` can go; those among them that cannot be read included.
    pub fn plan_forget(&self, forget: BTreeSet<SnapshotNo>) -> Result<ForgetPlan, ArchiveError> {
        let Heads { read, unreadable } = self.heads()?;
        let known = |no: &SnapshotNo| read.iter().any(|head| head.no == *no) || unreadable.iter().any(|(n, _)| n == no);
        if let Some(unknown) = forget.iter().find(|no| !known(no)) {
            return Err(ArchiveError::NoSnapshot(*unknown));
        }
        let of = |no: SnapshotNo| read.iter().find(|head| head.no == no);
        let mut rewrite = Vec::new();
        for head in read.iter().filter(|head| !forget.contains(&head.no)) {
            let mut parent = head.parent;
            let mut at: Option<&SnapshotHead> = None;
            while let Some(no) = parent.filter(|no| forget.contains(no) && at.is_none_or(|at| *no < at.no)) {
                at = of(no);
                // What builds on a snapshot that cannot be read cannot be replayed today either: it stays as it is.
                let Some(older) = at else { break };
                parent = older.parent;
            }
            if parent != head.parent && parent.is_none_or(|no| of(no).is_some() && !forget.contains(&no)) {
                rewrite.push((head.no, parent));
            }
        }
        Ok(ForgetPlan { rewrite, forget })
    }

    /// Does it. Interrupted anywhere, everything that stays is there; doing it again goes on.
    pub fn forget(&self, lock: &ArchiveLock, plan: &ForgetPlan, sink: &dyn Sink) -> Result<(), ArchiveError> {
        begin(sink, Some((plan.rewrite.len() + plan.forget.len()) as u64));
        for (no, parent) in &plan.rewrite {
            self.rebase(lock, *no, *parent)?;
            advance(sink, 0);
            stop_if_asked(sink)?;
        }
        let names = self.snapshot_names()?.names;
        let replaced = self.replaced_among(&names);
        // Newest first, so that what is left at any moment has its parents.
        let gone = |name: &&SnapshotName| replaced.contains(name) || plan.forget.contains(&name.no);
        let gone: Vec<_> = names.iter().rev().filter(gone).collect();
        if !gone.is_empty() {
            let _alone = self.without_readers()?;
            for name in gone {
                self.remove_parity(&name.path())?;
                let path = self.dir.join(name.path());
                self.fs.remove_file(&path).map_err(io_error("remove", &path))?;
                self.remove_signature(*name)?;
                // What another file of the same number has replaced was not announced.
                if plan.forget.contains(&name.no) {
                    advance(sink, 0);
                }
            }
            let dir = self.dir.join(SNAPSHOTS);
            self.fs.sync_dir(&dir).map_err(io_error("sync", &dir))?;
        }
        end(sink);
        Ok(())
    }
}
