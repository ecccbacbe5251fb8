//! A map that somebody else wrote, asked everything that a map is asked. SQLite reads files only, so it becomes one.

use stationwagon::map::{Map, MapError};
use stationwagon::model::id::ItemId;
use stationwagon::model::mailbox::{FolderKey, FolderKind};
use stationwagon::model::provisioning::RecordKind;
use stationwagon::verbs::show::map::{each_line, summary};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where SQLite says what a file is: its journal (2: a log beside it), its version of the schema, and whose it is.
const JOURNAL: std::ops::Range<usize> = 18..20;
const VERSION: std::ops::Range<usize> = 60..64;
const APPLICATION: std::ops::Range<usize> = 68..72;

/// A file of its own for each input, gone afterwards with what SQLite puts beside it.
struct Scratch(PathBuf);

impl Scratch {
    fn of(bytes: &[u8]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = dir.join(format!("wagon-fuzz-{}-{number}.sqlite", std::process::id()));
        fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut path = self.0.clone().into_os_string();
            path.push(suffix);
            let _ = fs::remove_file(path);
        }
    }
}

/// The bytes as they are, and as a file that is ours by its header. Reading changes nothing and comes to an end.
pub fn map(bytes: &[u8]) {
    ask(bytes);
    let mut ours = bytes.to_vec();
    let mut put = |range: std::ops::Range<usize>, value: &[u8]| {
        if let Some(field) = ours.get_mut(range) {
            field.copy_from_slice(value);
        }
    };
    put(0..16, b"SQLite format 3\0");
    put(JOURNAL, &[1, 1]);
    put(VERSION, &2_u32.to_be_bytes());
    put(APPLICATION, &0x5767_4d70_u32.to_be_bytes());
    if ours != bytes {
        ask(&ours);
    }
}

fn ask(bytes: &[u8]) {
    let scratch = Scratch::of(bytes);
    if let Ok(map) = Map::read(&scratch.0) {
        // Each question by itself: a table that is damaged keeps nobody from asking for another.
        let _ = (summary(&map), each_line(&map, |_| Ok::<(), MapError>(())));
        let _ = (map.record_keys(), map.progress(), map.mountpoints(), map.grants(), map.pending(), map.conflicts());
        let _ = (map.trusted(), map.folders_without_uids());
        let inbox = FolderKey::new(FolderKind::Mail, "INBOX").unwrap();
        for record in map.records().unwrap_or_default().into_iter().take(8) {
            let _ = (map.record(record.id), map.record_at_target(record.kind, &record.target_key));
            let _ = map.record_once_called(RecordKind::Account, &record.source_key);
            let _ = (map.folders(record.id), map.folder_once_at(record.id, &inbox), map.open_intents(record.id));
            let _ = (map.settings(record.id), map.grants_of(record.id));
            let mut last = None;
            let each = map.each_item(record.id, |item| {
                last = Some(item.id);
                Ok::<(), MapError>(())
            });
            let _ = (each, map.item(record.id, last.unwrap_or(ItemId(1))));
        }
    }
    assert_eq!(fs::read(&scratch.0).unwrap(), bytes, "a map that is read is not written");
}
