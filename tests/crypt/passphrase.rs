//! Another passphrase for an archive that has one: what opens it afterwards, and what does when it was cut off.

use crate::world::{Said, World};
use assert_cmd::cargo::CommandCargoExt as _;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const BESIDE: [&str; 4] = ["wagon.json", "wagon-again.json", "key.age", "key-again.age"];
const CHANGE: &str = "passphrase --archive archive --passphrase-file old --new-passphrase-file new";

/// Runs a command on a terminal of its own and types answers.
const TYPIST: &str = include_str!("../sites/typist.py");

/// The example site under the passphrase in `old`; another one in `new`.
fn with_passphrase() -> World {
    let world = World::new();
    fs::write(world.path("old"), "tapes in the attic\n").unwrap();
    fs::write(world.path("new"), "reels in the cellar\n").unwrap();
    world.done("export --from source --archive archive --passphrase-file old");
    world
}

fn content(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    world.files("archive").into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

fn beside(world: &World, archive: &str) -> [Vec<u8>; 4] {
    BESIDE.map(|name| fs::read(world.path(archive).join(name)).unwrap())
}

/// What opens with the new passphrase alone, is whole, and has two copies of everything.
fn assert_changed(world: &World) {
    world.refused("ls --archive archive --passphrase-file old", &["the passphrase is wrong"]);
    let said = world.done("check --read-data --archive archive --passphrase-file new");
    assert!(said.contains("no damage") && !said.contains("WARNING"), "{said}");
    let [header, header_again, key, key_again] = beside(world, "archive");
    assert!(header == header_again && key == key_again);
}

/// Has the answers typed to a command; nothing where there is nothing to type with.
fn typed(world: &World, answers: &[&str], program: &str, words: &str) -> Option<Said> {
    if !["python3", "age"].iter().all(|name| Command::new(name).arg("--version").output().is_ok()) {
        eprintln!("skipped: there is no python3 or no age here");
        return None;
    }
    let mut typist = Command::new("python3");
    typist.args(["-c", TYPIST, "passphrase[a-z ]*: ", &answers.len().to_string()]).args(answers);
    typist.arg(program).args(words.split_whitespace());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WAGON_") || name == "XDG_CACHE_HOME") {
        typist.env_remove(name);
    }
    let output = typist.env("HOME", world.path("home")).current_dir(world.path("")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some(Said { status: output.status.code().unwrap_or(-1), text })
}

fn wagon() -> String {
    Command::cargo_bin("wagon").unwrap().get_program().to_str().unwrap().to_owned()
}

#[test]
fn the_new_passphrase_opens_what_the_old_one_did_and_exports_go_on() {
    let world = with_passphrase();
    world.done("protect --archive archive --percent 7");
    let before = content(&world);
    let said = world.done(CHANGE);
    assert!(said.contains("the passphrase is changed") && said.contains("parity of 4 files made again"), "{said}");
    assert!(!said.contains("attic") && !said.contains("cellar") && !said.contains("AGE-SECRET-KEY"), "{said}");
    assert_changed(&world);
    let after = content(&world);
    for (path, bytes) in &before {
        let changes = BESIDE.iter().any(|name| path.to_str().unwrap().contains(name));
        assert_eq!(changes, after[path] != *bytes, "{}", path.display());
    }
    assert_eq!(before.len(), after.len());
    let said = world.done("check --read-data --archive archive --passphrase-file new");
    assert!(said.contains(" files to 7 per cent") && !said.contains("protects the other"), "{said}");
    // Neither repairs nor parity bring the old one back.
    world.done("repair --archive archive --passphrase-file new");
    assert_eq!(content(&world), after);
    // No secret is needed to go on, and what is added is read with the same key as before.
    world.a_day_passes();
    world.done("export --from source --archive archive");
    world.done("import --archive archive --to target --passphrase-file new");
    assert!(!world.files("target/mail").is_empty());
    // The same again, as a script does that was told nothing.
    let after = content(&world);
    let said = world.done(CHANGE);
    assert!(said.contains("in force already"), "{said}");
    assert_eq!(content(&world), after);
    let said = world.done("--json passphrase --archive archive --passphrase-file new --new-passphrase-file old");
    assert!(
        said.contains(r#""verb":"passphrase","report":{"changed":true,"parity_made":["parity/key-again.age.par""#),
        "{said}"
    );
    world.done("ls --archive archive --passphrase-file old");
}

#[test]
fn passphrases_are_asked_for_on_a_terminal_and_stock_age_opens_the_key_with_the_new_one() {
    let world = with_passphrase();
    let before = content(&world);
    let change = "passphrase --archive archive";
    let (old, new) = ("tapes in the attic", "reels in the cellar");
    let Some(said) = typed(&world, &[old, new, "wheels"], &wagon(), change) else { return };
    assert!(said.status == 2 && said.text.contains("not typed the same twice"), "{}", said.text);
    let said = typed(&world, &[old, ""], &wagon(), change).unwrap();
    assert!(said.status == 2 && said.text.contains("an empty passphrase protects nothing"), "{}", said.text);
    let said = typed(&world, &["wheels"], &wagon(), change).unwrap();
    assert!(said.status == 1 && said.text.contains("the passphrase is wrong"), "{}", said.text);
    assert!(said.text.contains("asked 1 times"), "{}", said.text);
    assert_eq!(content(&world), before);
    let said = typed(&world, &[old, new, new], &wagon(), change).unwrap();
    assert!(said.status == 0 && said.text.contains("the passphrase is changed"), "{}", said.text);
    assert_changed(&world);

    let said = typed(&world, &[old], "age", "-d -o not.key archive/key.age").unwrap();
    assert!(said.status != 0 && !world.path("not.key").exists(), "{}", said.text);
    let said = typed(&world, &[new], "age", "-d -o by-hand.key archive/key.age").unwrap();
    assert_eq!(said.status, 0, "{}", said.text);
    world.done("ls --archive archive --identity by-hand.key");
}

#[test]
fn what_cannot_be_changed_is_refused_and_stays_as_it_is() {
    let world = with_passphrase();
    fs::write(world.path("wrong"), "wheels\n").unwrap();
    fs::write(world.path("empty"), "\nreels\n").unwrap();
    let before = content(&world);
    let line = |old: &str, new: &str| {
        format!("passphrase --archive archive --passphrase-file {old} --new-passphrase-file {new}")
    };
    assert_eq!(world.refused(&line("wrong", "new"), &["the passphrase is wrong"]).status, 1);
    assert_eq!(world.refused(&line("old", "empty"), &["has no passphrase in its first line"]).status, 2);
    world.refused(&line("old", "nowhere"), &["cannot read nowhere"]);
    let nobody = "nobody can be asked for it here: give --new-passphrase-file FILE";
    assert_eq!(world.refused("passphrase --archive archive --passphrase-file old", &[nobody]).status, 2);
    let nobody = "nobody can be asked for it here: give --passphrase-file FILE";
    assert_eq!(world.refused("passphrase --archive archive --new-passphrase-file new", &[nobody]).status, 2);
    assert_eq!(content(&world), before);

    let other =
        |archive: &str| format!("passphrase --archive {archive} --passphrase-file old --new-passphrase-file new");
    world.refused(&other("nowhere"), &["is not an archive of wagon"]);
    world.done("export --from source --archive plain");
    assert_eq!(world.refused(&other("plain"), &["plain is not encrypted"]).status, 2);
    world.done("export --from source --archive keys --recipients-file me.pub --recipients-file other.pub");
    let words = ["keys is encrypted for 2 public keys and was made without a passphrase"];
    assert_eq!(world.refused(&other("keys"), &words).status, 2);
    assert!(!world.path("keys/key.age").exists());
    // Somebody put the key of another archive there, for which nothing here is encrypted.
    world.done("export --from source --archive stranger --passphrase-file wrong");
    for name in ["key.age", "key-again.age"] {
        fs::copy(world.path("stranger").join(name), world.path("archive").join(name)).unwrap();
    }
    let before = content(&world);
    world.refused(&line("wrong", "new"), &["is encrypted for nobody whose identity lies in it"]);
    assert_eq!(content(&world).len(), before.len() + usize::from(!before.contains_key(&world.path("archive/lock"))));
    assert_eq!(beside(&world, "archive"), BESIDE.map(|name| before[&world.path("archive").join(name)].clone()));
}

#[test]
fn an_archive_of_before_the_second_copies_gets_them_with_its_new_passphrase() {
    let world = with_passphrase();
    let header = world.path("archive/wagon.json");
    let text = fs::read_to_string(&header).unwrap();
    let old = text.split(",\n  \"sha256\"").next().unwrap().to_owned() + "\n}\n";
    let (head, rest) = old.split_once(",\n    \"key_sha256\"").unwrap();
    fs::write(&header, format!("{head}\n  }}{}", rest.split_once('}').unwrap().1)).unwrap();
    for name in ["wagon-again.json", "key-again.age"] {
        fs::remove_file(world.path("archive").join(name)).unwrap();
    }
    world.done(CHANGE);
    assert_changed(&world);
    // Nothing else is said than by one that is made today.
    let keys = |text: &str| text.lines().map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(keys(&fs::read_to_string(&header).unwrap()), keys(&text));
}

/// Puts files of one state into the archive; those that it lacks are removed.
fn set(archive: &Path, files: [Option<&Vec<u8>>; 4]) {
    for (name, bytes) in BESIDE.iter().zip(files) {
        match bytes {
            Some(bytes) => fs::write(archive.join(name), bytes).unwrap(),
            None => fs::remove_file(archive.join(name)).unwrap(),
        }
    }
}

#[test]
fn cut_off_between_any_two_files_it_opens_with_one_of_both_and_the_same_command_completes_it() {
    let world = with_passphrase();
    let [old_header, _, old_key, _] = beside(&world, "archive");
    world.done(CHANGE);
    let [new_header, _, new_key, _] = beside(&world, "archive");
    let (old_header, new_header) = (Some(&old_header), Some(&new_header));
    let (old_key, new_key) = (Some(&old_key), Some(&new_key));
    let states = [
        ([old_header, old_header, old_key, new_key], "old", "new"),
        ([old_header, None, old_key, new_key], "old", "new"),
        ([new_header, None, old_key, new_key], "new", "old"),
        ([new_header, new_header, old_key, new_key], "new", "old"),
    ];
    for (files, opens, does_not) in states {
        let archive = world.path("archive");
        set(&archive, files);
        world.refused(&format!("ls --archive archive --passphrase-file {does_not}"), &["the passphrase is wrong"]);
        // A repair opens it, and makes an end of it, one way or the other.
        world.done(&format!("repair --archive archive --passphrase-file {opens}"));
        let [header, header_again, key, key_again] = beside(&world, "archive");
        assert!(header == header_again && key == key_again, "{opens}");
        assert_eq!(Some(&key), if opens == "old" { old_key } else { new_key });
        set(&archive, files);
        world.done(CHANGE);
        assert_changed(&world);
    }
}
