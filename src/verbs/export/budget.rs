//! Bounds the bytes between reading and storing, and lets all stages of a pass end together.
//!
//! Promises that the oldest steps are always let through, however large, so that the store, which takes them in order, can
//! never wait for some that wait for the store.

use super::ExportError;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes in flight. Closed by the first stage that fails.
pub(super) struct Budget {
    limit: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    taken: u64,
    /// The number of the step that the store waits for.
    next: u64,
    closed: bool,
}

impl Budget {
    pub(super) fn bytes(limit: u64) -> Self {
        Self { limit, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits until `bytes` more fit or step `number` is the next to be stored; `false` when the pass is over.
    pub(super) fn take(&self, number: u64, bytes: u64) -> bool {
        let mut state = self.lock();
        while !state.closed && state.next != number && state.taken.saturating_add(bytes) > self.limit {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.taken = state.taken.saturating_add(bytes);
        !state.closed
    }

    /// The steps before `next` are stored and give their bytes back; the store waits for that one.
    pub(super) fn give(&self, next: u64, bytes: u64) {
        let mut state = self.lock();
        state.taken = state.taken.saturating_sub(bytes);
        state.next = next;
        drop(state);
        self.changed.notify_all();
    }

    /// Runs a stage; when it fails, no other waits any longer.
    pub(super) fn guard<T>(&self, stage: impl FnOnce() -> Result<T, ExportError>) -> Result<T, ExportError> {
        // Also on a panic of the stage: the others must not wait for ever.
        struct CloseUnless<'a>(&'a Budget, bool);
        impl Drop for CloseUnless<'_> {
            fn drop(&mut self) {
                if !self.1 {
                    self.0.lock().closed = true;
                    self.0.changed.notify_all();
                }
            }
        }
        let mut fine = CloseUnless(self, false);
        let outcome = stage();
        fine.1 = outcome.is_ok();
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
