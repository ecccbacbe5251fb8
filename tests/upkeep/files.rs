//! The files of an archive as a test damages and compares them.

use std::path::{Path, PathBuf};

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

/// Makes a file unreadable from the middle on.
pub fn spoil(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    let end = bytes.len().min(at + 64);
    bytes[at..end].fill(0x5a);
    std::fs::write(file, bytes).unwrap();
}
