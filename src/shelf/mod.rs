//! Records one behind the other that may be more than memory should hold: beyond a bound they go to a scratch file.
//!
//! Promises: what was pushed is given back as it was, whether it lies in memory or in the file. A file that cannot be
//! written costs memory, nothing else. One that cannot be read again makes a record look as if it were missing, so its
//! [`Scratch`] remembers the trouble, and whoever makes something lasting of the records asks [`Scratch::check`] before.
//!
//! Used for the items of an account (`format::items`) and for listings of folders (`site::found_items`). It knows nothing
//! of what the records mean. What it saves: docs/measurements.md.

mod file;
mod sorter;

pub use sorter::{Sorted, Sorter};

use crate::fs::{Fs, Secrecy};
use crate::limits;
use crate::model::packed::{Packer, Unpacker};
use file::{File, Window};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Where scratch files lie, and whether all of them could be read again. The default is nowhere: all stays in memory.
#[derive(Clone, Default)]
pub struct Scratch(Option<Arc<Place>>);

struct Place {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    /// Bytes that each shelf holds before it makes a file.
    held_bytes: usize,
    secrecy: Secrecy,
    trouble: OnceLock<io::Error>,
}

impl Scratch {
    /// In `dir`, which must exist. Nothing is made there before it is needed, and nothing is left there.
    pub fn new(fs: Arc<dyn Fs>, dir: &Path, secrecy: Secrecy) -> Self {
        Self::holding(fs, dir, secrecy, limits::SHELF_HELD_BYTES)
    }

    /// The same with another bound than [`limits::SHELF_HELD_BYTES`] of what is held in memory.
    pub fn holding(fs: Arc<dyn Fs>, dir: &Path, secrecy: Secrecy, held_bytes: usize) -> Self {
        Self(Some(Arc::new(Place { fs, dir: dir.to_owned(), held_bytes, secrecy, trouble: OnceLock::new() })))
    }

    /// Whether every record could be read so far. An error means that some of what was given out is not all there is:
    /// what was concluded from it must not be made to last.
    pub fn check(&self) -> io::Result<()> {
        let trouble = self.0.as_ref().and_then(|place| place.trouble.get());
        trouble.map_or(Ok(()), |error| Err(io::Error::new(error.kind(), error.to_string())))
    }

    /// Whether its files show the disk what they hold.
    pub fn secrecy(&self) -> Secrecy {
        self.0.as_ref().map_or(Secrecy::Plain, |place| place.secrecy)
    }

    /// The folder of the files; empty where there is none.
    pub fn dir(&self) -> &Path {
        self.0.as_ref().map_or(Path::new(""), |place| &place.dir)
    }

    fn note(&self, error: io::Error) {
        if let Some(place) = &self.0 {
            // The first is the cause.
            let _ = place.trouble.set(error);
        }
    }
}

/// Records in the order in which they came.
#[derive(Default)]
pub struct Shelf {
    scratch: Scratch,
    /// The first bytes of all.
    file: Option<File>,
    /// Those that come then.
    held: Vec<u8>,
    /// No file could be written: everything else is held.
    given_up: bool,
    packing: Vec<u8>,
}

impl Shelf {
    /// An empty one.
    pub fn new(scratch: &Scratch) -> Self {
        Self { scratch: scratch.clone(), ..Self::default() }
    }

    /// Where it puts what is too much.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Bytes of all records; where the next one will begin.
    pub fn end(&self) -> u64 {
        self.in_file() + self.held.len() as u64
    }

