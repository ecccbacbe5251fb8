//! `wagon find`

use super::open;
use crate::cli::{ArchiveArg, AtArgs, Global, date};
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use crate::render::table::{Align, Table, bytes, time};
use clap::Args;
use stationwagon::verbs::show::find::{Found, Query, find};

/// Search the mail of a snapshot
///
/// Everything that is given must hold. Text is searched for anywhere in the decoded field, upper and lower case alike. What
/// is listed is the address that `wagon extract` takes.
#[derive(Debug, Args)]
pub struct FindArgs {
    /// In From or Sender
    #[arg(long, value_name = "TEXT")]
    from: Option<String>,
    /// In To, Cc, Bcc, or what delivery noted
    #[arg(long, value_name = "TEXT")]
    to: Option<String>,
    /// In the subject
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// In the Message-ID
    #[arg(long, value_name = "TEXT")]
    message_id: Option<String>,
    /// In the name of an attachment
    #[arg(long, value_name = "TEXT")]
    attachment: Option<String>,
    /// Received on this day or later
    #[arg(long, value_name = "DATE", value_parser = date, allow_negative_numbers = true)]
    since: Option<i64>,
    /// Received before this day
    #[arg(long, value_name = "DATE", value_parser = date, allow_negative_numbers = true)]
    before: Option<i64>,
    /// Only in accounts whose address matches; may be given again
    #[arg(long, value_name = "GLOB")]
    account: Vec<String>,
    #[command(flatten)]
    archive: ArchiveArg,
    #[command(flatten)]
    at: AtArgs,
}

impl FindArgs {
    fn query(&self) -> Query {
        Query {
            from: self.from.clone(),
            to: self.to.clone(),
            subject: self.subject.clone(),
            message_id: self.message_id.clone(),
            attachment: self.attachment.clone(),
            since: self.since,
            before: self.before,
            accounts: self.account.clone(),
        }
    }
}

pub fn run(args: &FindArgs, global: &Global, screen: &Screen) -> Result<Outcome, CliError> {
    let archive = open::archive_to_read(&args.archive, global, screen)?;
    let view = open::view(&archive, &args.at)?;
    let report = screen.watch("", |sink| find(&view, &args.query(), sink))?;
    screen.report("find", &report, |out| match report.found.is_empty() {
        true => writeln!(out, "nothing found"),
        false => table(&report.found).write(out),
    })?;
    Ok(if report.rejected > 0 { Outcome::Rejected } else { Outcome::Done })
}

fn table(found: &[Found]) -> Table {
    use Align::{Left, Right};
    let columns = [("TIME", Left), ("SIZE", Right), ("FROM", Left), ("SUBJECT", Left), ("ADDRESS", Left)];
    let mut table = Table::new(&columns);
    for one in found {
        let cells =
            [time(one.date), bytes(one.size), short(&one.from, 32), short(&one.subject, 48), one.address.clone()];
        table.row(cells);
    }
    table
}

/// The first so many characters; an ellipsis stands for the rest.
fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
