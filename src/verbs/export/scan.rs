//! The first stage: walks the accounts, skips what its mark says is unchanged, and sends on, in order, what the store has
//! to record and what the splitters have to read.

use super::{ExportError, ExportOptions, diff};
use crate::archive::history::History;
use crate::catalog::{AccountMark, Catalog, FolderMark};
use crate::event::{Event, Phase, Place, Rejection, Sink};
use crate::format::manifest::{AccountState, ManifestLine};
use crate::format::snapshot::push_line;
use crate::limits;
use crate::model::id::{FolderId, ItemId, ObjectId, RecordId};
use crate::model::mailbox::FolderKey;
use crate::model::setting::Setting;
use crate::site::{Depth, FolderListing, FolderScan, FoundFolder, FoundItem, MailboxScan, Source};
use crossbeam_channel::Sender;
use std::collections::{HashMap, HashSet};

/// What the scan works with.
pub(super) struct Pass<'a> {
    pub source: &'a dyn Source,
    pub history: Option<&'a History<'a>>,
    pub catalog: &'a Catalog,
    pub options: &'a ExportOptions,
    pub sink: &'a dyn Sink,
}

/// What the scan saw.
#[derive(Default)]
pub(super) struct Scanned {
    pub accounts: u64,
    pub folders: u64,
    pub folders_read: u64,
    pub rejected: Vec<Rejection>,
}

/// One step of a changed account, numbered in scan order.
pub(super) enum Step {
    Begin(Box<Begin>),
    Line(ManifestLine),
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
}

/// An item whose content has to be read: a new one, or a known one that may have another content now.
pub(super) struct Read {
    pub account: String,
    pub key: FolderKey,
    pub folder: FolderId,
    pub found: FoundItem,
    pub known: Option<ItemId>,
}

/// The account is complete but for these.
pub(super) struct End {
    pub folders_gone: Vec<FolderId>,
    pub mark: AccountMark,
}

/// A numbered step on its way to the splitters.
pub(super) type Numbered = (u64, Step);

/// A folder of the account as this pass found it.
pub(super) enum Seen {
    /// As its mark says; nothing was read.
    Unchanged(FolderMark),
    Listed(FoundFolder, Box<FolderListing>),
}

pub(super) fn run(
    pass: &Pass<'_>,
    accounts: &[(RecordId, String)],
    out: Sender<Numbered>,
) -> Result<Scanned, ExportError> {
    let mut scanned = Scanned::default();
    let mut number = 0;
    for (id, address) in accounts {
        if pass.sink.interrupted() {
            return Err(ExportError::Interrupted);
        }
        scanned.accounts += 1;
        for step in scan_account(pass, *id, address, &mut scanned)? {
            // An account of a million messages takes a while, the more so under a throttle.
            if pass.sink.interrupted() {
                return Err(ExportError::Interrupted);
            }
            // A closed queue means that a later stage has failed; its error is the one to tell.
            out.send((number, step)).map_err(|_| ExportError::Broken)?;
            number += 1;
        }
    }
    Ok(scanned)
}

/// Looks at one account; no steps: nothing of it has changed.
fn scan_account(pass: &Pass<'_>, id: RecordId, address: &str, scanned: &mut Scanned) -> Result<Vec<Step>, ExportError> {
    let mut reject = |rejection: Rejection| {
        pass.sink.emit(Event::Rejected(rejection.clone()));
        scanned.rejected.push(rejection);
    };
    let mailbox = match pass.source.mailbox(address) {
        Ok(mailbox) => mailbox,
        Err(error) => {
            reject(Rejection { place: Place::account(address), reason: error.as_reason() });
            return Ok(Vec::new());
        }
    };
    let remembered = pass.catalog.account(id)?;
    let settings = settings_hash(&mailbox.settings);
    let mut seen = Vec::new();
    let mut unseen: HashSet<FolderKey> = HashSet::new();
    let marks: HashMap<&FolderKey, &FolderMark> =
        remembered.iter().flat_map(|account| &account.folders).map(|mark| (&mark.key, mark)).collect();
    for found in mailbox.folders.iter() {
        scanned.folders += 1;
        // Another folder may lie where this one was; then its mark says nothing.
        let mark = marks.get(&found.key).copied().filter(|mark| mark.ident == found.ident);
        let depth = if pass.options.deep { Depth::Deep } else { Depth::Marks };
        let trusted = mark.map(|mark| mark.mark.as_slice()).filter(|mark| !mark.is_empty() && !pass.options.deep);
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
    pass.sink.emit(Event::Advanced { phase: Phase::Scan, items: 1, bytes: 0 });

    let same = |account: &AccountMark| {
        account.settings == settings
            && unseen.is_empty()
            && account.folders.len() == seen.len()
            && seen.iter().all(|seen| matches!(seen, Seen::Unchanged(_)))
    };
    if !pass.options.full && remembered.as_ref().is_some_and(same) {
        return Ok(Vec::new());
    }
    let state = match pass.history {
        Some(history) => history.account(id)?,
        None => AccountState::default(),
    };
    let full = pass.options.full || pass.history.is_some_and(|history| chain_is_long(history, id, &state));
    let versions = remembered.map(|account| account.folders).unwrap_or_default();
    Ok(diff::account(
        pass,
        id,
        address,
        state,
        diff::Found { mailbox: &mailbox, seen, unseen, versions, settings, full },
    ))
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
