//! Bounds of IMAP.

use std::time::Duration;

use super::{KIB, MIB};

/// Longest line of an answer without its literals, bytes. A listing of ten thousand keywords has 200 KB.
pub const IMAP_LINE_BYTES: usize = 256 * KIB as usize;

/// Longest line that only lists numbers (`VANISHED`, `SEARCH`), bytes; a mailbox of a million messages of which every other
/// one was removed gives 4 MB. It is read as ranges, not as single numbers.
pub const IMAP_NUMBERS_BYTES: usize = 16 * MIB as usize;

/// Largest literal that a server may send where no message was asked for, bytes: a folder's name, a header of
/// [`IMAP_HEADER_BYTES`].
pub const IMAP_LITERAL_BYTES: u64 = 128 * KIB;

/// How deep lists may lie in each other in an answer. What we ask for has three levels.
pub const IMAP_DEPTH: usize = 8;

/// Answers to one command that nobody asked for. A server that talks for ever is hung up on.
pub const IMAP_UNASKED: usize = 200_000;

/// Folders of one account that are listed, and ranges of numbers in one answer.
pub const IMAP_FOLDERS: usize = 200_000;
pub const IMAP_RANGES: usize = 2_000_000;

/// Bytes of a message that are asked for at once; a longer one comes in several pieces.
pub const IMAP_PIECE_BYTES: u64 = MIB;

/// Bytes and messages that are asked for ahead of their being read, for one account.
pub const IMAP_AHEAD_BYTES: u64 = 2 * MIB;
pub const IMAP_AHEAD_ITEMS: usize = 256;

/// Messages that are asked for with the first command in a folder; twice as many with each next, while they are wanted.
pub const IMAP_FIRST_WINDOW: usize = 8;

/// Folders whose order of reading is kept, and messages in them; 8 bytes each.
pub const IMAP_PLANS: usize = 4096;
pub const IMAP_PLANNED: usize = 1 << 20;

/// Commands that are sent ahead of their answers. More could fill the buffers of both sides, and each would wait for the
/// other to read.
pub const IMAP_PIPELINE: usize = 128;

/// Accounts for which messages that came ahead are kept; more than one only while a pass goes from one to the next.
pub const IMAP_AHEAD_ACCOUNTS: usize = 4;

/// Bytes of a header by which a message is known again where the server has no lasting names.
pub const IMAP_HEADER_BYTES: u64 = 64 * KIB;

/// Messages of a folder that are asked for with one command, and rows that are written to the state at once.
pub const IMAP_ROWS: usize = 5_000;

/// How often something is tried again after a lost connection or a server that asks to wait, and the waits between.
pub const IMAP_TRIES: usize = 6;
pub const IMAP_FIRST_WAIT: Duration = Duration::from_millis(200);
pub const IMAP_LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Messages and bytes of one APPEND that brings several (MULTIAPPEND): one refused message makes the server refuse all.
pub const IMAP_APPEND_ITEMS: usize = 64;
pub const IMAP_APPEND_BYTES: u64 = 4 * MIB;
