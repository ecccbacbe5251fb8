//! Which segments of the pack under way count when it is asked whether the pack is full: those that are so far back that
//! they are compressed by now, whatever the number of threads.
//!
//! Promises that the answer depends on the segments alone. Were it asked of what threads have finished, packs would end
//! elsewhere on each machine, and the same site would not give the same archive. Called by `pack_writer`.

use crate::limits::{LAG_SEGMENTS, SEALED_BYTES};
use std::collections::VecDeque;

#[derive(Default)]
pub(super) struct Lag {
    /// Uncompressed bytes of each segment that does not count yet.
    sizes: VecDeque<usize>,
    bytes: u64,
    counted: usize,
}

impl Lag {
    /// All of a pack's segments count.
    pub fn with(segments: usize) -> Self {
        Self { counted: segments, ..Self::default() }
    }

    /// A segment of so many bytes was sent to be compressed.
    pub fn push(&mut self, bytes: usize) {
        self.sizes.push_back(bytes);
        self.bytes += bytes as u64;
        while self.sizes.len() > LAG_SEGMENTS || self.bytes > SEALED_BYTES {
            let Some(oldest) = self.sizes.pop_front() else { return };
            self.bytes -= oldest as u64;
            self.counted += 1;
        }
    }

    /// How many of the pack's first segments count.
    pub fn counted(&self) -> usize {
        self.counted
    }
}
