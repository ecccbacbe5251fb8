//! Damage is repaired: one flipped bit costs what shares its segment at most, and a live source makes up for the loss.

use crate::files::{copy_tree, files_below, stopped_anywhere};
use crate::world::World;
use stationwagon::archive::check::check;
use stationwagon::archive::history::History;
use stationwagon::archive::repair::RepairReport;
use stationwagon::archive::{Archive, ArchiveError};
use stationwagon::event::Silent;
use stationwagon::format::pack_index::{PackIndex, prefix};
use stationwagon::fs::RealFs;
use stationwagon::message;
use stationwagon::model::id::{ObjectId, RecordId};
use stationwagon::verbs::repair::repair;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

pub fn open(dir: &Path) -> Archive {
    Archive::open(Arc::new(RealFs), dir).unwrap()
}

pub fn repaired(archive: &Archive) -> RepairReport {
    repair(archive, false, ("a story", 0), &Silent).unwrap()
}

/// The items of the newest snapshot that can be read, by name.
fn readable(archive: &Archive) -> BTreeMap<String, bool> {
    let history = History::open(archive, None, None).unwrap();
    let objects = archive.objects().unwrap();
    let accounts: Vec<RecordId> = history.provisioning().unwrap().0.accounts().map(|(id, _)| id).collect();
    let states = accounts.into_iter().map(|id| history.account(id).unwrap());
    let items = states.flat_map(|state| state.items.iter().map(|(_, at)| at.item).collect::<Vec<_>>());
    items.map(|item| (item.name, objects.read(&item.object, 1 << 30).is_ok())).collect()
}

/// A letter with an attachment that several share.
fn letter(name: &str, attachment: &str) -> Vec<u8> {
    let lines = format!("{attachment:0>76}\r\n").repeat(40);
    format!(
        "Received: by host for {name}\r\nSubject: {name}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; \
         boundary=b\r\n\r\n--b\r\n\r\ntext of {name}\r\n--b\r\nContent-Type: text/csv\r\n\r\n{lines}\r\n--b--\r\n"
    )
    .into_bytes()
}

fn two_passes() -> World {
    let world = World::new();
    world.account("ann@example.org", &["a-0", "a-1"]);
    world.account("bob@example.org", &["b-0"]);
    let put = |account: &str, name: &str, attachment: &str| {
        let bytes = letter(name, attachment);
        world.source.edit(|site| {
            site.put_item(account, &crate::world::mail("INBOX"), name, &bytes, 5);
        });
    };
    put("ann@example.org", "a-table", "1234");
    put("bob@example.org", "b-table", "1234");
    world.export();
    put("bob@example.org", "b-other", "9876");
    world.export();
    world
}

pub fn flip(file: &Path, at: usize, bit: u32) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1 << bit;
    std::fs::write(file, bytes).unwrap();
}

/// The names of the items that need something in the segment that holds byte `at` of a pack.
fn needs_segment(world: &World, index: &Path, at: usize) -> BTreeSet<String> {
    let index = PackIndex::parse(&std::fs::read(index).unwrap()).unwrap();
    let at = at as u64;
    let hit = index.segments().iter().position(|row| (row.offset..row.offset + row.compressed).contains(&at));
    let lost: BTreeSet<_> =
        index.entries().filter(|entry| Some(usize::from(entry.segment)) == hit).map(|entry| entry.prefix).collect();
    let mut names = BTreeSet::new();
    for account in ["ann@example.org", "bob@example.org"] {
        world.source.edit(|site| {
            for name in ["a-0", "a-1", "b-0", "a-table", "b-table", "b-other"] {
                let Some(item) = site.item(account, name) else { continue };
                let mut needs = vec![ObjectId::of(&item.bytes)];
                if let Some(split) = message::split(&item.bytes) {
                    needs.push(ObjectId::of(&split.skeleton));
                    needs.extend(split.parts.iter().map(|part| part.id));
                }
                if needs.iter().any(|id| lost.contains(&prefix(id))) {
                    names.insert(name.to_owned());
                }
            }
        });
    }
    names
}

