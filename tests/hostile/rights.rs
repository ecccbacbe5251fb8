//! A source of which the exporting user may not read everything.

use crate::sites::{Names, assert_same, skip};
use crate::world::{World, assert_says, is_root};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::path::Path;
use std::process::{Command, Output};

const NOBODY: u32 = 65_534;

fn own_all(dir: &Path) {
    lchown(dir, Some(NOBODY), Some(NOBODY)).unwrap();
    if dir.is_dir() && !dir.is_symlink() {
        fs::read_dir(dir).unwrap().for_each(|entry| own_all(&entry.unwrap().path()));
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Runs `wagon` as somebody whom modes bind; the binary is copied to where that one can reach it.
fn as_nobody(world: &World, line: &str) -> Output {
    let (root, wagon) = (world.root.to_str().unwrap(), world.path("wagon"));
    if !wagon.exists() {
        fs::copy(env!("CARGO_BIN_EXE_wagon"), &wagon).unwrap();
    }
    Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(wagon)
        .args(line.split_whitespace().map(|word| word.replace("{}", root)))
        .env("WAGON_CACHE_DIR", world.path("cache"))
        .output()
        .unwrap()
}

#[test]
fn what_may_not_be_read_is_listed_the_rest_is_exported_and_later_nothing_is_missing() {
    if !is_root() || Command::new("setpriv").arg("--version").output().is_err() {
        return skip("what may not be read", "needs root, to become somebody else, and setpriv");
    }
    let world = World::with_source();
    let mail = world.path("source/mail/station.example");
    own_all(&world.root);
    let message = fs::read_dir(mail.join("ann/Maildir/cur")).unwrap().next().unwrap().unwrap().path();
    let closed = [mail.join("ann/Maildir/.Sent"), mail.join("bert/Maildir/.Junk/cur"), mail.join("clara"), message];
    let open: Vec<_> = closed.iter().map(|path| path.metadata().unwrap().permissions().mode()).collect();
    closed.iter().for_each(|path| mode(path, 0));
    const EXPORT: &str = "export --from {}/source --archive {}/archive --verbose";
    // The second pass has a catalog, and must not take for deleted what it may not see.
    for _ in 0..2 {
        let out = as_nobody(&world, EXPORT);
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(3), "{said}");
        let name = closed[3].file_name().unwrap().to_str().unwrap().split(":2,").next().unwrap();
        let item = format!("rejected ann@station.example:INBOX/{name}: unreadable");
        let folders = ["ann@station.example:Sent: unreadable", "bert@station.example:Junk: unreadable"];
        assert_says(&said, &[&item, folders[0], folders[1], "rejected clara@station.example: unreadable", "denied"]);
    }
    closed.iter().zip(open).for_each(|(path, bits)| mode(path, bits));
    let out = as_nobody(&world, EXPORT);
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));

    // Rights that are lost later take nothing away from what is in the archive.
    mode(&closed[0], 0);
    let out = as_nobody(&world, EXPORT);
    let said = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(3), "{said}");
    assert_says(&said, &["0 removed"]);
    mode(&closed[0], 0o700);

    // Nor do the site's own files, and the trees.
    for file in ["etc/passwd", "etc/virtual_alias", "etc/virtual_domains", "site.sqlite", "mail", "dav", "etc"] {
        let path = world.path("source").join(file);
        let bits = path.metadata().unwrap().permissions().mode();
        mode(&path, 0);
        let out = as_nobody(&world, EXPORT);
        mode(&path, bits);
        let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(3), "{file}: {said}");
        assert_says(&said, &["0 added, 0 changed, 0 moved, 0 removed", file]);
    }
    world.wagon(0, "import --archive {}/archive --to {}/target");
    assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);
}
