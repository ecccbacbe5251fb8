//! The three-way rule: state at the last import, source now, target now. Pure functions.
//!
//! A change made only on the source is applied; a change made on the target is never overwritten; both changed it
//! differently: the target stays, and that is a conflict. What is a set (members, keywords, groups) merges element by
//! element, where both changing means both agree.

use crate::model::provisioning::{Record, RecordKind};
use crate::model::share::{Grant, Grantee, Rights};
use serde_json::{Map as Object, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What the rule says of one value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The target has what it should have.
    Keep,
    /// The source's change is to be written.
    Apply,
    /// Both changed it; the target stays.
    Conflict,
}

/// The rule for a value that merges as a whole.
pub fn one<T: PartialEq + ?Sized>(base: &T, source: &T, target: &T) -> Verdict {
    if source == base || source == target {
        Verdict::Keep
    } else if target == base {
        Verdict::Apply
    } else {
        Verdict::Conflict
    }
}

/// The rule for a set: the target's elements in their order, without what the source took away since `base`, then what
/// the source added.
pub fn set(base: &[String], source: &[String], target: &[String]) -> Vec<String> {
    let taken_away = |word: &&String| base.contains(word) && !source.contains(word);
    let mut merged: Vec<String> = target.iter().filter(|word| !taken_away(word)).cloned().collect();
    for word in source {
        if !base.contains(word) && !merged.contains(word) {
            merged.push(word.clone());
        }
    }
    merged
}

/// As [`set`], for keywords, which are sorted.
pub fn keywords(base: &[String], source: &[String], target: &[String]) -> Vec<String> {
    let mut merged = set(base, source, target);
    merged.sort();
    merged.dedup();
    merged
}

/// An access list merged, and the grantees on whom both sides disagree.
pub fn grants(base: &[Grant], source: &[Grant], target: &[Grant], additive: bool) -> (Vec<Grant>, Vec<Grantee>) {
    type Key = (Grantee, bool);
    let by_key = |list: &[Grant]| -> BTreeMap<Key, Rights> {
        list.iter().map(|grant| ((grant.grantee.clone(), grant.negative), grant.rights.clone())).collect()
    };
    let (base, source, target) = (by_key(base), by_key(source), by_key(target));
    let keys: BTreeSet<&Key> = base.keys().chain(source.keys()).chain(target.keys()).collect();
    let mut merged = Vec::new();
    let mut conflicts = Vec::new();
    for key in keys {
        let (was, from, has) = (base.get(key), source.get(key), target.get(key));
        let kept = match one(&was, &from, &has) {
            Verdict::Apply if from.is_none() && additive => has,
            Verdict::Apply => from,
            Verdict::Keep => has,
            Verdict::Conflict => {
                conflicts.push(key.0.clone());
                has
            }
        };
        if let Some(rights) = kept {
            merged.push(Grant { grantee: key.0.clone(), rights: rights.clone(), negative: key.1 });
        }
    }
    (merged, conflicts)
}

/// A record as named values; attributes one by one (`attributes.colour`), without its kind and its key.
type Fields = BTreeMap<String, Value>;

/// Fields that merge element by element.
const SETS: &[&str] = &["members", "owners", "groups", "targets", "catch_all"];

const PREFIX: &str = "attributes.";

/// What two sides of a record give together.
#[derive(Debug)]
pub struct MergedRecord {
    /// What the target should have, under the source's key.
    pub record: Record,
    /// Fields that both sides changed differently.
    pub conflicts: Vec<String>,
    /// Fields that are the source's business from here on.
    written: BTreeSet<String>,
    /// For all others, the state that still tells a change made on the target.
    untouched: Fields,
}

/// Sides of a record before the merge. `base` and `seen` are absent for a record that this map does not know.
pub struct RecordSides<'a> {
    /// What the source said at the last import.
    pub base: Option<&'a Record>,
    /// What the target showed right after that, where it differs.
    pub seen: Option<&'a Record>,
    pub source: &'a Record,
    pub target: &'a Record,
    /// Passwords are set again whatever the target has.
    pub additive: bool,
}

