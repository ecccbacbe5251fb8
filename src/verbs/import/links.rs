//! Phase three: grants and mountpoints, with every address and folder in them turned into what it is on the target.
//!
//! Works on the map alone, so that accounts with nothing new are not opened: a link whose grantee or owner arrived only
//! now becomes whole by itself. What refers to somebody who has not arrived stays pending.

use super::ledger::{AccountLedger, Fate};
use super::pass::Pass;
use super::{ImportError, Skip, folders, merge};
use crate::event::{Place, Reason};
use crate::map::{Arrived, FolderRow, FolderState, GrantsRow, KNOWN_TO_NOBODY, LinkKind, PendingRow, SettingRow};
use crate::model::id::RecordId;
use crate::model::mailbox::FolderKey;
use crate::model::provisioning::RecordKind;
use crate::model::setting::{Setting, SettingKey};
use crate::model::share::{Grant, Grantee};
use merge::{Verdict, one};
use std::collections::{BTreeMap, BTreeSet};

/// Whether somebody is on the target, and as whom.
enum Arrival {
    Here { key: String, record: Option<RecordId> },
    Awaited { cause: String },
}

struct Links<'p> {
    pass: &'p Pass<'p>,
    arrived: BTreeMap<RecordId, Arrived>,
    /// Keys of the target's own records, read when a name is not in the map.
    on_target: Option<BTreeSet<(RecordKind, String)>>,
    pending: Vec<PendingRow>,
    fates: BTreeMap<RecordId, Vec<(LinkKind, Fate)>>,
}

/// Brings all links up to date, and counts them in the ledger of their account.
pub fn run(pass: &Pass<'_>, ledgers: &mut [AccountLedger]) -> Result<(), ImportError> {
    if pass.options.skip.contains(&Skip::Shares) {
        return Ok(());
    }
    let arrived = pass.map.arrived()?;
    let mut links = Links { pass, arrived, on_target: None, pending: Vec::new(), fates: BTreeMap::new() };
    let mut by_account: BTreeMap<RecordId, Vec<GrantsRow>> = BTreeMap::new();
    pass.map.grants()?.into_iter().for_each(|row| by_account.entry(row.record).or_default().push(row));
    for (record, rows) in by_account {
        pass.go_on()?;
        links.grants_of(record, rows)?;
    }
    for row in pass.map.mountpoints()? {
        pass.go_on()?;
        links.mountpoint(row)?;
    }
    links.pending.sort();
    links.pending.dedup();
    pass.map.set_pending(&links.pending)?;
    links.count(ledgers);
    Ok(())
}

