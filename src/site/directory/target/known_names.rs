//! The names that an account's items have, listed once for an import and then kept up to date by its own deliveries.
//!
//! Mail: one set for the whole account, so that a message keeps its name wherever it moves. Other kinds: one a folder.

use super::grants;
use super::hand::Hand;
use super::listing::{Sub, item_name};
use super::names::{NameSet, reserve};
use super::place::AccountPlace;
use super::{file_items, listing};
use crate::limits::NAME_SETS;
use crate::model::mailbox::{FolderKey, FolderKind};
use crate::site::{Delivery, SiteError};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Sets of names; the least recently used goes when there are too many.
#[derive(Default)]
pub struct KnownNames(Mutex<Vec<(PathBuf, Arc<Mutex<Names>>)>>);

#[derive(Default)]
struct Names {
    /// On disk, as far as we know, or promised.
    taken: NameSet,
    /// Promised and not on disk yet.
    promised: NameSet,
}

impl Names {
    fn is_on_disk(&self, name: &str) -> bool {
        self.taken.contains(name) && !self.promised.contains(name)
    }
}

impl KnownNames {
    /// Names under which these can be delivered.
    pub fn reserve(
        &self,
        hand: &Hand,
        place: &AccountPlace,
        key: &FolderKey,
        wanted: &[String],
    ) -> Result<Vec<String>, SiteError> {
        let names = self.names(hand, place, key)?;
        let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
        let promise = |wish: &String| {
            let name = reserve(key.kind(), wish, &mut names.taken);
            names.promised.insert(&name);
            name
        };
        Ok(wanted.iter().map(promise).collect())
    }

    /// Those of a batch of messages that lie in their folder already: file names by item name. Only a delivery that is
    /// repeated has any.
    pub fn present(
        &self,
        hand: &Hand,
        place: &AccountPlace,
        key: &FolderKey,
        batch: &[Delivery],
    ) -> Result<HashMap<String, listing::MessageFile>, SiteError> {
        let names = self.names(hand, place, key)?;
        let is_known = {
            let names = names.lock().unwrap_or_else(PoisonError::into_inner);
            batch.iter().any(|delivery| names.is_on_disk(&delivery.name))
        };
        if !is_known {
            return Ok(HashMap::new());
        }
        let mut messages = listing::list(hand, &place.folder(hand, key)?)?;
        messages.retain(|name, _| batch.iter().any(|delivery| delivery.name == *name));
        Ok(messages)
    }

    /// Remembers what was delivered.
    pub fn delivered(&self, place: &AccountPlace, key: &FolderKey, dir: &Path, batch: &[Delivery]) {
        let root = root_of(place, key, dir);
        let sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, names)) = sets.iter().find(|(known, _)| *known == root) {
            let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
            for delivery in batch {
                names.promised.remove(&delivery.name);
                names.taken.insert(&delivery.name);
            }
        }
    }

    /// Forgets every set of what lies below `root`.
    pub fn forget(&self, root: &Path) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| !known.starts_with(root));
    }

    fn names(&self, hand: &Hand, place: &AccountPlace, key: &FolderKey) -> Result<Arc<Mutex<Names>>, SiteError> {
        let dir = place.folder(hand, key)?;
        let root = root_of(place, key, &dir);
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = sets.iter().position(|(known, _)| *known == root) {
            let entry = sets.remove(at);
            let names = Arc::clone(&entry.1);
            sets.push(entry);
            return Ok(names);
        }
        drop(sets);
        let mut names = Names::default();
        for name in list(hand, place, key, &dir)? {
            names.taken.insert(&name);
        }
        let names = Arc::new(Mutex::new(names));
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have listed it meanwhile, and promised names: then its set counts.
        if let Some((_, theirs)) = sets.iter().find(|(known, _)| *known == root) {
            return Ok(Arc::clone(theirs));
        }
        if sets.len() >= NAME_SETS {
            sets.remove(0);
        }
        sets.push((root, Arc::clone(&names)));
        Ok(names)
    }
}

/// What the names are unique in.
fn root_of(place: &AccountPlace, key: &FolderKey, dir: &Path) -> PathBuf {
    if key.kind() == FolderKind::Mail { place.maildir() } else { dir.to_owned() }
}

fn list(hand: &Hand, place: &AccountPlace, key: &FolderKey, dir: &Path) -> Result<Vec<String>, SiteError> {
    if key.kind() != FolderKind::Mail {
        hand.sweep(dir)?;
        return file_items::names(hand, dir, key.kind());
    }
    let mut found = Vec::new();
    for folder in grants::folders(hand, &place.maildir())? {
        hand.sweep(&folder)?;
        for sub in [Sub::New, Sub::Cur] {
            found.extend(hand.list(&folder.join(sub.name()))?.into_iter().map(|entry| item_name(&entry.name)));
        }
    }
    Ok(found)
}
