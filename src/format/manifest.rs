//! `accounts/<id>.jsonl`: the operations that lead from the parent's mailbox to this one's, one JSON line each.
//! Format: format-spec/snapshot.md.

use super::FormatError;
use super::items::{ItemAt, Items};
use crate::model::id::{FolderId, ItemId};
use crate::model::mailbox::{Flags, Folder, FolderKey, Item};
use crate::model::setting::{Setting, SettingKey};
use crate::shelf::Scratch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// One line of a manifest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManifestLine {
    /// A new folder, or all there is now to say of a known one (renamed, other grants …).
    Folder(FolderLine),
    /// The folder is gone, with every item that is still in it.
    FolderGone(FolderId),
    /// A new item, or a known one with other content.
    Item(ItemLine),
    /// What changed of a known item; fields that are absent stay.
    Change(ItemChange),
    ItemGone(ItemId),
    Setting(Setting),
    SettingGone(SettingKey),
    /// The highest ids that the account ever used; a full manifest begins with it, so that none is used twice.
    Last((FolderId, ItemId)),
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FolderLine {
    #[serde(rename = "i")]
    pub id: FolderId,
    #[serde(flatten)]
    pub folder: Folder,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ItemLine {
    #[serde(rename = "i")]
    pub id: ItemId,
    #[serde(rename = "f")]
    pub folder: FolderId,
    #[serde(flatten)]
    pub item: Item,
}

/// A change to a known item.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ItemChange {
    #[serde(rename = "i")]
    pub id: ItemId,
    /// It moved there.
    #[serde(default, rename = "f", skip_serializing_if = "Option::is_none")]
    pub folder: Option<FolderId>,
    #[serde(default, rename = "n", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, rename = "d", skip_serializing_if = "Option::is_none")]
    pub date: Option<i64>,
    #[serde(default, rename = "fl", skip_serializing_if = "Option::is_none")]
    pub flags: Option<Flags>,
    #[serde(default, rename = "k", skip_serializing_if = "Option::is_none")]
    pub keywords: Option<Vec<String>>,
    #[serde(default, rename = "t", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// 0 takes the UID away.
    #[serde(default, rename = "u", skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Empty takes the UIDL away.
    #[serde(default, rename = "p", skip_serializing_if = "Option::is_none")]
    pub uidl: Option<String>,
}

/// A mailbox at one snapshot.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct AccountState {
    pub folders: BTreeMap<FolderId, Folder>,
    pub items: Items,
    pub settings: BTreeMap<SettingKey, Setting>,
    /// Where folders were before, oldest first.
    pub former: BTreeMap<FolderId, Vec<FolderKey>>,
    /// The highest ids ever used in this account, so that none is used twice.
    pub last_folder: FolderId,
    pub last_item: ItemId,
    /// Items that were removed since the last full manifest, where they lay: one that comes back keeps its id.
    pub removed: Items,
}

impl AccountState {
    /// An empty one. What its items are too many for memory will lie in `scratch`, and is there for certain only while
    /// [`Scratch::check`] says so.
    pub fn new(scratch: &Scratch) -> Self {
        Self { items: Items::new(scratch), removed: Items::new(scratch), ..Self::default() }
    }

    /// Takes in one line. An operation on what does not exist is malformed: manifests come from outside.
    pub fn apply(&mut self, line: ManifestLine) -> Result<(), FormatError> {
        let missing = |what: &str, id: u32| FormatError::Malformed { what: format!("no {what} {id}"), at: 0 };
        match line {
            ManifestLine::Folder(FolderLine { id, folder }) => {
                self.last_folder = self.last_folder.max(id);
                let key = folder.key.clone();
                if let Some(old) = self.folders.insert(id, folder).filter(|old| old.key != key) {
                    self.former.entry(id).or_default().push(old.key);
                }
            }
            ManifestLine::FolderGone(id) => {
                self.folders.remove(&id).ok_or_else(|| missing("folder", id.0))?;
                self.former.remove(&id);
                self.items.of_folder(id).into_iter().for_each(|item| self.drop_item(item));
            }
            ManifestLine::Item(ItemLine { id, folder, item }) => {
                if !self.folders.contains_key(&folder) {
                    return Err(missing("folder", folder.0));
                }
                if id == ItemId(0) {
                    return Err(missing("item", id.0)); // ids begin at 1
                }
                self.last_item = self.last_item.max(id);
                self.removed.remove(id);
                self.items.insert(id, &ItemAt { folder, item });
            }
            ManifestLine::Change(change) => {
                if let Some(folder) = change.folder
                    && !self.folders.contains_key(&folder)
                {
                    return Err(missing("folder", folder.0));
                }
                let id = change.id;
                let mut at = self.items.get(id).ok_or_else(|| missing("item", id.0))?;
                change.apply_to(&mut at);
                self.items.insert(id, &at);
            }
            ManifestLine::ItemGone(id) => {
                if !self.items.contains(id) {
                    return Err(missing("item", id.0));
                }
                self.drop_item(id);
            }
            ManifestLine::Setting(setting) => drop(self.settings.insert(setting.key(), setting)),
            ManifestLine::SettingGone(key) => drop(self.settings.remove(&key)),
            ManifestLine::Last((folder, item)) => {
                self.last_folder = self.last_folder.max(folder);
                self.last_item = self.last_item.max(item);
            }
        }
        Ok(())
    }

