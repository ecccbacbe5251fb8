//! `wagon import`

use super::open;
use super::throttle::ThrottleArgs;
use crate::cli::{ArchiveArg, AtArgs, DryRunArg, Global, Owner, TrustArgs, date, owner, workers};
use crate::exit::{CliError, Outcome};
use crate::render::table::{Align, Table, bytes, count};
use crate::render::{AGAIN, Screen};
use clap::{Args, ValueEnum};
use stationwagon::fs::Counted;
use stationwagon::limits::MIB;
use stationwagon::model::text::printable;
use stationwagon::verbs::import::ledger::{Ledger, Tally};
use stationwagon::verbs::import::rename::RenameRules;
use stationwagon::verbs::import::{self as verb, ImportOptions, ImportReport, Note, import};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Replay a snapshot on a site
///
/// First domains, accounts and lists, then folders and items, newest first, then shares. It may be interrupted and repeated
/// at any time: each item arrives exactly once. A later pass brings what changed on the source since and leaves what
/// was changed on the target. The ledger at the end accounts for every item.
#[derive(Debug, Args)]
pub struct ImportArgs {
    #[command(flatten)]
    archive: ArchiveArg,
    #[command(flatten)]
    trust: TrustArgs,
    /// The site to write: a folder, dir:FOLDER, or a site description (FILE.toml)
    #[arg(long, value_name = "SITE")]
    to: String,
    #[command(flatten)]
    at: AtArgs,
    /// Only domains, accounts and lists, so that mail can be delivered; the mail comes later
    #[arg(long)]
    provisioning_only: bool,
    /// Move and delete nothing on the target, set passwords and preferences again
    #[arg(long)]
    additive: bool,
    /// Delete what was deleted on the source, unless the target's users have touched it
    #[arg(long, conflicts_with = "additive")]
    delete: bool,
    /// Only accounts whose address matches; may be given again
    #[arg(long, value_name = "GLOB")]
    account: Vec<String>,
    /// Domains and addresses that change, one a line: old.example new.example
    #[arg(long, value_name = "FILE")]
    rename: Option<PathBuf>,
    /// Only items of this day or later
    #[arg(long, value_name = "DATE", value_parser = date, allow_negative_numbers = true)]
    since: Option<i64>,
    /// Leave out what is of this kind; may be given again
    #[arg(long, value_name = "KIND")]
    skip: Vec<Skip>,
    /// Take what lies on the target already with the same content into the map instead of doubling it: by exact bytes, or
    /// by the message without what delivery put on top
    #[arg(
        long,
        value_name = "HOW",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "exact"
    )]
    adopt: Option<Adopt>,
    /// The map of the import that is to be taken back: the way back to the old site
    #[arg(long, value_name = "MAP")]
    way_back: Option<PathBuf>,
    /// Who owns the files that are written; for root
    #[arg(long, value_name = "UID:GID", value_parser = owner)]
    owner: Option<Owner>,
    /// Accounts that are imported at the same time; without it one more than there are cores
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    throttle: ThrottleArgs,
    #[command(flatten)]
    dry_run: DryRunArg,
    /// With --dry-run: write the changes to a directory server (LDAP) into this new file, as ldapmodify takes them.
    /// They hold hashes of passwords
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    ldif: Option<PathBuf>,
}

/// What an import can leave out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Skip {
    Mail,
    Calendars,
    Contacts,
    Filters,
    Shares,
    Preferences,
}

/// By what an item on the target is the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Adopt {
    /// By exact bytes
    Exact,
    /// By the message without what delivery put on top
    WithoutTrace,
}

impl From<Skip> for verb::Skip {
    fn from(skip: Skip) -> Self {
        match skip {
            Skip::Mail => Self::Mail,
            Skip::Calendars => Self::Calendars,
            Skip::Contacts => Self::Contacts,
            Skip::Filters => Self::Filters,
            Skip::Shares => Self::Shares,
            Skip::Preferences => Self::Preferences,
        }
    }
}

