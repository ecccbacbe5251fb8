//! Replays snapshots: the site's records and any account's mailbox at one snapshot.
//!
//! Promises that a chain that lies (a parent that is not older, a missing link, a manifest for what does not exist) is
//! an error with the snapshot's name, never a loop. Reads only the manifests of the account that is asked for.

use super::heads::Heads;
use super::snapshot::SnapshotReader;
use super::{Archive, ArchiveError};
use crate::event::Rejection;
use crate::format::FormatError;
use crate::format::manifest::{AccountState, ManifestLine};
use crate::format::snapshot::{AccountEntry, Provisioning, ProvisioningLine, SnapshotHead};
use crate::model::id::{RecordId, SiteId, SnapshotNo};
use crate::model::provisioning::RecordKind;

/// Former and present addresses of accounts, oldest first.
pub type Renames = Vec<(String, String)>;

/// One source's snapshots up to a chosen one, oldest first.
pub struct History<'a> {
    pub(super) archive: &'a Archive,
    pub(super) chain: Vec<SnapshotHead>,
    /// Snapshots that could not be read; then the chain has gaps (`salvage`).
    pub(super) lost: Vec<SnapshotNo>,
}

impl<'a> History<'a> {
    /// The chain that ends in snapshot `at`; without it in the newest of `source`; without that in the newest of the
    /// only source that the archive has. A snapshot that cannot be read is an error only where it is, or may be, needed.
    pub fn open(archive: &'a Archive, source: Option<&SiteId>, at: Option<SnapshotNo>) -> Result<Self, ArchiveError> {
        let Heads { read: heads, unreadable } = archive.heads()?;
        let mut unreadable = unreadable;
        let latest_unreadable = unreadable.last().map(|(no, _)| *no);
        let mut damage_of = |no: SnapshotNo| {
            let found = unreadable.iter().position(|(other, _)| *other == no);
            found.map_or(ArchiveError::NoSnapshot(no), |at| unreadable.swap_remove(at).1)
        };
        let newest = newest(&heads, source, at);
        let last = match (newest, at) {
            (Ok(last), Some(_)) => last,
            (Err(ArchiveError::NoSnapshot(no)), _) => return Err(damage_of(no)),
            // It could be the newest of this very source.
            (found, _) => match latest_unreadable {
                Some(no) if found.as_ref().map_or(true, |last| last.no < no) => return Err(damage_of(no)),
                _ => found?,
            },
        };
        let mut chain = vec![last.clone()];
        while let Some(head) = chain.last()
            && let Some(parent) = head.parent
        {
            let Some(older) = heads.iter().find(|other| other.no == parent) else { return Err(damage_of(parent)) };
            if older.no >= head.no || older.source != head.source {
                let what =
                    format!("snapshot {} names {parent} as its parent, which is no older one of its source", head.no);
                let path = archive.dir().join("snapshots");
                return Err(ArchiveError::Format { path, source: FormatError::Malformed { what, at: 0 } });
            }
            chain.push(older.clone());
        }
        chain.reverse();
        Ok(Self { archive, chain, lost: Vec::new() })
    }

    /// The chosen snapshot.
    pub fn head(&self) -> &SnapshotHead {
        // `open` never makes an empty chain.
        #[allow(clippy::expect_used)]
        self.chain.last().expect("a chain has at least its last snapshot")
    }

    /// What the pass of the chosen snapshot could not take.
    pub fn rejected(&self) -> Result<Vec<Rejection>, ArchiveError> {
        self.archive.open_snapshot(self.head().no)?.rejected()
    }

    /// The chain, oldest first.
    pub fn heads(&self) -> &[SnapshotHead] {
        &self.chain
    }

    /// The site's records at this snapshot, and the highest id that any record ever had.
    pub fn provisioning(&self) -> Result<(Provisioning, RecordId), ArchiveError> {
        let (state, highest, _) = self.provisioning_and_renames()?;
        Ok((state, highest))
    }

    /// The same, and which accounts bore another address before: (former, present), oldest first.
    pub fn provisioning_and_renames(&self) -> Result<(Provisioning, RecordId, Renames), ArchiveError> {
        let mut state = Provisioning::default();
        let mut highest = RecordId::default();
        let mut former: Vec<(RecordId, String)> = Vec::new();
        self.provisioning_lines(|line| {
            if let ProvisioningLine::Last(id) = &line {
                highest = highest.max(*id);
            }
            if let ProvisioningLine::Put(stored) = &line {
                highest = highest.max(stored.id);
                let old = state.records.get(&stored.id).map(|old| &old.record);
                let old = old.filter(|old| old.kind() == RecordKind::Account && old.key() != stored.record.key());
                former.extend(old.map(|old| (stored.id, old.key().to_owned())));
            }
            state.apply(line);
        })?;
        let present = |id: &RecordId| Some(state.records.get(id)?.record.key().to_owned());
        let renamed = former.into_iter().filter_map(|(id, key)| Some((key, present(&id)?))).collect();
        Ok((state, highest, renamed))
    }

