//! One entry as a record: what the mapping says that its attributes mean. Pure.

use super::entry::{Entry, EntryKind, Tree};
use super::index::{Index, Member, aliases_of};
use super::mapping::{ListMap, Mapping};
use super::{dn, value};
use crate::limits;
use crate::model::provisioning::{Account, AccountClass, Alias, Attributes, ClassOfService, DistributionList, Domain};
use crate::model::setting::Setting;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Everything that reading an entry needs.
pub struct Reader<'a> {
    pub mapping: &'a Mapping,
    pub tree: &'a Tree,
    pub index: &'a Index,
    /// Names of entries, in normal form, that stand in groups only because a group may not be empty.
    pub placeholders: &'a HashSet<String>,
    /// When it is read; what has times counts as it is then.
    pub now: i64,
}

impl Reader<'_> {
    /// The account of an entry, and what of it makes no sense.
    pub fn account(&self, entry: &Entry, address: &str) -> (Account, Vec<String>) {
        let map = &self.mapping.account;
        let mut odd = Vec::new();
        let mut account = Account { address: address.to_owned(), ..Account::default() };
        account.name = map.name.iter().find_map(|name| entry.first(name)).map(str::to_owned);
        if let Some(attribute) = &map.password {
            account.password = entry.first(attribute).map(value::password);
            if account.password.is_none() && entry.strange.contains(&attribute.to_ascii_lowercase()) {
                odd.push("its password is no text".to_owned());
            }
        }
        if let Some(map) = &map.quota {
            match entry.first(&map.attribute).map(|text| value::quota(text, map)) {
                Some(Ok(bytes)) => account.quota_bytes = bytes,
                Some(Err(what)) => odd.push(what),
                None => {}
            }
        }
        if let Some(map) = &map.status {
            match value::status(entry.first(&map.attribute), map) {
                Ok(status) => account.status = status,
                Err(what) => odd.push(what),
            }
        }
        if let Some(attribute) = &map.class_of_service {
            let named = entry.first(attribute);
            account.cos = named.map(|name| self.index.classes.get(name).map_or(name, String::as_str).to_owned());
        }
        if let Some(map) = &map.kind {
            let word = entry.first(&map.attribute).unwrap_or_default();
            account.class = match () {
                () if word.eq_ignore_ascii_case(&map.location) => AccountClass::Location,
                () if word.eq_ignore_ascii_case(&map.equipment) => AccountClass::Equipment,
                () => AccountClass::User,
            };
        }
        let groups = self.index.groups_of(entry);
        account.groups = groups.into_iter().collect();
        account.attributes = attributes(entry, &map.attributes);
        (account, odd)
    }

    /// Addresses beside the own one that lead to the same entry.
    pub fn aliases(&self, entry: &Entry, kind: EntryKind) -> Vec<String> {
        aliases_of(entry, kind, self.mapping)
    }

    /// Where an account's mail goes, where that is not just its mailbox.
    pub fn forward(&self, entry: &Entry, address: &str) -> Option<Alias> {
        let map = self.mapping.account.forward.as_ref()?;
        let options = map.options.as_ref().map_or(&[][..], |name| entry.all(name));
        let has = |word: &str| options.is_empty() || options.iter().any(|option| option.eq_ignore_ascii_case(word));
        let texts = map.attributes.iter().flat_map(|name| entry.all(name));
        // Some books write all targets into one value.
        let texts = texts.flat_map(|text| text.split(',')).map(str::trim);
        let mut targets: Vec<_> = texts.filter_map(|text| value::address(text, self.mapping.lower_case)).collect();
        if targets.is_empty() || !has(&map.forward) {
            return None;
        }
        let no_copy = map
            .no_copy
            .as_ref()
            .and_then(|name| entry.first(name))
            .is_some_and(|word| word.eq_ignore_ascii_case("TRUE"));
        if has(&map.keep) && !no_copy {
            targets.push(address.to_owned());
        }
        targets.sort();
        targets.dedup();
        Some(Alias { address: address.to_owned(), targets })
    }

    /// The answer to whoever writes meanwhile, with its times as attributes, and what of them makes no sense.
    pub fn vacation(&self, entry: &Entry) -> Option<(Setting, Vec<String>)> {
        let map = self.mapping.account.vacation.as_ref()?;
        let text = entry.first(&map.text)?.to_owned();
        let (mut attributes, mut odd) = (Attributes::new(), Vec::new());
        let mut time = |key: &str, attribute: &Option<String>| {
            let attribute = attribute.as_ref()?;
            let text = entry.first(attribute)?;
            match value::time(text) {
                Some(time) => drop(attributes.insert(key.to_owned(), time.to_string())),
                None => odd.push(format!("its {attribute} {text:?} is no time")),
            }
            value::time(text).map(|time| time.as_second())
        };
        let (from, until) = (time("from", &map.from), time("until", &map.until));
        let is_now = from.is_none_or(|from| from <= self.now) && until.is_none_or(|until| self.now < until);
        let options = map.enabled.as_ref().map_or(&[][..], |name| entry.all(name));
        let on = |option: &String| {
            option.eq_ignore_ascii_case("TRUE") || !map.word.is_empty() && option.eq_ignore_ascii_case(&map.word)
        };
        let enabled = is_now && (options.is_empty() || options.iter().any(on));
        Some((Setting::Vacation { enabled, subject: String::new(), text, attributes }, odd))
    }

    /// The list of an entry, and members that lead nowhere.
    pub fn list(&self, map: &ListMap, entry: &Entry, address: &str) -> (DistributionList, Vec<String>) {
        let mut found = Members { reader: self, map, out: BTreeSet::new(), lost: Vec::new(), seen: HashSet::new() };
        found.collect(entry, 0);
        let Members { out, mut lost, .. } = found;
        let owners = map.owners.iter().flat_map(|name| entry.all(name));
        let mut owned = BTreeSet::new();
        for text in owners {
            match self.address_of(text) {
                Some(owner) => {
                    owned.insert(owner);
                }
                None if self.is_placeholder(text, entry) => {}
                None => lost.push(format!("its owner {text} has no address")),
            }
        }
        let list = DistributionList {
            address: address.to_owned(),
            name: map.name.iter().find_map(|name| entry.first(name)).map(str::to_owned),
            members: out.into_iter().collect(),
            owners: owned.into_iter().collect(),
            attributes: attributes(entry, &map.attributes),
        };
        (list, lost)
    }

    /// Whom a member or an owner means.
    pub fn address_of(&self, text: &str) -> Option<String> {
        match Member::parse(text, self.mapping.lower_case) {
            Member::Entry(name) => self.index.addresses.get(&name).map(ToString::to_string),
            Member::Address(address) => Some(address),
            Member::User(user) => {
                let address = self.index.users.get(&user).and_then(|name| self.index.addresses.get(name));
                address.map(ToString::to_string)
            }
        }
    }

    fn is_placeholder(&self, text: &str, group: &Entry) -> bool {
        let name = dn::normal(text);
        self.placeholders.contains(&name) || name == dn::normal(&group.dn)
    }

    pub fn domain(&self, entry: &Entry) -> Vec<Domain> {
        let Some(map) = &self.mapping.domain else { return Vec::new() };
        let mut names: BTreeSet<String> = entry.all(&map.name).iter().map(|name| name.to_lowercase()).collect();
        let parts = dn::parse(&entry.dn).unwrap_or_default();
        let own = parts.first().into_iter().flatten().map(|(_, value)| String::from_utf8_lossy(value).to_lowercase());
        let own = own.into_iter().find(|name| names.contains(name)).or_else(|| names.first().cloned());
        let Some(own) = own else { return Vec::new() };
        names.remove(&own);
        let target = map.alias_of.as_ref().and_then(|name| entry.first(name)).and_then(|id| self.domain_by_id(id));
        let catch_all = map.catch_all.iter().flat_map(|name| entry.all(name));
        let mut domains = vec![Domain {
            name: own.clone(),
            alias_of: target,
            catch_all: catch_all.filter_map(|text| value::address(text, self.mapping.lower_case)).collect(),
            attributes: attributes(entry, &map.attributes),
        }];
        domains.extend(names.into_iter().map(|name| Domain {
            name,
            alias_of: Some(own.clone()),
            catch_all: Vec::new(),
            attributes: Attributes::new(),
        }));
        domains
    }

    fn domain_by_id(&self, id: &str) -> Option<String> {
        let map = self.mapping.domain.as_ref()?;
        let id_name = map.id.as_deref()?;
        let (_, found) = self.tree.of(EntryKind::Domain).find(|(_, entry)| entry.first(id_name) == Some(id))?;
        found.first(&map.name).map(str::to_lowercase)
    }

    pub fn class(&self, entry: &Entry) -> Option<ClassOfService> {
        let map = self.mapping.class.as_ref()?;
        let quota = map.quota.as_ref().and_then(|map| value::quota(entry.first(&map.attribute)?, map).ok()).flatten();
        Some(ClassOfService {
            name: entry.first(&map.name)?.to_owned(),
            quota_bytes: quota,
            attributes: attributes(entry, &map.attributes),
        })
    }
}

