//! Connections to one server, kept and shared. How many there may be at once adapts to what the server says: a refusal
//! lowers the limit ([`Limit`]), and somebody waits until a connection is given back.

use super::client::{self, ClientOptions, Connection};
use super::limit::Limit;
use crate::event::Reason;
use crate::limits;
use crate::net::NetError;
use crate::site::SiteError;
use crate::site::server::{Credentials, Login};
use backon::{BlockingRetryable as _, ExponentialBuilder};
use std::cell::Cell;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// As whom a connection is logged in: an account, or the administrator himself (empty).
type Who = String;

pub struct Pool {
    options: ClientOptions,
    login: Login,
    inner: Mutex<Inner>,
    freed: Condvar,
}

struct Inner {
    idle: Vec<(Who, Connection)>,
    open: usize,
    limit: Limit,
    /// Somebody has been let in before, so a refused connection may pass.
    reached: bool,
}

/// A connection on loan; comes back when dropped.
pub struct Lease {
    pool: Arc<Pool>,
    who: Who,
    connection: Option<Connection>,
}

/// What a new connection came to.
enum Attempt {
    Connected(Box<Connection>),
    /// The server has as many as it wants.
    Crowded(SiteError),
    Failed(SiteError),
}

impl Pool {
    pub fn new(options: ClientOptions, login: Login, limit: usize) -> Self {
        let inner = Inner { idle: Vec::new(), open: 0, limit: Limit::new(limit), reached: false };
        Self { options, login, inner: Mutex::new(inner), freed: Condvar::new() }
    }

    pub fn login(&self) -> &Login {
        &self.login
    }

    pub fn server(&self) -> String {
        self.options.endpoint.to_string()
    }

    /// A connection for `account`. Where there are too many, `release` is asked to give some back, and waited for.
    pub fn lease(self: &Arc<Self>, account: &str, release: &dyn Fn()) -> Result<Lease, SiteError> {
        // Nobody waits for long on what nobody could log in with.
        self.login.of(account)?;
        self.lease_as(account.to_owned(), &|| self.login.of(account), release)
    }

    /// A connection of the administrator as himself; `None` where nobody is.
    pub fn lease_admin(self: &Arc<Self>, release: &dyn Fn()) -> Result<Option<Lease>, SiteError> {
        let (crate::site::server::LoginMode::Proxy, Some(password)) = (self.login.mode, self.login.secret.clone())
        else {
            return Ok(None);
        };
        let credentials = Credentials::Password { user: self.login.user.clone(), acts_for: None, password };
        self.lease_as(String::new(), &|| Ok(credentials.clone()), release).map(Some)
    }

    /// `credentials` are asked for right before they are needed: a token may become old while somebody waits.
    fn lease_as(
        self: &Arc<Self>,
        who: Who,
        credentials: &dyn Fn() -> Result<Credentials, SiteError>,
        release: &dyn Fn(),
    ) -> Result<Lease, SiteError> {
        let lease = |connection| Lease { pool: Arc::clone(self), who: who.clone(), connection: Some(connection) };
        let mut crowded = 0;
        loop {
            if let Some(connection) = self.claim(&who, release)? {
                return Ok(lease(connection));
            }
            let attempt = match credentials() {
                Ok(credentials) => self.connect(&credentials),
                Err(error) => Attempt::Failed(error),
            };
            match attempt {
                Attempt::Connected(connection) => return Ok(lease(*connection)),
                Attempt::Failed(error) => {
                    self.given_up();
                    return Err(error);
                }
                Attempt::Crowded(error) => {
                    crowded += 1;
                    let alone = self.lower_limit();
                    if crowded > limits::IMAP_CROWDED_TRIES {
                        // No loss: whoever works here has waited long enough for a whole account, and not only for what he
                        // was about to do.
                        let what = format!("lets nobody in: {error}; the account was not looked at to its end");
                        return Err(SiteError::Server { server: self.server(), what });
                    }
                    if alone {
                        // Nobody here has one to give back: others do, and it takes as long as it takes.
                        std::thread::sleep(wait_before(crowded));
                    }
                }
            }
        }
    }

