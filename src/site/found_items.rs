//! What a listing of a folder found, packed: a folder may have a million messages.

use super::FoundItem;
use crate::model::mailbox::Flags;
use crate::model::packed::{Packer, Unpacker};
use std::fmt;
use std::num::NonZeroU32;

/// Items of a folder. What it gives out is unpacked anew each time.
#[derive(Clone, Default)]
pub struct FoundItems {
    packed: Vec<u8>,
    /// Where each item begins there.
    starts: Vec<u64>,
    /// The first item's place: those of the others begin like it.
    place: Vec<u8>,
}

impl FoundItems {
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    pub fn push(&mut self, item: &FoundItem) {
        if self.is_empty() {
            self.place.clone_from(&item.place);
        }
        self.starts.push(self.packed.len() as u64);
        self.pack(item);
    }

    /// The item with that number, in the order in which they are.
    pub fn get(&self, number: usize) -> Option<FoundItem> {
        self.unpack(&mut self.at(*self.starts.get(number)?))
    }

    pub fn iter(&self) -> impl Iterator<Item = FoundItem> + '_ {
        self.starts.iter().filter_map(|&start| self.unpack(&mut self.at(start)))
    }

    pub fn name(&self, number: usize) -> Option<&str> {
        self.starts.get(number).map(|&start| self.name_at(start))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.starts.iter().map(|&start| self.name_at(start))
    }

    /// The item of that name, among items that are sorted.
    pub fn find(&self, name: &str) -> Option<FoundItem> {
        let number = self.starts.binary_search_by(|&start| self.name_at(start).cmp(name)).ok()?;
        self.get(number)
    }

    /// Sorts by name. Of several with one name the first stays, and the name is handed to `reject` for each other.
    pub fn sort(&mut self, mut reject: impl FnMut(&str)) {
        let mut starts = std::mem::take(&mut self.starts);
        starts.sort_by(|a, b| self.name_at(*a).cmp(self.name_at(*b)));
        starts.dedup_by(|later, kept| {
            let twins = self.name_at(*later) == self.name_at(*kept);
            if twins {
                reject(self.name_at(*later));
            }
            twins
        });
        self.starts = starts;
    }

    /// From a start on.
    fn at(&self, start: u64) -> Unpacker<'_> {
        let rest = usize::try_from(start).ok().and_then(|start| self.packed.get(start..));
        Unpacker::new(rest.unwrap_or_default())
    }

    fn name_at(&self, start: u64) -> &str {
        self.at(start).text().unwrap_or_default()
    }

    /// The name first. Of the place: how much of the first one's it begins with, what comes then, and, where the name comes
    /// after that, what comes after the name; most connectors find an item by its name.
    fn pack(&mut self, item: &FoundItem) {
        let FoundItem { name, place, flags, keywords, tags, uid, uidl, version } = item;
        let mut into = Packer::new(&mut self.packed);
        into.text(name);
        let named = place.windows(name.len().max(1)).position(|window| window == name.as_bytes());
        let before = place.get(..named.unwrap_or(place.len())).unwrap_or_default();
        let common = before.iter().zip(&self.place).take_while(|(a, b)| a == b).count();
        into.number(common as u64);
        into.bytes(before.get(common..).unwrap_or_default());
        into.number(u64::from(named.is_some()));
        if let Some(named) = named {
            into.bytes(place.get(named + name.len()..).unwrap_or_default());
        }
        into.number(u64::from(flags.bits()));
        into.texts(keywords);
        into.texts(tags);
        into.number(uid.map_or(0, |uid| u64::from(uid.get())));
        into.text_or_none(uidl.as_deref());
        into.number(*version);
    }

    fn unpack(&self, from: &mut Unpacker<'_>) -> Option<FoundItem> {
        let name = from.text()?.to_owned();
        let mut place = self.place.get(..usize::try_from(from.number()?).ok()?)?.to_vec();
        place.extend_from_slice(from.bytes()?);
        if from.number()? != 0 {
            place.extend_from_slice(name.as_bytes());
            place.extend_from_slice(from.bytes()?);
        }
        Some(FoundItem {
            name,
            place,
            flags: Flags::from_bits(from.number()? as u8),
            keywords: from.texts()?,
            tags: from.texts()?,
            uid: NonZeroU32::new(from.number32()?),
            uidl: from.text_or_none()?,
            version: from.number()?,
        })
    }
}

impl FromIterator<FoundItem> for FoundItems {
    fn from_iter<I: IntoIterator<Item = FoundItem>>(all: I) -> Self {
        let mut items = Self::default();
        all.into_iter().for_each(|item| items.push(&item));
        items
    }
}

impl fmt::Debug for FoundItems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item() -> impl Strategy<Value = FoundItem> {
        let texts = || prop::collection::vec(".{0,5}", 0..3);
        let place = (prop::collection::vec(97u8..100, 0..6), any::<bool>(), prop::collection::vec(97u8..100, 0..4));
        let numbers = (0u32..9, any::<u8>(), prop::option::of(".{0,4}"), any::<u64>());
        ("[a-d]{0,3}|\u{e9}.{0,3}", place, texts(), texts(), numbers).prop_map(
            |(name, (before, named, after), keywords, tags, (uid, flags, uidl, version))| FoundItem {
                place: [before, if named { name.clone().into_bytes() } else { Vec::new() }, after].concat(),
                name,
                flags: Flags::from_bits(flags),
                keywords,
                tags,
                uid: NonZeroU32::new(uid),
                uidl,
                version,
            },
        )
    }

    proptest! {
        #[test]
        fn they_are_what_a_list_of_them_would_be(items in prop::collection::vec(item(), 0..30)) {
            let mut found: FoundItems = items.iter().cloned().collect();
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), items.clone());
            prop_assert!(found.names().eq(items.iter().map(|item| item.name.as_str())));
            let (mut sorted, mut twins) = (items, Vec::new());
            sorted.sort_by(|a, b| a.name.cmp(&b.name));
            found.sort(|name| twins.push(name.to_owned()));
            prop_assert_eq!(found.len() + twins.len(), sorted.len());
            sorted.dedup_by(|a, b| a.name == b.name);
            prop_assert!(sorted.iter().all(|item| found.find(&item.name).as_ref() == Some(item)));
            prop_assert_eq!(found.find("not there"), None);
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), sorted);
        }
    }
}
