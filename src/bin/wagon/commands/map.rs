//! `wagon map`

use super::open;
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use crate::render::table::{count, time};
use clap::{Args, Subcommand, ValueEnum};
use stationwagon::map::Map;
use stationwagon::model::text::printable;
use stationwagon::verbs::show::map::{MapLine, MapSummary, each_line, summary};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Read the map of an import: which id and name became which
#[derive(Debug, Args)]
pub struct MapArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show what a map belongs to and how much it holds
    Show(MapArg),
    /// Write every row: what it is, in which account, its name on the source and on the target
    Export {
        #[command(flatten)]
        map: MapArg,
        /// As comma-separated values with a heading, or as JSON, one object a line
        #[arg(long, value_name = "FORMAT", default_value = "csv")]
        format: MapFormat,
        /// Where to, a new file; without it standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct MapArg {
    /// The map: map_SOURCE.sqlite; may be given again
    #[arg(value_name = "MAP", required_unless_present = "site")]
    maps: Vec<PathBuf>,
    /// A site, for the maps that lie in it
    #[arg(long, alias = "to", value_name = "SITE", conflicts_with = "maps")]
    site: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum MapFormat {
    Csv,
    Json,
}

pub fn run(args: &MapArgs, screen: &Screen) -> Result<Outcome, CliError> {
    match &args.what {
        What::Show(map) => {
            let found = maps(map)?.iter().map(summary).collect::<Result<Vec<_>, _>>()?;
            screen.report("map show", &found, |out| found.iter().try_for_each(|one| write_summary(out, one)))?;
        }
        What::Export { map, format, output } => {
            let maps = maps(map)?;
            match output {
                None => export(&maps, *format, &mut BufWriter::new(io::stdout().lock()), &CliError::Output)?,
                Some(path) => to_file(&maps, *format, path)?,
            }
        }
    }
    Ok(Outcome::Done)
}

fn maps(arg: &MapArg) -> Result<Vec<Map>, CliError> {
    match &arg.site {
        Some(site) => open::maps_beside(open::imported(site)?.as_ref()),
        None => arg.maps.iter().map(|path| Ok(Map::read(path)?)).collect(),
    }
}

fn write_summary(out: &mut dyn Write, one: &MapSummary) -> io::Result<()> {
    let listed = |counts: &mut dyn Iterator<Item = (&&str, &u64)>| {
        let texts: Vec<_> = counts.map(|(what, number)| format!("{number} {what}")).collect();
        if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
    };
    writeln!(out, "{}", printable(&one.path.display().to_string()))?;
    writeln!(out, "  from source {} to target {}", one.meta.source_site, one.meta.target_site)?;
    writeln!(
        out,
        "  through archive {}, made {} by wagon {}",
        one.meta.archive,
        time(one.meta.created),
        one.meta.wagon
    )?;
    writeln!(out, "  records: {}", listed(&mut one.records.iter()))?;
    writeln!(out, "  accounts imported completely: {}", one.complete.len())?;
    let lost = one.folders_without_uids;
    writeln!(out, "  {}, {lost} of which clients load again", count(one.folders, "folder"))?;
    writeln!(out, "  items: {}", listed(&mut one.items.iter()))?;
    writeln!(out, "  {} pending, {}", count(one.pending, "link"), count(one.conflicts, "conflict"))
}

/// Writes a new file, complete or not at all.
fn to_file(maps: &[Map], format: MapFormat, path: &Path) -> Result<(), CliError> {
    let files = open::files();
    let failed = |source| open::io_error("write", path)(source);
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = files.create_temp(dir, ".wagon-").map_err(failed)?;
    let mut out = BufWriter::new(&mut *temporary);
    export(maps, format, &mut out, &failed)?;
    drop(out);
    temporary.sync().map_err(failed)?;
    let from = temporary.keep();
    files.rename_new(&from, path).inspect_err(|_| drop(files.remove_file(&from))).map_err(failed)
}

fn export(
    maps: &[Map],
    format: MapFormat,
    out: &mut dyn Write,
    failed: &dyn Fn(io::Error) -> CliError,
) -> Result<(), CliError> {
    if format == MapFormat::Csv {
        row(out, HEADING.map(str::to_owned)).map_err(failed)?;
    }
    for map in maps {
        let source = map.meta().source_site.as_str();
        each_line(map, |line| {
            let written = match format {
                MapFormat::Csv => row(out, cells(source, line)),
                MapFormat::Json => {
                    serde_json::to_writer(&mut *out, &line).map_err(Into::into).and_then(|()| writeln!(out))
                }
            };
            written.map_err(failed)
        })?;
    }
    out.flush().map_err(failed)
}

const HEADING: [&str; 9] = ["source_site", "what", "account", "id", "source", "target", "state", "reason", "snapshot"];

fn cells(source: &str, line: MapLine) -> [String; 9] {
    let (id, snapshot) = (line.id.to_string(), line.snapshot.to_string());
    let (what, state) = (line.what.to_owned(), line.state.to_owned());
    [source.to_owned(), what, line.account, id, line.source, line.target, state, line.reason, snapshot]
}

/// One record of RFC 4180: cells with a comma, quote or line end in quotes, quotes doubled, CRLF behind.
fn row(out: &mut dyn Write, cells: [String; 9]) -> io::Result<()> {
    let quoted = |cell: &String| match cell.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.clone(),
    };
    write!(out, "{}\r\n", cells.iter().map(quoted).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_with_a_comma_stays_one_cell() {
        let mut out = Vec::new();
        row(&mut out, ["a", "b,c", "d\"e", "f\ng", "", "", "", "", "1"].map(str::to_owned)).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a,\"b,c\",\"d\"\"e\",\"f\ng\",,,,,1\r\n");
    }
}
