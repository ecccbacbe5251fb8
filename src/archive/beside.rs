//! What lies beside the three folders and nothing can be opened without: `wagon.json` and `key.age`, and of each a second
//! copy.
//!
//! Promises: where one copy is damaged the other serves, and which of them is damaged is known by checksums, not
//! guessed; two that are sound and differ are refused. An archive without second copies is as good as ever. Format:
//! format-spec/archive.md, "Two copies".

use super::layout::{HEADER, KEY, format_error, io_error};
use super::lock::{LOCK, writers_lock};
use super::parity;
use super::{Archive, ArchiveError};
use crate::format::FormatError;
use crate::format::archive_header::{ArchiveHeader, Proof};
use crate::fs::Fs;
use crate::limits::{AGE_HEADER_BYTES, ARCHIVE_HEADER_BYTES, LOCK_POLL, READER_WAIT};
use crate::model::hex;
use sha2::{Digest, Sha256};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Instant;

pub(super) const HEADER_AGAIN: &str = "wagon-again.json";
pub(super) const KEY_AGAIN: &str = "key-again.age";

/// All of them.
pub(super) const BESIDE: [&str; 4] = [HEADER, HEADER_AGAIN, KEY, KEY_AGAIN];

/// One of these files that is damaged, or gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Worn {
    pub name: &'static str,
    /// What is wrong, for people.
    pub what: String,
    /// What it should hold, where that is known.
    sound: Option<Vec<u8>>,
}

/// What is read of an archive before anything else.
pub(super) struct Beside {
    pub header: ArchiveHeader,
    pub worn: Vec<Worn>,
}

struct Found {
    bytes: Vec<u8>,
    header: Result<ArchiveHeader, FormatError>,
    proof: Proof,
}

fn read(fs: &dyn Fs, dir: &Path, name: &str) -> io::Result<Found> {
    let bytes = fs.read(&dir.join(name), ARCHIVE_HEADER_BYTES)?;
    Ok(Found { header: ArchiveHeader::parse(&bytes), proof: ArchiveHeader::proof(&bytes), bytes })
}

fn is_gone<T>(outcome: &io::Result<T>) -> bool {
    outcome.as_ref().is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}

fn worn(name: &'static str, what: &str, other: &str, sound: Option<Vec<u8>>) -> Worn {
    Worn { name, what: format!("{what}; {other} serves in its place, and `wagon repair` writes it again"), sound }
}

/// Reads both copies of `wagon.json`, and compares those of `key.age`.
pub(super) fn look(fs: &dyn Fs, dir: &Path) -> Result<Beside, ArchiveError> {
    let mut beside = look_at_headers(fs, dir)?;
    beside.worn.extend(look_at_keys(fs, dir, &beside.header));
    Ok(beside)
}

