//! Running the reader, and what its stories look at.

use crate::sites::Place;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn has_python() -> bool {
    let version = Command::new("python3").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

pub fn has_age() -> bool {
    Command::new("age").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// wagon_restore.py with these words; `{}` stands for the place. No identity is given.
pub fn command(place: &Place, line: &str) -> Command {
    let arguments = line.split_whitespace().map(|word| word.replace("{}", place.root.to_str().unwrap()));
    let mut command = Command::new("python3");
    command
        .arg(repository().join("format-spec/reader/wagon_restore.py"))
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("WAGON_IDENTITY")
        .stdin(Stdio::null());
    command
}

/// What it wrote to both outputs, and its status; it never ends with a traceback.
pub fn outcome(command: &mut Command) -> (String, i32) {
    let out = command.output().unwrap();
    let text = [out.stdout, out.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(!text.contains("Traceback"), "{command:?}\n{text}");
    (text, out.status.code().unwrap())
}

/// Runs it with the identity of the golden archive.
pub fn reader(place: &Place, line: &str) -> (String, i32) {
    outcome(command(place, line).env("WAGON_IDENTITY", golden_key()))
}

pub fn reads_well(place: &Place, line: &str) -> String {
    let (text, status) = reader(place, line);
    assert_eq!(status, 0, "{line}\n{text}");
    text
}

/// Runs what must end with status 1 and say all of `words`.
pub fn refuses(place: &Place, line: &str, words: &[&str]) -> String {
    let (text, status) = reader(place, line);
    assert_eq!(status, 1, "{line}\n{text}");
    for word in words {
        assert!(text.contains(word), "{line} says nothing of {word:?}:\n{text}");
    }
    text
}

/// What opens the golden archive that is encrypted.
pub fn golden_key() -> PathBuf {
    repository().join("fixtures/keys/golden.key")
}

/// The golden archive that is encrypted, signed and protected, as `name`.
pub fn golden(place: &Place, name: &str) -> PathBuf {
    copy_tree(&repository().join("fixtures/archives/v2"), &place.path(name));
    place.path(name)
}

pub fn is_encrypted(archive: &Path) -> bool {
    fs::read_to_string(archive.join("wagon.json")).unwrap().contains("\"encryption\"")
}

/// The files of snapshots, oldest first.
pub fn snapshots_of(archive: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        fs::read_dir(archive.join("snapshots")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_none_or(|ending| ending != "minisig"));
    found.sort();
    found
}

/// What lies below a folder, by its path there.
pub fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(dir: &Path, root: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, dir, &mut found);
    found
}

pub fn copy_tree(from: &Path, to: &Path) {
    for (path, bytes) in tree(from) {
        fs::create_dir_all(to.join(&path).parent().unwrap()).unwrap();
        fs::write(to.join(path), bytes).unwrap();
    }
}

/// Changes what the function says of a file.
pub fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    how(&mut bytes);
    fs::write(path, bytes).unwrap();
}
