//! What the README tells a reader to type works: its `wagon` lines are run in their order, on the example site.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

mod sites;

use sites::Place;
use stationwagon::fs::{Fs, RealFs};
use stationwagon::testing::example_site;
use std::sync::Arc;

#[test]
fn the_commands_of_the_readme_work() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    example_site::build(&fs, &place.path("srv/vmail")).unwrap();
    let lines = sites::commands(include_str!("../README.md"));
    assert!(lines.len() >= 6, "the README shows {} commands", lines.len());
    for line in lines {
        place.wagon(0, &line.replace(" /", " {}/"));
    }
}

#[test]
fn the_commands_of_the_guide_work() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    example_site::build(&fs, &place.path("srv/vmail")).unwrap();
    let messages = sites::look(&place.path("srv/vmail")).messages.len();
    for line in sites::commands(include_str!("../docs/moving-a-site.md")) {
        let line = line.split(" --label").next().unwrap().split(" >").next().unwrap().to_owned();
        // Only root may give files away.
        let line = line.split(" --owner").next().unwrap().to_owned();
        // The map is named after the source.
        let line = line.replace("map_ID", "map_example");
        place.wagon(0, &line.replace(" /", " {}/"));
    }
    let seen = sites::look(&place.path("srv/vmail"));
    assert_eq!(seen.messages.len(), messages, "the way back doubles nothing");
}