fn look_at_headers(fs: &dyn Fs, dir: &Path) -> Result<Beside, ArchiveError> {
    let path = dir.join(HEADER);
    let (first, second) = (read(fs, dir, HEADER), read(fs, dir, HEADER_AGAIN));
    let proven = |found: &io::Result<Found>| found.as_ref().is_ok_and(|found| found.proof == Proof::Right);
    if is_gone(&first) {
        // Whoever has written into an archive has left `lock` in it: this is none that is only being made.
        let was_one = proven(&second) && fs.lstat(&dir.join(LOCK)).is_ok();
        let error = if was_one { ArchiveError::HeaderGone } else { ArchiveError::NotAnArchive };
        return Err(error(dir.to_owned()));
    }
    let same = |first: &Found, second: &Found| first.bytes == second.bytes;
    let one =
        |found: Found, worn: Vec<Worn>| found.header.map(|header| Beside { header, worn }).map_err(format_error(&path));
    match (first, second) {
        (Ok(first), Ok(second)) if same(&first, &second) && first.proof != Proof::Wrong => one(first, Vec::new()),
        (Ok(first), Ok(second)) if first.proof == Proof::Right && second.proof == Proof::Right => {
            Err(ArchiveError::TwoHeaders(dir.to_owned()))
        }
        (Ok(first), second) if first.proof == Proof::Right => {
            let what = "it is not what its checksum says";
            let damaged = (!is_gone(&second)).then(|| worn(HEADER_AGAIN, what, HEADER, Some(first.bytes.clone())));
            one(first, damaged.into_iter().collect())
        }
        (first, Ok(second)) if second.proof == Proof::Right => {
            // One that is older than checksums and says the same.
            let older = second
                .header
                .as_ref()
                .is_ok_and(|header| first.as_ref().is_ok_and(|first| first.bytes == header.encode_without_checksum()));
            let what = match &first {
                Err(error) => format!("it cannot be read ({error})"),
                Ok(_) => "it is not what its checksum says".to_owned(),
            };
            let damaged = (!older).then(|| worn(HEADER, &what, HEADER_AGAIN, Some(second.bytes.clone())));
            one(second, damaged.into_iter().collect())
        }
        (Ok(first), second) if first.proof == Proof::Absent => {
            if let (Ok(one), Ok(Found { header: Ok(other), proof: Proof::Absent, .. })) = (&first.header, &second)
                && one != other
            {
                return Err(ArchiveError::TwoHeaders(dir.to_owned()));
            }
            let sound = first.header.as_ref().ok().map(ArchiveHeader::encode);
            let what = "it is not what its checksum says";
            let damaged = (!is_gone(&second)).then(|| worn(HEADER_AGAIN, what, HEADER, sound));
            one(first, damaged.into_iter().collect())
        }
        (Ok(Found { header: Err(error), .. }), _) => Err(format_error(&path)(error)),
        (Ok(_), _) => {
            let what = format!("it is not what its checksum says, and there is no sound {HEADER_AGAIN}");
            Err(format_error(&path)(FormatError::Malformed { what, at: 0 }))
        }
        (Err(error), _) => Err(io_error("read", &path)(error)),
    }
}

/// Whether these are the bytes that `wagon.json` speaks of; `None` where it does not speak of them.
fn is_key(header: &ArchiveHeader, bytes: &[u8]) -> Option<bool> {
    let expected = header.encryption.as_ref()?.key_sha256.as_ref()?;
    Some(hex::encode(&Sha256::digest(bytes)) == *expected)
}

fn look_at_keys(fs: &dyn Fs, dir: &Path, header: &ArchiveHeader) -> Vec<Worn> {
    if header.encryption.is_none() {
        return Vec::new();
    }
    let read = |name: &str| fs.read(&dir.join(name), AGE_HEADER_BYTES);
    let (first, second) = (read(KEY), read(KEY_AGAIN));
    if is_gone(&first) && is_gone(&second) {
        return Vec::new();
    }
    let told = header.encryption.as_ref().is_some_and(|encryption| encryption.key_sha256.is_some());
    if !told {
        // Made by a wagon that noted no checksum: only the passphrase tells which of two is right.
        return match (first, second) {
            (Ok(first), Ok(second)) if first != second => {
                let what = format!("it is not the same as {KEY_AGAIN}; whichever the passphrase opens serves");
                vec![Worn { name: KEY, what, sound: None }]
            }
            (Err(_), Ok(second)) => vec![worn(KEY, "it cannot be read", KEY_AGAIN, Some(second))],
            _ => Vec::new(),
        };
    }
    let sound = |bytes: &io::Result<Vec<u8>>| bytes.as_ref().is_ok_and(|bytes| is_key(header, bytes) == Some(true));
    let what = "it is not what wagon.json says of it";
    match (sound(&first), sound(&second)) {
        (true, false) if !is_gone(&second) => vec![worn(KEY_AGAIN, what, KEY, first.ok())],
        (false, true) => vec![worn(KEY, what, KEY_AGAIN, second.ok())],
        (false, false) => {
            let neither = |name| Worn { name, what: format!("{what}, and neither is its other copy"), sound: None };
            vec![neither(KEY), neither(KEY_AGAIN)]
        }
        _ => Vec::new(),
    }
}

impl Archive {
    /// Those of these files that are damaged.
    pub(super) fn worn(&self) -> &[Worn] {
        &self.worn
    }

