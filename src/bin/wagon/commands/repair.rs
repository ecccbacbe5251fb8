//! `wagon repair`

use super::open;
use crate::cli::{ArchiveArg, DryRunArg};
use crate::exit::{CliError, Outcome};
use crate::render::table::count;
use crate::render::{AGAIN, Screen};
use clap::Args;
use stationwagon::archive::repair::RepairReport;
use stationwagon::model::text::printable;
use stationwagon::verbs::repair::{mend_beside, mend_copies, repair};
use std::io::{self, Write};

/// Mend a damaged archive
///
/// Files that have parity (`wagon protect`) are mended with it, bit for bit, before anything else is done. Then it
/// makes indexes again from packs, and packs with damage again without it; the damaged ones are put into the folder
/// damaged. Messages that this costs are named; the next export of their source stores those again that it still has. A
/// snapshot that cannot be read stays: `wagon export --full` goes on without it.
#[derive(Debug, Args)]
pub struct RepairArgs {
    #[command(flatten)]
    archive: ArchiveArg,
    #[command(flatten)]
    dry_run: DryRunArg,
}

/// Items that are named without `--verbose`.
const PLACES_SHOWN: usize = 10;

pub fn run(args: &RepairArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let holder = (open::holder(), open::now());
    let dry_run = args.dry_run.dry_run;
    // Without these nothing else can be opened, let alone mended.
    let beside = mend_beside(&open::files(), &args.archive.dir, dry_run)?;
    let copies = match mend_copies(&open::files(), &args.archive.dir, dry_run) {
        // Parity would mend first what is missing here.
        Err(_) if dry_run && !beside.is_empty() => Vec::new(),
        outcome => outcome?,
    };
    let archive = match open::archive(&args.archive, screen) {
        Err(_) if dry_run && !(beside.is_empty() && copies.is_empty()) => {
            let report = RepairReport { dry_run, files_mended: beside, copies_made: copies, ..RepairReport::default() };
            screen.report("repair", &report, |out| write(out, &report, screen.verbose()))?;
            return Ok(Outcome::Done);
        }
        outcome => outcome?,
    };
    let mut report = screen.watch(AGAIN, |sink| repair(&archive, dry_run, (&holder.0, holder.1), sink))?;
    report.copies_made = copies;
    if !dry_run {
        report.files_mended.splice(0..0, beside);
    }
    screen.report("repair", &report, |out| write(out, &report, screen.verbose()))?;
    Ok(if report.is_loss() { Outcome::Differences } else { Outcome::Done })
}

fn write(out: &mut dyn Write, report: &RepairReport, verbose: bool) -> io::Result<()> {
    let dry = if report.dry_run { "dry run: nothing was changed; " } else { "" };
    writeln!(out, "{dry}{} looked at", count(report.packs, "pack"))?;
    for file in &report.files_mended {
        let path = printable(&file.path.display().to_string());
        let how = if file.was_missing { "it was gone".to_owned() } else { count(file.blocks, "block") };
        let done = if report.dry_run { "can be mended by its parity" } else { "mended by its parity" };
        writeln!(out, "{path}: {done} ({how})")?;
    }
    for path in &report.copies_made {
        let done = if report.dry_run { "can be written from its other copy" } else { "written from its other copy" };
        writeln!(out, "{}: {done}", path.display())?;
    }
    for file in &report.beyond_parity {
        writeln!(out, "{}: not mended by its parity: {}", printable(&file.path.display().to_string()), file.what)?;
    }
    report.parity_made.iter().try_for_each(|path| writeln!(out, "{}: made again", path.display()))?;
    report.parity_removed.iter().try_for_each(|path| writeln!(out, "{}: removed, its file is gone", path.display()))?;
    if report.dry_run && !report.files_mended.is_empty() {
        writeln!(out, "what follows is counted as if parity mended nothing:")?;
    }
    for pack in &report.packs_mended {
        let (kept, lost) = (count(pack.objects_kept, "object"), count(pack.objects_lost, "object"));
        write!(out, "{}: {kept} kept, {lost} lost", pack.path.display())?;
        match &pack.aside {
            Some(aside) => writeln!(out, "; it lies in {}", aside.display())?,
            None => writeln!(out)?,
        }
    }
    report.indexes_made.iter().try_for_each(|path| writeln!(out, "{}: made again", path.display()))?;
    report
        .indexes_removed
        .iter()
        .try_for_each(|path| writeln!(out, "{}: removed, its pack is gone", path.display()))?;
    for no in &report.snapshots_mended {
        let done = if report.dry_run { "can be written again" } else { "was written again" };
        writeln!(out, "snapshot {no} had lost nothing but what the rest of it makes up for, and {done}")?;
    }
    for lost in &report.manifests_lost {
        let of = lost.account.as_deref().map_or("the site's records".to_owned(), printable);
        writeln!(out, "snapshot {}: what it says of {of} is lost", lost.snapshot)?;
    }
    for no in &report.snapshots_damaged {
        writeln!(out, "snapshot {no} is damaged; `wagon export --full` goes on without it, then `wagon forget {no}`")?;
    }
    if report.objects_lost == 0 {
        return match report.snapshots_damaged.is_empty() {
            true => writeln!(out, "nothing is lost"),
            false => writeln!(out, "no object is lost"),
        };
    }
    writeln!(
        out,
        "lost: {}, and with them {} of {}",
        count(report.objects_lost, "object"),
        count(report.items, "item"),
        count(report.wanted.len() as u64, "account")
    )?;
    let most = if verbose { report.places.len() } else { PLACES_SHOWN };
    for place in report.places.iter().take(most) {
        writeln!(out, "  {}", printable(&place.to_string()))?;
    }
    match report.items.saturating_sub(report.places.len().min(most) as u64) {
        0 => {}
        more => writeln!(out, "  and {more} more")?,
    }
    writeln!(out, "the next `wagon export` reads these accounts from beginning to end and stores what is still there")
}
