//! A fault at every operation of every step: afterwards a plain run of the same step completes, and everything is as if
//! nothing had happened: each item once, the ledger balanced, older snapshots as they were. At no moment in between can
//! less be read from the archive than before.
//!
//! `WAGON_FAULTS` says how many operations of each step are tried: a number, spread evenly and beginning elsewhere each
//! day, or `all`. `WAGON_FAULTS_STEP=FROM..TO` and `WAGON_FAULTS_PART=K/N` (every N-th, from K on) try some of them, so
//! that a run over all can be done in pieces.

use crate::disk::{Dice, bury_holders};
use crate::faulty_fs::{Fault, FaultyFs};
use crate::steps::{STEPS, Step};
use crate::story::Story;
use stationwagon::fs::{Fs, RealFs};
use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// What the environment says of `WAGON_FAULTS` and the name.
pub fn setting(name: &str) -> Option<String> {
    std::env::var(format!("WAGON_FAULTS{name}")).ok()
}

/// Two numbers with something between them.
fn pair(text: &str, between: &str) -> (u64, u64) {
    let (one, other) = text.split_once(between).unwrap();
    (one.parse().unwrap(), other.parse().unwrap())
}

/// Which of so many operations are tried: the first, and every how many.
fn stride(step: Step, operations: u64) -> (u64, u64) {
    if let Some((first, every)) = setting("_PART").map(|part| pair(&part, "/")) {
        return (first, every);
    }
    let sample = match setting("").as_deref() {
        Some("all") => u64::MAX,
        Some(number) => number.parse().unwrap(),
        // What removes files is short, and each of its operations dangerous.
        None if matches!(step, Step::Forget | Step::Prune | Step::Repack | Step::Repair) => 12,
        None => 4,
    };
    let every = operations.div_ceil(sample).max(1);
    (seed() % every, every)
}

/// `WAGON_FAULTS_SEED`, or the number of today.
pub fn seed() -> u64 {
    let today = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 86_400;
    setting("_SEED").map_or_else(today, |text| text.parse().unwrap())
}

/// One story, one kind of fault, and what was seen.
struct Trial {
    story: Story,
    fault: Fault,
    tried: u64,
    failed: Vec<String>,
    /// Points at which the step went on and lost nothing.
    survived_within: u64,
}

impl Trial {
    fn faulty(&self, at: u64) -> FaultyFs {
        let grave = self.story.beside("grave");
        drop(fs::remove_dir_all(&grave));
        fs::create_dir(&grave).unwrap();
        FaultyFs::new(self.fault, at, &grave, &[self.story.path(""), self.story.path("target")])
    }

    /// The step with the fault at one operation, and again without; where it has fewer operations, their number.
    fn point(&mut self, step: usize, at: u64, seed: u64) -> Option<u64> {
        let (name, _, what) = STEPS[step];
        self.story.go_back(step);
        let faulty = self.faulty(at);
        let fs: Arc<dyn Fs> = Arc::new(faulty.clone());
        let outcome = self.story.run(&fs, what);
        let struck = faulty.struck();
        let Some(met) = struck else {
            assert!(outcome.is_ok(), "{name}: {outcome:?} without a fault");
            if self.fault == Fault::PowerCut {
                // Who says that it is done must not lose anything when the power goes now.
                faulty.cut();
                faulty.after_power_cut(seed);
                let differences = self.story.differences(step);
                self.expect(differences.is_empty(), || {
                    format!("{name}: power cut after the end, seed {seed}: {differences:#?}")
                });
            }
            return Some(faulty.operations());
        };
        self.tried += 1;
        let point = format!("{name}: {:?} at operation {at} ({met}), seed {seed}", self.fault);
        if self.fault == Fault::PowerCut {
            faulty.after_power_cut(seed);
        } else {
            bury_holders(&self.story.path("target/mail"));
        }
        if self.fault != Fault::PowerCut
            && let Ok(report) = &outcome
            && self.story.is_whole(step, report)
        {
            self.survived_within += 1;
            let differences = self.story.differences(step);
            self.expect(differences.is_empty(), || format!("{point}: called complete, but {differences:#?}"));
        }
        if what.writes_archive() {
            let harm = self.story.new_harm(step);
            self.expect(harm.is_none(), || format!("{point}: {outcome:?}, and then {harm:#?}"));
        }
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        match self.story.run(&fs, what) {
            Err(error) => self.expect(false, || format!("{point}: first {outcome:?}, then {error:?}")),
            Ok(again) => {
                let whole = self.story.is_whole(step, &again);
                let mut differences = self.story.differences(step);
                if self.fault == Fault::PowerCut {
                    forgive_uids(&mut differences);
                    // The list of subscriptions of a mailbox that the very pass made is not waited for: half a line of it
                    // may stay, a subscription to no folder.
                    differences.retain(|line| !(line.starts_with("only in target") && line.contains(": subscribed ")));
                }
                self.expect(whole && differences.is_empty(), || {
                    format!("{point}: first {outcome:?}, then {again:?}, and {differences:#?}")
                });
            }
        }
        None
    }

