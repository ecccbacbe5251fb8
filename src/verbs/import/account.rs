//! Accounts in parallel: which have something to do, their folders, then their items.
//!
//! Each account is one thread's work from beginning to end. What fails in one account (a mailbox that cannot be
//! written) is counted there; what concerns the target as a whole (a full disk) ends the pass.

use super::ledger::{AccountLedger, Fate, Tally};
use super::pass::Pass;
use super::{ImportError, changes, deliver, folders, gone, settings, way_back};
use crate::event::{Place, Reason};
use crate::format::manifest::AccountState;
use crate::map::{FolderRow, Progress};
use crate::model::id::{FolderId, RecordId};
use crate::site::SiteError;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One account with something to do.
pub struct Job {
    pub record: RecordId,
    /// Its address on the source, and on the target.
    pub source: String,
    pub target: String,
}

/// What this pass has to do.
pub struct Work {
    jobs: Vec<Job>,
    /// Accounts with nothing to do, or not looked at.
    ledgers: Vec<AccountLedger>,
    items: u64,
}

impl Work {
    /// Items in the accounts that are looked at.
    pub fn items(&self) -> u64 {
        self.items
    }
}

/// The ledger of a pass that looks into no mailbox.
pub fn left_out(pass: &Pass<'_>) -> Result<Vec<AccountLedger>, ImportError> {
    let arrived = pass.map.arrived()?;
    let accounts = pass.started.provisioning.accounts();
    Ok(accounts
        .map(|(id, account)| {
            let target = arrived.get(&id).map(|row| row.target_key.clone());
            whole(pass, id, &account.address, target, &Fate::Excluded("--provisioning-only"))
        })
        .collect())
}

/// An account of which all items have the same fate.
fn whole(pass: &Pass<'_>, id: RecordId, source: &str, target: Option<String>, fate: &Fate) -> AccountLedger {
    let items = items_in_snapshot(pass, id);
    let mut tally = Tally { in_snapshot: items, ..Tally::default() };
    tally.count_many(fate, items);
    let folders = if items > 0 { BTreeMap::from([(String::new(), tally)]) } else { BTreeMap::new() };
    AccountLedger { source: source.to_owned(), target, folders, ..AccountLedger::default() }
}

/// What the newest manifest of the account says it holds.
fn items_in_snapshot(pass: &Pass<'_>, id: RecordId) -> u64 {
    let entries = pass.history.heads().iter().rev().flat_map(|head| &head.accounts);
    entries.into_iter().find(|entry| entry.id == id).map_or(0, |entry| entry.items)
}

/// Sorts accounts into those with something to do and those without.
pub fn work(pass: &Pass<'_>) -> Result<Work, ImportError> {
    let arrived = pass.map.arrived()?;
    let mut progress: BTreeMap<_, _> = pass.map.progress()?.into_iter().collect();
    let rules = pass.rules();
    let mut work = Work { jobs: Vec::new(), ledgers: Vec::new(), items: 0 };
    for (id, account) in pass.started.provisioning.accounts() {
        let source = &account.address;
        let target = arrived.get(&id).map(|row| row.target_key.clone());
        if !pass.is_chosen(source) {
            work.ledgers.push(whole(pass, id, source, target, &Fate::Excluded("--account")));
            continue;
        }
        let Some(target) = target else {
            let reason = Reason::Refused("the account is not on the target".to_owned());
            work.ledgers.push(whole(pass, id, source, None, &Fate::Rejected(reason)));
            continue;
        };
        let newest = pass.history.last_change(id).unwrap_or_default();
        let done = progress.remove(&id).filter(|done| done.rules == rules && done.snapshot >= newest);
        match done.and_then(|done| serde_json::from_str::<AccountLedger>(&done.ledger).ok()) {
            Some(ledger) if !pass.options.additive => {
                let names = AccountLedger { source: source.clone(), target: Some(target), ..ledger.settled() };
                work.ledgers.push(names);
            }
            _ => {
                work.items = work.items.saturating_add(items_in_snapshot(pass, id));
                work.jobs.push(Job { record: id, source: source.clone(), target });
            }
        }
    }
    // Accounts that the source no longer has: with --delete their items go, so they are looked at once more.
    if pass.options.delete && !pass.options.additive {
        let present = &pass.started.provisioning.records;
        let gone = arrived.into_values().filter(|row| row.kind == crate::model::provisioning::RecordKind::Account);
        for row in gone.filter(|row| !present.contains_key(&row.id) && pass.is_chosen(&row.source_key)) {
            work.jobs.push(Job { record: row.id, source: row.source_key, target: row.target_key });
        }
    }
    Ok(work)
}

