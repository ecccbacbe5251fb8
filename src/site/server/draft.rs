//! A new site description from a few answers (`wagon site init`). What it writes reads back as the description that was
//! meant, and holds no secret: only where one is.

use super::Description;
pub use crate::net::SecretSource;

use crate::fs::Fs;
use crate::site::SiteError;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// What a description is made of.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// An LDAP URL, or a file.
    pub accounts: String,
    /// For LDAP.
    pub base: Option<String>,
    pub bind: Option<String>,
    pub bind_password: Option<SecretSource>,
    pub preset: Option<String>,
    pub imap: Option<String>,
    pub managesieve: Option<String>,
    pub dav: Option<String>,
    pub login: DraftLogin,
    /// Of `dav`, where that is another one.
    pub dav_login: DraftLogin,
    pub tls_ca: Option<String>,
    pub pin: Option<String>,
    pub insecure: bool,
}

/// How a server is logged in to.
#[derive(Clone, Debug, Default)]
pub struct DraftLogin {
    /// `master`, `proxy`, `oauth2` or `own`.
    pub mode: Option<String>,
    pub user: Option<String>,
    pub password: Option<SecretSource>,
    /// A file with passwords or tokens of the accounts.
    pub passwords: Option<String>,
}

impl DraftLogin {
    fn put(&self, text: &mut String) {
        put(text, "login", self.mode.as_deref());
        put(text, "user", self.user.as_deref());
        put_secret(text, self.password.as_ref());
        put(text, "passwords", self.passwords.as_deref());
    }
}

impl Draft {
    /// Whether the accounts are in a directory server.
    pub fn is_ldap(&self) -> bool {
        self.accounts.starts_with("ldap://") || self.accounts.starts_with("ldaps://")
    }

    /// The text of the description.
    pub fn text(&self) -> String {
        let mut text =
            String::from("# Made by wagon site init; docs/site-descriptions.md tells what else can stand here.\n");
        put(&mut text, "tls_ca", self.tls_ca.as_deref());
        put(&mut text, "pin", self.pin.as_deref());
        if self.insecure {
            text.push_str("insecure = true\n");
        }
        text.push_str("\n[accounts]\n");
        put(&mut text, if self.is_ldap() { "ldap" } else { "file" }, Some(&self.accounts));
        put(&mut text, "base", self.base.as_deref());
        put(&mut text, "bind", self.bind.as_deref());
        put_secret(&mut text, self.bind_password.as_ref());
        put(&mut text, "preset", self.preset.as_deref());
        let servers = [
            ("mail", "imap", &self.imap),
            ("filters", "managesieve", &self.managesieve),
            ("groupware", "dav", &self.dav),
        ];
        // A section without a login takes the first one's.
        let mut first = true;
        for (section, key, url) in servers {
            let Some(url) = url else { continue };
            let _ = writeln!(text, "\n[{section}]");
            put(&mut text, key, Some(url));
            if std::mem::take(&mut first) {
                self.login.put(&mut text);
            } else if section == "groupware" {
                self.dav_login.put(&mut text);
            }
        }
        text
    }

    /// Writes the description for its owner alone, where nothing lies yet, after reading it as a pass would.
    pub fn write(&self, fs: &dyn Fs, path: &Path) -> Result<Description, SiteError> {
        let text = self.text();
        let description = Description::parse(path, &text)?;
        let io = |action| move |source| SiteError::Io { action, path: path.to_owned(), source };
        let mut file = fs.create_new(path).map_err(io("make"))?;
        io::Write::write_all(&mut file, text.as_bytes()).map_err(io("write"))?;
        file.sync().map_err(io("write"))?;
        file.keep();
        Ok(description)
    }
}

fn put(text: &mut String, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        let _ = writeln!(text, "{key} = {}", quoted(value));
    }
}

fn put_secret(text: &mut String, secret: Option<&SecretSource>) {
    let (key, value) = match secret {
        None => return,
        Some(SecretSource::File(path)) => ("file", path.display().to_string()),
        Some(SecretSource::Env(name)) => ("env", name.clone()),
        Some(SecretSource::Command(command)) => ("command", command.clone()),
    };
    let _ = writeln!(text, "password = {{ {key} = {} }}", quoted(&value));
}

fn quoted(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}

/// Where a secret is, as somebody types it: `file PATH`, `env NAME` or `command LINE`. Anything else may be the secret
/// itself, so it is not repeated in the error.
pub fn secret_source(text: &str) -> Result<SecretSource, &'static str> {
    let (how, what) = text.trim().split_once([' ', '=', ':']).unwrap_or((text, ""));
    match (how, what.trim()) {
        (_, "") => Err(WHERE),
        ("file", path) => Ok(SecretSource::File(PathBuf::from(path))),
        ("env", name) => Ok(SecretSource::Env(name.to_owned())),
        ("command", line) => Ok(SecretSource::Command(line.to_owned())),
        _ => Err(WHERE),
    }
}

const WHERE: &str = "say where the password is, not what it is: file PATH, env NAME or command LINE";

#[cfg(test)]
mod tests {
    use super::super::LoginMode;
    use super::*;

    #[test]
    fn what_is_drafted_reads_back_whatever_its_words() {
        let draft = Draft {
            accounts: "ldaps://ldap.example.org".to_owned(),
            base: Some("dc=example \"x\"\n\\".to_owned()),
            bind: Some("cn=reader".to_owned()),
            bind_password: Some(SecretSource::Command("pass 'a b' | head -1".to_owned())),
            imap: Some("imaps://imap.example.org".to_owned()),
            managesieve: Some("sieve://imap.example.org".to_owned()),
            dav: Some("https://dav.example.org/".to_owned()),
            login: DraftLogin {
                mode: Some("master".to_owned()),
                user: Some("migrate".to_owned()),
                password: Some(SecretSource::Env("IMAP_MASTER".to_owned())),
                passwords: None,
            },
            dav_login: DraftLogin {
                mode: Some("own".to_owned()),
                passwords: Some("logins \"x\".csv".to_owned()),
                ..DraftLogin::default()
            },
            ..Draft::default()
        };
        let site = Description::parse(Path::new("x.toml"), &draft.text()).unwrap();
        let super::super::description::Accounts::Ldap(ldap) = &site.accounts else { panic!("not LDAP") };
        assert_eq!(Some(&ldap.base), draft.base.as_ref());
        assert_eq!(ldap.password, draft.bind_password);
        let mail = site.mail.unwrap();
        assert_eq!((mail.login.mode, mail.login.password.clone()), (LoginMode::Master, draft.login.password));
        assert_eq!(site.filters.unwrap().login, mail.login);
        assert_eq!(site.groupware.unwrap().login.mode, LoginMode::Own);
    }

    #[test]
    fn a_secret_in_place_of_its_place_is_refused_and_not_repeated() {
        assert_eq!(secret_source("env IMAP"), Ok(SecretSource::Env("IMAP".to_owned())));
        assert_eq!(secret_source("file: /a b"), Ok(SecretSource::File("/a b".into())));
        for text in ["hunter2", "hunter 2", "", "env", "file "] {
            assert!(!secret_source(text).unwrap_err().contains("hunter"));
        }
    }
}
