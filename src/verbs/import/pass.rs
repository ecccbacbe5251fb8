//! One pass of the import: what all its steps share, and what they have to say.

use super::book::{self, Book};
use super::copies::Copies;
use super::ledger::{AccountLedger, Ledger, Tally};
use super::start::Started;
use super::{ImportError, ImportOptions, ImportReport, Note, Skip, Waiting};
use crate::archive::history::History;
use crate::archive::pack_reader::ObjectReader;
use crate::event::{Event, Place, Reason, Rejection, Sink};
use crate::map::{ConflictRow, Map, RecordRow, Rules};
use crate::model::id::{RecordId, SnapshotNo};
use crate::model::mailbox::FolderKind;
use crate::model::provisioning::{Record, RecordKind};
use crate::model::setting::SettingKind;
use crate::site::Target;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub struct Pass<'a> {
    pub started: &'a Started<'a>,
    pub history: &'a History<'a>,
    pub map: &'a Map,
    pub target: &'a dyn Target,
    pub options: &'a ImportOptions,
    pub sink: &'a dyn Sink,
    pub book: Book,
    pub copies: Copies,
    pub snapshot: SnapshotNo,
    /// The map's records as they were when the pass began, with those that the way back knows.
    pub rows: BTreeMap<RecordId, RecordRow>,
    /// The key that each record of the snapshot has, or will have, on the target.
    pub planned: BTreeMap<RecordId, String>,
    chosen: Option<GlobSet>,
    objects: Mutex<Option<Arc<ObjectReader>>>,
    notes: Mutex<Notes>,
    stopped: AtomicBool,
    bytes: AtomicU64,
}

#[derive(Default)]
struct Notes {
    records: BTreeMap<String, Tally>,
    conflicts: BTreeSet<Note>,
    removed: BTreeMap<Place, Removed>,
    rejected: BTreeSet<Rejection>,
    notices: BTreeSet<Note>,
    postponed: BTreeSet<RecordId>,
}

/// What was removed at one place.
#[derive(Default)]
pub struct Removed {
    pub items: u64,
    /// The thing itself: `folder`, `account`.
    pub whole: Option<&'static str>,
}

impl Removed {
    fn note(self, place: Place) -> Note {
        let items = match self.items {
            0 => None,
            1 => Some("1 item".to_owned()),
            more => Some(format!("{more} items")),
        };
        let whole = self.whole.map(|what| format!("the {what} itself"));
        let parts: Vec<_> = items.into_iter().chain(whole).collect();
        Note { place, text: parts.join(", ") }
    }
}

impl<'a> Pass<'a> {
    pub fn new(
        started: &'a Started<'a>,
        target: &'a dyn Target,
        options: &'a ImportOptions,
        sink: &'a dyn Sink,
    ) -> Result<Self, ImportError> {
        let map = &started.map;
        let mut rows: BTreeMap<_, _> = map.records()?.into_iter().map(|row| (row.id, row)).collect();
        super::way_back::seed_records(started, options, &mut rows)?;
        let records = started.provisioning.records.values().map(|stored| (stored.id, &stored.record));
        let keys = book::plan_keys(&options.rename, records, &rows);
        // A target that has seen no earlier snapshot learns former names from the archive; the map, whose names were
        // imported, has the last word.
        let mut former = started.history.keys()?;
        former.extend(map.record_keys()?);
        let book = Book::new(options.rename.clone(), &keys, &rows, &former);
        let planned = keys.into_iter().map(|(id, (_, _, to))| (id, to)).collect();
        Ok(Self {
            started,
            history: &started.history,
            map,
            target,
            options,
            sink,
            book,
            copies: Copies::default(),
            snapshot: started.snapshot(),
            rows,
            planned,
            chosen: globs(&options.accounts)?,
            objects: Mutex::default(),
            notes: Mutex::default(),
            stopped: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
        })
    }

    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asked before anything is made to last that was concluded from an account's items or a folder's listing.
    pub fn check_scratch(&self) -> Result<(), ImportError> {
        Ok(self.started.archive.check_scratch()?)
    }

