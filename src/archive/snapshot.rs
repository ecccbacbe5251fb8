//! Snapshots: one `.tar.gz` a pass, its head first, then a table of contents, then the entries, each in a gzip member
//! of its own.
//!
//! Promises: the head is read without inflating the rest, an entry without inflating the others; damage costs the
//! entry that it lies in. Writing is `snapshot_writer`'s; what the JSON in it means is `format`'s business.
//! Format: format-spec/snapshot.md.

use super::cursor::Cursor;
use super::index::only_padding;
use super::layout::{SnapshotName, format_error, io_error};
use super::notes::Notes;
use super::snapshot_scan::{Scanned, scan};
use super::{Archive, ArchiveError};
use crate::event::Rejection;
use crate::format::FormatError;
use crate::format::archive_header::FORMAT;
use crate::format::segment;
use crate::format::snapshot::{SnapshotHead, parse_lines};
use crate::format::tar_entry;
use crate::fs::{FileRead, read_exact_at};
use crate::limits;
use crate::model::id::SnapshotNo;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) const HEAD: &str = "snapshot.json";
pub(super) const CONTENTS: &str = "contents.jsonl";
/// The head once more, at the other end of the file.
pub(super) const HEAD_AGAIN: &str = "snapshot-again.json";
/// What the pass found different in the site's records.
pub(super) const RECORDS: &str = "provisioning.jsonl";
/// The same once more, behind everything else.
pub(super) const RECORDS_AGAIN: &str = "provisioning-again.jsonl";

/// One line of the table of contents.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct ContentsLine {
    /// Name of the entry.
    #[serde(rename = "n")]
    pub name: String,
    /// Bytes of its gzip member.
    #[serde(rename = "z")]
    pub compressed: u64,
    /// Bytes of its content.
    #[serde(rename = "s")]
    pub size: u64,
}

/// Where an entry lies in the file.
#[derive(Clone, Copy)]
pub(super) struct EntryPlace {
    pub offset: u64,
    pub compressed: u64,
    pub size: u64,
}

struct Opened {
    path: PathBuf,
    file: Box<dyn FileRead>,
    head: SnapshotHead,
    /// Entry names in the order of the file.
    names: Vec<String>,
    places: HashMap<String, EntryPlace>,
    /// Where the last entry ends.
    end: u64,
    /// What is wrong with the head or the table of contents; both were had from the rest of the file then.
    damage: Option<String>,
    notes: Arc<Notes>,
}

/// An open snapshot.
pub struct SnapshotReader {
    opened: Arc<Opened>,
}

/// Snapshots that stay open: whoever reads many accounts opens each snapshot of the chain for every one of them.
#[derive(Default)]
pub(super) struct OpenSnapshots(Mutex<Vec<(SnapshotName, Arc<Opened>)>>);

impl OpenSnapshots {
    fn get(&self, name: SnapshotName) -> Option<Arc<Opened>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().find(|(other, _)| *other == name).map(|(_, opened)| opened.clone())
    }

    /// Keeps one; drops the longest kept while they are too many or their heads too long together.
    fn keep(&self, name: SnapshotName, opened: &Arc<Opened>) {
        let weight = |opened: &Opened| opened.head.accounts.len() + 1;
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.push((name, opened.clone()));
        let mut total: usize = held.iter().map(|(_, opened)| weight(opened)).sum();
        while held.len() > 1 && (total > limits::KEPT_HEAD_ACCOUNTS || held.len() > limits::OPEN_PACKS) {
            total -= weight(&held.remove(0).1);
        }
    }
}

impl SnapshotReader {
    pub fn path(&self) -> &Path {
        &self.opened.path
    }

    pub fn head(&self) -> &SnapshotHead {
        &self.opened.head
    }

    /// What the pass could not take, as the snapshot lists it.
    pub fn rejected(&self) -> Result<Vec<Rejection>, ArchiveError> {
        let mut rejected = Vec::new();
        self.lines("rejected.jsonl", |line| {
            rejected.push(line);
            Ok(())
        })?;
        Ok(rejected)
    }

    /// The bytes of one entry; `None` when the snapshot has none of that name. Costs one read.
    pub fn entry(&self, name: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        let Some(place) = self.opened.places.get(name) else { return Ok(None) };
        let path = &self.opened.path;
        let bad = |what: String| FormatError::Malformed { what: format!("{name}: {what}"), at: place.offset };
        if place.size > limits::SNAPSHOT_ENTRY_BYTES {
            let (what, found, bound) = ("entry of a snapshot", place.size, limits::SNAPSHOT_ENTRY_BYTES);
            return Err(format_error(path)(FormatError::OverBound { what, found, bound }));
        }
        let bytes = usize::try_from(place.compressed).map_err(|e| format_error(path)(bad(e.to_string())))?;
        let member = read_exact_at(self.opened.file.as_ref(), place.offset, bytes).map_err(io_error("read", path))?;
        let mut tar = Vec::new();
        segment::decode(&member, tar_entry::entry_bytes(place.size), &mut tar)
            .map_err(|error| format_error(path)(bad(error.to_string())))?;
        take_entry(tar, name).map(Some).map_err(|error| format_error(path)(bad(error.to_string())))
    }

