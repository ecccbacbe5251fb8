//! Phase one: domains, classes of service, accounts, lists, aliases, so that mail can flow before any data comes.
//!
//! Each record merges field by field by the three-way rule. What is written is announced in the map first, so that a
//! killed pass does not take its own work for somebody else's. Server and global settings are never written.

use super::claims::{Claim, Claims};
use super::ledger::Fate;
use super::merge::{self, MergedRecord, RecordSides};
use super::pass::Pass;
use super::{ImportError, way_back};
use crate::event::{Event, Phase, Place};
use crate::format::snapshot::StoredRecord;
use crate::limits;
use crate::map::{RecordRow, RecordState};
use crate::model::provisioning::{Record, RecordKind};
use crate::site::RecordChange;
use std::collections::{BTreeMap, BTreeSet};

/// The target's records by kind and key.
pub type OnTarget = BTreeMap<(RecordKind, String), Record>;

/// What one record needs.
enum Step {
    /// The map learns the source's new state; the target stays as it is.
    Note(RecordRow, Option<MergedRecord>),
    /// The target is written, then the map learns it.
    Write { change: RecordChange, row: RecordRow, merged: Option<MergedRecord> },
}

impl Step {
    fn row(&self) -> &RecordRow {
        match self {
            Self::Note(row, _) | Self::Write { row, .. } => row,
        }
    }

    /// The key that a rename leaves.
    fn leaves(&self) -> Option<&str> {
        match self {
            Self::Write { change: RecordChange::Put { was, .. }, .. } => was.as_deref(),
            _ => None,
        }
    }
}

pub fn run(pass: &Pass<'_>) -> Result<(), ImportError> {
    let mut to_do = Vec::new();
    for stored in pass.started.provisioning.records.values() {
        let kind = stored.record.kind();
        pass.count_record(kind, |tally| tally.in_snapshot += 1);
        if let Some(rule) = excluded(pass, &stored.record) {
            pass.count_record(kind, |tally| tally.count(&Fate::Excluded(rule)));
            continue;
        }
        let source = wanted(pass, stored);
        let row = pass.rows.get(&stored.id);
        let unchanged = row.is_some_and(|row| {
            row.state == RecordState::Done && row.base == source && row.source_key == stored.record.key()
        });
        let again = pass.options.additive && kind == RecordKind::Account;
        if unchanged && !again {
            pass.count_record(kind, |tally| tally.count(&Fate::AlreadyThere));
        } else {
            to_do.push((stored, source, row));
        }
    }
    if to_do.is_empty() {
        return Ok(());
    }
    let scan = pass.target.provisioning()?;
    let on_target: OnTarget = by_key(scan.records);
    let claims = Claims::new(pass);
    let mut steps = Vec::new();
    for (stored, source, row) in to_do {
        match claims.judge(pass, stored.id, &source) {
            Claim::Free { leaves } => {
                let present = on_target.get(&(source.kind(), source.key().to_owned())).filter(|_| !leaves);
                steps.push(decide(pass, stored, (source, present), row, &on_target)?);
            }
            Claim::Shared => {
                steps.push(Step::Note(RecordRow { state: RecordState::Done, ..row_of(pass, stored, source) }, None))
            }
            Claim::Taken(reason) => {
                pass.count_record(source.kind(), |tally| tally.count(&Fate::Rejected(reason.clone())));
                pass.reject(place_of(&stored.record), reason);
            }
        }
    }
    apply(pass, in_order(steps), &on_target)
}

/// In the order in which a target needs them: by kind, and a record that takes a name after the one that leaves it.
fn in_order(mut left: Vec<Step>) -> Vec<Step> {
    left.sort_by_key(|step| step.row().kind);
    let mut order = Vec::new();
    while !left.is_empty() {
        let left_names: BTreeSet<(RecordKind, String)> =
            left.iter().filter_map(|step| Some((step.row().kind, step.leaves()?.to_owned()))).collect();
        let waits = |step: &Step| {
            let row = step.row();
            left_names.contains(&(row.kind, row.target_key.clone())) && step.leaves() != Some(&row.target_key)
        };
        let (later, now): (Vec<_>, Vec<_>) = left.into_iter().partition(waits);
        // Records that change names with each other cannot be put in order; the target refuses one of them.
        let stuck = now.is_empty();
        order.extend(now);
        left = later;
        if stuck {
            order.append(&mut left);
        }
    }
    order
}

