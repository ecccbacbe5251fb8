//! Several programs at once: importers into one target, an export and a prune, and rsync of an archive that is being
//! written.

use crate::kills::command;
use crate::sites::skip;
use crate::steps::STEPS;
use crate::story::Story;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn said(story: &Story, status: i32, line: &str) -> String {
    let out = command(story, line).stdout(std::process::Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(status), "wagon {line}\n{said}");
    said
}

fn step(name: &str) -> usize {
    STEPS.iter().position(|(other, ..)| *other == name).unwrap()
}

#[test]
fn of_several_importers_into_one_target_one_works_and_the_others_are_told_so() {
    let story = Story::told();
    let first = step("first import");
    story.go_back(first);
    let line = "import --archive archive --to target --snapshot 1";
    let children: Vec<_> = (0..4).map(|_| command(&story, line).spawn().unwrap()).collect();
    let ends: Vec<_> = children.into_iter().map(|mut child| child.wait().unwrap().code()).collect();
    assert!(ends.contains(&Some(0)), "{ends:?}");
    assert!(ends.iter().all(|end| matches!(end, Some(0 | 6))), "{ends:?}");
    let differences = story.differences(first);
    assert!(differences.is_empty(), "{ends:?}: {differences:#?}");
}

fn rsync(story: &Story, what: &str) -> bool {
    let mut command = Command::new("rsync");
    command.arg("-a").args(what.split_whitespace()).current_dir(story.path(""));
    command.output().is_ok_and(|out| out.status.success())
}

/// rsync goes through the folders by name: index, packs, snapshots. An export that ends while it is at the packs leaves a
/// snapshot in the copy whose packs are not there.
#[test]
fn a_copy_that_rsync_took_during_an_export_names_what_it_lacks_and_the_snapshot_before_it_is_whole() {
    let story = Story::told();
    if Command::new("rsync").arg("--version").output().is_err() {
        return skip("a copy that rsync took during an export", "rsync is not installed");
    }
    let second = step("second export");
    story.go_back(second);
    fs::create_dir(story.path("copy")).unwrap();
    assert!(rsync(&story, "archive/index archive/packs copy/"));
    said(&story, 0, "export --from source --archive archive");
    assert!(rsync(&story, "archive/ copy/ --exclude=/index --exclude=/packs"));

    // The copy is not silent about it, and loses nothing that was there before.
    let found = said(&story, 5, "check --archive copy");
    assert!(found.contains("snapshots/00000002-"), "{found}");
    said(&story, 0, "import --archive copy --to target --snapshot 1");
    let differences = story.differences(step("first import"));
    let of_target: Vec<_> = differences.iter().filter(|line| !line.contains("snapshot")).collect();
    assert!(of_target.is_empty(), "{of_target:#?}");
    let found = said(&story, 3, "import --archive copy --to target --snapshot 2 --delete");
    assert!(found.contains("rejected"), "{found}");

    // The next rsync brings what was missing, and the next import the items.
    assert!(rsync(&story, "archive/ copy/"));
    said(&story, 0, "check --archive copy --read-data");
    said(&story, 0, "import --archive copy --to target --snapshot 2 --delete");
    let differences = story.differences(step("import with moves, renames and deletions"));
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn snapshots_first_and_then_the_rest_is_a_whole_copy_whatever_is_exported_meanwhile() {
    let story = Story::told();
    if Command::new("rsync").arg("--version").output().is_err() {
        return skip("a copy by two rsyncs", "rsync is not installed");
    }
    story.go_back(step("second export"));
    fs::create_dir(story.path("copy")).unwrap();
    assert!(rsync(&story, "archive/snapshots copy/"));
    said(&story, 0, "export --from source --archive archive");
    assert!(rsync(&story, "archive/ copy/ --exclude=/snapshots"));
    let found = said(&story, 0, "check --archive copy --read-data");
    assert!(found.contains('1'), "{found}");
    said(&story, 0, "import --archive copy --to target");
}

/// Starts the binary and halts it in the moment in which it has the archive.
fn halted(story: &Story, line: &str) -> Child {
    let mut child = command(story, line).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let holder = story.path("archive/lock.json");
    // Of this process: the last holder's word may still lie there.
    let holds =
        |child: &Child| fs::read_to_string(&holder).is_ok_and(|text| text.contains(&format!("\"pid\":{}", child.id())));
    while !holds(&child) {
        assert!(child.try_wait().unwrap().is_none(), "{line} was over before it could be halted");
        assert!(began.elapsed() < Duration::from_secs(60), "{line} never took the lock");
        std::thread::sleep(Duration::from_micros(100));
    }
    signal(&child, "-STOP");
    assert!(child.try_wait().unwrap().is_none() && holder.exists(), "{line} was over before it could be halted");
    child
}

fn signal(child: &Child, which: &str) {
    assert!(Command::new("kill").args([which, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn of_an_export_and_a_prune_whoever_comes_second_is_told_and_the_first_completes_undisturbed() {
    let story = Story::told();
    const PRUNE: &str = "prune --archive archive --max-unused 0";
    const EXPORT: &str = "export --from source --archive archive";
    for (first, second) in [(PRUNE, EXPORT), (EXPORT, PRUNE)] {
        story.go_back(step("third export"));
        said(&story, 0, "forget --archive archive --keep-last 1");
        let mut holder = halted(&story, first);
        let refused = said(&story, 6, second);
        assert!(refused.contains(&format!("(process {})", holder.id())) && refused.contains("hint: "), "{refused}");
        // Readers are in nobody's way, and nobody is in theirs.
        said(&story, 0, "check --archive archive --read-data");
        said(&story, 0, "ls --archive archive");
        signal(&holder, "-CONT");
        assert_eq!(holder.wait().unwrap().code(), Some(0), "{first} was disturbed");
        said(&story, 0, second);
        said(&story, 0, "check --archive archive --read-data");
        said(&story, 0, "import --archive archive --to target");
        said(&story, 0, "verify --archive archive --to target");
    }
}
