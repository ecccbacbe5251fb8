//! How a verb ended: the one place where outcomes and errors become an exit status and a message with its causes. Which
//! status and which hint an error gets is in `trouble`. Statuses are documented in docs/exit-status.md.

use crate::render::Screen;
use crate::trouble;
use serde::Serialize;
use stationwagon::archive::{ArchiveError, SealError, SignatureError};
use stationwagon::map::MapError;
use stationwagon::model::text::printable;
use stationwagon::site::SiteError;
use stationwagon::verbs::export::ExportError;
use stationwagon::verbs::forget::ForgetError;
use stationwagon::verbs::import::ImportError;
use stationwagon::verbs::shares::SharesError;
use stationwagon::verbs::show::ShowError;
use stationwagon::verbs::verify::VerifyError;
use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// How a verb ended that came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Done,
    /// Done but for what the report names.
    Rejected,
    Unbalanced,
    Differences,
    /// Nothing is wrong with what was looked at, and something could not be looked at.
    Unopened,
}

impl Outcome {
    fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Rejected => 3,
            Self::Unbalanced => 4,
            Self::Differences => 5,
            Self::Unopened => 7,
        }
    }
}

/// Why a verb did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command line asks for what cannot be, seen only once things were opened.
    #[error("{0}")]
    Usage(String),
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error("cannot {action} {path}")]
    Io { action: &'static str, path: String, source: io::Error },
    /// The machine lacks something that every machine has.
    #[error("{0}")]
    Machine(String),
    #[error("interrupted")]
    Interrupted { go_on: &'static str },
    #[error("cannot use the key {path}")]
    PublicKey { path: PathBuf, source: SignatureError },
    #[error("cannot use the keys of {path}")]
    Keys { path: PathBuf, source: SealError },
    #[error("the catalog {path} cannot be used")]
    Catalog { path: PathBuf, source: Box<dyn Error + Send + Sync> },
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Site(#[from] SiteError),
    #[error(transparent)]
    Show(#[from] ShowError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Forget(#[from] ForgetError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Shares(#[from] SharesError),
    #[error(transparent)]
    Map(#[from] MapError),
}

/// Prints what there is to say and gives the exit status. A closed pipe (`wagon ls | head`) is not an error.
pub fn end(outcome: Result<Outcome, CliError>, screen: &Screen) -> ExitCode {
    let error = match outcome {
        Ok(outcome) => return ExitCode::from(outcome.status()),
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    let causes = causes(&error);
    let mut text = format!("{} {}\n", screen.error_word(), printable(&error.to_string()));
    for cause in &causes {
        text.push_str(&format!("  because {}\n", printable(cause)));
    }
    let hint = trouble::hint(&error);
    if let Some(hint) = &hint {
        text.push_str(&format!("hint: {}\n", printable(hint)));
    }
    // Nobody is left to tell when standard error is gone.
    let _ = io::stderr().write_all(text.as_bytes());
    if screen.json() {
        screen.json_only(&ErrorLine {
            event: "error",
            status: trouble::status(&error),
            message: error.to_string(),
            causes,
            hint,
        });
    }
    ExitCode::from(trouble::status(&error))
}

/// The last JSON line of a verb that did not come to its end.
#[derive(Serialize)]
struct ErrorLine {
    event: &'static str,
    status: u8,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
}

fn causes(error: &dyn Error) -> Vec<String> {
    std::iter::successors(error.source(), |cause| (*cause).source()).map(ToString::to_string).collect()
}

/// A panic anywhere is a defect of ours: it says so and ends with status 70 at once. Files that were being written have
/// temporary names, so nothing half done is left under a final one.
pub fn own_up_to_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        usual(info);
        let _ = writeln!(
            io::stderr(),
            "this is a defect of wagon {}; please report the lines above. Nothing incomplete was given its final name.",
            env!("CARGO_PKG_VERSION")
        );
        std::process::exit(70);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::STATUSES;

    #[test]
    fn each_status_of_an_outcome_is_documented() {
        for outcome in [Outcome::Done, Outcome::Rejected, Outcome::Unbalanced, Outcome::Differences, Outcome::Unopened]
        {
            assert!(STATUSES.iter().any(|(status, _)| *status == outcome.status()));
        }
    }
}