    /// Puts the record that `pack` writes behind the others, and says where it begins.
    pub fn push(&mut self, pack: impl FnOnce(&mut Packer<'_>)) -> u64 {
        let place = self.end();
        self.packing.clear();
        pack(&mut Packer::new(&mut self.packing));
        Packer::new(&mut self.held).bytes(&self.packing);
        let bound = self.scratch.0.as_ref().map_or(usize::MAX, |place| place.held_bytes);
        if self.held.len() >= bound && !self.given_up {
            self.spill();
        }
        place
    }

    /// Reads the record that begins at `place`. `None`: it could not be read.
    pub fn read<T>(&self, place: u64, unpack: impl FnOnce(&mut Unpacker<'_>) -> Option<T>) -> Option<T> {
        let found = match self.held_at(place) {
            Some(held) => Unpacker::new(held).bytes().and_then(|record| unpack(&mut Unpacker::new(record))),
            None => {
                let read = self.file.as_ref()?.read(place, |record| unpack(&mut Unpacker::new(record)));
                read.map_err(|error| self.scratch.note(error)).ok()?
            }
        };
        if found.is_none() {
            self.scratch.note(other_bytes());
        }
        found
    }

    /// From `place` on, where memory holds that.
    fn held_at(&self, place: u64) -> Option<&[u8]> {
        self.held.get(usize::try_from(place.checked_sub(self.in_file())?).ok()?..)
    }

    fn in_file(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.bytes)
    }

    fn spill(&mut self) {
        let Some(place) = &self.scratch.0 else { return };
        let file = match self.file.take().map_or_else(|| File::make(place), Ok) {
            Ok(file) => self.file.insert(file),
            Err(_) => return self.given_up = true,
        };
        match file.write(&self.held) {
            Ok(()) => self.held.clear(),
            // What of it was written lies behind all that the file is said to hold.
            Err(_) => self.given_up = true,
        }
    }
}

fn other_bytes() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a scratch file holds other bytes than were written")
}

/// Walks over the records of a shelf, from one on. Not bound to the shelf, so that the two can be kept side by side.
#[derive(Default)]
pub struct Cursor {
    at: u64,
    window: Window,
}

impl Cursor {
    /// One that begins at `place`.
    pub fn at(place: u64) -> Self {
        Self { at: place, window: Window::default() }
    }

    /// Where the next record begins.
    pub fn place(&self) -> u64 {
        self.at
    }

