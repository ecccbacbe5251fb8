//! As whom a connector logs in for an account.

use crate::model::provisioning::Secret;
use crate::site::SiteError;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How a login for somebody else's account is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoginMode {
    /// As `account*master` with the master's password (Dovecot's master users; the sign between them can be set).
    Master,
    /// As the administrator, acting for the account (SASL authorisation identity, RFC 4616).
    Proxy,
    /// As the account with a bearer token (RFC 7628, and XOAUTH2).
    OAuth2,
    /// As the account with its own password.
    Own,
}

/// Logins for all accounts of a server.
#[derive(Clone, Debug)]
pub struct Login {
    pub mode: LoginMode,
    /// The master or administrator; unused for [`LoginMode::OAuth2`] and [`LoginMode::Own`].
    pub user: String,
    /// What stands between account and master; `*` unless the description says otherwise.
    pub separator: String,
    /// The master's or administrator's password, or the token.
    pub secret: Option<Secret>,
    /// Passwords or tokens of single accounts, by address.
    pub own: BTreeMap<String, Secret>,
}

/// What is said to a server for one account.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// SASL PLAIN, or the protocol's own LOGIN where `acts_for` is empty.
    Password {
        user: String,
        acts_for: Option<String>,
        password: Secret,
    },
    Bearer {
        user: String,
        token: Secret,
    },
}

impl Login {
    /// What to say for `account`; an error where nothing is known for it.
    pub fn of(&self, account: &str) -> Result<Credentials, SiteError> {
        let shared = || {
            let none = || SiteError::Unsupported(format!("there is no password to log in for {account}"));
            self.own.get(account).or(self.secret.as_ref()).cloned().ok_or_else(none)
        };
        Ok(match self.mode {
            LoginMode::Master => Credentials::Password {
                user: format!("{account}{}{}", self.separator, self.user),
                acts_for: None,
                password: shared()?,
            },
            LoginMode::Proxy => Credentials::Password {
                user: self.user.clone(),
                acts_for: Some(account.to_owned()),
                password: shared()?,
            },
            LoginMode::OAuth2 => Credentials::Bearer { user: account.to_owned(), token: shared()? },
            LoginMode::Own => {
                let none =
                    || SiteError::Unsupported(format!("the accounts give no password of {account} to log in with"));
                let password = self.own.get(account).cloned().ok_or_else(none)?;
                Credentials::Password { user: account.to_owned(), acts_for: None, password }
            }
        })
    }
}
