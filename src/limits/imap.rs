//! Bounds of IMAP.

use std::time::Duration;

use super::{KIB, MIB};

/// Longest line of an answer without its literals, bytes. A listing of ten thousand keywords has 200 KB.
pub const IMAP_LINE_BYTES: usize = 256 * KIB as usize;

/// Longest line that only lists numbers (`VANISHED`, `SEARCH`), bytes; a mailbox of a million messages of which every other
/// one was removed gives 4 MB. It is read as ranges, not as single numbers. The buffer for a line grows by
/// [`IMAP_LINE_STEP`] beyond that, so that the longest does not take twice its size.
pub const IMAP_NUMBERS_BYTES: usize = 16 * MIB as usize;
pub const IMAP_LINE_STEP: usize = MIB as usize;

/// Largest literal that a server may send where no message was asked for, bytes: a folder's name, a header of
/// [`IMAP_HEADER_BYTES`].
pub const IMAP_LITERAL_BYTES: u64 = 128 * KIB;

/// How deep lists may lie in each other in an answer. What we ask for has three levels.
pub const IMAP_DEPTH: usize = 8;

/// Answers to one command that nobody asked for, and their bytes: status texts, messages (FETCH) behind a command that asks
/// for none or beyond those that the folder has, names and counters beyond those that were asked for. A server that talks
/// for ever is hung up on. The bytes leave room for what left a large folder, which is told without being asked.
pub const IMAP_UNASKED: usize = 200_000;
pub const IMAP_UNASKED_BYTES: usize = 64 * MIB as usize;

/// Messages of one folder that a server may tell of with one command; more than any folder has, so that one that goes
/// on for ever costs a known amount of time.
pub const IMAP_MESSAGES: usize = 20_000_000;

/// Folders of one account that are listed, and ranges of numbers in one answer (12 bytes each).
pub const IMAP_FOLDERS: usize = 200_000;
pub const IMAP_RANGES: usize = 2_000_000;

/// What the names of an account's folders, their attributes and access lists may take together while they are listed,
/// bytes; each entry counts [`IMAP_ENTRY_BYTES`] beside its text. A hundred thousand folders with names of 40 bytes fit.
/// Names that are only subscribed to have the same again.
pub const IMAP_LISTING_BYTES: usize = 16 * MIB as usize;
pub const IMAP_ENTRY_BYTES: usize = 64;

/// Longest comment on a folder that is carried, bytes; one of more counts as none.
pub const IMAP_COMMENT_BYTES: usize = 4096;

/// Longest lasting name of a message or folder that is kept as it is, bytes (RFC 8474, section 4, knows 255); of a longer
/// one its hash.
pub const IMAP_IDENT_BYTES: usize = 255;

/// Capabilities that a server may say it has turned on (ENABLED).
pub const IMAP_ENABLED: usize = 64;

/// Namespaces of a kind that are looked at.
pub const IMAP_NAMESPACES: usize = 64;

/// Bytes of a message that are asked for at once; a longer one comes in several pieces.
pub const IMAP_PIECE_BYTES: u64 = MIB;

/// Bytes and messages that are asked for ahead of their being read, for one account.
pub const IMAP_AHEAD_BYTES: u64 = 2 * MIB;
pub const IMAP_AHEAD_ITEMS: usize = 256;

/// Bytes of messages that came ahead and wait for a thread that is behind, for one account, and messages of which is known
/// when they came, read or not. More than is asked for, so that only what nobody comes for is ever fetched twice.
pub const IMAP_HERE_BYTES: u64 = 6 * MIB;
pub const IMAP_CAME: usize = 8192;

/// Messages that are asked for with the first command in a folder; twice as many with each next, while they are wanted.
pub const IMAP_FIRST_WINDOW: usize = 8;

/// Folders whose order of reading is kept, and messages in them; 8 bytes each.
pub const IMAP_PLANS: usize = 4096;
pub const IMAP_PLANNED: usize = 1 << 20;

/// Commands whose answers are short that are sent ahead of them. More could fill the buffers of both sides, and each would
/// wait for the other to read.
pub const IMAP_PIPELINE: usize = 128;

/// Bytes of commands that are sent ahead of answers of any length: half of what the other side's system takes in before its
/// server reads (Linux: 64 KiB). Of 160 folders with names of 20 bytes everything is asked in one round trip.
pub const IMAP_PIPELINE_BYTES: usize = 32 * KIB as usize;

/// Messages that a command names by their UIDs, each of at most eleven characters: a command line has 8,192 (RFC 7162,
/// section 4).
pub const IMAP_SET_UIDS: usize = 500;

/// Accounts for which messages that came ahead are kept; more than one only while a pass goes from one to the next.
pub const IMAP_AHEAD_ACCOUNTS: usize = 4;

/// Bytes of a header by which a message is known again where the server has no lasting names.
pub const IMAP_HEADER_BYTES: u64 = 64 * KIB;

/// Messages of a folder that are asked for with one command, and rows that are written to the state at once.
pub const IMAP_ROWS: usize = 5_000;

/// Bytes after which rows are written to the state before there are [`IMAP_ROWS`] of them: keywords can be long.
pub const IMAP_ROWS_BYTES: usize = 4 * MIB as usize;

/// Bytes of keywords of all messages of a folder that are listed at once. Twelve bytes each at five million messages.
pub const IMAP_KEYWORD_BYTES: usize = 64 * MIB as usize;

/// How often something is tried again after a lost connection or a server that asks to wait, and the waits between.
pub const IMAP_TRIES: usize = 6;
pub const IMAP_FIRST_WAIT: Duration = Duration::from_millis(200);
pub const IMAP_LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How often a login is tried again that is refused because there are too many, or because the server is not ready: for
/// almost two minutes.
pub const IMAP_CROWDED_TRIES: usize = 9;

/// Messages and bytes of one APPEND that brings several (MULTIAPPEND): one refused message makes the server refuse all.
pub const IMAP_APPEND_ITEMS: usize = 64;
pub const IMAP_APPEND_BYTES: u64 = 4 * MIB;

/// Keywords of which is remembered that the server refuses them, each at most a line long.
pub const IMAP_REFUSED_KEYWORDS: usize = 1000;

/// How many connections have to be given back in good order before a limit that the server's refusal lowered rises by one;
/// twice as many after each further refusal, up to the second.
pub const IMAP_GOOD_FIRST: usize = 32;
pub const IMAP_GOOD_MOST: usize = 2048;
