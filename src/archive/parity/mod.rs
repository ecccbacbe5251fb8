//! Parity files: what brings a file of the archive back when a disk has lost some of its blocks.
//!
//! Promises: parity is made of files only that are what their names say; one that was there stays until a better one
//! has its name; whoever takes a file away takes its parity first, so parity without its file means that the file was
//! lost. All of it works on the files as they lie on the disk, encrypted or not, and needs no key. Format:
//! format-spec/parity.md.

mod make;
mod mend;
mod stored;
mod survey;

pub use mend::{Beyond, MendedFile};
pub use survey::Protection;

pub(super) use mend::mend_all;
pub use mend::mend_beside;
pub(super) use stored::{Found, Stored};

use super::beside::BESIDE;
use super::index::IndexState;
use super::layout::{SNAPSHOTS, SnapshotName, TEMPORARY, io_error};
use super::lock::ArchiveLock;
use super::seal::{self, with_suffix};
use super::usage::{advance, begin, end, stop_if_asked};
use super::{Archive, ArchiveError, signature};
use crate::event::Sink;
use crate::format::parity::{self, Protected};
use crate::fs::{FileKind, FileRead, Fs};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

/// The folder of parity files, which repeats the paths of the archive.
pub(super) const PARITY: &str = "parity";
const SUFFIX: &str = ".par";

/// How much parity, and of what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProtectOptions {
    /// Hundredths of a file's blocks that may be lost, 1 to 50.
    pub percent: u16,
}

/// What a protect did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ProtectReport {
    pub percent: u16,
    /// Files of the archive, and what they take.
    pub files: u64,
    pub file_bytes: u64,
    /// Parity files that were made, or made anew.
    pub made: u64,
    /// What all parity files take now.
    pub parity_bytes: u64,
    /// Files that were not protected because they are damaged.
    pub refused: Vec<Refused>,
}

/// A file that was not protected.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Refused {
    pub path: PathBuf,
    /// Why, for people.
    pub what: String,
}

/// A file that can be protected.
pub(super) struct Target {
    /// Its path below the archive, as it lies there.
    pub path: PathBuf,
    /// What its SHA-256 begins with, where its name says so.
    pub begins: Vec<u8>,
}

impl Target {
    fn fits(&self, file: &Protected) -> bool {
        file.digest.starts_with(&self.begins)
    }
}

/// The parity file of a file, both below the archive.
pub(super) fn parity_path(path: &Path) -> PathBuf {
    let mut name = Path::new(PARITY).join(path).into_os_string();
    name.push(SUFFIX);
    name.into()
}

/// Gives every file of the archive its parity that has none, or one of another percentage.
pub fn protect(
    archive: &Archive,
    _lock: &ArchiveLock,
    options: ProtectOptions,
    sink: &dyn Sink,
) -> Result<ProtectReport, ArchiveError> {
    let mut report = ProtectReport { percent: options.percent, ..ProtectReport::default() };
    let targets = archive.targets()?;
    begin(sink, Some(targets.len() as u64));
    for target in &targets {
        let path = archive.dir.join(&target.path);
        let size = archive.raw.stat(&path).map_err(io_error("look at", &path))?.size;
        report.files += 1;
        report.file_bytes += size;
        match archive.is_protected(target, size, options.percent) {
            Some(bytes) => report.parity_bytes += bytes,
            None => match archive.make_parity(target, options.percent)? {
                Ok(bytes) => {
                    report.made += 1;
                    report.parity_bytes += bytes;
                }
                Err(what) => report.refused.push(Refused { path: target.path.clone(), what }),
            },
        }
        advance(sink, size);
        stop_if_asked(sink)?;
    }
    end(sink);
    Ok(report)
}

impl Archive {
    /// All files that parity is made of, in order of their paths.
    pub(super) fn targets(&self) -> Result<Vec<Target>, ArchiveError> {
        let real = |path: PathBuf| if self.is_encrypted() { with_suffix(&path) } else { path };
        let mut targets = Vec::new();
        for name in BESIDE {
            if self.raw.lstat(&self.dir.join(name)).is_ok_and(|stat| stat.kind == FileKind::File) {
                targets.push(Target { path: name.into(), begins: Vec::new() });
            }
        }
        for name in self.indexes()?.names {
            targets.push(Target { path: real(name.index_path()), begins: Vec::new() });
        }
        for name in self.packs()?.names {
            targets.push(Target { path: real(name.pack_path()), begins: name.0.to_vec() });
        }
        for name in self.snapshot_names()?.names {
            let path = real(name.path());
            let mut signature = path.clone().into_os_string();
            signature.push(signature::SUFFIX);
            targets.push(Target { path, begins: name.digest.to_vec() });
            if self.raw.lstat(&self.dir.join(&signature)).is_ok_and(|stat| stat.kind == FileKind::File) {
                targets.push(Target { path: signature.into(), begins: Vec::new() });
            }
        }
        targets.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(targets)
    }

