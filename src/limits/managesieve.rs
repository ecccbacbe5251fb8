//! Bounds of ManageSieve.

use super::{KIB, MIB};

/// Longest line of an answer, literals apart, bytes. RFC 5804 4 bounds a quoted string to 1024.
pub const SIEVE_LINE_BYTES: u64 = 16 * KIB;

/// Words of one line.
pub const SIEVE_WORDS: usize = 1024;

/// Largest script, bytes. Pigeonhole's own bound is 1 MiB, Cyrus's 32 KiB, unless they are told otherwise.
pub const SIEVE_SCRIPT_BYTES: u64 = 4 * MIB;

/// Most bytes of one answer; holds the largest script and thousands of names.
pub const SIEVE_ANSWER_BYTES: u64 = 8 * MIB;

/// Most scripts of one account.
pub const SIEVE_SCRIPTS: usize = 4096;

/// Longest name of a script that every server takes, characters (RFC 5804 1.6).
pub const SIEVE_NAME_CHARS: usize = 128;
