//! `wagon protect`

use super::open;
use crate::cli::ArchiveArg;
use crate::exit::{CliError, Outcome};
use crate::render::table::{bytes, count};
use crate::render::{AGAIN, Screen};
use clap::Args;
use stationwagon::archive::parity::{ProtectOptions, ProtectReport};
use stationwagon::limits::PARITY_PERCENT;
use stationwagon::model::text::printable;
use stationwagon::verbs::protect::protect;
use std::io::{self, Write};

/// Add parity, from which `wagon repair` brings back what bad sectors take
///
/// Each file of the archive gets a Reed-Solomon parity file in the folder parity. Of a file and its parity together any
/// blocks of 4 KiB may be lost, up to the percentage, and every byte comes back. Run it again after later exports: only
/// what is new is read. It needs no key for an encrypted archive, and whoever has no use for it may remove the folder.
#[derive(Debug, Args)]
pub struct ProtectArgs {
    #[command(flatten)]
    archive: ArchiveArg,
    /// How many hundredths of each file may be lost, 1 to 50; the parity takes about a sixth more than that
    #[arg(long, value_name = "N", default_value_t = PARITY_PERCENT, value_parser = clap::value_parser!(u16).range(1..=50))]
    percent: u16,
}

pub fn run(args: &ProtectArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let archive = open::archive_to_keep(&args.archive, screen)?;
    let holder = (open::holder(), open::now());
    let options = ProtectOptions { percent: args.percent };
    let report = screen.watch(AGAIN, |sink| protect(&archive, options, (&holder.0, holder.1), sink))?;
    screen.report("protect", &report, |out| write(out, &report))?;
    Ok(if report.refused.is_empty() { Outcome::Done } else { Outcome::Differences })
}

fn write(out: &mut dyn Write, report: &ProtectReport) -> io::Result<()> {
    let protected = report.files - report.refused.len() as u64;
    writeln!(
        out,
        "{} of {} protected: up to {} per cent of each may be lost; parity of {} made",
        count(protected, "file"),
        bytes(report.file_bytes),
        report.percent,
        count(report.made, "file")
    )?;
    writeln!(out, "all parity takes {}", bytes(report.parity_bytes))?;
    for refused in &report.refused {
        let path = printable(&refused.path.display().to_string());
        writeln!(out, "{path}: not protected, it is damaged: {}", printable(&refused.what))?;
    }
    match report.refused.as_slice() {
        [] => Ok(()),
        _ => writeln!(out, "`wagon check --read-data` says what that costs, `wagon repair` mends what can be mended"),
    }
}
