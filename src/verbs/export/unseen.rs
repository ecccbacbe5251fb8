//! What a scan could not look at counts as unchanged: fills it in from what the archive holds.
//!
//! Called for records by `reconcile`, for folders and items by `diff`. With nothing in the archive to fill in from, what
//! was found is recorded as it is, and the next pass that can look completes it.

use crate::format::snapshot::{Provisioning, StoredRecord};
use crate::model::mailbox::{Folder, Item};
use crate::model::provisioning::{
    Account, AccountStatus, Alias, Attributes, DistributionList, Domain, Record, RecordKind,
};
use crate::site::{FolderListing, FoundItem, FoundRecord, Seen};
use std::collections::HashMap;

/// An address of which the scan could not tell whether it is a list or an alias is what the archive holds it for.
pub(super) fn keep_kinds(found: &mut [FoundRecord], known: &Provisioning) {
    if found.iter().all(|found| found.seen == Seen::Whole) {
        return;
    }
    let stored = known.records.values().map(|stored| &stored.record);
    let kinds: HashMap<&str, RecordKind> = stored
        .filter(|record| matches!(record, Record::List(_) | Record::Alias(_)))
        .map(|record| (record.key(), record.kind()))
        .collect();
    for found in found.iter_mut().filter(|found| found.seen != Seen::Whole) {
        if let Some(kind) = kinds.get(found.record.key()).copied()
            && let Some(record) = as_kind(&found.record, kind)
        {
            found.record = record;
        }
    }
}

/// A list as an alias, or an alias as a list; `None` where there is nothing to turn into that kind.
fn as_kind(record: &Record, kind: RecordKind) -> Option<Record> {
    match (record, kind) {
        (Record::Alias(alias), RecordKind::List) => Some(Record::List(DistributionList {
            address: alias.address.clone(),
            name: None,
            members: alias.targets.clone(),
            owners: Vec::new(),
            attributes: Attributes::new(),
        })),
        (Record::List(list), RecordKind::Alias) => {
            Some(Record::Alias(Alias { address: list.address.clone(), targets: list.members.clone() }))
        }
        _ => None,
    }
}

/// A record that was found again, with what the scan could not look at as `known` has it.
pub(super) fn fill_in(mut found: FoundRecord, known: &StoredRecord) -> FoundRecord {
    if found.idents_unseen {
        found.idents = merge_idents(&found.idents, &known.idents);
    }
    found.record = match found.seen {
        Seen::Whole => found.record,
        Seen::ButQuota => with_quota(found.record, &known.record),
        Seen::Core => beside(found.record, &known.record),
        Seen::Existence => renamed(&known.record, found.record.key()),
    };
    found
}

/// A hint of a kind that was not found stays; in the order of `known`, which is that of strength.
fn merge_idents(found: &[String], known: &[String]) -> Vec<String> {
    let kind = |ident: &str| ident.split(':').next().unwrap_or_default().to_owned();
    let of_kind = |ident: &String| found.iter().find(|new| kind(new) == kind(ident)).unwrap_or(ident).clone();
    let new = found.iter().filter(|new| known.iter().all(|old| kind(old) != kind(new)));
    known.iter().map(of_kind).chain(new.cloned()).collect()
}

fn beside(found: Record, known: &Record) -> Record {
    match (found, known) {
        (Record::Account(found), Record::Account(known)) => Record::Account(account(found, known)),
        (Record::Domain(found), Record::Domain(known)) => {
            Record::Domain(Domain { attributes: known.attributes.clone(), ..found })
        }
        (Record::List(found), Record::List(known)) => Record::List(DistributionList {
            address: found.address,
            members: found.members,
            name: known.name.clone(),
            owners: known.owners.clone(),
            attributes: known.attributes.clone(),
        }),
        (found, _) => found,
    }
}

fn account(found: Account, known: &Account) -> Account {
    let status = match (found.status, known.status) {
        (AccountStatus::Locked, AccountStatus::Closed) => AccountStatus::Closed,
        (status, _) => status,
    };
    // What was found counts; what was not found may be beside the record.
    let more = known.groups.iter().filter(|group| !found.groups.contains(group)).cloned();
    let groups = found.groups.iter().cloned().chain(more).collect();
    let mut attributes = known.attributes.clone();
    attributes.extend(found.attributes);
    Account {
        class: known.class,
        cos: known.cos.clone(),
        name: found.name.or_else(|| known.name.clone()),
        status,
        groups,
        attributes,
        ..found
    }
}

fn with_quota(found: Record, known: &Record) -> Record {
    match (found, known) {
        (Record::Account(found), Record::Account(known)) => {
            Record::Account(Account { quota_bytes: known.quota_bytes, ..found })
        }
        (found, _) => found,
    }
}

fn renamed(known: &Record, key: &str) -> Record {
    let mut record = known.clone();
    let place = match &mut record {
        Record::Settings(settings) => &mut settings.name,
        Record::Domain(domain) => &mut domain.name,
        Record::Cos(cos) => &mut cos.name,
        Record::Account(account) => &mut account.address,
        Record::List(list) => &mut list.address,
        Record::Alias(alias) => &mut alias.address,
    };
    key.clone_into(place);
    record
}

