//! Every kind of damage to every kind of file: never a panic, never wrong bytes; what `check` names is what cannot be
//! read, no more and no less; and the next pass completes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

use stationwagon::archive::check::{CheckReport, check};
use stationwagon::archive::history::{History, manifest_name};
use stationwagon::archive::pack_writer::Class;
use stationwagon::archive::{Archive, ArchiveError};
use stationwagon::event::Silent;
use stationwagon::format::manifest::{AccountState, FolderLine, ItemLine, ManifestLine};
use stationwagon::format::snapshot::{AccountEntry, Counts, Selection, SnapshotHead, push_line};
use stationwagon::fs::RealFs;
use stationwagon::limits;
use stationwagon::message;
use stationwagon::model::id::{FolderId, ItemId, ObjectId, RecordId, SnapshotNo};
use stationwagon::model::mailbox::{Folder, FolderKey, Item};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Seven letters, whole or taken apart, four of which carry the same attachment.
fn letters() -> Vec<Vec<u8>> {
    let attachment = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3\r\n".repeat(60);
    (0..7)
        .map(|at| {
            let trace = format!("Return-Path: <bob{at}@example.net>\r\nReceived: from mx by us; id {at}\r\n");
            let head = format!("From: bob{at}@example.net\r\nSubject: letter {at}\r\nMIME-Version: 1.0\r\n");
            let text = format!("Dear Ann, this is letter {at}.\r\n").repeat(at * 20);
            match at % 2 {
                0 => format!(
                    "{trace}{head}Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\n\r\n{text}\r\n--b\r\n\
                     Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{attachment}\r\n--b--\r\n"
                ),
                _ => format!("{trace}{head}\r\n{text}"),
            }
            .into_bytes()
        })
        .collect()
}

fn store(archive: &Archive, letters: &[Vec<u8>]) {
    let lock = archive.lock("a test", 0).unwrap();
    let mut writer = archive.pack_writer(&lock, 1).unwrap();
    for letter in letters {
        let id = ObjectId::of(letter);
        match message::split(letter) {
            None => writer.add(id, Class::Part, letter).unwrap(),
            Some(split) => {
                for part in &split.parts {
                    writer.add(part.id, Class::Part, &part.bytes).unwrap();
                }
                let skeleton = ObjectId::of(&split.skeleton);
                writer.add(skeleton, Class::Skeleton, &split.skeleton).unwrap();
                writer
                    .add_recipe(id, message::Likeness::default(), &message::encode_recipe(&skeleton, split.trace))
                    .unwrap();
            }
        }
    }
    writer.finish().unwrap();
}

/// One account, `ann@example.org`; each pass adds some letters to her inbox.
fn pass(archive: &Archive, state: &mut AccountState, letters: &[Vec<u8>]) {
    store(archive, letters);
    let lock = archive.lock("a test", 0).unwrap();
    let mut writer = archive.snapshot_writer(&lock).unwrap();
    let (mut manifest, mut lines) = (Vec::new(), 0);
    let mut push = |line: ManifestLine| {
        push_line(&mut manifest, &line);
        lines += 1;
        state.apply(line).unwrap();
    };
    let first = writer.no() == SnapshotNo(1);
    if first {
        push(ManifestLine::Folder(FolderLine { id: FolderId(1), folder: Folder::at(FolderKey::inbox()) }));
    }
    for letter in letters {
        let object = ObjectId::of(letter);
        let name = format!("letter-{}", letter.len());
        let id = ItemId(letter.len() as u32);
        let item = Item {
            name,
            object,
            size: letter.len() as u64,
            date: 1_700_000_000,
            flags: Default::default(),
            keywords: Vec::new(),
            tags: Vec::new(),
            uid: None,
            uidl: None,
        };
        push(ManifestLine::Item(ItemLine { id, folder: FolderId(1), item }));
    }
    let (items, bytes) = state.totals();
    if first {
        writer.add("provisioning.jsonl", b"{\"gone\":9}\n").unwrap();
    }
    writer.add(&manifest_name(RecordId(1)), &manifest).unwrap();
    let entry = AccountEntry {
        id: RecordId(1),
        address: "ann@example.org".to_owned(),
        full: first,
        salvaged: false,
        lines,
        items,
        bytes,
    };
    let head = SnapshotHead {
        format: 1,
        no: writer.no(),
        source: "site".parse().unwrap(),
        lost: Vec::new(),
        replaces: None,
        parent: (!first).then(|| SnapshotNo(writer.no().0 - 1)),
        started: 1_700_000_000,
        finished: 1_700_000_001,
        label: None,
        locator: "/srv/vmail".to_owned(),
        selection: Selection::default(),
        accounts: vec![entry],
        counts: Counts::default(),
        provisioning_lines: u64::from(first),
    };
    writer.publish(&head).unwrap();
}