    /// Notes what should hold and does not, so that one run shows all such points.
    fn expect(&mut self, holds: bool, what: impl Fn() -> String) {
        if !holds {
            self.failed.push(what());
        }
    }
}

/// A message whose name outlived the UID list that was renamed just before it gets its UID anew: only where a file system
/// makes renames durable out of their order.
fn forgive_uids(differences: &mut Vec<String>) {
    let without_uid = |line: &str| {
        let (side, rest) = line.split_once(": ")?;
        let (message, uid) = rest.split_once(" uid ")?;
        Some((side == "only in source", format!("{message} {}", uid.split_once(" date ")?.1)))
    };
    let all: Vec<_> = differences.iter().filter_map(|line| without_uid(line)).collect();
    differences.retain(|line| without_uid(line).is_none_or(|(side, rest)| !all.contains(&(!side, rest))));
}

fn try_everywhere(fault: Fault) {
    let mut trial = Trial { story: Story::begin_small(), fault, tried: 0, failed: Vec::new(), survived_within: 0 };
    let mut dice = Dice(seed());
    let (mut tried, mut there) = (0, 0);
    let (from, to) = setting("_STEP").map_or((0, STEPS.len() as u64), |steps| pair(&steps, ".."));
    for (step, (name, _, what)) in STEPS.iter().enumerate().take(to as usize) {
        trial.story.go_on();
        if (step as u64) < from {
            continue;
        }
        let began = Instant::now();
        // With a fault that never comes.
        let mut operations = trial.point(step, u64::MAX, dice.roll(u64::MAX)).unwrap_or_default();
        let (first, every) = stride(*what, operations);
        let mut at = first;
        while at < operations {
            // A source that is some seconds old takes fewer.
            operations = trial.point(step, at, dice.roll(u64::MAX)).unwrap_or(operations);
            at += every;
        }
        trial.story.leave(step);
        let differences = trial.story.all_differences(step);
        trial.expect(differences.is_empty(), || format!("{name}: elsewhere: {differences:#?}"));
        let Trial { survived_within, failed, .. } = &trial;
        let seconds = Duration::as_secs(&began.elapsed());
        let within = format!("{survived_within} within the run, {} not", failed.len());
        say(&format!("faults: {fault:?}, {name}: {} of {operations} points, {within}; {seconds} s", trial.tried));
        (tried, there) = (tried + trial.tried, there + operations);
        (trial.tried, trial.survived_within) = (0, 0);
    }
    let failed = trial.failed;
    let shown: Vec<_> = failed.iter().take(20).map(|text| text.chars().take(3000).collect::<String>()).collect();
    assert!(failed.is_empty(), "{} of {tried} points failed:\n{}", failed.len(), shown.join("\n\n"));
    say(&format!("faults: {fault:?}: {tried} of {there} points tried, all survived"));
    assert!(setting("_STEP").is_some() || tried >= 25, "{tried} points");
}

/// Past the capture of the test runner.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
fn an_error_of_the_disk_at_any_operation_costs_a_second_run_and_nothing_else() {
    try_everywhere(Fault::Io);
}

#[test]
fn a_call_that_is_interrupted_anywhere_costs_a_second_run_at_most() {
    try_everywhere(Fault::Interrupted);
}

#[test]
fn a_disk_that_is_full_from_any_operation_on_costs_a_second_run() {
    try_everywhere(Fault::Full);
}

#[test]
fn a_write_that_is_torn_anywhere_leaves_no_half_of_anything() {
    try_everywhere(Fault::Torn);
}

#[test]
fn a_power_cut_at_any_operation_takes_nothing_that_was_called_done() {
    try_everywhere(Fault::PowerCut);
}
