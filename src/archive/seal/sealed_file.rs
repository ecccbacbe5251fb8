//! An encrypted file, read at any offset as what it holds.
//!
//! The payload of age is a row of chunks of 64 KiB, each with its own tag and numbered by its nonce, so any of them can be
//! opened by itself. `age` unlocks the key of the file and proves its header; the chunks are opened here, because its
//! reader cannot go on behind a damaged one, and damage is to cost its own segment only. Memory: two chunks a file.

use super::{Identities, SealError};
use crate::fs::{FileRead, Stat};
use crate::limits;
use age::Identity;
use age_core::format::{FileKey, Stanza};
use age_core::secrecy::ExposeSecret;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// Bytes of a chunk before encryption, and what its tag adds.
pub(in crate::archive) const CHUNK: u64 = 64 * 1024;
const TAG: u64 = 16;

/// Bytes between the header and the first chunk.
const NONCE: u64 = 16;

type Chunk = Arc<Zeroizing<Vec<u8>>>;

pub(in crate::archive) struct SealedFile {
    file: Box<dyn FileRead>,
    cipher: ChaCha20Poly1305,
    extent: Extent,
    /// Bytes that are shown; fewer than there are where padding is to be hidden.
    shown: u64,
    held: Mutex<VecDeque<(u64, Chunk)>>,
}

/// Where the chunks of a file lie.
#[derive(Clone, Copy)]
struct Extent {
    begin: u64,
    /// Bytes of all chunks together, and of what they hold.
    sealed: u64,
    plain: u64,
}

impl SealedFile {
    /// Opens `file` with one of these keys.
    pub fn open(file: Box<dyn FileRead>, identities: &Identities) -> io::Result<Self> {
        let (header, extent) = read_header(file.as_ref())?;
        if identities.is_empty() {
            return Err(SealError::NoIdentity.into_io());
        }
        let catchers: Vec<_> =
            identities.0.iter().map(|identity| Catcher { identity, key: RefCell::default() }).collect();
        let opened = age::Decryptor::new_buffered(header.as_slice()).map_err(|error| damaged(error.to_string()))?;
        let opened = opened.decrypt(catchers.iter().map(|catcher| catcher as &dyn Identity));
        opened.map(drop).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => SealError::WrongIdentity.into_io(),
            other => damaged(other.to_string()),
        })?;
        let key = catchers.into_iter().find_map(|catcher| catcher.key.into_inner());
        let key = key.ok_or_else(|| SealError::WrongIdentity.into_io())?;
        let nonce = header.get(header.len().saturating_sub(NONCE as usize)..).unwrap_or_default();
        let key = Zeroizing::new(age_core::primitives::hkdf(nonce, b"payload", key.expose_secret()));
        let cipher = ChaCha20Poly1305::new(key.as_slice().into());
        Ok(Self { file, cipher, extent, shown: extent.plain, held: Mutex::default() })
    }

    /// Shows the first `bytes` only.
    pub fn shorten(&mut self, bytes: u64) {
        self.shown = self.shown.min(bytes);
    }

    fn chunk(&self, number: u64) -> io::Result<Chunk> {
        {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, chunk)) = held.iter().find(|(other, _)| *other == number) {
                return Ok(chunk.clone());
            }
        }
        let at = number * (CHUNK + TAG);
        let bytes = (CHUNK + TAG).min(self.extent.sealed.saturating_sub(at));
        let last = at + bytes == self.extent.sealed;
        // At most a chunk and its tag.
        let sealed = read_exact(self.file.as_ref(), self.extent.begin + at, bytes as usize)?;
        // Eleven bytes of number, of which the upper ones stay zero, and one that marks the last chunk.
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&number.to_be_bytes());
        nonce[11] = u8::from(last);
        let plain = self.cipher.decrypt(Nonce::from_slice(&nonce), sealed.as_slice());
        let plain = plain.map_err(|_| damaged(format!("chunk {number} is damaged")))?;
        let chunk = Arc::new(Zeroizing::new(plain));
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.push_back((number, chunk.clone()));
        if held.len() > limits::HELD_CHUNKS {
            held.pop_front();
        }
        Ok(chunk)
    }
}