#[test]
fn one_flipped_bit_anywhere_costs_at_most_what_shares_its_segment_and_the_source_makes_up_for_it() {
    let world = two_passes();
    let dir = tempfile::tempdir().unwrap();
    let sound = dir.path().join("sound");
    copy_tree(world.archive.dir(), &sound);
    let (mut flips, mut cost) = (0, 0);
    let files = ["packs", "index"].into_iter().flat_map(|folder| files_below(&sound.join(folder)));
    for file in files {
        let below = file.strip_prefix(&sound).unwrap().to_owned();
        let in_pack = below.starts_with("packs");
        let length = std::fs::metadata(&file).unwrap().len() as usize;
        for at in (0..length).step_by(length / 40 + 1) {
            let copy = dir.path().join("copy");
            copy_tree(&sound, &copy);
            flip(&copy.join(&below), at, (at % 8) as u32);
            let archive = open(&copy);
            let what = format!("bit {} of byte {at} of {}", at % 8, below.display());
            let found = check(&archive, true, &Silent).unwrap();
            assert!(!found.findings.is_empty(), "{what}: nothing found");

            let foreseen = repair(&archive, true, ("a story", 0), &Silent).unwrap();
            let mut report = repaired(&archive);
            report.packs_mended.iter_mut().for_each(|pack| pack.aside = None);
            assert_eq!(RepairReport { dry_run: false, ..foreseen }, report, "{what}: a dry run says the same");
            let lost: BTreeSet<_> =
                readable(&archive).into_iter().filter(|(_, sound)| !sound).map(|(name, _)| name).collect();
            let may_cost = match in_pack {
                true => {
                    let name = below.file_name().unwrap().to_str().unwrap().replace(".tar.gz", ".idx");
                    needs_segment(&world, &sound.join("index").join(&name[..2]).join(&name), at)
                }
                false => BTreeSet::new(),
            };
            assert!(lost.is_subset(&may_cost), "{what}: {lost:?} of {may_cost:?}");
            assert_eq!(report.is_loss(), !lost.is_empty(), "{what}: {report:?}");
            let again = repaired(&archive);
            assert_eq!((again.packs_mended.len(), again.indexes_made.len()), (0, 0), "{what}: once is enough");

            // The source is alive: the next export brings back what is lost, without being told.
            let catalog = dir.path().join("catalog.sqlite");
            std::fs::copy(world.dir.path().join("catalog.sqlite"), &catalog).unwrap();
            crate::world::export_site(&world.source, &archive, &catalog);
            assert!(readable(&archive).values().all(|sound| *sound), "{what}");
            assert_eq!(check(&archive, true, &Silent).unwrap().findings, [], "{what}");
            assert!(!copy.join("wanted.json").exists(), "{what}");
            (flips, cost) = (flips + 1, cost + lost.len());
            drop(archive);
            std::fs::remove_dir_all(&copy).unwrap();
        }
    }
    assert!(flips > 100 && cost > 60, "{flips} flips cost {cost} items");
}

#[test]
fn a_pack_that_is_gone_or_cut_off_is_made_up_for_by_the_next_export() {
    let world = two_passes();
    let packs = files_below(&world.archive.dir().join("packs"));
    std::fs::remove_file(&packs[0]).unwrap();
    let bytes = std::fs::read(&packs[1]).unwrap();
    std::fs::write(&packs[1], &bytes[..bytes.len() / 2]).unwrap();
    let report = repaired(&world.archive);
    assert!(report.is_loss() && report.indexes_removed.len() == 1 && report.packs_mended.len() == 1, "{report:?}");
    assert!(world.archive.dir().join(report.packs_mended[0].aside.as_ref().unwrap()).exists());
    world.export();
    assert!(readable(&world.archive).values().all(|sound| *sound));
    assert_eq!(check(&world.archive, true, &Silent).unwrap().findings, []);
}

#[test]
fn a_repair_that_is_stopped_anywhere_loses_nothing_more_and_goes_on() {
    let world = two_passes();
    let dir = tempfile::tempdir().unwrap();
    let damaged = dir.path().join("damaged");
    copy_tree(world.archive.dir(), &damaged);
    let packs = files_below(&damaged.join("packs"));
    flip(&packs[0], 20, 3);
    std::fs::remove_file(&files_below(&damaged.join("index"))[1]).unwrap();
    let unstopped = dir.path().join("unstopped");
    copy_tree(&damaged, &unstopped);
    repaired(&open(&unstopped));
    let expected = readable(&open(&unstopped));
    assert!(expected.values().any(|sound| !sound) && expected.values().any(|sound| *sound), "{expected:?}");
    let stops = stopped_anywhere(
        &damaged,
        |archive, sink| {
            let outcome = repair(archive, false, ("a story", 0), sink);
            assert!(matches!(outcome, Ok(_) | Err(ArchiveError::Stopped)), "{outcome:?}");
        },
        |copy, events| {
            let archive = open(copy);
            assert_eq!(readable(&archive), expected, "stopped after {events}");
            repaired(&archive);
            assert_eq!(readable(&archive), expected, "gone on after {events}");
            let catalog = dir.path().join("catalog.sqlite");
            std::fs::copy(world.dir.path().join("catalog.sqlite"), &catalog).unwrap();
            crate::world::export_site(&world.source, &archive, &catalog);
            assert_eq!(check(&archive, true, &Silent).unwrap().findings, [], "after {events}");
        },
    );
    assert!(stops >= 3, "{stops}");
}

#[test]
fn a_whole_archive_is_left_as_it_is() {
    let world = two_passes();
    let before: Vec<_> = files_below(world.archive.dir());
    let report = repaired(&world.archive);
    assert!(!report.is_loss() && report.packs_mended.is_empty() && report.packs == 2, "{report:?}");
    assert_eq!(files_below(world.archive.dir()).len(), before.len());
}
