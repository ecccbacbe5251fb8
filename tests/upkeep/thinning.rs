//! Snapshots are forgotten and packs thinned out: what stays is what was, and targets go on from wherever they are.

use crate::files::{copy_tree, files_below, stopped_anywhere};
use crate::world::{World, flag, mail};
use stationwagon::archive::check::check;
use stationwagon::archive::history::History;
use stationwagon::archive::prune::{MaxUnused, PruneOptions, PruneReport};
use stationwagon::archive::{Archive, ArchiveError};
use stationwagon::event::Silent;
use stationwagon::format::manifest::AccountState;
use stationwagon::fs::RealFs;
use stationwagon::model::id::{RecordId, SnapshotNo};
use stationwagon::verbs::forget::{ForgetError, ForgetOptions, ForgetReport, Keep, forget};
use stationwagon::verbs::prune::prune;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const PRUNE: PruneOptions = PruneOptions {
    max_unused: MaxUnused::Bytes(0),
    max_rewrite: None,
    level: None,
    batch_bytes: 1 << 28,
    dry_run: false,
};

fn open(dir: &Path) -> Archive {
    Archive::open(Arc::new(RealFs), dir).unwrap()
}

fn pruned(archive: &Archive, options: &PruneOptions) -> PruneReport {
    prune(archive, options, ("a story", 0), &Silent).unwrap()
}

fn forget_these(archive: &Archive, numbers: &[u32]) -> Result<ForgetReport, ForgetError> {
    let snapshots = numbers.iter().map(|no| SnapshotNo(*no)).collect();
    forget(archive, &ForgetOptions { snapshots, holder: "a story".into(), ..ForgetOptions::default() }, &Silent)
}

/// Ten passes over a lively site: letters come, change, move and go, accounts too, one is renamed.
fn ten_passes() -> World {
    let world = World::new();
    world.account("ann@example.org", &["a-0"]);
    world.account("bob@example.org", &["b-0"]);
    world.export();
    for pass in 1..10u32 {
        world.message("ann@example.org", "INBOX", &format!("a-{pass}"));
        flag(&world.source, "ann@example.org", "a-0", if pass % 2 == 0 { "S" } else { "FS" });
        match pass {
            3 => world.account("dora@example.org", &["d-0", "d-1"]),
            5 => world.source.edit(|site| {
                site.remove_item("bob@example.org", "b-0");
                site.move_item("ann@example.org", "a-2", &mail("Archive"));
            }),
            7 => world.source.edit(|site| drop(site.remove_item("ann@example.org", "a-6"))),
            8 => world.source.edit(|site| {
                site.rename_folder("ann@example.org", &mail("Archive"), &mail("Old"));
            }),
            // A second time, so that a snapshot which took in both renames knows both former places.
            9 => world.source.edit(|site| {
                site.rename_folder("ann@example.org", &mail("Old"), &mail("Older"));
            }),
            _ => {}
        }
        world.export();
    }
    world
}

type Everything = BTreeMap<(SnapshotNo, RecordId), AccountState>;

/// Every account at these snapshots, each message read.
fn everything(archive: &Archive, numbers: impl IntoIterator<Item = u32>) -> Everything {
    let objects = archive.objects().unwrap();
    let mut all = Everything::new();
    for no in numbers {
        let history = History::open(archive, None, Some(SnapshotNo(no))).unwrap();
        let (records, _) = history.provisioning().unwrap();
        for (id, _) in records.accounts() {
            let mut state = history.account(id).unwrap();
            for (_, at) in state.items.iter() {
                assert_eq!(objects.read(&at.item.object, 1 << 30).unwrap().len() as u64, at.item.size);
            }
            state.removed = Default::default(); // what is gone is not part of a snapshot
            all.insert((SnapshotNo(no), id), state);
        }
    }
    all
}

