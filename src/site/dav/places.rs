//! How many connections to a server there may be at once. Whoever wants one more waits until one is given back; what is done
//! on one is bounded in time, so the wait is too. Who has a place asks for no second one before it gave the first back.

use super::lock;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

pub struct Places {
    free: Mutex<usize>,
    freed: Condvar,
}

/// The right to a connection, until it is dropped.
pub struct Place(Arc<Places>);

impl Places {
    /// At least one.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(most.max(1)), freed: Condvar::new() })
    }

    pub fn take(self: &Arc<Self>) -> Place {
        let free = self.freed.wait_while(lock(&self.free), |free| *free == 0);
        *free.unwrap_or_else(PoisonError::into_inner) -= 1;
        Place(Arc::clone(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *lock(&self.0.free) += 1;
        self.0.freed.notify_one();
    }
}
