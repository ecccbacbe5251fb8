//! The address book of an import: what every address, domain and class of service of the source is called on the target.
//!
//! The map decides for whatever was imported; the renaming rules for the rest. Former names of a record lead to it too,
//! unless somebody else bears the name now. Pure: built once from the snapshot, the map and the rules.

use super::rename::RenameRules;
use crate::map::RecordRow;
use crate::model::id::RecordId;
use crate::model::provisioning::{Account, Record, RecordKind, domain_of};
use crate::model::setting::Setting;
use std::collections::{BTreeMap, HashMap};

/// Names of one source on one target.
pub struct Book {
    rules: RenameRules,
    /// Accounts, lists and aliases by source address, present and former.
    addresses: HashMap<String, Entry>,
    /// Accounts by names they bore once.
    former_accounts: HashMap<String, Entry>,
    domains: HashMap<String, String>,
    classes: HashMap<String, String>,
}

/// Whom an address names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub record: RecordId,
    pub kind: RecordKind,
    /// Its key on the target.
    pub target_key: String,
}

impl Book {
    /// `planned` says which key each record of the snapshot has on the target; `rows` and `former` come from the map.
    pub fn new(
        rules: RenameRules,
        planned: &BTreeMap<RecordId, (RecordKind, String, String)>,
        rows: &BTreeMap<RecordId, RecordRow>,
        former: &[(RecordKind, String, RecordId)],
    ) -> Self {
        let mut book = Self {
            rules,
            addresses: HashMap::new(),
            former_accounts: HashMap::new(),
            domains: HashMap::new(),
            classes: HashMap::new(),
        };
        // Later entries replace earlier ones: former names, then present ones, accounts last.
        for (kind, source_key, id) in former {
            let target_key = planned.get(id).map(|(_, _, to)| to).or(rows.get(id).map(|row| &row.target_key));
            if let Some(target_key) = target_key {
                book.enter(*kind, source_key, *id, target_key);
                if *kind == RecordKind::Account {
                    let entry = Entry { record: *id, kind: *kind, target_key: target_key.clone() };
                    book.former_accounts.insert(source_key.clone(), entry);
                }
            }
        }
        for kind in [RecordKind::Domain, RecordKind::Cos, RecordKind::Alias, RecordKind::List, RecordKind::Account] {
            for (id, (_, from, to)) in planned.iter().filter(|(_, (of, _, _))| *of == kind) {
                book.enter(kind, from, *id, to);
            }
        }
        book
    }

    fn enter(&mut self, kind: RecordKind, source_key: &str, record: RecordId, target_key: &str) {
        let target_key = target_key.to_owned();
        match kind {
            RecordKind::Settings => {}
            RecordKind::Domain => drop(self.domains.insert(source_key.to_ascii_lowercase(), target_key)),
            RecordKind::Cos => drop(self.classes.insert(source_key.to_owned(), target_key)),
            RecordKind::Account | RecordKind::List | RecordKind::Alias => {
                let entry = Entry { record, kind, target_key };
                self.addresses.insert(source_key.to_owned(), entry);
            }
        }
    }

    /// Whom the source means by this address.
    pub fn find(&self, address: &str) -> Option<&Entry> {
        // Servers compare addresses without regard to case, but two accounts may differ in nothing else.
        self.addresses.get(address).or_else(|| self.addresses.get(&address.to_ascii_lowercase()))
    }

    /// Who holds or gets a share by this name. An alias holds none: where it has the name that an account bore, the
    /// account is meant.
    pub fn find_sharer(&self, address: &str) -> Option<&Entry> {
        let found = self.find(address);
        match found {
            Some(entry) if entry.kind == RecordKind::Alias => {
                let former = &self.former_accounts;
                former.get(address).or_else(|| former.get(&address.to_ascii_lowercase())).or(found)
            }
            _ => found,
        }
    }

    /// The address on the target, for text that mentions it; a stranger's address stays as it is.
    pub fn address(&self, address: &str) -> String {
        if let Some(entry) = self.find(address) {
            return entry.target_key.clone();
        }
        let renamed = self.rules.address(address);
        match address.rsplit_once('@') {
            Some((local, domain)) if renamed == address => format!("{local}@{}", self.domain(domain)),
            _ => renamed,
        }
    }

    pub fn domain(&self, name: &str) -> String {
        self.domains.get(&name.to_ascii_lowercase()).cloned().unwrap_or_else(|| self.rules.domain(name))
    }

