//! What the options of a pass change, and how `verify` takes them.

use crate::wagon::{Wagon, files, snapshot};
use std::fs;
use std::path::{Path, PathBuf};

const ANN: &str = "station.example/ann/Maildir";

/// Files and folders in a folder of Ann's on `site`; folders with a slash.
fn ann(wagon: &Wagon, site: &str, below: &str) -> PathBuf {
    wagon.path(site).join("mail").join(ANN).join(below)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The first message of Ann's inbox on the source, as a file name.
fn first_message(wagon: &Wagon) -> String {
    names(&ann(wagon, "source", "cur")).remove(0)
}

fn has(wagon: &Wagon, folder: &str, message: &str) -> bool {
    let base = message.split(":2,").next().unwrap();
    names(&ann(wagon, "target", folder)).iter().any(|name| name.starts_with(base))
}

fn done(wagon: &Wagon, line: &str) -> String {
    let seen = wagon.run(line);
    assert_eq!(seen.status, 0, "wagon {line}\n{}{}", seen.out, seen.err);
    seen.out
}

fn make_folder(dir: &Path) {
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(dir.join(sub)).unwrap();
    }
}

#[test]
fn a_rehearsed_deletion_names_what_would_go_and_the_pass_then_removes_just_that() {
    let wagon = Wagon::exported();
    make_folder(&ann(&wagon, "source", ".Old"));
    done(&wagon, "export --from source --archive archive -q");
    done(&wagon, "import --archive archive --to target -q");
    let message = first_message(&wagon);
    fs::remove_file(ann(&wagon, "source", "cur").join(&message)).unwrap();
    fs::remove_dir_all(ann(&wagon, "source", ".Old")).unwrap();
    let passwd = fs::read_to_string(wagon.path("source/etc/passwd")).unwrap();
    let without: String =
        passwd.lines().filter(|line| !line.starts_with("room-1@")).map(|l| format!("{l}\n")).collect();
    fs::write(wagon.path("source/etc/passwd"), without).unwrap();
    fs::remove_dir_all(wagon.path("source/mail/station.example/room-1")).unwrap();
    fs::remove_dir_all(wagon.path("source/dav/station.example/room-1")).unwrap();
    done(&wagon, "export --from source --archive archive -q");

    let kept = done(&wagon, "import --archive archive --to target -q --dry-run");
    assert!(!kept.contains("removed, because"), "without --delete nothing goes: {kept}");
    let before = files(&wagon.path("target"));
    let rehearsed = done(&wagon, "import --archive archive --to target -q --delete --dry-run");
    assert_eq!(files(&wagon.path("target")), before, "a dry run removes nothing");
    let removed = |said: &str| {
        let (_, rest) =
            said.split_once("removed, because the source has it no more:\n").unwrap_or_else(|| panic!("{said}"));
        rest.split("\n\n").next().unwrap().trim_end().to_owned()
    };
    snapshot("import_delete", &removed(&rehearsed));
    let real = done(&wagon, "import --archive archive --to target -q --delete");
    assert_eq!(removed(&real), removed(&rehearsed));
    assert!(!has(&wagon, "cur", &message));
    assert!(!ann(&wagon, "target", ".Old").exists());
    assert!(!fs::read_to_string(wagon.path("target/etc/passwd")).unwrap().contains("room-1@"));
    done(&wagon, "verify --archive archive --to target -q");
    let again = done(&wagon, "import --archive archive --to target -q --delete");
    assert!(!again.contains("removed, because"), "nothing goes twice: {again}");
}

#[test]
fn an_empty_folder_renamed_on_the_source_is_renamed_on_the_target() {
    let wagon = Wagon::exported();
    make_folder(&ann(&wagon, "source", ".Ideas"));
    done(&wagon, "export --from source --archive archive -q");
    done(&wagon, "import --archive archive --to target -q");
    assert!(ann(&wagon, "target", ".Ideas/cur").is_dir());
    fs::rename(ann(&wagon, "source", ".Ideas"), ann(&wagon, "source", ".Plans")).unwrap();
    done(&wagon, "export --from source --archive archive -q");
    let told = done(&wagon, "diff --archive archive 2 3 -q");
    assert!(told.contains("folder Plans: was Ideas"), "{told}");
    done(&wagon, "import --archive archive --to target -q");
    assert!(ann(&wagon, "target", ".Plans/cur").is_dir());
    assert!(!ann(&wagon, "target", ".Ideas").exists(), "renamed, not made beside it");
    done(&wagon, "verify --archive archive --to target -q");
}

