//! Gets the entries that the mapping speaks of: all of them, those that changed, or, where nothing did, none at all.
//!
//! Three questions, the cheapest first. Does the base have a `contextCSN`, and is it the one of the last scan? Then
//! nothing has changed anywhere and the entries of that scan are taken. Else the names of all entries are listed with
//! their `entryCSN` (or `modifyTimestamp`), and where few differ, those alone are read. Else all are read.

use super::cache::Cache;
use super::connection::{Connection, Ended};
use super::entry::{Entry, EntryKind, Name, Tree};
use super::wire::request::Query;
use super::{LdapOptions, dn};
use crate::event::{Place, Reason, Rejection};
use crate::limits;
use crate::site::SiteError;
use crate::site::server::Survey;
use std::collections::{BTreeMap, BTreeSet};

/// Attributes by which a server names an entry for ever, strongest first.
const IDS: [&str; 3] = ["entryUUID", "nsUniqueId", "objectGUID"];
/// The control of RFC 4533, which the overlay that counts changes brings along.
const CONTENT_SYNC: &str = "1.3.6.1.4.1.4203.1.9.1.1";
const ENTRY_CSN: &str = "entryCSN";
const MODIFIED: &str = "modifyTimestamp";

/// What a directory holds, as far as it could be looked at.
#[derive(Debug, Default)]
pub struct Fetched {
    pub tree: Tree,
    pub rejected: Vec<Rejection>,
    /// Kinds of which there may be more.
    pub incomplete: BTreeSet<EntryKind>,
    /// The server's change numbers for all of this; empty where it has none, or not all was seen.
    pub context: Vec<String>,
    /// All of it is as the last scan left it.
    pub unchanged: bool,
    /// Entries of which more than the name was read.
    entries_read: usize,
    /// Bytes of values held, which are bounded.
    bytes: usize,
}

/// Fetches everything, with the help of what the last scan left.
pub fn fetch(connection: &mut Connection, options: &LdapOptions, cache: Cache) -> Result<Fetched, SiteError> {
    // Read before the entries: what changes while they are read is noticed next time.
    let context = context(connection, &options.base)?;
    if !context.is_empty() && cache.context == context {
        return Ok(Fetched { tree: cache.tree, context, unchanged: true, ..Fetched::default() });
    }
    let known = cache.tree.count();
    let mut fetched = match changed_only(connection, options, cache.tree)? {
        Some(fetched) => fetched,
        None => everything(connection, options)?,
    };
    // What was not seen whole must be looked at again whatever the server says of changes.
    if fetched.rejected.is_empty() {
        fetched.context = context;
    }
    fetched.unchanged = fetched.entries_read == 0 && fetched.tree.count() == known && fetched.context.is_empty();
    trust(&mut fetched.tree);
    Ok(fetched)
}

/// The change numbers of the whole tree, sorted; empty where the server does not tell, or does not keep them up: `slapadd -w`,
/// and a provider that is none any more, leave numbers behind that never change again. OpenLDAP keeps them up where it offers
/// [`CONTENT_SYNC`].
fn context(connection: &mut Connection, base: &str) -> Result<Vec<String>, SiteError> {
    let mut found = Vec::new();
    let mut kept_up = false;
    let attributes = ["supportedControl".to_owned()];
    let root = Query { base: "", subtree: false, filter: "(objectClass=*)", attributes: &attributes };
    connection.search(&root, &mut |entry| {
        kept_up |= entry.all("supportedControl").iter().any(|control| control == CONTENT_SYNC);
        Ok(())
    })?;
    let attributes = ["contextCSN".to_owned()];
    let query = Query { base, subtree: false, filter: "(objectClass=*)", attributes: &attributes };
    let ended = connection.search(&query, &mut |entry| {
        found.extend(entry.all("contextCSN").iter().cloned());
        Ok(())
    })?;
    if ended.no_base {
        return Err(SiteError::Unsupported(format!("the directory has no entry {base:?}, which should be its base")));
    }
    found.sort();
    Ok(if kept_up { found } else { Vec::new() })
}

/// The filters of the mapping by kind.
fn filters(options: &LdapOptions) -> Vec<(EntryKind, &str)> {
    let mapping = &options.mapping;
    let mut filters = vec![(EntryKind::Account, mapping.account.filter.as_str())];
    filters.extend(mapping.list.iter().map(|map| (EntryKind::List, map.filter.as_str())));
    filters.extend(mapping.group.iter().map(|map| (EntryKind::Group, map.filter.as_str())));
    filters.extend(mapping.domain.iter().map(|map| (EntryKind::Domain, map.filter.as_str())));
    filters.extend(mapping.class.iter().map(|map| (EntryKind::Class, map.filter.as_str())));
    filters
}

