//! What can still be known of a source whose chain of snapshots is broken: its records, and each account's mailbox as far
//! as the snapshots that are left tell.
//!
//! Promises that numbers which a lost snapshot may have given away are never given to anything else, and says of each
//! mailbox whether it is known for certain. Called by `verbs::export` with `--full`; a reader never guesses.

use super::heads::Heads;
use super::history::{History, entry_of, manifest_name, no_records};
use super::{Archive, ArchiveError};
use crate::format::manifest::{AccountState, FolderLine, ItemChange, ItemLine, ManifestLine};
use crate::format::snapshot::parse_lines;
use crate::limits::NUMBER_GAP;
use crate::model::id::{FolderId, ItemId, RecordId, SiteId, SnapshotNo};
use std::collections::{BTreeMap, HashMap};

/// A mailbox, as far as it is known.
#[derive(Debug, Default)]
pub struct Salvaged {
    pub state: AccountState,
    /// It is exactly what the newest snapshot says.
    pub exact: bool,
}

impl<'a> History<'a> {
    /// All snapshots of `source` that can be read, whether they are linked or not; `None` when there is none.
    pub fn salvage(archive: &'a Archive, source: &SiteId) -> Result<Option<Self>, ArchiveError> {
        let Heads { read, unreadable } = archive.heads()?;
        let chain: Vec<_> = read.into_iter().filter(|head| head.source == *source).collect();
        let Some(leaf) = chain.last() else { return Ok(None) };
        // Whatever cannot be read and is no older than the first gap may have been of this source.
        let mut lost: Vec<SnapshotNo> = unreadable.iter().map(|(no, _)| *no).filter(|no| *no > leaf.no).collect();
        let mut at = Some(leaf);
        while let Some(head) = at {
            at = head.parent.and_then(|parent| chain.iter().find(|older| older.no == parent && older.no < head.no));
            if let (None, Some(parent)) = (at, head.parent) {
                lost.push(parent);
                lost.extend(unreadable.iter().map(|(no, _)| *no).filter(|no| *no < parent));
            }
        }
        for head in chain.iter().filter(|head| head.provisioning_lines > 0) {
            let readable = archive
                .open_snapshot(head.no)
                .and_then(|snapshot| if snapshot.record_lines(drop)? { Ok(()) } else { Err(no_records(&snapshot)) });
            match readable {
                Err(error) if error.is_damage() => lost.push(head.no),
                outcome => outcome?,
            }
        }
        lost.sort_unstable();
        lost.dedup();
        Ok(Some(Self { archive, chain, lost }))
    }

    /// The snapshots that could not be read; empty for a whole chain.
    pub fn lost(&self) -> &[SnapshotNo] {
        &self.lost
    }

    /// The account's mailbox as far as what is left tells. What a lost snapshot may have put there is not in it; its
    /// numbers are passed over.
    pub fn salvage_account(&self, account: RecordId) -> Result<Salvaged, ArchiveError> {
        let newest_lost = self.lost.last().copied().unwrap_or_default();
        let mut found = Salvaged { state: AccountState::new(self.archive.scratch()), exact: self.lost.is_empty() };
        for head in &self.chain {
            let Some(entry) = entry_of(head, account) else { continue };
            let bytes = self.archive.open_snapshot(head.no).and_then(|s| s.entry(&manifest_name(account)));
            let bytes = match bytes {
                Ok(Some(bytes)) => bytes,
                Ok(None) => {
                    found.exact = false;
                    continue;
                }
                Err(error) if error.is_damage() => {
                    found.exact = false;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if entry.full {
                let (folder, item) = (found.state.last_folder, found.state.last_item);
                let fresh = AccountState::new(self.archive.scratch());
                found.state = AccountState { last_folder: folder, last_item: item, ..fresh };
                found.exact = head.no > newest_lost;
            }
            let mut skipped = false;
            let parsed = parse_lines(&bytes, |line: ManifestLine| {
                note_numbers(&line, &mut found.state);
                skipped |= found.state.apply(line).is_err();
                Ok(())
            });
            found.exact &= !skipped && parsed.is_ok();
        }
        self.archive.check_scratch()?;
        if !found.exact {
            drop_doubles(&mut found.state);
            let state = &mut found.state;
            state.last_folder = FolderId(state.last_folder.0.saturating_add(NUMBER_GAP));
            state.last_item = ItemId(state.last_item.0.saturating_add(NUMBER_GAP));
        }
        Ok(found)
    }
}

/// A number that is seen was given away, even where its line cannot be applied.
fn note_numbers(line: &ManifestLine, state: &mut AccountState) {
    let mut folder = |id: FolderId| state.last_folder = state.last_folder.max(id);
    match line {
        ManifestLine::Folder(FolderLine { id, .. }) | ManifestLine::FolderGone(id) => folder(*id),
        ManifestLine::Item(ItemLine { id, folder: at, .. }) => {
            folder(*at);
            state.last_item = state.last_item.max(*id);
        }
        ManifestLine::Change(ItemChange { id, .. }) | ManifestLine::ItemGone(id) => {
            state.last_item = state.last_item.max(*id);
        }
        _ => {}
    }
}

/// Where two folders have one place, or two items one name in a folder, a lost snapshot removed the older.
fn drop_doubles(state: &mut AccountState) {
    let newest: HashMap<_, FolderId> = state.folders.iter().map(|(id, folder)| (folder.key.clone(), *id)).collect();
    state.folders.retain(|id, folder| newest.get(&folder.key) == Some(id));
    let folders = &state.folders;
    state.items.retain(|_, at| folders.contains_key(&at.folder));
    let newest: BTreeMap<(FolderId, String), ItemId> =
        state.items.names().map(|(id, folder, name)| ((folder, name), id)).collect();
    state.items.retain(|id, at| newest.get(&(at.folder, at.item.name.clone())) == Some(&id));
}
