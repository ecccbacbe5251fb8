//! A plan of repairs, and applying one.
//!
//! Promises that the journal with every state before is on disk before the first change, that a step is applied only
//! where the target still is as the plan saw it, and that applying a plan again changes nothing.

use super::SharesError;
use super::finding::Finding;
use super::grants::same;
use super::journal::{Journal, write_journal};
use super::survey::{Mountpoint, mountpoint_key};
use crate::event::{Event, Phase, Place, Rejection, Sink};
use crate::fs::Fs;
use crate::model::id::SiteId;
use crate::model::mailbox::FolderKey;
use crate::model::share::Grant;
use crate::model::text::printable;
use crate::site::{Depth, FolderScan, Source, Target};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// One change, with both its states.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    /// The access list of a folder.
    Grants { folder: FolderKey, before: Vec<Grant>, after: Vec<Grant> },
    /// A mountpoint; absent: there was none, or there will be none.
    Mountpoint {
        at: FolderKey,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Mountpoint>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Mountpoint>,
    },
}

/// One change in one account's mailbox.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    pub account: String,
    #[serde(flatten)]
    pub change: Change,
    /// What the step mends, for people.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// What a fix would do. `--dry-run` prints it, [`apply`] does it.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Where the target is.
    pub site: String,
    /// The id that it keeps, or has in the maps.
    pub target: Option<SiteId>,
    pub steps: Vec<Step>,
    /// Findings that no step mends: they wait for an import, or for a person.
    pub left: Vec<Finding>,
    /// What could not be read.
    pub rejected: Vec<Rejection>,
}

/// A step that was not done.
#[derive(Clone, Debug, Serialize)]
pub struct Skipped {
    pub step: Step,
    pub why: String,
}

/// What a fix did.
#[derive(Clone, Debug, Serialize)]
pub struct FixReport {
    /// What `wagon shares undo` reads; absent where there was nothing to do.
    pub journal: Option<PathBuf>,
    pub done: Vec<Step>,
    pub skipped: Vec<Skipped>,
    pub left: Vec<Finding>,
}

/// What the target shows of a step's subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shows {
    Before,
    After,
    Other,
}

impl Change {
    /// Where it is, in the mailbox.
    pub fn place(&self) -> &FolderKey {
        match self {
            Self::Grants { folder, .. } => folder,
            Self::Mountpoint { at, .. } => at,
        }
    }

    /// The change that takes this one back.
    pub fn reversed(self) -> Self {
        match self {
            Self::Grants { folder, before, after } => Self::Grants { folder, before: after, after: before },
            Self::Mountpoint { at, before, after } => Self::Mountpoint { at, before: after, after: before },
        }
    }
}

impl Step {
    /// Looks at the target as it is now.
    pub(super) fn look(&self, site: &dyn Source) -> Result<Shows, SharesError> {
        let shows = |before, after| match (before, after) {
            (true, _) => Shows::Before,
            (false, true) => Shows::After,
            (false, false) => Shows::Other,
        };
        Ok(match &self.change {
            Change::Grants { folder, before, after } => {
                match site.folder(&self.account, folder, None, Depth::Marks)? {
                    FolderScan::Listed(listing) => {
                        let present = &listing.folder.grants;
                        shows(same(present, before), same(present, after))
                    }
                    FolderScan::Unchanged | FolderScan::Vanished => Shows::Other,
                }
            }
            Change::Mountpoint { at, before, after } => {
                let key = mountpoint_key(at);
                let settings = site.mailbox(&self.account)?.settings;
                let present = settings.iter().find(|setting| setting.key() == key).and_then(Mountpoint::of);
                shows(present == *before, present == *after)
            }
        })
    }

