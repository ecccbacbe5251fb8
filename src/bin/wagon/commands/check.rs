//! `wagon check`

use super::open;
use crate::cli::{ArchiveArg, Global};
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use crate::render::table::count;
use clap::Args;
use stationwagon::archive::check::{CheckReport, Finding, check};
use stationwagon::model::text::printable;
use std::io::{self, Write};

/// Check an archive, and name what is lost where it is damaged
///
/// Without --read-data it looks at what the files say of themselves and of one another; with it every byte is inflated,
/// joined and hashed.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    archive: ArchiveArg,
    /// Read and compare every byte
    #[arg(long)]
    read_data: bool,
}

pub fn run(args: &CheckArgs, global: &Global, screen: &Screen) -> Result<Outcome, CliError> {
    let archive = open::archive_to_read(&args.archive, global)?;
    let report = screen.watch("nothing was changed", |sink| check(&archive, args.read_data, sink))?;
    screen.report("check", &report, |out| write(out, &report, screen.verbose()))?;
    Ok(if report.findings.is_empty() { Outcome::Done } else { Outcome::Differences })
}

/// Items of a finding that are named without `--verbose`.
const PLACES_SHOWN: usize = 10;

fn write(out: &mut dyn Write, report: &CheckReport, verbose: bool) -> io::Result<()> {
    let looked = [
        count(report.snapshots, "snapshot"),
        count(report.packs, "pack"),
        count(report.objects, "object"),
        if report.read_data { "every byte read".to_owned() } else { "data not read".to_owned() },
    ];
    writeln!(out, "{}", looked.join(", "))?;
    match report.findings.as_slice() {
        [] => writeln!(out, "no damage"),
        findings => findings.iter().try_for_each(|finding| write_finding(out, finding, verbose)),
    }
}

fn write_finding(out: &mut dyn Write, finding: &Finding, verbose: bool) -> io::Result<()> {
    writeln!(out, "\n{}: {}", printable(&finding.path.display().to_string()), printable(&finding.what))?;
    if finding.lost > 0 || finding.items > 0 {
        writeln!(out, "  lost: {}, {}", count(finding.lost, "object"), count(finding.items, "item"))?;
    }
    let most = if verbose { finding.places.len() } else { PLACES_SHOWN };
    finding.places.iter().take(most).try_for_each(|place| writeln!(out, "  {place}"))?;
    let shown = finding.places.len().min(most) as u64;
    match finding.items.saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}
