//! `wagon diff`

use super::open;
use crate::cli::{ArchiveArg, snapshot_no};
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use clap::Args;
use stationwagon::model::id::SnapshotNo;
use stationwagon::model::text::printable;
use stationwagon::verbs::show::View;
use stationwagon::verbs::show::diff::{Difference, How, SnapshotDifferences, diff};
use std::io::{self, Write};

/// Show what changed between two snapshots of a source
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The earlier snapshot
    #[arg(value_name = "A", value_parser = snapshot_no)]
    a: SnapshotNo,
    /// The later one; without it the newest of the same source
    #[arg(value_name = "B", value_parser = snapshot_no)]
    b: Option<SnapshotNo>,
    /// Only accounts whose address matches; may be given again
    #[arg(long, value_name = "GLOB")]
    account: Vec<String>,
    #[command(flatten)]
    archive: ArchiveArg,
}

pub fn run(args: &DiffArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let archive = open::archive(&args.archive, screen)?;
    let a = View::open(&archive, None, Some(args.a))?;
    let source = a.head().source.clone();
    let b = View::open(&archive, Some(&source), args.b)?;
    let found = diff(&a, &b, &args.account)?;
    screen.report("diff", &found, |out| write(out, &found))?;
    Ok(Outcome::Done)
}

fn write(out: &mut dyn Write, found: &SnapshotDifferences) -> io::Result<()> {
    if found.records.is_empty() && found.accounts.is_empty() {
        return writeln!(out, "snapshots {} and {} are alike", found.a, found.b);
    }
    found.records.iter().try_for_each(|difference| write_one(out, "", difference))?;
    for account in &found.accounts {
        writeln!(out, "{}", printable(&account.account))?;
        account.differences.iter().try_for_each(|difference| write_one(out, "  ", difference))?;
    }
    Ok(())
}

fn write_one(out: &mut dyn Write, indent: &str, difference: &Difference) -> io::Result<()> {
    let sign = match difference.how {
        How::Added => '+',
        How::Removed => '-',
        How::Renamed | How::Moved => '>',
        How::Changed => '~',
    };
    let details = match difference.details.is_empty() {
        true => String::new(),
        false => format!(": {}", printable(&difference.details.join("; "))),
    };
    writeln!(out, "{indent}{sign} {}{details}", printable(&difference.what))
}
