//! Bad input, through the real binary: a clear error with the exit status that is documented, and nothing lost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, makes and looks at files as they are, and says what it skips"
)]

mod archives;
mod blind_spots;
mod by_hand;
mod disks;
mod flips;
mod forged;
mod forgeries;
mod full_upkeep;
mod letters;
mod locks;
mod maps;
mod names;
mod rights;
mod sealed;
mod servers;
#[path = "../sites/mod.rs"]
mod sites;
mod towers;
mod values;
mod watched;
mod world;
