//! Writing a snapshot: entries as they come, the head last and yet first in the file.
//!
//! Promises: nothing shows before [`SnapshotWriter::publish`], and that is the commit of a pass; what was compressed was
//! inflated again and compared. Format: format-spec/snapshot.md.

use super::archive_file::{ArchiveFile, ScratchWriter};
use super::cursor::Cursor;
use super::layout::{SNAPSHOTS, SnapshotName, format_error, io_error};
use super::long_entry::check_lines;
use super::snapshot::{CONTENTS, ContentsLine, HEAD, HEAD_AGAIN, RECORDS, RECORDS_AGAIN, is_of_manifests};
use super::{Archive, ArchiveError, seal};
use crate::format::FormatError;
use crate::format::segment::{self, Effort, Encoder};
use crate::format::snapshot::{SnapshotHead, push_line};
use crate::format::tar_entry;
use crate::fs::FileWrite;
use crate::limits;
use crate::model::id::SnapshotNo;
use std::collections::HashSet;
use std::io::BufRead;
use std::path::Path;

/// A snapshot being written; dropping it leaves nothing behind.
pub struct SnapshotWriter<'a> {
    pub(super) archive: &'a Archive,
    no: SnapshotNo,
    encoder: Encoder,
    names: HashSet<String>,
    contents: Vec<u8>,
    /// The entries' members, in a temporary file: the head comes before them and is known last.
    body: Option<ScratchWriter>,
    /// The second copy of the site's records, compressed, and their length: it goes as far from the first as the file
    /// allows.
    records_again: Option<(Vec<u8>, u64)>,
}

impl Archive {
    /// A writer for the next snapshot.
    pub fn snapshot_writer(&self, _lock: &super::lock::ArchiveLock) -> Result<SnapshotWriter<'_>, ArchiveError> {
        let last = self.snapshot_names()?.names.last().map_or(0, |name| name.no.0);
        let no = last.checked_add(1).filter(|&no| no <= 99_999_999).ok_or_else(|| {
            let (what, found, bound) = ("number of a snapshot", u64::from(last) + 1, 99_999_999);
            format_error(&self.dir)(FormatError::OverBound { what, found, bound })
        })?;
        Ok(self.snapshot_writer_at(SnapshotNo(no)))
    }

    /// A writer for a file that takes the place of another of its number.
    pub(super) fn snapshot_writer_at(&self, no: SnapshotNo) -> SnapshotWriter<'_> {
        SnapshotWriter {
            archive: self,
            no,
            encoder: Encoder::default(),
            names: HashSet::new(),
            contents: Vec::new(),
            body: None,
            records_again: None,
        }
    }
}