impl FileRead for SealedFile {
    /// That of the file, with the length of what it holds.
    fn stat(&self) -> io::Result<Stat> {
        Ok(Stat { size: self.shown, ..self.file.stat()? })
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let Some(left) = self.shown.checked_sub(offset).filter(|left| *left > 0 && !buf.is_empty()) else {
            return Ok(0);
        };
        let chunk = self.chunk(offset / CHUNK)?;
        // Below a chunk's length.
        let inside = chunk.get((offset % CHUNK) as usize..).unwrap_or_default();
        let count = inside.len().min(buf.len()).min(usize::try_from(left).unwrap_or(usize::MAX));
        if let (Some(to), Some(from)) = (buf.get_mut(..count), inside.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }
}

/// How many bytes an encrypted file holds. Needs no key, and proves nothing.
pub(super) fn plain_size(file: &dyn FileRead) -> io::Result<u64> {
    Ok(read_header(file)?.1.plain)
}

/// The header with the nonce behind it, and where the chunks lie.
fn read_header(file: &dyn FileRead) -> io::Result<(Vec<u8>, Extent)> {
    let size = file.stat()?.size;
    // Nearly every header is below a kilobyte; a bound, because `age` would read on until it finds its end.
    let mut wanted = 1024.min(size);
    loop {
        let mut bytes = read_exact(file, 0, wanted as usize)?;
        if let Some(end) = header_end(&bytes).filter(|end| end + NONCE <= wanted) {
            bytes.truncate((end + NONCE) as usize);
            let begin = end + NONCE;
            let sealed = size - begin;
            let chunks = sealed.div_ceil(CHUNK + TAG);
            let plain = sealed.checked_sub(chunks * TAG).filter(|_| chunks > 0);
            let plain = plain.ok_or_else(|| damaged("it is cut short".to_owned()))?;
            return Ok((bytes, Extent { begin, sealed, plain }));
        }
        if wanted == size || wanted >= limits::AGE_HEADER_BYTES {
            return Err(damaged("it has no header of age".to_owned()));
        }
        wanted = limits::AGE_HEADER_BYTES.min(size);
    }
}

/// Where the header ends: behind the line that begins with `---`.
fn header_end(bytes: &[u8]) -> Option<u64> {
    if !bytes.starts_with(b"age-encryption.org/v1\n") {
        return None;
    }
    let begin = memchr::memmem::find(bytes, b"\n--- ")? + 1;
    let line = memchr::memchr(b'\n', bytes.get(begin..)?)?;
    Some((begin + line + 1) as u64)
}

fn read_exact(file: &dyn FileRead, at: u64, bytes: usize) -> io::Result<Vec<u8>> {
    crate::fs::read_exact_at(file, at, bytes)
}

fn damaged(what: String) -> io::Error {
    SealError::Damaged(what).into_io()
}

/// Lets `age` do its work, and notes the key of the file that it found.
struct Catcher<'a> {
    identity: &'a age::x25519::Identity,
    key: RefCell<Option<FileKey>>,
}

impl Identity for Catcher<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        let found = self.identity.unwrap_stanza(stanza)?;
        if let Ok(key) = &found {
            *self.key.borrow_mut() = Some(FileKey::new(Box::new(*key.expose_secret())));
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Fs, RealFs};
    use std::io::Write;
    use std::path::Path;

    fn sealed(content: &[u8], key: &age::x25519::Identity) -> Vec<u8> {
        let recipient = key.to_public();
        let mut bytes = Vec::new();
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient)).unwrap();
        let mut out = encryptor.wrap_output(&mut bytes).unwrap();
        out.write_all(content).unwrap();
        out.finish().unwrap();
        bytes
    }

    fn opened(dir: &Path, bytes: &[u8], key: &age::x25519::Identity) -> io::Result<SealedFile> {
        std::fs::write(dir.join("file"), bytes).unwrap();
        SealedFile::open(RealFs.open(&dir.join("file"))?, &key.clone().into())
    }

    fn read(file: &SealedFile, at: u64, bytes: usize) -> io::Result<Vec<u8>> {
        crate::fs::read_exact_at(file, at, bytes)
    }

    #[test]
    fn any_stretch_reads_as_it_was_written_whatever_the_length() {
        let dir = tempfile::tempdir().unwrap();
        let key = age::x25519::Identity::generate();
        for length in [0usize, 1, 65_535, 65_536, 65_537, 131_072, 200_001] {
            let content: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
            let bytes = sealed(&content, &key);
            let file = opened(dir.path(), &bytes, &key).unwrap();
            assert_eq!(file.stat().unwrap().size, length as u64);
            assert_eq!(read(&file, 0, length).unwrap(), content);
            assert_eq!(file.read_at(&mut [0; 9], length as u64 + 5).unwrap(), 0);
            for at in (0..length).step_by(997) {
                let end = (at + 70_000).min(length);
                assert_eq!(read(&file, at as u64, end - at).unwrap(), &content[at..end]);
            }
        }
    }

    #[test]
    fn a_flipped_bit_costs_its_chunk_and_a_lost_end_the_last_one() {
        let dir = tempfile::tempdir().unwrap();
        let key = age::x25519::Identity::generate();
        let content = vec![5; 300_000];
        let bytes = sealed(&content, &key);
        let begin = header_end(&bytes).unwrap() as usize + 16;
        let mut flipped = bytes.clone();
        flipped[begin + 65_552 + 100] ^= 1;
        let file = opened(dir.path(), &flipped, &key).unwrap();
        assert!(read(&file, 65_536, 10).is_err());
        assert_eq!(read(&file, 0, 65_536).unwrap(), &content[..65_536]);
        assert_eq!(read(&file, 131_072, 100_000).unwrap(), &content[..100_000]);
        let file = opened(dir.path(), &bytes[..begin + 2 * 65_552 + 50], &key).unwrap();
        assert_eq!(read(&file, 0, 131_072).unwrap(), &content[..131_072]);
        assert!(read(&file, 131_072, 10).is_err());
    }

    #[test]
    fn what_is_no_file_of_age_is_refused_after_a_bounded_header() {
        let dir = tempfile::tempdir().unwrap();
        let key = age::x25519::Identity::generate();
        let whole = sealed(b"hello", &key);
        for cut in 0..whole.len() {
            let file = opened(dir.path(), &whole[..cut], &key);
            assert!(file.and_then(|file| read(&file, 0, 5)).is_err(), "cut at {cut}");
        }
        let endless = [b"age-encryption.org/v1\n".as_slice(), &b"-> X25519 a\nb\n".repeat(100_000)].concat();
        let error = opened(dir.path(), &endless, &key).err().unwrap().to_string();
        assert!(error.contains("no header of age"), "{error}");
        let other = age::x25519::Identity::generate();
        assert!(opened(dir.path(), &whole, &other).err().unwrap().to_string().contains("none of the identities"));
    }
}
