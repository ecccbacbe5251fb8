//! Looking into an archive: listing, showing, comparing, searching, taking out. Nothing here changes the archive, and
//! what comes back is plain data that the binary renders.
//!
//! [`View`] is where each of them begins: one source at one snapshot. Passwords and what looks like one never leave
//! here (`hidden`).

pub mod address;
pub mod diff;
pub mod extract;
pub mod find;
#[doc(hidden)] // for fuzz/
pub mod header;
mod hidden;
pub mod list;
pub mod map;
#[doc(hidden)] // for fuzz/
pub mod mime_names;
pub mod record;
pub mod snapshots;
#[cfg(test)]
mod tests;

pub use hidden::Secrets;

use crate::archive::history::History;
use crate::archive::{Archive, ArchiveError};
use crate::format::manifest::AccountState;
use crate::format::snapshot::{AccountEntry, Provisioning, SnapshotHead};
use crate::model::id::{RecordId, SiteId, SnapshotNo};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// What can go wrong when somebody looks into an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShowError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("snapshot {no} of source {source_site} has no account {account}")]
    NoAccount { account: String, no: SnapshotNo, source_site: SiteId },
    #[error("{account} has no folder or item {what}")]
    NotInAccount { account: String, what: String },
    #[error("{0} names no domain, account, list, alias or class of service")]
    NoRecord(String),
    #[error("{0} is no item")]
    NotAnItem(String),
    #[error("snapshots {a} and {b} are of different sources: {a_source} and {b_source}")]
    DifferentSources { a: SnapshotNo, b: SnapshotNo, a_source: SiteId, b_source: SiteId },
    #[error("{pattern:?} is no pattern of addresses")]
    BadGlob { pattern: String, source: globset::Error },
    #[error("{0} is there already")]
    Exists(PathBuf),
    #[error("cannot {action} {path}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("stopped")]
    Stopped,
}

impl ShowError {
    /// Whether the question was wrong, rather than the answer impossible.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::BadGlob { .. } | Self::NotAnItem(_) | Self::DifferentSources { .. })
    }

    /// What to try next, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoAccount { .. } | Self::NoRecord(_) => Some("`wagon ls` lists the accounts".to_owned()),
            Self::NotInAccount { account, .. } => Some(format!("`wagon ls {account}` lists its folders")),
            Self::Exists(_) => Some("name a place that is free, or give --force".to_owned()),
            Self::NotAnItem(_) => {
                Some("an item is ACCOUNT:FOLDER/ITEM; `wagon ls ACCOUNT:FOLDER` lists them".to_owned())
            }
            _ => None,
        }
    }
}

/// One source of an archive at one snapshot.
pub struct View<'a> {
    pub archive: &'a Archive,
    pub history: History<'a>,
    pub provisioning: Provisioning,
}

impl<'a> View<'a> {
    /// The snapshot `at`, or the newest of `source`, or the newest of the only source there is. Reads the heads and the
    /// provisioning lines, no manifest.
    pub fn open(archive: &'a Archive, source: Option<&SiteId>, at: Option<SnapshotNo>) -> Result<Self, ArchiveError> {
        let history = History::open(archive, source, at)?;
        let (provisioning, _) = history.provisioning()?;
        Ok(Self { archive, history, provisioning })
    }

    /// The snapshot that is looked at.
    pub fn head(&self) -> &SnapshotHead {
        self.history.head()
    }

    /// An account's mailbox.
    pub fn mailbox(&self, account: RecordId) -> Result<AccountState, ArchiveError> {
        self.history.account(account)
    }

    /// For each account that ever had a mailbox: the newest snapshot up to here that changed it, and what that says.
    pub fn newest_entries(&self) -> BTreeMap<RecordId, (SnapshotNo, &AccountEntry)> {
        let heads = self.history.heads().iter();
        heads.flat_map(|head| head.accounts.iter().map(|entry| (entry.id, (head.no, entry)))).collect()
    }

    fn no_account(&self, account: &str) -> ShowError {
        let head = self.head();
        ShowError::NoAccount { account: account.to_owned(), no: head.no, source_site: head.source.clone() }
    }
}

/// A matcher for addresses, upper and lower case alike; no pattern matches everything.
pub fn globs(patterns: &[String]) -> Result<Option<globset::GlobSet>, ShowError> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut set = globset::GlobSetBuilder::new();
    for pattern in patterns {
        let bad = |source| ShowError::BadGlob { pattern: pattern.clone(), source };
        set.add(globset::GlobBuilder::new(pattern).case_insensitive(true).build().map_err(bad)?);
    }
    let bad = |source| ShowError::BadGlob { pattern: patterns.join(" "), source };
    set.build().map(Some).map_err(bad)
}
