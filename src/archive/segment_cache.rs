//! Inflated segments that a reader keeps for a while, and the packs that it keeps open: neighbours are read together.
//! Both are bounded (`limits`), both drop what was used longest ago.

use crate::fs::FileRead;
use crate::limits;
use std::collections::VecDeque;
use std::sync::Arc;

/// A segment: the pack's number in the table, and its own in the pack.
pub(super) type SegmentKey = (usize, u16);

#[derive(Default)]
pub(super) struct SegmentCache {
    /// Latest used last; a few dozen, so searching them costs nothing beside inflating one.
    segments: VecDeque<(SegmentKey, Arc<Vec<u8>>)>,
    bytes: usize,
    packs: VecDeque<(usize, Arc<dyn FileRead>)>,
}

impl SegmentCache {
    pub fn segment(&mut self, key: SegmentKey) -> Option<Arc<Vec<u8>>> {
        let at = self.segments.iter().position(|(held, _)| *held == key)?;
        let found = self.segments.remove(at)?;
        let bytes = found.1.clone();
        self.segments.push_back(found);
        Some(bytes)
    }

    /// Keeps a segment, unless it is so large that it would push out everything else.
    pub fn keep_segment(&mut self, key: SegmentKey, bytes: &Arc<Vec<u8>>) {
        if bytes.len() > limits::SEGMENT_CACHE_BYTES / 8 || self.segments.iter().any(|(held, _)| *held == key) {
            return;
        }
        self.bytes += bytes.len();
        self.segments.push_back((key, bytes.clone()));
        while self.bytes > limits::SEGMENT_CACHE_BYTES
            && let Some((_, dropped)) = self.segments.pop_front()
        {
            self.bytes -= dropped.len();
        }
    }

    pub fn pack(&mut self, number: usize) -> Option<Arc<dyn FileRead>> {
        let at = self.packs.iter().position(|(held, _)| *held == number)?;
        let found = self.packs.remove(at)?;
        let file = found.1.clone();
        self.packs.push_back(found);
        Some(file)
    }

    pub fn keep_pack(&mut self, number: usize, file: &Arc<dyn FileRead>) {
        self.packs.push_back((number, file.clone()));
        if self.packs.len() > limits::OPEN_PACKS {
            self.packs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_goes_first_and_the_bound_holds() {
        let mut cache = SegmentCache::default();
        let one = Arc::new(vec![0; limits::SEGMENT_CACHE_BYTES / 16]);
        for number in 0..16 {
            cache.keep_segment((0, number), &one);
        }
        assert!(cache.segment((0, 0)).is_some(), "all sixteen fit, and this one is the latest now");
        cache.keep_segment((0, 16), &one);
        assert!(cache.segment((0, 1)).is_none());
        assert!(cache.segment((0, 0)).is_some());
        cache.keep_segment((1, 0), &Arc::new(vec![0; limits::SEGMENT_CACHE_BYTES / 2]));
        assert!(cache.segment((1, 0)).is_none(), "what would push out everything else is not kept");
        assert_eq!(cache.bytes, limits::SEGMENT_CACHE_BYTES);
    }
}
