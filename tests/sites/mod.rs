//! Runs the real binary on real folders, and looks at a site as a person with a shell would: without any code of wagon's
//! connector, so that the two cannot be wrong together.

#![allow(clippy::disallowed_methods, reason = "a test looks at files as they are")]
#![allow(dead_code, reason = "each test program uses its part of this")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Says that a test was skipped, past the capture of the test runner, so that nobody takes silence for success.
pub fn skip(test: &str, why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}

/// A folder with a source, an archive and a target, and a cache of its own.
pub struct Place {
    pub root: PathBuf,
}

impl Place {
    /// Takes a folder that exists.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Runs `wagon`; `{}` in an argument stands for the folder.
    pub fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// The same, to be run with something else.
    pub fn command(&self, line: &str) -> Command {
        let root = self.root.to_str().unwrap();
        let arguments = line.split_whitespace().map(|argument| argument.replace("{}", root));
        let mut command = Command::new(env!("CARGO_BIN_EXE_wagon"));
        command
            .args(arguments)
            .env("WAGON_CACHE_DIR", self.path("cache"))
            .env_remove("WAGON_ARCHIVE")
            .stdin(Stdio::null());
        command
    }

    /// Runs `wagon`, which must end with `status`; returns what it wrote to standard output.
    pub fn wagon(&self, status: i32, line: &str) -> String {
        let out = self.run(line);
        let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert_eq!(out.status.code(), Some(status), "wagon {line}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        stdout.into_owned()
    }

    /// Runs `wagon`, which must end with one of `statuses`; the most memory that it held, KiB, and all that it said. Where
    /// nobody can tell the memory it is 0.
    pub fn peak(&self, statuses: &[i32], line: &str) -> (u64, String) {
        let report = self.path("memory");
        let time = Path::new("/usr/bin/time");
        let out = if time.exists() {
            let mut command = Command::new(time);
            command.args(["-q", "-f", "%M", "-o"]).arg(&report).arg(env!("CARGO_BIN_EXE_wagon"));
            command.args(line.split_whitespace().map(|word| word.replace("{}", self.root.to_str().unwrap())));
            command.env("WAGON_CACHE_DIR", self.path("cache")).env_remove("WAGON_ARCHIVE");
            command.stdin(Stdio::null()).output().unwrap()
        } else {
            skip(line, "without /usr/bin/time nobody tells the memory; the rest is tested");
            fs::write(&report, "0").unwrap();
            self.run(line)
        };
        let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
        let status = out.status.code().unwrap_or(-1);
        assert!(statuses.contains(&status), "wagon {line}: status {status}\n{said}");
        (fs::read_to_string(report).unwrap().trim().parse().unwrap(), said.into_owned())
    }
}

/// What a site holds, in a form that two sites can be compared by.
#[derive(Debug, Default)]
pub struct Seen {
    pub messages: Vec<Message>,
    /// Path below the root → content and time, of calendar items, contacts and scripts.
    pub files: BTreeMap<String, (Vec<u8>, i64)>,
    /// One fact a line: subscriptions, access lists, passwd lines, alias lines, active scripts, folders.
    pub facts: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    pub account: String,
    pub folder: String,
    pub name: String,
    pub content: [u8; 32],
    pub date: i64,
    /// Flag letters, then names of keywords.
    pub flags: Vec<String>,
    pub uid: Option<u32>,
}

/// Looks at everything below `site`.
pub fn look(site: &Path) -> Seen {
    let mut seen = Seen::default();
    for home in two_levels(&site.join("mail")) {
        let account = home.strip_prefix(site.join("mail")).unwrap().to_string_lossy().into_owned();
        look_at_maildir(&account, &home.join("Maildir"), &mut seen);
        files_below(site, &home.join("sieve"), &mut seen.files);
        if let Ok(active) = fs::read_link(home.join(".dovecot.sieve")) {
            let name = active.file_name().unwrap_or_default().to_string_lossy().into_owned();
            seen.facts.insert(format!("{account}: active script {name}"));
        }
    }
    files_below(site, &site.join("dav"), &mut seen.files);
    lines_of(site, "etc/passwd", |line| {
        seen.facts.insert(format!("passwd {}", passwd_fact(&line)));
    });
    lines_of(site, "etc/virtual_domains", |line| {
        seen.facts.insert(format!("domain {}", line.split_whitespace().next().unwrap()));
    });
    let mut logical: Vec<String> = Vec::new();
    lines_of(site, "etc/virtual_alias", |line| match logical.last_mut() {
        Some(above) if line.starts_with([' ', '\t']) => *above += &line,
        _ => logical.push(line),
    });
    for line in logical {
        let words: Vec<_> = line.split([' ', '\t', ',']).filter(|word| !word.is_empty()).collect();
        // An account beneath a catch-all needs a line of its own; whether it stands there is the server's affair.
        if words.len() != 2 || words[0] != words[1] {
            seen.facts.insert(format!("alias {}", words.join(" ")));
        }
    }
    seen.messages.sort();
    seen
}

fn look_at_maildir(account: &str, maildir: &Path, seen: &mut Seen) {
    for dir in subdirs(maildir).into_iter().chain([maildir.to_owned()]) {
        let disk_name = if dir == maildir { "INBOX".into() } else { dir.file_name().unwrap().to_owned() };
        if !dir.join("cur").is_dir() || !(dir == maildir || disk_name.as_bytes().starts_with(b".")) {
            continue;
        }
        let folder = disk_name.to_string_lossy().trim_start_matches('.').to_owned();
        seen.facts.insert(format!("{account}: folder {folder}"));
        let uids = uids_of(&dir);
        let keywords = keywords_of(&dir);
        for entry in ["new", "cur"].iter().flat_map(|sub| files_in(&dir.join(sub))) {
            let (name, info) = split_name(entry.file_name().unwrap());
            let mut flags: Vec<_> = info
                .bytes()
                .filter_map(|letter| match letter {
                    b'a'..=b'z' => keywords.get(&u32::from(letter - b'a')).cloned(),
                    _ => Some(char::from(letter).to_string()),
                })
                .collect();
            flags.sort();
            flags.dedup();
            seen.messages.push(Message {
                account: account.to_owned(),
                folder: folder.clone(),
                content: digest(&fs::read(&entry).unwrap()),
                date: entry.metadata().unwrap().mtime(),
                flags,
                uid: uids.get(&name).copied(),
                name,
            });
        }
        // Several lines for one grantee count together in Dovecot.
        let mut rights_of: BTreeMap<String, BTreeSet<char>> = BTreeMap::new();
        lines_of(&dir, "dovecot-acl", |line| {
            let (who, rights) = line.rsplit_once(' ').unwrap_or((&line, ""));
            // Dovecot takes both for everybody who has logged in.
            rights_of.entry(who.replace("anyone", "authenticated")).or_default().extend(rights.chars());
        });
        for (who, letters) in rights_of {
            let letters: String = letters.into_iter().collect();
            seen.facts.insert(format!("{account}: {folder} open to {who} {letters}"));
        }
    }
    lines_of(maildir, "subscriptions", |line| {
        let folder = line.replace('\t', ".");
        // Also one to a folder that is gone, or in another mailbox.
        if !matches!(line.as_str(), "" | "V\t2") {
            seen.facts.insert(format!("{account}: subscribed {folder}"));
        }
    });
}

/// A Maildir file name as its base and its flags. A message in `new` has none.
fn split_name(name: &OsStr) -> (String, String) {
    let name = name.to_string_lossy();
    let (base, info) = name.rsplit_once(":2,").unwrap_or((&name, ""));
    (base.to_owned(), info.to_owned())
}

/// Base name → content, of the messages in one folder.
pub fn files_of_folder(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = ["new", "cur"].iter().flat_map(|sub| files_in(&dir.join(sub)));
    files.map(|file| (split_name(file.file_name().unwrap()).0, fs::read(&file).unwrap())).collect()
}

/// Base name → UID. The uidlist may leave out what stands behind a comma.
fn uids_of(dir: &Path) -> BTreeMap<String, u32> {
    let mut uids = BTreeMap::new();
    lines_of(dir, "dovecot-uidlist", |line| {
        if let (Some((uid, _)), Some((_, name))) = (line.split_once(' '), line.split_once(" :")) {
            uids.insert(name.split(":2,").next().unwrap().to_owned(), uid.parse().unwrap());
        }
    });
    uids
}

fn keywords_of(dir: &Path) -> BTreeMap<u32, String> {
    let mut keywords = BTreeMap::new();
    lines_of(dir, "dovecot-keywords", |line| {
        if let Some((number, word)) = line.split_once(' ') {
            keywords.insert(number.parse().unwrap(), word.to_owned());
        }
    });
    keywords
}

/// A passwd line with its extra fields in a fixed order; what stands empty may as well be missing.
fn passwd_fact(line: &str) -> String {
    let mut columns: Vec<_> = line.splitn(8, ':').map(str::to_owned).collect();
    columns.resize(8, String::new());
    let mut extra: Vec<_> = columns[7].split_whitespace().map(str::to_owned).collect();
    extra.sort();
    columns[7] = extra.join(" ");
    columns.join(":")
}

fn lines_of(dir: &Path, name: &str, mut each: impl FnMut(String)) {
    let Ok(bytes) = fs::read(dir.join(name)) else { return };
    for line in bytes.split(|&byte| byte == b'\n') {
        let line = String::from_utf8_lossy(line).into_owned();
        if !line.trim().is_empty() && !line.starts_with('#') {
            each(line);
        }
    }
}

fn files_below(site: &Path, dir: &Path, files: &mut BTreeMap<String, (Vec<u8>, i64)>) {
    for file in files_in(dir) {
        let name = file.strip_prefix(site).unwrap().to_string_lossy().into_owned();
        let hidden = file.file_name().unwrap().as_bytes().starts_with(b".");
        let (mut content, mut time) = (fs::read(&file).unwrap(), file.metadata().unwrap().mtime());
        if ["/displayname", "/color", "/description", "/order"].iter().any(|end| name.ends_with(end)) {
            // What a collection is called is no item: its time means nothing, nor does the white space around it.
            (content, time) = (content.trim_ascii().to_vec(), 0);
        }
        if !hidden {
            files.insert(name, (content, time));
        }
    }
    subdirs(dir).iter().for_each(|sub| files_below(site, sub, files));
}

fn subdirs(dir: &Path) -> Vec<PathBuf> {
    entries(dir).into_iter().filter(|path| path.is_dir() && !path.is_symlink()).collect()
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    entries(dir).into_iter().filter(|path| path.is_file()).collect()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn two_levels(dir: &Path) -> Vec<PathBuf> {
    subdirs(dir).iter().flat_map(|sub| subdirs(sub)).collect()
}

pub fn digest(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

/// What is in one and not in the other, in words; empty when both hold the same. Names of messages are compared only
/// where the source has no other message of that name in the account.
pub fn differences(source: &Seen, target: &Seen, names: Names) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = BTreeMap::<_, u32>::new();
    for message in &source.messages {
        *seen.entry((&message.account, &message.name)).or_default() += 1;
    }
    let twice: BTreeSet<_> = seen.into_iter().filter(|(_, count)| *count > 1).map(|(key, _)| key).collect();
    let known: BTreeSet<_> = source.messages.iter().map(|one| (&one.account, &one.folder, one.uid)).collect();
    let strip = |message: &Message| {
        let mut message = message.clone();
        // A message that no server has listed on the source may get a UID on the target.
        if !known.contains(&(&message.account, &message.folder, message.uid)) {
            message.uid = None;
        }
        if twice.contains(&(&message.account, &message.name)) {
            message.name.clear();
        }
        if names == Names::MayDiffer {
            (message.uid, message.name) = (None, String::new());
        }
        message
    };
    let count = |seen: &Seen, counted: &mut BTreeMap<Message, i64>, step: i64| {
        for message in &seen.messages {
            *counted.entry(strip(message)).or_default() += step;
        }
    };
    let mut counted = BTreeMap::new();
    count(source, &mut counted, 1);
    count(target, &mut counted, -1);
    for (message, count) in counted.into_iter().filter(|(_, count)| *count != 0) {
        let Message { account, folder, name, date, flags, uid, .. } = &message;
        let side = if count > 0 { "source" } else { "target" };
        found.push(format!("only in {side}: {account} {folder}/{name} {flags:?} uid {uid:?} date {date}"));
    }
    for (name, (content, time)) in &source.files {
        match target.files.get(name) {
            None => found.push(format!("only in source: {name}")),
            Some((other, _)) if other != content => found.push(format!("other content: {name}")),
            Some((_, other)) if other != time => found.push(format!("time {time} became {other}: {name}")),
            Some(_) => {}
        }
    }
    found.extend(
        target
            .files
            .keys()
            .filter(|name| !source.files.contains_key(*name))
            .map(|name| format!("only in target: {name}")),
    );
    found.extend(source.facts.difference(&target.facts).map(|fact| format!("only in source: {fact}")));
    found.extend(target.facts.difference(&source.facts).map(|fact| format!("only in target: {fact}")));
    found
}

/// Whether file names and UIDs are compared. After a move on the source they may differ: the server there gave it new
/// ones, the target's copy was moved under its own name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Names {
    Kept,
    MayDiffer,
}

/// Fails with the first differences, but for those that have `known` in them.
pub fn assert_same(source: &Path, target: &Path, names: Names, known: &[&str]) {
    let mut found = differences(&look(source), &look(target), names);
    found.retain(|line| !known.iter().any(|known| line.contains(known)));
    let shown: Vec<_> = found.iter().take(30).map(String::as_str).collect();
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), shown.join("\n"));
}

/// The lines that begin with `wagon` in blocks marked as `sh`.
pub fn commands(markdown: &str) -> Vec<String> {
    let blocks = markdown.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("wagon ")).map(str::to_owned).collect()
}
