//! `wagon ls`

use super::open;
use crate::cli::{ArchiveArg, AtArgs};
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use crate::render::table::{Align, Columns, Table, bytes, time};
use clap::Args;
use stationwagon::model::provisioning::AccountClass;
use stationwagon::verbs::show::list::{
    AccountLine, FolderLine, ItemLine, ItemLines, Listing, SourceLine, list, sources,
};
use std::io::{self, Write};

/// List sites, accounts, folders or items
///
/// Without an address the accounts of the site, or the sites where the archive holds several; with a domain its
/// accounts; with an account its folders; with a folder its items.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// DOMAIN, ACCOUNT, ACCOUNT:FOLDER or ACCOUNT:FOLDER/ITEM
    #[arg(value_name = "ADDRESS")]
    address: Option<String>,
    #[command(flatten)]
    archive: ArchiveArg,
    #[command(flatten)]
    at: AtArgs,
}

pub fn run(args: &LsArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let archive = open::archive(&args.archive, screen)?;
    let all = sources(&archive)?;
    let chosen = args.at.source.is_some() || args.at.snapshot.is_some() || args.address.is_some();
    let listing = if all.len() != 1 && !chosen {
        Listing::Archive { sources: all }
    } else {
        list(&open::view(&archive, &args.at)?, args.address.as_deref())?
    };
    screen.report("ls", &listing, |out| match &listing {
        Listing::Archive { sources } if sources.is_empty() => writeln!(out, "no snapshots"),
        Listing::Archive { sources } => source_table(sources).write(out),
        Listing::Site { accounts, .. } => account_table(accounts).write(out),
        Listing::Account { folders, .. } => folder_table(folders).write(out),
        Listing::Folder { items, .. } => write_items(items, out),
    })?;
    // What could not be read again is missing in what was shown.
    archive.check_scratch()?;
    Ok(Outcome::Done)
}

fn source_table(sources: &[SourceLine]) -> Table {
    use Align::{Left, Right};
    let columns = [("SOURCE", Left), ("SNAPSHOTS", Right), ("NEWEST", Right), ("TIME", Left), ("WAS AT", Left)];
    let mut table = Table::new(&columns);
    for line in sources {
        let numbers = [line.snapshots.to_string(), line.newest.to_string(), time(line.newest_started)];
        table.row([line.source.to_string()].into_iter().chain(numbers).chain([line.locator.clone()]));
    }
    table
}

fn account_table(accounts: &[AccountLine]) -> Table {
    use Align::{Left, Right};
    let mut table =
        Table::new(&[("ACCOUNT", Left), ("ITEMS", Right), ("SIZE", Right), ("CHANGED IN", Right), ("NAME", Left)]);
    for line in accounts {
        let changed = line.changed.map(|no| no.to_string()).unwrap_or_default();
        let mut name = line.name.clone().unwrap_or_default();
        match line.class {
            AccountClass::User => {}
            AccountClass::Location => name.push_str(" (location)"),
            AccountClass::Equipment => name.push_str(" (equipment)"),
        }
        table.row([line.address.clone(), line.items.to_string(), bytes(line.bytes), changed, name.trim().to_owned()]);
    }
    table
}

fn folder_table(folders: &[FolderLine]) -> Table {
    use Align::{Left, Right};
    let mut table =
        Table::new(&[("FOLDER", Left), ("ITEMS", Right), ("UNSEEN", Right), ("SIZE", Right), ("NOTES", Left)]);
    for line in folders {
        let mut notes = Vec::new();
        notes.extend(line.title.as_ref().map(|title| format!("\u{201c}{title}\u{201d}")));
        notes.extend(line.special_use.map(|special| format!("\\{special:?}")));
        if line.subscribed {
            notes.push("subscribed".to_owned());
        }
        notes.extend(line.grants.iter().map(|grant| {
            format!("{}{} for {}", if grant.negative { "not " } else { "" }, grant.rights, grant.grantee)
        }));
        let numbers = [line.items.to_string(), line.unseen.to_string(), bytes(line.bytes)];
        table.row([line.folder.clone()].into_iter().chain(numbers).chain([notes.join(", ")]));
    }
    table
}

fn write_items(items: &ItemLines, out: &mut dyn Write) -> io::Result<()> {
    use Align::{Left, Right};
    let columns =
        [("TIME", Left), ("SIZE", Right), ("FLAGS", Left), ("UID", Right), ("NAME", Left), ("KEYWORDS", Left)];
    let mut columns = Columns::new(&columns);
    items.iter().for_each(|line| columns.make_room(&cells(line)));
    columns.write_headings(out)?;
    items.iter().try_for_each(|line| columns.write(&cells(line), out))
}

fn cells(line: ItemLine) -> [String; 6] {
    let uid = line.uid.map(|uid| uid.to_string()).unwrap_or_default();
    let words: Vec<_> = line.keywords.into_iter().chain(line.tags).collect();
    [time(line.date), bytes(line.size), line.flags.to_string(), uid, line.name, words.join(" ")]
}