    fn drop_item(&mut self, id: ItemId) {
        if let Some(at) = self.items.remove(id) {
            self.removed.insert(id, &at);
        }
    }

    /// The whole state as lines that build it from nothing: last ids, settings, folders, items, each in order of id. A
    /// folder that was elsewhere comes with a line for each of its former places, so that these are not forgotten.
    pub fn lines(&self) -> impl Iterator<Item = ManifestLine> + '_ {
        let last = std::iter::once(ManifestLine::Last((self.last_folder, self.last_item)));
        let settings = self.settings.values().cloned().map(ManifestLine::Setting);
        let folders = self.folders.iter().flat_map(|(&id, folder)| {
            let former = self.former.get(&id).into_iter().flatten().cloned().map(Folder::at);
            former.chain([folder.clone()]).map(move |folder| ManifestLine::Folder(FolderLine { id, folder }))
        });
        let items = self.items.iter().map(item_line);
        last.chain(settings).chain(folders).chain(items)
    }

    /// Lines that make this state of `base`; of nothing, with all that was ever numbered, when `full`.
    pub fn lines_since<'s>(&'s self, base: &'s Self, full: bool) -> impl Iterator<Item = ManifestLine> + 's {
        let numbers = (self.last_folder, self.last_item);
        let last = (full || numbers != (base.last_folder, base.last_item)).then_some(ManifestLine::Last(numbers));
        let settings = self.settings.iter().filter(|(key, setting)| base.settings.get(key) != Some(setting));
        let settings = settings.map(|(_, setting)| ManifestLine::Setting(setting.clone()));
        let settings_gone = base.settings.keys().filter(|key| !self.settings.contains_key(key));
        let settings_gone = settings_gone.cloned().map(ManifestLine::SettingGone);
        let folders = self.folders.iter().flat_map(|(&id, folder)| self.folder_since(base, id, folder));
        let items = self.items.iter().filter(|(id, at)| base.items.get(*id).as_ref() != Some(at)).map(item_line);
        let items_gone = base.items.ids().filter(|id| !self.items.contains(*id)).map(ManifestLine::ItemGone);
        // Last, when nothing lies in them any more.
        let folders_gone = base.folders.keys().filter(|id| !self.folders.contains_key(id));
        let folders_gone = folders_gone.copied().map(ManifestLine::FolderGone);
        let made = last.into_iter().chain(settings).chain(folders).chain(items);
        made.chain(items_gone).chain(folders_gone).chain(settings_gone)
    }

    /// The lines of a folder since `base`, one for each place where it was meanwhile; none when nothing changed.
    fn folder_since(&self, base: &Self, id: FolderId, folder: &Folder) -> Vec<ManifestLine> {
        let mut places = self.former.get(&id).into_iter().flatten().peekable();
        if let Some(known) = base.folders.get(&id) {
            for key in base.former.get(&id).into_iter().flatten().chain([&known.key]) {
                places.next_if_eq(&key);
            }
        }
        let mut lines: Vec<_> = places.cloned().map(Folder::at).collect();
        if !lines.is_empty() || base.folders.get(&id) != Some(folder) {
            lines.push(folder.clone());
        }
        lines.into_iter().map(|folder| ManifestLine::Folder(FolderLine { id, folder })).collect()
    }

    /// Items and their bytes. Sizes come from outside: a sum that no number holds is the largest there is.
    pub fn totals(&self) -> (u64, u64) {
        let bytes = self.items.iter().fold(0u64, |sum, (_, at)| sum.saturating_add(at.item.size));
        (self.items.len() as u64, bytes)
    }
}

fn item_line((id, ItemAt { folder, item }): (ItemId, ItemAt)) -> ManifestLine {
    ManifestLine::Item(ItemLine { id, folder, item })
}

impl ItemChange {
    fn apply_to(self, at: &mut ItemAt) {
        let item = &mut at.item;
        at.folder = self.folder.unwrap_or(at.folder);
        item.date = self.date.unwrap_or(item.date);
        item.flags = self.flags.unwrap_or(item.flags);
        if let Some(name) = self.name {
            item.name = name;
        }
        if let Some(keywords) = self.keywords {
            item.keywords = keywords;
        }
        if let Some(tags) = self.tags {
            item.tags = tags;
        }
        if let Some(uid) = self.uid {
            item.uid = NonZeroU32::new(uid);
        }
        if let Some(uidl) = self.uidl {
            item.uidl = Some(uidl).filter(|uidl| !uidl.is_empty());
        }
    }
}
