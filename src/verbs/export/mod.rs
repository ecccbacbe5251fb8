//! The export pass: adds one snapshot of a source to an archive.
//!
//! Promises that the pass costs what changed, that nothing shows in the archive before its commit, and that what could
//! not be read is listed in the snapshot, never taken for deleted. Called by `wagon export` and `wagon demo`.

mod bodies;
mod budget;
mod diff;
mod names;
mod reconcile;
mod salvage;
mod scan;
mod split;
mod steps;
mod store;
mod unseen;

use crate::archive::history::History;
use crate::archive::{Archive, ArchiveError};
use crate::catalog::Catalog;
use crate::db::DbError;
use crate::event::{Event, Phase, Place, Rejection, Sink};
use crate::format::archive_header::FORMAT;
use crate::format::snapshot::{Counts, Provisioning, Selection, SnapshotHead, push_line};
use crate::limits;
use crate::model::id::{RecordId, SiteId, SnapshotNo};
use crate::site::{SiteDescription, SiteError, Source};
use budget::Budget;
use crossbeam_channel::bounded;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::thread;

/// How a pass is to be done.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// The source's id; without it the site's own, that of an earlier snapshot from the same place, or a new one.
    pub source: Option<SiteId>,
    /// Globs of addresses and globs to leave out.
    pub accounts: Vec<String>,
    pub exclude: Vec<String>,
    /// Trust no mark: read and hash everything.
    pub deep: bool,
    /// Write full manifests of all accounts.
    pub full: bool,
    pub label: Option<String>,
    /// Say what would be exported, write nothing.
    pub dry_run: bool,
    pub workers: NonZeroUsize,
    /// Tells the time, in seconds since 1970.
    pub clock: fn() -> i64,
    /// Who holds the lock, for whoever comes second (`host, process 4711`).
    pub holder: String,
}

/// What a pass did.
#[derive(Clone, Debug, Serialize)]
pub struct ExportReport {
    pub source: SiteId,
    /// Absent after a dry run.
    pub snapshot: Option<SnapshotNo>,
    pub parent: Option<SnapshotNo>,
    /// Earlier snapshots that could not be read; this one was made without them and stands alone.
    pub lost: Vec<SnapshotNo>,
    /// Accounts whose earlier state is not known for certain; what is not new in them may have new numbers.
    pub salvaged: Vec<String>,
    pub counts: Counts,
    pub rejected: Vec<Rejection>,
    pub dry_run: bool,
}

