//! Where the files of an archive lie, what they are called, and how one gets its name.
//!
//! Promises: a name that is not of the archive is never taken for one that is; a file that has its name is complete and
//! durable. Format: format-spec/archive.md.

use super::beside::{self, Beside, HEADER_AGAIN, KEY_AGAIN};
use super::{Archive, ArchiveError, Recipients, SealError, seal, signature};
use crate::format::FormatError;
use crate::format::archive_header::{ArchiveHeader, ENCRYPTED_FORMAT, Encryption, FORMAT};
use crate::fs::{DirEntry, FileKind, FileWrite, Fs};
use crate::model::hex;
use crate::model::id::{SiteId, SnapshotNo};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Beginning of the name of every file that is being written. Readers pass over them.
pub(super) const TEMPORARY: &str = ".tmp-";

/// The identity of an archive that was made with a passphrase, encrypted with it.
pub(super) const KEY: &str = "key.age";

pub(super) const HEADER: &str = "wagon.json";
pub(super) const PACKS: &str = "packs";
pub(super) const INDEXES: &str = "index";
pub(super) const SNAPSHOTS: &str = "snapshots";
const PACK_SUFFIX: &str = ".tar.gz";
const INDEX_SUFFIX: &str = ".idx";

/// Names a pack: the SHA-256 of the file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct PackName(pub [u8; 32]);

impl fmt::Display for PackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl PackName {
    /// Its path below the archive.
    pub fn pack_path(&self) -> PathBuf {
        self.path(PACKS, PACK_SUFFIX)
    }

    /// The path of its index below the archive.
    pub fn index_path(&self) -> PathBuf {
        self.path(INDEXES, INDEX_SUFFIX)
    }

    /// The pack that lies at this path below an archive, encrypted or not; `None` for any other path.
    pub fn of_pack(path: &Path) -> Option<Self> {
        Self::of(path, PACKS, PACK_SUFFIX)
    }

    /// The pack whose index lies at this path.
    pub fn of_index(path: &Path) -> Option<Self> {
        Self::of(path, INDEXES, INDEX_SUFFIX)
    }

    fn of(path: &Path, folder: &str, suffix: &str) -> Option<Self> {
        let mut levels = path.iter().map(|level| level.to_str().unwrap_or_default());
        let (Some(first), Some(shelf), Some(name), None) = (levels.next(), levels.next(), levels.next(), levels.next())
        else {
            return None;
        };
        let digits = name.strip_suffix(seal::SUFFIX).unwrap_or(name).strip_suffix(suffix)?;
        (first == folder && shelf.len() == 2 && digits.starts_with(shelf)).then_some(())?;
        hex::decode_lower(digits).map(Self)
    }

    fn path(&self, folder: &str, suffix: &str) -> PathBuf {
        let name = self.to_string();
        let shelf = name.get(..2).unwrap_or_default().to_owned();
        [folder, &shelf, &format!("{name}{suffix}")].iter().collect()
    }
}

/// Names a snapshot's file: its number and the first 8 bytes of the file's SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct SnapshotName {
    pub no: SnapshotNo,
    pub digest: [u8; 8],
}

impl SnapshotName {
    /// The name that `text` spells; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        let (no, digest) = text.strip_suffix(PACK_SUFFIX)?.split_once('-')?;
        if no.len() != 8 || !no.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Self { no: SnapshotNo(no.parse().ok().filter(|&no| no > 0)?), digest: hex::decode_lower(digest)? })
    }

    /// Its path below the archive.
    pub fn path(&self) -> PathBuf {
        Path::new(SNAPSHOTS).join(self.to_string())
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}-{}{PACK_SUFFIX}", self.no.0, hex::encode(&self.digest))
    }
}

/// The error for an operation on a path of an archive.
pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
    let path = path.to_owned();
    move |source| match source.downcast::<SealError>() {
        // Only encrypted files give such an error, and are asked for by the name that they would have otherwise.
        Ok(source) => ArchiveError::Sealed { path: seal::with_suffix(&path), source },
        Err(source) => ArchiveError::Io { action, path, source },
    }
}

