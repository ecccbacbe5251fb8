//! A site's calendars, tasks, contacts and filters through the command line: from Radicale and Pigeonhole through an
//! archive to Cyrus, from there to files, and later passes with what changed meanwhile. Needs root and the development
//! testbed; without them it says so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

mod servers;
mod sites;

use servers::dovecot::open_dir;
use servers::http::Http;
use servers::imap::Imap;
use servers::testbed::{Server, missing, password, users};
use sites::{Place, skip};
use std::fs;

const ANN: &str = "ann@a.test";
const BOB: &str = "bob@b.test";

fn event(uid: &str, lines: &str) -> Vec<u8> {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20240102T030405Z\r\n\
         DTSTART:20240203T100000Z\r\nDTEND:20240203T110000Z\r\n{lines}END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    .into_bytes()
}

fn card(uid: &str, lines: &str) -> Vec<u8> {
    format!("BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\n{lines}END:VCARD\r\n").into_bytes()
}

/// The lines of an item, unfolded and sorted: what no server alters.
fn lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap().replace("\r\n ", "");
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn describe(place: &Place, name: &str, sections: &str) {
    let list = [ANN, BOB].map(|account| format!("{{ address = \"{account}\" }}")).join(", ");
    let text = format!("insecure = true\n[accounts]\nlist = [{list}]\n{sections}");
    fs::write(place.path(name), text).unwrap();
    let rows: String = [ANN, BOB].iter().map(|account| format!("{account},{}\n", password(account))).collect();
    fs::write(place.path("logins.csv"), format!("address,password\n{rows}")).unwrap();
}

fn dav(port: u16) -> String {
    format!("[groupware]\ndav = \"http://127.0.0.1:{port}/\"\nlogin = \"own\"\npasswords = \"logins.csv\"\n")
}

fn cyrus(place: &Place) -> Server {
    let server = Server::start("cyrus", &users(&place.root, &[ANN, BOB]), &[]);
    for account in [ANN, BOB] {
        Imap::login(server.port("CYRUS_IMAP_PORT"), account, &password(account)).unwrap();
    }
    server
}

