//! What changed from one snapshot of a source to another: records, folders, items, settings, by their lasting ids, so
//! that a rename is one line and a move is no removal. Secrets are compared but not shown.

use super::{ShowError, View, hidden};
use crate::archive::ArchiveError;
use crate::format::items::ItemAt;
use crate::format::manifest::AccountState;
use crate::model::id::{FolderId, RecordId, SnapshotNo};
use crate::model::mailbox::Item;
use crate::model::provisioning::{Record, RecordKind};
use crate::model::setting::{Setting, SettingKey};
use crate::model::share::Grant;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// One thing that is new, gone or different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub how: How,
    /// What it is: `account ann@example.org`, `folder INBOX`, `item INBOX/1587….host`, `setting preference lang`.
    pub what: String,
    /// What of it changed, for people: `flags F to FS`, `was Archive/2022`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    Added,
    Removed,
    Renamed,
    Moved,
    Changed,
}

/// Differences in one mailbox.
#[derive(Debug, Clone, Serialize)]
pub struct AccountDifferences {
    pub account: String,
    pub differences: Vec<Difference>,
}

/// All differences, from `a` to `b`.
#[derive(Debug, Clone, Serialize)]
pub struct SnapshotDifferences {
    pub a: SnapshotNo,
    pub b: SnapshotNo,
    pub records: Vec<Difference>,
    pub accounts: Vec<AccountDifferences>,
}

/// Compares two snapshots of one source, in either order. Mailboxes that no snapshot between them changed are not read.
pub fn diff(a: &View<'_>, b: &View<'_>, accounts: &[String]) -> Result<SnapshotDifferences, ShowError> {
    let (head_a, head_b) = (a.head(), b.head());
    if head_a.source != head_b.source {
        let (a_source, b_source) = (head_a.source.clone(), head_b.source.clone());
        return Err(ShowError::DifferentSources { a: head_a.no, b: head_b.no, a_source, b_source });
    }
    let globs = super::globs(accounts)?;
    let wanted = |address: &str| globs.as_ref().is_none_or(|globs| globs.is_match(address));
    let mut found = Vec::new();
    for (id, address) in addresses(a, b) {
        if !wanted(&address) || a.history.last_change(id) == b.history.last_change(id) {
            continue;
        }
        let differences = mailboxes(&mailbox(a, id)?, &mailbox(b, id)?);
        a.archive.check_scratch()?;
        b.archive.check_scratch()?;
        if !differences.is_empty() {
            found.push(AccountDifferences { account: address, differences });
        }
    }
    found.sort_by(|a, b| a.account.cmp(&b.account));
    let records = if accounts.is_empty() { records(a, b) } else { Vec::new() };
    Ok(SnapshotDifferences { a: head_a.no, b: head_b.no, records, accounts: found })
}

/// Every account of either snapshot, called as `b` calls it.
fn addresses(a: &View<'_>, b: &View<'_>) -> BTreeMap<RecordId, String> {
    let both = a.provisioning.accounts().chain(b.provisioning.accounts());
    both.map(|(id, account)| (id, account.address.clone())).collect()
}

/// A mailbox, empty where the snapshot has no such account (any more).
fn mailbox(view: &View<'_>, id: RecordId) -> Result<AccountState, ArchiveError> {
    if view.provisioning.records.contains_key(&id) { view.mailbox(id) } else { Ok(AccountState::default()) }
}

fn records(a: &View<'_>, b: &View<'_>) -> Vec<Difference> {
    let (a, b) = (&a.provisioning.records, &b.provisioning.records);
    let name = |record: &Record| format!("{} {}", record.kind().word(), record.key());
    let mut found = Vec::new();
    for (id, old) in a {
        match b.get(id) {
            None => found.push((How::Removed, &old.record, Vec::new())),
            Some(new) if new.record != old.record => {
                let mut details = record_details(&old.record, &new.record);
                let renamed = old.record.key() != new.record.key();
                if renamed {
                    details.insert(0, format!("was {}", old.record.key()));
                }
                found.push((if renamed { How::Renamed } else { How::Changed }, &new.record, details));
            }
            Some(_) => {}
        }
    }
    let added = b.iter().filter(|(id, _)| !a.contains_key(id));
    found.extend(added.map(|(_, new)| (How::Added, &new.record, Vec::new())));
    let order = |record: &Record| -> (RecordKind, String) { (record.kind(), record.key().to_owned()) };
    found.sort_by_cached_key(|(_, record, _)| order(record));
    found.into_iter().map(|(how, record, details)| Difference { how, what: name(record), details }).collect()
}

