//! All entries as provisioning records. Pure. What makes no sense is a rejection, and the scan goes on.

use super::decode::Reader;
use super::entry::{Entry, EntryKind};
use super::fetch::Fetched;
use super::index::Index;
use super::{LdapOptions, dn};
use crate::event::{Place, Reason, Rejection};
use crate::model::provisioning::{Alias, ClassOfService, Domain, Record, RecordKind, domain_of};
use crate::model::setting::Setting;
use crate::site::{FoundRecord, ProvisioningScan, Seen};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Settings by account.
pub type Settings = BTreeMap<String, Vec<Setting>>;

/// Names of entries that fill groups which may not be empty.
pub fn placeholders(options: &LdapOptions) -> HashSet<String> {
    [&options.base, &options.bind].into_iter().filter(|name| !name.is_empty()).map(|name| dn::normal(name)).collect()
}

pub fn scan(fetched: &Fetched, options: &LdapOptions) -> (ProvisioningScan, Settings) {
    let mapping = &options.mapping;
    let index = Index::new(&fetched.tree, mapping);
    let placeholders = placeholders(options);
    let reader = Reader { mapping, tree: &fetched.tree, index: &index, placeholders: &placeholders };
    let mut all = Scan { reader, fetched, out: ProvisioningScan::default(), settings: Settings::new() };
    all.out.rejected.extend(fetched.rejected.iter().cloned());
    for (dn, what) in &index.without {
        all.reject(None, dn, Reason::Malformed(what.clone()));
    }
    let mut domains = BTreeMap::new();
    let mut classes = BTreeMap::new();
    let mut aliases: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    all.accounts(&mut classes, &mut aliases);
    all.lists(&mut aliases);
    let aliases = all.aliases(aliases);
    for entry in fetched.tree.of(EntryKind::Class) {
        if let Some(class) = all.reader.class(entry) {
            classes.insert(class.name.clone(), (class, idents(entry)));
        }
    }
    for entry in fetched.tree.of(EntryKind::Domain) {
        for (at, domain) in all.reader.domain(entry).into_iter().enumerate() {
            // The id is that of the entry's own domain; those that only repeat it have none.
            let idents = if at == 0 { idents(entry) } else { Vec::new() };
            domains.entry(domain.name.clone()).or_insert((domain, idents));
        }
    }
    let used: BTreeSet<String> =
        all.out.records.iter().map(|found| domain_of(found.record.key()).to_lowercase()).collect();
    let used = used.into_iter().chain(aliases.iter().map(|alias| domain_of(&alias.address).to_lowercase()));
    for name in used {
        domains.entry(name.clone()).or_insert_with(|| {
            (Domain { name, alias_of: None, catch_all: Vec::new(), attributes: BTreeMap::new() }, Vec::new())
        });
    }
    let Scan { mut out, settings, .. } = all;
    out.records.extend(domains.into_values().map(|(domain, idents)| found(Record::Domain(domain), idents)));
    out.records.extend(classes.into_values().map(|(class, idents)| found(Record::Cos(class), idents)));
    out.records.extend(aliases.into_iter().map(|alias| found(Record::Alias(alias), Vec::new())));
    out.records.sort_by(|a, b| (a.record.kind(), a.record.key()).cmp(&(b.record.kind(), b.record.key())));
    if !fetched.incomplete.is_empty() {
        out.incomplete =
            [RecordKind::Domain, RecordKind::Cos, RecordKind::Account, RecordKind::List, RecordKind::Alias].into();
    }
    (out, settings)
}

struct Scan<'a> {
    reader: Reader<'a>,
    fetched: &'a Fetched,
    out: ProvisioningScan,
    settings: Settings,
}

fn found(record: Record, idents: Vec<String>) -> FoundRecord {
    FoundRecord { record, idents, idents_unseen: false, seen: Seen::Whole }
}

