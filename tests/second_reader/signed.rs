//! Whom the second reader believes: what a trusted key signed, as it lies there, for this archive and this number.

use crate::python::{
    change, command, copy_tree, golden, has_age, has_python, outcome, reads_well, refuses, repository,
};
use crate::python::{snapshots_of, tree};
use crate::sites::{Place, skip};
use minisign::{KeyPair, SecretKeyBox};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A key without a password: `NAME.sec`, `NAME.min`.
pub fn key(place: &Place, name: &str) {
    let pair = KeyPair::generate_unencrypted_keypair().unwrap();
    let secret: SecretKeyBox = pair.sk.to_box(None).unwrap();
    fs::write(place.path(&format!("{name}.sec")), secret.into_string()).unwrap();
    fs::write(place.path(&format!("{name}.min")), pair.pk.to_box().unwrap().into_string()).unwrap();
}

fn letter(place: &Place, name: &str) {
    let maildir = place.path("source/mail/example.org/ann/Maildir");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(sub)).unwrap();
    }
    let file = maildir.join(format!("cur/{name}.M1P1.host:2,S"));
    fs::write(file, format!("From: a@example.org\nSubject: {name}\n\ntext\n")).unwrap();
}

/// An archive with two snapshots that `me` signed.
fn signed(place: &Place) -> PathBuf {
    key(place, "me");
    key(place, "other");
    for name in ["1700000001", "1700000002"] {
        letter(place, name);
        place.wagon(0, "export --from {}/source --archive {}/archive --sign-with {}/me.sec");
    }
    place.path("archive")
}

fn signature(snapshot: &Path) -> PathBuf {
    PathBuf::from(format!("{}.minisig", snapshot.display()))
}

/// Puts another digit of base64 in the place of one.
fn other_digit(line: &mut String, at: usize) {
    let other = if line[at..].starts_with('A') { "B" } else { "A" };
    line.replace_range(at..=at, other);
}

