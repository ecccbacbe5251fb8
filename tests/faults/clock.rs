//! Clocks that are wrong: set back between passes, and files of the future. Nothing is missed.

use crate::kills::command;
use crate::sites::{Names, assert_same, skip};
use crate::story::{Story, files_below, remove};
use stationwagon::fs::{Fs, RealFs};
use stationwagon::testing::example_site;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Runs the program with a clock that is wrong by so much, as `faketime` writes it; what the disk says stays.
fn run(story: &Story, shift: &str, line: &str) {
    let plain = command(story, line);
    let mut shifted = Command::new("faketime");
    shifted.args(["-f", shift]).arg(plain.get_program()).args(plain.get_args()).current_dir(story.path(""));
    shifted.env("WAGON_CACHE_DIR", story.path("cache")).env_remove("WAGON_ARCHIVE");
    shifted.env("NO_FAKE_STAT", "1").env("DONT_FAKE_MONOTONIC", "1");
    let out = shifted.output().unwrap();
    assert!(out.status.success(), "{shift} {line}: {}", String::from_utf8_lossy(&out.stderr));
}

/// The newest snapshot, on a new server, is what the source is now.
fn nothing_is_missed(story: &Story, shift: &str) {
    remove(&story.path("fresh"));
    run(story, shift, "import --archive archive --to fresh");
    assert_same(&story.path("source"), &story.path("fresh"), Names::Kept, &[]);
}

#[test]
fn a_clock_that_is_set_back_between_passes_and_files_of_the_future_hide_nothing() {
    if Command::new("faketime").arg("--version").output().is_err() {
        return skip("a clock that is set back", "faketime is not installed");
    }
    let story = Story::begin_small();
    let real: Arc<dyn Fs> = Arc::new(RealFs);
    // The mail of one domain is from the next decade; a message's date is the time of its file.
    let future = SystemTime::now() + Duration::from_secs(10 * 365 * 86_400);
    let set = |path: &std::path::Path| fs::File::open(path).unwrap().set_modified(future).unwrap();
    let files = |below: &str| {
        let all = files_below(&story.path("source").join(below)).into_iter();
        all.filter(|file| !file.is_symlink()).collect::<Vec<_>>()
    };
    files("mail/wagon.example").iter().for_each(|file| set(file));
    fs::create_dir(story.path("cache")).unwrap();
    const EXPORT: &str = "export --from source --archive archive";

    run(&story, "+40d", EXPORT);
    run(&story, "+40d", "import --archive archive --to target");
    nothing_is_missed(&story, "+40d");

    example_site::a_day_passes(&real, &story.path("source")).unwrap();
    run(&story, "+0", EXPORT);
    run(&story, "+0", "import --archive archive --to target --delete");
    run(&story, "+0", "verify --archive archive --to target");
    nothing_is_missed(&story, "-40d");

    // Now folders and events are, too, and the clock is set back once more.
    let events = files("dav");
    events.iter().for_each(|event| set(event));
    let folders: BTreeSet<_> = files("mail").iter().map(|file| file.parent().unwrap().to_owned()).collect();
    folders.iter().for_each(|folder| set(folder));
    run(&story, "-400d", EXPORT);
    nothing_is_missed(&story, "-400d");

    // Edited in place, delivered and removed, with all times as they were.
    let event = events.iter().find(|file| file.extension().is_some_and(|suffix| suffix == "ics")).unwrap();
    let text = fs::read_to_string(event).unwrap();
    assert!(text.contains("PRODID"), "{text}");
    fs::write(event, text.replace("PRODID", "PRODIX")).unwrap();
    let new = story.path("source/mail/wagon.example/gerda/Maildir/new");
    fs::write(new.join("1715000001.M2P2.late"), "Subject: late\n\nvery\n").unwrap();
    fs::remove_file(&files("mail/wagon.example/frida/Maildir/cur")[0]).unwrap();
    set(event);
    [event.parent().unwrap(), &new, &story.path("source/mail/wagon.example/frida/Maildir/cur")]
        .into_iter()
        .for_each(set);
    run(&story, "-399d", EXPORT);
    nothing_is_missed(&story, "+0");
    run(&story, "+0", "check --archive archive --read-data");
}
