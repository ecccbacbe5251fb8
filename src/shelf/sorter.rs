//! Sorts records by a key, in runs where they are more than memory should hold.
//!
//! Promises: equal keys stay in the order in which they came. Nothing is read anywhere but in order.

use super::{Cursor, Scratch, Shelf};
use crate::limits::SORT_HELD_BYTES;
use crate::model::packed::{Packer, Unpacker};

/// Takes records in any order.
#[derive(Default)]
pub struct Sorter {
    /// Keys and values of the run that is being collected.
    held: Vec<u8>,
    /// Where each of them begins.
    starts: Vec<usize>,
    /// Sorted runs, one behind the other.
    runs: Shelf,
    /// Where each of those ends.
    pub(super) ends: Vec<u64>,
}

impl Sorter {
    pub fn new(scratch: &Scratch) -> Self {
        Self { runs: Shelf::new(scratch), ..Self::default() }
    }

    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        self.starts.push(self.held.len());
        let mut packer = Packer::new(&mut self.held);
        packer.bytes(key);
        packer.bytes(value);
        let full = self.held.len() + self.starts.len() * size_of::<usize>() >= SORT_HELD_BYTES;
        if full && self.runs.scratch().0.is_some() {
            self.end_run();
        }
    }

    fn end_run(&mut self) {
        self.sort_held();
        for &start in &self.starts {
            let (key, value) = pair(self.held.get(start..));
            self.runs.push(|packer| {
                packer.bytes(key);
                packer.bytes(value);
            });
        }
        self.held.clear();
        self.starts.clear();
        self.ends.push(self.runs.end());
    }

    fn sort_held(&mut self) {
        let held = &self.held;
        self.starts.sort_by(|a, b| pair(held.get(*a..)).0.cmp(pair(held.get(*b..)).0));
    }

    /// Gives them out in order.
    pub fn finish(mut self) -> Sorted {
        if self.ends.is_empty() {
            self.sort_held();
        } else if !self.starts.is_empty() {
            self.end_run();
        }
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        let mut runs: Vec<Run> = begins
            .zip(&self.ends)
            .map(|(begin, &end)| Run { cursor: Cursor::at(begin), end, next: Vec::new(), is_over: false })
            .collect();
        runs.iter_mut().for_each(|run| run.step(&self.runs));
        Sorted { held: self.held, starts: self.starts.into_iter(), shelf: self.runs, runs }
    }
}

/// Records by key.
pub struct Sorted {
    held: Vec<u8>,
    starts: std::vec::IntoIter<usize>,
    shelf: Shelf,
    runs: Vec<Run>,
}

/// One sorted run, and its next record.
struct Run {
    cursor: Cursor,
    end: u64,
    next: Vec<u8>,
    is_over: bool,
}

impl Run {
    fn step(&mut self, shelf: &Shelf) {
        self.is_over = self.cursor.place() >= self.end;
        if !self.is_over {
            self.next.clear();
            let next = &mut self.next;
            let read = self.cursor.next(shelf, |record| {
                let record = record.rest();
                next.extend_from_slice(record);
                // Zeros in the place of what was written are records, too, but not such ones.
                let mut unpacker = Unpacker::new(record);
                (unpacker.bytes().is_some_and(|key| !key.is_empty())
                    && unpacker.bytes().is_some()
                    && unpacker.left() == 0)
                    .then_some(())
            });
            self.is_over = read.is_none();
        }
    }
}

impl Iterator for Sorted {
    /// Key and value.
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.runs.is_empty() {
            let (key, value) = pair(self.held.get(self.starts.next()?..));
            return Some((key.to_owned(), value.to_owned()));
        }
        // Few runs, so each is looked at; of equal keys the earliest run's comes first.
        let open = self.runs.iter_mut().filter(|run| !run.is_over);
        let first = open.min_by(|a, b| pair(Some(&a.next)).0.cmp(pair(Some(&b.next)).0))?;
        let (key, value) = pair(Some(&first.next));
        let record = (key.to_owned(), value.to_owned());
        first.step(&self.shelf);
        Some(record)
    }
}

fn pair(record: Option<&[u8]>) -> (&[u8], &[u8]) {
    let mut unpacker = Unpacker::new(record.unwrap_or_default());
    (unpacker.bytes().unwrap_or_default(), unpacker.bytes().unwrap_or_default())
}
