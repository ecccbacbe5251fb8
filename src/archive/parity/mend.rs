//! Mending files by their parity.
//!
//! Promises that a file gets its name only when its SHA-256 is that of the file that was protected: what was mended is
//! exact or is not there. What parity cannot mend stays as it is, for a repair to save the rest of.

use super::make::{Trouble, block_checksum, column_width, look_through};
use super::{Found, Stored, Target, digest_of, fill, fill_or_zero, parity_path, publish, temporary};
use crate::archive::beside::BESIDE;
use crate::archive::index::IndexState;
use crate::archive::layout::{PackName, io_error};
use crate::archive::lock::{ArchiveLock, writers_lock};
use crate::archive::usage::{advance, begin, end, stop_if_asked};
use crate::archive::{Archive, ArchiveError};
use crate::event::Sink;
use crate::format::parity::{BLOCK, CELL};
use crate::format::parity_code::{Restorer, Share, restoring_bytes};
use crate::fs::{FileRead, FileWrite, Fs};
use crate::limits::PARITY_PERCENT;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// A file that its parity gave back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct MendedFile {
    pub path: PathBuf,
    /// Blocks of 4 KiB that were not as they had been.
    pub blocks: u64,
    /// It was not there at all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub was_missing: bool,
}

/// A file with more damage than its parity can mend.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Beyond {
    pub path: PathBuf,
    /// Why, for people.
    pub what: String,
}

/// What became of all files that have parity.
#[derive(Default)]
pub(in crate::archive) struct Mended {
    pub files: Vec<MendedFile>,
    pub beyond: Vec<Beyond>,
    /// Parity that was damaged, and was made again.
    pub made: Vec<PathBuf>,
    /// Parity of files that are gone and cannot be brought back.
    pub removed: Vec<PathBuf>,
}

enum Outcome {
    Intact,
    Mended(u64),
    Beyond(String),
}

/// Mends every file that has parity; without a lock it only looks.
pub(in crate::archive) fn mend_all(
    archive: &Archive,
    lock: Option<&ArchiveLock>,
    sink: &dyn Sink,
) -> Result<Mended, ArchiveError> {
    let mut mended = Mended::default();
    let (paths, _) = archive.parity_files()?;
    if paths.is_empty() {
        return Ok(mended);
    }
    begin(sink, Some(paths.len() as u64));
    let (mut worn, mut percent) = (Vec::new(), None);
    for path in paths {
        let target = Archive::target_of(&path);
        let place = archive.dir.join(parity_path(&path));
        let there = archive.raw.lstat(&archive.dir.join(&path)).is_ok();
        match Stored::open(archive.raw.as_ref(), &place, &target) {
            Ok(Found::Parity(stored)) => {
                percent = percent.max(Some(stored.says.percent));
                let outcome = match archive.is_newer_index(&target, &stored)? {
                    true => None,
                    false => Some(mend(archive.raw.as_ref(), &archive.dir, &target, &stored, lock.is_some())?),
                };
                let stale = outcome.is_none();
                let usable = !matches!(outcome, Some(Outcome::Beyond(_)));
                match outcome {
                    Some(Outcome::Mended(blocks)) => {
                        mended.files.push(MendedFile { path: path.clone(), blocks, was_missing: !there });
                    }
                    Some(Outcome::Beyond(what)) if there => mended.beyond.push(Beyond { path: path.clone(), what }),
                    Some(Outcome::Beyond(_)) => mended.removed.push(parity_path(&path)),
                    _ => {}
                }
                if usable && (stale || !stored.is_whole()) {
                    worn.push((target, stored.says.percent));
                }
            }
            // A disk that gives an error for the whole file, or nothing that could be used.
            Ok(Found::Unusable) | Err(_) if there => worn.push((target, 0)),
            Ok(Found::Unusable) => mended.removed.push(parity_path(&path)),
            Ok(Found::Nothing) => {}
            Err(error) => return Err(io_error("read", &place)(error)),
        }
        advance(sink, 0);
        stop_if_asked(sink)?;
    }
    for (target, own) in worn {
        let percent = if own > 0 { own } else { percent.unwrap_or(PARITY_PERCENT) };
        if lock.is_none() || archive.make_parity(&target, percent)?.is_ok() {
            mended.made.push(parity_path(&target.path));
        }
    }
    for path in mended.removed.iter().filter(|_| lock.is_some()) {
        let path = archive.dir.join(path);
        archive.raw.remove_file(&path).map_err(io_error("remove", &path))?;
    }
    end(sink);
    Ok(mended)
}