/// The mailbox at the snapshot; empty for an account that the source no longer has.
fn state_of(pass: &Pass<'_>, job: &Job) -> Result<AccountState, ImportError> {
    if pass.started.provisioning.records.contains_key(&job.record) {
        Ok(pass.history.account(job.record)?)
    } else {
        Ok(AccountState::default())
    }
}

/// Makes the folders of all accounts, so that users see them while their items come.
pub fn folders_of_all(pass: &Pass<'_>, work: &Work) -> Result<(), ImportError> {
    in_parallel(pass, &work.jobs, |job| {
        let state = state_of(pass, job)?;
        super::renumber::account(pass, job, &state)?;
        let outcome = folders::bring(pass, job, &state).map(|_| ());
        // What fails here fails again with the items, and is counted there.
        outcome.or_else(|error| survives(pass, job, error).map(|_| ()))
    })?;
    Ok(())
}

/// Brings the items of all accounts, and returns the ledger of every account of the snapshot.
pub fn items_of_all(pass: &Pass<'_>, work: Work) -> Result<Vec<AccountLedger>, ImportError> {
    let Work { jobs, mut ledgers, .. } = work;
    let present = &pass.started.provisioning.records;
    let done = in_parallel(pass, &jobs, |job| {
        let state = state_of(pass, job)?;
        let mut ledger = opening(pass, job, &state);
        if let Err(error) = bring(pass, job, &state, &mut ledger) {
            let reason = survives(pass, job, error)?;
            pass.postpone(job.record);
            let tallies = ledger.folders.values_mut().chain([&mut ledger.settings]);
            tallies.for_each(|tally| tally.count_many(&Fate::Rejected(reason.clone()), tally.missing()));
            // Its grants may still be brought, where an earlier pass made its folders.
            ledger.failed = Some(reason);
        }
        Ok(ledger)
    })?;
    let of_snapshot = jobs.iter().zip(done).filter(|(job, _)| present.contains_key(&job.record));
    ledgers.extend(of_snapshot.map(|(_, ledger)| ledger));
    ledgers.sort_by(|a, b| a.source.cmp(&b.source));
    Ok(ledgers)
}

/// The left side of an account's ledger.
fn opening(pass: &Pass<'_>, job: &Job, state: &AccountState) -> AccountLedger {
    let mut ledger =
        AccountLedger { source: job.source.clone(), target: Some(job.target.clone()), ..Default::default() };
    for folder in state.folders.values() {
        ledger.folders.entry(folder.key.to_string()).or_default();
        let grants = folder.grants.len() as u64;
        ledger.grants.in_snapshot += grants;
        let rule = pass
            .skips_folder(folder.key.kind())
            .or_else(|| pass.options.skip.contains(&super::Skip::Shares).then_some("--skip shares"));
        if let Some(rule) = rule {
            ledger.grants.count_many(&Fate::Excluded(rule), grants);
        }
    }
    for (_, folder) in state.items.folders() {
        let name = state.folders.get(&folder).map(|folder| folder.key.to_string()).unwrap_or_default();
        ledger.folders.entry(name).or_default().in_snapshot += 1;
    }
    ledger.settings.in_snapshot = state.settings.len() as u64;
    ledger
}

/// Where an account's folders are on the target, and which could not be made.
pub struct Folders {
    pub rows: BTreeMap<FolderId, FolderRow>,
    pub rejected: BTreeMap<FolderId, Reason>,
}

