//! The site description: a TOML file that says where the accounts of a site come from or go to, and which servers hold
//! its mail, filters, calendars and contacts. docs/site-descriptions.md tells its keys.
//!
//! Reading one reaches no server and fetches no secret. What is wrong with it is told with file, line and key; an unknown
//! key is an error, and the text of a secret that somebody wrote into it appears in none.

use super::LoginMode;
use super::raw::{Place, Raw, RawFile, RawLdap, RawList, RawServer, Tls};
use super::section::{policy, server};
use crate::fs::Fs;
use crate::limits;
use crate::net::{Endpoint, SecretSource, TlsPolicy};
use crate::site::SiteError;
use crate::site::ldap::Mapping;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml::Spanned;

pub use crate::site::imap::SCHEMES as IMAP;
pub use crate::site::managesieve::SCHEMES as MANAGESIEVE;

pub use crate::site::ldap::SCHEMES as LDAP;

/// A site description, checked as far as one can without asking a server.
#[derive(Clone, Debug)]
pub struct Description {
    /// Where it was read.
    pub path: PathBuf,
    pub accounts: Accounts,
    pub mail: Option<Server>,
    pub filters: Option<Server>,
    pub groupware: Option<Server>,
    /// Folder for what the servers cannot keep, beside the description unless it says otherwise.
    pub state: PathBuf,
}

/// Where the accounts are.
#[derive(Clone, Debug)]
pub enum Accounts {
    Ldap(Box<Ldap>),
    File { path: PathBuf, format: Option<FileFormat> },
    List(Vec<ListedAccount>),
}

/// How a file of accounts is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// A line of column names, then an account a line.
    Csv,
    /// Dovecot's passwd-file.
    Passwd,
}

/// A directory server with the accounts.
#[derive(Clone, Debug)]
pub struct Ldap {
    pub endpoint: Endpoint,
    pub base: String,
    /// As whom; without it anonymously.
    pub bind: Option<String>,
    pub password: Option<SecretSource>,
    /// Which attribute of which entry says what.
    pub mapping: Mapping,
    pub tls: TlsPolicy,
    pub insecure: bool,
}

/// An account that stands in the description itself.
#[derive(Clone, Debug)]
pub struct ListedAccount {
    pub address: String,
    pub name: Option<String>,
    pub quota_bytes: Option<u64>,
    /// Its own password, for `login = "own"`.
    pub password: Option<SecretSource>,
}

/// A server that holds folders, and how one logs in.
#[derive(Clone, Debug)]
pub struct Server {
    /// The section: `mail`, `filters`, `groupware`.
    pub section: &'static str,
    /// With a domain in its place, where the server is if DNS says nothing.
    pub url: String,
    /// `groupware` only: the domain whose server DNS names.
    pub domain: Option<Domain>,
    pub login: Logins,
    pub tls: TlsPolicy,
    /// TLS is not asked for where the URL does not, and nobody's certificate is looked at.
    pub insecure: bool,
    pub max_connections: usize,
    /// `groupware` only: the path of an account's principal, where the server does not tell it.
    pub principal: Option<String>,
    /// `groupware` only: the administrator has switched off that the server sends invitations.
    pub scheduling_is_off: bool,
    /// `mail` only: where `[accounts]` gives an account no quota, the server's is read.
    pub quotas: bool,
}

/// A domain in place of a URL, and who is asked for its server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    /// In ASCII and lower case.
    pub name: String,
    /// In place of the system's nameservers.
    pub nameserver: Option<SocketAddr>,
}

/// How one logs in for the accounts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Logins {
    pub mode: LoginMode,
    pub user: String,
    pub separator: String,
    pub password: Option<SecretSource>,
    /// A CSV file with the columns `address` and `password`.
    pub passwords: Option<PathBuf>,
}

impl Description {
    /// Reads and checks the description at `path`.
    pub fn read(fs: &dyn Fs, path: &Path) -> Result<Self, SiteError> {
        let bytes = fs.read(path, limits::DESCRIPTION_BYTES);
        let bytes = bytes.map_err(|source| SiteError::Io { action: "read", path: path.to_owned(), source })?;
        let text = String::from_utf8(bytes)
            .map_err(|_| SiteError::Malformed { path: path.to_owned(), what: "is not UTF-8".to_owned() })?;
        Self::parse(path, &text)
    }

