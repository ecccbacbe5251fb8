//! Signatures of snapshots.

/// The suffix of a signature's file.
pub(super) const SUFFIX: &str = ".minisig";
