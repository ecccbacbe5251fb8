//! `wagon passphrase`

use super::open;
use crate::exit::{CliError, Outcome};
use crate::render::table::count;
use crate::render::{AGAIN, Screen};
use clap::Args;
use stationwagon::archive::{Archive, ArchiveError, SealError};
use stationwagon::verbs::passphrase::{PassphraseReport, change, complete};
use std::io::{self, Write};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Change the passphrase of an archive
///
/// Only for an archive that was made with a passphrase. On a terminal the old and the new one are asked for. The key that
/// they lock stays, and so does all that is encrypted: key.age is written anew, and what wagon.json says of it. So whoever
/// has a copy of the old key.age and knows the old passphrase can still read. If it is cut off, the old or the new
/// passphrase opens the archive, and the same command again completes it.
#[derive(Debug, Args)]
pub struct PassphraseArgs {
    /// The archive's folder
    #[arg(long = "archive", value_name = "DIR", env = "WAGON_ARCHIVE", hide_env_values = true)]
    dir: PathBuf,
    /// The passphrase that opens it now: a file whose first line it is
    #[arg(long, value_name = "FILE", env = "WAGON_PASSPHRASE_FILE", hide_env_values = true)]
    passphrase_file: Option<PathBuf>,
    /// The passphrase that shall open it: a file whose first line it is
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
}

pub fn run(args: &PassphraseArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let archive = open::archive_in(&args.dir, screen)?;
    refuse_without_passphrase(&archive)?;
    let told = args.new_passphrase_file.as_deref().map(open::passphrase).transpose()?;
    let old = match &args.passphrase_file {
        Some(path) => open::passphrase(path)?,
        None => open::ask("passphrase of the archive: ", "--passphrase-file")?,
    };
    let holder = open::holder();
    let holder = (holder.as_str(), open::now());
    let changed = match (archive.unlock(&old), told) {
        (Ok(key), told) => {
            let new = told.map_or_else(ask_for_new, Ok)?;
            screen.watch(AGAIN, |_| change(&open::files(), &archive, &key, &new, holder))?
        }
        // The same command again, after one that was cut off.
        (Err(error), Some(new)) if is_wrong(&error) && archive.unlock(&new).is_ok() => {
            screen.watch(AGAIN, |_| complete(&open::files(), &archive, holder))?
        }
        (Err(error), _) => return Err(error.into()),
    };
    screen.report("passphrase", &changed.report, |out| write(out, &changed.report))?;
    changed.parity?;
    Ok(Outcome::Done)
}

fn is_wrong(error: &ArchiveError) -> bool {
    matches!(error, ArchiveError::Sealed { source: SealError::WrongPassphrase, .. })
}

fn refuse_without_passphrase(archive: &Archive) -> Result<(), CliError> {
    let name = archive.dir().display();
    if !archive.is_encrypted() {
        return Err(CliError::Usage(format!("{name} is not encrypted, so no passphrase opens it")));
    }
    if !archive.has_passphrase() {
        let keys = count(archive.recipients().len() as u64, "public key");
        let text = format!("{name} is encrypted for {keys} and was made without a passphrase; see its wagon.json");
        return Err(CliError::Usage(text));
    }
    Ok(())
}

fn ask_for_new() -> Result<Zeroizing<String>, CliError> {
    let option = "--new-passphrase-file";
    let new = open::ask("new passphrase: ", option)?;
    let refused = |text: &str| Err(CliError::Usage(format!("{text}; nothing was changed")));
    if new.is_empty() {
        return refused("an empty passphrase protects nothing");
    }
    match *open::ask("the new passphrase again: ", option)? == *new {
        true => Ok(new),
        false => refused("the new passphrase was not typed the same twice"),
    }
}

fn write(out: &mut dyn Write, report: &PassphraseReport) -> io::Result<()> {
    match report.changed {
        true => writeln!(out, "the passphrase is changed; the old one opens nothing here any more")?,
        false => writeln!(out, "the new passphrase was in force already; what was left of changing it is done")?,
    }
    match report.parity_made.len() {
        0 => Ok(()),
        made => writeln!(out, "parity of {} made again", count(made as u64, "file")),
    }
}
