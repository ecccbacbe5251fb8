//! All entries as provisioning records. Pure. What makes no sense is a rejection, and the scan goes on.

use super::decode::Reader;
use super::entry::{Entry, EntryKind, Name};
use super::fetch::Fetched;
use super::index::Index;
use super::{LdapOptions, dn};
use crate::event::{Place, Reason, Rejection};
use crate::model::provisioning::{Alias, Attributes, ClassOfService, Domain, Record, RecordKind, domain_of};
use crate::model::setting::Setting;
use crate::site::{FoundRecord, ProvisioningScan, Seen};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Settings by account.
pub type Settings = BTreeMap<String, Vec<Setting>>;

/// Where addresses lead that are nobody's own.
type Targets = BTreeMap<String, Vec<String>>;

/// Names of entries that fill groups which may not be empty.
pub fn placeholders(options: &LdapOptions) -> HashSet<String> {
    [&options.base, &options.bind].into_iter().filter(|name| !name.is_empty()).map(|name| dn::normal(name)).collect()
}

/// Accounts go as they are looked at, so that of many thousand only either the entry or the record is held.
pub fn scan(mut fetched: Fetched, options: &LdapOptions) -> (ProvisioningScan, Settings) {
    let mapping = &options.mapping;
    let index = Index::new(&fetched.tree, mapping);
    let placeholders = placeholders(options);
    let hidden = no_password_seen(&fetched, options);
    let many = fetched.tree.count();
    let accounts = fetched.tree.take_accounts();
    let fetched = &fetched;
    let reader =
        Reader { mapping, tree: &fetched.tree, index: &index, placeholders: &placeholders, now: options.started_at };
    let out = ProvisioningScan { records: Vec::with_capacity(many), ..ProvisioningScan::default() };
    let mut all = Scan { reader, fetched, out, settings: Settings::new(), forwards: BTreeMap::new() };
    all.out.rejected.extend(fetched.rejected.iter().cloned().chain(hidden.clone()));
    for (dn, what) in &index.without {
        all.reject(None, dn, Reason::Malformed(what.clone()));
    }
    let mut domains = BTreeMap::new();
    let mut classes = BTreeMap::new();
    let mut aliases = Targets::new();
    let no_groups = fetched.incomplete.contains(&EntryKind::Group);
    let seen = if no_groups || hidden.is_some() { Seen::Existence } else { Seen::Whole };
    for (name, entry) in accounts {
        all.account(&name, &entry, seen, &mut classes, &mut aliases);
    }
    for (name, entry) in fetched.tree.of(EntryKind::Account) {
        all.account(name, &entry, seen, &mut classes, &mut aliases);
    }
    all.lists(&mut aliases);
    let aliases = all.aliases(aliases);
    for (_, entry) in fetched.tree.of(EntryKind::Class) {
        if let Some(class) = all.reader.class(&entry) {
            classes.insert(class.name.clone(), (class, idents(&entry)));
        }
    }
    for (_, entry) in fetched.tree.of(EntryKind::Domain) {
        for (at, domain) in all.reader.domain(&entry).into_iter().enumerate() {
            // The id is that of the entry's own domain; those that only repeat it have none.
            let idents = if at == 0 { idents(&entry) } else { Vec::new() };
            domains.entry(domain.name.clone()).or_insert((domain, idents));
        }
    }
    let used: BTreeSet<String> =
        all.out.records.iter().map(|found| domain_of(found.record.key()).to_lowercase()).collect();
    let used = used.into_iter().chain(aliases.iter().map(|alias| domain_of(&alias.address).to_lowercase()));
    for name in used {
        domains.entry(name.clone()).or_insert_with(|| {
            (Domain { name, alias_of: None, catch_all: Vec::new(), attributes: Attributes::new() }, Vec::new())
        });
    }
    let Scan { mut out, settings, .. } = all;
    drop(index);
    out.records.reserve_exact(domains.len() + classes.len() + aliases.len());
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

/// What to say where the mapping wants passwords and not a single one can be read: then the server does not show them to
/// this reader, and that they are gone is not to be believed.
fn no_password_seen(fetched: &Fetched, options: &LdapOptions) -> Option<Rejection> {
    let attribute = options.mapping.account.password.as_ref()?;
    let (mut accounts, mut any) = (0, false);
    for (_, entry) in fetched.tree.of(EntryKind::Account) {
        accounts += 1;
        any |= !entry.all(attribute).is_empty() || entry.strange.contains(&attribute.to_ascii_lowercase());
    }
    let what = format!(
        "none of {accounts} accounts shows its {attribute}: accounts count as unchanged; let the reader see it, or \
         set account.password = false in the mapping where no passwords are to be carried"
    );
    let place = Place { folder: Some(options.base.clone()), ..Place::default() };
    (accounts > 0 && !any).then_some(Rejection { place, reason: Reason::Unreadable(what) })
}

struct Scan<'a> {
    reader: Reader<'a>,
    fetched: &'a Fetched,
    out: ProvisioningScan,
    settings: Settings,
    /// Where the mail of accounts goes that forward it, by their addresses.
    forwards: BTreeMap<String, Alias>,
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

    fn account(
        &mut self,
        name: &Name,
        entry: &Entry,
        seen: Seen,
        classes: &mut BTreeMap<String, (ClassOfService, Vec<String>)>,
        aliases: &mut Targets,
    ) {
        let index = self.reader.index;
        let Some(address) = index.addresses.get(name).filter(|address| index.account(address) == Some(name)) else {
            return;
        };
        let (account, odd) = self.reader.account(entry, address);
        for what in odd {
            self.reject(Some(address), &entry.dn, Reason::Malformed(what));
        }
        if let Some(name) = &account.cos {
            let class = ClassOfService { name: name.clone(), quota_bytes: None, attributes: Attributes::new() };
            classes.entry(name.clone()).or_insert((class, Vec::new()));
        }
        if let Some((vacation, odd)) = self.reader.vacation(entry) {
            for what in odd {
                self.reject(Some(address), &entry.dn, Reason::Malformed(what));
            }
            self.settings.insert(address.to_string(), vec![vacation]);
        }
        for alias in self.reader.aliases(entry, EntryKind::Account) {
            aliases.entry(alias).or_default().push(address.to_string());
        }
        if let Some(forward) = self.reader.forward(entry, address) {
            aliases.entry(forward.address.clone()).or_default().extend(forward.targets.iter().cloned());
            self.forwards.insert(address.to_string(), forward);
        }
        self.out.records.push(FoundRecord { seen, ..found(Record::Account(account), idents(entry)) });
    }

    fn lists(&mut self, aliases: &mut Targets) {
        let Some(map) = &self.reader.mapping.list else { return };
        // Without all entries nobody can tell whom a member is; the lists stay as they were.
        if !self.fetched.incomplete.is_empty() {
            return;
        }
        for (name, entry) in self.fetched.tree.of(EntryKind::List) {
            let Some(address) = self.reader.index.addresses.get(name) else { continue };
            if self.reader.index.list(address) != Some(name) {
                continue;
            }
            let (list, lost) = self.reader.list(map, &entry, address);
            for what in lost {
                self.reject(Some(address), &entry.dn, Reason::Malformed(what));
            }
            for alias in self.reader.aliases(&entry, EntryKind::List) {
                aliases.entry(alias).or_default().push(address.to_string());
            }
            self.out.records.push(found(Record::List(list), idents(&entry)));
        }
    }

    /// Aliases that are nobody's own address, except where that tells where the mail of an account goes.
    fn aliases(&mut self, aliases: Targets) -> Vec<Alias> {
        let mut kept = Vec::new();
        for (address, mut targets) in aliases {
            targets.sort();
            targets.dedup();
            let holder = self.reader.index.holder(&address).cloned();
            let forwards = self.forwards.remove(&address);
            match (holder, forwards) {
                (Some(_), Some(forward)) => kept.push(forward),
                (Some(name), None) => {
                    let of = targets.join(", ");
                    let what = format!("is also named as an alias of {of}, which is left out");
                    self.reject(Some(&address), &name, Reason::Malformed(what));
                }
                (None, _) => kept.push(Alias { address, targets }),
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::provisioning::{Account, AccountClass, AccountStatus, Secret};
    use crate::net::{Endpoint, TlsPolicy};
    use crate::site::ldap::{Mapping, Partly, SCHEMES};

    fn options(preset: &str) -> LdapOptions {
        LdapOptions {
            endpoint: Endpoint::parse("ldaps://a.test", SCHEMES).unwrap(),
            tls: TlsPolicy::System,
            base: "dc=test".into(),
            bind: String::new(),
            password: Secret::new(""),
            mapping: Mapping::preset(preset).unwrap(),
            state_dir: "/nowhere".into(),
            page_size: 500,
            partly: Partly::Listed,
            started_at: 0,
        }
    }

    /// Entries as lines: `account uid=a,dc=test mail=a@x mail=b@x`.
    fn fetched(text: &str) -> Fetched {
        let mut fetched = Fetched::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.split(' ');
            let kind = match words.next().unwrap() {
                "account" => EntryKind::Account,
                "list" => EntryKind::List,
                "domain" => EntryKind::Domain,
                _ => EntryKind::Class,
            };
            let mut entry = Entry { dn: words.next().unwrap().to_owned(), kinds: [kind].into(), ..Entry::default() };
            for (name, value) in words.map(|word| word.split_once('=').unwrap()) {
                entry.change(name, &[], &[value.to_owned()]);
            }
            fetched.tree.put(entry);
        }
        fetched
    }

    fn account<'s>(scan: &'s ProvisioningScan, address: &str) -> &'s Account {
        let one = |found: &'s FoundRecord| match &found.record {
            Record::Account(account) if account.address == address => Some(account),
            _ => None,
        };
        scan.records.iter().find_map(one).unwrap()
    }

    #[test]
    fn an_answer_is_enabled_between_its_dates_alone() {
        let at = |dates: &str, now: &str| {
            let fetched = fetched(&format!(
                "account uid=ann,dc=test zimbraMailDeliveryAddress=ann@a.test userPassword={{SSHA}}x \
                 zimbraPrefOutOfOfficeReply=Away zimbraPrefOutOfOfficeReplyEnabled=TRUE {dates}"
            ));
            let started_at = now.parse::<jiff::Timestamp>().unwrap().as_second();
            let (scan, settings) = scan(fetched, &LdapOptions { started_at, ..options("zimbra") });
            let Setting::Vacation { enabled, attributes, .. } = &settings["ann@a.test"][0] else { panic!() };
            (*enabled, attributes.clone(), scan.rejected)
        };
        let dates = "zimbraPrefOutOfOfficeFromDate=20240301000000Z zimbraPrefOutOfOfficeUntilDate=20240310230000Z";
        let between = |now| at(dates, now).0;
        assert_eq!(
            ["2024-02-29T23:59:59Z", "2024-03-01T00:00:00Z", "2024-03-10T22:59:59Z", "2024-03-10T23:00:00Z"]
                .map(between),
            [false, true, true, false]
        );
        let (_, attributes, rejected) = at(dates, "2024-03-05T00:00:00Z");
        let said: Vec<_> = attributes.iter().map(|(key, value)| format!("{key} {value}")).collect();
        assert_eq!(said, ["from 2024-03-01T00:00:00Z", "until 2024-03-10T23:00:00Z"]);
        assert!(rejected.is_empty(), "{rejected:?}");
        // Without dates it answers at any time; a date that is none is told, and bounds nothing.
        assert!(at("", "2024-03-05T00:00:00Z").0);
        let (enabled, _, rejected) = at("zimbraPrefOutOfOfficeUntilDate=soon", "2024-03-05T00:00:00Z");
        assert!(
            enabled && rejected.len() == 1 && rejected[0].reason.to_string().contains("is no time"),
            "{rejected:?}"
        );
    }

    #[test]
    fn zimbras_own_directory_gives_classes_resources_lists_and_alias_domains() {
        let fetched = fetched(
            "class cn=gold,cn=cos,dc=test cn=gold zimbraId=c1 zimbraMailQuota=1073741824
             domain dc=a,dc=test zimbraDomainName=a.test zimbraId=d1
             domain dc=b,dc=test zimbraDomainName=b.test zimbraDomainAliasTargetId=d1
             account uid=ann,dc=test zimbraMailDeliveryAddress=Ann@a.test mail=ann@a.test mail=info@a.test zimbraMailAlias=info@a.test zimbraCOSId=c1 zimbraAccountStatus=locked zimbraMailQuota=0 userPassword={SSHA512}x zimbraPrefMailForwardingAddress=x@far.test,y@far.test zimbraPrefMailLocalDeliveryDisabled=TRUE
             account uid=room,dc=test zimbraMailDeliveryAddress=room@a.test zimbraCalResType=Location userPassword={SSHA}y
             list uid=team,dc=test mail=team@a.test zimbraMailAlias=team@a.test zimbraMailAlias=crew@a.test zimbraMailForwardingAddress=ann@a.test zimbraMailForwardingAddress=z@far.test",
        );
        let (scan, _) = scan(fetched, &options("zimbra"));
        assert_eq!(scan.rejected, []);
        let ann = account(&scan, "ann@a.test");
        assert_eq!((ann.cos.as_deref(), ann.status, ann.quota_bytes), (Some("gold"), AccountStatus::Locked, None));
        assert_eq!(account(&scan, "room@a.test").class, AccountClass::Location);
        let shown: Vec<_> = scan.records.iter().filter(|found| !matches!(found.record, Record::Account(_))).collect();
        let shown: Vec<_> = shown.iter().map(|found| serde_json::to_string(&found.record).unwrap()).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        {"kind":"domain","name":"a.test"}
        {"kind":"domain","name":"b.test","alias_of":"a.test"}
        {"kind":"cos","name":"gold","quota_bytes":1073741824}
        {"kind":"list","address":"team@a.test","members":["ann@a.test","z@far.test"]}
        {"kind":"alias","address":"ann@a.test","targets":["x@far.test","y@far.test"]}
        {"kind":"alias","address":"crew@a.test","targets":["team@a.test"]}
        {"kind":"alias","address":"info@a.test","targets":["ann@a.test"]}
        "#);
    }

    #[test]
    fn of_a_swapped_order_of_addresses_nothing_is_seen() {
        let one = "account cn=q,dc=test mail=b@a.test mail=a@a.test userPassword=x";
        let other = "account cn=q,dc=test mail=a@a.test mail=b@a.test userPassword=x";
        let scanned = |text| scan(fetched(text), &options("inetorgperson")).0;
        assert_eq!(scanned(one).records, scanned(other).records);
        assert_eq!(account(&scanned(one), "a@a.test").password, Some(Secret::new("{PLAIN}x")));
    }

    #[test]
    fn what_a_forwarding_and_an_alias_say_of_one_address_is_told() {
        let fetched = fetched(
            "account uid=a,dc=test mail=a@a.test mailAlternateAddress=b@a.test userPassword=x
             account uid=b,dc=test mail=b@a.test userPassword=x",
        );
        let (scan, _) = scan(fetched, &options("inetorgperson"));
        assert!(scan.rejected[0].reason.to_string().contains("alias of a@a.test"), "{:?}", scan.rejected);
    }
}
