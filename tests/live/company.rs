//! A whole company at once: accounts from one directory server into another, mail, filters, calendars, tasks and contacts
//! from three servers of three makes into a fourth, and what changed in a day after that.

use crate::client::Mailbox;
use crate::servers::http::Http;
use crate::servers::slapd::Slapd;
use crate::servers::testbed::{Server, password, users};
use crate::sites::commands;
use crate::world::{World, ready};
use std::fs;
use std::path::Path;

const ANN: &str = "ann@a.test";
const BOB: &str = "bob@a.test";
const TOP: &str = "dn: dc=example,dc=test\nobjectClass: organization\nobjectClass: dcObject\ndc: example\no: x\n\n\
    dn: ou=people,dc=example,dc=test\nobjectClass: organizationalUnit\nou: people\n\n\
    dn: ou=groups,dc=example,dc=test\nobjectClass: organizationalUnit\nou: groups\n\n\
    dn: ou=domains,dc=example,dc=test\nobjectClass: organizationalUnit\nou: domains\n";

fn item(kind: &str, uid: &str, lines: &str) -> Vec<u8> {
    let body = format!("BEGIN:{kind}\r\nUID:{uid}\r\nDTSTAMP:20240102T030405Z\r\n{lines}END:{kind}\r\n");
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\n{body}END:VCALENDAR\r\n").into_bytes()
}

