//! What can be typed: the global options, the verbs in the groups that `wagon help` shows, and the arguments that
//! several verbs share. A verb's own arguments stand beside its function in `commands/<verb>.rs`.
//!
//! Help, man page and completions all come from here ([`command`]); nothing is written down twice.

use crate::commands;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use jiff::{Timestamp, civil, tz::TimeZone};
use stationwagon::model::id::{SiteId, SnapshotNo};
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Moves a whole mail site into a deduplicated archive and replays it on another server
#[derive(Debug, Parser)]
#[command(name = "wagon", version, max_term_width = 110, subcommand_value_name = "VERB")]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Args)]
pub struct Global {
    /// Write events and, last, the report as JSON to standard output, one value a line
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Progress on standard error: a bar on a terminal, plain lines in a log, or as this says
    #[arg(long, global = true, value_name = "HOW", default_value = "auto", help_heading = "Global options")]
    pub progress: Progress,
    /// Say nothing but errors and what was asked for
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    pub quiet: bool,
    /// Name each rejected item, conflict and notice instead of the first few
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub verbose: bool,
    /// Where catalogs are kept; without it $XDG_CACHE_HOME/wagon or ~/.cache/wagon
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "WAGON_CACHE_DIR",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub cache_dir: Option<PathBuf>,
}

/// How progress is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Progress {
    Auto,
    Bar,
    Plain,
    None,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    Export(commands::export::ExportArgs),
    Import(commands::import::ImportArgs),
    Verify(commands::verify::VerifyArgs),
    Site(commands::site::SiteArgs),
    Config(commands::config::ConfigArgs),
    Snapshots(commands::snapshots::SnapshotsArgs),
    Ls(commands::ls::LsArgs),
    Show(commands::show::ShowArgs),
    Diff(commands::diff::DiffArgs),
    Find(commands::find::FindArgs),
    Extract(commands::extract::ExtractArgs),
    Shares(commands::shares::SharesArgs),
    Check(commands::check::CheckArgs),
    Repair(commands::repair::RepairArgs),
    Protect(commands::protect::ProtectArgs),
    Passphrase(commands::passphrase::PassphraseArgs),
    Forget(commands::forget::ForgetArgs),
    Prune(commands::prune::PruneArgs),
    Repack(commands::repack::RepackArgs),
    Map(commands::map::MapArgs),
    Demo(commands::demo::DemoArgs),
    Completions(commands::completions::CompletionsArgs),
    Man(commands::man::ManArgs),
    #[command(hide = true)]
    Generate(commands::generate::GenerateArgs),
}

/// The verbs as a user thinks of them. A test holds that each visible verb is in exactly one group.
const GROUPS: &[(&str, &[&str])] = &[
    ("Move a site", &["export", "import", "verify", "site", "config"]),
    ("Look into an archive", &["snapshots", "ls", "show", "diff", "find", "extract"]),
    ("Shares", &["shares"]),
    ("Care", &["check", "repair", "protect", "forget", "prune", "repack", "passphrase", "map"]),
    ("Other", &["demo", "completions", "man", "help"]),
];

/// Exit statuses as help, man page and docs/exit-status.md list them.
pub const STATUSES: &[(u8, &str)] = &[
    (0, "done"),
    (1, "the pass did not finish"),
    (2, "the command line is wrong"),
    (3, "finished, but items were rejected"),
    (4, "the ledger does not balance"),
    (5, "check, verify or shares check found differences, repair a loss, protect damage"),
    (6, "archive, map or site is in use by another program"),
    (7, "check found nothing wrong, but could not look into an encrypted archive"),
    (70, "a defect of wagon"),
    (130, "interrupted"),
];

/// What wagon reads from the environment, as help and man page list it.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("WAGON_ARCHIVE", "stands for --archive"),
    ("WAGON_CACHE_DIR", "stands for --cache-dir"),
    ("WAGON_IDENTITY", "stands for --identity"),
    ("WAGON_PASSPHRASE_FILE", "stands for --passphrase-file"),
    ("WAGON_SIGN_PASSWORD_FILE", "stands for --sign-password-file"),
    ("XDG_CACHE_HOME", "where the cache is when neither is given"),
    ("NO_COLOR", "no colours, whatever its value"),
];

