//! Bounds of taking messages apart (src/message, format-spec/message.md).

use super::KIB;

/// Deepest nesting of MIME parts that is taken apart. Deeper ones stay in the skeleton; they cost size, never bytes.
pub const MIME_DEPTH: usize = 64;

/// Most parts taken out of one message; what comes after stays in the skeleton.
pub const MIME_PARTS: usize = 2_000;

/// Smallest part taken out, bytes of its raw form (architecture section 3: around 1 KiB). Below it, the name and the
/// header of an entry cost more than a second copy inside a compressed segment.
pub const PART_BYTES: usize = 1024;

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