/// What of a record changed: by the fields of its hidden JSON form; a password only by its name.
fn record_details(old: &Record, new: &Record) -> Vec<String> {
    let mut details = Vec::new();
    if let (Record::Account(old), Record::Account(new)) = (old, new)
        && old.password != new.password
    {
        details.push("password".to_owned());
    }
    details.extend(field_details(&hidden::record(old), &hidden::record(new), &["address", "kind"]));
    if details.is_empty() && old.key() == new.key() {
        details.push("a secret".to_owned());
    }
    details
}

/// `field old to new` for each field of two values that differs, but for the named ones.
fn field_details<T: Serialize>(old: &T, new: &T, but: &[&str]) -> Vec<String> {
    let fields = |value: &T| match serde_json::to_value(value) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (old, new) = (fields(old), fields(new));
    let text = |value: Option<&serde_json::Value>, other: Option<&serde_json::Value>| match (value, other) {
        // What is false is not written.
        (None, Some(serde_json::Value::Bool(_))) => "false".to_owned(),
        (None, _) => "none".to_owned(),
        (Some(serde_json::Value::String(text)), _) => text.clone(),
        (Some(value), _) => value.to_string(),
    };
    let mut names: Vec<_> = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))).collect();
    names.retain(|name| !but.contains(&name.as_str()) && old.get(*name) != new.get(*name));
    let line = |name: &&String| {
        let (old, new) = (old.get(*name), new.get(*name));
        format!("{name} {} to {}", text(old, new), text(new, old))
    };
    names.iter().map(line).collect()
}

fn mailboxes(a: &AccountState, b: &AccountState) -> Vec<Difference> {
    let mut found = folders(a, b);
    found.extend(items(a, b));
    found.extend(settings(&a.settings, &b.settings));
    found
}

fn folders(a: &AccountState, b: &AccountState) -> Vec<Difference> {
    let mut found = Vec::new();
    for (id, old) in &a.folders {
        let Some(new) = b.folders.get(id) else {
            found.push(Difference { how: How::Removed, what: format!("folder {}", old.key), details: Vec::new() });
            continue;
        };
        let what = format!("folder {}", new.key);
        // The next UID grows with each message; that is told by the items.
        let mut details = field_details(old, new, &["kind", "path", "uidnext", "grants"]);
        if old.grants != new.grants {
            details.push(format!("grants {} to {}", grants(&old.grants), grants(&new.grants)));
        }
        if old.key != new.key {
            details.insert(0, format!("was {}", old.key));
            found.push(Difference { how: How::Renamed, what, details });
        } else if !details.is_empty() {
            found.push(Difference { how: How::Changed, what, details });
        }
    }
    let added = b.folders.iter().filter(|(id, _)| !a.folders.contains_key(id));
    let added = added.map(|(_, new)| format!("folder {}", new.key));
    found.extend(added.map(|what| Difference { how: How::Added, what, details: Vec::new() }));
    found
}

/// `lr for everyone and not r for user ann@example.org`.
fn grants(grants: &[Grant]) -> String {
    let one = |grant: &Grant| {
        let sign = if grant.negative { "not " } else { "" };
        format!("{sign}{} for {}", grant.rights, grant.grantee)
    };
    if grants.is_empty() { "none".to_owned() } else { grants.iter().map(one).collect::<Vec<_>>().join(" and ") }
}

fn items(a: &AccountState, b: &AccountState) -> Vec<Difference> {
    let name =
        |mailbox: &AccountState, at: &ItemAt| format!("item {}/{}", folder_name(mailbox, at.folder), at.item.name);
    let mut found = Vec::new();
    for (id, old) in a.items.iter() {
        match b.items.get(id) {
            None => found.push(Difference { how: How::Removed, what: name(a, &old), details: Vec::new() }),
            Some(new) if new != old => {
                let mut details = item_details(&old.item, &new.item);
                let moved = old.folder != new.folder;
                if moved {
                    details.insert(0, format!("was in {}", folder_name(a, old.folder)));
                }
                let how = if moved { How::Moved } else { How::Changed };
                found.push(Difference { how, what: name(b, &new), details });
            }
            Some(_) => {}
        }
    }
    let added = b.items.iter().filter(|(id, _)| !a.items.contains(*id)).map(|(_, new)| name(b, &new));
    found.extend(added.map(|what| Difference { how: How::Added, what, details: Vec::new() }));
    found
}

fn folder_name(mailbox: &AccountState, id: FolderId) -> String {
    mailbox.folders.get(&id).map_or_else(|| format!("(folder {id})"), |folder| folder.key.to_string())
}

