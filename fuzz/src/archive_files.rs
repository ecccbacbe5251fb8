//! Packs, indexes and snapshots inside an otherwise sound archive, read by everything that reads archives.
//!
//! Checksums are computed here, because a fuzzer does not guess them: an enemy who writes an archive has them right.

use super::memory_fs::MemoryFs;
use sha2::{Digest, Sha256};
use stationwagon::archive::Archive;
use stationwagon::archive::check::check;
use stationwagon::event::Silent;
use stationwagon::format::pack_index::PackIndex;
use stationwagon::format::segment::{self, Effort, Encoder, SegmentBuilder};
use stationwagon::format::tar_entry::{self, EntryName};
use stationwagon::model::hex;
use stationwagon::model::id::ObjectId;
use stationwagon::verbs::show::find::{Query, find};
use stationwagon::verbs::show::list::{list, sources};
use stationwagon::verbs::show::snapshots::snapshots;
use stationwagon::verbs::show::{Secrets, View, address, diff, record};
use std::path::Path;
use std::sync::Arc;

/// Most bytes of an object that are asked for here.
const LIMIT: u64 = 1 << 20;

fn archive_with(mut files: MemoryFs) -> Archive {
    let header = br#"{"archive":"wagon","format":1,"id":"fuzzed","created":0}"#;
    files.put("/archive/wagon.json", header.to_vec());
    Archive::open(Arc::new(files), Path::new("/archive")).unwrap()
}

fn put_pack(files: &mut MemoryFs, pack: Vec<u8>) -> [u8; 32] {
    let digest: [u8; 32] = Sha256::digest(&pack).into();
    let name = hex::encode(&digest);
    files.put(format!("/archive/packs/{}/{name}.tar.gz", &name[..2]), pack);
    digest
}

fn member(tar: &[u8]) -> Vec<u8> {
    Encoder::default().encode(tar, Effort::Least).unwrap()
}

/// Every object is refused or right, whichever way it is read.
fn read_all(archive: &Archive, ids: &[ObjectId]) {
    let Ok(reader) = archive.objects() else { return };
    for id in ids {
        let read = reader.read(id, LIMIT);
        let mut copied = Vec::new();
        let copy = reader.copy(id, &mut copied);
        if let Ok(bytes) = &read {
            assert_eq!(ObjectId::of(bytes), *id);
            assert!(bytes.len() as u64 <= LIMIT);
        }
        if let Ok(length) = copy {
            assert_eq!((ObjectId::of(&copied), length), (*id, copied.len() as u64));
        }
        let _ = reader.outline(id, LIMIT);
    }
    let _ = check(archive, true, &Silent);
}

/// The uncompressed bytes of a pack's segments, `#segment` between them.
pub fn pack(bytes: &[u8]) {
    let (mut pack, mut ids) = (Vec::new(), Vec::new());
    for tar in split_at(bytes, b"#segment\n") {
        let named = tar_entry::entries(tar).map_while(Result::ok);
        ids.extend(named.filter_map(|(_, name, _)| EntryName::parse(name)).map(|name| *name.id()));
        if let Ok(listed) = segment::list(tar, 0) {
            assert!(listed.len() <= tar.len() / tar_entry::BLOCK);
        }
        pack.extend(member(tar));
    }
    pack.extend(member(&tar_entry::END));
    let mut files = MemoryFs::default();
    put_pack(&mut files, pack);
    read_all(&archive_with(files), &ids);
    // And as the bytes of a pack file, which end anywhere.
    let mut files = MemoryFs::default();
    put_pack(&mut files, bytes.to_vec());
    read_all(&archive_with(files), &[ObjectId::of(b"")]);
}

