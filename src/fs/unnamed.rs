//! A file without a name, for the process alone: written at its end, read anywhere, and gone with the process however that
//! ends. Where it must not tell the disk what it holds, it is sealed with a key that is nowhere but in memory.
//!
//! Sealed, it is a row of pieces of [`PIECE`] bytes at most, each with its tag (ChaCha20-Poly1305, RFC 8439) and numbered by
//! its nonce; what is appended at once begins a new piece. A piece that does not fit its tag is an error, not other bytes.

use super::{FileRead, FileWrite, Fs, Stat, read_exact_at};
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// Bytes of a piece before it is sealed, and of its tag. Whoever wants one record opens no more than two pieces.
const PIECE: u64 = 4096;
const TAG: u64 = 16;

/// Opened pieces that are kept: who reads backwards, or one record after the other, wants each some forty times.
const HELD_PIECES: usize = 4;

/// Whether others may read on the disk what a file of this process holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Secrecy {
    #[default]
    Plain,
    Sealed,
}

/// One such file. Threads may share it.
pub struct UnnamedFile {
    read: Box<dyn FileRead>,
    cipher: Option<ChaCha20Poly1305>,
    end: Mutex<End>,
    held: Mutex<VecDeque<(u64, Piece)>>,
}

type Piece = Arc<Zeroizing<Vec<u8>>>;

/// What is known of the bytes that were appended.
struct End {
    write: Box<dyn FileWrite>,
    /// Bytes that the file is said to hold.
    bytes: u64,
    /// Of what was appended at once: where it begins, and the number of its first piece. Sealed files only.
    begins: Vec<(u64, u64)>,
    /// Pieces so far.
    pieces: u64,
    /// Something could not be written. What of it is there lies behind all that counts; and no number seals twice.
    failed: bool,
}

impl UnnamedFile {
    /// A new one in `dir`, which must exist; for a moment it has a name that begins with `prefix`.
    pub fn make(fs: &dyn Fs, dir: &Path, prefix: &str, secrecy: Secrecy) -> io::Result<Self> {
        let cipher = match secrecy {
            Secrecy::Plain => None,
            Secrecy::Sealed => {
                let mut key = Zeroizing::new([0_u8; 32]);
                getrandom::fill(key.as_mut_slice())?;
                Some(ChaCha20Poly1305::new(key.as_slice().into()))
            }
        };
        let write = fs.create_temp(dir, prefix)?;
        let read = fs.open(write.path())?;
        fs.remove_file(write.path())?;
        let end = End { write, bytes: 0, begins: Vec::new(), pieces: 0, failed: false };
        Ok(Self { read, cipher, end: Mutex::new(end), held: Mutex::default() })
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> u64 {
        self.end().bytes
    }

    /// Puts bytes behind the others, and says where they begin. After an error it takes no more.
    pub fn append(&self, bytes: &[u8]) -> io::Result<u64> {
        let mut end = self.end();
        if std::mem::replace(&mut end.failed, true) {
            return Err(io::Error::other("an earlier write to this file failed"));
        }
        let (place, first) = (end.bytes, end.pieces);
        match &self.cipher {
            None => end.write.write_all(bytes)?,
            Some(cipher) => {
                for piece in bytes.chunks(PIECE as usize) {
                    let mut sealed = piece.to_vec();
                    let tag = cipher.encrypt_in_place_detached(&nonce(end.pieces), b"", &mut sealed);
                    sealed.extend_from_slice(&tag.map_err(|_| io::Error::other("a piece could not be sealed"))?);
                    end.write.write_all(&sealed)?;
                    end.pieces += 1;
                }
                end.begins.push((place, first));
            }
        }
        end.bytes += bytes.len() as u64;
        end.failed = false;
        Ok(place)
    }

    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads of the piece in which `offset` lies.
    fn read_sealed(&self, cipher: &ChaCha20Poly1305, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let (number, begin, length) = {
            let end = self.end();
            let after = end.begins.partition_point(|(begin, _)| *begin <= offset);
            let Some((begin, first)) = after.checked_sub(1).and_then(|at| end.begins.get(at)).copied() else {
                return Ok(0);
            };
            let stop = end.begins.get(after).map_or(end.bytes, |(begin, _)| *begin);
            if offset >= stop {
                return Ok(0);
            }
            let inside = (offset - begin) / PIECE;
            let start = begin + inside * PIECE;
            (first + inside, start, PIECE.min(stop - start))
        };
        let piece = self.piece(cipher, number, begin, length)?;
        let wanted = piece.get((offset - begin) as usize..).unwrap_or_default();
        let count = wanted.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), wanted.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    /// The piece with this number, of `length` bytes, of which the first is byte `begin` of what the file holds.
    fn piece(&self, cipher: &ChaCha20Poly1305, number: u64, begin: u64, length: u64) -> io::Result<Piece> {
        let held = || self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, piece)) = held().iter().find(|(other, _)| *other == number) {
            return Ok(piece.clone());
        }
        // At most a piece and its tag.
        let mut piece = read_exact_at(self.read.as_ref(), begin + number * TAG, (length + TAG) as usize)?;
        let tag = piece.split_off(length as usize);
        let opened = cipher.decrypt_in_place_detached(&nonce(number), b"", &mut piece, Tag::from_slice(&tag));
        let damaged =
            || io::Error::new(io::ErrorKind::InvalidData, "a scratch file holds other bytes than were written");
        opened.map_err(|_| damaged())?;
        let piece = Arc::new(Zeroizing::new(piece));
        let mut held = held();
        held.push_back((number, piece.clone()));
        if held.len() > HELD_PIECES {
            held.pop_front();
        }
        Ok(piece)
    }
}

