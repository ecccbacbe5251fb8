//! Stories of upkeep: archives that are damaged, repaired, thinned out and made smaller, and the passes before and after.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and looks at files as they are"
)]

mod broken_chain;
mod files;
mod flipped;
mod mending;
mod thinning;
#[path = "../story/world.rs"]
#[allow(dead_code, reason = "the stories of passes need more of it")]
mod world;
