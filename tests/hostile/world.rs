//! The example site in a folder of its own, and what the stories here look at.

use crate::sites::Place;
use stationwagon::fs::{Fs, RealFs};
use stationwagon::testing::example_site;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// A folder that is gone afterwards; what is mounted in it first.
pub struct World {
    place: Place,
    mounts: Vec<PathBuf>,
    _dir: TempDir,
}

impl Deref for World {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for mount in &self.mounts {
            drop(Command::new("umount").arg("--lazy").arg(mount).status());
        }
    }
}

impl World {
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { place: Place::at(dir.path()), mounts: Vec::new(), _dir: dir }
    }

    /// In a folder that is alone in another, so that whatever lands beside it shows.
    pub fn enclosed() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inside");
        fs::create_dir(&inner).unwrap();
        Self { place: Place::at(&inner), mounts: Vec::new(), _dir: dir }
    }

    /// With the example site as `source`.
    pub fn with_source() -> Self {
        let world = Self::empty();
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        example_site::build(&fs, &world.path("source")).unwrap();
        world
    }

    /// With the example site exported into `archive`.
    pub fn exported() -> Self {
        let world = Self::with_source();
        world.wagon(0, "export --from {}/source --archive {}/archive");
        world
    }

    /// Makes a site of one domain, `h.example`, with these accounts.
    pub fn site(&self, users: &[&str]) {
        let etc = self.path("source/etc");
        fs::create_dir_all(&etc).unwrap();
        fs::write(etc.join("virtual_domains"), "h.example OK\n").unwrap();
        let passwd: String = users.iter().map(|user| format!("{user}@h.example:{{PLAIN}}secret::::::\n")).collect();
        fs::write(etc.join("passwd"), passwd).unwrap();
        for user in users {
            make_folder(&self.maildir(user));
        }
    }

    pub fn maildir(&self, user: &str) -> PathBuf {
        self.path("source/mail/h.example").join(user).join("Maildir")
    }

    /// Runs `wagon`, which must end with `status`; returns what it wrote to standard output and to standard error.
    pub fn said(&self, status: i32, line: &str) -> String {
        let out = self.run(line);
        let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(status), "wagon {line}\n{said}");
        said.into_owned()
    }

    /// Mounts a file system of so many KiB at `name`; nothing, and a word about it, where that may not be done.
    pub fn mount(&mut self, test: &str, name: &str, kib: u64) -> Option<PathBuf> {
        let dir = self.path(name);
        fs::create_dir_all(&dir).unwrap();
        let options = format!("size={kib}k,mode=755");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&dir).output();
        if !mount.is_ok_and(|out| out.status.success()) {
            crate::sites::skip(test, "a file system can be mounted by root only");
            return None;
        }
        self.mounts.push(dir.clone());
        Some(dir)
    }
}

/// Changes a mounted file system: `ro`, `rw`, `size=…`.
pub fn remount(dir: &Path, option: &str) {
    let status = Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(dir).status().unwrap();
    assert!(status.success());
}

pub fn make_folder(dir: &Path) {
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(dir.join(sub)).unwrap();
    }
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

pub fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in:\n{said}");
    }
}

/// Every file below, with its content.
pub fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(contents(&path));
        } else if path.is_file() {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// The one file with this ending below, the first by name.
pub fn first_file(dir: &Path) -> PathBuf {
    contents(dir).into_keys().next().unwrap()
}

pub fn copy_tree(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}
