//! Entries of a directory as far as the mapping speaks of them, and all of them together.

use super::dn;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What an entry is, by the filter that found it. One may be several things: a group with an address is also a list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    Account,
    List,
    Group,
    Domain,
    Class,
    Alias,
}

/// One entry. Its values hold password hashes, so it shows nothing but its name.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Entry {
    pub dn: String,
    pub kinds: BTreeSet<EntryKind>,
    /// What the server names it by for ever, where it does (entryUUID and the like).
    #[serde(default)]
    pub id: Option<String>,
    /// Changes with every change of the entry (entryCSN, modifyTimestamp); empty: nobody knows.
    #[serde(default)]
    pub stamp: String,
    /// Values by attribute in lower case, in the server's order.
    #[serde(default)]
    pub values: BTreeMap<String, Vec<String>>,
    /// Mapped attributes with a value that is no text or too long; it is not among the values.
    #[serde(default)]
    pub strange: BTreeSet<String>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({:?}, {:?})", self.dn, self.kinds)
    }
}

impl Entry {
    pub fn all(&self, attribute: &str) -> &[String] {
        self.values.get(&attribute.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }

    pub fn first(&self, attribute: &str) -> Option<&str> {
        self.all(attribute).first().map(String::as_str)
    }

    pub fn is(&self, kind: EntryKind) -> bool {
        self.kinds.contains(&kind)
    }

    pub fn has_class(&self, class: &str) -> bool {
        self.all("objectClass").iter().any(|has| has.eq_ignore_ascii_case(class))
    }

    /// Adds and takes away values, as a modification does.
    pub fn change(&mut self, attribute: &str, delete: &[String], add: &[String]) {
        let values = self.values.entry(attribute.to_ascii_lowercase()).or_default();
        values.retain(|value| !delete.contains(value));
        values.extend(add.iter().cloned());
        if values.is_empty() {
            self.values.remove(&attribute.to_ascii_lowercase());
        }
    }

    pub fn bytes(&self) -> usize {
        self.dn.len() + self.values.values().flatten().map(|value| value.len() + 24).sum::<usize>()
    }
}

/// Every entry that a filter found, by the normal form of its name.
#[derive(Clone, Default, Debug)]
pub struct Tree {
    pub entries: BTreeMap<String, Entry>,
}

impl Tree {
    pub fn put(&mut self, entry: Entry) {
        self.entries.insert(dn::normal(&entry.dn), entry);
    }

    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(&dn::normal(name))
    }

    pub fn of(&self, kind: EntryKind) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(move |entry| entry.is(kind))
    }
}
