//! As whom a connector logs in for an account.

use crate::limits;
use crate::model::provisioning::Secret;
use crate::site::SiteError;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

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
    /// The master's or administrator's password.
    pub secret: Option<Secret>,
    /// The token for all accounts.
    pub token: Option<Arc<Token>>,
    /// Passwords or tokens of single accounts, by address.
    pub own: BTreeMap<String, Secret>,
}

/// What is said to a server for one account.
#[derive(Clone, PartialEq, Eq, Debug)]
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

/// A bearer token that is fetched anew before it can have become invalid: a first pass takes longer than a token lives.
pub struct Token {
    fetch: Box<dyn Fn() -> Result<Secret, SiteError> + Send + Sync>,
    held: Mutex<(Instant, Secret)>,
}

impl Token {
    /// Fetches it for the first time.
    pub fn new(
        fetch: impl Fn() -> Result<Secret, SiteError> + Send + Sync + 'static,
        now: Instant,
    ) -> Result<Self, SiteError> {
        let held = Mutex::new((now, fetch()?));
        Ok(Self { fetch: Box::new(fetch), held })
    }

    fn at(&self, now: Instant) -> Result<Secret, SiteError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(held.0) >= limits::TOKEN_FRESH {
            // The old one may live on where no new one can be had for once; if not, the server says so.
            let fresh = (self.fetch)().unwrap_or_else(|_| held.1.clone());
            *held = (now, fresh);
        }
        Ok(held.1.clone())
    }

    /// What to say instead of `refused`: what was fetched meanwhile, or is now, if that is another one. What was fetched a
    /// moment ago is not fetched again, nor what could not be had then.
    fn instead_of(&self, refused: &Secret, now: Instant) -> Result<Option<Secret>, SiteError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.1 == *refused && now.saturating_duration_since(held.0) >= limits::TOKEN_NEW {
            held.0 = now;
            held.1 = (self.fetch)()?;
        }
        Ok((held.1 != *refused).then(|| held.1.clone()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Login {
    /// Logs in for `account` by `log_in`. Where a bearer token is refused and another one can be had, once more with that.
    pub fn with<T>(
        &self,
        credentials: &Credentials,
        mut log_in: impl FnMut(&Credentials) -> Result<T, SiteError>,
    ) -> Result<T, SiteError> {
        match log_in(credentials) {
            Err(SiteError::Server { server, what }) => match self.instead_of(credentials) {
                Ok(Some(other)) => log_in(&other),
                Ok(None) => Err(SiteError::Server { server, what }),
                Err(error) => Err(SiteError::Server { server, what: no_other(&what, &error) }),
            },
            outcome => outcome,
        }
    }

    /// What else could be said where this was refused: a token may have become invalid before its time. `None`: nothing.
    pub fn instead_of(&self, refused: &Credentials) -> Result<Option<Credentials>, SiteError> {
        let (Credentials::Bearer { user, token: refused }, Some(token)) = (refused, &self.token) else {
            return Ok(None);
        };
        if self.own.contains_key(user) {
            return Ok(None);
        }
        let other = token.instead_of(refused, Instant::now())?;
        Ok(other.map(|token| Credentials::Bearer { user: user.clone(), token }))
    }

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
            LoginMode::OAuth2 => {
                let token = match (&self.token, self.own.get(account)) {
                    (Some(token), None) => token.at(Instant::now())?,
                    _ => shared()?,
                };
                Credentials::Bearer { user: account.to_owned(), token }
            }
            LoginMode::Own => {
                let none =
                    || SiteError::Unsupported(format!("the accounts give no password of {account} to log in with"));
                let password = self.own.get(account).cloned().ok_or_else(none)?;
                Credentials::Password { user: account.to_owned(), acts_for: None, password }
            }
        })
    }
}

