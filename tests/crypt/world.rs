//! A folder with the example site, keys, and the binary that is run in it.

use age::secrecy::ExposeSecret as _;
use assert_cmd::cargo::CommandCargoExt as _;
use stationwagon::fs::{Fs, RealFs};
use stationwagon::testing::example_site;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

pub struct World {
    dir: TempDir,
}

/// What a run said, standard output before standard error.
pub struct Said {
    pub status: i32,
    pub text: String,
}

impl World {
    /// The example site as `source`; `me.key` and `other.key` with their public keys in `me.pub` and `other.pub`.
    pub fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        example_site::build(&files(), &world.path("source")).unwrap();
        for name in ["me", "other"] {
            let identity = age::x25519::Identity::generate();
            let text = format!("# a key\n{}\n", identity.to_string().expose_secret());
            fs::write(world.path(&format!("{name}.key")), text).unwrap();
            fs::write(world.path(&format!("{name}.pub")), identity.to_public().to_string()).unwrap();
        }
        world
    }

    /// The same, exported for `me`.
    pub fn encrypted() -> Self {
        let world = Self::new();
        world.done("export --from source --archive archive --recipients-file me.pub");
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn a_day_passes(&self) {
        example_site::a_day_passes(&files(), &self.path("source")).unwrap();
    }

    pub fn run(&self, line: &str) -> Said {
        let mut command = Command::cargo_bin("wagon").unwrap();
        command.args(line.split_whitespace()).current_dir(self.dir.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WAGON_") || name == "XDG_CACHE_HOME") {
            command.env_remove(name);
        }
        let output = command.env("HOME", self.path("home")).stdin(std::process::Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        Said { status: output.status.code().unwrap_or(-1), text }
    }

    /// Runs what must succeed; what it said.
    pub fn done(&self, line: &str) -> String {
        let said = self.run(line);
        assert_eq!(said.status, 0, "{line}: {}", said.text);
        said.text
    }

    /// Runs what must be refused, and say all of `words`.
    pub fn refused(&self, line: &str, words: &[&str]) -> Said {
        let said = self.run(line);
        assert!(said.status != 0 && said.status != 70 && said.status != 101, "{line}: {} {}", said.status, said.text);
        for word in words {
            assert!(said.text.contains(word), "{line} says nothing of {word:?}:\n{}", said.text);
        }
        said
    }

    /// The files below, sorted.
    pub fn files(&self, below: &str) -> Vec<PathBuf> {
        fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(&path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        walk(&self.path(below), &mut found);
        found.sort();
        found
    }

    /// The only file below whose path has this in it.
    pub fn file(&self, below: &str, part: &str) -> PathBuf {
        let mut found = self.files(below);
        found.retain(|path| path.display().to_string().contains(part));
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    /// A copy of a folder under another name.
    pub fn copy(&self, from: &str, to: &str) {
        let status = Command::new("cp").arg("-a").arg(self.path(from)).arg(self.path(to)).status().unwrap();
        assert!(status.success());
    }
}

/// Changes one bit in the middle of a file.
pub fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn files() -> Arc<dyn Fs> {
    Arc::new(RealFs)
}
