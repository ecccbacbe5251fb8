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

// Messages taken apart (src/message, format-spec/message.md).

/// Longest MIME boundary that is searched for, bytes. RFC 2046, section 5.1.1, allows 70; some mailers write more. A
/// multipart with a longer one is not divided.
pub const MIME_BOUNDARY_BYTES: usize = 256;

/// Most pieces of a skeleton: every part with a literal before it, and one behind the last.
pub const SKELETON_PIECES: usize = 2 * MIME_PARTS + 1;

/// Longest line in the head of a skeleton, bytes with its line end. The longest that can be written has 112: kind, name,
/// two numbers of 20 digits, line end.
pub const SKELETON_LINE_BYTES: usize = 128;

/// Most bytes of a skeleton before its literals. Keeps a skeleton that is fetched within what its message may have.
pub const SKELETON_HEAD_BYTES: u64 = (SKELETON_PIECES as u64 + 2) * SKELETON_LINE_BYTES as u64;

/// Bytes collected before a joined message is written on; parts and literals above it are not copied.
pub const JOIN_BUFFER_BYTES: usize = 32 * KIB as usize;

/// Most recipients of one copy that are remembered while looking for the end of its trace; keeps that linear.
pub const TRACE_RECIPIENTS: usize = 8;

/// Longest address in a trace that is understood, bytes. RFC 5321, section 4.5.3.1: 64 + 1 + 255, and brackets.
pub const TRACE_ADDRESS_BYTES: usize = 322;

/// How far into a Received field the peer's address is looked for, bytes. It stands in the first line or two.
pub const TRACE_PEER_BYTES: usize = 2 * KIB as usize;