#[test]
fn what_a_trusted_key_signed_is_read_by_every_verb() {
    if !has_python() {
        return skip("what was signed is read", "python3 is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    signed(&place);
    let text = fs::read_to_string(place.path("me.min")).unwrap();
    let key = text.lines().nth(1).unwrap();
    reads_well(&place, &format!("--trust {key} check {{}}/archive"));
    reads_well(&place, "--trust {}/other.min --trust {}/me.min list {}/archive");
    reads_well(&place, "--trust {}/me.min restore {}/archive latest {}/restored");
    place.wagon(0, "forget 1 --archive {}/archive --sign-with {}/me.sec");
    let listed = reads_well(&place, "--trust {}/me.min list {}/archive");
    assert!(listed.contains("replaces "), "{listed}");
    // What takes the place of a signed snapshot is proved as well.
    fs::remove_file(signature(&snapshots_of(&place.path("archive"))[0])).unwrap();
    refuses(&place, "--trust {}/me.min list {}/archive", &["is not signed"]);
    for nonsense in ["{}/me.sec", "{}/none.min", "RWnonsense"] {
        let said = refuses(&place, &format!("--trust {nonsense} check {{}}/archive"), &[]);
        assert!(said.contains("no public key of minisign") || said.contains("No such file"), "{said}");
    }
}

#[test]
fn whatever_was_not_signed_so_is_refused_before_anything_is_read() {
    if !has_python() {
        return skip("what was not signed is refused", "python3 is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    let sound = signed(&place);
    // Another archive, signed by the same key, with a snapshot of the same number.
    place.wagon(0, "export --from {}/source --archive {}/another --sign-with {}/me.sec");
    let another = place.path("another");
    type Change = Box<dyn Fn(&[PathBuf])>;
    let of_signature = |how: fn(&mut Vec<String>)| -> Change {
        Box::new(move |snapshots| {
            let path = signature(&snapshots[1]);
            let mut lines: Vec<_> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
            how(&mut lines);
            fs::write(path, lines.join("\n") + "\n").unwrap();
        })
    };
    let flip = |at: fn(usize) -> usize| -> Change {
        Box::new(move |snapshots| {
            change(&snapshots[0], |bytes| {
                let at = at(bytes.len());
                bytes[at] ^= 1;
            });
        })
    };
    let changes: Vec<(&str, Change, &str)> = vec![
        ("no signature", Box::new(|snapshots| fs::remove_file(signature(&snapshots[0])).unwrap()), "is not signed"),
        ("a byte at the beginning", flip(|_| 9), "is not what was signed"),
        ("the last byte, which is padding", flip(|length| length - 1), "is not what was signed"),
        (
            "the comment",
            of_signature(|lines| lines[2] = lines[2].replace("snapshot=2", "snapshot=3")),
            "the comment is not",
        ),
        ("a digit of the signature", of_signature(|lines| other_digit(&mut lines[1], 40)), "is not what was signed"),
        ("the signature of the comment", of_signature(|lines| other_digit(&mut lines[3], 40)), "the comment is not"),
        ("a line less", of_signature(|lines| drop(lines.pop())), "is no signature of minisign"),
        ("a short signature", of_signature(|lines| lines[1].truncate(40)), "is no signature of minisign"),
        ("no base64", of_signature(|lines| lines[1].replace_range(40..41, "\u{e9}")), "is no signature of minisign"),
        ("a long comment", of_signature(|lines| lines[0] += &"x".repeat(1 << 20)), "is too long"),
        ("the number of a key", of_signature(|lines| other_digit(&mut lines[1], 6)), "none of the trusted keys"),
        (
            "the signature of the other snapshot",
            Box::new(|snapshots| {
                fs::copy(signature(&snapshots[0]), signature(&snapshots[1])).unwrap();
            }),
            "is not what was signed",
        ),
        (
            "another number",
            Box::new(|snapshots| {
                let renamed = snapshots[1].with_file_name(
                    snapshots[1].file_name().unwrap().to_str().unwrap().replacen("00000002", "00000003", 1),
                );
                fs::rename(signature(&snapshots[1]), signature(&renamed)).unwrap();
                fs::rename(&snapshots[1], renamed).unwrap();
            }),
            "snapshot=2, not for this snapshot",
        ),
        (
            "the first snapshot of another archive",
            Box::new(move |snapshots| {
                let theirs = &snapshots_of(&another)[0];
                let here = snapshots[0].with_file_name(theirs.file_name().unwrap());
                fs::copy(signature(theirs), signature(&here)).unwrap();
                fs::copy(theirs, here).unwrap();
                fs::remove_file(signature(&snapshots[0])).unwrap();
                fs::remove_file(&snapshots[0]).unwrap();
            }),
            "was made for archive=",
        ),
    ];
    for (what, apply, words) in changes {
        let archive = place.path("changed");
        copy_tree(&sound, &archive);
        apply(&snapshots_of(&archive));
        for verb in ["check {}/changed", "list {}/changed 2", "restore {}/changed latest {}/restored"] {
            let said = refuses(&place, &format!("--trust {{}}/me.min {verb}"), &[]);
            assert!(said.contains(words), "{what}: {verb}: {said}");
            assert!(said.lines().count() == 1 && !place.path("restored").exists(), "{what}: {verb}: {said}");
        }
        fs::remove_dir_all(&archive).unwrap();
    }
    refuses(&place, "--trust {}/other.min check {}/archive", &["is signed by none of the trusted keys"]);
    letter(&place, "1700000003");
    place.wagon(0, "export --from {}/source --archive {}/archive");
    refuses(&place, "--trust {}/me.min check {}/archive", &["is not signed"]);
    reads_well(&place, "check {}/archive");
}

#[test]
fn a_legacy_signature_of_the_stock_program_is_refused_and_its_others_are_not() {
    let has_minisign = Command::new("minisign").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !has_python() || !has_minisign {
        return skip("a legacy signature is refused", "python3 or minisign is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    let archive = signed(&place);
    let minisign = |words: &[&str]| {
        let out = Command::new("minisign").args(words).current_dir(&place.root).stdin(Stdio::null()).output().unwrap();
        assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
    };
    minisign(&["-G", "-W", "-p", "stock.pub", "-s", "stock.sec"]);
    let id = fs::read_to_string(archive.join("wagon.json")).unwrap();
    let id = id.split('"').skip_while(|word| *word != "id").nth(2).unwrap();
    for (kind, words) in [("-H", None), ("-l", Some("legacy"))] {
        for (number, snapshot) in snapshots_of(&archive).iter().enumerate() {
            fs::remove_file(signature(snapshot)).unwrap();
            let comment = format!("archive={id} snapshot={}", number + 1);
            minisign(&["-S", kind, "-s", "stock.sec", "-m", snapshot.to_str().unwrap(), "-t", &comment]);
        }
        match words {
            None => drop(reads_well(&place, "--trust {}/stock.pub check {}/archive")),
            Some(words) => drop(refuses(&place, "--trust {}/stock.pub check {}/archive", &[words])),
        }
    }
}

#[test]
fn the_golden_archive_is_proved_without_a_key_and_read_with_one() {
    if !has_python() || !has_age() {
        return skip("the golden archive is proved", "python3 or age is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    let archive = golden(&place, "archive");
    let trust = format!("--trust {}", repository().join("fixtures/keys/golden.minisign.pub").display());
    let said = reads_well(&place, &format!("{trust} check {{}}/archive"));
    assert!(said.contains(" 0 complaints"), "{said}");
    reads_well(&place, &format!("{trust} restore {{}}/archive latest {{}}/restored"));
    // Any byte of any of its signatures and snapshots; that is told before a key is asked for.
    let before = tree(&archive);
    for (path, bytes) in before.iter().filter(|(path, _)| path.starts_with("snapshots")) {
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let is_signature = path.extension().is_some_and(|ending| ending == "minisig");
            if is_signature && at != bytes.len() / 2 {
                continue; // "untrusted comment", and the end of the line
            }
            change(&archive.join(path), |bytes| bytes[at] ^= 1);
            let (said, status) = outcome(&mut command(&place, &format!("{trust} check {{}}/archive")));
            assert!(status == 1 && said.contains("signed"), "byte {at} of {}: {said}", path.display());
            fs::write(archive.join(path), bytes).unwrap();
        }
    }
}
