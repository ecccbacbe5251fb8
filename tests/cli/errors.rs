use crate::wagon::{Wagon, snapshot};
use stationwagon::fs::{Fs, RealFs};
use std::process::Stdio;

#[test]
fn a_wrong_command_line_is_status_2_and_nothing_happens() {
    let wagon = Wagon::exported();
    let lines = [
        "exprot --from source",
        "export --from source",
        "import --archive archive --to target --delete --additive",
        "import --archive archive --to target --since yesterday",
        "import --archive archive --to target --owner vmail",
        "export --from imap:host --archive archive",
        "export --from source --archive archive --account '[a'",
        "find --archive archive --account '[a'",
        "diff --archive archive",
        "show --archive archive --snapshot first",
        "extract --archive archive ann@station.example --output -",
        "extract --archive archive ann@station.example --output - --dry-run",
        "verify --archive archive --to source",
        "shares fix --site source",
        "map show",
    ];
    let mut text = String::new();
    for line in lines {
        let seen = wagon.run(line);
        assert_eq!(seen.status, 2, "{line}: {}", seen.err);
        assert_eq!(seen.out, "", "{line}");
        text.push_str(&format!("$ wagon {line}\n{}\n", seen.err));
    }
    snapshot("usage_errors", &text);
    assert!(!wagon.path("target").join("mail").exists());
}

#[test]
fn what_cannot_be_is_said_with_its_cause_and_a_hint() {
    let wagon = Wagon::exported();
    std::fs::create_dir(wagon.path("empty")).unwrap();
    std::fs::create_dir(wagon.path("newer")).unwrap();
    std::fs::write(wagon.path("newer/wagon.json"), r#"{"archive":"wagon","format":9,"id":"a","created":0}"#).unwrap();
    std::fs::write(wagon.path("map.sqlite"), "no database, but long enough to be taken for something").unwrap();
    let lines = [
        "ls --archive empty",
        "ls --archive missing",
        "ls --archive newer",
        "ls --archive archive nobody@station.example",
        "ls --archive archive ann@station.example:Nowhere",
        "ls --archive archive --snapshot 7",
        "ls --archive archive --source other",
        "show --archive archive nothing",
        "extract --archive archive ann@station.example --output source",
        "export --from empty --archive archive",
        "export --from missing --archive archive",
        "map show map.sqlite",
        "map show missing.sqlite",
        "shares check --site missing",
    ];
    let mut text = String::new();
    for line in lines {
        let seen = wagon.run(line);
        assert_eq!((seen.status, seen.out.as_str()), (1, ""), "{line}: {}", seen.err);
        text.push_str(&format!("$ wagon {line}\n{}\n", seen.err));
    }
    snapshot("errors", &text);
}

#[test]
fn an_archive_in_use_is_status_6() {
    let wagon = Wagon::exported();
    let archive = stationwagon::archive::Archive::open(wagon.fs(), &wagon.path("archive")).unwrap();
    let _lock = archive.lock("the other one", 0).unwrap();
    let seen = wagon.run("export --from source --archive archive");
    assert_eq!(seen.status, 6);
    assert!(seen.err.contains("in use by the other one") && seen.err.contains("since 1970"), "{}", seen.err);
    assert_eq!(wagon.run("ls --archive archive").status, 0, "reading needs no lock");
}

#[test]
fn an_unreadable_item_is_status_3_and_named() {
    let wagon = Wagon::exported();
    let cur = wagon.path("source/mail/station.example/ann/Maildir/cur");
    // Root reads everything, but nobody reads what a name can not carry.
    std::os::unix::fs::symlink("/nowhere", cur.join("1700000000.M1P1.broken:2,S")).unwrap();
    let seen = wagon.run("export --from source --archive archive");
    assert_eq!(seen.status, 3, "{}{}", seen.out, seen.err);
    assert!(seen.err.contains("rejected ann@station.example:INBOX/1700000000.M1P1.broken"), "{}", seen.err);
    assert!(wagon.run("show --archive archive").out.contains("1700000000.M1P1.broken"));
}

#[test]
fn damage_is_status_5_and_named() {
    let wagon = Wagon::exported();
    assert_eq!(wagon.run("check --archive archive --read-data").status, 0);
    let packs = crate::wagon::files(&wagon.path("archive/packs"));
    let pack = wagon.path("archive/packs").join(&packs[0]);
    let mut bytes = RealFs.read(&pack, 1 << 30).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&pack, bytes).unwrap();
    let seen = wagon.run("check --archive archive --read-data");
    assert_eq!(seen.status, 5, "{}", seen.err);
    assert!(seen.out.contains(&packs[0]) && seen.out.contains("lost:"), "{}", seen.out);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let wagon = Wagon::exported();
    for line in ["find --archive archive", "ls --archive archive", "man", "completions bash"] {
        let mut child = wagon.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let seen = wagon.seen(&child.wait_with_output().unwrap());
        assert_eq!((seen.status, seen.err.contains("error")), (0, false), "{line}: {}", seen.err);
    }
}
