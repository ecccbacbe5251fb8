//! Progress as plain lines on standard error, one every few seconds, for logs and for whoever wants no bar.

use super::tally::{Tally, word};
use super::{Show, Verbosity};
use crate::interrupt;
use stationwagon::event::{Event, Sink};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines of the same pass; chosen so that an hour of export stays readable.
const EVERY: Duration = Duration::from_secs(5);

/// Whether phases and their progress get lines, or only messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Steps {
    Shown,
    Hidden,
}

pub struct PlainLines {
    steps: Steps,
    state: Mutex<(Tally, Instant)>,
}

impl PlainLines {
    pub fn new(verbosity: Verbosity, steps: Steps) -> Self {
        Self { steps, state: Mutex::new((Tally::new(verbosity), Instant::now())) }
    }
}

impl Sink for PlainLines {
    fn emit(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (tally, last) = &mut *state;
        let text = match event {
            Event::PhaseStarted { phase, total } => {
                tally.phases.insert(phase, super::tally::Progressed::new(total));
                None
            }
            Event::Advanced { phase, items, bytes } => {
                let progressed = tally.advance(phase, items, bytes);
                let due = self.steps == Steps::Shown && last.elapsed() >= EVERY;
                due.then(|| {
                    *last = Instant::now();
                    format!("{}: {}", word(phase), progressed.text())
                })
            }
            Event::PhaseFinished { phase } => {
                let progressed = tally.phases.remove(&phase).filter(|progressed| progressed.items > 0);
                progressed
                    .filter(|_| self.steps == Steps::Shown)
                    .map(|progressed| format!("{} done: {}", word(phase), progressed.text()))
            }
            other => tally.message(&other),
        };
        if let Some(text) = text {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    fn interrupted(&self) -> bool {
        interrupt::asked()
    }
}

impl Show for PlainLines {
    fn close(&self) {
        if let Some(text) = self.state.lock().unwrap_or_else(PoisonError::into_inner).0.held_back() {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
}
