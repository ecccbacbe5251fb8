//! Checks an archive: files, indexes, snapshots, and with `read_data` every byte of every object.
//!
//! Promises: it fails only if it cannot look at all; whatever is wrong becomes a [`Finding`] that says which file, which
//! objects, and which items of which accounts that costs. Writes nothing. One account's mailbox is held at a time.
//! What the files should be: format-spec/.

mod closed;
mod joining;
mod packs;
mod sample;
mod snapshots;

use super::parity::Protection;
use super::seal::with_suffix;
use super::table::ObjectTable;
use super::{Archive, ArchiveError};
use crate::event::{Event, Phase, Place, Sink};
use crate::format::pack_index::Prefix;
use crate::limits::FINDING_NAMES;
use crate::model::hex;
use serde::Serialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// How much of the data a check reads.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Reading {
    /// What the files say of themselves and of one another.
    #[default]
    Nothing,
    /// Every byte.
    Everything,
    /// The packs of one of `of` groups, the `number`th from 1: checks of all groups read everything.
    Group { number: u32, of: u32 },
    /// So many hundredths of the packs, others each time, one at least.
    Percent(f64),
    /// So many objects, others each time, each read as an import would.
    Sample(u64),
}

/// What a check saw and found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct CheckReport {
    /// Whether every byte was read.
    pub read_data: bool,
    /// The archive is encrypted and no key was given: its files were compared with their names, not looked into.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unopened: bool,
    /// Packs that were read whole, and objects that were read one by one.
    pub packs_read: u64,
    pub objects_read: u64,
    pub snapshots: u64,
    pub packs: u64,
    /// Objects that the indexes list.
    pub objects: u64,
    /// What is protected by parity; absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protection: Option<Protection>,
    /// Empty: the archive is sound, as far as was looked.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong, and what it costs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Finding {
    /// The file, below the archive.
    pub path: PathBuf,
    /// What is wrong with it, for people.
    pub what: String,
    /// Objects that cannot be read any more because of it.
    pub lost: u64,
    /// The first of them ([`FINDING_NAMES`] at most), by the first 40 digits of their names.
    pub lost_objects: Vec<String>,
    /// Items of all snapshots that cannot be restored because of it; an item counts once, however many snapshots hold it.
    pub items: u64,
    /// The first of them ([`FINDING_NAMES`] at most).
    pub places: Vec<Place>,
}

/// Checks structure and references, and with `read_data` inflates, joins and hashes everything.
pub fn check(archive: &Archive, read_data: bool, sink: &dyn Sink) -> Result<CheckReport, ArchiveError> {
    check_part(archive, if read_data { Reading::Everything } else { Reading::Nothing }, sink)
}

/// Checks structure and references, and reads as much data as is asked for.
pub fn check_part(archive: &Archive, reading: Reading, sink: &dyn Sink) -> Result<CheckReport, ArchiveError> {
    let read_data = reading == Reading::Everything;
    let (report, damaged) = (CheckReport { read_data, ..CheckReport::default() }, HashMap::new());
    let mut checking = Checking { archive, read_data, reading, sink, report, damaged };
    let names = archive.packs()?;
    let mut snapshots = archive.snapshot_names()?;
    // What a forget that was killed left beside its successor is nobody's loss; the next one removes it.
    let replaced = archive.replaced_among(&snapshots.names);
    snapshots.names.retain(|name| !replaced.contains(name));
    let total = names.names.len() + snapshots.names.len();
    sink.emit(Event::PhaseStarted { phase: Phase::Check, total: Some(total as u64) });
    for path in names.strange.iter().chain(&snapshots.strange) {
        checking.find(path, "no file of an archive".to_owned());
    }
    for worn in archive.worn() {
        let (path, what) = (PathBuf::from(worn.name), worn.what.clone());
        checking.report.findings.push(Finding { path, what, ..Finding::default() });
    }
    if archive.is_encrypted() && !archive.has_identities() {
        checking.check_closed(&names.names, &snapshots.names)?;
        checking.check_parity()?;
        sink.emit(Event::PhaseFinished { phase: Phase::Check });
        return Ok(checking.report);
    }
    let objects = checking.check_packs(names.names)?;
    checking.check_snapshots(&snapshots.names, &objects)?;
    checking.check_parity()?;
    sink.emit(Event::PhaseFinished { phase: Phase::Check });
    Ok(checking.report)
}

/// A check under way.
struct Checking<'a> {
    archive: &'a Archive,
    read_data: bool,
    reading: Reading,
    sink: &'a dyn Sink,
    report: CheckReport,
    /// Copies of objects that cannot be read, by name and number of the pack; the finding that says why.
    damaged: HashMap<Prefix, Vec<(Copy, usize)>>,
}

/// Which copy of an object: that in this pack of the table, or whatever copy there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Copy {
    In(usize),
    All,
}

impl Checking<'_> {
    /// Adds a finding; gives its number.
    fn find(&mut self, path: &Path, what: String) -> usize {
        let path = path.strip_prefix(self.archive.dir()).unwrap_or(path).to_owned();
        let path = if self.archive.is_encrypted() { with_suffix(&path) } else { path };
        self.report.findings.push(Finding { path, what, ..Finding::default() });
        self.report.findings.len() - 1
    }

    /// Adds a finding for an error, with all its causes.
    fn find_error(&mut self, path: &Path, error: &dyn std::error::Error) -> usize {
        self.find(path, chain(error))
    }

    /// Notes that a copy of an object is lost because of a finding.
    fn lose(&mut self, prefix: Prefix, copy: Copy, finding: usize) {
        self.damaged.entry(prefix).or_default().push((copy, finding));
        if let Some(finding) = self.report.findings.get_mut(finding) {
            finding.lost += 1;
            if finding.lost_objects.len() < FINDING_NAMES {
                finding.lost_objects.push(hex::encode(&prefix));
            }
        }
    }

    /// The finding to which the loss of an object is due; `None` when a copy is sound.
    fn lost(&self, prefix: Prefix, objects: &ObjectTable) -> Result<Option<usize>, ArchiveError> {
        let Some(damaged) = self.damaged.get(&prefix) else { return Ok(None) };
        let Some((_, finding)) = damaged.first() else { return Ok(None) };
        let lost = |copy: Copy| damaged.iter().any(|(other, _)| *other == copy || *other == Copy::All);
        Ok(objects.find(prefix)?.into_iter().all(|at| lost(Copy::In(at.pack))).then_some(*finding))
    }

    /// Notes an item that a finding costs.
    fn cost(&mut self, finding: usize, place: Place) {
        if let Some(finding) = self.report.findings.get_mut(finding) {
            finding.items += 1;
            if finding.places.len() < FINDING_NAMES {
                finding.places.push(place);
            }
        }
    }

    /// Parity that is damaged costs nothing yet, but nobody should find that out on the day when it is needed.
    fn check_parity(&mut self) -> Result<(), ArchiveError> {
        let (protection, findings) = self.archive.look_at_parity(self.reading == Reading::Everything, self.sink)?;
        self.report.protection = protection;
        for finding in findings {
            // By the names under which they lie, whatever the archive.
            self.report.findings.push(Finding { path: finding.path, what: finding.what, ..Finding::default() });
        }
        Ok(())
    }

    /// One file done; stops when the user asked for it.
    fn advance(&self, bytes: u64) -> Result<(), ArchiveError> {
        self.sink.emit(Event::Advanced { phase: Phase::Check, items: 1, bytes });
        if self.sink.interrupted() { Err(ArchiveError::Stopped) } else { Ok(()) }
    }
}

/// An error and its causes in one line, without the path that the finding names already.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
