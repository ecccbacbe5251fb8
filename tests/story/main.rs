//! Stories: a small world, something an administrator does, and what a person would look at afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

mod any_order;
mod exactly_once;
mod first_pass;
mod later_passes;
mod links;
mod servers;
mod set_aside;
mod way_back;
mod world;
