//! Archives that are none, are newer, or are damaged.

use crate::sites::{Names, assert_same};
use crate::world::{World, assert_says, contents, copy_tree, first_file};
use std::fs;
use std::path::Path;

const VERBS: [&str; 6] = [
    "check --archive {}/bad",
    "snapshots --archive {}/bad",
    "ls --archive {}/bad",
    "import --archive {}/bad --to {}/target",
    "export --from {}/source --archive {}/bad",
    "extract --archive {}/bad ann@station.example --output {}/out",
];

fn every_verb_refuses(world: &World, words: &[&str]) {
    let before = contents(&world.path("bad"));
    for verb in VERBS {
        assert_says(&world.said(1, verb), words);
    }
    assert_eq!(contents(&world.path("bad")), before, "what is refused is not touched");
    assert!(!world.path("target/mail").exists() && !world.path("out").exists());
}

#[test]
fn what_is_not_an_archive_is_refused_and_left_as_it_is() {
    let world = World::with_source();
    fs::create_dir(world.path("bad")).unwrap();
    fs::write(world.path("bad/thesis.tex"), "years of work").unwrap();
    every_verb_refuses(&world, &["error: ", "bad"]);
    assert_says(&world.said(1, "ls --archive {}/bad"), &["not an archive", "hint: `wagon export"]);
    for text in ["", "not json", r#"{"archive":"other","format":1,"id":"a","created":0}"#, "[[[[[[[["] {
        fs::write(world.path("bad/wagon.json"), text).unwrap();
        every_verb_refuses(&world, &["error: ", "bad"]);
    }
}

#[test]
fn an_archive_of_a_newer_format_asks_for_a_newer_wagon_and_stays_as_it_is() {
    let world = World::exported();
    copy_tree(&world.path("archive"), &world.path("bad"));
    let header = fs::read_to_string(world.path("bad/wagon.json")).unwrap();
    let newer = header.replace("\"format\":1", "\"format\":3").replace("\"format\": 1", "\"format\": 3");
    assert_ne!(newer, header);
    ["bad/wagon.json", "bad/wagon-again.json"].iter().for_each(|name| fs::write(world.path(name), &newer).unwrap());
    every_verb_refuses(&world, &["hint: a newer wagon reads it"]);
}

fn damage(file: &Path, how: &str) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    if how == "flip" {
        bytes[middle] ^= 0x10
    } else {
        bytes.truncate(middle)
    }
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_damaged_pack_costs_only_what_is_named_and_comes_back_from_the_source() {
    for how in ["flip", "cut"] {
        let world = World::exported();
        let pack = first_file(&world.path("archive/packs"));
        damage(&pack, how);
        let found = world.said(5, "check --archive {}/archive --read-data --verbose");
        assert_says(&found, &["lost: ", pack.file_name().unwrap().to_str().unwrap()]);
        let said = world.said(3, "import --archive {}/archive --to {}/target --verbose");
        assert_says(&said, &["damaged in the archive: pack ", "ledger balances"]);
        for line in said.lines().filter(|line| line.starts_with("rejected ")) {
            let place = line.trim_start_matches("rejected ").split(": ").next().unwrap();
            assert!(found.contains(place), "{place} is rejected, and check does not name it:\n{found}");
        }
        // The source still has it all: without the damaged pack a deep pass stores again, and a pass imports the rest.
        fs::remove_file(&pack).unwrap();
        world.wagon(0, "export --from {}/source --archive {}/archive --deep");
        world.wagon(0, "check --archive {}/archive --read-data");
        world.wagon(0, "import --archive {}/archive --to {}/target");
        world.wagon(0, "verify --archive {}/archive --to {}/target");
        assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);
    }
}

#[test]
fn a_damaged_index_is_found_costs_nothing_and_is_mended_by_the_next_pass() {
    for how in ["flip", "cut"] {
        let world = World::exported();
        damage(&first_file(&world.path("archive/index")), how);
        assert_says(&world.said(5, "check --archive {}/archive"), &["the index cannot be used", "the next export"]);
        world.wagon(0, "import --archive {}/archive --to {}/target");
        assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);
        world.wagon(0, "export --from {}/source --archive {}/archive");
        world.wagon(0, "check --archive {}/archive --read-data");
    }
}

#[test]
fn a_damaged_snapshot_stops_the_import_with_its_name_and_nothing_is_built_on_it() {
    for how in ["flip", "cut"] {
        let world = World::exported();
        let snapshot = first_file(&world.path("archive/snapshots"));
        damage(&snapshot, how);
        let name = snapshot.file_name().unwrap().to_str().unwrap();
        assert_says(&world.said(5, "check --archive {}/archive --read-data"), &[name]);
        let hint = "hint: `wagon check --read-data` names everything that is damaged";
        assert_says(&world.said(1, "import --archive {}/archive --to {}/target"), &[name, hint]);
        let before = contents(&world.path("archive/snapshots"));
        fs::remove_dir_all(world.path("cache")).unwrap();
        let way_on = "hint: `wagon export --full` goes on without what cannot be read; `wagon check --read-data` names";
        assert_says(&world.said(1, "export --from {}/source --archive {}/archive"), &[name, way_on]);
        assert_eq!(contents(&world.path("archive/snapshots")), before);
        // Packs need no snapshot: with the damaged one out of the way nothing of them is stored again.
        fs::rename(&snapshot, world.path("aside")).unwrap();
        let said = world.said(0, "export --from {}/source --archive {}/archive");
        assert_says(&said, &["the archive grew by 0 B"]);
        world.wagon(0, "check --archive {}/archive --read-data");
        world.wagon(0, "import --archive {}/archive --to {}/target");
        assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);
    }
}
