//! An entry of a snapshot that grows line by line: held while it is short, in a temporary file once it is long.
//!
//! Promises: the manifest of an account with millions of items takes no more memory than one with thousands, and what was
//! compressed was inflated again and compared. Called by `verbs::export::store` for manifests.

use super::ArchiveError;
use super::archive_file::ScratchWriter;
use super::cursor::Cursor;
use super::layout::{SNAPSHOTS, format_error, io_error};
use super::snapshot_writer::SnapshotWriter;
use super::spool::Checked;
use crate::format::snapshot::push_line;
use crate::format::{FormatError, tar_entry};
use crate::limits;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io::{BufRead, Write};
use std::path::Path;

/// Lines of an entry that has no name yet; dropping it leaves nothing.
#[derive(Default)]
pub struct LongEntry {
    held: Vec<u8>,
    spilled: Option<ScratchWriter>,
}

impl LongEntry {
    pub fn push(&mut self, line: &impl Serialize) {
        push_line(&mut self.held, line);
    }

    /// Whether it is time for [`SnapshotWriter::spill`].
    pub fn is_long(&self) -> bool {
        self.held.len() >= limits::SNAPSHOT_HELD_BYTES
    }
}

impl SnapshotWriter<'_> {
    /// Writes what an entry holds to its temporary file.
    pub fn spill(&self, entry: &mut LongEntry) -> Result<(), ArchiveError> {
        check_lines(Path::new(SNAPSHOTS), &entry.held)?;
        let file = match &mut entry.spilled {
            Some(file) => file,
            None => entry.spilled.insert(self.archive.begin_scratch(SNAPSHOTS)?),
        };
        file.put(&entry.held)?;
        entry.held.clear();
        Ok(())
    }

    /// Adds an entry under its name; no name twice.
    pub fn add_long(&mut self, name: &str, mut entry: LongEntry) -> Result<(), ArchiveError> {
        if entry.spilled.is_none() {
            return self.add(name, &entry.held);
        }
        self.spill(&mut entry)?;
        let Some(spilled) = entry.spilled else { return Ok(()) };
        let spilled = spilled.finish()?;
        let size = spilled.bytes;
        self.take_name(name, size)?;
        let file = spilled.open(self.archive)?;
        let read_error = || io_error("read", spilled.path());

        let header = tar_entry::header(name, size).map_err(format_error(Path::new(name)))?;
        let padding = vec![0; tar_entry::padding(size)];
        let mut whole = Sha256::new();
        let body = self.body()?;
        let before = body.bytes();
        let path = body.path().to_owned();
        let write_error = || io_error("write", &path);
        let level = Compression::new(limits::SNAPSHOT_LONG_LEVEL);
        let mut encoder = flate2::GzBuilder::new().mtime(0).write(Checked::new(body), level);
        let mut put = |encoder: &mut GzEncoder<_>, bytes: &[u8]| {
            whole.update(bytes);
            encoder.write_all(bytes)
        };
        put(&mut encoder, &header).map_err(write_error())?;
        let mut cursor = Cursor::new(file.as_ref(), 0, size);
        loop {
            let bytes = cursor.fill_buf().map_err(read_error())?;
            if bytes.is_empty() {
                break;
            }
            let length = bytes.len();
            put(&mut encoder, bytes).map_err(write_error())?;
            cursor.consume(length);
        }
        put(&mut encoder, &padding).map_err(write_error())?;
        let checked = encoder.finish().map_err(write_error())?;
        let compressed = checked.file.bytes() - before;
        if !checked.inflates_to(whole.finalize().into()) {
            return Err(ArchiveError::FaultyCompressor { what: format!("the entry {name} of a snapshot") });
        }
        self.note_entry(name, compressed, size);
        Ok(())
    }
}

/// No line is longer than a reader takes.
pub(super) fn check_lines(path: &Path, bytes: &[u8]) -> Result<(), ArchiveError> {
    let long = bytes.split(|&byte| byte == b'\n').find(|line| line.len() as u64 > limits::SNAPSHOT_LINE_BYTES);
    let Some(long) = long else { return Ok(()) };
    let (what, found, bound) = ("line of a snapshot", long.len() as u64, limits::SNAPSHOT_LINE_BYTES);
    Err(format_error(path)(FormatError::OverBound { what, found, bound }))
}