    /// The identity under a passphrase, as far as it is known which copy is right; else both copies, each to be tried.
    pub(super) fn locked_identities(&self) -> Result<Vec<Vec<u8>>, ArchiveError> {
        let mut found = Vec::new();
        let mut failed = None;
        for name in [KEY, KEY_AGAIN] {
            let path = self.dir.join(name);
            match self.raw.read(&path, AGE_HEADER_BYTES) {
                Ok(bytes) if is_key(&self.header, &bytes) == Some(true) => return Ok(vec![bytes]),
                Ok(bytes) if !found.contains(&bytes) => found.push(bytes),
                Ok(_) => {}
                Err(error) => drop(failed.get_or_insert((path, error))),
            }
        }
        match failed {
            Some((path, error)) if found.is_empty() => Err(io_error("read", &path)(error)),
            _ => Ok(found),
        }
    }
}

/// What these files should hold, of those that are damaged, and of second copies that are not there.
pub(super) fn wanted(fs: &dyn Fs, dir: &Path) -> Result<Vec<(&'static str, Vec<u8>)>, ArchiveError> {
    let mut wanted: Vec<(&str, Vec<u8>)> = Vec::new();
    match look(fs, dir) {
        Err(ArchiveError::HeaderGone(_)) => {
            let path = dir.join(HEADER_AGAIN);
            wanted.push((HEADER, fs.read(&path, ARCHIVE_HEADER_BYTES).map_err(io_error("read", &path))?));
        }
        Err(error) => return Err(error),
        Ok(Beside { header, worn }) => {
            if is_gone(&fs.lstat(&dir.join(HEADER_AGAIN))) {
                let path = dir.join(HEADER);
                let spelt = fs.read(&path, ARCHIVE_HEADER_BYTES).map_err(io_error("read", &path))?;
                if ArchiveHeader::proof(&spelt) == Proof::Right {
                    // A later version may say more in it than we read.
                    wanted.push((HEADER_AGAIN, spelt));
                } else {
                    wanted.push((HEADER_AGAIN, header.encode()));
                    // One that is spelt otherwise than ours: beside a proven copy it would pass for damaged.
                    if spelt != header.encode_without_checksum() {
                        wanted.push((HEADER, header.encode()));
                    }
                }
            }
            let key = fs.read(&dir.join(KEY), AGE_HEADER_BYTES);
            if let Ok(key) = key
                && is_key(&header, &key) != Some(false)
                && is_gone(&fs.lstat(&dir.join(KEY_AGAIN)))
            {
                wanted.push((KEY_AGAIN, key));
            }
            wanted.extend(worn.into_iter().filter_map(|worn| Some((worn.name, worn.sound?))));
        }
    }
    Ok(wanted)
}

/// Gives one of these files its bytes; under the writer's lock, and `wagon.json` when nobody reads: readers hold it.
pub(super) fn put(fs: &dyn Fs, dir: &Path, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
    parity::remove_of_others(fs, dir, Path::new(name), bytes)?;
    let path = dir.join(name);
    fs.replace(&path, bytes, 0o600).map_err(io_error("write", &path))
}

/// Writes again what is damaged of these files, and second copies that are not there. Gives their names; with `dry_run`
/// those that it would write.
pub fn mend_copies(fs: &dyn Fs, dir: &Path, dry_run: bool) -> Result<Vec<PathBuf>, ArchiveError> {
    let mut wanted = self::wanted(fs, dir)?;
    if !wanted.is_empty() && !dry_run {
        let _held = writers_lock(fs, dir)?;
        // Somebody may have been changing the passphrase.
        wanted = self::wanted(fs, dir)?;
        for (name, bytes) in &wanted {
            let _alone = if *name == HEADER { alone(fs, dir)? } else { None };
            put(fs, dir, name, bytes)?;
        }
    }
    Ok(wanted.into_iter().map(|(name, _)| name.into()).collect())
}

/// Waits until nobody reads; `None` where there is nothing to wait for, or nothing to wait by.
fn alone(fs: &dyn Fs, dir: &Path) -> Result<Option<Box<dyn Send + Sync>>, ArchiveError> {
    let begun = Instant::now();
    loop {
        match fs.try_exclude(&dir.join(HEADER)) {
            Ok(Some(held)) => return Ok(Some(held)),
            Ok(None) if begun.elapsed() > READER_WAIT => {
                let (holder, since) = ("somebody who reads it".to_owned(), "some seconds at least".to_owned());
                return Err(ArchiveError::InUse { holder, since });
            }
            Ok(None) => std::thread::sleep(LOCK_POLL),
            // It is gone, cannot be opened at all, or the file system has no locks.
            Err(_) => return Ok(None),
        }
    }
}
