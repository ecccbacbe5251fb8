use crate::wagon::{Wagon, files, snapshot};

fn spoil(wagon: &Wagon, at: usize) {
    let below = files(&wagon.path("archive")).into_iter().find(|file| file.starts_with("packs/")).unwrap();
    let file = wagon.path("archive").join(below);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_damaged_pack_is_found_repaired_and_made_up_for_by_the_next_export() {
    let wagon = Wagon::exported();
    spoil(&wagon, 3000);
    let found = wagon.run("check --archive archive --read-data");
    assert_eq!(found.status, 5);
    assert!(found.out.contains("ann@") || found.out.contains("lost:"), "{}", found.out);
    assert!(found.out.contains("`wagon repair` does it"), "{}", found.out);

    let all = wagon.run("check --archive archive --read-data --verbose");
    let objects = all.out.lines().filter_map(|line| line.strip_prefix("  object "));
    let objects: Vec<_> = objects.filter(|name| name.len() == 40).collect();
    assert!(!objects.is_empty() && all.out.contains(&format!("lost: {} object", objects.len())), "{}", all.out);

    let dry = wagon.run("repair --archive archive --dry-run");
    assert_eq!(dry.status, 5, "{}{}", dry.out, dry.err);
    assert!(dry.out.starts_with("dry run: nothing was changed; 1 pack looked at\n"), "{}", dry.out);
    assert!(!wagon.path("archive/damaged").exists());
    let mended = wagon.run("repair --archive archive");
    assert_eq!(mended.status, 5, "{}{}", mended.out, mended.err);
    assert!(mended.out.contains("the next `wagon export` reads these accounts"), "{}", mended.out);
    assert_eq!(files(&wagon.path("archive/damaged")).len(), 1);

    assert_eq!(wagon.run("export --from source --archive archive").status, 0);
    let sound = wagon.run("check --archive archive --read-data");
    assert_eq!((sound.status, sound.out.ends_with("no damage\n")), (0, true), "{}", sound.out);
    let nothing = wagon.run("repair --archive archive");
    assert_eq!((nothing.status, nothing.out.as_str()), (0, "2 packs looked at\nnothing is lost\n"));
}

#[test]
fn a_damaged_snapshot_says_how_to_go_on_and_going_on_says_what_it_costs() {
    let wagon = Wagon::exported_twice();
    let snapshots = wagon.path("archive/snapshots");
    let first = files(&snapshots).into_iter().next().unwrap();
    std::fs::write(snapshots.join(first), "not a snapshot").unwrap();
    let blocked = wagon.run("export --from source --archive archive");
    assert_eq!(blocked.status, 1);
    assert!(blocked.err.contains("`wagon export --full` goes on"), "{}", blocked.err);
    let seen = wagon.run("export --from source --archive archive --full");
    assert_eq!(seen.status, 0, "{}{}", seen.out, seen.err);
    assert!(seen.out.contains("made without snapshot 1, which cannot be read"), "{}", seen.out);
    assert!(seen.err.contains("note the site: snapshot 1 cannot be read; this pass goes on without"), "{}", seen.err);
    let imported = wagon.run("import --archive archive --to target");
    assert_eq!(imported.status, 0, "{}{}", imported.out, imported.err);
    assert!(imported.err.contains("accounts are compared as a whole"), "{}", imported.err);
    assert_eq!(wagon.run("verify --archive archive --to target").status, 0);
    assert_eq!(wagon.run("forget 1 2 --archive archive").status, 0);
    assert_eq!(wagon.run("check --archive archive --read-data").status, 0);
}

#[test]
fn forgetting_shows_what_stays_and_why() {
    let wagon = Wagon::exported_twice();
    assert_eq!(wagon.run("forget --archive archive").status, 2, "neither rule nor number");
    snapshot("forget_dry_run", &wagon.run("forget --archive archive --keep-last 1 --keep-label first --dry-run").out);
    assert_eq!(wagon.run("forget 2 --archive archive").status, 2, "the newest stays");
    let seen = wagon.run("forget --archive archive --keep-daily 1 --prune");
    assert_eq!(seen.status, 0, "{}{}", seen.out, seen.err);
    assert!(seen.out.contains("1 snapshot written again, because what they built on goes"), "{}", seen.out);
    assert!(seen.out.contains("freed: "), "{}", seen.out);
    assert_eq!(files(&wagon.path("archive/snapshots")).len(), 1);
    assert_eq!(wagon.run("check --archive archive --read-data").status, 0);
    assert_eq!(wagon.run("import --archive archive --to target").status, 0);
    assert_eq!(wagon.run("verify --archive archive --to target").status, 0);
}

#[test]
fn prune_and_repack_say_the_same_as_json() {
    let wagon = Wagon::exported_twice();
    let dry = wagon.run("prune --archive archive --dry-run --json --max-unused 0%");
    assert_eq!(dry.status, 0);
    assert!(
        dry.out.lines().last().unwrap().starts_with(r#"{"event":"report","verb":"prune","report":{"dry_run":true"#)
    );
    let small = wagon.run("repack --archive archive --json");
    assert!(small.out.contains(r#""packs_rewritten":2"#), "{}", small.out);
    assert_eq!(wagon.run("check --archive archive --read-data").status, 0);
    for wrong in ["prune --archive archive --max-unused 101%", "repack --archive archive --level 13"] {
        assert_eq!(wagon.run(wrong).status, 2, "{wrong}");
    }
}

#[test]
fn a_part_of_the_data_is_read_each_time() {
    let wagon = Wagon::exported_twice();
    for (part, read) in [
        ("--read-data=100%", "every byte read"),
        ("--read-data=1%", "1 pack read"),
        ("--read-data=1/1", "2 packs read"),
    ] {
        let seen = wagon.run(&format!("check --archive archive {part}"));
        assert!(seen.status == 0 && seen.out.contains(read), "{part}: {}", seen.out);
    }
    let sample = wagon.run("check --archive archive --sample 20");
    assert!(sample.status == 0 && sample.out.contains("objects read"), "{}", sample.out);
    // Without a number it is a thousand, and here all there are.
    let all = wagon.run("check --archive archive --sample");
    let read = |out: &str| -> u64 {
        let (before, _) = out.split_once(" objects read").unwrap();
        before.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(all.status == 0 && read(&all.out) > read(&sample.out), "{}{}", all.out, sample.out);
    assert_eq!(read(&wagon.run("check --sample --archive archive").out), read(&all.out));
    for wrong in [
        "--sample=",
        "--sample some",
        "--sample --read-data",
        "--read-data=0/7",
        "--read-data=8/7",
        "--read-data=101%",
        "--read-data=some",
    ] {
        assert_eq!(wagon.run(&format!("check --archive archive {wrong}")).status, 2, "{wrong}");
    }
}

#[test]
fn a_catalog_that_is_no_database_any_more_is_made_anew_and_nothing_is_stored_twice() {
    let wagon = Wagon::exported();
    let home = wagon.path("");
    let is_catalog = |file: &String| file.contains("catalog_") && file.ends_with(".sqlite");
    let catalog = files(&home).into_iter().find(is_catalog).unwrap();
    std::fs::write(home.join(catalog), [0x5a; 9000]).unwrap();
    let seen = wagon.run("export --from source --archive archive");
    assert_eq!(seen.status, 0, "{}{}", seen.out, seen.err);
    assert!(seen.out.contains("items: 0 added, 0 changed, 0 moved, 0 removed"), "{}", seen.out);
    assert!(seen.out.contains("the archive grew by 0 B"), "{}", seen.out);
    assert_eq!(wagon.run("check --archive archive --read-data").status, 0);
}

/// Another site beside `source`, with so many letters.
fn second_site(wagon: &Wagon, letters: usize) {
    let cur = wagon.path("second/mail/h.example/ann/Maildir/cur");
    std::fs::create_dir_all(&cur).unwrap();
    for number in 0..letters {
        std::fs::write(cur.join(format!("{number}.a:2,")), format!("Subject: {number}\r\n\r\nbody\r\n")).unwrap();
    }
}

#[test]
fn keep_rules_count_for_each_source_by_itself() {
    let wagon = Wagon::exported_twice();
    for letters in 1..=3 {
        second_site(&wagon, letters);
        let seen = wagon.run("export --from second --archive archive");
        assert_eq!(seen.status, 0, "{}{}", seen.out, seen.err);
    }
    let numbers = |wagon: &Wagon| -> Vec<String> {
        files(&wagon.path("archive/snapshots")).iter().map(|name| name[6..8].to_owned()).collect()
    };
    assert_eq!(numbers(&wagon), ["01", "02", "03", "04", "05"]);
    // Of the newest two of all, both would be the second site's; of each, the first site keeps what it has.
    let dry = wagon.run("forget --archive archive --keep-last 2 --dry-run");
    assert_eq!((dry.status, numbers(&wagon).len()), (0, 5), "{}", dry.out);
    let seen = wagon.run("forget --archive archive --keep-last 2");
    assert_eq!(
        (seen.status, numbers(&wagon)),
        (0, ["01", "02", "04", "05"].map(str::to_owned).to_vec()),
        "{}",
        seen.out
    );
    let seen = wagon.run("forget --archive archive --keep-last 1 --prune");
    assert_eq!((seen.status, numbers(&wagon)), (0, ["02", "05"].map(str::to_owned).to_vec()), "{}", seen.out);
    let sound = wagon.run("check --archive archive --read-data");
    assert_eq!(sound.status, 0, "{}", sound.out);
    for (site, no) in [("first", 2), ("other", 5)] {
        let seen = wagon.run(&format!("import --archive archive --snapshot {no} --to {site}"));
        assert_eq!(seen.status, 0, "{}{}", seen.out, seen.err);
    }
    assert_eq!(files(&wagon.path("other/mail/h.example/ann/Maildir/cur")).len(), 3);
}

#[test]
fn a_dry_run_of_prune_and_repack_changes_no_byte_and_foretells_what_the_run_does() {
    let wagon = Wagon::exported_twice();
    assert_eq!(wagon.run("export --from source --archive archive --full").status, 0);
    assert_eq!(wagon.run("forget 1 2 --archive archive").status, 0);
    let all = |wagon: &Wagon| -> Vec<(String, Vec<u8>)> {
        let root = wagon.path("archive");
        let names = files(&root).into_iter().filter(|name| !name.starts_with("lock"));
        names.map(|name| (name.clone(), std::fs::read(root.join(&name)).unwrap())).collect()
    };
    let before = all(&wagon);
    for (verb, options) in [("prune", "--max-unused 0%"), ("repack", "")] {
        let report = |line: &str| -> serde_json::Value {
            let seen = wagon.run(line);
            assert_eq!(seen.status, 0, "{}{}", seen.out, seen.err);
            serde_json::from_str::<serde_json::Value>(seen.out.lines().last().unwrap()).unwrap()["report"].clone()
        };
        let dry = report(&format!("{verb} --archive archive {options} --dry-run --json"));
        assert_eq!(dry["dry_run"], true);
        if verb == "prune" {
            assert_eq!(all(&wagon), before, "the dry run of {verb} changes nothing");
        }
        let said = wagon.run(&format!("{verb} --archive archive {options} --dry-run"));
        assert!(said.out.contains("dry run: nothing was changed; would remove"), "{}", said.out);
        let (now, done) = (all(&wagon), report(&format!("{verb} --archive archive {options} --json")));
        for field in ["packs", "pack_bytes", "objects_needed", "objects_unused", "packs_removed", "packs_rewritten"] {
            assert_eq!(dry[field], done[field], "{verb}: {field}");
        }
        assert!(verb == "prune" || all(&wagon) != now, "a repack writes packs anew");
    }
    let sound = wagon.run("check --archive archive --read-data");
    assert_eq!(sound.status, 0, "{}", sound.out);
}