/// The error for bytes in a file that do not follow the format.
pub(super) fn format_error(path: &Path) -> impl FnOnce(FormatError) -> ArchiveError {
    let path = path.to_owned();
    move |source| ArchiveError::Format { path, source }
}

/// What lies in one of an archive's three folders.
#[derive(Debug)]
pub(super) struct Listing<N> {
    /// Sorted.
    pub names: Vec<N>,
    /// Paths of what has no business there; temporary and hidden files are not counted.
    pub strange: Vec<PathBuf>,
}

impl Archive {
    /// Makes an empty archive in `dir`, which must not exist or be empty.
    pub fn create(fs: Arc<dyn Fs>, dir: &Path, id: SiteId, created: i64) -> Result<Self, ArchiveError> {
        Self::create_with(
            fs,
            dir,
            ArchiveHeader { archive: "wagon".to_owned(), format: FORMAT, id, created, encryption: None, sha256: None },
            None,
        )
    }

    /// Makes such an archive whose files are encrypted for `recipients`, and with `locked`, the identity of one of them
    /// under a passphrase, in it.
    pub fn create_encrypted(
        fs: Arc<dyn Fs>,
        dir: &Path,
        id: SiteId,
        created: i64,
        recipients: &Recipients,
        locked: Option<&[u8]>,
    ) -> Result<Self, ArchiveError> {
        let key_sha256 = locked.map(|locked| hex::encode(&Sha256::digest(locked)));
        let encryption = Some(Encryption { method: "age".to_owned(), recipients: recipients.texts(), key_sha256 });
        let format = ENCRYPTED_FORMAT;
        let header = ArchiveHeader { archive: "wagon".to_owned(), format, id, created, encryption, sha256: None };
        Self::create_with(fs, dir, header, locked)
    }