fn sound(archive: &Archive) {
    let report = check(archive, true, &Silent).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn what_stays_after_forgetting_says_the_same_and_needs_nothing_that_went() {
    let world = ten_passes();
    let archive = &world.archive;
    let before = everything(archive, [1, 4, 5, 8, 10]);
    let keys = History::open(archive, None, None).unwrap().keys().unwrap();

    let report = forget_these(archive, &[2, 3, 6, 7, 9]).unwrap();
    assert_eq!(report.rewritten.iter().map(|no| no.0).collect::<Vec<_>>(), [4, 8, 10]);
    assert_eq!(files_below(&archive.dir().join("snapshots")).len(), 5);
    assert_eq!(everything(archive, [1, 4, 5, 8, 10]), before);

    forget_these(archive, &[1, 4]).unwrap();
    let history = History::open(archive, None, None).unwrap();
    assert_eq!(history.heads().iter().map(|head| head.no.0).collect::<Vec<_>>(), [5, 8, 10]);
    assert!(keys.iter().all(|key| history.keys().unwrap().contains(key)), "former names are kept");
    sound(archive);

    let freed = pruned(archive, &PRUNE);
    assert!(freed.objects_missing == 0 && freed.left_unused_bytes == 0, "{freed:?}");
    let after = everything(archive, [5, 8, 10]);
    assert_eq!(after, before.into_iter().filter(|((no, _), _)| [5, 8, 10].contains(&no.0)).collect::<Everything>());
    sound(archive);

    // The next pass builds on it and gives no number twice.
    world.message("ann@example.org", "INBOX", "a-10");
    world.export();
    let last = History::open(archive, None, None).unwrap();
    assert_eq!((last.head().no, last.head().parent), (SnapshotNo(11), Some(SnapshotNo(10))));
    assert_eq!(last.head().counts.items_added, 1);
    sound(archive);
}

#[test]
fn a_target_that_imported_a_forgotten_snapshot_gets_later_ones_once() {
    let world = ten_passes();
    let import_at = |no: u32| {
        let report = world.import_with(&stationwagon::verbs::import::ImportOptions {
            snapshot: Some(SnapshotNo(no)),
            delete: true,
            ..world.options()
        });
        assert_eq!(report.conflicts, []);
        report
    };
    import_at(4);
    forget_these(&world.archive, &[1, 2, 3, 4, 5, 6]).unwrap();
    pruned(&world.archive, &PRUNE);
    import_at(8);
    forget_these(&world.archive, &[7, 8, 9]).unwrap();
    pruned(&world.archive, &PRUNE);
    import_at(10);
    for address in ["ann@example.org", "bob@example.org", "dora@example.org"] {
        assert_eq!(world.target_tree(address), world.source.edit(|site| site.tree(address)), "{address}");
    }
    assert_eq!(import_at(10).bytes, 0);
}

#[test]
fn rules_keep_the_newest_whatever_they_say_and_a_dry_run_changes_nothing() {
    let world = ten_passes();
    let before = files_below(world.archive.dir());
    let keep = Keep { labels: vec!["nobody has it".into()], ..Keep::default() };
    let options = ForgetOptions { keep, dry_run: true, ..ForgetOptions::default() };
    let report = forget(&world.archive, &options, &Silent).unwrap();
    let of_source = &report.sources[&"old-site".parse().unwrap()];
    assert_eq!((of_source.keep.len(), of_source.forget.len()), (1, 9));
    assert_eq!(of_source.keep[0].reasons, ["newest snapshot"]);
    pruned(&world.archive, &PruneOptions { dry_run: true, ..PRUNE });
    assert_eq!(files_below(world.archive.dir()), before);
    assert!(matches!(forget_these(&world.archive, &[10]), Err(ForgetError::Newest(SnapshotNo(10)))));
    assert!(matches!(forget_these(&world.archive, &[]), Err(ForgetError::Nothing)));
    assert!(matches!(
        forget_these(&world.archive, &[77]),
        Err(ForgetError::Archive(ArchiveError::NoSnapshot(SnapshotNo(77))))
    ));
}

#[test]
fn a_forget_and_a_prune_that_are_stopped_anywhere_lose_nothing_and_go_on() {
    let world = ten_passes();
    let kept = [5, 10];
    let before = everything(&world.archive, kept);
    let forget_rest = |archive: &Archive, sink: &dyn stationwagon::event::Sink| {
        let heads = archive.heads().unwrap().read;
        let snapshots: Vec<_> = heads.iter().map(|head| head.no).filter(|no| !kept.contains(&no.0)).collect();
        if snapshots.is_empty() {
            return;
        }
        let options = ForgetOptions { snapshots, holder: "a story".into(), ..ForgetOptions::default() };
        match forget(archive, &options, sink) {
            Ok(_) | Err(ForgetError::Archive(ArchiveError::Stopped)) => {}
            Err(error) => panic!("{error}"),
        }
    };
    let prune_all = |archive: &Archive, sink: &dyn stationwagon::event::Sink| {
        let outcome = prune(archive, &PRUNE, ("a story", 0), sink);
        assert!(matches!(outcome, Ok(_) | Err(ArchiveError::Stopped)), "{outcome:?}");
    };
    let stops = stopped_anywhere(
        world.archive.dir(),
        |archive, sink| {
            forget_rest(archive, sink);
            prune_all(archive, sink);
        },
        |dir, events| {
            let archive = open(dir);
            assert_eq!(everything(&archive, kept), before, "stopped after {events}");
            sound(&archive);
            forget_rest(&archive, &Silent);
            prune_all(&archive, &Silent);
            assert_eq!(everything(&archive, kept), before, "gone on after {events}");
            assert_eq!(files_below(&dir.join("snapshots")).len(), 2, "gone on after {events}");
            sound(&archive);
        },
    );
    assert!(stops > 5, "{stops}");
}

#[test]
fn a_file_that_a_killed_forget_left_beside_its_successor_is_passed_over() {
    let world = ten_passes();
    let before = everything(&world.archive, [5, 10]);
    let copy = world.dir.path().join("copy");
    copy_tree(world.archive.dir(), &copy);
    forget_these(&world.archive, &[6, 7, 8, 9]).unwrap();
    // As after a kill between the new file and the removal of the old ones.
    copy_tree(world.archive.dir(), &copy);
    assert_eq!(files_below(&copy.join("snapshots")).len(), 11);
    let archive = open(&copy);
    assert_eq!(everything(&archive, [5, 10]), before);
    assert_eq!(check(&archive, true, &Silent).unwrap().findings, []);
    forget_these(&archive, &[6, 7, 8, 9]).unwrap();
    assert_eq!(files_below(&copy.join("snapshots")).len(), 6);
}

#[test]
fn nothing_goes_while_somebody_reads() {
    let world = ten_passes();
    forget_these(&world.archive, &[1, 2, 3, 4, 5, 6, 7]).unwrap();
    let reader = open(world.archive.dir());
    let packs = files_below(&world.archive.dir().join("packs"));
    let error = prune(&world.archive, &PRUNE, ("a story", 0), &Silent).unwrap_err();
    assert!(matches!(error, ArchiveError::InUse { .. }), "{error}");
    assert!(packs.iter().all(|pack| pack.exists()));
    drop(reader);
    pruned(&world.archive, &PRUNE);
    sound(&world.archive);
}

#[test]
fn a_repack_keeps_everything_in_fewer_bytes_and_many_small_packs_become_one() {
    let world = ten_passes();
    let before = everything(&world.archive, 1..=10);
    assert!(files_below(&world.archive.dir().join("packs")).len() >= 10);
    let report = pruned(&world.archive, &PRUNE);
    assert_eq!(report.packs_written, 1, "{report:?}");
    assert_eq!(everything(&world.archive, 1..=10), before);
    let again = pruned(&world.archive, &PRUNE);
    assert_eq!((again.packs_removed, again.packs_rewritten), (0, 0), "nothing is left to do");
    let small = pruned(&world.archive, &PruneOptions { level: Some(12), ..PRUNE });
    assert!(small.freed_bytes > 0 && small.packs_rewritten == 1, "{small:?}");
    assert_eq!(everything(&world.archive, 1..=10), before);
    sound(&world.archive);
}

#[test]
fn a_prune_makes_the_index_that_a_killed_one_left_out_and_touches_no_damaged_pack() {
    let world = ten_passes();
    pruned(&world.archive, &PRUNE);
    let [index] = files_below(&world.archive.dir().join("index")).try_into().unwrap();
    std::fs::remove_file(&index).unwrap();
    let report = pruned(&world.archive, &PruneOptions { dry_run: true, ..PRUNE });
    assert_eq!((report.indexes_made, index.exists()), (1, false), "{report:?}");
    assert_eq!(pruned(&world.archive, &PRUNE).indexes_made, 1);
    sound(&world.archive);

    std::fs::remove_file(&index).unwrap();
    let [pack] = files_below(&world.archive.dir().join("packs")).try_into().unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&pack, &bytes).unwrap();
    let error = prune(&world.archive, &PruneOptions { level: Some(1), ..PRUNE }, ("a story", 0), &Silent).unwrap_err();
    assert!(matches!(error, ArchiveError::DamagedSegment { .. }), "{error}");
    assert_eq!(std::fs::read(&pack).unwrap(), bytes);
}

