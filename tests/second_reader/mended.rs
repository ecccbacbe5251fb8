//! The second reader mends: bit for bit, without a key, and leaves the archive as it is.

use crate::forged::with_checksum;
use crate::python::{change, command, copy_tree, golden, has_python, outcome, reads_well, refuses, snapshots_of, tree};
use crate::signed::key;
use crate::sites::{Place, skip};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const BLOCK: usize = 4096;
const PERCENT: usize = 10;

/// An archive with a large letter and small ones, signed, with parity of everything.
pub fn protected(place: &Place) -> PathBuf {
    key(place, "me");
    let maildir = place.path("source/mail/example.org/ann/Maildir");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(sub)).unwrap();
    }
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    for (name, bytes) in [("1700000001", 1_200_000), ("1700000002", 20)] {
        let letter: Vec<u8> = b"From: a@example.org\n\n".iter().copied().chain((0..bytes).map(|_| noise())).collect();
        fs::write(maildir.join(format!("cur/{name}.M1P1.host:2,S")), letter).unwrap();
        place.wagon(0, "export --from {}/source --archive {}/archive --sign-with {}/me.sec");
    }
    place.wagon(0, &format!("protect --archive {{}}/archive --percent {PERCENT}"));
    place.path("archive")
}

/// The files that have parity, with how many blocks each may lose.
fn of_parity(archive: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<(PathBuf, usize, usize)> {
    let protected = archive.iter().filter(|(path, _)| archive.contains_key(&parity_of(path)));
    protected
        .map(|(path, bytes)| {
            let blocks = bytes.len().div_ceil(BLOCK).max(1);
            (path.clone(), blocks, (blocks * PERCENT).div_ceil(100))
        })
        .collect()
}

fn parity_of(path: &Path) -> PathBuf {
    Path::new("parity").join(format!("{}.par", path.display()))
}

fn spoil(path: &Path, block: usize) {
    change(path, |bytes| bytes.iter_mut().skip(block * BLOCK).take(40).for_each(|byte| *byte ^= 0x5a));
}

/// Mends `archive` into `out` without a key, and lays that over it; what it said and what it wrote.
fn mended(place: &Place, status: i32) -> (String, BTreeMap<PathBuf, Vec<u8>>) {
    let before = tree(&place.path("copy"));
    let (said, found) = outcome(&mut command(place, "mend {}/copy {}/out"));
    assert_eq!(found, status, "{said}");
    assert_eq!(tree(&place.path("copy")), before, "the archive was changed");
    let written = tree(&place.path("out"));
    copy_tree(&place.path("out"), &place.path("copy"));
    fs::remove_dir_all(place.path("out")).unwrap();
    (said, written)
}

#[test]
fn every_kind_of_file_comes_back_bit_for_bit() {
    if !has_python() {
        return skip("every kind of file comes back", "python3 is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    let sound = protected(&place);
    let before = tree(&sound);
    let files = of_parity(&before);
    let kinds = ["wagon.json", "wagon-again.json", "packs/", "index/", ".tar.gz", ".minisig"];
    assert!(kinds.iter().all(|kind| files.iter().any(|(path, ..)| path.to_str().unwrap().contains(kind))), "{files:?}");
    assert!(files.iter().any(|(_, _, spare)| *spare > 20), "{files:?}");
    type Damage = fn(&Path, &Path, usize, usize);
    let damages: [(&str, Damage); 5] = [
        ("as many blocks as there may be", |file, _, blocks, spare| {
            (0..spare).for_each(|number| spoil(file, number * blocks / spare));
        }),
        ("the end, or all of what is small", |file, _, blocks, spare| {
            let left = (blocks - spare) * BLOCK;
            if left == 0 { fs::remove_file(file).unwrap() } else { change(file, |bytes| bytes.truncate(left)) }
        }),
        ("blocks of the file and of its parity", |file, parity, _, spare| {
            (0..spare / 2).for_each(|number| spoil(file, number));
            (0..spare.div_ceil(2)).for_each(|number| spoil(parity, 2 * number));
        }),
        ("parity in another order, with something between", |file, parity, _, _| {
            spoil(file, 0);
            change(parity, |bytes| {
                let mut blocks: Vec<_> = bytes.chunks(BLOCK).map(<[u8]>::to_vec).collect();
                blocks.reverse();
                blocks.insert(1, vec![0x5a; BLOCK]);
                *bytes = blocks.concat();
            });
        }),
        ("parity alone", |_, parity, _, _| spoil(parity, 1)),
    ];
    for (what, damage) in damages {
        let copy = place.path("copy");
        copy_tree(&sound, &copy);
        for (path, blocks, spare) in &files {
            damage(&copy.join(path), &copy.join(parity_of(path)), *blocks, *spare);
        }
        let damaged = tree(&copy);
        let (said, written) = mended(&place, 0);
        let wanted: BTreeMap<_, _> = before
            .iter()
            .filter(|(path, bytes)| damaged.get(*path) != Some(bytes))
            .map(|(p, b)| (p.clone(), b.clone()))
            .collect();
        let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&written), names(&wanted), "{what}: {said}");
        assert!(written == wanted && tree(&copy) == before, "{what}: {said}");
        let said = reads_well(&place, "--trust {}/me.min --parity check {}/copy");
        assert!(said.contains(&format!("{} files with parity, 0 complaints", files.len())), "{what}: {said}");
        fs::remove_dir_all(copy).unwrap();
    }
}

#[test]
fn too_much_damage_is_told_and_the_rest_is_mended() {
    if !has_python() {
        return skip("too much damage is told", "python3 is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    let sound = protected(&place);
    let before = tree(&sound);
    let copy = place.path("copy");
    copy_tree(&sound, &copy);
    let (largest, blocks, spare) = of_parity(&before).into_iter().max_by_key(|(_, blocks, _)| *blocks).unwrap();
    (0..=spare).for_each(|number| spoil(&copy.join(&largest), number * blocks / (spare + 1)));
    // Gone with its parity; and one whose parity is of something else.
    let snapshots = snapshots_of(&copy);
    let below = |path: &Path| path.strip_prefix(&copy).unwrap().to_owned();
    fs::remove_file(copy.join(parity_of(&below(&snapshots[0])))).unwrap();
    spoil(&snapshots[0], 0);
    fs::copy(copy.join(parity_of(Path::new("wagon.json"))), copy.join(parity_of(&below(&snapshots[1])))).unwrap();
    spoil(&snapshots[1], 0);
    fs::remove_file(copy.join("wagon.json")).unwrap();

    let (said, written) = mended(&place, 1);
    assert_eq!(written, BTreeMap::from([("wagon.json".into(), before[Path::new("wagon.json")].clone())]), "{said}");
    let missing = format!("{} of {blocks} blocks are lost, more than its parity makes up for", spare + 1);
    for (path, why) in [
        (largest, missing.as_str()),
        (below(&snapshots[0]), "it has no parity"),
        (below(&snapshots[1]), "none of its blocks is sound and of this file"),
    ] {
        let line = said.lines().find(|line| line.starts_with(&format!("cannot be mended: {}, ", path.display())));
        assert!(line.is_some_and(|line| line.contains(why)), "{}: {why}:\n{said}", path.display());
    }
    fs::create_dir(place.path("out")).unwrap();
    refuses(&place, "mend {}/copy {}/out", &["File exists"]);
    refuses(&place, "mend {}/source {}/new", &["has no file of an archive"]);
    assert!(!place.path("new").exists());
}

#[test]
fn a_check_names_what_is_not_as_its_parity_says_and_parity_that_is_not_of_its_file() {
    if !has_python() {
        return skip("a check compares files with their parity", "python3 is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    let archive = protected(&place);
    let signature = PathBuf::from(format!("{}.minisig", snapshots_of(&archive)[0].display()));
    spoil(&signature, 0);
    fs::remove_file(archive.join("wagon-again.json")).unwrap();
    let said = refuses(&place, "check {}/archive", &[".minisig: it is damaged; `mend` may bring it back"]);
    assert!(said.contains("wagon-again.json: it is lost; `mend`") && said.contains(" 2 complaints"), "{said}");
    place.wagon(0, "repair --archive {}/archive");
    reads_well(&place, "check {}/archive");

    // An index that was made anew by somebody who did not know of parity: it stays, and its parity serves no longer.
    let files = tree(&archive);
    let of_indexes: Vec<_> = files.keys().filter(|path| path.starts_with("parity/index")).collect();
    fs::copy(archive.join(of_indexes[0]), archive.join(of_indexes[1])).unwrap();
    refuses(&place, "check {}/archive", &[".idx.par: it is of other bytes than the file has", " 1 complaints"]);
    fs::write(archive.join(of_indexes[1]), &files[of_indexes[1]]).unwrap();

    // Parity whose checksums are right, and which would give something else.
    let (largest, ..) = of_parity(&files).into_iter().max_by_key(|(_, blocks, _)| *blocks).unwrap();
    let parity = archive.join(parity_of(&largest));
    change(&parity, |bytes| {
        let block = with_checksum(&{
            let mut block = bytes[BLOCK..2 * BLOCK].to_vec();
            block[4000] ^= 1;
            block
        });
        bytes[BLOCK..2 * BLOCK].copy_from_slice(&block);
    });
    reads_well(&place, "check {}/archive");
    refuses(&place, "--parity check {}/archive", &["it is not the parity of its file", " 1 complaints"]);
    // What it gives does not get the name.
    copy_tree(&archive, &place.path("copy"));
    (0..3).for_each(|number| spoil(&place.path("copy").join(&largest), number));
    let (said, written) = mended(&place, 1);
    assert!(said.contains("what its parity gives is not the file") && written.is_empty(), "{said}");
}

#[test]
fn every_file_of_the_golden_archive_comes_back_without_a_key() {
    if !has_python() {
        return skip("the golden archive is mended", "python3 is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    let copy = golden(&place, "copy");
    let before = tree(&copy);
    for flipped in [true, false] {
        for (path, bytes) in before.iter().filter(|(path, _)| *path != Path::new("lock")) {
            let is_parity = path.starts_with("parity");
            if flipped {
                change(&copy.join(path), |bytes| {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 0x20;
                });
            } else if bytes.len() <= BLOCK && !is_parity {
                fs::remove_file(copy.join(path)).unwrap();
            } else {
                continue;
            }
            let (said, written) = mended(&place, 0);
            assert_eq!(written.keys().collect::<Vec<_>>(), [path], "{said}");
            assert!(tree(&copy) == before, "{}: {said}", path.display());
        }
    }
}
