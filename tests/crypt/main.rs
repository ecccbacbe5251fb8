//! Encrypted archives and signed snapshots, told through the command line: what the exporter can do without a private
//! key, what nobody can without one, and what a reader refuses.

#![allow(clippy::disallowed_methods, reason = "a test looks at files as they are")]
#![allow(clippy::print_stderr, reason = "a test says what it skips")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper of a test fails as the test does")]

mod encrypted;
mod lost;
mod passphrase;
mod signed;
#[path = "../sites/mod.rs"]
mod sites;
mod stock;
mod twice;
mod world;
