//! A folder with an example site, and the binary that is run in it.

use assert_cmd::cargo::CommandCargoExt as _;
use stationwagon::fs::{Fs, RealFs};
use stationwagon::testing::example_site;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use tempfile::TempDir;

/// A folder of its own, gone afterwards.
pub struct Wagon {
    dir: TempDir,
}

/// What a run gave, ready to be compared: ids, times and paths are names.
pub struct Seen {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Wagon {
    /// An empty folder.
    pub fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// The example site as `source`, exported into `archive`.
    pub fn exported() -> Self {
        let wagon = Self::empty();
        example_site::build(&wagon.fs(), &wagon.path("source")).unwrap();
        let seen = wagon.run("export --from source --archive archive --label first");
        assert_eq!(seen.status, 0, "{}{}", seen.out, seen.err);
        wagon
    }

    /// The same, with the day after in a second snapshot.
    pub fn exported_twice() -> Self {
        let wagon = Self::exported();
        example_site::a_day_passes(&wagon.fs(), &wagon.path("source")).unwrap();
        assert_eq!(wagon.run("export --from source --archive archive").status, 0);
        wagon
    }

    pub fn fs(&self) -> Arc<dyn Fs> {
        Arc::new(RealFs)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The binary, in this folder, with nothing of the tester's own environment that it would heed.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::cargo_bin("wagon").unwrap();
        command.args(words(line)).current_dir(self.dir.path());
        for name in ["WAGON_ARCHIVE", "WAGON_CACHE_DIR", "XDG_CACHE_HOME", "NO_COLOR", "COLUMNS"] {
            command.env_remove(name);
        }
        command.env("HOME", self.dir.path().join("home"));
        command
    }

    pub fn run(&self, line: &str) -> Seen {
        self.seen(&self.command(line).output().unwrap())
    }

    pub fn seen(&self, output: &Output) -> Seen {
        let text = |bytes: &[u8]| self.filtered(&String::from_utf8_lossy(bytes));
        // Lines about speed differ from run to run.
        let err =
            text(&output.stderr).lines().filter(|line| !line.ends_with("/s")).map(|line| format!("{line}\n")).collect();
        Seen { status: output.status.code().unwrap_or(-1), out: text(&output.stdout), err }
    }

    fn filtered(&self, text: &str) -> String {
        let here = std::fs::canonicalize(self.dir.path()).unwrap();
        text.replace(&here.display().to_string(), "DIR").replace(&self.dir.path().display().to_string(), "DIR")
    }
}

/// Words of a line; one in quotes may hold spaces.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(at, part)| match at % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

/// Compares with the snapshot of that name. Times, ids and sizes of compressed data differ from run to run.
pub fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "TIME                ");
    settings.add_filter(r"grew by [0-9.]+ (K|M)?i?B", "grew by SIZE");
    settings.add_filter(r"(target|archive) [0-9a-f]{16}\b", "$1 ID");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// Every file below, relative, sorted.
pub fn files(root: &Path) -> Vec<String> {
    fn walk(root: &Path, dir: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort();
    found
}
