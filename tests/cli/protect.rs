//! Stories of bad sectors: whole blocks of 4 KiB are lost anywhere, in the archive and in its parity, and come back bit
//! for bit.

use crate::wagon::{Wagon, files};
use std::collections::BTreeMap;
use std::path::Path;

const BLOCK: usize = 4096;

/// All files below `dir` and their bytes.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    files(dir).into_iter().map(|file| (file.clone(), std::fs::read(dir.join(&file)).unwrap())).collect()
}

/// The archive's own files, without the lock and the parity.
fn own(wagon: &Wagon) -> BTreeMap<String, Vec<u8>> {
    let mut all = content(&wagon.path("archive"));
    all.retain(|file, _| !file.starts_with("parity/") && !file.starts_with("lock"));
    all
}

/// Numbers that differ from run to run of a loop, and are the same in each run of the test.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

/// Loses a block: what was there reads as something else.
fn lose(file: &Path, block: usize, with: u8) {
    let mut bytes = std::fs::read(file).unwrap();
    let end = (block * BLOCK + BLOCK).min(bytes.len());
    bytes[block * BLOCK..end].fill(with);
    std::fs::write(file, bytes).unwrap();
}

/// An archive of some megabytes: incompressible letters beside the example site.
fn large() -> Wagon {
    let wagon = Wagon::exported();
    let cur = files(&wagon.path("source")).into_iter().find(|file| file.contains("/cur/")).unwrap();
    let folder = wagon.path("source").join(cur).parent().unwrap().to_owned();
    let mut dice = Dice(1);
    for number in 0..12 {
        let mut letter = format!("Subject: {number}\r\n\r\n").into_bytes();
        letter.extend((0..400_000).map(|_| dice.below(256) as u8));
        std::fs::write(folder.join(format!("17072153{number:02}.M1P{number}.large:2,S")), letter).unwrap();
    }
    let seen = wagon.run("export --from source --archive archive");
    assert_eq!(seen.status, 0, "{}{}", seen.out, seen.err);
    wagon
}

fn protected(wagon: &Wagon, line: &str) -> String {
    let seen = wagon.run(line);
    assert_eq!(seen.status, 0, "{}{}", seen.out, seen.err);
    seen.out
}

/// Loses as many blocks as may be lost of one file and its parity together.
fn lose_all_that_may_be(wagon: &Wagon, file: &str, percent: usize, dice: &mut Dice) -> usize {
    let (own, parity) = (wagon.path("archive").join(file), wagon.path("archive/parity").join(format!("{file}.par")));
    let blocks = |path: &Path| (std::fs::metadata(path).unwrap().len() as usize).div_ceil(BLOCK);
    let (mine, beside) = (blocks(&own), blocks(&parity));
    let may = (mine * percent).div_ceil(100);
    // A run where one may be, the rest anywhere; the parity's first block, which says what it is, among them.
    let mut gone = std::collections::BTreeSet::new();
    if may > 1 {
        gone.insert(mine);
    }
    let run = dice.below(mine + beside);
    gone.extend((run..mine + beside).take(may / 3));
    while gone.len() < may {
        gone.insert(dice.below(mine + beside));
    }
    for &block in &gone {
        match block.checked_sub(mine) {
            None => lose(&own, block, 0xa5),
            Some(block) => lose(&parity, block, 0),
        }
    }
    gone.len()
}

#[test]
fn any_blocks_up_to_the_percentage_come_back_in_every_file_at_once() {
    for percent in [1, 5, 30] {
        let wagon = large();
        let said = protected(&wagon, &format!("protect --archive archive --percent {percent}"));
        assert!(said.contains(&format!("up to {percent} per cent of each may be lost")), "{said}");
        let (before, parity) = (own(&wagon), content(&wagon.path("archive/parity")));
        assert_eq!(before.len(), parity.len(), "every file has parity: {:?} {:?}", before.keys(), parity.keys());
        for round in 0..2 {
            let mut dice = Dice(percent as u64 * 10 + round);
            let lost: usize = before.keys().map(|file| lose_all_that_may_be(&wagon, file, percent, &mut dice)).sum();
            assert!(lost >= before.len());
            let mended = wagon.run("repair --archive archive");
            assert_eq!(mended.status, 0, "{percent} per cent, round {round}: {}{}", mended.out, mended.err);
            assert!(mended.out.contains("nothing is lost"), "{}", mended.out);
            assert_eq!(own(&wagon), before, "{percent} per cent, round {round}");
            assert_eq!(content(&wagon.path("archive/parity")), parity, "the parity itself is made again");
        }
        let sound = wagon.run("check --archive archive --read-data");
        assert_eq!((sound.status, sound.out.ends_with("no damage\n")), (0, true), "{}", sound.out);
    }
}

