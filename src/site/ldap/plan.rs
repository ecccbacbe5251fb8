//! What a change of a record means for entries: worked out against everything that is there, before anything is written.
//!
//! A plan goes on from its own changes, so that a list finds the members that were made before it. Only mapped attributes
//! are touched, and only values that differ; what has no place is refused as a whole, so that nothing is lost in silence.

use super::change::{Change, Part};
use super::decode::Reader;
use super::entry::{Entry, EntryKind, Name, Tree};
use super::index::Index;
use super::mapping::{Making, Mapping};
use super::{LdapOptions, dn, scan, value};
use crate::event::Reason;
use crate::model::provisioning::{Alias, Attributes, Record};
use crate::site::RecordChange;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// One step of a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    pub change: Change,
    /// It only keeps references to an entry right, which many servers do by themselves: that it is so already is fine.
    pub follows: bool,
    /// What the entry was before.
    kinds: BTreeSet<EntryKind>,
}

/// Everything that is there, and the changes made to it so far.
pub struct Plan<'a> {
    pub options: &'a LdapOptions,
    pub tree: Tree,
    pub index: Index,
    pub placeholders: HashSet<String>,
    /// Steps of the record that is being looked at.
    pub steps: Vec<Step>,
}

/// What is said where a mapping has no place for something.
pub fn no_place(what: &str) -> Reason {
    Reason::Unsupported(format!("the mapping of the directory has no place for {what}"))
}

impl<'a> Plan<'a> {
    pub fn new(options: &'a LdapOptions, tree: Tree) -> Self {
        let index = Index::new(&tree, &options.mapping);
        Self { options, tree, index, placeholders: scan::placeholders(options), steps: Vec::new() }
    }

