//! Encrypted archives while everything goes well, and for those who have no key.

use crate::world::{World, flip};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn passes_need_no_private_key_and_an_import_with_one_is_exact() {
    let world = World::encrypted();
    world.a_day_passes();
    let second = world.done("export --from source --archive archive");
    let third = world.done("export --from source --archive archive");
    assert!(second.contains("snapshot 2") && third.contains("snapshot 3"), "{second}{third}");
    assert!(third.contains("items: 0 added, 0 changed, 0 moved, 0 removed"), "the catalog knows them all: {third}");
    world.done("import --archive archive --identity me.key --to target");
    assert!(world.done("verify --archive archive --identity me.key --to target").contains("no difference"));
    assert!(world.done("check --read-data --archive archive --identity me.key").contains("no damage"));
}

#[test]
fn an_object_that_is_stored_is_not_stored_again_by_an_exporter_without_a_key() {
    let world = World::encrypted();
    let packs = world.files("archive/packs").len();
    world.done("export --deep --full --from source --archive archive");
    assert_eq!(world.files("archive/packs").len(), packs);
}

#[test]
fn no_file_of_the_archive_has_a_subject_an_address_a_name_or_a_hash_in_it() {
    let world = World::encrypted();
    world.a_day_passes();
    world.done("export --from source --archive archive");
    let accounts = world.done("ls --archive archive --identity me.key");
    let mut words: BTreeSet<String> = ["Subject", "@station.example", "INBOX", "ustar", "snapshot.json", "wagonidx"]
        .into_iter()
        .chain(accounts.split_whitespace().filter(|word| word.contains('@')))
        .map(str::to_owned)
        .collect();
    let passwd = fs::read_to_string(world.path("source/etc/passwd")).unwrap();
    words.extend(passwd.lines().filter_map(|line| line.split(':').nth(1)).filter(|h| h.len() > 8).map(str::to_owned));
    assert!(words.len() > 10, "{words:?}");
    for path in world.files("archive") {
        let bytes = fs::read(&path).unwrap();
        for word in &words {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{} has {word}", path.display());
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(
            name.ends_with(".age") || ["wagon.json", "wagon-again.json", "lock"].contains(&name.as_str()),
            "{name}"
        );
    }
}

#[test]
fn lengths_of_files_are_among_few() {
    let world = World::encrypted();
    for path in world.files("archive").into_iter().filter(|path| path.extension().is_some_and(|suffix| suffix == "age"))
    {
        let bytes = fs::read(&path).unwrap();
        let sealed = bytes.len() as u64 - header_end(&bytes) - 16;
        let plain = sealed - sealed.div_ceil(64 * 1024 + 16) * 16;
        let digits = plain.ilog2() - plain.trailing_zeros();
        assert!(plain >= 4096 && digits <= plain.ilog2().ilog2() + 1, "{} holds {plain}", path.display());
    }
}

fn header_end(bytes: &[u8]) -> u64 {
    let at = bytes.windows(5).position(|window| window == b"\n--- ").unwrap() + 1;
    (at + bytes[at..].iter().position(|byte| *byte == b'\n').unwrap() + 1) as u64
}

#[test]
fn without_a_key_or_with_another_every_verb_that_reads_says_what_is_needed() {
    let world = World::encrypted();
    let verbs = ["snapshots", "ls", "show 1", "find --subject x", "import --to target", "repair", "prune", "forget 1"];
    for verb in verbs {
        world.refused(&format!("{verb} --archive archive"), &["encrypted", "--identity FILE"]);
        let said =
            world.refused(&format!("{verb} --archive archive --identity other.key"), &["none of the identities"]);
        let secret = fs::read_to_string(world.path("other.key")).unwrap();
        assert!(!said.text.contains(secret.lines().last().unwrap()));
    }
    assert!(world.files("target").iter().all(|path| !path.to_string_lossy().contains("map_")), "nothing was begun");
    world.refused("ls --archive archive --identity me.pub", &["line 1 is no identity"]);
}

#[test]
fn several_recipients_read_each_with_his_own_key() {
    let world = World::new();
    let (me, other) = (fs::read_to_string(world.path("me.pub")).unwrap(), "other.pub");
    world.done(&format!("export --from source --archive archive --recipient {me} --recipients-file {other}"));
    for key in ["me.key", "other.key"] {
        assert!(world.done(&format!("check --read-data --archive archive --identity {key}")).contains("no damage"));
    }
}

#[test]
fn a_passphrase_is_as_good_as_a_key_and_not_needed_to_export() {
    let world = World::new();
    fs::write(world.path("phrase"), "a station wagon full of tapes\n").unwrap();
    fs::write(world.path("wrong"), "a bicycle\n").unwrap();
    world.done("export --from source --archive archive --passphrase-file phrase");
    world.a_day_passes();
    world.done("export --from source --archive archive");
    world.refused("ls --archive archive", &["--passphrase-file FILE"]);
    world.refused("ls --archive archive --passphrase-file wrong", &["the passphrase is wrong"]);
    assert!(world.done("check --read-data --archive archive --passphrase-file phrase").contains("no damage"));
    let key = fs::metadata(world.path("archive/key.age")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}

#[test]
fn one_message_comes_out_alone() {
    let world = World::encrypted();
    let found = world.done("--json find --archive archive --identity me.key --subject e");
    let address = found.split('"').find(|word| word.contains(":INBOX/")).expect("a message in some inbox").to_owned();
    let plain = World::new();
    plain.done("export --from source --archive archive");
    let message = world.done(&format!("extract --archive archive --identity me.key {address} --output -"));
    assert_eq!(message, plain.done(&format!("extract --archive archive {address} --output -")));
    assert!(message.contains("Subject"));
}

#[test]
fn damage_is_found_without_a_key_and_named_with_one() {
    let world = World::encrypted();
    let whole = world.run("check --read-data --archive archive");
    assert!(whole.text.contains("not looked into: the archive is encrypted"), "{}", whole.text);
    assert_eq!(whole.status, 7, "not a status that says that all is well: {}", whole.text);
    flip(&world.file("archive/packs", ".age"));
    let closed =
        world.refused("check --read-data --archive archive", &[".tar.gz.age: its bytes are not those of its name"]);
    assert_eq!(closed.status, 5);
    let open = world.refused("check --read-data --archive archive --identity me.key", &["does not inflate", "lost: "]);
    assert_eq!(open.status, 5);
    // The site is alive: what is lost is fetched again once a repair with the key has found out.
    world.run("repair --archive archive --identity me.key");
    world.done("export --deep --from source --archive archive --identity me.key");
    assert!(world.done("check --read-data --archive archive --identity me.key").contains("no damage"));
}

#[test]
fn a_bit_in_the_first_bytes_of_an_encrypted_pack_costs_that_pack_and_stops_nobody() {
    // In what says that it is age's, and in what a key opens.
    for (at, has_index) in [(5, true), (40, true), (40, false)] {
        let world = World::encrypted();
        let pack = world.file("archive/packs", ".age");
        let mut bytes = fs::read(&pack).unwrap();
        bytes[at] ^= 1;
        fs::write(&pack, bytes).unwrap();
        if !has_index {
            fs::remove_dir_all(world.path("archive/index")).unwrap();
        }
        // A wrong key is a wrong key, and no reason to put a pack aside.
        let stranger = world.run("repair --archive archive --identity other.key");
        assert!(stranger.status == 1 && pack.exists(), "{}", stranger.text);
        let found = world.refused("check --read-data --archive archive --identity me.key", &["lost: ", ".tar.gz"]);
        assert_eq!(found.status, 5, "{}", found.text);
        let import = world.run("import --archive archive --identity me.key --to target");
        assert_eq!(import.status, 3, "{}", import.text);
        let repair = world.run("repair --archive archive --identity me.key");
        assert!(repair.status == 5 && !pack.exists(), "{}", repair.text);
        world.done("export --deep --from source --archive archive --identity me.key");
        assert!(world.done("check --read-data --archive archive --identity me.key").contains("no damage"));
        world.done("import --archive archive --identity me.key --to target");
        assert!(world.done("verify --archive archive --identity me.key --to target").contains("no difference"));
    }
}

#[test]
fn bad_sectors_of_an_encrypted_archive_are_mended_without_a_key_and_a_lost_key_file_comes_back() {
    let world = World::new();
    fs::write(world.path("phrase"), "correct horse battery staple\n").unwrap();
    world.done("export --from source --archive archive --passphrase-file phrase");
    assert!(world.done("protect --archive archive").contains("parity of 7 files made"));
    let pack = world.file("archive/packs", ".age");
    let (before, key) = (fs::read(&pack).unwrap(), fs::read(world.path("archive/key.age")).unwrap());
    let mut damaged = before.clone();
    damaged[4096..8192].fill(0);
    fs::write(&pack, &damaged).unwrap();
    fs::remove_file(world.path("archive/key.age")).unwrap();
    assert_eq!(world.run("check --read-data --archive archive").status, 5);
    world.done("repair --archive archive --passphrase-file phrase");
    assert_eq!((fs::read(&pack).unwrap(), fs::read(world.path("archive/key.age")).unwrap()), (before, key));
    assert!(world.done("check --read-data --archive archive --passphrase-file phrase").contains("no damage"));
    assert_eq!(world.run("check --read-data --archive archive").status, 7);
}

#[test]
fn upkeep_with_a_key_leaves_an_archive_that_reads_the_same() {
    let world = World::encrypted();
    world.a_day_passes();
    world.done("export --from source --archive archive");
    world.done("forget 1 --prune --archive archive --identity me.key");
    world.done("repack --archive archive --identity me.key");
    assert!(world.done("check --read-data --archive archive --identity me.key").contains("no damage"));
    world.done("import --archive archive --identity me.key --to target");
    assert!(world.done("verify --archive archive --identity me.key --to target").contains("no difference"));
    // What was rewritten elsewhere is learnt by one pass with the key; from then on none is needed.
    world.refused("export --from source --archive archive", &["--identity FILE", "--full"]);
    world.done("export --from source --archive archive --identity me.key");
    world.done("export --from source --archive archive");
}
