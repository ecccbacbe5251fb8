//! An archive that a passphrase opens, on a terminal, where `age` asks for it.

use crate::python::{command, golden, has_age, has_python, outcome, repository};
use crate::sites::{Place, skip};
use std::fs;
use std::process::Command;

/// Runs a command on a terminal of its own and types answers.
const TYPIST: &str = include_str!("../sites/typist.py");
/// More often than anybody may ask.
const ANSWERS: usize = 4;

/// The command on a terminal at which somebody types `phrase`.
fn typed(phrase: &str, command: &Command) -> Command {
    let mut typist = Command::new("python3");
    typist.args(["-c", TYPIST, "Enter passphrase", &ANSWERS.to_string()]).args([phrase; ANSWERS]);
    typist.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => typist.env(name, value),
            None => typist.env_remove(name),
        };
    }
    typist
}

#[test]
fn the_reader_asks_for_the_passphrase_once_and_reads_everything() {
    if !has_python() || !has_age() {
        return skip("the reader asks for a passphrase", "python3 or age is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    let archive = golden(&place, "archive");
    let phrase = fs::read_to_string(repository().join("fixtures/keys/golden.phrase")).unwrap();
    let phrase = phrase.trim_end();
    for line in ["check {}/archive", "restore {}/archive latest {}/restored", "list {}/archive 2"] {
        let (said, status) = outcome(&mut typed(phrase, &command(&place, line)));
        assert!(status == 0 && said.contains("asked 1 times"), "{line}: {said}");
    }
    let (said, status) = outcome(&mut typed("another phrase", &command(&place, "list {}/archive")));
    assert!(status == 1 && said.contains("it was not opened") && said.contains("asked 1 times"), "{said}");

    // The copy that is sound is taken; where both are gone, that is said.
    fs::write(archive.join("key.age"), "nothing of age").unwrap();
    let (said, status) = outcome(&mut typed(phrase, &command(&place, "list {}/archive")));
    assert!(status == 0 && said.contains("asked 1 times"), "{said}");
    fs::remove_file(archive.join("key.age")).unwrap();
    fs::remove_file(archive.join("key-again.age")).unwrap();
    let (said, status) = outcome(&mut typed(phrase, &command(&place, "list {}/archive")));
    assert!(status == 1 && said.contains("WAGON_IDENTITY names no identity"), "{said}");
}

#[test]
fn the_short_reader_opens_key_age_as_well_and_age_makes_an_identity_of_it() {
    if !has_python() || !has_age() {
        return skip("the short reader opens key.age", "python3 or age is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    let archive = golden(&place, "archive");
    let phrase = "opens a fixture and nothing else";
    let mut short = Command::new("python3");
    short.arg("-B").arg(repository().join("format-spec/reader/wagon_read.py")).arg(&archive).arg("latest");
    let (said, status) = outcome(&mut typed(phrase, short.env("WAGON_IDENTITY", archive.join("key.age"))));
    assert!(status == 0 && said.contains("ann@") && said.contains("asked 1 times"), "{said}");
    // What encryption.md shows: once by hand, and then a file like any identity.
    let mut by_hand = Command::new("age");
    by_hand.arg("-d").arg("-o").arg(place.path("me.key")).arg(archive.join("key.age"));
    let (said, status) = outcome(&mut typed(phrase, &by_hand));
    assert_eq!(status, 0, "{said}");
    let (said, status) = outcome(command(&place, "check {}/archive").env("WAGON_IDENTITY", place.path("me.key")));
    assert!(status == 0 && said.contains(" 0 complaints"), "{said}");
}
