//! `wagon verify`

use crate::cli::{ArchiveArg, AtArgs};
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use clap::Args;

/// Read a site back and compare it with a snapshot
///
/// Compares content, folders, flags, dates, provisioning and shares, item by item through the map of the import.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    archive: ArchiveArg,
    /// The site that was imported: a folder, or dir:FOLDER
    #[arg(long, value_name = "SITE")]
    to: String,
    #[command(flatten)]
    at: AtArgs,
    /// Only accounts whose address matches; may be given again
    #[arg(long, value_name = "GLOB")]
    account: Vec<String>,
}

pub fn run(_args: &VerifyArgs, _screen: &Screen) -> Result<Outcome, CliError> {
    Err(CliError::Usage("this build cannot verify".to_owned()))
}
