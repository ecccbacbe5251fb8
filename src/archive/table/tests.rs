use super::known::KnownObjects;
use super::page::{PAGE_ROWS, Row};
use super::sorted::{PackIdent, SortedFile, SortedWriter};
use super::*;
use crate::format::pack_index::{IndexEntry, SegmentRow};
use crate::fs::RealFs;
use crate::model::id::ObjectId;
use proptest::prelude::*;
use std::path::Path;

fn archive(dir: &Path) -> Archive {
    let at = dir.join("archive");
    let archive = match Archive::open(Arc::new(RealFs), &at) {
        Ok(archive) => archive,
        Err(_) => Archive::create(Arc::new(RealFs), &at, "test".parse().unwrap(), 0).unwrap(),
    };
    archive.with_tables_in(dir)
}

/// A name; forged ones differ in their last bytes only.
fn name(number: u32, forged: bool) -> Prefix {
    let mut prefix = [7; 20];
    if !forged {
        prefix.copy_from_slice(&ObjectId::of(&number.to_be_bytes()).as_bytes()[..20]);
    }
    prefix[16..].copy_from_slice(&number.to_be_bytes());
    prefix
}

/// A pack of one segment that lists these names, with a file that has the length it says, and its index.
fn publish(archive: &Archive, pack: u8, names: &[Prefix]) -> (PackName, PackIndex) {
    let pack_name = PackName([pack; 32]);
    let rows = vec![SegmentRow { offset: 0, compressed: 1 << 12, uncompressed: 1 << 20 }];
    let entry = |(at, prefix): (usize, &Prefix)| IndexEntry { prefix: *prefix, segment: 0, block: at as u16 % 1000 };
    let index = PackIndex::new(pack_name.0, 1 << 12, rows, names.iter().enumerate().map(entry).collect());
    let path = archive.dir.join(pack_name.pack_path());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, vec![0; 1 << 12]).unwrap();
    archive.write_index(pack_name, &index).unwrap();
    (pack_name, index)
}

fn write(dir: &Path, rows: &[Row]) -> SortedFile {
    let mut table = SortedWriter::create(&RealFs, dir).unwrap();
    rows.iter().for_each(|row| table.push(*row).unwrap());
    table.finish(&RealFs).unwrap()
}

fn found(table: &SortedFile, prefix: &Prefix) -> Vec<Row> {
    let mut rows = Vec::new();
    table.find(prefix, &mut rows).unwrap();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_table_finds_what_a_list_would_while_it_grows_and_when_it_is_merged(
        packs in prop::collection::vec((prop::collection::vec(0..3000u32, 0..900), any::<bool>()), 0..6),
        forged in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let archive = archive(dir.path());
        let mut table = ObjectTable::new(&archive);
        let mut listed = Vec::new();
        for (number, (names, merged)) in packs.iter().enumerate() {
            let names: Vec<_> = names.iter().map(|&number| name(number, forged)).collect();
            let (pack, index) = publish(&archive, number as u8, &names);
            table.push(pack, index, Keep::File).unwrap();
            if *merged {
                table.merge().unwrap();
            }
            listed.push(names);
        }
        let direct = Finder::new(archive.again()).unwrap();
        for number in 0..3000 {
            let prefix = name(number, forged);
            let found: Vec<_> = table.find(prefix).unwrap().iter().map(|at| at.pack).collect();
            let holders: Vec<_> = (0..listed.len()).filter(|&pack| listed[pack].contains(&prefix)).collect();
            prop_assert_eq!(&found, &holders);
            let places = direct.find(prefix).unwrap().at;
            prop_assert_eq!(places.is_empty(), holders.is_empty());
            prop_assert!(places.iter().all(|at| holders.contains(&at.pack)));
        }
    }
}

