//! Events as JSON, one a line, on standard output; docs/json-events.md is the interface. Progress also goes to the sink
//! for people, unless that is silent, for it writes elsewhere.
//!
//! Work done is added up and written twice a second, so that a site of millions of items makes no million lines.

use super::Show;
use stationwagon::event::{Event, Phase, Sink};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(500);

pub struct JsonLines {
    beside: Box<dyn Show>,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    /// Items and bytes by phase, not yet written.
    work: BTreeMap<Phase, (u64, u64)>,
    last: Instant,
}

impl Waiting {
    /// Writes what waits; a reader that went away is noticed when the report is written.
    fn flush(&mut self, out: &mut dyn Write) {
        for (phase, (items, bytes)) in std::mem::take(&mut self.work) {
            write(out, &Event::Advanced { phase, items, bytes });
        }
        self.last = Instant::now();
    }
}

fn write(out: &mut dyn Write, event: &Event) {
    if let Ok(line) = serde_json::to_string(event) {
        let _ = writeln!(out, "{line}");
    }
}

impl JsonLines {
    pub fn new(beside: Box<dyn Show>) -> Self {
        Self { beside, waiting: Mutex::new(Waiting { work: BTreeMap::new(), last: Instant::now() }) }
    }
}

impl Sink for JsonLines {
    fn emit(&self, event: Event) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = io::stdout().lock();
        if let Event::Advanced { phase, items, bytes } = event {
            let work = waiting.work.entry(phase).or_default();
            work.0 += items;
            work.1 += bytes;
            if waiting.last.elapsed() >= EVERY {
                waiting.flush(&mut out);
            }
        } else {
            waiting.flush(&mut out);
            write(&mut out, &event);
        }
        drop((waiting, out));
        self.beside.emit(event);
    }

    fn interrupted(&self) -> bool {
        self.beside.interrupted()
    }
}

impl Show for JsonLines {
    fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).flush(&mut io::stdout().lock());
        self.beside.close();
    }
}
