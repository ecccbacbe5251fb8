//! `wagon forget`

use super::open;
use super::prune::{self, PruneRules};
use crate::cli::{ArchiveArg, DryRunArg, SignArgs, snapshot_no};
use crate::exit::{CliError, Outcome};
use crate::render::table::{Align, Table, count, time};
use crate::render::{AGAIN, Screen};
use clap::Args;
use jiff::Span;
use stationwagon::model::id::{SiteId, SnapshotNo};
use stationwagon::verbs::forget::{Candidate, Count, ForgetOptions, ForgetReport, Keep, forget, parse_duration};
use std::io::{self, Write};

/// Take snapshots away, by rules or by number
///
/// Rules count from the newest snapshot of each source; what any of them keeps stays, and the newest always does. Days,
/// weeks, months and years are those of UTC. Snapshots that stay say the same as before, and targets go on from wherever
/// they are. What only forgotten snapshots needed is removed by `wagon prune`, or with --prune at once.
#[derive(Debug, Args)]
pub struct ForgetArgs {
    #[command(flatten)]
    archive: ArchiveArg,
    /// Numbers of snapshots to forget
    #[arg(value_name = "SNAPSHOT", value_parser = snapshot_no)]
    snapshots: Vec<SnapshotNo>,
    /// Apply the rules to this source site only
    #[arg(long, value_name = "ID")]
    source: Option<SiteId>,
    /// Keep the last N snapshots; N may be unlimited here and below
    #[arg(short = 'l', long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = keep_count)]
    keep_last: Count,
    /// Keep the last snapshot of each of the last N hours that have one
    #[arg(short = 'H', long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = keep_count)]
    keep_hourly: Count,
    /// Keep the last snapshot of each of the last N days that have one
    #[arg(short = 'd', long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = keep_count)]
    keep_daily: Count,
    /// Keep the last snapshot of each of the last N weeks that have one
    #[arg(short = 'w', long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = keep_count)]
    keep_weekly: Count,
    /// Keep the last snapshot of each of the last N months that have one
    #[arg(short = 'm', long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = keep_count)]
    keep_monthly: Count,
    /// Keep the last snapshot of each of the last N years that have one
    #[arg(short = 'y', long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = keep_count)]
    keep_yearly: Count,
    /// Keep what is not older than this (1y5m7d2h) before the newest snapshot
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    keep_within: Option<Span>,
    /// Keep snapshots with this label; may be given again
    #[arg(long, value_name = "TEXT")]
    keep_label: Vec<String>,
    /// Then remove what no snapshot needs any more
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    rules: PruneRules,
    #[command(flatten)]
    sign: SignArgs,
    #[command(flatten)]
    dry_run: DryRunArg,
}

fn keep_count(text: &str) -> Result<Count, String> {
    match text {
        "unlimited" => Ok(Count::MAX),
        number => number.parse().map_err(|_| "a count is a number or unlimited".to_owned()),
    }
}

fn duration(text: &str) -> Result<Span, String> {
    parse_duration(text).ok_or_else(|| "a duration is years, months, days and hours, as 1y5m7d2h".to_owned())
}

pub fn run(args: &ForgetArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let archive = open::signing(open::archive(&args.archive, screen)?, &args.sign)?;
    let dry_run = args.dry_run.dry_run;
    let options = ForgetOptions {
        source: args.source.clone(),
        keep: Keep {
            last: args.keep_last,
            hourly: args.keep_hourly,
            daily: args.keep_daily,
            weekly: args.keep_weekly,
            monthly: args.keep_monthly,
            yearly: args.keep_yearly,
            within: args.keep_within,
            labels: args.keep_label.clone(),
        },
        snapshots: args.snapshots.clone(),
        dry_run,
        holder: open::holder(),
        now: open::now(),
    };
    let report = screen.watch(AGAIN, |sink| forget(&archive, &options, sink))?;
    screen.report("forget", &report, |out| write(out, &report))?;
    match args.prune && !dry_run {
        true => prune::run_on("prune", &archive, &args.rules.options(false), screen),
        false => Ok(Outcome::Done),
    }
}

fn write(out: &mut dyn Write, report: &ForgetReport) -> io::Result<()> {
    use Align::{Left, Right};
    let row = |snapshot: &Candidate| {
        let label = snapshot.label.clone().unwrap_or_default();
        vec![snapshot.no.to_string(), time(snapshot.started), label]
    };
    if report.dry_run {
        writeln!(out, "dry run: nothing was changed")?;
    }
    for (source, found) in &report.sources {
        writeln!(out, "source {source}: keep {}", count(found.keep.len() as u64, "snapshot"))?;
        let mut table = Table::new(&[("NO", Right), ("TIME", Left), ("LABEL", Left), ("REASONS", Left)]);
        for kept in &found.keep {
            table.row(row(&kept.snapshot).into_iter().chain([kept.reasons.join(", ")]));
        }
        table.write(out)?;
        writeln!(out, "\nsource {source}: forget {}", count(found.forget.len() as u64, "snapshot"))?;
        if !found.forget.is_empty() {
            let mut table = Table::new(&[("NO", Right), ("TIME", Left), ("LABEL", Left)]);
            found.forget.iter().for_each(|snapshot| table.row(row(snapshot)));
            table.write(out)?;
        }
        writeln!(out)?;
    }
    for no in &report.unreadable {
        writeln!(out, "snapshot {no}, which cannot be read, goes too")?;
    }
    match report.rewritten.as_slice() {
        [] => Ok(()),
        again => {
            let verb = if report.dry_run { "to be written" } else { "written" };
            writeln!(out, "{} {verb} again, because what they built on goes", count(again.len() as u64, "snapshot"))
        }
    }
}
