//! Archives that an enemy wrote: refused or rejected in clear words, in little memory, and nothing lands outside the
//! target.

use crate::forged::{self, ANN, bomb, entry, head, header, member, object, sha256};
use crate::watched::{each_verb, known, names, watched};
use crate::world::{World, contents};
use std::fs;
use std::path::Path;

const LETTER: &[u8] = b"Subject: one\r\n\r\nbody\r\n";

fn ann(letter: &str, size: u64) -> Vec<u8> {
    forged::manifest("INBOX", "1.a", letter, size)
}

/// One snapshot of Ann's one letter, whose manifest and records are these.
fn one_snapshot(world: &World, manifest: &[u8], records: &[u8]) {
    forged::snapshot(world, 1, &head(1, ANN), &[("accounts/1.jsonl", manifest), ("provisioning.jsonl", records)]);
}

#[test]
fn a_forged_archive_that_says_nothing_wrong_is_as_good_as_any() {
    let world = World::enclosed();
    forged::sound(&world, LETTER);
    each_verb(&world, "sound", 0, 0, &["ledger balances"]);
    let inbox = world.path("target/mail/h.example/ann/Maildir/cur");
    assert_eq!(contents(&inbox).into_values().collect::<Vec<_>>(), [LETTER]);
}

#[test]
fn gzip_bombs_end_at_a_bound_in_little_memory() {
    gzip_bombs(|_| {});
}

#[test]
fn gzip_bombs_inside_encrypted_files_are_as_harmless_to_who_has_the_key() {
    gzip_bombs(forged::seal);
}

/// `wrap` is what happens to an archive before it is met.
fn gzip_bombs(wrap: fn(&World)) {
    let size = 150u64 << 20;
    // The head of a snapshot, and its table of contents.
    for name in ["snapshot.json", "contents.jsonl"] {
        let world = World::enclosed();
        forged::begin(&world);
        let bomb = bomb(&header(name, size, b'0'), b' ', 150, b"");
        let mut members = vec![member(&entry("snapshot.json", head(1, ANN).as_bytes()))];
        if name == "snapshot.json" {
            members.clear();
        }
        members.push(bomb);
        forged::snapshot_file(&world, 1, &members);
        wrap(&world);
        each_verb(&world, name, 5, 1, &["entry of a snapshot"]);
    }
    // A manifest and the records: one line without an end, and nothing but ends.
    for (byte, mib, check, import) in [(b' ', 150, 5, 1), (b'\n', 6, 0, 0)] {
        let world = World::enclosed();
        forged::sound(&world, LETTER);
        fs::remove_dir_all(world.path("archive/snapshots")).unwrap();
        fs::create_dir(world.path("archive/snapshots")).unwrap();
        let names = ["accounts/1.jsonl", "provisioning.jsonl"];
        let manifest = ann(&sha256(LETTER), LETTER.len() as u64);
        let records = forged::records("ann@h.example");
        let padded = |name: &str, content: &[u8]| {
            let size = ((mib as u64) << 20) + content.len() as u64;
            let padding = vec![0; size.next_multiple_of(512) as usize - size as usize];
            (bomb(&[header(name, size, b'0'), content.to_vec()].concat(), byte, mib, &padding), size)
        };
        let ((first, size_1), (second, size_2)) = (padded(names[0], &manifest), padded(names[1], &records));
        forged::snapshot_of(&world, 1, &head(1, ANN), &names, &[first, second], &[size_1, size_2]);
        wrap(&world);
        each_verb(&world, "a manifest", check, import, &[]);
    }
    // An object: found by its size, which the manifest does not tell.
    let world = World::enclosed();
    forged::begin(&world);
    let mut digest = <sha2::Sha256 as sha2::Digest>::new();
    (0..150).for_each(|_| sha2::Digest::update(&mut digest, vec![b'x'; 1 << 20]));
    let name = forged::hex(&sha2::Digest::finalize(digest));
    forged::pack(&world, &[bomb(&header(&format!("o/{name}"), size, b'0'), b'x', 150, b"")]);
    one_snapshot(&world, &ann(&name, 9), &forged::records("ann@h.example"));
    wrap(&world);
    each_verb(&world, "an object", 5, 3, &["bytes"]);
    // A segment that is nothing that anybody asked for.
    let world = World::enclosed();
    forged::sound(&world, LETTER);
    forged::pack(&world, &[bomb(b"", 0, 150, b"")]);
    wrap(&world);
    each_verb(&world, "zeros", 5, 0, &["ledger balances"]);
}

