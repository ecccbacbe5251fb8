//! `wagon export`

use super::open;
use super::throttle::ThrottleArgs;
use crate::cli::{ArchiveArg, DryRunArg, Global, SignArgs, workers};
use crate::exit::{CliError, Outcome};
use crate::render::table::{bytes, count};
use crate::render::{AGAIN, Screen};
use clap::Args;
use stationwagon::archive::Recipients;
use stationwagon::fs::Counted;
use stationwagon::model::id::SiteId;
use stationwagon::verbs::export::{ExportOptions, ExportReport, export};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Add a snapshot of a site to an archive
///
/// The first export makes the archive. Later ones read and write only what changed. Exports of chosen accounts and of the
/// whole site may be mixed: what a pass did not look at counts as unchanged.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The site: a folder, dir:FOLDER, or a site description (FILE.toml)
    #[arg(long, value_name = "SITE")]
    from: String,
    #[command(flatten)]
    archive: ArchiveArg,
    /// The id under which the archive keeps this site; without it the site's own or the one it had before
    #[arg(long, value_name = "ID")]
    source: Option<SiteId>,
    /// Only accounts whose address matches; may be given again
    #[arg(long, value_name = "GLOB")]
    account: Vec<String>,
    /// Not accounts whose address matches; may be given again
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Read and hash everything, also what looks unchanged
    #[arg(long)]
    deep: bool,
    /// Write full manifests, so that no later snapshot needs earlier ones
    #[arg(long)]
    full: bool,
    /// A word for people, shown by `wagon snapshots`
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// Threads that take messages apart; without it as many as there are cores
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Encrypt a new archive for this public key of age (age1…); may be given again. Later exports take it from the archive
    #[arg(long, value_name = "KEY", help_heading = "Encryption")]
    recipient: Vec<String>,
    /// The same with the public keys of a file, one a line
    #[arg(long, value_name = "FILE", help_heading = "Encryption")]
    recipients_file: Vec<PathBuf>,
    #[command(flatten)]
    sign: SignArgs,
    #[command(flatten)]
    throttle: ThrottleArgs,
    #[command(flatten)]
    dry_run: DryRunArg,
}

pub fn run(args: &ExportArgs, global: &Global, screen: &Screen) -> Result<Outcome, CliError> {
    let source = open::source_through(args.throttle.apply(Counted::Reading)?, &args.from)?;
    screen.warn(source.cautions());
    let mut opened = open::archive_or_new(&args.archive, global, &for_whom(args)?, args.dry_run.dry_run, screen)?;
    opened.archive = open::signing(opened.archive, &args.sign)?;
    let mut catalog = open::catalog(global, source.as_ref(), &opened.archive)?;
    let options = ExportOptions {
        source: args.source.clone(),
        accounts: args.account.clone(),
        exclude: args.exclude.clone(),
        deep: args.deep,
        full: args.full,
        label: args.label.clone(),
        dry_run: args.dry_run.dry_run,
        workers: workers(args.jobs),
        clock: open::now,
        holder: open::holder(),
    };
    let report = screen.watch(AGAIN, |sink| export(source.as_ref(), &opened.archive, &mut catalog, &options, sink))?;
    screen.report("export", &report, |out| write(out, &report))?;
    Ok(if report.rejected.is_empty() { Outcome::Done } else { Outcome::Rejected })
}

fn for_whom(args: &ExportArgs) -> Result<open::ForWhom, CliError> {
    let bad = |path: &str| {
        let path = PathBuf::from(path);
        move |source| CliError::Keys { path, source }
    };
    let mut recipients = Recipients::parse(args.recipient.iter().map(String::as_str)).map_err(bad("--recipient"))?;
    for path in &args.recipients_file {
        let name = path.display().to_string();
        let file = Recipients::parse_file(&open::secret(path)?).map_err(bad(&name))?;
        recipients = recipients.join(file).map_err(bad(&name))?;
    }
    Ok(open::ForWhom { recipients, passphrase_file: args.archive.keys.passphrase_file.clone() })
}

fn write(out: &mut dyn Write, report: &ExportReport) -> io::Result<()> {
    let counts = &report.counts;
    match report.snapshot {
        Some(no) => writeln!(out, "snapshot {no} of source {}", report.source)?,
        None => writeln!(out, "dry run: nothing was written; an export of source {} would find", report.source)?,
    }
    if !report.lost.is_empty() {
        let lost = report.lost.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        writeln!(out, "  made without snapshot {lost}, which cannot be read; it needs no earlier one")?;
        writeln!(out, "  an import recognizes what only the lost snapshot knew by name and content")?;
    }
    if !report.salvaged.is_empty() {
        let salvaged = count(report.salvaged.len() as u64, "account");
        writeln!(out, "  the earlier state of {salvaged} is not known for certain")?;
    }
    let of = |part: u64, all: u64, one: &str| format!("{part} of {}", count(all, one));
    writeln!(
        out,
        "  {} changed, {} read",
        of(counts.accounts_changed, counts.accounts_scanned, "account"),
        of(counts.folders_read, counts.folders_scanned, "folder")
    )?;
    writeln!(
        out,
        "  items: {} added, {} changed, {} moved, {} removed",
        counts.items_added, counts.items_changed, counts.items_moved, counts.items_removed
    )?;
    if report.snapshot.is_some() {
        let grew = bytes(counts.pack_bytes);
        writeln!(out, "  {} read, the archive grew by {grew}", bytes(counts.bytes_read))?;
    }
    match report.rejected.len() as u64 {
        0 => Ok(()),
        rejected => writeln!(out, "  {} rejected; `wagon show` lists them", count(rejected, "item")),
    }
}