fn attributes(entry: &Entry, map: &BTreeMap<String, String>) -> Attributes {
    let pairs = map.iter().filter_map(|(name, from)| match entry.all(from) {
        [] => None,
        [one] if !one.contains(['\n', '\\']) => Some((name.clone(), one.clone())),
        all => Some((name.clone(), value::join(all))),
    });
    pairs.collect()
}

/// Collects the members of a list, those of groups without an address in their place.
struct Members<'r, 'a> {
    reader: &'r Reader<'a>,
    map: &'r ListMap,
    out: BTreeSet<String>,
    lost: Vec<String>,
    seen: HashSet<String>,
}

impl Members<'_, '_> {
    fn collect(&mut self, entry: &Entry, depth: usize) {
        if !self.seen.insert(dn::normal(&entry.dn)) {
            return;
        }
        let group = self.reader.mapping.group.as_ref().map_or(&[][..], |map| &map.members);
        let attributes: BTreeSet<String> =
            self.map.members.iter().chain(group).map(|name| name.to_ascii_lowercase()).collect();
        for attribute in &attributes {
            if entry.strange.iter().any(|name| name.split(';').next() == Some(attribute)) {
                self.lost.push(format!("{attribute} of {} is not given whole", entry.dn));
            }
            for text in entry.all(attribute) {
                if self.out.len() >= limits::LDAP_MEMBERS {
                    self.lost.push(format!("it has more than {} members", limits::LDAP_MEMBERS));
                    return;
                }
                self.one(text, entry, depth);
            }
        }
    }

    fn one(&mut self, text: &str, group: &Entry, depth: usize) {
        if let Some(address) = self.reader.address_of(text) {
            self.out.insert(address);
        } else if self.reader.is_placeholder(text, group) {
        } else if let Some(inner) = self.reader.tree.get(text).filter(|entry| entry.is(EntryKind::Group)) {
            if depth < limits::LDAP_GROUP_DEPTH {
                self.collect(&inner, depth + 1);
            } else {
                self.lost.push(format!("groups in {text} lie too deep"));
            }
        } else {
            self.lost.push(format!("its member {text} has no address"));
        }
    }
}
