//! Signed snapshots: who is believed, and what is refused.

use crate::world::{World, flip};
use minisign::{KeyPair, SecretKeyBox};
use std::fs;

/// Keys without a password: `NAME.sec`, `NAME.min`.
fn keys(world: &World, name: &str) {
    let pair = KeyPair::generate_unencrypted_keypair().unwrap();
    let secret: SecretKeyBox = pair.sk.to_box(None).unwrap();
    fs::write(world.path(&format!("{name}.sec")), secret.into_string()).unwrap();
    fs::write(world.path(&format!("{name}.min")), pair.pk.to_box().unwrap().into_string()).unwrap();
}

fn signed() -> World {
    let world = World::new();
    keys(&world, "me");
    keys(&world, "other");
    world.done("export --from source --archive archive --sign-with me.sec");
    world
}

#[test]
fn what_a_trusted_key_signed_is_imported_pass_after_pass() {
    let world = signed();
    world.done("import --archive archive --to target --trust me.min");
    world.a_day_passes();
    world.done("export --from source --archive archive --sign-with me.sec");
    world.done("import --archive archive --to target --trust other.min --trust me.min");
    world.done("verify --archive archive --to target --trust me.min");
    let key = fs::read_to_string(world.path("me.min")).unwrap();
    world.done(&format!("check --archive archive --trust {}", key.lines().nth(1).unwrap()));
}

#[test]
fn what_is_unsigned_changed_or_of_another_key_is_refused_before_anything_is_written() {
    let world = signed();
    world.refused("import --archive archive --to target --trust other.min", &["none of the trusted keys"]);
    world.a_day_passes();
    world.done("export --from source --archive archive");
    world.refused("import --archive archive --to target --trust me.min", &["it is not signed", "--sign-with"]);
    assert!(!world.path("target/site.sqlite").exists());
}

#[test]
fn a_snapshot_that_was_changed_is_refused_by_every_verb_that_trusts() {
    let world = signed();
    let snapshot =
        world.files("archive/snapshots").into_iter().find(|path| path.extension().is_some_and(|e| e == "gz"));
    flip(&snapshot.unwrap());
    for verb in ["import --to target", "extract ann@station.example --output out", "check"] {
        world.refused(&format!("{verb} --archive archive --trust me.min"), &["not what was signed"]);
    }
    assert!(!world.path("target/map").exists() && !world.path("out").exists());
}

#[test]
fn an_archive_that_was_set_back_is_refused_by_a_target_that_has_seen_more() {
    let world = signed();
    world.copy("archive", "older");
    world.a_day_passes();
    world.done("export --from source --archive archive --sign-with me.sec");
    world.done("import --archive archive --to target --trust me.min");
    world.refused("import --archive older --to target --trust me.min", &["was set back", "fetch the archive again"]);
    world.refused("import --archive older --additive --to target --trust me.min", &["was set back"]);
    world.refused("verify --archive older --to target --trust me.min", &["was set back"]);
    // Another second snapshot, by the same key.
    world.done("export --from source --archive older --sign-with me.sec --label other");
    world.refused("import --archive older --to target --trust me.min", &["is another than the one"]);
    world.done("import --archive archive --to target --trust me.min");
}

#[test]
fn a_signature_vouches_for_one_number_of_one_archive() {
    let world = signed();
    world.done("export --from source --archive other --sign-with me.sec");
    for path in world.files("archive/snapshots") {
        fs::remove_file(path).unwrap();
    }
    for path in world.files("other/snapshots") {
        fs::copy(&path, world.path("archive/snapshots").join(path.file_name().unwrap())).unwrap();
    }
    world.refused("import --archive archive --to target --trust me.min", &["its signature was made for archive="]);
}

#[test]
fn forget_signs_what_it_writes_again_or_refuses() {
    let world = signed();
    world.a_day_passes();
    world.done("export --from source --archive archive --sign-with me.sec");
    world.done("import --archive archive --to target --trust me.min");
    world.refused("forget 1 --archive archive", &["--sign-with"]);
    world.done("forget 1 --archive archive --sign-with me.sec");
    world.done("import --archive archive --to target --trust me.min");
    let left = world.files("archive/snapshots");
    assert_eq!(left.len(), 2, "a snapshot and its signature: {left:?}");
}

#[test]
fn encrypted_and_signed_go_together() {
    let world = World::new();
    keys(&world, "me");
    world.done("export --from source --archive archive --recipients-file me.pub --sign-with me.sec");
    let closed = world.run("check --read-data --archive archive --trust me.min");
    assert!(closed.status == 7 && closed.text.contains("no damage"), "{} {}", closed.status, closed.text);
    world.done("import --archive archive --identity me.key --to target --trust me.min");
}

#[test]
fn what_is_no_key_is_named_and_never_shown() {
    let world = signed();
    let said =
        world.refused("export --from source --archive archive --sign-with me.key", &["no secret key of minisign"]);
    assert!(!said.text.contains("AGE-SECRET"));
    world.refused("import --archive archive --to target --trust nonsense", &["no public key of minisign"]);
    world.refused("import --archive archive --to target --trust me.sec", &["no public key of minisign"]);
}