impl SnapshotWriter<'_> {
    /// The number that this snapshot will have.
    pub fn no(&self) -> SnapshotNo {
        self.no
    }

    /// Adds an entry (`provisioning.jsonl`, `accounts/7.jsonl`, `rejected.jsonl`); no name twice.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        check_lines(&Path::new(SNAPSHOTS).join(name), bytes)?;
        let size = bytes.len() as u64;
        self.take_name(name, size)?;
        let member = encode_entry(&mut self.encoder, name, bytes)?;
        self.body()?.put(&member)?;
        self.note_entry(name, member.len() as u64, size);
        if name == RECORDS {
            self.records_again = Some((encode_entry(&mut self.encoder, RECORDS_AGAIN, bytes)?, size));
        }
        Ok(())
    }

    /// Checks that an entry of that name and size can be added; from here on the name is taken.
    pub(super) fn take_name(&mut self, name: &str, size: u64) -> Result<(), ArchiveError> {
        let path = Path::new(SNAPSHOTS).join(name);
        if size > limits::SNAPSHOT_ENTRY_BYTES {
            let (what, bound) = ("entry of a snapshot", limits::SNAPSHOT_ENTRY_BYTES);
            return Err(format_error(&path)(FormatError::OverBound { what, found: size, bound }));
        }
        if !is_of_manifests(name) || !self.names.insert(name.to_owned()) {
            return Err(format_error(&path)(FormatError::Malformed { what: "a name used twice".to_owned(), at: 0 }));
        }
        Ok(())
    }

    /// Where the members of entries go.
    pub(super) fn body(&mut self) -> Result<&mut ScratchWriter, ArchiveError> {
        let body = match self.body.take() {
            Some(body) => body,
            None => self.archive.begin_scratch(SNAPSHOTS)?,
        };
        Ok(self.body.insert(body))
    }

    /// Writes an entry down in the table of contents.
    pub(super) fn note_entry(&mut self, name: &str, compressed: u64, size: u64) {
        push_line(&mut self.contents, &ContentsLine { name: name.to_owned(), compressed, size });
    }

    /// Publishes it with `head` as its first entry. From here on the pass is committed.
    pub fn publish(mut self, head: &SnapshotHead) -> Result<(), ArchiveError> {
        let json = serde_json::to_vec(head).map_err(|error| {
            format_error(Path::new(HEAD))(FormatError::Malformed { what: error.to_string(), at: 0 })
        })?;
        let records = self.records_again.take();
        if let Some((member, size)) = &records {
            let (name, compressed) = (RECORDS_AGAIN.to_owned(), member.len() as u64);
            push_line(&mut self.contents, &ContentsLine { name, compressed, size: *size });
        }
        let again = encode_entry(&mut self.encoder, HEAD_AGAIN, &json)?;
        let (compressed, size) = (again.len() as u64, json.len() as u64);
        push_line(&mut self.contents, &ContentsLine { name: HEAD_AGAIN.to_owned(), compressed, size });
        let mut out = Copied { file: self.archive.begin(SNAPSHOTS)?, copy: self.archive.begin_copy()? };
        out.write(&encode_entry(&mut self.encoder, HEAD, &json)?)?;
        out.write(&encode_entry(&mut self.encoder, CONTENTS, &self.contents)?)?;
        if let Some(body) = self.body.take() {
            let body = body.finish()?;
            let file = body.open(self.archive)?;
            let mut cursor = Cursor::new(file.as_ref(), 0, body.bytes);
            loop {
                let bytes = cursor.fill_buf().map_err(io_error("read", body.path()))?;
                if bytes.is_empty() {
                    break;
                }
                let length = bytes.len();
                out.write(bytes)?;
                cursor.consume(length);
            }
        }
        if let Some((member, _)) = records {
            out.write(&member)?;
        }
        out.write(&again)?;
        out.write(&encode(&mut self.encoder, &tar_entry::END)?)?;
        if self.archive.is_encrypted() {
            for filling in seal::members(out.file.bytes()) {
                out.write(&filling)?;
            }
        }
        let written = out.file.finish()?;
        let mut short = [0; 8];
        short.copy_from_slice(&written.digest[..8]);
        let name = SnapshotName { no: self.no, digest: short };
        self.archive.sign(name, &head.source, &written.digest, written.file.path())?;
        self.archive.keep_copy(out.copy, name)?;
        self.archive.publish(written.file, &name.path())
    }
}

/// A snapshot's file, and the copy that an exporter keeps of it where it is encrypted.
struct Copied {
    file: ArchiveFile,
    copy: Option<Box<dyn FileWrite>>,
}

impl Copied {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        if let Some(copy) = &mut self.copy {
            copy.write_all(bytes).map_err(|source| io_error("write", copy.path())(source))?;
        }
        self.file.put(bytes)
    }
}

fn encode_entry(encoder: &mut Encoder, name: &str, bytes: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    let size = bytes.len() as u64;
    let header = tar_entry::header(name, size).map_err(format_error(Path::new(name)))?;
    let mut tar = Vec::with_capacity(tar_entry::BLOCK + bytes.len() + tar_entry::BLOCK);
    tar.extend(header);
    tar.extend(bytes);
    tar.resize(tar.len() + tar_entry::padding(size), 0);
    encode(encoder, &tar)
}

/// Compresses, inflates and compares.
fn encode(encoder: &mut Encoder, tar: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    let faulty = |what: String| ArchiveError::FaultyCompressor { what };
    let member = encoder.encode(tar, Effort::Most).map_err(|error| faulty(error.to_string()))?;
    let mut again = Vec::new();
    segment::decode(&member, tar.len() as u64, &mut again).map_err(|error| faulty(error.to_string()))?;
    if again != tar {
        return Err(faulty("an entry of a snapshot differs".to_owned()));
    }
    Ok(member)
}
