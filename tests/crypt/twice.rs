//! What nothing can be opened without is there twice; and what a flipped bit costs where everything is encrypted.

use crate::world::World;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One bit of a file, the other way round.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1 << (at % 8);
    fs::write(path, bytes).unwrap();
}

/// All files of the archive but the lock and what parity and repairs add.
fn content(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = world.files("archive").into_iter();
    let own = files.filter(|path| {
        !["parity", "damaged"].iter().any(|folder| path.starts_with(world.path("archive").join(folder)))
    });
    own.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn with_passphrase() -> World {
    let world = World::new();
    fs::write(world.path("phrase"), "tapes in the attic\n").unwrap();
    world.done("export --from source --archive archive --passphrase-file phrase");
    world
}

#[test]
fn a_flip_in_either_copy_of_the_header_or_the_key_is_told_and_mended_and_costs_nothing() {
    let world = with_passphrase();
    let before = content(&world);
    let listed = world.done("ls --archive archive --passphrase-file phrase");
    for name in ["wagon.json", "wagon-again.json", "key.age", "key-again.age"] {
        let path = world.path("archive").join(name);
        let length = fs::read(&path).unwrap().len();
        {
            let at = length / 2;
            flip(&path, at);
            let said = world.done("ls --archive archive --passphrase-file phrase");
            assert!(
                said.contains(&listed) && said.contains("WARNING: ") && said.contains(name),
                "{name} at {at}: {said}"
            );
            let found = world.refused("check --archive archive", &[name, "serves in its place"]);
            assert_eq!(found.status, 5, "{}", found.text);
            let dry = world.done("repair --archive archive --passphrase-file phrase --dry-run");
            assert!(dry.contains(&format!("{name}: can be written from its other copy")), "{dry}");
            let done = world.done("repair --archive archive --passphrase-file phrase");
            assert!(done.contains(&format!("{name}: written from its other copy")), "{done}");
            assert_eq!(content(&world), before, "{name} at {at}");
        }
    }
    let sound = world.done("ls --archive archive --passphrase-file phrase");
    assert!(!sound.contains("WARNING"), "{sound}");
}

#[test]
fn a_header_that_is_gone_is_brought_back_and_two_that_are_damaged_or_contradict_each_other_are_refused() {
    let world = World::new();
    world.done("export --from source --archive archive");
    world.done("export --from source --archive other");
    let before = content(&world);
    let (first, second) = (world.path("archive/wagon.json"), world.path("archive/wagon-again.json"));
    fs::remove_file(&first).unwrap();
    world.refused("ls --archive archive", &["has lost its wagon.json", "`wagon repair` brings it back"]);
    world.refused("export --from source --archive archive", &["has lost its wagon.json"]);
    world.done("repair --archive archive");
    assert_eq!(content(&world), before);
    // Files of two archives in one folder.
    fs::copy(world.path("other/wagon.json"), &second).unwrap();
    let words = ["are both sound and say different things", "files of two archives"];
    for line in ["ls --archive archive", "repair --archive archive", "export --from source --archive archive"] {
        world.refused(line, &words);
    }
    // Both damaged: nobody guesses.
    for path in [&first, &second] {
        fs::write(path, &before[&first]).unwrap();
        flip(path, before[&first].len() / 2);
    }
    world.refused("ls --archive archive", &["archive/wagon.json cannot be read as an archive's file"]);
    world.refused("repair --archive archive", &["archive/wagon.json cannot be read as an archive's file"]);
}

#[test]
fn an_archive_of_before_the_second_copies_is_read_as_ever_and_a_repair_adds_them() {
    let world = with_passphrase();
    let (first, second) = (world.path("archive/wagon.json"), world.path("archive/wagon-again.json"));
    let text = fs::read_to_string(&first).unwrap();
    let old = text.split(",\n  \"sha256\"").next().unwrap().to_owned() + "\n}\n";
    let (head, rest) = old.split_once(",\n    \"key_sha256\"").unwrap();
    let old = format!("{head}\n  }}{}", rest.split_once('}').unwrap().1);
    fs::write(&first, &old).unwrap();
    fs::remove_file(&second).unwrap();
    fs::remove_file(world.path("archive/key-again.age")).unwrap();
    let said = world.done("check --archive archive --passphrase-file phrase");
    assert!(!said.contains("WARNING"), "{said}");
    world.done("repair --archive archive --passphrase-file phrase");
    assert_eq!(fs::read_to_string(&first).unwrap(), old, "what is sound stays as it is");
    assert_eq!(
        fs::read(world.path("archive/key.age")).unwrap(),
        fs::read(world.path("archive/key-again.age")).unwrap()
    );
    let said = world.done("check --archive archive --passphrase-file phrase");
    assert!(!said.contains("WARNING"), "{said}");
    // From now on a flip is seen here, too. Which of two keys is right, only the passphrase can tell.
    flip(&first, old.find("created").unwrap() + 10);
    world.refused("check --archive archive", &["wagon.json: it is not what its checksum says"]);
    world.done("repair --archive archive --passphrase-file phrase");
    flip(&world.path("archive/key.age"), 60);
    let said = world.done("ls --archive archive --passphrase-file phrase");
    assert!(said.contains("not the same as key-again.age"), "{said}");
}

#[test]
fn a_flip_in_the_age_header_of_a_pack_costs_that_pack_and_parity_gives_it_back() {
    let world = World::encrypted();
    world.a_day_passes();
    world.done("export --from source --archive archive --identity me.key");
    let before = content(&world);
    let snapshots = before.keys().filter(|path| path.to_string_lossy().contains("/snapshots/")).count();
    assert_eq!(snapshots, 2);
    // The key of the file for its only reader, and the header's own checksum.
    let header = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        let end = bytes.windows(5).position(|window| window == b"\n--- ").unwrap();
        [40, end - 5, end + 10]
    };
    let packs: Vec<_> = before.keys().filter(|path| path.to_string_lossy().contains("/packs/")).cloned().collect();
    assert!(packs.len() > 1, "{packs:?}");
    let pack = packs.iter().max_by_key(|path| before[*path].len()).unwrap();
    for at in header(pack) {
        flip(pack, at);
        let name = pack.file_name().unwrap().to_str().unwrap();
        let closed = world.refused("check --archive archive --read-data", &[name]);
        assert_eq!(closed.status, 5, "seen without a key: {}", closed.text);
        let found = world
            .refused("check --archive archive --read-data --identity me.key", &[name, "cannot be decrypted", "lost: "]);
        assert_eq!(found.status, 5, "{}", found.text);
        // What lies in other packs arrives.
        let said = world.run("import --archive archive --to target --identity me.key");
        assert_eq!(said.status, 3, "{}", said.text);
        let arrived = world.files("target/mail").len();
        assert!(arrived > 10, "{arrived}");
        fs::remove_dir_all(world.path("target")).unwrap();
        fs::write(pack, &before[pack]).unwrap();
    }
    world.done("protect --archive archive --percent 5");
    for path in before.keys().filter(|path| path.extension().is_some_and(|end| end == "age")) {
        for at in header(path) {
            flip(path, at);
            world.done("repair --archive archive --identity me.key");
            assert_eq!(content(&world), before, "{} at {at}", path.display());
        }
    }
    world.done("check --archive archive --read-data --identity me.key");
}

