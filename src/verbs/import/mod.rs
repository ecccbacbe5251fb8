//! `import`: one snapshot of an archive into a target, as often as needed, each thing once.
//!
//! Phases, each resumable, each nothing when done: provisioning; folders of all accounts, then items, accounts in
//! parallel; links; the ledger. What is identical with what is decided by the map alone (format-spec/map.md). An item's
//! trouble is counted, an account's trouble ends that account, trouble with the target or the map as a whole ends the
//! pass; running it again goes on where it stopped.

mod account;
mod adopt;
mod book;
mod changes;
mod claims;
mod contents;
mod copies;
mod deliver;
mod folders;
mod gone;
pub mod ledger;
mod links;
mod merge;
mod pass;
mod provisioning;
mod rehearsal;
pub mod rename;
mod renumber;
mod settings;
#[doc(hidden)] // for fuzz/
pub mod sieve;
mod start;
mod way_back;

pub use book::{Book, Entry};

use crate::archive::{Archive, ArchiveError};
use crate::event::{Event, Phase, Place, Rejection, Sink};
use crate::fs::Fs;
use crate::map::{LinkKind, MapError};
use crate::model::id::{SiteId, SnapshotNo};
use crate::site::{SiteError, Target};
use crate::verbs::rollback::RollbackError;
use ledger::Ledger;
use rename::RenameRules;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

/// What a pass leaves out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skip {
    Mail,
    /// Calendars and tasks.
    Calendars,
    Contacts,
    /// Sieve scripts, forwarding, vacation.
    Filters,
    /// Grants and mountpoints.
    Shares,
    /// Identities, signatures, preferences, external sources.
    Preferences,
}

impl Skip {
    /// As the command line and the map call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Calendars => "calendars",
            Self::Contacts => "contacts",
            Self::Filters => "filters",
            Self::Shares => "shares",
            Self::Preferences => "preferences",
        }
    }
}

/// How what already lies on the target is taken over instead of doubled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adopt {
    /// By the same bytes.
    Exact,
    /// By the same message once what delivery put on top is cut off.
    WithoutTrace,
}

/// How to import.
#[derive(Clone)]
pub struct ImportOptions {
    pub fs: Arc<dyn Fs>,
    /// Which source, where the archive has several.
    pub source: Option<SiteId>,
    /// The newest if absent.
    pub snapshot: Option<SnapshotNo>,
    /// Stops after the first phase.
    pub provisioning_only: bool,
    /// Nothing is moved, renamed or removed on the target; passwords and preferences are set again.
    pub additive: bool,
    /// Deletions follow, for what the target's users have not touched.
    pub delete: bool,
    /// Globs of addresses as the source has them; empty means all.
    pub accounts: Vec<String>,
    pub rename: RenameRules,
    /// Items older than this (seconds since 1970) are left out.
    pub since: Option<i64>,
    pub skip: BTreeSet<Skip>,
    pub dry_run: bool,
    /// Accounts at a time.
    pub jobs: NonZeroUsize,
    pub adopt: Option<Adopt>,
    /// A map of the other direction: what it says came from this target is not brought back to it.
    pub way_back: Option<PathBuf>,
    /// The id that a target without one gets.
    pub new_site_id: SiteId,
    /// Seconds since 1970.
    pub now: i64,
}

/// What stops an import.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Map(#[from] MapError),
    #[error(transparent)]
    Site(#[from] SiteError),
    #[error(transparent)]
    Rollback(#[from] RollbackError),
    #[error("cannot {action} {path}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("another import is writing this target; its lock is {0}")]
    InUse(PathBuf),
    #[error("the archive's source is this very target ({0})")]
    SameSite(SiteId),
    #[error("the target has {address} from another source already ({map}); rename one of them")]
    OtherSourceHere { address: String, map: PathBuf },
    #[error("the target has seen snapshot {seen}; going back to {asked} would undo changes, so it needs --additive")]
    OlderSnapshot { asked: SnapshotNo, seen: SnapshotNo },
    #[error("{glob:?} is no pattern of addresses")]
    BadGlob { glob: String, source: globset::Error },
    #[error(
        "{path} is a map from {found_source} to {found_target}; the way back needs one from {target} to {source_site}"
    )]
    NotTheWayBack { path: PathBuf, found_source: SiteId, found_target: SiteId, target: SiteId, source_site: SiteId },
    #[error("interrupted at a safe point; the same command goes on from there")]
    Interrupted,
}

