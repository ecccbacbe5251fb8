//! Kills of what the story's steps do not have: protect, a repair by parity, verify, extract, the undo of a fix; and
//! all of the steps on an archive that is encrypted and signed, where the binary alone tells the story.

use crate::disk::Dice;
use crate::every_operation::{say, seed};
use crate::kills::{command, command_of};
use crate::sites::{Names, Seen, differences, look};
use crate::steps::{STEPS, Step};
use crate::story::{Story, copy, files_below, remove};
use age::secrecy::ExposeSecret as _;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// What a run of kills has come to.
#[derive(Default)]
struct Tally {
    killed: u64,
    finished: u64,
}

/// Runs `line` to its end; what it said.
fn run(story: &Story, status: i32, line: &str, point: &str) -> String {
    let out = command(story, line).stdout(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(status), "{point}: wagon {line}\n{said}");
    said
}

/// Starts `line` and kills it at a moment below `lasts`, which becomes shorter when the run was quicker.
fn kill_once(
    story: &Story,
    line: &str,
    good: &[i32],
    dice: &mut Dice,
    lasts: &mut Duration,
    tally: &mut Tally,
) -> String {
    let after = Duration::from_micros(dice.roll(lasts.as_micros() as u64));
    let began = Instant::now();
    let mut child = command(story, line).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    match child.wait().unwrap().code() {
        None => tally.killed += 1,
        Some(end) => {
            assert!(good.contains(&end), "{line}: status {end}");
            tally.finished += 1;
            *lasts = (*lasts).min(began.elapsed());
        }
    }
    format!("{line}, killed after {after:?}")
}

fn bytes_of(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files_below(dir).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// One verb: `set` makes the state before it, `complete` is the line that must do after any kill, `look` compares with
/// what an undisturbed run has left.
struct Killed<'a> {
    line: &'a str,
    again: &'a str,
    state: &'a dyn Fn(&Story) -> BTreeMap<PathBuf, Vec<u8>>,
}

/// A folder that is put back before each kill.
fn kill_verb(story: &Story, verb: &Killed<'_>, times: u64, dice: &mut Dice, tally: &mut Tally) {
    let kept = story.beside("kept-for-kills");
    remove(&kept);
    copy(&story.path(""), &kept);
    let back = || {
        remove(&story.path(""));
        copy(&kept, &story.path(""));
    };
    let began = Instant::now();
    run(story, 0, verb.line, "undisturbed");
    let mut lasts = began.elapsed();
    let wanted = (verb.state)(story);
    let aim = tally.killed + times;
    for round in 0.. {
        if tally.killed >= aim {
            break;
        }
        assert!(round < 20 * times, "{}: only {} kills", verb.line, tally.killed);
        back();
        let point = kill_once(story, verb.line, &[0], dice, &mut lasts, tally);
        run(story, 0, verb.again, &point);
        let found = (verb.state)(story);
        let names = |of: &BTreeMap<PathBuf, Vec<u8>>| of.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&wanted), "{point}");
        let differing: Vec<_> = wanted.iter().filter(|(path, bytes)| found[*path] != **bytes).collect();
        assert!(differing.is_empty(), "{point}: {:?}", differing.iter().map(|(path, _)| path).collect::<Vec<_>>());
    }
    back();
}

/// All files of the archive but who has it just now.
fn archive_of(story: &Story) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = bytes_of(&story.path("archive"));
    files.retain(|path, _| !path.file_name().unwrap().to_string_lossy().starts_with("lock"));
    files
}