/// An index, of a sound pack with two segments, without its checksum.
pub fn index(bytes: &[u8]) {
    if let Ok(index) = PackIndex::parse(bytes) {
        assert_eq!(index.encode(), bytes);
    }
    let contents: [&[u8]; 4] = [b"one", &[b'2'; 600], b"", &[b'4'; 70_000]];
    let (mut pack, ids) = (Vec::new(), contents.map(ObjectId::of));
    for half in contents.chunks(2) {
        let mut segment = SegmentBuilder::default();
        half.iter().for_each(|content| segment.push(EntryName::Object(ObjectId::of(content)), content).unwrap());
        pack.extend(member(&segment.into_parts().0));
    }
    pack.extend(member(&tar_entry::END));
    let mut files = MemoryFs::default();
    let digest = put_pack(&mut files, pack);
    let mut index = bytes.to_vec();
    if let Some(name) = index.get_mut(32..64) {
        name.copy_from_slice(&digest);
    }
    let checksum = Sha256::digest(&index);
    index.extend(checksum);
    let name = hex::encode(&digest);
    files.put(format!("/archive/index/{}/{name}.idx", &name[..2]), index);
    read_all(&archive_with(files), &ids);
}

/// Snapshots as text: `#snapshot` and the head's JSON begins one, `#NAME` and a line end one of its entries. The last
/// line is looked up as an address.
pub fn snapshot(bytes: &[u8]) {
    let mut files = MemoryFs::default();
    for (at, text) in split_at(bytes, b"#snapshot\n").into_iter().enumerate().take(8) {
        let mut sections = split_at(text, b"\n#").into_iter();
        let head = sections.next().unwrap_or_default();
        let (mut contents, mut body) = (Vec::new(), Vec::new());
        for section in sections.take(16) {
            let end = section.iter().position(|&byte| byte == b'\n').unwrap_or(section.len());
            let name = String::from_utf8_lossy(&section[..end]).into_owned();
            let content = section.get(end + 1..).unwrap_or_default();
            let Some(entry) = entry(&name, content) else { continue };
            let line = serde_json::json!({"n": name, "z": entry.len(), "s": content.len()});
            contents.extend(format!("{line}\n").into_bytes());
            body.extend(entry);
        }
        let (Some(head), Some(contents)) = (entry("snapshot.json", head), entry("contents.jsonl", &contents)) else {
            continue;
        };
        let file = [head, contents, body, member(&tar_entry::END)].concat();
        let digest = Sha256::digest(&file);
        let name = format!("/archive/snapshots/{:08}-{}.tar.gz", at + 1, hex::encode(&digest[..8]));
        files.put(name, file);
    }
    let last = bytes.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    look_at_everything(&archive_with(files), &String::from_utf8_lossy(last));
}

fn entry(name: &str, content: &[u8]) -> Option<Vec<u8>> {
    let header = tar_entry::header(name, content.len() as u64).ok()?;
    let padding = vec![0; tar_entry::padding(content.len() as u64)];
    Some(member(&[header.as_slice(), content, &padding].concat()))
}

fn look_at_everything(archive: &Archive, looked_up: &str) {
    let _ = check(archive, true, &Silent);
    let _ = (snapshots(archive, None), sources(archive));
    let Ok(heads) = archive.snapshot_heads() else { return };
    let mut before: Option<View<'_>> = None;
    for head in &heads {
        let _ = record::rejections(archive, head.no);
        let Ok(view) = View::open(archive, None, Some(head.no)) else { continue };
        let _ = (view.history.keys(), view.newest_entries(), list(&view, None));
        for entry in &head.accounts {
            if let Ok(mailbox) = view.mailbox(entry.id) {
                let _ = mailbox.totals();
            }
        }
        for (_, account) in view.provisioning.accounts() {
            let _ = record::show(&view, &account.address, Secrets::Hidden);
            let _ = list(&view, Some(&account.address));
        }
        let _ = (
            address::resolve(&view, looked_up),
            list(&view, Some(looked_up)),
            record::show(&view, looked_up, Secrets::Shown),
        );
        let _ = find(&view, &Query::default(), &Silent);
        if let Some(before) = &before {
            let _ = diff::diff(before, &view, &[]);
        }
        before = Some(view);
    }
}

/// `bytes` between occurrences of `mark`; what stands before the first counts only if it is not empty.
fn split_at<'b>(bytes: &'b [u8], mark: &[u8]) -> Vec<&'b [u8]> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    while let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
        pieces.push(&rest[..at]);
        rest = &rest[at + mark.len()..];
    }
    pieces.push(rest);
    if pieces.first().is_some_and(|first| first.is_empty()) && pieces.len() > 1 {
        pieces.remove(0);
    }
    pieces
}
