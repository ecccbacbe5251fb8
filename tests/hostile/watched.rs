//! Every verb meets an archive that an enemy wrote: with its memory, its files and its folder watched.

use crate::sites::skip;
use crate::world::{World, contents, copy_tree};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What any verb may hold at its peak, KiB.
const MEMORY_KIB: u64 = 128 * 1024;
/// What may be on disk afterwards beside the archive, and what upkeep may add to it, bytes.
const DISK_BYTES: u64 = 4 << 20;
/// Largest file that a verb may write, in the blocks of 512 bytes of a shell's `ulimit`: whoever writes more is killed.
const FILE_BLOCKS: u64 = (64 << 20) / 512;

/// What measures memory; without it the rest is tested, and the test says so.
const TIME: &str = "/usr/bin/time";

/// Runs a verb with its memory and its files watched; its status and all it said.
pub fn watched(world: &World, line: &str) -> (i32, String) {
    let (root, report) = (world.root.to_str().unwrap(), world.path("memory"));
    let timed = Path::new(TIME).exists();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -f {FILE_BLOCKS} && exec \"$@\""), "sh"]);
    if timed {
        command.args([TIME, "-f", "%M", "-o"]).arg(&report);
    } else {
        skip(line, "without /usr/bin/time nobody tells the memory; the rest is tested");
    }
    command.arg(env!("CARGO_BIN_EXE_wagon")).args(line.split_whitespace().map(|word| word.replace("{}", root)));
    give_key(world, &mut command);
    let out = command.env("WAGON_CACHE_DIR", world.path("cache")).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    if timed {
        let report = fs::read_to_string(&report).unwrap();
        let held: u64 = report.lines().last().unwrap().trim().parse().unwrap();
        assert!(held < MEMORY_KIB, "{line}: {held} KiB");
    }
    (out.status.code().unwrap_or_else(|| panic!("{line}: {}\n{said}", out.status)), said)
}

/// The key of an archive that is encrypted.
fn give_key(world: &World, command: &mut Command) {
    let key = world.path("me.key");
    if key.exists() {
        command.env("WAGON_IDENTITY", key);
    }
}

