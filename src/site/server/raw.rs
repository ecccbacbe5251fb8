//! A site description as its TOML spells it, before it is checked; and where in the file a word stands.

use super::LoginMode;
use super::description::FileFormat;
use super::secret_key::SecretKey;
use crate::limits;
use crate::site::SiteError;
use crate::site::directory::passwd_file::parse_storage;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// The whole file; `A` is what its `[accounts]` turned out to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw<A> {
    pub accounts: A,
    pub mail: Option<Spanned<RawServer>>,
    pub filters: Option<Spanned<RawServer>>,
    pub groupware: Option<Spanned<RawServer>>,
    pub state: Option<PathBuf>,
    pub tls_ca: Option<Spanned<PathBuf>>,
    pub pin: Option<Spanned<String>>,
    pub insecure: Option<Spanned<bool>>,
    pub max_connections: Option<Spanned<i64>>,
}

/// `[accounts]` with `ldap`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLdap {
    pub ldap: Spanned<String>,
    pub base: String,
    pub bind: Option<Spanned<String>>,
    pub password: Option<SecretKey>,
    pub preset: Option<Spanned<String>>,
    #[serde(default)]
    pub mapping: toml::Table,
    pub tls_ca: Option<Spanned<PathBuf>>,
    pub pin: Option<Spanned<String>>,
    pub insecure: Option<Spanned<bool>>,
}

/// `[accounts]` with `file`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawFile {
    pub file: PathBuf,
    pub format: Option<FileFormat>,
}

/// `[accounts]` with `list`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawList {
    pub list: Vec<RawAccount>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAccount {
    pub address: Spanned<String>,
    pub name: Option<String>,
    pub quota: Option<Spanned<RawQuota>>,
    pub password: Option<SecretKey>,
}

/// `5368709120` or `"5G"`.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum RawQuota {
    Bytes(u64),
    Text(String),
}

impl RawQuota {
    /// `None` where it is no size.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(*bytes).filter(|bytes| *bytes > 0),
            Self::Text(text) => parse_storage(text, 1),
        }
    }
}

/// `[mail]`, `[filters]` or `[groupware]`; which URL belongs in which is checked later, so that the error can say it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawServer {
    pub imap: Option<Spanned<String>>,
    pub managesieve: Option<Spanned<String>>,
    pub dav: Option<Spanned<String>>,
    pub dns: Option<Spanned<String>>,
    pub login: Option<Spanned<LoginMode>>,
    pub user: Option<String>,
    pub separator: Option<String>,
    pub password: Option<SecretKey>,
    pub passwords: Option<PathBuf>,
    pub tls_ca: Option<Spanned<PathBuf>>,
    pub pin: Option<Spanned<String>>,
    pub insecure: Option<Spanned<bool>>,
    pub max_connections: Option<Spanned<i64>>,
    pub principal: Option<Spanned<String>>,
    pub scheduling: Option<Spanned<Scheduling>>,
    pub quotas: Option<Spanned<bool>>,
}

/// What a groupware server does with invitations; only that it sends none is worth saying.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduling {
    Off,
}

impl RawServer {
    /// Whether it says anything of logins; else it takes them from the section before.
    pub fn says_how_to_log_in(&self) -> bool {
        self.login.is_some()
            || self.user.is_some()
            || self.separator.is_some()
            || self.password.is_some()
            || self.passwords.is_some()
    }

    pub fn tls(&self) -> Tls {
        Tls { tls_ca: self.tls_ca.clone(), pin: self.pin.clone(), insecure: self.insecure.clone() }
    }
}

impl RawLdap {
    pub fn tls(&self) -> Tls {
        Tls { tls_ca: self.tls_ca.clone(), pin: self.pin.clone(), insecure: self.insecure.clone() }
    }
}

impl<A> Raw<A> {
    pub fn tls(&self) -> Tls {
        Tls { tls_ca: self.tls_ca.clone(), pin: self.pin.clone(), insecure: self.insecure.clone() }
    }
}

/// Whom to trust, as one level of the file says it.
pub struct Tls {
    pub tls_ca: Option<Spanned<PathBuf>>,
    pub pin: Option<Spanned<String>>,
    pub insecure: Option<Spanned<bool>>,
}

impl Tls {
    pub fn is_empty(&self) -> bool {
        self.tls_ca.is_none() && self.pin.is_none() && self.insecure.is_none()
    }
}

/// The file whose words are read, for errors that say where.
pub struct Place<'a> {
    pub path: &'a Path,
    pub text: &'a str,
}

impl Place<'_> {
    /// The text as a `T`; what is wrong with it names line and key, and shows no value.
    pub fn toml<T: DeserializeOwned>(&self) -> Result<T, SiteError> {
        toml::from_str(self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            // The error's own `Display` would show the line, and with it what may be a secret.
            self.error(at, &self.key_at(at), error.message().trim())
        })
    }

    /// The folder that relative paths begin in.
    pub fn beside(&self) -> PathBuf {
        let parent = self.path.parent().unwrap_or(Path::new(""));
        if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() }
    }

    /// An error about the value that `word` holds.
    pub fn wrong<T>(&self, word: &Spanned<T>, key: &str, what: impl ToString) -> SiteError {
        self.error(word.span().start, key, what)
    }

    /// An error about `key`, at this byte of the text.
    pub fn error(&self, at: usize, key: &str, what: impl ToString) -> SiteError {
        let line = self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
        SiteError::Malformed { path: self.path.to_owned(), what: format!("line {line}: {key}{}", what.to_string()) }
    }

    /// A number of connections that is one.
    pub fn connections(&self, number: &Spanned<i64>, key: &str) -> Result<usize, SiteError> {
        let most = limits::SERVER_CONNECTIONS_MOST;
        let number_of = usize::try_from(*number.get_ref()).ok().filter(|number| (1..=most).contains(number));
        number_of.ok_or_else(|| self.wrong(number, key, format!("is a number from 1 to {most}")))
    }

    /// The key whose line the byte is in, with its section, as far as the text shows it: `mail.imap`.
    fn key_at(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = self.text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        let is_key =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        let section = before.lines().rev().find_map(|line| line.trim().strip_prefix('[')?.split_once(']'));
        let section = section.map(|(name, _)| name.trim()).filter(|name| is_key(name));
        let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| is_key(key));
        section.into_iter().chain(key).collect::<Vec<_>>().join(".")
    }
}
