//! Calendars, lists of tasks and address books on a CalDAV and CardDAV server (RFC 4791, RFC 6352): a
//! [`Store`](super::server::Store).
//!
//! Every resource goes byte for byte, under the name that it has on the server. Scheduling stays asleep: see
//! `scheduling`. What the server sends is bounded before it is believed, and leads to no other server.

mod ahead;
mod client;
mod collection;
pub mod domain;
mod folders;
pub mod href;
mod items;
mod mark;
mod members;
mod multistatus;
mod places;
mod rights;
mod same;
mod scheduling;
mod session;
mod store;
mod wire;
pub mod xml;

use crate::fs::Fs;
use crate::net::TlsPolicy;
use crate::site::SiteError;
use crate::site::server::Login;
use client::Wires;
use session::Session;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use url::Url;

/// What a DAV server is and how to log in there.
pub struct DavOptions {
    /// `https://dav.example.org/`: the server, or the address where asking for homes begins.
    pub url: String,
    pub tls: TlsPolicy,
    pub login: Login,
    /// Passwords may be sent in the open to another machine.
    pub insecure: bool,
    /// Path of an account's principal, with `{account}`, `{local}` and `{domain}`, where whoever logs in is not the account
    /// itself: `/principals/users/{local}/`.
    pub principal: Option<String>,
    /// The administrator has switched the server's scheduling off, so events with attendees can be written to one that is
    /// not known to be quiet.
    pub scheduling_is_off: bool,
    /// Most connections at once, of all accounts together.
    pub max_connections: usize,
}

/// Calendars, tasks and contacts on a DAV server.
pub struct DavStore {
    url: Url,
    wires: Wires,
    login: Arc<Login>,
    principal: Option<String>,
    scheduling_is_off: bool,
    sessions: Mutex<BTreeMap<String, Arc<Session>>>,
    /// Whose home is at which path.
    owners: Mutex<BTreeMap<String, String>>,
}

impl DavStore {
    /// Reads certificates; connects to nobody yet.
    pub fn open(fs: &dyn Fs, options: DavOptions) -> Result<Self, SiteError> {
        let DavOptions { url: text, tls, login, insecure, principal, scheduling_is_off, max_connections } = options;
        let bad = |what: &str| Err(SiteError::Unsupported(format!("the address of a DAV server {what}")));
        let Ok(mut url) = Url::parse(&text) else { return bad(&format!("is a URL, which {text:?} is not")) };
        if !url.username().is_empty() || url.password().is_some() {
            return bad("names no user and no password, which have keys of their own");
        }
        match url.scheme() {
            "https" => {}
            "http" if insecure || is_this_machine(&url) => {}
            "http" => {
                return bad(
                    "is https://…: over http:// it would get passwords in the open; say insecure if that is meant",
                );
            }
            _ => return bad("begins with https://"),
        }
        url.set_query(None);
        url.set_fragment(None);
        let wires = Wires::new(&tls.dialer(fs).map_err(SiteError::Net)?, max_connections);
        let (sessions, owners) = (Mutex::default(), Mutex::default());
        Ok(Self { url, wires, login: Arc::new(login), principal, scheduling_is_off, sessions, owners })
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
