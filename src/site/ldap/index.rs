//! Who is who in a directory: addresses of entries, entries of addresses, user names, groups, classes.
//!
//! Built from all entries once; a scan and a plan of changes both look things up here.

use super::entry::{Entry, EntryKind, Name, Tree};
use super::mapping::Mapping;
use super::{dn, value};
use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Values by attribute in lower case.
type Values = BTreeMap<String, Vec<String>>;

/// Names by which a member or an account is found. There are as many as accounts, so they are shared, not copied.
#[derive(Default, Debug)]
pub struct Index {
    /// Account or list, by address.
    pub entries: HashMap<(EntryKind, Arc<str>), Name>,
    /// Address of an account's or list's entry.
    pub addresses: HashMap<Name, Arc<str>>,
    /// Entries by addresses beside their own.
    pub aliases: HashMap<String, Vec<Name>>,
    /// Accounts by user name.
    pub users: HashMap<String, Name>,
    /// Groups by name.
    pub groups: HashMap<String, Name>,
    group_names: HashMap<Name, String>,
    /// Groups and lists that name somebody, as a member or an owner; and whether he is counted to the group by that.
    within: HashMap<Member, Vec<(Name, bool)>>,
    /// Names of classes of service by what accounts call them.
    pub classes: HashMap<String, String>,
    /// Entries whose address another one has already, or that have none, and what is wrong.
    pub without: Vec<(String, String)>,
}

/// What stands in a list of members.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Member {
    Entry(Name),
    Address(String),
    User(String),
}

impl Member {
    pub fn parse(text: &str, lower_case: bool) -> Self {
        // `a=b@c.test` is an address; the name of an entry has more than one part, or no `@`.
        let parts = dn::parse(text).map_or(0, |parts| parts.len());
        if parts > 1 || parts == 1 && !text.contains('@') {
            return Self::Entry(dn::normal(text).into());
        }
        match value::address(text, lower_case) {
            Some(address) => Self::Address(address),
            None => Self::User(text.to_lowercase()),
        }
    }
}

/// The address of an account or list, and further ones that stand in the same attribute: of several, that whose local
/// part names the entry, else the first in order, because a directory keeps none.
pub fn addresses_of(entry: &Entry, attributes: &[String], lower_case: bool) -> (Option<String>, Vec<String>) {
    let Some(values) = attributes.iter().map(|name| entry.all(name)).find(|values| !values.is_empty()) else {
        return (None, Vec::new());
    };
    let mut all: Vec<_> = values.iter().filter_map(|text| value::address(text, lower_case)).collect();
    all.sort();
    all.dedup();
    let names: Vec<String> = match dn::parse(&entry.dn) {
        Some(parts) if all.len() > 1 => {
            let own = parts.into_iter().next().unwrap_or_default();
            own.iter().map(|(_, value)| String::from_utf8_lossy(value).to_lowercase()).collect()
        }
        _ => Vec::new(),
    };
    let named = |address: &String| {
        let local = address.rsplit_once('@').map_or("", |(local, _)| local).to_lowercase();
        names.iter().any(|name| *name == local || *name == address.to_lowercase())
    };
    let at = all.iter().position(named).unwrap_or(0);
    let own = (at < all.len()).then(|| all.remove(at));
    (own, all)
}

/// Addresses beside the own one that lead to the same entry, sorted.
pub fn aliases_of(entry: &Entry, kind: EntryKind, mapping: &Mapping) -> Vec<String> {
    let account = (&mapping.account.address, &mapping.account.aliases);
    let list = mapping.list.as_ref().map(|map| (&map.address, &map.aliases));
    let Some((own, more)) = (if kind == EntryKind::List { list } else { Some(account) }) else { return Vec::new() };
    let (address, beside) = addresses_of(entry, own, mapping.lower_case);
    let texts = more.iter().flat_map(|attribute| entry.all(attribute));
    let mut all: BTreeSet<String> = texts.filter_map(|text| value::address(text, mapping.lower_case)).collect();
    all.extend(beside);
    all.into_iter().filter(|alias| Some(alias) != address.as_ref()).collect()
}

/// Attributes that name members or owners.
fn referring(mapping: &Mapping) -> Vec<&String> {
    let list = mapping.list.iter().flat_map(|map| map.members.iter().chain(&map.owners));
    list.chain(mapping.group.iter().flat_map(|map| &map.members)).collect()
}

fn groups_or_lists(entry: &Entry) -> bool {
    entry.is(EntryKind::List) || entry.is(EntryKind::Group)
}

impl Index {
    pub fn new(tree: &Tree, mapping: &Mapping) -> Self {
        let mut index = Self::default();
        if let Some(map) = &mapping.class {
            for (_, entry) in tree.of(EntryKind::Class) {
                let id = map.id.as_deref().and_then(|id| entry.first(id));
                if let Some(name) = entry.first(&map.name) {
                    index.classes.insert(id.unwrap_or(name).to_owned(), name.to_owned());
                }
            }
        }
        for (name, entry) in tree.iter() {
            index.learn(mapping, name, &entry);
            index.refer(mapping, name, &entry, &entry.values, true);
        }
        index
    }

