//! An OpenLDAP of the testbed, and the stock programs that look into it.

use super::testbed::{self, Server};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The tree that the testbed's own accounts are in.
const SUFFIX: &str = "dc=example,dc=test";

/// A running slapd.
pub struct Slapd {
    server: Server,
    /// What belongs to the test: states, files.
    dir: tempfile::TempDir,
    /// A second one in place of the testbed's, with another configuration: it, and its URLs.
    own: Option<(Child, String, String)>,
}

impl Slapd {
    /// Starts one with the testbed's own accounts and groups; says why and gives `None` where that cannot be.
    pub fn start(users: usize, groups: usize) -> Option<Self> {
        let (users, groups) = (users.to_string(), groups.to_string());
        let made = Command::new("python3")
            .arg(testbed::testbed().join("slapd/ldif.py"))
            .args([SUFFIX, &users, &groups])
            .output();
        Self::with(&made.map(|made| String::from_utf8_lossy(&made.stdout).into_owned()).unwrap_or_default())
    }

    /// Starts one with the entries of this LDIF.
    pub fn with(ldif: &str) -> Option<Self> {
        if let Some(why) = testbed::missing(&["slapd"]) {
            // Past the capture of the test runner, so that nobody takes silence for success.
            let _ = writeln!(std::io::stderr(), "skipped: a story of LDAP: {why}");
            return None;
        }
        let dir = tempfile::Builder::new().prefix("wagon-ldap-").tempdir().unwrap();
        let file = dir.path().join("entries.ldif");
        std::fs::write(&file, ldif).unwrap();
        let variables = [("LDAP_PORT", "auto"), ("LDAPS_PORT", "auto"), ("LDAP_SUFFIX", SUFFIX)];
        Some(Self { server: Server::start("slapd", &file, &variables), dir, own: None })
    }

    /// Starts one that numbers its changes (contextCSN), and logs what it is asked.
    pub fn numbering(users: usize) -> Option<Self> {
        let number = |conf: String| {
            conf.replace("moduleload back_mdb", "moduleload back_mdb\nmoduleload syncprov") + "\noverlay syncprov\n"
        };
        Some(Self::start(users, 1)?.with_conf(number))
    }

    /// Starts an empty one that knows `schema` in place of the testbed's.
    pub fn with_schema(schema: &str) -> Option<Self> {
        let ldif = format!(
            "dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n\
             dn: ou=people,{SUFFIX}\nobjectClass: organizationalUnit\nou: people\n\n\
             dn: ou=groups,{SUFFIX}\nobjectClass: organizationalUnit\nou: groups\n"
        );
        let slapd = Self::with(&ldif)?;
        let own = slapd.dir.path().join("own.schema");
        std::fs::write(&own, schema).unwrap();
        let include = |conf: String| {
            let replaced = |line: &str| {
                if line.ends_with("/mail.schema") { format!("include {}", own.display()) } else { line.to_owned() }
            };
            // The index names an attribute of the testbed's.
            conf.replace("mailAlternateAddress,", "").lines().map(|line| replaced(line) + "\n").collect()
        };
        Some(slapd.with_conf(include))
    }

    /// The same entries in a second server with another configuration.
    fn with_conf(mut self, change: impl Fn(String) -> String) -> Self {
        let slapd = &mut self;
        let conf = std::fs::read_to_string(slapd.server.dir().join("slapd.conf")).unwrap();
        let state = slapd.server.dir().display().to_string();
        let own = slapd.dir.path().display().to_string();
        let conf = conf.replace(&format!("directory {state}/db"), &format!("directory {own}/db"));
        let conf = conf.replace(&format!("{state}/slapd."), &format!("{own}/slapd."));
        std::fs::write(slapd.dir.path().join("slapd.conf"), change(conf)).unwrap();
        std::fs::create_dir(slapd.dir.path().join("db")).unwrap();
        let conf = slapd.dir.path().join("slapd.conf");
        let entries = slapd.dir.path().join("entries.ldif");
        let loaded = Command::new("/usr/sbin/slapadd")
            .args(["-q", "-w", "-f"])
            .arg(&conf)
            .arg("-l")
            .arg(entries)
            .output()
            .unwrap();
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
        let [ldap, ldaps] = super::free_ports();
        let (ldap, ldaps) = (format!("ldap://127.0.0.1:{ldap}"), format!("ldaps://127.0.0.1:{ldaps}"));
        let log = std::fs::File::create(slapd.dir.path().join("log")).unwrap();
        // 256: connections, operations and results.
        let child = Command::new("/usr/sbin/slapd")
            .args(["-d", "256", "-h", &format!("{ldap}/ {ldaps}/"), "-f"])
            .arg(conf)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        slapd.own = Some((child, ldap, ldaps));
        let until = Instant::now() + Duration::from_secs(30);
        while !slapd.lets_in(slapd.get("LDAP_ADMIN_DN"), slapd.get("LDAP_ADMIN_PASSWORD")) {
            assert!(Instant::now() < until, "slapd does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        self
    }

    /// Searches that it was asked for since it started.
    pub fn searches(&self) -> usize {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap().matches(" SRCH base=").count()
    }

    /// What start.sh said.
    pub fn get(&self, key: &str) -> &str {
        match (&self.own, key) {
            (Some((_, ldap, _)), "LDAP_URL") => ldap,
            (Some((_, _, ldaps)), "LDAPS_URL") => ldaps,
            _ => self.server.said(key),
        }
    }

    /// The fingerprint of its certificate, which signed itself.
    pub fn fingerprint(&self) -> String {
        fingerprint(Path::new(self.get("LDAP_CERT")))
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Feeds LDIF to `ldapmodify` as the administrator; whether it took everything, and what it said.
    pub fn modify(&self, ldif: &str) -> (bool, String) {
        let mut child = Command::new("ldapmodify")
            .args([
                "-x",
                "-H",
                self.get("LDAP_URL"),
                "-D",
                self.get("LDAP_ADMIN_DN"),
                "-w",
                self.get("LDAP_ADMIN_PASSWORD"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(ldif.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Everything in the directory as LDIF, entries in order and without what the server adds.
    pub fn dump(&self) -> String {
        let output = Command::new("ldapsearch")
            .args(["-x", "-LLL", "-o", "ldif_wrap=no", "-S", "", "-H", self.get("LDAP_URL")])
            .args([
                "-D",
                self.get("LDAP_ADMIN_DN"),
                "-w",
                self.get("LDAP_ADMIN_PASSWORD"),
                "-b",
                self.get("LDAP_SUFFIX"),
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        // Values of an attribute have no order.
        let mut entries: Vec<Vec<&str>> = text.split("\n\n").map(|entry| entry.lines().collect()).collect();
        entries.iter_mut().for_each(|lines| lines.sort_unstable());
        entries.sort();
        entries.into_iter().map(|lines| lines.join("\n")).collect::<Vec<_>>().join("\n\n")
    }

    /// Whether this name and password log in.
    pub fn lets_in(&self, dn: &str, password: &str) -> bool {
        let mut who = Command::new("ldapwhoami");
        who.args(["-x", "-H", self.get("LDAP_URL"), "-D", dn, "-w", password])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        who.status().unwrap().success()
    }
}

/// The fingerprint of a certificate, as a description writes it.
pub fn fingerprint(certificate: &Path) -> String {
    let mut print = Command::new("openssl");
    let output = print.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(certificate).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, digits) = text.trim().split_once('=').unwrap();
    format!("sha256:{digits}")
}

impl Drop for Slapd {
    fn drop(&mut self) {
        if let Some((child, ..)) = &mut self.own {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
