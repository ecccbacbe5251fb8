//! Every byte of every file of an archive, flipped one by one: what is noticed, by whom, and that nothing is silent.

use crate::world::{World, contents};
use memory_fs::MemoryFs;
use stationwagon::archive::check::check;
use stationwagon::archive::history::History;
use stationwagon::archive::{Archive, ArchiveError};
use stationwagon::event::Silent;
use stationwagon::format::snapshot::Provisioning;
use stationwagon::limits::WHOLE_ITEM_BYTES;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[path = "../../fuzz/src/memory_fs.rs"]
mod memory_fs;

/// A site of one account with three letters, two of which carry the same attachment, exported in two passes.
fn tiny_archive() -> World {
    let world = World::empty();
    world.site(&["ann"]);
    let cur = world.maildir("ann").join("cur");
    let attachment = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3\r\n".repeat(30);
    let letter = |no: u32| {
        format!(
            "Return-Path: <bob@h.example>\r\nReceived: from mx by us; id {no}\r\nSubject: letter {no}\r\n\
             Content-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\n\r\nDear Ann, this is {no}.\r\n--q\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{attachment}\r\n--q--\r\n"
        )
    };
    fs::write(cur.join("1.a:2,S"), letter(1)).unwrap();
    fs::write(cur.join("2.a:2,"), "Subject: short\r\n\r\nas it is\r\n").unwrap();
    world.wagon(0, "export --from {}/source --archive {}/archive");
    fs::write(cur.join("3.a:2,F"), letter(3)).unwrap();
    world.wagon(0, "export --from {}/source --archive {}/archive");
    world
}

/// All that an import gets to see: the records, and each item with its bytes.
type Seen = (Provisioning, BTreeMap<String, Vec<u8>>);

fn read_all(archive: &Archive) -> Result<Seen, ArchiveError> {
    let history = History::open(archive, None, None)?;
    let (provisioning, _) = history.provisioning()?;
    let reader = archive.objects()?;
    let mut items = BTreeMap::new();
    for (id, account) in provisioning.accounts() {
        let mailbox = history.account(id)?;
        for (_, at) in mailbox.items.iter() {
            let bytes = reader.read(&at.item.object, WHOLE_ITEM_BYTES)?;
            items.insert(format!("{} {:?} {:?}", account.address, mailbox.folders[&at.folder], at.item), bytes);
        }
    }
    Ok((provisioning, items))
}

#[derive(Default)]
struct Counts {
    bytes: usize,
    refused: usize,
    by_check: usize,
    by_read_data: usize,
    /// Noticed, and everything can be read all the same.
    costs_nothing: usize,
    harmless: Vec<usize>,
}

#[test]
fn no_byte_of_an_archive_can_change_without_being_noticed_or_without_being_harmless() {
    let world = tiny_archive();
    let root = world.path("archive");
    let files = contents(&root);
    let in_memory = |changed: Option<(&Path, Vec<u8>)>| {
        let mut memory = MemoryFs::default();
        files.iter().for_each(|(path, bytes)| memory.put(path, bytes.clone()));
        if let Some((path, bytes)) = changed {
            memory.put(path, bytes);
        }
        Archive::open(Arc::new(memory), &root)
    };
    let sound = in_memory(None).unwrap();
    assert_eq!(check(&sound, true, &Silent).unwrap().findings, []);
    let expected = read_all(&sound).unwrap();
    assert_eq!(expected.1.len(), 3);

    let mut kinds: BTreeMap<String, Counts> = BTreeMap::new();
    let mut harmless: Vec<(PathBuf, usize)> = Vec::new();
    for (path, bytes) in &files {
        let kind = path.strip_prefix(&root).unwrap().iter().next().unwrap().to_str().unwrap().to_owned();
        let counts = kinds.entry(kind).or_default();
        for at in 0..bytes.len() {
            counts.bytes += 1;
            let mut flipped = bytes.clone();
            // One bit, each time another: what checksums find hardest.
            flipped[at] ^= 1 << (at % 8);
            let what = || format!("byte {at} of {}", path.display());
            let Ok(archive) = in_memory(Some((path, flipped))) else {
                counts.refused += 1;
                continue;
            };
            let found =
                |read_data| check(&archive, read_data, &Silent).map_or(true, |report| !report.findings.is_empty());
            let read = read_all(&archive);
            if let Ok(seen) = &read {
                assert!(*seen == expected, "{}: an import would bring something else, in silence", what());
            }
            if found(false) {
                counts.by_check += 1;
            } else if found(true) {
                counts.by_read_data += 1;
            } else {
                assert!(read.is_ok(), "{}: `check --read-data` finds nothing, and it cannot be read", what());
                counts.harmless.push(at);
                harmless.push((path.clone(), at));
                continue;
            }
            counts.costs_nothing += usize::from(read.is_ok());
        }
    }
    for (kind, counts) in &kinds {
        let Counts { bytes, refused, by_check, by_read_data, costs_nothing, harmless } = counts;
        writeln!(
            io::stderr(),
            "{kind}: {bytes} bytes, {refused} refused by every verb, {by_check} found by check, {by_read_data} by check \
             --read-data only, of which {costs_nothing} cost nothing; {} harmless, 0 silent",
            harmless.len()
        )
        .unwrap();
        assert_eq!(refused + by_check + by_read_data + harmless.len(), *bytes);
    }
    // Everything has a checksum, and what a verb cannot do without is there twice.
    assert_eq!(harmless, []);
    assert!(kinds.values().all(|counts| counts.refused == 0));
    for header in ["wagon.json", "wagon-again.json"] {
        let Counts { bytes, by_check, costs_nothing, .. } = kinds[header];
        assert_eq!((by_check, costs_nothing), (bytes, bytes), "{header}");
    }
}
