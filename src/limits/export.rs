//! Bounds of a pass of the export: what is under way between its stages, and what it remembers.

use super::{KIB, MIB};

/// Largest item that is held in memory as a whole and taken apart, bytes. Larger ones are streamed and stored whole,
/// so that a 200 MB message needs no 200 MB.
pub const WHOLE_ITEM_BYTES: u64 = 32 * MIB;

/// Most message bytes held between scan and store. An item larger than this is let through alone.
pub const IN_FLIGHT_BYTES: u64 = 16 * MIB;

/// Accounts that a later pass looks at ahead of the one whose turn it is, for each thread: while a large one is looked at,
/// the other threads go on with small ones. Of each, what changed is held.
pub const ACCOUNTS_AHEAD: usize = 4;

/// Steps that go from one stage of a pass to the next at once. Waking a thread for each message took a tenth of the
/// processors' time (docs/measurements.md).
pub const QUEUE_BATCH: usize = 32;

/// Batches that wait between two stages of a pipeline; bounds counts, as [`IN_FLIGHT_BYTES`] bounds bytes.
pub const QUEUED_BATCHES: usize = 8;

/// Bodies that a pass remembers to know their copies by; each takes about 100 bytes. Site-medium has 14,000 different ones.
pub const BODIES_REMEMBERED: usize = 16_384;

/// Shortest body that is looked for among those, bytes. A shorter one is taken apart in the time that looking takes.
pub const HASHED_BODY_BYTES: usize = 2 * KIB as usize;

/// Message bytes at which a splitter hands over what it has of a batch, so that a batch of large messages does not wait
/// for its last.
pub const HANDED_OVER_BYTES: u64 = 512 * KIB;

/// Manifests of an account that build on one another before a full one is written: each costs a read at every replay.
pub const MANIFEST_CHAIN: u64 = 60;

/// Lines that such a chain may have beyond twice the account's items; keeps small mailboxes from being written anew
/// each day.
pub const MANIFEST_SLACK_LINES: u64 = 1_000;
