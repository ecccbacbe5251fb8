//! `wagon check`

use super::open;
use crate::cli::{ArchiveArg, Global, TrustArgs};
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use crate::render::table::{bytes, count};
use clap::Args;
use stationwagon::archive::check::{CheckReport, Finding, Reading, check_part};
use stationwagon::archive::parity::Protection;
use stationwagon::model::text::printable;
use std::io::{self, Write};

/// Check an archive, and name what is lost where it is damaged
///
/// Without --read-data it looks at what the files say of themselves and of one another; with it every byte is inflated,
/// joined and hashed. For large archives a part may be read each time: --read-data=2/7 on Tuesdays reads everything within
/// a week, --read-data=5% reads other packs each time, --sample reads a thousand objects as an import
/// would, --sample 500 so many.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    archive: ArchiveArg,
    #[command(flatten)]
    trust: TrustArgs,
    /// Read and compare every byte, or those of a part of the packs: 5%, or 2/7 (the second of seven groups)
    #[arg(long, value_name = "PART", num_args = 0..=1, require_equals = true, default_missing_value = "100%", value_parser = part)]
    read_data: Option<Reading>,
    /// Read and compare so many objects, chosen by chance; 1000 without a number
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1000", conflicts_with = "read_data")]
    sample: Option<u64>,
}

fn part(text: &str) -> Result<Reading, String> {
    let wrong = || "a part is 5%, or 2/7".to_owned();
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.parse().map_err(|_| wrong())?;
        return match percent {
            100.0 => Ok(Reading::Everything),
            0.0..100.0 => Ok(Reading::Percent(percent)),
            _ => Err(wrong()),
        };
    }
    let (number, of) = text.split_once('/').ok_or_else(wrong)?;
    let (number, of) = (number.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
    if (1..=of).contains(&number) { Ok(Reading::Group { number, of }) } else { Err(wrong()) }
}

pub fn run(args: &CheckArgs, global: &Global, screen: &Screen) -> Result<Outcome, CliError> {
    let archive = open::trusting(open::archive_to_read(&args.archive, global, screen)?, &args.trust)?;
    let reading = args.sample.map(Reading::Sample).or(args.read_data).unwrap_or_default();
    let report = screen.watch("nothing was changed", |sink| check_part(&archive, reading, sink))?;
    screen.report("check", &report, |out| write(out, &report, screen.verbose()))?;
    Ok(match (report.findings.is_empty(), report.unopened) {
        (false, _) => Outcome::Differences,
        (true, true) => Outcome::Unopened,
        (true, false) => Outcome::Done,
    })
}

/// Items of a finding that are named without `--verbose`.
const PLACES_SHOWN: usize = 10;

fn write(out: &mut dyn Write, report: &CheckReport, verbose: bool) -> io::Result<()> {
    let looked = [
        count(report.snapshots, "snapshot"),
        count(report.packs, "pack"),
        count(report.objects, "object"),
        match (report.read_data, report.packs_read, report.objects_read) {
            (true, ..) => "every byte read".to_owned(),
            (_, 0, 0) => "data not read".to_owned(),
            (_, packs, 0) => format!("{} read", count(packs, "pack")),
            (_, _, objects) => format!("{} read", count(objects, "object")),
        },
    ];
    if report.unopened {
        let how = if report.packs_read > 0 { "every file compared with its name" } else { "data not read" };
        writeln!(out, "{}, {}, {how}", count(report.snapshots, "snapshot"), count(report.packs, "pack"))?;
        writeln!(
            out,
            "not looked into: the archive is encrypted, and neither --identity nor --passphrase-file was given"
        )?;
    } else {
        writeln!(out, "{}", looked.join(", "))?;
    }
    if let Some(protection) = &report.protection {
        write_protection(out, protection, verbose)?;
    }
    match report.findings.as_slice() {
        [] if report.unopened => writeln!(out, "no damage, as far as can be seen without a key"),
        [] => writeln!(out, "no damage"),
        findings => {
            findings.iter().try_for_each(|finding| write_finding(out, finding, verbose))?;
            let snapshots = findings.iter().any(|finding| finding.path.starts_with("snapshots"));
            let objects = findings.iter().any(|finding| {
                !finding.path.starts_with("parity") && !finding.path.starts_with("snapshots") || finding.lost > 0
            });
            writeln!(out, "\nwhat to do:")?;
            if report.protection.is_some() {
                writeln!(out, "  `wagon repair` mends with parity first: files that have enough of it lose nothing")?;
            }
            if objects {
                writeln!(out, "  `wagon repair --dry-run` shows what can be mended, `wagon repair` does it; the next")?;
                writeln!(out, "  `wagon export` of a site that is still alive then stores again what was lost")?;
            }
            if snapshots {
                writeln!(out, "  `wagon export --full` goes on without a snapshot that cannot be read")?;
            }
            Ok(())
        }
    }
}

fn write_protection(out: &mut dyn Write, protection: &Protection, verbose: bool) -> io::Result<()> {
    let percent = match protection.percent {
        Some((least, most)) if least == most => format!(" to {least} per cent"),
        Some((least, most)) => format!(" to {least} to {most} per cent"),
        None => String::new(),
    };
    let (files, taken) = (count(protection.files, "file"), bytes(protection.parity_bytes));
    let without = protection.files - protection.protected;
    write!(out, "protected by parity: {} of {files}{percent}, which takes {taken}", protection.protected)?;
    match without {
        0 => writeln!(out)?,
        without => writeln!(out, "; `wagon protect` protects the other {without}")?,
    }
    for path in protection.unprotected.iter().filter(|_| verbose) {
        writeln!(out, "  not protected: {}", printable(&path.display().to_string()))?;
    }
    Ok(())
}

fn write_finding(out: &mut dyn Write, finding: &Finding, verbose: bool) -> io::Result<()> {
    writeln!(out, "\n{}: {}", printable(&finding.path.display().to_string()), printable(&finding.what))?;
    if finding.lost > 0 || finding.items > 0 {
        writeln!(out, "  lost: {}, {}", count(finding.lost, "object"), count(finding.items, "item"))?;
    }
    if verbose {
        finding.lost_objects.iter().try_for_each(|object| writeln!(out, "  object {object}"))?;
    }
    let most = if verbose { finding.places.len() } else { PLACES_SHOWN };
    finding.places.iter().take(most).try_for_each(|place| writeln!(out, "  {place}"))?;
    let shown = finding.places.len().min(most) as u64;
    match finding.items.saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}
