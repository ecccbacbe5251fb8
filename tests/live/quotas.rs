//! Quotas that only the mail server knows, where the description says that it is to be asked.

use crate::proxy::{Faults, Proxy};
use crate::servers::imap::Imap;
use crate::servers::testbed::{Server, password};
use crate::world::{World, ready};
use std::collections::BTreeSet;
use std::fs;

const ANN: &str = "ann@a.test";
const BOB: &str = "bob@a.test";

/// The quota that the newest snapshot has for an account.
fn quota(world: &World, account: &str) -> Option<u64> {
    let said = world.wagon(0, &format!("--json show --archive {{}}/archive {account}"));
    let (_, rest) = said.split_once("\"quota_bytes\":")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[test]
fn a_quota_that_only_the_server_knows_is_read_where_asked_for_and_stays_when_nobody_answers() {
    if !ready("quotas of a source", &["dovecot"]) {
        return;
    }
    let world = World::new();
    world.empty_site("old", &[ANN, BOB]);
    let server = Server::start("dovecot", &world.path("old"), &[("QUOTA", "*:storage=5M")]);
    let proxy = Proxy::to(server.port("DOVECOT_IMAP_PORT"));
    let describe = |more: &str| {
        world.write(
            "old.toml",
            &format!(
                "insecure = true\n[accounts]\nlist = [{{ address = \"{ANN}\" }}, {{ address = \"{BOB}\", quota = \"7G\" }}]\n\
                 [mail]\nimap = \"imap://localhost:{}\"\nlogin = \"own\"\npasswords = \"logins.csv\"\n{more}\n",
                proxy.port
            ),
        );
    };
    let logins =
        |ann: &str| world.write("logins.csv", &format!("address,password\n{ANN},{ann}\n{BOB},{}\n", password(BOB)));
    let export = |status| world.wagon(status, "export --from {}/old.toml --archive {}/archive");

    logins(&password(ANN));
    describe("");
    export(0);
    assert_eq!((quota(&world, ANN), quota(&world, BOB)), (None, Some(7 << 30)));

    describe("quotas = true");
    export(0);
    assert_eq!(quota(&world, ANN), Some(5 << 20));
    assert_eq!(quota(&world, BOB), Some(7 << 30), "what the description says counts");

    logins("wrong");
    let (_, said) = world.report("export --from {}/old.toml --archive {}/archive", &[3]);
    assert!(said.contains(ANN) && said.contains("AUTHENTICATIONFAILED"), "{said}");
    assert_eq!(quota(&world, ANN), Some(5 << 20), "of whom the server cannot be asked, it is unchanged");

    logins(&password(ANN));
    proxy.set(Faults { refuse: Some(("GETQUOTAROOT", "NO Internal error occurred", 1)), ..Faults::default() });
    let (_, said) = world.report("export --from {}/old.toml --archive {}/archive", &[3]);
    assert!(said.contains(ANN) && said.contains("Internal error occurred"), "{said}");
    assert_eq!(quota(&world, ANN), Some(5 << 20), "and where it answers and does not tell");

    describe("");
    export(0);
    assert_eq!(quota(&world, ANN), None, "nobody says any more that there is one");
}

#[test]
fn what_does_not_fit_into_a_quota_is_told_in_the_servers_words_and_arrives_once_there_is_room() {
    if !ready("quotas of a target", &["dovecot"]) {
        return;
    }
    let world = World::new();
    let cur = world.path("old/mail/a.test/ann/Maildir/cur");
    fs::create_dir_all(&cur).unwrap();
    fs::create_dir_all(world.path("old/etc")).unwrap();
    world.write("old/etc/passwd", "ann@a.test:{PLAIN}pw-ann::::::\n");
    for number in 0..8 {
        let text = format!("Subject: {number}\n\n{}", format!("line {number}\n").repeat(500));
        fs::write(cur.join(format!("160000000{number}.M1P1.host:2,S")), text).unwrap();
    }
    world.wagon(0, "export --from {}/old --archive {}/archive");
    world.empty_site("new", &[ANN]);
    let import = |room: &str, status: i32| {
        let server = Server::start("dovecot", &world.path("new"), &[("QUOTA", room)]);
        world.write("new.secret", &format!("{}\n", server.said("DOVECOT_MASTER_PASSWORD")));
        world.write(
            "new.toml",
            &format!(
                "insecure = true\n[accounts]\nlist = [{{ address = \"{ANN}\" }}]\n[mail]\nimap = \"imap://localhost:{}\"\n\
                 login = \"master\"\nuser = \"master\"\npassword = {{ file = \"new.secret\" }}\n",
                server.port("DOVECOT_IMAP_PORT")
            ),
        );
        let (_, said) = world.report("import --archive {}/archive --to {}/new.toml", &[status]);
        let mut imap = Imap::login(server.port("DOVECOT_IMAP_PORT"), ANN, &password(ANN)).unwrap();
        let told = imap.command("EXAMINE INBOX");
        let count = told.iter().find_map(|answer| answer.text.strip_prefix("* ")?.strip_suffix(" EXISTS"));
        (count.unwrap().parse::<usize>().unwrap(), said)
    };
    let (fit, said) = import("*:storage=12K", 3);
    assert!((1..8).contains(&fit), "{fit}: {said}");
    let named = said.lines().filter(|line| line.contains("Quota exceeded"));
    let named: BTreeSet<&str> = named.map(|line| line.trim_start_matches("rejected ").trim()).collect();
    assert_eq!(named.len(), 8 - fit, "each is named: {said}");
    let (more, said) = import("*:storage=20K", 3);
    assert!((fit + 1..8).contains(&more), "only what was refused is sent: {more}: {said}");
    let (all, said) = import("*:storage=1M", 0);
    assert_eq!(all, 8, "{said}");
    assert!(import("*:storage=1M", 0).1.contains("\n0 B delivered"));
}
