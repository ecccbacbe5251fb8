//! Every message in `fixtures/oddities/` comes back byte for byte, is described, and lies in the example site.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

use stationwagon::fs::{Fs, RealFs};
use stationwagon::message::{encode_recipe, join, split};
use stationwagon::model::id::ObjectId;
use stationwagon::testing::example_site;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

fn messages() -> BTreeMap<String, Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/oddities");
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| (file.file_stem().unwrap().to_string_lossy().into_owned(), fs::read(&file).unwrap())).collect()
}

#[test]
fn each_message_taken_apart_and_joined_is_the_same() {
    for (name, raw) in messages() {
        // Nothing to take out, or no exact way back: such a message is stored whole.
        let Some(split) = split(&raw) else { continue };
        let skeleton = ObjectId::of(&split.skeleton);
        let mut objects: BTreeMap<_, _> = split.parts.iter().map(|part| (part.id, part.bytes.to_vec())).collect();
        let recipe = encode_recipe(&skeleton, split.trace);
        objects.insert(skeleton, split.skeleton);
        let mut joined = Vec::new();
        let mut fetch = |id: &ObjectId, _| objects.get(id).cloned().ok_or("no such object");
        join(&recipe, raw.len() as u64, &mut fetch, &mut joined).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(joined == raw, "{name} came back otherwise");
    }
}

#[test]
fn each_message_is_in_the_readme_and_on_the_example_site() {
    let dir = tempfile::tempdir().unwrap();
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    example_site::build_tree(&fs, dir.path()).unwrap();
    let oddities = dir.path().join("mail/station.example/postmaster/Maildir/.Oddities/cur");
    let present: Vec<_> =
        fs::read_dir(oddities).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    let readme = include_str!("../fixtures/README.md");
    for (name, raw) in messages() {
        assert!(readme.contains(&format!("| `{name}` |")), "{name} is not in fixtures/README.md");
        assert!(present.contains(&raw), "{name} is not on the example site");
    }
}
