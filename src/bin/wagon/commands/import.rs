//! `wagon import`

use crate::cli::{ArchiveArg, AtArgs, DryRunArg, Owner, date, owner};
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use clap::{Args, ValueEnum};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Replay a snapshot on a site
///
/// First domains, accounts and lists, then folders and items, newest first, then shares. It may be interrupted and repeated
/// at any time: each item arrives exactly once. A later pass brings what changed on the source since and leaves what
/// was changed on the target. The ledger at the end accounts for every item.
#[derive(Debug, Args)]
pub struct ImportArgs {
    #[command(flatten)]
    archive: ArchiveArg,
    /// The site to write: a folder, or dir:FOLDER
    #[arg(long, value_name = "SITE")]
    to: String,
    #[command(flatten)]
    at: AtArgs,
    /// Only domains, accounts and lists, so that mail can be delivered; the mail comes later
    #[arg(long)]
    provisioning_only: bool,
    /// Move and delete nothing on the target, set passwords and preferences again
    #[arg(long)]
    additive: bool,
    /// Delete what was deleted on the source, unless the target's users have touched it
    #[arg(long, conflicts_with = "additive")]
    delete: bool,
    /// Only accounts whose address matches; may be given again
    #[arg(long, value_name = "GLOB")]
    account: Vec<String>,
    /// Domains and addresses that change, one a line: old.example new.example
    #[arg(long, value_name = "FILE")]
    rename: Option<PathBuf>,
    /// Only items of this day or later
    #[arg(long, value_name = "DATE", value_parser = date, allow_negative_numbers = true)]
    since: Option<i64>,
    /// Leave out what is of this kind; may be given again
    #[arg(long, value_name = "KIND")]
    skip: Vec<Skip>,
    /// Take what lies on the target already with the same content into the map instead of doubling it: by exact bytes, or
    /// by the message without what delivery put on top
    #[arg(
        long,
        value_name = "HOW",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "exact"
    )]
    adopt: Option<Adopt>,
    /// The map of the import that is to be taken back: the way back to the old site
    #[arg(long, value_name = "MAP")]
    way_back: Option<PathBuf>,
    /// Who owns the files that are written; for root
    #[arg(long, value_name = "UID:GID", value_parser = owner)]
    owner: Option<Owner>,
    /// Accounts that are imported at the same time; without it as many as there are cores
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    dry_run: DryRunArg,
}

/// What an import can leave out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Skip {
    Mail,
    Calendars,
    Contacts,
    Filters,
    Shares,
    Preferences,
}

/// By what an item on the target is the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Adopt {
    /// By exact bytes
    Exact,
    /// By the message without what delivery put on top
    WithoutTrace,
}

pub fn run(_args: &ImportArgs, _screen: &Screen) -> Result<Outcome, CliError> {
    Err(CliError::Usage("this build cannot import".to_owned()))
}
