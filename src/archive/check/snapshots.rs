//! The snapshots' part of a check: heads, chains, and every manifest replayed, one account at a time; each object that
//! an item names must be in a pack, and sound.

use super::{Checking, Copy};
use crate::archive::ArchiveError;
use crate::archive::history::manifest_name;
use crate::archive::layout::{SnapshotName, io_error};
use crate::archive::snapshot::{RECORDS, RECORDS_AGAIN, SnapshotReader};
use crate::archive::table::ObjectTable;
use crate::event::{Place, Rejection};
use crate::format::FormatError;
use crate::format::manifest::{AccountState, ItemLine, ManifestLine};
use crate::format::pack_index::prefix;
use crate::format::snapshot::{AccountEntry, ProvisioningLine, SnapshotHead, push_line};
use crate::model::id::{ItemId, RecordId, SnapshotNo};
use sha2::{Digest, Sha256};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Snapshots whose heads could be read, by number.
type Heads = BTreeMap<SnapshotNo, (SnapshotName, SnapshotHead)>;

/// One leaf's chain, oldest first, and whether it reaches back to a first snapshot.
struct Chain {
    numbers: Vec<SnapshotNo>,
    whole: bool,
}

impl Checking<'_> {
    pub fn check_snapshots(&mut self, names: &[SnapshotName], objects: &ObjectTable) -> Result<(), ArchiveError> {
        let mut heads = Heads::new();
        for &name in names {
            if let Some(head) = self.check_file(name)? {
                match heads.entry(head.no) {
                    Entry::Vacant(free) => drop(free.insert((name, head))),
                    Entry::Occupied(_) => {
                        let what = "another snapshot has this number; the archive was written by two at once";
                        self.find(&name.path(), what.to_owned());
                    }
                }
            }
            self.report.snapshots += 1;
            self.advance(0)?;
        }
        // Only links that are followed count, else what lies in a circle would be nobody's chain and never be looked at.
        let is_older = |head: &SnapshotHead, parent: &SnapshotNo| {
            *parent < head.no && heads.get(parent).is_some_and(|(_, older)| older.source == head.source)
        };
        let parents = heads.values().filter_map(|(_, head)| head.parent.filter(|parent| is_older(head, parent)));
        let parents: HashSet<_> = parents.collect();
        let leaves: Vec<_> = heads.keys().copied().filter(|no| !parents.contains(no)).collect();
        let mut seen = HashSet::new();
        let mut missing = HashMap::new();
        for leaf in leaves {
            let chain = self.chain(&heads, leaf, &seen);
            let accounts: BTreeSet<_> = chain
                .numbers
                .iter()
                .filter_map(|no| heads.get(no))
                .flat_map(|(_, head)| head.accounts.iter().map(|account| account.id))
                .collect();
            for account in accounts {
                self.check_account(&heads, &chain, account, &seen, objects, &mut missing)?;
            }
            seen.extend(chain.numbers);
        }
        Ok(())
    }

    /// Checks what can be seen of one snapshot by itself; its head, if it can be read.
    fn check_file(&mut self, name: SnapshotName) -> Result<Option<SnapshotHead>, ArchiveError> {
        let path = name.path();
        let snapshot = match self.archive.open_named_snapshot(name) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                self.find_error(&path, &error);
                return Ok(None);
            }
        };
        let before = self.report.findings.len();
        if let Some(what) = snapshot.damage() {
            self.find(&path, what.to_owned());
        }
        if let Err(error) = snapshot.ends_well() {
            self.find_error(&path, &error);
        }
        let head = snapshot.head().clone();
        let mut announced: HashSet<_> = head.accounts.iter().map(|account| manifest_name(account.id)).collect();
        if announced.len() != head.accounts.len() {
            self.find(&path, "the head names an account twice".to_owned());
        }
        for entry in snapshot.names().to_vec() {
            match entry.as_str() {
                RECORDS => {}
                "rejected.jsonl" => drop(self.check_lines::<Rejection>(&snapshot, name, &entry)),
                _ if entry.starts_with("accounts/") && !announced.remove(&entry) => {
                    self.find(&path, format!("the head does not name {entry}"));
                }
                _ => {}
            }
        }
        self.check_records(&snapshot, name, head.provisioning_lines);
        let mut absent: Vec<_> = announced.into_iter().collect();
        absent.sort();
        for entry in absent {
            self.find(&path, format!("{entry} is missing, though the head names it"));
        }
        if self.read_data && self.report.findings.len() == before && self.digest_differs(&snapshot, name)? {
            self.find(&path, "the snapshot's bytes are not those of its name".to_owned());
        }
        Ok(Some(head))
    }

    /// Parses an entry; how many lines it has, none when it is absent, `None` when there is a finding.
    fn check_lines<T: serde::de::DeserializeOwned>(
        &mut self,
        snapshot: &SnapshotReader,
        name: SnapshotName,
        entry: &str,
    ) -> Option<u64> {
        let mut lines = 0;
        let parsed = snapshot.lines(entry, |_: T| {
            lines += 1;
            Ok(())
        });
        match parsed {
            Ok(_) => Some(lines),
            Err(ArchiveError::Format { source, .. }) => {
                self.find(&name.path(), format!("{entry}: {source}"));
                None
            }
            Err(error) => {
                self.find_error(&name.path(), &error);
                None
            }
        }
    }

    /// Both copies of the site's records. A reader takes the first that inflates.
    fn check_records(&mut self, snapshot: &SnapshotReader, name: SnapshotName, expected: u64) {
        let path = name.path();
        let copies = [RECORDS, RECORDS_AGAIN].map(|entry| (entry, read_records(snapshot, entry)));
        let served = copies.iter().any(|(_, copy)| matches!(copy, Ok(Some(_))));
        for (entry, copy) in &copies {
            match copy {
                Err(what) => {
                    let rest = if served { "; it is there twice, and costs nothing" } else { "" };
                    self.find(&path, format!("{entry}: {what}{rest}"));
                }
                Ok(Some((lines, _))) if *lines != expected => {
                    self.find(&path, format!("{entry} has not the {expected} lines that the head says"));
                }
                _ => {}
            }
        }
        match &copies {
            [(_, Ok(Some((_, first)))), (_, Ok(Some((_, second))))] if first != second => {
                self.find(&path, format!("{RECORDS} and {RECORDS_AGAIN} do not say the same"));
            }
            [(_, Ok(None)), (_, Ok(None))] if expected > 0 => {
                self.find(&path, format!("{RECORDS} has not the {expected} lines that the head says"));
            }
            [(_, Ok(None)), (_, Ok(Some(_)))] => {
                self.find(&path, format!("{RECORDS} is missing; it is there twice, and costs nothing"));
            }
            _ => {}
        }
    }

    fn digest_differs(&self, snapshot: &SnapshotReader, name: SnapshotName) -> Result<bool, ArchiveError> {
        let path = snapshot.path();
        let digest = self.archive.digest_on_disk(path).map_err(io_error("read", path))?;
        Ok(!digest.starts_with(&name.digest))
    }

    /// Follows parents from a leaf; what is wrong with a link is found once.
    fn chain(&mut self, heads: &Heads, leaf: SnapshotNo, seen: &HashSet<SnapshotNo>) -> Chain {
        let (mut numbers, mut whole) = (vec![leaf], true);
        while let Some((name, head)) = numbers.last().and_then(|no| heads.get(no))
            && let Some(parent) = head.parent
        {
            let wrong = match heads.get(&parent) {
                None => Some(format!("its parent, snapshot {parent}, is missing or cannot be read")),
                Some((_, older)) if parent >= head.no || older.source != head.source => {
                    Some(format!("it names {parent} as its parent, which is no older snapshot of its source"))
                }
                Some(_) => None,
            };
            if let Some(what) = wrong {
                if !seen.contains(&head.no) {
                    self.find(&name.path(), what);
                }
                whole = false;
                break;
            }
            numbers.push(parent);
        }
        numbers.reverse();
        Chain { numbers, whole }
    }

    /// Replays one account along a chain. Trouble with a line ends the account, for what follows would build on it.
    fn check_account(
        &mut self,
        heads: &Heads,
        chain: &Chain,
        account: RecordId,
        seen: &HashSet<SnapshotNo>,
        objects: &ObjectTable,
        missing: &mut HashMap<SnapshotNo, usize>,
    ) -> Result<(), ArchiveError> {
        let mut state = AccountState::new(self.archive.scratch());
        let mut known = chain.whole;
        let mut told: HashSet<ItemId> = HashSet::new();
        for no in &chain.numbers {
            let Some((name, head)) = heads.get(no) else { continue };
            let Some(entry) = head.accounts.iter().find(|entry| entry.id == account) else { continue };
            if entry.full {
                (state, known) = (AccountState::new(self.archive.scratch()), true);
            }
            if !known {
                continue; // it builds on a snapshot that is missing, which is a finding already
            }
            let mut costs = Vec::new();
            let mut unanswered = None;
            let outcome = self.replay(*name, entry, &mut state, &mut |state, line| {
                let ItemLine { id, folder, item } = line;
                let short = prefix(&item.object);
                let answer = objects.contains(short).and_then(|held| Ok((!held, self.lost(short, objects)?)));
                let (absent, cause) = answer.unwrap_or_else(|error| {
                    unanswered.get_or_insert(error);
                    (false, None)
                });
                if (absent || cause.is_some()) && !seen.contains(no) && told.insert(*id) {
                    let folder = state.folders.get(folder).map(|f| f.key.to_string()).unwrap_or_default();
                    costs.push((cause, item.object, Place::item(&entry.address, &folder, &item.name)));
                }
            });
            self.archive.check_scratch()?;
            if let Some(error) = unanswered {
                return Err(error);
            }
            for (cause, object, place) in costs {
                // The first item that names a missing object has made it a lost one.
                let cause = cause.map_or_else(|| self.lost(prefix(&object), objects), |cause| Ok(Some(cause)))?;
                let finding = cause.unwrap_or_else(|| {
                    let finding = *missing.entry(*no).or_insert_with(|| {
                        self.find(&name.path(), "it refers to objects that no pack holds".to_owned())
                    });
                    self.lose(prefix(&object), Copy::All, finding);
                    finding
                });
                self.cost(finding, place);
            }
            if let Err(what) = outcome {
                if !seen.contains(no) {
                    let finding = self.find(&name.path(), format!("{}: {what}", manifest_name(account)));
                    self.cost(finding, Place::account(&entry.address));
                }
                return Ok(());
            }
            if self.sink.interrupted() {
                return Err(ArchiveError::Stopped);
            }
        }
        Ok(())
    }

    /// Applies one manifest, showing each item line to `each`; what is wrong with it, in words.
    fn replay(
        &self,
        name: SnapshotName,
        entry: &AccountEntry,
        state: &mut AccountState,
        each: &mut dyn FnMut(&AccountState, &ItemLine),
    ) -> Result<(), String> {
        let snapshot = self.archive.open_named_snapshot(name).map_err(|error| super::chain(&error))?;
        let mut lines = 0;
        let replayed = snapshot.lines(&manifest_name(entry.id), |line: ManifestLine| {
            lines += 1;
            if let ManifestLine::Item(item) = &line {
                each(state, item);
            }
            state.apply(line).map_err(|error| FormatError::BadLine { line: lines, what: error.to_string() })
        });
        match replayed {
            Ok(true) => {}
            Ok(false) => return Err("it is missing".to_owned()),
            Err(ArchiveError::Format { source, .. }) => return Err(source.to_string()),
            Err(error) => return Err(super::chain(&error)),
        }
        let (items, bytes) = state.totals();
        if (lines, items, bytes) != (entry.lines, entry.items, entry.bytes) {
            let said = format!("{} lines, {} items, {} bytes", entry.lines, entry.items, entry.bytes);
            return Err(format!("the head says {said}; it gives {lines} lines, {items} items, {bytes} bytes"));
        }
        Ok(())
    }
}

/// The lines of a copy of the records and a digest of what they say; `None` when it is not there; what is wrong, in words.
fn read_records(snapshot: &SnapshotReader, entry: &str) -> Result<Option<(u64, [u8; 32])>, String> {
    let (mut lines, mut digest, mut text) = (0, Sha256::new(), Vec::new());
    let read = snapshot.lines(entry, |line: ProvisioningLine| {
        lines += 1;
        text.clear();
        push_line(&mut text, &line);
        digest.update(&text);
        Ok(())
    });
    match read {
        Ok(found) => Ok(found.then(|| (lines, digest.finalize().into()))),
        Err(ArchiveError::Format { source, .. }) => Err(source.to_string()),
        Err(error) => Err(super::chain(&error)),
    }
}
