//! What is fuzzed, one function a parser: any bytes go in, and whatever the function claims must hold.
//!
//! `fuzz/run` drives these with libFuzzer; `tests/fuzz_corpus.rs` of the main package includes this file, and replays
//! everything that is kept in `corpus/` and `crashes/` without any fuzzer.

mod answers;
mod archive_files;
mod beside;
mod control_files;
mod maps;
mod memory_fs;
mod messages;
mod names;
mod records;
mod sealed;
mod site_files;

/// A target: the name of its folder in `corpus/` and `crashes/`, and what is done with each input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by name. Each has a file of six lines in `targets/`.
pub const TARGETS: [Target; 29] = [
    ("acl", control_files::acl),
    ("aliases", control_files::aliases),
    ("archive", beside::archive),
    ("ber", answers::ber),
    ("csv", site_files::csv),
    ("dav", answers::dav),
    ("description", site_files::description),
    ("header", messages::header),
    ("imap", answers::imap),
    ("index", archive_files::index),
    ("keywords", control_files::keywords),
    ("ldap", site_files::ldap),
    ("managesieve", answers::managesieve),
    ("manifest", records::manifest),
    ("map", maps::map),
    ("message", messages::message),
    ("names", names::names),
    ("pack", archive_files::pack),
    ("parity", beside::parity),
    ("passwd", control_files::passwd),
    ("provisioning", records::provisioning),
    ("rename", control_files::rename),
    ("sealed", sealed::sealed),
    ("sieve", messages::sieve),
    ("signature", beside::signature),
    ("skeleton", messages::skeleton),
    ("snapshot", archive_files::snapshot),
    ("subscriptions", control_files::subscriptions),
    ("uidlist", control_files::uidlist),
];

/// Runs one input through the target of this name.
///
/// # Panics
/// Where a claim does not hold, and where there is no such target.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|(other, _)| *other == name);
    let Some((_, target)) = target else { panic!("there is no target {name}") };
    target(input);
}
