//! A directory server (LDAP) as the book of a site of servers: its entries are the site's provisioning records.
//!
//! A [`Mapping`] says which attributes of which entries mean what; presets know the common schemas. As a source the
//! directory is read in pages, and what has not changed is taken from the state folder; as a target it gets exactly the
//! changes that records need, each of which can be taken back. docs/connectors.md tells what is done for whoever runs it.

mod apply;
mod cache;
mod change;
mod connection;
pub mod decode;
pub mod dn;
pub mod entry;
mod fetch;
pub mod index;
mod mapping;
mod plan;
mod plan_account;
mod plan_domain;
mod plan_list;
mod scan;
pub mod value;
pub mod wire;

pub use mapping::Mapping;

use crate::event::Reason;
use crate::fs::Fs;
use crate::model::provisioning::Secret;
use crate::model::setting::{Setting, SettingKey, SettingKind};
use crate::net::{Dialer, Endpoint, Protection, Scheme, TlsPolicy};
use crate::site::server::{Book, Survey};
use crate::site::{PlannedRecords, ProvisioningScan, RecordChange, SiteError};
use cache::Cache;
use connection::Connection;
use fetch::Fetched;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// URLs of directory servers.
pub const SCHEMES: &[Scheme] = &[
    Scheme { name: "ldaps", port: 636, protection: Protection::Tls },
    Scheme { name: "ldap", port: 389, protection: Protection::StartTls },
];

/// What a scan that cannot see everything means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Partly {
    /// A source: what could not be seen is listed, and counts as unchanged.
    Listed,
    /// A target: it is not judged by half, the scan ends.
    Fails,
}

/// Where a directory is and how it is read and written.
#[derive(Clone, Debug)]
pub struct LdapOptions {
    pub endpoint: Endpoint,
    pub tls: TlsPolicy,
    /// The entry below which everything is looked for.
    pub base: String,
    /// Whom to log in as; empty: nobody.
    pub bind: String,
    pub password: Secret,
    pub mapping: Mapping,
    /// Where the entries of the last scan are kept, and what takes changes back.
    pub state_dir: PathBuf,
    /// Entries of a page; [`LDAP_PAGE`](crate::limits::LDAP_PAGE) unless the description says otherwise.
    pub page_size: u32,
    pub partly: Partly,
    /// When this pass began, seconds since 1970; names what takes it back.
    pub started_at: i64,
}

/// A directory as a book. Connects when it is asked something.
pub struct LdapBook {
    fs: Arc<dyn Fs>,
    options: LdapOptions,
    dialer: Dialer,
    /// Settings of the last scan.
    settings: Mutex<Option<Arc<scan::Settings>>>,
    writing: Mutex<apply::Writing>,
}

impl LdapBook {
    /// Reads certificates; the server is not asked yet.
    pub fn open(fs: Arc<dyn Fs>, options: LdapOptions) -> Result<Self, SiteError> {
        let dialer = options.tls.dialer(fs.as_ref()).map_err(SiteError::Net)?;
        if dn::parse(&options.base).is_none_or(|parts| parts.is_empty()) {
            return Err(SiteError::Unsupported(format!(
                "the base {:?} is no name of an entry (RFC 4514)",
                options.base
            )));
        }
        Ok(Self { fs, options, dialer, settings: Mutex::default(), writing: Mutex::default() })
    }

    fn connect(&self) -> Result<Connection, SiteError> {
        Connection::open(&self.options, &self.dialer)
    }

    fn fetch(&self, connection: &mut Connection) -> Result<Fetched, SiteError> {
        let fs = self.fs.as_ref();
        let fetched = connection
            .patiently(|connection| fetch::fetch(connection, &self.options, Cache::read(fs, &self.options)))?;
        if let Some(rejection) = fetched.rejected.first().filter(|_| self.options.partly == Partly::Fails) {
            return Err(SiteError::Server { server: self.locator(), what: rejection.reason.to_string() });
        }
        if !fetched.unchanged {
            cache::write(fs, &self.options, &fetched.context, &fetched.tree)?;
        }
        Ok(fetched)
    }

    fn scan(&self) -> Result<ProvisioningScan, SiteError> {
        let fetched = self.fetch(&mut self.connect()?)?;
        let (scan, settings) = scan::scan(fetched, &self.options);
        *lock(&self.settings) = Some(Arc::new(settings));
        Ok(scan)
    }
}

fn locator(options: &LdapOptions) -> String {
    format!("{}/{}", options.endpoint, options.base)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Book for LdapBook {
    fn locator(&self) -> String {
        locator(&self.options)
    }

    fn survey(&self) -> Result<Survey, SiteError> {
        self.connect()?.patiently(|connection| fetch::survey(connection, &self.options))
    }

    fn provisioning(&self) -> Result<ProvisioningScan, SiteError> {
        self.scan()
    }

    fn settings(&self, account: &str) -> Result<Vec<Setting>, SiteError> {
        let known = lock(&self.settings).clone();
        let settings = match known {
            Some(settings) => settings,
            None => {
                self.scan()?;
                lock(&self.settings).clone().unwrap_or_default()
            }
        };
        Ok(settings.get(account).cloned().unwrap_or_default())
    }

    fn setting_kinds(&self) -> Vec<SettingKind> {
        let mapping = &self.options.mapping;
        let written = mapping.read_only.is_none();
        let forward = mapping.account.forward.as_ref().filter(|_| written).map(|_| SettingKind::Forwarding);
        let vacation = mapping.account.vacation.as_ref().filter(|_| written).map(|_| SettingKind::Vacation);
        forward.into_iter().chain(vacation).collect()
    }

    fn put_records(&self, changes: &[RecordChange]) -> Result<Vec<Result<(), Reason>>, SiteError> {
        self.write(changes)
    }

    fn plan_records(&self, changes: &[RecordChange]) -> Result<Option<PlannedRecords>, SiteError> {
        self.plan(changes).map(Some)
    }

    fn put_setting(&self, account: &str, setting: &Setting) -> Result<Result<(), Reason>, SiteError> {
        self.write_setting(account, &setting.key(), Some(setting))
    }

    fn remove_setting(&self, account: &str, key: &SettingKey) -> Result<(), SiteError> {
        // A setting that has no place here is not there.
        self.write_setting(account, key, None).map(drop)
    }
}
