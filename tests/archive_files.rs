//! What an archive promises of its files: they open without us, they do not depend on threads, and what was put in
//! comes out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

use sha2::{Digest, Sha256};
use stationwagon::archive::pack_writer::Class;
use stationwagon::archive::{Archive, ArchiveError};
use stationwagon::format::snapshot::{AccountEntry, Counts, Selection, SnapshotHead};
use stationwagon::fs::RealFs;
use stationwagon::limits;
use stationwagon::model::id::{ObjectId, RecordId, SnapshotNo};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

fn create(dir: &Path) -> Archive {
    Archive::create(Arc::new(RealFs), dir, "example".parse().unwrap(), 1_700_000_000).unwrap()
}

/// Bytes that look like text, or like something compressed already; the same for the same seed.
fn bytes(seed: u64, size: usize, text: bool) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 33
    };
    const WORDS: [&str; 8] = ["station", "wagon", "mail", "\n", "folder", "share", "Subject:", "=\n"];
    let mut out = Vec::with_capacity(size + 8);
    while out.len() < size {
        match text {
            true => out.extend(WORDS[next() as usize % 8].as_bytes()),
            false => out.push(next() as u8),
        }
    }
    out.truncate(size);
    out
}

/// Objects of all sizes: empty, small, at the bounds of a segment of its own and of streaming.
fn objects() -> Vec<Vec<u8>> {
    let mut objects: Vec<_> = (0..1500).map(|seed| bytes(seed, seed as usize * 7, seed % 5 > 0)).collect();
    for (seed, size) in [limits::OWN_SEGMENT_BYTES - 1, limits::OWN_SEGMENT_BYTES, 300_000].into_iter().enumerate() {
        objects.push(bytes(seed as u64 + 9000, size, true));
        objects.push(bytes(seed as u64 + 9100, size, false));
    }
    objects.push(bytes(1, limits::STREAMED_OBJECT_BYTES + 1, true));
    objects.push(bytes(2, limits::STREAMED_OBJECT_BYTES + 512, false));
    objects
}

fn fill(archive: &Archive, objects: &[Vec<u8>], workers: usize) {
    let lock = archive.lock("a test", 0).unwrap();
    let mut writer = archive.pack_writer(&lock, workers).unwrap();
    for (at, object) in objects.iter().enumerate() {
        let class = if at % 3 == 0 { Class::Skeleton } else { Class::Part };
        writer.add(ObjectId::of(object), class, object).unwrap();
        assert!(writer.contains(&ObjectId::of(object)).unwrap());
    }
    let added = writer.finish().unwrap();
    assert_eq!(added.objects as usize, objects.len());
    assert_eq!(added.object_bytes as usize, objects.iter().map(Vec::len).sum::<usize>());
}

