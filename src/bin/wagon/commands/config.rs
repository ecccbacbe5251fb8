//! `wagon config`

use super::open;
use crate::exit::{CliError, Outcome};
use crate::render::Screen;
use clap::{Args, ValueEnum};
use serde::Serialize;
use stationwagon::site::directory::dovecot_conf::{LMTP, ServeOptions, dovecot_conf, postfix_conf};
use std::net::SocketAddr;
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
    /// Where Dovecot takes mail from Postfix; give both the same
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = LMTP)]
    lmtp: SocketAddr,
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
    let options = ServeOptions { lmtp: args.lmtp, ..ServeOptions::of_site(open::files().as_ref(), root)? };
    let configuration = match args.server {
        Server::Dovecot => dovecot_conf(root, &options),
        Server::Postfix => postfix_conf(root, &options),
    };
    let report = ConfigReport { configuration };
    screen.report("config", &report, |out| out.write_all(report.configuration.as_bytes()))?;
    Ok(Outcome::Done)
}
