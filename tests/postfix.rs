//! A real Postfix in front of a real Dovecot, both with what `wagon config` prints: mail for every kind of address lands
//! where it should, from the moment on that the provisioning is there. Needs root and both; without them it says so.

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

use servers::dovecot::{self, Dovecot, open_dir};
use servers::free_ports;
use servers::imap::Imap;
use servers::postfix::{self, Postfix};
use sites::{Place, look, skip};
use stationwagon::fs::{Fs, RealFs};
use stationwagon::testing::example_site::{self, people};
use std::fs;
use std::sync::Arc;

const IMPORT: &str = "import --archive {}/archive --to {}/target --owner 5000:5000";

/// The example site's target with both servers in front.
struct Town {
    place: Place,
    dovecot: Dovecot,
    postfix: Postfix,
    _dir: tempfile::TempDir,
}

impl Town {
    /// Only provisioned so far; nothing where the servers cannot be started.
    fn provisioned(test: &str) -> Option<Self> {
        Self::provisioned_after(test, |_| ())
    }

    /// The same after something was done to the source.
    fn provisioned_after(test: &str, prepare: impl FnOnce(&Place)) -> Option<Self> {
        if let Some(why) = dovecot::missing().or_else(postfix::missing) {
            skip(test, why);
            return None;
        }
        let dir = open_dir();
        let place = Place::at(dir.path());
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        example_site::build(&fs, &place.path("source")).unwrap();
        prepare(&place);
        place.wagon(0, "export --from {}/source --archive {}/archive");
        place.wagon(0, &format!("{IMPORT} --provisioning-only"));
        let [lmtp] = free_ports();
        let config =
            |server: &str| place.wagon(0, &format!("config --site {{}}/target --lmtp 127.0.0.1:{lmtp}{server}"));
        let (dovecot, postfix) = (Dovecot::start(&config(""), lmtp), Postfix::start(&config(" postfix")));
        Some(Self { place, dovecot, postfix, _dir: dir })
    }

