//! The items of a mailbox by id, packed: an account may have a million of them.

use crate::model::id::{FolderId, ItemId, ObjectId};
use crate::model::mailbox::{Flags, Item};
use crate::model::packed::{Packer, Unpacker};
use crate::shelf::{Scratch, Shelf};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::num::NonZeroU32;

/// An item and the folder it lies in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ItemAt {
    pub folder: FolderId,
    pub item: Item,
}

/// Items by id. What it gives out is unpacked anew each time.
#[derive(Default)]
pub struct Items {
    packed: Shelf,
    /// Where each item begins there.
    places: Places,
    /// How many lie in each folder that has any.
    counts: BTreeMap<FolderId, usize>,
    /// Bytes of `packed` that no item needs any more.
    dead: u64,
}

/// Fewer dead bytes than that are no reason to pack anew.
const DEAD_BYTES: u64 = 1 << 20;

impl Items {
    /// None yet; those that are too many for memory will lie in `scratch`, and are there for certain only while
    /// [`Scratch::check`] says so.
    pub fn new(scratch: &Scratch) -> Self {
        Self { packed: Shelf::new(scratch), ..Self::default() }
    }

    /// Where those that are too many for memory lie.
    pub fn scratch(&self) -> &Scratch {
        self.packed.scratch()
    }

    pub fn get(&self, id: ItemId) -> Option<ItemAt> {
        self.packed.read(self.places.get(id)?, ItemAt::unpack)
    }

    pub fn contains(&self, id: ItemId) -> bool {
        self.places.get(id).is_some()
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In order of id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (ItemId, ItemAt)> + '_ {
        self.places.iter().filter_map(|(id, place)| Some((id, self.packed.read(place, ItemAt::unpack)?)))
    }

    pub fn ids(&self) -> impl Iterator<Item = ItemId> + '_ {
        self.places.iter().map(|(id, _)| id)
    }

    pub fn name(&self, id: ItemId) -> Option<String> {
        self.packed.read(self.places.get(id)?, head).map(|(_, name)| name)
    }

    /// Where each item lies and what it is called, in order of id.
    pub fn names(&self) -> impl Iterator<Item = (ItemId, FolderId, String)> {
        self.places.iter().filter_map(|(id, place)| {
            let (folder, name) = self.packed.read(place, head)?;
            Some((id, folder, name))
        })
    }

    /// Where each item lies, in order of id.
    pub fn folders(&self) -> impl Iterator<Item = (ItemId, FolderId)> {
        let folder = |place| self.packed.read(place, |from| from.number32().map(FolderId));
        self.places.iter().filter_map(move |(id, place)| Some((id, folder(place)?)))
    }

    /// The items of a folder, in order of id.
    pub fn of_folder(&self, folder: FolderId) -> Vec<ItemId> {
        if !self.counts.contains_key(&folder) {
            return Vec::new();
        }
        self.folders().filter_map(|(id, at)| (at == folder).then_some(id)).collect()
    }

    /// Whether a folder has any.
    pub fn has_in(&self, folder: FolderId) -> bool {
        self.counts.contains_key(&folder)
    }

    /// Puts an item in, in the place of what had its id.
    pub fn insert(&mut self, id: ItemId, at: &ItemAt) {
        *self.counts.entry(at.folder).or_default() += 1;
        let place = self.packed.push(|into| at.pack(into));
        if let Some(old) = self.places.insert(id, place) {
            self.bury(old);
        }
    }

    pub fn remove(&mut self, id: ItemId) -> Option<ItemAt> {
        let at = self.get(id);
        let place = self.places.remove(id)?;
        self.bury(place);
        at
    }

    pub fn retain(&mut self, mut keep: impl FnMut(ItemId, &ItemAt) -> bool) {
        let gone: Vec<ItemId> = self.iter().filter(|(id, at)| !keep(*id, at)).map(|(id, _)| id).collect();
        for id in gone {
            self.remove(id);
        }
    }

    /// Counts the bytes of an item that nothing names any more, and packs anew once they are most of all.
    fn bury(&mut self, place: u64) {
        let head = self.packed.read(place, |from| Some((from.left() as u64, from.number32()?)));
        let Some((bytes, folder)) = head else { return };
        self.dead += bytes;
        if let Entry::Occupied(mut count) = self.counts.entry(FolderId(folder)) {
            match count.get() {
                0 | 1 => drop(count.remove()),
                more => *count.get_mut() = more - 1,
            }
        }
        if self.dead > DEAD_BYTES && self.dead > self.packed.end() / 2 {
            let mut fresh = Self::new(self.packed.scratch());
            self.iter().for_each(|(id, at)| fresh.insert(id, &at));
            *self = fresh;
        }
    }
}

