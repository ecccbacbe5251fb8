//! Going on where the chain of snapshots is broken: what the new, self-contained snapshot takes over from what is left.
//!
//! Promises that records and folders keep their numbers wherever a readable snapshot or the catalog knows them, and that
//! a number that may have been given away is not given again. What could not be known is said in the snapshot, so that an
//! import compares contents there. Only with `--full`; without it a broken chain ends the pass.

use super::{ExportError, ExportOptions};
use crate::archive::history::History;
use crate::archive::{Archive, ArchiveError};
use crate::catalog::Catalog;
use crate::event::{Event, Place, Sink};
use crate::format::manifest::AccountState;
use crate::format::snapshot::{Provisioning, ProvisioningLine, StoredRecord, squash};
use crate::limits::NUMBER_GAP;
use crate::model::id::{RecordId, SiteId, SnapshotNo};
use crate::model::mailbox::Folder;
use crate::model::provisioning::{Account, Record, RecordKind};
use crate::shelf::Scratch;
use crate::site::{FoundRecord, Source};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The source's snapshots, whole; with `--full` also with gaps. `None`: this is the first.
pub(super) fn history<'a>(
    archive: &'a Archive,
    source: &SiteId,
    options: &ExportOptions,
    sink: &dyn Sink,
) -> Result<Option<History<'a>>, ExportError> {
    let whole = History::open(archive, Some(source), None).and_then(|history| {
        if options.full {
            history.provisioning_lines(|_| {})?;
        }
        Ok(history)
    });
    let damage = match whole {
        Ok(history) => return Ok(Some(history)),
        Err(ArchiveError::Empty(_)) => return Ok(None),
        Err(error) if options.full && error.is_damage() => error,
        Err(error) => return Err(error.into()),
    };
    let Some(history) = History::salvage(archive, source)? else { return Err(damage.into()) };
    if !options.accounts.is_empty() || !options.exclude.is_empty() {
        return Err(ExportError::BrokenChain { lost: listed(history.lost()) });
    }
    let text = format!(
        "snapshot {} cannot be read; this pass goes on without, as a full snapshot that needs no earlier one",
        listed(history.lost())
    );
    sink.emit(Event::Notice { place: Place::default(), text });
    Ok(Some(history))
}

/// `2`, `2, 3`.
pub(super) fn listed(numbers: &[SnapshotNo]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The records that are known, with those that only the heads of snapshots or the catalog know, and a highest number
/// above all that a lost snapshot may have given away.
pub(super) fn records(
    history: &History<'_>,
    (mut known, mut highest): (Provisioning, RecordId),
    catalog: &Catalog,
    source: &dyn Source,
    found: &[FoundRecord],
) -> Result<(Provisioning, RecordId), ExportError> {
    if history.lost().is_empty() {
        return Ok((known, highest));
    }
    let mut ever: HashSet<RecordId> = known.records.keys().copied().collect();
    history.provisioning_lines(|line| {
        if let ProvisioningLine::Put(StoredRecord { id, .. }) | ProvisioningLine::Gone(id) = line {
            ever.insert(id);
        }
    })?;
    let mut named: BTreeMap<RecordId, &str> = BTreeMap::new();
    for entry in history.heads().iter().flat_map(|head| &head.accounts) {
        highest = highest.max(entry.id);
        named.insert(entry.id, &entry.address);
    }
    for (id, address) in named.into_iter().filter(|(id, _)| !ever.contains(id)) {
        let account = Account { address: address.to_owned(), ..Account::default() };
        known.apply(ProvisioningLine::Put(StoredRecord { id, idents: Vec::new(), record: Record::Account(account) }));
    }
    from_catalog(catalog, source, found, &mut known)?;
    highest = highest.max(known.highest());
    Ok((known, RecordId(highest.0.saturating_add(NUMBER_GAP))))
}

/// Accounts of which the catalog remembers folders and nobody else anything: the one found with the same folders is it.
fn from_catalog(
    catalog: &Catalog,
    source: &dyn Source,
    found: &[FoundRecord],
    known: &mut Provisioning,
) -> Result<(), ExportError> {
    let mut folders: HashMap<String, RecordId> = HashMap::new();
    for id in catalog.accounts()? {
        if !known.records.contains_key(&id) {
            let marks = catalog.account(id)?.unwrap_or_default().folders;
            folders.extend(marks.into_iter().filter_map(|mark| Some((mark.ident?, id))));
        }
    }
    if folders.is_empty() {
        return Ok(());
    }
    for record in found {
        let Record::Account(account) = &record.record else { continue };
        if known.find(RecordKind::Account, &account.address).is_some() {
            continue;
        }
        let Ok(mailbox) = source.mailbox(&account.address) else { continue };
        let id = mailbox.folders.iter().find_map(|folder| folders.get(folder.ident.as_ref()?));
        if let Some(id) = id.filter(|id| !known.records.contains_key(id)) {
            let stored = StoredRecord { id: *id, idents: Vec::new(), record: record.record.clone() };
            known.apply(ProvisioningLine::Put(stored));
        }
    }
    Ok(())
}

/// The lines of a snapshot that stands alone: all that earlier ones said, and what this pass found. `stood_in` are the
/// records that only heads or catalog knew.
pub(super) fn all_lines(
    history: &History<'_>,
    stood_in: &Provisioning,
    highest: RecordId,
    new: Vec<ProvisioningLine>,
) -> Result<Vec<ProvisioningLine>, ExportError> {
    let mut lines = Vec::new();
    history.provisioning_lines(|line| lines.push(line))?;
    lines.extend(stood_in.records.values().cloned().map(ProvisioningLine::Put));
    lines.push(ProvisioningLine::Last(highest));
    lines.extend(new);
    Ok(squash(lines))
}

/// The account's mailbox as the archive has it, and whether that is certain.
pub(super) fn state(
    history: Option<&History<'_>>,
    scratch: &Scratch,
    full: bool,
    id: RecordId,
    remembered: &[crate::catalog::FolderMark],
) -> Result<(AccountState, bool), ExportError> {
    let Some(history) = history else { return Ok((AccountState::new(scratch), true)) };
    if history.lost().is_empty() {
        match history.account(id) {
            Err(error) if full && error.is_damage() => {}
            outcome => return Ok((outcome?, true)),
        }
    }
    let mut found = history.salvage_account(id)?;
    if !found.exact {
        // Only folders: the catalog does not know items.
        for mark in remembered {
            let state = &mut found.state;
            let at = state.folders.entry(mark.id).or_insert_with(|| Folder::at(mark.key.clone()));
            at.key = mark.key.clone();
            if mark.id > state.last_folder {
                state.last_folder = mark.id;
            }
        }
    }
    Ok((found.state, found.exact))
}
