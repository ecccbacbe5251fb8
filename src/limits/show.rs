//! Bounds of looking into an archive, and of tables for people.

use super::MIB;

/// Most bytes of a header that are parsed to show or search it, the rest is passed over. A million-line header is
/// searched in its first part only; real ones stay below a tenth of this.
pub const HEADER_BYTES: usize = MIB as usize;

/// Longest file name that `extract` writes, bytes: what file systems take (255), less room for Maildir flags, a suffix
/// that keeps two names apart, and an ending.
pub const EXTRACTED_NAME_BYTES: usize = 200;

/// Most boundaries of nested multiparts that are kept in mind while attachment names are collected. A deeper one's names
/// are not found.
pub const OPEN_BOUNDARIES: usize = 64;

/// Most attachment names of one message that are looked at.
pub const ATTACHMENT_NAMES: usize = 1_000;

/// Widest column, characters; what is longer stands out of it. One name of a megabyte would else widen every row, and
/// formatting knows no width above 65,535.
pub const COLUMN_CHARS: usize = 120;
