//! `wagon verify`

use super::open;
use crate::cli::{ArchiveArg, AtArgs, TrustArgs};
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use crate::render::table::{bytes, count};
use clap::Args;
use stationwagon::map::Map;
use stationwagon::model::text::printable;
use stationwagon::site::Target;
use stationwagon::verbs::show::globs;
use stationwagon::verbs::verify::{VerifyOptions, VerifyReport, verify};
use std::io::{self, Write};

/// Read a site back and compare it with a snapshot
///
/// Compares content, folders, flags, dates, provisioning and shares, item by item through the map of the import. Changes
/// nothing.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    archive: ArchiveArg,
    #[command(flatten)]
    trust: TrustArgs,
    /// The site that was imported: a folder, dir:FOLDER, or a site description (FILE.toml)
    #[arg(long, value_name = "SITE")]
    to: String,
    #[command(flatten)]
    at: AtArgs,
    /// Only accounts whose address matches; may be given again
    #[arg(long, value_name = "GLOB")]
    account: Vec<String>,
}

pub fn run(args: &VerifyArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let archive = open::trusting(open::archive(&args.archive, screen)?, &args.trust)?;
    let view = open::view(&archive, &args.at)?;
    let target = open::imported(&args.to)?;
    screen.warn(target.cautions());
    let map = map_of(target.as_ref(), &view.head().source)?;
    let options = VerifyOptions { snapshot: Some(view.head().no), accounts: globs(&args.account)? };
    let report = screen.watch("nothing was changed", |sink| verify(&archive, target.as_ref(), &map, &options, sink))?;
    screen.report("verify", &report, |out| write(out, &report))?;
    Ok(if report.differences.is_empty() { Outcome::Done } else { Outcome::Differences })
}

fn map_of(target: &dyn Target, source: &stationwagon::model::id::SiteId) -> Result<Map, CliError> {
    let path = target.state_dir().join(stationwagon::map::file_name(source));
    if open::files().lstat(&path).is_err() {
        let path = path.display();
        return Err(CliError::Usage(format!("nothing of source {source} was imported here: there is no {path}")));
    }
    Ok(Map::read(&path)?)
}

fn write(out: &mut dyn Write, report: &VerifyReport) -> io::Result<()> {
    let read = [count(report.accounts, "account"), count(report.folders, "folder"), count(report.items, "item")];
    writeln!(out, "compared with snapshot {}: {}, {}", report.snapshot, read.join(", "), bytes(report.bytes))?;
    let left = [
        (report.equal, "equal"),
        (report.changed_on_target, "changed by users of the site"),
        (report.deleted_on_target, "deleted by users of the site"),
        (report.left_out, "left out by the import"),
        (report.not_moved, "moved on the source, and left in place by the additive import"),
        (report.different, "different"),
    ];
    for (number, what) in left.into_iter().filter(|(number, what)| *number > 0 || *what == "equal") {
        writeln!(out, "  {number} {what}")?;
    }
    writeln!(out, "  {} records, settings and access lists compared beside them", report.records)?;
    for (kind, accounts) in &report.skipped {
        writeln!(
            out,
            "  {kind} not compared: the import left them out (--skip {kind}) for {}",
            count(*accounts, "account")
        )?;
    }
    if report.differences.is_empty() {
        return writeln!(out, "no difference");
    }
    writeln!(out, "\n{}:", count(report.differences.len() as u64, "difference"))?;
    report.differences.iter().try_for_each(|one| writeln!(out, "  {}: {}", one.place, printable(&one.what)))
}