/// Mends what an archive cannot be opened without: `wagon.json`, `key.age` and their second copies. Gives what was, or
/// would be, mended.
pub fn mend_beside(fs: &dyn Fs, dir: &Path, dry_run: bool) -> Result<Vec<MendedFile>, ArchiveError> {
    let mut mended = Vec::new();
    for name in BESIDE {
        let target = Target { path: name.into(), begins: Vec::new() };
        let Ok(Found::Parity(stored)) = Stored::open(fs, &dir.join(parity_path(Path::new(name))), &target) else {
            continue;
        };
        let there = fs.lstat(&dir.join(name)).is_ok();
        if let Outcome::Mended(blocks) = mend(fs, dir, &target, &stored, false)? {
            if !dry_run {
                let _held = writers_lock(fs, dir)?;
                mend(fs, dir, &target, &stored, true)?;
            }
            mended.push(MendedFile { path: name.into(), blocks, was_missing: !there });
        }
    }
    Ok(mended)
}

impl Archive {
    /// Whether this is an index that is sound, and not the one that was protected: another program made it again.
    fn is_newer_index(&self, target: &Target, stored: &Stored) -> Result<bool, ArchiveError> {
        let Some(name) = PackName::of_index(&target.path) else { return Ok(false) };
        if self.is_encrypted() && !self.has_identities() {
            return Ok(false);
        }
        let sound = matches!(self.read_index(name)?, IndexState::Sound(_));
        let path = self.dir.join(&target.path);
        Ok(sound && digest_of(self.raw.as_ref(), &path).is_ok_and(|digest| digest != stored.says.digest))
    }
}

/// Mends one file, or with `write` false only finds out whether that can be done.
fn mend(fs: &dyn Fs, dir: &Path, target: &Target, stored: &Stored, write: bool) -> Result<Outcome, ArchiveError> {
    let path = dir.join(&target.path);
    let file = fs.open_plain(&path).ok();
    let looked = file.as_ref().and_then(|file| look_through(file.as_ref()).ok());
    if looked.is_some_and(|looked| (looked.length, looked.digest) == (stored.says.length, stored.says.digest)) {
        return Ok(Outcome::Intact);
    }
    let damage = match damage(file.as_deref(), stored).map_err(|trouble| trouble.of(&path))? {
        Ok(damage) => damage,
        Err(what) => return Ok(Outcome::Beyond(what)),
    };
    let mut out: Option<Box<dyn FileWrite>> = match write {
        true => Some(temporary(fs, dir)?),
        false => None,
    };
    let mut digest = Sha256::new();
    for (number, (span, bad)) in stored.spans.iter().zip(&damage).enumerate() {
        let restored = restore(file.as_deref(), stored, number, bad).map_err(|trouble| trouble.of(&path))?;
        let mut block = [0; BLOCK];
        for at in 0..span.blocks {
            let offset = (span.first + at as u64) * BLOCK as u64;
            let bytes = match (bad.binary_search(&at), &file) {
                (Ok(found), _) => restored.get(found * BLOCK..(found + 1) * BLOCK).unwrap_or_default(),
                (Err(_), Some(file)) => {
                    fill_or_zero(file.as_ref(), offset, &mut block).map_err(io_error("read", &path))?;
                    block.as_slice()
                }
                (Err(_), None) => &[],
            };
            let length = stored.says.length.saturating_sub(offset).min(BLOCK as u64) as usize;
            let bytes = bytes.get(..length).unwrap_or_default();
            digest.update(bytes);
            if let Some(out) = &mut out {
                out.write_all(bytes).map_err(|source| io_error("write", out.path())(source))?;
            }
        }
    }
    if <[u8; 32]>::from(digest.finalize()) != stored.says.digest {
        return Ok(Outcome::Beyond("what the parity gives is not the file that was protected".to_owned()));
    }
    if let Some(out) = out {
        publish(fs, dir, out, &target.path)?;
    }
    Ok(Outcome::Mended(damage.iter().map(|bad| bad.len() as u64).sum()))
}

