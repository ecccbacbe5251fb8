//! A fault at every operation of a change of the passphrase: afterwards the old or the new one opens the archive, a repair
//! makes an end of it one way or the other, and the same change again completes it.

use crate::every_operation::{seed, setting};
use crate::faulty_fs::{Fault, FaultyFs};
use age::secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest, Sha256};
use stationwagon::archive::check::{CheckReport, check};
use stationwagon::archive::pack_writer::Class;
use stationwagon::archive::parity::{self, ProtectOptions};
use stationwagon::archive::{Archive, ArchiveError, Recipients, mend_copies};
use stationwagon::event::Silent;
use stationwagon::fs::{Fs, RealFs};
use stationwagon::model::hex;
use stationwagon::model::id::ObjectId;
use stationwagon::verbs::passphrase::complete;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const HOLDER: (&str, i64) = ("a test", 0);

/// What an archive is like before its passphrase is changed from `before` to `after`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Start {
    Plain,
    Protected,
    /// Made before there were second copies and checksums.
    Old,
    /// An earlier change to `before` was cut off near its end.
    HalfDone,
}

struct World {
    dir: tempfile::TempDir,
    start: Start,
    /// The same identity under `before` and under `after`, with hardly any work.
    before: Vec<u8>,
    after: Vec<u8>,
}

/// What needs a lock that somebody seems to have: a program that another test starts has for a moment, until it is another
/// program, all that is open here, and so a lock that was just given up.
fn patiently<T>(mut what: impl FnMut() -> Result<T, ArchiveError>) -> Result<T, ArchiveError> {
    for _ in 0..100 {
        match what() {
            Err(ArchiveError::InUse { .. }) => std::thread::sleep(Duration::from_millis(50)),
            outcome => return outcome,
        }
    }
    what()
}

fn real() -> Arc<dyn Fs> {
    Arc::new(RealFs)
}

fn locked(text: &str, passphrase: &str) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.to_owned()));
    recipient.set_work_factor(1);
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient)).unwrap();
    let mut bytes = Vec::new();
    let mut out = encryptor.wrap_output(&mut bytes).unwrap();
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap();
    bytes
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

fn opens(dir: &Path, passphrase: &str) -> bool {
    Archive::open(real(), dir).unwrap().unlock(passphrase).is_ok()
}

fn checked(dir: &Path, passphrase: &str) -> CheckReport {
    let archive = Archive::open(real(), dir).unwrap().with_passphrase(passphrase).unwrap();
    check(&archive, true, &Silent).unwrap()
}

impl World {
    fn new(start: Start) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = age::x25519::Identity::generate();
        let text = format!("{}\n", identity.to_string().expose_secret());
        let [earlier, before, after] = ["earlier", "before", "after"].map(|phrase| locked(&text, phrase));
        let world = Self { dir, start, before, after };
        let at = world.path("template");
        let recipients = Recipients::parse([identity.to_public().to_string().as_str()]).unwrap();
        let id = "test".parse().unwrap();
        let made = Archive::create_encrypted(real(), &at, id, 0, &recipients, Some(&world.before)).unwrap();
        match start {
            Start::Plain => {}
            Start::Protected => {
                let lock = made.lock(HOLDER.0, HOLDER.1).unwrap();
                let mut pack = made.pack_writer(&lock, 1).unwrap();
                pack.add(ObjectId::of(b"hello"), Class::Part, b"hello").unwrap();
                pack.finish().unwrap();
                parity::protect(&made, &lock, ProtectOptions { percent: 9 }, &Silent).unwrap();
            }
            Start::Old => {
                let header = stationwagon::format::archive_header::ArchiveHeader::parse(
                    &fs::read(at.join("wagon.json")).unwrap(),
                );
                let mut header = header.unwrap();
                header.encryption.as_mut().unwrap().key_sha256 = None;
                fs::write(at.join("wagon.json"), header.encode_without_checksum()).unwrap();
                fs::remove_file(at.join("wagon-again.json")).unwrap();
                fs::remove_file(at.join("key-again.age")).unwrap();
            }
            Start::HalfDone => fs::write(at.join("key.age"), &earlier).unwrap(),
        }
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An empty folder.
    fn anew(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        drop(fs::remove_dir_all(&path));
        path
    }

