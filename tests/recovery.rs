//! format-spec/recovery.md is run as it stands: its shell blocks get every mailbox of the golden archives, and of an
//! archive with replaced snapshots, out by hand.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may fail, and looks at files as they are"
)]

mod sites;

use sites::{Place, digest, look, skip};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Programs that the page needs and a machine may lack.
const PROGRAMS: [&str; 5] = ["jq", "tar", "gzip", "base64", "sha256sum"];

fn missing_program() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|program| {
        let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        !version.is_ok_and(|status| status.success())
    })
}

/// The shell blocks of the page, with this archive and account in place of those that it names.
fn script(archive: &Path, account: &str, work: &Path) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec/recovery.md");
    let page = fs::read_to_string(page).unwrap();
    let mut blocks = String::from("set -eu\n");
    for block in page.split("```sh\n").skip(1) {
        blocks += block.split("```").next().unwrap();
    }
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let mut replaced = 0;
    let lines = blocks.lines().map(|line| {
        let with = match line {
            _ if line.starts_with("ARCHIVE=") => format!("ARCHIVE={}", quoted(archive.to_str().unwrap())),
            _ if line.starts_with("ACCOUNT=") => format!("ACCOUNT={}", quoted(account)),
            _ if line.starts_with("cd ") => format!("cd {}", quoted(work.to_str().unwrap())),
            _ => return line.to_owned(),
        };
        replaced += 1;
        with
    });
    let script = lines.collect::<Vec<_>>().join("\n");
    assert_eq!(replaced, 3);
    script
}

/// Path, hash and time of every file below a folder that is no control file of a server.
fn files(dir: &Path, strip: &Path, found: &mut BTreeSet<(String, [u8; 32], i64)>) {
    use std::os::unix::fs::MetadataExt;
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, strip, found);
        } else {
            let name = path.strip_prefix(strip).unwrap().to_str().unwrap().to_owned();
            found.insert((name, digest(&fs::read(&path).unwrap()), path.metadata().unwrap().mtime()));
        }
    }
}

/// Gets the mailbox of each account out of the archive by the page, and compares it with what wagon imports.
fn every_mailbox_comes_out(archive: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    place.wagon(0, &format!("import --archive {} --to {{}}/target", archive.display()));
    let target = look(&place.path("target"));
    let accounts: BTreeSet<_> = target.messages.iter().map(|message| message.account.clone()).collect();
    assert!(!accounts.is_empty());
    for account in accounts {
        let (domain, user) = account.split_once('/').unwrap();
        let work = place.path(&format!("by-hand/{account}"));
        fs::create_dir_all(&work).unwrap();
        let out = Command::new("sh")
            .arg("-c")
            .arg(script(archive, &format!("{user}@{domain}"), &work))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && said.is_empty(), "{account}: {said}");

        let mut found = BTreeSet::new();
        files(&work.join("mailbox/mail"), &work.join("mailbox/mail"), &mut found);
        let mails: BTreeSet<_> = found
            .iter()
            .map(|(path, content, date)| {
                let (folder, name) = path.rsplit_once("/cur/").unwrap();
                let (base, letters) = name.rsplit_once(":2,").unwrap();
                let flags: Vec<_> = letters.chars().map(|letter| letter.to_string()).collect();
                (folder.to_owned(), base.to_owned(), *content, *date, flags)
            })
            .collect();
        let wanted: BTreeSet<_> = target
            .messages
            .iter()
            .filter(|message| message.account == account)
            .map(|message| {
                let flags = message.flags.iter().filter(|flag| flag.len() == 1).cloned().collect::<Vec<_>>();
                (folder_path(&message.folder), message.name.clone(), message.content, message.date, flags)
            })
            .collect();
        assert!(mails == wanted, "{account}: {:#?}", mails.symmetric_difference(&wanted).collect::<Vec<_>>());

        // Everything else, by content: collections lie under their kind, scripts without an ending.
        let mut others = BTreeSet::new();
        for kind in ["calendars", "contacts", "tasks", "files", "filters"] {
            files(&work.join("mailbox").join(kind), &work.join("mailbox"), &mut others);
        }
        let contents = |all: Vec<([u8; 32], i64)>| all.into_iter().collect::<BTreeSet<_>>();
        let here = contents(others.into_iter().map(|(_, content, date)| (content, date)).collect());
        let (dav, sieve) = (format!("dav/{account}/"), format!("mail/{account}/sieve/"));
        let is_item = |path: &str| {
            (path.starts_with(&dav) || path.starts_with(&sieve))
                && !["/displayname", "/color", "/description", "/order"].iter().any(|end| path.ends_with(end))
        };
        let there = target.files.iter().filter(|(path, _)| is_item(path));
        assert_eq!(here, contents(there.map(|(_, (content, date))| (digest(content), *date)).collect()), "{account}");
    }
}

/// A folder as Maildir++ spells it on disk, by its path.
fn folder_path(on_disk: &str) -> String {
    let levels = on_disk.split('.').map(|level| stationwagon::site::directory::maildir::mutf7::decode(level).unwrap());
    levels.collect::<Vec<_>>().join("/")
}

/// Each file of an encrypted archive by the stock `age`, under its name without `.age`; `false` without that program.
fn decrypt(archive: &Path, to: &Path) -> bool {
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/keys/golden.key");
    let line = "cd \"$1\" && find packs index snapshots -name '*.age' | while read -r file; do
        mkdir -p \"$2/${file%/*}\" && age -d -i \"$3\" \"$file\" > \"$2/${file%.age}\" || exit 1; done";
    if Command::new("age").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        return false;
    }
    let status = Command::new("sh").args(["-c", line, "sh"]).args([archive, to, &key]).status().unwrap();
    assert!(status.success());
    // What is left is an archive that was never encrypted.
    fs::write(to.join("wagon.json"), r#"{"archive":"wagon","format":1,"id":"golden","created":0}"#).unwrap();
    true
}

#[test]
fn every_mailbox_of_the_golden_archives_comes_out_by_hand() {
    if let Some(program) = missing_program() {
        return skip("every mailbox comes out by hand", &format!("{program} is missing"));
    }
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/archives")).unwrap() {
        let archive: PathBuf = entry.unwrap().path();
        if !archive.is_dir() {
            continue;
        }
        let decrypted = tempfile::tempdir().unwrap();
        match fs::read_to_string(archive.join("wagon.json")).unwrap().contains("\"encryption\"") {
            false => every_mailbox_comes_out(&archive),
            true if decrypt(&archive, decrypted.path()) => every_mailbox_comes_out(decrypted.path()),
            true => skip("every mailbox of an encrypted archive comes out by hand", "the program age is missing"),
        }
    }
}

#[test]
fn every_mailbox_of_an_archive_with_replaced_snapshots_comes_out_by_hand() {
    if let Some(program) = missing_program() {
        return skip("every mailbox comes out by hand", &format!("{program} is missing"));
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    place.wagon(0, "demo {}/demo");
    place.wagon(0, "forget --archive {}/demo/archive 1");
    every_mailbox_comes_out(&place.path("demo/archive"));
}
