//! What books that know accounts and little else have in common: the domains that accounts imply, and what to say of the
//! records that have no place.

use crate::event::Reason;
use crate::model::provisioning::{Account, Alias, Attributes, Domain, Record, RecordKind, domain_of};
use crate::site::{FoundRecord, ProvisioningScan, Seen};
use std::collections::BTreeSet;

/// The records of these accounts and aliases, with a domain for each that an address is in.
pub fn scan(accounts: Vec<Account>, aliases: Vec<Alias>) -> ProvisioningScan {
    let addresses = accounts.iter().map(|account| &account.address).chain(aliases.iter().map(|alias| &alias.address));
    let names: BTreeSet<String> =
        addresses.filter(|address| address.contains('@')).map(|address| domain_of(address).to_owned()).collect();
    let domains = names.into_iter().map(|name| {
        Record::Domain(Domain { name, alias_of: None, catch_all: Vec::new(), attributes: Attributes::new() })
    });
    let mut records: Vec<Record> = domains.collect();
    records.extend(accounts.into_iter().map(Record::Account));
    records.extend(aliases.into_iter().map(Record::Alias));
    records.sort_by(|a, b| (a.kind(), a.key()).cmp(&(b.kind(), b.key())));
    let found = |record| FoundRecord { record, idents: Vec::new(), idents_unseen: false, seen: Seen::Whole };
    ProvisioningScan { records: records.into_iter().map(found).collect(), ..ProvisioningScan::default() }
}

/// What becomes of a record that is no account where only accounts have a place. A domain is there by the accounts in it,
/// which may come later.
pub fn without_place(record: &Record, book: &str) -> Result<(), Reason> {
    let unsupported = |what: &str| Err(Reason::Unsupported(format!("{book} has no place for {what}")));
    match record {
        Record::Domain(domain) if domain.alias_of.is_some() => {
            unsupported("an alias domain; the mail server has to know it")
        }
        Record::Domain(domain) if !domain.catch_all.is_empty() => {
            unsupported("a catch-all; the mail server has to know it")
        }
        Record::Domain(_) | Record::Settings(_) => Ok(()),
        other => unsupported(match other.kind() {
            RecordKind::Cos => "classes of service",
            RecordKind::List => "lists",
            RecordKind::Alias => "aliases",
            RecordKind::Account | RecordKind::Domain | RecordKind::Settings => "this",
        }),
    }
}
