//! The first stage: walks the accounts, skips what its mark says is unchanged, and sends on, in order, what the store has
//! to record and what the splitters have to read.

use super::steps::Steps;
use super::{ExportError, ExportOptions, diff, salvage};
use crate::archive::history::History;
use crate::catalog::{AccountMark, Catalog, FolderMark};
use crate::event::{Event, Phase, Place, Rejection, Sink};
use crate::format::manifest::{AccountState, ManifestLine};
use crate::format::snapshot::push_line;
use crate::limits;
use crate::model::id::{FolderId, ItemId, ObjectId, RecordId};
use crate::model::mailbox::FolderKey;
use crate::model::setting::Setting;
use crate::shelf::Scratch;
use crate::site::{Depth, FolderListing, FolderScan, FoundFolder, FoundItem, MailboxScan, Source};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::thread;

/// What the scan works with.
pub(super) struct Pass<'a> {
    pub source: &'a dyn Source,
    pub history: Option<&'a History<'a>>,
    pub options: &'a ExportOptions,
    pub sink: &'a dyn Sink,
    /// Where what is too much for memory lies.
    pub scratch: &'a Scratch,
    /// Accounts of which the archive lost something: they are read as with `--deep`.
    pub wanted: BTreeSet<RecordId>,
}

impl Pass<'_> {
    /// Whether everything in an account is to be read and hashed.
    pub fn is_deep(&self, account: RecordId) -> bool {
        self.options.deep || self.wanted.contains(&account)
    }

    /// Whether the pass goes on where what earlier snapshots say of the account is damaged: a repair has named that.
    fn goes_on_without(&self, account: RecordId) -> bool {
        self.options.full || self.wanted.contains(&account)
    }
}

/// What the scan saw.
#[derive(Default)]
pub(super) struct Scanned {
    pub accounts: u64,
    pub folders: u64,
    pub folders_read: u64,
    pub rejected: Vec<Rejection>,
}

impl Scanned {
    /// Takes in what was seen of one account, and tells it.
    fn add(&mut self, account: Scanned, sink: &dyn Sink) {
        self.accounts += account.accounts;
        self.folders += account.folders;
        self.folders_read += account.folders_read;
        for rejection in &account.rejected {
            sink.emit(Event::Rejected(rejection.clone()));
        }
        self.rejected.extend(account.rejected);
        sink.emit(Event::Advanced { phase: Phase::Scan, items: account.accounts, bytes: 0 });
    }
}

/// One step of a changed account, numbered in scan order.
pub(super) enum Step {
    Begin(Box<Begin>),
    Line(Box<ManifestLine>),
    Read(Box<Read>),
    End(Box<End>),
}

/// An account of which something changed: its mailbox as the archive has it.
pub(super) struct Begin {
    pub id: RecordId,
    pub address: String,
    pub state: AccountState,
    /// Items that are in no folder any more, unless one of the items to be read turns out to be one of them.
    pub gone: Vec<ItemId>,
    /// The manifest is to be a full one.
    pub full: bool,
    /// What the archive has of it is not known for certain.
    pub salvaged: bool,
}

/// An item whose content has to be read: a new one, or a known one that may have another content now.
pub(super) struct Read {
    pub account: Arc<str>,
    pub key: Arc<FolderKey>,
    pub folder: FolderId,
    pub found: FoundItem,
    pub known: Option<ItemId>,
}

/// The account is complete but for these.
pub(super) struct End {
    pub folders_gone: Vec<FolderId>,
    pub mark: AccountMark,
}

/// Steps on their way to the splitters, with the number of the first.
pub(super) type Numbered = (u64, Vec<Step>);

/// A folder of the account as this pass found it.
pub(super) enum Seen {
    /// As its mark says; nothing was read.
    Unchanged(FolderMark),
    Listed(FoundFolder, Box<FolderListing>),
}

