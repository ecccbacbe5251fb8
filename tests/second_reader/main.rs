//! The second implementation: format-spec/reader, Python's standard library alone, reads whatever wagon writes, and
//! restores from it the site that wagon's own import makes. What is signed it proves, what is protected it mends, and for a
//! passphrase it asks.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and looks at files as they are"
)]

mod forged;
mod mended;
mod passphrase;
mod python;
mod restoring;
mod signed;
#[path = "../sites/mod.rs"]
mod sites;
