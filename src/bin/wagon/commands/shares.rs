//! `wagon shares`

use super::open;
use crate::cli::{AtArgs, DryRunArg, KeyArgs, Owner, owner};
use crate::exit::{CliError, Outcome};
use crate::render::table::count;
use crate::render::{AGAIN, Screen};
use clap::{Args, Subcommand};
use serde::Serialize;
use stationwagon::event::Rejection;
use stationwagon::map::Map;
use stationwagon::model::share::Rights;
use stationwagon::model::text::printable;
use stationwagon::site::Target;
use stationwagon::verbs::shares::{
    CheckReport, Comparison, Difference, Finding, Maps, Matrix, Skipped, Standing, Survey, Who, apply, check, compare,
    matrix, plan_fix, plan_undo, survey, survey_archive, undo,
};
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;

/// Check and mend shares: who opened what to whom, and what of it is broken
#[derive(Debug, Args)]
pub struct SharesArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List each share that does not hold together, with its cause and what mends it
    Check(CheckArgs),
    /// Repair what the maps can repair
    Fix(FixArgs),
    /// Take the last fix back
    Undo(UndoArgs),
    /// Print who sees what with which rights
    Matrix(MatrixArgs),
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    site: SiteArg,
    /// Maps of the imports into this site; without any those that lie in it
    #[arg(value_name = "MAP")]
    maps: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct SiteArg {
    /// The site: a folder, dir:FOLDER, or a site description (FILE.toml)
    #[arg(long = "site", alias = "to", value_name = "SITE")]
    name: String,
}

#[derive(Debug, Args)]
struct FixArgs {
    #[command(flatten)]
    site: SiteArg,
    /// Maps of the imports into this site; one that was split over several servers has one for each
    #[arg(value_name = "MAP", required = true)]
    maps: Vec<PathBuf>,
    /// Who owns the files that are written; for root
    #[arg(long, value_name = "UID:GID", value_parser = owner)]
    owner: Option<Owner>,
    #[command(flatten)]
    dry_run: DryRunArg,
}

#[derive(Debug, Args)]
struct UndoArgs {
    #[command(flatten)]
    site: SiteArg,
    /// The journal of the fix; without it that of the last one
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Who owns the files that are written; for root
    #[arg(long, value_name = "UID:GID", value_parser = owner)]
    owner: Option<Owner>,
    #[command(flatten)]
    dry_run: DryRunArg,
}

/// Print who sees what with which rights
///
/// Of a site, or of a snapshot; with --compare of both, the snapshot's names read through the maps, and what differs.
#[derive(Debug, Args)]
struct MatrixArgs {
    /// The site: a folder, dir:FOLDER, or a site description (FILE.toml)
    #[arg(long, alias = "to", value_name = "SITE", required_unless_present = "archive")]
    site: Option<String>,
    /// The archive's folder
    #[arg(long, value_name = "DIR", env = "WAGON_ARCHIVE", hide_env_values = true)]
    archive: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    at: AtArgs,
    /// Compare the site with the snapshot
    #[arg(long, requires_all = ["site", "archive"])]
    compare: bool,
    /// Maps of the imports into this site; without any those that lie in it
    #[arg(value_name = "MAP")]
    maps: Vec<PathBuf>,
}

pub fn run(args: &SharesArgs, screen: &Screen) -> Result<Outcome, CliError> {
    match &args.what {
        What::Check(args) => run_check(args, screen),
        What::Fix(args) => run_fix(args, screen),
        What::Undo(args) => run_undo(args, screen),
        What::Matrix(args) => run_matrix(args, screen),
    }
}

fn run_check(args: &CheckArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let target = open::imported(&args.site.name)?;
    screen.warn(target.cautions());
    let maps = open::maps(&args.maps, target.as_ref())?;
    let maps: Vec<&Map> = maps.iter().collect();
    let report = screen.watch("nothing was changed", |sink| check(target.as_ref(), &maps, sink))?;
    screen.report("shares check", &report, |out| write_check(out, &report))?;
    Ok(match report.differs() {
        true => Outcome::Differences,
        false => done_but(&report.rejected),
    })
}