impl From<Adopt> for verb::Adopt {
    fn from(adopt: Adopt) -> Self {
        match adopt {
            Adopt::Exact => Self::Exact,
            Adopt::WithoutTrace => Self::WithoutTrace,
        }
    }
}

/// Accounts up to which each has its line; of more only those with trouble, the file has them all.
const ACCOUNTS_SHOWN: usize = 20;

/// Lines of each list of remarks that are printed without `--verbose`.
const LINES_SHOWN: usize = 20;

/// Largest file of rename rules, bytes: about a million addresses.
const RENAME_FILE_BYTES: u64 = 64 * MIB;

pub fn run(args: &ImportArgs, global: &Global, screen: &Screen) -> Result<Outcome, CliError> {
    let archive = open::trusting(open::archive_to_read(&args.archive, global, screen)?, &args.trust)?;
    let target = open::target_through(args.throttle.apply(Counted::Writing)?, &args.to, args.owner)?;
    screen.warn(target.cautions());
    let options = ImportOptions {
        fs: open::files(),
        source: args.at.source.clone(),
        snapshot: args.at.snapshot,
        provisioning_only: args.provisioning_only,
        additive: args.additive,
        delete: args.delete,
        accounts: args.account.clone(),
        rename: rules(args.rename.as_deref())?,
        since: args.since,
        skip: args.skip.iter().map(|skip| (*skip).into()).collect(),
        dry_run: args.dry_run.dry_run,
        jobs: args.jobs.unwrap_or_else(|| workers(None).saturating_add(1)), // one waits for the disk at any time
        adopt: args.adopt.map(Into::into),
        way_back: args.way_back.clone(),
        new_site_id: open::new_id()?,
        now: open::now(),
    };
    let report = screen.watch(AGAIN, |sink| import(&archive, target.as_ref(), &options, sink))?;
    if let Some(path) = &args.ldif {
        write_ldif(path, &report)?;
    }
    screen.report("import", &report, |out| write(out, &report, screen.verbose()))?;
    Ok(match (report.ledger.balanced, report.rejected.is_empty() && report.ledger.rejected() == 0) {
        (false, _) => Outcome::Unbalanced,
        (true, false) => Outcome::Rejected,
        (true, true) => Outcome::Done,
    })
}

/// Writes what a dry run planned for a directory; never over another file, and for its owner alone.
fn write_ldif(path: &Path, report: &ImportReport) -> Result<(), CliError> {
    let Some(text) = &report.planned else {
        let what =
            "--ldif: there is nothing to write, because no record changes or the target is no directory server (LDAP)";
        return Err(CliError::Usage(what.to_owned()));
    };
    let failed = |error| open::io_error("write", path)(error);
    let mut file = open::files().create_new(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync()).map_err(failed)?;
    file.keep();
    Ok(())
}

fn rules(path: Option<&Path>) -> Result<RenameRules, CliError> {
    let Some(path) = path else { return Ok(RenameRules::default()) };
    let bytes = open::files().read(path, RENAME_FILE_BYTES).map_err(open::io_error("read", path))?;
    let text = String::from_utf8(bytes).map_err(|_| CliError::Usage(format!("{} is not UTF-8", path.display())))?;
    RenameRules::parse(&text).map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))
}

