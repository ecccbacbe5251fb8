//! Two writers at once: the second is told who was first, and the first is not disturbed.

use crate::sites::{Names, assert_same};
use crate::world::{World, assert_says};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Enough work for a pass to be met in the middle of it.
fn busy_world() -> World {
    let world = World::with_source();
    let cur = world.path("source/mail/station.example/ann/Maildir/cur");
    for number in 0..8_u32 {
        let line = format!("{number} a line that is said again\r\n");
        let text = format!("Subject: long {number}\r\n\r\n{}", line.repeat(200_000));
        fs::write(cur.join(format!("170000000{number}.M1P1.long:2,S")), text).unwrap();
    }
    world
}

/// Starts `wagon` and halts it as soon as `holder` says that it has the lock.
fn halted(world: &World, line: &str, holder: &str) -> Child {
    let root = world.root.to_str().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_wagon"))
        .args(line.split_whitespace().map(|word| word.replace("{}", root)))
        .env("WAGON_CACHE_DIR", world.path("cache"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while fs::metadata(world.path(holder)).map_or(0, |meta| meta.len()) == 0 {
        assert!(began.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none(), "{line} is over");
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(&child, "-STOP");
    child
}

fn signal(child: &Child, which: &str) {
    assert!(Command::new("kill").args([which, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn the_second_export_is_told_who_is_first_and_since_when_and_a_dead_holder_is_no_obstacle() {
    let world = busy_world();
    const EXPORT: &str = "export --from {}/source --archive {}/archive";
    let mut first = halted(&world, EXPORT, "archive/lock.json");
    let said = world.said(6, &format!("{EXPORT} --cache-dir {{}}/other-cache"));
    let year = this_year();
    assert_says(&said, &["in use by ", &format!("(process {}) since {year}-", first.id()), "hint: wait until it ends"]);
    signal(&first, "-CONT");
    assert_eq!(first.wait().unwrap().code(), Some(0), "the first is not disturbed");
    world.wagon(0, "check --archive {}/archive --read-data");

    fs::remove_dir_all(world.path("archive")).unwrap();
    fs::remove_dir_all(world.path("cache")).unwrap();
    let mut dead = halted(&world, EXPORT, "archive/lock.json");
    dead.kill().unwrap();
    dead.wait().unwrap();
    world.wagon(0, EXPORT);
    world.wagon(0, "check --archive {}/archive --read-data");
}

#[test]
fn the_second_importer_is_refused_and_everything_arrives_once() {
    let world = busy_world();
    world.wagon(0, "export --from {}/source --archive {}/archive");
    const IMPORT: &str = "import --archive {}/archive --to {}/target";
    let mut first = halted(&world, IMPORT, "target/mail/wagon.example/frida/Maildir/dovecot-uidlist");
    let said = world.said(6, IMPORT);
    assert_says(
        &said,
        &["target is held by another program since ", &format!("(process {})", first.id()), "hint: wait"],
    );
    signal(&first, "-CONT");
    assert_eq!(first.wait().unwrap().code(), Some(0), "the first is not disturbed");
    assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);

    fs::remove_dir_all(world.path("target")).unwrap();
    let mut dead = halted(&world, IMPORT, "target/mail/wagon.example/frida/Maildir/dovecot-uidlist");
    dead.kill().unwrap();
    dead.wait().unwrap();
    world.wagon(0, IMPORT);
    assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);
}

fn this_year() -> String {
    let out = Command::new("date").args(["-u", "+%Y"]).output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}