    pub fn mapping(&self) -> &'a Mapping {
        &self.options.mapping
    }

    pub fn reader(&self) -> Reader<'_> {
        let Self { tree, index, placeholders, .. } = self;
        Reader { mapping: &self.options.mapping, tree, index, placeholders, now: self.options.started_at }
    }

    /// The steps of one change. Where it is refused, nothing of it stays in the plan.
    pub fn change(&mut self, change: &RecordChange) -> Result<Vec<Step>, Reason> {
        if let Some(why) = &self.mapping().read_only {
            return Err(Reason::Unsupported(why.clone()));
        }
        let outcome = match change {
            RecordChange::Put { record, was } => self.put(record, was.as_deref()),
            RecordChange::Remove { record } => self.remove(record),
        };
        let steps = std::mem::take(&mut self.steps);
        match outcome {
            Ok(()) => Ok(steps),
            Err(reason) => {
                self.take_back(&steps);
                Err(reason)
            }
        }
    }

    /// Forgets steps that are not going to be, last first.
    pub fn take_back(&mut self, steps: &[Step]) {
        for step in steps.iter().rev() {
            self.play(&step.change.inverse(), &step.kinds);
        }
    }

    fn put(&mut self, record: &Record, was: Option<&str>) -> Result<(), Reason> {
        let key = was.unwrap_or(record.key());
        match record {
            Record::Settings(_) => Err(no_place("settings of the site")),
            Record::Domain(domain) => self.put_domain(domain, key),
            Record::Cos(class) => self.put_class(class),
            Record::Account(account) => self.put_account(account, key),
            Record::List(list) => self.put_list(list, key),
            Record::Alias(alias) => {
                if key != alias.address {
                    self.drop_alias(key, &HashSet::new());
                }
                self.put_alias(alias)
            }
        }
    }

    fn remove(&mut self, record: &Record) -> Result<(), Reason> {
        let key = record.key();
        match record {
            Record::Settings(_) | Record::Cos(_) => Ok(()),
            Record::Domain(_) => self.remove_domain(key),
            Record::Account(_) => match self.index.account(key).cloned() {
                Some(name) => self.remove_entry(&name, EntryKind::Account),
                None => Ok(()),
            },
            Record::List(_) => match self.index.list(key).cloned() {
                Some(name) => self.remove_entry(&name, EntryKind::List),
                None => Ok(()),
            },
            Record::Alias(_) => {
                self.drop_alias(key, &HashSet::new());
                match self.index.account(key).cloned() {
                    Some(name) => self.set_forward(&name, key, &[]),
                    None => Ok(()),
                }
            }
        }
    }

    /// Adds a step, and plays it in the plan's own tree. `kinds` is what the entry is from then on.
    pub fn step(&mut self, change: Change, kinds: &[EntryKind], follows: bool) {
        let before = self.tree.get(change.dn()).map(|entry| entry.kinds.clone()).unwrap_or_default();
        self.play(&change, &kinds.iter().copied().collect());
        self.steps.push(Step { change, follows, kinds: before });
    }

    /// Modifies an entry, where there is anything to modify.
    pub fn modify(&mut self, name: &str, parts: Vec<Part>, follows: bool) {
        let parts: Vec<_> = parts.into_iter().filter(|part| part.delete != part.add).collect();
        let Some(entry) = self.tree.at(name).filter(|_| !parts.is_empty()) else { return };
        let (dn, kinds) = (entry.dn.clone(), entry.kinds.iter().copied().collect::<Vec<_>>());
        self.step(Change::Modify { dn, parts }, &kinds, follows);
    }

    fn play(&mut self, change: &Change, kinds: &BTreeSet<EntryKind>) {
        let name: Name = dn::normal(change.dn()).into();
        let mapping = &self.options.mapping;
        let before = self.tree.take(&name);
        if let Some(before) = &before {
            self.index.forget(mapping, &name, before);
        }
        let after = match (change, before) {
            (Change::Add { dn, values }, _) => {
                let mut entry = Entry { dn: dn.clone(), kinds: kinds.clone(), ..Entry::default() };
                values.iter().for_each(|(attribute, all)| entry.change(attribute, &[], all));
                self.index.refer(mapping, &name, &entry, &entry.values, true);
                Some(entry)
            }
            (Change::Delete { .. }, Some(before)) => {
                self.index.refer(mapping, &name, &before, &before.values, false);
                None
            }
            (Change::Modify { parts, .. }, Some(mut entry)) => {
                for part in parts {
                    let of = |values: &Vec<String>| [(part.attribute.to_ascii_lowercase(), values.clone())].into();
                    self.index.refer(mapping, &name, &entry, &of(&part.delete), false);
                    entry.change(&part.attribute, &part.delete, &part.add);
                    entry.kinds.clone_from(kinds);
                    self.index.refer(mapping, &name, &entry, &of(&part.add), true);
                }
                Some(entry)
            }
            (Change::Rename { dn, rdn }, Some(mut entry)) => {
                self.index.refer(mapping, &name, &entry, &entry.values, false);
                for (attribute, values) in named_values(dn) {
                    entry.change(&attribute, &values, &[]);
                }
                entry.dn = dn::below(rdn, dn::parent(dn));
                for (attribute, values) in named_values(&entry.dn) {
                    let has = entry.all(&attribute).iter().any(|value| values.contains(value));
                    entry.change(&attribute, &[], if has { &[] } else { &values });
                }
                self.index.refer(mapping, &dn::normal(&entry.dn).into(), &entry, &entry.values, true);
                Some(entry)
            }
            (_, None) => None,
        };
        if let Some(entry) = after {
            self.index.learn(mapping, &dn::normal(&entry.dn).into(), &entry);
            self.tree.put(entry);
        }
    }

    /// Where entries of a kind are made.
    pub fn place(&self, making: &Making) -> String {
        dn::within(&making.below, &self.options.base)
    }

    /// The name of a new entry, and the value that makes it: the first that nobody has, or whose entry `free` gives away.
    pub fn free_name(
        &self,
        making: &Making,
        fill: &dyn Fn(&str) -> Option<String>,
        free: &dyn Fn(&Entry) -> bool,
    ) -> Result<(String, String), Reason> {
        let place = self.place(making);
        let values = making.names.iter().filter_map(|template| fill(template)).filter(|value| !value.is_empty());
        for value in values {
            let dn = dn::below(&dn::rdn(&making.rdn, &value), &place);
            if self.tree.get(&dn).is_none_or(|entry| free(&entry)) {
                return Ok((dn, value));
            }
        }
        Err(Reason::BadName(format!("every name that the mapping makes for it below {place} is taken")))
    }

    pub fn put_alias(&mut self, alias: &Alias) -> Result<(), Reason> {
        refuse_address(&alias.address)?;
        if let Some(name) = self.index.account(&alias.address).cloned() {
            return self.set_forward(&name, &alias.address, &alias.targets);
        }
        if self.index.list(&alias.address).is_some() {
            return Err(Reason::Refused(format!("a list has the address {} already", alias.address)));
        }
        let mut holders = HashSet::new();
        for target in &alias.targets {
            match self.index.holder(target) {
                Some(name) => {
                    holders.insert(name.clone());
                }
                None => {
                    let what = format!("an alias that leads to {target}, which has no entry; a list can");
                    return Err(no_place(&what));
                }
            }
        }
        self.drop_alias(&alias.address, &holders);
        let mapping = self.mapping();
        for name in holders {
            let Some(entry) = self.tree.at(&name) else { continue };
            let kind = if entry.is(EntryKind::Account) { EntryKind::Account } else { EntryKind::List };
            if self.reader().aliases(&entry, kind).contains(&alias.address) {
                continue;
            }
            let list = mapping.list.as_ref().map(|map| map.aliases.iter().chain(&map.address).next());
            let account = mapping.account.aliases.iter().chain(&mapping.account.address).next();
            let attribute = if kind == EntryKind::Account { account } else { list.flatten() };
            let attribute = attribute.ok_or_else(|| no_place("further addresses"))?.clone();
            let part = Part { attribute, delete: Vec::new(), add: vec![alias.address.clone()] };
            self.modify(&name, vec![part], false);
        }
        Ok(())
    }

    /// Takes an alias away from every entry but these.
    fn drop_alias(&mut self, address: &str, but: &HashSet<Name>) {
        let mapping = self.mapping();
        let list = mapping.list.iter().flat_map(|map| map.aliases.iter().chain(&map.address));
        let attributes: Vec<&String> =
            mapping.account.aliases.iter().chain(&mapping.account.address).chain(list).collect();
        for name in self.index.aliases.get(address).cloned().unwrap_or_default() {
            let Some(entry) = self.tree.at(&name).filter(|_| !but.contains(&name)) else { continue };
            let mut parts: Vec<Part> = Vec::new();
            for attribute in &attributes {
                let held = entry.all(attribute).iter();
                let delete: Vec<_> = held
                    .filter(|text| value::address(text, mapping.lower_case).as_deref() == Some(address))
                    .cloned()
                    .collect();
                if !delete.is_empty() && parts.iter().all(|part| !part.attribute.eq_ignore_ascii_case(attribute)) {
                    parts.push(Part { attribute: (*attribute).clone(), delete, add: Vec::new() });
                }
            }
            self.modify(&name, parts, false);
        }
    }

    /// Removes an entry that is nothing else but what the mapping makes, and what refers to it.
    pub fn remove_entry(&mut self, name: &str, kind: EntryKind) -> Result<(), Reason> {
        let Some(entry) = self.tree.copy(name) else { return Ok(()) };
        let mapping = self.mapping();
        let making = match kind {
            EntryKind::List => mapping.list.as_ref().map(|map| &map.new),
            EntryKind::Domain => mapping.domain.as_ref().map(|map| &map.new),
            _ => Some(&mapping.account.new),
        };
        let own = |class: &str| {
            const ABOVE: [&str; 4] = ["top", "person", "organizationalPerson", "inetOrgPerson"];
            let made = making.is_some_and(|making| making.classes.iter().any(|made| made.eq_ignore_ascii_case(class)));
            made || ABOVE.iter().any(|above| above.eq_ignore_ascii_case(class))
        };
        if let Some(class) = entry.all("objectClass").iter().find(|class| !own(class)) {
            let what = format!("{} is also a {class}, which wagon does not make; remove it by hand", entry.dn);
            return Err(Reason::Refused(what));
        }
        let values = entry.values.iter().map(|(attribute, all)| (attribute.clone(), all.clone())).collect();
        self.step(Change::Delete { dn: entry.dn.clone(), values }, &[], false);
        self.refer(&entry.dn, None);
        Ok(())
    }

    /// Gives an entry another name at its place, and tells those that refer to it.
    pub fn rename(&mut self, name: &str, rdn: &str) {
        let Some(entry) = self.tree.at(name) else { return };
        let (dn, kinds) = (entry.dn.clone(), entry.kinds.iter().copied().collect::<Vec<_>>());
        let now = dn::below(rdn, dn::parent(&dn));
        if now == dn {
            return;
        }
        self.step(Change::Rename { dn: dn.clone(), rdn: rdn.to_owned() }, &kinds, false);
        self.refer(&dn, Some(&now));
    }

    /// Members and owners that name an entry name it by `now` from here on, or no more.
    fn refer(&mut self, dn: &str, now: Option<&str>) {
        let was = dn::normal(dn);
        let mapping = self.mapping();
        let list = mapping.list.iter().flat_map(|map| map.members.iter().chain(&map.owners));
        let attributes: Vec<&String> = list.chain(mapping.group.iter().flat_map(|map| &map.members)).collect();
        let never_empty = mapping.list.as_ref().is_some_and(|map| map.never_empty)
            || mapping.group.as_ref().is_some_and(|map| map.never_empty);
        let mut to_do = Vec::new();
        for name in self.index.referrers(&was) {
            let Some(entry) = self.tree.at(&name) else { continue };
            let mut parts: Vec<Part> = Vec::new();
            for attribute in &attributes {
                let held = entry.all(attribute);
                let delete: Vec<_> =
                    held.iter().filter(|text| text.contains('=') && dn::normal(text) == was).cloned().collect();
                if delete.is_empty() || parts.iter().any(|part| part.attribute.eq_ignore_ascii_case(attribute)) {
                    continue;
                }
                let owner = mapping.list.as_ref().and_then(|map| map.owners.as_ref());
                let last = delete.len() == held.len() && never_empty && owner != Some(attribute);
                let add = match now {
                    Some(now) => vec![now.to_owned()],
                    None if last => vec![self.options.base.clone()],
                    None => Vec::new(),
                };
                parts.push(Part { attribute: (*attribute).clone(), delete, add });
            }
            if !parts.is_empty() {
                to_do.push((name.clone(), parts));
            }
        }
        for (name, parts) in to_do {
            self.modify(&name, parts, true);
        }
    }

    /// Attributes of a record as those of a new entry; refused where one has no place.
    pub fn attribute_values(
        &self,
        attributes: &Attributes,
        map: &BTreeMap<String, String>,
    ) -> Result<Vec<(String, Vec<String>)>, Reason> {
        let mut values = Vec::new();
        for (name, text) in attributes {
            match map.get(name) {
                Some(to) => values.push((to.clone(), value::split(text))),
                None if self.mapping().leaves_out(name) => {}
                None => {
                    let what = format!(
                        "the attribute {name}: name its place under attributes, or leave it out under leave-out"
                    );
                    return Err(no_place(&what));
                }
            }
        }
        values.retain(|(_, all)| !all.is_empty());
        Ok(values)
    }

    /// What has to change for an entry to have these attributes of its record.
    pub fn attribute_parts(
        &self,
        entry: &Entry,
        attributes: &Attributes,
        map: &BTreeMap<String, String>,
    ) -> Result<Vec<Part>, Reason> {
        self.attribute_values(attributes, map)?;
        // What names the entry changes with its name only; and an entry always has a surname.
        let fixed = |attribute: &str| {
            attribute.eq_ignore_ascii_case("sn")
                || named_values(&entry.dn).iter().any(|(name, _)| name.eq_ignore_ascii_case(attribute))
        };
        let mut parts = Vec::new();
        for (name, to) in map {
            let wanted = attributes.get(name).map(|text| value::split(text)).unwrap_or_default();
            if !(fixed(to) && (wanted.is_empty() || !to.eq_ignore_ascii_case("sn"))) {
                parts.extend(set(entry, to, &wanted));
            }
        }
        Ok(parts)
    }
}

