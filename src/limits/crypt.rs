//! Bounds of encryption and signatures.

use super::{KIB, MIB};

/// Longest header of an encrypted file, and largest `key.age`, bytes. A public key takes about 100, so this is room for ten
/// times [`RECIPIENTS`]; `age` itself would read on for ever.
pub const AGE_HEADER_BYTES: u64 = 64 * KIB;

/// Most public keys of an archive: every file carries a line for each.
pub const RECIPIENTS: usize = 64;

/// Chunks of 64 KiB that each open encrypted file holds decrypted. Two, because a segment seldom ends where a chunk does.
pub const HELD_CHUNKS: usize = 2;

/// Least bytes that an encrypted file is filled up to: what a pass that found nothing and one that found a little share.
pub const LEAST_SEALED_BYTES: u64 = 4 * KIB;

/// Hardest work that a `key.age` may ask for, as a power of two: about 16 times what `age` asks for on a machine of
/// today, and what `age` itself accepts. It takes some 20 seconds and 4 GiB; a forged one would otherwise keep a
/// processor busy for hours.
pub const SCRYPT_WORK_FACTOR: u8 = 22;

/// Work that a `key.age` of ours asks for, as a power of two: what `age -p` asks for (filippo.io/age, `scrypt.go`). It takes
/// 256 MiB and about half a second, wherever the archive is opened.
pub const SCRYPT_WORK_FACTOR_GIVEN: u8 = 18;

/// Largest file of keys, bytes: a thousand with comments.
pub const KEY_FILE_BYTES: u64 = 256 * KIB;

/// Largest signature, bytes: four short lines.
pub const SIGNATURE_BYTES: u64 = 4 * KIB;

/// Largest list of snapshots that are other exporters', bytes: a million of them.
pub const FOREIGN_BYTES: u64 = 64 * MIB;
