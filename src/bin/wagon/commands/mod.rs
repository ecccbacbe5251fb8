//! One file a verb: its arguments, and one function that opens what it names, calls the library and shows what came of it.

pub mod check;
pub mod completions;
pub mod config;
pub mod demo;
pub mod diff;
pub mod export;
pub mod extract;
pub mod find;
pub mod forget;
pub mod generate;
pub mod import;
pub mod ls;
pub mod man;
pub mod map;
mod open;
pub mod passphrase;
pub mod protect;
pub mod prune;
pub mod repack;
pub mod repair;
pub mod shares;
pub mod show;
pub mod site;
pub mod snapshots;
mod throttle;
pub mod verify;

use crate::cli::{Global, Verb};
use crate::exit::{CliError, Outcome};
use crate::render::Screen;

/// Runs one verb.
pub fn run(verb: Verb, global: &Global, screen: &Screen) -> Result<Outcome, CliError> {
    match verb {
        Verb::Export(args) => export::run(&args, global, screen),
        Verb::Import(args) => import::run(&args, global, screen),
        Verb::Verify(args) => verify::run(&args, screen),
        Verb::Site(args) => site::run(&args, screen),
        Verb::Config(args) => config::run(&args, screen),
        Verb::Snapshots(args) => snapshots::run(&args, screen),
        Verb::Ls(args) => ls::run(&args, screen),
        Verb::Show(args) => show::run(&args, screen),
        Verb::Diff(args) => diff::run(&args, screen),
        Verb::Find(args) => find::run(&args, global, screen),
        Verb::Extract(args) => extract::run(&args, screen),
        Verb::Shares(args) => shares::run(&args, screen),
        Verb::Check(args) => check::run(&args, global, screen),
        Verb::Repair(args) => repair::run(&args, screen),
        Verb::Protect(args) => protect::run(&args, screen),
        Verb::Passphrase(args) => passphrase::run(&args, screen),
        Verb::Forget(args) => forget::run(&args, screen),
        Verb::Prune(args) => prune::run(&args, screen),
        Verb::Repack(args) => repack::run(&args, screen),
        Verb::Map(args) => map::run(&args, screen),
        Verb::Demo(args) => demo::run(&args, global, screen),
        Verb::Completions(args) => completions::run(&args),
        Verb::Man(args) => man::run(&args),
        Verb::Generate(args) => generate::run(&args),
    }
}
