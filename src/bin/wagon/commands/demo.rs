//! `wagon demo`: the main job on the example site, told step by step.
//!
//! Every step is a command line that is shown and then run in this process, as if it had been typed; only the people of
//! the example site act by themselves ([`example_site`]). So what the demo shows is what there is.

use super::open;
use crate::cli::{self, Cli, Global};
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use clap::{Args, FromArgMatches};
use stationwagon::fs::Fs;
use stationwagon::site::SiteError;
use stationwagon::testing::example_site;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Move an example site from beginning to end, in a folder of its own
///
/// Makes a small mail site, exports it, lets it live on, imports it into a new site in several passes, mends and lists
/// the shares, and proves the result. Everything lies in one folder and stays there to be looked at.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where to; must be empty or missing. Without it a new folder among the temporary ones
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// What the story is made of.
enum Step {
    /// What the next commands are for.
    Tell(&'static str),
    /// People at work on one of the sites.
    Happen(&'static str, fn(&Arc<dyn Fs>, &Path) -> Result<(), SiteError>, &'static str),
    /// A command, and how it is to end.
    Run(&'static str, Outcome),
}

use Step::{Happen, Run, Tell};

/// Everybody but Gerda.
macro_rules! most {
    ($line:literal) => {
        concat!($line, " --account *@station.example --account [efo]*@wagon.example")
    };
}

const STORY: &[Step] = &[
    Happen("A mail site as Dovecot and Postfix keep it on disk", example_site::build, "source"),
    Run("export --from $DEMO/source --archive $DEMO/archive --label first", Outcome::Done),
    Happen(
        "A day passes: new mail, read mail, moves, a renamed folder, a new password",
        example_site::a_day_passes,
        "source",
    ),
    Tell("The next export takes what has changed"),
    Run("export --from $DEMO/source --archive $DEMO/archive --label next-day", Outcome::Done),
    Tell("The new server: domains, accounts and lists first, so that mail can flow. Gerda migrates later"),
    Run(most!("import --archive $DEMO/archive --to $DEMO/target --provisioning-only"), Outcome::Done),
    Tell("Then the data. What Gerda shares, and what is shared with her, waits for her"),
    Run(most!("import --archive $DEMO/archive --to $DEMO/target"), Outcome::Done),
    Happen(
        "Users work on the new server: mail arrives, some is moved or deleted, Clara sets a password",
        example_site::users_work_on_the_target,
        "target",
    ),
    Happen("Meanwhile the old server has its last day", example_site::a_last_day, "source"),
    Tell("The last pass, with Gerda. What both sides changed stays as it is on the new server, and is named"),
    Run("export --from $DEMO/source --archive $DEMO/archive --label last", Outcome::Done),
    Run("import --archive $DEMO/archive --to $DEMO/target", Outcome::Done),
    Happen(
        "Shares came with the data. Bert brings back an old mountpoint of a folder that has another name now",
        example_site::an_old_mountpoint_comes_back,
        "target",
    ),
    Run("shares check --site $DEMO/target", Outcome::Differences),
    Run("shares fix --site $DEMO/target $DEMO/target/map_example.sqlite", Outcome::Done),
    Run("shares check --site $DEMO/target", Outcome::Done),
    Tell("The proof: the target is read back and compared, and the archive is read from end to end"),
    Run("verify --archive $DEMO/archive --to $DEMO/target", Outcome::Done),
    Run("check --archive $DEMO/archive --read-data", Outcome::Done),
];

/// What a reader may type next.
const NEXT: &[(&str, &str)] = &[
    ("snapshots --archive $DEMO/archive", "what was exported when"),
    ("diff --archive $DEMO/archive 1 2", "what the day brought"),
    ("ls --archive $DEMO/archive ann@station.example:INBOX", "a folder as the archive has it"),
    ("find --archive $DEMO/archive --attachment week-1", "who got the timetable"),
    ("shares matrix --site $DEMO/target", "who sees what"),
    ("map show --site $DEMO/target", "which id became which"),
    ("config --site $DEMO/target", "the Dovecot that serves it"),
];

pub fn run(args: &DemoArgs, global: &Global, screen: &Screen) -> Result<Outcome, CliError> {
    let fs = open::files();
    let dir = place(args, fs.as_ref())?;
    let shown = dir.display().to_string();
    let tell = |text: &str| tell(global, text);
    tell(&format!("DEMO={shown}"))?;
    let mut number = 0;
    let mut worst = Outcome::Done;
    for step in STORY {
        if let Tell(text) | Happen(text, ..) = step {
            number += 1;
            tell(&format!("\n{number}. {text}."))?;
        }
        match step {
            Tell(_) => {}
            Happen(_, happen, site) => happen(&fs, &dir.join(site))?,
            Run(line, wanted) => {
                tell(&format!("\n$ wagon {}", quoted(line)))?;
                let outcome = run_line(line, &shown, global, screen)?;
                if outcome != *wanted {
                    worst = outcome;
                }
            }
        }
    }
    tell(&format!(
        "\nThe source lies in {shown}/source, the archive in {shown}/archive, the target in {shown}/target; the ledgers \
         of the imports lie beside the target's map. Passwords are pw-USER. To go on:\n\n  export DEMO={shown}"
    ))?;
    for (line, what) in NEXT {
        tell(&format!("  wagon {line:<58} # {what}"))?;
    }
    tell("  tar tzf $DEMO/archive/snapshots/*1-*.tar.gz                      # the archive without wagon")?;
    Ok(worst)
}

/// The folder of the demo, which nothing else lies in.
fn place(args: &DemoArgs, fs: &dyn Fs) -> Result<PathBuf, CliError> {
    let Some(dir) = &args.dir else {
        let made = tempfile::Builder::new().prefix("wagon-demo-").tempdir();
        let made = made.map_err(open::io_error("make a folder in", &std::env::temp_dir()))?;
        return Ok(made.keep());
    };
    fs.create_dir_all(dir).map_err(open::io_error("make", dir))?;
    let dir = fs.canonical(dir).map_err(open::io_error("open", dir))?;
    let present = fs.list(&dir).map_err(open::io_error("list", &dir))?;
    if present.is_empty() { Ok(dir) } else { Err(CliError::Usage(format!("{} is not empty", dir.display()))) }
}

/// Runs a command line in this process, its catalog in the demo's folder.
fn run_line(line: &str, dir: &str, global: &Global, screen: &Screen) -> Result<Outcome, CliError> {
    let words = line.split(' ').map(|word| word.replace("$DEMO", dir));
    let start = ["wagon", "--cache-dir"].map(str::to_owned).into_iter().chain([format!("{dir}/cache")]);
    let wrong = |error: clap::Error| CliError::Usage(error.to_string());
    let matches = cli::command().try_get_matches_from(start.chain(words)).map_err(wrong)?;
    let parsed = Cli::from_arg_matches(&matches).map_err(wrong)?;
    let Global { json, progress, quiet, verbose, .. } = *global;
    let global = Global { json, progress, quiet, verbose, cache_dir: parsed.global.cache_dir };
    super::run(parsed.verb, &global, screen)
}

/// The line as a shell wants it.
fn quoted(line: &str) -> String {
    let quote = |word: &str| if word.contains(['*', '[']) { format!("'{word}'") } else { word.to_owned() };
    line.split(' ').map(quote).collect::<Vec<_>>().join(" ")
}

/// The story is for people: beside the reports, which are on standard output, unless those are for a program.
fn tell(global: &Global, text: &str) -> Result<(), CliError> {
    let told = if global.json { writeln!(io::stderr(), "{text}") } else { writeln!(io::stdout(), "{text}") };
    told.map_err(CliError::Output)
}
