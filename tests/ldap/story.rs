//! Whole sites into and out of a directory, through the command line.

use crate::servers::dovecot::open_dir;
use crate::servers::slapd::Slapd;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with a site description of a directory in it, an archive, and what else a story needs.
pub struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    pub fn new() -> Self {
        // Servers' own users walk into it.
        Self { dir: open_dir() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `name.toml` for this server, read or written by this one.
    pub fn describe(&self, name: &str, slapd: &Slapd, (bind, password): (&str, &str)) {
        let text = format!(
            "[accounts]\nldap = \"{}\"\nbase = \"{}\"\nbind = \"{}\"\npassword = {{ file = \"{name}.secret\" }}\npin = \"{}\"\n",
            slapd.get("LDAPS_URL"),
            slapd.get("LDAP_SUFFIX"),
            slapd.get(bind),
            slapd.fingerprint(),
        );
        fs::write(self.path(&format!("{name}.toml")), text).unwrap();
        fs::write(self.path(&format!("{name}.secret")), format!("{}\n", slapd.get(password))).unwrap();
    }

    pub fn wagon(&self, line: &str) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_wagon"))
            .args(line.split_whitespace())
            .current_dir(self.dir.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .output()
            .unwrap();
        for secret in ["reader-secret", "admin-secret", "{SSHA}", "$6$"] {
            let said = [&output.stdout[..], &output.stderr].concat();
            assert!(!String::from_utf8_lossy(&said).contains(secret), "{line} shows a secret");
        }
        output
    }

    pub fn done(&self, line: &str) -> String {
        let output = self.wagon(line);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{line}: {}\n{text}", output.status);
        text
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// A small directory site: two people, a list, an alias, a message.
    pub fn small_site(&self) {
        let write = |name: &str, text: &str| {
            let path = self.path("site").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "etc/passwd",
            "ann@b.test:{SSHA}cwAyDG/qtvnnRRXuh4LXhqkhPpfmyw0i:::Ann Bee::/bin/sh:userdb_quota_rule=*:storage=2G userdb_acl_groups=board\n\
             bob@b.test:{SSHA}cwAyDG/qtvnnRRXuh4LXhqkhPpfmyw0i::::::nologin\n",
        );
        write("etc/virtual_domains", "b.test x\n");
        write("etc/virtual_alias", "all@b.test ann@b.test, bob@b.test\ninfo@b.test ann@b.test\n");
        write("mail/b.test/ann/Maildir/cur/1.a.b:2,S", "Subject: one\r\n\r\nText\r\n");
        write("mail/b.test/bob/Maildir/cur/1.a.c:2,S", "Subject: two\r\n\r\nText\r\n");
    }
}

#[test]
fn a_directory_becomes_a_site_and_a_later_pass_follows_a_rename() {
    let Some(slapd) = Slapd::start(40, 2) else { return };
    let desk = Desk::new();
    desk.describe("old", &slapd, ("LDAP_READER_DN", "LDAP_READER_PASSWORD"));
    desk.done("export --from old.toml --archive archive");
    desk.done("import --archive archive --to new");
    let passwd = desk.read("new/etc/passwd");
    assert_eq!(passwd.lines().count(), 40);
    let line = passwd.lines().find(|line| line.starts_with("user000007@a1.test:{SSHA}")).unwrap();
    assert!(line.contains("nologin") && line.contains("storage=3G"), "{line}");
    let aliases = desk.read("new/etc/virtual_alias");
    assert!(aliases.contains("group0001@a0.test") && aliases.contains("user000005.alias@a2.test"), "{aliases}");
    assert!(aliases.contains("@alias0.test") && aliases.contains("user000011@elsewhere.test"), "{aliases}");

    let people = format!("ou=people,{}", slapd.get("LDAP_SUFFIX"));
    let (taken, said) = slapd.modify(&format!(
        "dn: uid=user000003,{people}\nchangetype: modify\nreplace: mail\nmail: miller@a0.test\n-\nreplace: mailQuota\nmailQuota: 4096\n"
    ));
    assert!(taken, "{said}");
    desk.done("export --from old.toml --archive archive");
    desk.done("import --archive archive --to new");
    let passwd = desk.read("new/etc/passwd");
    assert!(passwd.contains("miller@a0.test:") && !passwd.contains("user000003@a0.test:"), "{passwd}");
    let text = desk.done("export --from old.toml --archive archive");
    assert!(text.contains("nothing") || text.contains(" 0 "), "{text}");
}

#[test]
fn a_site_goes_into_a_directory_as_its_dry_run_said_and_out_again() {
    let (Some(slapd), Some(other)) = (Slapd::start(3, 1), Slapd::start(3, 1)) else { return };
    let desk = Desk::new();
    desk.small_site();
    desk.describe("new", &slapd, ("LDAP_ADMIN_DN", "LDAP_ADMIN_PASSWORD"));
    desk.done("export --from site --archive archive");
    let before = slapd.dump();
    desk.done("import --archive archive --to new.toml --provisioning-only --dry-run --ldif plan.ldif");
    assert_eq!(slapd.dump(), before, "a dry run writes nothing");
    assert_eq!(
        desk.wagon("import --archive archive --to new.toml --provisioning-only -n --ldif plan.ldif").status.code(),
        Some(1)
    );
    let (taken, said) = other.modify(&desk.read("plan.ldif"));
    assert!(taken, "{said}");

    desk.done("import --archive archive --to new.toml --provisioning-only");
    let after = slapd.dump();
    assert_eq!(after, other.dump(), "what was planned is what was done");
    assert!(after.contains("mail: all@b.test") && after.contains("mailAlternateAddress: info@b.test"), "{after}");
    desk.done("import --archive archive --to new.toml --provisioning-only");
    assert_eq!(slapd.dump(), after, "and it is done once");
    let undo: Vec<_> = undo_files(&desk.path("new.state"));
    let (taken, said) = slapd.modify(&fs::read_to_string(&undo[0]).unwrap());
    assert!(taken && undo.len() == 1, "{said} {undo:?}");
    assert_eq!(slapd.dump(), before, "and taken back");
}

#[test]
fn what_the_administrator_changed_in_the_directory_stays_and_what_the_old_site_changed_comes() {
    let Some(slapd) = Slapd::start(3, 1) else { return };
    let desk = Desk::new();
    desk.small_site();
    desk.describe("new", &slapd, ("LDAP_ADMIN_DN", "LDAP_ADMIN_PASSWORD"));
    desk.done("export --from site --archive archive");
    desk.done("import --archive archive --to new.toml --provisioning-only");
    let people = format!("ou=people,{}", slapd.get("LDAP_SUFFIX"));
    let (taken, said) = slapd.modify(&format!(
        "dn: uid=ann,{people}\nchangetype: modify\nreplace: mailQuota\nmailQuota: 12345\n-\nadd: roomNumber\nroomNumber: 7\n"
    ));
    assert!(taken, "{said}");
    let passwd = desk.read("site/etc/passwd").replace("Ann Bee", "Ann Zed").replace("::::::nologin", ":::Bob Cee:::");
    fs::write(desk.path("site/etc/passwd"), passwd).unwrap();
    desk.done("export --from site --archive archive");
    desk.done("import --archive archive --to new.toml --provisioning-only");
    let dump = slapd.dump();
    for line in ["mailQuota: 12345", "roomNumber: 7", "displayName: Ann Zed", "displayName: Bob Cee"] {
        assert!(dump.contains(line), "{line}: {dump}");
    }
    assert!(!dump.contains("nologin"), "{dump}");
    let output = desk.wagon("verify --archive archive --to new.toml");
    let text = String::from_utf8(output.stdout).unwrap();
    let differences: Vec<_> = text.lines().skip_while(|line| !line.ends_with("differences:")).skip(1).collect();
    assert_eq!(differences.len(), 2, "{text}");
    assert!(differences.iter().all(|line| line.contains("INBOX") && line.contains("has not been imported")), "{text}");
}

/// The postfix-book schema as far as wagon reads and writes it.
const POSTFIX_BOOK: &str = "\
attributetype ( 1.3.6.1.4.1.29426.1.10.2 NAME 'mailAlias' EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
attributetype ( 1.3.6.1.4.1.29426.1.10.5 NAME 'mailEnabled' EQUALITY booleanMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.29426.1.10.7 NAME 'mailQuota' EQUALITY caseExactIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.29426.1.10.10 NAME 'mailForwardingAddress' EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
objectclass ( 1.3.6.1.4.1.29426.1.2.2.1 NAME 'PostfixBookMailAccount' SUP top AUXILIARY MUST mail MAY ( mailAlias $ mailEnabled $ mailQuota ) )
objectclass ( 1.3.6.1.4.1.29426.1.2.2.2 NAME 'PostfixBookMailForward' SUP top AUXILIARY MUST mail MAY ( mailAlias $ mailForwardingAddress ) )
";

#[test]
fn accounts_go_into_the_books_of_postfix_and_dovecot_and_come_back() {
    // posixAccount has no place for a quota.
    for (preset, schema, quota) in [("postfix-book", POSTFIX_BOOK, "storage=2G"), ("dovecot", "", "")] {
        let Some(slapd) = Slapd::with_schema(schema) else { return };
        let desk = Desk::new();
        desk.small_site();
        fs::remove_file(desk.path("site/etc/virtual_alias")).unwrap();
        let passwd =
            desk.read("site/etc/passwd").replace(" userdb_acl_groups=board", "").replace("::::::nologin", ":::::");
        let passwd = if quota.is_empty() { passwd.replace("userdb_quota_rule=*:storage=2G", "") } else { passwd };
        desk.write("site/etc/passwd", &passwd);
        desk.describe("new", &slapd, ("LDAP_ADMIN_DN", "LDAP_ADMIN_PASSWORD"));
        let text = desk.read("new.toml");
        desk.write("new.toml", &format!("{text}preset = \"{preset}\"\n"));
        desk.done("export --from site --archive archive");
        desk.done("import --archive archive --to new.toml --provisioning-only");
        desk.done("export --from new.toml --archive back");
        desk.done("import --archive back --to again --provisioning-only");
        let again = desk.read("again/etc/passwd");
        for (address, name) in [("ann@b.test", "Ann Bee"), ("bob@b.test", "")] {
            let line =
                again.lines().find(|line| line.starts_with(address)).unwrap_or_else(|| panic!("{preset}: {again}"));
            assert!(line.contains("{SSHA}cwAyDG/qtvnnRRXuh4LXhqkhPpfmyw0i") && line.contains(name), "{preset}: {line}");
        }
        assert!(again.contains(quota), "{preset}: {again}");
        let before = slapd.dump();
        desk.done("import --archive archive --to new.toml --provisioning-only");
        assert_eq!(slapd.dump(), before, "{preset}: and it is done once");
    }
}

fn undo_files(dir: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.to_string_lossy().ends_with(".ldif")).collect()
}
