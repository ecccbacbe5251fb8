//! A real OpenLDAP as the book of a site: read, written, taken back. Skipped in plain words where there is none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, looks at files as they are, and says what it skips"
)]

mod hostile;
mod patience;
mod scripted;
#[path = "../servers/mod.rs"]
mod servers;
mod source;
mod story;
mod switch;
mod target;

use servers::slapd::Slapd;
use stationwagon::fs::RealFs;
use stationwagon::model::provisioning::{Account, Alias, DistributionList, Record, Secret};
use stationwagon::net::{Endpoint, TlsPolicy};
use stationwagon::site::ProvisioningScan;
use stationwagon::site::ldap::{LdapBook, LdapOptions, Mapping, Partly, SCHEMES};
use std::sync::Arc;

/// How the server is opened: over TLS with its own certificate, by somebody who may read everything.
pub fn options(slapd: &Slapd) -> LdapOptions {
    LdapOptions {
        endpoint: Endpoint::parse(slapd.get("LDAPS_URL"), SCHEMES).unwrap(),
        // Its own certificate, which signed itself.
        tls: TlsPolicy::Roots(slapd.get("LDAP_CERT").into()),
        base: slapd.get("LDAP_SUFFIX").to_owned(),
        bind: slapd.get("LDAP_READER_DN").to_owned(),
        password: Secret::new(slapd.get("LDAP_READER_PASSWORD")),
        mapping: Mapping::preset("inetorgperson").unwrap(),
        state_dir: slapd.path().join("state"),
        page_size: 200,
        partly: Partly::Listed,
        started_at: 1_790_000_000,
    }
}

/// As [`options`], by somebody who may write.
pub fn writer(slapd: &Slapd) -> LdapOptions {
    LdapOptions {
        bind: slapd.get("LDAP_ADMIN_DN").to_owned(),
        password: Secret::new(slapd.get("LDAP_ADMIN_PASSWORD")),
        partly: Partly::Fails,
        ..options(slapd)
    }
}

pub fn open(options: LdapOptions) -> LdapBook {
    LdapBook::open(Arc::new(RealFs), options).unwrap()
}

pub fn accounts(scan: &ProvisioningScan) -> Vec<&Account> {
    let mut all = Vec::new();
    for found in &scan.records {
        if let Record::Account(account) = &found.record {
            all.push(account);
        }
    }
    all
}

pub fn account<'s>(scan: &'s ProvisioningScan, address: &str) -> &'s Account {
    accounts(scan).into_iter().find(|account| account.address == address).unwrap_or_else(|| panic!("no {address}"))
}

pub fn list<'s>(scan: &'s ProvisioningScan, address: &str) -> &'s DistributionList {
    let one = |record: &'s Record| match record {
        Record::List(list) if list.address == address => Some(list),
        _ => None,
    };
    scan.records.iter().find_map(|found| one(&found.record)).unwrap_or_else(|| panic!("no {address}"))
}

pub fn aliases(scan: &ProvisioningScan) -> Vec<&Alias> {
    let mut all = Vec::new();
    for found in &scan.records {
        if let Record::Alias(alias) = &found.record {
            all.push(alias);
        }
    }
    all
}

pub fn ident<'s>(scan: &'s ProvisioningScan, key: &str) -> &'s [String] {
    scan.records.iter().find(|found| found.record.key() == key).map(|found| found.idents.as_slice()).unwrap()
}
