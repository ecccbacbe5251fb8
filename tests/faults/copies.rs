//! rsync of an archive while it is written and pruned: the copy is a valid archive.
//!
//! As docs/moving-a-site.md has it: snapshots first, then the rest; and where a prune may run meanwhile, under the lock
//! that every reader shares, which `flock` of any Linux takes.

use crate::kills::command;
use crate::sites::skip;
use crate::story::{Story, remove};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

const IN_TWO_STEPS: &str = "rsync -a --exclude=.tmp-* archive/snapshots COPY/ && \
    rsync -a --exclude=.tmp-* --exclude=/.wagon-* --exclude=/lock.json --exclude=/snapshots archive/ COPY/";

/// The status with which the program ends.
fn run(story: &Story, line: &str) -> i32 {
    command(story, line).stderr(Stdio::null()).status().unwrap().code().unwrap()
}

/// Copies until it is told to stop, each time into a folder of its own, and counts.
fn copy_all_the_time(dir: &Path, how: &str, stop: &AtomicBool, made: &AtomicU32) {
    while !stop.load(SeqCst) {
        let copy = format!("copy-{}", made.load(SeqCst));
        fs::create_dir(dir.join(&copy)).unwrap();
        let out = Command::new("sh").args(["-c", &how.replace("COPY", &copy)]).current_dir(dir).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        made.fetch_add(1, SeqCst);
        // Whoever waits for readers gets its turn.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Tells the copier to stop, also when an assertion fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

fn deliver(site: &Path, number: u32) {
    let text = format!("Subject: letter {number}\n\n{}", format!("line {number}\n").repeat(200));
    let new = site.join("mail/station.example/ann/Maildir/new");
    fs::write(new.join(format!("1715{number:06}.M1P1.late")), text).unwrap();
}

/// Exports again and again, with a `forget` and a `prune` now and then if so wished, while copies are taken; then each
/// copy is checked, and the last ones imported. How many copies, and how often something was pruned.
fn copies_of_a_lively_archive(how: &str, with_prune: bool) -> (u32, u32) {
    let story = Story::begin_small();
    fs::create_dir(story.path("cache")).unwrap();
    assert_eq!(run(&story, "export --from source --archive archive"), 0);
    let stop = AtomicBool::new(false);
    let dir = story.path("");
    let made = AtomicU32::new(0);
    let (dir, stop, made) = (&dir, &stop, &made);
    let pruned = std::thread::scope(|scope| {
        let copying = scope.spawn(move || copy_all_the_time(dir, how, stop, made));
        let over = Over(stop);
        let mut pruned = 0;
        for round in 0..200 {
            if round >= 12 && made.load(SeqCst) >= 8 {
                break;
            }
            deliver(&story.path("source"), round);
            assert_eq!(run(&story, "export --from source --archive archive"), 0);
            if with_prune && round % 3 == 2 {
                // 6: there was a reader all the time.
                let ends = ["forget --archive archive --keep-last 2", "repack --archive archive --level 1"]
                    .map(|line| run(&story, line));
                assert!(ends.iter().all(|end| matches!(end, 0 | 6)), "{ends:?}");
                pruned += u32::from(ends == [0, 0]);
            }
        }
        drop(over);
        copying.join().unwrap();
        pruned
    });
    let copies = made.load(SeqCst);
    for copy in 0..copies {
        let line = format!("check --archive copy-{copy} --read-data");
        let out = command(&story, &line).stdout(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success() || lacks_new_indexes_only(&said), "{line}: {said}");
    }
    for copy in (0..copies).rev().take(3) {
        remove(&story.path("target"));
        assert_eq!(run(&story, &format!("import --archive copy-{copy} --to target")), 0);
        assert_eq!(run(&story, &format!("verify --archive copy-{copy} --to target")), 0);
    }
    (copies, pruned)
}

/// Whether all that a check found are packs without an index: a pack that was published after rsync had listed `index/`. No
/// snapshot of the copy needs it, and the next copy brings its index.
fn lacks_new_indexes_only(said: &str) -> bool {
    let mut paragraphs = said.split("\n\n").skip(1);
    let found = paragraphs.next().unwrap_or_default();
    let only = found.lines().all(|line| line.starts_with("index/") && line.contains("(it is missing)"));
    only && paragraphs.next().is_some_and(|next| next.starts_with("what to do"))
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

#[test]
fn copies_in_two_steps_taken_all_the_time_while_exports_run_are_valid_archives() {
    if !has("rsync") {
        return skip("copies while exports run", "rsync is not installed");
    }
    let (copies, _) = copies_of_a_lively_archive(IN_TWO_STEPS, false);
    crate::every_operation::say(&format!("faults: {copies} copies were taken during exports, all valid"));
    assert!(copies >= 8);
}

#[test]
fn copies_under_the_readers_lock_are_valid_archives_whatever_is_forgotten_and_pruned_meanwhile() {
    if !has("rsync") || !has("flock") {
        return skip("copies while a prune runs", "rsync or flock is not installed");
    }
    let (copies, pruned) =
        copies_of_a_lively_archive(&format!("flock -s archive/wagon.json sh -c '{IN_TWO_STEPS}'"), true);
    crate::every_operation::say(&format!(
        "faults: {copies} copies were taken, {pruned} prunes ran meanwhile, all valid"
    ));
    assert!(copies >= 8 && pruned > 0);
}
