//! Calendars, contacts and filters through connections that break at any byte: each item arrives once all the same.

use crate::proxy::{Faults, Proxy};
use crate::servers::http::Http;
use crate::servers::testbed::{Server, password, users};
use crate::world::{Site, World, ready};
use std::collections::BTreeMap;
use std::fs;

const ANN: &str = "ann@a.test";
/// Targets, each an account that nobody has used; so many imports are made, of a second or so each.
const TARGETS: usize = 34;
const SCRIPT: &str = "redirect \"bob@b.test\";\r\n";

fn event(number: usize) -> Vec<u8> {
    let text = format!("DESCRIPTION:{}\r\n", "long ".repeat(number * 150)).into_bytes();
    // No line of more than 75 bytes (RFC 5545, section 3.1), so that no server folds it otherwise.
    let folded: Vec<String> =
        text.chunks(70).map(|piece| String::from_utf8_lossy(piece).trim_end_matches("\r\n").to_owned()).collect();
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\nUID:e{number}@t\r\nDTSTAMP:20240102T030405Z\r\n\
         DTSTART:20240203T100000Z\r\nDTEND:20240203T113000Z\r\nSUMMARY:Event {number}\r\n{}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
        folded.join("\r\n ")
    )
    .into_bytes()
}

fn calm() -> Faults {
    Faults { raw: true, ..Faults::default() }
}

struct Office {
    world: World,
    radicale: Server,
    dovecot: Site,
    dav: Proxy,
    sieve: Proxy,
    used: usize,
}

impl Office {
    /// An archive of a calendar, an address book and a script, and servers with empty accounts.
    fn new() -> Self {
        let world = World::new();
        let targets: Vec<String> = (0..TARGETS).map(|number| format!("ann@n{number}.test")).collect();
        let mut names: Vec<&str> = targets.iter().map(String::as_str).collect();
        world.empty_site("new", &names);
        names.push(ANN);
        let people = users(&world.path(""), &names);
        let radicale = Server::start("radicale", &people, &[("RIGHTS", "owner_only")]);
        let office = Http::new(radicale.port("RADICALE_PORT"), ANN, &password(ANN));
        office.make(&format!("/{ANN}/work/"), "Work");
        office.make(&format!("/{ANN}/people/"), "");
        for number in 0..4 {
            assert_eq!(office.put(&format!("/{ANN}/work/e{number}.ics"), &event(number)), 201);
        }
        let card = b"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:c1\r\nFN:Carl\r\nN:C;Carl;;;\r\nEND:VCARD\r\n";
        assert_eq!(office.put(&format!("/{ANN}/people/carl.vcf"), card), 201);

        world.empty_site("old", &[ANN]);
        let home = world.path("old/mail/a.test/ann");
        fs::create_dir_all(home.join("sieve")).unwrap();
        fs::write(home.join("sieve/main.sieve"), SCRIPT).unwrap();
        std::os::unix::fs::symlink("sieve/main.sieve", home.join(".dovecot.sieve")).unwrap();
        let rows: String = names.iter().map(|name| format!("{name},{}\n", password(name))).collect();
        world.write("logins.csv", &format!("address,password\n{rows}"));
        world.write("new.secret", "master-secret\n");
        let source = world.dovecot("old");
        let [dav, sieve] = [radicale.port("RADICALE_PORT"), source.server().port("DOVECOT_SIEVE_PORT")].map(Proxy::to);
        [&dav, &sieve].iter().for_each(|proxy| proxy.set(calm()));
        let this = Self { dav, sieve, dovecot: world.dovecot("new"), world, radicale, used: 0 };
        this.describe("old", ANN, this.sieve.port);
        this.world.report("export --from {}/old.toml --archive {}/archive", &[0]);
        let sieve = Proxy::to(this.dovecot.server().port("DOVECOT_SIEVE_PORT"));
        Self { sieve, ..this }
    }

    fn describe(&self, name: &str, account: &str, sieve: u16) {
        let text = format!(
            "insecure = true\n[accounts]\nlist = [{{ address = \"{account}\" }}]\n\
             [filters]\nmanagesieve = \"sieve://127.0.0.1:{sieve}\"\nlogin = \"master\"\nuser = \"master\"\n\
             password = {{ file = \"new.secret\" }}\n\
             [groupware]\ndav = \"http://127.0.0.1:{}/\"\nlogin = \"own\"\npasswords = \"logins.csv\"\n",
            self.dav.port
        );
        self.world.write(&format!("{name}.toml"), &text);
    }

