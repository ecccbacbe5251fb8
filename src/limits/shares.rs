//! Bounds of the share verbs.

use super::{KIB, MIB};

/// Largest journal of a fix that is read, bytes. A step has about 500, so this is half a million shares mended at once.
pub const JOURNAL_BYTES: u64 = 256 * MIB;

/// Fixes that one second can bring, so that finding a free name for a journal ends. Chosen; nothing depends on it.
pub const JOURNALS_A_SECOND: u32 = 1000;

/// Most rows of a matrix in which grants are expanded to accounts. A grant to everyone on each folder of a large site has
/// as many as folders times accounts; what comes after is listed as granted only.
pub const MATRIX_ROWS: usize = 1_000_000;

/// Most recipients of one copy that are remembered while looking for the end of its trace; keeps that linear.
pub const TRACE_RECIPIENTS: usize = 8;

/// Longest address in a trace that is understood, bytes. RFC 5321, section 4.5.3.1: 64 + 1 + 255, and brackets.
pub const TRACE_ADDRESS_BYTES: usize = 322;

/// How far into a Received field the peer's address is looked for, bytes. It stands in the first line or two.
pub const TRACE_PEER_BYTES: usize = 2 * KIB as usize;