/// How addresses are written.
pub const ADDRESSES: &str = "An item is ACCOUNT:FOLDER/ITEM, a folder ACCOUNT:FOLDER, as in ann@example.org:INBOX or \
                             ann@example.org:calendars/personal.";

/// The verbs in the order of their groups.
pub fn verbs_in_order(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    let names = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter()).filter(|verb| **verb != "help");
    names.filter_map(|verb| command.find_subcommand(verb))
}

/// The whole command line, its help grouped.
pub fn command() -> clap::Command {
    let command = Cli::command()
        .after_long_help(after_help())
        .after_help("wagon help VERB tells more of a verb; wagon --help lists exit statuses and environment.");
    let groups = groups(&command);
    command.help_template(format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{groups}Options:\n{{options}}{{after-help}}"
    ))
}

fn groups(command: &clap::Command) -> String {
    let mut text = String::new();
    for (heading, verbs) in GROUPS {
        let _ = writeln!(text, "{heading}:");
        for verb in *verbs {
            let about = command.find_subcommand(verb).and_then(|sub| sub.get_about()).map(ToString::to_string);
            let about = about.unwrap_or_else(|| "Tell more of a verb".to_owned());
            let _ = writeln!(text, "  {verb:<12} {about}");
        }
        text.push('\n');
    }
    text
}

fn after_help() -> String {
    let mut text = format!("Addresses:\n  {ADDRESSES}\n\nExit status:\n");
    for (status, meaning) in STATUSES {
        let _ = writeln!(text, "  {status:>3}  {meaning}");
    }
    text.push_str("\nEnvironment:\n");
    for (name, meaning) in ENVIRONMENT {
        let _ = writeln!(text, "  {name:<24} {meaning}");
    }
    text.trim_end().to_owned()
}

/// The archive that a verb works on.
#[derive(Debug, Args)]
pub struct ArchiveArg {
    /// The archive's folder
    #[arg(long = "archive", value_name = "DIR", env = "WAGON_ARCHIVE", hide_env_values = true)]
    pub dir: PathBuf,
    #[command(flatten)]
    pub keys: KeyArgs,
}

/// What opens an encrypted archive.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Opens an encrypted archive: a file of age identities (AGE-SECRET-KEY-1…); may be given again
    #[arg(long, value_name = "FILE", env = "WAGON_IDENTITY", hide_env_values = true, help_heading = "Encryption")]
    pub identity: Vec<PathBuf>,
    /// Opens an archive that was encrypted with a passphrase, and makes a new one so: a file whose first line it is
    #[arg(
        long,
        value_name = "FILE",
        env = "WAGON_PASSPHRASE_FILE",
        hide_env_values = true,
        help_heading = "Encryption"
    )]
    pub passphrase_file: Option<PathBuf>,
}

/// Whose snapshots are believed.
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// Refuse snapshots that this minisign key did not sign: the public key (RW…) or its file; may be given again
    #[arg(long, value_name = "KEY", help_heading = "Signatures")]
    pub trust: Vec<String>,
}

/// Who signs what is written.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// Sign each snapshot that is written with this secret key of minisign
    #[arg(long, value_name = "FILE", help_heading = "Signatures")]
    pub sign_with: Option<PathBuf>,
    /// The password of that key: a file whose first line it is
    #[arg(
        long,
        value_name = "FILE",
        env = "WAGON_SIGN_PASSWORD_FILE",
        hide_env_values = true,
        help_heading = "Signatures"
    )]
    pub sign_password_file: Option<PathBuf>,
}