pub fn by_key(records: Vec<crate::site::FoundRecord>) -> OnTarget {
    let keyed = |record: Record| ((record.kind(), record.key().to_owned()), record);
    records.into_iter().map(|found| keyed(found.record)).collect()
}

/// The record in the target's words.
fn wanted(pass: &Pass<'_>, stored: &StoredRecord) -> Record {
    let key = pass.planned.get(&stored.id).map_or_else(|| stored.record.key(), String::as_str);
    pass.book.record(&stored.record, key)
}

/// The rule that keeps a record out. A choice of accounts takes with it the domains and classes they need, and the
/// lists and aliases that lead to them.
fn excluded(pass: &Pass<'_>, record: &Record) -> Option<&'static str> {
    if matches!(record, Record::Settings(_)) {
        return Some("kept for reference, never restored");
    }
    let chosen = |address: &str| pass.is_chosen(address);
    let taken = pass.takes_all() || pass.started.provisioning.belongs(record, &chosen);
    (!taken).then_some("--account")
}

/// The row of a record that is about to be written.
fn row_of(pass: &Pass<'_>, stored: &StoredRecord, source: Record) -> RecordRow {
    RecordRow {
        id: stored.id,
        kind: stored.record.kind(),
        source_key: stored.record.key().to_owned(),
        target_key: source.key().to_owned(),
        state: RecordState::Intent,
        base: source,
        seen: None,
        snapshot: pass.snapshot,
    }
}

/// `present` is what the target has under the key that the record is to have.
fn decide(
    pass: &Pass<'_>,
    stored: &StoredRecord,
    (source, present): (Record, Option<&Record>),
    row: Option<&RecordRow>,
    on_target: &OnTarget,
) -> Result<Step, ImportError> {
    let new_row = row_of(pass, stored, source.clone());
    let known = row.filter(|row| row.state == RecordState::Done);
    let Some(known) = known else {
        let Some(present) = present else {
            let change = RecordChange::Put { record: source, was: None };
            return Ok(Step::Write { change, row: new_row, merged: None });
        };
        if row.is_none_or(|row| row.state != RecordState::Intent) {
            take_over(pass, present)?;
        }
        return Ok(merged_step(pass, &Sides { known: None, source: &source, present }, new_row));
    };
    let Some(present) = on_target.get(&(known.kind, known.target_key.clone())) else {
        // Killed between renaming and telling the map, the record is where it was to go.
        if let Some(present) = present.filter(|_| known.target_key != source.key()) {
            return Ok(merged_step(pass, &Sides { known: Some(known), source: &source, present }, new_row));
        }
        pass.conflict(place_of(&stored.record), "changed on the source, but gone from the target");
        let row = RecordRow { state: RecordState::Done, target_key: known.target_key.clone(), ..new_row };
        return Ok(Step::Note(row, None));
    };
    Ok(merged_step(pass, &Sides { known: Some(known), source: &source, present }, new_row))
}

struct Sides<'a> {
    known: Option<&'a RecordRow>,
    source: &'a Record,
    present: &'a Record,
}

fn merged_step(pass: &Pass<'_>, sides: &Sides<'_>, row: RecordRow) -> Step {
    let Sides { known, source, present } = *sides;
    let additive = pass.options.additive;
    let base = known.map(|row| &row.base);
    let seen = known.and_then(|row| row.seen.as_ref());
    // The base is in the words of its time; its key does not take part.
    let merged = merge::record(&RecordSides { base, seen, source, target: present, additive });
    let Some(merged) = merged else {
        let change = RecordChange::Put { record: source.clone(), was: None };
        return Step::Write { change, row, merged: None };
    };
    for field in &merged.conflicts {
        pass.conflict(place_of(source), format!("{field} differs on source and target"));
    }
    // What a pass announced and did not live to confirm may be there in part, as a folder that implies a domain.
    let announced = pass.rows.get(&row.id).is_some_and(|row| row.state == RecordState::Intent);
    let was = known.map(|_| present.key()).filter(|key| *key != source.key()).map(str::to_owned);
    if was.is_none() && merged.record == *present && !announced {
        return Step::Note(RecordRow { state: RecordState::Done, ..row }, Some(merged));
    }
    let change = RecordChange::Put { record: merged.record.clone(), was };
    Step::Write { change, row, merged: Some(merged) }
}

