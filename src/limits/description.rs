//! Bounds of site descriptions and of what `wagon site check` samples.

use std::time::Duration;

use super::MIB;

/// Largest site description, bytes. One that lists ten thousand accounts itself has about one MiB.
pub const DESCRIPTION_BYTES: u64 = 16 * MIB;

/// Largest file of accounts (CSV or passwd-file) and of logins, bytes. A line has about 200, so this is over a million.
pub const ACCOUNTS_FILE_BYTES: u64 = 256 * MIB;

/// What `wagon site check` reads to tell how fast a server is: items, bytes and time at most.
pub const SAMPLE_ITEMS: u64 = 200;
pub const SAMPLE_BYTES: u64 = 32 * MIB;
pub const SAMPLE_TIME: Duration = Duration::from_secs(10);