/// What has to go and come for an attribute to have these values, in whatever order; nothing where it has them.
pub fn set(entry: &Entry, attribute: &str, wanted: &[String]) -> Option<Part> {
    let has = entry.all(attribute);
    let delete: Vec<_> = has.iter().filter(|value| !wanted.contains(value)).cloned().collect();
    let add: Vec<_> = wanted.iter().filter(|value| !has.contains(value)).cloned().collect();
    (!delete.is_empty() || !add.is_empty()).then(|| Part { attribute: attribute.to_owned(), delete, add })
}

/// What has to go and come for one value of an attribute to be another one; its other values stay.
pub fn swap(entry: &Entry, attribute: &str, shown: Option<&String>, wanted: Option<&String>) -> Option<Part> {
    let there = |value: &&String| entry.all(attribute).contains(value);
    let delete: Vec<_> = shown.filter(there).into_iter().cloned().collect();
    let add: Vec<_> = wanted.filter(|value| !there(value)).into_iter().cloned().collect();
    (shown != wanted).then(|| Part { attribute: attribute.to_owned(), delete, add })
}

/// Attributes and values that the entry's own name gives it.
fn named_values(dn: &str) -> Vec<(String, Vec<String>)> {
    let own = dn::parse(dn).and_then(|parts| parts.into_iter().next()).unwrap_or_default();
    own.into_iter().map(|(name, value)| (name, vec![String::from_utf8_lossy(&value).into_owned()])).collect()
}

pub fn refuse_address(address: &str) -> Result<(), Reason> {
    match value::address(address, false) {
        Some(known) if known == address => Ok(()),
        _ => Err(Reason::BadName("a directory holds no such address".to_owned())),
    }
}
