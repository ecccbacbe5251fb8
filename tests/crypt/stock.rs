//! What the stock programs say: `age`, `tar`, `minisign`, and the reader in Python. Skipped, with a word, where they are
//! missing.

use crate::sites::{Names, assert_same, files_of_folder};
use crate::world::World;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
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
    run(&["wagon_restore.py", "check", "archive"]);
    run(&["wagon_restore.py", "restore", "archive", "latest", "whole"]);
    // The whole site is the source, byte for byte, and what our own import makes of the archive.
    assert_same(&world.path("source"), &world.path("whole"), Names::Kept, &[]);
    world.done("import --archive archive --identity me.key --to target");
    assert_same(&world.path("target"), &world.path("whole"), Names::Kept, &[]);
    // The account, too, folder by folder: every message under its name, and nothing else.
    let (user, domain) = address.split_once('@').unwrap();
    let of_account = world.path("source/mail").join(domain).join(user).join("Maildir");
    let folders: BTreeSet<_> = folders(&of_account).into_iter().collect();
    // A folder without messages is not made by the short reader.
    assert!(self::folders(&world.path("restored/Maildir")).iter().all(|folder| folders.contains(folder)));
    let mut messages = 0;
    for folder in folders {
        let wanted = files_of_folder(&of_account.join(&folder));
        assert_eq!(files_of_folder(&world.path("restored/Maildir").join(&folder)), wanted, "{folder}");
        messages += wanted.len();
    }
    assert!(messages > 10, "{messages}");
}

/// The folders of a Maildir by their names on the disk; the INBOX has none.
fn folders(maildir: &Path) -> Vec<String> {
    let entries = fs::read_dir(maildir).unwrap().map(|entry| entry.unwrap());
    let dirs = entries.filter(|entry| entry.path().join("cur").is_dir());
    dirs.map(|entry| entry.file_name().into_string().unwrap()).chain([String::new()]).collect()
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