/// A letter with an attachment.
fn letter(name: &str, attachment: &str) -> Vec<u8> {
    let lines = format!("{attachment:0>76}\r\n").repeat(40);
    format!(
        "Received: by host for {name}\r\nSubject: {name}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; \
         boundary=b\r\n\r\n--b\r\n\r\ntext of {name}\r\n--b\r\nContent-Type: text/csv\r\n\r\n{lines}\r\n--b--\r\n"
    )
    .into_bytes()
}

/// A site whose letter `later` lies in a pack that much else is needed of, and its attachment in one that nothing is.
fn a_letter_without_its_attachment() -> (World, Vec<u8>) {
    let world = World::new();
    world.account("ann@example.org", &["a-0"]);
    let put = |name: &str, bytes: &[u8]| {
        world.source.edit(|site| {
            site.put_item("ann@example.org", &mail("INBOX"), name, bytes, 5);
        });
    };
    put("first", &letter("first", "77"));
    world.export();
    // Its attachment is in the first pack already.
    let later = letter("later", "77");
    put("later", &later);
    (1..20).for_each(|n| world.message("ann@example.org", "INBOX", &format!("a-{n}")));
    world.export();
    world.source.edit(|site| {
        for name in ["a-0", "first", "later"] {
            site.remove_item("ann@example.org", name);
        }
    });
    world.export();
    forget_these(&world.archive, &[1, 2]).unwrap();
    let report = pruned(&world.archive, &PruneOptions { max_unused: MaxUnused::Unlimited, ..PRUNE });
    assert_eq!((report.packs_removed, report.packs_rewritten), (1, 0), "{report:?}");
    sound(&world.archive);
    (world, later)
}

