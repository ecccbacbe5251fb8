//! `snapshot.json` and `provisioning.jsonl`: what a snapshot says of itself and of the site's records.
//! Format: format-spec/snapshot.md.

use super::FormatError;
use crate::model::id::{RecordId, SiteId, SnapshotNo};
use crate::model::provisioning::{Account, Record, RecordKind, domain_of};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The first entry of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SnapshotHead {
    pub format: u32,
    pub no: SnapshotNo,
    pub source: SiteId,
    /// The snapshot of the same source that this one continues; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SnapshotNo>,
    /// Earlier snapshots that could not be read when this one was made without them. Records and items that only they
    /// knew have new numbers here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<SnapshotNo>,
    /// The snapshot of the same number whose place this one takes: the 16 hex digits of its file's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// Seconds since 1970.
    pub started: i64,
    pub finished: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Where the source was, for people and to know it again.
    pub locator: String,
    pub selection: Selection,
    /// Lines of `provisioning.jsonl`; with none, the entry is absent.
    #[serde(default)]
    pub provisioning_lines: u64,
    /// Accounts of which this snapshot holds a manifest, by id. Any other is as the parent has it.
    pub accounts: Vec<AccountEntry>,
    pub counts: Counts,
}

/// What a pass looked at. What it did not look at counts as unchanged, never as deleted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Selection {
    /// Globs of addresses; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deep: bool,
}

/// One manifest of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccountEntry {
    pub id: RecordId,
    pub address: String,
    /// The manifest does not build on earlier ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full: bool,
    /// What came before could not be read as a whole, so folders and items that are not new may have new numbers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub salvaged: bool,
    /// Lines of this manifest.
    pub lines: u64,
    /// What the mailbox holds after it.
    pub items: u64,
    pub bytes: u64,
}

/// What a pass did, in numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    pub accounts_scanned: u64,
    pub accounts_changed: u64,
    pub folders_scanned: u64,
    pub folders_read: u64,
    pub items_added: u64,
    pub items_changed: u64,
    pub items_moved: u64,
    pub items_removed: u64,
    /// Bytes of the added items.
    pub bytes_read: u64,
    /// Objects and bytes that the archive did not hold before, uncompressed; and what they take in packs.
    pub objects_added: u64,
    pub object_bytes: u64,
    pub pack_bytes: u64,
    pub rejected: u64,
}

/// One line of `provisioning.jsonl`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProvisioningLine {
    Put(StoredRecord),
    Gone(RecordId),
    /// The highest id that any record may ever have had, where the lines themselves do not show it.
    Last(RecordId),
}

/// A record with its lasting id and the hints by which a source knows it again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoredRecord {
    pub id: RecordId,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub idents: Vec<String>,
    pub record: Record,
}

/// All records of a source at one snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Provisioning {
    pub records: BTreeMap<RecordId, StoredRecord>,
}

impl Provisioning {
    /// Takes in one line.
    pub fn apply(&mut self, line: ProvisioningLine) {
        match line {
            ProvisioningLine::Put(stored) => drop(self.records.insert(stored.id, stored)),
            ProvisioningLine::Gone(id) => drop(self.records.remove(&id)),
            ProvisioningLine::Last(_) => {}
        }
    }

    /// The accounts, by id.
    pub fn accounts(&self) -> impl Iterator<Item = (RecordId, &Account)> {
        self.records.values().filter_map(|stored| match &stored.record {
            Record::Account(account) => Some((stored.id, account)),
            _ => None,
        })
    }

    /// Whether a record goes with the chosen accounts: they themselves, the domains and classes of service they need, and
    /// the lists and aliases that lead to them. Settings go with nobody.
    pub fn belongs(&self, record: &Record, chosen: &dyn Fn(&str) -> bool) -> bool {
        let accounts = || self.accounts().map(|(_, account)| account).filter(|account| chosen(&account.address));
        let any = |addresses: &[String]| addresses.iter().any(|address| chosen(address));
        match record {
            Record::Settings(_) => false,
            Record::Account(account) => chosen(&account.address),
            Record::Alias(alias) => chosen(&alias.address) || any(&alias.targets),
            Record::List(list) => chosen(&list.address) || any(&list.members),
            Record::Cos(class) => accounts().any(|account| account.cos.as_deref() == Some(class.name.as_str())),
            Record::Domain(domain) => {
                let names = [Some(&domain.name), domain.alias_of.as_ref()];
                let lies_in = |account: &Account| {
                    let of = domain_of(&account.address);
                    names.into_iter().flatten().any(|name| name.eq_ignore_ascii_case(of))
                };
                accounts().any(lies_in)
            }
        }
    }

