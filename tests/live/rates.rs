//! `--max-rate` on the network: a transfer takes no less than its bytes need, whatever the protocol.

use crate::proxy::{Faults, Proxy};
use crate::servers::http::Http;
use crate::servers::slapd::Slapd;
use crate::servers::testbed::{Server, password, users};
use crate::world::{Site, World, ready};
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

const ANN: &str = "ann@a.test";

/// An eighth of a second's bytes may pass at once.
const BURST: f64 = 0.125;

/// Runs it, which must succeed; how long it took.
fn timed(world: &World, line: &str) -> f64 {
    let began = Instant::now();
    world.wagon(0, line);
    began.elapsed().as_secs_f64()
}

#[test]
fn mail_comes_and_goes_no_faster_than_the_rate() {
    if !ready("rates of mail", &["dovecot", "cyrus"]) {
        return;
    }
    let world = World::new();
    world.empty_site("old", &[ANN]);
    let inbox = world.path("old/mail/a.test/ann/Maildir");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(inbox.join(sub)).unwrap();
    }
    for number in 0..60_u64 {
        // Not twice the same line, so that no compression makes nothing of it.
        let line = |at: u64| format!("{:x}\n", (number * 1000 + at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let text = format!("Subject: {number}\n\n{}", (0..600).map(line).collect::<String>());
        fs::write(inbox.join(format!("cur/{}.M{number}P1.host:2,S", 1_600_000_000 + number)), text).unwrap();
    }
    let old = world.dovecot("old");
    let new = world.cyrus("new", &[ANN]);
    let commands = [
        ("old", &old, "file = \"old/etc/passwd\"", "export --from {}/old.toml --archive {}/archive"),
        ("new", &new, "file = \"new.csv\"", "import --archive {}/archive --to {}/new.toml"),
    ];
    for (name, of, accounts, line) in commands {
        let proxy = Proxy::to(of.port());
        // A description of its own is a site of its own, which has not seen anything.
        for (held, options) in [(false, ""), (true, " --max-rate 200k")] {
            let name = format!("{name}{held}");
            let site = Site { kind: of.kind, server: None, name: format!("{name}.toml") };
            world.describe_as(&site, of, proxy.port, accounts, "insecure = true");
            proxy.set(Faults::default());
            let line = line.replace("/old.toml", &format!("/{}", site.name));
            let mut line = line.replace("/new.toml", &format!("/{}", site.name));
            if of.name == "new.toml" && held {
                // To somebody who has nothing yet.
                world.write("again.rename", "a.test b.test\n");
                line.push_str(" --rename {}/again.rename");
            } else if of.name == "old.toml" {
                line = line.replace("/archive", &format!("/archive{held}"));
            }
            let took = timed(&world, &format!("{line}{options}"));
            let counts = proxy.counts();
            let least = (counts.up + counts.down) as f64 / (200.0 * 1024.0) - BURST;
            assert!(counts.up + counts.down > 300_000, "{name}: {counts:?}");
            assert_eq!(took >= least, held, "{name}: {took} s, and the rate allows it in {least} s: {counts:?}");
        }
        if name == "old" {
            fs::rename(world.path("archivetrue"), world.path("archive")).unwrap();
        }
    }
}

#[test]
fn calendars_and_directories_are_read_no_faster_than_the_rate() {
    if !ready("rates of calendars and directories", &["radicale", "slapd"]) {
        return;
    }
    let world = World::new();
    let radicale = Server::start("radicale", &users(&world.path(""), &[ANN]), &[]);
    let http = Http::new(radicale.port("RADICALE_PORT"), ANN, &password(ANN));
    http.make(&format!("/{ANN}/work/"), "Work");
    let mut bytes = 0;
    for number in 0..20 {
        let text = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\nUID:{number}@test\r\n\
             DTSTAMP:20240102T030405Z\r\nDTSTART:20240203T100000Z\r\nDESCRIPTION:{}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
            "wörd ".repeat(2000)
        );
        assert_eq!(http.put(&format!("/{ANN}/work/{number}.ics"), text.as_bytes()), 201);
        bytes += text.len();
    }
    world.write("logins.csv", &format!("address,password\n{ANN},{}\n", password(ANN)));
    let dav = format!(
        "[accounts]\nlist = [{{ address = \"{ANN}\" }}]\n[groupware]\ndav = \"{}\"\ninsecure = true\nlogin = \"own\"\n\
         passwords = \"logins.csv\"\n",
        radicale.said("RADICALE_URL")
    );
    let mut ldif =
        String::from("dn: dc=example,dc=test\nobjectClass: organization\nobjectClass: dcObject\ndc: example\no: x\n");
    let name = "Long ".repeat(400);
    for number in 0..100 {
        ldif.push_str(&format!(
            "\ndn: uid=u{number},dc=example,dc=test\nobjectClass: inetOrgPerson\nuid: u{number}\ncn: u\nsn: u\n\
             mail: u{number}@a.test\nuserPassword: {{PLAIN}}x\ndisplayName: {}\n",
            name.trim()
        ));
    }
    let Some(slapd) = Slapd::with(&ldif) else { return };
    let ldap = format!(
        "[accounts]\nldap = \"{}\"\nbase = \"dc=example,dc=test\"\ninsecure = true\nbind = \"{}\"\n\
         password = {{ file = \"ldap.secret\" }}\n",
        slapd.get("LDAP_URL"),
        slapd.get("LDAP_ADMIN_DN")
    );
    world.write("ldap.secret", slapd.get("LDAP_ADMIN_PASSWORD"));
    for (name, text, bytes) in [("dav", dav, bytes), ("ldap", ldap, 100 * name.len())] {
        for (held, options) in [(false, ""), (true, " --max-rate 100k")] {
            world.write(&format!("{name}{held}.toml"), &text);
            let line = format!("export --from {{}}/{name}{held}.toml --archive {{}}/{name}{held}{options}");
            let took = timed(&world, &line);
            let least = bytes as f64 / (100.0 * 1024.0) - BURST;
            assert!(least > 1.5, "{name}: {least}");
            assert_eq!(took >= least, held, "{name}: {took} s, and the rate allows it in {least} s");
        }
    }
}

#[test]
fn the_wish_to_stop_is_not_held_back_by_the_rate_of_a_server() {
    if !ready("an interrupt within a rate", &["dovecot"]) {
        return;
    }
    let world = World::new();
    world.empty_site("old", &[ANN]);
    let inbox = world.path("old/mail/a.test/ann/Maildir");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(inbox.join(sub)).unwrap();
    }
    for number in 0..40 {
        let text = format!("Subject: {number}\n\n{}", format!("{number}\n").repeat(4000));
        fs::write(inbox.join(format!("cur/{}.M{number}P1.host:2,S", 1_600_000_000 + number)), text).unwrap();
    }
    let _old = world.dovecot("old");
    // At this rate it would take minutes.
    let mut child = world
        .place
        .command("export --from {}/old.toml --archive {}/archive --max-rate 1k")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(2));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let asked = Instant::now();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
    world.wagon(0, "export --from {}/old.toml --archive {}/archive");
}