    /// Reads the next record. `None`: there is no more, or it could not be read; then the walk is over.
    pub fn next<T>(&mut self, shelf: &Shelf, unpack: impl FnOnce(&mut Unpacker<'_>) -> Option<T>) -> Option<T> {
        if self.at >= shelf.end() {
            return None;
        }
        let record = match (shelf.held_at(self.at), &shelf.file) {
            (Some(held), _) => {
                let mut unpacker = Unpacker::new(held);
                let record = unpacker.bytes().ok_or_else(other_bytes);
                record.map(|record| (record, self.at + (held.len() - unpacker.left()) as u64))
            }
            (None, Some(file)) => self.window.record(file, self.at),
            (None, None) => Err(other_bytes()),
        };
        let unpacked = record.and_then(|(record, next)| {
            let unpacked = unpack(&mut Unpacker::new(record)).ok_or_else(other_bytes)?;
            Ok((unpacked, next))
        });
        match unpacked {
            Ok((unpacked, next)) => {
                self.at = next;
                Some(unpacked)
            }
            Err(error) => {
                shelf.scratch.note(error);
                self.at = u64::MAX;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;
    use crate::testing::failing_fs::FailingFs;
    use proptest::prelude::*;

    fn texts(shelf: &Shelf) -> Vec<String> {
        let mut cursor = Cursor::default();
        std::iter::from_fn(|| cursor.next(shelf, |from| from.text().map(str::to_owned))).collect()
    }

    /// A thousand records, nearly all of them in the file.
    fn a_thousand(scratch: &Scratch) -> (Shelf, Vec<u64>) {
        let mut shelf = Shelf::new(scratch);
        let places = (0..1000).map(|number| shelf.push(|into| into.text(&format!("record {number}")))).collect();
        (shelf, places)
    }

    #[test]
    fn a_full_disk_costs_memory_and_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let fs = Arc::new(FailingFs::default());
        let scratch = Scratch::holding(fs.clone(), dir.path(), Secrecy::Plain, 100);
        fs.fill();
        let (shelf, _) = a_thousand(&scratch);
        assert!(shelf.file.is_none());
        assert_eq!(texts(&shelf).len(), 1000);
        assert!(scratch.check().is_ok());
    }

    #[test]
    fn what_cannot_be_read_again_is_told_to_whoever_asks_before_he_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        for by_place in [true, false] {
            let fs = Arc::new(FailingFs::default());
            let scratch = Scratch::holding(fs.clone(), dir.path(), Secrecy::Plain, 100);
            let (shelf, places) = a_thousand(&scratch);
            assert_eq!(texts(&shelf).last().unwrap(), "record 999");
            fs.break_down();
            assert!(scratch.check().is_ok(), "nobody has read yet");
            match by_place {
                true => assert_eq!(shelf.read(places[7], |from| from.text().map(str::to_owned)), None),
                false => assert_eq!(texts(&shelf), Vec::<String>::new()),
            }
            assert_eq!(scratch.check().unwrap_err().to_string(), "the disk is gone");
        }
        assert_eq!(RealFs.list(dir.path()).unwrap(), [], "scratch files have no name");
    }

    #[test]
    fn zeros_in_the_place_of_what_was_written_are_no_records() {
        let dir = tempfile::tempdir().unwrap();
        for secrecy in [Secrecy::Plain, Secrecy::Sealed] {
            let fs = Arc::new(FailingFs::default());
            let scratch = Scratch::holding(fs.clone(), dir.path(), secrecy, 100);
            let mut sorter = Sorter::new(&scratch);
            (0..400_000u32).for_each(|at| sorter.push(&at.to_be_bytes(), b"value"));
            let (shelf, places) = a_thousand(&scratch);
            fs.blank();
            assert_eq!(sorter.finish().count(), 0);
            assert_eq!(scratch.check().unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert_eq!(shelf.read(places[7], |from| from.text().map(str::to_owned)), None);
        }
    }

    #[test]
    fn a_million_numbers_are_sorted_in_runs_and_equal_ones_stay_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(Arc::new(RealFs), dir.path(), Secrecy::Plain);
        let mut sorter = Sorter::new(&scratch);
        let number = |at: u32| at.wrapping_mul(0x9e37_79b9) >> 13;
        (0..1_000_000u32).for_each(|at| sorter.push(&number(at).to_be_bytes(), &at.to_be_bytes()));
        assert!(sorter.ends.len() > 5, "{}", sorter.ends.len());
        let sorted: Vec<_> = sorter.finish().collect();
        assert_eq!(sorted.len(), 1_000_000);
        assert!(sorted.is_sorted());
        scratch.check().unwrap();
    }

    proptest! {
        #[test]
        fn records_come_back_whole_and_in_order_wherever_they_lie(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6000), 0..60), held in 1usize..9000,
            sealed: bool,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let secrecy = if sealed { Secrecy::Sealed } else { Secrecy::Plain };
            let scratch = Scratch::holding(Arc::new(RealFs), dir.path(), secrecy, held);
            let mut shelf = Shelf::new(&scratch);
            let places: Vec<_> = records.iter().map(|record| shelf.push(|into| into.fixed(record))).collect();
            let mut cursor = Cursor::default();
            for record in &records {
                prop_assert_eq!(cursor.next(&shelf, |from| Some(from.rest().to_vec())), Some(record.clone()));
            }
            prop_assert_eq!(cursor.next(&shelf, |from| Some(from.rest().to_vec())), None);
            for (place, record) in places.iter().zip(&records).rev() {
                prop_assert_eq!(shelf.read(*place, |from| Some(from.rest().to_vec())), Some(record.clone()));
            }
            prop_assert!(scratch.check().is_ok());
        }
    }
}
