//! A disk that is full, and one that takes nothing.
//!
//! Where a story names a phase, the disk is filled in that very moment: the sink is called by the pass, which waits for it.

use crate::sites::{Names, assert_same};
use crate::world::{World, assert_says, contents, remount};
use stationwagon::archive::Archive;
use stationwagon::catalog::Catalog;
use stationwagon::event::{Event, Phase, Sink};
use stationwagon::fs::{Fs, RealFs};
use stationwagon::site::{open_source, open_target};
use stationwagon::verbs::export::{ExportError, ExportOptions, export};
use stationwagon::verbs::import::rename::RenameRules;
use stationwagon::verbs::import::{ImportError, ImportOptions, import};
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const IMPORT: &str = "import --archive {}/archive --to {}/disk/target";
const ROOM: &str = "hint: make room and run the same command again; what is complete is kept";

#[test]
fn an_export_onto_a_full_disk_says_so_and_the_same_command_completes_once_there_is_room() {
    let mut world = World::with_source();
    let test = "an export onto a full disk";
    let Some(disk) = world.mount(test, "disk", 24) else { return };
    const EXPORT: &str = "export --from {}/source --archive {}/disk/archive";
    // From a disk without room for the first file to one that lacks the snapshot only.
    for kib in [4, 24, 64, 160, 240, 280] {
        remount(&disk, &format!("size={kib}k"));
        let said = world.run(EXPORT);
        if said.status.success() {
            assert!(kib > 160, "{kib} KiB hold the archive");
            break;
        }
        assert_eq!(said.status.code(), Some(1));
        assert_says(&String::from_utf8_lossy(&said.stderr), &["No space left on device", ROOM]);
        let left = contents(&disk);
        assert!(!left.keys().any(|path| path.to_string_lossy().contains(".tmp-")), "{:?}", left.keys());
    }
    remount(&disk, "size=16m");
    world.wagon(0, EXPORT);
    world.wagon(0, "check --archive {}/disk/archive --read-data");
    world.wagon(0, "import --archive {}/disk/archive --to {}/target");
    assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);
}

#[test]
fn an_import_onto_a_disk_of_any_size_stops_cleanly_and_the_same_command_brings_each_item_once() {
    let mut world = World::exported();
    let Some(disk) = world.mount("an import onto a full disk", "disk", 8) else { return };
    let mut stopped_at = Vec::new();
    // The end of the disk is met at other bytes than where a phase begins: within a database, a message, a batch.
    for kib in [8, 64, 140, 220, 400, 700, 1200, 2000, 2600, 3000, 3200] {
        remount(&disk, "size=32m");
        drop(fs::remove_dir_all(disk.join("target")));
        remount(&disk, &format!("size={kib}k"));
        let out = world.run(IMPORT);
        if out.status.success() {
            continue;
        }
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(1), "{kib} KiB: {said}");
        assert_says(&said, &["No space left on device", ROOM]);
        stopped_at.push(said.lines().find(|line| line.starts_with("error: ")).unwrap().to_owned());
        remount(&disk, "size=32m");
        world.wagon(0, IMPORT);
        world.wagon(0, "verify --archive {}/archive --to {}/disk/target");
        assert_same(&world.path("source"), &disk.join("target"), Names::Kept, &[]);
    }
    let met = |what: &str| stopped_at.iter().any(|error| error.contains(what));
    assert!(met(".sqlite") && met("Maildir"), "{stopped_at:#?}");
}

/// Fills a disk to the last byte when a phase begins, and notes which phase the pass is in.
struct FullFrom {
    phase: Phase,
    filler: PathBuf,
    in_phase: Mutex<Option<Phase>>,
}

impl FullFrom {
    fn new(phase: Phase, disk: &Path) -> Self {
        Self { phase, filler: disk.join("filler"), in_phase: Mutex::new(None) }
    }