    /// Sends to `to`; who of `readers` has it in the INBOX afterwards?
    fn lands_at(&self, to: &str, readers: &[&'static str]) -> Vec<&'static str> {
        let subject = format!("for {to}");
        let text = format!("From: Emil <{}>\nSubject: {subject}\n\nhello\n", people::EMIL);
        let sent = self.postfix.send(people::EMIL, to, &text);
        sent.unwrap_or_else(|refusal| panic!("{to}: {refusal}\n{}{}", self.postfix.log(), self.dovecot.log()));
        let found = |reader: &&&str| !self.search(reader, &format!("SUBJECT \"{subject}\"")).is_empty();
        readers.iter().filter(found).copied().collect()
    }

    /// The line that refuses mail for `to`.
    fn refusal(&self, to: &str) -> String {
        let sent = self.postfix.send(people::EMIL, to, "Subject: to nobody\n\nhello\n");
        sent.expect_err(&format!("mail for {to} was taken"))
    }

    fn search(&self, reader: &str, what: &str) -> Vec<u32> {
        let mut imap = self.login(reader);
        imap.command("SELECT INBOX");
        let found = imap.command(&format!("UID SEARCH {what}"));
        let line = found.iter().find_map(|answer| answer.text.strip_prefix("* SEARCH")).unwrap_or_default();
        line.split_whitespace().map(|uid| uid.parse().unwrap()).collect()
    }

    fn login(&self, address: &str) -> Imap {
        let user = address.split('@').next().unwrap();
        Imap::login(self.dovecot.imap, address, &format!("pw-{user}"))
            .unwrap_or_else(|refusal| panic!("{address}: {refusal}\n{}", self.dovecot.log()))
    }

    fn nobody_complains(&self) {
        for log in [self.dovecot.log(), self.postfix.log()] {
            let of_trouble = |line: &&str| {
                ["Error:", "Panic:", "warning:", "error:", "fatal:", "panic:", "status=bounced", "status=deferred"]
                    .iter()
                    .any(|word| line.contains(word))
            };
            let trouble: Vec<_> = log.lines().filter(of_trouble).collect();
            assert!(trouble.is_empty(), "{trouble:#?}");
        }
    }
}

/// Everybody with a password.
fn everybody() -> Vec<&'static str> {
    people::PEOPLE.iter().map(|person| person.address).filter(|address| *address != people::ROOM).collect()
}

#[test]
fn mail_for_every_kind_of_address_lands_before_the_data_arrives_and_old_mail_comes_beneath() {
    let Some(town) = Town::provisioned("mail for every kind of address") else { return };
    let everybody = everybody();
    use people::{ANN, BERT, CLARA, EMIL, FRIDA, OHARA, POSTMASTER};
    for (to, readers) in [
        // An account, as it is, with a detail, and in other letters.
        (ANN, vec![ANN]),
        ("ann+orders@station.example", vec![ANN]),
        ("Ann@Station.Example", vec![ANN]),
        // An account beneath a catch-all, and one with an apostrophe.
        (EMIL, vec![EMIL]),
        (OHARA, vec![OHARA]),
        ("info@station.example", vec![ANN]),
        ("abuse@station.example", vec![POSTMASTER]),
        ("siobhan@wagon.example", vec![OHARA]),
        // A list over two domains, and one that holds a list and somebody elsewhere.
        (people::TEAM, vec![ANN, BERT, CLARA, EMIL]),
        (people::ALL, everybody.iter().copied().filter(|reader| *reader != POSTMASTER).collect()),
        // The catch-all.
        ("whoever@wagon.example", vec![FRIDA]),
        // The alias domain: an account's, an alias's and a list's name in it.
        ("bert@depot.example", vec![BERT]),
        ("info@depot.example", vec![ANN]),
        ("team@depot.example", vec![ANN, BERT, CLARA, EMIL]),
    ] {
        assert_eq!(town.lands_at(to, &everybody), readers, "{to}\n{}", town.postfix.log());
    }
    let refusal = town.refusal("nobody@station.example");
    assert!(refusal.starts_with("550 5.1.1"), "an unknown address: {refusal}");
    let refusal = town.refusal("ann@elsewhere.example");
    assert!(refusal.starts_with("554 5.7.1"), "another's domain: {refusal}");
    town.nobody_complains();

    let early = town.search(ANN, "ALL");
    town.place.wagon(0, IMPORT);
    let old = look(&town.place.path("source"));
    let old = old.messages.iter().filter(|one| one.account == "station.example/ann" && one.folder == "INBOX").count();
    let all = town.search(ANN, "ALL");
    assert_eq!(all.len(), early.len() + old, "old mail beneath new mail");
    assert_eq!(all[..early.len()], early, "what Ann has seen keeps its UIDs, and nothing comes below it");
    town.place.wagon(0, "verify --archive {}/archive --to {}/target");
    town.nobody_complains();
}

#[test]
fn a_later_pass_brings_addresses_that_take_mail_after_a_reload() {
    let Some(town) = Town::provisioned("later addresses") else { return };
    town.place.wagon(0, IMPORT);
    assert!(town.refusal("press@station.example").starts_with("550 5.1.1"));
    assert!(town.refusal("dora@station.example").starts_with("550 5.1.1"));
    let etc = town.place.path("source/etc");
    let add = |name: &str, line: &str| fs::write(etc.join(name), fs::read_to_string(etc.join(name)).unwrap() + line);
    add("virtual_alias", "press@station.example\tclara@station.example\n").unwrap();
    add("passwd", "dora@station.example:{PLAIN}pw-dora::::::\n").unwrap();
    fs::create_dir_all(town.place.path("source/mail/station.example/dora/Maildir/cur")).unwrap();
    town.place.wagon(0, "export --from {}/source --archive {}/archive");
    town.place.wagon(0, IMPORT);
    town.postfix.reload();
    // Clara's scripts are there by now; what is for her goes to the INBOX unless a list says otherwise.
    assert_eq!(town.lands_at("press@station.example", &[people::CLARA, people::ANN]), [people::CLARA]);
    assert_eq!(town.lands_at("dora@station.example", &["dora@station.example"]), ["dora@station.example"]);
    town.nobody_complains();
}

#[test]
fn an_account_with_a_plus_in_its_name_gets_its_own_mail() {
    let at_home = |place: &Place| {
        let etc = place.path("source/etc");
        let passwd = fs::read_to_string(etc.join("passwd")).unwrap();
        fs::write(etc.join("passwd"), passwd + "ann+two@station.example:{PLAIN}pw-ann+two::::::\n").unwrap();
        fs::create_dir_all(place.path("source/mail/station.example/ann+two/Maildir/cur")).unwrap();
    };
    let Some(town) = Town::provisioned_after("an account with a plus", at_home) else { return };
    let both = ["ann+two@station.example", people::ANN];
    assert_eq!(town.lands_at("ann+two@station.example", &both), ["ann+two@station.example"]);
    assert_eq!(town.lands_at(people::ANN, &both), [people::ANN]);
    assert!(town.refusal("ann+three@station.example").starts_with("550 5.1.1"));
    town.nobody_complains();
}
