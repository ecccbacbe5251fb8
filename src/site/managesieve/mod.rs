//! The Sieve scripts of accounts on a ManageSieve server (RFC 5804): a [`Store`](super::server::Store) of the one
//! folder of kind `Filters`.
//!
//! Scripts are few and the protocol tells nothing of when they changed, so every look reads them all; the mark is over
//! their bytes, and keeps since when each script is as it is. A script that the server's compiler refuses is rejected with
//! the compiler's words.

mod connection;
mod names;
mod scripts;
mod store;
pub mod syntax;

use crate::fs::Fs;
use crate::limits;
use crate::net::{Dialer, Endpoint, Protection, Scheme, TlsPolicy};
use crate::site::SiteError;
use crate::site::server::Login;
use backon::{BlockingRetryable, ExponentialBuilder};
use connection::Connection;
use scripts::Scripts;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The one scheme: TLS begins with STARTTLS (RFC 5804 3 names it and its port).
pub const SCHEMES: &[Scheme] = &[
    Scheme { name: "sieve", port: 4190, protection: Protection::StartTls },
    Scheme { name: "sieves", port: 4190, protection: Protection::Tls },
];

/// The path of the one folder; that of the directory site, so that scripts go from one to the other.
const FOLDER: &str = "sieve";

/// What a ManageSieve server is and how to log in there.
pub struct SieveOptions {
    pub endpoint: Endpoint,
    pub tls: TlsPolicy,
    pub login: Login,
    /// Passwords may be sent in the open to another machine.
    pub insecure: bool,
}

/// Scripts on a ManageSieve server.
pub struct SieveStore {
    endpoint: Endpoint,
    dialer: Dialer,
    login: Login,
    /// Connections that wait for the next call for their account.
    idle: Mutex<BTreeMap<String, Connection>>,
    /// Accounts whose folder an importer made; it is there although it has no script yet.
    made: Mutex<BTreeSet<String>>,
}

impl SieveStore {
    /// Reads certificates; connects to nobody yet.
    pub fn open(fs: &dyn Fs, options: SieveOptions) -> Result<Self, SiteError> {
        let SieveOptions { endpoint, tls, login, insecure } = options;
        if endpoint.protection == Protection::Plain && !insecure && !is_this_machine(&endpoint.host) {
            return Err(SiteError::Unsupported(format!(
                "{endpoint} would get passwords in the open; say insecure if that is meant"
            )));
        }
        let dialer = tls.dialer(fs).map_err(SiteError::Net)?;
        Ok(Self { endpoint, dialer, login, idle: Mutex::default(), made: Mutex::default() })
    }

    /// Does `work` with the scripts of an account, on a connection that is logged in for it.
    fn with<T>(
        &self,
        account: &str,
        mut work: impl FnMut(&mut Scripts<'_>) -> Result<T, SiteError>,
    ) -> Result<T, SiteError> {
        // One that waited may have been closed meanwhile. All that is done here can be done twice.
        let waiting = lock(&self.idle).remove(account);
        if let Some(mut connection) = waiting {
            match work(&mut Scripts::new(&mut connection)) {
                Err(SiteError::Lost { .. }) => {}
                outcome => return self.keep(account, connection, outcome),
            }
        }
        let mut connection = self.connect(account)?;
        let outcome = work(&mut Scripts::new(&mut connection));
        self.keep(account, connection, outcome)
    }

    fn keep<T>(&self, account: &str, connection: Connection, outcome: Result<T, SiteError>) -> Result<T, SiteError> {
        if outcome.is_ok() {
            let mut idle = lock(&self.idle);
            if idle.len() >= limits::SERVER_IDLE {
                idle.pop_first();
            }
            idle.insert(account.to_owned(), connection);
        }
        outcome
    }

    fn connect(&self, account: &str) -> Result<Connection, SiteError> {
        let credentials = self.login.of(account)?;
        let attempt = || {
            let mut connection = Connection::open(&self.endpoint, &self.dialer)?;
            connection.log_in(account, &credentials)?;
            Ok(connection)
        };
        let patience = ExponentialBuilder::default()
            .with_min_delay(limits::SERVER_RETRY_LEAST)
            .with_max_times(limits::SERVER_RETRIES)
            .with_jitter();
        // A refused login is an answer and no trouble of the connection.
        attempt.retry(patience).when(|error| matches!(error, SiteError::Lost { .. })).call()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
