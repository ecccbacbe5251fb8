//! Faults: whatever breaks under a pass, a second run of it completes, and nothing is lost or doubled.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

mod clock;
mod copies;
mod databases;
mod disk;
mod every_operation;
mod faulty_fs;
mod kills;
mod kills_of_others;
mod passphrase;
#[path = "../sites/mod.rs"]
mod sites;
mod small_world;
mod steps;
mod story;
mod system;
mod system_calls;
mod together;
mod upkeep;
