//! `wagon map`

use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Read the map of an import: old id to new id
#[derive(Debug, Args)]
pub struct MapArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show what a map is of and how much it holds
    Show {
        /// The map: map_SOURCE.sqlite
        #[arg(value_name = "MAP")]
        map: PathBuf,
    },
    /// Write every row of a map
    Export {
        /// The map: map_SOURCE.sqlite
        #[arg(value_name = "MAP")]
        map: PathBuf,
        #[arg(long, value_name = "FORMAT", default_value = "csv")]
        format: MapFormat,
        /// Where to; without it standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum MapFormat {
    Csv,
    Json,
}

pub fn run(_args: &MapArgs, _screen: &Screen) -> Result<Outcome, CliError> {
    Err(CliError::Usage("this build reads no maps".to_owned()))
}
