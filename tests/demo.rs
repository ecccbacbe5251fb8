//! The demo runs from beginning to end, and what it claims at each step is there.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and looks at files as they are"
)]

mod sites;

use sites::Place;
use std::fs;

#[test]
fn the_demo_tells_its_story_and_ends_well() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    let told = place.wagon(0, "demo {}/demo");
    let claims = [
        "1. A mail site",
        "snapshot 1 of source example",
        "shares that wait for somebody:",
        "snapshot 3 of source example",
        "changed on both sides; the target stays:",
        "renamed to Projects/Tender won",
        "every share holds together",
        "no difference",
        "no damage",
    ];
    let mut rest = told.as_str();
    for claim in claims {
        rest = rest.split_once(claim).unwrap_or_else(|| panic!("{claim:?} is missing, or out of order, in\n{told}")).1;
    }
    assert_eq!(told.matches("the ledger balances\n").count(), 3, "{told}");
    for left in ["source/etc/passwd", "archive/wagon.json", "target/map_example.sqlite"] {
        assert!(place.path("demo").join(left).is_file(), "{left} is to be looked at");
    }
    // What it says to type next can be typed.
    let next = told.split_once("To go on:").unwrap().1;
    let lines: Vec<_> = next.lines().filter_map(|line| line.trim().strip_prefix("wagon ")).collect();
    assert!(lines.len() >= 5, "{next}");
    for line in lines {
        let command = line.split('#').next().unwrap().replace("$DEMO", "{}/demo");
        place.wagon(0, &command);
    }
}

#[test]
fn the_demo_touches_no_folder_that_holds_something() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    fs::create_dir(place.path("full")).unwrap();
    fs::write(place.path("full/precious"), "mine").unwrap();
    place.wagon(2, "demo {}/full");
    assert_eq!(fs::read_dir(place.path("full")).unwrap().count(), 1);
}