fn kill_each_verb(times: u64) {
    let story = Story::told();
    let (mut dice, mut tally) = (Dice(seed()), Tally::default());
    let step = |name: &str| STEPS.iter().position(|(other, ..)| *other == name).unwrap();
    story.go_back(step("forget"));
    let protect = Killed { line: "protect --archive archive", again: "protect --archive archive", state: &archive_of };
    kill_verb(&story, &protect, times, &mut dice, &mut tally);

    // A block of each file is lost: all come back bit for bit, whenever the repair was killed.
    run(&story, 0, protect.line, "parity");
    let whole = archive_of(&story);
    for (path, bytes) in whole.iter().filter(|(path, _)| !path.starts_with(story.path("archive/parity"))) {
        let mut damaged = bytes.clone();
        let end = damaged.len().min(4096);
        damaged[..end].fill(0);
        if !path.ends_with("wagon.json") {
            fs::write(path, damaged).unwrap();
        }
    }
    let repair = Killed { line: "repair --archive archive", again: "repair --archive archive", state: &archive_of };
    kill_verb(&story, &repair, times, &mut dice, &mut tally);
    run(&story, 0, repair.line, "repair");
    assert!(archive_of(&story) == whole, "a repair by parity gave other bytes");

    let target = |story: &Story| {
        let mut files = bytes_of(&story.path("target"));
        // Readers of a database may leave or remove what stands beside it.
        files.retain(|path, _| !path.to_string_lossy().ends_with("-shm") && !path.to_string_lossy().ends_with("-wal"));
        files
    };
    // Up to the last import, and what users did there since is told as such.
    story.go_back(step("third export"));
    run(&story, 0, "import --archive archive --to fresh", "a target for verify");
    remove(&story.path("target"));
    fs::rename(story.path("fresh"), story.path("target")).unwrap();
    let line = "verify --archive archive --to target";
    kill_verb(&story, &Killed { line, again: line, state: &target }, times, &mut dice, &mut tally);

    // What was being written stays under its temporary name, hidden; nobody takes it for a message.
    let out = |story: &Story| {
        let mut files = bytes_of(&story.path("out"));
        files.retain(|path, _| !path.file_name().unwrap().to_string_lossy().starts_with(".wagon-"));
        files
    };
    let line = "extract --archive archive ann@station.example --output out";
    let again = "extract --archive archive ann@station.example --output out --force";
    kill_verb(&story, &Killed { line, again, state: &out }, times, &mut dice, &mut tally);

    // What an undo leaves is what was there before the fix: told by what can be read of it, since files get other times.
    story.go_back(step("shares fix"));
    let fix = command_of(Step::FixShares);
    let shares = |story: &Story| {
        let said =
            ["shares matrix --site target", &format!("{fix} --dry-run")].map(|line| run(story, 0, line, "looking"));
        said.into_iter().enumerate().map(|(at, said)| (PathBuf::from(at.to_string()), said.into_bytes())).collect()
    };
    run(&story, 0, &fix, "a fix to undo");
    let undo = "shares undo --site target";
    kill_undo(&story, undo, &shares, times, &mut dice, &mut tally);
    say(&format!("faults: other verbs killed {} times, {} runs were quicker", tally.killed, tally.finished));
}

