//! `wagon config`

use super::open;
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use clap::{Args, ValueEnum};
use serde::Serialize;
use stationwagon::site::directory::dovecot_conf::{ServeOptions, dovecot_conf, postfix_conf};
use std::path::Path;

/// Print the configuration that serves a site
///
/// For Dovecot a whole dovecot.conf, to which certificates and ports are to be added; for Postfix lines of its main.cf.
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

#[derive(Serialize)]
struct ConfigReport {
    configuration: String,
}

pub fn run(args: &ConfigArgs, screen: &Screen) -> Result<Outcome, CliError> {
    let site = open::source(&args.site)?.describe()?;
    if site.scheme != "dir" {
        return Err(CliError::Usage(format!("a site of kind {} brings a server of its own", site.scheme)));
    }
    let root = Path::new(&site.locator);
    let configuration = match args.server {
        Server::Dovecot => dovecot_conf(root, &ServeOptions::of_site(open::files().as_ref(), root)?),
        Server::Postfix => postfix_conf(root),
    };
    let report = ConfigReport { configuration };
    screen.report("config", &report, |out| out.write_all(report.configuration.as_bytes()))?;
    Ok(Outcome::Done)
}
