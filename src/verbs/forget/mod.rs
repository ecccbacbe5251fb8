//! `forget`: takes snapshots away by restic's rules, or by number.
//!
//! Promises that what stays can be replayed at every moment and says the same as before, and that the newest snapshot of
//! each source stays. Frees the space of manifests only; `prune` frees that of messages.

mod keep;

pub use keep::{Candidate, Count, Keep, parse_duration};

use crate::archive::{Archive, ArchiveError};
use crate::event::Sink;
use crate::model::id::{SiteId, SnapshotNo};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What to forget.
#[derive(Clone, Debug, Default)]
pub struct ForgetOptions {
    /// Only snapshots of this source.
    pub source: Option<SiteId>,
    pub keep: Keep,
    /// These, whatever the rules say.
    pub snapshots: Vec<SnapshotNo>,
    pub dry_run: bool,
    /// Who holds the lock, and since when (seconds since 1970).
    pub holder: String,
    pub now: i64,
}

/// What ends a forget.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForgetError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("snapshot {0} is the newest of its source; the next export builds on it and its numbers")]
    Newest(SnapshotNo),
    #[error("neither a rule nor a snapshot says what is to go")]
    Nothing,
}

/// A snapshot that stays, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Kept {
    #[serde(flatten)]
    pub snapshot: Candidate,
    pub reasons: Vec<&'static str>,
}

/// What became of one source's snapshots, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SourceReport {
    pub keep: Vec<Kept>,
    pub forget: Vec<Candidate>,
}

/// What a forget did, or would do.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ForgetReport {
    pub dry_run: bool,
    pub sources: BTreeMap<SiteId, SourceReport>,
    /// Snapshots that cannot be read and were named.
    pub unreadable: Vec<SnapshotNo>,
    /// Snapshots that stay and were written again, because they built on one that goes.
    pub rewritten: Vec<SnapshotNo>,
}

/// Forgets. Interrupted anywhere, doing it again goes on.
pub fn forget(archive: &Archive, options: &ForgetOptions, sink: &dyn Sink) -> Result<ForgetReport, ForgetError> {
    if options.keep.is_empty() && options.snapshots.is_empty() {
        return Err(ForgetError::Nothing);
    }
    let lock = match options.dry_run {
        true => None,
        false => Some(archive.lock(&options.holder, options.now)?),
    };
    // A snapshot that cannot be read counts for no rule, and others are not written anew on what it builds on.
    let archive = &archive.patient();
    let (mut report, gone) = choose(archive, options)?;
    let plan = archive.plan_forget(gone)?;
    report.rewritten = plan.rewrite.iter().map(|(no, _)| *no).collect();
    if let Some(lock) = &lock {
        archive.forget(lock, &plan, sink)?;
    }
    Ok(report)
}

fn choose(archive: &Archive, options: &ForgetOptions) -> Result<(ForgetReport, BTreeSet<SnapshotNo>), ForgetError> {
    let mut heads = archive.heads()?;
    let mut by_source: BTreeMap<SiteId, Vec<Candidate>> = BTreeMap::new();
    for head in &heads.read {
        let candidate = Candidate { no: head.no, started: head.started, label: head.label.clone() };
        by_source.entry(head.source.clone()).or_default().push(candidate);
    }
    let mut report = ForgetReport { dry_run: options.dry_run, ..ForgetReport::default() };
    let mut gone = BTreeSet::new();
    // What the disk does not give now, it may give later: what that snapshot builds on has to stay.
    let refused = |(no, error): &(SnapshotNo, ArchiveError)| {
        matches!(error, ArchiveError::Io { .. }) && !options.snapshots.contains(no)
    };
    if let Some(at) = heads.unreadable.iter().position(refused) {
        return Err(heads.unreadable.swap_remove(at).1.into());
    }
    let highest = heads.read.iter().map(|head| head.no).chain(heads.unreadable.iter().map(|(no, _)| *no)).max();
    for no in &options.snapshots {
        if heads.unreadable.iter().any(|(other, _)| other == no) {
            // The highest number of all must not come again, whoever had it.
            if Some(*no) == highest {
                return Err(ForgetError::Newest(*no));
            }
            report.unreadable.push(*no);
            gone.insert(*no);
        } else if !heads.read.iter().any(|head| head.no == *no) {
            return Err(ArchiveError::NoSnapshot(*no).into());
        }
    }
    for (source, snapshots) in by_source {
        let newest = snapshots.last().map(|newest| newest.no);
        if let Some(no) = options.snapshots.iter().find(|no| Some(**no) == newest) {
            return Err(ForgetError::Newest(*no));
        }
        let ruled = !options.keep.is_empty() && options.source.as_ref().is_none_or(|wanted| *wanted == source);
        let reasons = options.keep.reasons(&snapshots);
        let mut of_source = SourceReport::default();
        for (candidate, mut reasons) in snapshots.into_iter().zip(reasons) {
            if Some(candidate.no) == newest && reasons.is_empty() {
                reasons.push("newest snapshot");
            }
            let named = options.snapshots.contains(&candidate.no);
            if named || (ruled && reasons.is_empty()) {
                gone.insert(candidate.no);
                of_source.forget.push(candidate);
            } else if ruled || !options.snapshots.is_empty() {
                of_source.keep.push(Kept { snapshot: candidate, reasons });
            }
        }
        if ruled || !of_source.forget.is_empty() {
            report.sources.insert(source, of_source);
        }
    }
    Ok((report, gone))
}