    /// What is wrong with head or table of contents, where the rest of the file made up for it.
    pub(super) fn damage(&self) -> Option<&str> {
        self.opened.damage.as_deref()
    }

    /// Tells whoever opened the archive.
    pub(super) fn note(&self, text: String) {
        self.opened.notes.add(text);
    }

    /// The file, and where in it an entry lies.
    pub(super) fn place(&self, name: &str) -> Option<(&dyn FileRead, EntryPlace)> {
        let place = self.opened.places.get(name)?;
        Some((self.opened.file.as_ref(), *place))
    }

    /// The names of all entries but the head, the table of contents and second copies, in the order of the file.
    pub fn names(&self) -> &[String] {
        &self.opened.names
    }

    /// Whether the file ends as a tar file does, right after its last entry.
    pub(super) fn ends_well(&self) -> Result<(), ArchiveError> {
        let Opened { path, file, end, .. } = self.opened.as_ref();
        let size = file.stat().map_err(io_error("look at", path))?.size;
        let mut cursor = Cursor::new(file.as_ref(), *end, size);
        let tail = read_member(&mut cursor, tar_entry::END.len() as u64).map_err(format_error(path))?;
        if tail != tar_entry::END || !only_padding(cursor) {
            let what = "something else than the end of a tar file".to_owned();
            return Err(format_error(path)(FormatError::Malformed { what, at: *end }));
        }
        Ok(())
    }
}

impl Archive {
    /// All heads, oldest first.
    pub fn snapshot_heads(&self) -> Result<Vec<SnapshotHead>, ArchiveError> {
        self.standing_names()?.into_iter().map(|name| self.read_named_head(name)).collect()
    }

    pub(super) fn read_named_head(&self, name: SnapshotName) -> Result<SnapshotHead, ArchiveError> {
        self.prove(name)?;
        let path = self.dir.join(name.path());
        let file = self.fs.open(&path).map_err(io_error("open", &path))?;
        let mut cursor = whole(file.as_ref(), &path)?;
        match read_head(&mut cursor, name) {
            Err(error) if error.is_damage() => {
                let scanned = scan(file.as_ref(), cursor.end());
                head_again(file.as_ref(), &scanned, name).ok_or(error).map_err(format_error(&path))
            }
            outcome => outcome.map_err(format_error(&path)),
        }
    }

    pub fn open_snapshot(&self, no: SnapshotNo) -> Result<SnapshotReader, ArchiveError> {
        let names = self.standing_names()?;
        let name = names.into_iter().find(|name| name.no == no).ok_or(ArchiveError::NoSnapshot(no))?;
        self.open_named_snapshot(name)
    }

    pub(super) fn open_named_snapshot(&self, name: SnapshotName) -> Result<SnapshotReader, ArchiveError> {
        if let Some(opened) = self.open_snapshots.get(name) {
            return Ok(SnapshotReader { opened });
        }
        self.prove(name)?;
        let path = self.dir.join(name.path());
        let file = self.fs.open(&path).map_err(io_error("open", &path))?;
        let mut cursor = whole(file.as_ref(), &path)?;
        let (head, (names, places, end), damage) = match read_head(&mut cursor, name) {
            Ok(head) => match read_contents(&mut cursor) {
                Ok(contents) => (head, contents, None),
                Err(error) if error.is_damage() => {
                    (head, scan(file.as_ref(), cursor.end()).contents(), Some(made_up_for(&error)))
                }
                Err(error) => return Err(format_error(&path)(error)),
            },
            Err(error) if error.is_damage() => {
                let scanned = scan(file.as_ref(), cursor.end());
                let what = made_up_for(&error);
                let head = head_again(file.as_ref(), &scanned, name).ok_or(error).map_err(format_error(&path))?;
                (head, scanned.contents(), Some(what))
            }
            Err(error) => return Err(format_error(&path)(error)),
        };
        let notes = self.notes.clone();
        let opened = Arc::new(Opened { path, file, head, names, places, end, damage, notes });
        self.open_snapshots.keep(name, &opened);
        Ok(SnapshotReader { opened })
    }
}

fn whole<'f>(file: &'f dyn FileRead, path: &Path) -> Result<Cursor<'f>, ArchiveError> {
    Ok(Cursor::new(file, 0, file.stat().map_err(io_error("look at", path))?.size))
}

