//! Access lists: each entry's grantee, and each list against what the source granted.
//!
//! Three steps for a folder. Entries that lead nowhere are renamed where a map knows the new name. Then, for each row
//! that a map has of the folder, what the source says is compared with what import wrote and with what is there now, entry
//! by entry, by the three-way rule: what nobody changed on the target follows the source, what somebody changed stays. At
//! last the two lists, as it is and as it should be, become one step.

use super::SharesError;
use super::access::union;
use super::examine::{Broken, Examiner};
use super::finding::{Cause, End, Mend, Problem};
use super::fix::{Change, Step};
use super::known::{Found, Maps, reference, renamed};
use crate::map::{FolderState, GrantsRow, RecordState};
use crate::model::id::FolderId;
use crate::model::mailbox::FolderKey;
use crate::model::provisioning::RecordKind;
use crate::model::share::{Grant, Grantee, Rights};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

const BY_HAND: &str = "remove the grant, or make the account and grant again";

/// Names an entry of an access list.
type Key = (Grantee, bool);

type Rows = BTreeMap<(String, FolderKey), Vec<(usize, GrantsRow)>>;

/// Examines every folder that has an access list, or had one on its source.
pub(super) fn examine(examiner: &mut Examiner<'_>) -> Result<(), SharesError> {
    let mut rows = rows_at_target(examiner.maps)?;
    let survey = examiner.survey;
    for (owner, view) in &survey.accounts {
        for (folder, present) in &view.folders {
            let rows = rows.remove(&(owner.clone(), folder.clone())).unwrap_or_default();
            if !(present.is_empty() && rows.is_empty()) {
                List::new(examiner, owner, folder).examine(present, &rows)?;
            }
        }
    }
    Ok(())
}

/// What the maps have of access lists, by the folder's place on the target.
fn rows_at_target(maps: &Maps<'_>) -> Result<Rows, SharesError> {
    let mut rows = Rows::new();
    for (at, map) in maps.iter() {
        let records = Maps::records(map)?;
        let mut folders: BTreeMap<_, BTreeMap<FolderId, FolderKey>> = BTreeMap::new();
        for row in map.grants()? {
            let Some(owner) = records.get(&row.record).filter(|owner| owner.state == RecordState::Done) else {
                continue;
            };
            let folders = match folders.entry(row.record) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let done = map.folders(row.record)?.into_iter().filter(|folder| folder.state == FolderState::Done);
                    place.insert(done.map(|folder| (folder.id, folder.target_key)).collect())
                }
            };
            if let Some(folder) = folders.get(&row.folder) {
                rows.entry((owner.target_key.clone(), folder.clone())).or_default().push((at, row));
            }
        }
    }
    Ok(rows)
}

/// One access list on its way from what it is to what it should be.
struct List<'e, 'a> {
    examiner: &'e mut Examiner<'a>,
    owner: &'e str,
    folder: &'e FolderKey,
    /// As far as it has come; in the order in which the target has it, new entries last.
    entries: Vec<Grant>,
    reasons: Vec<String>,
    /// Entries that lead nowhere and have been reported.
    reported: BTreeSet<Key>,
}

/// Where a grantee leads on the target.
enum Leads {
    There(Grantee),
    /// The name leads nowhere, but a map says whose it was.
    Renamed(Grantee, Cause, usize),
    Nowhere(Broken),
}

impl<'e, 'a> List<'e, 'a> {
    fn new(examiner: &'e mut Examiner<'a>, owner: &'e str, folder: &'e FolderKey) -> Self {
        Self { examiner, owner, folder, entries: Vec::new(), reasons: Vec::new(), reported: BTreeSet::new() }
    }

