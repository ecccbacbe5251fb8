//! Values that want to be lines, fields, paths or statements of what they are written into.

use crate::forged::{self, head, member, object, sha256};
use crate::world::{World, contents};
use std::fs;

const LETTER: &[u8] = b"Subject: one\r\n\r\nbody\r\n";

/// What a hostile value tries, beside what it is a value of.
const ATTEMPTS: [&str; 8] = [
    "x\nevil@h.example:{PLAIN}evil::::::",
    "x\r\nevil@h.example evil@elsewhere.example",
    "x\nuser=evil@h.example lrwstipekxa",
    "x, evil@elsewhere.example",
    "x evil@elsewhere.example",
    "x:{PLAIN}evil::::::nopassword",
    "x'); DROP TABLE account; --",
    "\u{1b}]0;evil\u{7}x\u{202e}",
];

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// Records in which every text but the names of the sound account and its domain is `evil`.
fn records(evil: &str) -> String {
    let (evil, address, domain) = (json(evil), json(&format!("{evil}@h.example")), json(&format!("h.{evil}")));
    let record = |id: u32, fields: String| format!("{{\"put\":{{\"id\":{id},\"record\":{{{fields}}}}}}}\n");
    [
        record(2, r#""kind":"domain","name":"h.example""#.to_owned()),
        record(
            1,
            format!(
                r#""kind":"account","address":"ann@h.example","name":{evil},"quota_bytes":1024,"groups":[{evil},"eng"],"attributes":{{"passwd.extra":{evil},{evil}:{evil}}}"#
            ),
        ),
        record(3, format!(r#""kind":"domain","name":{domain},"catch_all":[{address}]"#)),
        record(4, format!(r#""kind":"domain","name":"old.example","catch_all":[{address},{evil}]"#)),
        record(5, format!(r#""kind":"domain","name":"other.example","alias_of":{domain}"#)),
        record(6, format!(r#""kind":"cos","name":{evil},"attributes":{{{evil}:{evil}}}"#)),
        record(7, format!(r#""kind":"account","address":{address}"#)),
        record(8, format!(r#""kind":"account","address":"bob@h.example","password":{evil}"#)),
        record(9, format!(r#""kind":"account","address":"cat@h.example","attributes":{{"passwd.home":{evil}}}"#)),
        record(10, format!(r#""kind":"alias","address":{address},"targets":["ann@h.example"]"#)),
        record(11, format!(r#""kind":"alias","address":"info@h.example","targets":[{address}]"#)),
        record(12, format!(r#""kind":"list","address":"all@h.example","name":{evil},"members":[{address},"ann@h.example"],"owners":[{address}]"#)),
        record(
            13,
            format!(
                r#""kind":"account","address":"dan@h.example","quota_bytes":1024,"status":"locked","groups":["x\\"],"attributes":{{"passwd.quota_limits":{evil}}}"#
            ),
        ),
    ]
    .concat()
}

fn mailbox(evil: &str, id: &str) -> String {
    let evil = json(evil);
    let size = LETTER.len();
    format!(
        "{{\"setting\":{{\"kind\":\"identity\",\"name\":{evil},\"from\":{evil}}}}}\n\
         {{\"setting\":{{\"kind\":\"forwarding\",\"targets\":[{evil}],\"keep_copy\":true}}}}\n\
         {{\"setting\":{{\"kind\":\"preference\",\"name\":{evil},\"value\":{evil}}}}}\n\
         {{\"setting\":{{\"kind\":\"tag\",\"name\":{evil},\"color\":{evil}}}}}\n\
         {{\"folder\":{{\"i\":1,\"path\":\"INBOX\",\"guid\":{evil},\"uidvalidity\":7,\"uidnext\":9,\"grants\":[{{\"to\":\"user\",\
         \"who\":{evil},\"rights\":\"lr\"}},{{\"to\":\"group\",\"who\":{evil},\"rights\":\"l\",\"negative\":true}}]}}}}\n\
         {{\"folder\":{{\"i\":2,\"path\":{evil},\"subscribed\":true}}}}\n\
         {{\"folder\":{{\"i\":3,\"kind\":\"calendars\",\"path\":{evil},\"title\":{evil},\"color\":{evil}}}}}\n\
         {{\"folder\":{{\"i\":4,\"kind\":\"filters\",\"path\":\"sieve\"}}}}\n\
         {{\"item\":{{\"i\":1,\"f\":1,\"n\":{evil},\"o\":\"{id}\",\"s\":{size},\"d\":5,\"k\":[{evil}],\"t\":[{evil}],\"u\":3,\"p\":{evil}}}}}\n\
         {{\"item\":{{\"i\":2,\"f\":2,\"n\":\"2.a\",\"o\":\"{id}\",\"s\":{size},\"d\":5}}}}\n\
         {{\"item\":{{\"i\":3,\"f\":3,\"n\":{evil},\"o\":\"{id}\",\"s\":{size},\"d\":5}}}}\n\
         {{\"item\":{{\"i\":4,\"f\":4,\"n\":{evil},\"o\":\"{id}\",\"s\":{size},\"d\":5}}}}\n"
    )
}

#[test]
fn no_value_becomes_a_line_a_field_a_path_or_a_statement() {
    for evil in ATTEMPTS {
        let world = World::enclosed();
        forged::begin(&world);
        forged::pack(&world, &[member(&object(LETTER))]);
        let (records, mailbox) = (records(evil), mailbox(evil, &sha256(LETTER)));
        let more = r#","provisioning_lines":13,"accounts":[{"id":1,"address":"ann@h.example","lines":12,"items":4,"bytes":88}]"#;
        let entries: [(&str, &[u8]); 2] =
            [("accounts/1.jsonl", mailbox.as_bytes()), ("provisioning.jsonl", records.as_bytes())];
        forged::snapshot(&world, 1, &head(1, more), &entries);
        let out = world.run("import --archive {}/archive --to {}/target --verbose");
        let mut said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(matches!(out.status.code(), Some(0 | 3)), "{evil:?}: {said}");
        assert!(said.contains("ledger balances"), "{said}");
        for line in [
            "verify --archive {}/archive --to {}/target",
            "import --archive {}/archive --to {}/target --verbose",
            "shares check --site {}/target",
            "shares matrix --site {}/target",
            "show --archive {}/archive --provisioning",
            "show --archive {}/archive ann@h.example",
            "ls --archive {}/archive",
            "ls --archive {}/archive ann@h.example",
            "map show --site {}/target",
            "config --site {}/target",
            "export --from {}/target --archive {}/back --verbose",
        ] {
            let out = world.run(line);
            assert!(matches!(out.status.code(), Some(0 | 3 | 5)), "{evil:?}: {line}: {out:?}");
            said += &(String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr));
        }
        assert!(!said.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{said:?}");

        let etc = |name: &str| fs::read_to_string(world.path("target/etc").join(name)).unwrap_or_default();
        for line in etc("passwd").lines() {
            assert!(!line.starts_with("evil") && line.split(':').count() >= 8, "{evil:?}: {line:?}");
            assert!(!line.contains("{PLAIN}evil") || line.starts_with("bob@") || evil.starts_with("x:"), "{line:?}");
            assert!(!line.starts_with("dan@") || line.split(' ').any(|field| field.ends_with("nologin")), "{line:?}");
        }
        for line in etc("virtual_alias").lines().chain(etc("virtual_domains").lines()) {
            assert!(!line.contains("evil@elsewhere.example"), "{evil:?}: {line:?}");
            assert!(!line.starts_with("evil") && !line.starts_with([' ', '\t']), "{evil:?}: {line:?}");
        }
        for (path, bytes) in contents(&world.path("target")) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = String::from_utf8_lossy(&bytes);
            match name.as_str() {
                "dovecot-acl" => assert!(!text.lines().any(|line| line.starts_with("user=evil")), "{text:?}"),
                "subscriptions" | "dovecot-keywords" | "dovecot-uidlist" => {
                    assert!(
                        !text.lines().any(|line| line.starts_with("evil") || line.starts_with("user=")),
                        "{text:?}"
                    );
                }
                _ => {}
            }
            let inside = path.strip_prefix(world.path("target")).unwrap().to_string_lossy().into_owned();
            assert!(!inside.contains(".."), "{inside}");
        }
        // The database still has its tables and says so.
        world.wagon(0, "export --from {}/target --archive {}/back --dry-run");
    }
}

/// The same the other way: files of a source that were written by an enemy.
#[test]
fn control_files_of_a_source_that_an_enemy_wrote_are_reported_line_by_line_and_escape_nothing() {
    let world = World::enclosed();
    world.site(&["ann"]);
    let (etc, maildir) = (world.path("source/etc"), world.maildir("ann"));
    let mut passwd = fs::read(etc.join("passwd")).unwrap();
    passwd.extend(b"../../evil@h.example:{PLAIN}x::::::\n\x1b[2J@h.example:x\nno-password\n\xff:x\nbob@h.example:x:::a\x1b]0;t\x07b:::\n");
    passwd.extend(format!("{}@h.example:x\n", "l".repeat(100_000)).bytes());
    fs::write(etc.join("passwd"), passwd).unwrap();
    let aliases = b"  continues nothing\n\x1b[31mred@h.example ann@h.example\na@h.example ann@h.example, \x1b[2J\nann@h.example\n@ x\n";
    fs::write(etc.join("virtual_alias"), aliases).unwrap();
    fs::write(maildir.join("dovecot-acl"), b"user=\x1b[2Jx lr\n\"user=open lr\nuser=bob@h.example ZZZ\nnobody lr\n")
        .unwrap();
    fs::write(maildir.join("subscriptions"), b"V\t2\n\n..\x01n/..\n\x1b[2J\nINBOX\n").unwrap();
    fs::write(maildir.join("dovecot-uidlist"), b"3 V1 N1 G\x1b[2J\n1 P\x1b[2J :1.a\nx :y\n99999999999 :z\n").unwrap();
    fs::write(maildir.join("dovecot-keywords"), b"0 \x1b[2J\n99 x\n1 fine\n").unwrap();
    fs::write(maildir.join("cur/1.a:2,Sab"), LETTER).unwrap();
    fs::create_dir_all(maildir.parent().unwrap().join("sieve")).unwrap();
    fs::write(maildir.parent().unwrap().join("sieve/\u{1b}[2J.sieve"), b"\x1b[2J\0\xff redirect \"").unwrap();
    let mut said = world.said(3, "export --from {}/source --archive {}/archive --verbose");
    for line in [
        "import --archive {}/archive --to {}/target --verbose",
        "import --archive {}/archive --to {}/target --verbose",
        "ls --archive {}/archive ann@h.example",
        "show --archive {}/archive --provisioning",
        "snapshots --archive {}/archive",
        "map export --site {}/target --format json",
    ] {
        let out = world.run(line);
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        let expected: &[i32] = if line.starts_with("import") { &[3] } else { &[0] };
        assert!(out.status.code().is_some_and(|status| expected.contains(&status)), "{line}: {:?}\n{text}", out.status);
        said += &text;
    }
    assert!(!said.contains(['\u{1b}', '\u{7}', '\0']), "{said:?}");
    assert!(said.contains("etc/passwd") && said.contains("line 5"), "{said}");
    assert!(!world.path("evil").exists() && !world.root.parent().unwrap().join("evil").exists());
}
