//! `wagon site`: descriptions of sites of running servers, made, checked and refused. No server is needed here; what they
//! answer is in tests/live.

use crate::wagon::{Wagon, snapshot};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

const SECRET: &str = "hunter2";

impl Wagon {
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Runs with these lines on standard input.
    fn answer(&self, line: &str, answers: &str) -> crate::wagon::Seen {
        let mut child =
            self.command(line).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
        self.seen(&child.wait_with_output().unwrap())
    }
}

#[test]
fn a_description_is_asked_for_and_written_for_its_owner_alone() {
    let wagon = Wagon::empty();
    let answers = "ldaps://ldap.example.org\ndc=example,dc=org\ncn=reader,dc=example,dc=org\nfile ldap.secret\n\n\
                   imaps://imap.example.org\nsieve://imap.example.org\n\nmaster\nmigrate\nenv IMAP_MASTER\n";
    let seen = wagon.answer("site init old.toml", answers);
    assert_eq!(seen.status, 0, "{}", seen.err);
    let mode = std::fs::metadata(wagon.path("old.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(wagon.path("old.toml")).unwrap();
    snapshot("site_init", &format!("{}\n{}\n{text}", seen.err, seen.out));
    let again = wagon.run("site init old.toml --no-questions --accounts a.csv");
    assert_eq!((again.status, again.err.contains("old.toml is there already")), (2, true), "{}", again.err);
}

#[test]
fn what_options_say_is_not_asked_for() {
    let wagon = Wagon::empty();
    let line = "site init new.toml --no-questions --accounts accounts.csv --imap imap://127.0.0.1:10143 --insecure \
                --login own --passwords logins.csv";
    assert_eq!(wagon.run(line).status, 0);
    let text = std::fs::read_to_string(wagon.path("new.toml")).unwrap();
    assert!(text.contains("insecure = true") && text.contains("login = \"own\""), "{text}");
    let both = "site init both.toml --no-questions --accounts accounts.csv --imap imaps://imap.example.org --login proxy \
                --user cyrus --password env:ADMIN --dav https://dav.example.org/ --dav-login own --dav-passwords logins.csv";
    assert_eq!(wagon.run(both).status, 0);
    let text = std::fs::read_to_string(wagon.path("both.toml")).unwrap();
    let (_, dav) = text.split_once("[groupware]").unwrap();
    assert_eq!(dav.trim(), "dav = \"https://dav.example.org/\"\nlogin = \"own\"\npasswords = \"logins.csv\"");
    let missing = wagon.run("site init other.toml --no-questions");
    assert_eq!((missing.status, wagon.path("other.toml").exists()), (2, false), "{}", missing.err);
}

#[test]
fn calendars_may_be_asked_for_with_another_login() {
    let wagon = Wagon::empty();
    let servers = "a.csv\nimaps://imap.example.org\n\nhttps://dav.example.org/\n";
    for (answers, wanted) in [("\n", ""), ("own\nlogins.csv\n", "\nlogin = \"own\"\npasswords = \"logins.csv\"")] {
        let name = format!("{}.toml", answers.len());
        let answers = format!("{servers}master\nmigrate\nenv IMAP_MASTER\n{answers}");
        let seen = wagon.answer(&format!("site init {name}"), &answers);
        assert_eq!(seen.status, 0, "{}", seen.err);
        let text = std::fs::read_to_string(wagon.path(&name)).unwrap();
        let (_, dav) = text.split_once("[groupware]").unwrap();
        assert_eq!(dav.trim(), format!("dav = \"https://dav.example.org/\"{wanted}"));
    }
}

#[test]
fn a_password_typed_where_its_place_belongs_is_neither_written_nor_repeated() {
    let wagon = Wagon::empty();
    let answers = format!("a.csv\nimaps://imap.example.org\n\n\nmaster\nmigrate\n{SECRET}\n");
    let seen = wagon.answer("site init old.toml", &answers);
    assert_eq!(seen.status, 2);
    assert!(!format!("{}{}", seen.out, seen.err).contains(SECRET), "{}", seen.err);
    assert!(!wagon.path("old.toml").exists());
}

#[test]
fn what_is_wrong_with_a_description_is_told_with_file_line_and_key_and_no_secret() {
    let wagon = Wagon::empty();
    let mail = "[mail]\nimap = \"imaps://imap.example.org\"\nlogin = \"master\"\nuser = \"migrate\"\n";
    let cases = [
        ("unknown", "[accounts]\nfile = \"a.csv\"\nformt = \"csv\"\n".to_owned()),
        ("password", format!("[accounts]\nfile = \"a.csv\"\n{mail}password = \"{SECRET}\"\n")),
        (
            "open",
            "[accounts]\nfile = \"a.csv\"\n[groupware]\ndav = \"http://dav.example.org/\"\nlogin = \"own\"\n"
                .to_owned(),
        ),
        ("broken", format!("[accounts]\nfile = \"a.csv\"\n{mail}password = {SECRET}\n")),
        ("nothing", String::new()),
    ];
    let mut text = String::new();
    for (name, description) in cases {
        wagon.write(&format!("{name}.toml"), &description);
        let seen = wagon.run(&format!("export --from {name}.toml --archive archive"));
        assert_eq!(seen.status, 1, "{}", seen.err);
        text.push_str(&format!("$ wagon export --from {name}.toml --archive archive\n{}\n", seen.err));
    }
    wagon.write("a.csv", "address\nann@a.test\n");
    wagon.write("old.toml", "[accounts]\nfile = \"a.csv\"\n");
    assert_eq!(wagon.run("export --from old.toml --archive archive").status, 0);
    for line in ["export --from missing.toml --archive archive", "import --to old.toml --owner 1:1 --archive archive"] {
        let seen = wagon.run(line);
        text.push_str(&format!("$ wagon {line}\n{}\n", seen.err));
    }
    assert!(!text.contains(SECRET), "{text}");
    snapshot("site_errors", &text);
}

#[test]
fn accounts_alone_go_from_a_spreadsheet_into_a_passwd_file() {
    let wagon = Wagon::empty();
    wagon
        .write("people.csv", "address,name,quota,status\nann@a.test,Ann,5G,\nbob@a.test,\"Bob, the second\",,locked\n");
    wagon.write("old.toml", "[accounts]\nfile = \"people.csv\"\n");
    wagon.write("new.toml", "[accounts]\nfile = \"passwd\"\nformat = \"passwd\"\n");
    let check = wagon.run("site check old.toml");
    assert_eq!(check.status, 0, "{}", check.err);
    snapshot("site_check_accounts", &check.out);
    assert_eq!(wagon.run("export --from old.toml --archive archive").status, 0);
    let seen = wagon.run("import --archive archive --to new.toml");
    assert_eq!(seen.status, 0, "{}{}", seen.out, seen.err);
    let passwd = std::fs::read_to_string(wagon.path("passwd")).unwrap();
    assert_eq!(passwd, "ann@a.test::::Ann:::userdb_quota_rule=*:storage=5G\nbob@a.test::::Bob, the second:::nologin\n");
    let mode = |name: &str| std::fs::metadata(wagon.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("passwd"), mode("new.state")), (0o600, 0o700));
    let verify = wagon.run("verify --archive archive --to new.toml");
    assert_eq!(verify.status, 0, "{}{}", verify.out, verify.err);
    let again = wagon.run("import --archive archive --to new.toml");
    assert_eq!(again.status, 0, "{}", again.out);
}

#[test]
fn a_connection_that_nothing_protects_is_told_in_every_run_even_to_the_quiet() {
    let wagon = Wagon::empty();
    wagon.write("a.csv", "address\nann@a.test\n");
    wagon.write("logins.csv", &format!("address,password\nann@a.test,{SECRET}\n"));
    // Port 1 answers nobody.
    let description = "[accounts]\nfile = \"a.csv\"\n[mail]\nimap = \"imap://127.0.0.1:1\"\ninsecure = true\nlogin = \"own\"\npasswords = \"logins.csv\"\n";
    wagon.write("old.toml", description);
    for line in [
        "export --quiet --from old.toml --archive archive",
        "site check old.toml",
        "export --json --from old.toml --archive archive",
    ] {
        let seen = wagon.run(line);
        assert_eq!(seen.status, 3, "{line}: {}", seen.err);
        assert!(seen.err.contains("WARNING: old.toml: [mail] is insecure"), "{line}: {}", seen.err);
        assert!(!format!("{}{}", seen.out, seen.err).contains(SECRET));
        assert_eq!(
            seen.out.contains(r#"{"event":"warning","text":"old.toml: [mail] is insecure"#),
            line.contains("--json"),
            "{}",
            seen.out
        );
    }
}
