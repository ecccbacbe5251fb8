//! Starts an OpenLDAP of the shared testbed. It ends with the value.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The shared recipes of servers: `WAGON_TESTBED`, beside `WAGON_CORPUS`, or beside the repository.
pub fn testbed() -> Option<PathBuf> {
    let named = std::env::var_os("WAGON_TESTBED").map(PathBuf::from);
    let beside_corpus =
        || std::env::var_os("WAGON_CORPUS").and_then(|path| Some(Path::new(&path).parent()?.join("testbed")));
    let beside = || Some(Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.join("shared/testbed"));
    named.or_else(beside_corpus).or_else(beside).filter(|path| path.join("slapd/start.sh").exists())
}

/// A running slapd.
pub struct Slapd {
    testbed: PathBuf,
    dir: tempfile::TempDir,
    /// What start.sh printed.
    pub env: HashMap<String, String>,
}

impl Slapd {
    /// Starts one with the recipe's own accounts and groups; says why and gives `None` where that cannot be.
    pub fn start(users: usize, groups: usize) -> Option<Self> {
        Self::begin(&[("LDAP_USERS", &users.to_string()), ("LDAP_GROUPS", &groups.to_string())], None)
    }

    /// Starts one with the entries of this LDIF.
    pub fn with(ldif: &str) -> Option<Self> {
        Self::begin(&[], Some(ldif))
    }

    fn begin(env: &[(&str, &str)], ldif: Option<&str>) -> Option<Self> {
        let Some(testbed) = testbed() else {
            eprintln!("skipped: there is no testbed; WAGON_TESTBED names it");
            return None;
        };
        if !Path::new("/usr/sbin/slapd").exists() {
            eprintln!("skipped: slapd is not installed; {}/slapd/install.sh does", testbed.display());
            return None;
        }
        let dir = tempfile::Builder::new().prefix("wagon-ldap-").tempdir().unwrap();
        let mut start = Command::new(testbed.join("slapd/start.sh"));
        start.arg(dir.path().join("s")).env("LDAP_PORT", "auto").env("LDAPS_PORT", "auto").envs(env.iter().copied());
        if let Some(ldif) = ldif {
            let file = dir.path().join("entries.ldif");
            std::fs::write(&file, ldif).unwrap();
            start.arg(file);
        }
        let output = start.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "slapd does not start");
        let text = String::from_utf8(output.stdout).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Some(Self { testbed, dir, env: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect() })
    }

    pub fn get(&self, key: &str) -> &str {
        self.env.get(key).unwrap_or_else(|| panic!("start.sh printed no {key}"))
    }

    /// The server's certificate.
    pub fn pin(&self) -> stationwagon::net::Pin {
        let mut print = Command::new("openssl");
        let output =
            print.args(["x509", "-noout", "-fingerprint", "-sha256", "-in", self.get("LDAP_CERT")]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (_, digits) = text.trim().split_once('=').unwrap();
        stationwagon::net::Pin::parse(&format!("sha256:{digits}")).unwrap()
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

impl Drop for Slapd {
    fn drop(&mut self) {
        let stop = Command::new(self.testbed.join("slapd/stop.sh")).arg(self.dir.path().join("s")).status();
        if !stop.is_ok_and(|status| status.success()) {
            eprintln!("slapd in {} did not stop", self.dir.path().display());
        }
    }
}
