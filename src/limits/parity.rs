//! Bounds of parity files.

use super::MIB;

/// Blocks of 4 KiB of a file that are protected together: 64 MiB, so that an ordinary pack is one, and neither making
/// parity nor mending holds more than [`PARITY_WORK_BYTES`] and the parity itself (half as much at 50 per cent).
pub const SPAN_BLOCKS: u64 = 16 * 1024;

/// Largest file that is protected, or that a parity file may speak of: twice the largest object.
pub const PROTECTED_BYTES: u64 = 16 * 1024 * MIB;

/// Bytes that the code works on at once; a span is done in as many goes as that needs. Chosen.
pub const PARITY_WORK_BYTES: usize = 16 * MIB as usize;

/// Parity that is made where nobody says how much, in hundredths.
pub const PARITY_PERCENT: u16 = 5;

/// Files that one parity file may pretend to belong to, before it counts as one of none.
pub const PARITY_CLAIMS: usize = 16;
