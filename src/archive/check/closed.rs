//! What can be checked of an encrypted archive without a key: that its files are whole. Names of packs and snapshots are
//! hashes of the files as they lie there, so damage and swaps are found; what the files hold is not looked into.

use super::{Checking, Reading};
use crate::archive::ArchiveError;
use crate::archive::layout::{PackName, SnapshotName};
use std::path::Path;

impl Checking<'_> {
    pub fn check_closed(&mut self, packs: &[PackName], snapshots: &[SnapshotName]) -> Result<(), ArchiveError> {
        self.report.unopened = true;
        let read = self.reading != Reading::Nothing;
        let indexes = self.archive.indexes()?;
        for path in &indexes.strange {
            self.find(path, "no file of an archive".to_owned());
        }
        for &name in packs {
            let bytes = self.check_whole(&name.pack_path(), &name.0, read);
            if indexes.names.binary_search(&name).is_err() {
                self.find(&name.index_path(), "the index is missing".to_owned());
            }
            self.report.packs += 1;
            self.report.packs_read += u64::from(read);
            self.advance(bytes)?;
        }
        for name in indexes.names.iter().filter(|name| packs.binary_search(name).is_err()) {
            self.find(&name.pack_path(), "the pack is missing, its index is there".to_owned());
        }
        for name in snapshots {
            self.check_whole(&name.path(), &name.digest, read);
            if let Err(error) = self.archive.prove(*name) {
                self.find_error(&name.path(), &error);
            }
            self.report.snapshots += 1;
            self.advance(0)?;
        }
        Ok(())
    }

    /// Compares a file with the hash in its name; without `read` only looks whether it can be what it should be. Gives its
    /// length.
    fn check_whole(&mut self, path: &Path, begin: &[u8], read: bool) -> u64 {
        let full = self.archive.dir.join(path);
        let size = match self.archive.fs.stat(&full) {
            Ok(stat) => stat.size,
            Err(error) => {
                self.find(path, error.to_string());
                return 0;
            }
        };
        match read.then(|| self.archive.digest_on_disk(&full)) {
            Some(Err(error)) => drop(self.find_error(path, &error)),
            Some(Ok(digest)) if !digest.starts_with(begin) => {
                self.find(path, "its bytes are not those of its name".to_owned());
            }
            _ => {}
        }
        size
    }
}
