//! What happens when the exporter's own files are lost, stolen or lied to.

use crate::world::World;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn a_lost_catalog_is_learnt_again_by_one_pass_with_the_key() {
    let world = World::encrypted();
    fs::remove_dir_all(world.path("home")).unwrap();
    world.refused("export --from source --archive archive", &["catalog", "--identity FILE", "--full"]);
    let packs = world.files("archive/packs").len();
    let said = world.done("export --from source --archive archive --identity me.key");
    assert!(said.contains("items: 0 added"), "{said}");
    assert!(world.done("export --from source --archive archive").contains("items: 0 added"));
    assert_eq!(world.files("archive/packs").len(), packs, "nothing was stored again");
}

#[test]
fn a_lost_catalog_without_any_key_begins_anew_as_another_source() {
    let world = World::encrypted();
    fs::remove_dir_all(world.path("home")).unwrap();
    let anew = world.done("export --full --from source --archive archive");
    assert!(anew.contains("-anew-2"), "{anew}");
    let next = world.done("export --from source --archive archive");
    assert!(next.contains("-anew-2") && next.contains("items: 0 added"), "{next}");
    // Had the pass been killed before its snapshot, the next one would not take the old name, whose numbers are given away.
    for path in
        world.files("archive/snapshots").into_iter().filter(|path| !path.to_string_lossy().contains("00000001-"))
    {
        fs::remove_file(path).unwrap();
    }
    let next = world.done("export --from source --archive archive");
    assert!(next.contains("snapshot 2 of") && next.contains("-anew-2"), "{next}");
    let source = next.split_whitespace().find(|word| word.contains("-anew-2")).unwrap().to_owned();
    world.done(&format!("import --archive archive --identity me.key --to target --source {source}"));
    assert!(
        world
            .done(&format!("verify --archive archive --identity me.key --to target --source {source}"))
            .contains("no difference")
    );
    assert!(world.done("check --read-data --archive archive --identity me.key").contains("no damage"));
}

#[test]
fn a_stolen_exporter_has_no_content_and_opens_nothing() {
    let world = World::encrypted();
    let word = "Subject:";
    for path in world.files("home") {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
        let bytes = fs::read(&path).unwrap();
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(bytes.as_slice()), &mut text).ok();
        for bytes in [bytes, text] {
            assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{}", path.display());
        }
    }
    let chain = fs::read_dir(world.path("home/.cache/wagon")).unwrap().map(|entry| entry.unwrap());
    let chain = chain.into_iter().find(|entry| entry.file_name().to_str().unwrap().starts_with("chain_")).unwrap();
    assert_eq!(chain.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    world.refused("ls --archive archive", &["encrypted"]);
}

#[test]
fn whoever_changes_for_whom_an_archive_is_encrypted_gets_nothing_from_this_exporter() {
    let world = World::encrypted();
    let header = world.path("archive/wagon.json");
    let before = fs::read_to_string(&header).unwrap();
    let (me, other) =
        (fs::read_to_string(world.path("me.pub")).unwrap(), fs::read_to_string(world.path("other.pub")).unwrap());
    // Whoever may write there does not forget the second copy, nor the checksum.
    let unproven = before.split(",\n  \"sha256\"").next().unwrap().to_owned() + "\n}\n";
    let forge = |text: String| {
        ["archive/wagon.json", "archive/wagon-again.json"]
            .iter()
            .for_each(|at| fs::write(world.path(at), &text).unwrap());
    };
    forge(unproven.replace(&me, &other));
    world.refused("export --from source --archive archive", &["not encrypted for those"]);
    // The same by making it look like one that is not encrypted at all.
    let plain = before.split("\"encryption\"").next().unwrap().trim_end().trim_end_matches(',').to_owned() + "}";
    forge(plain.replace("\"format\": 2", "\"format\": 1"));
    world.refused("export --from source --archive archive", &["not encrypted for those"]);
    assert_eq!(world.files("archive/snapshots").len(), 1);
}

#[test]
fn an_archive_stays_as_it_was_made() {
    let world = World::encrypted();
    world.refused("export --from source --archive archive --recipients-file other.pub", &["encrypted for others"]);
    world.done("export --from source --archive archive --recipients-file me.pub");
    world.done("export --from source --archive plain");
    world
        .refused("export --from source --archive plain --recipients-file me.pub", &["not encrypted", "name a new one"]);
    world.refused("export --from source --archive new --recipient age1nonsense", &["no public key of age"]);
}
