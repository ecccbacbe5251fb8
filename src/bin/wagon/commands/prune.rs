//! `wagon prune`

use super::open;
use crate::cli::{ArchiveArg, DryRunArg, size};
use crate::exit::{CliError, Outcome};
use crate::render::table::{bytes, count};
use crate::render::{AGAIN, Screen};
use clap::Args;
use stationwagon::archive::Archive;
use stationwagon::archive::prune::{MaxUnused, PruneOptions, PruneReport};
use stationwagon::verbs::prune::prune;
use std::io::{self, Write};

/// Remove what no snapshot needs
///
/// Packs of which nothing is needed go; packs with much waste, and small ones when there are many, are written anew. The
/// new ones are there before the old ones go, a batch at a time: 256 MiB of room on the disk are enough, or the largest
/// pack. It may be interrupted at any time. Nothing is removed while another program reads the archive.
#[derive(Debug, Args)]
pub struct PruneArgs {
    #[command(flatten)]
    archive: ArchiveArg,
    #[command(flatten)]
    rules: PruneRules,
    #[command(flatten)]
    dry_run: DryRunArg,
}

/// How a prune is to weigh.
#[derive(Debug, Args)]
pub struct PruneRules {
    /// Waste that may stay: hundredths of what the packs take (5%), bytes (200M), or unlimited
    #[arg(long, value_name = "LIMIT", default_value = "5%", value_parser = max_unused)]
    max_unused: MaxUnused,
    /// Write at most so many bytes of packs anew (10G); the rest is for the next prune
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_repack: Option<u64>,
}

impl PruneRules {
    pub fn options(&self, dry_run: bool) -> PruneOptions {
        PruneOptions { max_unused: self.max_unused, max_rewrite: self.max_repack, dry_run, ..PruneOptions::default() }
    }
}

fn max_unused(text: &str) -> Result<MaxUnused, String> {
    if text == "unlimited" {
        return Ok(MaxUnused::Unlimited);
    }
    match text.strip_suffix('%') {
        Some(number) => match number.parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(MaxUnused::Percent(percent)),
            _ => Err("a share is a number from 0 to 100, as 5%".to_owned()),
        },
        None => size(text).map(MaxUnused::Bytes),
    }
}

pub fn run(args: &PruneArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let archive = open::archive(&args.archive, screen)?;
    run_on("prune", &archive, &args.rules.options(args.dry_run.dry_run), screen)
}

/// Prunes, and says what came of it.
pub fn run_on(verb: &str, archive: &Archive, options: &PruneOptions, screen: &Screen) -> Result<Outcome, CliError> {
    let (holder, now) = (open::holder(), open::now());
    let report = screen.watch(AGAIN, |sink| prune(archive, options, (&holder, now), sink))?;
    screen.report(verb, &report, |out| write(out, &report))?;
    Ok(Outcome::Done)
}

fn write(out: &mut dyn Write, report: &PruneReport) -> io::Result<()> {
    let before = format!("{} of {}", count(report.packs, "pack"), bytes(report.pack_bytes));
    let waste = format!("{} of {}", count(report.objects_unused, "object"), bytes(report.unused_bytes));
    writeln!(out, "{before}; not needed: {waste}")?;
    let (removed, rewritten) = (count(report.packs_removed, "pack"), count(report.packs_rewritten, "pack"));
    let rewritten_bytes = bytes(report.rewritten_bytes);
    if report.dry_run {
        writeln!(
            out,
            "dry run: nothing was changed; would remove {removed}, write {rewritten} of {rewritten_bytes} anew"
        )?;
    } else {
        let written = format!("{} of {}", count(report.packs_written, "pack"), bytes(report.written_bytes));
        writeln!(out, "removed {removed}, wrote {rewritten} of {rewritten_bytes} anew as {written}")?;
    }
    if report.indexes_made > 0 {
        let verb = if report.dry_run { "would make" } else { "made" };
        writeln!(out, "{verb} {} again that could not be used", count(report.indexes_made, "index"))?;
    }
    let freed = bytes(report.freed_bytes.unsigned_abs());
    let words = match (report.dry_run, report.freed_bytes < 0) {
        (true, _) => "about ",
        (false, true) => "more than before by ",
        (false, false) => "",
    };
    writeln!(out, "freed: {words}{freed}; waste that stays: {}", bytes(report.left_unused_bytes))?;
    match report.objects_missing {
        0 => Ok(()),
        missing => writeln!(out, "{} that snapshots need are in no pack; see `wagon check`", count(missing, "object")),
    }
}
