//! Scan marks: one hash over the times, inodes and sizes of the files that make a folder.
//!
//! A mark is trusted only where every time in it is older than the scan by [`RACY_NANOS`](crate::limits::RACY_NANOS): a
//! change right after the scan could else leave all times as they were (git's rule for a racy index).

use crate::fs::Stat;
use crate::limits;
use sha2::{Digest, Sha256};
use std::hash::{Hash, Hasher};

/// First byte of every mark; another one is a mark of another version, and equals none.
const VERSION: u8 = 1;

/// Hashes what a folder's state depends on.
pub struct Fingerprint {
    digest: Sha256,
    now_nanos: i128,
    racy: bool,
}

impl Fingerprint {
    /// `now_nanos` is taken before the first `stat`.
    pub fn new(now_nanos: i128) -> Self {
        Self { digest: Sha256::new(), now_nanos, racy: false }
    }

    /// Takes in what `stat` said of one file, or that it is not there.
    pub fn stat(&mut self, stat: Option<&Stat>) {
        let Some(stat) = stat else { return self.write(&[0]) };
        self.write(&[1]);
        for nanos in [stat.mtime_nanos, stat.ctime_nanos] {
            self.racy |= is_racy(nanos, self.now_nanos);
            self.write(&nanos.to_le_bytes());
        }
        // Nobody sets a change time but the system that holds the file: its clock is ahead of ours, or ours was set back,
        // and how long ago the file changed is not known.
        self.racy |= stat.ctime_nanos > self.now_nanos;
        for number in [stat.dev, stat.ino, stat.size] {
            self.write(&number.to_le_bytes());
        }
    }

    /// Takes in any value.
    pub fn value(&mut self, value: &impl Hash) {
        value.hash(self);
    }

    /// The mark, and whether the next scan may trust it.
    pub fn finish(self) -> (Vec<u8>, bool) {
        let mut mark = vec![VERSION];
        mark.extend_from_slice(&self.digest.finalize());
        (mark, !self.racy)
    }
}

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// Only a middle state: [`Fingerprint::finish`] gives the mark.
    fn finish(&self) -> u64 {
        0
    }
}

/// The version of an item that may be edited in place: never 0, and never the same again while its times are so young
/// that an edit could leave them as they are.
pub fn version(stat: &Stat, now_nanos: i128) -> u64 {
    let mut fingerprint = Fingerprint::new(now_nanos);
    fingerprint.stat(Some(stat));
    if fingerprint.racy {
        fingerprint.write(&now_nanos.to_le_bytes());
    }
    let digest: [u8; 32] = fingerprint.digest.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
}

fn is_racy(nanos: i128, now_nanos: i128) -> bool {
    nanos.abs_diff(now_nanos) <= limits::RACY_NANOS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::FileKind;

    fn stat(nanos: i128, size: u64) -> Stat {
        Stat {
            kind: FileKind::File,
            size,
            mtime_nanos: nanos,
            ctime_nanos: nanos,
            dev: 1,
            ino: 2,
            mode: 0o600,
            uid: 0,
            gid: 0,
        }
    }

    const SECOND: i128 = 1_000_000_000;

    fn mark(stat: &Stat) -> (Vec<u8>, bool) {
        let mut fingerprint = Fingerprint::new(100 * SECOND);
        fingerprint.stat(Some(stat));
        fingerprint.finish()
    }

    #[test]
    fn a_mark_changes_with_anything_in_it_and_is_not_trusted_while_times_are_young() {
        let old = mark(&stat(SECOND, 7));
        assert_eq!(old, mark(&stat(SECOND, 7)));
        assert!(old.1);
        assert_ne!(old.0, mark(&stat(SECOND + 1, 7)).0);
        assert_ne!(old.0, mark(&stat(SECOND, 8)).0);
        for (nanos, trusted) in
            [(99 * SECOND, false), (99 * SECOND - 1, true), (101 * SECOND, false), (900 * SECOND, false)]
        {
            assert_eq!(mark(&stat(nanos, 7)).1, trusted, "{nanos}");
        }
    }

    #[test]
    fn a_time_in_the_future_that_somebody_set_is_trusted_as_long_as_the_system_s_own_is_not_there_too() {
        assert!(mark(&Stat { mtime_nanos: 900 * SECOND, ..stat(SECOND, 7) }).1);
        assert!(!mark(&Stat { ctime_nanos: 900 * SECOND, ..stat(SECOND, 7) }).1);
    }

    #[test]
    fn a_young_file_has_another_version_at_every_scan() {
        let young = stat(100 * SECOND, 7);
        assert_ne!(version(&young, 100 * SECOND), version(&young, 100 * SECOND + 1));
        let old = stat(SECOND, 7);
        assert_eq!(version(&old, 100 * SECOND), version(&old, 200 * SECOND));
        assert_ne!(version(&old, 0), version(&stat(SECOND, 8), 0));
    }
}
