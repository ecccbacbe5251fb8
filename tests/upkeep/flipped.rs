//! A flipped bit in a snapshot or in the catalog costs what shares its segment, and a repair or the next pass makes up
//! for it.

use crate::broken_chain::{bring, export_with, new_target, try_export};
use crate::files::{copy_tree, files_below, members, snapshot_file};
use crate::mending::{flip, open, repaired};
use crate::world::{World, flag};
use stationwagon::archive::check::check;
use stationwagon::archive::history::History;
use stationwagon::catalog::Catalog;
use stationwagon::event::{Event, Silent, Sink};
use stationwagon::format::manifest::AccountState;
use stationwagon::model::id::RecordId;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Ann, Bob and Cy; letters come, change and go in three passes.
fn three_passes() -> World {
    let world = World::new();
    world.account("ann@example.org", &["a-0", "a-1"]);
    world.account("bob@example.org", &["b-0", "b-1"]);
    world.account("cy@example.org", &["c-0"]);
    world.export();
    world.message("ann@example.org", "INBOX", "a-2");
    world.message("bob@example.org", "INBOX", "b-2");
    flag(&world.source, "bob@example.org", "b-0", "S");
    world.export();
    world.message("cy@example.org", "INBOX", "c-1");
    world.export();
    world
}

/// The mailboxes of the newest snapshot that can be replayed, by address.
fn mailboxes(archive: &Path) -> BTreeMap<String, AccountState> {
    let archive = open(archive);
    let Ok(history) = History::open(&archive, None, None) else { return BTreeMap::new() };
    let Ok((records, _)) = history.provisioning() else { return BTreeMap::new() };
    let accounts: Vec<(RecordId, String)> = records.accounts().map(|(id, at)| (id, at.address.clone())).collect();
    accounts.into_iter().filter_map(|(id, at)| Some((at, history.account(id).ok()?))).collect()
}

#[test]
fn every_flip_in_a_snapshot_costs_one_account_at_most_and_is_named() {
    let world = three_passes();
    let expected = mailboxes(world.archive.dir());
    let copy = world.dir.path().join("copy");
    let mut flips: BTreeMap<(u32, &str), (usize, usize)> = BTreeMap::new();
    // The first has the site's records and everybody's manifest, the second what two of them did meanwhile.
    for number in [1, 2] {
        let file = snapshot_file(world.archive.dir(), number);
        let inside = file.strip_prefix(world.archive.dir()).unwrap().to_owned();
        let head = open(world.archive.dir()).snapshot_heads().unwrap().remove(number as usize - 1);
        for (range, name) in members(&file) {
            // Some bytes of each member: its magic, its middle, its checksum; all bytes of all files are tests/hostile's.
            let length = range.len();
            for at in [0, 1, 9, 10, length / 3, length / 2, length - 8, length - 1] {
                copy_tree(world.archive.dir(), &copy);
                flip(&copy.join(&inside), range.start + at, 3);
                let what = format!("snapshot {number}, {name} at {at}");
                let findings = check(&open(&copy), true, &Silent).unwrap().findings;
                assert!(findings.iter().any(|finding| finding.path == inside), "{what}: not named: {findings:?}");
                let seen = mailboxes(&copy);
                let report = repaired(&open(&copy));
                let lost: Vec<_> = report.manifests_lost.iter().map(|lost| lost.account.as_deref()).collect();
                let account = name.strip_prefix("accounts/").map(|name| name.trim_end_matches(".jsonl"));
                let entry = account.map(|id| head.accounts.iter().find(|e| e.id.to_string() == id).unwrap());
                let region = match name.as_str() {
                    "snapshot.json" | "snapshot-again.json" => "head",
                    "provisioning.jsonl" | "provisioning-again.jsonl" => "records",
                    "contents.jsonl" | "" => "what holds the file together",
                    _ => "account",
                };
                let count = flips.entry((number, region)).or_default();
                count.0 += 1;
                if let (Some(entry), false) = (entry, seen == expected) {
                    assert_eq!(lost, [Some(entry.address.as_str())], "{what}");
                    let others = expected.iter().filter(|(address, _)| **address != entry.address);
                    assert!(seen.iter().eq(others), "{what}: all others can be read");
                    count.1 += 1;
                } else {
                    assert_eq!(seen, expected, "{what}: it costs nothing");
                    assert_eq!((report.snapshots_mended.len(), report.is_loss()), (1, false), "{what}: {report:?}");
                    assert_eq!(lost, [], "{what}");
                    assert_eq!(check(&open(&copy), true, &Silent).unwrap().findings, [], "{what}: mended");
                    assert_eq!(mailboxes(&copy), expected, "{what}: after the repair");
                }
                std::fs::remove_dir_all(&copy).unwrap();
            }
        }
    }
    let costly: Vec<_> = flips.iter().filter(|(_, (_, costly))| *costly > 0).map(|(region, _)| *region).collect();
    assert_eq!(costly, [(1, "account"), (2, "account")], "{flips:?}");
    let tried: Vec<_> = flips.iter().map(|((number, region), (tried, _))| (*number, *region, *tried)).collect();
    let rest = "what holds the file together";
    assert_eq!(
        tried,
        [
            (1, "account", 24),
            (1, "head", 16),
            (1, "records", 16),
            (1, rest, 16),
            (2, "account", 16),
            (2, "head", 16),
            (2, rest, 16)
        ]
    );
}