/// Merges field by field. Fails only where the sides are of different kinds.
pub fn record(sides: &RecordSides<'_>) -> Option<MergedRecord> {
    let base = sides.base.map(fields);
    let seen = sides.seen.map(fields).or_else(|| base.clone());
    let (source, target) = (fields(sides.source), fields(sides.target));
    let mut merged = Fields::new();
    let mut conflicts = Vec::new();
    let mut written = BTreeSet::new();
    let mut untouched = Fields::new();
    let names: BTreeSet<&String> =
        [base.as_ref(), Some(&source), Some(&target)].into_iter().flatten().flat_map(BTreeMap::keys).collect();
    for name in names {
        let (from, has) = (source.get(name), target.get(name));
        let was = base.as_ref().and_then(|base| base.get(name));
        let showed = seen.as_ref().and_then(|seen| seen.get(name));
        let known = base.is_some();
        if SETS.contains(&name.as_str()) {
            let list = set(&words(was), &words(from), &words(has));
            if !list.is_empty() {
                merged.insert(name.clone(), Value::from(list));
            }
            written.insert(name.clone());
            continue;
        }
        let forced = sides.additive && name == "password" && from.is_some();
        // The source did not touch it; or the map does not know the record, and the source has nothing to say.
        let silent = if known { from == was } else { from.is_none() };
        let free = if known { has == showed } else { has.is_none() };
        let (value, takes) = match () {
            () if forced => (from, true),
            () if silent => (has, false),
            () if free || from == has => (from, true),
            () => {
                conflicts.push(name.clone());
                (has, false)
            }
        };
        if let Some(value) = value {
            merged.insert(name.clone(), value.clone());
        }
        if takes {
            written.insert(name.clone());
        } else if let Some(remembered) = if known { showed } else { from } {
            untouched.insert(name.clone(), remembered.clone());
        }
    }
    let record = build(sides.source.kind(), sides.source.key(), merged)?;
    Some(MergedRecord { record, conflicts, written, untouched })
}

impl MergedRecord {
    /// What the map should remember as shown by the target, once `after` is what it shows; `None` when that is `base`.
    pub fn seen(&self, after: &Record, base: &Record) -> Option<Record> {
        let mut seen = self.untouched.clone();
        seen.extend(fields(after).into_iter().filter(|(name, _)| self.written.contains(name)));
        build(base.kind(), base.key(), seen).filter(|seen| seen != base)
    }
}

fn key_field(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Settings | RecordKind::Domain | RecordKind::Cos => "name",
        RecordKind::Account | RecordKind::List | RecordKind::Alias => "address",
    }
}

fn fields(record: &Record) -> Fields {
    let Ok(Value::Object(object)) = serde_json::to_value(record) else { return Fields::new() };
    let key = key_field(record.kind());
    let mut fields = Fields::new();
    for (name, value) in object {
        match value {
            _ if name == "kind" || name == key => {}
            Value::Object(attributes) if name == "attributes" => {
                fields.extend(attributes.into_iter().map(|(name, value)| (format!("{PREFIX}{name}"), value)));
            }
            // An empty list says the same as none.
            Value::Array(list) if list.is_empty() => {}
            value => drop(fields.insert(name, value)),
        }
    }
    fields
}

fn build(kind: RecordKind, key: &str, fields: Fields) -> Option<Record> {
    let mut object = Object::new();
    let mut attributes = Object::new();
    for (name, value) in fields {
        match name.strip_prefix(PREFIX) {
            Some(name) => drop(attributes.insert(name.to_owned(), value)),
            None => drop(object.insert(name, value)),
        }
    }
    object.insert("kind".to_owned(), Value::from(kind.word()));
    object.insert(key_field(kind).to_owned(), Value::from(key));
    object.insert("attributes".to_owned(), Value::Object(attributes));
    if kind == RecordKind::Alias {
        object.entry("targets").or_insert_with(|| Value::Array(Vec::new()));
    }
    serde_json::from_value(Value::Object(object)).ok()
}

fn words(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