/// The lines of an item, sorted: what no server alters.
fn lines(bytes: &[u8]) -> Vec<String> {
    let mut lines: Vec<_> = String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn letters(mailbox: &Mailbox) -> Vec<(String, Vec<String>, String)> {
    let each = mailbox.iter().flat_map(|(name, folder)| folder.messages.iter().map(move |one| (name, one)));
    let mut all: Vec<_> = each
        .map(|(name, one)| (name.clone(), one.flags.clone(), String::from_utf8_lossy(&one.content).into_owned()))
        .collect();
    all.sort();
    all
}

fn deliver(maildir: &Path, number: usize) {
    fs::create_dir_all(maildir.join("cur")).unwrap();
    let text = format!("Subject: letter {number}\r\n\r\nText of letter {number}\r\n");
    fs::write(maildir.join(format!("cur/{}.M{number}P1.host:2,S", 1_600_000_000 + number)), text).unwrap();
}

#[test]
fn a_company_moves_from_four_servers_to_two_and_its_next_day_follows() {
    if !ready("a company moves", &["dovecot", "radicale", "slapd", "cyrus"]) {
        return;
    }
    let world = World::new();
    let person = |name: &str| {
        format!(
            "\ndn: uid={name},ou=people,dc=example,dc=test\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name} of old\n\
             sn: {name}\nmail: {name}@a.test\nuserPassword: {{PLAIN}}x\n"
        )
    };
    let Some(old_book) = Slapd::with(&format!("{TOP}{}{}", person("ann"), person("bob"))) else { return };
    let Some(new_book) = Slapd::with(TOP) else { return };
    world.empty_site("old", &[ANN, BOB]);
    let home = world.path("old/mail/a.test/ann");
    (0..3).for_each(|number| deliver(&home.join("Maildir"), number));
    (3..5).for_each(|number| deliver(&home.join("Maildir/.Projects"), number));
    fs::create_dir_all(home.join("sieve")).unwrap();
    fs::write(home.join("sieve/main.sieve"), "redirect \"bob@a.test\";\n").unwrap();
    std::os::unix::fs::symlink("sieve/main.sieve", home.join(".dovecot.sieve")).unwrap();
    let dovecot = world.dovecot("old");
    let people = users(&world.path(""), &[ANN, BOB]);
    let radicale = Server::start("radicale", &people, &[("RIGHTS", "owner_only")]);
    let cyrus = world.cyrus("new", &[ANN, BOB]);

    let office = Http::new(radicale.port("RADICALE_PORT"), ANN, &password(ANN));
    let only = |kind: &str| {
        format!("<C:supported-calendar-component-set><C:comp name=\"{kind}\"/></C:supported-calendar-component-set>")
    };
    for (name, kind) in [("work", "VEVENT"), ("todo", "VTODO")] {
        office.make(&format!("/{ANN}/{name}/"), name);
        assert_eq!(office.describe(&format!("/{ANN}/{name}/"), &only(kind)), 207);
    }
    office.make(&format!("/{ANN}/people/"), "");
    let card = b"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:c1\r\nFN:Carl\r\nN:C;Carl;;;\r\nEND:VCARD\r\n".to_vec();
    let mut items = vec![
        (
            "work/one.ics",
            item("VEVENT", "one@t", "DTSTART:20240203T100000Z\r\nDTEND:20240203T113000Z\r\nSUMMARY:Eins\r\n"),
        ),
        ("todo/task.ics", item("VTODO", "task@t", "SUMMARY:To do\r\nSTATUS:NEEDS-ACTION\r\n")),
        ("people/carl.vcf", card),
    ];
    for (name, bytes) in &items {
        assert_eq!(office.put(&format!("/{ANN}/{name}"), bytes), 201, "{name}");
    }

    world.write("logins.csv", &format!("address,password\n{ANN},{}\n{BOB},{}\n", password(ANN), password(BOB)));
    let accounts = |name: &str, book: &Slapd| {
        world.write(&format!("{name}-ldap.secret"), book.get("LDAP_ADMIN_PASSWORD"));
        format!(
            "insecure = true\n[accounts]\nldap = \"{}\"\nbase = \"dc=example,dc=test\"\nbind = \"{}\"\n\
             password = {{ file = \"{name}-ldap.secret\" }}\n",
            book.get("LDAP_URL"),
            book.get("LDAP_ADMIN_DN"),
        )
    };
    let servers = |login: &str, secret: &str, [imap, sieve]: [u16; 2], dav: &str| {
        format!(
            "[mail]\nimap = \"imap://localhost:{imap}\"\n{login}\npassword = {{ file = \"{secret}\" }}\n\
             [filters]\nmanagesieve = \"sieve://localhost:{sieve}\"\n\
             [groupware]\ndav = \"{dav}\"\nlogin = \"own\"\npasswords = \"logins.csv\"\n"
        )
    };
    world.write("old.secret", "master-secret\n");
    world.write("new.secret", &format!("{}\n", cyrus.server().said("CYRUS_ADMIN_PASSWORD")));
    let old = servers(
        "login = \"master\"\nuser = \"master\"",
        "old.secret",
        [dovecot.port(), dovecot.server().port("DOVECOT_SIEVE_PORT")],
        radicale.said("RADICALE_URL"),
    );
    let new = servers(
        "login = \"proxy\"\nuser = \"cyrus\"",
        "new.secret",
        [cyrus.port(), cyrus.server().port("CYRUS_SIEVE_PORT")],
        &format!("http://127.0.0.1:{}/", cyrus.server().port("CYRUS_HTTP_PORT")),
    );
    world.write("old.toml", &(accounts("old", &old_book) + &old));
    world.write("new.toml", &(accounts("new", &new_book) + &new));

    let there = Http::new(cyrus.server().port("CYRUS_HTTP_PORT"), ANN, &password(ANN));
    let arrived = |items: &[(&str, Vec<u8>)]| {
        for (name, bytes) in items {
            let home = if name.ends_with(".vcf") { "addressbooks" } else { "calendars" };
            let found = there.get(&format!("/dav/{home}/user/{ANN}/{name}")).unwrap_or_else(|| panic!("no {name}"));
            assert_eq!(lines(&found), lines(bytes), "{name}");
        }
        assert_eq!(letters(&cyrus.look(ANN)), letters(&dovecot.look(ANN)));
        world.wagon(0, "verify --archive {}/archive --to {}/new.toml");
    };
    let pass = || {
        world.report("export --from {}/old.toml --archive {}/archive", &[0]);
        world.report("import --archive {}/archive --to {}/new.toml", &[0])
    };
    // The first time by the guide's own commands, as they stand.
    let guide = commands(include_str!("../../docs/moving-between-servers.md"));
    for line in guide.iter().filter(|line| !line.starts_with("site init")) {
        let line = line.replace(" old.toml", " {}/old.toml").replace(" new.toml", " {}/new.toml");
        world.wagon(0, &line.replace(" /backup", " {}").replace(" plan.ldif", " {}/plan.ldif"));
    }
    arrived(&items);
    let entries = new_book.dump();
    assert!(entries.contains("mail: ann@a.test") && entries.contains("cn: bob of old"), "{entries}");
    world.report("export --from {}/new.toml --archive {}/look", &[0]);
    world.wagon(0, "import --archive {}/look --to {}/files");
    let script = world.path("files/mail/a.test/ann/sieve/main.sieve");
    assert_eq!(fs::read_to_string(script).unwrap().trim_end(), "redirect \"bob@a.test\";");

    // A day: a letter comes, one is flagged, an event is edited and one added, the task is done, somebody marries.
    let mut user = dovecot.client(ANN);
    user.append("Projects", "(\\Seen)", b"Subject: letter 9\r\n\r\nText of letter 9\r\n");
    user.command("SELECT INBOX");
    user.command("STORE 2 +FLAGS (\\Flagged)");
    items[0].1 =
        item("VEVENT", "one@t", "DTSTART:20240203T110000Z\r\nDTEND:20240203T113000Z\r\nSUMMARY:Eins\\, later\r\n");
    items[1].1 = item("VTODO", "task@t", "SUMMARY:To do\r\nSTATUS:COMPLETED\r\n");
    for (name, bytes) in &items[..2] {
        assert_eq!(office.put(&format!("/{ANN}/{name}"), bytes), 204, "{name}");
    }
    items.push((
        "work/two.ics",
        item("VEVENT", "two@t", "DTSTART:20240204T100000Z\r\nDTEND:20240204T110000Z\r\nSUMMARY:Zwei\r\n"),
    ));
    assert_eq!(office.put(&format!("/{ANN}/work/two.ics"), &items[3].1), 201);
    let (taken, said) =
        old_book.modify("dn: uid=bob,ou=people,dc=example,dc=test\nchangetype: modify\nreplace: cn\ncn: Bob Newname\n");
    assert!(taken, "{said}");
    pass();
    arrived(&items);
    assert!(new_book.dump().contains("displayName: Bob Newname"), "{}", new_book.dump());
    let (_, said) = pass();
    assert!(said.contains("\n0 B delivered"), "{said}");
}