    /// What the parity of a file takes, if it has some of this percentage. Reads one block of it, and of the file only
    /// where its name does not say what it holds.
    fn is_protected(&self, target: &Target, size: u64, percent: u16) -> Option<u64> {
        let (says, bytes) = stored::first_block(self.raw.as_ref(), &self.dir.join(parity_path(&target.path)))?;
        let expected = parity::stored(&parity::spans(says.length, says.percent).ok()?) * parity::BLOCK as u64;
        let fits = says.percent == percent && says.length == size && bytes == expected && target.fits(&says);
        let same = !target.begins.is_empty()
            || digest_of(self.raw.as_ref(), &self.dir.join(&target.path)).ok()? == says.digest;
        (fits && same).then_some(bytes)
    }

    /// Makes the parity of a file that is what it should be; gives its bytes, or what is wrong with the file.
    pub(super) fn make_parity(&self, target: &Target, percent: u16) -> Result<Result<u64, String>, ArchiveError> {
        if let Some(name) = super::layout::PackName::of_index(&target.path) {
            let closed = self.is_encrypted() && !self.has_identities();
            if let (false, IndexState::Unusable(what)) = (closed, self.read_index(name)?) {
                return Ok(Err(what));
            }
        }
        if let Some(worn) = self.worn().iter().find(|worn| target.path == Path::new(worn.name)) {
            return Ok(Err(worn.what.clone()));
        }
        make::write(self.raw.as_ref(), &self.dir, target, percent)
    }

    /// Hundredths that may be lost of the files that have parity, as far as one of them tells; `None`: none has.
    pub fn parity_percent(&self) -> Result<Option<u16>, ArchiveError> {
        let says = |path: &PathBuf| {
            let (says, _) = stored::first_block(self.raw.as_ref(), &self.dir.join(parity_path(path)))?;
            Some(says.percent)
        };
        Ok(self.parity_files()?.0.iter().find_map(says))
    }

    /// Gives what lies beside the folders parity where it has none, or parity of something else. Gives the parity files
    /// that were made.
    pub(super) fn protect_beside(&self, _lock: &ArchiveLock, percent: u16) -> Result<Vec<PathBuf>, ArchiveError> {
        let mut made = Vec::new();
        for target in
            self.targets()?.into_iter().filter(|target| BESIDE.iter().any(|name| target.path == Path::new(name)))
        {
            let path = self.dir.join(&target.path);
            let size = self.raw.stat(&path).map_err(io_error("look at", &path))?.size;
            if self.is_protected(&target, size, percent).is_none() && self.make_parity(&target, percent)?.is_ok() {
                made.push(parity_path(&target.path));
            }
        }
        Ok(made)
    }

