//! The story that is disturbed: a site is exported and imported in several passes while people work on both sides, its
//! shares are mended, and its archive is thinned out and repaired. Before each step the whole folder is kept, so that a
//! step can be run again from there.

use crate::databases::{differing, rows};
use crate::sites::{Names, Seen, differences, look};
use crate::small_world::thin_out;
use crate::steps::{STEPS, Step};
use crate::upkeep::Upkeep;
use stationwagon::archive::Archive;
use stationwagon::archive::history::History;
use stationwagon::catalog::Catalog;
use stationwagon::event::{Rejection, Silent};
use stationwagon::fs::{Fs, RealFs};
use stationwagon::map::Map;
use stationwagon::model::id::SnapshotNo;
use stationwagon::site::{open_source, open_target};
use stationwagon::testing::example_site;
use stationwagon::verbs::export::{ExportOptions, export};
use stationwagon::verbs::import::rename::RenameRules;
use stationwagon::verbs::import::{ImportOptions, import};
use stationwagon::verbs::shares::{apply, check as check_shares, plan_fix};
use std::cell::Cell;
use std::error::Error;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// Columns that differ from run to run: ids that chance gives to a site, its records and an archive; a time; the
/// order of conflicts; and what a ledger tells of its own pass.
const OWN: [&str; 7] =
    ["site.id", "record.id", "conflict.no", "meta.target_site", "meta.archive", "meta.created", "progress.ledger"];

/// What a step says at its end.
#[derive(Debug)]
pub struct Report {
    pub rejected: Vec<Rejection>,
    /// Items that an import brought, steps of a fix, files that changed in an archive.
    pub done: u64,
    pub balanced: bool,
}

pub struct Story {
    _dir: TempDir,
    root: PathBuf,
    wanted: Vec<Wanted>,
    /// The step before which the folder is, but for what that step writes.
    stands_at: Cell<Option<usize>>,
}

/// What there is after a step that nothing disturbed.
struct Wanted {
    rejected: Vec<Rejection>,
    snapshots: Vec<Vec<String>>,
    target: Seen,
    databases: [Vec<String>; 2],
    archive: Upkeep,
    /// Items that no snapshot could give back before the step.
    harm_before: u64,
}

/// As `cp -a` does it, but without a process each time; of folders the times are new.
pub fn copy(from: &Path, to: &Path) {
    let meta = from.symlink_metadata().unwrap();
    if meta.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from).unwrap(), to).unwrap();
    } else if meta.is_dir() {
        fs::create_dir_all(to).unwrap();
        fs::set_permissions(to, meta.permissions()).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
        let times = fs::FileTimes::new().set_modified(meta.modified().unwrap());
        // Opened for reading, which its owner may whatever the mode says.
        fs::File::open(to).unwrap().set_times(times).unwrap();
    }
}

/// All files below a folder, in order.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Whatever it is, or nothing.
pub fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// In memory where the machine has such a place: thousands of points wait for no disk.
pub fn quick_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

impl Story {
    /// Tells all of it once, undisturbed, on the example site.
    pub fn told() -> Self {
        let mut story = Self::begin();
        STEPS.iter().for_each(|_| story.go_on());
        story
    }

    /// The example site, and nothing has happened yet.
    fn begin() -> Self {
        let dir = quick_dir();
        let root = dir.path().to_owned();
        let story = Self { _dir: dir, root, wanted: Vec::new(), stands_at: Cell::new(None) };
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        fs::create_dir(story.path("")).unwrap();
        example_site::build(&fs, &story.path("source")).unwrap();
        story
    }

    /// The same with few messages.
    pub fn begin_small() -> Self {
        let story = Self::begin();
        thin_out(&story.path("source"));
        story
    }