#[test]
fn tar_entries_that_are_no_plain_files_of_an_archive_are_never_followed() {
    let world = World::enclosed();
    forged::sound(&world, LETTER);
    for (name, kind) in [
        ("/etc/cron.d/evil", b'0'),
        ("../../evil", b'0'),
        ("o/../../evil", b'0'),
        ("link", b'2'),
        ("hard", b'1'),
        ("device", b'3'),
        ("block", b'4'),
        ("pipe", b'6'),
        ("folder/", b'5'),
    ] {
        let mut tar = header(name, 4, kind);
        tar.extend(b"evil");
        tar.resize(1024, 0);
        forged::pack(&world, &[member(&tar)]);
        let evil = entry(name, b"evil");
        forged::snapshot_file(&world, 2, &[member(&evil)]);
        each_verb(&world, name, 5, 1, &["cannot be read as an archive's file"]);
        assert!(!Path::new("/etc/cron.d/evil").exists());
        // Without the snapshot, the packs hurt nobody.
        let second = names(&world.path("archive/snapshots")).into_iter().next_back().unwrap();
        fs::remove_file(second).unwrap();
        fs::remove_dir_all(world.path("target")).ok();
        fs::remove_dir_all(world.path("out")).ok();
        each_verb(&world, name, 5, 0, &["ledger balances"]);
        fs::remove_dir_all(world.path("target")).unwrap();
        fs::remove_dir_all(world.path("out")).ok();
    }
}