fn stamps() -> Vec<String> {
    IDS.iter().chain(&[ENTRY_CSN, MODIFIED]).map(|name| (*name).to_owned()).collect()
}

impl Fetched {
    /// Takes what a search found, of one kind.
    fn take(&mut self, kind: EntryKind, mut entry: Entry) -> Result<(), SiteError> {
        entry.id = IDS.iter().find_map(|name| entry.first(name)).map(str::to_owned);
        entry.stamp = [ENTRY_CSN, MODIFIED].iter().find_map(|name| entry.first(name)).unwrap_or_default().to_owned();
        stamps().iter().for_each(|name| drop(entry.values.remove(&name.to_ascii_lowercase())));
        self.bytes += entry.bytes();
        if self.bytes > limits::LDAP_BOOK_BYTES {
            let bound = limits::LDAP_BOOK_BYTES / limits::MIB as usize;
            let what = format!(
                "the directory has more than {bound} MiB of what the mapping asks for; a narrower filter or base helps"
            );
            return Err(SiteError::Unsupported(what));
        }
        let mut entry = self.tree.take(&dn::normal(&entry.dn)).unwrap_or(entry);
        entry.kinds.insert(kind);
        self.tree.put(entry);
        Ok(())
    }

    fn note(&mut self, kind: EntryKind, ended: Ended, base: &str) {
        let place = Place { folder: Some(base.to_owned()), ..Place::default() };
        if let Some(why) = ended.cut_short {
            self.incomplete.insert(kind);
            let reason = Reason::Unreadable(format!("{why}; let the reader page through everything"));
            self.rejected.push(Rejection { place: place.clone(), reason });
        }
        for url in ended.referrals {
            self.incomplete.insert(kind);
            let reason = Reason::Unreadable(format!("a part of the tree is elsewhere and was not looked at: {url}"));
            let rejection = Rejection { place: place.clone(), reason };
            if !self.rejected.contains(&rejection) {
                self.rejected.push(rejection);
            }
        }
    }
}

fn everything(connection: &mut Connection, options: &LdapOptions) -> Result<Fetched, SiteError> {
    let mut fetched = Fetched::default();
    let attributes = wanted(options);
    for (kind, filter) in filters(options) {
        let query = Query { base: &options.base, subtree: true, filter, attributes: &attributes };
        let ended = connection.search(&query, &mut |entry| fetched.take(kind, entry))?;
        fetched.note(kind, ended, &options.base);
    }
    fetched.entries_read = fetched.tree.count();
    Ok(fetched)
}

fn wanted(options: &LdapOptions) -> Vec<String> {
    let mut attributes = options.mapping.attributes();
    attributes.extend(stamps());
    attributes
}

/// Lists the stamps and reads what differs from the cache; `None` where that is no help.
fn changed_only(
    connection: &mut Connection,
    options: &LdapOptions,
    mut known: Tree,
) -> Result<Option<Fetched>, SiteError> {
    if known.count() == 0 {
        return Ok(None);
    }
    let mut fetched = Fetched::default();
    let attributes = stamps();
    for (kind, filter) in filters(options) {
        let query = Query { base: &options.base, subtree: true, filter, attributes: &attributes };
        let ended = connection.search(&query, &mut |entry| fetched.take(kind, entry))?;
        fetched.note(kind, ended, &options.base);
    }
    let listed = std::mem::take(&mut fetched.tree);
    let (shared, changed) = known.shared_with(listed, same);
    if changed.len() > limits::LDAP_SINGLE_FETCHES {
        return Ok(None);
    }
    fetched.tree = shared;
    drop(known);
    let attributes = wanted(options);
    for entry in changed {
        for &kind in &entry.kinds {
            let query = Query { base: &entry.dn, subtree: false, filter: "(objectClass=*)", attributes: &attributes };
            // One that went meanwhile is gone.
            let ended = connection.search(&query, &mut |entry| fetched.take(kind, entry))?;
            fetched.note(kind, ended, &options.base);
        }
        fetched.entries_read += 1;
    }
    Ok(Some(fetched))
}

fn same(known: &Entry, listed: &Entry) -> bool {
    !known.stamp.is_empty()
        && known.stamp == listed.stamp
        && known.id == listed.id
        && known.kinds == listed.kinds
        && known.dn == listed.dn
}

