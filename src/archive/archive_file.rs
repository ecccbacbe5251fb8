//! A file of an archive being written: takes what it holds, encrypts it where the archive is encrypted, hashes what
//! reaches the disk, and asks the disk to begin writing early.
//!
//! Promises that dropping it leaves nothing, and that what lies in the archive's folders while it is being made is
//! encrypted as well: files for one's own use get a key that ends with the process ([`ScratchFile`]).

use super::layout::io_error;
use super::seal::SealedFile;
use super::{Archive, ArchiveError};
use crate::fs::{FileRead, FileWrite};
use crate::limits;
use age::stream::StreamWriter;
use age::x25519;
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(super) struct ArchiveFile {
    out: Out,
    path: PathBuf,
    bytes: u64,
}

enum Out {
    Plain(Hashed),
    Sealed(Box<StreamWriter<Hashed>>),
}

/// What reaches the disk.
struct Hashed {
    file: Box<dyn FileWrite>,
    digest: Sha256,
    bytes: u64,
    /// Up to here the disk was asked to write already.
    hastened: u64,
    end: Vec<u8>,
}

/// A file that has all its bytes, and no name yet.
pub(super) struct Written {
    pub file: Box<dyn FileWrite>,
    /// Of what is on the disk.
    pub digest: [u8; 32],
    /// The last 16 bytes on the disk.
    pub tag: [u8; 16],
    /// What it holds, before encryption.
    pub bytes: u64,
}

impl Archive {
    /// A new temporary file in one of the archive's folders, for its recipients.
    pub(super) fn begin(&self, folder: &str) -> Result<ArchiveFile, ArchiveError> {
        let recipients = self.seal.as_ref().map(|seal| seal.recipients.keys());
        ArchiveFile::create(self, folder, recipients)
    }

    /// A new temporary file for this process alone.
    pub(super) fn begin_scratch(&self, folder: &str) -> Result<ScratchWriter, ArchiveError> {
        let key = self.seal.as_ref().map(|_| x25519::Identity::generate());
        let public = key.as_ref().map(x25519::Identity::to_public);
        let file = ArchiveFile::create(self, folder, public.as_ref().map(std::slice::from_ref))?;
        Ok(ScratchWriter { file, key })
    }
}

impl ArchiveFile {
    fn create(archive: &Archive, folder: &str, keys: Option<&[x25519::Recipient]>) -> Result<Self, ArchiveError> {
        let file = archive.temporary(folder)?;
        let path = file.path().to_owned();
        let hashed = Hashed { file, digest: Sha256::new(), bytes: 0, hastened: 0, end: Vec::new() };
        let out = match keys {
            None => Out::Plain(hashed),
            Some(keys) => {
                let encryptor = age::Encryptor::with_recipients(keys.iter().map(|key| key as &dyn age::Recipient));
                let encryptor = encryptor.map_err(|error| io_error("encrypt", &path)(io::Error::other(error)))?;
                Out::Sealed(Box::new(encryptor.wrap_output(hashed).map_err(io_error("write", &path))?))
            }
        };
        Ok(Self { out, path, bytes: 0 })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that it holds so far, before encryption.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.write_all(bytes).map_err(io_error("write", &self.path))
    }

    /// Ends the file.
    pub fn finish(self) -> Result<Written, ArchiveError> {
        let hashed = match self.out {
            Out::Plain(hashed) => hashed,
            Out::Sealed(out) => out.finish().map_err(io_error("write", &self.path))?,
        };
        let mut tag = [0; 16];
        for (to, from) in tag.iter_mut().zip(&hashed.end) {
            *to = *from;
        }
        Ok(Written { file: hashed.file, digest: hashed.digest.finalize().into(), tag, bytes: self.bytes })
    }
}

impl Write for ArchiveFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Out::Plain(out) => out.write_all(bytes)?,
            Out::Sealed(out) => out.write_all(bytes)?,
        }
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        let last = bytes.get(bytes.len().saturating_sub(16)..).unwrap_or_default();
        self.end.drain(..(self.end.len() + last.len()).saturating_sub(16).min(self.end.len()));
        self.end.extend(last);
        if self.bytes - self.hastened >= limits::WRITE_BEHIND_BYTES {
            // So that little is left to be written when the file is synced, and everything waits for it.
            self.file.write_behind(self.hastened, self.bytes - self.hastened);
            self.hastened = self.bytes;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A temporary file that nobody but its writer will read.
pub(super) struct ScratchWriter {
    file: ArchiveFile,
    key: Option<x25519::Identity>,
}

/// The same, complete. It goes when this is dropped.
pub(super) struct ScratchFile {
    file: Box<dyn FileWrite>,
    key: Option<x25519::Identity>,
    /// What it holds.
    pub bytes: u64,
}

impl ScratchWriter {
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    pub fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.file.put(bytes)
    }

    /// Bytes that it holds so far.
    pub fn bytes(&self) -> u64 {
        self.file.bytes()
    }

    pub fn finish(self) -> Result<ScratchFile, ArchiveError> {
        let Written { file, bytes, .. } = self.file.finish()?;
        Ok(ScratchFile { file, key: self.key, bytes })
    }
}

impl Write for ScratchWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ScratchFile {
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Reads it again.
    pub fn open(&self, archive: &Archive) -> Result<Box<dyn FileRead>, ArchiveError> {
        let error = || io_error("open", self.path());
        let file = archive.raw.open(self.path()).map_err(error())?;
        let Some(key) = &self.key else { return Ok(file) };
        Ok(Box::new(SealedFile::open(file, &key.clone().into()).map_err(error())?))
    }
}
