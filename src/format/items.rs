//! The items of a mailbox by id, packed: an account may have a million of them.

use crate::model::id::{FolderId, ItemId, ObjectId};
use crate::model::mailbox::{Flags, Item};
use crate::model::packed::{Packer, Unpacker};
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
#[derive(Clone, Default)]
pub struct Items {
    packed: Vec<u8>,
    /// Where each item begins there.
    places: BTreeMap<ItemId, u64>,
    /// How many lie in each folder that has any.
    counts: BTreeMap<FolderId, usize>,
    /// Bytes of `packed` that no item needs any more.
    dead: usize,
}

/// Fewer dead bytes than that are no reason to pack anew.
const DEAD_BYTES: usize = 1 << 20;

impl Items {
    pub fn get(&self, id: ItemId) -> Option<ItemAt> {
        ItemAt::unpack(&mut self.at(*self.places.get(&id)?))
    }

    pub fn contains(&self, id: ItemId) -> bool {
        self.places.contains_key(&id)
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// In order of id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (ItemId, ItemAt)> + '_ {
        self.places.iter().filter_map(|(&id, &place)| Some((id, ItemAt::unpack(&mut self.at(place))?)))
    }

    pub fn ids(&self) -> impl Iterator<Item = ItemId> + '_ {
        self.places.keys().copied()
    }

    pub fn name(&self, id: ItemId) -> Option<&str> {
        head(&mut self.at(*self.places.get(&id)?)).map(|(_, name)| name)
    }

    /// Where each item lies and what it is called, in order of id.
    pub fn names(&self) -> impl Iterator<Item = (ItemId, FolderId, &str)> {
        self.places.iter().filter_map(|(&id, &place)| {
            let (folder, name) = head(&mut self.at(place))?;
            Some((id, folder, name))
        })
    }

    /// The items of a folder, in order of id.
    pub fn of_folder(&self, folder: FolderId) -> Vec<ItemId> {
        if !self.counts.contains_key(&folder) {
            return Vec::new();
        }
        self.names().filter_map(|(id, at, _)| (at == folder).then_some(id)).collect()
    }

    /// Puts an item in, in the place of what had its id.
    pub fn insert(&mut self, id: ItemId, at: &ItemAt) {
        let place = self.packed.len() as u64;
        *self.counts.entry(at.folder).or_default() += 1;
        at.pack(&mut Packer::new(&mut self.packed));
        if let Some(old) = self.places.insert(id, place) {
            self.bury(old);
        }
    }

    pub fn remove(&mut self, id: ItemId) -> Option<ItemAt> {
        let place = self.places.remove(&id)?;
        let at = ItemAt::unpack(&mut self.at(place));
        self.bury(place);
        at
    }

    pub fn retain(&mut self, mut keep: impl FnMut(ItemId, &ItemAt) -> bool) {
        let gone: Vec<ItemId> = self.iter().filter(|(id, at)| !keep(*id, at)).map(|(id, _)| id).collect();
        for id in gone {
            self.remove(id);
        }
    }

    /// From a place on.
    fn at(&self, place: u64) -> Unpacker<'_> {
        let rest = usize::try_from(place).ok().and_then(|place| self.packed.get(place..));
        Unpacker::new(rest.unwrap_or_default())
    }

    /// Counts the bytes of an item that nothing names any more, and packs anew once they are most of all.
    fn bury(&mut self, place: u64) {
        let mut unpacker = self.at(place);
        let before = unpacker.left();
        let folder = ItemAt::unpack(&mut unpacker).map(|at| at.folder);
        self.dead += before - unpacker.left();
        if let Some(Entry::Occupied(mut count)) = folder.map(|folder| self.counts.entry(folder)) {
            match count.get() {
                0 | 1 => drop(count.remove()),
                more => *count.get_mut() = more - 1,
            }
        }
        if self.dead > DEAD_BYTES && self.dead > self.packed.len() / 2 {
            *self = self.iter().collect();
        }
    }
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
fn head<'p>(from: &mut Unpacker<'p>) -> Option<(FolderId, &'p str)> {
    Some((FolderId(from.number32()?), from.text()?))
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
            name: name.to_owned(),
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
    use proptest::prelude::*;

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
        fn they_are_what_a_map_of_them_would_be(steps in prop::collection::vec((0u32..40, 0u64..1000, 0u8..4), 0..200)) {
            let mut items = Items::default();
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
            prop_assert!(items.names().eq(map.iter().map(|(id, at)| (*id, at.folder, at.item.name.as_str()))));
            prop_assert!(items.iter().rev().eq(map.clone().into_iter().rev()));
            prop_assert_eq!(items, map.into_iter().collect());
        }
    }

    #[test]
    fn an_item_that_changes_for_ever_takes_no_more_memory() {
        let mut items = Items::default();
        for seed in 0..100_000 {
            items.insert(ItemId(1), &item(seed));
        }
        assert!(items.packed.capacity() < 8 * DEAD_BYTES, "{}", items.packed.capacity());
        assert_eq!(items.get(ItemId(1)), Some(item(99_999)));
    }
}