    /// An idle connection of `who`; `None`: one may be opened, and counts already.
    fn claim(&self, who: &str, release: &dyn Fn()) -> Result<Option<Connection>, SiteError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(at) = inner.idle.iter().rposition(|(owner, _)| owner == who) {
                return Ok(Some(inner.idle.remove(at).1));
            }
            if inner.open < inner.limit.now() {
                inner.open += 1;
                return Ok(None);
            }
            if !inner.idle.is_empty() {
                // The one that has been idle longest goes.
                let (_, old) = inner.idle.remove(0);
                inner.open -= 1;
                drop(inner);
                old.logout();
                inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            drop(inner);
            release();
            inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.idle.is_empty() && inner.open >= inner.limit.now() {
                let waited = self.freed.wait_timeout(inner, Duration::from_millis(100));
                inner = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn connect(&self, credentials: &Credentials) -> Attempt {
        let reached = self.inner.lock().unwrap_or_else(PoisonError::into_inner).reached;
        let connected = (|| self.login.with(credentials, |credentials| client::connect(&self.options, credentials)))
            .retry(waits())
            .when(|error| reached && is_passing(error) && !is_crowded(error))
            .call();
        match connected {
            Ok(connection) => {
                self.inner.lock().unwrap_or_else(PoisonError::into_inner).reached = true;
                Attempt::Connected(Box::new(connection))
            }
            Err(error) if is_crowded(&error) => Attempt::Crowded(error),
            Err(error) => Attempt::Failed(error),
        }
    }

    /// A connection was refused: as many as there are now are enough. `true`: there is none.
    fn lower_limit(&self) -> bool {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.open = inner.open.saturating_sub(1);
        let open = inner.open;
        inner.limit.refused(open);
        inner.open == 0
    }

    fn given_up(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.open = inner.open.saturating_sub(1);
        drop(inner);
        self.freed.notify_one();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut inner.idle).into_iter().for_each(|(_, connection)| connection.logout());
    }
}

/// The waits between tries.
fn waits() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(limits::IMAP_FIRST_WAIT)
        .with_max_delay(limits::IMAP_LONGEST_WAIT)
        .with_max_times(limits::IMAP_TRIES)
        .with_jitter()
}

/// The wait before another try.
pub fn wait_before(attempt: usize) -> Duration {
    let factor = 1u32.checked_shl(u32::try_from(attempt).unwrap_or(u32::MAX)).unwrap_or(u32::MAX);
    limits::IMAP_FIRST_WAIT.saturating_mul(factor).min(limits::IMAP_LONGEST_WAIT)
}

/// Whether trying again later may help.
pub fn is_passing(error: &SiteError) -> bool {
    matches!(error, SiteError::Lost { .. } | SiteError::Net(NetError::Connect { .. }))
}

fn is_crowded(error: &SiteError) -> bool {
    match error {
        SiteError::Lost { source, .. } if source.kind() == io::ErrorKind::ResourceBusy => true,
        SiteError::Lost { source, .. } => {
            let said = source.to_string().to_ascii_lowercase();
            said.contains("too many") || said.contains("maximum number of connections")
        }
        _ => false,
    }
}

thread_local! {
    static IS_PATIENT: Cell<bool> = const { Cell::new(false) };
}

/// Somebody is patient until it is dropped.
struct Patience;

impl Patience {
    fn begin() -> Option<Self> {
        (!IS_PATIENT.replace(true)).then_some(Self)
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        IS_PATIENT.set(false);
    }
}

/// Runs `work`, which changes nothing that doing it twice would spoil, again and again while the connection is lost. Work
/// within such work is done once: who is patient around it begins anew, and does not wait for the square of the time.
pub fn patiently<T>(mut work: impl FnMut() -> Result<T, SiteError>) -> Result<T, SiteError> {
    let Some(_patience) = Patience::begin() else { return work() };
    // How long a connection that is refused outright is worth waiting for, the pool knows.
    (|| work()).retry(waits()).when(|error| matches!(error, SiteError::Lost { .. })).call()
}

/// The same for what a server may refuse. Where it is busy for longer than we wait, that is its refusal.
pub fn patiently_asked<T>(
    work: impl FnMut() -> Result<Result<T, Reason>, SiteError>,
) -> Result<Result<T, Reason>, SiteError> {
    match patiently(work) {
        Err(SiteError::Lost { source, .. }) if source.kind() == io::ErrorKind::ResourceBusy => {
            Ok(Err(Reason::Refused(source.to_string())))
        }
        outcome => outcome,
    }
}

impl Deref for Lease {
    type Target = Connection;

    #[expect(clippy::expect_used, reason = "only `drop` takes it out")]
    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a lease holds its connection until it is dropped")
    }
}

impl DerefMut for Lease {
    #[expect(clippy::expect_used, reason = "only `drop` takes it out")]
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a lease holds its connection until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let mut inner = self.pool.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.is_idle() && connection.bye().is_none() && inner.open <= inner.limit.now() {
            inner.limit.went_well();
            inner.idle.push((std::mem::take(&mut self.who), connection));
        } else {
            inner.open = inner.open.saturating_sub(1);
        }
        drop(inner);
        self.pool.freed.notify_one();
    }
}
