//! The story that is disturbed: a site is exported and imported in several passes while people work on both sides, and
//! its shares are mended. Before each step the whole folder is kept, so that a step can be run again from there.

use crate::databases::{differing, rows};
use crate::sites::{Names, Seen, differences, look};
use stationwagon::archive::Archive;
use stationwagon::archive::check::check;
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
use std::error::Error;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// Something an administrator runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Export,
    /// Of this snapshot, without data.
    Provision(u32),
    Import(u32),
    /// With `--delete`.
    ImportAndDelete(u32),
    FixShares,
}

/// The steps in order, and what people do before each.
pub const STEPS: &[(&str, People, Step)] = &[
    ("first export", People::Rest, Step::Export),
    ("second export", People::HaveADay, Step::Export),
    ("provisioning", People::Rest, Step::Provision(1)),
    ("first import", People::Rest, Step::Import(1)),
    ("import with moves, renames and deletions", People::Rest, Step::ImportAndDelete(2)),
    ("third export", People::WorkOnBoth, Step::Export),
    ("import with conflicts", People::Rest, Step::Import(3)),
    ("shares fix", People::BringAMountpointBack, Step::FixShares),
];

/// Columns that differ from run to run: ids that chance gives to a site, its records and an archive; a time; the
/// order of conflicts; and what a ledger tells of its own pass.
const OWN: [&str; 7] =
    ["site.id", "record.id", "conflict.no", "meta.target_site", "meta.archive", "meta.created", "progress.ledger"];

#[derive(Clone, Copy, Debug)]
pub enum People {
    Rest,
    HaveADay,
    WorkOnBoth,
    BringAMountpointBack,
}

/// What a step says at its end.
#[derive(Debug)]
pub struct Report {
    pub rejected: Vec<Rejection>,
    /// Items that an import brought, or steps of a fix.
    pub done: u64,
    balanced: bool,
}

pub struct Story {
    _dir: TempDir,
    root: PathBuf,
    wanted: Vec<Wanted>,
}

/// What there is after a step that nothing disturbed.
struct Wanted {
    rejected: Vec<Rejection>,
    snapshots: Vec<Vec<String>>,
    target: Seen,
    databases: [Vec<String>; 2],
}

pub fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// In memory where the machine has such a place: thousands of points wait for no disk.
pub fn quick_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

impl Story {
    /// Tells it once, undisturbed.
    pub fn told() -> Self {
        let dir = quick_dir();
        let root = dir.path().to_owned();
        let mut story = Self { _dir: dir, root, wanted: Vec::new() };
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        fs::create_dir(story.path("")).unwrap();
        example_site::build(&fs, &story.path("source")).unwrap();
        for (at, (name, people, step)) in STEPS.iter().enumerate() {
            people.act(&story);
            copy(&story.path(""), &story.kept(at));
            let report = story.run(&fs, *step).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(
                report.balanced && (report.done > 0 || matches!(step, Step::Export | Step::Provision(_))),
                "{name}"
            );
            let wanted = Wanted { rejected: report.rejected, ..story.state() };
            story.wanted.push(wanted);
        }
        story
    }

    pub fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.join("work") } else { self.root.join("work").join(name) }
    }

    /// A folder beside the story's, on the same file system.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn kept(&self, step: usize) -> PathBuf {
        self.root.join(format!("before-{step}"))
    }

    /// Goes back to the moment before a step.
    pub fn go_back(&self, step: usize) {
        fs::remove_dir_all(self.path("")).unwrap();
        copy(&self.kept(step), &self.path(""));
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
            Step::FixShares => self.fix(fs),
        }
    }

    fn archive(&self, fs: &Arc<dyn Fs>) -> Result<Archive, Box<dyn Error>> {
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
        let target = self.path("target");
        let database = |name: &str, without: &[&str]| match target.join(name) {
            path if path.exists() => rows(&path, without),
            _ => Vec::new(),
        };
        Wanted {
            rejected: Vec::new(),
            snapshots: self.snapshots(),
            target: look(&target),
            databases: [database("site.sqlite", &OWN), database("map_example.sqlite", &OWN)],
        }
    }

    /// Each snapshot as what it holds, oldest first; content by its hash.
    fn snapshots(&self) -> Vec<Vec<String>> {
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let Ok(archive) = self.archive(&fs) else { return Vec::new() };
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
                    state.items.values().map(|at| format!("{name} {} {:?}", state.folders[&at.folder].key, at.item)),
                );
            }
            lines.sort();
            lines
        };
        newest.heads().iter().map(|head| read(head.no)).collect()
    }

    /// What differs from the state that an undisturbed step would have left; empty when nothing does.
    pub fn differences(&self, step: usize) -> Vec<String> {
        let (wanted, found) = (&self.wanted[step], self.state());
        let before = if step == 0 { 0 } else { self.wanted[step - 1].snapshots.len() };
        let mut said = Vec::new();
        // A pass that could not read something is in the archive too; the next one has what it lacked.
        for at in 0..before {
            let older = found.snapshots.get(at).map_or(&[][..], Vec::as_slice);
            said.extend(differing(&wanted.snapshots[at], older).iter().map(|line| format!("snapshot {at}: {line}")));
        }
        let newest = |of: &Wanted| of.snapshots.last().cloned().unwrap_or_default();
        said.extend(differing(&newest(wanted), &newest(&found)).iter().map(|line| format!("newest snapshot: {line}")));
        said.extend(differences(&wanted.target, &found.target, Names::Kept));
        for (wanted, found) in wanted.databases.iter().zip(&found.databases) {
            said.extend(differing(wanted, found));
        }
        if matches!(STEPS[step].2, Step::Export) {
            let fs: Arc<dyn Fs> = Arc::new(RealFs);
            match self.archive(&fs).and_then(|archive| Ok(check(&archive, true, &Silent)?)) {
                Ok(report) => said.extend(report.findings.iter().map(|finding| format!("check: {finding:?}"))),
                Err(error) => said.push(format!("check: {error}")),
            }
        }
        said
    }

    /// Whether a step left out no more than an undisturbed one does.
    pub fn is_whole(&self, step: usize, report: &Report) -> bool {
        report.balanced && report.rejected == self.wanted[step].rejected
    }
}

impl People {
    fn act(self, story: &Story) {
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        match self {
            Self::Rest => {}
            Self::HaveADay => example_site::a_day_passes(&fs, &story.path("source")).unwrap(),
            Self::WorkOnBoth => {
                example_site::users_work_on_the_target(&fs, &story.path("target")).unwrap();
                example_site::a_last_day(&fs, &story.path("source")).unwrap();
            }
            Self::BringAMountpointBack => {
                example_site::an_old_mountpoint_comes_back(&fs, &story.path("target")).unwrap();
            }
        }
    }
}
