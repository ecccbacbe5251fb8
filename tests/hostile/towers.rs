//! What refers to something else, as an enemy writes it: snapshots that take the place of others, and messages that are
//! joined from messages.

use crate::forged::{self, ANN, entry, head, member, object, sha256};
use crate::watched::each_verb;
use crate::world::{World, contents};
use std::fs;

const LETTER: &[u8] = b"Subject: one\r\n\r\nbody\r\n";

/// What is no deeper is joined, whoever wrote it (`limits::JOIN_DEPTH`).
const DEEPEST: usize = 8;

fn skeleton(pieces: &str, literals: &[u8]) -> Vec<u8> {
    [format!("wagon-skeleton 1\n{pieces}\n").as_bytes(), literals].concat()
}

/// The entry of a recipe for `id`.
fn recipe(id: &str, skeleton: &str, trace: &[u8]) -> Vec<u8> {
    entry(&format!("m/{id}"), &[skeleton.as_bytes(), b"\n", trace].concat())
}

/// An archive of one letter of Ann's, joined from these entries.
fn of_entries(entries: &[Vec<u8>], id: &str, size: u64) -> World {
    let world = World::enclosed();
    forged::begin(&world);
    let segment = entries.concat();
    let only = member(&segment);
    let rows = [(0, only.len() as u64, segment.len() as u64)];
    let mut listed = Vec::new();
    let mut block = 0;
    for entry in entries {
        // `o/` or `m/` and the name.
        listed.push((String::from_utf8(entry[2..66].to_vec()).unwrap(), 0, block));
        block += (entry.len() / 512) as u16;
    }
    let pack = forged::pack(&world, &[only]);
    forged::index(&world, &pack, &rows, &listed, listed.len() as u64);
    let manifest = forged::manifest("INBOX", "1.a", id, size);
    let records = forged::records("ann@h.example");
    let entries: [(&str, &[u8]); 2] = [("accounts/1.jsonl", &manifest), ("provisioning.jsonl", &records)];
    let more = ANN.replace("\"bytes\":22", &format!("\"bytes\":{size}"));
    forged::snapshot(&world, 1, &head(1, &more), &entries);
    world
}

/// A message on a message on a message …, each with a line of its own: so many recipes, and the name and size of the last.
fn messages(floors: usize) -> (Vec<Vec<u8>>, String, u64) {
    let mut entries = vec![object(LETTER)];
    let mut message = LETTER.to_vec();
    for floor in 0..floors {
        let skeleton = skeleton(&format!("R {} {}\n", sha256(&message), message.len()), b"");
        let trace = format!("X-Floor: {floor}\r\n");
        message = [trace.as_bytes(), &message].concat();
        entries.push(object(&skeleton));
        entries.push(recipe(&sha256(&message), &sha256(&skeleton), trace.as_bytes()));
    }
    (entries, sha256(&message), message.len() as u64)
}

/// A letter whose skeleton is joined from a skeleton …
fn skeletons(floors: usize) -> (Vec<Vec<u8>>, String, u64) {
    let mut skeletons = vec![skeleton(&format!("L {}\n", LETTER.len()), LETTER)];
    for floor in 0..floors {
        skeletons.push(skeleton(&format!("L {}\n", skeletons[floor].len()), &skeletons[floor]));
    }
    let mut entries = vec![recipe(&sha256(LETTER), &sha256(&skeletons[0]), b"")];
    for floor in 0..floors {
        entries.push(recipe(&sha256(&skeletons[floor]), &sha256(&skeletons[floor + 1]), b""));
    }
    entries.push(object(&skeletons[floors]));
    (entries, sha256(LETTER), LETTER.len() as u64)
}

#[test]
fn towers_of_recipes_are_joined_up_to_a_bound_and_no_further() {
    for (what, tower) in [("messages", messages as fn(usize) -> _), ("skeletons", skeletons)] {
        for (floors, check, import) in [(3, 0, 0), (DEEPEST + 1, 5, 3), (200, 5, 3)] {
            let (entries, id, size) = tower(floors);
            let world = of_entries(&entries, &id, size);
            let said = if import == 0 { "ledger balances" } else { "rejected ann@h.example:INBOX/1.a" };
            each_verb(&world, &format!("{floors} {what}"), check, import, &[said]);
        }
    }
}

