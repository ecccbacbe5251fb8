//! Passes while the source is in use: users deliver, flag, move and delete, and what was there in the end is on the target.

use crate::client::quoted;
use crate::compare::{Told, compare_all, look_all};
use crate::servers::imap::{Imap, value};
use crate::world::{World, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const USERS: [&str; 2] = ["ann@a.test", "bob@a.test"];
const FOLDERS: [&str; 3] = ["INBOX", "Archive", "Work"];

/// A user who does one thing after the other; the same number gives the same day.
struct User {
    imap: Imap,
    dice: u64,
    written: usize,
}

impl User {
    fn roll(&mut self, sides: usize) -> usize {
        // Knuth's constants; only that it is the same each time matters.
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.dice >> 33).unwrap() % sides
    }

    fn write(&mut self, folder: &str) {
        self.written += 1;
        let number = self.written;
        let line = format!("line {number} of a letter\r\n").repeat(20 + number % 200);
        let date = format!("{:02}-Mar-2024 10:{:02}:{:02} +0100", 1 + number % 28, number % 60, (number / 60) % 60);
        let text = format!(
            "From: x@a.test\r\nSubject: letter {number}\r\nMessage-ID: <{number}.{}@a.test>\r\n\r\n{line}",
            self.dice
        );
        self.imap.append(folder, &format!("\"{date}\""), text.as_bytes());
    }

    /// The UIDs of a folder, which is open afterwards.
    fn uids(&mut self, folder: &str) -> Vec<String> {
        self.imap.command(&format!("SELECT {}", quoted(folder)));
        let found = self.imap.command("UID FETCH 1:* (UID)");
        found.iter().filter_map(|answer| value(&answer.text, "UID ")).map(str::to_owned).collect()
    }

    fn act(&mut self) {
        let folder = FOLDERS[self.roll(FOLDERS.len())];
        let kind = self.roll(10);
        if kind < 4 {
            return self.write(folder);
        }
        let uids = self.uids(folder);
        if uids.is_empty() {
            return;
        }
        let uid = uids[self.roll(uids.len())].clone();
        match kind {
            4..=6 => {
                let flag = ["+FLAGS (\\Seen)", "+FLAGS (\\Flagged)", "-FLAGS (\\Seen)", "+FLAGS ($Work)"][self.roll(4)];
                self.imap.command(&format!("UID STORE {uid} {flag}"));
            }
            7 | 8 => {
                let to = FOLDERS[self.roll(FOLDERS.len())];
                if to != folder {
                    self.imap.command(&format!("UID MOVE {uid} {}", quoted(to)));
                }
            }
            _ => {
                self.imap.command(&format!("UID STORE {uid} +FLAGS (\\Deleted)"));
                self.imap.command(&format!("UID EXPUNGE {uid}"));
            }
        }
    }
}

#[test]
fn three_passes_of_a_source_in_use_bring_everything_once() {
    if !ready("passes of a source in use", &["dovecot", "cyrus"]) {
        return;
    }
    let world = World::new();
    world.empty_site("old", &USERS);
    let source = world.dovecot("old");
    let target = world.cyrus("new", &USERS);
    let mut users: Vec<User> = USERS
        .iter()
        .enumerate()
        .map(|(at, account)| User { imap: source.client(account), dice: 7 + at as u64, written: 0 })
        .collect();
    for user in &mut users {
        for folder in &FOLDERS[1..] {
            user.imap.command(&format!("CREATE {folder}"));
            user.imap.command(&format!("SUBSCRIBE {folder}"));
        }
        (0..60).for_each(|number| user.write(FOLDERS[number % 3]));
    }
    let (stop, acts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let busy: Vec<_> = users
        .into_iter()
        .map(|mut user| {
            let (stop, acts) = (stop.clone(), acts.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    user.act();
                    acts.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(15));
                }
            })
        })
        .collect();
    let pass = || {
        // What moves while it is read is left for the next pass, and is no rejection.
        world.report("export --from {}/old.toml --archive {}/archive", &[0]);
        world.report("import --archive {}/archive --to {}/new.toml --delete", &[0]);
    };
    (0..3).for_each(|_| pass());
    stop.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|thread| thread.join().unwrap());
    pass();
    let before = look_all(&source, &USERS);
    let messages: usize =
        before.values().flat_map(|mailbox| mailbox.values()).map(|folder| folder.messages.len()).sum();
    let acts = acts.load(Ordering::Relaxed);
    assert!(messages > 100 && acts > 50, "{messages} messages, {acts} acts");
    eprintln!("{acts} acts, {messages} messages: {:?}", compare_all(&before, &target, &Told::default()));
    world.report("verify --archive {}/archive --to {}/new.toml", &[0]);

    // The source is quiet now: nothing is left to do.
    let (_, said) = world.report("export --from {}/old.toml --archive {}/archive", &[0]);
    assert!(said.contains("0 of 2 accounts changed"), "{said}");
}
