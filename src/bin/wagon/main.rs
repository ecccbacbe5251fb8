//! `wagon`: reads the command line, runs one verb, and ends with its exit status. What each verb does is in the library;
//! here are arguments (`cli`, `commands`), output (`render`) and statuses (`exit`).

mod cli;
mod commands;
mod exit;
mod interrupt;
mod render;
mod trouble;

use clap::FromArgMatches;
use std::process::ExitCode;

fn main() -> ExitCode {
    exit::own_up_to_panics();
    let cli = match cli::command().try_get_matches().and_then(|matches| cli::Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        // clap knows whether this is help for standard output (status 0) or a usage error (2).
        Err(error) => error.exit(),
    };
    let screen = render::Screen::new(&cli.global);
    let outcome = commands::run(cli.verb, &cli.global, &screen);
    exit::end(outcome, &screen)
}
