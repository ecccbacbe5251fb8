//! Counts what a phase has done, for bar, plain lines and JSON lines alike; and holds back message lines when there are
//! more than a person reads.

use super::Verbosity;
use stationwagon::event::{Event, Phase};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Messages that are shown without `--verbose`; further ones are counted. The report has them all.
const MESSAGES_SHOWN: u64 = 20;

/// One phase so far.
#[derive(Clone, Copy, Debug)]
pub struct Progressed {
    pub since: Instant,
    pub total: Option<u64>,
    pub items: u64,
    pub bytes: u64,
}

impl Progressed {
    pub fn new(total: Option<u64>) -> Self {
        Self { since: Instant::now(), total, items: 0, bytes: 0 }
    }

    /// Items and bytes in a second, over the whole phase.
    pub fn rates(&self) -> (u64, u64) {
        let seconds = self.since.elapsed().as_secs_f64().max(0.001);
        // Rounded for display; a float of a count is never negative nor beyond u64.
        ((self.items as f64 / seconds) as u64, (self.bytes as f64 / seconds) as u64)
    }

    /// Time left at the rate so far; `None` while there is nothing to reckon with.
    pub fn left(&self) -> Option<Duration> {
        let total = self.total.filter(|total| *total >= self.items)?;
        (self.items > 0).then(|| self.since.elapsed().mul_f64((total - self.items) as f64 / self.items as f64))
    }

    /// `1204 of 9331 items, 12.1 MiB, 3.0 MiB/s, 4 s left`.
    pub fn text(&self) -> String {
        use super::table::{bytes, duration};
        let mut text = match self.total {
            Some(total) => format!("{} of {total} items", self.items),
            None => format!("{} items", self.items),
        };
        let (items_a_second, bytes_a_second) = self.rates();
        if self.bytes > 0 {
            text.push_str(&format!(", {}, {}/s", bytes(self.bytes), bytes(bytes_a_second)));
        } else if self.items > 0 {
            text.push_str(&format!(", {items_a_second}/s"));
        }
        if let Some(left) = self.left().filter(|_| self.total != Some(self.items)) {
            text.push_str(&format!(", {} left", duration(left)));
        }
        text
    }
}

/// All phases that run, and the messages that were held back.
pub struct Tally {
    verbosity: Verbosity,
    pub phases: BTreeMap<Phase, Progressed>,
    messages: u64,
}

impl Tally {
    pub fn new(verbosity: Verbosity) -> Self {
        Self { verbosity, phases: BTreeMap::new(), messages: 0 }
    }

    /// Adds work done; a phase that nobody announced begins with it.
    pub fn advance(&mut self, phase: Phase, items: u64, bytes: u64) -> Progressed {
        let progressed = self.phases.entry(phase).or_insert_with(|| Progressed::new(None));
        // What an archive says of sizes may be a lie, and is only shown.
        progressed.items = progressed.items.saturating_add(items);
        progressed.bytes = progressed.bytes.saturating_add(bytes);
        *progressed
    }

    /// The line to show for an event, if it is one to show.
    pub fn message(&mut self, event: &Event) -> Option<String> {
        let text = super::line(event)?;
        if matches!(event, Event::Notice { .. }) && self.verbosity == Verbosity::Quiet {
            return None;
        }
        self.messages += 1;
        (self.verbosity == Verbosity::Verbose || self.messages <= MESSAGES_SHOWN).then_some(text)
    }

    /// The last line, where messages were held back.
    pub fn held_back(&self) -> Option<String> {
        let more = self.messages.saturating_sub(MESSAGES_SHOWN);
        (self.verbosity != Verbosity::Verbose && more > 0)
            .then(|| format!("and {more} more such lines; --verbose shows them all"))
    }
}

/// The word for a phase.
pub fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Scan => "scan",
        Phase::Store => "store",
        Phase::Commit => "commit",
        Phase::Provisioning => "provisioning",
        Phase::Folders => "folders",
        Phase::Items => "items",
        Phase::Links => "shares",
        Phase::Ledger => "ledger",
        Phase::Check => "check",
        Phase::Verify => "verify",
        Phase::Extract => "extract",
        Phase::Upkeep => "upkeep",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stationwagon::event::{Place, Reason, Rejection};

    #[test]
    fn more_messages_than_a_person_reads_are_counted_instead() {
        let rejected = Event::Rejected(Rejection {
            place: Place::account("ann@example.org"),
            reason: Reason::Unreadable("no rights\u{1b}[2J".to_owned()),
        });
        let mut tally = Tally::new(Verbosity::Normal);
        let shown: Vec<_> = (0..25).filter_map(|_| tally.message(&rejected)).collect();
        assert_eq!(shown.len(), 20);
        assert_eq!(shown[0], "rejected ann@example.org: unreadable: no rights\\u{1b}[2J");
        assert_eq!(tally.held_back().as_deref(), Some("and 5 more such lines; --verbose shows them all"));
    }

    #[test]
    fn time_left_follows_the_rate_so_far() {
        let mut phase = Progressed::new(Some(4));
        assert_eq!(phase.left(), None);
        phase.items = 4;
        assert_eq!(phase.left(), Some(Duration::ZERO));
    }
}