    /// Removes the parity of a file that goes or changes; before that.
    pub(super) fn remove_parity(&self, path: &Path) -> Result<(), ArchiveError> {
        let inside = path.strip_prefix(&self.dir).unwrap_or(path);
        let path = self.dir.join(parity_path(&self.lying_at(inside)));
        match self.raw.remove_file(&path) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(io_error("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Puts the parity of a pack that is set aside beside it: with a better copy of the pack it may still be of use.
    pub(super) fn set_parity_aside(&self, from: &Path, to: &Path) -> Result<(), ArchiveError> {
        let from = self.dir.join(parity_path(&self.lying_at(from)));
        let mut name = to.as_os_str().to_owned();
        name.push(SUFFIX);
        match self.raw.rename(&from, Path::new(&name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("rename to", Path::new(&name))(error))
            }
            _ => Ok(()),
        }
    }

    /// Where a file of the archive lies below it: encrypted ones have a suffix.
    pub(super) fn lying_at(&self, inside: &Path) -> PathBuf {
        let is = |suffix: &str| inside.as_os_str().as_encoded_bytes().ends_with(suffix.as_bytes());
        let sealed = self.is_encrypted() && !is(signature::SUFFIX) && !is(seal::SUFFIX) && inside.iter().count() > 1;
        if sealed { with_suffix(inside) } else { inside.to_owned() }
    }

    /// All parity files, by the paths of what they protect, in order; and what else lies in their folder.
    pub(super) fn parity_files(&self) -> Result<(Vec<PathBuf>, Vec<PathBuf>), ArchiveError> {
        let (mut found, mut strange) = (Vec::new(), Vec::new());
        let mut waiting = vec![(PathBuf::new(), 0)];
        while let Some((inside, depth)) = waiting.pop() {
            let dir = self.dir.join(PARITY).join(&inside);
            let entries = match self.raw.list(&dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                outcome => outcome.map_err(io_error("list", &dir))?,
            };
            for entry in entries {
                let path = inside.join(&entry.name);
                let name = entry.name.to_str().unwrap_or_default();
                match (entry.kind, name.strip_suffix(SUFFIX)) {
                    _ if entry.name.as_encoded_bytes().starts_with(b".") => {}
                    (FileKind::Dir, None) if depth < 2 => waiting.push((path, depth + 1)),
                    (FileKind::File, Some(name)) if is_protectable(&inside.join(name)) => found.push(inside.join(name)),
                    _ => strange.push(Path::new(PARITY).join(path)),
                }
            }
        }
        found.sort();
        strange.sort();
        Ok((found, strange))
    }

    /// What the parity of `path`, below the archive, is of.
    pub(super) fn target_of(path: &Path) -> Target {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = name.strip_suffix(seal::SUFFIX).unwrap_or(name);
        let pack = super::layout::PackName::of_pack(path).map(|name| name.0.to_vec());
        let snapshot = || SnapshotName::parse(name).map(|name| name.digest.to_vec());
        Target { path: path.to_owned(), begins: pack.or_else(snapshot).unwrap_or_default() }
    }
}

/// Whether a file at this path below an archive is one that parity is made of: nothing else is ever written because a
/// parity file asks for it.
fn is_protectable(path: &Path) -> bool {
    use super::layout::PackName;
    if BESIDE.iter().any(|name| path == Path::new(name)) || PackName::of_pack(path).is_some() {
        return true;
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.strip_suffix(signature::SUFFIX).unwrap_or(name);
    let name = name.strip_suffix(seal::SUFFIX).unwrap_or(name);
    PackName::of_index(path).is_some()
        || (path.parent() == Some(Path::new(SNAPSHOTS)) && SnapshotName::parse(name).is_some())
}

/// Removes the parity of a file that is about to be these bytes, unless it is of them.
pub(super) fn remove_of_others(fs: &dyn Fs, dir: &Path, inside: &Path, bytes: &[u8]) -> Result<(), ArchiveError> {
    let (path, target) = (dir.join(parity_path(inside)), Target { path: inside.to_owned(), begins: Vec::new() });
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    match Stored::open(fs, &path, &target) {
        Ok(Found::Parity(stored)) if stored.says.digest == digest => Ok(()),
        _ => remove_for_good(fs, &path),
    }
}

/// Removes a parity file, also where a power cut comes next: parity of what a file was would bring that back. One that is
/// not there may have been removed just before the last run was cut off, so the folder is synced all the same.
pub(super) fn remove_for_good(fs: &dyn Fs, path: &Path) -> Result<(), ArchiveError> {
    let is_gone = |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    match fs.remove_file(path) {
        Err(error) if !is_gone(&error) => return Err(io_error("remove", path)(error)),
        _ => {}
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    match fs.sync_dir(folder) {
        Err(error) if !is_gone(&error) => Err(io_error("sync", folder)(error)),
        _ => Ok(()),
    }
}

/// A temporary file for parity, or for a file that is being mended; under its final name it must be synced first.
fn temporary(fs: &dyn Fs, dir: &Path) -> Result<Box<dyn crate::fs::FileWrite>, ArchiveError> {
    let folder = dir.join(PARITY);
    make_folders(fs, dir, Path::new(PARITY))?;
    fs.create_temp(&folder, TEMPORARY).map_err(io_error("make a file in", &folder))
}

/// Gives a file that has been written its name, in place of what had it.
fn publish(fs: &dyn Fs, dir: &Path, mut file: Box<dyn crate::fs::FileWrite>, name: &Path) -> Result<(), ArchiveError> {
    let (target, temporary) = (dir.join(name), file.path().to_owned());
    file.sync().map_err(io_error("sync", &temporary))?;
    let folder = name.parent().unwrap_or(Path::new(""));
    make_folders(fs, dir, folder)?;
    // Dropped unless renamed, and with it the temporary file.
    fs.rename(&temporary, &target).map_err(io_error("rename to", &target))?;
    drop(file.keep());
    let folder = dir.join(folder);
    fs.sync_dir(&folder).map_err(io_error("sync", &folder))
}

/// Makes a folder below the archive, each level durable.
fn make_folders(fs: &dyn Fs, dir: &Path, folder: &Path) -> Result<(), ArchiveError> {
    let mut at = dir.to_owned();
    for level in folder.iter() {
        let above = at.clone();
        at.push(level);
        if fs.lstat(&at).is_err() {
            fs.create_dir_all(&at).map_err(io_error("make", &at))?;
            fs.set_mode(&at, 0o700).map_err(io_error("set the mode of", &at))?;
            fs.sync_dir(&above).map_err(io_error("sync", &above))?;
        }
    }
    Ok(())
}

/// Reads until `out` is full or the file ends; gives how much.
fn fill(file: &dyn FileRead, at: u64, out: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The same; what the file lacks is zeros.
fn fill_or_zero(file: &dyn FileRead, at: u64, out: &mut [u8]) -> io::Result<()> {
    let filled = fill(file, at, out)?;
    if let Some(rest) = out.get_mut(filled..) {
        rest.fill(0);
    }
    Ok(())
}

/// SHA-256 of a file as it lies there.
fn digest_of(fs: &dyn Fs, path: &Path) -> io::Result<[u8; 32]> {
    let file = fs.open(path)?;
    Ok(make::look_through(file.as_ref())?.digest)
}