fn write(out: &mut dyn Write, report: &ImportReport, verbose: bool) -> io::Result<()> {
    let ledger = &report.ledger;
    if report.dry_run {
        writeln!(out, "dry run: nothing was written; an import would come to this\n")?;
    }
    if verbose {
        write!(out, "{ledger}")?;
    } else {
        write_ledger(out, ledger)?;
    }
    let note = |one: &Note| format!("{}: {}", one.place, printable(&one.text));
    list(out, verbose, "clients will load these folders again", report.uids_lost.iter().map(note))?;
    list(out, verbose, "changed on both sides; the target stays", report.conflicts.iter().map(note))?;
    list(out, verbose, "removed, because the source has it no more", report.removed.iter().map(note))?;
    let waiting = report.pending.iter().map(|one| {
        let place = format!("{}:{} to {}", one.account, one.place, one.refers);
        format!("{}: {}", printable(&place), printable(&one.cause))
    });
    list(out, verbose, "shares that wait for somebody", waiting)?;
    let rejected = report.rejected.iter().map(|one| format!("{}: {}", one.place, one.reason));
    list(out, verbose, "rejected", rejected)?;
    if report.dry_run {
        return Ok(());
    }
    writeln!(out, "\n{} delivered", bytes(report.bytes))?;
    for path in &report.ledger_files {
        writeln!(out, "ledger, folder by folder: {}", printable(&path.display().to_string()))?;
    }
    writeln!(out, "map: {}", printable(&report.map.display().to_string()))
}

/// The ledger by account: all where they are few, else those with something to look at. The file has every folder.
fn write_ledger(out: &mut dyn Write, ledger: &Ledger) -> io::Result<()> {
    use Align::{Left, Right};
    writeln!(
        out,
        "snapshot {} of source {} into target {}\n",
        ledger.snapshot, ledger.source_site, ledger.target_site
    )?;
    let mut table = Table::new(&[
        ("", Left),
        ("IN SNAPSHOT", Right),
        ("IMPORTED", Right),
        ("ALREADY THERE", Right),
        ("REJECTED", Right),
        ("EXCLUDED", Right),
        ("PENDING", Right),
        ("", Left),
    ]);
    let few = ledger.accounts.len() <= ACCOUNTS_SHOWN;
    let mut passed_over = 0_u64;
    for account in &ledger.accounts {
        let items = account.items();
        if few || items.rejected_sum() > 0 || !items.balanced() {
            let target = account.target.as_ref().filter(|target| **target != account.source);
            table
                .row(cells(target.map_or(account.source.clone(), |now| format!("{} → {now}", account.source)), &items));
        } else {
            passed_over += 1;
        }
    }
    if passed_over > 0 {
        table.row([format!("and {} without any trouble", count(passed_over, "account"))]);
    }
    let mut records = Tally::default();
    ledger.records.values().for_each(|one| records.add(one));
    table.row(cells("all items".to_owned(), &ledger.items));
    table.row(cells("records".to_owned(), &records));
    table.row(cells("settings".to_owned(), &ledger.settings));
    table.row(cells("grants".to_owned(), &ledger.grants));
    table.write(out)?;
    writeln!(out, "\n{}", if ledger.balanced { "the ledger balances" } else { "THE LEDGER DOES NOT BALANCE" })
}

fn cells(name: String, tally: &Tally) -> Vec<String> {
    let (rejected, excluded) = (tally.rejected_sum(), tally.excluded_sum());
    let numbers = [tally.in_snapshot, tally.imported, tally.already_there, rejected, excluded, tally.pending];
    let reasons = tally.rejected.iter().chain(&tally.excluded).map(|(why, number)| format!("{number} {why}"));
    let mut notes: Vec<_> = reasons.collect();
    if !tally.balanced() {
        notes.push("DOES NOT BALANCE".to_owned());
    }
    let numbers = numbers.iter().map(ToString::to_string);
    std::iter::once(name).chain(numbers).chain([notes.join(", ")]).collect()
}

/// A list of remarks: as many as a person reads, and how many more there are.
fn list(
    out: &mut dyn Write,
    verbose: bool,
    what: &str,
    lines: impl ExactSizeIterator<Item = String>,
) -> io::Result<()> {
    let all = lines.len();
    if all == 0 {
        return Ok(());
    }
    writeln!(out, "\n{what}:")?;
    let most = if verbose { all } else { LINES_SHOWN };
    lines.take(most).try_for_each(|line| writeln!(out, "  {line}"))?;
    match all.saturating_sub(most) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more; --verbose shows them all"),
    }
}