/// Leaves stamps only where the next scan may believe them. A time of modification has seconds: an entry whose time is
/// so close to the newest one that it may change again within it is looked at again (git's rule for a racy index).
fn trust(tree: &mut Tree) {
    let is_time = |stamp: &str| !stamp.contains('#');
    let seconds = |stamp: &str| stamp.get(..14).and_then(|digits| digits.parse::<u64>().ok());
    let times = || tree.iter().filter(|(_, entry)| is_time(&entry.stamp) && !entry.stamp.is_empty());
    let newest = times().filter_map(|(_, entry)| seconds(&entry.stamp)).max();
    // As numbers these are no times, but two seconds apart are at least two numbers apart.
    let old = |entry: &Entry| seconds(&entry.stamp).zip(newest).is_some_and(|(own, newest)| own + 2 < newest);
    let doubtful: Vec<Name> = times().filter(|(_, entry)| !old(entry)).map(|(name, _)| name.clone()).collect();
    for name in doubtful {
        if let Some(entry) = tree.take(&name) {
            tree.put(Entry { stamp: String::new(), ..entry });
        }
    }
}

/// Every value of one entry that can be read, for the record of what is about to be removed.
pub fn whole_entry(connection: &mut Connection, dn: &str) -> Result<BTreeMap<String, Vec<String>>, SiteError> {
    let entry = connection.patiently(|connection| connection.entry(dn, &[]))?;
    Ok(entry.map(|entry| entry.values).unwrap_or_default())
}

/// What the server tells of itself (RFC 4512 section 5.1), and what this book can give and hold.
pub fn survey(connection: &mut Connection, options: &LdapOptions) -> Result<Survey, SiteError> {
    let mut survey = Survey::default();
    let names = ["vendorName", "vendorVersion", "supportedControl", "supportedExtension", "supportedSASLMechanisms"];
    let attributes: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let root = Query { base: "", subtree: false, filter: "(objectClass=*)", attributes: &attributes };
    connection.search(&root, &mut |entry| {
        let software: Vec<&str> = ["vendorName", "vendorVersion"].iter().filter_map(|name| entry.first(name)).collect();
        survey.software = (!software.is_empty()).then(|| software.join(" "));
        for (word, name) in names.iter().skip(2).map(|name| (name.trim_start_matches("supported"), name)) {
            survey.capabilities.extend(entry.all(name).iter().map(|value| format!("{word} {}", named(value))));
        }
        Ok(())
    })?;
    survey.capabilities.sort();
    let has = |name: &str| survey.capabilities.iter().any(|known| known.ends_with(name));
    if !has("paged results") {
        survey.cannot_give.push("more entries than its size limit, because it does not page".to_owned());
    }
    if context(connection, &options.base)?.is_empty() {
        survey
            .cannot_give
            .push("a number that tells whether anything changed (contextCSN): each pass lists all entries".to_owned());
    }
    let mapping = &options.mapping;
    let places = [
        (mapping.account.password.is_some(), "passwords"),
        (mapping.account.quota.is_some(), "quotas"),
        (mapping.account.status.is_some(), "whether an account is locked or closed"),
        (mapping.list.is_some(), "distribution lists"),
        (mapping.group.is_some(), "groups"),
        (mapping.account.class_of_service.is_some(), "classes of service of accounts"),
        (mapping.account.kind.is_some(), "rooms and equipment"),
    ];
    for (_, what) in places.into_iter().filter(|(mapped, _)| !mapped) {
        survey.cannot_give.push(format!("{what}: the mapping has no place for them"));
        survey.cannot_hold.push(format!("{what}: the mapping has no place for them"));
    }
    survey
        .cannot_hold
        .push("identities, signatures, preferences, mountpoints: a directory has no place for them".to_owned());
    survey.cannot_hold.extend(mapping.read_only.clone());
    let mut accounts = 0;
    let attributes = ["1.1".to_owned()];
    let query = Query { base: &options.base, subtree: true, filter: &mapping.account.filter, attributes: &attributes };
    let ended = connection.search(&query, &mut |_| {
        accounts += 1;
        Ok(())
    })?;
    survey.cannot_give.extend(ended.cut_short);
    survey.capabilities.push(format!("{accounts} accounts below {}", options.base));
    Ok(survey)
}

/// Names of the object identifiers that matter here.
fn named(oid: &str) -> &str {
    match oid {
        "1.2.840.113556.1.4.319" => "paged results",
        "1.3.6.1.4.1.1466.20037" => "StartTLS",
        "1.3.6.1.4.1.4203.1.11.1" => "change of passwords",
        "1.3.6.1.1.12" => "assertions",
        other => other,
    }
}
