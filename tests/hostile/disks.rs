//! A disk that is full, and one that takes nothing.

use crate::sites::{Names, assert_same};
use crate::world::{World, assert_says, contents, remount};
use std::fs;

const IMPORT: &str = "import --archive {}/archive --to {}/disk/target";
const ROOM: &str = "hint: make room and run the same command again; what is complete is kept";

#[test]
fn an_export_onto_a_full_disk_says_so_and_the_same_command_completes_once_there_is_room() {
    let mut world = World::with_source();
    let test = "an export onto a full disk";
    let Some(disk) = world.mount(test, "disk", 24) else { return };
    const EXPORT: &str = "export --from {}/source --archive {}/disk/archive";
    // From a disk without room for the first file to one that lacks the snapshot only.
    for kib in [4, 24, 64, 160, 300, 312] {
        remount(&disk, &format!("size={kib}k"));
        let said = world.run(EXPORT);
        if said.status.success() {
            assert!(kib > 300, "{kib} KiB hold the archive");
            break;
        }
        assert_eq!(said.status.code(), Some(1));
        assert_says(&String::from_utf8_lossy(&said.stderr), &["No space left on device", ROOM]);
        let left = contents(&disk);
        assert!(!left.keys().any(|path| path.to_string_lossy().contains(".tmp-")), "{:?}", left.keys());
    }
    remount(&disk, "size=16m");
    world.wagon(0, EXPORT);
    world.wagon(0, "check --archive {}/disk/archive --read-data");
    world.wagon(0, "import --archive {}/disk/archive --to {}/target");
    assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);
}

#[test]
fn an_import_onto_a_full_disk_stops_in_any_phase_and_the_same_command_brings_each_item_once() {
    let mut world = World::exported();
    let Some(disk) = world.mount("an import onto a full disk", "disk", 8) else { return };
    let mut stopped_at = Vec::new();
    // Databases, provisioning, folders, items, links and the ledger each meet the end of the disk at some size.
    for kib in [8, 64, 140, 220, 400, 700, 1200, 2000, 2600, 3000, 3200] {
        remount(&disk, "size=32m");
        drop(fs::remove_dir_all(disk.join("target")));
        remount(&disk, &format!("size={kib}k"));
        let out = world.run(IMPORT);
        if out.status.success() {
            continue;
        }
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(1), "{kib} KiB: {said}");
        assert_says(&said, &["No space left on device", ROOM]);
        stopped_at.push(said.lines().find(|line| line.starts_with("error: ")).unwrap().to_owned());
        remount(&disk, "size=32m");
        world.wagon(0, IMPORT);
        world.wagon(0, "verify --archive {}/archive --to {}/disk/target");
        assert_same(&world.path("source"), &disk.join("target"), Names::Kept, &[]);
    }
    let met = |what: &str| stopped_at.iter().any(|error| error.contains(what));
    assert!(met(".sqlite") && met("Maildir"), "{stopped_at:#?}");
}

#[test]
fn a_disk_that_fills_up_while_the_catalog_is_written_costs_no_snapshot() {
    let mut world = World::with_source();
    let Some(disk) = world.mount("a full disk under the cache", "disk", 16) else { return };
    const EXPORT: &str = "export --from {}/source --archive {}/archive --cache-dir {}/disk/cache";
    assert_says(&world.said(1, EXPORT), &["disk/cache", "No space left on device", "hint: "]);
    remount(&disk, "size=16m");
    world.wagon(0, EXPORT);
    world.wagon(0, "check --archive {}/archive --read-data");
    world.wagon(0, "import --archive {}/archive --to {}/target");
    assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);
}

#[test]
fn a_read_only_target_is_refused_and_can_still_be_looked_at() {
    let mut world = World::exported();
    let Some(disk) = world.mount("a read-only target", "disk", 32 * 1024) else { return };
    world.wagon(0, &format!("{IMPORT} --provisioning-only"));
    remount(&disk, "ro");
    let before = contents(&disk);
    assert_says(&world.said(1, IMPORT), &["error: cannot ", "disk/target/", "Read-only file system"]);
    assert_says(&world.said(1, "import --archive {}/archive --to {}/disk/new"), &["disk/new", "Read-only file system"]);
    assert_says(&world.said(1, "extract --archive {}/archive ann@station.example --output {}/disk/x"), &["disk/x"]);
    assert_says(&world.said(1, "export --from {}/source --archive {}/disk/archive"), &["Read-only file system"]);
    world.wagon(0, &format!("{IMPORT} --dry-run"));
    world.wagon(0, "map show --site {}/disk/target");
    world.wagon(0, "export --from {}/disk/target --archive {}/back");
    assert_eq!(contents(&disk), before);
    remount(&disk, "rw");
    world.wagon(0, IMPORT);
    remount(&disk, "ro");
    world.wagon(0, "verify --archive {}/archive --to {}/disk/target");
    assert_same(&world.path("source"), &disk.join("target"), Names::Kept, &[]);
}
