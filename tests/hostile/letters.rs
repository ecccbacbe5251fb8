//! Messages made to hurt: huge, deep, long, empty of sense, the same twice.

use crate::sites::{Names, assert_same};
use crate::world::{World, assert_says};
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

/// What a pass may hold at its peak, KiB.
const MEMORY_KIB: u64 = 128 * 1024;

/// 200 MB in base64 lines that say the same again and again.
fn huge(path: &Path) {
    let mut out = BufWriter::new(File::create(path).unwrap());
    let head = "Subject: huge\r\nContent-Type: multipart/mixed; boundary=Q\r\n\r\n--Q\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    out.write_all(head.as_bytes()).unwrap();
    let block =
        format!("{}\r\n", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAx").repeat(1000);
    for _ in 0..200_000_000 / block.len() + 1 {
        out.write_all(block.as_bytes()).unwrap();
    }
    out.write_all(b"\r\n--Q--\r\n").unwrap();
    out.flush().unwrap();
}

fn deep(levels: u32) -> String {
    let open =
        (0..levels).map(|level| format!("Content-Type: multipart/mixed; boundary=\"b{level}\"\r\n\r\n--b{level}\r\n"));
    let close = (0..levels).rev().map(|level| format!("--b{level}--\r\n"));
    open.chain(["\r\n\r\ntext\r\n".to_owned()]).chain(close).collect()
}

#[test]
fn messages_that_are_huge_deep_long_or_nothing_at_all_pass_unchanged_in_little_memory() {
    let world = World::empty();
    world.site(&["ann"]);
    let cur = world.maildir("ann").join("cur");
    huge(&cur.join("1.huge:2,S"));
    fs::write(cur.join("2.nul:2,"), vec![0; 3_000_000]).unwrap();
    let lines: String = (0..1_000_000).map(|line| format!("X-Line-{line}: y\r\n")).collect();
    fs::write(cur.join("3.lines:2,"), format!("From: ann\r\n{lines}\r\nbody\r\n")).unwrap();
    fs::write(cur.join("4.deep:2,"), deep(10_000)).unwrap();
    fs::write(cur.join("5.empty:2,"), "").unwrap();
    for line in [
        "export --from {}/source --archive {}/archive",
        "import --archive {}/archive --to {}/target",
        "verify --archive {}/archive --to {}/target",
        "check --archive {}/archive --read-data",
        "find --archive {}/archive --subject huge",
    ] {
        let (held, _) = world.peak(&[0], line);
        assert!(held < MEMORY_KIB, "{line}: {held} KiB");
    }
    assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);
}

#[test]
fn messages_with_one_message_id_all_arrive() {
    let world = World::empty();
    world.site(&["ann"]);
    let cur = world.maildir("ann").join("cur");
    for (name, text) in [("1.a", "one"), ("2.a", "two"), ("3.a", "one")] {
        fs::write(cur.join(format!("{name}:2,S")), format!("Message-ID: <same@h.example>\r\n\r\n{text}\r\n")).unwrap();
    }
    world.wagon(0, "export --from {}/source --archive {}/archive");
    for _ in 0..2 {
        world.wagon(0, "import --archive {}/archive --to {}/target");
        assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);
    }
    let found = world.wagon(0, "find --archive {}/archive --message-id same@h.example");
    assert_says(&found, &["INBOX/1.a", "INBOX/2.a", "INBOX/3.a"]);
}
