//! Accounts of which more is known than memory should hold: their items lie in scratch files, and nothing else is different;
//! and where such a file cannot be read again, nothing follows from what seems to be missing.

use crate::world::{World, export_options, export_site, flag, mail};
use stationwagon::archive::{Archive, Recipients};
use stationwagon::catalog::Catalog;
use stationwagon::event::Silent;
use stationwagon::fs::{Fs, RealFs, Secrecy};
use stationwagon::model::id::SiteId;
use stationwagon::shelf::Scratch;
use stationwagon::testing::failing_fs::FailingFs;
use stationwagon::verbs::export::{ExportError, export};
use stationwagon::verbs::import::{ImportError, ImportOptions, import};
use std::sync::Arc;

const ANN: &str = "ann@example.org";

/// Ann with three hundred messages, of whose items five hundred bytes are held.
fn crowded(fs: &Arc<FailingFs>) -> World {
    let mut world = World::new();
    let names: Vec<String> = (0..300).map(|number| format!("m{number}")).collect();
    world.account(ANN, &names.iter().map(String::as_str).collect::<Vec<_>>());
    set_aside(&mut world, Arc::clone(fs) as Arc<dyn Fs>, 500);
    world
}

fn set_aside(world: &mut World, fs: Arc<dyn Fs>, held_bytes: usize) {
    set_aside_as(world, fs, Secrecy::Plain, held_bytes);
}

fn set_aside_as(world: &mut World, fs: Arc<dyn Fs>, secrecy: Secrecy, held_bytes: usize) {
    let scratch = Scratch::holding(fs, world.dir.path(), secrecy, held_bytes);
    world.archive = Archive::open(Arc::new(RealFs), &world.dir.path().join("archive")).unwrap().with_scratch(scratch);
}

fn day_two(world: &World) {
    world.source.edit(|site| {
        for number in (0..300).step_by(7) {
            site.move_item(ANN, &format!("m{number}"), &mail("Moved"));
        }
        site.remove_item(ANN, "m1");
    });
    flag(&world.source, ANN, "m2", "S");
    world.message(ANN, "INBOX", "late");
}

fn with_deletions(world: &World) -> ImportOptions {
    ImportOptions { delete: true, ..world.options() }
}

#[test]
fn what_lies_in_scratch_files_is_brought_as_what_is_held() {
    let brought = |secrecy: Secrecy, held_bytes: usize| {
        let mut world = crowded(&Arc::default());
        set_aside_as(&mut world, Arc::new(RealFs), secrecy, held_bytes);
        world.export().import_with(&with_deletions(&world));
        day_two(&world);
        let counts = export_site(&world.source, &world.archive, &world.dir.path().join("catalog.sqlite")).counts;
        let report = world.import_with(&with_deletions(&world));
        let changes = (counts.items_added, counts.items_changed, counts.items_moved, counts.items_removed);
        (changes, report.ledger.to_string(), world.target.edit(|site| site.tree(ANN)))
    };
    let set_aside = brought(Secrecy::Plain, 500);
    assert_eq!(set_aside.0, (1, 1, 43, 1));
    assert_eq!(set_aside, brought(Secrecy::Sealed, 500));
    assert_eq!(set_aside, brought(Secrecy::Plain, usize::MAX));
}

#[test]
fn the_scratch_files_of_an_encrypted_archive_are_encrypted() {
    let dir = tempfile::tempdir().unwrap();
    let key = "age1cfhphk6k7l7wrsya3z43un6rd7v63u68rnymamm840rzwz3k0d4slggmpw";
    let (fs, recipients) = (Arc::new(RealFs), Recipients::parse([key]).unwrap());
    let id = || "old-site".parse::<SiteId>().unwrap();
    let (sealed, plain) = (dir.path().join("sealed"), dir.path().join("plain"));
    let made = Archive::create_encrypted(fs.clone(), &sealed, id(), 0, &recipients, None);
    let again = Archive::open(fs.clone(), &sealed).unwrap().with_tables_in(dir.path());
    for archive in [made.unwrap(), again] {
        assert_eq!(archive.scratch().secrecy(), Secrecy::Sealed);
    }
    let plain = Archive::create(fs, &plain, id(), 0).unwrap();
    assert_eq!(plain.scratch().secrecy(), Secrecy::Plain);
}

#[test]
fn an_export_that_cannot_read_its_scratch_file_again_makes_no_snapshot() {
    let fs = Arc::new(FailingFs::default());
    let world = crowded(&fs);
    world.export();
    world.message(ANN, "INBOX", "late");
    fs.break_down();
    let mut catalog = Catalog::open(&world.dir.path().join("catalog.sqlite")).unwrap();
    let error = export(&world.source, &world.archive, &mut catalog, &export_options(), &Silent).unwrap_err();
    assert!(matches!(error, ExportError::Archive(_)), "{error:?}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.starts_with("cannot read a scratch file in "), "{cause}");
    let snapshots = RealFs.list(&world.dir.path().join("archive/snapshots")).unwrap();
    assert_eq!(snapshots.len(), 1, "{snapshots:?}");
    drop(catalog);

    // On a disk that works, the same pass finds that one message came and none went.
    let archive = Archive::open(Arc::new(RealFs), &world.dir.path().join("archive")).unwrap();
    let counts = export_site(&world.source, &archive, &world.dir.path().join("catalog.sqlite")).counts;
    assert_eq!((counts.items_added, counts.items_removed), (1, 0));
}

#[test]
fn an_import_that_cannot_read_its_scratch_file_again_removes_nothing() {
    let fs = Arc::new(FailingFs::default());
    let world = crowded(&fs);
    world.export().import_with(&with_deletions(&world));
    let before = world.target.edit(|site| site.tree(ANN));
    world.source.edit(|site| site.remove_item(ANN, "m1"));
    world.export();
    fs.break_down();
    let error = import(&world.archive, &world.target, &with_deletions(&world), &Silent).unwrap_err();
    assert!(matches!(error, ImportError::Archive(_)), "{error:?}");
    assert_eq!(world.target.edit(|site| site.tree(ANN)), before);
}

#[test]
fn with_no_room_for_scratch_files_everything_is_held() {
    let fs = Arc::new(FailingFs::default());
    let world = crowded(&fs);
    fs.fill();
    let report = world.export().import_with(&with_deletions(&world));
    assert!(report.ledger.balanced);
    assert_eq!(report.ledger.items.imported, 300);
}
