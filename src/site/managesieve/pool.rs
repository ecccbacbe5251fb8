//! Connections to one server, each logged in for one account, and no more of them at once than may be: whoever wants one
//! takes the place of one that waits, or waits until somebody has done. All that is done on one is bounded in time.

use super::connection::Connection;
use super::lock;
use crate::limits;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};

pub struct Pool {
    inner: Mutex<Inner>,
    freed: Condvar,
    most: usize,
}

#[derive(Default)]
struct Inner {
    /// Connections that wait for the next call for their account.
    idle: BTreeMap<String, Connection>,
    /// Those that wait, and those that somebody has or is about to make.
    open: usize,
}

/// The right to one connection for an account, and the connection where there is one.
pub struct Lease<'p> {
    pool: &'p Pool,
    account: String,
    pub connection: Option<Connection>,
}

impl Pool {
    /// At least one.
    pub fn new(most: usize) -> Self {
        Self { inner: Mutex::default(), freed: Condvar::new(), most: most.max(1) }
    }

    /// A place, with the connection that waits for this account if one does.
    pub fn lease(&self, account: &str) -> Lease<'_> {
        let lease = |connection| Lease { pool: self, account: account.to_owned(), connection };
        let mut inner = lock(&self.inner);
        loop {
            if let Some(connection) = inner.idle.remove(account) {
                return lease(Some(connection));
            }
            if inner.open < self.most {
                inner.open += 1;
                return lease(None);
            }
            // The place of one that waits for another account.
            if inner.idle.pop_first().is_some() {
                return lease(None);
            }
            inner = self.freed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What the server said of itself on the connection that waits for this account.
    pub fn capabilities(&self, account: &str) -> Option<BTreeMap<String, String>> {
        lock(&self.inner).idle.get(account).map(|connection| connection.capabilities.clone())
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut inner = lock(&self.pool.inner);
        if inner.idle.len() >= limits::SERVER_IDLE && inner.idle.pop_first().is_some() {
            inner.open = inner.open.saturating_sub(1);
        }
        let replaced = match self.connection.take() {
            Some(connection) => inner.idle.insert(std::mem::take(&mut self.account), connection).is_some(),
            None => true,
        };
        if replaced {
            inner.open = inner.open.saturating_sub(1);
        }
        drop(inner);
        self.pool.freed.notify_one();
    }
}
