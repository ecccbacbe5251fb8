//! The real binary, killed at any moment: the same command again completes, and everything is as if nothing had happened.
//!
//! Each step of the story is run from the moment before it, killed after a time that chance chooses out of twice what an
//! undisturbed run takes, perhaps once more, and then left alone. CI kills a few times; the ignored test 500 times.

use crate::disk::Dice;
use crate::every_operation::{say, seed};
use crate::steps::{STEPS, Step};
use crate::story::Story;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub fn command_of(step: Step) -> String {
    let import = |no: u32, more: &str| format!("import --archive archive --to target --snapshot {no} {more}");
    match step {
        Step::Export => "export --from source --archive archive".to_owned(),
        Step::Provision(no) => import(no, "--provisioning-only"),
        Step::Import(no) => import(no, ""),
        Step::ImportAndDelete(no) => import(no, "--delete"),
        Step::ImportNewest => "import --archive archive --to target".to_owned(),
        Step::FixShares => "shares fix --site target target/map_example.sqlite".to_owned(),
        Step::Forget => "forget --archive archive --keep-last 2".to_owned(),
        Step::Prune => "prune --archive archive --max-unused 0".to_owned(),
        Step::Repack => "repack --archive archive".to_owned(),
        Step::Repair => "repair --archive archive".to_owned(),
    }
}

/// The binary in the story's folder.
pub fn command(story: &Story, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wagon"));
    command.args(line.split_whitespace()).current_dir(story.path("")).env("WAGON_CACHE_DIR", story.path("cache"));
    command.env_remove("WAGON_ARCHIVE").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Runs the step's command to its end, which must be a good one.
pub fn complete(story: &Story, step: usize, point: &str) {
    std::fs::create_dir_all(story.path("cache")).unwrap();
    let what = STEPS[step].2;
    let out = command(story, &command_of(what)).output().unwrap();
    // A repair that could not bring everything back says so.
    let wanted = if what == Step::Repair { 5 } else { 0 };
    assert_eq!(out.status.code(), Some(wanted), "{point}: {}", String::from_utf8_lossy(&out.stderr));
    let differences = story.differences(step);
    assert!(differences.is_empty(), "{point}: {differences:#?}");
}

/// Kills so many times. A moment is chosen within the shortest time that the step has taken so far, so that a machine that
/// had other work while that was measured is no reason to miss.
fn kill(times: u64) {
    let story = Story::told();
    let mut dice = Dice(seed());
    let (mut killed, mut finished) = (0, 0);
    let mut lasts = Vec::new();
    for (step, (name, ..)) in STEPS.iter().enumerate() {
        story.go_back(step);
        let began = Instant::now();
        complete(&story, step, name);
        lasts.push(began.elapsed());
    }
    for run in 0.. {
        if killed >= times {
            break;
        }
        assert!(run < 8 * times, "only {killed} of {run} runs could be killed");
        let step = (run % STEPS.len() as u64) as usize;
        let what = STEPS[step].2;
        story.go_back(step);
        let mut point = format!("kill {run} of {:?}", STEPS[step].0);
        for _ in 0..=dice.roll(2) {
            let after = Duration::from_micros(dice.roll(lasts[step].as_micros() as u64));
            let began = Instant::now();
            let mut child = command(&story, &command_of(what)).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(after);
            child.kill().unwrap();
            match child.wait().unwrap().code() {
                None => killed += 1,
                Some(0 | 5) => {
                    finished += 1;
                    lasts[step] = lasts[step].min(began.elapsed());
                }
                Some(other) => panic!("{point}: status {other}"),
            }
            point += &format!(", after {after:?}");
            if what.writes_archive() {
                // Nobody has to wait for the second run: what was there can be read all the time.
                let harm = story.new_harm(step);
                assert!(harm.is_none(), "{point}: {harm:#?}");
                if story.path("archive/wagon.json").exists() {
                    look(&story, &mut dice, &point);
                }
            }
        }
        complete(&story, step, &point);
    }
    say(&format!("faults: killed {killed} times, {finished} runs were quicker; all completed afterwards"));
}

/// A check of what a kill has left, which may be killed as well.
fn look(story: &Story, dice: &mut Dice, point: &str) {
    let mut check = command(story, "check --archive archive --read-data").stderr(Stdio::null()).spawn().unwrap();
    if dice.roll(2) == 0 {
        std::thread::sleep(Duration::from_micros(dice.roll(5000)));
        check.kill().unwrap();
    }
    // 5: an index that is not there yet, say.
    let end = check.wait().unwrap().code();
    assert!(matches!(end, None | Some(0 | 5)), "{point}: check ended with {end:?}");
}

#[test]
fn a_pass_that_is_killed_at_any_moment_is_completed_by_the_same_command() {
    kill(20);
}

#[test]
#[ignore = "minutes: 500 kills; docs/measurements.md says what came of it"]
fn five_hundred_kills() {
    kill(500);
}

#[test]
fn a_commit_of_the_site_s_database_that_was_cut_off_keeps_nobody_from_importing() {
    let story = Story::told();
    let step = STEPS.iter().position(|(name, ..)| *name == "first import").unwrap();
    story.go_back(step);
    let (path, copy) = (story.path("target/site.sqlite"), story.beside("torn"));
    std::fs::create_dir(&copy).unwrap();
    let mut db = rusqlite::Connection::open(&path).unwrap();
    // Small enough a cache that pages go to the file before the commit.
    db.pragma_update(None, "cache_size", 1).unwrap();
    let change = db.transaction().unwrap();
    change.execute_batch("CREATE TABLE cut (x); INSERT INTO cut SELECT randomblob(900) FROM record").unwrap();
    for name in ["site.sqlite", "site.sqlite-journal"] {
        std::fs::copy(story.path("target").join(name), copy.join(name)).unwrap();
    }
    drop(change);
    drop(db);
    for name in ["site.sqlite", "site.sqlite-journal"] {
        std::fs::copy(copy.join(name), story.path("target").join(name)).unwrap();
    }
    complete(&story, step, "a torn commit");
}