    /// The archive's objects, opened with the first one that is needed.
    pub fn objects(&self) -> Result<Arc<ObjectReader>, ImportError> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = objects.as_ref() {
            return Ok(reader.clone());
        }
        let reader = Arc::new(self.started.archive.all_objects()?);
        *objects = Some(reader.clone());
        Ok(reader)
    }

    /// Whether `--account` lets this address through.
    pub fn is_chosen(&self, address: &str) -> bool {
        self.chosen.as_ref().is_none_or(|globs| globs.is_match(address))
    }

    /// Whether `--account` lets everything through.
    pub fn takes_all(&self) -> bool {
        self.chosen.is_none()
    }

    /// The rule that keeps a folder of this kind out.
    pub fn skips_folder(&self, kind: FolderKind) -> Option<&'static str> {
        let (skip, rule) = match kind {
            FolderKind::Mail => (Skip::Mail, "--skip mail"),
            FolderKind::Calendars | FolderKind::Tasks => (Skip::Calendars, "--skip calendars"),
            FolderKind::Contacts => (Skip::Contacts, "--skip contacts"),
            FolderKind::Filters => (Skip::Filters, "--skip filters"),
            FolderKind::Files => return None,
        };
        self.options.skip.contains(&skip).then_some(rule)
    }

    /// The rule that keeps a setting of this kind out.
    pub fn skips_setting(&self, kind: SettingKind) -> Option<&'static str> {
        let (skip, rule) = match kind {
            SettingKind::Forwarding | SettingKind::Vacation => (Skip::Filters, "--skip filters"),
            SettingKind::Mountpoint => (Skip::Shares, "--skip shares"),
            SettingKind::Tag | SettingKind::Subscription => (Skip::Mail, "--skip mail"),
            SettingKind::Identity | SettingKind::Signature | SettingKind::Preference | SettingKind::ExternalSource => {
                (Skip::Preferences, "--skip preferences")
            }
        };
        self.options.skip.contains(&skip).then_some(rule)
    }

    /// The options that decide what an account gets.
    pub fn rules(&self) -> Rules {
        let ImportOptions { additive, delete, since, skip, .. } = self.options;
        let skip = skip.iter().map(|kind| kind.word().to_owned()).collect();
        Rules { additive: *additive, delete: *delete, since: *since, skip }
    }

    /// Notes that both sides changed something. The map learns it before it learns the state that hides it from the next
    /// pass, so that a pass that is cut off takes no conflict with it.
    pub fn conflict(&self, place: Place, what: impl Into<String>) {
        let what = what.into();
        let row = ConflictRow { snapshot: self.snapshot, place: place.clone(), what: what.clone() };
        // A map that cannot take it takes nothing after it; whoever writes there next, `report` at the latest, tells
        // the error.
        let _ = self.map.note_conflict(&row);
        self.sink.emit(Event::Conflict { place: place.clone(), what: what.clone() });
        self.notes().conflicts.insert(Note { place, text: what });
    }

    /// Notes what `--delete` removed: items of a folder, a folder itself, or a record.
    pub fn removed(&self, place: Place, note: impl FnOnce(&mut Removed)) {
        note(self.notes().removed.entry(place).or_default());
    }

    pub fn reject(&self, place: Place, reason: Reason) {
        let rejection = Rejection { place, reason };
        self.sink.emit(Event::Rejected(rejection.clone()));
        self.notes().rejected.insert(rejection);
    }

    /// Notes that this pass could not do everything for an account that the source may no longer have.
    pub fn postpone(&self, account: RecordId) {
        self.notes().postponed.insert(account);
    }

    /// Whether something of the account waits for the next pass.
    pub fn is_postponed(&self, account: RecordId) -> bool {
        self.notes().postponed.contains(&account)
    }

    /// Tells something once, however often it is met.
    pub fn notice(&self, place: Place, text: impl Into<String>) {
        let note = Note { place, text: text.into() };
        if self.notes().notices.insert(note.clone()) {
            self.sink.emit(Event::Notice { place: note.place, text: note.text });
        }
    }

    /// Adds to the count of a kind of records.
    pub fn count_record(&self, kind: RecordKind, count: impl FnOnce(&mut Tally)) {
        count(self.notes().records.entry(kind.word().to_owned()).or_default());
    }

    pub fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// To be called between batches: the user's wish to stop, or another thread's failure, ends the work here.
    pub fn go_on(&self) -> Result<(), ImportError> {
        if self.stopped.load(Ordering::Relaxed) || self.sink.interrupted() {
            return Err(ImportError::Interrupted);
        }
        Ok(())
    }

    /// Makes all threads end at their next safe point.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// The report, with the ledger written beside the map.
    pub fn report(&self, accounts: Vec<AccountLedger>) -> Result<ImportReport, ImportError> {
        let notes = std::mem::take(&mut *self.notes());
        let meta = self.map.meta();
        let ids = (meta.source_site.clone(), self.snapshot, meta.target_site.clone());
        let mut ledger = Ledger::new(ids, notes.records, accounts);
        ledger.not_exported = self.history.rejected()?;
        let conflicts: Vec<Note> = notes.conflicts.into_iter().collect();
        let rows: Vec<_> = conflicts
            .iter()
            .map(|note| ConflictRow { snapshot: self.snapshot, place: note.place.clone(), what: note.text.clone() })
            .collect();
        self.map.add_conflicts(&rows)?;
        let report = ImportReport {
            dry_run: self.options.dry_run,
            map: self.map.path().to_owned(),
            ledger_files: self.write_ledger(&ledger)?,
            ledger,
            bytes: self.bytes.load(Ordering::Relaxed),
            uids_lost: self.uids_lost()?,
            conflicts,
            removed: notes.removed.into_iter().map(|(place, removed)| removed.note(place)).collect(),
            rejected: notes.rejected.into_iter().collect(),
            pending: self.waiting()?,
            notices: notes.notices.into_iter().collect(),
            planned: None,
        };
        Ok(report)
    }

    fn write_ledger(&self, ledger: &Ledger) -> Result<Vec<std::path::PathBuf>, ImportError> {
        if self.options.dry_run {
            return Ok(Vec::new());
        }
        let stem = format!("ledger_{}_{:08}", ledger.source_site, self.snapshot.0);
        type Write<'w> = &'w mut dyn FnMut(&mut dyn io::Write) -> io::Result<()>;
        let files: [(String, Write<'_>); 2] = [
            (format!("{stem}.txt"), &mut |out| write!(out, "{ledger}")),
            (format!("{stem}.json"), &mut |out| {
                serde_json::to_writer_pretty(&mut *out, ledger)?;
                out.write_all(b"\n")
            }),
        ];
        let mut written = Vec::new();
        for (name, write) in files {
            let path = self.started.state_dir.join(name);
            let io = |source| ImportError::Io { action: "write", path: path.clone(), source };
            self.options.fs.replace_with(&path, 0o600, write).map_err(io)?;
            written.push(path);
        }
        Ok(written)
    }

    /// What the source calls a record.
    pub fn address_of(&self, id: RecordId) -> String {
        let record = self.started.provisioning.records.get(&id).map(|stored| &stored.record);
        let known = || self.rows.get(&id).map(|row| row.source_key.clone());
        record.map(Record::key).map(str::to_owned).or_else(known).unwrap_or_else(|| id.to_string())
    }

    fn uids_lost(&self) -> Result<Vec<Note>, ImportError> {
        let lost = self.map.folders_without_uids()?.into_iter();
        Ok(lost
            .map(|row| Note {
                place: Place::folder(&self.address_of(row.record), &row.source_key),
                text: row.uids_lost.unwrap_or_default(),
            })
            .collect())
    }

    fn waiting(&self) -> Result<Vec<Waiting>, ImportError> {
        let pending = self.map.pending()?.into_iter();
        Ok(pending
            .map(|row| Waiting {
                account: self.address_of(row.record),
                link: row.link,
                place: row.place,
                refers: row.refers,
                cause: row.cause,
            })
            .collect())
    }
}

/// `None` where there is no pattern at all.
fn globs(patterns: &[String]) -> Result<Option<GlobSet>, ImportError> {
    let bad = |glob: &str, source| ImportError::BadGlob { glob: glob.to_owned(), source };
    let mut set = GlobSetBuilder::new();
    for glob in patterns {
        set.add(GlobBuilder::new(glob).build().map_err(|source| bad(glob, source))?);
    }
    let set = set.build().map_err(|source| bad("", source))?;
    Ok(Some(set).filter(|set| !set.is_empty()))
}
