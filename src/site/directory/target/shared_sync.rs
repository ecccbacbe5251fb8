//! `syncfs` for many at once: whoever asks while one is running shares the next with all others who ask meanwhile.
//!
//! Promises: when [`SharedSync::sync`] returns, everything that its caller had written before is durable, because the
//! `syncfs` that it waited for began after the call. Threads that deliver at the same time so cost one commit of the
//! file system's journal together, where each by itself would wait for those of all others. An error is everybody's from
//! then on: the kernel reports what it could not write to one caller only, whosever it was.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// The rounds of every file system that the site lies on; almost always one.
#[derive(Default)]
pub struct SharedSync(Mutex<HashMap<u64, Arc<Rounds>>>);

#[derive(Default)]
struct Rounds {
    state: Mutex<State>,
    turned: Condvar,
}

#[derive(Default)]
struct State {
    /// Rounds that have begun, and the one that ended last with success.
    begun: u64,
    ended: u64,
    running: bool,
    failed: Option<io::ErrorKind>,
}

impl SharedSync {
    /// Makes everything durable that was written to the file system with this number before the call; `sync` does it.
    /// Errors: its own, and later that one's kind again.
    pub fn sync(&self, device: u64, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let rounds = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(device).or_default().clone();
        let mut state = rounds.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A round that runs already may have passed over what was written last.
        let wanted = state.begun + 1;
        loop {
            if state.ended >= wanted {
                return Ok(());
            }
            if let Some(kind) = state.failed {
                return Err(kind.into());
            }
            if !state.running {
                break;
            }
            state = rounds.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.begun += 1;
        let round = state.begun;
        state.running = true;
        drop(state);
        let outcome = sync();
        let mut state = rounds.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running = false;
        match &outcome {
            Ok(()) => state.ended = round,
            Err(error) => state.failed = Some(error.kind()),
        }
        drop(state);
        rounds.turned.notify_all();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    #[test]
    fn those_who_ask_during_a_sync_share_the_next_one_and_nobody_the_running_one() {
        let syncs = AtomicUsize::new(0);
        let (entered, began) = mpsc::channel();
        let (let_go, gate) = mpsc::channel::<()>();
        let shared = SharedSync::default();
        let count = || {
            syncs.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        std::thread::scope(|scope| {
            let first = move || {
                entered.send(()).unwrap();
                gate.recv().unwrap();
                count()
            };
            let shared = &shared;
            scope.spawn(move || shared.sync(1, first).unwrap());
            began.recv().unwrap();
            let waiting: Vec<_> = (0..5).map(|_| scope.spawn(|| shared.sync(1, count).unwrap())).collect();
            shared.sync(2, count).unwrap();
            // Nobody can have been served: the first has not ended, and its round began too early for them.
            assert!(waiting.iter().all(|thread| !thread.is_finished()));
            assert_eq!(syncs.load(Ordering::SeqCst), 1, "another file system waits for nobody");
            let_go.send(()).unwrap();
        });
        // A thread that was late makes one of its own.
        assert!((3..=7).contains(&syncs.load(Ordering::SeqCst)));
    }

    #[test]
    fn what_was_written_before_the_call_is_covered_whoever_syncs() {
        let shared = SharedSync::default();
        let (written, durable) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let sync = || {
            let now = written.load(Ordering::SeqCst);
            std::thread::yield_now();
            durable.fetch_max(now, Ordering::SeqCst);
            Ok(())
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let mine = written.fetch_add(1, Ordering::SeqCst) + 1;
                        shared.sync(1, sync).unwrap();
                        assert!(durable.load(Ordering::SeqCst) >= mine);
                    }
                });
            }
        });
    }

    #[test]
    fn after_an_error_nobody_is_told_that_anything_is_durable() {
        let shared = SharedSync::default();
        assert!(shared.sync(1, || Ok(())).is_ok());
        assert!(shared.sync(1, || Err(io::ErrorKind::StorageFull.into())).is_err());
        let later = shared.sync(1, || Ok(())).unwrap_err();
        assert_eq!(later.kind(), io::ErrorKind::StorageFull);
        assert!(shared.sync(2, || Ok(())).is_ok(), "another file system has its own fate");
    }
}