    fn examine(mut self, present: &[Grant], rows: &[(usize, GrantsRow)]) -> Result<(), SharesError> {
        for grant in present {
            self.take(grant)?;
        }
        for (map, row) in rows {
            self.merge(*map, row)?;
        }
        let Self { examiner, owner, folder, entries, reasons, .. } = self;
        if !same(&entries, present) {
            let change = Change::Grants { folder: folder.clone(), before: present.to_vec(), after: entries.clone() };
            examiner.steps.push(Step { account: owner.to_owned(), change, reasons });
            examiner.planned.insert((owner.to_owned(), folder.clone()), entries);
        }
        Ok(())
    }

    /// Takes an entry over as it is, or under its grantee's new name.
    fn take(&mut self, grant: &Grant) -> Result<(), SharesError> {
        let mut grant = grant.clone();
        match self.leads_on_target(&grant.grantee)? {
            Leads::There(_) => {}
            Leads::Renamed(now, cause, map) => {
                let mend = self.examiner.fix_by(map);
                let reason = self.find(&grant.grantee, Problem::GranteeMissing, (cause, mend));
                self.reasons.push(reason);
                grant.grantee = now;
            }
            Leads::Nowhere(broken) => {
                self.find(&grant.grantee, Problem::GranteeMissing, broken);
                self.reported.insert((grant.grantee.clone(), grant.negative));
            }
        }
        let key = (grant.grantee, grant.negative);
        // Old and new name may both stand there: neither loses what it was given.
        let rights = self.get(&key).map_or_else(|| grant.rights.clone(), |rights| union(&rights, &grant.rights));
        self.set(key, Some(rights));
        Ok(())
    }

    /// The three-way rule for one map's row of this folder.
    fn merge(&mut self, map: usize, row: &GrantsRow) -> Result<(), SharesError> {
        let mut written: BTreeMap<Key, Rights> = BTreeMap::new();
        for grant in &row.written {
            let grantee = match self.leads_on_target(&grant.grantee)? {
                Leads::Renamed(now, ..) => now,
                Leads::There(_) | Leads::Nowhere(_) => grant.grantee.clone(),
            };
            add(&mut written, (grantee, grant.negative), &grant.rights);
        }
        let mut wanted: BTreeMap<Key, Rights> = BTreeMap::new();
        // Entries of the source that cannot be resolved: whatever stands there under that name is left alone.
        let mut unresolved: BTreeSet<Key> = BTreeSet::new();
        for grant in &row.source {
            match self.leads_from_source(&grant.grantee)? {
                Leads::There(now) | Leads::Renamed(now, ..) => add(&mut wanted, (now, grant.negative), &grant.rights),
                Leads::Nowhere(broken) => {
                    let key = (grant.grantee.clone(), grant.negative);
                    let stands = self.get(&key).is_some() && self.examiner.survey.has_grantee(&grant.grantee);
                    if !stands && self.reported.insert(key.clone()) {
                        self.find(&grant.grantee, Problem::GranteeMissing, broken);
                    }
                    unresolved.insert(key);
                }
            }
        }
        let mut keys: BTreeSet<Key> = wanted.keys().cloned().collect();
        // What import wrote and the source does not say any more goes; but it may be what an unresolved entry became.
        if unresolved.is_empty() {
            keys.extend(written.keys().cloned());
        }
        for key in keys.difference(&unresolved) {
            self.settle(map, key, wanted.get(key), written.get(key));
        }
        Ok(())
    }

    fn settle(&mut self, map: usize, key: &Key, source: Option<&Rights>, base: Option<&Rights>) {
        let target = self.get(key);
        if target.as_ref() == source {
            return;
        }
        let problem = Problem::RightsDiffer { source: source.cloned(), target: target.clone() };
        if target.as_ref() != base {
            self.find(&key.0, problem, (Cause::ChangedOnTarget, Mend::Nothing));
            return;
        }
        // Import writes what it can resolve. What it never wrote and what can be resolved now has come meanwhile.
        let cause = match (base, reference(&key.0)) {
            (None, Some((_, name))) => Cause::Arrived { as_name: name.to_owned() },
            _ => Cause::NotApplied,
        };
        let mend = self.examiner.fix_by(map);
        let reason = self.find(&key.0, problem, (cause, mend));
        self.reasons.push(reason);
        self.set(key.clone(), source.cloned());
    }