#[test]
fn verify_says_that_shares_were_skipped_and_compares_them_once_they_came() {
    let wagon = Wagon::exported();
    done(&wagon, "import --archive archive --to target -q --skip shares");
    let said = done(&wagon, "verify --archive archive --to target -q");
    assert!(said.contains("shares not compared: the import left them out (--skip shares) for 9 accounts"), "{said}");
    let json = done(&wagon, "verify --archive archive --to target --json");
    assert!(json.lines().last().unwrap().contains(r#""skipped":{"shares":9}"#), "{json}");
    done(&wagon, "import --archive archive --to target -q");
    let said = done(&wagon, "verify --archive archive --to target -q");
    assert!(!said.contains("not compared"), "{said}");
}

#[test]
fn verify_takes_a_move_that_an_additive_import_did_not_follow_as_told() {
    let wagon = Wagon::exported();
    done(&wagon, "import --archive archive --to target -q");
    let message = first_message(&wagon);
    make_folder(&ann(&wagon, "source", ".Kept"));
    fs::rename(ann(&wagon, "source", "cur").join(&message), ann(&wagon, "source", ".Kept/cur").join(&message)).unwrap();
    done(&wagon, "export --from source --archive archive -q");
    let early = wagon.run("verify --archive archive --to target -q");
    assert_eq!(early.status, 5, "the move has not been imported yet: {}", early.out);
    done(&wagon, "import --archive archive --to target -q --additive");
    assert!(has(&wagon, "cur", &message), "an additive pass moves nothing");
    let said = done(&wagon, "verify --archive archive --to target -q");
    assert!(said.contains("1 moved on the source, and left in place by the additive import"), "{said}");
    // The next pass without it follows.
    done(&wagon, "import --archive archive --to target -q");
    assert!(has(&wagon, ".Kept/cur", &message) && !has(&wagon, "cur", &message));
    let said = done(&wagon, "verify --archive archive --to target -q");
    assert!(!said.contains("left in place"), "{said}");
}

#[test]
fn verify_tells_what_a_snapshot_has_that_was_not_imported_yet() {
    let wagon = Wagon::exported();
    done(&wagon, "import --archive archive --to target -q");
    let text = "Subject: later\n\nafter the import\n";
    fs::write(ann(&wagon, "source", "new").join("1900000000.M1P1.later"), text).unwrap();
    done(&wagon, "export --from source --archive archive -q");
    let said = wagon.run("verify --archive archive --to target -q");
    assert_eq!(said.status, 5, "{}", said.out);
    assert!(said.out.contains("1900000000.M1P1.later: it has not been imported"), "{}", said.out);
}

#[test]
fn two_maps_mend_what_refers_across_two_sites_that_came_together() {
    let wagon = Wagon::empty();
    // Eva's server and Wim's; each knows the other's people only by the names in its access lists.
    for (site, user, friend) in [("east", "eva", "wim"), ("west", "wim", "eva")] {
        let maildir = wagon.path(site).join(format!("mail/{site}.example/{user}/Maildir"));
        make_folder(&maildir);
        make_folder(&maildir.join(".Plans"));
        let other = if site == "east" { "west" } else { "east" };
        fs::write(maildir.join(".Plans/dovecot-acl"), format!("user={friend}@{other}.example lr\n")).unwrap();
        fs::create_dir_all(wagon.path(site).join("etc")).unwrap();
        fs::write(wagon.path(site).join("etc/virtual_domains"), format!("{site}.example OK\n")).unwrap();
        fs::write(wagon.path(site).join("etc/passwd"), format!("{user}@{site}.example:{{PLAIN}}x::::::\n")).unwrap();
        done(&wagon, &format!("export --from {site} --archive {site}-archive -q"));
        fs::write(wagon.path(&format!("{site}.rename")), format!("{site}.example new-{site}.example\n")).unwrap();
        done(&wagon, &format!("import --archive {site}-archive --to target -q --rename {site}.rename"));
    }
    let list = |user: &str, site: &str| {
        fs::read_to_string(wagon.path(&format!("target/mail/new-{site}.example/{user}/Maildir/.Plans/dovecot-acl")))
            .unwrap_or_default()
    };
    // Whatever could be given by then, somebody puts both lists back as they were on the old servers.
    let path = |user: &str, site: &str| {
        wagon.path(&format!("target/mail/new-{site}.example/{user}/Maildir/.Plans/dovecot-acl"))
    };
    fs::write(path("eva", "east"), "user=wim@west.example lr\n").unwrap();
    fs::write(path("wim", "west"), "user=eva@east.example lr\n").unwrap();
    let maps: Vec<_> = names(&wagon.path("target")).into_iter().filter(|name| name.starts_with("map_")).collect();
    assert_eq!(maps.len(), 2, "{maps:?}");
    let fix = format!("shares fix --site target target/{} target/{} -q", maps[0], maps[1]);
    let plan = done(&wagon, &format!("{fix} --dry-run"));
    assert!(plan.contains("wim@new-west.example") && plan.contains("eva@new-east.example"), "{plan}");
    assert_eq!(list("eva", "east"), "user=wim@west.example lr\n", "a dry run mends nothing");
    done(&wagon, &fix);
    assert_eq!(list("eva", "east").trim_end(), "user=wim@new-west.example lr");
    assert_eq!(list("wim", "west").trim_end(), "user=eva@new-east.example lr");
    assert_eq!(wagon.run(&format!("shares check --site target target/{} target/{} -q", maps[0], maps[1])).status, 0);
    done(&wagon, "shares undo --site target -q");
    assert_eq!(list("wim", "west").trim_end(), "user=eva@east.example lr");
}
