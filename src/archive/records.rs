//! The site's records as a snapshot says them: it has them twice, because every import of it and of all that build on it
//! needs them.
//!
//! Promises that no line of a copy is given out whose checksum is wrong, that the second copy is read where the first is
//! damaged, and that this is told. Format: format-spec/snapshot.md, "The file".

use super::ArchiveError;
use super::snapshot::{RECORDS, RECORDS_AGAIN, SnapshotReader};
use crate::format::snapshot::ProvisioningLine;

impl SnapshotReader {
    /// Gives each line of the records to `each`; `false` when the snapshot has none.
    pub fn record_lines(&self, mut each: impl FnMut(ProvisioningLine)) -> Result<bool, ArchiveError> {
        let Some(entry) = self.sound_records()? else { return Ok(false) };
        self.lines(entry, |line| {
            each(line);
            Ok(())
        })
    }

    /// The name of the copy to read; `None` when there are no records. The error is that of the first copy.
    fn sound_records(&self) -> Result<Option<&'static str>, ArchiveError> {
        let first = match self.inflates(RECORDS) {
            Ok(true) => return Ok(Some(RECORDS)),
            Err(error) if !error.is_damage() => return Err(error),
            first => first,
        };
        match self.inflates(RECORDS_AGAIN) {
            Ok(true) => {
                let path = self.path().display();
                self.note(format!("{path}: {RECORDS} is damaged, its copy serves; `wagon repair` writes it again"));
                Ok(Some(RECORDS_AGAIN))
            }
            Err(error) if !error.is_damage() => Err(error),
            _ => first.map(|_| None),
        }
    }
}
