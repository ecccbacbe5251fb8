//! Faults below SQLite, which writes and syncs its files itself: `strace` lets single system calls of the real program
//! on the map, the catalog and `site.sqlite` end with an error. The same command again completes.

use crate::every_operation::{say, seed, setting};
use crate::kills::{command, command_of, complete};
use crate::sites::skip;
use crate::steps::STEPS;
use crate::story::{Story, remove};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Each step that is disturbed, and its databases. An export's catalog has a name of its own below the cache.
const DISTURBED: [(&str, &[&str]); 4] = [
    ("second export", &[]),
    ("first import", &["target/map_example.sqlite", "target/site.sqlite"]),
    ("import with conflicts", &["target/map_example.sqlite", "target/site.sqlite"]),
    ("shares fix", &["target/site.sqlite"]),
];

/// The call, how it ends, and whether every later one ends so too.
const FAULTS: [(&str, &str, &str); 4] = [
    ("pwrite64", "EIO", ""),
    ("pwrite64", "ENOSPC", "+"),
    ("fdatasync,fsync", "EIO", ""),
    ("ftruncate,unlink", "EIO", ""),
];

/// The program under `strace`, which sees calls on these files only.
fn traced(story: &Story, step: usize, files: &[PathBuf], calls: &str, inject: Option<String>) -> Command {
    let plain = command(story, &command_of(STEPS[step].2));
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-e", "signal=none", "-o"]).arg(story.beside("calls"));
    for file in files {
        traced.arg("-P").arg(file);
    }
    traced.args(["-e", &format!("trace={calls}")]);
    if let Some(inject) = inject {
        traced.args(["-e", &format!("inject={inject}")]);
    }
    traced.arg(plain.get_program()).args(plain.get_args()).current_dir(story.path(""));
    traced.env("WAGON_CACHE_DIR", story.path("cache")).env_remove("WAGON_ARCHIVE");
    traced
}

/// At most so many points of each step and kind of fault.
fn below_the_databases(most: u64) {
    let works = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    if !works.is_ok_and(|out| out.status.success()) {
        return skip("faults below SQLite", "strace is not installed or may not trace");
    }
    let story = Story::told();
    let (mut tried, mut there, mut ended_well) = (0, 0, 0);
    for (name, databases) in DISTURBED {
        let step = STEPS.iter().position(|(other, ..)| *other == name).unwrap();
        let prepare = || {
            story.go_back(step);
            remove(&story.path("cache"));
            fs::create_dir_all(story.path("cache")).unwrap();
        };
        prepare();
        complete(&story, step, name);
        let mut databases: Vec<_> = databases.iter().map(|name| story.path(name)).collect();
        if databases.is_empty() {
            let files = crate::story::files_below(&story.path("cache")).into_iter();
            databases.extend(files.filter(|file| file.extension().is_some_and(|suffix| suffix == "sqlite")));
        }
        assert!(!databases.is_empty(), "{name}");
        let beside =
            |file: &PathBuf| ["", "-wal", "-journal"].map(|end| PathBuf::from(format!("{}{end}", file.display())));
        let files: Vec<_> = databases.iter().flat_map(beside).collect();
        for (calls, error, later) in FAULTS {
            prepare();
            assert!(traced(&story, step, &files, calls, None).output().unwrap().status.success(), "{name}");
            let count = fs::read_to_string(story.beside("calls")).unwrap().lines().count() as u64;
            let every = count.div_ceil(most).max(1);
            for at in (1 + seed() % every..=count).step_by(every as usize) {
                prepare();
                let inject = format!("{calls}:error={error}:when={at}{later}");
                let out = traced(&story, step, &files, calls, Some(inject.clone())).output().unwrap();
                let said = String::from_utf8_lossy(&out.stderr);
                let point = format!("{name}: {inject}: {:?}: {said}", out.status.code());
                assert!(matches!(out.status.code(), Some(0 | 1 | 3)), "{point}");
                ended_well += u64::from(out.status.success());
                complete(&story, step, &point);
                tried += 1;
            }
            there += count;
        }
    }
    say(&format!("faults: below SQLite: {tried} of {there} calls, all survived, {ended_well} of them within the run"));
    assert!(tried >= 20, "{tried}");
}

#[test]
fn an_error_below_a_database_costs_a_second_run_and_nothing_else() {
    below_the_databases(3);
}

#[test]
#[ignore = "half an hour, less with WAGON_FAULTS=NUMBER: every call on every database; docs/measurements.md says what came of it"]
fn an_error_at_every_call_below_a_database() {
    below_the_databases(setting("").map_or(u64::MAX, |most| most.parse().unwrap()));
}