    /// Checks the text of a description that lies at `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, SiteError> {
        /// Only the keys of `[accounts]`, which say by what else they are followed.
        #[derive(Deserialize)]
        struct Probe {
            accounts: Option<Spanned<BTreeMap<String, IgnoredAny>>>,
        }
        let place = Place { path, text };
        let probe: Probe = place.toml()?;
        let Some(accounts) = probe.accounts else {
            return Err(place.error(0, "accounts", "is missing; it says where the accounts are: ldap, file or list"));
        };
        let at = accounts.span().start;
        let keys = accounts.into_inner();
        let kinds: Vec<_> = ["ldap", "file", "list"].into_iter().filter(|kind| keys.contains_key(*kind)).collect();
        match kinds.as_slice() {
            ["ldap"] => place.toml().and_then(|raw| build(&place, raw, ldap)),
            ["file"] => place.toml().and_then(|raw| build(&place, raw, file)),
            ["list"] => place.toml().and_then(|raw| build(&place, raw, list)),
            _ => Err(place.error(at, "accounts", "needs exactly one of ldap, file and list")),
        }
    }

    /// The servers that hold folders, with their sections.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        [&self.mail, &self.filters, &self.groupware].into_iter().flatten()
    }

    /// Whether there is any server, so that something may have to be remembered between runs.
    pub fn asks_servers(&self) -> bool {
        matches!(self.accounts, Accounts::Ldap(_)) || self.servers().next().is_some()
    }

    /// A sentence for each thing that a user should be told in every run.
    pub fn cautions(&self) -> Vec<String> {
        let ldap = match &self.accounts {
            Accounts::Ldap(ldap) if ldap.insecure => Some(("accounts", ldap.endpoint.to_string())),
            _ => None,
        };
        let open = self.servers().filter(|server| server.insecure).map(|server| (server.section, server.url.clone()));
        let tell = |(section, url): (&str, String)| {
            format!(
                "{}: [{section}] is insecure: whoever sits between here and {url} can read and change everything, passwords included",
                self.path.display()
            )
        };
        ldap.into_iter().chain(open).map(tell).collect()
    }
}

