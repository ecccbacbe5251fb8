//! What a power cut leaves of SQLite's files, and what a database says, as text that can be compared.
//!
//! SQLite writes and syncs its files itself, so they are taken as it left them at the moment of the cut. What it was
//! told not to sync may be lost on top: outcomes of deliveries and conflicts in the map (`Map::writing_lazily`), from
//! the end of the write-ahead log on. Such a transaction is known by what it changes; frames:
//! <https://sqlite.org/fileformat2.html#walformat>.

use crate::disk::Dice;
use rusqlite::{Connection, types::ValueRef};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Copies of the databases of some folders at one moment.
pub struct Saved(Vec<(PathBuf, PathBuf)>);

fn databases_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.to_string_lossy().contains(".sqlite")).collect();
    found.sort();
    found
}

impl Saved {
    pub fn take(dirs: &[PathBuf], to: &Path) -> Self {
        let mut saved = Vec::new();
        for (at, dir) in dirs.iter().enumerate() {
            let kept = to.join(at.to_string());
            fs::create_dir_all(&kept).unwrap();
            // The shared memory beside a write-ahead log is never read after a crash.
            for path in databases_in(dir).iter().filter(|path| !path.to_string_lossy().ends_with("-shm")) {
                fs::copy(path, kept.join(path.file_name().unwrap())).unwrap();
            }
            saved.push((dir.clone(), kept));
        }
        Self(saved)
    }

    /// Puts them in the place of what is there now.
    pub fn put_back(self, dice: &mut Dice) {
        for (dir, kept) in self.0.iter().filter(|(dir, _)| dir.is_dir()) {
            databases_in(dir).iter().for_each(|path| fs::remove_file(path).unwrap());
            for path in databases_in(kept) {
                if path.to_string_lossy().contains("map_") && path.to_string_lossy().ends_with("-wal") {
                    lose_outcomes(&path, dice);
                }
                fs::copy(&path, dir.join(path.file_name().unwrap())).unwrap();
            }
        }
    }
}

/// Cuts some of the last transactions that nobody waited for off a write-ahead log.
fn lose_outcomes(log: &Path, dice: &mut Dice) {
    let bytes = fs::read(log).unwrap();
    let ends = transactions(&bytes);
    let mut may_end = vec![bytes.len()];
    for at in (0..ends.len()).rev() {
        let before = if at == 0 { 32 } else { ends[at - 1] };
        if at == 0 || !is_outcome(&state_at(log, &bytes[..before]), &state_at(log, &bytes[..ends[at]])) {
            break;
        }
        may_end.push(before);
    }
    let end = may_end[dice.roll(may_end.len() as u64) as usize];
    fs::write(log, &bytes[..end]).unwrap();
}

/// Where each committed transaction of a log ends, in bytes.
fn transactions(log: &[u8]) -> Vec<usize> {
    let number = |at: usize| log.get(at..at + 4).map_or(0, |four| u32::from_be_bytes(four.try_into().unwrap()));
    let frame = 24 + number(8) as usize;
    let mut ends = Vec::new();
    let mut at = 32;
    // Frames of an earlier round of the log have other salts.
    while frame > 24 && at + frame <= log.len() && log[at + 8..at + 16] == log[16..24] {
        if number(at + 4) != 0 {
            ends.push(at + frame);
        }
        at += frame;
    }
    ends
}

/// Rows of the map with this log.
fn state_at(log: &Path, bytes: &[u8]) -> BTreeSet<String> {
    let dir = tempfile::tempdir_in(log.parent().unwrap()).unwrap();
    let name = log.file_name().unwrap().to_string_lossy();
    fs::copy(log.with_file_name(name.trim_end_matches("-wal")), dir.path().join("map")).unwrap();
    fs::write(dir.path().join("map-wal"), bytes).unwrap();
    rows(&dir.path().join("map"), &[]).into_iter().collect()
}

/// Whether all that has changed is what became of intents, or a conflict that was noted.
fn is_outcome(before: &BTreeSet<String>, after: &BTreeSet<String>) -> bool {
    let gone: Vec<_> = before.difference(after).collect();
    let came: Vec<_> = after.difference(before).collect();
    let came: Vec<_> = came.into_iter().filter(|row| !row.starts_with("conflict ")).collect();
    before != after
        && gone.iter().all(|row| row.starts_with("item ") && row.contains(" state=intent"))
        && came.iter().all(|row| row.starts_with("item ") && !row.contains(" state=intent"))
        && gone.len() == came.len()
}

/// Every row of every table as `table column=value …`, sorted, without the columns `without`, as `table.column`.
pub fn rows(path: &Path, without: &[&str]) -> Vec<String> {
    let db = Connection::open(path).unwrap();
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut tables = db.prepare(names).unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut found = Vec::new();
    for table in tables {
        let mut statement = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut each = statement.query([]).unwrap();
        while let Some(row) = each.next().unwrap() {
            let mut text = table.clone();
            for (at, column) in columns.iter().enumerate() {
                if !without.contains(&format!("{table}.{column}").as_str()) {
                    text += &format!(" {column}={}", shown(row.get_ref(at).unwrap()));
                }
            }
            found.push(text);
        }
    }
    found.sort();
    found
}

fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "-".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// What is in one list and not in the other, in words.
pub fn differing(wanted: &[String], found: &[String]) -> Vec<String> {
    let mut counted: BTreeMap<&String, i32> = BTreeMap::new();
    wanted.iter().for_each(|row| *counted.entry(row).or_default() += 1);
    found.iter().for_each(|row| *counted.entry(row).or_default() -= 1);
    let word = |count: i32| if count > 0 { "missing" } else { "too much" };
    counted.into_iter().filter(|(_, count)| *count != 0).map(|(row, count)| format!("{}: {row}", word(count))).collect()
}
