//! The files of an archive as a test damages and compares them.

use crate::world::Impatient;
use stationwagon::archive::Archive;
use stationwagon::event::Sink;
use stationwagon::fs::RealFs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

pub fn copy_tree(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
}

/// The file of snapshot `no`.
pub fn snapshot_file(archive: &Path, no: u32) -> PathBuf {
    let begin = format!("{no:08}-");
    let mut files = files_below(&archive.join("snapshots")).into_iter();
    files.find(|file| file.file_name().unwrap().to_str().unwrap().starts_with(&begin)).unwrap()
}

/// Where the gzip members of a snapshot begin and what they hold.
pub fn members(file: &Path) -> Vec<(std::ops::Range<usize>, String)> {
    let bytes = std::fs::read(file).unwrap();
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        let mut rest = &bytes[at..];
        let mut tar = Vec::new();
        std::io::Read::read_to_end(&mut flate2::bufread::GzDecoder::new(&mut rest), &mut tar).unwrap();
        let end = bytes.len() - rest.len();
        let name = tar[..100].split(|&byte| byte == 0).next().unwrap();
        found.push((at..end, String::from_utf8(name.to_vec()).unwrap()));
        at = end;
    }
    found
}

/// Makes a file unreadable from the middle on.
pub fn spoil(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    let end = bytes.len().min(at + 64);
    bytes[at..end].fill(0x5a);
    std::fs::write(file, bytes).unwrap();
}

/// Stops `work` on a copy of the archive at each event that it emits; `after` looks at what that leaves. How often.
pub fn stopped_anywhere(archive: &Path, work: impl Fn(&Archive, &dyn Sink), after: impl Fn(&Path, usize)) -> usize {
    let dir = tempfile::tempdir().unwrap();
    for events in 0.. {
        let copy = dir.path().join(format!("stopped-{events}"));
        copy_tree(archive, &copy);
        let stopped = {
            let opened = Archive::open(Arc::new(RealFs), &copy).unwrap();
            let impatient = Impatient::after(events);
            work(&opened, &impatient);
            impatient.interrupted()
        };
        after(&copy, events);
        std::fs::remove_dir_all(copy).unwrap();
        if !stopped {
            return events;
        }
    }
    unreachable!("work ends")
}
