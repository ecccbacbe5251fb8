//! A source whose own files cannot be read: the pass lists them and goes on, and what they would say is not forgotten.

use crate::sites::{Names, assert_same};
use crate::world::{World, assert_says};
use stationwagon::site::directory::site_db;
use std::fs;
use std::path::{Path, PathBuf};

const EXPORT: &str = "export --from {}/source --archive {}/archive --verbose";

/// Puts something else in a file's or directory's place; gives the way back.
fn spoil(path: &Path, by: &dyn Fn(&Path)) -> impl FnOnce() + use<> {
    let (path, aside) = (path.to_owned(), aside(path));
    fs::rename(&path, &aside).unwrap();
    by(&path);
    move || {
        if path.is_dir() { fs::remove_dir_all(&path).unwrap() } else { drop(fs::remove_file(&path)) }
        fs::rename(&aside, &path).unwrap();
    }
}

fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap().to_str().unwrap();
    path.parent().unwrap().parent().unwrap().join(format!("{name}.aside"))
}

fn folder(path: &Path) {
    fs::create_dir(path).unwrap();
}

fn garbage(path: &Path) {
    fs::write(path, b"\0\0\0\xff\xfe nothing : of : the \x01 kind\nat all\n").unwrap();
}

fn looped(path: &Path) {
    std::os::unix::fs::symlink(path, path).unwrap();
}

type Damage<'a> = (&'a str, &'a dyn Fn(&Path));

const ALL: [Damage<'_>; 14] = [
    ("etc/passwd", &folder),
    ("etc/passwd", &garbage),
    ("etc/passwd", &looped),
    ("etc/virtual_alias", &folder),
    ("etc/virtual_alias", &garbage),
    ("etc/virtual_domains", &folder),
    ("etc/virtual_domains", &garbage),
    ("site.sqlite", &folder),
    ("site.sqlite", &garbage),
    ("site.sqlite", &looped),
    ("mail", &garbage),
    ("mail", &looped),
    ("dav", &garbage),
    ("mail/station.example", &looped),
];

/// The records and folders of the newest snapshot, without what numbers it.
fn archived(world: &World) -> String {
    let mut all = String::new();
    for what in ["show --kind account", "ls ann@station.example"] {
        drop(what);
    }
    for address in ["", " ann@station.example", " ann@station.example:calendars/personal"] {
        all += &world.said(0, &format!("ls --archive {{}}/archive{address}"));
    }
    all
}

#[test]
fn a_pass_that_cannot_read_the_sites_own_files_lists_them_and_takes_nothing_for_gone() {
    let world = World::exported();
    let before = archived(&world);
    for (file, damage) in ALL {
        let undo = spoil(&world.path("source").join(file), damage);
        let said = world.said(3, EXPORT);
        assert_says(&said, &["rejected", " 0 removed"]);
        assert!(said.contains(&format!("{file}")), "{file} is not named:\n{said}");
        assert_eq!(archived(&world), before, "{file}");
        undo();
    }
    world.wagon(0, "export --from {}/source --archive {}/archive");
    world.wagon(0, "import --archive {}/archive --to {}/target");
    assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);
}
