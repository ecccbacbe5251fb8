//! Showing one thing with all that is recorded of it: an item with its header (never its body), a folder, an account, a
//! domain, a list, the settings of the site, a snapshot. Secrets are hidden unless they were asked for.

use super::address::{Within, resolve};
use super::header;
use super::hidden::Secrets;
use super::{ShowError, View};
use crate::archive::pack_reader::ObjectReader;
use crate::archive::{Archive, ArchiveError};
use crate::event::Rejection;
use crate::format::snapshot::{SnapshotHead, StoredRecord};
use crate::limits::{HEADER_BYTES, WHOLE_ITEM_BYTES};
use crate::model::id::{ItemId, RecordId, SnapshotNo};
use crate::model::mailbox::{Folder, FolderKind, Item};
use crate::model::provisioning::{Record, RecordKind};
use crate::model::setting::Setting;
use serde::Serialize;
use std::io::{self, Write};

/// One field of a header, decoded.
#[derive(Debug, Clone, Serialize)]
pub struct HeaderField {
    pub name: String,
    pub value: String,
}

/// A provisioning record, without its secrets unless they were asked for.
#[derive(Debug, Clone, Serialize)]
pub struct ShownRecord {
    pub id: RecordId,
    #[serde(flatten)]
    pub record: Record,
}

/// What there is to show.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "of", rename_all = "kebab-case")]
pub enum Shown {
    Item {
        account: String,
        folder: String,
        id: ItemId,
        item: Box<Item>,
        /// Mail only.
        header: Vec<HeaderField>,
    },
    Folder {
        account: String,
        folder: Box<Folder>,
        items: u64,
        bytes: u64,
    },
    Account {
        record: ShownRecord,
        /// The newest snapshot that changed its mailbox.
        changed: Option<SnapshotNo>,
        folders: u64,
        items: u64,
        bytes: u64,
        settings: Vec<Setting>,
    },
    Records {
        records: Vec<ShownRecord>,
    },
    Snapshot {
        head: Box<SnapshotHead>,
        rejected: Vec<Rejection>,
    },
}

/// What to show without an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The snapshot itself and what it could not take.
    Snapshot,
    /// Server and global settings.
    Settings,
    /// Every provisioning record.
    Provisioning,
}

/// Shows a part of the snapshot that has no address.
pub fn show_part(view: &View<'_>, part: Part, secrets: Secrets) -> Result<Shown, ShowError> {
    match part {
        Part::Snapshot => {
            let head = view.head().clone();
            let rejected = rejections(view.archive, head.no)?;
            Ok(Shown::Snapshot { head: Box::new(head), rejected })
        }
        Part::Settings => Ok(records(view, secrets, |record| record.kind() == RecordKind::Settings)),
        Part::Provisioning => Ok(records(view, secrets, |_| true)),
    }
}

/// Shows what an address names; an address that is no account's may name a domain, list, alias or class of service.
pub fn show(view: &View<'_>, address: &str, secrets: Secrets) -> Result<Shown, ShowError> {
    let found = match resolve(view, address) {
        Ok(found) => found,
        Err(error @ ShowError::NoAccount { .. }) => {
            let named = records(view, secrets, |record| record.key().eq_ignore_ascii_case(address));
            return match &named {
                Shown::Records { records } if !records.is_empty() => Ok(named),
                _ if address.contains('@') => Err(error),
                _ => Err(ShowError::NoRecord(address.to_owned())),
            };
        }
        Err(error) => return Err(error),
    };
    match found.within {
        Within::Account => {
            let stored = view.provisioning.records.get(&found.account);
            let stored = stored.ok_or_else(|| view.no_account(&found.address))?;
            let (items, bytes) = found.mailbox.totals();
            view.archive.check_scratch()?;
            Ok(Shown::Account {
                record: shown(stored, secrets),
                changed: view.history.last_change(found.account),
                folders: found.mailbox.folders.len() as u64,
                items,
                bytes,
                settings: found.mailbox.settings.values().map(|setting| secrets.of_setting(setting)).collect(),
            })
        }
        Within::Folder(id) => {
            let none = || ShowError::NotInAccount { account: found.address.clone(), what: address.to_owned() };
            let folder = Box::new(found.mailbox.folders.get(&id).cloned().ok_or_else(none)?);
            let items = found.mailbox.items.iter().map(|(_, at)| at).filter(|at| at.folder == id);
            let (items, bytes) = items.fold((0, 0_u64), |sum, at| (sum.0 + 1, sum.1.saturating_add(at.item.size)));
            view.archive.check_scratch()?;
            Ok(Shown::Folder { account: found.address, folder, items, bytes })
        }
        Within::Item(id) => {
            let none = || ShowError::NotInAccount { account: found.address.clone(), what: address.to_owned() };
            let at = found.mailbox.items.get(id).ok_or_else(none)?;
            let folder = found.mailbox.folders.get(&at.folder).ok_or_else(none)?;
            let header = match folder.key.kind() {
                FolderKind::Mail => header_of(&view.archive.objects()?, &at.item)?,
                _ => Vec::new(),
            };
            let item = Box::new(at.item);
            Ok(Shown::Item { account: found.address.clone(), folder: folder.key.to_string(), id, item, header })
        }
        Within::Above(what) => Err(ShowError::NotInAccount { account: found.address, what }),
    }
}

/// What a snapshot could not take, as it lists it itself.
pub fn rejections(archive: &Archive, no: SnapshotNo) -> Result<Vec<Rejection>, ArchiveError> {
    archive.open_snapshot(no)?.rejected()
}

fn records(view: &View<'_>, secrets: Secrets, wanted: impl Fn(&Record) -> bool) -> Shown {
    let stored = view.provisioning.records.values().filter(|stored| wanted(&stored.record));
    let mut records: Vec<_> = stored.map(|stored| shown(stored, secrets)).collect();
    records.sort_by(|a, b| (a.record.kind(), a.record.key()).cmp(&(b.record.kind(), b.record.key())));
    Shown::Records { records }
}

fn shown(stored: &StoredRecord, secrets: Secrets) -> ShownRecord {
    ShownRecord { id: stored.id, record: secrets.of_record(&stored.record) }
}

fn header_of(objects: &ObjectReader, item: &Item) -> Result<Vec<HeaderField>, ArchiveError> {
    let field = |field: &header::Field| HeaderField { name: field.name.clone(), value: field.text() };
    Ok(header::fields(&outline(objects, item)?).iter().map(field).collect())
}

/// What headers can be read from: the message without its parts, or of one too large to be held its beginning.
pub(super) fn outline(objects: &ObjectReader, item: &Item) -> Result<Vec<u8>, ArchiveError> {
    if item.size <= WHOLE_ITEM_BYTES {
        return objects.outline(&item.object, WHOLE_ITEM_BYTES);
    }
    let mut kept = Beginning(Vec::new());
    objects.copy(&item.object, &mut kept)?;
    Ok(kept.0)
}

/// Keeps the first bytes of what is written to it, twice as many as are ever parsed, and lets the rest go.
struct Beginning(Vec<u8>);

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (2 * HEADER_BYTES).saturating_sub(self.0.len());
        self.0.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