    /// A grantee that was found on the target.
    fn leads_on_target(&self, grantee: &Grantee) -> Result<Leads, SharesError> {
        let examiner = &self.examiner;
        if examiner.survey.has_grantee(grantee) {
            return Ok(Leads::There(grantee.clone()));
        }
        let Some((kind, name)) = reference(grantee) else {
            return Ok(Leads::Nowhere(examiner.broken(&Found::<String>::Unknown, &grantee.to_string(), BY_HAND)));
        };
        let found = examiner.maps.by_target_name(kind, name, self.owner)?;
        if let Found::Now(now, map) = &found {
            let there = renamed(grantee, now.clone());
            if there != *grantee && examiner.survey.has_grantee(&there) {
                return Ok(Leads::Renamed(there, examiner.rename(kind, name, now, *map)?, *map));
            }
        }
        Ok(Leads::Nowhere(examiner.broken(&found, name, BY_HAND)))
    }

    /// A grantee as the source writes it, in the target's words.
    fn leads_from_source(&self, grantee: &Grantee) -> Result<Leads, SharesError> {
        let examiner = &self.examiner;
        let Some((kind, name)) = reference(grantee) else { return Ok(Leads::There(grantee.clone())) };
        let mut found = examiner.maps.by_source_name(kind, name, self.owner)?;
        for other in [RecordKind::List, RecordKind::Alias] {
            // A grant to a user may name a list or an alias; it opens nothing, and is carried over all the same.
            if kind == RecordKind::Account && found == Found::Unknown {
                found = examiner.maps.by_source_name(other, name, self.owner)?;
            }
        }
        match &found {
            Found::Now(now, _) if examiner.survey.has_name(grantee, now) => {
                Ok(Leads::There(renamed(grantee, now.clone())))
            }
            // Somebody of another source, or of the target itself: import takes the target's word for that, too.
            Found::Unknown if examiner.survey.has_name(grantee, name) => Ok(Leads::There(grantee.clone())),
            _ => Ok(Leads::Nowhere(examiner.broken(&found, name, BY_HAND))),
        }
    }

    fn find(&mut self, grantee: &Grantee, problem: Problem, broken: Broken) -> String {
        self.examiner.find(self.owner, self.folder, End::Grant, grantee.to_string(), problem, broken)
    }

    fn get(&self, (grantee, negative): &Key) -> Option<Rights> {
        let entry = self.entries.iter().find(|grant| grant.grantee == *grantee && grant.negative == *negative);
        entry.map(|grant| grant.rights.clone())
    }

    fn set(&mut self, (grantee, negative): Key, rights: Option<Rights>) {
        let at = self.entries.iter().position(|grant| grant.grantee == grantee && grant.negative == negative);
        match (at, rights) {
            (Some(at), None) => drop(self.entries.remove(at)),
            (Some(at), Some(rights)) => {
                if let Some(grant) = self.entries.get_mut(at) {
                    grant.rights = rights;
                }
            }
            (None, Some(rights)) => self.entries.push(Grant { grantee, rights, negative }),
            (None, None) => {}
        }
    }
}

/// Adds an entry to those of the same grantee.
fn add(entries: &mut BTreeMap<Key, Rights>, key: Key, rights: &Rights) {
    let sum = entries.get(&key).map_or_else(|| rights.clone(), |present| union(present, rights));
    entries.insert(key, sum);
}

/// Whether two access lists say the same; their order means nothing.
pub(super) fn same(one: &[Grant], other: &[Grant]) -> bool {
    let sorted = |list: &[Grant]| {
        let mut list = list.to_vec();
        list.sort();
        list
    };
    sorted(one) == sorted(other)
}
