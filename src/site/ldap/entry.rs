//! Entries of a directory as far as the mapping speaks of them, and all of them together.

use super::dn;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

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

    /// Bytes of memory that it takes, roughly.
    pub fn bytes(&self) -> usize {
        let texts = [&self.dn, &self.stamp].into_iter().chain(&self.id).chain(&self.strange);
        let texts = texts.chain(self.values.keys()).chain(self.values.values().flatten());
        texts.map(|text| text.len() + size_of::<String>()).sum::<usize>()
    }
}

/// The normal form of an entry's name ([`dn::normal`]), shared by all that refer to it.
pub type Name = Arc<str>;

/// Every entry that a filter found, by the normal form of its name.
///
/// A site has as many accounts as nothing else, so what is an account and nothing else is held as the text that the cache
/// keeps of it, a fifth of what its values take one by one, and taken apart where somebody asks for it.
#[derive(Clone, Default, Debug)]
pub struct Tree {
    entries: BTreeMap<Name, Held>,
}

#[derive(Clone)]
enum Held {
    Whole(Box<Entry>),
    /// JSON of an account.
    Account(Box<[u8]>),
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry().fmt(f)
    }
}

impl Held {
    fn of(entry: Entry) -> Self {
        let is_plain = entry.kinds.len() == 1 && entry.is(EntryKind::Account);
        // A group may have many thousand members, each added by a change of its own: it stays as it is.
        match is_plain.then(|| serde_json::to_vec(&entry)) {
            Some(Ok(text)) => Self::Account(text.into()),
            _ => Self::Whole(Box::new(entry)),
        }
    }

    fn entry(&self) -> Cow<'_, Entry> {
        match self {
            Self::Whole(entry) => Cow::Borrowed(entry),
            // What was written or read as an entry before is one; nothing else gets here.
            Self::Account(text) => Cow::Owned(serde_json::from_slice(text).unwrap_or_default()),
        }
    }

    fn into_entry(self) -> Entry {
        match self {
            Self::Whole(entry) => *entry,
            account => account.entry().into_owned(),
        }
    }

    fn is(&self, kind: EntryKind) -> bool {
        match self {
            Self::Whole(entry) => entry.is(kind),
            Self::Account(_) => kind == EntryKind::Account,
        }
    }
}

impl Tree {
    pub fn put(&mut self, entry: Entry) {
        self.entries.insert(dn::normal(&entry.dn).into(), Held::of(entry));
    }

    /// By a name however it is spelt.
    pub fn get(&self, name: &str) -> Option<Cow<'_, Entry>> {
        self.at(&dn::normal(name))
    }

    /// By the normal form of a name.
    pub fn at(&self, name: &str) -> Option<Cow<'_, Entry>> {
        self.entries.get(name).map(Held::entry)
    }

    /// A copy, for whoever changes the tree while looking at it.
    pub fn copy(&self, name: &str) -> Option<Entry> {
        self.at(name).map(Cow::into_owned)
    }

    pub fn take(&mut self, name: &str) -> Option<Entry> {
        self.entries.remove(name).map(Held::into_entry)
    }

    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    pub fn is(&self, name: &str, kind: EntryKind) -> bool {
        self.entries.get(name).is_some_and(|held| held.is(kind))
    }

    pub fn count(&self) -> usize {
        self.entries.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Name, Cow<'_, Entry>)> {
        self.entries.iter().map(|(name, held)| (name, held.entry()))
    }

    pub fn of(&self, kind: EntryKind) -> impl Iterator<Item = (&Name, Cow<'_, Entry>)> {
        self.entries.iter().filter(move |(_, held)| held.is(kind)).map(|(name, held)| (name, held.entry()))
    }

    /// Takes out what is an account and nothing else: one after the other, to be forgotten as they are looked at.
    pub fn take_accounts(&mut self) -> impl Iterator<Item = (Name, Entry)> + use<> {
        let all = std::mem::take(&mut self.entries);
        let (accounts, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(_, held)| matches!(held, Held::Account(_)));
        self.entries = others;
        accounts.into_iter().map(|(name, held)| (name, held.into_entry()))
    }

    /// Takes out every entry of which `other` has the same, as `same` sees it, and gives the others of `other`: what
    /// another look at the directory may take from this one, and what it has to ask for.
    pub fn shared_with(&mut self, other: Self, same: impl Fn(&Entry, &Entry) -> bool) -> (Self, Vec<Entry>) {
        let (mut shared, mut left) = (Self::default(), Vec::new());
        for (name, listed) in other.entries {
            match self.entries.remove(&name) {
                Some(held) if same(&held.entry(), &listed.entry()) => drop(shared.entries.insert(name, held)),
                _ => left.push(listed.into_entry()),
            }
        }
        (shared, left)
    }

    /// Each entry as a line of JSON, without its end.
    pub fn lines(&self) -> impl Iterator<Item = serde_json::Result<Cow<'_, [u8]>>> {
        self.entries.values().map(|held| match held {
            Held::Whole(entry) => serde_json::to_vec(entry).map(Cow::Owned),
            Held::Account(text) => Ok(Cow::Borrowed(&**text)),
        })
    }

    /// Takes in such a line.
    pub fn put_line(&mut self, line: &[u8]) -> serde_json::Result<()> {
        serde_json::from_slice(line).map(|entry| self.put(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_is_held_as_text_is_what_it_was() {
        let mut entry = Entry { dn: "uid=Ann, dc=test".into(), kinds: [EntryKind::Account].into(), ..Entry::default() };
        entry.change("mail", &[], &["ann@a.test".to_owned(), "a\n\"b".to_owned()]);
        entry.strange.insert("jpegphoto".to_owned());
        let mut tree = Tree::default();
        tree.put(entry.clone());
        assert!(tree.is("uid=ann,dc=test", EntryKind::Account) && !tree.is("uid=ann,dc=test", EntryKind::List));
        assert_eq!(tree.get("UID=ann,DC=test").as_deref(), Some(&entry));
        let mut again = Tree::default();
        tree.lines().for_each(|line| again.put_line(&line.unwrap()).unwrap());
        assert_eq!(again.take("uid=ann,dc=test"), Some(entry));
        assert!(format!("{tree:?}").contains("uid=Ann") && !format!("{tree:?}").contains("ann@a.test"));
    }
}
