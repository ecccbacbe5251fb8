//! Targets and maps that do not belong together.

use crate::sites::look;
use crate::watched::watched;
use crate::world::{World, assert_says, copy_tree};
use std::fs;
use std::process::Command;

/// A second site with the same addresses: the example site under another id.
fn another_source(world: &World) {
    copy_tree(&world.path("source"), &world.path("other"));
    fs::remove_file(world.path("other/site.sqlite")).unwrap();
    world.wagon(0, "export --from {}/other --archive {}/others");
}

#[test]
fn a_target_that_has_the_addresses_from_another_source_is_refused_until_they_are_renamed() {
    let world = World::exported();
    another_source(&world);
    world.wagon(0, "import --archive {}/archive --to {}/target");
    let before = look(&world.path("target"));
    for dry in ["", " --dry-run"] {
        let said = world.said(1, &format!("import --archive {{}}/others --to {{}}/target{dry}"));
        assert_says(&said, &["from another source already", "map_example.sqlite", "hint: --rename FILE"]);
    }
    let after = look(&world.path("target"));
    assert_eq!((after.messages, after.files, after.facts), (before.messages, before.files, before.facts));
    let files = fs::read_dir(world.path("target")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut strange = files.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.starts_with("map_"));
    let strange = strange.find(|name| !name.starts_with("map_example.sqlite"));
    assert_eq!(strange, None, "a refused import leaves no map behind");
    world.wagon(0, "verify --archive {}/archive --to {}/target");
}

#[test]
fn a_map_of_another_target_is_refused_by_every_verb_that_takes_one() {
    let world = World::exported();
    world.wagon(0, "import --archive {}/archive --to {}/target");
    world.wagon(0, "import --archive {}/archive --to {}/second --provisioning-only");
    fs::remove_file(world.path("second/map_example.sqlite")).unwrap();
    assert!(
        Command::new("cp")
            .arg(world.path("target/map_example.sqlite"))
            .arg(world.path("second"))
            .status()
            .unwrap()
            .success()
    );
    let rows = || world.wagon(0, "map export {}/second/map_example.sqlite");
    let (map, before) = (rows(), look(&world.path("second")).facts);
    for verb in [
        "import --archive {}/archive --to {}/second",
        "import --archive {}/archive --to {}/second --dry-run",
        "verify --archive {}/archive --to {}/second",
        "shares fix --site {}/second {}/target/map_example.sqlite",
    ] {
        assert_says(&world.said(1, verb), &["belongs to target", "hint: `wagon map show MAP`"]);
    }
    assert_eq!(rows(), map);
    assert_eq!(look(&world.path("second")).facts, before);
}

#[test]
fn a_site_is_not_imported_into_itself() {
    let world = World::exported();
    let before = look(&world.path("source")).messages;
    let said = world.said(1, "import --archive {}/archive --to {}/source");
    assert_says(&said, &["this very target (example)", "--way-back"]);
    assert_eq!(look(&world.path("source")).messages, before);
    assert!(!world.path("source/map_example.sqlite").exists());
}

/// A map is taken along with an archive, so anybody may have written it. SQLite would run what stands in its schema.
#[test]
fn a_map_that_computes_instead_of_holding_rows_is_refused_at_once() {
    let world = World::exported();
    world.wagon(0, "import --archive {}/archive --to {}/target");
    let map = world.path("target/map_example.sqlite");
    let kept = fs::read(&map).unwrap();
    for program in [
        "CREATE VIEW item AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
         SELECT 1 AS record, i AS id, 1 AS folder FROM n",
        "CREATE TABLE item (record INTEGER, id INTEGER, folder AS (zeroblob(1000000000)))",
        "CREATE TABLE item (record INTEGER, id INTEGER, folder AS (zeroblob(1000000000)) STORED)",
        "CREATE VIRTUAL TABLE item USING fts5(record)",
        "CREATE TRIGGER meta_is_read AFTER UPDATE ON meta BEGIN SELECT randomblob(1000000000); END",
    ] {
        fs::create_dir(world.path("theirs")).unwrap();
        let theirs = world.path("theirs/map_example.sqlite");
        fs::write(&theirs, &kept).unwrap();
        let db = rusqlite::Connection::open(&theirs).unwrap();
        db.execute_batch(&format!("ALTER TABLE item RENAME TO other; {program}; PRAGMA journal_mode = DELETE"))
            .unwrap();
        drop(db);
        for line in [
            "map show {}/theirs/map_example.sqlite",
            "map export {}/theirs/map_example.sqlite",
            "shares check --site {}/target {}/theirs/map_example.sqlite",
            "shares fix --site {}/target {}/theirs/map_example.sqlite --dry-run",
        ] {
            let (status, said) = watched(&world, line);
            assert!(status == 1, "{program}: {line}: {status}\n{said}");
            assert_says(&said, &["theirs/map_example.sqlite", "views, triggers, virtual tables or computed columns"]);
        }
        fs::remove_dir_all(world.path("theirs")).unwrap();
    }
}