fn files_below(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

fn head(no: SnapshotNo) -> SnapshotHead {
    SnapshotHead {
        format: 1,
        no,
        source: "site".parse().unwrap(),
        lost: Vec::new(),
        replaces: None,
        parent: None,
        started: 1,
        finished: 2,
        label: None,
        locator: "/srv/vmail".to_owned(),
        selection: Selection::default(),
        accounts: Vec::new(),
        counts: Counts::default(),
        provisioning_lines: 0,
    }
}

/// Unpacks with the system's tar; it must have nothing to say.
fn untar(file: &Path, into: &Path) {
    std::fs::create_dir_all(into).unwrap();
    let output = Command::new("tar").arg("xzf").arg(file).arg("-C").arg(into).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(Command::new("gzip").arg("-t").arg(file).status().unwrap().success());
}

#[test]
fn what_was_put_in_comes_out() {
    let dir = tempfile::tempdir().unwrap();
    let archive = create(dir.path());
    let objects = objects();
    fill(&archive, &objects, 2);
    let reader = archive.objects().unwrap();
    for object in &objects {
        let id = ObjectId::of(object);
        assert_eq!(reader.read(&id, object.len() as u64).unwrap(), *object);
        let mut copied = Vec::new();
        assert_eq!(reader.copy(&id, &mut copied).unwrap(), object.len() as u64);
        assert_eq!(copied, *object);
        if !object.is_empty() {
            assert!(reader.read(&id, object.len() as u64 - 1).is_err(), "the limit holds");
        }
    }
    let absent = ObjectId::of(b"never put in");
    assert!(!reader.contains(&absent).unwrap());
    assert!(matches!(reader.read(&absent, 10), Err(ArchiveError::NoObject { id }) if id == absent));
}

#[test]
fn every_pack_opens_with_stock_tar_into_files_named_by_their_hash() {
    let dir = tempfile::tempdir().unwrap();
    let archive = create(&dir.path().join("archive"));
    let objects = objects();
    fill(&archive, &objects, 2);
    let out = dir.path().join("out");
    for (path, content) in files_below(&dir.path().join("archive/packs")) {
        let digest: [u8; 32] = Sha256::digest(&content).into();
        let name = format!("{}.tar.gz", ObjectId::from_digest(digest));
        assert_eq!(path.file_name().unwrap().to_str().unwrap(), name, "a pack is named by its own hash");
        untar(&path, &out);
    }
    let unpacked = files_below(&out.join("o"));
    assert_eq!(unpacked.len(), objects.len());
    for (path, content) in unpacked {
        assert_eq!(path.file_name().unwrap().to_str().unwrap(), ObjectId::of(&content).to_string());
    }
}

#[test]
fn the_bytes_depend_on_the_order_of_adding_and_on_no_thread() {
    let objects = objects();
    let trees: Vec<_> = [1, 2, 7]
        .map(|workers| {
            let dir = tempfile::tempdir().unwrap();
            fill(&create(dir.path()), &objects, workers);
            let strip =
                |(path, content): (PathBuf, Vec<u8>)| (path.strip_prefix(dir.path()).unwrap().to_owned(), content);
            files_below(dir.path()).into_iter().map(strip).collect::<BTreeMap<_, _>>()
        })
        .into();
    assert!(trees[0].keys().any(|path| path.starts_with("packs")));
    assert!(trees[0] == trees[1] && trees[1] == trees[2]);
}

#[test]
fn an_object_is_written_once_whatever_pass_brings_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let archive = create(dir.path());
    let objects = objects();
    fill(&archive, &objects, 1);
    let before = files_below(dir.path());
    let lock = archive.lock("a second pass", 0).unwrap();
    let mut writer = archive.pack_writer(&lock, 1).unwrap();
    for object in &objects {
        writer.add(ObjectId::of(object), Class::Part, object).unwrap();
    }
    writer.add_stream(ObjectId::of(&objects[7]), 49, &mut &objects[7][..]).unwrap();
    assert_eq!(writer.finish().unwrap(), Default::default());
    drop(lock);
    assert!(before == files_below(dir.path()));
}

#[test]
fn a_stream_that_turns_out_different_spoils_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let archive = create(dir.path());
    let lock = archive.lock("a test", 0).unwrap();
    let mut writer = archive.pack_writer(&lock, 1).unwrap();
    let large = bytes(5, 6_000_000, true);
    let id = ObjectId::of(&large);
    let small = b"small".to_vec();
    writer.add(ObjectId::of(&small), Class::Part, &small).unwrap();
    for (size, given) in [(6_000_000, &large[1..]), (5_999_999, &large[..]), (6_000_001, &large[..]), (6_000_000, b"")]
    {
        let error = writer.add_stream(id, size, &mut &given[..]).unwrap_err();
        assert!(matches!(error, ArchiveError::DamagedObject { .. }), "{error}");
        assert!(!writer.contains(&id).unwrap());
    }
    writer.add_stream(id, 6_000_000, &mut &large[..]).unwrap();
    writer.finish().unwrap();
    let reader = archive.objects().unwrap();
    assert!(reader.read(&id, limits::WHOLE_ITEM_BYTES).unwrap() == large);
    assert_eq!(reader.read(&ObjectId::of(&small), 5).unwrap(), small);
    let left = files_below(&dir.path().join("packs")).len();
    assert_eq!(left, 1, "no temporary file stays");
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let archive = create(dir.path());
    let before = files_below(dir.path()).len();
    {
        let lock = archive.lock("a test", 0).unwrap();
        let mut writer = archive.pack_writer(&lock, 2).unwrap();
        for object in objects() {
            writer.add(ObjectId::of(&object), Class::Part, &object).unwrap();
        }
        let mut snapshot = archive.snapshot_writer(&lock).unwrap();
        snapshot.add("provisioning.jsonl", b"{}\n").unwrap();
    }
    assert_eq!(files_below(dir.path()).len(), before + 1, "only the lock file is new");
}