/// Something is on the target that this map does not know. If another map does, two sources claim one address.
fn take_over(pass: &Pass<'_>, present: &Record) -> Result<(), ImportError> {
    if matches!(present, Record::Account(_) | Record::List(_))
        && let Some(map) = way_back::other_owner(pass, present)?
    {
        return Err(ImportError::OtherSourceHere { address: present.key().to_owned(), map });
    }
    if let Record::Account(account) = present {
        let place = Place::account(&account.address);
        pass.notice(place, "was on the target before the first import; it keeps what it has and gains what it lacks");
    }
    Ok(())
}

fn apply(pass: &Pass<'_>, steps: Vec<Step>, on_target: &OnTarget) -> Result<(), ImportError> {
    let mut done: Vec<(RecordRow, Option<MergedRecord>)> = Vec::new();
    let mut writes = Vec::new();
    for step in steps {
        match step {
            Step::Note(row, merged) => {
                pass.count_record(row.kind, |tally| tally.count(&Fate::AlreadyThere));
                done.push((row, merged));
            }
            Step::Write { change, row, merged } => writes.push((change, row, merged)),
        }
    }
    let wrote = !writes.is_empty();
    while !writes.is_empty() {
        pass.go_on()?;
        let rest = writes.split_off(writes.len().min(limits::BATCH_RECORDS));
        done.extend(write(pass, std::mem::replace(&mut writes, rest))?);
    }
    // What the target makes of it is what later passes compare with.
    let now = if wrote { &by_key(pass.target.provisioning()?.records) } else { on_target };
    let rows: Vec<_> = done
        .into_iter()
        .map(|(mut row, merged)| {
            let shown = now.get(&(row.kind, row.target_key.clone()));
            row.seen = match (shown, merged) {
                (Some(shown), Some(merged)) => merged.seen(shown, &row.base),
                (Some(shown), None) => Some(shown.clone()).filter(|shown| *shown != row.base),
                (None, _) => None,
            };
            row
        })
        .collect();
    pass.map.put_records(&rows)?;
    Ok(())
}

/// Writes a batch, and returns what came to be.
fn write(
    pass: &Pass<'_>,
    batch: Vec<(RecordChange, RecordRow, Option<MergedRecord>)>,
) -> Result<Vec<(RecordRow, Option<MergedRecord>)>, ImportError> {
    // Only what is new is announced: the row of a known record says already whose it is.
    let is_new = |row: &RecordRow| pass.rows.get(&row.id).is_none_or(|known| known.state != RecordState::Done);
    let intents: Vec<_> = batch.iter().map(|(_, row, _)| row).filter(|row| is_new(row)).cloned().collect();
    pass.map.put_records(&intents)?;
    let (changes, rows): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|(change, row, merged)| (change, (row, merged))).unzip();
    let outcomes = pass.target.put_records(&changes)?;
    let mut done = Vec::new();
    for (outcome, (mut row, merged)) in outcomes.into_iter().zip(rows) {
        match outcome {
            Ok(()) => {
                pass.count_record(row.kind, |tally| tally.count(&Fate::Imported));
                row.state = RecordState::Done;
                done.push((row, merged));
            }
            Err(reason) => {
                pass.count_record(row.kind, |tally| tally.count(&Fate::Rejected(reason.clone())));
                pass.reject(Place::account(&row.source_key), reason);
                if is_new(&row) {
                    pass.map.drop_record_intent(row.id)?;
                }
            }
        }
    }
    // The outcome is known from here on, whatever happens to the reading back.
    let rows: Vec<_> = done.iter().map(|(row, _)| row.clone()).collect();
    pass.map.put_records(&rows)?;
    pass.sink.emit(Event::Advanced { phase: Phase::Provisioning, items: rows.len() as u64, bytes: 0 });
    Ok(done)
}

fn place_of(record: &Record) -> Place {
    Place::account(record.key())
}
