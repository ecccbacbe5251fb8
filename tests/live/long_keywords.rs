//! Keywords that one server takes and another does not: the message arrives without them, and that is told.

use crate::world::{World, ready};
use std::fs;

const ANN: &str = "ann@a.test";

#[test]
fn a_message_with_a_keyword_that_dovecot_finds_too_long_arrives_without_it() {
    if !ready("a keyword that is too long", &["dovecot"]) {
        return;
    }
    let world = World::new();
    let maildir = world.path("old/mail/a.test/ann/Maildir");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(sub)).unwrap();
    }
    fs::create_dir_all(world.path("old/etc")).unwrap();
    world.write("old/etc/passwd", "ann@a.test:{PLAIN}pw-ann::::::\n");
    // Dovecot 2.3 takes 50 bytes.
    let (fits, long, longer) = ("f".repeat(50), "l".repeat(51), "m".repeat(70));
    fs::write(maildir.join("dovecot-keywords"), format!("0 $Work\n1 {fits}\n2 {long}\n3 {longer}\n")).unwrap();
    for (number, letters) in [(1, "Sabcd"), (2, "Sab"), (3, "Sc"), (4, "S")] {
        let text = format!("Subject: {number}\n\nbody {number}\n");
        fs::write(maildir.join(format!("cur/160000000{number}.M1P1.host:2,{letters}")), text).unwrap();
    }
    world.wagon(0, "export --from {}/old --archive {}/archive");
    world.empty_site("new", &[ANN]);
    let target = world.dovecot("new");
    let import = "import --archive {}/archive --to {}/new.toml";
    let (_, said) = world.report(import, &[0]);
    for keyword in [&long, &longer] {
        assert!(said.contains(&format!("the target cannot hold the keyword {keyword:?}")), "{said}");
    }
    assert!(!said.contains(&format!("hold the keyword {fits:?}")) && !said.contains("$Work"), "{said}");
    let inbox = &target.look(ANN)["INBOX"];
    let mut flags: Vec<Vec<String>> = inbox.messages.iter().map(|one| one.flags.to_vec()).collect();
    flags.sort();
    let seen = || "\\Seen".to_owned();
    let both = vec!["$Work".to_owned(), seen(), fits];
    assert_eq!(flags, [both.clone(), both, vec![seen()], vec![seen()]], "{said}");

    // The next pass has nothing to do, and one that brings such a keyword to a message that is there does not end for it.
    let (_, again) = world.report(import, &[0]);
    assert!(again.contains("\n0 B delivered"), "{again}");
    fs::rename(maildir.join("cur/1600000004.M1P1.host:2,S"), maildir.join("cur/1600000004.M1P1.host:2,Sac")).unwrap();
    world.wagon(0, "export --from {}/old --archive {}/archive");
    let (_, said) = world.report(import, &[0]);
    assert!(said.contains(&format!("the target cannot hold the keyword {long:?}")), "{said}");
    let inbox = &target.look(ANN)["INBOX"];
    assert_eq!(inbox.messages.iter().filter(|one| one.flags.iter().any(|flag| flag == "$Work")).count(), 3, "{said}");
}