/// A refusal, and why there was no other try.
pub fn no_other(refusal: &str, error: &SiteError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let why = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    format!("{refusal}; another token could not be had: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[test]
    fn a_token_is_fetched_again_before_it_can_be_too_old() {
        let (fetched, began) = (AtomicU32::new(0), Instant::now());
        let fetch = move || Ok(Secret::new(format!("token {}", fetched.fetch_add(1, Ordering::Relaxed))));
        let token = Arc::new(Token::new(fetch, began).unwrap());
        let said = |after: Duration| token.at(began + after).unwrap().reveal().to_owned();
        assert_eq!(said(Duration::ZERO), "token 0");
        assert_eq!(said(limits::TOKEN_FRESH - Duration::from_secs(1)), "token 0");
        assert_eq!(said(limits::TOKEN_FRESH), "token 1");
        assert_eq!(said(limits::TOKEN_FRESH + Duration::from_secs(1)), "token 1");
        assert_eq!(said(3 * limits::TOKEN_FRESH), "token 2");
    }

    /// A login whose token is another one each time, and how often it was fetched; the first was so long ago.
    fn login(ago: Duration, fetch: impl Fn(u32) -> Result<Secret, SiteError> + Send + Sync + 'static) -> Login {
        let fetched = AtomicU32::new(0);
        let fetch = move || fetch(fetched.fetch_add(1, Ordering::Relaxed));
        let token =
            Token::new(fetch, Instant::now().checked_sub(ago).expect("a machine that has run for a minute")).unwrap();
        let (user, separator) = (String::new(), String::new());
        Login {
            mode: LoginMode::OAuth2,
            user,
            separator,
            secret: None,
            token: Some(Arc::new(token)),
            own: BTreeMap::new(),
        }
    }

    /// What was tried at a server that takes `good`, and what came of it.
    fn tried(login: &Login, good: &str) -> (Vec<String>, Result<(), String>) {
        let mut tried = Vec::new();
        let outcome = login.with(&login.of("ann@example.org").unwrap(), |credentials| {
            let Credentials::Bearer { token, .. } = credentials else { panic!("no token") };
            tried.push(token.reveal().to_owned());
            let what = "says: this token has expired".to_owned();
            let refusal = || SiteError::Server { server: "imap.example.org".to_owned(), what: what.clone() };
            if token.reveal() == good { Ok(()) } else { Err(refusal()) }
        });
        (tried, outcome.map_err(|error| error.to_string()))
    }

    #[test]
    fn a_token_that_is_refused_before_its_time_is_fetched_anew_once() {
        let each = |number: u32| Ok(Secret::new(format!("token {number}")));
        let minute = Duration::from_secs(60);
        assert_eq!(tried(&login(minute, each), "token 1"), (vec!["token 0".to_owned(), "token 1".to_owned()], Ok(())));
        let (words, outcome) = tried(&login(minute, each), "token 7");
        assert_eq!(words, ["token 0", "token 1"]);
        assert!(outcome.is_err());
        let (words, _) = tried(&login(Duration::ZERO, each), "token 1");
        assert_eq!(words, ["token 0"], "it was fetched a moment ago");
        let (words, _) = tried(&login(minute, |_| Ok(Secret::new("always"))), "another");
        assert_eq!(words, ["always"]);
    }

    #[test]
    fn where_no_other_token_can_be_had_that_is_told() {
        let once = |number: u32| match number {
            0 => Ok(Secret::new("token")),
            _ => Err(SiteError::Unsupported("the program that prints tokens is gone".to_owned())),
        };
        let (words, outcome) = tried(&login(Duration::from_secs(60), once), "another");
        assert_eq!(words, ["token"]);
        let error = outcome.unwrap_err();
        assert!(error.contains("says: this token has expired"), "{error}");
        assert!(error.contains("could not be had: the program that prints tokens is gone"), "{error}");
    }

    #[test]
    fn of_many_who_are_refused_one_fetches_the_token_and_a_program_that_fails_is_not_run_for_each() {
        let fetched = Arc::new(AtomicU32::new(0));
        let counts = Arc::clone(&fetched);
        let minute = Duration::from_secs(60);
        let works = login(minute, move |number| {
            counts.store(number, Ordering::Relaxed);
            Ok(Secret::new(format!("token {number}")))
        });
        let old = works.of("ann@example.org").unwrap();
        for _ in 0..10 {
            assert!(
                matches!(works.instead_of(&old), Ok(Some(Credentials::Bearer { token, .. })) if token.reveal() == "token 1")
            );
        }
        assert_eq!(fetched.load(Ordering::Relaxed), 1);
        let counts = Arc::clone(&fetched);
        let fails = login(minute, move |number| {
            counts.store(number, Ordering::Relaxed);
            if number == 0 { Ok(Secret::new("token 0")) } else { Err(SiteError::Unsupported("no".to_owned())) }
        });
        let old = fails.of("ann@example.org").unwrap();
        assert!(fails.instead_of(&old).is_err());
        for _ in 0..10 {
            assert_eq!(fails.instead_of(&old).unwrap(), None);
        }
        assert_eq!(fetched.load(Ordering::Relaxed), 1);
    }
}