fn bring(pass: &Pass<'_>, job: &Job, state: &AccountState, ledger: &mut AccountLedger) -> Result<(), ImportError> {
    deliver::settle_intents(pass, job)?;
    let mut folders = folders::bring(pass, job, state)?;
    if !pass.options.skip.contains(&super::Skip::Shares) {
        for (id, reason) in &folders.rejected {
            let grants = state.folders.get(id).map_or(0, |folder| folder.grants.len() as u64);
            ledger.grants.count_many(&Fate::Rejected(reason.clone()), grants);
        }
    }
    let mut sorted = changes::sort(pass, job, state, &folders, ledger)?;
    pass.check_scratch()?;
    if !sorted.fresh.is_empty()
        && let Some(origins) = way_back::origins(pass, &job.source)?
    {
        let (new, came) = origins.adopt(pass, (job.record, &job.target), state, sorted.fresh)?;
        changes::count_found(&came, state, ledger);
        sorted.fresh = new;
        sorted.changed.extend(changes::differing(came, state, pass));
    }
    let fresh = match pass.options.adopt {
        Some(how) if !sorted.fresh.is_empty() => super::adopt::adopt(pass, job, state, sorted.fresh, how, ledger)?,
        _ => sorted.fresh,
    };
    pass.check_scratch()?;
    deliver::deliver(pass, job, state, &mut folders, fresh, ledger)?;
    let changed = changes::apply(pass, job, state, &folders, sorted.changed)?;
    pass.check_scratch()?;
    let followed = gone::follow(pass, job, state, &folders, sorted.gone)?;
    // After folders went: a subscription may outlive its folder.
    settings::bring(pass, job, state, &mut ledger.settings)?;
    folders::set_active_scripts(pass, job, state, &mut folders)?;
    pass.check_scratch()?;
    finish(pass, job, ledger, changed && followed)
}

/// Remembers how far the account came, unless something is left to try again: a new item, a setting, or what `merged` says
/// of items that changed or went.
fn finish(pass: &Pass<'_>, job: &Job, ledger: &AccountLedger, merged: bool) -> Result<(), ImportError> {
    if !pass.started.provisioning.records.contains_key(&job.record) {
        return Ok(());
    }
    let complete = merged && ledger.items().rejected.is_empty() && ledger.settings.rejected.is_empty();
    let progress = Progress {
        snapshot: pass.snapshot,
        rules: pass.rules(),
        ledger: serde_json::to_string(ledger).unwrap_or_default(),
    };
    pass.map.set_progress(job.record, complete.then_some(&progress))?;
    Ok(())
}

/// An error that ends only this account, as a reason; any other ends the pass.
fn survives(pass: &Pass<'_>, job: &Job, error: ImportError) -> Result<Reason, ImportError> {
    let reason = match error {
        ImportError::Site(error) if !concerns_all(&error) => match error.as_reason() {
            Reason::Unreadable(text) => Reason::Refused(text),
            other => other,
        },
        other => return Err(other),
    };
    pass.reject(Place::account(&job.source), reason.clone());
    Ok(reason)
}

fn concerns_all(error: &SiteError) -> bool {
    match error {
        SiteError::Io { source, .. } => {
            matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::ReadOnlyFilesystem | ErrorKind::QuotaExceeded)
        }
        SiteError::Database { .. } | SiteError::NotASite(_) => true,
        _ => false,
    }
}

/// Does the jobs with as many threads as wanted; results in the order of the jobs. The first error ends all.
fn in_parallel<T: Send>(
    pass: &Pass<'_>,
    jobs: &[Job],
    work: impl Fn(&Job) -> Result<T, ImportError> + Sync,
) -> Result<Vec<T>, ImportError> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, T)>> = Mutex::default();
    let failed: Mutex<Option<ImportError>> = Mutex::default();
    let run = || {
        while let Some((at, job)) = pass.go_on().ok().and_then(|()| {
            let at = next.fetch_add(1, Ordering::Relaxed);
            jobs.get(at).map(|job| (at, job))
        }) {
            match work(job) {
                Ok(value) => results.lock().unwrap_or_else(PoisonError::into_inner).push((at, value)),
                Err(error) => {
                    pass.stop();
                    // The others then end as interrupted; the first error is the cause.
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..pass.options.jobs.get().min(jobs.len()) {
            scope.spawn(run);
        }
        run();
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    if results.len() < jobs.len() {
        return Err(ImportError::Interrupted);
    }
    results.sort_by_key(|(at, _)| *at);
    Ok(results.into_iter().map(|(_, value)| value).collect())
}
