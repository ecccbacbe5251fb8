//! Threads that compress sealed segments, and give them back in the order in which they were sealed.
//!
//! Promises: the order and the bytes do not depend on timing; every segment was inflated again and compared; what waits
//! is bounded by its caller through [`Compressors::is_full`]. Called by `pack_writer` and `rewrite`.

use super::ArchiveError;
use crate::format::FormatError;
use crate::format::pack_index::Prefix;
use crate::format::segment::{self, Effort, Encoder};
use crate::limits::SEALED_BYTES;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::collections::BTreeMap;
use std::thread::JoinHandle;

/// Makes a gzip member. [`Encoder::encode`], but for the test that proves that a faulty one is caught.
pub(super) type Encode = fn(&mut Encoder, &[u8], Effort) -> Result<Vec<u8>, FormatError>;

/// A segment that will get no more entries.
pub(super) struct Sealed {
    pub bytes: Vec<u8>,
    pub entries: Vec<(Prefix, u16)>,
    pub effort: Effort,
}

/// A segment that can be appended to a pack.
pub(super) struct Compressed {
    pub member: Vec<u8>,
    pub uncompressed: u64,
    pub entries: Vec<(Prefix, u16)>,
}

type Outcome = Result<Compressed, ArchiveError>;

pub(super) struct Compressors {
    /// Taken by `drop`, so that the threads see the end.
    jobs: Option<Sender<(u64, Sealed)>>,
    done: Receiver<(u64, Outcome)>,
    threads: Vec<JoinHandle<()>>,
    most: u64,
    sent: u64,
    taken: u64,
    /// Finished before their turn.
    early: BTreeMap<u64, Outcome>,
    bytes: u64,
}

impl Compressors {
    /// Starts `workers` threads, one at least, which deflate at `level` if there is one, else as hard as each segment asks.
    pub fn start(workers: usize, level: Option<i32>, encode: Encode) -> Self {
        let workers = workers.max(1);
        let (jobs, to_do) = unbounded::<(u64, Sealed)>();
        let (finished, done) = unbounded();
        let work = |to_do: Receiver<(u64, Sealed)>, finished: Sender<(u64, Outcome)>| {
            move || {
                let mut encoder = level.map_or_else(Encoder::default, Encoder::at_level);
                let mut scratch = Vec::new();
                for (number, sealed) in to_do {
                    if finished.send((number, compress(sealed, encode, &mut encoder, &mut scratch))).is_err() {
                        return; // the writer was dropped
                    }
                }
            }
        };
        let threads = (0..workers).map(|_| std::thread::spawn(work(to_do.clone(), finished.clone()))).collect();
        let most = 2 * workers as u64;
        Self { jobs: Some(jobs), done, threads, most, sent: 0, taken: 0, early: BTreeMap::new(), bytes: 0 }
    }

    /// Hands over the next segment.
    pub fn push(&mut self, sealed: Sealed) -> Result<(), ArchiveError> {
        self.bytes += sealed.bytes.len() as u64;
        let jobs = self.jobs.as_ref().ok_or(ArchiveError::Stopped)?;
        jobs.send((self.sent, sealed)).map_err(|_| ArchiveError::Stopped)?;
        self.sent += 1;
        Ok(())
    }

    /// Hands over what is the next segment already.
    pub fn push_compressed(&mut self, segment: Compressed) {
        self.bytes += segment.uncompressed;
        self.early.insert(self.sent, Ok(segment));
        self.sent += 1;
    }

    /// Whether the oldest should be taken before another is pushed.
    pub fn is_full(&self) -> bool {
        self.sent - self.taken >= self.most || self.bytes >= SEALED_BYTES
    }

    /// The oldest that was pushed and not yet taken, waiting for it; `None` when there is none.
    pub fn take(&mut self) -> Result<Option<Compressed>, ArchiveError> {
        if self.taken == self.sent {
            return Ok(None);
        }
        let outcome = loop {
            if let Some(outcome) = self.early.remove(&self.taken) {
                break outcome;
            }
            let (number, outcome) = self.done.recv().map_err(|_| ArchiveError::Stopped)?;
            self.early.insert(number, outcome);
        };
        let compressed = outcome?;
        self.taken += 1;
        self.bytes -= compressed.uncompressed;
        Ok(Some(compressed))
    }
}

impl Drop for Compressors {
    fn drop(&mut self) {
        drop(self.jobs.take());
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// Compresses, then inflates and compares: a faulty compressor or memory must not poison an archive whose objects are
/// written once and referred to for ever.
fn compress(sealed: Sealed, encode: Encode, encoder: &mut Encoder, scratch: &mut Vec<u8>) -> Outcome {
    let faulty = |what: String| ArchiveError::FaultyCompressor { what };
    let Sealed { bytes, entries, effort } = sealed;
    let member = encode(encoder, &bytes, effort).map_err(|error| faulty(error.to_string()))?;
    segment::decode(&member, bytes.len() as u64, scratch).map_err(|error| faulty(error.to_string()))?;
    if *scratch != bytes {
        return Err(faulty(format!("a segment of {} bytes differs", bytes.len())));
    }
    Ok(Compressed { member, uncompressed: bytes.len() as u64, entries })
}
