//! Plain data: what a mail site consists of, the same for every connector and for the archive.
//!
//! Promises: no I/O, no clock, no randomness; a value that exists is valid. Everything above uses these types, and
//! records are defined here once: `format` only defines the lines around them (format-spec/snapshot.md).

pub mod hex;
pub mod id;
pub mod mailbox;
pub mod packed;
pub mod provisioning;
pub mod setting;
pub mod share;
pub mod text;
