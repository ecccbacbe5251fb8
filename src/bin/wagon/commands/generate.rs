//! `wagon generate`, hidden: man page and completions as files, for packages.

use super::{completions, man, open};
use crate::exit::{CliError, Outcome};
use clap::{Args, ValueEnum};
use clap_complete::{Generator, Shell};
use std::path::PathBuf;

/// Write the manual page and completions for all shells into a folder
#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub fn run(args: &GenerateArgs) -> Result<Outcome, CliError> {
    let files = open::files();
    files.create_dir_all(&args.dir).map_err(open::io_error("make", &args.dir))?;
    let page = man::page().map_err(open::io_error("write", &args.dir))?;
    let shells = Shell::value_variants().iter();
    let scripts = shells.map(|shell| (shell.file_name("wagon"), completions::script(*shell)));
    for (name, bytes) in std::iter::once(("wagon.1".to_owned(), page)).chain(scripts) {
        let path = args.dir.join(name);
        files.replace(&path, &bytes, 0o644).map_err(open::io_error("write", &path))?;
    }
    Ok(Outcome::Done)
}
