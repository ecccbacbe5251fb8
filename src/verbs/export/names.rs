//! Sets of names of items, by their hashes: a mailbox may have a million of them.

use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;

/// A set that may, once in billions of names, hold one that nobody put in.
#[derive(Default)]
pub(super) struct Names {
    hashes: HashSet<u64>,
    by: RandomState,
}

impl Names {
    pub fn insert(&mut self, name: &str) {
        self.hashes.insert(self.by.hash_one(name));
    }

    pub fn may_have(&self, name: &str) -> bool {
        self.hashes.contains(&self.by.hash_one(name))
    }
}

impl FromIterator<String> for Names {
    fn from_iter<I: IntoIterator<Item = String>>(all: I) -> Self {
        let mut names = Self::default();
        all.into_iter().for_each(|name| names.insert(&name));
        names
    }
}

/// What goes by a name; whoever asks compares the name itself, which is not kept.
pub(super) struct ByName<T> {
    values: HashMap<u64, T>,
    by: RandomState,
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self { values: HashMap::new(), by: RandomState::new() }
    }
}

impl<T: Copy> ByName<T> {
    /// `false`: something has that name already, and keeps it.
    pub fn insert(&mut self, name: &str, value: T) -> bool {
        match self.values.entry(self.by.hash_one(name)) {
            Entry::Vacant(entry) => {
                entry.insert(value);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Puts it in the place of what had the name.
    pub fn replace(&mut self, name: &str, value: T) {
        self.values.insert(self.by.hash_one(name), value);
    }

    pub fn get(&self, name: &str) -> Option<T> {
        self.values.get(&self.by.hash_one(name)).copied()
    }

    /// Takes it out if `is_it`.
    pub fn take(&mut self, name: &str, is_it: impl FnOnce(T) -> bool) -> Option<T> {
        match self.values.entry(self.by.hash_one(name)) {
            Entry::Occupied(entry) if is_it(*entry.get()) => Some(entry.remove()),
            _ => None,
        }
    }

    pub fn into_values(self) -> impl Iterator<Item = T> {
        self.values.into_values()
    }
}