    /// Takes in what an entry is called.
    pub fn learn(&mut self, mapping: &Mapping, name: &Name, entry: &Entry) {
        let list = mapping.list.as_ref().map(|map| (EntryKind::List, &map.address));
        for (kind, attributes) in [(EntryKind::Account, &mapping.account.address)].into_iter().chain(list) {
            if !entry.is(kind) {
                continue;
            }
            let Some(address) = addresses_of(entry, attributes, mapping.lower_case).0 else {
                self.without.push((entry.dn.clone(), "has no address that could be one".to_owned()));
                continue;
            };
            for alias in aliases_of(entry, kind, mapping) {
                let names = self.aliases.entry(alias).or_default();
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
            let address: Arc<str> = address.into();
            match self.entries.entry((kind, address.clone())) {
                Slot::Occupied(_) => {
                    self.without.push((entry.dn.clone(), format!("has the address {address} of another entry")));
                }
                Slot::Vacant(free) => {
                    free.insert(name.clone());
                    self.addresses.entry(name.clone()).or_insert(address);
                }
            }
        }
        if entry.is(EntryKind::Account) {
            for user in entry.all("uid") {
                self.users.entry(user.to_lowercase()).or_insert_with(|| name.clone());
            }
        }
        if let Some(group) = group_name(mapping, entry) {
            self.groups.entry(group.to_owned()).or_insert_with(|| name.clone());
            self.group_names.insert(name.clone(), group.to_owned());
        }
    }

    /// Forgets what an entry is called; it is as it was when it was learnt.
    pub fn forget(&mut self, mapping: &Mapping, name: &str, entry: &Entry) {
        if let Some(address) = self.addresses.remove(name) {
            for kind in [EntryKind::Account, EntryKind::List] {
                if let Slot::Occupied(held) = self.entries.entry((kind, address.clone()))
                    && **held.get() == *name
                {
                    held.remove();
                }
            }
        }
        for kind in [EntryKind::Account, EntryKind::List].into_iter().filter(|kind| entry.is(*kind)) {
            for alias in aliases_of(entry, kind, mapping) {
                if let Some(names) = self.aliases.get_mut(&alias) {
                    names.retain(|held| **held != *name);
                }
            }
        }
        self.group_names.remove(name);
        self.users.retain_value(entry.all("uid").iter().map(|user| user.to_lowercase()), name);
        self.groups.retain_value(group_name(mapping, entry).map(str::to_owned).into_iter(), name);
    }

    /// Takes in, or forgets, members and owners among values of an entry.
    pub fn refer(&mut self, mapping: &Mapping, name: &Name, entry: &Entry, values: &Values, there: bool) {
        if !groups_or_lists(entry) {
            return;
        }
        let attributes: BTreeSet<String> =
            referring(mapping).into_iter().map(|name| name.to_ascii_lowercase()).collect();
        for attribute in &attributes {
            let group = mapping.group.as_ref().filter(|_| entry.is(EntryKind::Group));
            let counts = group.is_some_and(|map| map.members.iter().any(|held| held.eq_ignore_ascii_case(attribute)));
            for text in values.get(attribute).into_iter().flatten() {
                let names = self.within.entry(Member::parse(text, mapping.lower_case)).or_default();
                let is_this = |(held, by): &(Name, bool)| held == name && *by == counts;
                match there {
                    true if names.iter().any(is_this) => {}
                    true => names.push((name.clone(), counts)),
                    false => names.retain(|held| !is_this(held)),
                }
            }
        }
    }

    /// Groups and lists that name an entry, as a member or an owner.
    pub fn referrers(&self, name: &str) -> BTreeSet<Name> {
        self.within.get(&Member::Entry(name.into())).into_iter().flatten().map(|(name, _)| name.clone()).collect()
    }

    /// Names of the groups to which an account's entry is counted, through groups in groups too, whatever ring they form.
    pub fn groups_of(&self, entry: &Entry) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let name: Name = dn::normal(&entry.dn).into();
        let mut to_do: Vec<_> = entry.all("uid").iter().map(|user| Member::User(user.to_lowercase())).collect();
        to_do.extend(self.addresses.get(&name).map(|address| Member::Address(address.to_string())));
        to_do.push(Member::Entry(name));
        let mut seen: HashSet<Name> = HashSet::new();
        while let Some(member) = to_do.pop() {
            for (group, _) in self.within.get(&member).into_iter().flatten().filter(|(_, counts)| *counts) {
                if seen.insert(group.clone()) {
                    found.extend(self.group_names.get(group).cloned());
                    to_do.push(Member::Entry(group.clone()));
                }
            }
        }
        found
    }

    pub fn account(&self, address: &str) -> Option<&Name> {
        self.entries.get(&(EntryKind::Account, address.into()))
    }

    pub fn list(&self, address: &str) -> Option<&Name> {
        self.entries.get(&(EntryKind::List, address.into()))
    }

    /// The entry of an account, else of a list.
    pub fn holder(&self, address: &str) -> Option<&Name> {
        self.account(address).or_else(|| self.list(address))
    }
}

fn group_name<'e>(mapping: &Mapping, entry: &'e Entry) -> Option<&'e str> {
    mapping.group.as_ref().filter(|_| entry.is(EntryKind::Group)).and_then(|map| entry.first(&map.name))
}

trait RetainValue {
    /// Removes these keys where they lead to this value.
    fn retain_value(&mut self, keys: impl Iterator<Item = String>, value: &str);
}

impl RetainValue for HashMap<String, Name> {
    fn retain_value(&mut self, keys: impl Iterator<Item = String>, value: &str) {
        for key in keys {
            if self.get(&key).is_some_and(|held| **held == *value) {
                self.remove(&key);
            }
        }
    }
}