fn idents(entry: &Entry) -> Vec<String> {
    entry.id.iter().map(|id| format!("uuid:{}", id.to_ascii_lowercase())).collect()
}

impl Scan<'_> {
    fn reject(&mut self, account: Option<&str>, dn: &str, reason: Reason) {
        let place = Place { account: account.map(str::to_owned), folder: Some(dn.to_owned()), item: None };
        self.out.rejected.push(Rejection { place, reason });
    }

    fn accounts(
        &mut self,
        classes: &mut BTreeMap<String, (ClassOfService, Vec<String>)>,
        aliases: &mut BTreeMap<String, BTreeSet<String>>,
    ) {
        let seen = match self.fetched.incomplete.contains(&EntryKind::Group) {
            true => Seen::Existence,
            false => Seen::Whole,
        };
        for (name, entry) in self.fetched.tree.entries.iter().filter(|(_, entry)| entry.is(EntryKind::Account)) {
            let Some(address) = self.reader.index.addresses.get(name) else { continue };
            if self.reader.index.account(address) != Some(name) {
                continue;
            }
            let (account, odd) = self.reader.account(entry, address);
            for what in odd {
                self.reject(Some(address), &entry.dn, Reason::Malformed(what));
            }
            if let Some(name) = &account.cos {
                let class = ClassOfService { name: name.clone(), quota_bytes: None, attributes: BTreeMap::new() };
                classes.entry(name.clone()).or_insert((class, Vec::new()));
            }
            self.settings.insert(address.clone(), self.reader.vacation(entry).into_iter().collect());
            for alias in self.reader.aliases(entry, EntryKind::Account) {
                aliases.entry(alias).or_default().insert(address.clone());
            }
            if let Some(forward) = self.reader.forward(entry, address) {
                aliases.entry(forward.address).or_default().extend(forward.targets);
            }
            self.out.records.push(FoundRecord { seen, ..found(Record::Account(account), idents(entry)) });
        }
    }

    fn lists(&mut self, aliases: &mut BTreeMap<String, BTreeSet<String>>) {
        let Some(map) = &self.reader.mapping.list else { return };
        // Without all entries nobody can tell whom a member is; the lists stay as they were.
        if !self.fetched.incomplete.is_empty() {
            return;
        }
        for (name, entry) in self.fetched.tree.entries.iter().filter(|(_, entry)| entry.is(EntryKind::List)) {
            let Some(address) = self.reader.index.addresses.get(name) else { continue };
            if self.reader.index.list(address) != Some(name) {
                continue;
            }
            let (list, lost) = self.reader.list(map, entry, address);
            for what in lost {
                self.reject(Some(address), &entry.dn, Reason::Malformed(what));
            }
            for alias in self.reader.aliases(entry, EntryKind::List) {
                aliases.entry(alias).or_default().insert(address.clone());
            }
            self.out.records.push(found(Record::List(list), idents(entry)));
        }
    }

    /// Aliases that are nobody's own address, except where that tells where the mail of an account goes.
    fn aliases(&mut self, aliases: BTreeMap<String, BTreeSet<String>>) -> Vec<Alias> {
        let mut kept = Vec::new();
        for (address, targets) in aliases {
            let holder = self.reader.index.holder(&address).cloned();
            let forwards = holder.as_ref().and_then(|name| self.fetched.tree.entries.get(name));
            let forwards = forwards
                .filter(|entry| entry.is(EntryKind::Account))
                .and_then(|entry| self.reader.forward(entry, &address));
            match (holder, forwards) {
                (Some(_), Some(forward)) => kept.push(forward),
                (Some(name), None) => {
                    let of = targets.into_iter().collect::<Vec<_>>().join(", ");
                    let what = format!("is also named as an alias of {of}, which is left out");
                    self.reject(Some(&address), &name, Reason::Malformed(what));
                }
                (None, _) => kept.push(Alias { address, targets: targets.into_iter().collect() }),
            }
        }
        kept
    }
}
