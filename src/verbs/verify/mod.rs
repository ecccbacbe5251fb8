//! Reads a target back and compares it with a snapshot, through the map.
//!
//! Promises to look at every item of the chosen accounts: its content is read and hashed; its folder, flags, keywords
//! and date are compared, and provisioning, settings and access lists as well. What users of the target changed since
//! the import is told apart from what is wrong, because the map knows what import wrote. Changes nothing.

mod items;
mod records;

use crate::archive::history::History;
use crate::archive::{Archive, ArchiveError};
use crate::event::{Event, Phase, Place, Sink};
use crate::map::{Map, MapError, Progress, Rules};
use crate::model::id::{RecordId, SnapshotNo};
use crate::site::{SiteError, Source};
use crate::verbs::rollback::{self, RollbackError};
use globset::GlobSet;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// How to verify.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// Without it the newest snapshot of the map's source.
    pub snapshot: Option<SnapshotNo>,
    /// Source addresses; without it all.
    pub accounts: Option<GlobSet>,
}

/// One thing that is not as it should be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Difference {
    #[serde(flatten)]
    pub place: Place,
    pub what: String,
}

/// What verifying found. The target is as the snapshot says when `differences` is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct VerifyReport {
    pub snapshot: SnapshotNo,
    pub accounts: u64,
    pub folders: u64,
    /// Items of the snapshot; the next six add up to it.
    pub items: u64,
    pub equal: u64,
    /// As imported, and then changed by a user of the target: flags, folder, content.
    pub changed_on_target: u64,
    /// Removed by a user of the target; an import has noted it.
    pub deleted_on_target: u64,
    /// Not imported: rejected, or excluded by a rule of the import.
    pub left_out: u64,
    /// Moved on the source, and left where it was by an additive import.
    pub not_moved: u64,
    pub different: u64,
    pub bytes: u64,
    /// Provisioning records, access lists and settings compared.
    pub records: u64,
    /// Kinds that the import left out (`--skip`), so that they are not compared: for how many accounts.
    pub skipped: BTreeMap<String, u64>,
    pub differences: Vec<Difference>,
}

impl VerifyReport {
    fn differs(&mut self, sink: &dyn Sink, place: Place, what: impl Into<String>) {
        let what = what.into();
        sink.emit(Event::Notice { place: place.clone(), text: what.clone() });
        self.differences.push(Difference { place, what });
    }
}

/// What stops a verification.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    #[error("the archive cannot be read")]
    Archive(#[from] ArchiveError),
    #[error("the map cannot be read")]
    Map(#[from] MapError),
    #[error("the target cannot be read")]
    Site(#[from] SiteError),
    #[error(transparent)]
    Rollback(#[from] RollbackError),
    #[error("interrupted; nothing was changed")]
    Interrupted,
}

/// Compares `target` with a snapshot of `archive`, through the `map` of its source.
pub fn verify(
    archive: &Archive,
    target: &dyn Source,
    map: &Map,
    options: &VerifyOptions,
    sink: &dyn Sink,
) -> Result<VerifyReport, VerifyError> {
    if let Some(found) = target.describe()?.id.filter(|id| *id != map.meta().target_site) {
        let (path, map_target) = (map.path().to_owned(), map.meta().target_site.clone());
        return Err(MapError::OtherTarget { path, found: map_target, wanted: found }.into());
    }
    target.keep_in(archive.scratch());
    rollback::compare(archive, &map.meta().source_site, map)?;
    let history = History::open(archive, Some(&map.meta().source_site), options.snapshot)?;
    let (provisioning, _) = history.provisioning()?;
    let mut report = VerifyReport { snapshot: history.head().no, ..VerifyReport::default() };
    let present = target.provisioning()?;
    let wanted = |address: &str| options.accounts.as_ref().is_none_or(|globs| globs.is_match(address));
    records::compare(&provisioning, &present, map, (&wanted, options.accounts.is_none()), &mut report, sink)?;

    let total = provisioning
        .accounts()
        .filter_map(|(id, _)| history.entry(id))
        .fold(0u64, |sum, entry| sum.saturating_add(entry.items));
    let progress: HashMap<RecordId, Progress> = map.progress()?.into_iter().collect();
    sink.emit(Event::PhaseStarted { phase: Phase::Verify, total: Some(total) });
    for (id, account) in provisioning.accounts().filter(|(_, account)| wanted(&account.address)) {
        if sink.interrupted() {
            return Err(VerifyError::Interrupted);
        }
        report.accounts += 1;
        let rules = rules(&history, id, &progress);
        rules.iter().flat_map(|rules| &rules.skip).for_each(|kind| {
            *report.skipped.entry(kind.clone()).or_default() += 1;
        });
        let account = items::Account { history: &history, id, address: &account.address, target, map, rules };
        account.compare(&mut report, sink)?;
        // What cannot be read again would be said to be missing.
        archive.check_scratch()?;
    }
    sink.emit(Event::PhaseFinished { phase: Phase::Verify });
    report.differences.sort();
    Ok(report)
}

/// By which rules an import has gone through all that the account has in this snapshot; `None`: none has.
fn rules<'p>(history: &History<'_>, id: RecordId, progress: &'p HashMap<RecordId, Progress>) -> Option<&'p Rules> {
    let newest = history.last_change(id).unwrap_or_default();
    progress.get(&id).filter(|done| done.snapshot >= newest).map(|done| &done.rules)
}
