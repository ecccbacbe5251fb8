use crate::wagon::Wagon;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

/// So many small messages that an export takes a while.
fn large_site(wagon: &Wagon) {
    let inbox = wagon.path("source/mail/example.org/ann/Maildir");
    for part in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(inbox.join(part)).unwrap();
    }
    for number in 0..6000 {
        let text = format!("Subject: {number}\n\nNumber {number} of many\n");
        std::fs::write(inbox.join(format!("cur/17000{number:05}.M{number}P1.host:2,S")), text).unwrap();
    }
}

#[test]
fn an_interrupt_stops_cleanly_and_the_same_command_goes_on() {
    let wagon = Wagon::empty();
    large_site(&wagon);
    let line = "export --from source --archive archive --json --deep";
    // A pass may be over before the signal comes; then it is tried again.
    let mut seen = None;
    for _ in 0..5 {
        let mut child = wagon.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        let status = child.wait_with_output().unwrap();
        if status.status.code() == Some(130) {
            seen = Some((rest, wagon.seen(&status).err));
            break;
        }
        std::fs::remove_dir_all(wagon.path("archive")).unwrap();
    }
    let (out, err) = seen.expect("no pass was interrupted in time");
    assert!(err.contains("stopping at the next safe point") && err.contains("goes on where this one stopped"), "{err}");
    assert!(out.lines().last().unwrap().contains(r#""event":"error","status":130"#), "{out}");
    assert!(wagon.run("snapshots --archive archive").out.contains("no snapshots"));
    let again = wagon.run("export --from source --archive archive -q");
    assert_eq!(again.status, 0, "{}", again.err);
    assert!(again.out.contains("6000 added"), "{}", again.out);
    assert_eq!(wagon.run("check --archive archive --read-data").status, 0);
}