/// Which state of which source.
#[derive(Debug, Args)]
pub struct AtArgs {
    /// The source site, by its id, where the archive holds several
    #[arg(long, value_name = "ID")]
    pub source: Option<SiteId>,
    /// The snapshot, by its number; without it the newest
    #[arg(long, value_name = "ID", value_parser = snapshot_no)]
    pub snapshot: Option<SnapshotNo>,
}

/// What to do, or only to say.
#[derive(Debug, Args)]
pub struct DryRunArg {
    /// Change nothing; say what would be done
    #[arg(short = 'n', long, action = ArgAction::SetTrue)]
    pub dry_run: bool,
}

/// Who owns what is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// `UID:GID`, both numbers.
pub fn owner(text: &str) -> Result<Owner, String> {
    let number = |text: &str| text.parse().ok();
    text.split_once(':')
        .and_then(|(uid, gid)| Some(Owner { uid: number(uid)?, gid: number(gid)? }))
        .ok_or_else(|| "an owner is UID:GID, two numbers: 5000:5000".to_owned())
}

/// A snapshot's number, with or without leading zeros.
pub fn snapshot_no(text: &str) -> Result<SnapshotNo, String> {
    text.parse()
        .map(SnapshotNo)
        .map_err(|_| "a snapshot is named by its number; `wagon snapshots` lists them".to_owned())
}

/// A day (`2024-05-31`, from its first second, UTC) or a time (`2024-05-31T12:00:00Z`), in seconds since 1970.
pub fn date(text: &str) -> Result<i64, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_second());
    }
    text.parse::<civil::Date>()
        .and_then(|day| day.to_zoned(TimeZone::UTC))
        .map(|start| start.timestamp().as_second())
        .map_err(|_| "a date is 2024-05-31 or 2024-05-31T12:00:00Z".to_owned())
}

/// A size in bytes: `1048576`, `200M`, `1.5G`; K, M, G and T are powers of 1024.
pub fn size(text: &str) -> Result<u64, String> {
    let text = text.trim_end_matches(['B', 'i']);
    let (number, factor) = match text.char_indices().last() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => {
            let power = "KMGT".find(unit.to_ascii_uppercase()).map(|at| 1u64 << (10 * (at + 1)));
            (text.get(..at).unwrap_or_default(), power)
        }
        _ => (text, Some(1)),
    };
    let bytes = factor.and_then(|factor| Some(number.parse::<f64>().ok()? * factor as f64));
    // Up to 2^53 every whole number is exact, which is more than any disk.
    bytes
        .filter(|bytes| (0.0..9e15).contains(bytes))
        .map(|bytes| bytes as u64)
        .ok_or_else(|| "a size is a number of bytes, or one with K, M, G or T: 200M".to_owned())
}

/// As many as the machine has cores, unless `--jobs` says.
pub fn workers(jobs: Option<NonZeroUsize>) -> NonZeroUsize {
    jobs.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn each_visible_verb_is_in_exactly_one_group() {
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        grouped.retain(|verb| *verb != "help");
        grouped.sort_unstable();
        let command = command();
        let mut visible: Vec<_> =
            command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(clap::Command::get_name).collect();
        visible.sort_unstable();
        assert_eq!(grouped, visible);
    }

    #[test]
    fn a_date_is_a_day_or_a_time() {
        assert_eq!(date("1970-01-02"), Ok(86_400));
        assert_eq!(date("1970-01-01T01:00:00+01:00"), Ok(0));
        assert!(date("yesterday").is_err());
    }

    #[test]
    fn a_size_is_bytes_or_has_a_unit() {
        assert_eq!(["7", "2K", "1.5M", "3GiB"].map(size), [Ok(7), Ok(2048), Ok(1_572_864), Ok(3 << 30)]);
        assert!(["", "M", "-1", "5X", "nan", "inf"].iter().all(|text| size(text).is_err()));
    }

    #[test]
    fn an_owner_is_two_numbers() {
        assert_eq!(owner("5000:500"), Ok(Owner { uid: 5000, gid: 500 }));
        assert!(owner("vmail").is_err());
        assert!(owner("1:2:3").is_err());
    }
}