#[test]
fn recipes_that_lead_in_circles_under_names_that_lie_are_rejected() {
    let (first, second) = ("aa".repeat(32), "bb".repeat(32));
    let whole = skeleton(&format!("R {first} 9\n"), b"");
    let halves = skeleton(&format!("R {first} 4\nR {second} 5\n"), b"");
    let many = skeleton(&format!("R {first} 1\n").repeat(4_000), b"");
    for (what, entries, size) in [
        ("each the other's skeleton", vec![recipe(&first, &second, b""), recipe(&second, &first, b"")], 9),
        ("a part of itself", vec![object(&whole), recipe(&first, &sha256(&whole), b"")], 9),
        (
            "each a part of the other",
            vec![object(&halves), recipe(&first, &sha256(&halves), b""), recipe(&second, &sha256(&halves), b"")],
            9,
        ),
        ("itself, four thousand times", vec![object(&many), recipe(&first, &sha256(&many), b"")], 4_000),
    ] {
        each_verb(&of_entries(&entries, &first, size), what, 5, 3, &["rejected ann@h.example:INBOX/1.a"]);
    }
}

#[test]
fn a_message_of_many_messages_of_many_messages_takes_no_more_than_its_size() {
    const BRANCHES: usize = 16;
    let mut message = LETTER.to_vec();
    let mut entries = vec![object(LETTER)];
    for _ in 0..3 {
        let skeleton = skeleton(&format!("R {} {}\n", sha256(&message), message.len()).repeat(BRANCHES), b"");
        message = message.repeat(BRANCHES);
        entries.push(object(&skeleton));
        entries.push(recipe(&sha256(&message), &sha256(&skeleton), b""));
    }
    let world = of_entries(&entries, &sha256(&message), message.len() as u64);
    each_verb(&world, "branches", 0, 0, &["ledger balances"]);
    let inbox = contents(&world.path("target/mail/h.example/ann/Maildir/cur"));
    assert_eq!(inbox.into_values().collect::<Vec<_>>(), [message]);
}

/// A file of snapshot 1 that says that it takes the place of `replaces`, under a name with `digest` if one is given.
fn replacing(world: &World, replaces: &str, digest: Option<&str>) {
    let snapshots = world.path("archive/snapshots");
    let before = contents(&snapshots);
    let manifest = forged::manifest("INBOX", "1.a", &sha256(LETTER), LETTER.len() as u64);
    let records = forged::records("ann@h.example");
    let entries: [(&str, &[u8]); 2] = [("accounts/1.jsonl", &manifest), ("provisioning.jsonl", &records)];
    forged::snapshot(world, 1, &head(1, &format!("{ANN},\"replaces\":{}", serde_json::json!(replaces))), &entries);
    if let Some(digest) = digest {
        let made = contents(&snapshots).into_keys().find(|path| !before.contains_key(path)).unwrap();
        fs::rename(made, snapshots.join(format!("00000001-{digest}.tar.gz"))).unwrap();
    }
}

/// The digits in the name of the only snapshot.
fn only_snapshot(world: &World) -> String {
    let name = contents(&world.path("archive/snapshots")).into_keys().next().unwrap();
    name.file_name().unwrap().to_str().unwrap()[9..25].to_owned()
}

#[test]
fn snapshots_that_claim_the_place_of_one_another_or_of_what_is_not_there_are_refused_or_harmless() {
    let [a, b, c] = ["aa", "bb", "cc"].map(|digit| digit.repeat(8));
    // Two that replace one another, and three in a circle; a name of its own hash none of them has. Without a snapshot that
    // stands, an archive must not look as if it had none.
    for circle in [vec![&a, &b], vec![&a, &b, &c], vec![&a]] {
        let world = World::enclosed();
        forged::sound(&world, LETTER);
        fs::remove_dir_all(world.path("archive/snapshots")).unwrap();
        fs::create_dir(world.path("archive/snapshots")).unwrap();
        for (at, name) in circle.iter().enumerate() {
            replacing(&world, circle[(at + 1) % circle.len()], Some(name));
        }
        let (import, says) = if circle.len() == 1 { (0, "ledger balances") } else { (1, "has the same number") };
        each_verb(&world, &format!("a circle of {}", circle.len()), 5, import, &[says]);
    }
    // Of a file that is not there, of one of another number, of no name at all: nothing gives way.
    for lie in [a.as_str(), "", "no digits", "\u{1b}[2J", "../../../evil"] {
        let world = World::enclosed();
        forged::sound(&world, LETTER);
        replacing(&world, lie, None);
        each_verb(&world, &format!("replaces {lie:?}"), 5, 1, &["the same number"]);
    }
    // What it names really gives way, and the one that takes its place says the same.
    let world = World::enclosed();
    forged::sound(&world, LETTER);
    replacing(&world, &only_snapshot(&world), None);
    each_verb(&world, "replaces", 0, 0, &["ledger balances"]);
}
