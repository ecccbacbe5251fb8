//! `wagon repack`

use super::{open, prune};
use crate::cli::{ArchiveArg, DryRunArg, size};
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use clap::Args;
use stationwagon::archive::prune::{MaxUnused, PruneOptions};

/// Write all packs anew, smaller
///
/// For idle hours and small disks: like beside like, deflated as hard as gzip can be. The format stays the same, and so do
/// all snapshots. What no snapshot needs is left out. May be interrupted; to go on, run it again.
#[derive(Debug, Args)]
pub struct RepackArgs {
    #[command(flatten)]
    archive: ArchiveArg,
    /// How hard to deflate, from 1 to 12
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(i32).range(1..=12))]
    level: i32,
    /// Write at most so many bytes of packs anew (10G)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_repack: Option<u64>,
    #[command(flatten)]
    dry_run: DryRunArg,
}

pub fn run(args: &RepackArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let archive = open::archive(&args.archive, screen)?;
    let options = PruneOptions {
        max_unused: MaxUnused::Bytes(0),
        max_rewrite: args.max_repack,
        level: Some(args.level),
        dry_run: args.dry_run.dry_run,
        ..PruneOptions::default()
    };
    prune::run_on("repack", &archive, &options, screen)
}
