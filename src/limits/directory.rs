//! Bounds of the directory site, as target and as source.

use std::time::Duration;

use super::MIB;

/// How long another program's `dovecot-uidlist.lock` is waited for; Dovecot waits as long.
pub const LOCK_WAIT: Duration = Duration::from_secs(130);

/// A lock file that has not changed for so long belongs to nobody; Dovecot's own number for its uidlist.
pub const LOCK_STALE: Duration = Duration::from_secs(120);

/// How often a held lock is looked at. Chosen; a uidlist is locked for milliseconds.
pub const LOCK_POLL: Duration = Duration::from_millis(20);

/// Largest UID that is kept. A higher one would leave a folder without room for new mail: a hostile archive could close
/// a mailbox with one message.
pub const LARGEST_KEPT_UID: u32 = 4_000_000_000;

/// Longest item name that is written as it is, bytes; a file name has 255 at most, and flags and temporary names need
/// some of them.
pub const ITEM_NAME_BYTES: usize = 200;

/// Longest local part or domain that becomes a folder's name, bytes (a file name's bound; RFC 5321 has 64 and 255).
pub const ADDRESS_PART_BYTES: usize = 255;

/// Batches of at most so many messages are made durable one by one; larger ones with one `syncfs`, which costs one
/// commit of the journal as each `fsync` does, but also writes what others have not synced. Chosen.
pub const SYNC_ONE_BY_ONE: usize = 2;

/// Accounts whose item names are remembered at once; the one unused for longest is read again when it is needed.
/// An account of 50,000 messages takes about 1 MB.
pub const NAME_SETS: usize = 16;

/// Maildir folders whose listings are remembered at once while single messages are changed. A folder of 50,000 messages
/// takes about 10 MB.
pub const FOLDER_VIEWS: usize = 6;

/// Most rows of one table of a `site.sqlite` that are read at once; a hostile file must not fill the memory. A mailbox
/// of a million messages, each with three tags, has three million.
pub const SITE_DB_ROWS: u64 = 10_000_000;

/// Longest value in a `site.sqlite`, bytes: a signature with pictures in it has hundreds of kilobytes.
pub const SITE_DB_VALUE_BYTES: usize = 16 * MIB as usize;

/// How near a file's time may be to the clock of the scan that saw it, nanoseconds, for the scan mark not to be trusted.
/// File times step by up to 10 ms (the kernel's tick), on some network file systems by a second.
pub const RACY_NANOS: u128 = 1_000_000_000;

/// How often a Maildir folder that changes while it is listed is listed in one scan. What the last listing may still
/// have missed changes the folder's times, so the next pass finds it.
pub const LISTING_ROUNDS: u8 = 3;

/// Accounts whose subscriptions and database rows are kept between two looks at their folders; at least the number of
/// accounts that are scanned at once.
pub const VIEWS_KEPT: usize = 32;

/// For how long these are not compared with their files again while the folders of their account are compared with the
/// marks of an earlier pass.
pub const VIEW_FRESH: Duration = Duration::from_secs(1);

/// Bad lines of one control file in a mailbox that are reported one by one.
pub const BAD_LINES_SHOWN: usize = 20;