    /// Every key that a record of this snapshot or an earlier one bore, oldest first; present ones included.
    pub fn keys(&self) -> Result<Vec<(RecordKind, String, RecordId)>, ArchiveError> {
        let mut keys = Vec::new();
        self.provisioning_lines(|line| {
            if let ProvisioningLine::Put(stored) = line {
                keys.push((stored.record.kind(), stored.record.key().to_owned(), stored.id));
            }
        })?;
        Ok(keys)
    }

    /// Every line of the site's records up to here, oldest first.
    pub fn provisioning_lines(&self, mut each: impl FnMut(ProvisioningLine)) -> Result<(), ArchiveError> {
        for head in self.chain.iter().filter(|head| head.provisioning_lines > 0 && !self.lost.contains(&head.no)) {
            let snapshot = self.archive.open_snapshot(head.no)?;
            if !snapshot.record_lines(&mut each)? {
                return Err(no_records(&snapshot));
            }
        }
        Ok(())
    }

    /// The newest snapshot up to here that holds a manifest of the account; `None`: it never had a mailbox.
    pub fn last_change(&self, account: RecordId) -> Option<SnapshotNo> {
        self.chain.iter().rev().find(|head| entry_of(head, account).is_some()).map(|head| head.no)
    }

    /// The newest entry of the account up to here: what its mailbox holds.
    pub fn entry(&self, account: RecordId) -> Option<&AccountEntry> {
        self.chain.iter().rev().find_map(|head| entry_of(head, account))
    }

    /// The account's mailbox at this snapshot; empty when it never had one.
    pub fn account(&self, account: RecordId) -> Result<AccountState, ArchiveError> {
        if !self.lost.is_empty() {
            return Ok(self.salvage_account(account)?.state);
        }
        let mut state = AccountState::new(self.archive.scratch());
        self.replay(account, SnapshotNo(0), &mut state)?;
        Ok(state)
    }

    /// Brings `state`, which is that of snapshot `after`, up to this snapshot.
    pub fn replay(&self, account: RecordId, after: SnapshotNo, state: &mut AccountState) -> Result<(), ArchiveError> {
        let full = self.chain.iter().rposition(|head| entry_of(head, account).is_some_and(|entry| entry.full));
        for (at, head) in self.chain.iter().enumerate() {
            if full.is_some_and(|full| at < full) || head.no <= after || entry_of(head, account).is_none() {
                continue;
            }
            let snapshot = self.archive.open_snapshot(head.no)?;
            let damaged = |source| ArchiveError::Format { path: snapshot.path().to_owned(), source };
            let name = manifest_name(account);
            if Some(at) == full {
                *state = AccountState::new(self.archive.scratch());
            }
            let read = snapshot.lines(&name, |line: ManifestLine| state.apply(line));
            self.archive.check_scratch()?;
            if !read? {
                return Err(damaged(FormatError::Malformed { what: format!("{name} is missing"), at: 0 }));
            }
        }
        Ok(())
    }
}

/// The error for a snapshot without the records that its head speaks of.
pub(super) fn no_records(snapshot: &SnapshotReader) -> ArchiveError {
    let source = FormatError::Malformed { what: "provisioning.jsonl is missing".to_owned(), at: 0 };
    ArchiveError::Format { path: snapshot.path().to_owned(), source }
}

/// The head in which a chain is to end.
fn newest<'h>(
    heads: &'h [SnapshotHead],
    source: Option<&SiteId>,
    at: Option<SnapshotNo>,
) -> Result<&'h SnapshotHead, ArchiveError> {
    match (at, source) {
        (Some(no), _) => heads.iter().find(|head| head.no == no).ok_or(ArchiveError::NoSnapshot(no)),
        (None, Some(source)) => heads
            .iter()
            .rev()
            .find(|head| head.source == *source)
            .ok_or_else(|| ArchiveError::Empty(Some(source.clone()))),
        (None, None) => {
            let last = heads.last().ok_or(ArchiveError::Empty(None))?;
            if heads.iter().any(|head| head.source != last.source) {
                let mut sources: Vec<_> = heads.iter().map(|head| head.source.to_string()).collect();
                sources.sort();
                sources.dedup();
                return Err(ArchiveError::SeveralSources(sources.join(", ")));
            }
            Ok(last)
        }
    }
}

pub(super) fn entry_of(head: &SnapshotHead, account: RecordId) -> Option<&AccountEntry> {
    head.accounts.iter().find(|entry| entry.id == account)
}

/// The entry of a snapshot that holds an account's manifest.
pub fn manifest_name(account: RecordId) -> String {
    format!("accounts/{account}.jsonl")
}