    fn change(&self, fs: &Arc<dyn Fs>, dir: &Path) -> Result<(), ArchiveError> {
        let archive = Archive::open(fs.clone(), dir)?;
        let key = match archive.unlock("before") {
            Ok(key) => key,
            // As the command does, which is given both.
            Err(error) => {
                return if archive.unlock("after").is_ok() { self.complete(fs, &archive) } else { Err(error) };
            }
        };
        let lock = patiently(|| archive.lock(HOLDER.0, HOLDER.1))?;
        let percent = archive.parity_percent()?;
        archive.change_key(&lock, &key, &self.after)?;
        drop(lock);
        let archive = Archive::open(fs.clone(), dir)?;
        archive.protect_beside_again(&patiently(|| archive.lock(HOLDER.0, HOLDER.1))?, percent).map(drop)
    }

    fn complete(&self, fs: &Arc<dyn Fs>, archive: &Archive) -> Result<(), ArchiveError> {
        patiently(|| complete(fs, archive, HOLDER)?.parity)
    }

    /// The change with the fault at one operation, and what must hold then; `false`: there is no such operation.
    fn point(&self, fault: Fault, at: u64) -> bool {
        let (dir, grave) = (self.anew("archive"), self.anew("grave"));
        copy(&self.path("template"), &dir);
        fs::create_dir(&grave).unwrap();
        let faulty = FaultyFs::new(fault, at, &grave, std::slice::from_ref(&dir));
        let fs: Arc<dyn Fs> = Arc::new(faulty.clone());
        let outcome = self.change(&fs, &dir);
        let struck = faulty.struck();
        let point = format!("{:?}, {fault:?} at {at} ({struck:?}), {outcome:?}", self.start);
        if fault == Fault::PowerCut {
            faulty.cut();
            faulty.after_power_cut(seed().wrapping_add(at));
        }
        if struck.is_none() {
            outcome.unwrap();
        }
        assert!(opens(&dir, "before") || opens(&dir, "after"), "{point}");
        assert!(struck.is_some() || opens(&dir, "after"), "{point}: it was called done");

        // Whoever does not know of the change has it repaired.
        let speaks_of_new = fs::read_to_string(dir.join("wagon.json")).unwrap();
        let speaks_of_new = speaks_of_new.contains(&hex::encode(&Sha256::digest(&self.after)));
        let repaired = self.anew("repaired");
        copy(&dir, &repaired);
        patiently(|| parity::mend_beside(&RealFs, &repaired, false)).unwrap();
        patiently(|| mend_copies(&RealFs, &repaired, false)).unwrap();
        let phrase = if speaks_of_new { "after" } else { "before" };
        assert!(opens(&repaired, phrase), "{point}: repaired");
        let found = checked(&repaired, phrase).findings;
        // Without a checksum only the passphrases tell which copy is right, and both are.
        assert!(found.is_empty() || (self.start == Start::Old && !speaks_of_new), "{point}: repaired, {found:?}");

        self.change(&real(), &dir).unwrap_or_else(|error| panic!("{point}: again {error:?}"));
        assert!(opens(&dir, "after") && !opens(&dir, "before") && !opens(&dir, "earlier"), "{point}: again");
        let report = checked(&dir, "after");
        assert!(report.findings.is_empty(), "{point}: again, {:?}", report.findings);
        let read = |name: &str| fs::read(dir.join(name)).unwrap();
        assert!(read("key.age") == self.after && read("key-again.age") == self.after, "{point}");
        assert_eq!(read("wagon.json"), read("wagon-again.json"), "{point}");
        let protection = report.protection.map(|all| (all.files, all.protected, all.percent));
        let wanted = (self.start == Start::Protected).then_some((6, 6, Some((9, 9))));
        assert_eq!(protection, wanted, "{point}: again");
        struck.is_some()
    }
}

fn at_every_operation(start: Start) {
    let world = World::new(start);
    for fault in [Fault::Io, Fault::Full, Fault::Torn, Fault::PowerCut] {
        // What only reads is most of it, and fails alike everywhere.
        let every = if fault == Fault::Io && setting("").as_deref() != Some("all") { 3 } else { 1 };
        let operations = (seed() % every..).step_by(every as usize).take_while(|at| world.point(fault, *at)).count();
        assert!(operations > 5, "{start:?}, {fault:?}: {operations}");
    }
}

#[test]
fn a_change_of_the_passphrase_that_breaks_anywhere_leaves_an_archive_that_one_of_both_opens() {
    at_every_operation(Start::Plain);
}

#[test]
fn and_so_it_is_where_everything_has_parity() {
    at_every_operation(Start::Protected);
}

#[test]
fn and_in_an_archive_of_before_the_second_copies() {
    at_every_operation(Start::Old);
}

#[test]
fn and_after_another_change_that_broke() {
    at_every_operation(Start::HalfDone);
}