/// Completes a folder of which not all was seen.
pub(super) fn fill_folder(listing: &mut FolderListing, known: &Folder) {
    let found = &mut listing.folder;
    if listing.subscription_unseen {
        found.subscribed = known.subscribed;
    }
    if !listing.beside_unseen {
        return;
    }
    found.special_use = known.special_use;
    found.title = found.title.take().or_else(|| known.title.clone());
    found.color = found.color.take().or_else(|| known.color.clone());
    found.description = found.description.take().or_else(|| known.description.clone());
    found.comment = found.comment.take().or_else(|| known.comment.clone());
    found.components = found.components.take().or_else(|| known.components.clone());
    found.order = found.order.take().or_else(|| known.order.clone());
    for grant in &known.grants {
        let same =
            |other: &crate::model::share::Grant| other.grantee == grant.grantee && other.negative == grant.negative;
        if !found.grants.iter().any(same) {
            found.grants.push(grant.clone());
        }
    }
    found.grants.sort_unstable();
}

/// Completes an item of such a folder.
pub(super) fn fill_item(found: &mut FoundItem, known: &Item) {
    found.tags.clone_from(&known.tags);
    found.keywords.extend_from_slice(&known.keywords);
    found.keywords.sort_unstable();
    found.keywords.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::RecordId;

    fn record(text: &str) -> Record {
        serde_json::from_str(text).unwrap()
    }

    fn filled(found: &str, seen: Seen, known: &str) -> Record {
        let found = FoundRecord { record: record(found), idents: Vec::new(), idents_unseen: false, seen };
        let known = StoredRecord { id: RecordId(1), idents: Vec::new(), record: record(known) };
        fill_in(found, &known).record
    }

    #[test]
    fn a_quota_that_nobody_could_be_asked_for_stays() {
        let known = r#"{"kind":"account","address":"ann@a.test","name":"Ann","quota_bytes":5368709120}"#;
        let found = r#"{"kind":"account","address":"ann@a.test","name":"Ann B."}"#;
        let wanted = r#"{"kind":"account","address":"ann@a.test","name":"Ann B.","quota_bytes":5368709120}"#;
        assert_eq!(filled(found, Seen::ButQuota, known), record(wanted));
    }

    #[test]
    fn an_account_of_which_only_the_mailbox_was_seen_keeps_all_but_its_new_address() {
        const KNOWN: &str = r#"{"kind":"account","address":"ann@a.test","password":"{X}h","cos":"gold"}"#;
        let bare = r#"{"kind":"account","address":"anna@a.test"}"#;
        assert_eq!(filled(bare, Seen::Existence, KNOWN), record(&KNOWN.replace("ann@", "anna@")));
        assert_eq!(filled(bare, Seen::Whole, KNOWN), record(bare));
    }

    #[test]
    fn a_new_password_counts_while_the_class_of_service_cannot_be_looked_up() {
        let filled = filled(
            r#"{"kind":"account","address":"ann@a.test","password":"{X}new","groups":["eng"],"status":"locked",
                "attributes":{"passwd.uid":"7"}}"#,
            Seen::Core,
            r#"{"kind":"account","address":"ann@a.test","password":"{X}old","cos":"gold","class":"location",
                "name":"Ann: A","groups":["two words"],"status":"closed","attributes":{"phone":"1","passwd.uid":"6"}}"#,
        );
        let whole = r#"{"kind":"account","address":"ann@a.test","password":"{X}new","cos":"gold","class":"location",
            "name":"Ann: A","groups":["eng","two words"],"status":"closed","attributes":{"phone":"1","passwd.uid":"7"}}"#;
        assert_eq!(filled, record(whole));
    }

    #[test]
    fn a_list_with_one_member_stays_a_list_while_nobody_can_tell() {
        let mut site = Provisioning::default();
        let known = r#"{"kind":"list","address":"solo@a.test","members":["x@a.test"],"owners":["ann@a.test"]}"#;
        site.records
            .insert(RecordId(1), StoredRecord { id: RecordId(1), idents: vec!["id:1".into()], record: record(known) });
        let alias = r#"{"kind":"alias","address":"solo@a.test","targets":["ann@a.test"]}"#;
        let mut found =
            [FoundRecord { record: record(alias), idents: Vec::new(), idents_unseen: true, seen: Seen::Core }];
        keep_kinds(&mut found, &site);
        let [found] = found;
        let whole = fill_in(found, &site.records[&RecordId(1)]);
        assert_eq!(whole.record, record(&known.replace("x@", "ann@")));
        assert_eq!(whole.idents, ["id:1"]);
    }

    #[test]
    fn hints_that_could_not_be_had_stay_in_the_order_of_their_strength() {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let known = texts(&["id:1", "guid:a", "ino:1"]);
        assert_eq!(merge_idents(&texts(&["guid:b", "x:1"]), &known), texts(&["id:1", "guid:b", "ino:1", "x:1"]));
    }
}