/// A remark about one place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Note {
    #[serde(flatten)]
    pub place: Place,
    pub text: String,
}

/// A link that waits for somebody.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Waiting {
    /// Whose folder or mailbox, by its address on the source.
    pub account: String,
    pub link: LinkKind,
    /// The folder or the mountpoint, as the source calls it.
    pub place: String,
    /// The address that is not known yet.
    pub refers: String,
    pub cause: String,
}

/// What an import did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ImportReport {
    pub dry_run: bool,
    pub map: PathBuf,
    pub ledger: Ledger,
    /// Where the ledger was written, as text and as JSON; empty in a dry run.
    pub ledger_files: Vec<PathBuf>,
    /// Bytes of the items that were delivered.
    pub bytes: u64,
    /// Folders that clients will load again, with the reason.
    pub uids_lost: Vec<Note>,
    /// Source and target both changed it; the target stays.
    pub conflicts: Vec<Note>,
    /// What `--delete` removed from the target, by folder, under the source's names.
    pub removed: Vec<Note>,
    pub rejected: Vec<Rejection>,
    pub pending: Vec<Waiting>,
    pub notices: Vec<Note>,
    /// After a dry run, what would be written for the records in the target's own language (LDIF), where it can tell. It
    /// holds passwords' hashes, so no report shows it.
    #[serde(skip)]
    pub planned: Option<String>,
}

/// Imports one snapshot into `target`.
///
/// Rejected items do not end the pass; they are in the report and in the ledger. After an error, running the same
/// import again gives what an undisturbed one would have given.
pub fn import(
    archive: &Archive,
    target: &dyn Target,
    options: &ImportOptions,
    sink: &dyn Sink,
) -> Result<ImportReport, ImportError> {
    let rehearsal = rehearsal::Rehearsal::of(target);
    let target: &dyn Target = if options.dry_run { &rehearsal } else { target };
    let started = start::start(archive, target, options)?;
    let mut outcome = run(&started, target, options, sink);
    match &mut outcome {
        Ok(report) => report.planned = rehearsal.planned(),
        Err(_) => started.remove_empty_map(options.fs.as_ref()),
    }
    outcome
}

fn run(
    started: &start::Started<'_>,
    target: &dyn Target,
    options: &ImportOptions,
    sink: &dyn Sink,
) -> Result<ImportReport, ImportError> {
    let pass = pass::Pass::new(started, target, options, sink)?;

    renumber::announce(&pass);
    phase(sink, Phase::Provisioning, None, || provisioning::run(&pass))?;
    let accounts = if options.provisioning_only {
        account::left_out(&pass)?
    } else {
        let work = account::work(&pass)?;
        phase(sink, Phase::Folders, None, || account::folders_of_all(&pass, &work))?;
        let items = work.items();
        let mut accounts = phase(sink, Phase::Items, Some(items), || account::items_of_all(&pass, work))?;
        gone::records(&pass)?;
        phase(sink, Phase::Links, None, || links::run(&pass, &mut accounts))?;
        accounts
    };
    target.finish()?;
    phase(sink, Phase::Ledger, None, || pass.report(accounts))
}

fn phase<T>(
    sink: &dyn Sink,
    phase: Phase,
    total: Option<u64>,
    work: impl FnOnce() -> Result<T, ImportError>,
) -> Result<T, ImportError> {
    if sink.interrupted() {
        return Err(ImportError::Interrupted);
    }
    sink.emit(Event::PhaseStarted { phase, total });
    let value = work()?;
    sink.emit(Event::PhaseFinished { phase });
    Ok(value)
}
