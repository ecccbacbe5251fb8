//! The Sieve scripts of accounts on a ManageSieve server (RFC 5804): a [`Store`](super::server::Store) of the one
//! folder of kind `Filters`.
//!
//! Scripts are few and the protocol tells nothing of when they changed, so every look reads them all; the mark is over
//! their bytes, and keeps since when each script is as it is. A script that the server's compiler refuses is rejected with
//! the compiler's words.

mod connection;
mod names;
mod pool;
mod scripts;
mod store;
pub mod syntax;

use crate::fs::Fs;
use crate::limits;
use crate::net::{Dialer, Endpoint, NetError, Protection, Scheme, TlsPolicy};
use crate::site::SiteError;
use crate::site::server::Login;
use backon::{BlockingRetryable, ExponentialBuilder};
use connection::Connection;
use pool::Pool;
use scripts::Scripts;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Most connections at once, of all accounts together.
    pub max_connections: usize,
}

/// Scripts on a ManageSieve server.
pub struct SieveStore {
    endpoint: Endpoint,
    dialer: Dialer,
    login: Login,
    pool: Pool,
    /// Somebody has been let in before, so a refused connection may pass.
    reached: AtomicBool,
    /// Accounts whose folder an importer made; it is there although it has no script yet.
    made: Mutex<BTreeSet<String>>,
}

impl SieveStore {
    /// Reads certificates; connects to nobody yet.
    pub fn open(fs: &dyn Fs, options: SieveOptions) -> Result<Self, SiteError> {
        let SieveOptions { endpoint, tls, login, insecure, max_connections } = options;
        if endpoint.protection == Protection::Plain && !insecure && !is_this_machine(&endpoint.host) {
            return Err(SiteError::Unsupported(format!(
                "{endpoint} would get passwords in the open; say insecure if that is meant"
            )));
        }
        let dialer = tls.dialer(fs).map_err(SiteError::Net)?;
        let (pool, reached) = (Pool::new(max_connections), AtomicBool::new(false));
        Ok(Self { endpoint, dialer, login, pool, reached, made: Mutex::default() })
    }

    /// Does `work` with the scripts of an account, on a connection that is logged in for it. Where the connection is lost, or
    /// the server asks to come again later, all of it is done again, so it must be such as can be done twice.
    fn with<T>(
        &self,
        account: &str,
        mut work: impl FnMut(&mut Scripts<'_>) -> Result<T, SiteError>,
    ) -> Result<T, SiteError> {
        let mut lease = self.pool.lease(account);
        // One that waited may have been closed meanwhile, which is no trouble of the server.
        if let Some(mut connection) = lease.connection.take() {
            match work(&mut Scripts::new(&mut connection)) {
                Err(SiteError::Lost { .. }) => {}
                outcome => {
                    lease.connection = outcome.is_ok().then_some(connection);
                    return outcome;
                }
            }
        }
        let attempt = || {
            let mut connection = self.login.with(&self.login.of(account)?, |credentials| {
                let mut connection = Connection::open(&self.endpoint, &self.dialer)?;
                connection.log_in(account, credentials).map(|()| connection)
            })?;
            self.reached.store(true, Ordering::Relaxed);
            let done = work(&mut Scripts::new(&mut connection))?;
            Ok((done, connection))
        };
        let patience = ExponentialBuilder::default()
            .with_min_delay(limits::SERVER_RETRY_LEAST)
            .with_max_times(limits::SERVER_RETRIES)
            .with_jitter();
        let (done, connection) = attempt.retry(patience).when(|error| self.may_pass(error)).call()?;
        lease.connection = Some(connection);
        Ok(done)
    }

    /// Whether trying again later may help. A refused login is an answer and no trouble of the connection.
    fn may_pass(&self, error: &SiteError) -> bool {
        match error {
            SiteError::Lost { .. } => true,
            SiteError::Net(NetError::Connect { .. }) => self.reached.load(Ordering::Relaxed),
            _ => false,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
