//! The night of a switch: accounts come into LDAP and Cyrus, Postfix delivers new mail, and the old mail arrives beneath.

use super::story::Desk;
use crate::servers::imap::Imap;
use crate::servers::lmtp;
use crate::servers::slapd::{Slapd, fingerprint};
use crate::servers::testbed::{Server, missing, password, testbed, users};
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

struct Mx(Server);

impl Mx {
    /// A Postfix for the accounts of the old site that hands over to `lmtp`, and holds everybody's mail at first.
    fn start(desk: &Desk, lmtp: u16) -> Self {
        let lmtp = lmtp.to_string();
        let variables = [("SMTP_PORT", "auto"), ("LMTP_PORT", lmtp.as_str()), ("GATE", "closed")];
        Self(Server::start("postfix", &desk.path("site"), &variables))
    }

    fn send(&self, to: &str, subject: &str) {
        let text = format!("From: x@far.test\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nNew\r\n");
        lmtp::transaction(self.0.port("POSTFIX_SMTP_PORT"), "EHLO", "x@far.test", to, &text).unwrap();
    }

    fn gate(&self, words: &[&str]) -> String {
        let gate = Command::new(testbed().join("postfix/gate.sh")).arg(self.0.dir()).args(words).output().unwrap();
        assert!(gate.status.success(), "{}", String::from_utf8_lossy(&gate.stderr));
        String::from_utf8(gate.stdout).unwrap()
    }
}

/// Messages in somebody's inbox.
fn inbox(cyrus: &Server, account: &str) -> usize {
    let mut imap = Imap::login(cyrus.port("CYRUS_IMAP_PORT"), account, &password(account)).unwrap();
    let answers = imap.command("EXAMINE INBOX");
    let exists = answers.iter().find_map(|answer| answer.text.strip_prefix("* ")?.strip_suffix(" EXISTS"));
    exists.unwrap().parse().unwrap()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let late = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < late, "{what} does not come");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn new_mail_comes_first_by_account_and_the_old_mail_arrives_beneath() {
    if let Some(why) = missing(&["cyrus", "postfix"]) {
        let _ = writeln!(std::io::stderr(), "skipped: a story of LDAP, Cyrus and Postfix: {why}");
        return;
    }
    let Some(slapd) = Slapd::start(3, 1) else { return };
    let desk = Desk::new();
    desk.small_site();
    let accounts = ["ann@b.test", "bob@b.test"];
    // Nobody has a mailbox before the import makes it.
    let cyrus = Server::start("cyrus", &users(&desk.path("."), &accounts), &[("AUTOCREATE", "0")]);
    let mx = Mx::start(&desk, cyrus.port("CYRUS_LMTP_PORT"));
    desk.describe("new", &slapd, ("LDAP_ADMIN_DN", "LDAP_ADMIN_PASSWORD"));
    let mail = format!(
        "[mail]\nimap = \"imap://localhost:{}\"\nlogin = \"proxy\"\nuser = \"cyrus\"\npassword = {{ file = \"imap.secret\" }}\npin = \"{}\"\n",
        cyrus.port("CYRUS_IMAP_PORT"),
        fingerprint(&cyrus.dir().join("cert.pem")),
    );
    desk.write("new.toml", &(desk.read("new.toml") + &mail));
    desk.write("imap.secret", &format!("{}\n", cyrus.said("CYRUS_ADMIN_PASSWORD")));

    desk.done("export --from site --archive archive");
    accounts.iter().for_each(|account| mx.send(account, "before anybody is there"));
    until("mail in the queue", || mx.gate(&["list"]).contains("waiting 2"));

    desk.done("import --archive archive --to new.toml --provisioning-only");
    assert!(slapd.dump().contains("mail: ann@b.test"), "the directory knows her");
    mx.gate(&["open", "ann@b.test"]);
    until("ann's new mail", || inbox(&cyrus, "ann@b.test") == 1);
    assert_eq!(inbox(&cyrus, "bob@b.test"), 0, "his waits");

    desk.done("import --archive archive --to new.toml");
    assert_eq!(inbox(&cyrus, "ann@b.test"), 2, "the old one lies beneath the new one");
    assert_eq!(inbox(&cyrus, "bob@b.test"), 1);
    mx.gate(&["open", "bob@b.test"]);
    until("bob's new mail", || inbox(&cyrus, "bob@b.test") == 2);
    until("an empty queue", || mx.gate(&["list"]).contains("waiting 0"));
    mx.send("ann@b.test", "as on every day");
    until("mail as ever", || inbox(&cyrus, "ann@b.test") == 3);

    desk.done("import --archive archive --to new.toml");
    assert_eq!((inbox(&cyrus, "ann@b.test"), inbox(&cyrus, "bob@b.test")), (3, 2), "each once");
    desk.done("verify --archive archive --to new.toml");
    let log = std::fs::read_to_string(mx.0.said("POSTFIX_LOG")).unwrap();
    assert!(log.contains("status=sent") && !log.contains("status=bounced"), "nothing bounces:\n{log}");
}