fn build<A: DeserializeOwned>(
    place: &Place<'_>,
    raw: Raw<A>,
    accounts: impl FnOnce(&Place<'_>, A, &Tls) -> Result<Accounts, SiteError>,
) -> Result<Description, SiteError> {
    let tls = raw.tls();
    let Raw { accounts: raw_accounts, mail, filters, groupware, state, max_connections, .. } = raw;
    let accounts = accounts(place, raw_accounts, &tls)?;
    let connections = max_connections.map(|number| place.connections(&number, "max_connections")).transpose()?;
    let mut first: Option<Logins> = None;
    let mut section = |section: &'static str, key: &'static str, raw: Option<Spanned<RawServer>>| {
        let Some(raw) = raw else { return Ok(None) };
        let server = server(place, (section, key), raw, &tls, connections, first.as_ref())?;
        first.get_or_insert_with(|| server.login.clone());
        Ok::<_, SiteError>(Some(server))
    };
    let mail = section("mail", "imap", mail)?;
    let filters = section("filters", "managesieve", filters)?;
    let groupware = section("groupware", "dav", groupware)?;
    let state = place.beside().join(state.unwrap_or_else(|| default_state(place.path)));
    Ok(Description { path: place.path.to_owned(), accounts, mail, filters, groupware, state })
}

/// `old.state` for `old.toml`.
fn default_state(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(".state");
    PathBuf::from(name)
}

fn ldap(place: &Place<'_>, raw: RawLdap, above: &Tls) -> Result<Accounts, SiteError> {
    let url = raw.ldap.get_ref();
    let endpoint = Endpoint::parse(url, LDAP).map_err(|error| place.wrong(&raw.ldap, "accounts.ldap", &error))?;
    if let (None, Some(bind)) = (&raw.password, &raw.bind) {
        return Err(place.wrong(bind, "accounts.bind", "names somebody, and there is no password for him"));
    }
    let (tls, insecure) = policy(place, "accounts", &raw.tls(), above)?;
    let mut table = raw.mapping.clone();
    if let Some(preset) = &raw.preset {
        table.entry("preset").or_insert_with(|| toml::Value::String(preset.get_ref().clone()));
    }
    let at = raw.preset.as_ref().map_or(raw.ldap.span().start, |preset| preset.span().start);
    let mapping = Mapping::try_from(table).map_err(|what| place.error(at, "accounts.mapping", what))?;
    Ok(Accounts::Ldap(Box::new(Ldap {
        endpoint,
        base: raw.base,
        bind: raw.bind.map(Spanned::into_inner),
        password: raw.password.map(|key| key.0),
        mapping,
        tls,
        insecure,
    })))
}

fn file(place: &Place<'_>, raw: RawFile, _: &Tls) -> Result<Accounts, SiteError> {
    Ok(Accounts::File { path: place.beside().join(raw.file), format: raw.format })
}

fn list(place: &Place<'_>, raw: RawList, _: &Tls) -> Result<Accounts, SiteError> {
    let mut seen = std::collections::BTreeSet::new();
    let mut accounts = Vec::new();
    for one in raw.list {
        let address = one.address.get_ref().clone();
        let is_address = address.split_once('@').is_some_and(|(user, domain)| !user.is_empty() && !domain.is_empty())
            && !address.contains(|c: char| c.is_control() || c == ' ' || c == '/');
        if !is_address {
            return Err(place.wrong(&one.address, "accounts.list", format!("{address:?} is no address")));
        }
        if !seen.insert(address.to_lowercase()) {
            return Err(place.wrong(&one.address, "accounts.list", format!("names {address} twice")));
        }
        let quota_bytes = match &one.quota {
            None => None,
            Some(quota) => Some(quota.get_ref().bytes().ok_or_else(|| {
                place.wrong(quota, "accounts.list", "has a quota that is no number of bytes, nor one with k, M, G or T")
            })?),
        };
        accounts.push(ListedAccount { address, name: one.name, quota_bytes, password: one.password.map(|key| key.0) });
    }
    Ok(Accounts::List(accounts))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
state = "kept"
tls_ca = "roots.pem"

[accounts]
ldap = "ldaps://ldap.example.org"
base = "dc=example,dc=org"
bind = "cn=reader,dc=example,dc=org"
password = { file = "ldap.secret" }

[mail]
imap = "imaps://imap.example.org"
login = "master"
user = "migrate"
password = { env = "IMAP_MASTER" }
max_connections = 3

[filters]
managesieve = "sieve://imap.example.org"

[groupware]
dav = "http://127.0.0.1:5232/"
insecure = true
login = "own"
passwords = "logins.csv"
"#;

    fn parse(text: &str) -> Result<Description, SiteError> {
        Description::parse(Path::new("sites/old.toml"), text)
    }

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_description_names_its_servers_and_paths_begin_beside_it() {
        let site = parse(WHOLE).unwrap();
        assert_eq!(site.state, Path::new("sites/kept"));
        let Accounts::Ldap(ldap) = &site.accounts else { panic!("not LDAP") };
        assert_eq!((ldap.endpoint.port, ldap.tls.clone()), (636, TlsPolicy::Roots("sites/roots.pem".into())));
        let mail = site.mail.as_ref().unwrap();
        assert_eq!((mail.login.mode, mail.login.separator.as_str(), mail.max_connections), (LoginMode::Master, "*", 3));
        assert_eq!(site.filters.as_ref().unwrap().login, mail.login, "filters log in as mail does");
        let groupware = site.groupware.as_ref().unwrap();
        assert_eq!(groupware.login.passwords.as_deref(), Some(Path::new("sites/logins.csv")));
        assert_eq!((&groupware.tls, site.cautions().len()), (&TlsPolicy::Insecure, 1));
        assert_eq!(parse("[accounts]\nfile = \"/x/passwd\"").unwrap().state, Path::new("sites/old.state"));
    }

    #[test]
    fn what_is_wrong_is_told_with_file_line_and_key() {
        let file = "[accounts]\nfile = \"a.csv\"\n";
        let cases = [
            (
                "".to_owned(),
                "sites/old.toml: line 1: accounts: is missing; it says where the accounts are: ldap, file or list",
            ),
            ("[accounts]\nbase = \"x\"".to_owned(), "line 1: accounts: needs exactly one of ldap, file and list"),
            (format!("{file}base = \"x\""), "line 3: accounts.base: unknown field `base`, expected `file` or `format`"),
            (
                format!("{file}format = \"xml\""),
                "line 3: accounts.format: unknown variant `xml`, expected `csv` or `passwd`",
            ),
            (format!("{file}[mail]\nuser = \"x\""), "line 3: mail.imap: is missing; it is the URL of the server"),
            (
                format!("{file}[mail]\nimap = \"imaps://a\""),
                "line 3: mail.login: is missing; it is master, proxy, oauth2 or own",
            ),
            (format!("{file}[mail]\n\ndav = \"https://a\""), "line 5: mail.dav: has no place here; [mail] takes imap"),
            (
                format!("{file}[mail]\nimap = \"http://a\""),
                "line 4: mail.imap: \"http://a\" has another scheme; expected is imaps:// or imap:// and a host",
            ),
            (
                format!("{file}[groupware]\ndav = \"http://a/\"\nlogin = \"own\""),
                "line 4: groupware.dav: is not encrypted; only with insecure = true, or better with https://",
            ),
            (
                format!("{file}[mail]\nimap = \"imaps://a\"\nlogin = \"proxy\""),
                "line 5: mail.login: needs a user and his password",
            ),
            (
                format!("pin = \"sha256:12\"\n{file}[mail]\nimap = \"imaps://a\"\nlogin = \"own\""),
                "line 1: pin: \"sha256:12\" is neither sha256: and the 64 hex digits of a certificate nor sha256// and the base64 of a key",
            ),
            (
                format!("tls_ca = \"x\"\n{file}[mail]\nimap = \"imaps://a\"\ntls_ca = \"y\"\ninsecure = true"),
                "line 7: mail.insecure: excludes tls_ca and pin, which say whom to trust",
            ),
            (
                format!(
                    "{file}[filters]\nmanagesieve = \"sieve://a\"\nquotas = true\nlogin = \"own\"\npasswords = \"p\""
                ),
                "line 5: filters.quotas: has no place here; it is for [mail]",
            ),
            (format!("max_connections = 0\n{file}"), "line 1: max_connections: is a number from 1 to 256"),
            ("[accounts]\nlist = [\n{ address = \"ann\" }]".to_owned(), "line 3: accounts.list: \"ann\" is no address"),
            (
                "[accounts]\nlist = [{ address = \"a@b\" },\n{ address = \"A@b\" }]".to_owned(),
                "line 3: accounts.list: names A@b twice",
            ),
        ];
        for (text, expected) in cases {
            let found = error(&text);
            assert!(found.ends_with(expected) && found.starts_with("sites/old.toml: line "), "{found}\n{text}");
        }
    }

    #[test]
    fn a_secret_in_the_description_is_refused_and_not_shown() {
        let mail = |password: &str| {
            let text = "[accounts]\nfile = \"a.csv\"\n[mail]\nimap = \"imaps://a\"\nlogin = \"master\"\nuser = \"m\"\n";
            error(&format!("{text}password = {password}"))
        };
        for password in ["\"hunter2\"", "7734", "77.34", "[\"hunter2\"]", "\"hunter2"] {
            let found = mail(password);
            assert!(!found.contains("hunter2") && !found.contains("77"), "{found}");
            assert!(found.starts_with("sites/old.toml: line 7: mail.password: "), "{found}");
        }
        let listed = error("[accounts]\nlist = [{ address = \"a@b.test\", password = \"hunter2\" }]");
        assert!(listed.contains("never stands here") && !listed.contains("hunter2"), "{listed}");
        let url = error("[accounts]\nfile = \"a.csv\"\n[groupware]\ndav = \"https://ann:hunter2@a\"\nlogin = \"own\"");
        assert!(!url.contains("hunter2"), "{url}");
    }
}