    pub fn class(&self, name: &str) -> String {
        self.classes.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    fn each(&self, addresses: &[String]) -> Vec<String> {
        addresses.iter().map(|address| self.address(address)).collect()
    }

    /// A record in the target's words, under `key`.
    pub fn record(&self, record: &Record, key: &str) -> Record {
        let key = key.to_owned();
        let mut record = record.clone();
        match &mut record {
            Record::Settings(settings) => settings.name = key,
            Record::Domain(domain) => {
                domain.name = key;
                domain.alias_of = domain.alias_of.as_deref().map(|of| self.domain(of));
                domain.catch_all = self.each(&domain.catch_all);
            }
            Record::Cos(class) => class.name = key,
            Record::Account(Account { address, cos, .. }) => {
                *address = key;
                *cos = cos.as_deref().map(|name| self.class(name));
            }
            Record::List(list) => {
                list.address = key;
                list.members = self.each(&list.members);
                list.owners = self.each(&list.owners);
            }
            Record::Alias(alias) => {
                alias.address = key;
                alias.targets = self.each(&alias.targets);
            }
        }
        record
    }

    /// A setting in the target's words. A mountpoint stays as it is: its owner may not have arrived.
    pub fn setting(&self, setting: &Setting) -> Setting {
        let mut setting = setting.clone();
        match &mut setting {
            Setting::Identity { from, reply_to, .. } => {
                *from = self.mailbox(from);
                *reply_to = reply_to.as_deref().map(|to| self.mailbox(to));
            }
            Setting::Forwarding { targets, .. } => *targets = self.each(targets),
            // Somebody else's folder is shown below a level that is his address.
            Setting::Subscription { path } => {
                let levels = path.split('/').map(|level| match level.contains('@') {
                    true => self.address(level),
                    false => level.to_owned(),
                });
                *path = levels.collect::<Vec<_>>().join("/");
            }
            _ => {}
        }
        setting
    }

    /// `Ann <ann@example.org>`, or an address alone.
    fn mailbox(&self, text: &str) -> String {
        let inside = text.rsplit_once('<').and_then(|(name, rest)| Some((name, rest.split_once('>')?)));
        match inside {
            Some((name, (address, rest))) => format!("{name}<{}>{rest}", self.address(address)),
            None => self.address(text),
        }
    }
}

/// The key on the target of every record of the snapshot: the map's where it knows the record under this name; else the
/// rules'; else, for an address, that of its domain.
pub fn plan_keys<'a>(
    rules: &RenameRules,
    records: impl Iterator<Item = (RecordId, &'a Record)> + Clone,
    rows: &BTreeMap<RecordId, RecordRow>,
) -> BTreeMap<RecordId, (RecordKind, String, String)> {
    let known = |id: &RecordId, key: &str| rows.get(id).filter(|row| row.source_key == key);
    let domains: HashMap<String, String> = records
        .clone()
        .filter(|(_, record)| record.kind() == RecordKind::Domain)
        .filter_map(|(id, record)| {
            Some((record.key().to_ascii_lowercase(), known(&id, record.key())?.target_key.clone()))
        })
        .collect();
    let by_rules = |kind: RecordKind, key: &str| match kind {
        RecordKind::Settings | RecordKind::Cos => key.to_owned(),
        RecordKind::Domain => rules.domain(key),
        RecordKind::Account | RecordKind::List | RecordKind::Alias => {
            let renamed = rules.address(key);
            let domain = domains.get(&domain_of(key).to_ascii_lowercase());
            match (key.rsplit_once('@'), domain) {
                (Some((local, _)), Some(domain)) if renamed == key => format!("{local}@{domain}"),
                _ => renamed,
            }
        }
    };
    records
        .map(|(id, record)| {
            let (kind, key) = (record.kind(), record.key());
            let to = known(&id, key).map_or_else(|| by_rules(kind, key), |row| row.target_key.clone());
            (id, (kind, key.to_owned(), to))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> Book {
        let rules = RenameRules::parse("old.example new.example\nbob@old.example robert@new.example").unwrap();
        let planned = [
            (1, RecordKind::Account, "ann@old.example", "anna@new.example"),
            (2, RecordKind::Domain, "third.example", "fourth.example"),
            (3, RecordKind::Cos, "gold", "gold"),
        ];
        let planned = planned
            .into_iter()
            .map(|(id, kind, from, to)| (RecordId(id), (kind, from.to_owned(), to.to_owned())))
            .collect();
        let former = [(RecordKind::Account, "maiden@old.example".to_owned(), RecordId(1))];
        Book::new(rules, &planned, &BTreeMap::new(), &former)
    }

    #[test]
    fn the_map_comes_first_then_the_rules_then_the_domains() {
        let book = book();
        assert_eq!(book.address("ann@old.example"), "anna@new.example");
        assert_eq!(book.address("maiden@old.example"), "anna@new.example");
        assert_eq!(book.address("bob@old.example"), "robert@new.example");
        assert_eq!(book.address("x@third.example"), "x@fourth.example");
        assert_eq!(book.address("stranger@else.example"), "stranger@else.example");
    }

    #[test]
    fn a_share_with_the_former_name_of_an_account_means_the_account_though_an_alias_has_the_name_now() {
        let planned = [
            (1, RecordKind::Account, "ann.smith@old.example", "ann.smith@old.example"),
            (2, RecordKind::Alias, "ann@old.example", "ann@old.example"),
            (3, RecordKind::Alias, "info@old.example", "info@old.example"),
            (4, RecordKind::List, "crew@old.example", "crew@old.example"),
        ];
        let planned = planned
            .into_iter()
            .map(|(id, kind, from, to)| (RecordId(id), (kind, from.to_owned(), to.to_owned())))
            .collect();
        let former = ["ann@old.example", "crew@old.example", "ann.smith@old.example"]
            .map(|name| (RecordKind::Account, name.to_owned(), RecordId(1)));
        let book = Book::new(RenameRules::default(), &planned, &BTreeMap::new(), &former);
        let sharer = |name: &str| book.find_sharer(name).map(|entry| entry.record.0);
        assert_eq!(sharer("ann@old.example"), Some(1));
        assert_eq!(sharer("Ann@old.example"), Some(1));
        assert_eq!(sharer("info@old.example"), Some(3), "an alias that was always one");
        assert_eq!(sharer("crew@old.example"), Some(4), "a list can hold a share itself");
        assert_eq!(book.address("ann@old.example"), "ann@old.example", "mail goes by the alias");
    }

    #[test]
    fn an_identity_keeps_its_name_and_changes_its_address() {
        let identity = |from: &str| Setting::Identity {
            name: "work".to_owned(),
            from: from.to_owned(),
            reply_to: None,
            signature: None,
            attributes: Default::default(),
        };
        assert_eq!(
            book().setting(&identity("\"A < B\" <ann@old.example> x")),
            identity("\"A < B\" <anna@new.example> x")
        );
        assert_eq!(book().setting(&identity("bob@old.example")), identity("robert@new.example"));
    }
}
