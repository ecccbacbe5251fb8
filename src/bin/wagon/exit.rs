//! How a verb ended: the one place where outcomes and errors become an exit status, a message with its causes, and one
//! hint where a next step is known. Statuses are documented in docs/exit-status.md.

use crate::render::Screen;
use serde::Serialize;
use stationwagon::archive::ArchiveError;
use stationwagon::db::DbError;
use stationwagon::format::FormatError;
use stationwagon::model::text::printable;
use stationwagon::site::SiteError;
use stationwagon::verbs::export::ExportError;
use stationwagon::verbs::show::ShowError;
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
}

impl Outcome {
    fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Rejected => 3,
            Self::Unbalanced => 4,
            Self::Differences => 5,
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
    #[error("interrupted")]
    Interrupted { go_on: &'static str },
    #[error("the catalog {path} cannot be used")]
    Catalog { path: PathBuf, source: DbError },
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Site(#[from] SiteError),
    #[error(transparent)]
    Show(#[from] ShowError),
    #[error(transparent)]
    Export(#[from] ExportError),
}

impl CliError {
    fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Interrupted { .. } => 130,
            Self::Output(_) | Self::Io { .. } | Self::Catalog { .. } => 1,
            Self::Export(error) => export_status(error),
            Self::Archive(error) => archive_status(error),
            Self::Site(error) => site_status(error),
            Self::Show(ShowError::Archive(error)) => archive_status(error),
            Self::Show(error) if error.is_usage() => 2,
            Self::Show(_) => 1,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Archive(error) | Self::Show(ShowError::Archive(error)) => archive_hint(error),
            Self::Site(error) => site_hint(error),
            Self::Show(error) => error.hint(),
            Self::Interrupted { go_on } => Some((*go_on).to_owned()).filter(|text| !text.is_empty()),
            Self::Catalog { .. } => {
                Some("it can be deleted; the next export makes a new one and lists every folder".to_owned())
            }
            Self::Export(error) => export_hint(error),
            Self::Usage(_) | Self::Output(_) | Self::Io { .. } => None,
        }
    }
}

fn archive_status(error: &ArchiveError) -> u8 {
    match error {
        ArchiveError::InUse { .. } => 6,
        ArchiveError::SeveralSources(_) => 2,
        _ => 1,
    }
}

fn site_status(error: &SiteError) -> u8 {
    match error {
        SiteError::Locked { .. } => 6,
        _ => 1,
    }
}

fn export_status(error: &ExportError) -> u8 {
    match error {
        ExportError::Site(error) => site_status(error),
        ExportError::Archive(error) => archive_status(error),
        ExportError::BadGlob(..) => 2,
        _ => 1,
    }
}

fn export_hint(error: &ExportError) -> Option<String> {
    match error {
        ExportError::Site(error) => site_hint(error),
        ExportError::Archive(error) => archive_hint(error),
        _ => None,
    }
}

fn archive_hint(error: &ArchiveError) -> Option<String> {
    let text = match error {
        ArchiveError::NotAnArchive(_) => "`wagon export --from SITE --archive DIR` makes an archive",
        ArchiveError::NoSnapshot(_) | ArchiveError::Empty(_) => "`wagon snapshots` lists what the archive holds",
        ArchiveError::InUse { .. } => "wait until it ends; a lock whose holder died is taken over by itself",
        ArchiveError::Format { source: FormatError::TooNew { .. }, .. } => "a newer wagon reads it",
        ArchiveError::Format { .. }
        | ArchiveError::NoObject { .. }
        | ArchiveError::DamagedObject { .. }
        | ArchiveError::DamagedSegment { .. } => "`wagon check --read-data` names everything that is damaged",
        ArchiveError::FaultyCompressor { .. } => "suspect the memory of this machine",
        ArchiveError::Io { source, .. } => return io_hint(source),
        _ => return None,
    };
    Some(text.to_owned())
}

fn site_hint(error: &SiteError) -> Option<String> {
    match error {
        SiteError::NotASite(_) => Some("a site is the folder above mail/, dav/ and etc/".to_owned()),
        SiteError::NoAccount(_) => Some("`wagon ls` lists the accounts of an archive".to_owned()),
        SiteError::Io { source, .. } => io_hint(source),
        _ => None,
    }
}

fn io_hint(error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("make room and run the same command again; what is complete is kept".to_owned())
        }
        io::ErrorKind::PermissionDenied => {
            Some("mail usually belongs to a user of its own; run as that user or as root".to_owned())
        }
        _ => None,
    }
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
    if let Some(hint) = error.hint() {
        text.push_str(&format!("hint: {}\n", printable(&hint)));
    }
    // Nobody is left to tell when standard error is gone.
    let _ = io::stderr().write_all(text.as_bytes());
    if screen.json() {
        screen.last_line(&ErrorLine {
            event: "error",
            status: error.status(),
            message: error.to_string(),
            causes,
            hint: error.hint(),
        });
    }
    ExitCode::from(error.status())
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
        for outcome in [Outcome::Done, Outcome::Rejected, Outcome::Unbalanced, Outcome::Differences] {
            assert!(STATUSES.iter().any(|(status, _)| *status == outcome.status()));
        }
    }

    #[test]
    fn a_lock_is_told_from_any_other_failure() {
        let held = ArchiveError::InUse { holder: "somebody".to_owned(), since: "now".to_owned() };
        assert_eq!(CliError::from(held).status(), 6);
        assert_eq!(CliError::from(ArchiveError::NotAnArchive("x".into())).status(), 1);
    }
}
