//! Sites of real servers: Dovecot and Cyrus as sources and targets, through the built binary, and what lies on the
//! target fetched again by a client that shares no code with wagon. Needs root and the development testbed
//! (`../shared/testbed`, or `WAGON_TESTBED`); without them each test says so. With the corpus (`WAGON_CORPUS`) real
//! mail goes the same ways.
//!
//! What a server itself changes, and nothing else is allowed to differ:
//! - IMAP knows no line end but CRLF, so a bare LF becomes one.
//! - Dovecot shows a NUL as 0x80, refuses an empty message, and leaves out one CR of several before an LF and one at a message's
//! - Cyrus refuses a message with NUL, without a byte, or with an invalid header line, and makes an `X` of each byte above

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

#[path = "../servers/mod.rs"]
mod servers;
#[path = "../sites/mod.rs"]
mod sites;

mod broken;
mod client;
mod company;
mod compare;
mod domain;
mod folders;
mod large;
mod lesser;
mod logins;
mod long_keywords;
mod moves;
mod passes;
mod proxy;
mod quotas;
mod rates;
mod site_check;
mod torn;
mod world;