/// An account to look at, what the catalog remembers of it, and where to say what was found.
struct Asked<'a> {
    id: RecordId,
    address: &'a str,
    remembered: Option<AccountMark>,
    answer: Sender<Looked>,
}

type Looked = Result<(Steps, Scanned), ExportError>;

/// Scans the accounts. Where an earlier pass left marks, so that most of the time goes into asking for times, or into
/// replaying what changed, several accounts are looked at ahead, and taken in order; a first pass holds the listing of
/// one account only, and has its splitters to keep the processors busy.
pub(super) fn run(
    pass: &Pass<'_>,
    catalog: &Catalog,
    accounts: &[(RecordId, String)],
    out: Sender<Numbered>,
) -> Result<Scanned, ExportError> {
    let ahead = if catalog.snapshot()?.is_some() { pass.options.workers.get() } else { 0 };
    let (mut scanned, mut number) = (Scanned::default(), 0);
    let mut take = |looked: Looked| {
        let (steps, found) = looked?;
        scanned.add(found, pass.sink);
        send(steps, &mut number, &out, pass.sink)
    };
    thread::scope(|scope| {
        let window = ahead * limits::ACCOUNTS_AHEAD;
        let (ask, asked) = bounded::<Asked<'_>>(window.max(1));
        for _ in 0..ahead {
            let asked = asked.clone();
            scope.spawn(move || {
                for Asked { id, address, remembered, answer } in asked {
                    // Nobody waits for the answer any more when the pass has failed.
                    drop(answer.send(scan_account(pass, id, address, remembered)));
                }
            });
        }
        let mut awaited = VecDeque::new();
        for (id, address) in accounts {
            let remembered = catalog.account(*id)?;
            if ahead == 0 {
                take(scan_account(pass, *id, address, remembered))?;
                continue;
            }
            if awaited.len() == window
                && let Some(first) = awaited.pop_front()
            {
                take(wait_for(&first))?;
            }
            let (answer, answered) = bounded(1);
            ask.send(Asked { id: *id, address, remembered, answer }).map_err(|_| ExportError::Broken)?;
            awaited.push_back(answered);
        }
        drop(ask); // the threads end with it
        awaited.iter().try_for_each(|answered| take(wait_for(answered)))
    })?;
    Ok(scanned)
}

fn wait_for(answered: &Receiver<Looked>) -> Looked {
    answered.recv().map_err(|_| ExportError::Broken)?
}

/// Sends the steps of one account on, a batch at a time.
fn send(steps: Steps, number: &mut u64, out: &Sender<Numbered>, sink: &dyn Sink) -> Result<(), ExportError> {
    let mut steps = steps.peekable();
    loop {
        if sink.interrupted() {
            return Err(ExportError::Interrupted);
        }
        if steps.peek().is_none() {
            return Ok(());
        }
        let batch: Vec<Step> = steps.by_ref().take(limits::QUEUE_BATCH).collect();
        let count = batch.len() as u64;
        // A closed queue means that a later stage has failed; its error is the one to tell.
        out.send((*number, batch)).map_err(|_| ExportError::Broken)?;
        *number += count;
    }
}

