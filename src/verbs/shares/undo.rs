//! Taking a fix back: the steps of its journal, reversed.
//!
//! Promises that only what the fix wrote and nobody changed since is set back; the rest is listed and left as it is.

use super::SharesError;
use super::fix::{Shows, Skipped, Step, apply_steps};
use super::journal::{Journal, latest_journal, read_journal, rewrite_journal};
use crate::event::Sink;
use crate::fs::Fs;
use crate::site::Target;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What an undo would do; `--dry-run` prints it, [`undo`] does it.
#[derive(Clone, Debug, Serialize)]
pub struct UndoPlan {
    /// The journal of the fix.
    pub path: PathBuf,
    pub journal: Journal,
    /// Reversed steps, last first.
    pub steps: Vec<Step>,
    /// Steps of which nothing is to be taken back: they were never made, or are undone already.
    pub already: u64,
    /// Steps whose subject was changed since the fix; they stay.
    pub conflicts: Vec<Skipped>,
}

/// What an undo did.
#[derive(Clone, Debug, Serialize)]
pub struct UndoReport {
    pub journal: PathBuf,
    pub done: Vec<Step>,
    pub already: u64,
    /// Steps whose subject was changed since the fix, and those that the target refused.
    pub skipped: Vec<Skipped>,
}

/// Plans to take back the fix of `journal`; without it, the newest of this target that is not undone.
pub fn plan_undo(target: &dyn Target, fs: &dyn Fs, journal: Option<&Path>) -> Result<UndoPlan, SharesError> {
    let path = match journal {
        Some(path) => path.to_owned(),
        None => latest_journal(fs, &target.state_dir())?,
    };
    let journal = read_journal(fs, &path)?;
    let site = target.describe()?;
    if let (Some(found), Some(wanted)) = (&journal.target, &site.id)
        && found != wanted
    {
        return Err(SharesError::OtherTarget { path, found: found.to_string(), wanted: wanted.to_string() });
    }
    let mut plan = UndoPlan { path, journal, steps: Vec::new(), already: 0, conflicts: Vec::new() };
    for step in plan.journal.steps.iter().rev() {
        let step = Step { account: step.account.clone(), change: step.change.clone().reversed(), reasons: Vec::new() };
        // An account that is gone cannot be asked; its part of the fix went with it.
        match step.look(target) {
            Ok(Shows::Before) => plan.steps.push(step),
            Ok(Shows::After) => plan.already += 1,
            Ok(Shows::Other) => plan.conflicts.push(Skipped { step, why: "it was changed since the fix".to_owned() }),
            Err(SharesError::Site(error)) => plan.conflicts.push(Skipped { step, why: error.to_string() }),
            Err(error) => return Err(error),
        }
    }
    Ok(plan)
}

/// Applies an undo, and marks its journal as undone at `now`, in seconds since 1970.
pub fn undo(
    target: &dyn Target,
    fs: &dyn Fs,
    plan: &UndoPlan,
    now: i64,
    sink: &dyn Sink,
) -> Result<UndoReport, SharesError> {
    if let Some(id) = &plan.journal.target {
        target.prepare(id)?;
    }
    let (done, refused) = apply_steps(target, &plan.steps, sink)?;
    let journal = Journal { undone: Some(now), ..plan.journal.clone() };
    rewrite_journal(fs, &plan.path, &journal)?;
    let skipped = plan.conflicts.iter().cloned().chain(refused).collect();
    Ok(UndoReport { journal: plan.path.clone(), done, already: plan.already, skipped })
}