#[test]
fn lengths_counts_and_places_that_lie_cost_what_they_hide_and_nothing_else() {
    let id = sha256(LETTER);
    let good = member(&object(LETTER));
    let length = good.len() as u64;
    type Lie = (&'static str, Vec<(u64, u64, u64)>, u16, u16, u64);
    let rows: [Lie; 5] = [
        ("longer than it is", vec![(0, length, 2048)], 0, 0, 1),
        ("another block", vec![(0, length, 1024)], 0, 1, 1),
        ("the end of the pack", vec![(length, 20, 1024)], 0, 0, 1),
        ("an impossible length", vec![(0, length, 1 << 40)], 0, 0, 1),
        ("more than there are", vec![(0, length, 1024)], 0, 0, u64::MAX / 24),
    ];
    for (what, rows, segment, block, count) in rows {
        let world = World::enclosed();
        forged::sound(&world, LETTER);
        let name = contents(&world.path("archive/packs")).into_keys().next().unwrap();
        let pack = name.file_name().unwrap().to_str().unwrap().trim_end_matches(".tar.gz").to_owned();
        forged::index(&world, &pack, &rows, &[(id.clone(), segment, block)], count);
        // What contradicts itself is made again from the pack; what does not is found when the object is read.
        let (import, words) = match what {
            "an impossible length" | "more than there are" => (0, "the index cannot be used"),
            _ => (3, "1.a"),
        };
        each_verb(&world, what, 5, import, &[words]);
    }
    // A header that promises more than its member has, and a member behind which there is more.
    for tar in [header(&format!("o/{id}"), 1 << 33, b'0'), [object(LETTER), vec![7; 512]].concat()] {
        let world = World::enclosed();
        forged::sound(&world, LETTER);
        fs::remove_dir_all(world.path("archive/packs")).unwrap();
        forged::pack(&world, &[member(&tar)]);
        each_verb(&world, "a header", 5, 3, &["1.a"]);
    }
    // Numbers that no sum holds.
    let world = World::enclosed();
    forged::begin(&world);
    let most = u64::MAX;
    let manifest = [ann(&id, most), ann(&id, most)].concat();
    let second = String::from_utf8(manifest).unwrap().replacen("\"i\":1,\"f\"", "\"i\":4294967295,\"f\"", 1);
    let more = ANN.replace("\"items\":1,\"bytes\":22", &format!("\"items\":{most},\"bytes\":{most}"));
    forged::pack(&world, &[good]);
    let records = forged::records("ann@h.example");
    let entries: [(&str, &[u8]); 2] = [("accounts/1.jsonl", second.as_bytes()), ("provisioning.jsonl", &records)];
    forged::snapshot(&world, 1, &head(1, &more), &entries);
    each_verb(&world, "sums", 5, 3, &[]);
}

#[test]
fn an_object_that_is_not_what_its_name_says_is_rejected_whoever_claims_it() {
    let id = sha256(LETTER);
    let other = b"Subject: one\r\n\r\nBODY\r\n";
    // A wrong object under the name, alone; before the right one; and a recipe that asks for itself.
    let wrong = entry(&format!("o/{id}"), other);
    let itself = entry(&format!("m/{id}"), format!("{id}\n").as_bytes());
    for (what, members, import) in [
        ("alone", vec![member(&wrong)], 3),
        ("twice in a segment", vec![member(&[wrong.clone(), object(LETTER)].concat())], 3),
        ("itself", vec![member(&itself)], 3),
    ] {
        let world = World::enclosed();
        forged::begin(&world);
        forged::pack(&world, &members);
        one_snapshot(&world, &ann(&id, LETTER.len() as u64), &forged::records("ann@h.example"));
        each_verb(&world, what, 5, import, &["rejected ann@h.example:INBOX/1.a"]);
        let written = world.path("target/mail/h.example/ann/Maildir/cur");
        assert!(!written.exists() || contents(&written).is_empty(), "{what}");
    }
    // In two packs, one of which is right: that one counts.
    let world = World::enclosed();
    forged::sound(&world, LETTER);
    forged::pack(&world, &[member(&wrong)]);
    each_verb(&world, "in another pack", 5, 0, &["ledger balances"]);
}

#[test]
fn items_that_are_larger_than_their_manifest_says_are_rejected_and_fill_no_memory() {
    const ITEMS: usize = 100;
    let world = World::enclosed();
    let large = [LETTER, &vec![b'x'; 8 << 20]].concat();
    forged::begin(&world);
    forged::pack(&world, &[member(&object(&large))]);
    let mut manifest = String::from("{\"folder\":{\"i\":1,\"path\":\"INBOX\"}}\n");
    for item in 1..=ITEMS {
        let id = sha256(&large);
        manifest +=
            &format!("{{\"item\":{{\"i\":{item},\"f\":1,\"n\":\"{item}.a\",\"o\":\"{id}\",\"s\":1,\"d\":5}}}}\n");
    }
    let ann = ANN.replace("\"lines\":2,\"items\":1", &format!("\"lines\":{},\"items\":{ITEMS}", ITEMS + 1));
    let records = forged::records("ann@h.example");
    let entries: [(&str, &[u8]); 2] = [("accounts/1.jsonl", manifest.as_bytes()), ("provisioning.jsonl", &records)];
    forged::snapshot(&world, 1, &head(1, &ann), &entries);
    let (status, said) = watched(&world, "import --archive {}/archive --to {}/target --verbose");
    assert!(status == 3 && said.contains("rejected ann@h.example:INBOX/1.a"), "{status}: {said}");
}

#[test]
fn chains_that_lead_nowhere_or_in_circles_are_refused() {
    for (what, parents, words) in [
        ("its own parent", vec![1], "no older one of its source"),
        ("a later parent", vec![2, 1], "no older one of its source"),
        ("a parent that is not there", vec![9], "9"),
    ] {
        let world = World::enclosed();
        forged::begin(&world);
        for (no, parent) in (1..).zip(parents) {
            let records = forged::records("ann@h.example");
            let more = format!("{ANN},\"parent\":{parent}");
            let manifest = ann(&sha256(LETTER), 9);
            let entries: [(&str, &[u8]); 2] = [("accounts/1.jsonl", &manifest), ("provisioning.jsonl", &records)];
            forged::snapshot(&world, no, &head(no, &more), &entries);
        }
        each_verb(&world, what, 5, 1, &[words]);
    }
    // Two snapshots of one number; a number that is another's; a manifest that is not there; an entry twice.
    let world = World::enclosed();
    forged::sound(&world, LETTER);
    forged::snapshot(&world, 1, &head(1, r#","accounts":[]"#), &[]);
    each_verb(&world, "one number", 5, 1, &["the same number"]);
    let world = World::enclosed();
    forged::begin(&world);
    forged::snapshot(&world, 1, &head(7, r#","accounts":[]"#), &[]);
    each_verb(&world, "another number", 5, 1, &["it says that it is snapshot 7"]);
    let world = World::enclosed();
    forged::begin(&world);
    forged::snapshot(&world, 1, &head(1, ANN), &[("provisioning.jsonl", &forged::records("ann@h.example"))]);
    each_verb(&world, "no manifest", 5, 1, &["accounts/1.jsonl is missing"]);
    let world = World::enclosed();
    forged::begin(&world);
    forged::snapshot(&world, 1, &head(1, ANN), &[("accounts/1.jsonl", b""), ("accounts/1.jsonl", b"")]);
    each_verb(&world, "an entry twice", 5, 1, &["twice"]);
}

#[test]
fn json_that_is_deep_long_or_no_text_is_refused_with_its_line() {
    let deep = format!("{{\"setting\":{}", "[".repeat(1_000_000)).into_bytes();
    let long = format!("{{\"setting-gone\":[\"{}\"]}}", "x".repeat(40_000_000)).into_bytes();
    let invalid = b"{\"folder\":{\"i\":1,\"path\":\"\xff\xfe\"}}".to_vec();
    for (what, line) in [("deep", deep), ("long", long), ("invalid", invalid)] {
        let world = World::enclosed();
        forged::begin(&world);
        one_snapshot(&world, &[b"\n".to_vec(), line.clone()].concat(), &forged::records("ann@h.example"));
        each_verb(&world, what, 5, 1, &["line 2"]);
        let world = World::enclosed();
        forged::begin(&world);
        one_snapshot(&world, &ann(&sha256(LETTER), 9), &[b"\n".to_vec(), line.clone()].concat());
        each_verb(&world, what, 5, 1, &["line 2"]);
        let world = World::enclosed();
        forged::begin(&world);
        forged::snapshot_file(&world, 1, &[member(&entry("snapshot.json", &line))]);
        each_verb(&world, what, 5, 1, &["snapshot.json"]);
    }
}

#[test]
fn names_in_an_archive_never_lead_out_of_the_target() {
    let (id, size) = (sha256(LETTER), LETTER.len() as u64);
    let up = "../".repeat(12) + "tmp/wagon-evil";
    for name in
        [up.as_str(), "/tmp/wagon-evil", "..", ".", "a\0b", "a\nb", ".hidden", "dovecot-uidlist", "a:2,S", "\u{1b}[2J"]
    {
        // The name of a message, a folder, an account, and of a script.
        let kinds = ["mail", "filters", "calendars", "files"];
        let items = kinds.map(|kind| {
            let path = if kind == "filters" { "sieve" } else { "INBOX" };
            let line = String::from_utf8(forged::manifest(path, name, &id, size)).unwrap();
            line.replacen("\"i\":1,", &format!("\"i\":1,\"kind\":\"{kind}\","), 1)
        });
        let folders = kinds.map(|kind| {
            let line = String::from_utf8(forged::manifest(name, "1.a", &id, size)).unwrap();
            line.replacen("\"i\":1,", &format!("\"i\":1,\"kind\":\"{kind}\","), 1)
        });
        let account = format!("{name}@h.example");
        let domain = format!("ann@{name}");
        let letter = |address: &str| (ann(&id, size), forged::records(address));
        let mailboxes =
            items.into_iter().chain(folders).map(|text| (text.into_bytes(), forged::records("ann@h.example")));
        for (manifest, records) in mailboxes.chain([letter(&account), letter(&domain), letter(name)]) {
            let world = World::enclosed();
            forged::begin(&world);
            forged::pack(&world, &[member(&object(LETTER))]);
            one_snapshot(&world, &manifest, &records);
            let beside = names(world.root.parent().unwrap());
            let (status, said) = watched(&world, "import --archive {}/archive --to {}/target --verbose");
            assert!([0, 1, 3].contains(&status), "{status}: {said}");
            assert!(!said.contains(['\u{1b}', '\0']), "{said:?}");
            if status == 0 {
                world.wagon(0, "verify --archive {}/archive --to {}/target");
            }
            let (status, said) = watched(&world, "extract --archive {}/archive ann@h.example --output {}/out");
            assert!([0, 1, 3].contains(&status), "{status}: {said}");
            assert!(names(&world.root).iter().all(|path| known(&world).contains(path)), "{:?}", names(&world.root));
            assert_eq!(names(world.root.parent().unwrap()), beside);
            assert!(!Path::new("/tmp/wagon-evil").exists() && !Path::new("/tmp/wagon-evil@h.example").exists());
        }
    }
}