#[test]
fn a_snapshot_gives_back_its_head_and_entries_and_opens_with_tar() {
    let dir = tempfile::tempdir().unwrap();
    let archive = create(&dir.path().join("archive"));
    let manifest = bytes(3, 3_000_000, true);
    let mut heads = Vec::new();
    for round in 1..=3u32 {
        let lock = archive.lock("a test", 0).unwrap();
        let mut writer = archive.snapshot_writer(&lock).unwrap();
        assert_eq!(writer.no(), SnapshotNo(round));
        writer.add("provisioning.jsonl", b"{\"gone\":1}\n").unwrap();
        for account in 1..=round {
            writer.add(&format!("accounts/{account}.jsonl"), &manifest[..manifest.len() / account as usize]).unwrap();
        }
        assert!(writer.add("accounts/1.jsonl", b"").is_err(), "no name twice");
        assert!(writer.add("../outside", b"").is_err());
        let mut head = head(writer.no());
        head.accounts = vec![AccountEntry {
            id: RecordId(1),
            address: "ann@example.org".to_owned(),
            full: true,
            salvaged: false,
            lines: 1,
            items: 0,
            bytes: 0,
        }];
        writer.publish(&head).unwrap();
        heads.push(head);
    }
    assert_eq!(archive.snapshot_heads().unwrap(), heads);
    let third = archive.open_snapshot(SnapshotNo(3)).unwrap();
    assert_eq!(*third.head(), heads[2]);
    assert_eq!(third.names(), ["provisioning.jsonl", "accounts/1.jsonl", "accounts/2.jsonl", "accounts/3.jsonl"]);
    assert_eq!(third.entry("accounts/3.jsonl").unwrap().unwrap(), &manifest[..1_000_000]);
    assert_eq!(third.entry("accounts/9.jsonl").unwrap(), None);
    assert!(matches!(archive.open_snapshot(SnapshotNo(4)), Err(ArchiveError::NoSnapshot(SnapshotNo(4)))));

    let out = dir.path().join("out");
    untar(third.path(), &out);
    assert_eq!(std::fs::read(out.join("accounts/2.jsonl")).unwrap(), &manifest[..1_500_000]);
    let said: SnapshotHead = serde_json::from_slice(&std::fs::read(out.join("snapshot.json")).unwrap()).unwrap();
    assert_eq!(said, heads[2]);
}

#[test]
fn a_snapshot_of_a_newer_format_is_refused_politely() {
    let dir = tempfile::tempdir().unwrap();
    let archive = create(dir.path());
    let lock = archive.lock("the future", 0).unwrap();
    let writer = archive.snapshot_writer(&lock).unwrap();
    writer.publish(&SnapshotHead { format: 7, ..head(SnapshotNo(1)) }).unwrap();
    let error = archive.snapshot_heads().unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "format 7 is newer than 1, the newest this wagon reads");
    assert!(error.to_string().contains("00000001-"), "{error}");
}

#[test]
fn an_index_is_made_again_from_its_pack() {
    let dir = tempfile::tempdir().unwrap();
    let archive = create(dir.path());
    let objects = objects();
    fill(&archive, &objects, 2);
    let indexes = files_below(&dir.path().join("index"));
    for path in indexes.keys() {
        std::fs::remove_file(path).unwrap();
    }
    let reader = archive.objects().unwrap();
    for object in &objects {
        assert!(reader.read(&ObjectId::of(object), object.len() as u64).unwrap() == *object);
    }
    assert!(files_below(&dir.path().join("index")).is_empty(), "reading writes nothing");

    // A writer makes them again, the same to the byte.
    let lock = archive.lock("a test", 0).unwrap();
    let mut writer = archive.pack_writer(&lock, 1).unwrap();
    assert!(writer.contains(&ObjectId::of(&objects[3])).unwrap());
    assert!(indexes == files_below(&dir.path().join("index")));
}

#[test]
fn a_pass_that_adds_nothing_reads_no_index() {
    let dir = tempfile::tempdir().unwrap();
    let archive = create(dir.path());
    let objects = objects();
    fill(&archive, &objects, 2);
    // Checksums that are wrong: a writer that read these would make them again.
    let indexes = files_below(&dir.path().join("index"));
    for (path, bytes) in &indexes {
        let mut bytes = bytes.clone();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let spoiled = files_below(&dir.path().join("index"));
    let lock = archive.lock("a test", 0).unwrap();
    assert_eq!(archive.pack_writer(&lock, 1).unwrap().finish().unwrap().objects, 0);
    assert!(files_below(&dir.path().join("index")) == spoiled);
    assert!(archive.pack_writer(&lock, 1).unwrap().contains(&ObjectId::of(&objects[0])).unwrap());
    assert!(files_below(&dir.path().join("index")) == indexes, "who may add something knows what is there first");
}

#[test]
fn a_pack_that_lies_about_its_size_asks_for_no_memory() {
    // A segment of zeros inflates a thousandfold; an index may claim that much, and no more.
    let dir = tempfile::tempdir().unwrap();
    let archive = create(dir.path());
    let zeros = vec![0; 30_000_000];
    fill(&archive, std::slice::from_ref(&zeros), 1);
    let reader = archive.objects().unwrap();
    assert!(reader.read(&ObjectId::of(&zeros), 1000).is_err());
    assert_eq!(reader.copy(&ObjectId::of(&zeros), &mut std::io::sink()).unwrap(), 30_000_000);
}
