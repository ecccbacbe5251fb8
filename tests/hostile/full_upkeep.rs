//! Upkeep on a disk that is full: it ends with a clear word, nothing is lost meanwhile, and the same command completes it
//! once there is room.

use crate::sites::{Names, assert_same};
use crate::world::{World, assert_says, contents, copy_tree, remount};
use stationwagon::fs::{Fs, RealFs};
use stationwagon::testing::example_site;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const ROOM: &str = "hint: make room and run the same command again; what is complete is kept";
const WIDE: &str = "size=64m";

/// KiB that a disk is given beside what lies on it: none, within the first file, between files, enough.
const EXTRA_KIB: [u64; 6] = [0, 4, 12, 40, 120, 4096];

fn used_kib(disk: &Path) -> u64 {
    let out = Command::new("df").args(["-k", "--output=used"]).arg(disk).output().unwrap();
    String::from_utf8(out.stdout).unwrap().lines().last().unwrap().trim().parse().unwrap()
}

/// Runs `line` on disks that end in different places, each time with `kept` as `disk/archive` or `disk/target`. After
/// every stop `sound` looks at what is there, and after the same line has been run again with room, `complete` does.
fn squeezed(
    world: &World,
    disk: &Path,
    kept: &Path,
    line: &str,
    sound: impl Fn(&World, &str),
    complete: impl Fn(&World, &str),
) {
    let place = disk.join(kept.file_name().unwrap());
    let (mut stopped, mut passed) = (0, 0);
    for extra in EXTRA_KIB {
        remount(disk, WIDE);
        drop(fs::remove_dir_all(&place));
        copy_tree(kept, disk);
        remount(disk, &format!("size={}k", used_kib(disk) + extra));
        let out = world.run(line);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let point = format!("{line} with {extra} KiB");
        remount(disk, WIDE);
        if out.status.success() {
            passed += 1;
        } else {
            stopped += 1;
            assert_eq!(out.status.code(), Some(1), "{point}: {said}");
            assert_says(&said, &["No space left on device", ROOM]);
            sound(world, &point);
            world.wagon(0, line);
        }
        let left: Vec<_> =
            contents(&place).into_keys().filter(|path| path.to_string_lossy().contains(".tmp-")).collect();
        assert!(left.is_empty(), "{point}: {left:?}");
        complete(world, &point);
    }
    assert!(stopped > 0 && passed > 0, "{line}: {stopped} stopped, {passed} passed");
}

/// Two days of the example site in `kept/archive`.
fn kept_archive(world: &World) {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    example_site::a_day_passes(&fs, &world.path("source")).unwrap();
    world.wagon(0, "export --from {}/source --archive {}/archive");
    fs::create_dir(world.path("kept")).unwrap();
    fs::rename(world.path("archive"), world.path("kept/archive")).unwrap();
}

fn reads_well(world: &World, point: &str) {
    let out = world.run("check --archive {}/disk/archive --read-data");
    assert!(out.status.success(), "{point}: {}", String::from_utf8_lossy(&out.stdout));
}

/// The newest snapshot gives the source.
fn gives_the_site(world: &World, point: &str) {
    reads_well(world, point);
    drop(fs::remove_dir_all(world.path("target")));
    world.wagon(0, "import --archive {}/disk/archive --to {}/target");
    assert_same(&world.path("source"), &world.path("target"), Names::MayDiffer, &[]);
}

#[test]
fn what_thins_out_and_rewrites_an_archive_stops_on_a_full_disk_and_completes_when_there_is_room() {
    let mut world = World::exported();
    kept_archive(&world);
    let Some(disk) = world.mount("upkeep on a full disk", "disk", 64 * 1024) else { return };
    let kept = world.path("kept/archive");
    squeezed(&world, &disk, &kept, "forget --archive {}/disk/archive --keep-last 1", reads_well, gives_the_site);
    squeezed(&world, &disk, &kept, "repack --archive {}/disk/archive", reads_well, gives_the_site);
    // Something to prune: what the first day had and the second has not.
    world.wagon(0, "forget --archive {}/kept/archive --keep-last 1");
    squeezed(&world, &disk, &kept, "prune --archive {}/disk/archive --max-unused 0", reads_well, gives_the_site);
    squeezed(&world, &disk, &kept, "protect --archive {}/disk/archive", reads_well, gives_the_site);
}

#[test]
fn a_repair_that_finds_no_room_makes_nothing_worse() {
    let mut world = World::exported();
    kept_archive(&world);
    let Some(disk) = world.mount("a repair on a full disk", "disk", 64 * 1024) else { return };
    let kept = world.path("kept/archive");
    let whole = contents(&kept);
    // Indexes alone are made again.
    fs::remove_dir_all(kept.join("index")).unwrap();
    squeezed(&world, &disk, &kept, "repair --archive {}/disk/archive", |_, _| {}, gives_the_site);
    // With parity, a pack comes back bit for bit.
    whole.iter().filter(|(path, _)| path.starts_with(kept.join("index"))).for_each(|(path, bytes)| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    });
    world.wagon(0, "protect --archive {}/kept/archive");
    let packs = whole.iter().filter(|(path, _)| path.starts_with(kept.join("packs")));
    let (largest, bytes) = packs.max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let mut damaged = bytes.clone();
    damaged[4096..8192].fill(0);
    fs::write(largest, damaged).unwrap();
    let name = Path::new("disk/archive").join(largest.strip_prefix(&kept).unwrap());
    squeezed(
        &world,
        &disk,
        &kept,
        "repair --archive {}/disk/archive",
        |_, _| {},
        |world, point| {
            assert!(fs::read(world.path(name.to_str().unwrap())).unwrap() == *bytes, "{point}: the pack is another");
            gives_the_site(world, point);
        },
    );
}

#[test]
fn shares_that_are_mended_on_a_full_disk_are_mended_by_the_same_command_when_there_is_room() {
    let mut world = World::exported();
    world.wagon(0, "import --archive {}/archive --to {}/kept/target");
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let pass = || {
        world.wagon(0, "export --from {}/source --archive {}/archive");
        world.wagon(0, "import --archive {}/archive --to {}/kept/target");
    };
    example_site::a_day_passes(&fs, &world.path("source")).unwrap();
    pass();
    example_site::a_last_day(&fs, &world.path("source")).unwrap();
    pass();
    example_site::an_old_mountpoint_comes_back(&fs, &world.path("kept/target")).unwrap();
    let Some(disk) = world.mount("shares on a full disk", "disk", 64 * 1024) else { return };
    let kept = world.path("kept/target");
    let map = "{}/disk/target/map_example.sqlite";
    let planned = world.wagon(0, "shares fix --site {}/kept/target --dry-run {}/kept/target/map_example.sqlite");
    assert!(planned.contains("Tender, from backup"), "{planned}");
    squeezed(
        &world,
        &disk,
        &kept,
        &format!("shares fix --site {{}}/disk/target {map}"),
        |_, _| {},
        |world, point| {
            let again = world.wagon(0, &format!("shares fix --site {{}}/disk/target --dry-run {map}"));
            assert!(!again.contains("Tender, from backup"), "{point}: {again}");
        },
    );
}
