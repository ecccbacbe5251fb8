//! Inflated segments in a file without a name: whoever reads a whole archive in another order than that of its packs
//! (an import goes account by account) needs most segments many times, and more of them than memory should hold.
//!
//! Promises nothing but speed: what cannot be written or read here is inflated again, and every object is compared with
//! its name by whoever asked for it. Never more than [`limits::SPOOL_BYTES`]; the oldest file goes first. All of it goes
//! once the disk has little room left, which may be the one that is written to. Not used for encrypted archives, whose
//! content should not lie in a scratch folder. What it saves: docs/measurements.md.

use super::cursor::read_exact_at;
use super::segment_cache::SegmentKey;
use crate::format::tar_entry::{self, BLOCK};
use crate::fs::{FileRead, Fs};
use crate::limits;
use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Segments on the disk.
pub(super) struct SegmentSpool {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where each segment lies: the file's number, and the place in it.
    places: HashMap<SegmentKey, (u64, u64)>,
    files: VecDeque<File>,
    /// Number of the first of `files`.
    first: u64,
    /// Nothing more is kept: the disk is nearly full, or the folder is not ours.
    given_up: bool,
    /// Calls since somebody looked at what room the disk has left.
    unseen: u32,
}

struct File {
    write: Box<dyn Write + Send>,
    read: Arc<dyn FileRead>,
    bytes: u64,
}

impl State {
    fn give_up(&mut self) {
        *self = Self { given_up: true, ..Self::default() };
    }
}

impl SegmentSpool {
    /// Nothing is made in `dir` before there is something to keep.
    pub fn new(fs: Arc<dyn Fs>, dir: PathBuf) -> Self {
        Self { fs, dir, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, while the disk has room enough.
    fn with_room(&self) -> Option<MutexGuard<'_, State>> {
        let mut state = self.state();
        if !state.given_up && state.unseen == 0 {
            let room = self.fs.free_bytes(&self.dir).is_ok_and(|free| free >= limits::SPOOL_LEAVES_BYTES);
            if !room {
                state.give_up();
            }
        }
        state.unseen = (state.unseen + 1) % limits::SPOOL_LOOKS;
        (!state.given_up).then_some(state)
    }

    /// Keeps an inflated segment; `false` if it cannot.
    pub fn keep(&self, key: SegmentKey, tar: &[u8]) -> bool {
        let Some(mut state) = self.with_room() else { return false };
        // Another thread may have inflated it meanwhile.
        let kept = state.places.contains_key(&key) || self.append(&mut state, key, tar).is_ok();
        if !kept {
            state.give_up();
        }
        kept
    }

    fn append(&self, state: &mut State, key: SegmentKey, tar: &[u8]) -> io::Result<()> {
        if state.files.back().is_none_or(|file| file.bytes >= limits::SPOOL_FILE_BYTES) {
            if state.files.len() as u64 >= limits::SPOOL_BYTES / limits::SPOOL_FILE_BYTES {
                let gone = state.first;
                state.files.pop_front();
                state.first += 1;
                state.places.retain(|_, (file, _)| *file != gone);
            }
            state.files.push_back(self.open()?);
        }
        let number = state.first + state.files.len() as u64 - 1;
        let Some(file) = state.files.back_mut() else { return Ok(()) };
        file.write.write_all(tar)?;
        let at = file.bytes;
        file.bytes += tar.len() as u64;
        state.places.insert(key, (number, at));
        Ok(())
    }

    /// A new file, which goes with the last who has it open.
    fn open(&self) -> io::Result<File> {
        let write = self.fs.create_temp(&self.dir, "segments-")?;
        let read = self.fs.open(write.path())?;
        self.fs.remove_file(write.path())?;
        Ok(File { write: Box::new(write), read: read.into(), bytes: 0 })
    }

    /// Name and content of the entry of a segment that begins at `block`, if it is kept.
    pub fn entry(&self, key: SegmentKey, block: u16) -> Option<(String, Vec<u8>)> {
        let (file, at) = {
            let state = self.with_room()?;
            let (file, at) = state.places.get(&key).copied()?;
            let index = usize::try_from(file.checked_sub(state.first)?).ok()?;
            (state.files.get(index)?.read.clone(), at)
        };
        let at = at + u64::from(block) * BLOCK as u64;
        let mut bytes = vec![0; limits::SPOOL_READ_BYTES];
        let read = file.read_at(&mut bytes, at).ok()?;
        bytes.truncate(read);
        let (name, size) = tar_entry::parse_header(bytes.get(..BLOCK)?, 0).ok()?;
        let (name, size) = (name.to_owned(), usize::try_from(size).ok()?);
        // `keep` was given nothing larger.
        if size as u64 > limits::WHOLE_SEGMENT_BYTES {
            return None;
        }
        bytes.drain(..BLOCK);
        if bytes.len() < size {
            let rest = read_exact_at(file.as_ref(), at + (BLOCK + bytes.len()) as u64, size - bytes.len()).ok()?;
            bytes.extend_from_slice(&rest);
        }
        bytes.truncate(size);
        Some((name, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;

    fn spool(dir: &std::path::Path) -> SegmentSpool {
        SegmentSpool::new(Arc::new(RealFs), dir.to_owned())
    }

    fn segment(name: &str, content: &[u8]) -> Vec<u8> {
        let mut tar = tar_entry::header(name, content.len() as u64).unwrap().to_vec();
        tar.extend_from_slice(content);
        tar.resize(tar.len() + tar_entry::padding(content.len() as u64), 0);
        tar
    }

    #[test]
    fn what_was_kept_comes_back_and_nothing_is_left_in_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        let long = vec![7; 3 * limits::SPOOL_READ_BYTES];
        let mut two = segment("o/one", b"short");
        let second = u16::try_from(two.len() / BLOCK).unwrap();
        two.extend(segment("o/two", &long));
        assert!(spool.keep((0, 1), &two));
        assert!(spool.keep((0, 2), &segment("o/three", b"")));
        assert_eq!(spool.entry((0, 1), 0), Some(("o/one".to_owned(), b"short".to_vec())));
        assert_eq!(spool.entry((0, 1), second), Some(("o/two".to_owned(), long)));
        assert_eq!(spool.entry((0, 2), 0), Some(("o/three".to_owned(), Vec::new())));
        assert_eq!(spool.entry((1, 1), 0), None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn without_a_folder_it_gives_up_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(&dir.path().join("missing"));
        assert!(!spool.keep((0, 0), &segment("o/one", b"1")));
        assert_eq!(spool.entry((0, 0), 0), None);
    }

    #[test]
    fn the_oldest_file_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        assert!(spool.keep((0, 0), &segment("o/one", b"1")));
        let files = u16::try_from(limits::SPOOL_BYTES / limits::SPOOL_FILE_BYTES).unwrap();
        for number in 1..=files {
            // As if it were full.
            spool.state().files.back_mut().unwrap().bytes = limits::SPOOL_FILE_BYTES;
            assert!(spool.keep((0, number), &segment("o/more", b"2")));
        }
        assert_eq!(spool.entry((0, 0), 0), None);
        assert!(spool.entry((0, 1), 0).is_some());
        assert_eq!(spool.state().files.len(), usize::from(files));
    }
}