#[test]
fn a_flipped_bit_in_a_snapshot_or_in_the_header_costs_nothing() {
    let wagon = Wagon::exported_twice();
    protected(&wagon, "protect --archive archive");
    let before = own(&wagon);
    for file in before.keys().filter(|file| file.starts_with("snapshots/") || *file == "wagon.json") {
        for at in [0, 40, before[file].len() / 2, before[file].len() - 1] {
            let mut bytes = before[file].clone();
            bytes[at] ^= 4;
            std::fs::write(wagon.path("archive").join(file), bytes).unwrap();
            let dry = wagon.run("repair --archive archive --dry-run");
            assert!(
                dry.out.contains(&format!("{file}: can be mended by its parity (1 block)")),
                "{}{}",
                dry.out,
                dry.err
            );
            assert_ne!(own(&wagon), before, "a dry run changes nothing");
            let mended = wagon.run("repair --archive archive");
            assert_eq!(mended.status, 0, "{}{}", mended.out, mended.err);
            assert_eq!(own(&wagon), before, "{file} at {at}");
        }
    }
}

#[test]
fn small_files_that_are_gone_come_back() {
    let wagon = Wagon::exported_twice();
    protected(&wagon, "protect --archive archive");
    let before = own(&wagon);
    let small = before.iter().filter(|(_, bytes)| bytes.len() <= BLOCK).map(|(file, _)| file);
    let small: Vec<_> = small.collect();
    assert!(small.iter().any(|file| *file == "wagon.json") && small.len() > 1, "{small:?}");
    for file in &small {
        std::fs::remove_file(wagon.path("archive").join(file)).unwrap();
    }
    assert_eq!(wagon.run("check --archive archive").status, 1, "no archive without wagon.json");
    let mended = wagon.run("repair --archive archive");
    assert_eq!(mended.status, 0, "{}{}", mended.out, mended.err);
    assert!(mended.out.contains("wagon.json: mended by its parity (it was gone)"), "{}", mended.out);
    assert_eq!(own(&wagon), before);
}

#[test]
fn what_is_more_than_parity_can_mend_is_said_and_the_rest_is_saved_as_without_it() {
    let wagon = large();
    protected(&wagon, "protect --archive archive --percent 1");
    let packs = own(&wagon).into_iter().filter(|(file, _)| file.starts_with("packs/"));
    let (pack, bytes) = packs.max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let may = bytes.len().div_ceil(BLOCK).div_ceil(100);
    for block in 0..=may {
        lose(&wagon.path("archive").join(&pack), block * 9 + 1, 1);
    }
    let seen = wagon.run("repair --archive archive");
    assert_eq!(seen.status, 5, "{}{}", seen.out, seen.err);
    let expected = format!("{pack}: not mended by its parity: {} of {}", may + 1, bytes.len().div_ceil(BLOCK));
    assert!(seen.out.contains(&expected), "{}", seen.out);
    assert!(seen.out.contains("lost: "), "{}", seen.out);
    // The parity lies beside the pack that was set aside: a better copy of it could still be mended.
    let aside = files(&wagon.path("archive/damaged"));
    assert!(aside.len() == 2 && aside.iter().any(|file| file.ends_with(".tar.gz.par")), "{aside:?}");
    assert_eq!(wagon.run("export --from source --archive archive").status, 0);
    protected(&wagon, "protect --archive archive --percent 1");
    let sound = wagon.run("check --archive archive --read-data");
    assert_eq!(sound.status, 0, "{}", sound.out);
}

