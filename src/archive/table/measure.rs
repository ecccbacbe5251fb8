//! What finding objects costs in an archive of ten million.
//!
//! `cargo test --release --lib finding_objects -- --ignored --nocapture`; `OBJECTS=300000` for another size. Needs 30 bytes
//! an object three times over in the folder for temporary files (`TMPDIR`).

#![allow(clippy::print_stderr, reason = "a measurement tells what it measured")]

use super::direct::DirectSearch;
use super::known::KnownObjects;
use super::*;
use crate::format::pack_index::{IndexEntry, SegmentRow};
use crate::fs::RealFs;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Objects of a pack of small messages: 32 MiB at 800 bytes each, as site-medium has them.
const PACK_OBJECTS: u64 = 40_000;

fn name(number: u64) -> Prefix {
    let mut prefix = [0; 20];
    prefix.copy_from_slice(&Sha256::digest(number.to_be_bytes())[..20]);
    prefix
}

/// The `at`th of a sequence that jumps about among `all`.
fn scattered(at: u64, all: u64) -> u64 {
    at.wrapping_mul(0x9e37_79b9_7f4a_7c15) % all
}

fn index(pack: PackName, from: u64, to: u64) -> PackIndex {
    let segments = (0..150).map(|at| SegmentRow { offset: at << 18, compressed: 1 << 18, uncompressed: 1 << 20 });
    let entry = |number: u64| IndexEntry { prefix: name(number), segment: (number % 150) as u16, block: 0 };
    PackIndex::new(pack.0, 150 << 18, segments.collect(), (from..to).map(entry).collect())
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Seconds of processor time so far, in steps of a hundredth. Others may use the machine meanwhile, so no other clock
/// counts.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

struct Clock(f64, &'static str, u64);

impl Clock {
    fn start(what: &'static str, times: u64) -> Self {
        Self(processor_seconds(), what, times)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let took = processor_seconds() - self.0;
        let each = took * 1e6 / self.2.max(1) as f64;
        eprintln!("{:48} {took:8.2} s {each:9.2} µs each {:8} KiB resident", self.1, resident_kib());
    }
}

/// The alternative that everybody would think of first.
fn sqlite(dir: &Path, objects: u64, lookups: u64) {
    let mut db = rusqlite::Connection::open(dir.join("alternative.sqlite")).unwrap();
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -8192; \
         CREATE TABLE object (prefix BLOB PRIMARY KEY, pack INTEGER, segment INTEGER, block INTEGER) STRICT, WITHOUT ROWID;",
    )
    .unwrap();
    {
        let _clock = Clock::start("SQLite without rowid: insert pack by pack", objects);
        for from in (0..objects).step_by(PACK_OBJECTS as usize) {
            let mut names: Vec<_> = (from..(from + PACK_OBJECTS).min(objects)).map(name).collect();
            names.sort_unstable();
            let transaction = db.transaction().unwrap();
            for prefix in names {
                let mut insert = transaction.prepare_cached("INSERT INTO object VALUES (?1, 1, 2, 3)").unwrap();
                insert.execute([&prefix[..]]).unwrap();
            }
            transaction.commit().unwrap();
        }
    }
    for (what, base) in [("SQLite without rowid: find what is there", 0), ("SQLite without rowid: miss", objects)] {
        let _clock = Clock::start(what, lookups);
        let mut select = db.prepare("SELECT pack FROM object WHERE prefix = ?1").unwrap();
        let hits =
            (0..lookups).filter(|&at| select.exists([&name(base + scattered(at, objects))[..]]).unwrap()).count();
        assert_eq!(hits as u64, if base == 0 { lookups } else { 0 });
    }
}

#[test]
#[ignore = "a measurement: minutes, and a gigabyte of disk"]
fn finding_objects() {
    let objects: u64 = std::env::var("OBJECTS").map_or(10_000_000, |text| text.parse().unwrap());
    let lookups = 300_000;
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::create(Arc::new(RealFs), &dir.path().join("archive"), "test".parse().unwrap(), 0).unwrap();
    let archive = archive.with_tables_in(dir.path());
    let pack_of = |from: u64| PackName(Sha256::digest(from.to_le_bytes()).into());
    eprintln!("{objects} objects, {PACK_OBJECTS} a pack");

    for from in (0..objects).step_by(PACK_OBJECTS as usize) {
        let pack = pack_of(from);
        let path = archive.dir.join(pack.pack_path());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(path).unwrap().set_len(150 << 18).unwrap();
        archive.write_index(pack, &index(pack, from, (from + PACK_OBJECTS).min(objects))).unwrap();
    }
    {
        let _clock = Clock::start("making the names and nothing else", lookups);
        assert!((0..lookups).all(|at| name(scattered(at, objects)) != [0; 20]));
    }
    let names = archive.packs().unwrap().names;
    let mut direct = DirectSearch::new(names.len());
    for (what, base, count) in
        [("unread indexes: find what is there", 0, 5_000), ("unread indexes: miss", objects, 2_000)]
    {
        let _clock = Clock::start(what, count);
        for at in 0..count {
            let hit = direct.find(&RealFs, &archive.dir, &names, &name(base + scattered(at, objects)));
            assert_eq!(hit.is_some(), base == 0);
        }
    }
    {
        let _clock = Clock::start("unread indexes: find neighbours", lookups);
        assert!((0..lookups).all(|at| direct.find(&RealFs, &archive.dir, &names, &name(at % objects)).is_some()));
    }
    drop(direct);
    let table = {
        let _clock = Clock::start("a reader's table, made of all indexes", objects);
        archive.table_for_reading(&names).unwrap()
    };
    for (what, base) in [("a reader's table: find what is there", 0), ("a reader's table: miss", objects)] {
        let _clock = Clock::start(what, lookups);
        let found = (0..lookups).filter(|&at| table.contains(name(base + scattered(at, objects))).unwrap()).count();
        assert_eq!(found as u64, if base == 0 { lookups } else { 0 });
    }
    drop(table);
    {
        let mut table = ObjectTable::new(&archive);
        let mut spent = 0.0;
        for from in (0..objects).step_by(PACK_OBJECTS as usize) {
            let pack = pack_of(from);
            let index = index(pack, from, (from + PACK_OBJECTS).min(objects));
            let begin = processor_seconds();
            table.push(pack, index, Keep::File).unwrap();
            spent += processor_seconds() - begin;
        }
        eprintln!(
            "a first pass: all packs added, one after the other: {:.2} s, {} KiB resident",
            spent,
            resident_kib()
        );
    }
    for what in ["a writer's table, made of all indexes and kept", "a writer's table, opened again"] {
        let _clock = Clock::start(what, 1);
        let mut known = KnownObjects::default();
        assert!(known.contains(&archive, name(1)).unwrap());
        known.finish(&archive).unwrap();
    }
    let mut known = KnownObjects::default();
    {
        let _clock = Clock::start("a writer's table: miss", lookups);
        assert!((0..lookups).all(|at| !known.contains(&archive, name(objects + at)).unwrap()));
    }
    drop(known);
    sqlite(dir.path(), objects, lookups);
}
