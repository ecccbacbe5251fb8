//! Gives the records of a scan their lasting ids: finds out which record of the last snapshot each one is, also under
//! another name, and which are gone.

use super::names::Names;
use super::{ExportError, Wanted, unseen};
use crate::archive::history::History;
use crate::event::Rejection;
use crate::format::snapshot::{Provisioning, ProvisioningLine, StoredRecord};
use crate::model::id::RecordId;
use crate::model::provisioning::{Record, RecordKind, domain_of};
use crate::site::{Depth, FolderScan, FoundRecord, ProvisioningScan, Source};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The site's records with their ids, and what changed.
pub(super) struct Records {
    /// The highest number that any record has or had.
    pub highest: RecordId,
    /// The accounts to scan, sorted by address.
    pub accounts: Vec<(RecordId, String)>,
    pub lines: Vec<ProvisioningLine>,
    pub gone: Vec<RecordId>,
    pub rejected: Vec<Rejection>,
    /// Former and present addresses of the accounts that this pass found renamed.
    pub renamed: Vec<(String, String)>,
}

impl Records {
    /// Counts a record in, with a line where it is new or differs from what is stored. It goes into that line or nowhere:
    /// of many thousand records there are no more copies than needed.
    fn take(&mut self, id: RecordId, stored: Option<&StoredRecord>, found: FoundRecord) {
        let FoundRecord { record, mut idents, .. } = found;
        if let Record::Account(account) = &record {
            self.accounts.push((id, account.address.clone()));
        }
        // An inode is another on every machine, and a copy of a site is to give the same archive: it stands in only where
        // nothing else tells the record.
        if idents.iter().any(|ident| !ident.starts_with(WEAK_IDENT)) {
            idents.retain(|ident| !ident.starts_with(WEAK_IDENT));
        }
        let new = StoredRecord { id, idents, record };
        if stored != Some(&new) {
            self.lines.push(ProvisioningLine::Put(new));
        }
    }
}

/// Hints whose numbers a file system gives to another once they are free; they need content to be believed.
const WEAK_IDENT: &str = "ino:";

pub(super) fn reconcile(
    source: &dyn Source,
    history: Option<&History<'_>>,
    (known, highest): (&Provisioning, RecordId),
    scan: ProvisioningScan,
    wanted: &Wanted,
) -> Result<Records, ExportError> {
    let looked_at = LookedAt::new(wanted, known, &scan.records);
    let mut found: Vec<FoundRecord> =
        scan.records.into_iter().filter(|found| looked_at.record(&found.record)).collect();
    let mut highest = highest;
    let mut records = Records {
        highest,
        accounts: Vec::new(),
        lines: Vec::new(),
        gone: Vec::new(),
        rejected: scan.rejected,
        renamed: Vec::new(),
    };
    unseen::keep_kinds(&mut found, known);
    let mut old: BTreeMap<RecordId, &StoredRecord> = known.records.iter().map(|(id, stored)| (*id, stored)).collect();

    let by_key: HashMap<(RecordKind, &str), RecordId> =
        old.values().map(|stored| (place_of(&stored.record), stored.id)).collect();
    let mut by_ident: HashMap<(RecordKind, &str), Vec<RecordId>> = HashMap::new();
    for stored in old.values() {
        for ident in &stored.idents {
            by_ident.entry((stored.record.kind(), ident)).or_default().push(stored.id);
        }
    }
    // Those of the last snapshot whose name nothing has any more.
    let keys: HashSet<(RecordKind, &str)> = found.iter().map(|found| place_of(&found.record)).collect();
    let left: HashSet<RecordId> =
        old.values().filter(|stored| !keys.contains(&place_of(&stored.record))).map(|stored| stored.id).collect();
    drop(keys);

    // First what is where it was and has a hint in common, then what bears another name, then what only has the name.
    for round in 0..4 {
        let mut rest = Vec::new();
        for new in found {
            let at_place = by_key.get(&place_of(&new.record)).copied().filter(|id| old.contains_key(id));
            let of_ident = |weak: bool| {
                let hints = new.idents.iter().filter(move |ident| ident.starts_with(WEAK_IDENT) == weak);
                let ids = hints.filter_map(|ident| by_ident.get(&(new.record.kind(), ident.as_str())));
                ids.flatten().copied().filter(|id| old.contains_key(id)).collect::<Vec<_>>()
            };
            let hit = match round {
                0 => at_place.filter(|id| of_ident(false).contains(id) || of_ident(true).contains(id)),
                1 => of_ident(false).first().copied(),
                // A free inode is given away again, so two accounts may share one by chance.
                2 => match of_ident(true).into_iter().find(|id| left.contains(id)) {
                    Some(id) if same_content(source, history, id, &new)? => Some(id),
                    _ => None,
                },
                _ => at_place,
            };
            match hit.and_then(|id| old.remove(&id)) {
                Some(stored) => {
                    let new = unseen::fill_in(new, stored);
                    if matches!(new.record, Record::Account(_)) && new.record.key() != stored.record.key() {
                        let (former, present) = (stored.record.key(), new.record.key());
                        records.renamed.push((former.to_owned(), present.to_owned()));
                    }
                    records.take(stored.id, Some(stored), new);
                }
                None => rest.push(new),
            }
        }
        found = rest;
    }
    for new in found {
        highest.0 += 1;
        records.take(highest, None, new);
    }
    records.highest = highest;
    records.accounts.sort_by(|a, b| a.1.cmp(&b.1));

    // What could not be looked at is not gone.
    let may_be_there =
        |record: &Record| scan.incomplete.contains(&record.kind()) || scan.unclear.contains(record.key());
    let rejected: HashSet<&str> = records.rejected.iter().filter_map(|r| r.place.account.as_deref()).collect();
    for (id, stored) in old {
        let kept = may_be_there(&stored.record) || rejected.contains(stored.record.key());
        if !kept && looked_at.record(&stored.record) {
            records.lines.push(ProvisioningLine::Gone(id));
            records.gone.push(id);
        }
    }
    records.lines.sort_by_key(|line| match line {
        ProvisioningLine::Put(stored) => (1, stored.id),
        ProvisioningLine::Gone(id) | ProvisioningLine::Last(id) => (0, *id),
    });
    Ok(records)
}

