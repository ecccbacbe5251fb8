//! What running servers say of folders beside their messages: comments, and who else may look in.

use crate::servers::imap::Imap;
use crate::world::{World, ready};
use std::fs;

const ANN: &str = "ann@a.test";

/// The comments on a folder, as the server writes them.
fn comments(imap: &mut Imap, folder: &str) -> Vec<String> {
    let answers = imap.command(&format!("GETMETADATA \"{folder}\" (/shared/comment /private/comment)"));
    let text = |literal: &Vec<u8>| String::from_utf8_lossy(literal).into_owned();
    answers
        .iter()
        .flat_map(|answer| [answer.text.clone()].into_iter().chain(answer.literals.iter().map(text)))
        .collect()
}

#[test]
fn comments_on_folders_come_along_and_follow_what_becomes_of_them() {
    if !ready("comments on folders", &["cyrus"]) {
        return;
    }
    let world = World::new();
    let (source, target) = (world.cyrus("old", &[ANN]), world.cyrus("new", &[ANN]));
    world.write("old.csv", "address\nann@a.test\n");
    let (mut old, mut new) = (source.client(ANN), target.client(ANN));
    old.command("CREATE Plans");
    old.command(
        "SETMETADATA Plans (/shared/comment \"What we are about to do\" /private/comment \"ask \\\"Bob\\\" first\")",
    );
    old.command("SETMETADATA INBOX (/private/comment \"everything else\")");
    let (export, import) =
        ("export --from {}/old.toml --archive {}/archive", "import --archive {}/archive --to {}/new.toml");
    world.wagon(0, export);
    world.wagon(0, import);
    for folder in ["Plans", "INBOX"] {
        let wanted = comments(&mut old, folder);
        assert!(wanted.concat().contains("private/comment"), "{wanted:?}");
        assert_eq!(comments(&mut new, folder), wanted);
    }
    // One is taken away and one changed; nothing else happens in that folder.
    old.command("SETMETADATA Plans (/shared/comment NIL /private/comment \"done\")");
    world.wagon(0, export);
    world.wagon(0, import);
    let now = comments(&mut new, "Plans");
    assert_eq!(now, comments(&mut old, "Plans"));
    assert!(now.concat().contains("done") && !now.concat().contains("about to do"), "{now:?}");
    assert_eq!(comments(&mut new, "INBOX"), comments(&mut old, "INBOX"));
    // Files have no place for them, which is told.
    let said = world.report("import --archive {}/archive --to dir:{}/files", &[0]).1;
    assert_eq!(said.matches("a directory has no place for its comment").count(), 2, "{said}");
}

#[test]
fn a_folder_too_deep_for_the_target_gets_one_level_and_its_messages() {
    if !ready("a folder that is too deep", &["cyrus", "dovecot"]) {
        return;
    }
    let world = World::new();
    let source = world.cyrus("old", &[ANN]);
    world.write("old.csv", "address\nann@a.test\n");
    let mut old = source.client(ANN);
    // 305 bytes; Dovecot keeps a folder of a Maildir as one name in the file system, of 255 bytes.
    let deep = ["a", "b", "c", "d", "e"].map(|letter| letter.repeat(60)).join("/");
    old.command(&format!("CREATE \"{deep}\""));
    old.append(&deep, "(\\Flagged)", b"Subject: deep\r\n\r\ndown here\r\n");
    world.wagon(0, "export --from {}/old.toml --archive {}/archive");
    world.empty_site("new", &[ANN]);
    let target = world.dovecot("new");
    let import = "import --archive {}/archive --to {}/new.toml";
    let said = world.report(import, &[0]).1;
    assert!(said.contains("on the target, which cannot hold the name"), "{said}");
    let mailbox = target.look(ANN);
    let (name, folder) = mailbox.iter().find(|(name, _)| name.starts_with("aaaa")).unwrap();
    assert!(name.len() < 60 && !name.contains('/'), "{name}");
    assert_eq!(folder.messages.len(), 1);
    // The next message finds the same folder.
    old.append(&deep, "()", b"Subject: deeper\r\n\r\ndown there\r\n");
    world.wagon(0, "export --from {}/old.toml --archive {}/archive");
    world.report(import, &[0]);
    assert_eq!(target.look(ANN)[name].messages.len(), 2);
}

/// The access list of the inbox, without the owner's own line.
fn grants(imap: &mut Imap, owner: &str) -> Vec<(String, String)> {
    let answers = imap.command("GETACL INBOX");
    let list = answers.iter().find_map(|answer| answer.text.strip_prefix("* ACL INBOX ")).unwrap();
    let words: Vec<&str> = list.split_whitespace().collect();
    let pairs = words.chunks_exact(2).map(|pair| (pair[0].trim_matches('"').to_owned(), pair[1].to_owned()));
    let mut grants: Vec<_> = pairs.filter(|(who, _)| who != owner && who != "anyone").collect();
    grants.sort();
    grants
}

#[test]
fn shares_of_a_running_server_are_checked_mended_and_taken_back() {
    if !ready("shares of a running server", &["cyrus"]) {
        return;
    }
    let world = World::new();
    let source = world.cyrus("old", &[ANN, "bob@a.test"]);
    world.write("old.csv", "address\nann@a.test\nbob@a.test\n");
    let target = world.cyrus("new", &["ann@b.test", "bob@b.test"]);
    source.client(ANN).command("SETACL INBOX bob@a.test lrs");
    world.wagon(0, "export --from {}/old.toml --archive {}/archive");
    world.write("renaming", "a.test b.test\n");
    world.wagon(0, "import --archive {}/archive --to {}/new.toml --rename {}/renaming");
    let mut ann = target.client("ann@b.test");
    let right = [("bob@b.test".to_owned(), "lrs".to_owned())];
    assert_eq!(grants(&mut ann, "ann@b.test"), right);
    let whole = world.wagon(0, "shares check --site {}/new.toml");
    assert!(whole.contains("every share holds together"), "{whole}");
    let compare = "shares matrix --site {}/new.toml --archive {}/archive --compare";
    world.wagon(0, compare);

    // Somebody's script copied the old server's access lists, with the names of the old server.
    ann.command("SETACL INBOX bob@a.test lrs");
    ann.command("DELETEACL INBOX bob@b.test");
    let wrong = grants(&mut ann, "ann@b.test");
    let broken = world.wagon(5, "shares check --site {}/new.toml");
    assert!(broken.contains("`wagon shares fix` mends") && broken.contains("bob@a.test"), "{broken}");
    world.wagon(5, compare);
    let mut maps = fs::read_dir(world.path("new.state")).unwrap().map(|entry| entry.unwrap().file_name());
    let map =
        maps.find(|name| name.to_string_lossy().ends_with(".sqlite") && name.to_string_lossy().starts_with("map_"));
    let map = map.unwrap().into_string().unwrap();
    let fix = format!("shares fix --site {{}}/new.toml {{}}/new.state/{map}");
    let plan = world.wagon(0, &format!("{fix} --dry-run"));
    assert!(plan.contains("would change: 1 share"), "{plan}");
    assert_eq!(grants(&mut ann, "ann@b.test"), wrong);
    world.wagon(0, &fix);
    assert_eq!(grants(&mut ann, "ann@b.test"), right);
    world.wagon(0, "shares check --site {}/new.toml");
    world.wagon(0, compare);
    let again = world.wagon(0, &fix);
    assert!(again.contains("changed: 0 shares"), "{again}");
    world.wagon(0, "shares undo --site {}/new.toml");
    assert_eq!(grants(&mut ann, "ann@b.test"), wrong);
}
