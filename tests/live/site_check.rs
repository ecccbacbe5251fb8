//! `wagon site check` on real servers: it logs in everywhere, tells what each can, what gets lost in which direction,
//! and how much a first pass moves; and names whoever cannot be entered.

use crate::servers::http::Http;
use crate::servers::slapd::Slapd;
use crate::servers::testbed::{Server, password, users};
use crate::world::{World, ready};
use std::fs;

const ANN: &str = "ann@a.test";
const BOB: &str = "bob@a.test";

/// The part of a report between a line that begins so and the next empty one.
fn part<'a>(report: &'a str, begins: &str) -> &'a str {
    let start = report.find(begins).unwrap_or_else(|| panic!("no {begins:?} in\n{report}"));
    report[start..].split("\n\n").next().unwrap()
}

fn mail(world: &World, folder: &str, count: usize) -> usize {
    let inbox = world.path(folder).join("mail/a.test/ann/Maildir");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(inbox.join(sub)).unwrap();
    }
    let mut bytes = 0;
    for number in 0..count {
        let text = format!("Subject: {number}\r\n\r\n{}", "line\r\n".repeat(400));
        bytes += text.len();
        fs::write(inbox.join(format!("cur/{}.M{number}P1.host:2,S", 1_600_000_000 + number)), text).unwrap();
    }
    bytes
}

#[test]
fn a_directory_mail_and_calendars_are_checked_together_before_anything_is_moved() {
    if !ready("checking Dovecot, slapd and Radicale", &["dovecot", "radicale", "slapd"]) {
        return;
    }
    let world = World::new();
    let entry = |name: &str| {
        format!(
            "\ndn: uid={name},dc=example,dc=test\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
             mail: {name}@a.test\nuserPassword: {{PLAIN}}x\n"
        )
    };
    let top = "dn: dc=example,dc=test\nobjectClass: organization\nobjectClass: dcObject\ndc: example\no: x\n";
    let Some(slapd) = Slapd::with(&format!("{top}{}{}", entry("ann"), entry("bob"))) else { return };
    world.empty_site("old", &[ANN, BOB]);
    let bytes = mail(&world, "old", 12);
    let old = world.dovecot("old");
    let radicale = Server::start("radicale", &users(&world.path(""), &[ANN, BOB]), &[]);
    let http = Http::new(radicale.port("RADICALE_PORT"), ANN, &password(ANN));
    http.make(&format!("/{ANN}/work/"), "Work");
    world.write("ldap.secret", slapd.get("LDAP_ADMIN_PASSWORD"));
    let logins = |bob: &str| format!("address,password\n{ANN},{}\n{BOB},{bob}\n", password(ANN));
    let describe = |name: &str, master: &str| {
        world.write(&format!("{name}.secret"), master);
        world.write(
            &format!("{name}.toml"),
            &format!(
                "insecure = true\n[accounts]\nldap = \"{}\"\nbase = \"dc=example,dc=test\"\nbind = \"{}\"\n\
                 password = {{ file = \"ldap.secret\" }}\n[mail]\nimap = \"imap://localhost:{}\"\nlogin = \"master\"\n\
                 user = \"master\"\npassword = {{ file = \"{name}.secret\" }}\n[filters]\n\
                 managesieve = \"sieve://localhost:{}\"\n[groupware]\ndav = \"{}\"\nlogin = \"own\"\n\
                 passwords = \"logins.csv\"\n",
                slapd.get("LDAP_URL"),
                slapd.get("LDAP_ADMIN_DN"),
                old.port(),
                old.server().said("DOVECOT_SIEVE_PORT"),
                radicale.said("RADICALE_URL"),
            ),
        );
    };
    world.write("logins.csv", &logins(&password(BOB)));
    describe("old", "master-secret\n");
    let report = world.wagon(0, "site check {}/old.toml");
    let accounts = part(&report, "accounts:");
    assert!(accounts.contains("accounts: 2 in ldap://127.0.0.1:"), "{report}");
    let imap = part(&report, "mail: imap://");
    assert!(imap.contains("logged in for 2 of 2 accounts") && imap.contains("12 items"), "{report}");
    assert!(imap.contains("Dovecot") && imap.contains("CONDSTORE") && imap.contains("QUOTA"), "{report}");
    let filters = part(&report, "filters: sieve://");
    assert!(filters.contains("logged in for 2 of 2 accounts") && filters.contains("Pigeonhole"), "{report}");
    let dav = part(&report, "calendars, ");
    assert!(dav.contains("logged in for 2 of 2 accounts"), "{report}");
    let given = part(&report, "an export of this site cannot bring:");
    assert!(given.contains("identities, signatures") && given.contains("mountpoints"), "{report}");
    let held = part(&report, "an import into this site cannot leave there:");
    assert!(held.contains("UIDs and UIDVALIDITY are the server's own"), "{report}");
    assert!(held.contains("quotas are set on it by an administrator"), "{report}");

    // What a machine reads has the same figures, and they are those of what lies there.
    let lines = world.wagon(0, "site check {}/old.toml --json");
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    let first = find(&last, "first_pass").unwrap_or_else(|| panic!("{last}"));
    let number = |name: &str| first[name].as_f64().unwrap_or_else(|| panic!("{name}: {first}"));
    assert!(number("items") >= 12.0 && number("sample_items") == 12.0, "{first}");
    assert!((number("sample_bytes") - bytes as f64).abs() < 100.0, "{bytes}: {first}");
    // All of the mail was the sample, so the estimate is what the sample took, in proportion to what else there is.
    let most = number("sample_seconds") * number("items").max(12.0) / 12.0 * 2.0;
    assert!(number("seconds") > 0.0 && number("seconds") <= most, "{first}");

    // Whoever cannot be entered is named, with the server's words; the others are counted.
    world.write("logins.csv", &logins("wrong"));
    let (_, report) = world.report("site check {}/old.toml", &[3]);
    let dav = part(&report, "calendars, ");
    assert!(dav.contains("logged in for 1 of 2 accounts") && dav.contains(&format!("not for {BOB}: ")), "{report}");
    assert!(dav.contains("was refused") && !report.contains("wrong"), "{report}");
    describe("locked", "not-the-master's\n");
    let (_, report) = world.report("site check {}/locked.toml", &[3]);
    let imap = part(&report, "mail: imap://");
    assert!(imap.contains("logged in for 0 of 2 accounts") && imap.contains(&format!("not for {ANN}: ")), "{report}");
    assert!(!report.contains("not-the-master's"), "{report}");
    world.write("ldap.secret", "guessed\n");
    let (_, report) = world.report("site check {}/old.toml", &[1]);
    assert!(report.contains("does not let") && !report.contains("guessed"), "{report}");
}