fn build(dir: &Path) -> Archive {
    let archive = Archive::create(Arc::new(RealFs), dir, "example".parse().unwrap(), 1_700_000_000).unwrap();
    let mut state = AccountState::default();
    let letters = letters();
    pass(&archive, &mut state, &letters[..4]);
    pass(&archive, &mut state, &letters[4..]);
    archive
}

fn open(dir: &Path) -> Result<Archive, ArchiveError> {
    Archive::open(Arc::new(RealFs), dir)
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy_tree(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
}

/// Reads every item of the newest snapshot: the names of those that can be read; each must be right.
fn readable(archive: &Archive) -> Result<BTreeMap<String, bool>, ArchiveError> {
    let history = History::open(archive, None, None)?;
    let state = history.account(RecordId(1))?;
    let reader = archive.objects()?;
    Ok(state
        .items
        .iter()
        .map(|(_, at)| {
            let read = reader.read(&at.item.object, limits::WHOLE_ITEM_BYTES);
            let mut copied = Vec::new();
            let copy = reader.copy(&at.item.object, &mut copied);
            assert_eq!(read.is_ok(), copy.is_ok(), "{read:?} {copy:?}");
            if let Ok(bytes) = &read {
                assert_eq!(ObjectId::of(bytes), at.item.object, "wrong bytes");
                assert_eq!(*bytes, copied);
            }
            (at.item.name.clone(), read.is_ok())
        })
        .collect())
}

fn named(report: &CheckReport) -> BTreeSet<String> {
    report.findings.iter().flat_map(|finding| &finding.places).filter_map(|place| place.item.clone()).collect()
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    Missing,
    Truncated(usize),
    Flipped(usize, u8),
    Longer,
    Zeroed(usize),
}

fn apply(damage: Damage, file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    match damage {
        Damage::Missing => return std::fs::remove_file(file).unwrap(),
        Damage::Truncated(at) => bytes.truncate(at),
        Damage::Flipped(at, mask) => bytes[at] ^= mask,
        Damage::Longer => bytes.extend(b"something after the end"),
        Damage::Zeroed(at) => {
            let end = bytes.len().min(at + 512);
            bytes[at..end].fill(0);
        }
    }
    std::fs::write(file, bytes).unwrap();
}

fn damages(size: usize) -> Vec<Damage> {
    let mut damages = vec![Damage::Missing, Damage::Longer, Damage::Truncated(0), Damage::Truncated(size - 1)];
    damages.extend((1..size).step_by(size / 7 + 1).flat_map(|at| [Damage::Truncated(at), Damage::Zeroed(at)]));
    damages.extend((0..size).step_by(size / 40 + 1).map(|at| Damage::Flipped(at, 1 << (at % 8))));
    damages
}

#[test]
fn a_sound_archive_has_no_findings() {
    let dir = tempfile::tempdir().unwrap();
    let archive = build(dir.path());
    for read_data in [false, true] {
        let report = check(&archive, read_data, &Silent).unwrap();
        assert_eq!(report.findings, []);
        assert_eq!((report.snapshots, report.packs, report.read_data), (2, 2, read_data));
        assert!(report.objects > 10, "{report:?}");
    }
    assert!(readable(&archive).unwrap().values().all(|sound| *sound));
}

#[test]
fn any_damage_to_any_file_is_named_with_exactly_what_it_costs() {
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound");
    drop(build(&sound));
    let mut cases = 0;
    for file in files_below(&sound) {
        let below = file.strip_prefix(&sound).unwrap().to_owned();
        let kind = below.iter().next().unwrap().to_str().unwrap().to_owned();
        if kind.starts_with("lock") {
            continue;
        }
        for damage in damages(std::fs::metadata(&file).unwrap().len() as usize) {
            let what = format!("{damage:?} of {}", below.display());
            let copy = dir.path().join(format!("case-{cases}"));
            cases += 1;
            copy_tree(&sound, &copy);
            apply(damage, &copy.join(&below));
            one_case(&copy, &below, &kind, &what);
            std::fs::remove_dir_all(copy).unwrap();
        }
    }
    assert!(cases > 250, "{cases}");
}

fn one_case(copy: &Path, below: &Path, kind: &str, what: &str) {
    let archive = match open(copy) {
        Ok(archive) => archive,
        Err(error) => {
            assert!(kind == "wagon.json" && !copy.join(below).exists(), "{what}: {error}");
            assert!(matches!(error, ArchiveError::HeaderGone(_)), "{what}: {error}");
            return;
        }
    };
    if kind.starts_with("wagon") {
        let report = check(&archive, true, &Silent).unwrap();
        let named: Vec<_> = report.findings.iter().map(|finding| finding.path.as_path()).collect();
        // A second copy that is gone leaves the first.
        let expected: &[&Path] = if copy.join(below).exists() { &[below] } else { &[] };
        assert_eq!(named, expected, "{what}");
        assert!(readable(&archive).unwrap().values().all(|sound| *sound), "{what}: the other copy serves");
        return;
    }
    let report = check(&archive, true, &Silent).unwrap();
    let gone = kind == "snapshots" && !copy.join(below).exists();
    if !(gone && below.to_string_lossy().contains("00000002")) {
        // The newest snapshot can vanish without a trace; nothing else can.
        assert!(!report.findings.is_empty(), "{what}: nothing found");
    }
    let about = |path: &Path| path == below || (kind == "index" && path.starts_with("packs"));
    if !gone {
        assert!(report.findings.iter().any(|finding| about(&finding.path)), "{what}: {report:#?}");
    }
    match kind {
        "index" => {
            assert!(readable(&archive).unwrap().values().all(|sound| *sound), "{what}: an index is derived");
            assert_eq!(named(&report), BTreeSet::new(), "{what}");
        }
        "packs" => {
            let lost: BTreeSet<_> =
                readable(&archive).unwrap().into_iter().filter(|(_, sound)| !sound).map(|(name, _)| name).collect();
            assert_eq!(named(&report), lost, "{what}: {report:#?}");
        }
        _ => match readable(&archive) {
            Ok(items) => assert!(items.values().all(|sound| *sound), "{what}"),
            Err(error) => {
                assert!(matches!(error, ArchiveError::Format { .. } | ArchiveError::NoSnapshot(_)), "{what}: {error}")
            }
        },
    }
    next_pass(&archive, kind, what);
}

/// Stores everything again, as a deep export would: it must work, and make whole what was noticed to be missing.
fn next_pass(archive: &Archive, kind: &str, what: &str) {
    store(archive, &letters());
    let report = check(archive, true, &Silent).unwrap();
    if kind == "index" {
        assert_eq!(report.findings, [], "{what}: a pass mends indexes");
    }
}

#[test]
fn a_pack_that_vanished_or_was_cut_is_made_up_for_by_storing_again() {
    for damage in [Damage::Missing, Damage::Truncated(100), Damage::Truncated(0)] {
        let dir = tempfile::tempdir().unwrap();
        let archive = build(dir.path());
        for pack in files_below(&dir.path().join("packs")) {
            apply(damage, &pack);
        }
        assert!(readable(&archive).unwrap().values().all(|sound| !sound));
        store(&archive, &letters());
        assert!(readable(&archive).unwrap().values().all(|sound| *sound), "{damage:?}");
        let report = check(&archive, true, &Silent).unwrap();
        assert_eq!(named(&report), BTreeSet::new(), "{damage:?}: {report:#?}");
    }
}

#[test]
fn one_damaged_segment_costs_its_own_objects_even_when_the_index_is_lost_too() {
    let dir = tempfile::tempdir().unwrap();
    let archive = build(dir.path());
    let pack = &files_below(&dir.path().join("packs"))[0];
    let length = std::fs::metadata(pack).unwrap().len() as usize;
    // Recipes, skeletons and parts have a segment each; the parts come last.
    apply(Damage::Zeroed(length - 600), pack);
    for index in files_below(&dir.path().join("index")) {
        std::fs::remove_file(index).unwrap();
    }
    let items = readable(&archive).unwrap();
    let sound = items.values().filter(|sound| **sound).count();
    assert!(sound > 0 && sound < items.len(), "{items:?}");
    assert_eq!(named(&check(&archive, true, &Silent).unwrap()).len(), items.len() - sound);
}

#[test]
fn a_manifest_that_names_what_no_pack_holds_is_found_without_reading_data() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::create(Arc::new(RealFs), dir.path(), "example".parse().unwrap(), 0).unwrap();
    let mut state = AccountState::default();
    let letters = letters();
    pass(&archive, &mut state, &letters);
    let [pack] = files_below(&dir.path().join("packs")).try_into().unwrap();
    let [index] = files_below(&dir.path().join("index")).try_into().unwrap();
    std::fs::remove_file(pack).unwrap();
    let first = check(&archive, false, &Silent).unwrap();
    assert_eq!(first.findings.len(), 1, "{first:#?}");
    assert_eq!(first.findings[0].items, 7);
    assert_eq!(first.findings[0].what, "the pack is missing, its index is there");
    std::fs::remove_file(index).unwrap();
    let second = check(&archive, false, &Silent).unwrap();
    assert_eq!(second.findings.len(), 1, "{second:#?}");
    assert_eq!((second.findings[0].items, second.findings[0].lost), (7, 7));
    assert_eq!(second.findings[0].places[0].to_string().split('/').next(), Some("ann@example.org:INBOX"));
}
