//! `wagon snapshots`

use super::open;
use crate::cli::ArchiveArg;
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use crate::render::table::{Align, Table, bytes, time};
use clap::Args;
use stationwagon::model::id::SiteId;
use stationwagon::verbs::show::snapshots::{SnapshotLine, snapshots};
use std::collections::BTreeSet;

/// List the snapshots of an archive
#[derive(Debug, Args)]
pub struct SnapshotsArgs {
    #[command(flatten)]
    archive: ArchiveArg,
    /// Only those of this source site
    #[arg(long, value_name = "ID")]
    source: Option<SiteId>,
}

pub fn run(args: &SnapshotsArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let archive = open::archive(&args.archive, screen)?;
    let found = snapshots(&archive, args.source.as_ref())?;
    for (no, error) in archive.heads()?.unreadable {
        screen.say(&format!("snapshot {no} cannot be read ({error}); `wagon check` tells more"));
    }
    screen.report("snapshots", &found, |out| {
        if found.is_empty() {
            return writeln!(out, "no snapshots");
        }
        table(&found).write(out)
    })?;
    Ok(Outcome::Done)
}

fn table(found: &[SnapshotLine]) -> Table {
    use Align::{Left, Right};
    // The source is worth a column only where it tells snapshots apart.
    let sources: BTreeSet<_> = found.iter().map(|line| &line.source).collect();
    let several = sources.len() > 1;
    let mut columns = vec![("NO", Right), ("TIME", Left)];
    if several {
        columns.push(("SOURCE", Left));
    }
    columns.extend([("ACCOUNTS", Right), ("ADDED", Right), ("CHANGED", Right), ("MOVED", Right), ("REMOVED", Right)]);
    columns.extend([("READ", Right), ("GREW BY", Right), ("REJECTED", Right), ("LABEL", Left)]);
    let mut table = Table::new(&columns);
    for line in found {
        let counts = &line.counts;
        let mut row = vec![line.no.to_string(), time(line.started)];
        if several {
            row.push(line.source.to_string());
        }
        let numbers = [counts.accounts_changed, counts.items_added, counts.items_changed, counts.items_moved];
        row.extend(numbers.map(|number| number.to_string()));
        row.extend([counts.items_removed.to_string(), bytes(counts.bytes_read), bytes(counts.pack_bytes)]);
        row.extend([counts.rejected.to_string(), line.label.clone().unwrap_or_default()]);
        table.row(row);
    }
    table
}