    /// Tells the next step, undisturbed.
    pub fn go_on(&mut self) {
        let at = self.wanted.len();
        let (name, meanwhile, step) = STEPS[at];
        meanwhile.happens(self);
        copy(&self.path(""), &self.kept(at));
        self.stands_at.set(Some(at));
        let harm_before = self.harm();
        let report = self.run(&real(), step).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(report.balanced && (report.done > 0 || matches!(step, Step::Export | Step::Provision(_))), "{name}");
        let wanted = Wanted { rejected: report.rejected, harm_before, ..self.state() };
        self.wanted.push(wanted);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.join("work") } else { self.root.join("work").join(name) }
    }

    /// A folder beside the story's, on the same file system.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The folder as it was before a step.
    pub fn kept(&self, step: usize) -> PathBuf {
        self.root.join(format!("before-{step}"))
    }

    /// Goes back to the moment before a step. What the step does not write is left in its place, if it is there: the
    /// source keeps its inodes, as the catalog knows them.
    pub fn go_back(&self, step: usize) {
        let (kept, again) = (self.kept(step), self.stands_at.replace(Some(step)) == Some(step));
        let stays = |name: &str| again && kept.join(name).exists() && !STEPS[step].2.writes().contains(&name);
        for entry in fs::read_dir(self.path("")).unwrap() {
            let entry = entry.unwrap();
            if !stays(entry.file_name().to_str().unwrap()) {
                remove(&entry.path());
            }
        }
        for entry in fs::read_dir(&kept).unwrap() {
            let entry = entry.unwrap();
            let to = self.path(entry.file_name().to_str().unwrap());
            if to.symlink_metadata().is_err() {
                copy(&entry.path(), &to);
            }
        }
    }

    /// Goes to where an undisturbed step leads: the step is run again.
    pub fn leave(&self, step: usize) {
        self.go_back(step);
        self.run(&real(), STEPS[step].2).unwrap();
        self.stands_at.set(None);
    }

    /// Runs one step with these files, with everything opened anew and closed at its end.
    ///
    /// A program that another test starts at this moment has, until it runs, all files of this one open, and so its locks.
    pub fn run(&self, fs: &Arc<dyn Fs>, step: Step) -> Result<Report, Box<dyn Error>> {
        let is_held = |error: &dyn Error| {
            let text = format!("{error:?}");
            ["InUse", "Locked"].iter().any(|word| text.contains(word))
        };
        for _ in 0..100 {
            match self.run_once(fs, step) {
                Err(error) if is_held(error.as_ref()) => std::thread::sleep(std::time::Duration::from_millis(20)),
                outcome => return outcome,
            }
        }
        self.run_once(fs, step)
    }

    fn run_once(&self, fs: &Arc<dyn Fs>, step: Step) -> Result<Report, Box<dyn Error>> {
        match step {
            Step::Export => self.export(fs),
            Step::Provision(no) => self.import(fs, |options| {
                options.snapshot = Some(SnapshotNo(no));
                options.provisioning_only = true;
            }),
            Step::Import(no) => self.import(fs, |options| options.snapshot = Some(SnapshotNo(no))),
            Step::ImportAndDelete(no) => self.import(fs, |options| {
                options.snapshot = Some(SnapshotNo(no));
                options.delete = true;
            }),
            Step::ImportNewest => self.import(fs, |_| {}),
            Step::FixShares => self.fix(fs),
            Step::Forget => self.forget(fs),
            Step::Prune | Step::Repack => self.prune(fs, step == Step::Repack),
            Step::Repair => self.repair(fs),
        }
    }

    pub fn archive(&self, fs: &Arc<dyn Fs>) -> Result<Archive, Box<dyn Error>> {
        Ok(Archive::open(Arc::clone(fs), &self.path("archive"))?.with_tables_in(&self.path("")))
    }

    fn export(&self, fs: &Arc<dyn Fs>) -> Result<Report, Box<dyn Error>> {
        let source = open_source(Arc::clone(fs), self.path("source").to_str().unwrap())?;
        let archive = if self.path("archive/wagon.json").exists() {
            self.archive(fs)?
        } else {
            Archive::create(Arc::clone(fs), &self.path("archive"), "the-archive".parse()?, 1)?
        };
        let mut catalog = Catalog::open(&self.path("catalog.sqlite"))?;
        let options = ExportOptions {
            source: None,
            accounts: Vec::new(),
            exclude: Vec::new(),
            deep: false,
            full: false,
            label: None,
            dry_run: false,
            workers: NonZeroUsize::MIN,
            clock: || 2_000_000_000,
            holder: "a story".to_owned(),
        };
        let report = export(source.as_ref(), &archive, &mut catalog, &options, &Silent)?;
        Ok(Report { rejected: report.rejected, done: 0, balanced: true })
    }

    fn import(&self, fs: &Arc<dyn Fs>, change: impl Fn(&mut ImportOptions)) -> Result<Report, Box<dyn Error>> {
        let target = open_target(Arc::clone(fs), self.path("target").to_str().unwrap(), None)?;
        let mut options = ImportOptions {
            fs: Arc::clone(fs),
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
            jobs: NonZeroUsize::MIN,
            adopt: None,
            way_back: None,
            new_site_id: "new".parse()?,
            now: 2_000_000_100,
        };
        change(&mut options);
        let report = import(&self.archive(fs)?, target.as_ref(), &options, &Silent)?;
        Ok(Report { rejected: report.rejected, done: report.ledger.items.imported, balanced: report.ledger.balanced })
    }

    fn fix(&self, fs: &Arc<dyn Fs>) -> Result<Report, Box<dyn Error>> {
        let target = open_target(Arc::clone(fs), self.path("target").to_str().unwrap(), None)?;
        let map = Map::read(&self.path("target/map_example.sqlite"))?;
        let plan = plan_fix(target.as_ref(), &[&map], &Silent)?;
        let report = apply(target.as_ref(), fs.as_ref(), &plan, 2_000_000_200, &Silent)?;
        // A step that was refused is told as skipped, and what could not be read in the plan.
        let complete = report.skipped.is_empty() && plan.rejected.is_empty();
        let after = check_shares(target.as_ref(), &[&map], &Silent)?;
        if complete && after.differs() && after.rejected.is_empty() {
            return Err("the fix says that it is complete, and is not".into());
        }
        if !complete {
            return Err("the fix is not complete, and says so".into());
        }
        Ok(Report { rejected: plan.rejected, done: report.done.len() as u64, balanced: true })
    }

    /// Everything that counts, as it is now.
    fn state(&self) -> Wanted {
        let (target, databases) = self.target_state();
        Wanted {
            rejected: Vec::new(),
            snapshots: self.snapshots(),
            target,
            databases,
            archive: self.upkeep(),
            harm_before: 0,
        }
    }

    fn target_state(&self) -> (Seen, [Vec<String>; 2]) {
        let target = self.path("target");
        let database = |name: &str| match target.join(name) {
            path if path.exists() => rows(&path, &OWN),
            _ => Vec::new(),
        };
        (look(&target), [database("site.sqlite"), database("map_example.sqlite")])
    }

    /// Each snapshot as what it holds, oldest first; content by its hash.
    fn snapshots(&self) -> Vec<Vec<String>> {
        let Ok(archive) = self.archive(&real()) else { return Vec::new() };
        let Ok(newest) = History::open(&archive, None, None) else { return Vec::new() };
        let read = |no| {
            let history = History::open(&archive, None, Some(no)).unwrap();
            let (provisioning, _) = history.provisioning().unwrap();
            let mut lines: Vec<_> = provisioning.records.values().map(|one| format!("{:?}", one.record)).collect();
            for (id, account) in provisioning.accounts() {
                let state = history.account(id).unwrap();
                let name = &account.address;
                lines.extend(state.folders.values().map(|folder| format!("{name} {folder:?}")));
                lines.extend(state.settings.values().map(|setting| format!("{name} {setting:?}")));
                lines.extend(
                    state.items.iter().map(|(_, at)| format!("{name} {} {:?}", state.folders[&at.folder].key, at.item)),
                );
            }
            lines.sort();
            lines
        };
        newest.heads().iter().map(|head| read(head.no)).collect()
    }

    /// What differs from the state that an undisturbed step would have left; empty when nothing does. What the step
    /// cannot have written is not looked at.
    pub fn differences(&self, step: usize) -> Vec<String> {
        let what = STEPS[step].2;
        let mut said = Vec::new();
        let wanted = &self.wanted[step];
        if what.writes_archive() {
            said.extend(self.differing_snapshots(step));
            said.extend(wanted.archive.differences(&self.upkeep()));
            if matches!(what, Step::Prune | Step::Repack) {
                said.extend(self.waste());
            }
        } else {
            let found = self.target_state();
            said.extend(differences(&wanted.target, &found.0, Names::Kept));
            for (wanted, found) in wanted.databases.iter().zip(&found.1) {
                said.extend(differing(wanted, found));
            }
        }
        said
    }

    fn differing_snapshots(&self, step: usize) -> Vec<String> {
        let (wanted, found) = (&self.wanted[step].snapshots, self.snapshots());
        let is_export = STEPS[step].2 == Step::Export;
        let older = match step.checked_sub(1) {
            Some(before) if is_export => self.wanted[before].snapshots.len(),
            None => 0,
            _ => wanted.len(),
        };
        let mut said = Vec::new();
        // A pass that could not read something is in the archive too; the next one has what it lacked.
        for (at, wanted) in wanted.iter().enumerate().take(older) {
            let found = found.get(at).map_or(&[][..], Vec::as_slice);
            said.extend(differing(wanted, found).iter().map(|line| format!("snapshot {at}: {line}")));
        }
        let newest = |of: &[Vec<String>]| of.last().cloned().unwrap_or_default();
        said.extend(differing(&newest(wanted), &newest(&found)).iter().map(|line| format!("newest snapshot: {line}")));
        if !is_export && wanted.len() != found.len() {
            said.push(format!("{} snapshots instead of {}", found.len(), wanted.len()));
        }
        said
    }

    /// What differs anywhere, also in what the step does not write.
    pub fn all_differences(&self, step: usize) -> Vec<String> {
        let (wanted, found) = (&self.wanted[step], self.state());
        let mut said = self.differing_snapshots(step);
        said.extend(wanted.archive.differences(&found.archive));
        said.extend(differences(&wanted.target, &found.target, Names::Kept));
        for (wanted, found) in wanted.databases.iter().zip(&found.databases) {
            said.extend(differing(wanted, found));
        }
        said
    }

    /// Whether anything is lost at this moment that was not before the step.
    pub fn new_harm(&self, step: usize) -> Option<String> {
        let (before, now) = (self.wanted[step].harm_before, self.harm());
        (now > before).then(|| format!("{now} items cannot be read, {before} before: {:#?}", self.upkeep()))
    }

    /// Whether a step left out no more than an undisturbed one does.
    pub fn is_whole(&self, step: usize, report: &Report) -> bool {
        report.balanced && report.rejected == self.wanted[step].rejected
    }
}

fn real() -> Arc<dyn Fs> {
    Arc::new(RealFs)
}