fn item_details(old: &Item, new: &Item) -> Vec<String> {
    let list = |words: &[String]| if words.is_empty() { "none".to_owned() } else { words.join(" ") };
    let flags = |item: &Item| if item.flags.is_empty() { "none".to_owned() } else { item.flags.to_string() };
    let number = |uid: Option<std::num::NonZeroU32>| uid.map_or_else(|| "none".to_owned(), |uid| uid.to_string());
    let mut details = Vec::new();
    let mut changed = |what: &str, old: String, new: String| {
        if old != new {
            details.push(format!("{what} {old} to {new}"));
        }
    };
    changed("name", old.name.clone(), new.name.clone());
    changed("flags", flags(old), flags(new));
    changed("keywords", list(&old.keywords), list(&new.keywords));
    changed("tags", list(&old.tags), list(&new.tags));
    changed("date", date(old.date), date(new.date));
    changed("UID", number(old.uid), number(new.uid));
    changed("UIDL", old.uidl.clone().unwrap_or_default(), new.uidl.clone().unwrap_or_default());
    if old.object != new.object {
        details.push(format!("content, {} to {} bytes", old.size, new.size));
    }
    details
}

fn date(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

fn settings(a: &BTreeMap<SettingKey, Setting>, b: &BTreeMap<SettingKey, Setting>) -> Vec<Difference> {
    let name = |(kind, name): &SettingKey| {
        let kind = serde_json::to_value(kind).ok().and_then(|word| word.as_str().map(ToOwned::to_owned));
        format!("setting {} {name}", kind.unwrap_or_default()).trim_end().to_owned()
    };
    let mut found = Vec::new();
    for (key, old) in a {
        match b.get(key) {
            None => found.push(Difference { how: How::Removed, what: name(key), details: Vec::new() }),
            Some(new) if new != old => {
                let mut details = field_details(&hidden::setting(old), &hidden::setting(new), &["kind", "name"]);
                if details.is_empty() {
                    details.push("a secret".to_owned());
                }
                found.push(Difference { how: How::Changed, what: name(key), details });
            }
            Some(_) => {}
        }
    }
    let added = b.keys().filter(|key| !a.contains_key(*key)).map(name);
    found.extend(added.map(|what| Difference { how: How::Added, what, details: Vec::new() }));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{ItemId, ObjectId};
    use crate::model::mailbox::{Flags, Folder, FolderKey, FolderKind};
    use crate::model::provisioning::Secret;

    fn mailbox(folders: &[(u32, &str)], items: &[(u32, u32, &str, &str)]) -> AccountState {
        let mut mailbox = AccountState::default();
        for (id, path) in folders {
            mailbox.folders.insert(FolderId(*id), Folder::at(FolderKey::new(FolderKind::Mail, path).unwrap()));
        }
        for (id, folder, name, flags) in items {
            let item = Item {
                name: (*name).to_owned(),
                object: ObjectId::of(name.as_bytes()),
                size: 1,
                date: 0,
                flags: Flags::from_letters(flags),
                keywords: Vec::new(),
                tags: Vec::new(),
                uid: None,
                uidl: None,
            };
            mailbox.items.insert(ItemId(*id), &ItemAt { folder: FolderId(*folder), item });
        }
        mailbox
    }

    fn text(differences: &[Difference]) -> String {
        let line = |d: &Difference| format!("{:?} {} {}", d.how, d.what, d.details.join(", ")).trim_end().to_owned();
        differences.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_day_in_a_mailbox_reads_as_what_people_did() {
        let before = mailbox(&[(1, "INBOX"), (2, "Old")], &[(1, 1, "a", ""), (2, 1, "b", "S"), (3, 1, "c", "")]);
        let after = mailbox(
            &[(1, "INBOX"), (2, "Archive"), (3, "New")],
            &[(1, 1, "a", "S"), (2, 2, "b", "S"), (4, 1, "d", "")],
        );
        insta::assert_snapshot!(text(&mailboxes(&before, &after)), @r"
        Renamed folder Archive was Old
        Added folder New
        Changed item INBOX/a flags none to S
        Moved item Archive/b was in INBOX
        Removed item INBOX/c
        Added item INBOX/d
        ");
    }

    #[test]
    fn a_changed_password_is_told_but_not_shown() {
        let source = |password: &str| Setting::ExternalSource {
            name: "old".to_owned(),
            protocol: "imap".to_owned(),
            host: "mail.example.com".to_owned(),
            user: "ann".to_owned(),
            password: Some(Secret::new(password)),
            attributes: Default::default(),
        };
        let map = |setting: Setting| BTreeMap::from([(setting.key(), setting)]);
        let found = text(&settings(&map(source("hunter2")), &map(source("hunter3"))));
        assert_eq!(found, "Changed setting external-source old a secret");
    }
}
