//! Takes apart and joins every message of fixtures/messages, what damage makes of them, hostile messages that are too
//! large to keep as files, and the mail of `../shared/corpus` where there is any: each byte for byte.

// A test reads fixtures as they are, outside the library's file system trait; what fails in a helper fails the test; and
// what is skipped is said.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

use stationwagon::limits;
use stationwagon::message::{encode_recipe, join, split};
use stationwagon::model::id::ObjectId;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Takes a message apart, joins it as a reader of an archive does, and compares. Returns how it came apart: `T` the
/// trace, then the lines of the skeleton without their names (format-spec/message.md).
fn outline(raw: &[u8]) -> String {
    let Some(split) = split(raw) else { return "whole".to_owned() };
    let text = String::from_utf8_lossy(&split.skeleton).into_owned();
    let mut outline = format!("T {}", split.trace.len());
    for line in text.lines().skip(1).take_while(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').filter(|word| word.len() != 64).collect();
        outline += &format!(" | {}", words.join(" "));
    }
    let skeleton = ObjectId::of(&split.skeleton);
    let recipe = encode_recipe(&skeleton, split.trace);
    let mut objects: HashMap<_, _> = split.parts.into_iter().map(|part| (part.id, part.bytes.into_owned())).collect();
    objects.insert(skeleton, split.skeleton);
    let mut out = Vec::new();
    let mut fetch =
        |id: &ObjectId, most: u64| objects.get(id).filter(|bytes| bytes.len() as u64 <= most).cloned().ok_or(());
    assert_eq!(join(&recipe, raw.len() as u64, &mut fetch, &mut out).unwrap(), raw.len() as u64);
    assert!(out == raw, "does not come back the same: {outline}");
    outline
}

fn fixtures() -> BTreeMap<String, Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/messages");
    let read = |path: PathBuf| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
    fs::read_dir(dir).unwrap().map(|entry| read(entry.unwrap().path())).collect()
}

#[test]
fn each_fixture_comes_apart_as_listed_and_comes_back_the_same() {
    let found: String = fixtures().iter().map(|(name, raw)| format!("{name}: {}\n", outline(raw))).collect();
    let listed = include_str!("../fixtures/messages.txt");
    for (found, listed) in found.lines().zip(listed.lines()) {
        assert_eq!(found, listed);
    }
    assert_eq!(found.lines().count(), listed.lines().count(), "all that there are:\n{found}");
}

#[test]
fn the_example_in_the_specification_is_what_is_written() {
    let raw = &fixtures()["plain-base64"];
    let split = split(raw).unwrap();
    let recipe = encode_recipe(&ObjectId::of(&split.skeleton), split.trace);
    let text = include_str!("../format-spec/message.md");
    for object in [recipe, split.skeleton] {
        let object = String::from_utf8(object).unwrap();
        assert!(text.contains(&format!("```\n{object}```\n")), "not in format-spec/message.md:\n{object}");
    }
}

#[test]
fn two_copies_for_two_people_differ_in_their_trace_only() {
    let fixtures = fixtures();
    let (ann, bob) = (split(&fixtures["copy-for-ann"]).unwrap(), split(&fixtures["copy-for-bob"]).unwrap());
    assert!(ann.trace != bob.trace);
    assert!(ann.skeleton == bob.skeleton);
}

#[test]
fn lf_and_crlf_copies_share_their_decoded_attachments() {
    let fixtures = fixtures();
    let parts =
        |name: &str| -> Vec<ObjectId> { split(&fixtures[name]).unwrap().parts.iter().map(|part| part.id).collect() };
    assert_eq!(parts("two-attachments"), parts("two-attachments-crlf"));
}

#[test]
fn each_fixture_cut_off_anywhere_comes_back_the_same() {
    for raw in fixtures().values() {
        (0..raw.len()).for_each(|end| drop(outline(&raw[..end])));
    }
}

#[test]
fn each_fixture_without_any_one_of_its_lines_comes_back_the_same() {
    for raw in fixtures().values() {
        let lines: Vec<&[u8]> = raw.split_inclusive(|byte| *byte == b'\n').collect();
        for missing in 0..lines.len() {
            outline(&[lines[..missing].concat(), lines[missing + 1..].concat()].concat());
        }
    }
}