fn done_but(rejected: &[Rejection]) -> Outcome {
    if rejected.is_empty() { Outcome::Done } else { Outcome::Rejected }
}

fn write_check(out: &mut dyn Write, report: &CheckReport) -> io::Result<()> {
    let looked = [
        count(report.accounts, "account"),
        count(report.shared_folders, "shared folder"),
        count(report.mountpoints, "mountpoint"),
    ];
    writeln!(out, "{}", looked.join(", "))?;
    if report.findings.is_empty() {
        return writeln!(out, "every share holds together");
    }
    write_findings(out, &report.site, &report.findings)
}

/// Findings by what is to be done about them, each with its mending.
fn write_findings(out: &mut dyn Write, site: &str, findings: &[Finding]) -> io::Result<()> {
    let groups = [
        (Standing::Mendable, "`wagon shares fix` mends"),
        (Standing::Waiting, "a later import makes whole"),
        (Standing::Open, "a person must decide"),
        (Standing::Kept, "changed on the target on purpose, and kept"),
    ];
    for (standing, what) in groups {
        let group: Vec<_> = findings.iter().filter(|finding| finding.standing() == standing).collect();
        if !group.is_empty() {
            writeln!(out, "\n{what}:")?;
        }
        for finding in group {
            writeln!(out, "  {finding}")?;
            if standing != Standing::Kept {
                writeln!(out, "    {}", finding.mend.command(site))?;
            }
        }
    }
    Ok(())
}

fn run_fix(args: &FixArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let target = ready(&args.site, args.owner)?;
    screen.warn(target.cautions());
    let maps = open::maps(&args.maps, target.as_ref())?;
    let maps: Vec<&Map> = maps.iter().collect();
    let plan = screen.watch("nothing was changed", |sink| plan_fix(target.as_ref(), &maps, sink))?;
    if args.dry_run.dry_run {
        screen.report("shares fix", &plan, |out| {
            write_steps(out, "would change", &plan.steps)?;
            write_findings(out, &plan.site, &plan.left)
        })?;
        return Ok(done_but(&plan.rejected));
    }
    let files = open::files();
    let report = screen.watch(AGAIN, |sink| apply(target.as_ref(), files.as_ref(), &plan, open::now(), sink))?;
    screen.report("shares fix", &report, |out| {
        write_steps(out, "changed", &report.done)?;
        write_skipped(out, &report.skipped)?;
        write_findings(out, &plan.site, &report.left)?;
        match &report.journal {
            None => Ok(()),
            Some(path) => {
                writeln!(out, "\n`wagon shares undo` takes it back: {}", printable(&path.display().to_string()))
            }
        }
    })?;
    Ok(if report.skipped.is_empty() { done_but(&plan.rejected) } else { Outcome::Rejected })
}

/// The site that is to be written, which must be there already.
fn ready(site: &SiteArg, owner: Option<Owner>) -> Result<Box<dyn Target>, CliError> {
    match owner {
        None => open::imported(&site.name),
        Some(owner) => {
            drop(open::source(&site.name)?);
            open::target(&site.name, Some(owner))
        }
    }
}

fn write_steps(out: &mut dyn Write, what: &str, steps: &[impl Display]) -> io::Result<()> {
    writeln!(out, "{what}: {}", count(steps.len() as u64, "share"))?;
    steps.iter().try_for_each(|step| writeln!(out, "  {step}"))
}

fn write_skipped(out: &mut dyn Write, skipped: &[Skipped]) -> io::Result<()> {
    if !skipped.is_empty() {
        writeln!(out, "\nleft as they are:")?;
    }
    skipped.iter().try_for_each(|one| writeln!(out, "  {}: {}", one.step, printable(&one.why)))
}