    /// Everything below an account's home in Radicale, by path without the account.
    fn calendars(&self, account: &str) -> BTreeMap<String, Vec<u8>> {
        let http = Http::new(self.radicale.port("RADICALE_PORT"), account, &password(account));
        let hrefs = |path: &str| -> Vec<String> {
            let listed = http.propfind(path);
            let hrefs = listed.split("<href>").skip(1).filter_map(|rest| rest.split_once("</href>"));
            hrefs
                .map(|(href, _)| href.replace("%40", "@"))
                .filter(|href| href != path && href.len() > path.len())
                .collect()
        };
        let mut found = BTreeMap::new();
        let home = format!("/{account}/");
        for collection in hrefs(&home) {
            found.insert(collection.trim_start_matches(&home).to_owned(), Vec::new());
            for item in hrefs(&collection) {
                found.insert(item.trim_start_matches(&home).to_owned(), http.get(&item).unwrap());
            }
        }
        found
    }

    /// Imports into an account that nobody has used, through these faults, then without any; whether the first was enough.
    fn import(&mut self, dav: Faults, sieve: Faults) -> bool {
        let (name, account) = (format!("t{}", self.used), format!("ann@n{}.test", self.used));
        self.used += 1;
        self.describe(&name, &account, self.sieve.port);
        self.world.write(&format!("{name}.rename"), &format!("a.test n{}.test\n", self.used - 1));
        let line = format!("import --archive {{}}/archive --to {{}}/{name}.toml --rename {{}}/{name}.rename --jobs 1");
        let told = format!("{dav:?} {sieve:?}");
        self.dav.set(dav);
        self.sieve.set(sieve);
        let (status, first) = self.world.report(&line, &[0, 1, 3]);
        let broken = [&self.dav, &self.sieve].map(Proxy::counts);
        for proxy in [&self.dav, &self.sieve] {
            proxy.set(calm());
        }
        let (_, second) = self.world.report(&line, &[0]);
        assert!(broken.iter().all(|counts| counts.connections > 0), "{told}\n{first}");
        assert_eq!(self.calendars(&account), self.calendars(ANN), "{told}\n{first}\n{second}");
        let home = self.world.path("new/mail").join(format!("n{}.test/ann", self.used - 1));
        let scripts: Vec<_> = fs::read_dir(home.join("sieve"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".sieve"))
            .collect();
        assert_eq!(scripts, ["main.sieve"], "{told}\n{first}\n{second}");
        assert_eq!(fs::read_to_string(home.join(".dovecot.sieve")).unwrap(), SCRIPT, "{told}\n{first}\n{second}");
        status == 0
    }
}

#[test]
fn connections_that_break_at_any_byte_leave_each_event_card_and_script_once() {
    if !ready("connections for calendars and filters break at any byte", &["dovecot", "radicale"]) {
        return;
    }
    let mut office = Office::new();
    // How much an undisturbed import says and hears.
    let undisturbed = format!("ann@n{}.test", office.used);
    office.describe("m", &undisturbed, office.sieve.port);
    office.world.write("m.rename", &format!("a.test n{}.test\n", office.used));
    office.used += 1;
    for proxy in [&office.dav, &office.sieve] {
        proxy.set(calm());
    }
    office.world.report("import --archive {}/archive --to {}/m.toml --rename {}/m.rename --jobs 1", &[0]);
    let [dav, sieve] = [&office.dav, &office.sieve].map(Proxy::counts);
    let (mut tried, mut whole) = (0, 0);
    let each = (TARGETS as u64 - 2) / 4;
    for (bytes, up, is_dav) in
        [(dav.up, true, true), (dav.down, false, true), (sieve.up, true, false), (sieve.down, false, false)]
    {
        let step = usize::try_from(bytes / each + 1).unwrap();
        for at in (1..bytes).step_by(step) {
            let faults = match up {
                true => Faults { cut_up: Some(at), ..calm() },
                false => Faults { cut_down: Some(at), ..calm() },
            };
            let (on_dav, on_sieve) = if is_dav { (faults, calm()) } else { (calm(), faults) };
            tried += 1;
            whole += usize::from(office.import(on_dav, on_sieve));
        }
    }
    let told = format!("{tried} imports, {whole} completed all the same; DAV {dav:?}, ManageSieve {sieve:?}");
    assert!(tried >= 24 && whole * 10 >= tried * 9, "{told}");
    eprintln!("{told}");
}