#[test]
fn a_cyrus_tells_what_it_can_hold_and_who_has_no_mailbox() {
    if !ready("checking Cyrus", &["cyrus"]) {
        return;
    }
    let world = World::new();
    let new = world.cyrus("new", &[ANN, BOB]);
    world.write("new.csv", &format!("address\n{ANN}\n{BOB}\n"));
    for account in [ANN, BOB] {
        drop(new.client(account));
    }
    let report = world.wagon(0, "site check {}/new.toml");
    let imap = part(&report, "mail: imap://");
    assert!(imap.contains("logged in for 2 of 2 accounts") && imap.contains("0 items"), "{report}");
    assert!(imap.contains("Cyrus") && imap.contains("CONDSTORE") && imap.contains("METADATA"), "{report}");
    let held = part(&report, "an import into this site cannot leave there:");
    assert!(!held.contains("quotas are set on it by an administrator"), "{report}");
    assert!(held.contains("calendars, contacts and tasks: [groupware] dav names no server"), "{report}");
    assert!(report.contains("a first pass moves 0 items"), "{report}");
}

/// The value under this name, wherever it is.
fn find<'a>(value: &'a serde_json::Value, name: &str) -> Option<&'a serde_json::Value> {
    match value {
        serde_json::Value::Object(fields) => {
            fields.get(name).or_else(|| fields.values().find_map(|inner| find(inner, name)))
        }
        _ => None,
    }
}