fn read_head(cursor: &mut Cursor<'_>, name: SnapshotName) -> Result<SnapshotHead, FormatError> {
    read_head_of(cursor, HEAD, name)
}

fn read_head_of(cursor: &mut Cursor<'_>, entry: &str, name: SnapshotName) -> Result<SnapshotHead, FormatError> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let tar = read_member(cursor, limits::SNAPSHOT_HEAD_BYTES)?;
    let json = take_entry(tar, entry)?;
    let malformed = |what: String| FormatError::Malformed { what: format!("{entry}: {what}"), at: 0 };
    // A newer head may look like nothing that is known, so its version is read by itself.
    let version: Version = serde_json::from_slice(&json).map_err(|error| malformed(error.to_string()))?;
    if version.format > FORMAT {
        return Err(FormatError::TooNew { found: version.format, known: FORMAT });
    }
    let head: SnapshotHead = serde_json::from_slice(&json).map_err(|error| malformed(error.to_string()))?;
    if head.no != name.no {
        return Err(malformed(format!("it says that it is snapshot {}", head.no)));
    }
    Ok(head)
}

/// Whether an entry of this name is one of what the pass found, and not one that only holds the file together.
pub(super) fn is_of_manifests(name: &str) -> bool {
    ![HEAD, CONTENTS, HEAD_AGAIN, RECORDS_AGAIN].contains(&name)
}

fn made_up_for(error: &FormatError) -> String {
    format!("{error}; the rest of the file made up for it")
}

impl Scanned {
    /// What was found of a pass.
    fn contents(mut self) -> Contents {
        self.names.retain(|name| is_of_manifests(name));
        (self.names, self.places, self.end)
    }
}

/// The second copy of a head that cannot be read.
fn head_again(file: &dyn FileRead, scanned: &Scanned, name: SnapshotName) -> Option<SnapshotHead> {
    let place = scanned.places.get(HEAD_AGAIN)?;
    let mut cursor = Cursor::new(file, place.offset, place.offset + place.compressed);
    read_head_of(&mut cursor, HEAD_AGAIN, name).ok()
}

type Contents = (Vec<String>, HashMap<String, EntryPlace>, u64);

fn read_contents(cursor: &mut Cursor<'_>) -> Result<Contents, FormatError> {
    let begin = cursor.position();
    let tar = read_member(cursor, limits::SNAPSHOT_CONTENTS_BYTES)?;
    let lines = take_entry(tar, CONTENTS)?;
    let (mut names, mut places, mut offset) = (Vec::new(), HashMap::new(), cursor.position());
    let malformed = |what: String| FormatError::Malformed { what: format!("{CONTENTS}: {what}"), at: begin };
    parse_lines(&lines, |line: ContentsLine| {
        let place = EntryPlace { offset, compressed: line.compressed, size: line.size };
        let end = offset.checked_add(line.compressed).filter(|&end| end <= cursor.end());
        offset = end.ok_or_else(|| malformed("it reaches beyond the end of the file".to_owned()))?;
        if [HEAD, CONTENTS].contains(&line.name.as_str()) || places.insert(line.name.clone(), place).is_some() {
            return Err(malformed(format!("{:?} twice", line.name.chars().take(100).collect::<String>())));
        }
        if is_of_manifests(&line.name) {
            names.push(line.name);
        }
        Ok(())
    })?;
    Ok((names, places, offset))
}

/// Inflates the gzip member under the cursor, if it is no longer than an entry of `limit` bytes.
fn read_member(cursor: &mut Cursor<'_>, limit: u64) -> Result<Vec<u8>, FormatError> {
    let at = cursor.position();
    let bound = tar_entry::entry_bytes(limit);
    let mut tar = Vec::new();
    flate2::bufread::GzDecoder::new(cursor)
        .take(bound + 1)
        .read_to_end(&mut tar)
        .map_err(|error| FormatError::Malformed { what: format!("the gzip member does not inflate ({error})"), at })?;
    if tar.len() as u64 > bound {
        return Err(FormatError::OverBound { what: "entry of a snapshot", found: tar.len() as u64, bound });
    }
    Ok(tar)
}

/// The content of the only entry in `tar`, which must have this name.
fn take_entry(mut tar: Vec<u8>, name: &str) -> Result<Vec<u8>, FormatError> {
    let (found, content) = tar_entry::entry_at(&tar, 0)?;
    let size = content.len();
    if found != name || tar_entry::entry_bytes(size as u64) != tar.len() as u64 {
        let what = format!("{:?} where {name} should be alone", found.chars().take(100).collect::<String>());
        return Err(FormatError::Malformed { what, at: 0 });
    }
    tar.truncate(tar_entry::BLOCK + size);
    tar.drain(..tar_entry::BLOCK);
    Ok(tar)
}