#[test]
fn messages_that_mean_harm_cost_size_and_nothing_else() {
    let line = "One line of a body that is neither short nor long.\n";
    let header = "Received: from a by b\nSubject: x\n";

    let mut levels = String::from(header);
    (0..10_000)
        .for_each(|level| levels += &format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"));
    (0..10_000).rev().for_each(|level| levels += &format!("\n{line}\n--b{level}--\n"));
    let taken = outline(levels.as_bytes());
    assert!(taken.matches(" R ").count() <= limits::MIME_DEPTH + 1, "{taken}");

    let messages = "Content-Type: message/rfc822\n\n".repeat(100_000) + "\n" + &line.repeat(30);
    assert_eq!(outline(messages.as_bytes()), "T 0 | L 3000001 | R 1530");

    let fields = format!("{header}{}\n{line}", "X-Field: value\n".repeat(1_000_000));
    assert_eq!(outline(fields.as_bytes()), format!("T 22 | L {}", fields.len() - 22));

    let one_line = format!("Received: from a by b{}\n\n{}", " for".repeat(300_000), line.repeat(30));
    assert_eq!(outline(one_line.as_bytes()), "T 1200022 | L 1 | R 1530");

    let addresses = format!("Received: from {}by b\n\n{}", "[192.0.2.1] ".repeat(100_000), line.repeat(30));
    assert_eq!(outline(addresses.as_bytes()), "T 1200020 | L 1 | R 1530");

    let boundaries = format!("Content-Type: multipart/mixed; {}\n\n{}", "boundary ".repeat(200_000), line.repeat(30));
    assert_eq!(outline(boundaries.as_bytes()), "T 0 | L 1800033 | R 1530");

    let boundaries = format!("Content-Type: multipart/mixed; {}\n\n{}", "boundary=".repeat(200_000), line.repeat(30));
    assert_eq!(outline(boundaries.as_bytes()), "T 0 | L 1800033 | R 1530");

    // As many open multiparts as there may be, and lines that nearly are a delimiter of each.
    let mut near = String::new();
    (10..74).for_each(|level| {
        near += &format!("Content-Type: multipart/mixed; boundary={}{level}\n\n--{0}{level}\n", "b".repeat(60))
    });
    near += &format!("\n{}", format!("--{}99\n", "b".repeat(60)).repeat(100_000));
    assert_eq!(outline(near.as_bytes()).matches(" R ").count(), 1);

    let dashes = format!("Content-Type: multipart/mixed; boundary=b\n\n--b\n\n{}", "--\n".repeat(1_000_000));
    assert_eq!(outline(dashes.as_bytes()), "T 0 | L 48 | R 3000000");

    let parts =
        format!("Content-Type: multipart/mixed; boundary=b\n\n{}", format!("--b\n\n{}", line.repeat(21)).repeat(5000));
    assert_eq!(outline(parts.as_bytes()).matches(" R ").count(), limits::MIME_PARTS);

    assert_eq!(outline(&vec![0; 20_000_000]), "whole");
    assert_eq!(outline(&vec![b'\n'; 3_000_000]), "T 0 | L 1 | R 2999999");
    assert_eq!(outline(&b"\r".repeat(3_000_000)), "whole");

    let narrow = format!("Content-Transfer-Encoding: base64\n\n{}", "A\n".repeat(1_000_000));
    assert_eq!(outline(narrow.as_bytes()), "T 0 | L 35 | B 750000 1 n | L 1");
}

#[test]
fn the_shared_corpus_comes_back_the_same() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    if !corpus.is_dir() {
        eprintln!("skipped: there is no ../shared/corpus");
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    let site = cache.path().join("edge");
    let mut build = std::process::Command::new(corpus.join("make-site.sh"));
    let built = build.arg("edge").arg(&site).env("CORPUS_CACHE", cache.path()).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let mut folders = vec![site.join("mail")];
    let mut messages = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                outline(&fs::read(&path).unwrap());
                messages += 1;
            }
        }
    }
    assert!(messages >= 380, "{messages}");
}
