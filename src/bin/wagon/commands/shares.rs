//! `wagon shares`

use crate::cli::{ArchiveArg, AtArgs, DryRunArg, Owner, owner};
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Check and mend shares: who sees what
#[derive(Debug, Args)]
pub struct SharesArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List each share that does not hold together, with its cause and what mends it
    Check(CheckShares),
    /// Repair what the maps can repair
    Fix(FixShares),
    /// Take the last fix back
    Undo(UndoShares),
    /// Print who sees what with which rights
    Matrix(Matrix),
}

/// The site whose shares they are.
#[derive(Debug, Args)]
struct SiteArg {
    /// The site: a folder, or dir:FOLDER
    #[arg(long, alias = "to", value_name = "SITE")]
    site: String,
}

#[derive(Debug, Args)]
struct CheckShares {
    #[command(flatten)]
    site: SiteArg,
    /// Maps of the imports into this site; without any those that lie in it
    #[arg(value_name = "MAP")]
    maps: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct FixShares {
    /// Maps of the imports into this site; a site that was split over several servers has one for each
    #[arg(value_name = "MAP", required = true)]
    maps: Vec<PathBuf>,
    #[command(flatten)]
    site: SiteArg,
    /// Who owns the files that are written; for root
    #[arg(long, value_name = "UID:GID", value_parser = owner)]
    owner: Option<Owner>,
    #[command(flatten)]
    dry_run: DryRunArg,
}

#[derive(Debug, Args)]
struct UndoShares {
    #[command(flatten)]
    site: SiteArg,
    /// Maps that the fix was made with; without any those that lie in the site
    #[arg(value_name = "MAP")]
    maps: Vec<PathBuf>,
    #[command(flatten)]
    dry_run: DryRunArg,
}

#[derive(Debug, Args)]
struct Matrix {
    /// The site: a folder, or dir:FOLDER; without it a snapshot of an archive
    #[arg(long, alias = "to", value_name = "SITE", conflicts_with = "dir")]
    site: Option<String>,
    #[command(flatten)]
    archive: Option<ArchiveArg>,
    #[command(flatten)]
    at: AtArgs,
    /// Read the snapshot's names through this map, so that it can be compared with the site's
    #[arg(long, value_name = "MAP")]
    map: Option<PathBuf>,
}

pub fn run(_args: &SharesArgs, _screen: &Screen) -> Result<Outcome, CliError> {
    Err(CliError::Usage("this build knows no shares".to_owned()))
}
