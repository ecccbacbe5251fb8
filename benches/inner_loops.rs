//! The loops in which a pass spends its time, each by itself: `cargo bench`, or `cargo bench -- split` for one.
//!
//! What they work on is made up here and the same in each run. Whole processes beside other programs: bench/compare.py.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench ends where what it set up does not work")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sha2::{Digest as _, Sha256};
use stationwagon::format::segment::{self, Effort, Encoder};
use stationwagon::fs::RealFs;
use stationwagon::map::{ItemRow, ItemState, Map, Meta};
use stationwagon::message;
use stationwagon::model::id::{FolderId, ItemId, ObjectId, RecordId, SnapshotNo};
use stationwagon::model::mailbox::{Flags, FolderKey};
use stationwagon::site::directory::DirectorySite;
use stationwagon::site::{Depth, FolderScan, Source as _};
use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Messages of the folder that is scanned, and rows of a batch of the map.
const MANY: u32 = 1000;

/// Bytes without a pattern; SplitMix64 (Steele, Lea, Flood 2014).
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    })
    .take(count.div_ceil(8))
    .flatten()
    .collect();
    bytes.truncate(count);
    bytes
}

/// Text that deflates about as prose does: words of a vocabulary of 256.
fn text(seed: u64, count: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(count + 16);
    for (at, byte) in noise(seed, count).into_iter().enumerate() {
        if out.len() >= count {
            break;
        }
        out.extend(format!("{:x}word{}", byte, byte % 7).bytes());
        out.push(if at % 12 == 11 { b'\n' } else { b' ' });
    }
    out.truncate(count);
    out
}

/// What delivery puts on top, and a client's headers.
fn headers(kind: &str) -> String {
    format!(
        "Return-Path: <bert@example.org>\nDelivered-To: ann@example.org\nReceived: from relay.example.org\n\tby \
         mail.example.org with LMTP\n\tid 4A76A7ACE0\n\tfor <ann@example.org>; Mon, 1 Jan 2024 10:00:00 +0000\nFrom: Bert \
         <bert@example.org>\nTo: ann@example.org\nSubject: a bench\nDate: Mon, 1 Jan 2024 10:00:00 +0000\nMessage-ID: \
         <1@example.org>\nMIME-Version: 1.0\nContent-Type: {kind}\n"
    )
}

/// 4 KiB of plain text.
fn small_message() -> Vec<u8> {
    let mut raw = headers("text/plain; charset=utf-8").into_bytes();
    raw.push(b'\n');
    raw.extend(text(1, 4096));
    raw
}

/// A text and an attachment of 200 KiB in base64.
fn large_message() -> Vec<u8> {
    let mut raw = headers("multipart/mixed; boundary=\"cut\"").into_bytes();
    raw.extend(b"\n--cut\nContent-Type: text/plain\n\n");
    raw.extend(text(2, 4096));
    raw.extend(b"\n--cut\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n");
    for line in STANDARD.encode(noise(3, 200 * 1024)).into_bytes().chunks(76) {
        raw.extend(line);
        raw.push(b'\n');
    }
    raw.extend(b"\n--cut--\n");
    raw
}

/// The whole and its lower half hashed block by block, so that each byte comes from memory once.
fn one_walk(raw: &[u8]) -> (sha2::digest::Output<Sha256>, blake3::Hash) {
    const BLOCK: usize = 8 * 1024;
    let (mut whole, mut half) = (Sha256::new(), blake3::Hasher::new());
    for (at, block) in raw.chunks(BLOCK).enumerate() {
        whole.update(block);
        let before_half = (raw.len() / 2).saturating_sub(at * BLOCK).min(block.len());
        half.update(&block[before_half..]);
    }
    (whole.finalize(), half.finalize())
}

fn messages(bench: &mut Criterion) {
    for (name, raw) in [("4 KiB of text", small_message()), ("200 KiB attached", large_message())] {
        let mut group = bench.benchmark_group("message");
        group.throughput(Throughput::Bytes(raw.len() as u64));
        group.bench_function(format!("hash, {name}"), |bench| bench.iter(|| ObjectId::of(black_box(&raw))));
        group.bench_function(format!("split, {name}"), |bench| bench.iter(|| message::split(black_box(&raw)).unwrap()));
        group.bench_function(format!("hash, whole and then its lower half, {name}"), |bench| {
            bench.iter(|| (Sha256::digest(black_box(&raw)), blake3::hash(&raw[raw.len() / 2..])));
        });
        group.bench_function(format!("hash, both in one walk, {name}"), |bench| {
            bench.iter(|| one_walk(black_box(&raw)))
        });
        let split = message::split(&raw).unwrap();
        let skeleton = ObjectId::of(&split.skeleton);
        let recipe = message::encode_recipe(&skeleton, split.trace);
        let mut objects: HashMap<_, _> = split.parts.iter().map(|part| (part.id, part.bytes.to_vec())).collect();
        objects.insert(skeleton, split.skeleton.clone());
        group.bench_function(format!("join, {name}"), |bench| {
            bench.iter(|| {
                let mut out = Vec::with_capacity(raw.len());
                let mut fetch = |id: &ObjectId, _| Ok::<_, std::convert::Infallible>(objects[id].clone());
                message::join(black_box(&recipe), raw.len() as u64, &mut fetch, &mut out).unwrap();
                assert_eq!(out, raw);
                out
            });
        });
        group.finish();
    }
}

