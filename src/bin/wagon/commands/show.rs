//! `wagon show`

use super::open;
use crate::cli::{ArchiveArg, AtArgs};
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use crate::render::table::{bytes, count, time};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use stationwagon::model::mailbox::Item;
use stationwagon::model::text::printable;
use stationwagon::verbs::show::Secrets;
use stationwagon::verbs::show::extract::copy_item;
use stationwagon::verbs::show::record::{HeaderField, Part, Shown, ShownRecord, show, show_part};
use std::io::{self, Write};

/// Show an item, folder, account or record, the site's settings, or the snapshot itself
///
/// Of an item its record and header are shown, never its body. Passwords are hidden unless --show-secrets asks for
/// them. Server and global settings are in the archive for reference and are never restored.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// ACCOUNT, ACCOUNT:FOLDER, ACCOUNT:FOLDER/ITEM, or the name of a domain, list, alias or class of service; without
    /// it the snapshot itself
    #[arg(value_name = "ADDRESS", conflicts_with_all = ["settings", "provisioning"])]
    address: Option<String>,
    /// The server's and the global settings
    #[arg(long)]
    settings: bool,
    /// Every provisioning record
    #[arg(long, conflicts_with = "settings")]
    provisioning: bool,
    /// Write the item's bytes as they are to standard output
    #[arg(long, requires = "address", conflicts_with = "json")]
    raw: bool,
    /// Show password hashes, passwords of other servers and keys as the archive has them; whoever sees the screen or a
    /// log of it has them then
    #[arg(long, conflicts_with = "raw")]
    show_secrets: bool,
    #[command(flatten)]
    archive: ArchiveArg,
    #[command(flatten)]
    at: AtArgs,
}

pub fn run(args: &ShowArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let archive = open::archive(&args.archive, screen)?;
    let view = open::view(&archive, &args.at)?;
    if args.raw {
        let address = args.address.as_deref().unwrap_or_default();
        return super::extract::to_stdout(|out| Ok(copy_item(&view, address, out)?));
    }
    let secrets = if args.show_secrets { Secrets::Shown } else { Secrets::Hidden };
    let shown = match &args.address {
        Some(address) => show(&view, address, secrets)?,
        None if args.settings => show_part(&view, Part::Settings, secrets)?,
        None if args.provisioning => show_part(&view, Part::Provisioning, secrets)?,
        None => show_part(&view, Part::Snapshot, secrets)?,
    };
    screen.report("show", &shown, |out| write(out, &shown))?;
    Ok(Outcome::Done)
}

fn write(out: &mut dyn Write, shown: &Shown) -> io::Result<()> {
    match shown {
        Shown::Item { account, folder, item, header, .. } => write_item(out, account, folder, item, header),
        Shown::Folder { account, folder, items, bytes: size } => {
            line(out, "folder", &format!("{account}:{}", folder.key))?;
            line(out, "holds", &format!("{}, {}", count(*items, "item"), bytes(*size)))?;
            fields(out, folder.as_ref(), &["path", "kind"])
        }
        Shown::Account { record, changed, folders, items, bytes: size, settings } => {
            write_record(out, record)?;
            let held = [count(*folders, "folder"), count(*items, "item"), bytes(*size)];
            line(out, "mailbox", &held.join(", "))?;
            if let Some(no) = changed {
                line(out, "changed in", &format!("snapshot {no}"))?;
            }
            for setting in settings {
                writeln!(out)?;
                let (kind, name) = setting.key();
                let kind = serde_json::to_value(kind).ok().and_then(|word| word.as_str().map(str::to_owned));
                line(out, &kind.unwrap_or_default(), &name)?;
                fields(out, setting, &["kind", "name"])?;
            }
            Ok(())
        }
        Shown::Records { records } if records.is_empty() => writeln!(out, "nothing of this kind is recorded"),
        Shown::Records { records } => {
            for (at, record) in records.iter().enumerate() {
                if at > 0 {
                    writeln!(out)?;
                }
                write_record(out, record)?;
            }
            Ok(())
        }
        Shown::Snapshot { head, rejected } => {
            line(out, "snapshot", &head.no.to_string())?;
            line(out, "time", &format!("{} to {}", time(head.started), time(head.finished)))?;
            fields(out, head.as_ref(), &["no", "started", "finished", "format", "accounts", "counts"])?;
            fields(out, &head.counts, &[])?;
            if !rejected.is_empty() {
                writeln!(out, "\nrejected:")?;
            }
            rejected.iter().try_for_each(|one| writeln!(out, "  {}: {}", one.place, one.reason))
        }
    }
}

fn write_item(out: &mut dyn Write, account: &str, folder: &str, item: &Item, header: &[HeaderField]) -> io::Result<()> {
    line(out, "item", &format!("{account}:{folder}/{}", item.name))?;
    line(out, "date", &time(item.date))?;
    line(out, "size", &format!("{} ({} bytes)", bytes(item.size), item.size))?;
    line(out, "object", &item.object.to_string())?;
    let words =
        [("flags", item.flags.to_string()), ("keywords", item.keywords.join(" ")), ("tags", item.tags.join(" "))];
    let numbers = [("UID", item.uid.map(|uid| uid.to_string())), ("UIDL", item.uidl.clone())];
    let numbers = numbers.map(|(name, value)| (name, value.unwrap_or_default()));
    for (name, value) in words.iter().chain(&numbers).filter(|(_, value)| !value.is_empty()) {
        line(out, name, value)?;
    }
    if !header.is_empty() {
        writeln!(out)?;
    }
    header.iter().try_for_each(|field| writeln!(out, "{}: {}", printable(&field.name), printable(&field.value)))
}

fn write_record(out: &mut dyn Write, record: &ShownRecord) -> io::Result<()> {
    line(out, record.record.kind().word(), record.record.key())?;
    // The key was said already; an account's or list's name is a person's.
    let key = if record.record.key().contains('@') { "address" } else { "name" };
    fields(out, &record.record, &["kind", key])?;
    line(out, "id", &record.id.to_string())
}

fn line(out: &mut dyn Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "{:<20} {}", printable(name), printable(value))
}

/// A value's fields, one a line, as its JSON has them; maps and lists of maps a level deeper.
fn fields(out: &mut dyn Write, value: &impl Serialize, but: &[&str]) -> io::Result<()> {
    let Ok(Value::Object(fields)) = serde_json::to_value(value) else { return Ok(()) };
    for (name, value) in fields.iter().filter(|(name, _)| !but.contains(&name.as_str())) {
        field(out, &name.replace('_', " "), value)?;
    }
    Ok(())
}

fn field(out: &mut dyn Write, name: &str, value: &Value) -> io::Result<()> {
    match value {
        Value::Null => Ok(()),
        Value::Object(inner) if inner.is_empty() => Ok(()),
        Value::Array(inner) if inner.is_empty() => Ok(()),
        Value::Object(inner) => {
            writeln!(out, "{}", printable(name))?;
            inner.iter().try_for_each(|(name, value)| field(out, &format!("  {name}"), value))
        }
        Value::Array(inner) => inner.iter().try_for_each(|value| line(out, name, &plain(value))),
        other => line(out, name, &plain(other)),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(inner) => {
            inner.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}
