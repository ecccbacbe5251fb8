//! Small objects that wait to be put beside those that are like them, so that one gzip window sees both.
//!
//! Promises that the order of adding and the likeness that came with each object alone decide the order of leaving; a
//! window holds no more than [`limits::WINDOW_BYTES`] and one object. Called by `pack_writer` only.

use crate::format::tar_entry::{self, EntryName};
use crate::limits;
use crate::message::Likeness;
use std::ops::Range;

/// Objects of one kind.
#[derive(Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    entries: Vec<Waiting>,
    /// Bytes of the tar entries that they will be.
    len: u64,
}

struct Waiting {
    likeness: Likeness,
    name: EntryName,
    range: Range<usize>,
}

impl Window {
    pub fn push(&mut self, name: EntryName, likeness: Likeness, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.entries.push(Waiting { likeness, name, range: start..self.bytes.len() });
        self.len += tar_entry::entry_bytes(bytes.len() as u64);
    }

    pub fn is_full(&self) -> bool {
        self.len >= limits::WINDOW_BYTES
    }

    /// The objects, like beside like; those that are equally like in the order of adding.
    pub fn sorted(&mut self) -> impl Iterator<Item = (EntryName, &[u8])> {
        self.entries.sort_by_key(|waiting| waiting.likeness);
        self.entries.iter().map(|waiting| (waiting.name, self.bytes.get(waiting.range.clone()).unwrap_or_default()))
    }

    /// Forgets the objects, and keeps the memory for the next ones.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::ObjectId;

    #[test]
    fn messages_of_one_sender_leave_side_by_side_in_the_order_in_which_they_came() {
        let mut window = Window::default();
        let ann = crate::message::likeness(b"From: Ann <ann@example.org>\n\n");
        let bob = crate::message::likeness(b"From: Bob <bob@example.org>\n\n");
        let texts: [(&[u8], _); 4] = [(b"a1", ann), (b"b1", bob), (b"a2", ann), (b"b2", bob)];
        for (text, likeness) in texts {
            window.push(EntryName::Object(ObjectId::of(text)), likeness, text);
        }
        let left: Vec<_> = window.sorted().map(|(_, bytes)| bytes.to_vec()).collect();
        assert!(left == [b"a1", b"a2", b"b1", b"b2"] || left == [b"b1", b"b2", b"a1", b"a2"], "{left:?}");
        window.clear();
        assert_eq!(window.sorted().count(), 0);
    }
}
