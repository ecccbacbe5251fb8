//! Inflated segments in a file without a name: whoever reads a whole archive in another order than that of its packs
//! (an import goes account by account) needs most segments many times, and more of them than memory should hold.
//!
//! Promises nothing but speed: what cannot be written or read here is inflated again, and every object is compared with
//! its name by whoever asked for it. Never more than [`limits::SPOOL_BYTES`]; the oldest file goes first. All of it goes
//! once the disk has little room left, which may be the one that is written to. Those of an encrypted archive are sealed
//! with a key that ends with the process. What it saves: docs/measurements.md.

use super::segment_cache::SegmentKey;
use crate::format::tar_entry::{self, BLOCK};
use crate::fs::{Fs, Secrecy, UnnamedFile, read_exact_at};
use crate::limits;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Segments on the disk.
pub(super) struct SegmentSpool {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    /// Whether its files show the disk what they hold.
    pub secrecy: Secrecy,
    /// [`limits::SPOOL_FILE_BYTES`].
    file_bytes: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where each segment lies: the file's number, and the place in it.
    places: HashMap<SegmentKey, (u64, u64)>,
    files: VecDeque<Arc<UnnamedFile>>,
    /// Number of the first of `files`.
    first: u64,
    /// Nothing more is kept: the disk is nearly full, or the folder is not ours.
    given_up: bool,
    /// Calls since somebody looked at what room the disk has left.
    unseen: u32,
}

impl State {
    fn give_up(&mut self) {
        *self = Self { given_up: true, ..Self::default() };
    }
}

impl SegmentSpool {
    /// Nothing is made in `dir` before there is something to keep.
    pub fn new(fs: Arc<dyn Fs>, dir: PathBuf, secrecy: Secrecy) -> Self {
        Self { fs, dir, secrecy, file_bytes: limits::SPOOL_FILE_BYTES, state: Mutex::default() }
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
        if state.files.back().is_none_or(|file| file.bytes() >= self.file_bytes) {
            if state.files.len() as u64 >= limits::SPOOL_BYTES / limits::SPOOL_FILE_BYTES {
                let gone = state.first;
                state.files.pop_front();
                state.first += 1;
                state.places.retain(|_, (file, _)| *file != gone);
            }
            let file = UnnamedFile::make(self.fs.as_ref(), &self.dir, "segments-", self.secrecy)?;
            state.files.push_back(Arc::new(file));
        }
        let number = state.first + state.files.len() as u64 - 1;
        let Some(file) = state.files.back() else { return Ok(()) };
        let at = file.append(tar)?;
        state.places.insert(key, (number, at));
        Ok(())
    }

    /// Name and content of the entry of a segment that begins at `block`, if it is kept.
    pub fn entry(&self, key: SegmentKey, block: u16) -> Option<(String, Vec<u8>)> {
        let (file, at) = {
            let state = self.with_room()?;
            let (file, at) = state.places.get(&key).copied()?;
            let index = usize::try_from(file.checked_sub(state.first)?).ok()?;
            (state.files.get(index)?.clone(), at)
        };
        let at = at + u64::from(block) * BLOCK as u64;
        let begun = limits::SPOOL_READ_BYTES.min(usize::try_from(file.bytes().checked_sub(at)?).unwrap_or(usize::MAX));
        let mut bytes = read_exact_at(file.as_ref(), at, begun).ok()?;
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
        SegmentSpool::new(Arc::new(RealFs), dir.to_owned(), Secrecy::Sealed)
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
        // Each segment fills a file.
        let spool = SegmentSpool { file_bytes: 1, ..spool(dir.path()) };
        assert!(spool.keep((0, 0), &segment("o/one", b"1")));
        let files = u16::try_from(limits::SPOOL_BYTES / limits::SPOOL_FILE_BYTES).unwrap();
        for number in 1..=files {
            assert!(spool.keep((0, number), &segment("o/more", b"2")));
        }
        assert_eq!(spool.entry((0, 0), 0), None);
        assert!(spool.entry((0, 1), 0).is_some());
        assert_eq!(spool.state().files.len(), usize::from(files));
    }
}
