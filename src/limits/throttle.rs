//! Bounds of throttled reading and writing.

use std::time::Duration;

use super::KIB;

/// Bursts that make a second's worth: an eighth of a second's bytes may pass at once. Long enough that a wait is longer
/// than what the scheduler adds to it, short enough that nobody else at the disk notices.
pub const THROTTLE_BURSTS_A_SECOND: u64 = 8;

/// Least bytes that a throttled read or write is cut to: a page; less would only cost calls.
pub const THROTTLE_PIECE_BYTES: usize = 4 * KIB as usize;

/// Slowest rate that may be asked for, bytes a second. Below it a single message takes minutes, which is a typing error.
pub const THROTTLE_LEAST_RATE: u64 = KIB;

/// How often a throttled wait looks whether the user wants to stop.
pub const THROTTLE_LOOK: Duration = Duration::from_millis(20);