/// Where each item begins, by id. Ids are given one after the other, so they lie in pages: eight bytes for each, where a
/// map of single ids takes thirty.
#[derive(Default)]
struct Places {
    pages: BTreeMap<u32, Box<[u64; PAGE_IDS]>>,
    count: usize,
}

/// Ids of a page. What is left of an account of which most items were removed takes a page each.
const PAGE_IDS: usize = 32;

/// In the place of the place of an id that is nobody's.
const NOWHERE: u64 = u64::MAX;

impl Places {
    fn len(&self) -> usize {
        self.count
    }

    fn get(&self, id: ItemId) -> Option<u64> {
        let (page, at) = page_of(id);
        self.pages.get(&page)?.get(at).copied().filter(|place| *place != NOWHERE)
    }

    /// Gives back the place that the id had before.
    fn insert(&mut self, id: ItemId, place: u64) -> Option<u64> {
        let (page, at) = page_of(id);
        let slot = self.pages.entry(page).or_insert_with(|| Box::new([NOWHERE; PAGE_IDS])).get_mut(at)?;
        let old = Some(std::mem::replace(slot, place)).filter(|old| *old != NOWHERE);
        self.count += usize::from(old.is_none());
        old
    }

    fn remove(&mut self, id: ItemId) -> Option<u64> {
        let old = self.get(id)?;
        let (page, at) = page_of(id);
        if let Entry::Occupied(mut entry) = self.pages.entry(page) {
            entry.get_mut().get_mut(at).into_iter().for_each(|slot| *slot = NOWHERE);
            if entry.get().iter().all(|place| *place == NOWHERE) {
                entry.remove();
            }
        }
        self.count -= 1;
        Some(old)
    }

    /// In order of id.
    fn iter(&self) -> impl DoubleEndedIterator<Item = (ItemId, u64)> + '_ {
        self.pages.iter().flat_map(|(page, places)| {
            let first = page * PAGE_IDS as u32;
            let ids = (0..PAGE_IDS as u32).map(move |at| ItemId(first + at));
            ids.zip(places.iter().copied()).filter(|(_, place)| *place != NOWHERE)
        })
    }
}

/// An id's page, and its place there.
fn page_of(id: ItemId) -> (u32, usize) {
    (id.0 / PAGE_IDS as u32, id.0 as usize % PAGE_IDS)
}

impl FromIterator<(ItemId, ItemAt)> for Items {
    fn from_iter<I: IntoIterator<Item = (ItemId, ItemAt)>>(all: I) -> Self {
        let mut items = Self::default();
        all.into_iter().for_each(|(id, at)| items.insert(id, &at));
        items
    }
}

impl PartialEq for Items {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Items {}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// What every item begins with.
fn head(from: &mut Unpacker<'_>) -> Option<(FolderId, String)> {
    Some((FolderId(from.number32()?), from.text()?.to_owned()))
}

impl ItemAt {
    fn pack(&self, into: &mut Packer<'_>) {
        let Self { folder, item } = self;
        let Item { name, object, size, date, flags, keywords, tags, uid, uidl } = item;
        into.number(u64::from(folder.0));
        into.text(name);
        into.fixed(object.as_bytes());
        into.number(*size);
        into.signed(*date);
        into.number(u64::from(flags.bits()));
        into.texts(keywords);
        into.texts(tags);
        into.number(uid.map_or(0, |uid| u64::from(uid.get())));
        into.text_or_none(uidl.as_deref());
    }