    fn fill(&self) {
        let mut file = fs::File::create(&self.filler).unwrap();
        for size in [1 << 16, 1 << 10, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    /// The phase that did not come to its end.
    fn struck_in(&self) -> Option<Phase> {
        *self.in_phase.lock().unwrap()
    }

    fn make_room(&self) {
        fs::remove_file(&self.filler).unwrap();
    }
}

impl Sink for FullFrom {
    fn emit(&self, event: Event) {
        match event {
            Event::PhaseStarted { phase, .. } => {
                *self.in_phase.lock().unwrap() = Some(phase);
                if phase == self.phase {
                    self.fill();
                }
            }
            Event::PhaseFinished { .. } => *self.in_phase.lock().unwrap() = None,
            _ => {}
        }
    }
}

/// The error with its causes.
fn whole(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        said += &format!(": {cause}");
        next = cause.source();
    }
    said
}

fn says_that_the_disk_is_full(error: &dyn Error) {
    let said = whole(error);
    let full = ["No space left on device", "database or disk is full"].iter().any(|words| said.contains(words));
    assert!(full, "{said}");
}

fn import_here(world: &World, sink: &dyn Sink) -> Result<(), ImportError> {
    let real: Arc<dyn Fs> = Arc::new(RealFs);
    let archive = Archive::open(real.clone(), &world.path("archive")).unwrap();
    let target = open_target(real.clone(), world.path("disk/target").to_str().unwrap(), None).unwrap();
    let options = ImportOptions {
        fs: real,
        source: None,
        snapshot: None,
        provisioning_only: false,
        additive: false,
        delete: false,
        accounts: Vec::new(),
        rename: RenameRules::default(),
        since: None,
        skip: Default::default(),
        dry_run: false,
        jobs: NonZeroUsize::new(2).unwrap(),
        adopt: None,
        way_back: None,
        new_site_id: "new".parse().unwrap(),
        now: 1_800_000_000,
    };
    import(&archive, target.as_ref(), &options, sink).map(drop)
}

fn export_here(world: &World, sink: &dyn Sink) -> Result<(), ExportError> {
    let real: Arc<dyn Fs> = Arc::new(RealFs);
    let dir = world.path("disk/archive");
    let archive = Archive::create(real.clone(), &dir, "an-archive".parse().unwrap(), 1_800_000_000).unwrap();
    let mut catalog = Catalog::open(&world.path("catalog.sqlite")).unwrap();
    let options = ExportOptions {
        source: None,
        accounts: Vec::new(),
        exclude: Vec::new(),
        deep: false,
        full: false,
        label: None,
        dry_run: false,
        workers: NonZeroUsize::new(2).unwrap(),
        clock: || 1_800_000_000,
        holder: "a story".to_owned(),
    };
    let source = open_source(real, world.path("source").to_str().unwrap()).unwrap();
    export(source.as_ref(), &archive, &mut catalog, &options, sink).map(drop)
}

#[test]
fn a_disk_that_fills_up_in_any_phase_of_an_import_ends_it_there_and_a_plain_run_completes_it() {
    let mut world = World::exported();
    let Some(disk) = world.mount("a disk that fills up in a phase of an import", "disk", 32 * 1024) else { return };
    for phase in [Phase::Provisioning, Phase::Folders, Phase::Items, Phase::Links, Phase::Ledger] {
        drop(fs::remove_dir_all(disk.join("target")));
        let sink = FullFrom::new(phase, &disk);
        let error = import_here(&world, &sink).expect_err(&format!("a full disk was enough for {phase:?}"));
        assert_eq!(sink.struck_in(), Some(phase), "{}", whole(&error));
        says_that_the_disk_is_full(&error);
        // Still full: the binary says so, too, with what to do.
        let out = world.run(IMPORT);
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{phase:?}: {said}");
        assert_says(&said, &[ROOM]);
        sink.make_room();
        world.wagon(0, IMPORT);
        world.wagon(0, "verify --archive {}/archive --to {}/disk/target");
        assert_same(&world.path("source"), &disk.join("target"), Names::Kept, &[]);
    }
}

#[test]
fn a_disk_that_fills_up_in_any_phase_of_an_export_ends_it_there_and_a_plain_run_completes_it() {
    let mut world = World::with_source();
    let Some(disk) = world.mount("a disk that fills up in a phase of an export", "disk", 32 * 1024) else { return };
    // The scan itself writes nothing: there the first write is the one that finds the disk full.
    for (phase, struck) in [(Phase::Scan, Phase::Store), (Phase::Store, Phase::Store), (Phase::Commit, Phase::Commit)] {
        drop(fs::remove_dir_all(disk.join("archive")));
        drop(fs::remove_file(world.path("catalog.sqlite")));
        drop(fs::remove_dir_all(world.path("target")));
        let sink = FullFrom::new(phase, &disk);
        let error = export_here(&world, &sink).expect_err(&format!("a full disk was enough for {phase:?}"));
        assert_eq!(sink.struck_in(), Some(struck), "{}", whole(&error));
        says_that_the_disk_is_full(&error);
        let left = contents(&disk.join("archive"));
        assert!(!left.keys().any(|path| path.starts_with(disk.join("archive/snapshots"))), "{:?}", left.keys());
        sink.make_room();
        world.wagon(0, "export --from {}/source --archive {}/disk/archive");
        world.wagon(0, "check --archive {}/disk/archive --read-data");
        world.wagon(0, "import --archive {}/disk/archive --to {}/target");
        assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);
    }
}

#[test]
fn a_disk_that_fills_up_while_the_catalog_is_written_costs_no_snapshot() {
    let mut world = World::with_source();
    let Some(disk) = world.mount("a full disk under the cache", "disk", 16) else { return };
    const EXPORT: &str = "export --from {}/source --archive {}/archive --cache-dir {}/disk/cache";
    assert_says(&world.said(1, EXPORT), &["disk/cache", "No space left on device", "hint: "]);
    remount(&disk, "size=16m");
    world.wagon(0, EXPORT);
    world.wagon(0, "check --archive {}/archive --read-data");
    world.wagon(0, "import --archive {}/archive --to {}/target");
    assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);
}

#[test]
fn a_read_only_target_is_refused_and_can_still_be_looked_at() {
    let mut world = World::exported();
    let Some(disk) = world.mount("a read-only target", "disk", 32 * 1024) else { return };
    world.wagon(0, &format!("{IMPORT} --provisioning-only"));
    remount(&disk, "ro");
    let before = contents(&disk);
    assert_says(&world.said(1, IMPORT), &["error: cannot ", "disk/target/", "Read-only file system"]);
    assert_says(&world.said(1, "import --archive {}/archive --to {}/disk/new"), &["disk/new", "Read-only file system"]);
    assert_says(&world.said(1, "extract --archive {}/archive ann@station.example --output {}/disk/x"), &["disk/x"]);
    assert_says(&world.said(1, "export --from {}/source --archive {}/disk/archive"), &["Read-only file system"]);
    world.wagon(0, &format!("{IMPORT} --dry-run"));
    world.wagon(0, "map show --site {}/disk/target");
    world.wagon(0, "export --from {}/disk/target --archive {}/back");
    assert_eq!(contents(&disk), before);
    remount(&disk, "rw");
    world.wagon(0, IMPORT);
    remount(&disk, "ro");
    world.wagon(0, "verify --archive {}/archive --to {}/disk/target");
    assert_same(&world.path("source"), &disk.join("target"), Names::Kept, &[]);
}