#[test]
fn names_that_share_all_they_can_are_found_across_pages() {
    let dir = tempfile::tempdir().unwrap();
    for copies in [1, 3, PAGE_ROWS as u32 + 5] {
        let mut rows = Vec::new();
        for number in 0..2000 {
            // Copies of each third name fill more than a page.
            let copies = if number % 3 == 0 { copies } else { 1 };
            rows.extend((0..copies).map(|pack| Row { prefix: name(2 * number, true), pack, segment: 1, block: 2 }));
        }
        let table = write(dir.path(), &rows);
        for number in (0..2000).step_by(7) {
            let prefix = name(2 * number, true);
            let expected: Vec<_> = rows.iter().filter(|row| row.prefix == prefix).copied().collect();
            assert_eq!(found(&table, &prefix), expected);
            assert_eq!(found(&table, &name(2 * number + 1, true)), []);
        }
    }
    assert_eq!(found(&write(dir.path(), &[]), &[0; 20]), []);
}

/// Names of as many objects as make a table on disk, and some.
fn many() -> Vec<Prefix> {
    (0..limits::TABLE_HELD_OBJECTS as u32 + 10).map(|number| name(number, false)).collect()
}

fn knows(archive: &Archive, prefixes: &[Prefix]) -> Vec<bool> {
    let mut known = KnownObjects::default();
    let held = prefixes.iter().map(|prefix| known.contains(archive, *prefix).unwrap()).collect();
    known.finish(archive).unwrap();
    held
}

fn kept(dir: &Path) -> PathBuf {
    dir.join("objects_test.table")
}

