use crate::wagon::Wagon;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

const MESSAGE_BYTES: usize = 16 * 1024;

/// One account with `count` messages of [`MESSAGE_BYTES`].
fn site(wagon: &Wagon, count: usize) {
    let inbox = wagon.path("source/mail/example.org/ann/Maildir");
    for part in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(inbox.join(part)).unwrap();
    }
    for number in 0..count {
        let mut text = format!("Subject: {number}\n\n");
        text.push_str(&format!("{number} bottles\n").repeat(MESSAGE_BYTES));
        text.truncate(MESSAGE_BYTES);
        std::fs::write(inbox.join(format!("cur/17000{number:05}.M{number}P1.host:2,S")), text).unwrap();
    }
}

#[test]
fn a_pass_is_no_faster_than_its_rate() {
    let wagon = Wagon::empty();
    site(&wagon, 40);
    // 640 KiB at 512 KiB a second, less the eighth of a second that may pass at once.
    let least = Duration::from_millis(1250 - 125);
    let timed = |line: &str| {
        let started = Instant::now();
        let seen = wagon.run(line);
        assert_eq!(seen.status, 0, "{}", seen.err);
        started.elapsed()
    };
    let export = timed("export --from source --archive archive --max-rate 512k");
    assert!(export >= least, "{export:?}");
    let import = timed("import --archive archive --to target --max-rate 512k");
    assert!(import >= least, "{import:?}");
    assert_eq!(wagon.run("verify --archive archive --to target").status, 0);
    let unchanged = timed("export --from source --archive archive --max-rate 1k");
    assert!(unchanged < Duration::from_secs(60), "what is not read costs nothing: {unchanged:?}");
}

#[test]
fn an_interrupt_does_not_wait_for_the_throttle() {
    let wagon = Wagon::empty();
    site(&wagon, 1000);
    // At this rate, the pass would take four hours.
    let line = "export --from source --archive archive --json --max-rate 1k";
    let mut child = wagon.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let asked = Instant::now();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
    assert_eq!(ended.status.code(), Some(130), "{rest}");
    let again = wagon.run("export --from source --archive archive -q");
    assert_eq!(again.status, 0, "{}", again.err);
    assert!(again.out.contains("1000 added"), "{}", again.out);
}

#[test]
fn a_nice_pass_gives_way_with_all_its_threads() {
    let wagon = Wagon::empty();
    site(&wagon, 1000);
    for (nice, expected) in [("--nice", 10), ("--nice 19", 19)] {
        let line = format!("export --from source --archive archive --json --max-rate 1k {nice}");
        let mut child = wagon.command(&line).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        // By the time that messages are read, every thread runs.
        while !line.contains(r#""phase":"store""#) {
            line.clear();
            assert_ne!(out.read_line(&mut line).unwrap(), 0, "the pass ended");
        }
        let ours = niceness(std::process::id());
        let theirs = niceness(child.id());
        kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        child.wait().unwrap();
        let wanted = (ours[0] + expected).min(19);
        assert!(theirs.len() > 1 && theirs.iter().all(|nice| *nice == wanted), "{theirs:?}, not {wanted}");
    }
}

/// The nice value of each thread of a process: field 19 of its `stat` (proc_pid_stat(5)).
fn niceness(process: u32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")).ok());
    // The second field is the program's name in brackets; 3 is the first after it.
    stats
        .map(|stat| stat.rsplit(')').next().unwrap().split_whitespace().nth(19 - 3).unwrap().parse().unwrap())
        .collect()
}

#[test]
fn a_rate_or_niceness_that_makes_no_sense_is_a_usage_error() {
    let wagon = Wagon::empty();
    for wrong in ["--max-rate 0", "--max-rate fast", "--nice 20", "--nice 0"] {
        let seen = wagon.run(&format!("export --from source --archive archive {wrong}"));
        assert_eq!(seen.status, 2, "{wrong}: {}", seen.err);
    }
}
