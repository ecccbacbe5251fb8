//! A disk as the system has it, under the real program: a file system that is frozen meanwhile, that an administrator
//! mounts read-only, that the kernel makes read-only because of an error. The same command again completes.
//!
//! Works on an ext4 of its own in a file; needs root, loop devices and the tools for ext4, and says so where they are not.

use crate::disk::Dice;
use crate::every_operation::{say, seed};
use crate::kills::{command, command_of, complete};
use crate::sites::skip;
use crate::steps::STEPS;
use crate::story::{Story, copy, remove};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Each step that is disturbed, and the folder that lies on the disk.
const DISTURBED: [(&str, &str); 4] =
    [("second export", "archive"), ("first import", "target"), ("repack", "archive"), ("shares fix", "target")];

/// An ext4 of its own in the place of one of the story's folders.
struct Mounted {
    image: PathBuf,
    at: PathBuf,
}

fn works(program: &str, arguments: &[&str], path: &Path) -> bool {
    let out = Command::new(program).args(arguments).arg(path).stdin(Stdio::null()).output();
    out.is_ok_and(|out| out.status.success())
}

impl Mounted {
    /// `None`, and said so, where this machine has no such thing.
    fn over(story: &Story, folder: &str, test: &str) -> Option<Self> {
        let disk = Self { image: story.beside("disk"), at: story.path(folder) };
        fs::File::create(&disk.image).unwrap().set_len(64 << 20).unwrap();
        remove(&disk.at);
        fs::create_dir(&disk.at).unwrap();
        if !works("mkfs.ext4", &["-q", "-F"], &disk.image) || !disk.mount() {
            skip(test, "an ext4 in a file can be mounted by root only, where there are loop devices and mkfs.ext4");
            return None;
        }
        Some(disk)
    }

    fn mount(&self) -> bool {
        let mounted =
            Command::new("mount").args(["-o", "loop,errors=remount-ro"]).arg(&self.image).arg(&self.at).output();
        let mounted = mounted.is_ok_and(|out| out.status.success());
        drop(fs::remove_dir(self.at.join("lost+found")));
        mounted
    }

    /// Empties it, and fills it with what was there before a step.
    fn fill(&self, from: &Path) {
        fs::read_dir(&self.at).unwrap().for_each(|entry| remove(&entry.unwrap().path()));
        copy(from, &self.at);
        // What was there before the run is on the disk.
        assert!(works("sync", &["--file-system"], &self.at));
    }

    fn freeze(&self) {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        // Never any other.
        assert!(mounts.lines().any(|line| line.split(' ').nth(1) == self.at.to_str()), "{mounts}");
        assert!(works("fsfreeze", &["--freeze"], &self.at));
    }

    fn thaw(&self) -> bool {
        works("fsfreeze", &["--unfreeze"], &self.at)
    }

    fn remount(&self, how: &str) -> bool {
        works("mount", &["-o", &format!("remount,{how}")], &self.at)
    }

    /// Where the kernel lets itself be told of an error on this disk.
    fn trigger(&self) -> Option<PathBuf> {
        let out = Command::new("findmnt").args(["-no", "SOURCE"]).arg(&self.at).output().ok()?;
        let device = String::from_utf8_lossy(&out.stdout).trim().strip_prefix("/dev/")?.to_owned();
        Some(Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error")).filter(|path| path.exists())
    }

    /// As after a reboot: checked, mended, mounted again.
    fn mend(&self) {
        assert!(works("umount", &[], &self.at));
        let out = Command::new("e2fsck").args(["-f", "-y"]).arg(&self.image).output().unwrap();
        assert!(matches!(out.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&out.stdout));
        assert!(self.mount());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.thaw();
        works("umount", &["--lazy"], &self.at);
    }
}

fn step(name: &str) -> usize {
    STEPS.iter().position(|(other, ..)| *other == name).unwrap()
}

/// Runs each step so many times on such a disk; `disturb` is called at a moment that chance chooses, and waits for the
/// program's end.
fn on_a_disk(test: &str, times: u64, disturb: impl Fn(&Mounted, Child, &mut Dice) -> Option<i32>) {
    let story = Story::told();
    let mut dice = Dice(seed());
    let mut ends = Vec::new();
    for (name, folder) in DISTURBED {
        let step = step(name);
        story.go_back(step);
        let Some(disk) = Mounted::over(&story, folder, test) else { return };
        let prepare = || {
            disk.fill(&story.kept(step).join(folder));
            remove(&story.path("cache"));
        };
        prepare();
        let began = Instant::now();
        complete(&story, step, name);
        let lasts = began.elapsed();
        for run in 0..times {
            prepare();
            fs::create_dir_all(story.path("cache")).unwrap();
            let after = Duration::from_micros(dice.roll(lasts.as_micros() as u64));
            let child = command(&story, &command_of(STEPS[step].2)).stderr(Stdio::piped()).spawn().unwrap();
            std::thread::sleep(after);
            let end = disturb(&disk, child, &mut dice);
            ends.push(end);
            complete(&story, step, &format!("{test}: run {run} of {name}, after {after:?}, status {end:?}"));
        }
        drop(disk);
    }
    let undisturbed = ends.iter().filter(|end| **end == Some(0)).count();
    say(&format!("faults: {test}: {} runs, {undisturbed} came to their end", ends.len()));
}

/// The end of a program that was not killed, which must be one of those that it has.
fn ended(child: Child) -> Option<i32> {
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(matches!(out.status.code(), Some(0 | 1 | 3)), "{:?}: {said}", out.status);
    out.status.code()
}

#[test]
fn a_file_system_that_is_frozen_under_a_run_delays_it_or_it_is_killed_and_run_again() {
    on_a_disk("a frozen file system", 4, |disk, mut child, dice| {
        disk.freeze();
        std::thread::sleep(Duration::from_millis(30));
        let killed = dice.roll(2) == 0;
        if killed {
            child.kill().unwrap();
        }
        assert!(disk.thaw());
        if killed {
            return child.wait().unwrap().code();
        }
        let end = ended(child);
        assert_eq!(end, Some(0), "a wait is all it costs");
        end
    });
}

#[test]
fn a_file_system_that_is_mounted_read_only_under_a_run_ends_it_and_once_it_is_writable_the_same_command_completes() {
    on_a_disk("a file system mounted read-only", 4, |disk, mut child, _| {
        // Refused while a file is open for writing.
        let mut is_over = || child.try_wait().unwrap().is_some();
        while !is_over() && !disk.remount("ro") {}
        let end = ended(child);
        disk.remount("rw");
        end
    });
}

#[test]
fn a_disk_that_the_kernel_gives_up_ends_a_run_and_once_it_is_mended_the_same_command_completes() {
    on_a_disk("a file system with an error", 4, |disk, child, _| {
        let Some(trigger) = disk.trigger() else {
            skip("a file system with an error", "this kernel cannot be told of one");
            return ended(child);
        };
        fs::write(trigger, "1").unwrap();
        let end = ended(child);
        disk.mend();
        end
    });
}