/// What ends a pass.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    #[error("the source cannot be exported")]
    Site(#[from] SiteError),
    #[error("the archive cannot be written")]
    Archive(#[from] ArchiveError),
    #[error("the catalog cannot be used; it can be deleted, the next pass makes a new one")]
    Catalog(#[from] DbError),
    #[error("{0:?} is no pattern for addresses")]
    BadGlob(String, #[source] globset::Error),
    #[error("snapshot {lost} cannot be read, so what this pass would not look at is not known")]
    BrokenChain { lost: String },
    #[error("interrupted; what was stored is kept, and the next export goes on from there")]
    Interrupted,
    #[error("a stage of the pass ended without a word")]
    Broken,
}

/// Adds one snapshot of `source` to `archive`.
///
/// Items that cannot be read become [`Event::Rejected`] and are counted; only trouble with the archive, the catalog or
/// the site as a whole ends the pass. Nothing shows in the archive before the snapshot is published; stopping anywhere is
/// harmless.
///
/// A catalog that turns out to be damaged is made anew, and the pass begins again without what it remembered.
pub fn export(
    source: &dyn Source,
    archive: &Archive,
    catalog: &mut Catalog,
    options: &ExportOptions,
    sink: &dyn Sink,
) -> Result<ExportReport, ExportError> {
    match pass(source, archive, catalog, options, sink) {
        Err(ExportError::Catalog(error)) if error.is_damage() => {
            begin_catalog_anew(catalog, &error, sink)?;
            pass(source, archive, catalog, options, sink)
        }
        outcome => outcome,
    }
}

fn begin_catalog_anew(catalog: &mut Catalog, error: &DbError, sink: &dyn Sink) -> Result<(), ExportError> {
    let text = format!("the catalog is damaged ({error}); a new one is made, and every folder is listed again");
    sink.emit(Event::Notice { place: Place::default(), text });
    Ok(catalog.begin_anew()?)
}

fn pass(
    source: &dyn Source,
    archive: &Archive,
    catalog: &mut Catalog,
    options: &ExportOptions,
    sink: &dyn Sink,
) -> Result<ExportReport, ExportError> {
    let started = (options.clock)();
    let lock = archive.lock(&options.holder, started)?;
    let wanted = Wanted::new(&options.accounts, &options.exclude)?;
    source.keep_in(archive.scratch());
    let site = source.describe()?;
    if archive.has_unknown_snapshots()? && options.full && !options.dry_run {
        archive.begin_anew(&lock)?;
    }
    let mut source_id = source_id(archive, &site, options.source.as_ref())?;
    if archive.has_begun_anew()? {
        source_id = another_id(&source_id, archive.snapshot_writer(&lock)?.no())?;
    }
    let history = salvage::history(archive, &source_id, options, sink)?;
    let lost = history.as_ref().map(|history| history.lost().to_vec()).unwrap_or_default();
    let chain: Vec<_> = history.iter().flat_map(History::heads).map(|head| head.no).collect();
    archive.renew_copies(&lock, &chain)?;
    drop_stale_marks(catalog, history.as_ref())?;

    sink.emit(Event::PhaseStarted { phase: Phase::Scan, total: None });
    let known = history.as_ref().map(History::provisioning_and_renames).transpose()?;
    let (known, highest, mut renamed) = known.unwrap_or_default();
    source.follow_accounts(renamed.clone());
    let found = source.provisioning()?;
    let (known, highest) = match &history {
        Some(history) => salvage::records(history, (known, highest), catalog, source, &found.records)?,
        None => (known, highest),
    };
    let stood_in = if lost.is_empty() { Provisioning::default() } else { known.clone() };
    let mut records = reconcile::reconcile(source, history.as_ref(), (&known, highest), found, &wanted)?;
    if !records.renamed.is_empty() {
        // Only now that they are recognised does the source know where to look for what it kept of them.
        renamed.append(&mut records.renamed);
        source.follow_accounts(renamed);
        let found = source.provisioning()?;
        records = reconcile::reconcile(source, history.as_ref(), (&known, highest), found, &wanted)?;
    }
    sink.emit(Event::PhaseFinished { phase: Phase::Scan });

    let mut snapshot = archive.snapshot_writer(&lock)?;
    let budget = Budget::bytes(limits::IN_FLIGHT_BYTES);
    let (found, to_split) = bounded(limits::QUEUED_BATCHES);
    let (parts, to_store) = bounded(limits::QUEUED_BATCHES);
    sink.emit(Event::PhaseStarted { phase: Phase::Store, total: None });
    let mut all_wanted = archive.wanted()?;
    let lacking = all_wanted.remove(&source_id).unwrap_or_default();
    let pass = scan::Pass {
        source,
        history: history.as_ref(),
        options,
        sink,
        scratch: archive.scratch(),
        wanted: lacking.clone(),
    };
    let bodies = bodies::Bodies::default();
    let stored = thread::scope(|scope| {
        let (budget, bodies, accounts, snapshot) = (&budget, &bodies, &records.accounts, &mut snapshot);
        let mut stages = Vec::new();
        for _ in 0..options.workers.get() {
            let (to_split, parts) = (to_split.clone(), parts.clone());
            stages.push(scope.spawn(move || {
                budget.guard(|| split::run(source, to_split, parts, (budget, bodies), options.dry_run))
            }));
        }
        drop((to_split, parts)); // now only stages hold the ends, and a queue closes with its last stage
        let writer = archive.pack_writer(&lock, options.workers.get())?;
        let store = scope.spawn(move || budget.guard(|| store::run(writer, snapshot, to_store, budget, options, sink)));
        // The scan asks the catalog, which belongs to this thread.
        let scanned = budget.guard(|| scan::run(&pass, catalog, accounts, found));
        let split: Result<(), ExportError> =
            stages.into_iter().try_for_each(|stage| stage.join().unwrap_or(Err(ExportError::Broken)));
        let stored = store.join().unwrap_or(Err(ExportError::Broken));
        // A failed stage is the cause; that others found their queue closed is its effect.
        match (scanned, split, stored) {
            (Err(error), _, _) if !matches!(error, ExportError::Broken) => Err(error),
            (_, Err(error), _) if !matches!(error, ExportError::Broken) => Err(error),
            (_, _, Err(error)) => Err(error),
            (Err(error), _, _) | (_, Err(error), _) => Err(error),
            (Ok(scanned), Ok(()), Ok(stored)) => Ok((scanned, stored)),
        }
    });
    let (scanned, mut stored) = stored?;
    // What of an account could not be read again would count as removed.
    archive.check_scratch()?;
    sink.emit(Event::PhaseFinished { phase: Phase::Store });

    let mut rejected = std::mem::take(&mut records.rejected);
    for rejection in &rejected {
        sink.emit(Event::Rejected(rejection.clone()));
    }
    rejected.extend(scanned.rejected);
    rejected.append(&mut stored.rejected);
    let mut counts = stored.counts;
    counts.accounts_scanned = scanned.accounts;
    counts.accounts_changed = stored.accounts.len() as u64;
    counts.folders_scanned = scanned.folders;
    counts.folders_read = scanned.folders_read;
    counts.rejected = rejected.len() as u64;
    // A snapshot that goes on after a gap stands alone.
    let parent = history.as_ref().filter(|_| lost.is_empty()).map(|history| history.head().no);
    let salvaged = stored.accounts.iter().filter(|entry| entry.salvaged).map(|entry| entry.address.clone()).collect();
    let mut report = ExportReport {
        source: source_id.clone(),
        snapshot: None,
        parent,
        lost: lost.clone(),
        salvaged,
        counts,
        rejected,
        dry_run: true,
    };
    if options.dry_run {
        return Ok(report);
    }

    if let Some(history) = history.as_ref().filter(|_| !lost.is_empty()) {
        let new = std::mem::take(&mut records.lines);
        records.lines = salvage::all_lines(history, &stood_in, records.highest, new)?;
    }
    if !records.lines.is_empty() {
        let mut bytes = Vec::new();
        records.lines.iter().for_each(|line| push_line(&mut bytes, line));
        snapshot.add("provisioning.jsonl", &bytes)?;
    }
    if !report.rejected.is_empty() {
        let mut bytes = Vec::new();
        report.rejected.iter().for_each(|rejection| push_line(&mut bytes, rejection));
        snapshot.add("rejected.jsonl", &bytes)?;
    }
    let head = SnapshotHead {
        format: FORMAT,
        no: snapshot.no(),
        source: source_id,
        parent,
        lost,
        replaces: None,
        started,
        finished: (options.clock)().max(started),
        label: options.label.clone(),
        locator: site.locator,
        selection: Selection {
            accounts: options.accounts.clone(),
            excluded: options.exclude.clone(),
            deep: options.deep,
        },
        provisioning_lines: records.lines.len() as u64,
        accounts: stored.accounts,
        counts: report.counts.clone(),
    };
    sink.emit(Event::PhaseStarted { phase: Phase::Commit, total: None });
    snapshot.publish(&head)?; // from here on the snapshot exists
    // A crash before this line costs the listing of folders that have not changed, nothing else.
    match catalog.commit(head.no, started, &stored.marks, &records.gone) {
        // The snapshot is there, so the pass is not done again.
        Err(error) if error.is_damage() => begin_catalog_anew(catalog, &error, sink)?,
        outcome => outcome?,
    }
    sink.emit(Event::PhaseFinished { phase: Phase::Commit });
    if !lacking.is_empty() {
        let troubled: HashSet<&str> = report.rejected.iter().filter_map(|r| r.place.account.as_deref()).collect();
        let here: HashMap<RecordId, &str> = records.accounts.iter().map(|(id, at)| (*id, at.as_str())).collect();
        // What was read is stored again; what this pass did not look at, or not as a whole, waits for another.
        let left = lacking.into_iter().filter(|id| match here.get(id) {
            Some(address) => troubled.contains(address),
            None => !wanted.all() && !records.gone.contains(id),
        });
        all_wanted.insert(head.source.clone(), left.collect());
        archive.set_wanted(&lock, &all_wanted)?;
    }
    report.snapshot = Some(head.no);
    report.dry_run = false;
    Ok(report)
}

/// The id under which this site's snapshots are kept: the one asked for, the site's own, that of the newest snapshot
/// from the same place, or one derived from archive and place, so that it is the same if the first pass is repeated.
///
/// A site whose own id could not be read in its first pass keeps the id that it got then: under another, everything
/// would be imported a second time.
fn source_id(archive: &Archive, site: &SiteDescription, asked: Option<&SiteId>) -> Result<SiteId, ExportError> {
    let heads = archive.heads()?.read;
    let latest =
        |id: &SiteId| heads.iter().rev().find(|head| continues(&head.source, id)).map(|head| head.source.clone());
    if let Some(id) = asked {
        return Ok(latest(id).unwrap_or_else(|| id.clone()));
    }
    let known = |id: &SiteId| heads.iter().any(|head| head.source == *id);
    let digest = crate::model::id::ObjectId::of(format!("{}\0{}", archive.id(), site.locator).as_bytes()).to_string();
    let derived = digest.get(..16).unwrap_or(&digest);
    let stand_in: SiteId = format!("{STAND_IN}{derived}").parse().map_err(|_| ExportError::Broken)?;
    if let Some(id) = &site.id {
        let id = if !known(id) && known(&stand_in) { stand_in } else { id.clone() };
        return Ok(latest(&id).unwrap_or(id));
    }
    if let Some(head) = heads.iter().rev().find(|head| head.locator == site.locator) {
        return Ok(head.source.clone());
    }
    if site.id_unseen {
        return Ok(stand_in);
    }
    derived.parse().map_err(|_| ExportError::Broken)
}

/// Stands between the id of a site and the number of the snapshot from which on an exporter that had lost its catalog, and
/// had no key, knew it by another id: ids of records and items are never used again, and it did not know which were.
const ANEW: &str = "-anew-";

fn another_id(id: &SiteId, no: SnapshotNo) -> Result<SiteId, ExportError> {
    let stem: String = id.as_str().split(ANEW).next().unwrap_or_default().chars().take(48).collect();
    format!("{stem}{ANEW}{no}").parse().map_err(|_| ExportError::Broken)
}

/// Whether `source` is the site `id`, perhaps begun anew.
fn continues(source: &SiteId, id: &SiteId) -> bool {
    let rest = source.as_str().strip_prefix(id.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(ANEW))
}

/// Begins the id of a site whose own could not be read.
const STAND_IN: &str = "unread-";

/// Marks speak of the state at their snapshot. When that is not in the chain (a snapshot was taken away, another archive
/// came in its place), they would hide changes.
fn drop_stale_marks(catalog: &mut Catalog, history: Option<&History<'_>>) -> Result<(), ExportError> {
    if let Some((no, started)) = catalog.snapshot()? {
        let heads = history.map(History::heads).unwrap_or_default();
        let lost = history.is_some_and(|history| history.lost().contains(&no));
        if !lost && !heads.iter().any(|head| head.no == no && head.started == started) {
            catalog.clear()?;
        }
    }
    Ok(())
}

/// Which accounts a pass looks at.
pub(super) struct Wanted {
    included: Option<GlobSet>,
    excluded: GlobSet,
}

impl Wanted {
    fn new(accounts: &[String], exclude: &[String]) -> Result<Self, ExportError> {
        let included = if accounts.is_empty() { None } else { Some(glob_set(accounts)?) };
        Ok(Self { included, excluded: glob_set(exclude)? })
    }

    /// Whether the whole site is looked at.
    fn all(&self) -> bool {
        self.included.is_none() && self.excluded.is_empty()
    }

    fn account(&self, address: &str) -> bool {
        self.included.as_ref().is_none_or(|globs| globs.is_match(address)) && !self.excluded.is_match(address)
    }
}

fn glob_set(patterns: &[String]) -> Result<GlobSet, ExportError> {
    let bad = |pattern: &str, error| ExportError::BadGlob(pattern.to_owned(), error);
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(GlobBuilder::new(pattern).case_insensitive(true).build().map_err(|error| bad(pattern, error))?);
    }
    set.build().map_err(|error| bad("", error))
}