    /// Makes the change; `Err` is the target's refusal, in its words.
    pub(super) fn apply(&self, target: &dyn Target) -> Result<Result<(), String>, SharesError> {
        let outcome = match &self.change {
            Change::Grants { folder, after, .. } => target.put_grants(&self.account, folder, after)?,
            Change::Mountpoint { after: Some(after), .. } => target.put_setting(&self.account, &after.setting())?,
            Change::Mountpoint { at, after: None, .. } => {
                target.remove_setting(&self.account, &mountpoint_key(at))?;
                Ok(())
            }
        };
        Ok(outcome.map_err(|reason| reason.to_string()))
    }
}

/// Applies a plan. `made` is the time, in seconds since 1970, and part of the journal's name.
///
/// Takes the target for itself first, as an import does. Stops between two steps when it is interrupted; planning and
/// applying again goes on from there.
pub fn apply(
    target: &dyn Target,
    fs: &dyn Fs,
    plan: &Plan,
    made: i64,
    sink: &dyn Sink,
) -> Result<FixReport, SharesError> {
    let mut report = FixReport { journal: None, done: Vec::new(), skipped: Vec::new(), left: plan.left.clone() };
    if plan.steps.is_empty() {
        return Ok(report);
    }
    if let Some(id) = &plan.target {
        target.prepare(id)?;
    }
    let journal = Journal::new(plan.target.clone(), plan.site.clone(), made, plan.steps.clone());
    report.journal = Some(write_journal(fs, &target.state_dir(), &journal)?);
    let (done, skipped) = apply_steps(target, &plan.steps, sink)?;
    (report.done, report.skipped) = (done, skipped);
    Ok(report)
}

/// Makes each change whose subject still is as it was before; those that are made already count as done.
pub(super) fn apply_steps(
    target: &dyn Target,
    steps: &[Step],
    sink: &dyn Sink,
) -> Result<(Vec<Step>, Vec<Skipped>), SharesError> {
    let (mut done, mut skipped) = (Vec::new(), Vec::new());
    sink.emit(Event::PhaseStarted { phase: Phase::Links, total: Some(steps.len() as u64) });
    let mut interrupted = false;
    for step in steps {
        interrupted = sink.interrupted();
        if interrupted {
            break;
        }
        let outcome = match step.look(target)? {
            Shows::Before => step.apply(target)?,
            Shows::After => Ok(()),
            Shows::Other => Err("it was changed since the plan was made".to_owned()),
        };
        match outcome {
            Ok(()) => done.push(step.clone()),
            Err(why) => {
                let place = Place::folder(&step.account, step.change.place());
                sink.emit(Event::Conflict { place, what: why.clone() });
                skipped.push(Skipped { step: step.clone(), why });
            }
        }
        sink.emit(Event::Advanced { phase: Phase::Links, items: 1, bytes: 0 });
    }
    target.finish()?;
    if interrupted {
        return Err(SharesError::Interrupted);
    }
    sink.emit(Event::PhaseFinished { phase: Phase::Links });
    Ok((done, skipped))
}

/// `ann@example.org:Projects: grants "user bob@old.example lr" become "user bob@new.example lr"`
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = Place::folder(&self.account, self.change.place());
        match &self.change {
            Change::Grants { before, after, .. } => {
                write!(f, "{place}: grants {} become {}", list(before), list(after))
            }
            Change::Mountpoint { before, after, .. } => {
                write!(f, "{place}: mountpoint {} becomes {}", end(before.as_ref()), end(after.as_ref()))
            }
        }
    }
}

fn list(grants: &[Grant]) -> String {
    let entry = |grant: &Grant| {
        let sign = if grant.negative { "-" } else { "" };
        format!("{sign}{} {}", printable(&grant.grantee.to_string()), grant.rights)
    };
    format!("[{}]", grants.iter().map(entry).collect::<Vec<_>>().join(", "))
}

fn end(mountpoint: Option<&Mountpoint>) -> String {
    let address = |mountpoint: &Mountpoint| printable(&format!("{}:{}", mountpoint.owner, mountpoint.folder));
    mountpoint.map_or_else(|| "(none)".to_owned(), address)
}
