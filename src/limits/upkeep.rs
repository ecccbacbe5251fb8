//! Bounds of upkeep: broken chains, check, repair, forget, prune.

use std::time::Duration;

use super::MIB;

/// How far numbers of records, folders and items jump when a pass has to go on without a snapshot that may have given
/// some away. More than any snapshot adds to one account; the 32 bits have room for four thousand such jumps.
pub const NUMBER_GAP: u32 = 1 << 20;

/// How often a repair tries to read what the disk does not give, before it counts as lost. Chosen; the system itself has
/// tried for seconds each time where a sector is bad.
pub const READ_TRIES: u32 = 3;

/// How long a reader waits for a prune that removes files, which takes milliseconds, and a prune for readers.
pub const READER_WAIT: Duration = Duration::from_secs(5);

/// Bytes of packs that are written anew before the old ones go: what a prune needs of the disk beside the archive.
pub const REWRITE_BATCH_BYTES: u64 = 256 * MIB;

/// A pack of less than this is small; several of them are put together.
pub const SMALL_PACK_BYTES: u64 = 4 * MIB;

/// So many small packs are worth putting together. Fewer would be written anew by every prune.
pub const SMALL_PACKS: usize = 8;

/// Bytes of entries that a repack holds and sorts, so that like lies beside like.
pub const LIKENESS_BYTES: usize = 24 * MIB as usize;

/// Largest `wanted.json`, bytes.
pub const WANTED_BYTES: u64 = 64 * MIB;

/// Bytes of recipes that a check collects before it joins them in the order of what they are joined from.
pub const JOIN_WINDOW_BYTES: usize = 8 * MIB as usize;

/// Segments that a check looks at before it goes on with what they gave; bounds what is held of them.
pub const CHECK_SEGMENTS: usize = 32;
