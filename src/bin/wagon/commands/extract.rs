//! `wagon extract`

use super::open;
use crate::cli::{ArchiveArg, AtArgs, DryRunArg, TrustArgs};
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use crate::render::table::{bytes, count};
use clap::{Args, ValueEnum};
use stationwagon::model::text::printable;
use stationwagon::verbs::show::extract::{ExtractOptions, Format, copy_item, extract};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// Take an item, a folder or an account out of an archive as files
///
/// An item becomes one file (`-` is standard output), a folder a Maildir, an mbox file or a folder of .eml files, an
/// account a folder of such. Only the parts of the archive that hold them are read. Names that a file system would not
/// take are changed; nothing is written outside the output.
#[derive(Debug, Args)]
pub struct ExtractArgs {
    /// ACCOUNT, ACCOUNT:FOLDER or ACCOUNT:FOLDER/ITEM
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// Where to; - is standard output, for an item
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    /// As what mail is written
    #[arg(long, value_name = "FORMAT", default_value = "maildir")]
    format: FormatArg,
    /// Write into an output that holds something, replacing files of the same names
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    dry_run: DryRunArg,
    #[command(flatten)]
    archive: ArchiveArg,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    at: AtArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum FormatArg {
    Maildir,
    Mbox,
    Eml,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Maildir => Self::Maildir,
            FormatArg::Mbox => Self::Mbox,
            FormatArg::Eml => Self::Eml,
        }
    }
}

pub fn run(args: &ExtractArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let archive = open::trusting(open::archive(&args.archive, screen)?, &args.trust)?;
    let view = open::view(&archive, &args.at)?;
    if args.output.as_os_str() == "-" {
        if screen.json() || args.dry_run.dry_run {
            return Err(CliError::Usage("with --output - standard output is for the item alone".to_owned()));
        }
        return to_stdout(|out| Ok(copy_item(&view, &args.address, out)?));
    }
    let options = ExtractOptions { format: args.format.into(), force: args.force, dry_run: args.dry_run.dry_run };
    let go_on = "what is complete stays; the same command with --force writes it again";
    let files = open::files();
    let report =
        screen.watch(go_on, |sink| extract(&view, files.as_ref(), &args.address, &args.output, &options, sink))?;
    screen.report("extract", &report, |out| {
        let would = if report.dry_run { "would extract" } else { "extracted" };
        let (items, files) = (count(report.items, "item"), count(report.files, "file"));
        let place = printable(&report.output.display().to_string());
        writeln!(out, "{would} {items}, {}, as {files} to {place}", bytes(report.bytes))?;
        match report.rejected.len() as u64 {
            0 => Ok(()),
            rejected => writeln!(out, "{} damaged in the archive and left out", count(rejected, "item")),
        }
    })?;
    Ok(if report.rejected.is_empty() { Outcome::Done } else { Outcome::Rejected })
}

/// Lets `write` write to standard output. A reader that goes away is told from an archive that fails.
pub(super) fn to_stdout(write: impl FnOnce(&mut dyn Write) -> Result<u64, CliError>) -> Result<Outcome, CliError> {
    let mut out = Watched { out: BufWriter::new(io::stdout().lock()), failed: None };
    let outcome = write(&mut out);
    if let Some(error) = out.failed.take() {
        return Err(CliError::Output(error));
    }
    outcome?;
    out.out.flush().map_err(CliError::Output)?;
    Ok(Outcome::Done)
}

/// Remembers its own first failure.
struct Watched<W: Write> {
    out: W,
    failed: Option<io::Error>,
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).map_err(|error| {
            let again = io::Error::from(error.kind());
            self.failed = Some(error);
            again
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
