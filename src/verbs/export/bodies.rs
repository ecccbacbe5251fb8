//! Bodies that this pass has taken apart: what lies below the trace. Most deliveries on a real site are copies that differ
//! in their traces only, so a copy needs neither be searched for parts, nor decoded, nor its parts be named again.
//!
//! Promises: what is found was made of the very same bytes (BLAKE3, 128 bits of it) by an earlier step of this pass, so
//! it is stored by the time that the copy is. What it saves: docs/measurements.md. Bounded; the oldest goes first.

use crate::limits;
use crate::message::Likeness;
use crate::model::id::ObjectId;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// The first half of the BLAKE3 hash of a body.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct BodyHash([u8; 16]);

impl BodyHash {
    /// Hashes a body, unless taking it apart costs no more than that.
    pub fn of(body: &[u8]) -> Option<Self> {
        let worth_it = body.len() >= limits::HASHED_BODY_BYTES;
        worth_it.then(|| Self(*blake3::hash(body).as_bytes().first_chunk().unwrap_or(&[0; 16])))
    }
}

/// What became of a body.
#[derive(Clone, Copy)]
pub(super) struct TakenApart {
    pub skeleton: ObjectId,
    pub likeness: Likeness,
    /// Number of the step that stores it.
    step: u64,
}

/// The last [`limits::BODIES_REMEMBERED`] bodies.
#[derive(Default)]
pub(super) struct Bodies(Mutex<Known>);

#[derive(Default)]
struct Known {
    found: HashMap<BodyHash, TakenApart>,
    /// In the order of coming.
    order: VecDeque<BodyHash>,
}

impl Bodies {
    /// How an earlier step than `step` took the same body apart.
    pub fn find(&self, body: BodyHash, step: u64) -> Option<TakenApart> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.found.get(&body).copied().filter(|taken| taken.step < step)
    }

    pub fn remember(&self, body: BodyHash, step: u64, skeleton: ObjectId, likeness: Likeness) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = TakenApart { skeleton, likeness, step };
        match known.found.insert(body, taken) {
            None => known.order.push_back(body),
            // Threads overtake one another; the earliest step serves most.
            Some(former) if former.step < step => drop(known.found.insert(body, former)),
            Some(_) => {}
        }
        if known.order.len() > limits::BODIES_REMEMBERED
            && let Some(oldest) = known.order.pop_front()
        {
            known.found.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_finds_what_an_earlier_step_made_and_never_what_a_later_one_makes() {
        let bodies = Bodies::default();
        let body = BodyHash::of(&[b'x'; limits::HASHED_BODY_BYTES]).unwrap();
        let skeleton = ObjectId::of(b"skeleton");
        bodies.remember(body, 7, skeleton, Likeness::default());
        assert!(bodies.find(body, 7).is_none());
        assert_eq!(bodies.find(body, 8).unwrap().skeleton, skeleton);
        bodies.remember(body, 3, skeleton, Likeness::default());
        bodies.remember(body, 9, skeleton, Likeness::default());
        assert!(bodies.find(body, 4).is_some());
        assert!(BodyHash::of(b"short").is_none());
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let bodies = Bodies::default();
        let body = |number: usize| {
            let mut bytes = vec![0; limits::HASHED_BODY_BYTES];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            BodyHash::of(&bytes).unwrap()
        };
        for number in 0..=limits::BODIES_REMEMBERED {
            bodies.remember(body(number), number as u64, ObjectId::of(b"s"), Likeness::default());
        }
        assert!(bodies.find(body(0), u64::MAX).is_none());
        assert!(bodies.find(body(1), u64::MAX).is_some());
    }
}