#[test]
fn records_that_are_damaged_twice_are_named_as_lost_and_one_copy_is_told_of() {
    let world = three_passes();
    let expected = mailboxes(world.archive.dir());
    let first = snapshot_file(world.archive.dir(), 1);
    let places: Vec<_> = members(&first).into_iter().filter(|(_, name)| name.starts_with("provisioning")).collect();
    assert_eq!(places.len(), 2, "{places:?}");
    flip(&first, places[0].0.start + 40, 5);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let notes = heard.clone();
    let archive =
        open(world.archive.dir()).with_notes_to(Arc::new(move |text| notes.lock().unwrap().push(text.to_owned())));
    let history = History::open(&archive, None, None).unwrap();
    history.provisioning().unwrap();
    history.keys().unwrap();
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard.len(), 1, "once, however often they are read: {heard:?}");
    assert!(heard[0].contains("provisioning.jsonl is damaged, its copy serves"), "{heard:?}");
    assert_eq!(mailboxes(world.archive.dir()), expected);
    let what: Vec<_> = check(&open(world.archive.dir()), false, &Silent).unwrap().findings;
    assert!(matches!(what.as_slice(), [one] if one.what.contains("it is there twice, and costs nothing")), "{what:?}");

    flip(&first, places[1].0.start + 40, 5);
    let what: Vec<_> = check(&open(world.archive.dir()), false, &Silent).unwrap().findings;
    assert_eq!(what.iter().filter(|one| one.what.starts_with("provisioning")).count(), 2, "{what:?}");
    let report = repaired(&open(world.archive.dir()));
    assert_eq!(report.manifests_lost.iter().map(|lost| lost.account.clone()).collect::<Vec<_>>(), [None]);
    assert!(report.is_loss());
}

#[test]
fn after_a_repair_the_next_pass_makes_up_for_a_manifest_and_an_import_brings_nothing_twice() {
    let world = three_passes();
    let target = new_target(&world, "other-site");
    bring(&world, &target, 1);
    let second = snapshot_file(world.archive.dir(), 2);
    let (range, _) = members(&second).into_iter().find(|(_, name)| name.starts_with("accounts/")).unwrap();
    flip(&second, range.start + range.len() / 2, 1);
    let report = repaired(&open(world.archive.dir()));
    assert_eq!(report.manifests_lost.len(), 1, "{report:?}");
    let seen = try_export(&world, false).unwrap();
    assert_eq!(seen.salvaged.len(), 1, "the account of which something is not known: {seen:?}");
    let no = seen.snapshot.unwrap();
    bring(&world, &target, no.0);
    for account in ["ann@example.org", "bob@example.org", "cy@example.org"] {
        let [here, there] = [&target, &world.source].map(|site| site.edit(|site| site.tree(account)));
        assert_eq!(here, there, "{account}");
    }
}

/// Counts how often somebody is told that the catalog was made anew.
#[derive(Default)]
struct Anew(AtomicUsize);

impl Sink for Anew {
    fn emit(&self, event: Event) {
        if matches!(event, Event::Notice { text, .. } if text.contains("a new one is made")) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn whatever_byte_of_the_catalog_is_flipped_the_next_pass_sees_what_changed() {
    let world = three_passes();
    let catalog = world.dir.path().join("catalog.sqlite");
    let sound = std::fs::read(&catalog).unwrap();
    let before = world.dir.path().join("before");
    copy_tree(world.archive.dir(), &before);
    world.message("ann@example.org", "INBOX", "a-3");
    try_export(&world, false).unwrap();
    let expected = mailboxes(world.archive.dir());
    let (mut rounds, mut refused, anew) = (0, 0, Anew::default());
    // Every page's header, and places all over the rest.
    let places = (0..sound.len()).filter(|at| at % 4096 < 24 || at % 37 == 0 || sound[*at] != 0 && at % 5 == 0);
    for at in places {
        for file in files_below(world.archive.dir()) {
            std::fs::remove_file(file).unwrap();
        }
        copy_tree(&before, world.archive.dir());
        for end in ["-wal", "-shm"] {
            drop(std::fs::remove_file(world.dir.path().join(format!("catalog.sqlite{end}"))));
        }
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&catalog, &bytes).unwrap();
        rounds += 1;
        // What no database is at all is made anew where it is opened (tests/cli/upkeep.rs).
        let Ok(mut opened) = Catalog::open(&catalog) else {
            refused += 1;
            continue;
        };
        let seen = export_with(&world, &mut opened, false, &anew);
        assert!(seen.is_ok(), "byte {at}: {seen:?}");
        assert_eq!(mailboxes(world.archive.dir()), expected, "byte {at}");
    }
    let anew = anew.0.into_inner();
    assert!(rounds > 500 && anew > 20, "{rounds} places, {refused} refused when opened, {anew} made anew in the pass");
}