    fn create_with(
        fs: Arc<dyn Fs>,
        dir: &Path,
        header: ArchiveHeader,
        locked: Option<&[u8]>,
    ) -> Result<Self, ArchiveError> {
        match fs.list(dir) {
            // An attempt that was cut off left these, and nothing in them; the header comes last.
            Ok(found) if found.iter().all(is_our_beginning) => {}
            Ok(_) => {
                return Err(io_error("make an archive in", dir)(io::ErrorKind::DirectoryNotEmpty.into()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let is_new = |path: &&Path| fs.lstat(path).is_err();
                let missing: Vec<_> = dir.ancestors().take_while(is_new).collect();
                fs.create_dir_all(dir).map_err(io_error("make", dir))?;
                // Or a power loss takes the whole archive, however well its files are synced.
                for above in missing.iter().filter_map(|path| path.parent()) {
                    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
                    fs.sync_dir(above).map_err(io_error("sync", above))?;
                }
                // What an archive holds was private where it came from.
                fs.set_mode(dir, 0o700).map_err(io_error("set the mode of", dir))?;
            }
            Err(error) => return Err(io_error("list", dir)(error)),
        }
        for name in [PACKS, INDEXES, SNAPSHOTS] {
            let folder = dir.join(name);
            fs.create_dir_all(&folder).map_err(io_error("make", &folder))?;
            fs.set_mode(&folder, 0o700).map_err(io_error("set the mode of", &folder))?;
        }
        if let Some(locked) = locked {
            Self::keep_locked_identity(fs.as_ref(), dir, locked)?;
        }
        // What makes the folder an archive comes last.
        for name in [HEADER_AGAIN, HEADER] {
            let path = dir.join(name);
            fs.replace(&path, &header.encode(), 0o600).map_err(io_error("write", &path))?;
        }
        Self::new(fs, dir, Beside { header, worn: Vec::new() })
    }

    /// Opens an archive for reading; refuses any other folder, and a newer format.
    pub fn open(fs: Arc<dyn Fs>, dir: &Path) -> Result<Self, ArchiveError> {
        let beside = beside::look(fs.as_ref(), dir)?;
        let archive = Self::new(fs, dir, beside)?;
        archive.share()?;
        Ok(archive)
    }

    /// All packs, whether they have an index or not.
    pub(super) fn packs(&self) -> Result<Listing<PackName>, ArchiveError> {
        self.shelves(PACKS, PACK_SUFFIX)
    }

    /// All indexes, whether there is a pack or not.
    pub(super) fn indexes(&self) -> Result<Listing<PackName>, ArchiveError> {
        self.shelves(INDEXES, INDEX_SUFFIX)
    }

    /// All snapshots by the names of their files, oldest first.
    pub(super) fn snapshot_names(&self) -> Result<Listing<SnapshotName>, ArchiveError> {
        let dir = self.dir.join(SNAPSHOTS);
        let mut listing = Listing { names: Vec::new(), strange: Vec::new() };
        for entry in list(self.fs.as_ref(), &dir)? {
            match entry.name.to_str().and_then(SnapshotName::parse).filter(|_| entry.kind == FileKind::File) {
                Some(name) => listing.names.push(name),
                None if entry.name.as_encoded_bytes().ends_with(signature::SUFFIX.as_bytes()) => {}
                None => listing.strange.push(dir.join(&entry.name)),
            }
        }
        listing.names.sort_unstable();
        listing.strange.sort_unstable();
        Ok(listing)
    }

    fn shelves(&self, folder: &str, suffix: &str) -> Result<Listing<PackName>, ArchiveError> {
        let dir = self.dir.join(folder);
        let mut listing = Listing { names: Vec::new(), strange: Vec::new() };
        for shelf in list(self.fs.as_ref(), &dir)? {
            let path = dir.join(&shelf.name);
            let Some(digits) = shelf.name.to_str().filter(|_| shelf.kind == FileKind::Dir) else {
                listing.strange.push(path);
                continue;
            };
            for entry in list(self.fs.as_ref(), &path)? {
                let name = entry
                    .name
                    .to_str()
                    .filter(|name| entry.kind == FileKind::File && name.starts_with(digits))
                    .and_then(|name| hex::decode_lower(name.strip_suffix(suffix)?));
                match name.filter(|_| digits.len() == 2) {
                    Some(name) => listing.names.push(PackName(name)),
                    None => listing.strange.push(path.join(&entry.name)),
                }
            }
        }
        listing.names.sort_unstable();
        listing.strange.sort_unstable();
        Ok(listing)
    }

    /// A new temporary file in one of the archive's folders, which is made if a copy was taken without it.
    pub(super) fn temporary(&self, folder: &str) -> Result<Box<dyn FileWrite>, ArchiveError> {
        let dir = self.dir.join(folder);
        let made = match self.fs.create_temp(&dir, TEMPORARY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_folder(&dir)?;
                self.fs.create_temp(&dir, TEMPORARY)
            }
            outcome => outcome,
        };
        made.map_err(io_error("make a file in", &dir))
    }

    fn make_folder(&self, dir: &Path) -> Result<(), ArchiveError> {
        self.fs.create_dir_all(dir).map_err(io_error("make", dir))?;
        self.fs.set_mode(dir, 0o700).map_err(io_error("set the mode of", dir))?;
        let above = dir.parent().unwrap_or(&self.dir);
        self.fs.sync_dir(above).map_err(io_error("sync", above))
    }

    /// Gives a file that has been written its name: synced, renamed, its folder synced. What had the name before had
    /// the same content (or is a derived file that was damaged), and is replaced.
    pub(super) fn publish(&self, mut file: Box<dyn FileWrite>, name: &Path) -> Result<(), ArchiveError> {
        let target = self.dir.join(name);
        let dir = target.parent().unwrap_or(&self.dir);
        let temporary = file.path().to_owned();
        file.sync().map_err(io_error("sync", &temporary))?;
        if self.fs.lstat(dir).is_err() {
            self.make_folder(dir)?;
        }
        // Dropped unless renamed, and with it the temporary file.
        let renamed = match self.fs.rename_new(&temporary, &target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.fs.rename(&temporary, &target),
            outcome => outcome,
        };
        renamed.map_err(io_error("rename to", &target))?;
        drop(file.keep());
        self.fs.sync_dir(dir).map_err(io_error("sync", dir))
    }
}

/// A folder's entries without temporary and hidden ones; a folder that is missing is empty.
fn list(fs: &dyn Fs, dir: &Path) -> Result<Vec<DirEntry>, ArchiveError> {
    match fs.list(dir) {
        Ok(mut entries) => {
            entries.retain(|entry| !entry.name.as_encoded_bytes().starts_with(b"."));
            Ok(entries)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io_error("list", dir)(error)),
    }
}

fn is_our_beginning(entry: &DirEntry) -> bool {
    let name = entry.name.as_encoded_bytes();
    name.starts_with(b".wagon-")
        || [KEY, KEY_AGAIN, HEADER_AGAIN].iter().any(|our| our.as_bytes() == name)
        || (entry.kind == FileKind::Dir && [PACKS, INDEXES, SNAPSHOTS].iter().any(|our| our.as_bytes() == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;

    fn site(id: &str) -> SiteId {
        id.parse().unwrap()
    }

    #[test]
    fn an_archive_is_made_once_and_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("a/b");
        let made = Archive::create(Arc::new(RealFs), &at, site("one"), 1_700_000_000).unwrap();
        assert_eq!(made.id().as_str(), "one");
        assert_eq!(Archive::open(Arc::new(RealFs), &at).unwrap().id().as_str(), "one");
        let again = Archive::create(Arc::new(RealFs), &at, site("two"), 0).err().unwrap();
        assert!(again.to_string().starts_with("cannot make an archive in "), "{again}");
        assert_eq!(Archive::open(Arc::new(RealFs), &at).unwrap().id().as_str(), "one");
    }

    #[test]
    fn the_remains_of_a_creation_that_was_cut_off_are_used() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("packs")).unwrap();
        std::fs::write(dir.path().join(".wagon-x1"), "half").unwrap();
        Archive::create(Arc::new(RealFs), dir.path(), site("one"), 0).unwrap();
    }

