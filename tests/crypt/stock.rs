//! What the stock programs say: `age`, `tar`, `minisign`, and the reader in Python. Skipped, with a word, where they are
//! missing.

use crate::world::World;
use std::fs;
use std::process::{Command, Stdio};

fn missing(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("skipped: there is no {program} here");
    }
    !found
}

#[test]
fn stock_age_and_tar_unpack_every_file_without_a_warning() {
    if missing("age") {
        return;
    }
    let world = World::encrypted();
    fs::create_dir(world.path("out")).unwrap();
    let mut seen = 0;
    for path in world.files("archive").into_iter().filter(|path| path.to_string_lossy().ends_with(".tar.gz.age")) {
        let line = format!("set -o pipefail; age -d -i me.key '{}' | tar xzf - -C out", path.display());
        let output = Command::new("bash").args(["-c", &line]).current_dir(world.path("")).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        seen += 1;
    }
    assert!(seen >= 2 && world.path("out/snapshot.json").exists() && !world.files("out/o").is_empty());
}

#[test]
fn the_identity_of_a_passphrase_is_a_file_of_age_that_opens_the_rest() {
    if missing("age") {
        return;
    }
    let world = World::new();
    fs::write(world.path("phrase"), "tapes\n").unwrap();
    world.done("export --from source --archive archive --passphrase-file phrase");
    // `age` asks for passphrases on a terminal only, so its header has to do.
    let key = fs::read(world.path("archive/key.age")).unwrap();
    assert!(key.starts_with(b"age-encryption.org/v1\n-> scrypt "));
}

#[test]
fn the_reader_in_python_restores_an_encrypted_account() {
    if missing("age") || missing("python3") {
        return;
    }
    let world = World::encrypted();
    let run = |words: &[&str]| {
        let (reader, words) = words.split_first().unwrap();
        let mut command = Command::new("python3");
        let reader = format!("{}/format-spec/reader/{reader}", env!("CARGO_MANIFEST_DIR"));
        command.arg(reader).args(words).current_dir(world.path("")).env("WAGON_IDENTITY", "me.key");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let accounts = run(&["wagon_read.py", "archive", "latest"]);
    let address = accounts.split_whitespace().find(|word| word.contains('@')).unwrap();
    run(&["wagon_read.py", "archive", "latest", address, "restored"]);
    assert!(!world.files("restored").is_empty());
    run(&["wagon_restore.py", "check", "archive"]);
    run(&["wagon_restore.py", "restore", "archive", "latest", "whole"]);
    assert!(!world.files("whole/mail").is_empty());
}

#[test]
fn stock_minisign_accepts_our_signatures_and_we_its_keys() {
    if missing("minisign") {
        return;
    }
    let world = World::new();
    let minisign = |words: &[&str]| {
        let output =
            Command::new("minisign").args(words).current_dir(world.path("")).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    minisign(&["-G", "-W", "-p", "k.pub", "-s", "k.sec"]);
    world.done("export --from source --archive archive --recipients-file me.pub --sign-with k.sec");
    let snapshot =
        world.files("archive/snapshots").into_iter().find(|path| path.extension().is_some_and(|e| e == "age"));
    let said = minisign(&["-V", "-p", "k.pub", "-m", snapshot.unwrap().to_str().unwrap()]);
    assert!(said.contains("verified") && said.contains("snapshot=1 sha256="), "{said}");
    assert_eq!(world.run("check --archive archive --trust k.pub").status, 7, "trusted, and not looked into");
}
