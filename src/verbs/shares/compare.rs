//! A source's matrix beside a target's: the source's rows in the target's words, through the maps, and what differs.
//!
//! Compared is what came from the source: a share that the target's users made in a folder of the source's accounts is a
//! difference, one in the mailbox of an account that was always the target's is not. Rows that name somebody who has not
//! arrived wait; they are listed, and are no difference.

use super::SharesError;
use super::known::{Maps, reference, renamed};
use super::matrix::Matrix;
use super::survey::Survey;
use crate::model::id::SiteId;
use crate::model::mailbox::FolderKey;
use crate::model::share::{Grantee, Rights};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Whom a difference concerns.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// An entry of an access list; `negative` takes rights away.
    Grantee { grantee: Grantee, negative: bool },
    /// What the entries come to for one account.
    Account(String),
}

/// One row that is not the same on both sides, in the target's words.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Difference {
    pub owner: String,
    /// As an address shows it (`calendars/team`).
    pub folder: String,
    pub who: Who,
    /// `None`: no such row.
    pub source: Option<Rights>,
    pub target: Option<Rights>,
}

/// Two matrices side by side.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Comparison {
    /// Rows that are the same on both sides.
    pub same: u64,
    /// Sorted.
    pub differences: Vec<Difference>,
    /// Rows of the source that name somebody or something that has not arrived, in the source's words.
    pub waiting: Vec<String>,
}

impl Comparison {
    /// Whether everybody sees the same on both sides, as far as they have arrived.
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }
}

type Row = (String, FolderKey, Who);

/// Compares what a source granted with what the target grants.
///
/// `source` and `target` are the surveys that the matrices were made from. Without maps, every name stands for itself.
pub fn compare(
    source: (&Survey, &Matrix),
    target: (&Survey, &Matrix),
    maps: &Maps<'_>,
) -> Result<Comparison, SharesError> {
    let names = Names { maps, source: source.0.site.as_ref(), target: target.0, any_map: maps.iter().next().is_some() };
    let mut owners = BTreeSet::new();
    let mut accounts = BTreeSet::new();
    let mut folders = BTreeSet::new();
    for (address, view) in &source.0.accounts {
        if let Some(now) = names.account(address)? {
            for folder in view.folders.keys() {
                folders.extend(names.folder(&now, folder)?.map(|folder| (now.clone(), folder)));
            }
            owners.insert(now.clone());
            accounts.insert(now);
        }
    }
    let mut comparison = Comparison::default();
    let mut wanted: BTreeMap<Row, Rights> = BTreeMap::new();
    for row in &source.1.grants {
        let who = names.grantee(&row.grant.grantee, &row.owner)?.map(|grantee| (grantee, row.grant.negative));
        let line = || format!("{}:{} to {}", row.owner, row.folder, row.grant.grantee);
        match (names.place(&row.owner, &row.folder)?, who) {
            (Some((owner, folder)), Some((grantee, negative))) => {
                let key = (owner, folder, Who::Grantee { grantee, negative });
                let sum = wanted
                    .get(&key)
                    .map_or_else(|| row.grant.rights.clone(), |rights| super::access::union(rights, &row.grant.rights));
                wanted.insert(key, sum);
            }
            _ => comparison.waiting.push(line()),
        }
    }
    for row in &source.1.access {
        let line = || format!("{}:{} seen by {}", row.owner, row.folder, row.account);
        match (names.place(&row.owner, &row.folder)?, names.account(&row.account)?) {
            (Some((owner, folder)), Some(account)) => {
                wanted.insert((owner, folder, Who::Account(account)), row.rights.clone());
            }
            _ => comparison.waiting.push(line()),
        }
    }
    // A folder that users of the target made is theirs, and so is an account that no source brought.
    let ours = |owner: &String, folder: &FolderKey| folders.contains(&(owner.clone(), folder.clone()));
    let grants = target.1.grants.iter().filter(|row| ours(&row.owner, &row.folder)).map(|row| {
        let who = Who::Grantee { grantee: row.grant.grantee.clone(), negative: row.grant.negative };
        ((row.owner.clone(), row.folder.clone(), who), row.grant.rights.clone())
    });
    let access = target.1.access.iter().filter(|row| ours(&row.owner, &row.folder) && accounts.contains(&row.account));
    let access = access
        .map(|row| ((row.owner.clone(), row.folder.clone(), Who::Account(row.account.clone())), row.rights.clone()));
    let found: BTreeMap<Row, Rights> = grants.chain(access).collect();
    let rows: BTreeSet<&Row> = wanted.keys().chain(found.keys()).collect();
    for row in rows {
        let (source, target) = (wanted.get(row).cloned(), found.get(row).cloned());
        if same(&row.2, source.as_ref(), target.as_ref()) {
            comparison.same += 1;
        } else {
            let (owner, folder, who) = row.clone();
            comparison.differences.push(Difference { owner, folder: folder.to_string(), who, source, target });
        }
    }
    comparison.differences.sort();
    Ok(comparison)
}

/// Of an account, no row and a row without rights say the same: it sees nothing. Of an entry, they do not.
fn same(who: &Who, source: Option<&Rights>, target: Option<&Rights>) -> bool {
    match who {
        Who::Grantee { .. } => source == target,
        Who::Account(_) => source.map_or("", Rights::as_str) == target.map_or("", Rights::as_str),
    }
}

/// The source's names in the target's words.
struct Names<'a> {
    maps: &'a Maps<'a>,
    source: Option<&'a SiteId>,
    target: &'a Survey,
    any_map: bool,
}

impl Names<'_> {
    /// The account's address on the target, where it has arrived.
    fn account(&self, old: &str) -> Result<Option<String>, SharesError> {
        let now = match self.any_map {
            false => Some(old.to_owned()),
            true => self.maps.account_of(self.source, old)?.now(),
        };
        Ok(now.filter(|now| self.target.accounts.contains_key(now)))
    }

    fn folder(&self, owner: &str, old: &FolderKey) -> Result<Option<FolderKey>, SharesError> {
        if !self.any_map {
            return Ok(Some(old.clone()));
        }
        Ok(self.maps.folder(owner, old)?.now())
    }

    fn place(&self, owner: &str, folder: &FolderKey) -> Result<Option<(String, FolderKey)>, SharesError> {
        let Some(owner) = self.account(owner)? else { return Ok(None) };
        Ok(self.folder(&owner, folder)?.map(|folder| (owner, folder)))
    }

    /// `owner` is the source's: its account on the target decides between maps.
    fn grantee(&self, old: &Grantee, owner: &str) -> Result<Option<Grantee>, SharesError> {
        let Some((kind, name)) = reference(old) else { return Ok(Some(old.clone())) };
        let Some(holder) = self.account(owner)? else { return Ok(None) };
        let now = match self.any_map {
            false => Some(name.to_owned()),
            true => self.maps.by_source_name(kind, name, &holder)?.now(),
        };
        Ok(now.map(|now| renamed(old, now)))
    }
}
