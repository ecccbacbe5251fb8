//! The journal of a fix: what was there before, written before anything is changed.
//!
//! One JSON file for each fix, `shares_undo_<time>.json` in the target's state folder. Format:
//! format-spec/shares-undo.md.

use super::SharesError;
use super::fix::{Change, Step};
use crate::fs::Fs;
use crate::limits;
use crate::model::id::SiteId;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The version of the format that is written, and the newest that is read.
const FORMAT: u32 = 1;

const PREFIX: &str = "shares_undo_";
const SUFFIX: &str = ".json";

/// One fix.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Journal {
    pub format: u32,
    /// The id of the target, where it keeps one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<SiteId>,
    /// Where the target was.
    pub site: String,
    /// Version of the wagon that made the fix.
    pub wagon: String,
    /// Seconds since 1970.
    pub made: i64,
    /// When it was undone, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<i64>,
    pub steps: Vec<Step>,
}

impl Journal {
    pub(super) fn new(target: Option<SiteId>, site: String, made: i64, steps: Vec<Step>) -> Self {
        let wagon = env!("CARGO_PKG_VERSION").to_owned();
        Self { format: FORMAT, target, site, wagon, made, undone: None, steps }
    }
}

/// Writes a new journal and gives its path: complete and durable, or not there.
pub(super) fn write_journal(fs: &dyn Fs, dir: &Path, journal: &Journal) -> Result<PathBuf, SharesError> {
    let bytes = encode(journal)?;
    fs.create_dir_all(dir).map_err(|source| SharesError::Io { action: "create", path: dir.to_owned(), source })?;
    let time = time_name(journal.made);
    // Two fixes in one second: the second gets a number, which sorts after the first's name.
    let names = (1..=limits::JOURNALS_A_SECOND).map(|no| match no {
        1 => format!("{PREFIX}{time}{SUFFIX}"),
        no => format!("{PREFIX}{time}_{no}{SUFFIX}"),
    });
    for name in names {
        let path = dir.join(name);
        match publish_new(fs, dir, &path, &bytes) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => return Err(SharesError::Io { action: "write", path, source }),
        }
    }
    let path = dir.join(format!("{PREFIX}{time}{SUFFIX}"));
    Err(SharesError::Io { action: "write", path, source: io::Error::from(ErrorKind::AlreadyExists) })
}

/// Replaces a journal, to say that its fix was undone.
pub(super) fn rewrite_journal(fs: &dyn Fs, path: &Path, journal: &Journal) -> Result<(), SharesError> {
    let bytes = encode(journal)?;
    fs.replace(path, &bytes, 0o600).map_err(|source| SharesError::Io { action: "write", path: path.to_owned(), source })
}

fn publish_new(fs: &dyn Fs, dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs.create_temp(dir, ".wagon-")?;
    file.write_all(bytes)?;
    file.sync()?;
    let temporary = file.keep();
    fs.rename_new(&temporary, path).inspect_err(|_| drop(fs.remove_file(&temporary)))?;
    fs.sync_dir(dir)
}

/// Reads a journal. It comes from a disk that others may write: bounded, of a known version, and nothing in it can set
/// more than grants and mountpoints.
pub fn read_journal(fs: &dyn Fs, path: &Path) -> Result<Journal, SharesError> {
    let bytes = fs.read(path, limits::JOURNAL_BYTES).map_err(|source| SharesError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let bad = |what: String| SharesError::BadJournal { path: path.to_owned(), what };
    // The version first: a newer journal may have fields and kinds of changes that do not parse.
    let Version { format } = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    if format > FORMAT {
        return Err(bad(format!("its format {format} is newer than {FORMAT}, the newest this wagon reads")));
    }
    let journal: Journal = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    if let Some(step) = journal.steps.iter().find(|step| !at_its_place(step)) {
        return Err(bad(format!("a step for {} sets another mountpoint than it names", step.account)));
    }
    Ok(journal)
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// A step sets a mountpoint at the place that it names, and at no other.
fn at_its_place(step: &Step) -> bool {
    match &step.change {
        Change::Grants { .. } => true,
        Change::Mountpoint { at, before, after } => [before, after].into_iter().flatten().all(|end| end.at == *at),
    }
}

/// The newest journal of a fix that is not undone.
pub fn latest_journal(fs: &dyn Fs, dir: &Path) -> Result<PathBuf, SharesError> {
    let listed = match fs.list(dir) {
        Ok(listed) => listed,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(SharesError::Io { action: "list", path: dir.to_owned(), source }),
    };
    let mut journals = Vec::new();
    for entry in listed {
        let Some(name) = entry.name.to_str() else { continue };
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            let path = dir.join(name);
            let journal = read_journal(fs, &path)?;
            if journal.undone.is_none() {
                journals.push((journal.made, path));
            }
        }
    }
    let newest = journals.into_iter().max_by(|one, other| order(one).cmp(&order(other)));
    newest.map(|(_, path)| path).ok_or_else(|| SharesError::NothingToUndo(dir.to_owned()))
}

/// By time; in one second by number, of which a longer name has the greater.
fn order((made, path): &(i64, PathBuf)) -> (i64, usize, &Path) {
    (*made, path.as_os_str().len(), path)
}

fn encode(journal: &Journal) -> Result<Vec<u8>, SharesError> {
    let mut bytes = serde_json::to_vec_pretty(journal)
        .map_err(|error| SharesError::BadJournal { path: PathBuf::new(), what: error.to_string() })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// `20261122T101530Z`; plain seconds for a time that no calendar has.
fn time_name(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.strftime("%Y%m%dT%H%M%SZ").to_string(),
        Err(_) => seconds.to_string(),
    }
}
