//! What format-spec/ shows is what is read and written: each example parses, loses no field on the way, and the bytes of
//! the example pack and index are made again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

use serde::{Serialize, de::DeserializeOwned};
use stationwagon::archive::Archive;
use stationwagon::archive::pack_writer::Class;
use stationwagon::event::Rejection;
use stationwagon::format::archive_header::ArchiveHeader;
use stationwagon::format::manifest::{AccountState, ManifestLine};
use stationwagon::format::snapshot::{ProvisioningLine, SnapshotHead};
use stationwagon::fs::RealFs;
use stationwagon::model::id::ObjectId;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec").join(name)).unwrap()
}

/// The fenced blocks of a page that are marked so.
fn blocks(page: &str, mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once(&format!("```{mark}\n")) {
        let (block, after) = after.split_once("```").unwrap();
        found.push(block.to_owned());
        rest = after;
    }
    assert!(!found.is_empty(), "no block {mark}");
    found
}

/// Parses as `T`, and writes again: every field of the example is one that is known, and every value is kept.
fn same<T: DeserializeOwned + Serialize>(text: &str) -> T {
    let value: T = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let shown: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(&value).unwrap(), shown, "{text}");
    value
}

#[test]
fn every_json_example_is_read_and_written_as_it_stands() {
    let snapshot = page("snapshot.md");
    let lines = |mark| blocks(&snapshot, mark).concat();
    same::<SnapshotHead>(&blocks(&snapshot, "json head")[0]);
    for line in lines("jsonl provisioning").lines() {
        same::<ProvisioningLine>(line);
    }
    for line in lines("jsonl rejected").lines() {
        same::<Rejection>(line);
    }
    let mut state = AccountState::default();
    for line in lines("jsonl manifest").lines() {
        state.apply(same::<ManifestLine>(line)).unwrap();
    }
    assert_eq!((state.folders.len(), state.items.len(), state.settings.len()), (3, 1, 8));
    same::<ArchiveHeader>(&blocks(&page("archive.md"), "json")[0]);
}

#[test]
fn the_example_pack_and_index_are_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::create(Arc::new(RealFs), dir.path(), "example".parse().unwrap(), 1_700_000_000).unwrap();
    let lock = archive.lock("a test", 0).unwrap();
    let mut writer = archive.pack_writer(&lock, 1).unwrap();
    for object in [b"hello, world\n".to_vec(), vec![b'a'; 600]] {
        writer.add(ObjectId::of(&object), Class::Part, &object).unwrap();
    }
    writer.finish().unwrap();
    let only = |folder: &str| {
        let mut path = dir.path().join(folder);
        while path.is_dir() {
            path = std::fs::read_dir(path).unwrap().next().unwrap().unwrap().path();
        }
        path
    };
    let index = std::fs::read(only("index")).unwrap();
    let mut dump = String::new();
    for (at, row) in index.chunks(16).enumerate() {
        let hex: Vec<_> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(dump, "{:4}  {}", at * 16, hex.join(" ")).unwrap();
    }
    let pack = only("packs").file_name().unwrap().to_str().unwrap().to_owned();
    let listing =
        std::process::Command::new("tar").env("TZ", "UTC").arg("tvzf").arg(only("packs")).output().unwrap().stdout;
    let shown = format!("{pack}\n{}{dump}", String::from_utf8(listing).unwrap());
    let page = page("pack.md");
    for line in shown.lines() {
        assert!(page.contains(line.trim_end()), "pack.md does not show {line:?} of\n{shown}");
    }
}
