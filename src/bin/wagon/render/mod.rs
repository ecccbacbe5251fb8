//! What a person or a script sees: progress and messages on standard error, what was asked for on standard output.
//!
//! [`Screen`] knows how the user wants it; a pass runs inside [`Screen::watch`], and every verb ends in
//! [`Screen::report`]. Text from a site goes through [`printable`](stationwagon::model::text::printable) on its way to
//! a person.

mod bar;
mod json;
mod plain;
pub mod table;
mod tally;

use crate::cli::{Global, Progress};
use crate::exit::CliError;
use crate::interrupt;
use serde::Serialize;
use stationwagon::archive::Hear;
use stationwagon::event::{Event, Sink};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::Arc;

/// How much is said beside what was asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verbosity {
    Quiet,
    Normal,
    Verbose,
}

/// How to go on after most passes.
pub const AGAIN: &str = "nothing is lost; the same command goes on where this one stopped";

/// Where and how output goes.
pub struct Screen {
    json: bool,
    progress: Progress,
    verbosity: Verbosity,
    colours: bool,
}

/// A sink that is told when the pass is over.
trait Show: Sink {
    /// Takes away what is not to stay, says what is left to say.
    fn close(&self);
}

impl Screen {
    pub fn new(global: &Global) -> Self {
        let verbosity = match (global.quiet, global.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        let terminal = io::stderr().is_terminal();
        let progress = match global.progress {
            Progress::Auto if verbosity == Verbosity::Quiet => Progress::None,
            Progress::Auto if terminal => Progress::Bar,
            Progress::Auto => Progress::Plain,
            chosen => chosen,
        };
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json: global.json, progress, verbosity, colours }
    }

    /// Whether standard output is for a program.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether a person wants to read everything.
    pub fn verbose(&self) -> bool {
        self.verbosity == Verbosity::Verbose
    }

    /// What an error message begins with.
    pub fn error_word(&self) -> &'static str {
        if self.colours { "\u{1b}[1;31merror:\u{1b}[0m" } else { "error:" }
    }

    /// One line for a person, beside what was asked for.
    pub fn say(&self, text: &str) {
        if self.verbosity != Verbosity::Quiet {
            // Nobody is left to tell when standard error is gone.
            let _ = writeln!(io::stderr(), "{}", stationwagon::model::text::printable(text));
        }
    }

    /// Says what endangers the user, whether he wants to be told much or little, and to programs as an event.
    pub fn warn(&self, cautions: Vec<String>) {
        for text in cautions {
            let event = Event::Warning { text };
            if let Some(line) = line(&event) {
                let _ = writeln!(io::stderr(), "{line}");
            }
            if self.json {
                self.json_only(&event);
            }
        }
    }

    /// Whom an archive tells of what is damaged in it and costs nothing: the user, whether he wants to be told much or
    /// little, and programs.
    pub fn hear(&self) -> Hear {
        let json = self.json;
        Arc::new(move |text| {
            let event = Event::Warning { text: text.to_owned() };
            if let Some(line) = line(&event) {
                // Nobody is left to tell when standard error is gone.
                let _ = writeln!(io::stderr(), "{line}");
            }
            if json {
                drop(json_line(&mut io::stdout().lock(), &event));
            }
        })
    }

    /// Runs a pass with a sink that shows its progress, and listens for Ctrl-C meanwhile; `go_on` tells whoever stopped
    /// it how to go on.
    pub fn watch<T, E: Into<CliError>>(
        &self,
        go_on: &'static str,
        pass: impl FnOnce(&dyn Sink) -> Result<T, E>,
    ) -> Result<T, CliError> {
        interrupt::arm();
        let shows: Box<dyn Show> = match (self.json, self.progress) {
            (true, _) => Box::new(json::JsonLines::new(self.side())),
            (false, _) => self.side(),
        };
        let outcome = pass(shows.as_ref()).map_err(Into::into);
        shows.close();
        // A pass that was told to stop fails in its own words; that it was told to is the reason.
        outcome.map_err(|error| if interrupt::asked() { CliError::Interrupted { go_on } } else { error })
    }

    fn side(&self) -> Box<dyn Show> {
        match self.progress {
            Progress::Bar => Box::new(bar::Bars::new(self.verbosity)),
            Progress::Plain | Progress::Auto => Box::new(plain::PlainLines::new(self.verbosity, plain::Steps::Shown)),
            Progress::None => Box::new(plain::PlainLines::new(self.verbosity, plain::Steps::Hidden)),
        }
    }

    /// Gives the user what was asked for: one JSON line, or what `human` writes. With `--json` it is the last line.
    pub fn report<R: Serialize + ?Sized>(
        &self,
        verb: &str,
        report: &R,
        human: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), CliError> {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = if self.json {
            json_line(&mut out, &ReportLine { event: "report", verb, report })
        } else {
            human(&mut out)
        };
        written.and_then(|()| out.flush()).map_err(CliError::Output)
    }

    /// A JSON line of its own: in place of a report, or before anything else. Nobody is left to tell when it cannot be
    /// written.
    pub fn json_only(&self, line: &impl Serialize) {
        let _ = json_line(&mut io::stdout(), line);
    }
}

/// The last JSON line of a verb.
#[derive(Serialize)]
struct ReportLine<'a, R: Serialize + ?Sized> {
    event: &'static str,
    verb: &'a str,
    report: &'a R,
}

fn json_line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// What a person reads of an event that is worth a line of its own.
fn line(event: &Event) -> Option<String> {
    use stationwagon::model::text::printable;
    match event {
        Event::Rejected(rejection) => Some(format!("rejected {}: {}", rejection.place, rejection.reason)),
        Event::Conflict { place, what } => Some(format!("conflict {place}: {}", printable(what))),
        Event::Notice { place, text } => Some(format!("note {place}: {}", printable(text))),
        Event::Warning { text } => Some(format!("WARNING: {}", printable(text))),
        _ => None,
    }
}
