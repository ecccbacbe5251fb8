//! stationwagon moves a whole mail site into a deduplicated, gzip-compressed, content-addressed archive, and replays it
//! on another server.
//!
//! A map of the crate, from the ground up; a layer uses only what stands above it here:
//!
//! | module | what |
//! |---|---|
//! | [`model`] | plain data: ids, provisioning, mailboxes, shares |
//! | [`limits`], [`event`] | every bound; what a pass tells the world |
//! | [`fs`], [`db`], [`net`] | the file system as a trait; opening SQLite; reaching servers |
//! | [`message`], [`mod@format`] | pure functions between bytes and values |
//! | [`archive`], [`catalog`], [`map`] | the archive's files; the exporter's and the importer's memory |
//! | [`site`] | [`Source`](site::Source), [`Target`](site::Target) and the connectors |
//! | [`verbs`] | what a user does: export, import, check, verify, shares |
//! | [`testing`] | doubles for tests, also for those of connector writers |

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests look at files as they are"))]

pub mod archive;
pub mod catalog;
pub mod db;
pub mod event;
pub mod format;
pub mod fs;
pub mod limits;
pub mod map;
pub mod message;
pub mod model;
pub mod net;
pub mod shelf;
pub mod site;
pub mod testing;
pub mod verbs;