#[test]
fn a_pass_leaves_its_table_to_the_next_which_reads_no_index_again() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(dir.path());
    let names = many();
    let (first, _) = publish(&archive, 1, &names);
    assert_eq!(knows(&archive, &[names[5], name(u32::MAX, false)]), [true, false]);
    assert!(kept(dir.path()).exists());
    // A wrong bit inside the index, where a table that is made of it would have to look.
    let path = archive.dir.join(first.index_path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[2000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let later = name(u32::MAX - 1, false);
    publish(&archive, 2, &[later]);
    assert_eq!(knows(&archive, &[names[5], *names.last().unwrap(), later]), [true; 3]);
    let others: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(others.len(), 2, "the archive and the table: {others:?}");
}

#[test]
fn a_table_that_no_longer_tells_the_truth_is_made_again() {
    type Change = fn(&Archive, &Path);
    let changes: [(&str, Change); 6] = [
        ("cut short", |_, table| {
            let bytes = std::fs::read(table).unwrap();
            std::fs::write(table, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("empty", |_, table| std::fs::write(table, "").unwrap()),
        ("a wrong bit in its pages", |_, table| flip_every_page(table)),
        ("a wrong bit in its lists", |_, table| {
            let mut bytes = std::fs::read(table).unwrap();
            let at = bytes.len() - 50;
            bytes[at] ^= 1;
            std::fs::write(table, bytes).unwrap();
        }),
        ("its pack was replaced by another", |archive, _| {
            let name = PackName([1; 32]);
            std::fs::remove_file(archive.dir.join(name.pack_path())).unwrap();
            std::fs::remove_file(archive.dir.join(name.index_path())).unwrap();
            publish(archive, 3, &many());
        }),
        ("its index lists less now", |archive, _| drop(publish(archive, 1, &many()[..1000]))),
    ];
    for (what, change) in changes {
        let dir = tempfile::tempdir().unwrap();
        let archive = archive(dir.path());
        let names = many();
        publish(&archive, 1, &names);
        knows(&archive, &names[..1]);
        change(&archive, &kept(dir.path()));
        let gone = what == "its index lists less now";
        assert_eq!(knows(&archive, &[names[5], names[2000], [0; 20]]), [true, !gone, false], "{what}");
    }
}

fn flip_every_page(table: &Path) {
    let mut bytes = std::fs::read(table).unwrap();
    for page in 0..many().len() / PAGE_ROWS {
        bytes[page * page::PAGE_BYTES + 100] ^= 1;
    }
    std::fs::write(table, bytes).unwrap();
}

#[test]
fn a_pack_that_fills_the_table_is_merged_while_the_pass_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(dir.path());
    let mut known = KnownObjects::default();
    assert!(!known.contains(&archive, [0; 20]).unwrap());
    let step = limits::TABLE_HELD_OBJECTS as u32 / 3 + 1;
    for pack in 0..7 {
        let names: Vec<_> = (pack * step..(pack + 1) * step).map(|number| name(number, false)).collect();
        let (pack, index) = publish(&archive, pack as u8, &names);
        known.push(&archive, pack, index).unwrap();
        for prefix in names.iter().step_by(997) {
            assert!(known.contains(&archive, *prefix).unwrap());
        }
    }
    for number in (0..7 * step).step_by(991) {
        assert!(known.contains(&archive, name(number, false)).unwrap());
        assert!(!known.contains(&archive, name(number + 7 * step, false)).unwrap());
    }
    known.finish(&archive).unwrap();
    assert!(kept(dir.path()).exists());
}

#[test]
fn thousands_of_small_packs_become_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(dir.path());
    for pack in 0..=255 {
        publish(&archive, pack, &[name(u32::from(pack), false)]);
    }
    let extra = PackName([[1; 31].as_slice(), &[2]].concat().try_into().unwrap());
    let path = archive.dir.join(extra.pack_path());
    std::fs::write(path, [0; 8]).unwrap();
    archive.write_index(extra, &PackIndex::new(extra.0, 8, Vec::new(), Vec::new())).unwrap();
    assert_eq!(knows(&archive, &[name(200, false), name(300, false)]), [true, false]);
    assert!(kept(dir.path()).exists());
}

#[test]
fn a_list_of_packs_comes_back_as_it_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..1000).map(|pack| Row { prefix: name(pack, true), pack, segment: 3, block: 4 }).collect();
    let idents: Vec<_> = (0..9)
        .map(|at| PackIdent { name: PackName([at; 32]), pack_bytes: 1, index_bytes: 2, digest: [at; 8] })
        .collect();
    let mut table = write(dir.path(), &rows);
    let path = dir.path().join("kept");
    table.publish(&RealFs, &path, &idents).unwrap();
    drop(table);
    let (table, listed) = SortedFile::open(&RealFs, &path).unwrap();
    assert_eq!(listed, idents);
    assert_eq!(found(&table, &name(77, true)), rows[77..78]);
    let mut scan = table.scan();
    let scanned: Vec<_> = std::iter::from_fn(|| scan.next().unwrap()).collect();
    assert_eq!(scanned, rows);
}

#[test]
fn a_few_lookups_make_no_table_and_a_doubt_or_many_make_one() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(dir.path());
    let names: Vec<_> = (0..500).map(|number| name(number, false)).collect();
    let (pack, _) = publish(&archive, 1, &names);
    let finder = || Finder::new(archive.again()).unwrap();

    let few = finder();
    for prefix in &names {
        let places = few.find(*prefix).unwrap();
        assert_eq!((places.at.len(), places.sure), (1, false));
        assert_eq!(few.segment(places.at[0]).unwrap().uncompressed, 1 << 20);
    }
    assert!(few.made_table().is_none());
    assert!(!few.contains([0; 20]).unwrap());
    assert!(few.made_table().is_some(), "that nothing holds it is said by indexes that have been checked");

    let many = finder();
    for _ in 0..20 {
        assert!(names.iter().all(|prefix| many.find(*prefix).unwrap().at.len() == 1));
    }
    assert!(many.made_table().is_some());

    // An index that is gone: its pack here holds nothing that could be found again, and that is no error.
    std::fs::remove_file(archive.dir.join(pack.index_path())).unwrap();
    assert!(!finder().contains(names[0]).unwrap());
}