/// The damaged blocks of each span; what is wrong when they cannot be mended.
fn damage(file: Option<&dyn FileRead>, stored: &Stored) -> Result<Result<Vec<Vec<usize>>, String>, Trouble> {
    let mut damage = Vec::new();
    for (number, span) in stored.spans.iter().enumerate() {
        let Some(table) = stored.table(number)? else {
            return Ok(Err("too much of the parity itself is lost".to_owned()));
        };
        let mut bad = Vec::new();
        let mut block = [0; BLOCK];
        for (at, checksum) in table.chunks(4).enumerate() {
            let offset = (span.first + at as u64) * BLOCK as u64;
            let read = file.map(|file| fill(file, offset, &mut block));
            // A disk says of a bad sector that it cannot be read.
            let Some(Ok(filled)) = read else {
                bad.push(at);
                continue;
            };
            let expected = stored.says.length.saturating_sub(offset).min(BLOCK as u64) as usize;
            let sound =
                filled >= expected && block_checksum(block.get(..expected).unwrap_or_default()).as_slice() == checksum;
            if !sound {
                bad.push(at);
            }
        }
        let enough = (0..BLOCK / CELL).all(|cell| stored.available(number, cell, bad.len()).is_some());
        if !enough {
            let what = format!("{} of {} blocks are damaged, and parity mends {}", bad.len(), span.blocks, span.spare);
            return Ok(Err(what));
        }
        damage.push(bad);
    }
    Ok(Ok(damage))
}

/// The damaged blocks of a span as they were, one after the other.
fn restore(file: Option<&dyn FileRead>, stored: &Stored, number: usize, bad: &[usize]) -> Result<Vec<u8>, Trouble> {
    let Some(span) = stored.spans.get(number).filter(|_| !bad.is_empty()) else { return Ok(Vec::new()) };
    let mut restored = vec![0; bad.len() * BLOCK];
    let most = column_width(restoring_bytes(span.blocks, span.spare, CELL)) / CELL;
    let (mut code, mut cell) = (Restorer::default(), 0);
    while cell < BLOCK / CELL {
        // Columns of which the same parity is there are done together.
        let Some(parity) = stored.available(number, cell, bad.len()) else { break };
        let same = |next: &usize| stored.available(number, *next, bad.len()).as_ref() == Some(&parity);
        let cells = 1 + (cell + 1..BLOCK / CELL).take(most - 1).take_while(same).count();
        let good = (0..span.blocks).filter(|at| bad.binary_search(at).is_err()).map(Share::Data);
        let there = good.chain(parity.iter().map(|&spare| Share::Parity(spare)));
        let read = |share: Share, out: &mut [u8]| match (share, file) {
            (Share::Data(at), Some(file)) => {
                let at = (span.first + at as u64) * BLOCK as u64 + (cell * CELL) as u64;
                let length = stored.says.length.saturating_sub(at).min(out.len() as u64) as usize;
                // What a file has beyond its length is none of it.
                out.fill(0);
                fill_or_zero(file, at, out.get_mut(..length).unwrap_or_default()).map_err(Trouble::Io)
            }
            (Share::Data(_), None) => Ok(()),
            (Share::Parity(spare), _) => stored.read_cells(number, spare, cell, out),
        };
        code.restore((span.blocks, span.spare, cells * CELL), there, read, |at, share| {
            let Ok(found) = bad.binary_search(&at) else { return };
            let to = restored.get_mut(found * BLOCK + cell * CELL..).unwrap_or_default();
            to.iter_mut().zip(share).for_each(|(to, from)| *to = *from);
        })?;
        cell += cells;
    }
    Ok(restored)
}