#[test]
fn a_message_that_comes_back_after_a_prune_took_its_attachment_is_stored_again() {
    let (world, later) = a_letter_without_its_attachment();
    world.source.edit(|site| {
        site.put_item("ann@example.org", &mail("INBOX"), "later", &later, 5);
    });
    world.export();
    sound(&world.archive);
    everything(&world.archive, [3, 4]);
}

#[test]
fn the_same_holds_in_a_copy_without_its_indexes_for_an_export_and_for_a_repair() {
    for repairs in [false, true] {
        let (world, later) = a_letter_without_its_attachment();
        for index in files_below(&world.archive.dir().join("index")) {
            std::fs::remove_file(index).unwrap();
        }
        if repairs {
            let report = stationwagon::verbs::repair::repair(&world.archive, false, ("a story", 0), &Silent).unwrap();
            assert_eq!((report.indexes_made.len(), report.messages_unjoinable), (1, 1), "{report:?}");
            let again = stationwagon::verbs::repair::repair(&world.archive, false, ("a story", 0), &Silent).unwrap();
            assert_eq!((again.indexes_made.len(), again.messages_unjoinable), (0, 0), "{again:?}");
        }
        world.source.edit(|site| {
            site.put_item("ann@example.org", &mail("INBOX"), "later", &later, 5);
        });
        world.export();
        sound(&world.archive);
        everything(&world.archive, [3, 4]);
    }
}

/// Looks how much the packs take whenever something happens.
struct DiskUse<'a> {
    packs: &'a Path,
    most: std::sync::atomic::AtomicU64,
}

fn bytes_below(dir: &Path) -> u64 {
    files_below(dir).iter().map(|file| std::fs::metadata(file).unwrap().len()).sum()
}

impl stationwagon::event::Sink for DiskUse<'_> {
    fn emit(&self, _: stationwagon::event::Event) {
        self.most.fetch_max(bytes_below(self.packs), std::sync::atomic::Ordering::SeqCst);
    }

    fn interrupted(&self) -> bool {
        // Asked before old packs go, too, which is when most is there twice.
        self.emit(stationwagon::event::Event::PhaseFinished { phase: stationwagon::event::Phase::Upkeep });
        false
    }
}

#[test]
fn writing_everything_anew_needs_room_for_one_batch_beside_the_archive() {
    let world = ten_passes();
    let before = everything(&world.archive, 1..=10);
    let packs = world.archive.dir().join("packs");
    let (whole, files) = (bytes_below(&packs), files_below(&packs));
    let largest = files.iter().map(|file| std::fs::metadata(file).unwrap().len()).max().unwrap();
    let most_of = |batch_bytes: u64| {
        let copy = tempfile::tempdir().unwrap();
        copy_tree(world.archive.dir(), copy.path());
        let packs = copy.path().join("packs");
        let watch = DiskUse { packs: &packs, most: 0.into() };
        let archive = open(copy.path());
        let options = PruneOptions { level: Some(12), batch_bytes, ..PRUNE };
        let report = prune(&archive, &options, ("a story", 0), &watch).unwrap();
        assert_eq!(report.packs_rewritten, files.len() as u64, "{report:?}");
        assert_eq!(everything(&archive, 1..=10), before);
        sound(&archive);
        (watch.most.into_inner(), report.packs_written)
    };
    let (most, written) = most_of(1);
    assert_eq!(written, files.len() as u64, "each pack by itself");
    assert!(whole < most && most <= whole + largest, "{most} bytes of {whole}, the largest pack {largest}");
    let (most, written) = most_of(1 << 28);
    assert!(written == 1 && most > whole + largest, "all packs in one batch: {most} bytes");
}
