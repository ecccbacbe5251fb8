//! The same site gives the same archive, byte for byte: on another machine, whatever the order in which folders are
//! listed, whatever the inodes, whatever the number of threads and their luck.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and looks at files as they are"
)]

use sha2::{Digest, Sha256};
use stationwagon::archive::Archive;
use stationwagon::catalog::Catalog;
use stationwagon::event::Silent;
use stationwagon::fs::{DirEntry, FileRead, FileWrite, Fs, RealFs, Stat};
use stationwagon::model::hex;
use stationwagon::model::mailbox::FolderKey;
use stationwagon::site::{
    Content, Depth, FolderScan, FoundItem, MailboxScan, ProvisioningScan, SiteDescription, SiteError, Source,
    open_source,
};
use stationwagon::testing::example_site;
use stationwagon::verbs::export::{ExportOptions, export};
use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Another machine: every listing comes in another order, files have other inodes, and reading takes its time now and then.
struct OtherMachine {
    seed: u64,
    calls: AtomicU64,
}

impl OtherMachine {
    fn boxed(seed: u64) -> Arc<dyn Fs> {
        Arc::new(Self { seed, calls: AtomicU64::new(0) })
    }

    /// A number that is different for each call, and for each machine.
    fn dice(&self) -> u64 {
        mix(self.seed ^ self.calls.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn own(&self, stat: Stat) -> Stat {
        Stat { ino: stat.ino ^ mix(self.seed) >> 20, dev: stat.dev ^ self.seed, ..stat }
    }
}

fn mix(mut state: u64) -> u64 {
    state = (state ^ (state >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

struct OtherFile {
    file: Box<dyn FileRead>,
    machine: OtherMachine,
}

impl FileRead for OtherFile {
    fn stat(&self) -> io::Result<Stat> {
        Ok(self.machine.own(self.file.stat()?))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
}

impl Fs for OtherMachine {
    fn open(&self, path: &Path) -> io::Result<Box<dyn FileRead>> {
        if self.dice().is_multiple_of(64) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let machine = Self { seed: self.seed, calls: AtomicU64::new(0) };
        Ok(Box::new(OtherFile { file: RealFs.open(path)?, machine }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = RealFs.list(dir)?;
        entries.sort_by_key(|entry| entry.name.clone());
        for at in (1..entries.len()).rev() {
            entries.swap(at, (self.dice() % (at as u64 + 1)) as usize);
        }
        Ok(entries)
    }

    fn lstat(&self, path: &Path) -> io::Result<Stat> {
        RealFs.lstat(path).map(|stat| self.own(stat))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        RealFs.stat(path).map(|stat| self.own(stat))
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        RealFs.read_link(path)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        RealFs.canonical(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealFs.create_dir_all(dir)
    }

    fn create_temp(&self, dir: &Path, prefix: &str) -> io::Result<Box<dyn FileWrite>> {
        RealFs.create_temp(dir, prefix)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FileWrite>> {
        RealFs.create_new(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.rename_new(from, to)
    }

    fn symlink(&self, target: &Path, link: &Path) -> io::Result<()> {
        RealFs.symlink(target, link)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealFs.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealFs.remove_dir(path)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        RealFs.set_owner(path, uid, gid)
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        RealFs.set_mode(path, mode)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        RealFs.try_lock(path)
    }
}

/// A site that does not say where it lies: that is the one thing that each machine says in its own way.
struct Nowhere(Box<dyn Source>);

impl Source for Nowhere {
    fn describe(&self) -> Result<SiteDescription, SiteError> {
        Ok(SiteDescription { locator: "source".to_owned(), ..self.0.describe()? })
    }

    fn provisioning(&self) -> Result<ProvisioningScan, SiteError> {
        self.0.provisioning()
    }

    fn follow_accounts(&self, renamed: Vec<(String, String)>) {
        self.0.follow_accounts(renamed);
    }

    fn mailbox(&self, account: &str) -> Result<MailboxScan, SiteError> {
        self.0.mailbox(account)
    }

    fn folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        self.0.folder(account, key, mark, depth)
    }

    fn read(&self, account: &str, key: &FolderKey, item: &FoundItem) -> Result<Content, SiteError> {
        self.0.read(account, key, item)
    }
}

/// One machine: how it sees files, how many threads it has, and where its copy of the site and its archive lie.
struct Machine {
    fs: Arc<dyn Fs>,
    workers: usize,
    root: PathBuf,
}

impl Machine {
    fn all(dir: &Path) -> Vec<Self> {
        let machine = |name: &str, fs, workers| Self { fs, workers, root: dir.join(name) };
        vec![
            machine("one", Arc::new(RealFs) as Arc<dyn Fs>, 1),
            machine("two", OtherMachine::boxed(0x1234_5678_9abc), 2),
            machine("three", OtherMachine::boxed(0xfeed_face_cafe), 2),
            machine("four", OtherMachine::boxed(7), 8),
        ]
    }

    /// Copies the site as rsync does, times and all.
    fn copy(&self, site: &Path) {
        std::fs::create_dir_all(&self.root).unwrap();
        let place = self.root.join("site");
        let from = format!("{}/", site.display());
        let copied = Command::new("rsync").args(["-aH", "--delete", &from]).arg(&place).status();
        if !copied.is_ok_and(|status| status.success()) {
            let _ = std::fs::remove_dir_all(&place);
            assert!(Command::new("cp").arg("-a").arg(site).arg(&place).status().unwrap().success());
        }
    }

    /// Exports the copy.
    fn export(&self, clock: fn() -> i64, full: bool) {
        let dir = self.root.join("archive");
        let archive = match Archive::open(self.fs.clone(), &dir) {
            Ok(archive) => archive,
            Err(_) => Archive::create(self.fs.clone(), &dir, "same".parse().unwrap(), 1_800_000_000).unwrap(),
        };
        let mut catalog = Catalog::open(&self.root.join("catalog.sqlite")).unwrap();
        let options = ExportOptions {
            source: None,
            accounts: Vec::new(),
            exclude: Vec::new(),
            deep: false,
            full,
            label: None,
            dry_run: false,
            workers: NonZeroUsize::new(self.workers).unwrap(),
            clock,
            holder: "a machine".to_owned(),
        };
        let place = self.root.join("site");
        let source = Nowhere(open_source(self.fs.clone(), place.to_str().unwrap()).unwrap());
        export(&source, &archive, &mut catalog, &options, &Silent).unwrap();
    }

    /// Name and hash of every file of the archive.
    fn files(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.root.join("archive")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(self.root.join("archive")).unwrap().to_str().unwrap().to_owned();
                    let digest = hex::encode(&<[u8; 32]>::from(Sha256::digest(std::fs::read(&path).unwrap())));
                    assert!(found.insert(name, digest).is_none());
                }
            }
        }
        found
    }
}

/// Copies the site to every machine, and exports each copy.
fn export_all(machines: &[Machine], site: &Path, clock: fn() -> i64, full: bool) {
    machines.iter().for_each(|machine| machine.copy(site));
    // A folder that changed within the last second is read again by the next pass, and a head counts that.
    std::thread::sleep(Duration::from_millis(1100));
    machines.iter().for_each(|machine| machine.export(clock, full));
}

fn assert_same_files(machines: &[Machine], what: &str) -> usize {
    let wanted = machines[0].files();
    for machine in &machines[1..] {
        let found = machine.files();
        let differ: Vec<_> = wanted.iter().filter(|(name, hash)| found.get(*name) != Some(hash)).collect();
        assert!(
            differ.is_empty() && found.len() == wanted.len(),
            "{what}: with {} threads in {} these are other files: {differ:#?}",
            machine.workers,
            machine.root.display()
        );
    }
    wanted.keys().filter(|name| name.starts_with("packs/")).count()
}

#[test]
fn four_machines_make_the_same_archive_of_the_same_site_day_by_day() {
    let dir = tempfile::tempdir().unwrap();
    let machines = Machine::all(dir.path());
    let site = dir.path().join("source");
    let real: Arc<dyn Fs> = Arc::new(RealFs);
    let export_all = |clock, full, what: &str| {
        export_all(&machines, &site, clock, full);
        assert_same_files(&machines, what)
    };
    example_site::build(&real, &site).unwrap();
    export_all(|| 1_800_000_000, false, "the first pass");
    example_site::a_day_passes(&real, &site).unwrap();
    export_all(|| 1_800_086_400, false, "the next day");
    example_site::a_last_day(&real, &site).unwrap();
    export_all(|| 1_800_172_800, false, "the last day");
    // A mailbox that was renamed is known by its GUID, everywhere.
    let home = site.join("mail/station.example");
    std::fs::rename(home.join("bert"), home.join("herbert")).unwrap();
    export_all(|| 1_800_259_200, true, "a full pass after a rename");
}

#[test]
fn packs_end_with_the_same_segment_whatever_the_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let machines = Machine::all(dir.path());
    let site = dir.path().join("source");
    let mut number = 1u64;
    let mut noise = |bytes: usize| -> Vec<u8> {
        std::iter::repeat_with(|| {
            number += 1;
            mix(number).to_le_bytes()
        })
        .take(bytes / 8)
        .flatten()
        .collect()
    };
    // Enough for three packs, of messages of many sizes, so that many segments are under way where a pack ends.
    for account in 0..4u64 {
        let maildir = site.join(format!("mail/example.org/user{account}/Maildir"));
        for sub in ["cur", "new", "tmp"] {
            std::fs::create_dir_all(maildir.join(sub)).unwrap();
        }
        let guid = format!("3 V1 N1 G{:032x}\n", mix(account));
        std::fs::write(maildir.join("dovecot-uidlist"), guid).unwrap();
        for message in 0..160 {
            let size = 2000 << (message % 8);
            let text = [b"From: a@example.org\nSubject: noise\n\n".as_slice(), &noise(size)].concat();
            std::fs::write(maildir.join(format!("cur/17000{message:05}.M1P1.host:2,S")), text).unwrap();
        }
    }
    export_all(&machines, &site, || 1_800_000_000, false);
    assert!(assert_same_files(&machines, "a large site") >= 2);
}
