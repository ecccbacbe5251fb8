//! `wagon config`

use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use clap::{Args, ValueEnum};

/// Print the configuration that serves a site
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The site: a folder, or dir:FOLDER
    #[arg(long, alias = "to", value_name = "SITE")]
    site: String,
    /// The server that it is for
    #[arg(value_name = "SERVER", default_value = "dovecot")]
    server: Server,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Server {
    Dovecot,
    Postfix,
}

pub fn run(_args: &ConfigArgs, _screen: &Screen) -> Result<Outcome, CliError> {
    Err(CliError::Usage("this build prints no configuration".to_owned()))
}