/// An undo that was complete when it was killed has nothing left to undo, and says so with status 1.
fn kill_undo(
    story: &Story,
    line: &str,
    state: &dyn Fn(&Story) -> BTreeMap<PathBuf, Vec<u8>>,
    times: u64,
    dice: &mut Dice,
    tally: &mut Tally,
) {
    let kept = story.beside("kept-for-kills");
    remove(&kept);
    copy(&story.path(""), &kept);
    let began = Instant::now();
    run(story, 0, line, "undisturbed");
    let (mut lasts, wanted, aim) = (began.elapsed(), state(story), tally.killed + times);
    for round in 0.. {
        if tally.killed >= aim {
            break;
        }
        assert!(round < 20 * times, "{line}: only {} kills", tally.killed);
        remove(&story.path(""));
        copy(&kept, &story.path(""));
        let point = kill_once(story, line, &[0], dice, &mut lasts, tally);
        let again = command(story, line).output().unwrap();
        assert!(matches!(again.status.code(), Some(0 | 1)), "{point}: {}", String::from_utf8_lossy(&again.stderr));
        let found = state(story);
        // But for how quick it was.
        let text = |of: &BTreeMap<PathBuf, Vec<u8>>| {
            let said = of.values().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect::<String>();
            said.lines().filter(|line| !line.ends_with("/s")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(text(&found), text(&wanted), "{point}");
    }
}

#[test]
fn protect_repair_verify_extract_and_undo_are_completed_by_the_next_run_whenever_they_were_killed() {
    kill_each_verb(3);
}

#[test]
#[ignore = "minutes: 200 kills; docs/measurements.md says what came of it"]
fn two_hundred_kills_of_other_verbs() {
    kill_each_verb(40);
}

/// The story with an encrypted and signed archive. The binary alone tells it: nobody else has the keys.
struct Sealed {
    story: Story,
    /// What the newest snapshot gives after each step, and the target as it is.
    wanted: Vec<(Seen, Seen)>,
}

impl Sealed {
    fn told() -> Self {
        let mut sealed = Self { story: Story::begin_small(), wanted: Vec::new() };
        let keys = sealed.story.beside("keys");
        fs::create_dir(&keys).unwrap();
        let identity = age::x25519::Identity::generate();
        fs::write(keys.join("me.key"), format!("{}\n", identity.to_string().expose_secret())).unwrap();
        fs::write(keys.join("me.pub"), identity.to_public().to_string()).unwrap();
        let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        fs::write(keys.join("me.sec"), pair.sk.to_box(None).unwrap().into_string()).unwrap();
        fs::write(keys.join("me.min"), pair.pk.to_box().unwrap().into_string()).unwrap();
        for (step, (name, meanwhile, _)) in STEPS.iter().enumerate() {
            meanwhile.happens(&sealed.story);
            copy(&sealed.story.path(""), &sealed.kept(step));
            sealed.complete(step, name);
            let seen = sealed.seen();
            sealed.wanted.push(seen);
        }
        sealed
    }

    fn kept(&self, step: usize) -> PathBuf {
        self.story.beside(&format!("sealed-{step}"))
    }

    /// The step's line with the keys that it takes; without any where a new archive is made, so that none is left in
    /// the clear.
    fn line(&self, step: usize) -> String {
        let key = |name: &str| self.story.beside("keys").join(name).display().to_string();
        let line = command_of(STEPS[step].2);
        match STEPS[step].2 {
            Step::Export => format!("{line} --recipients-file {} --sign-with {}", key("me.pub"), key("me.sec")),
            Step::Forget => format!("{line} --sign-with {}", key("me.sec")),
            Step::Provision(_) | Step::Import(_) | Step::ImportAndDelete(_) | Step::ImportNewest => {
                format!("{line} --trust {}", key("me.min"))
            }
            _ => line,
        }
    }

    fn command(&self, line: &str) -> std::process::Command {
        let mut command = command(&self.story, line);
        command.env("WAGON_IDENTITY", self.story.beside("keys/me.key"));
        command
    }

    fn complete(&self, step: usize, point: &str) {
        let out = self.command(&self.line(step)).output().unwrap();
        let wanted = if STEPS[step].2 == Step::Repair { 5 } else { 0 };
        assert_eq!(out.status.code(), Some(wanted), "{point}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// What a new target gets of the newest snapshot, and the story's target.
    fn seen(&self) -> (Seen, Seen) {
        let fresh = self.story.path("fresh");
        if self.story.path("archive/wagon.json").exists() {
            let out = self.command("import --archive archive --to fresh").output().unwrap();
            // 3: what a repair could not bring back.
            assert!(matches!(out.status.code(), Some(0 | 3)), "{}", String::from_utf8_lossy(&out.stderr));
        }
        let seen = (look(&fresh), look(&self.story.path("target")));
        remove(&fresh);
        seen
    }

    fn kill(&self, times: u64) {
        let (mut dice, mut tally) = (Dice(seed()), Tally::default());
        let mut lasts = vec![Duration::from_millis(400); STEPS.len()];
        for run in 0.. {
            if tally.killed >= times {
                break;
            }
            assert!(run < 20 * times, "only {} kills", tally.killed);
            let step = (run % STEPS.len() as u64) as usize;
            remove(&self.story.path(""));
            copy(&self.kept(step), &self.story.path(""));
            let after = Duration::from_micros(dice.roll(lasts[step].as_micros() as u64));
            let began = Instant::now();
            let mut child = self.command(&self.line(step)).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(after);
            child.kill().unwrap();
            let point = format!("sealed kill {run} of {:?} after {after:?}", STEPS[step].0);
            match child.wait().unwrap().code() {
                None => tally.killed += 1,
                Some(0 | 5) => {
                    tally.finished += 1;
                    lasts[step] = lasts[step].min(began.elapsed());
                }
                Some(other) => panic!("{point}: status {other}"),
            }
            self.nothing_in_the_clear(&point);
            self.complete(step, &point);
            self.nothing_in_the_clear(&point);
            let (fresh, target) = self.seen();
            for (wanted, found) in [(&self.wanted[step].0, &fresh), (&self.wanted[step].1, &target)] {
                let said = differences(wanted, found, Names::Kept);
                assert!(said.is_empty(), "{point}: {said:#?}");
            }
        }
        say(&format!("faults: sealed archive killed {} times, {} runs were quicker", tally.killed, tally.finished));
    }

    /// Whatever lies in the archive, half written or left behind, begins as age does, or is no content.
    fn nothing_in_the_clear(&self, point: &str) {
        for kind in ["packs", "index", "snapshots"] {
            for path in files_below(&self.story.path("archive").join(kind)) {
                let bytes = fs::read(&path).unwrap();
                let shown = path.display();
                let is_signature = bytes.starts_with(b"untrusted comment: ");
                let begins = b"age-encryption.org/v1\n";
                let sealed = bytes.starts_with(&begins[..begins.len().min(bytes.len())]);
                let spoilt = shown.to_string().contains(&"ab".repeat(32));
                assert!(sealed || is_signature || spoilt, "{point}: {shown} is in the clear");
            }
        }
    }
}

#[test]
fn each_step_on_an_encrypted_and_signed_archive_is_completed_by_the_same_command_whenever_it_was_killed() {
    Sealed::told().kill(15);
}

#[test]
#[ignore = "minutes: 150 kills; docs/measurements.md says what came of it"]
fn kills_of_an_encrypted_and_signed_archive() {
    Sealed::told().kill(150);
}