pub fn names(dir: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// What may be in a world's folder after any verb.
pub fn known(world: &World) -> [PathBuf; 6] {
    ["archive", "cache", "me.key", "memory", "out", "target"].map(|name| world.path(name))
}

fn bytes_below(dir: &Path) -> u64 {
    contents(dir).values().map(|content| content.len() as u64).sum()
}

/// Every verb ends as it should, says one of the words, and leaves the disk alone.
pub fn each_verb(world: &World, what: &str, check: i32, import: i32, words: &[&str]) {
    let before = (contents(&world.path("archive")), names(world.root.parent().unwrap()));
    let mut all = String::new();
    for (line, statuses) in [
        ("check --archive {}/archive --read-data --verbose", vec![check]),
        ("check --archive {}/archive --sample", vec![0, 5]),
        ("import --archive {}/archive --to {}/target --verbose", vec![import]),
        ("verify --archive {}/archive --to {}/target", vec![0, 1, 5]),
        ("import --archive {}/archive --to {}/target --dry-run", vec![0, 1, 3]),
        ("ls --archive {}/archive", vec![0, 1]),
        ("find --archive {}/archive", vec![0, 1, 3]),
        ("diff --archive {}/archive 1 1", vec![0, 1]),
        ("show --archive {}/archive ann@h.example", vec![0, 1]),
        ("extract --archive {}/archive ann@h.example --output {}/out", vec![0, 1, 3]),
        ("export --from {}/empty --archive {}/archive --dry-run", vec![0, 1, 2, 3]),
        ("repair --archive {}/archive --dry-run", vec![0, 1, 5]),
    ] {
        let (status, said) = watched(world, line);
        assert!(statuses.contains(&status), "{what}: {line}: {status}, not {statuses:?}\n{said}");
        assert!(!said.contains("panicked") && !said.contains('\u{1b}'), "{what}: {line}\n{said}");
        if line.starts_with("check") || line.starts_with("import") {
            all += &said;
        }
    }
    for word in words {
        assert!(all.contains(word), "{what}: {word:?} is missing in:\n{all}");
    }
    upkeep(world, what, check);
    second_reader(world, what);
    let after = contents(&world.path("archive"));
    assert_eq!(after, before.0, "{what}: the archive changed");
    assert_eq!(names(world.root.parent().unwrap()), before.1, "{what}: something beside the test's folder");
    assert!(names(&world.root).iter().all(|path| known(world).contains(path)), "{what}: {:?}", names(&world.root));
    let dirs = ["target", "out", "cache"].map(|name| world.path(name));
    let bytes: u64 = dirs.iter().filter(|dir| dir.exists()).map(|dir| bytes_below(dir)).sum();
    assert!(bytes < DISK_BYTES, "{what}: {bytes} bytes on disk");
}

/// What changes an archive, each on a copy of it: ends with a word, adds little, and harms nothing that was whole.
fn upkeep(world: &World, what: &str, check: i32) {
    let (archive, copy) = (world.path("archive"), world.path("upkeep"));
    for line in [
        "protect --archive {}/upkeep",
        "repair --archive {}/upkeep",
        "prune --archive {}/upkeep --max-unused 0",
        "forget --archive {}/upkeep --keep-last 1 --prune",
        "forget --archive {}/upkeep 1",
        "repack --archive {}/upkeep",
    ] {
        copy_tree(&archive, &copy);
        let before = names(&world.root);
        let (status, said) = watched(world, line);
        assert!(matches!(status, 0 | 1 | 2 | 5), "{what}: {line}: {status}\n{said}");
        assert!(!said.contains("panicked") && !said.contains('\u{1b}'), "{what}: {line}\n{said}");
        let beside: Vec<_> = names(&world.root).difference(&before).cloned().collect();
        assert!(beside.iter().all(|path| path.ends_with("memory")), "{what}: {line}: {beside:?}");
        let left: Vec<_> =
            contents(&copy).into_keys().filter(|path| path.to_string_lossy().contains(".tmp-")).collect();
        assert!(left.is_empty(), "{what}: {line} left {left:?}");
        let (had, has) = (bytes_below(&archive), bytes_below(&copy));
        assert!(has < had + DISK_BYTES, "{what}: {line}: {had} bytes became {has}");
        if check == 0 && !line.ends_with(" 1") {
            let (status, said) = watched(world, "check --archive {}/upkeep --read-data");
            assert_eq!(status, 0, "{what}: after {line}\n{said}");
        }
        fs::remove_dir_all(&copy).unwrap();
    }
}

/// What the second reader may hold at its peak, KiB: an object of 32 MiB and a few copies of it, and Python.
const PYTHON_KIB: u64 = 512 * 1024;
/// Seconds of processor that it may take for one of these archives.
const PYTHON_SECONDS: f64 = 60.0;

/// The second implementation, format-spec/reader, is as careful: it ends with a word and not with a traceback, in bounded
/// time and memory, and writes nowhere but where it was told to.
fn second_reader(world: &World, what: &str) {
    let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let needed: &[&str] = if world.path("me.key").exists() { &["python3", "age"] } else { &["python3"] };
    if !Path::new(TIME).exists() || !needed.iter().all(|program| is_there(program)) {
        return skip(what, "python3, age or /usr/bin/time is not here: the second reader was not given it");
    }
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec/reader");
    let (root, report) = (world.root.to_str().unwrap(), world.path("memory"));
    for line in [
        "wagon_restore.py check {}/archive",
        "wagon_restore.py restore {}/archive latest {}/target/second",
        "wagon_read.py {}/archive latest ann@h.example {}/out",
        "wagon_restore.py mend {}/archive {}/target/mended",
    ] {
        fs::create_dir_all(world.path("target")).unwrap();
        let mut words = line.split_whitespace().map(|word| word.replace("{}", root));
        let mut command = Command::new(TIME);
        command
            .args(["-f", "%M %U", "-o"])
            .arg(&report)
            .args(["python3", "-B"])
            .arg(reader.join(words.next().unwrap()));
        give_key(world, &mut command);
        let out = command.args(words).current_dir(&world.root).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(matches!(out.status.code(), Some(0 | 1)), "{what}: {line}: {:?}\n{said}", out.status);
        assert!(!said.contains("Traceback") && !said.contains('\u{1b}'), "{what}: {line}\n{said}");
        let figures = fs::read_to_string(&report).unwrap();
        let (held, seconds) = figures.lines().last().unwrap().split_once(' ').unwrap();
        assert!(held.parse::<u64>().unwrap() < PYTHON_KIB, "{what}: {line}: {held} KiB");
        assert!(seconds.parse::<f64>().unwrap() < PYTHON_SECONDS, "{what}: {line}: {seconds} s");
    }
}