#[test]
fn a_sites_calendars_and_contacts_go_from_radicale_to_cyrus_and_on_to_files() {
    if let Some(why) = missing(&["cyrus", "radicale"]) {
        return skip("a site's calendars go from Radicale to Cyrus", &why);
    }
    let dir = open_dir();
    let place = Place::at(dir.path());
    let radicale = Server::start("radicale", &users(dir.path(), &[ANN, BOB]), &[("RIGHTS", "owner_only")]);
    let cyrus = cyrus(&place);
    let (old, new) = (radicale.port("RADICALE_PORT"), cyrus.port("CYRUS_HTTP_PORT"));
    describe(&place, "old.toml", &dav(old));
    describe(&place, "new.toml", &dav(new));
    let ann = Http::new(old, ANN, &password(ANN));
    ann.make(&format!("/{ANN}/work/"), "Arbeit");
    ann.make(&format!("/{ANN}/people/"), "");
    let described = "<C:calendar-description>Wer wo ist</C:calendar-description><A:calendar-order>2</A:calendar-order>\
        <C:supported-calendar-component-set><C:comp name=\"VEVENT\"/></C:supported-calendar-component-set>";
    assert_eq!(ann.describe(&format!("/{ANN}/work/"), described), 207);
    let long =
        "DESCRIPTION:Ein langer Text\\, der in jedem Fall irgendwo umbrochen wird\\, weil er mehr als 75 Byte hat\r\n";
    let items = [
        ("work/one.ics", event("one@test", &format!("SUMMARY:Eins\r\n{long}"))),
        ("work/two words.ics", event("two@test", "SUMMARY:Zwei\r\n")),
        ("work/three.ics", event("three@test", "SUMMARY:Drei\r\n")),
        ("people/ann.vcf", card("card-1", "FN:Ann\r\nN:A;Ann;;;\r\n")),
        ("people/team.vcf", card("card-2", "FN:Team\r\nN:T;;;;\r\nX-ADDRESSBOOKSERVER-KIND:group\r\n")),
    ];
    for (name, bytes) in &items {
        assert_eq!(ann.put(&format!("/{ANN}/{}", name.replace(' ', "%20")), bytes), 201);
    }

    place.wagon(0, "export --from {}/old.toml --archive {}/archive");
    place.wagon(0, "import --archive {}/archive --to {}/new.toml");
    let there = Http::new(new, ANN, &password(ANN));
    let at = |name: &str| {
        let home = if name.ends_with(".vcf") { "addressbooks" } else { "calendars" };
        format!("/dav/{home}/user/{ANN}/{}", name.replace(' ', "%20"))
    };
    for (name, bytes) in &items {
        let arrived = there.get(&at(name)).unwrap_or_else(|| panic!("{name} did not arrive"));
        assert_eq!(lines(&arrived), lines(bytes), "{name}");
    }
    place.wagon(0, "verify --archive {}/archive --to {}/new.toml");

    // Nothing changed, so nothing is read and nothing written.
    let again = place.wagon(0, "export --from {}/old.toml --archive {}/archive --json");
    assert!(again.contains("\"items_added\":0"), "{again}");
    place.wagon(0, "import --archive {}/archive --to {}/new.toml");

    // One is edited on the source, one on the target, one on both.
    let edited = |uid: &str, what: &str| event(uid, &format!("SUMMARY:{what}\r\n{long}"));
    assert_eq!(ann.put(&format!("/{ANN}/work/one.ics"), &edited("one@test", "on the source")), 204);
    assert_eq!(ann.put(&format!("/{ANN}/work/three.ics"), &edited("three@test", "on the source")), 204);
    assert_eq!(there.put(&at("work/three.ics"), &edited("three@test", "on the target")), 204);
    assert_eq!(there.put(&at("work/two words.ics"), &edited("two@test", "on the target")), 204);
    assert_eq!(ann.put(&format!("/{ANN}/work/four.ics"), &edited("four@test", "new")), 201);
    place.wagon(0, "export --from {}/old.toml --archive {}/archive");
    let out = place.run("import --archive {}/archive --to {}/new.toml");
    let told = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{told}");
    let conflicts: Vec<_> = told.lines().filter(|line| line.starts_with("conflict")).collect();
    assert_eq!(conflicts, ["conflict ann@a.test:calendars/work/three.ics: edited on both sides; the target's stays"]);
    for (name, uid, what) in [
        ("work/one.ics", "one@test", "on the source"),
        ("work/two words.ics", "two@test", "on the target"),
        ("work/three.ics", "three@test", "on the target"),
        ("work/four.ics", "four@test", "new"),
    ] {
        assert_eq!(lines(&there.get(&at(name)).unwrap()), lines(&edited(uid, what)), "{name}");
    }

    // What Cyrus serves, byte by byte as files.
    place.wagon(0, "export --from {}/new.toml --archive {}/second");
    place.wagon(0, "import --archive {}/second --to {}/files");
    for name in ["work/one.ics", "work/two words.ics", "work/three.ics", "work/four.ics", "people/team.vcf"] {
        let kind = if name.ends_with(".vcf") { "contacts" } else { "calendars" };
        let file = place.path(&format!("files/dav/a.test/ann/{kind}/{name}"));
        assert_eq!(fs::read(&file).unwrap(), there.get(&at(name)).unwrap(), "{name}");
    }
    let title = place.path("files/dav/a.test/ann/calendars/work/displayname");
    assert_eq!(fs::read_to_string(title).unwrap(), "Arbeit\n");
    for (file, text) in [("description", "Wer wo ist\n"), ("order", "2\n"), ("components", "VEVENT\n")] {
        let file = place.path(&format!("files/dav/a.test/ann/calendars/work/{file}"));
        assert_eq!(fs::read_to_string(file).unwrap(), text);
    }
}

