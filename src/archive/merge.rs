//! Writes a snapshot again so that it needs fewer earlier ones: on an older parent, or on none.
//!
//! Promises that the new file says the same for its number: same records with their former names, same mailboxes, same
//! numbers. It appears before anything is removed, and the old file's name stands in its head, so that a reader knows
//! which of the two counts. Called by `verbs::forget`. Format: format-spec/snapshot.md, "Two files of one number".

use super::history::{History, entry_of, manifest_name, no_records};
use super::layout::SnapshotName;
use super::lock::ArchiveLock;
use super::snapshot::RECORDS;
use super::{Archive, ArchiveError};
use crate::format::manifest::AccountState;
use crate::format::snapshot::{AccountEntry, ProvisioningLine, SnapshotHead, push_line, squash};
use crate::model::hex;
use crate::model::id::{RecordId, SnapshotNo};
use std::collections::BTreeMap;

impl Archive {
    /// Writes snapshot `no` again, building on `parent` alone; the old file stays where it is.
    pub(super) fn rebase(
        &self,
        _lock: &ArchiveLock,
        no: SnapshotNo,
        parent: Option<SnapshotNo>,
    ) -> Result<(), ArchiveError> {
        let after = History::open(self, None, Some(no))?;
        let before = parent.map(|parent| History::open(self, None, Some(parent))).transpose()?;
        let merged: Vec<&SnapshotHead> =
            after.heads().iter().filter(|head| parent.is_none_or(|parent| head.no > parent)).collect();
        let name = self.file_of(no)?;
        self.may_replace(name)?;
        let mut writer = self.snapshot_writer_at(no);

        let lines = merged_records(&after, parent)?;
        if !lines.is_empty() {
            let mut bytes = Vec::new();
            lines.iter().for_each(|line| push_line(&mut bytes, line));
            writer.add(RECORDS, &bytes)?;
        }
        let present = after.provisioning()?.0;
        let mut newest: BTreeMap<RecordId, &AccountEntry> = BTreeMap::new();
        for entry in merged.iter().flat_map(|head| &head.accounts) {
            newest.insert(entry.id, entry);
        }
        let mut accounts = Vec::new();
        for (id, entry) in newest {
            // A number is never used again, so what is gone needs no mailbox.
            if !present.records.contains_key(&id) {
                continue;
            }
            let all = || merged.iter().filter_map(|head| entry_of(head, id));
            let full = before.is_none() || all().any(|entry| entry.full);
            let base = match &before {
                Some(before) if !full => before.account(id)?,
                _ => AccountState::new(self.scratch()),
            };
            let state = after.account(id)?;
            let mut bytes = Vec::new();
            let mut lines = 0;
            state.lines_since(&base, full).for_each(|line| {
                push_line(&mut bytes, &line);
                lines += 1;
            });
            writer.add(&manifest_name(id), &bytes)?;
            let salvaged = all().any(|entry| entry.salvaged);
            accounts.push(AccountEntry { full, salvaged, lines, ..entry.clone() });
        }
        if let Some(bytes) = self.open_snapshot(no)?.entry("rejected.jsonl")? {
            writer.add("rejected.jsonl", &bytes)?;
        }
        let mut lost: Vec<_> = merged.iter().flat_map(|head| head.lost.iter().copied()).collect();
        lost.sort_unstable();
        lost.dedup();
        let head = SnapshotHead {
            parent,
            lost,
            replaces: Some(hex::encode(&name.digest)),
            provisioning_lines: lines.len() as u64,
            accounts,
            ..after.head().clone()
        };
        self.check_scratch()?;
        writer.publish(&head)
    }

    /// The file that stands for a number.
    pub(super) fn file_of(&self, no: SnapshotNo) -> Result<SnapshotName, ArchiveError> {
        let mut names = self.standing_names()?.into_iter();
        names.find(|name| name.no == no).ok_or(ArchiveError::NoSnapshot(no))
    }
}

/// The lines of the site's records after `parent`, without those that a later one makes needless.
fn merged_records(history: &History<'_>, parent: Option<SnapshotNo>) -> Result<Vec<ProvisioningLine>, ArchiveError> {
    let mut lines = Vec::new();
    for head in history.heads().iter().filter(|head| parent.is_none_or(|parent| head.no > parent)) {
        let snapshot = history.archive.open_snapshot(head.no)?;
        if !snapshot.record_lines(|line| lines.push(line))? && head.provisioning_lines > 0 {
            return Err(no_records(&snapshot));
        }
    }
    let changed = parent.is_none() || !lines.is_empty();
    Ok(if changed { squash(lines) } else { Vec::new() })
}