#[test]
fn protecting_again_reads_only_what_is_new_and_gives_the_same_bytes_everywhere() {
    let wagon = Wagon::exported();
    let first = protected(&wagon, "protect --archive archive");
    assert!(first.contains("parity of 5 files made"), "{first}");
    let parity = content(&wagon.path("archive/parity"));
    assert!(protected(&wagon, "protect --archive archive").contains("parity of 0 files made"));
    stationwagon::testing::example_site::a_day_passes(&wagon.fs(), &wagon.path("source")).unwrap();
    assert_eq!(wagon.run("export --from source --archive archive").status, 0);

    let seen = wagon.run("check --archive archive");
    assert!(seen.out.contains("protected by parity: 5 of 8 files to 5 per cent"), "{}", seen.out);
    assert!(seen.out.contains("; `wagon protect` protects the other 3"), "{}", seen.out);
    assert!(protected(&wagon, "protect --archive archive").contains("parity of 3 files made"));
    let later = content(&wagon.path("archive/parity"));
    assert!(parity.iter().all(|(file, bytes)| later[file] == *bytes), "what was there stayed");

    std::fs::remove_dir_all(wagon.path("archive/parity")).unwrap();
    protected(&wagon, "protect --archive archive");
    assert_eq!(content(&wagon.path("archive/parity")), later, "made at once it is the same");
    assert!(protected(&wagon, "protect --archive archive --percent 9").contains("parity of 8 files made"));
    for wrong in ["protect --archive archive --percent 0", "protect --archive archive --percent 51"] {
        assert_eq!(wagon.run(wrong).status, 2, "{wrong}");
    }
}

#[test]
fn parity_goes_with_its_file_and_damage_to_it_is_found_and_costs_nothing() {
    let wagon = Wagon::exported_twice();
    protected(&wagon, "protect --archive archive");
    assert_eq!(wagon.run("forget 1 --archive archive --prune").status, 0);
    assert_eq!(wagon.run("repack --archive archive").status, 0);
    let (left, parity) = (own(&wagon), files(&wagon.path("archive/parity")));
    let of = |file: &String| file.trim_end_matches(".par").to_owned();
    assert!(parity.iter().map(of).all(|file| left.contains_key(&file)), "{parity:?} of {:?}", left.keys());
    protected(&wagon, "protect --archive archive");

    let before = content(&wagon.path("archive/parity"));
    for file in before.keys() {
        let path = wagon.path("archive/parity").join(file);
        lose(&path, 1, 7);
        let found = wagon.run("check --archive archive --read-data");
        assert_eq!(found.status, 5, "{}", found.out);
        assert!(found.out.contains(&format!("parity/{file}: 1 of its ")), "{}", found.out);
        std::fs::write(&path, "nothing that was ever parity").unwrap();
        assert_eq!(wagon.run("check --archive archive").status, 5);
        let mended = wagon.run("repair --archive archive");
        assert_eq!(mended.status, 0, "{}{}", mended.out, mended.err);
        assert!(mended.out.contains(&format!("parity/{file}: made again")), "{}", mended.out);
    }
    assert_eq!(content(&wagon.path("archive/parity")), before);
}

#[test]
fn a_file_that_is_damaged_already_is_not_protected_as_it_is() {
    let wagon = Wagon::exported();
    let pack = own(&wagon).into_keys().find(|file| file.starts_with("packs/")).unwrap();
    lose(&wagon.path("archive").join(&pack), 0, 3);
    let seen = wagon.run("protect --archive archive");
    assert_eq!(seen.status, 5, "{}{}", seen.out, seen.err);
    assert!(seen.out.contains(&format!("{pack}: not protected, it is damaged")), "{}", seen.out);
    assert!(!wagon.path("archive/parity").join(format!("{pack}.par")).exists());
}

#[test]
fn forged_parity_writes_nothing_outside_the_archive_and_no_file_of_its_own() {
    let wagon = Wagon::exported();
    protected(&wagon, "protect --archive archive");
    let before = own(&wagon);
    let parity = wagon.path("archive/parity");
    let header = std::fs::read(parity.join("wagon.json.par")).unwrap();
    // Parity that was made of one file, under the names of others.
    for name in ["lock.json.par", "packs/zz/x.tar.gz.par", "snapshots/evil.sh.par", "notes.txt.par", "a/b/c.par"] {
        std::fs::create_dir_all(parity.join(name).parent().unwrap()).unwrap();
        std::fs::write(parity.join(name), &header).unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", parity.join("key.age.par")).unwrap();
    let found = wagon.run("check --archive archive");
    assert_eq!(found.status, 5);
    assert!(found.out.contains("parity/notes.txt.par: no file of an archive"), "{}", found.out);
    let mended = wagon.run("repair --archive archive");
    assert_eq!(mended.status, 0, "{}{}", mended.out, mended.err);
    assert_eq!(own(&wagon), before);
}