/// Looks at one account; no steps: nothing of it has changed.
fn scan_account(pass: &Pass<'_>, id: RecordId, address: &str, remembered: Option<AccountMark>) -> Looked {
    let mut scanned = Scanned { accounts: 1, ..Scanned::default() };
    let mut reject = |rejection: Rejection| scanned.rejected.push(rejection);
    let mailbox = match pass.source.mailbox(address) {
        Ok(mailbox) => mailbox,
        Err(error) => {
            reject(Rejection { place: Place::account(address), reason: error.as_reason() });
            return Ok((Steps::default(), scanned));
        }
    };
    let settings = settings_hash(&mailbox.settings);
    // A full manifest needs the account's state anyway; marks that go with one that is not certain say nothing.
    let folders = remembered.as_ref().map(|account| account.folders.as_slice()).unwrap_or_default();
    let early = match pass.goes_on_without(id) {
        true => Some(salvage::state(pass.history, pass.scratch, true, id, folders)?),
        false => None,
    };
    let certain = early.as_ref().is_none_or(|(_, exact)| *exact);
    let mut seen = Vec::new();
    let mut unseen: HashSet<FolderKey> = HashSet::new();
    let marks: HashMap<&FolderKey, &FolderMark> =
        remembered.iter().flat_map(|account| &account.folders).map(|mark| (&mark.key, mark)).collect();
    for found in mailbox.folders.iter() {
        scanned.folders += 1;
        // Another folder may lie where this one was; then its mark says nothing.
        let mark = marks.get(&found.key).copied().filter(|mark| mark.ident == found.ident);
        let depth = if pass.is_deep(id) { Depth::Deep } else { Depth::Marks };
        let trusted = mark.map(|mark| mark.mark.as_slice());
        let trusted = trusted.filter(|mark| !mark.is_empty() && !pass.is_deep(id) && certain);
        match pass.source.folder(address, &found.key, trusted, depth) {
            Ok(FolderScan::Unchanged) => seen.extend(mark.cloned().map(Seen::Unchanged)),
            Ok(FolderScan::Listed(listing)) => {
                scanned.folders_read += 1;
                listing.rejected.iter().cloned().for_each(&mut reject);
                seen.push(Seen::Listed(found.clone(), listing));
            }
            Ok(FolderScan::Vanished) => drop(unseen.insert(found.key.clone())),
            Err(error) => {
                reject(Rejection { place: Place::folder(address, &found.key), reason: error.as_reason() });
                unseen.insert(found.key.clone());
            }
        }
    }
    mailbox.rejected.iter().cloned().for_each(&mut reject);

    let same = |account: &AccountMark| {
        account.settings == settings
            && unseen.is_empty()
            && account.folders.len() == seen.len()
            && seen.iter().all(|seen| matches!(seen, Seen::Unchanged(_)))
    };
    if !pass.options.full && remembered.as_ref().is_some_and(same) {
        return Ok((Steps::default(), scanned));
    }
    let (state, exact) = match early {
        Some(known) => known,
        None => salvage::state(pass.history, pass.scratch, false, id, &[])?,
    };
    let mut versions = remembered.map(|account| account.folders).unwrap_or_default();
    if !exact {
        // What is remembered goes with a state that is not known, so whatever may change in place is read again.
        versions.iter_mut().for_each(|mark| mark.versions.clear());
    }
    let full = pass.options.full || !exact || pass.history.is_some_and(|history| chain_is_long(history, id, &state));
    let found = diff::Found { mailbox: &mailbox, seen, unseen, versions, settings, full, salvaged: !exact };
    Ok((diff::account(pass, id, address, state, found)?, scanned))
}

/// Whether reading the account's manifests costs so much more than reading a full one that it is time for one.
fn chain_is_long(history: &History<'_>, id: RecordId, state: &AccountState) -> bool {
    let entries = || history.heads().iter().rev().flat_map(|head| &head.accounts).filter(|entry| entry.id == id);
    let since_full = entries().take_while(|entry| !entry.full);
    let (manifests, lines) = since_full.fold((0, 0), |(manifests, lines), entry| (manifests + 1, lines + entry.lines));
    manifests >= limits::MANIFEST_CHAIN || lines > 2 * state.items.len() as u64 + limits::MANIFEST_SLACK_LINES
}

/// Equal exactly when the settings are.
fn settings_hash(settings: &[Setting]) -> Vec<u8> {
    let mut lines = Vec::new();
    settings.iter().for_each(|setting| push_line(&mut lines, setting));
    ObjectId::of(&lines).as_bytes().to_vec()
}

/// Whether something of the mailbox could not be listed at all, so that what is missing may be there.
pub(super) fn blind(mailbox: &MailboxScan) -> bool {
    mailbox.rejected.iter().any(|rejection| rejection.place.folder.is_none())
}
