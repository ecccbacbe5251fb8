//! `wagon demo`

use crate::cli::Global;
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use clap::Args;
use std::path::PathBuf;

/// Move an example site from beginning to end, in a folder of its own
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where to; without it a new folder among the temporary ones
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

pub fn run(_args: &DemoArgs, _global: &Global, _screen: &Screen) -> Result<Outcome, CliError> {
    Err(CliError::Usage("this build has no demo".to_owned()))
}
