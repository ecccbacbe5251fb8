//! Bounds of what is held of a large account before it goes to a scratch file.

use super::{KIB, MIB};

/// Bytes of a list of items that are held in memory: some ten thousand messages, so that the accounts of most people never
/// ask the disk. Each list of each account that is worked on at the same time may hold as much.
pub const SHELF_HELD_BYTES: usize = MIB as usize;

/// Bytes that are read of a scratch file at once: some forty items for whoever reads them in order, and about a
/// microsecond for whoever wants one.
pub const SHELF_WINDOW_BYTES: usize = 4 * KIB as usize;

/// Bytes that are sorted in memory at once; more are sorted in runs of that size, which are then merged. A million names
/// make some twenty runs, and each is read through a window of [`SHELF_WINDOW_BYTES`].
pub const SORT_HELD_BYTES: usize = 2 * MIB as usize;