    /// What `pack` wrote; `None` for other bytes.
    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let (folder, name) = head(from)?;
        let item = Item {
            name,
            object: ObjectId::from_digest(from.fixed()?),
            size: from.number()?,
            date: from.signed()?,
            flags: Flags::from_bits(from.number()? as u8),
            keywords: from.texts()?,
            tags: from.texts()?,
            uid: NonZeroU32::new(from.number32()?),
            uidl: from.text_or_none()?,
        };
        Some(Self { folder, item })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{RealFs, Secrecy};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn item(seed: u64) -> ItemAt {
        let text = |kind: &str| format!("{kind}{seed}\u{e9}");
        let item = Item {
            name: text("name"),
            object: ObjectId::of(&seed.to_be_bytes()),
            size: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            date: seed as i64 - 500,
            flags: Flags::from_bits(seed as u8),
            keywords: (0..seed % 3).map(|n| text(&n.to_string())).collect(),
            tags: (0..seed % 2).map(|n| text(&n.to_string())).collect(),
            uid: NonZeroU32::new(seed as u32 % 5),
            uidl: seed.is_multiple_of(7).then(|| text("uidl")),
        };
        ItemAt { folder: FolderId(seed as u32 % 4), item }
    }

    proptest! {
        #[test]
        fn they_are_what_a_map_of_them_would_be(
            steps in prop::collection::vec((0u32..80, 0u64..1000, 0u8..4), 0..200), held: bool,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let file = Scratch::holding(Arc::new(RealFs), dir.path(), Secrecy::Plain, 500);
            let scratch = if held { Scratch::default() } else { file };
            let mut items = Items::new(&scratch);
            let mut map = BTreeMap::new();
            for (id, seed, what) in steps {
                let id = ItemId(id);
                match what {
                    0 => prop_assert_eq!(items.remove(id), map.remove(&id)),
                    1 => {
                        items.retain(|_, at| at.folder.0 != seed as u32 % 4);
                        map.retain(|_, at: &mut ItemAt| at.folder.0 != seed as u32 % 4);
                    }
                    _ => {
                        items.insert(id, &item(seed));
                        map.insert(id, item(seed));
                    }
                }
                prop_assert_eq!(items.get(id), map.get(&id).cloned());
                prop_assert_eq!(items.contains(id), map.contains_key(&id));
            }
            prop_assert_eq!(items.len(), map.len());
            for folder in (0..5).map(FolderId) {
                let of_it = map.iter().filter(|(_, at)| at.folder == folder).map(|(id, _)| *id);
                prop_assert_eq!(items.of_folder(folder), of_it.collect::<Vec<_>>());
                prop_assert_eq!(items.counts.contains_key(&folder), map.values().any(|at| at.folder == folder));
            }
            prop_assert!(items.names().eq(map.iter().map(|(id, at)| (*id, at.folder, at.item.name.clone()))));
            prop_assert!(items.iter().rev().eq(map.clone().into_iter().rev()));
            prop_assert_eq!(items, map.into_iter().collect());
            prop_assert!(scratch.check().is_ok());
        }
    }

    #[test]
    fn an_item_that_changes_for_ever_takes_no_more_memory() {
        let mut items = Items::default();
        for seed in 0..100_000 {
            items.insert(ItemId(1), &item(seed));
        }
        assert!(items.packed.end() < 8 * DEAD_BYTES, "{}", items.packed.end());
        assert_eq!(items.get(ItemId(1)), Some(item(99_999)));
    }
}
