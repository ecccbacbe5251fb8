//! Reads an entry of JSON lines from a snapshot without holding it whole.
//!
//! Promises that memory is bounded by the longest line ([`SNAPSHOT_LINE_BYTES`]), whatever the entry inflates to, and
//! that what comes back as `Ok` had the right checksum. Lines are given out before that is known, so whoever keeps what
//! they say drops it on an error. Format: format-spec/snapshot.md.

use super::ArchiveError;
use super::cursor::Cursor;
use super::layout::format_error;
use super::snapshot::{EntryPlace, SnapshotReader};
use crate::format::FormatError;
use crate::format::snapshot::parse_lines;
use crate::format::tar_entry::{self, BLOCK};
use crate::fs::FileRead;
use crate::limits::{SNAPSHOT_LINE_BYTES, WHOLE_ENTRY_BYTES};
use serde::de::{DeserializeOwned, IgnoredAny};
use std::io::{BufRead, BufReader, Read};

impl SnapshotReader {
    /// Gives each line of an entry to `each`, parsed; `false` when the snapshot has no such entry. The error names the
    /// entry and the line.
    pub fn lines<T: DeserializeOwned>(
        &self,
        name: &str,
        mut each: impl FnMut(T) -> Result<(), FormatError>,
    ) -> Result<bool, ArchiveError> {
        let Some((file, place)) = self.place(name) else { return Ok(false) };
        let read = if place.size <= WHOLE_ENTRY_BYTES {
            let bytes = self.entry(name)?.unwrap_or_default();
            parse_lines(&bytes, each)
        } else {
            stream(file, name, place, &mut each)
        };
        read.map(|()| true).map_err(format_error(self.path()))
    }

    /// Whether there is an entry of this name; an error where it does not inflate to what its checksum and length say.
    pub(super) fn inflates(&self, name: &str) -> Result<bool, ArchiveError> {
        match self.place(name) {
            None => Ok(false),
            Some((_, place)) if place.size <= WHOLE_ENTRY_BYTES => self.entry(name).map(|_| true),
            Some(_) => self.lines(name, |_: IgnoredAny| Ok(())),
        }
    }
}

fn stream<T: DeserializeOwned>(
    file: &dyn FileRead,
    name: &str,
    place: EntryPlace,
    each: &mut dyn FnMut(T) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let bad = |what: String| FormatError::Malformed { what: format!("{name}: {what}"), at: place.offset };
    let unreadable = |error: std::io::Error| bad(format!("the gzip member does not inflate ({error})"));
    let end = place.offset.saturating_add(place.compressed);
    let mut decoder = flate2::bufread::GzDecoder::new(Cursor::new(file, place.offset, end));
    let mut block = [0; BLOCK];
    decoder.read_exact(&mut block).map_err(unreadable)?;
    if tar_entry::parse_header(&block, place.offset)? != (name, place.size) {
        return Err(bad("the entry is another one than the table of contents says".to_owned()));
    }
    let mut content = BufReader::with_capacity(64 * 1024, (&mut decoder).take(place.size));
    let (mut line, mut number, mut read) = (Vec::new(), 0, 0);
    while read < place.size {
        line.clear();
        number += 1;
        let length = (&mut content).take(SNAPSHOT_LINE_BYTES + 1).read_until(b'\n', &mut line).map_err(unreadable)?;
        if length == 0 {
            return Err(bad("it ends early".to_owned()));
        }
        read += length as u64;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.len() as u64 > SNAPSHOT_LINE_BYTES {
            let what = format!("more than {SNAPSHOT_LINE_BYTES} bytes");
            return Err(FormatError::BadLine { line: number, what });
        }
        if !line.is_empty() {
            let value = serde_json::from_slice(&line)
                .map_err(|error| FormatError::BadLine { line: number, what: error.to_string() })?;
            each(value)?;
        }
    }
    // Reading to the member's end compares its checksum.
    let mut rest = Vec::new();
    decoder.take(BLOCK as u64 + 1).read_to_end(&mut rest).map_err(unreadable)?;
    if rest.len() != tar_entry::padding(place.size) || rest.iter().any(|&byte| byte != 0) {
        return Err(bad("padding that is not zero, or another entry".to_owned()));
    }
    Ok(())
}
