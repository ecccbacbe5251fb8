//! Every bound, size and threshold, with its unit, its reason and the damage that it prevents.
//!
//! Input is hostile: a length is read, compared with one of these, and only then allocated. Reaching a bound is a
//! reported reason, never a crash.

pub const KIB: u64 = 1024;
pub const MIB: u64 = 1024 * KIB;

/// Longest folder path, bytes of UTF-8. Twice what servers let through (Dovecot 4096 a path, RFC 3501 has no bound);
/// stops manifests that would make megabyte paths.
pub const FOLDER_PATH_BYTES: usize = 8 * KIB as usize;

/// Largest item that is held in memory as a whole and taken apart, bytes. Larger ones are streamed and stored whole,
/// so that a 200 MB message needs no 200 MB.
pub const WHOLE_ITEM_BYTES: u64 = 32 * MIB;

/// Most message bytes held between scan and store. An item larger than this is let through alone.
pub const IN_FLIGHT_BYTES: u64 = 16 * MIB;

/// Items that wait between two stages of a pipeline; bounds counts, as [`IN_FLIGHT_BYTES`] bounds bytes.
pub const QUEUE_ITEMS: usize = 256;

/// Largest control file of a site (uidlist, passwd, alias map, ACL, subscriptions) that is read, bytes. A uidlist of a
/// million messages has about 60 MB.
pub const CONTROL_FILE_BYTES: u64 = 256 * MIB;

/// Deepest nesting of MIME parts that is taken apart. Deeper ones stay in the skeleton; they cost size, never bytes.
pub const MIME_DEPTH: usize = 64;

/// Most parts taken out of one message; what comes after stays in the skeleton.
pub const MIME_PARTS: usize = 2_000;

/// Smallest part taken out, bytes of its raw form (architecture section 3: around 1 KiB). Below it, the name and the
/// header of an entry cost more than a second copy inside a compressed segment.
pub const PART_BYTES: usize = 1024;

/// Folder levels a mailbox may have; deeper folders are rejected. Dovecot's own bound is of the same order.
pub const FOLDER_DEPTH: usize = 64;

/// Most folders of one account. A loop of symbolic links ends here.
pub const FOLDERS_PER_ACCOUNT: usize = 100_000;

/// Longest reason kept with a rejection, bytes.
pub const REASON_BYTES: usize = 500;

/// Manifests of an account that build on one another before a full one is written: each costs a read at every replay.
pub const MANIFEST_CHAIN: u64 = 60;

/// Lines that such a chain may have beyond twice the account's items; keeps small mailboxes from being written anew
/// each day.
pub const MANIFEST_SLACK_LINES: u64 = 1_000;

// Import and map.

/// Rows of the map that are held while an account is compared; bounds memory, not what an account may hold.
pub const MAP_PAGE_ROWS: u32 = 4096;

// Shares.

/// Largest journal of a fix that is read, bytes. A step has about 500, so this is half a million shares mended at once.
pub const JOURNAL_BYTES: u64 = 256 * MIB;

/// Fixes that one second can bring, so that finding a free name for a journal ends. Chosen; nothing depends on it.
pub const JOURNALS_A_SECOND: u32 = 1000;

/// Most rows of a matrix in which grants are expanded to accounts. A grant to everyone on each folder of a large site has
/// as many as folders times accounts; what comes after is listed as granted only.
pub const MATRIX_ROWS: usize = 1_000_000;