fn segments(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("segment");
    let mut encoder = Encoder::default();
    for (name, bytes) in [("text", text(4, 256 * 1024)), ("noise", noise(5, 256 * 1024))] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        for effort in [Effort::Least, Effort::Usual, Effort::Most] {
            group.bench_function(format!("compress, 256 KiB of {name}, effort {effort:?}"), |bench| {
                bench.iter(|| encoder.encode(black_box(&bytes), effort).unwrap());
            });
        }
        let member = encoder.encode(&bytes, Effort::Usual).unwrap();
        let mut out = Vec::new();
        segment::decode(&member, bytes.len() as u64, &mut out).unwrap();
        assert_eq!(out, bytes);
        group.bench_function(format!("inflate, 256 KiB of {name}"), |bench| {
            bench.iter(|| segment::decode(black_box(&member), bytes.len() as u64, &mut out).unwrap());
        });
    }
    group.finish();
}

/// An inbox of [`MANY`] messages that have been there for a day.
fn inbox(root: &Path) {
    let maildir = root.join("mail/example.org/ann/Maildir");
    for sub in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(maildir.join(sub)).unwrap();
    }
    let mut list = format!("3 V1700000000 N{} G0123456789abcdef0123456789abcdef\n", MANY + 1);
    for number in 1..=MANY {
        let name = format!("17{number:08}.M{number}P1.store1,S=100,W=104");
        std::fs::write(maildir.join("cur").join(format!("{name}:2,S")), "Subject: x\n\nx\n").unwrap();
        list.push_str(&format!("{number} :{name}\n"));
    }
    std::fs::write(maildir.join("dovecot-uidlist"), list).unwrap();
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    for path in ["cur", "new", "dovecot-uidlist", "."] {
        std::fs::File::open(maildir.join(path)).unwrap().set_modified(yesterday).unwrap();
    }
}

fn scanning(bench: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    inbox(dir.path());
    // A folder whose times are too close to the scan gets a mark that is not trusted (git's rule for a racy index).
    std::thread::sleep(Duration::from_secs(3));
    let site = DirectorySite::open(Arc::new(RealFs), dir.path()).unwrap();
    let look = |mark| site.folder("ann@example.org", &FolderKey::inbox(), mark, Depth::Marks).unwrap();
    let FolderScan::Listed(listing) = look(None) else { unreachable!("a folder without a mark is listed") };
    assert_eq!(listing.items.len(), MANY as usize);
    assert!(!listing.mark.is_empty(), "the mark is to be trusted");
    assert!(matches!(look(Some(&listing.mark)), FolderScan::Unchanged));
    let mut group = bench.benchmark_group("scan");
    group.bench_function("an unchanged folder", |bench| bench.iter(|| look(Some(black_box(&listing.mark)))));
    group.throughput(Throughput::Elements(u64::from(MANY)));
    group.bench_function("a folder of 1000 messages", |bench| bench.iter(|| look(None)));
    group.finish();
}

fn row(id: u32) -> ItemRow {
    ItemRow {
        record: RecordId(1),
        id: ItemId(id),
        folder: FolderId(1),
        source_name: format!("17{id:08}.M{id}P1.store1,S=100,W=104"),
        target_name: format!("17{id:08}.M{id}P1.store1,S=100,W=104"),
        object: ObjectId::of(&id.to_be_bytes()),
        target_object: None,
        flags: Flags::from_letters("S"),
        keywords: Vec::new(),
        tags: Vec::new(),
        state: ItemState::Intent,
        reason: None,
        snapshot: SnapshotNo(1),
    }
}

/// A batch as an import writes it: intents, then outcomes; each a transaction that survives a power loss.
fn map_writes(bench: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let meta = Meta {
        source_site: "source".parse().unwrap(),
        target_site: "target".parse().unwrap(),
        archive: "archive".parse().unwrap(),
        wagon: "0".to_owned(),
        created: 0,
    };
    let map = Map::open(&RealFs, &dir.path().join("map_source.sqlite"), &meta).unwrap();
    let mut next = 0;
    let mut group = bench.benchmark_group("map");
    group.sample_size(20);
    group.throughput(Throughput::Elements(u64::from(MANY)));
    group.bench_function("intents and outcomes of 1000 items", |bench| {
        let rows = || {
            next += MANY;
            (next..next + MANY).map(row).collect::<Vec<_>>()
        };
        let write = |rows: Vec<ItemRow>| {
            map.put_items(&rows).unwrap();
            let done: Vec<_> = rows.iter().map(|row| (row.id, ItemState::Done, None)).collect();
            map.set_item_outcomes(RecordId(1), &done).unwrap();
        };
        bench.iter_batched(rows, write, BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(benches, messages, segments, scanning, map_writes);
criterion_main!(benches);
