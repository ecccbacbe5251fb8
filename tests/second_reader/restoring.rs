//! What wagon writes, the second reader restores: the very site that wagon's own import makes, and what damage costs.

use crate::python::{golden_key, has_age, has_python, is_encrypted, reader, reads_well, repository, snapshots_of};
use crate::sites::{Message, Names, Place, assert_same, look, skip};
use rusqlite::Connection;
use rusqlite::types::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Every row of `site.sqlite` but the random ids, and what the file says of itself.
fn rows(site: &Path) -> BTreeSet<String> {
    let db = Connection::open(site.join("site.sqlite")).unwrap();
    let names = |sql: &str| -> Vec<String> {
        let mut statement = db.prepare(sql).unwrap();
        let found = statement.query_map([], |row| row.get(0)).unwrap();
        found.collect::<Result<_, _>>().unwrap()
    };
    let mut found = BTreeSet::new();
    for table in names("SELECT name FROM sqlite_schema WHERE type = 'table'") {
        let columns =
            names(&format!("SELECT name || ' ' || type || ' ' || \"notnull\" FROM pragma_table_info('{table}')"));
        found.insert(format!("{table}: {}", columns.join(", ")));
        let mut statement = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let shown: Vec<_> = (0..columns.len()).filter(|at| !columns[*at].starts_with("id ")).collect();
        let row =
            |row: &rusqlite::Row<'_>| shown.iter().map(|at| row.get::<_, Value>(*at)).collect::<Result<Vec<_>, _>>();
        for row in statement.query_map([], row).unwrap() {
            found.insert(format!("{table} {:?}", row.unwrap()));
        }
    }
    for pragma in ["application_id", "user_version", "integrity_check"] {
        let value: Value = db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).unwrap();
        found.insert(format!("{pragma} {value:?}"));
    }
    found
}

/// Restores a snapshot by either program, and compares what both made: messages, files, lines of etc/, tables.
fn both_restore_the_same(place: &Place, archive: &Path, snapshot: u32) -> PathBuf {
    let (ours, theirs) = (format!("wagon-{snapshot}"), format!("python-{snapshot}"));
    let keys = if is_encrypted(archive) { format!(" --identity {}", golden_key().display()) } else { String::new() };
    let archive = archive.display();
    place.wagon(0, &format!("import --archive {archive} --snapshot {snapshot} --to {{}}/{ours}{keys}"));
    reads_well(place, &format!("restore {archive} {snapshot} {{}}/{theirs}"));
    let (ours, theirs) = (place.path(&ours), place.path(&theirs));
    assert_same(&ours, &theirs, Names::Kept, &[]);
    let (wanted, found) = (rows(&ours), rows(&theirs));
    let (missing, more) =
        (wanted.difference(&found).collect::<Vec<_>>(), found.difference(&wanted).collect::<Vec<_>>());
    assert!(missing.is_empty() && more.is_empty(), "site.sqlite lacks {missing:#?}\nand has {more:#?}");
    for file in ["passwd", "virtual_domains", "virtual_mailbox", "acl/shared-mailboxes"] {
        let lines = |site: &Path| -> BTreeSet<String> {
            fs::read_to_string(site.join("etc").join(file)).unwrap().lines().map(str::to_owned).collect()
        };
        assert_eq!(lines(&ours), lines(&theirs), "etc/{file}");
    }
    assert!(!look(&theirs).messages.is_empty());
    theirs
}

