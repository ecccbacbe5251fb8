//! `wagon man`

use crate::cli;
use crate::exit::{CliError, Outcome};
use clap::Args;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::io::{self, Write};

/// Print the manual page
///
/// To read it: wagon man | man -l -
#[derive(Debug, Args)]
pub struct ManArgs {}

pub fn run(_: &ManArgs) -> Result<Outcome, CliError> {
    let page = page().map_err(CliError::Output)?;
    io::stdout().write_all(&page).map_err(CliError::Output)?;
    Ok(Outcome::Done)
}

/// The page: every verb with its options, addresses, exit status, environment, files.
pub fn page() -> io::Result<Vec<u8>> {
    // Addresses, statuses and environment have sections of their own here.
    let mut command = cli::command().after_help("").after_long_help("");
    command.build();
    let mut page = Vec::new();
    let man = Man::new(command.clone()).manual("Wagon Manual");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["VERBS"]);
    for verb in cli::verbs_in_order(&command) {
        section(&mut roff, "wagon", verb, &command);
    }
    roff.control("SH", ["GLOBAL OPTIONS"]);
    command.get_arguments().for_each(|arg| argument(&mut roff, arg));
    roff.control("SH", ["ADDRESSES"]);
    roff.text([roman(cli::ADDRESSES)]);
    roff.control("SH", ["EXIT STATUS"]);
    for (status, meaning) in cli::STATUSES {
        roff.control("TP", ["6"]).text([bold(status.to_string())]).text([roman(*meaning)]);
    }
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, meaning) in cli::ENVIRONMENT {
        roff.control("TP", []).text([bold(*name)]).text([roman(*meaning)]);
    }
    roff.control("SH", ["FILES"]);
    for (path, meaning) in FILES {
        roff.control("TP", []).text([bold(*path)]).text([roman(*meaning)]);
    }
    roff.to_writer(&mut page)?;
    Ok(page)
}

const FILES: &[(&str, &str)] = &[
    ("ARCHIVE/wagon.json", "what makes a folder an archive: format version and id"),
    ("ARCHIVE/packs/*.tar.gz", "the bytes of all items; immutable"),
    ("ARCHIVE/snapshots/*.tar.gz", "one for each pass; immutable"),
    ("ARCHIVE/index/*", "where objects lie in packs; rebuilt when missing"),
    ("SITE/map_SOURCE.sqlite", "what was imported from which source, under which names, in which state"),
    ("~/.cache/wagon/*", "catalogs: what the last export saw; may be deleted"),
];

/// A verb, with those below it.
fn section(roff: &mut Roff, parent: &str, verb: &clap::Command, root: &clap::Command) {
    let name = format!("{parent} {}", verb.get_name());
    roff.control("SS", [name.as_str()]);
    let about = verb.get_long_about().or_else(|| verb.get_about());
    for paragraph in about.map(ToString::to_string).unwrap_or_default().split("\n\n") {
        roff.control("PP", []).text([roman(paragraph)]);
    }
    let globals: Vec<_> = root.get_arguments().map(|arg| arg.get_id().clone()).collect();
    verb.get_arguments()
        .filter(|arg| !globals.contains(arg.get_id()) && arg.get_id() != "help")
        .for_each(|arg| argument(roff, arg));
    for below in verb.get_subcommands().filter(|below| below.get_name() != "help") {
        section(roff, &name, below, root);
    }
}

fn argument(roff: &mut Roff, arg: &clap::Arg) {
    if arg.is_hide_set() {
        return;
    }
    let values = arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string);
    let values = values.collect::<Vec<_>>().join(" ");
    let mut names = Vec::new();
    names.extend(arg.get_short().map(|short| format!("-{short}")));
    names.extend(arg.get_long().map(|long| format!("--{long}")));
    let takes = arg.get_action().takes_values();
    let name = match (names.is_empty(), takes) {
        (true, _) => values,
        (false, true) => format!("{} {values}", names.join(", ")),
        (false, false) => names.join(", "),
    };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let possible: Vec<_> = match takes {
        true => arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect(),
        false => Vec::new(),
    };
    let help = if possible.is_empty() { help } else { format!("{help}: {}", possible.join(", ")) };
    roff.control("TP", []).text([bold(name)]).text([roman(help)]);
}
