//! A source and a target of real servers, their descriptions, and the binary between them.

use crate::client::{self, Mailbox};
use crate::servers::dovecot::open_dir;
use crate::servers::imap::Imap;
use crate::servers::testbed::{Server, missing, password, users};
use crate::sites::{Place, skip};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct World {
    _dir: tempfile::TempDir,
    pub place: Place,
}

/// One of the two families of servers.
#[derive(Clone, Copy)]
pub enum Kind {
    Dovecot,
    Cyrus,
}

/// A server with a description of it.
pub struct Site {
    pub kind: Kind,
    /// None of its own where another's is described once more.
    pub server: Option<Server>,
    /// The description's file name.
    pub name: String,
}

/// Whether the testbed is there; says what is skipped where it is not.
pub fn ready(test: &str, servers: &[&str]) -> bool {
    match missing(servers) {
        None => true,
        Some(why) => {
            skip(test, &why);
            false
        }
    }
}

impl World {
    pub fn new() -> Self {
        let dir = open_dir();
        Self { place: Place::at(dir.path()), _dir: dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A Dovecot that serves the directory site `folder`, described in `folder.toml` with its accounts of `etc/passwd`.
    pub fn dovecot(&self, folder: &str) -> Site {
        // Written from outside, it gets new users with each start.
        let server = Server::start("dovecot", &self.path(folder), &[]);
        let site = Site { kind: Kind::Dovecot, server: Some(server), name: format!("{folder}.toml") };
        self.describe(&site, site.port(), &format!("file = \"{folder}/etc/passwd\""));
        site
    }

    /// An empty directory site for these accounts, for a Dovecot to serve as a target.
    pub fn empty_site(&self, folder: &str, accounts: &[&str]) {
        fs::create_dir_all(self.path(folder).join("etc")).unwrap();
        fs::create_dir_all(self.path(folder).join("mail")).unwrap();
        let line = |account: &&str| format!("{}:{{PLAIN}}{}::::::\n", account.replace('\'', "\\'"), password(account));
        self.write(&format!("{folder}/etc/passwd"), &accounts.iter().map(line).collect::<String>());
        for account in accounts {
            let (user, domain) = account.split_once('@').unwrap();
            fs::create_dir_all(self.path(folder).join("mail").join(domain).join(user)).unwrap();
        }
    }

    /// A Cyrus for these accounts, described in `name.toml`; a list of accounts is kept beside it.
    pub fn cyrus(&self, name: &str, accounts: &[&str]) -> Site {
        fs::create_dir_all(self.path(name)).unwrap();
        let server = Server::start("cyrus", &users(&self.path(name), accounts), &[]);
        let site = Site { kind: Kind::Cyrus, server: Some(server), name: format!("{name}.toml") };
        self.describe(&site, site.port(), &format!("file = \"{name}.csv\""));
        site
    }

    /// Describes the server behind `port`, which may be a proxy, through TLS.
    pub fn describe(&self, site: &Site, port: u16, accounts: &str) {
        let pin = format!("pin = \"{}\"", site.fingerprint());
        self.describe_as(site, site, port, accounts, &pin);
    }

    /// The same in the open, for a proxy that looks into it.
    pub fn describe_open(&self, site: &Site, port: u16, accounts: &str) {
        self.describe_as(site, site, port, accounts, "insecure = true");
    }

    /// Writes the description `site.name` of what `of` serves.
    pub fn describe_as(&self, site: &Site, of: &Site, port: u16, accounts: &str, tls: &str) {
        let (login, user, secret) = match site.kind {
            Kind::Dovecot => ("master", "master", "master-secret"),
            Kind::Cyrus => ("proxy", "cyrus", of.server().said("CYRUS_ADMIN_PASSWORD")),
        };
        self.write(&format!("{}.secret", site.name), &format!("{secret}\n"));
        let text = format!(
            "{tls}\n[accounts]\n{accounts}\n[mail]\nimap = \"imap://localhost:{port}\"\nlogin = \"{login}\"\n\
             user = \"{user}\"\npassword = {{ file = \"{}.secret\" }}\n",
            site.name
        );
        self.write(&site.name, &text);
    }

    pub fn wagon(&self, status: i32, line: &str) -> String {
        self.place.wagon(status, line)
    }

    /// An export with a number of rejections that a test knows; returns the report.
    pub fn report(&self, line: &str, allowed: &[i32]) -> (i32, String) {
        let out = self.place.run(line);
        let status = out.status.code().unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(allowed.contains(&status), "wagon {line}: status {status}\n{stdout}\n{stderr}");
        (status, format!("{stdout}{stderr}"))
    }
}

impl Site {
    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub fn port(&self) -> u16 {
        self.server().port(match self.kind {
            Kind::Dovecot => "DOVECOT_IMAP_PORT",
            Kind::Cyrus => "CYRUS_IMAP_PORT",
        })
    }

    /// As a description writes it.
    fn fingerprint(&self) -> String {
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(self.server().dir().join("cert.pem"));
        let out = String::from_utf8(openssl.output().unwrap().stdout).unwrap();
        let (_, digits) = out.trim().split_once('=').unwrap();
        format!("sha256:{digits}")
    }

    /// A client of that account.
    pub fn client(&self, account: &str) -> Imap {
        let (user, secret) = match self.kind {
            Kind::Dovecot => (format!("{account}*master"), "master-secret".to_owned()),
            Kind::Cyrus => (account.to_owned(), password(account)),
        };
        Imap::login(self.port(), &user, &secret).unwrap_or_else(|refusal| panic!("{account}: {refusal}"))
    }

    /// What a client of that account sees.
    pub fn look(&self, account: &str) -> Mailbox {
        client::look(&mut self.client(account), account)
    }
}

/// The development corpus, where it is.
pub fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let corpus = std::env::var_os("WAGON_CORPUS").map_or(beside, PathBuf::from);
    corpus.join("make-site.sh").is_file().then_some(corpus)
}

/// Builds a site of the corpus at `site`; `more` may name a day of change.
pub fn make_site(corpus: &Path, size: &str, site: &Path, more: &[&str]) {
    let out = Command::new(corpus.join("make-site.sh"))
        .arg(size)
        .arg(site)
        .args(more)
        .env("CORPUS_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("corpus-cache"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(out.status.success(), "make-site.sh {size}: {}", String::from_utf8_lossy(&out.stderr));
}