fn place_of(record: &Record) -> (RecordKind, &str) {
    (record.kind(), record.key())
}

/// Whether a mailbox found under a new address holds anything that the old account's mailbox held.
fn same_content(
    source: &dyn Source,
    history: Option<&History<'_>>,
    id: RecordId,
    new: &FoundRecord,
) -> Result<bool, ExportError> {
    let (Some(history), Record::Account(account)) = (history, &new.record) else { return Ok(false) };
    let state = history.account(id)?;
    let names: Names = state.items.names().map(|(_, _, name)| name).collect();
    let Ok(mailbox) = source.mailbox(&account.address) else { return Ok(false) };
    for folder in mailbox.folders {
        if let Ok(FolderScan::Listed(listing)) = source.folder(&account.address, &folder.key, None, Depth::Marks)
            && listing.items.names().any(|name| names.may_have(&name))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Which records a pass with a selection answers for: the chosen accounts, and what belongs to their domains.
struct LookedAt<'a> {
    wanted: &'a Wanted,
    domains: HashSet<String>,
}

impl<'a> LookedAt<'a> {
    fn new(wanted: &'a Wanted, known: &Provisioning, found: &[FoundRecord]) -> Self {
        let old = known.accounts().map(|(_, account)| account.address.as_str());
        let new = found.iter().filter(|found| found.record.kind() == RecordKind::Account).map(|f| f.record.key());
        let chosen = old.chain(new).filter(|address| wanted.account(address));
        Self { wanted, domains: chosen.map(|address| domain_of(address).to_owned()).collect() }
    }

    fn record(&self, record: &Record) -> bool {
        match record {
            Record::Account(account) => self.wanted.account(&account.address),
            _ if self.wanted.all() => true,
            Record::Settings(_) => false,
            Record::Cos(_) => true,
            Record::Domain(domain) => {
                self.domains.contains(&domain.name)
                    || domain.alias_of.as_ref().is_some_and(|of| self.domains.contains(of))
            }
            Record::List(_) | Record::Alias(_) => self.domains.contains(domain_of(record.key())),
        }
    }
}
