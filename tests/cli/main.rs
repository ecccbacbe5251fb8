//! The binary as a user meets it: help texts, output, errors, exit statuses, JSON, interrupts. What the verbs do is tested
//! elsewhere; here it counts what is seen. Snapshots lie beside; `INSTA_UPDATE=always` writes them anew.

#![allow(clippy::disallowed_methods, reason = "a test looks at files as they are")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper of a test fails as the test does")]

mod errors;
mod extracting;
mod help;
mod interrupts;
mod json;
mod looking;
mod moving;
mod options;
mod protect;
mod secrets;
mod site;
mod subscriptions;
mod throttles;
mod upkeep;
mod wagon;
