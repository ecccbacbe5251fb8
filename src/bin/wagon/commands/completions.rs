//! `wagon completions`

use crate::cli;
use crate::exit::{CliError, Outcome};
use clap::Args;
use clap_complete::Shell;
use std::io::{self, Write};

/// Print completions for a shell
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub fn run(args: &CompletionsArgs) -> Result<Outcome, CliError> {
    io::stdout().write_all(&script(args.shell)).map_err(CliError::Output)?;
    Ok(Outcome::Done)
}

/// The completions as a script of that shell.
pub fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "wagon", &mut script);
    script
}
