//! Encrypted archives that an enemy wrote: what age itself could be made to do.

use crate::forged::{self, sha256};
use crate::watched::{names, watched};
use crate::world::World;
use std::fs;
use std::time::{Duration, Instant};

const LETTER: &[u8] = b"Subject: one\r\n\r\nbody\r\n";

/// What a refusal may take, also where everything else is slow. The least that is refused would take half a minute.
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn a_key_file_that_asks_for_hours_of_work_is_refused_at_once() {
    let world = World::enclosed();
    forged::sound(&world, LETTER);
    fs::write(world.path("phrase"), "a station wagon full of tapes\n").unwrap();
    // The first above the bound; what would take all memory; what no shift holds; what is no number of age.
    for (work, says) in [
        ("23", "2^23 rounds of scrypt"),
        ("40", "2^40 rounds of scrypt"),
        ("63", "2^63 rounds of scrypt"),
        ("255", "2^255 rounds of scrypt"),
        ("256", "cannot be decrypted"),
        ("0", "cannot be decrypted"),
        ("-1", "cannot be decrypted"),
    ] {
        forged::locked_key(&world, work);
        for line in ["check --archive {}/archive", "ls --archive {}/archive", "repair --archive {}/archive"] {
            let began = Instant::now();
            let (status, said) = watched(&world, &format!("{line} --passphrase-file {{}}/phrase"));
            assert_eq!(status, 1, "{work}: {line}\n{said}");
            assert!(said.contains("key.age") && said.contains(says), "{work}: {line}\n{said}");
            assert!(!said.contains("panicked"), "{work}: {line}\n{said}");
            assert!(began.elapsed() < AT_ONCE, "{work}: {line} took {:?}", began.elapsed());
        }
    }
}

#[test]
fn a_header_of_age_without_an_end_is_not_read_to_its_end() {
    let stanza = format!("-> X25519 {}\n{}\n", "A".repeat(43), "A".repeat(43));
    let lines = stanza.repeat(200_000);
    for (what, content) in [("many keys", lines.clone()), ("one line", lines.replace('\n', ""))] {
        let world = World::enclosed();
        forged::sound(&world, LETTER);
        forged::seal(&world);
        let bytes = format!("age-encryption.org/v1\n{content}").into_bytes();
        let name = sha256(&bytes);
        let shelf = world.path("archive/packs").join(&name[..2]);
        fs::create_dir_all(&shelf).unwrap();
        fs::write(shelf.join(format!("{name}.tar.gz.age")), &bytes).unwrap();
        crate::watched::each_verb(&world, what, 5, 0, &["ledger balances"]);
        let snapshot = format!("archive/snapshots/00000002-{}.tar.gz.age", &name[..16]);
        fs::write(world.path(&snapshot), &bytes).unwrap();
        fs::remove_dir_all(world.path("target")).unwrap();
        let beside = names(world.root.parent().unwrap());
        crate::watched::each_verb(&world, what, 5, 1, &["00000002"]);
        assert_eq!(names(world.root.parent().unwrap()), beside);
    }
}
