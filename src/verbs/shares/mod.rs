//! Shares: who opened which folder to whom, what of it is broken, and how a map mends it.
//!
//! Promises that [`check`] and [`plan_fix`] come from one examination, so that what `check` calls mendable is what `fix`
//! does; that nothing is changed which no map explains; and that a journal with the state before is on disk before the
//! first change is made. Called by `wagon shares check | fix | undo | matrix` and by `wagon demo`. What the words mean:
//! docs/concepts/share.md; the journal: format-spec/shares-undo.md.

mod access;
mod compare;
mod examine;
mod finding;
mod fix;
mod grants;
mod journal;
mod known;
mod matrix;
mod mountpoints;
mod survey;
#[cfg(test)]
mod tests;
mod undo;

pub use compare::{Comparison, Difference, Who, compare};
pub use examine::Examination;
pub use finding::{Cause, End, Finding, Mend, Problem, Standing};
pub use fix::{Change, FixReport, Plan, Skipped, Step, apply};
pub use journal::{Journal, latest_journal, read_journal};
pub use known::{Found, Maps};
pub use matrix::{AccessRow, GrantRow, Matrix, matrix};
pub use survey::{AccountView, Mountpoint, Survey, survey, survey_archive};
pub use undo::{UndoPlan, UndoReport, plan_undo, undo};

use crate::archive::ArchiveError;
use crate::event::{Rejection, Sink};
use crate::map::{Map, MapError};
use crate::site::{SiteError, Source};
use serde::Serialize;
use std::io;
use std::path::PathBuf;

/// What keeps shares from being looked at or mended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SharesError {
    #[error("the site cannot be used")]
    Site(#[from] SiteError),
    #[error("a map cannot be used")]
    Map(#[from] MapError),
    #[error("the archive cannot be read")]
    Archive(#[from] ArchiveError),
    #[error("cannot {action} {path}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("there is no fix to undo in {0}")]
    NothingToUndo(PathBuf),
    #[error("{path} is no journal of a fix: {what}")]
    BadJournal { path: PathBuf, what: String },
    #[error("the fix in {path} was made on site {found}; this is {wanted}")]
    OtherTarget { path: PathBuf, found: String, wanted: String },
    #[error("interrupted; every change that was made is whole, and the same command goes on from here")]
    Interrupted,
}

/// Every inconsistency of a site's shares.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Where the site is.
    pub site: String,
    /// Accounts that were looked at, and what they share: folders with an access list, mountpoints.
    pub accounts: u64,
    pub shared_folders: u64,
    pub mountpoints: u64,
    /// Sorted by place; each once.
    pub findings: Vec<Finding>,
    /// What could not be read, and so was not checked.
    pub rejected: Vec<Rejection>,
}

impl CheckReport {
    /// Whether anything is broken or waits. What a user of the target changed on purpose does not count.
    pub fn differs(&self) -> bool {
        self.findings.iter().any(|finding| finding.standing() != Standing::Kept)
    }
}

/// Looks at every grant and mountpoint of a site and reports what does not hold, why, and what mends it.
///
/// `maps` are those of the sources that were imported into the site; without any, fewer causes are known. Reads every
/// folder's listing once. A map of another target is an error.
pub fn check(site: &dyn Source, maps: &[&Map], sink: &dyn Sink) -> Result<CheckReport, SharesError> {
    let maps = Maps::new(maps, site.describe()?.id.as_ref())?;
    let survey = survey(site, sink)?;
    let examination = examine::examine(&survey, &maps)?;
    let (shared_folders, mountpoints) = survey.counts();
    Ok(CheckReport {
        site: survey.locator.clone(),
        accounts: survey.accounts.len() as u64,
        shared_folders,
        mountpoints,
        findings: examination.findings,
        rejected: survey.rejected,
    })
}

/// Plans every repair that the maps explain; what they do not explain is listed in the plan and left as it is.
///
/// Reads as [`check`] does and writes nothing: `--dry-run` prints this very plan.
pub fn plan_fix(target: &dyn Source, maps: &[&Map], sink: &dyn Sink) -> Result<Plan, SharesError> {
    let description = target.describe()?;
    let maps = Maps::new(maps, description.id.as_ref())?;
    let survey = survey(target, sink)?;
    let Examination { findings, steps } = examine::examine(&survey, &maps)?;
    let left = findings.into_iter().filter(|finding| finding.standing() != Standing::Mendable).collect();
    let id = description.id.or_else(|| maps.iter().next().map(|(_, map)| map.meta().target_site.clone()));
    Ok(Plan { site: description.locator, target: id, steps, left, rejected: survey.rejected })
}
