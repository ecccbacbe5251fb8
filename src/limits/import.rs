//! Bounds of the import and its map.

use super::MIB;

/// Rows of the map that are held while an account is compared; bounds memory, not what an account may hold.
pub const MAP_PAGE_ROWS: u32 = 4096;

/// Most renaming rules in one file. A million addresses are more than any site that moves at once.
pub const RENAME_RULES: usize = 1_000_000;

/// Items of one delivery: intents are committed, the items delivered, the outcomes committed. Each of the three waits for
/// the disk, so few large batches are faster; a killed import has at most one such batch a thread to settle.
pub const BATCH_ITEMS: usize = 1024;

/// Bytes that all threads of an import hold together; each delivers its share at a time, and at least
/// [`BATCH_BYTES_LEAST`]. An item larger than that goes alone.
pub const BATCH_BYTES: u64 = 16 * MIB;

/// Smallest share of [`BATCH_BYTES`], so that many threads do not mean a sync for every message.
pub const BATCH_BYTES_LEAST: u64 = MIB;

/// Messages of which an import remembers where it delivered them, for the sake of their copies in other mailboxes: about
/// 150 bytes each, 5 MB. Copies of what is older are read from the archive.
pub const COPIES_REMEMBERED: usize = 32_768;

/// Provisioning changes that are given to a target at once.
pub const BATCH_RECORDS: usize = 4096;

/// Characters of a keyword that are shown where one cannot be kept; it may be as long as a line of its list.
pub const SHOWN_KEYWORD: usize = 80;