    #[test]
    fn anything_else_is_no_archive() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Archive::open(Arc::new(RealFs), dir.path()).err().unwrap();
        assert!(matches!(open(), ArchiveError::NotAnArchive(path) if path == dir.path()));
        std::fs::write(dir.path().join("wagon.json"), r#"{"horses": 4}"#).unwrap();
        assert!(matches!(open(), ArchiveError::Format { source: FormatError::Malformed { .. }, .. }));
        std::fs::write(dir.path().join("wagon.json"), r#"{"archive": "wagon", "format": 99, "new": true}"#).unwrap();
        assert!(matches!(open(), ArchiveError::Format { source: FormatError::TooNew { found: 99, known: 2 }, .. }));
        std::fs::write(dir.path().join("wagon.json"), vec![b' '; 100_000]).unwrap();
        assert!(matches!(open(), ArchiveError::Io { action: "read", .. }));
    }

    #[test]
    fn only_names_of_the_archive_are_taken_for_such() {
        let name = SnapshotName::parse("00000042-0123456789abcdef.tar.gz").unwrap();
        assert_eq!((name.no, name.to_string().as_str()), (SnapshotNo(42), "00000042-0123456789abcdef.tar.gz"));
        for other in
            ["42-0123456789abcdef.tar.gz", "00000000-0123456789abcdef.tar.gz", "+0000042-0123456789abcdef.tar.gz"]
        {
            assert_eq!(SnapshotName::parse(other), None, "{other}");
        }
    }
}