impl FileRead for UnnamedFile {
    /// That of the file, with the length of what it holds.
    fn stat(&self) -> io::Result<Stat> {
        Ok(Stat { size: self.bytes(), ..self.read.stat()? })
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.cipher {
            None => self.read.read_at(buf, offset),
            Some(cipher) => self.read_sealed(cipher, buf, offset),
        }
    }
}

/// The key seals one file only, so the piece's number is enough.
fn nonce(piece: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&piece.to_be_bytes());
    nonce.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;
    use crate::testing::failing_fs::FailingFs;
    use proptest::prelude::*;

    const BOTH: [Secrecy; 2] = [Secrecy::Plain, Secrecy::Sealed];

    #[test]
    fn a_sealed_file_shows_the_disk_nothing_of_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let letter = b"Dear Ann, the vault's number is 4711. ".repeat(1000);
        for (secrecy, shown) in [(Secrecy::Plain, true), (Secrecy::Sealed, false)] {
            let file = UnnamedFile::make(&RealFs, dir.path(), "letters-", secrecy).unwrap();
            file.append(&letter).unwrap();
            assert_eq!(read_exact_at(&file, 0, letter.len()).unwrap(), letter);
            assert_eq!(file.stat().unwrap().size, letter.len() as u64);
            let size = file.read.stat().unwrap().size;
            let there = read_exact_at(file.read.as_ref(), 0, size as usize).unwrap();
            assert_eq!(memchr::memmem::find(&there, b"vault").is_some(), shown);
        }
        assert_eq!(RealFs.list(dir.path()).unwrap(), []);
    }

    #[test]
    fn other_bytes_in_a_sealed_file_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let fs = FailingFs::default();
        let file = UnnamedFile::make(&fs, dir.path(), "letters-", Secrecy::Sealed).unwrap();
        file.append(&[7; 10_000]).unwrap();
        fs.blank();
        assert_eq!(read_exact_at(&file, 5000, 10).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn after_a_full_disk_what_was_there_is_there_and_nothing_comes_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        for secrecy in BOTH {
            let fs = FailingFs::default();
            let file = UnnamedFile::make(&fs, dir.path(), "letters-", secrecy).unwrap();
            let first: Vec<u8> = (0..9000).map(|at| (at % 251) as u8).collect();
            file.append(&first).unwrap();
            fs.fill();
            assert_eq!(file.append(&[1; 9000]).unwrap_err().kind(), io::ErrorKind::StorageFull);
            fs.empty();
            // The half that was written is there; a number that sealed it must not seal other bytes.
            assert!(file.append(&[2; 9000]).is_err(), "{secrecy:?}");
            assert_eq!(file.bytes(), 9000);
            assert_eq!(read_exact_at(&file, 0, 9000).unwrap(), first);
        }
    }

    #[test]
    fn who_reads_while_another_writes_gets_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        for secrecy in BOTH {
            let file = UnnamedFile::make(&RealFs, dir.path(), "letters-", secrecy).unwrap();
            let byte = |at: u64| (at % 251) as u8;
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for part in 0..300_u64 {
                        let begin = file.bytes();
                        let bytes: Vec<u8> = (begin..begin + part * 7 + 1).map(byte).collect();
                        file.append(&bytes).unwrap();
                    }
                });
                let mut seen = 0;
                while seen < 300 * 299 * 7 / 2 + 300 {
                    seen = file.bytes();
                    let begin = seen / 3;
                    let read = read_exact_at(&file, begin, (seen - begin) as usize).unwrap();
                    assert!(read.iter().zip(begin..).all(|(read, at)| *read == byte(at)), "{secrecy:?}");
                }
            });
        }
    }

    proptest! {
        #[test]
        fn every_stretch_reads_as_it_was_appended(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..10_000), 0..6),
            stretches in prop::collection::vec((0usize..40_000, 0usize..20_000), 1..20),
        ) {
            let dir = tempfile::tempdir().unwrap();
            for secrecy in BOTH {
                let file = UnnamedFile::make(&RealFs, dir.path(), "letters-", secrecy).unwrap();
                let mut whole = Vec::new();
                for part in &parts {
                    prop_assert_eq!(file.append(part).unwrap(), whole.len() as u64);
                    whole.extend_from_slice(part);
                }
                prop_assert_eq!(file.bytes(), whole.len() as u64);
                for &(begin, length) in &stretches {
                    let (begin, length) = (begin.min(whole.len()), length);
                    let length = length.min(whole.len() - begin);
                    let read = read_exact_at(&file, begin as u64, length).unwrap();
                    prop_assert_eq!(read.as_slice(), &whole[begin..begin + length]);
                }
                prop_assert_eq!(file.read_at(&mut [0; 9], whole.len() as u64).unwrap(), 0);
            }
        }
    }
}
