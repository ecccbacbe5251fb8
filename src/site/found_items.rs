//! What a listing of a folder found, packed: a folder may have a million messages.

use super::FoundItem;
use crate::model::mailbox::Flags;
use crate::model::packed::{Packer, Unpacker};
use crate::shelf::{Cursor, Scratch, Shelf, Sorter};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Items of a folder. What it gives out is unpacked anew each time.
#[derive(Default)]
pub struct FoundItems {
    packed: Shelf,
    len: usize,
    /// Where every [`STEP`]th item begins there.
    steps: Vec<u64>,
    /// The first item's place: those of the others begin like it.
    place: Vec<u8>,
    /// The last name, and whether each was above the one before.
    last: String,
    is_disordered: bool,
    /// The step where somebody last found an item.
    last_step: AtomicUsize,
}

/// Items from one whose place is remembered to the next such one.
const STEP: usize = 16;

impl FoundItems {
    /// None yet; those that are too many for memory will lie in `scratch`, and are there for certain only while
    /// [`Scratch::check`] says so.
    pub fn new(scratch: &Scratch) -> Self {
        Self { packed: Shelf::new(scratch), ..Self::default() }
    }

    /// Where those that are too many for memory lie.
    pub fn scratch(&self) -> &Scratch {
        self.packed.scratch()
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn push(&mut self, item: &FoundItem) {
        if self.is_empty() {
            self.place.clone_from(&item.place);
        } else {
            self.is_disordered |= item.name <= self.last;
        }
        self.last.clone_from(&item.name);
        let begin = &self.place;
        let start = self.packed.push(|into| pack(item, begin, into));
        self.note_start(start);
    }

    fn note_start(&mut self, start: u64) {
        if self.len.is_multiple_of(STEP) {
            self.steps.push(start);
        }
        self.len += 1;
    }

    /// The item with that number, in the order in which they are.
    pub fn get(&self, number: usize) -> Option<FoundItem> {
        let mut walk = Walk(Cursor::at(*self.steps.get(number / STEP)?));
        for _ in 0..number % STEP {
            walk.name(self)?;
        }
        walk.next(self)
    }

    pub fn iter(&self) -> impl Iterator<Item = FoundItem> + '_ {
        let mut walk = Walk::default();
        std::iter::from_fn(move || walk.next(self))
    }

    pub fn names(&self) -> impl Iterator<Item = String> {
        let mut walk = Walk::default();
        std::iter::from_fn(move || walk.name(self))
    }

    /// The item of that name, among items that are sorted. Whoever asks for one name after the other, in about the order of
    /// names, has each at the first or second look.
    pub fn find(&self, name: &str) -> Option<FoundItem> {
        let is_before = |from: &mut Unpacker<'_>| from.text().map(|first| first <= name);
        let is_before = |step: &u64| self.packed.read(*step, is_before).unwrap_or_default();
        let last = self.last_step.load(Relaxed);
        let near = last..last + 2;
        let in_it = |step: &usize| {
            self.steps.get(*step).is_some_and(is_before) && !self.steps.get(step + 1).is_some_and(is_before)
        };
        let step = near.into_iter().find(in_it);
        let step = step.or_else(|| self.steps.partition_point(is_before).checked_sub(1))?;
        self.last_step.store(step, Relaxed);
        let mut walk = Walk(Cursor::at(*self.steps.get(step)?));
        for _ in 0..STEP {
            let mut this = Walk(Cursor::at(walk.0.place()));
            let found = walk.name(self)?;
            if *found >= *name {
                return if found == name { this.next(self) } else { None };
            }
        }
        None
    }

    /// Sorts by name. Of several with one name the first stays, and the name is handed to `reject` for each other.
    pub fn sort(&mut self, mut reject: impl FnMut(&str)) {
        if !self.is_disordered {
            return;
        }
        let mut sorter = Sorter::new(self.scratch());
        let mut cursor = Cursor::default();
        while let Some(()) = cursor.next(&self.packed, |record| {
            let whole = record.rest();
            sorter.push(record.bytes()?, whole);
            Some(())
        }) {}
        let mut sorted =
            Self { packed: Shelf::new(self.scratch()), place: std::mem::take(&mut self.place), ..Self::default() };
        for (name, record) in sorter.finish() {
            let name = String::from_utf8(name).unwrap_or_default();
            if !sorted.is_empty() && name == sorted.last {
                reject(&name);
                continue;
            }
            sorted.last = name;
            let start = sorted.packed.push(|into| into.fixed(&record));
            sorted.note_start(start);
        }
        *self = sorted;
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

/// Walks over the items of one list; kept beside it by whoever owns both.
#[derive(Default)]
pub struct Walk(Cursor);

impl Walk {
    pub fn next(&mut self, items: &FoundItems) -> Option<FoundItem> {
        self.0.next(&items.packed, |from| items.unpack(from))
    }

    fn name(&mut self, items: &FoundItems) -> Option<String> {
        self.0.next(&items.packed, |from| from.text().map(str::to_owned))
    }
}

/// The name first. Of the place: how much of the first one's, `begin`, it begins with, what comes then, and, where the name
/// comes after that, what comes after the name; most connectors find an item by its name.
fn pack(item: &FoundItem, begin: &[u8], into: &mut Packer<'_>) {
    let FoundItem { name, place, flags, keywords, tags, uid, uidl, version } = item;
    into.text(name);
    let named = place.windows(name.len().max(1)).position(|window| window == name.as_bytes());
    let before = place.get(..named.unwrap_or(place.len())).unwrap_or_default();
    let common = before.iter().zip(begin).take_while(|(a, b)| a == b).count();
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
    use crate::fs::{RealFs, Secrecy};
    use proptest::prelude::*;
    use std::sync::Arc;

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
        fn they_are_what_a_list_of_them_would_be(items in prop::collection::vec(item(), 0..60), held: bool) {
            let dir = tempfile::tempdir().unwrap();
            let file = Scratch::holding(Arc::new(RealFs), dir.path(), Secrecy::Plain, 100);
            let scratch = if held { Scratch::default() } else { file };
            let mut found = FoundItems::new(&scratch);
            items.iter().for_each(|item| found.push(item));
            prop_assert!(items.iter().enumerate().all(|(number, item)| found.get(number).as_ref() == Some(item)));
            prop_assert_eq!(found.get(items.len()), None);
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), items.clone());
            prop_assert!(found.names().eq(items.iter().map(|item| item.name.clone())));
            let (mut sorted, mut twins) = (items, Vec::new());
            sorted.sort_by(|a, b| a.name.cmp(&b.name));
            found.sort(|name| twins.push(name.to_owned()));
            prop_assert_eq!(found.len() + twins.len(), sorted.len());
            sorted.dedup_by(|a, b| a.name == b.name);
            prop_assert!(sorted.iter().all(|item| found.find(&item.name).as_ref() == Some(item)));
            prop_assert_eq!(found.find("not there"), None);
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), sorted);
            prop_assert!(scratch.check().is_ok());
        }
    }
}