#[test]
fn filters_go_from_pigeonhole_to_cyrus_and_redirects_follow_a_renaming() {
    if let Some(why) = missing(&["dovecot", "cyrus"]) {
        return skip("filters go from Pigeonhole to Cyrus", &why);
    }
    let dir = open_dir();
    let place = Place::at(dir.path());
    let home = place.path("site/mail/a.test/ann");
    fs::create_dir_all(home.join("sieve")).unwrap();
    fs::create_dir_all(place.path("site/mail/b.test/bob")).unwrap();
    fs::create_dir_all(place.path("site/etc")).unwrap();
    let line = |name: &&str| format!("{name}:{{PLAIN}}{}:::::\n", password(name));
    fs::write(place.path("site/etc/passwd"), [ANN, BOB].iter().map(line).collect::<String>()).unwrap();
    let script = b"require \"copy\";\r\nredirect :copy \"carl@old.test\";\r\nkeep;\r\n";
    fs::write(home.join("sieve/main.sieve"), script).unwrap();
    fs::write(home.join("sieve/spare.sieve"), b"keep;\r\n").unwrap();
    std::os::unix::fs::symlink("sieve/main.sieve", home.join(".dovecot.sieve")).unwrap();
    let dovecot = Server::start("dovecot", &place.path("site"), &[]);
    let cyrus = cyrus(&place);
    let sieve = |port: u16, login: &str| format!("[filters]\nmanagesieve = \"sieve://127.0.0.1:{port}\"\n{login}");
    fs::write(place.path("master.secret"), "master-secret\n").unwrap();
    let master = "login = \"master\"\nuser = \"master\"\npassword = { file = \"master.secret\" }\n";
    let own = "login = \"own\"\npasswords = \"logins.csv\"\n";
    describe(&place, "old.toml", &sieve(dovecot.port("DOVECOT_SIEVE_PORT"), master));
    describe(&place, "new.toml", &sieve(cyrus.port("CYRUS_SIEVE_PORT"), own));

    place.wagon(0, "export --from {}/old.toml --archive {}/archive");
    fs::write(place.path("renaming"), "old.test new.test\n").unwrap();
    place.wagon(0, "import --archive {}/archive --to {}/new.toml --rename {}/renaming");
    place.wagon(0, "export --from {}/new.toml --archive {}/second");
    place.wagon(0, "import --archive {}/second --to {}/files");
    let arrived = place.path("files/mail/a.test/ann");
    let wanted = String::from_utf8(script.to_vec()).unwrap().replace("old.test", "new.test");
    assert_eq!(fs::read_to_string(arrived.join("sieve/main.sieve")).unwrap(), wanted);
    assert_eq!(fs::read(arrived.join("sieve/spare.sieve")).unwrap(), b"keep;\r\n");
    assert_eq!(fs::read_link(arrived.join(".dovecot.sieve")).unwrap().to_str(), Some("sieve/main.sieve"));
    // An account without scripts gets no folder for them.
    assert!(!place.path("files/mail/b.test/bob/sieve").exists());
    // A later pass finds nothing to do.
    let again = place.wagon(0, "export --from {}/old.toml --archive {}/archive --json");
    assert!(again.contains("\"items_added\":0") && again.contains("\"items_changed\":0"), "{again}");

    // A script is edited to what Cyrus does not know: it stays as it was, and what is new arrives beside it.
    fs::write(home.join("sieve/spare.sieve"), b"require \"vnd.dovecot.debug\";\r\ndebug_log \"x\";\r\n").unwrap();
    fs::write(home.join("sieve/new.sieve"), b"discard;\r\n").unwrap();
    place.wagon(0, "export --from {}/old.toml --archive {}/archive");
    let import = "import --archive {}/archive --to {}/new.toml --rename {}/renaming";
    let out = place.run(import);
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(3), "{told}");
    assert!(told.contains("filters/sieve/spare: refused: its compiler says:"), "{told}");
    // Mended, it arrives.
    fs::write(home.join("sieve/spare.sieve"), b"stop;\r\n").unwrap();
    place.wagon(0, "export --from {}/old.toml --archive {}/archive");
    place.wagon(0, import);
    place.wagon(0, "export --from {}/new.toml --archive {}/second");
    place.wagon(0, "import --archive {}/second --to {}/files");
    assert_eq!(fs::read(arrived.join("sieve/spare.sieve")).unwrap(), b"stop;\r\n");
    assert_eq!(fs::read(arrived.join("sieve/new.sieve")).unwrap(), b"discard;\r\n");
}