fn run_undo(args: &UndoArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let target = ready(&args.site, args.owner)?;
    screen.warn(target.cautions());
    let files = open::files();
    let plan = plan_undo(target.as_ref(), files.as_ref(), args.journal.as_deref())?;
    if args.dry_run.dry_run {
        screen.report("shares undo", &plan, |out| {
            write_steps(out, "would change", &plan.steps)?;
            write_skipped(out, &plan.conflicts)
        })?;
        return Ok(if plan.conflicts.is_empty() { Outcome::Done } else { Outcome::Rejected });
    }
    let report = screen.watch(AGAIN, |sink| undo(target.as_ref(), files.as_ref(), &plan, open::now(), sink))?;
    screen.report("shares undo", &report, |out| {
        write_steps(out, "changed", &report.done)?;
        write_skipped(out, &report.skipped)
    })?;
    Ok(if report.skipped.is_empty() { Outcome::Done } else { Outcome::Rejected })
}

fn run_matrix(args: &MatrixArgs, screen: &Screen) -> Result<Outcome, CliError> {
    if args.compare {
        return run_compare(args, screen);
    }
    let survey = match &args.site {
        Some(site) => {
            let site = open::source(site)?;
            screen.warn(site.cautions());
            site_survey(site.as_ref(), screen)?
        }
        None => archive_survey(args, screen)?,
    };
    let found = matrix(&survey);
    screen.report("shares matrix", &found, |out| out.write_all(found.render().as_bytes()))?;
    Ok(done_but(&survey.rejected))
}

fn site_survey(site: &dyn stationwagon::site::Source, screen: &Screen) -> Result<Survey, CliError> {
    screen.watch("nothing was changed", |sink| survey(site, sink))
}

fn archive_survey(args: &MatrixArgs, screen: &Screen) -> Result<Survey, CliError> {
    let dir = args.archive.as_deref().unwrap_or(std::path::Path::new("."));
    let archive = open::unlock(open::archive_in(dir, screen)?, &args.keys)?;
    let view = open::view(&archive, &args.at)?;
    screen.watch("nothing was changed", |sink| survey_archive(&view.history, sink))
}

#[derive(Serialize)]
struct CompareReport<'a> {
    source: &'a Matrix,
    target: &'a Matrix,
    comparison: &'a Comparison,
}

fn run_compare(args: &MatrixArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let target = open::imported(args.site.as_deref().unwrap_or_default())?;
    screen.warn(target.cautions());
    let maps = open::maps(&args.maps, target.as_ref())?;
    let maps: Vec<&Map> = maps.iter().collect();
    let maps = Maps::new(&maps, target.describe()?.id.as_ref())?;
    let (there, here) = (archive_survey(args, screen)?, site_survey(target.as_ref(), screen)?);
    let (source, now) = (matrix(&there), matrix(&here));
    let comparison = compare((&there, &source), (&here, &now), &maps)?;
    let report = CompareReport { source: &source, target: &now, comparison: &comparison };
    screen.report("shares matrix", &report, |out| write_comparison(out, &comparison))?;
    Ok(match comparison.is_equal() {
        true => done_but(&here.rejected),
        false => Outcome::Differences,
    })
}

fn write_comparison(out: &mut dyn Write, comparison: &Comparison) -> io::Result<()> {
    let different = comparison.differences.len() as u64;
    writeln!(out, "{} the same on both sides, {different} different", count(comparison.same, "row"))?;
    for one in &comparison.differences {
        let Difference { owner, folder, who, source, target } = one;
        let who = match who {
            Who::Grantee { grantee, negative: false } => grantee.to_string(),
            Who::Grantee { grantee, negative: true } => format!("not {grantee}"),
            Who::Account(account) => format!("what {account} sees"),
        };
        let rights = |rights: &Option<Rights>| rights.as_ref().map_or("nothing".to_owned(), ToString::to_string);
        let place = printable(&format!("{owner}:{folder}, {who}"));
        writeln!(out, "  {place}: {} on the source, {} on the target", rights(source), rights(target))?;
    }
    if !comparison.waiting.is_empty() {
        writeln!(out, "\nwait for somebody who has not arrived:")?;
    }
    comparison.waiting.iter().try_for_each(|one| writeln!(out, "  {}", printable(one)))
}