#[test]
fn both_readers_restore_the_same_site_from_the_golden_archives() {
    if !has_python() {
        return skip("both readers restore the golden archives", "python3 is missing");
    }
    for entry in fs::read_dir(repository().join("fixtures/archives")).unwrap() {
        let archive = entry.unwrap().path();
        if !archive.is_dir() {
            continue;
        }
        if is_encrypted(&archive) && !has_age() {
            skip("both readers restore an encrypted archive", "the program age is missing");
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let place = Place::at(dir.path());
        let said = reads_well(&place, &format!("check {}", archive.display()));
        assert!(said.contains(" 0 complaints"), "{said}");
        for file in snapshots_of(&archive) {
            let number: u32 = file.file_name().unwrap().to_str().unwrap()[..8].parse().unwrap();
            both_restore_the_same(&place, &archive, number);
        }
    }
}

#[test]
fn both_readers_restore_the_same_site_from_every_snapshot_of_the_demo() {
    if !has_python() {
        return skip("both readers restore the demo", "python3 is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    place.wagon(0, "demo {}/demo");
    let archive = place.path("demo/archive");
    for snapshot in 1..=3 {
        let restored = both_restore_the_same(&place, &archive, snapshot);
        // What Python wrote is a site: wagon reads all of it.
        place.wagon(0, &format!("export --from {} --archive {{}}/again", restored.display()));
    }
    assert_same(&place.path("demo/source"), &place.path("python-3"), Names::MayDiffer, &[]);

    // Forgotten snapshots leave files in place of others; pruning and packing anew leave other packs.
    place.wagon(0, "forget --archive {}/demo/archive 2");
    place.wagon(0, "prune --archive {}/demo/archive --max-unused 0");
    place.wagon(0, "repack --archive {}/demo/archive");
    let listed = reads_well(&place, "list {}/demo/archive");
    assert!(listed.contains("replaces "), "{listed}");
    reads_well(&place, "check {}/demo/archive");
    fs::rename(place.path("wagon-3"), place.path("before")).unwrap();
    fs::remove_dir_all(place.path("python-3")).unwrap();
    both_restore_the_same(&place, &archive, 3);
    assert_same(&place.path("before"), &place.path("python-3"), Names::Kept, &[]);
}

#[test]
fn a_gap_in_the_chain_is_read_as_the_snapshot_behind_it_says() {
    if !has_python() {
        return skip("a gap in the chain is read", "python3 is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    place.wagon(0, "demo {}/demo");
    let archive = place.path("demo/archive");
    // The second snapshot loses its head and the copy of it, so the third is cut off from its past.
    let second = snapshots_of(&archive).remove(1);
    let mut bytes = fs::read(&second).unwrap();
    bytes[20..].fill(0x5a);
    fs::write(&second, bytes).unwrap();
    let (said, status) = reader(&place, "restore {}/demo/archive 3 {}/none");
    assert!(status == 1 && said.contains("snapshot 2 is needed and cannot be read"), "{said}");
    place.wagon(0, "export --full --from {}/demo/source --archive {}/demo/archive --cache-dir {}/demo/cache");
    let listed = reads_well(&place, "list {}/demo/archive");
    assert!(listed.contains("lost 2") && listed.contains("9 accounts salvaged"), "{listed}");
    let restored = both_restore_the_same(&place, &archive, 4);
    assert_same(&place.path("demo/source"), &restored, Names::Kept, &[]);
}

#[test]
fn what_is_damaged_is_named_with_what_it_costs_and_the_rest_is_restored() {
    if !has_python() {
        return skip("what is damaged is named", "python3 is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    place.wagon(0, "demo {}/demo");
    let pack = fs::read_dir(place.path("demo/archive/packs"))
        .unwrap()
        .flat_map(|entry| fs::read_dir(entry.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap().path())
        .max_by_key(|path| path.metadata().unwrap().len())
        .unwrap();
    let sound = fs::read(&pack).unwrap();
    let mut bytes = sound.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&pack, bytes).unwrap();
    let (said, status) = reader(&place, "check {}/demo/archive");
    assert_eq!(status, 1, "{said}");
    for claim in ["its bytes are not those of its name", "does not inflate", "snapshot 1: ann@station.example: "] {
        assert!(said.contains(claim), "{claim:?} is missing in\n{said}");
    }
    let (said, status) = reader(&place, "restore {}/demo/archive latest {}/rest");
    assert_eq!(status, 1, "{said}");
    let source = look(&place.path("demo/source"));
    let rest = look(&place.path("rest"));
    assert!(!rest.messages.is_empty() && rest.messages.len() < source.messages.len(), "{said}");
    let contents: BTreeSet<_> = source.messages.iter().map(|message| message.content).collect();
    assert!(rest.messages.iter().all(|message| contents.contains(&message.content)));
    // Without its index, and after wagon's repair, it is read all the same.
    fs::write(&pack, sound).unwrap();
    fs::remove_dir_all(place.path("demo/archive/index")).unwrap();
    let without = reads_well(&place, "check {}/demo/archive");
    assert!(without.contains("an index can be made again"), "{without}");
    both_restore_the_same(&place, &place.path("demo/archive"), 3);
    place.wagon(0, "repair --archive {}/demo/archive");
    let repaired = reads_well(&place, "check {}/demo/archive");
    assert!(!repaired.contains("an index can be made again"), "{repaired}");
}

#[test]
fn what_is_there_twice_is_read_from_the_copy_that_is_sound() {
    if !has_python() {
        return skip("the sound copy is read", "python3 is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    place.wagon(0, "demo {}/demo");
    let archive = place.path("demo/archive");
    let flip = |path: &Path, at: usize| {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 2;
        fs::write(path, bytes).unwrap();
    };
    let header = archive.join("wagon.json");
    flip(&header, fs::read(&header).unwrap().len() / 2);
    let (said, status) = reader(&place, "check {}/demo/archive");
    assert!(status == 1 && said.contains("wagon.json: "), "{said}");
    place.wagon(0, "repair --archive {}/demo/archive");
    reads_well(&place, "check {}/demo/archive");

    let first = snapshots_of(&archive).remove(0);
    let bytes = fs::read(&first).unwrap();
    let is_records = |at: &usize| {
        let mut name = [0; 19];
        let read = flate2::read::GzDecoder::new(&bytes[*at..]).read_exact(&mut name);
        read.is_ok() && name == *b"provisioning.jsonl\0"
    };
    let member = (0..bytes.len() - 8).filter(|at| bytes[*at..].starts_with(b"\x1f\x8b")).find(is_records).unwrap();
    flip(&first, member + 60);
    let (said, status) = reader(&place, "check {}/demo/archive");
    assert!(status == 1 && said.contains("provisioning.jsonl") && said.contains("its other copy is read"), "{said}");
    let (said, _) = reader(&place, "restore {}/demo/archive latest {}/python");
    place.wagon(0, "import --archive {}/demo/archive --to {}/wagon");
    assert_same(&place.path("wagon"), &place.path("python"), Names::Kept, &[]);
    assert!(said.contains("its other copy is read"), "{said}");
}

#[test]
fn every_fixture_and_objects_that_are_too_large_for_memory_come_back() {
    if !has_python() {
        return skip("every fixture comes back", "python3 is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    let maildir = place.path("source/mail/example.org/ann/Maildir");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(sub)).unwrap();
    }
    let mut number = 1_700_000_000;
    let mut add = |content: &[u8]| {
        number += 1;
        fs::write(maildir.join(format!("cur/{number}.M1P1.host:2,S")), content).unwrap();
    };
    for folder in ["messages", "oddities"] {
        for entry in fs::read_dir(repository().join("fixtures").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "eml") {
                add(&fs::read(path).unwrap());
            }
        }
    }
    // A message with an attachment that has a segment of its own, and one that is never held as a whole.
    let noise = |bytes: usize| -> Vec<u8> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        (0..bytes).map(|_| next()).collect()
    };
    let head = b"From: a@example.org\nMIME-Version: 1.0\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n";
    let digits: Vec<u8> = noise(6 << 20).iter().map(|byte| b"ABCDEFGHIJKLMNOP"[usize::from(byte & 15)]).collect();
    let lines: Vec<u8> = digits.chunks(76).flat_map(|line| [line, b"\n"].concat()).collect();
    add(&[head.as_slice(), &lines].concat());
    add(&[b"From: a@example.org\n\n".as_slice(), &noise(33 << 20)].concat());
    place.wagon(0, "export --from {}/source --archive {}/archive");
    reads_well(&place, "check {}/archive");
    let restored = both_restore_the_same(&place, &place.path("archive"), 1);
    let (source, found) = (look(&place.path("source")).messages, look(&restored).messages);
    let content =
        |messages: &[Message]| -> Vec<_> { messages.iter().map(|one| (one.name.clone(), one.content)).collect() };
    assert_eq!(content(&source), content(&found));
}

#[test]
fn the_small_reader_stays_small_and_one_function_opens_files() {
    let folder = repository().join("format-spec/reader");
    let small = fs::read_to_string(folder.join("wagon_read.py")).unwrap();
    assert!(small.lines().count() < 160, "{} lines", small.lines().count());
    let opens = |text: &str| text.lines().filter(|line| line.contains(" open(") && line.contains("rb")).count();
    assert_eq!(opens(&small), 1);
    assert_eq!(opens(&fs::read_to_string(folder.join("wagon_archive.py")).unwrap()), 0);
}