impl Links<'_> {
    fn source_of(&self, record: RecordId) -> Option<(&str, &str)> {
        let row = self.arrived.get(&record)?;
        Some((&row.source_key, &row.target_key))
    }

    fn fate(&mut self, record: RecordId, kind: LinkKind, fate: Fate) {
        self.fates.entry(record).or_default().push((kind, fate));
    }

    fn count(&self, ledgers: &mut [AccountLedger]) {
        let by_address: BTreeMap<&str, RecordId> = self
            .arrived
            .values()
            .filter(|row| row.kind == RecordKind::Account)
            .map(|row| (row.source_key.as_str(), row.id))
            .collect();
        for ledger in ledgers {
            let fates = by_address.get(ledger.source.as_str()).and_then(|record| self.fates.get(record));
            // An account that was not chosen has nothing in its ledger; its links are repaired all the same.
            let (mut grants, mut mountpoints) = (ledger.grants.missing(), ledger.settings.missing());
            for (kind, fate) in fates.into_iter().flatten() {
                let (tally, left) = match kind {
                    LinkKind::Grant => (&mut ledger.grants, &mut grants),
                    LinkKind::Mountpoint => (&mut ledger.settings, &mut mountpoints),
                };
                if *left > 0 {
                    *left -= 1;
                    tally.count(fate);
                }
            }
            if let Some(reason) = &ledger.failed {
                ledger.grants.count_many(&Fate::Rejected(reason.clone()), ledger.grants.missing());
            }
        }
    }

    /// Who that is on the target: by the map; else, for somebody of another source, by the target's own list.
    fn find(&mut self, kinds: &[RecordKind], name: &str) -> Result<Arrival, ImportError> {
        if let Some(entry) = self.pass.book.find_sharer(name).filter(|entry| kinds.contains(&entry.kind)) {
            let (record, key) = (entry.record, entry.target_key.clone());
            if let Some(row) = self.arrived.get(&record) {
                return Ok(Arrival::Here { key: row.target_key.clone(), record: Some(record) });
            }
            let cause = match self.pass.planned.contains_key(&record) {
                false => format!("{name} was removed on the source"),
                true if key == name => format!("{name} has not been imported yet"),
                true => format!("{name} has not been imported yet (will be {key})"),
            };
            return Ok(Arrival::Awaited { cause });
        }
        let key = self.pass.book.address(name);
        if self.target_has(kinds, &key)? {
            return Ok(Arrival::Here { key, record: None });
        }
        Ok(Arrival::Awaited { cause: format!("{name} {KNOWN_TO_NOBODY}") })
    }

    fn target_has(&mut self, kinds: &[RecordKind], key: &str) -> Result<bool, ImportError> {
        let on_target = match self.on_target.take() {
            Some(on_target) => on_target,
            None => {
                let scan = self.pass.target.provisioning()?.records.into_iter();
                scan.map(|found| (found.record.kind(), found.record.key().to_owned())).collect()
            }
        };
        let on_target = self.on_target.insert(on_target);
        Ok(kinds.iter().any(|kind| on_target.contains(&(*kind, key.to_owned()))))
    }

    /// The grant as the target would say it.
    fn grant(&mut self, grant: &Grant) -> Result<Result<Grant, String>, ImportError> {
        let book = &self.pass.book;
        let grantee = match &grant.grantee {
            Grantee::User(who) => match self.find(&[RecordKind::Account, RecordKind::List, RecordKind::Alias], who)? {
                Arrival::Here { key, .. } => Grantee::User(key),
                Arrival::Awaited { cause } => return Ok(Err(cause)),
            },
            Grantee::List(who) => match self.find(&[RecordKind::List], who)? {
                Arrival::Here { key, .. } => Grantee::List(key),
                Arrival::Awaited { cause } => return Ok(Err(cause)),
            },
            Grantee::Domain(name) => Grantee::Domain(book.domain(name)),
            Grantee::Cos(name) => Grantee::Cos(book.class(name)),
            same @ (Grantee::Group(_) | Grantee::Everyone | Grantee::Public | Grantee::Guest(_) | Grantee::Owner) => {
                same.clone()
            }
        };
        Ok(Ok(Grant { grantee, ..grant.clone() }))
    }

    fn grants_of(&mut self, record: RecordId, rows: Vec<GrantsRow>) -> Result<(), ImportError> {
        let Some((source, target)) = self.source_of(record).map(|(s, t)| (s.to_owned(), t.to_owned())) else {
            return Ok(());
        };
        let folders = self.pass.map.folders(record)?.into_iter().filter(|row| row.state == FolderState::Done);
        let folders: BTreeMap<_, _> = folders.map(|row| (row.id, row)).collect();
        let mut changed = Vec::new();
        for row in rows {
            let Some(folder) = folders.get(&row.folder) else { continue };
            if self.pass.skips_folder(folder.source_key.kind()).is_none() {
                changed.extend(self.grants_on(&source, &target, folder, row)?);
            }
        }
        self.pass.map.put_grants(&changed)?;
        Ok(())
    }

    /// Brings one folder's access list up to date; returns its row if it changed.
    fn grants_on(
        &mut self,
        source: &str,
        target: &str,
        folder: &FolderRow,
        row: GrantsRow,
    ) -> Result<Option<GrantsRow>, ImportError> {
        let pass = self.pass;
        let place = Place::folder(source, &folder.source_key);
        let mut wanted = Vec::new();
        let holds_all = pass.target.capabilities().all_grantees;
        for grant in &row.source {
            let fate = match self.grant(grant)? {
                Err(cause) => {
                    let refers = match &grant.grantee {
                        Grantee::User(who) | Grantee::List(who) => who.clone(),
                        other => other.to_string(),
                    };
                    self.await_link(row.record, LinkKind::Grant, folder.source_key.to_string(), refers, cause);
                    Fate::Pending
                }
                Ok(grant) if !holds_all && needs_all(&grant.grantee) => {
                    let reason = Reason::Unsupported(format!("grants to {}", grant.grantee));
                    pass.reject(place.clone(), reason.clone());
                    Fate::Rejected(reason)
                }
                Ok(grant) => {
                    let there = row.written.contains(&grant);
                    wanted.push(grant);
                    if there { Fate::AlreadyThere } else { Fate::Imported }
                }
            };
            self.fate(row.record, LinkKind::Grant, fate);
        }
        if wanted == row.written {
            return Ok(None);
        }
        let Some(there) = folders::on_target(pass, target, &folder.target_key)? else {
            pass.conflict(place, "has other grants on the source, but is gone from the target");
            return Ok(Some(GrantsRow { written: wanted, ..row }));
        };
        let (merged, conflicts) = merge::grants(&row.written, &wanted, &there.grants, pass.options.additive);
        for grantee in conflicts {
            pass.conflict(place.clone(), format!("the rights of {grantee} differ on source and target"));
        }
        let mut present = there.grants.clone();
        present.sort();
        let mut sorted = merged.clone();
        sorted.sort();
        if sorted != present
            && let Err(reason) = pass.target.put_grants(target, &folder.target_key, &merged)?
        {
            let new = wanted.iter().filter(|grant| !row.written.contains(grant)).count();
            self.refuse(row.record, new, &reason);
            pass.reject(place, reason);
            return Ok(None);
        }
        Ok(Some(GrantsRow { written: wanted, snapshot: pass.snapshot, ..row }))
    }

    /// Grants that were counted as imported just now were refused as a whole.
    fn refuse(&mut self, record: RecordId, many: usize, reason: &Reason) {
        let fates = self.fates.entry(record).or_default();
        for (_, fate) in fates.iter_mut().rev().filter(|(_, fate)| *fate == Fate::Imported).take(many) {
            *fate = Fate::Rejected(reason.clone());
        }
    }

    fn await_link(&mut self, record: RecordId, link: LinkKind, place: String, refers: String, cause: String) {
        let snapshot = self.pass.snapshot;
        self.pending.push(PendingRow { record, link, place, refers, cause, snapshot });
    }

    /// Brings one mountpoint up to date.
    fn mountpoint(&mut self, row: SettingRow) -> Result<(), ImportError> {
        let pass = self.pass;
        let record = row.record;
        let Setting::Mountpoint { at, owner, folder } = &row.source else { return Ok(()) };
        let Some((source, target)) = self.source_of(record).map(|(s, t)| (s.to_owned(), t.to_owned())) else {
            return Ok(());
        };
        let place = Place::folder(&source, at);
        let (key, owner_record) = match self.find(&[RecordKind::Account], owner)? {
            Arrival::Here { key, record } => (key, record),
            Arrival::Awaited { cause } => {
                self.await_link(record, LinkKind::Mountpoint, at.to_string(), owner.clone(), cause);
                self.fate(record, LinkKind::Mountpoint, Fate::Pending);
                return Ok(());
            }
        };
        let wanted =
            Setting::Mountpoint { at: at.clone(), owner: key, folder: self.remote(owner_record, folder, &place)? };
        if row.written.as_ref() == Some(&wanted) {
            self.fate(record, LinkKind::Mountpoint, Fate::AlreadyThere);
            return Ok(());
        }
        let fate = self.write_mountpoint(&target, &wanted, row.written.as_ref(), &place)?;
        if !matches!(fate, Fate::Rejected(_)) {
            pass.map.put_settings(&[SettingRow { written: Some(wanted), snapshot: pass.snapshot, ..row }])?;
        }
        self.fate(record, LinkKind::Mountpoint, fate);
        Ok(())
    }

    /// Where the owner's folder is on the target.
    fn remote(&self, owner: Option<RecordId>, folder: &FolderKey, place: &Place) -> Result<FolderKey, ImportError> {
        let Some(owner) = owner else { return Ok(folder.clone()) };
        if let Some(row) = self.pass.map.folder_once_at(owner, folder)? {
            return Ok(row.target_key);
        }
        self.pass.notice(place.clone(), format!("refers to {folder}, a folder that its owner does not have"));
        Ok(folder.clone())
    }

    fn write_mountpoint(
        &self,
        target: &str,
        wanted: &Setting,
        base: Option<&Setting>,
        place: &Place,
    ) -> Result<Fate, ImportError> {
        let pass = self.pass;
        let key: SettingKey = wanted.key();
        let unsupported = pass.target.capabilities().unsupported_settings;
        if let Some((_, why)) = unsupported.into_iter().find(|(kind, _)| *kind == key.0) {
            let reason = Reason::Unsupported(why);
            pass.reject(place.clone(), reason.clone());
            return Ok(Fate::Rejected(reason));
        }
        let settings = pass.target.mailbox(target)?.settings;
        let has = settings.iter().find(|setting| setting.key() == key);
        match one(&base, &Some(wanted), &has) {
            Verdict::Keep => Ok(Fate::AlreadyThere),
            Verdict::Conflict => {
                pass.conflict(place.clone(), "leads elsewhere on the target; that stays");
                Ok(Fate::AlreadyThere)
            }
            Verdict::Apply => Ok(match pass.target.put_setting(target, wanted)? {
                Ok(()) => Fate::Imported,
                Err(reason) => {
                    pass.reject(place.clone(), reason.clone());
                    Fate::Rejected(reason)
                }
            }),
        }
    }
}

/// Grantees beyond users and groups.
fn needs_all(grantee: &Grantee) -> bool {
    matches!(grantee, Grantee::List(_) | Grantee::Domain(_) | Grantee::Cos(_) | Grantee::Guest(_))
}
