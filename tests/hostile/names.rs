//! Names of accounts, folders and files that were chosen by an enemy.

use crate::sites::{Names, assert_same, files_of_folder};
use crate::world::{World, assert_says, make_folder};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

#[test]
fn loops_of_links_end_each_is_named_and_the_rest_is_exported() {
    let world = World::empty();
    world.site(&["ann"]);
    let maildir = world.maildir("ann");
    fs::write(maildir.join("cur/1.a:2,S"), "Subject: one\r\n\r\n").unwrap();
    symlink(".", maildir.join(".Loop")).unwrap();
    symlink(".Self", maildir.join(".Self")).unwrap();
    symlink("../..", maildir.join("cur/up")).unwrap();
    let said = world.said(3, "export --from {}/source --archive {}/archive");
    for name in ["Loop", "Self", "INBOX/up"] {
        assert_says(&said, &[&format!("rejected ann@h.example:{name}: ")]);
    }
    world.wagon(0, "import --archive {}/archive --to {}/target");
    assert_same(&world.path("source"), &world.path("target"), Names::Kept, &["folder Loop", "ann INBOX/up"]);
}

#[test]
fn names_with_line_ends_escapes_and_bytes_that_are_no_text_arrive_and_never_reach_a_terminal() {
    let world = World::empty();
    world.site(&["ann"]);
    let maildir = world.maildir("ann");
    let evil = maildir.join(".E\u{1b}[2Jv\u{7}il");
    make_folder(&evil);
    make_folder(&maildir.join(".n\nl"));
    make_folder(&maildir.join(OsStr::from_bytes(b".b\xff")));
    fs::write(maildir.join("cur").join(OsStr::from_bytes(b"a\xffb:2,S")), "Subject: bytes\r\n\r\n").unwrap();
    fs::write(maildir.join("cur/a\nb:2,"), "Subject: line\r\n\r\n").unwrap();
    fs::write(maildir.join("cur/e\u{1b}[2Jsc:2,"), "Subject: \u{1b}[31mred\u{1b}]0;t\u{7}\r\n\r\n").unwrap();
    fs::write(evil.join("cur/1.b:2,"), "Subject: =?utf-8?q?=1b[2Jquoted?=\r\n\r\n").unwrap();
    let mut said = world.said(0, "export --from {}/source --archive {}/archive --verbose");
    for line in [
        "import --archive {}/archive --to {}/target --verbose",
        "verify --archive {}/archive --to {}/target",
        "ls --archive {}/archive ann@h.example",
        "ls --archive {}/archive ann@h.example:INBOX",
        "find --archive {}/archive",
        "show --archive {}/archive",
        "check --archive {}/archive --read-data",
        "extract --archive {}/archive ann@h.example --output {}/out",
        "shares check --site {}/target",
        "map show --site {}/target",
    ] {
        said += &world.said(0, line);
    }
    assert_says(&said, &["E\\u{1b}[2Jv\\u{7}il", "\\u{1b}[31mred", "\\u{1b}[2Jquoted", "n\\u{a}l", "a\\xffb"]);
    assert!(!said.contains(['\u{1b}', '\u{7}']), "{said:?}");
    let target = world.path("target/mail/h.example/ann/Maildir");
    let texts = |dir| {
        let mut texts: Vec<_> = files_of_folder(dir).into_values().collect();
        texts.sort();
        texts
    };
    assert_eq!(texts(&target), texts(&maildir));
    assert_eq!(world.wagon(0, "find --archive {}/archive").lines().count(), 5, "four messages below a head");
}

#[test]
fn two_accounts_that_differ_only_in_case_stay_two() {
    let world = World::empty();
    world.site(&["ann", "Ann"]);
    for user in ["ann", "Ann"] {
        fs::write(world.maildir(user).join("cur/1.a:2,S"), format!("Subject: to {user}\r\n\r\n")).unwrap();
    }
    world.wagon(0, "export --from {}/source --archive {}/archive");
    world.wagon(0, "import --archive {}/archive --to {}/target");
    assert_same(&world.path("source"), &world.path("target"), Names::Kept, &[]);
    assert_says(&world.wagon(0, "ls --archive {}/archive"), &["\nAnn@h.example", "\nann@h.example"]);
}
