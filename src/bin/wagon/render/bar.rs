//! Progress as bars on a terminal, one for each phase that runs: items, bytes, rate, time left. They vanish at the end;
//! messages stay above them.

use super::tally::{Progressed, Tally, word};
use super::{Show, Verbosity};
use crate::interrupt;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use stationwagon::event::{Event, Phase, Sink};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub struct Bars {
    all: MultiProgress,
    state: Mutex<State>,
}

struct State {
    tally: Tally,
    bars: BTreeMap<Phase, ProgressBar>,
}

impl Bars {
    pub fn new(verbosity: Verbosity) -> Self {
        let state = State { tally: Tally::new(verbosity), bars: BTreeMap::new() };
        Self { all: MultiProgress::new(), state: Mutex::new(state) }
    }

    fn bar(&self, phase: Phase, total: Option<u64>) -> ProgressBar {
        let bar = match total {
            Some(total) => ProgressBar::new(total).with_style(style("{prefix:>12} [{bar:28}] {msg}")),
            None => ProgressBar::new_spinner().with_style(style("{prefix:>12} {spinner} {msg}")),
        };
        let bar = self.all.add(bar.with_prefix(word(phase)));
        // The clock goes on while one large item is read.
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// The templates are constants; one that indicatif refused would only look plainer.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

impl Sink for Bars {
    fn emit(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::PhaseStarted { phase, total } => {
                state.tally.phases.insert(phase, Progressed::new(total));
                let bar = self.bar(phase, total);
                if let Some(earlier) = state.bars.insert(phase, bar) {
                    earlier.finish_and_clear();
                }
            }
            Event::Advanced { phase, items, bytes } => {
                let progressed = state.tally.advance(phase, items, bytes);
                let bar = state.bars.entry(phase).or_insert_with(|| self.bar(phase, None));
                bar.set_position(progressed.items);
                bar.set_message(progressed.text());
            }
            Event::PhaseFinished { phase } => {
                state.tally.phases.remove(&phase);
                if let Some(bar) = state.bars.remove(&phase) {
                    bar.finish_and_clear();
                }
            }
            other => {
                if let Some(text) = state.tally.message(&other) {
                    let _ = self.all.println(text);
                }
            }
        }
    }

    fn interrupted(&self) -> bool {
        interrupt::asked()
    }
}

impl Show for Bars {
    fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for bar in std::mem::take(&mut state.bars).into_values() {
            bar.finish_and_clear();
        }
        if let Some(text) = state.tally.held_back() {
            let _ = self.all.println(text);
        }
    }
}
