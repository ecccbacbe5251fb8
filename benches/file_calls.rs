//! Ways of making and of listing the files of a Maildir, beside the ways that `fs::RealFs` and the directory target have:
//! `cargo bench --bench file_calls`. What they gave, and why the others were not taken: docs/measurements.md.
//!
//! Files are made in a new folder each time and removed at the very end: those removed a moment ago slow the next ones.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench ends where what it set up does not work")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, RenameFlags, StatxFlags};
use stationwagon::fs::{Fs as _, RealFs};
use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

/// Files of a folder, and bytes of each: about a message without its attachments.
const FILES: usize = 1000;
const FILE_BYTES: usize = 8 * 1024;

/// New Maildirs in one temporary folder.
struct Maildirs {
    root: tempfile::TempDir,
    made: usize,
}

impl Maildirs {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), made: 0 }
    }

    fn next(&mut self) -> PathBuf {
        self.made += 1;
        let maildir = self.root.path().join(self.made.to_string());
        ["tmp", "cur"].iter().for_each(|sub| std::fs::create_dir_all(maildir.join(sub)).unwrap());
        maildir
    }
}

fn name(at: usize) -> String {
    format!("17{at:08}.M{at}P1.store1,S={FILE_BYTES},W={FILE_BYTES}:2,S")
}

fn folder(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// Whole paths: a file in `tmp`, written, dated, renamed into `cur`. What an import does.
fn by_path(maildir: &Path, bytes: &[u8]) {
    for at in 0..FILES {
        let name = name(at);
        let mut file = RealFs.create_new(&maildir.join("tmp").join(&name)).unwrap();
        file.write_all(bytes).unwrap();
        file.set_mtime(1_700_000_000).unwrap();
        let temporary = file.keep();
        RealFs.rename_new(&temporary, &maildir.join("cur").join(&name)).unwrap();
    }
}

/// The same relative to open folders.
fn by_handle(maildir: &Path, bytes: &[u8]) {
    let (tmp, cur) = (folder(&maildir.join("tmp")), folder(&maildir.join("cur")));
    for at in 0..FILES {
        let name = name(at);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(&tmp, &name, flags, Mode::RUSR | Mode::WUSR).unwrap());
        file.write_all(bytes).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000)).unwrap();
        rustix::fs::renameat_with(&tmp, &name, &cur, &name, RenameFlags::NOREPLACE).unwrap();
    }
}

/// A file without a name that gets one when it is whole.
fn nameless(maildir: &Path, bytes: &[u8]) {
    let cur = folder(&maildir.join("cur"));
    for at in 0..FILES {
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&cur, ".", flags, Mode::RUSR | Mode::WUSR).unwrap();
        let mut file = File::from(fd);
        file.write_all(bytes).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000)).unwrap();
        let of_process = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        rustix::fs::linkat(CWD, of_process, &cur, name(at), AtFlags::SYMLINK_FOLLOW).unwrap();
    }
}

/// Under the last name at once, undated: less than any way that keeps Maildir's promise can cost.
fn at_once(maildir: &Path, bytes: &[u8]) {
    for at in 0..FILES {
        File::create_new(maildir.join("cur").join(name(at))).unwrap().write_all(bytes).unwrap();
    }
}

fn making(bench: &mut Criterion) {
    let bytes = vec![b'x'; FILE_BYTES];
    let mut maildirs = Maildirs::new();
    let mut group = bench.benchmark_group("make");
    group.sample_size(20);
    group.throughput(Throughput::Elements(FILES as u64));
    type Way = fn(&Path, &[u8]);
    let ways: [(&str, Way); 4] = [
        ("by path, dated, renamed", by_path),
        ("by folder handles, dated, renamed", by_handle),
        ("without a name, dated, linked", nameless),
        ("under the last name at once, undated", at_once),
    ];
    for (what, way) in ways {
        group.bench_function(what, |bench| {
            bench.iter_batched(|| maildirs.next(), |maildir| way(&maildir, black_box(&bytes)), BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn listing(bench: &mut Criterion) {
    let mut maildirs = Maildirs::new();
    let maildir = maildirs.next();
    by_path(&maildir, b"x");
    let cur = maildir.join("cur");
    let getdents = |then: &mut dyn FnMut(&OwnedFd, &std::ffi::CStr)| {
        let mut buffer = vec![MaybeUninit::uninit(); 64 * 1024];
        let handle = folder(&cur);
        let mut entries = RawDir::new(&handle, &mut buffer);
        let mut count = 0;
        while let Some(entry) = entries.next() {
            then(&handle, entry.unwrap().file_name());
            count += 1;
        }
        assert_eq!(count, FILES + 2);
    };
    let mut group = bench.benchmark_group("list");
    group.throughput(Throughput::Elements(FILES as u64));
    group.bench_function("RealFs::list", |bench| bench.iter(|| assert_eq!(RealFs.list(&cur).unwrap().len(), FILES)));
    group.bench_function("getdents64 into 64 KiB", |bench| {
        bench.iter(|| {
            getdents(&mut |_, name| {
                black_box(name);
            })
        })
    });
    group.bench_function("getdents64 and statx of each", |bench| {
        bench.iter(|| {
            getdents(&mut |handle, name| {
                black_box(rustix::fs::statx(handle, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS).unwrap());
            });
        });
    });
    group.finish();
}

criterion_group!(calls, making, listing);
criterion_main!(calls);