    /// The record of `kind` that is called `key` now.
    pub fn find(&self, kind: RecordKind, key: &str) -> Option<&StoredRecord> {
        self.records.values().find(|stored| stored.record.kind() == kind && stored.record.key() == key)
    }

    /// The smallest id that was never used up to here. Ids of removed records are known to the chain's reader only, who
    /// keeps `highest`.
    pub fn highest(&self) -> RecordId {
        self.records.keys().next_back().copied().unwrap_or_default()
    }
}

/// The fewest lines that give the same records, the same former names of each, and the same highest id.
pub fn squash(lines: impl IntoIterator<Item = ProvisioningLine>) -> Vec<ProvisioningLine> {
    let mut kept: Vec<Option<ProvisioningLine>> = Vec::new();
    // Where the newest line of each record stands, and which key it says; a record that is gone keeps its former names.
    let mut newest: BTreeMap<RecordId, (usize, String)> = BTreeMap::new();
    let mut highest = RecordId::default();
    for line in lines {
        match line {
            ProvisioningLine::Put(stored) => {
                highest = highest.max(stored.id);
                let key = stored.record.key().to_owned();
                let id = stored.id;
                let line = Some(ProvisioningLine::Put(stored));
                match newest.get(&id).filter(|(_, known)| *known == key).and_then(|(at, _)| kept.get_mut(*at)) {
                    Some(place) => *place = line,
                    None => {
                        newest.insert(id, (kept.len(), key));
                        kept.push(line);
                    }
                }
            }
            ProvisioningLine::Gone(id) => {
                newest.remove(&id);
                kept.push(Some(ProvisioningLine::Gone(id)));
            }
            ProvisioningLine::Last(id) => highest = highest.max(id),
        }
    }
    let mut lines = vec![ProvisioningLine::Last(highest)];
    lines.extend(kept.into_iter().flatten());
    lines
}

/// Parses JSON lines, one value a line; the error names the line.
pub fn parse_lines<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    mut each: impl FnMut(T) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let value = serde_json::from_slice(line)
            .map_err(|error| FormatError::BadLine { line: number as u64 + 1, what: error.to_string() })?;
        each(value)?;
    }
    Ok(())
}

/// Adds one JSON line.
pub fn push_line<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    // Writing to memory does not fail, and no record has a map whose keys are not strings.
    if serde_json::to_writer(&mut *out, value).is_ok() {
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_accounts_takes_what_they_need_and_what_leads_to_them() {
        let records = [
            r#"{"kind": "account", "address": "ann@one.example", "cos": "staff"}"#,
            r#"{"kind": "account", "address": "bob@two.example", "cos": "guests"}"#,
            r#"{"kind": "domain", "name": "one.example"}"#,
            r#"{"kind": "domain", "name": "two.example"}"#,
            r#"{"kind": "domain", "name": "old.example", "alias_of": "one.example"}"#,
            r#"{"kind": "cos", "name": "staff"}"#,
            r#"{"kind": "cos", "name": "guests"}"#,
            r#"{"kind": "list", "address": "all@two.example", "members": ["ann@one.example"]}"#,
            r#"{"kind": "list", "address": "few@two.example", "members": ["bob@two.example"]}"#,
            r#"{"kind": "alias", "address": "info@two.example", "targets": ["ann@one.example"]}"#,
            r#"{"kind": "settings", "name": "server"}"#,
        ];
        let mut site = Provisioning::default();
        for (id, text) in (1..).map(RecordId).zip(records) {
            let record = serde_json::from_str(text).unwrap();
            site.apply(ProvisioningLine::Put(StoredRecord { id, idents: Vec::new(), record }));
        }
        let chosen = |address: &str| address == "ann@one.example";
        let taken = site.records.values().map(|stored| &stored.record).filter(|record| site.belongs(record, &chosen));
        let keys: Vec<_> = taken.map(Record::key).collect();
        assert_eq!(
            keys,
            ["ann@one.example", "one.example", "old.example", "staff", "all@two.example", "info@two.example"]
        );
    }
}
