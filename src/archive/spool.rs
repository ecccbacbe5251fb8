//! One object too large to be held: streamed through a compressor into a temporary file, as a segment of its own.
//!
//! Promises: a few buffers of memory whatever the size; the bytes that came were those of the object's name, and the
//! file inflates to them, or there is an error and no file. Only then does `open_pack` copy it into a pack, so that a
//! message that changes while it is read spoils no pack.

use super::archive_file::{ScratchFile, ScratchWriter};
use super::layout::{PACKS, io_error};
use super::{Archive, ArchiveError};
use crate::format::segment::{Encoder, STORED, STREAM_LEVEL};
use crate::format::tar_entry::{self, EntryName};
use crate::model::id::ObjectId;
use flate2::Compression;
use flate2::write::{GzDecoder, GzEncoder};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};

const CHUNK: usize = 128 * 1024;

/// A finished segment in a temporary file, which goes with it.
pub(super) struct Spooled {
    pub file: ScratchFile,
    pub uncompressed: u64,
}

/// Takes what the compressor makes: writes it, and inflates it again.
pub(super) struct Checked<W> {
    pub file: W,
    inflated: GzDecoder<Digesting>,
}

impl<W> Checked<W> {
    pub fn new(file: W) -> Self {
        Self { file, inflated: GzDecoder::new(Digesting::default()) }
    }

    /// Whether it inflates to bytes with this digest.
    pub fn inflates_to(self, digest: [u8; 32]) -> bool {
        let inflated = self.inflated.finish();
        inflated.is_ok_and(|found| <[u8; 32]>::from(found.0.finalize()) == digest)
    }
}

#[derive(Default)]
struct Digesting(Sha256);

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        // A faulty member is found by its digest at the end; an error here would look like one of the disk.
        drop(self.inflated.write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Archive {
    /// Spools `size` bytes of `content`, which must be the object `id`.
    pub(super) fn spool(&self, id: ObjectId, size: u64, content: &mut dyn Read) -> Result<Spooled, ArchiveError> {
        let other = |what: String| ArchiveError::DamagedObject { id, what };
        let name = EntryName::Object(id).to_string();
        let header = tar_entry::header(&name, size).map_err(|error| other(error.to_string()))?;
        let file = self.begin_scratch(PACKS)?;
        let path = file.path().to_owned();
        let write_error = || io_error("write", &path);

        // Chunks are filled to the brim whatever `content` gives at a time: where they end shows in stored blocks.
        let mut chunk = vec![0; CHUNK];
        let mut filled = fill(content, &mut chunk).map_err(|error| other(format!("cannot read it: {error}")))?;
        let stored = chunk.get(..filled).is_some_and(|sample| Encoder::default().is_incompressible(sample));
        let level = Compression::new(if stored { STORED } else { STREAM_LEVEL }.unsigned_abs());
        let mut encoder: GzEncoder<Checked<ScratchWriter>> =
            flate2::GzBuilder::new().mtime(0).write(Checked::new(file), level);
        let (mut whole, mut object, mut read) = (Sha256::new(), Sha256::new(), 0u64);
        whole.update(header);
        encoder.write_all(&header).map_err(write_error())?;
        while filled > 0 {
            let bytes = chunk.get(..filled).unwrap_or_default();
            read += filled as u64;
            if read > size {
                return Err(other(format!("it has more than the {size} bytes that were announced")));
            }
            whole.update(bytes);
            object.update(bytes);
            encoder.write_all(bytes).map_err(write_error())?;
            filled = fill(content, &mut chunk).map_err(|error| other(format!("cannot read it: {error}")))?;
        }
        if read != size || ObjectId::from_digest(object.finalize().into()) != id {
            return Err(other("its bytes are not those of its name; it changed while it was read".to_owned()));
        }
        let padding = vec![0; tar_entry::padding(size)];
        whole.update(&padding);
        encoder.write_all(&padding).map_err(write_error())?;
        let Checked { file, inflated } = encoder.finish().map_err(write_error())?;
        if !(Checked { file: (), inflated }).inflates_to(whole.finalize().into()) {
            return Err(ArchiveError::FaultyCompressor { what: format!("object {id}") });
        }
        Ok(Spooled { file: file.finish()?, uncompressed: tar_entry::entry_bytes(size) })
    }
}

/// Reads until the buffer is full or the content ends; how much it was.
fn fill(content: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match content.read(room) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
