//! The logins of a site of servers: secrets fetched from where a description says they are, and passwords of single
//! accounts from a CSV file with the columns `address` and `password`.

use super::description::{Accounts, Description, Logins};
use super::{Login, LoginMode, Token};
use crate::fs::Fs;
use crate::limits;
use crate::model::provisioning::Secret;
use crate::net::{NetError, SecretSource};
use crate::site::SiteError;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use zeroize::Zeroizing;

/// Fetches secrets, each once a run.
pub struct Secrets<'a> {
    fs: &'a Arc<dyn Fs>,
    description: &'a Description,
    fetched: Vec<(SecretSource, Secret)>,
}

impl<'a> Secrets<'a> {
    pub fn of(fs: &'a Arc<dyn Fs>, description: &'a Description) -> Self {
        Self { fs, description, fetched: Vec::new() }
    }

    /// The secret from there.
    pub fn fetch(&mut self, source: &SecretSource) -> Result<Secret, SiteError> {
        if let Some((_, known)) = self.fetched.iter().find(|(from, _)| from == source) {
            return Ok(known.clone());
        }
        let beside = self.description.path.parent().unwrap_or(Path::new(""));
        let secret = source.fetch(self.fs.as_ref(), beside).map_err(SiteError::Net)?;
        self.fetched.push((source.clone(), secret.clone()));
        Ok(secret)
    }

    /// The logins of a server.
    pub fn login(&mut self, logins: &Logins) -> Result<Login, SiteError> {
        let (secret, token) = match (&logins.password, logins.mode) {
            (Some(source), LoginMode::OAuth2) => (None, Some(Arc::new(self.token(source)?))),
            (source, _) => (source.as_ref().map(|source| self.fetch(source)).transpose()?, None),
        };
        let mut own = match &logins.passwords {
            Some(path) => read(self.fs.as_ref(), path)?,
            None => BTreeMap::new(),
        };
        if let Accounts::List(accounts) = &self.description.accounts {
            for account in accounts {
                if let Some(source) = &account.password {
                    own.insert(account.address.clone(), self.fetch(source)?);
                }
            }
        }
        let (user, separator) = (logins.user.clone(), logins.separator.clone());
        Ok(Login { mode: logins.mode, user, separator, secret, token, own })
    }

    fn token(&self, source: &SecretSource) -> Result<Token, SiteError> {
        let (fs, source) = (Arc::clone(self.fs), source.clone());
        let beside = self.description.path.parent().unwrap_or(Path::new("")).to_owned();
        Token::new(move || source.fetch(fs.as_ref(), &beside).map_err(SiteError::Net), Instant::now())
    }
}

/// Passwords by address.
fn read(fs: &dyn Fs, path: &Path) -> Result<BTreeMap<String, Secret>, SiteError> {
    let bytes = fs.read(path, limits::ACCOUNTS_FILE_BYTES);
    let bytes = bytes.map_err(|source| SiteError::Net(NetError::SecretFile { path: path.to_owned(), source }))?;
    let bytes = Zeroizing::new(bytes);
    let bad = |what: String| SiteError::Malformed { path: path.to_owned(), what };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.as_slice());
    let headers = reader.headers().map_err(|_| bad("is no CSV file".to_owned()))?;
    let column = |name: &str| headers.iter().position(|column| column.trim().eq_ignore_ascii_case(name));
    let (Some(address), Some(password)) = (column("address"), column("password")) else {
        return Err(bad("needs the columns address and password".to_owned()));
    };
    let mut passwords = BTreeMap::new();
    for (at, record) in reader.records().enumerate() {
        let row = at + 2;
        let record = record.map_err(|_| bad(format!("row {row} is not UTF-8 or no CSV")))?;
        match (record.get(address).map(str::trim), record.get(password)) {
            (Some(address), Some(password)) if !address.is_empty() && !password.is_empty() => {
                passwords.insert(address.to_owned(), Secret::new(password));
            }
            _ => return Err(bad(format!("row {row} lacks an address or a password"))),
        }
    }
    Ok(passwords)
}