#[test]
fn a_flip_in_the_age_header_of_a_snapshot_costs_it_and_what_builds_on_it_and_no_other() {
    let world = World::encrypted();
    world.a_day_passes();
    world.done("export --from source --archive archive --identity me.key");
    let second = world.file("archive/snapshots", "00000002-");
    flip(&second, 40);
    // The key is one of the archive, so it is the file that is wrong.
    world.refused("import --archive archive --to none --identity me.key", &["00000002-", "cannot be decrypted"]);
    world.done("snapshots --archive archive --identity me.key");
    world.done("import --archive archive --to target --identity me.key --snapshot 1");
    let wrong = world
        .refused("import --archive archive --to none --identity other.key --snapshot 1", &["none of the identities"]);
    assert!(!wrong.text.contains("cannot be decrypted"), "{}", wrong.text);
}

/// Letters whose bytes do not compress, so that each lies where its length says.
fn noise(bytes: usize, state: &mut u64) -> String {
    let mut next = || {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"[(*state >> 58) as usize] as char
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn a_flip_in_a_chunk_costs_what_lies_in_it_and_nothing_behind_it() {
    let world = World::new();
    let mut state = 7;
    let mut letters = 0;
    for account in ["ann", "bert", "clara"] {
        let cur = world.path("large/mail/example.org").join(account).join("Maildir/cur");
        fs::create_dir_all(&cur).unwrap();
        // Enough of them for a snapshot of several chunks.
        for number in 0..900 {
            let name = format!("17{number:08}.{}.host:2,S", noise(24, &mut state).replace('/', "-"));
            fs::write(cur.join(name), format!("Subject: {number}\n\n{account}\n")).unwrap();
        }
        for number in 0..4 {
            let text = format!("Subject: large {number}\n\n{}\n", noise(100_000, &mut state));
            fs::write(cur.join(format!("18{number:08}.large.host:2,S")), text).unwrap();
        }
        letters += 904;
    }
    world.done("export --from large --archive archive --recipients-file me.pub");
    fs::remove_dir_all(world.path("large")).unwrap();
    world.copy("archive", "whole");
    let arrived = |world: &World, status: i32| {
        let said = world.run("import --archive archive --to target --identity me.key");
        assert_eq!(said.status, status, "{}", said.text);
        let count = world.files("target/mail").iter().filter(|path| path.to_string_lossy().contains("/cur/")).count();
        fs::remove_dir_all(world.path("target")).unwrap();
        count
    };
    let header = |bytes: &[u8]| {
        let at = bytes.windows(5).position(|window| window == b"\n--- ").unwrap() + 1;
        at + bytes[at..].iter().position(|byte| *byte == b'\n').unwrap() + 1 + 16
    };

    let pack = world.file("archive/packs", ".tar.gz.age");
    let bytes = fs::read(&pack).unwrap();
    assert!(bytes.len() > 8 * 65_552, "{}", bytes.len());
    flip(&pack, header(&bytes) + 4 * 65_552 + 1000);
    // By its index, and without it.
    assert!(arrived(&world, 3) >= letters - 3);
    fs::remove_dir_all(world.path("archive/index")).unwrap();
    world.refused("repair --archive archive --identity me.key", &["kept"]);
    let kept = arrived(&world, 3);
    assert!(kept >= letters - 3 && kept < letters, "{kept} of {letters}");

    fs::remove_dir_all(world.path("archive")).unwrap();
    world.copy("whole", "archive");
    let snapshot = world.file("archive/snapshots", "00000001-");
    let bytes = fs::read(&snapshot).unwrap();
    let chunks = (bytes.len() - header(&bytes)).div_ceil(65_552);
    assert!(chunks > 2, "{} bytes", bytes.len());
    // The head, the table of contents, the records and a manifest; of the first three there is another copy.
    flip(&snapshot, header(&bytes) + 2000);
    let said = world.done("ls --archive archive --identity me.key");
    assert!(said.contains("clara@example.org"), "{said}");
    world.done("extract --archive archive --identity me.key clara@example.org --output clara");
    let found = world.refused("check --archive archive --identity me.key", &["ann@example.org"]);
    assert!(!found.text.contains("clara@example.org"), "{}", found.text);
}
