//! One account: every item of the snapshot against what lies on the target.

use super::{VerifyError, VerifyReport};
use crate::archive::history::History;
use crate::event::{Event, Phase, Place, Sink};
use crate::format::manifest::{AccountState, ItemAt};
use crate::map::Map;
use crate::map::folders::{FolderRow, FolderState};
use crate::map::items::{ItemRow, ItemState};
use crate::map::records::RecordState;
use crate::model::id::{FolderId, ItemId, ObjectId, RecordId};
use crate::model::mailbox::{Folder, FolderKey, FolderKind};
use crate::model::provisioning::Account;
use crate::site::{Content, Depth, FolderScan, FoundItem, Source};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::io::Read;

/// What lies in the account on the target.
struct Present {
    folders: HashMap<FolderKey, Folder>,
    items: HashMap<FolderKey, HashMap<String, FoundItem>>,
}

pub(super) fn compare(
    history: &History<'_>,
    id: RecordId,
    account: &Account,
    target: &dyn Source,
    map: &Map,
    report: &mut VerifyReport,
    sink: &dyn Sink,
) -> Result<(), VerifyError> {
    let Some(record) = map.record(id)?.filter(|row| row.state == RecordState::Done) else {
        return Ok(()); // said already: the account has not been imported
    };
    let state = history.account(id)?;
    let address = record.target_key.as_str();
    let present = look(target, address, report, sink)?;
    let folders: BTreeMap<FolderId, FolderRow> = map.folders(id)?.into_iter().map(|row| (row.id, row)).collect();
    compare_folders(&state, &folders, &present, address, map, id, report, sink)?;

    let mut rows: HashMap<ItemId, ItemRow> = HashMap::new();
    map.each_item(id, |row| {
        rows.insert(row.id, row);
        Ok::<(), VerifyError>(())
    })?;
    let checks = Checks { target, address, folders: &folders, present: &present, complete: map.progress(id)?.is_some() };
    for (item, at) in &state.items {
        report.items += 1;
        let outcome = checks.item(at, rows.get(item), report, sink)?;
        match outcome {
            Outcome::Equal => report.equal += 1,
            Outcome::ChangedOnTarget => report.changed_on_target += 1,
            Outcome::DeletedOnTarget => report.deleted_on_target += 1,
            Outcome::LeftOut => report.left_out += 1,
            Outcome::Different(what) => {
                report.different += 1;
                let folder = state.folders.get(&at.folder).map(|folder| folder.key.to_string()).unwrap_or_default();
                report.differs(sink, Place::item(&account.address, &folder, &at.item.name), what);
            }
        }
        sink.emit(Event::Advanced { phase: Phase::Verify, items: 1, bytes: at.item.size });
    }
    Ok(())
}

fn look(
    target: &dyn Source,
    address: &str,
    report: &mut VerifyReport,
    sink: &dyn Sink,
) -> Result<Present, VerifyError> {
    let mut present = Present { folders: HashMap::new(), items: HashMap::new() };
    let mailbox = target.mailbox(address)?;
    for found in mailbox.folders {
        report.folders += 1;
        match target.folder(address, &found.key, None, Depth::Marks) {
            Ok(FolderScan::Listed(listing)) => {
                let items = listing.items.into_iter().map(|item| (item.name.clone(), item)).collect();
                present.items.insert(found.key.clone(), items);
                present.folders.insert(found.key, listing.folder);
            }
            Ok(_) => {}
            Err(error) => report.differs(sink, Place::folder(address, &found.key), error.as_reason().to_string()),
        }
    }
    Ok(present)
}

#[allow(clippy::too_many_arguments, reason = "two states and their links; a struct would be used once")]
fn compare_folders(
    state: &AccountState,
    folders: &BTreeMap<FolderId, FolderRow>,
    present: &Present,
    address: &str,
    map: &Map,
    id: RecordId,
    report: &mut VerifyReport,
    sink: &dyn Sink,
) -> Result<(), VerifyError> {
    let grants: HashMap<FolderId, _> = map.grants_of(id)?.into_iter().map(|row| (row.folder, row)).collect();
    for folder in state.folders.keys() {
        let Some(row) = folders.get(folder).filter(|row| row.state == FolderState::Done) else { continue };
        report.records += 1;
        let place = Place::folder(address, &row.target_key);
        let Some(here) = present.folders.get(&row.target_key) else {
            let holds = state.items.values().any(|at| at.folder == *folder);
            if holds || row.target_key.kind() != FolderKind::Mail {
                let text = "the folder is not there any more; its items are looked for elsewhere".to_owned();
                sink.emit(Event::Notice { place, text });
            } else {
                report.differs(sink, place, "the folder is not there any more");
            }
            continue;
        };
        if let Some(grants) = grants.get(folder) {
            let sorted = |list: &[crate::model::share::Grant]| {
                let mut list = list.to_vec();
                list.sort();
                list
            };
            if sorted(&grants.written) != sorted(&here.grants) {
                let text = "the access list is not as it was imported; `wagon shares check` tells more".to_owned();
                sink.emit(Event::Notice { place, text });
            }
        }
    }
    Ok(())
}

enum Outcome {
    Equal,
    ChangedOnTarget,
    DeletedOnTarget,
    LeftOut,
    Different(String),
}

struct Checks<'a> {
    target: &'a dyn Source,
    address: &'a str,
    folders: &'a BTreeMap<FolderId, FolderRow>,
    present: &'a Present,
    /// An import has gone through the whole account, so what has no row was left out by a rule.
    complete: bool,
}

impl Checks<'_> {
    fn item(
        &self,
        at: &ItemAt,
        row: Option<&ItemRow>,
        report: &mut VerifyReport,
        _sink: &dyn Sink,
    ) -> Result<Outcome, VerifyError> {
        let Some(row) = row else {
            return Ok(match self.complete {
                true => Outcome::LeftOut,
                false => Outcome::Different("it has not been imported".to_owned()),
            });
        };
        match row.state {
            ItemState::Rejected => return Ok(Outcome::LeftOut),
            ItemState::DeletedOnTarget | ItemState::Removed => return Ok(Outcome::DeletedOnTarget),
            ItemState::Intent => {
                return Ok(Outcome::Different("its import was interrupted; run import again".to_owned()));
            }
            ItemState::Done | ItemState::Adopted => {}
        }
        let expected = self.folders.get(&row.folder).map(|folder| &folder.target_key);
        let in_place = expected.and_then(|key| Some((key, self.present.items.get(key)?.get(&row.target_name)?)));
        let kind = expected.map(FolderKey::kind);
        let elsewhere = || {
            let same_kind = self.present.items.iter().filter(|(key, _)| Some(key.kind()) == kind);
            same_kind.filter_map(|(key, items)| Some((key, items.get(&row.target_name)?))).next()
        };
        let moved = in_place.is_none();
        let Some((key, found)) = in_place.or_else(elsewhere) else {
            return Ok(Outcome::Different("it is not on the target any more: deleted there, or lost".to_owned()));
        };
        let (object, size, date) = match read(self.target, self.address, key, found)? {
            Ok(read) => read,
            Err(what) => return Ok(Outcome::Different(what)),
        };
        report.bytes += size;
        let changed = moved || found.flags != row.flags || found.keywords != row.keywords;
        if object != row.target_object.unwrap_or(row.object) {
            return Ok(match key.kind() {
                FolderKind::Mail => Outcome::Different(format!("its content is another: {object}")),
                _ => Outcome::ChangedOnTarget,
            });
        }
        if row.object != at.item.object || row.folder != at.folder {
            return Ok(match changed {
                true => Outcome::ChangedOnTarget,
                false => Outcome::Different("the snapshot has a newer state that was not imported".to_owned()),
            });
        }
        if changed {
            return Ok(Outcome::ChangedOnTarget);
        }
        if row.flags != at.item.flags || row.keywords != at.item.keywords {
            return Ok(Outcome::Different("the snapshot has newer flags that were not imported".to_owned()));
        }
        if key.kind() == FolderKind::Mail && row.state == ItemState::Done && date != at.item.date {
            return Ok(Outcome::Different(format!("its internal date is {date}, not {}", at.item.date)));
        }
        Ok(Outcome::Equal)
    }
}

/// Name, size and date of what lies on the target; `Err`: why it cannot be read.
fn read(
    target: &dyn Source,
    address: &str,
    key: &FolderKey,
    found: &FoundItem,
) -> Result<Result<(ObjectId, u64, i64), String>, VerifyError> {
    Ok(match target.read(address, key, found)? {
        Content::Bytes { bytes, date } => Ok((ObjectId::of(&bytes), bytes.len() as u64, date)),
        Content::Large { date, open, .. } => {
            let mut digest = Sha256::new();
            let mut buffer = vec![0; 256 * 1024];
            let mut size = 0;
            let mut copy = || -> std::io::Result<()> {
                let mut file = open()?;
                loop {
                    match file.read(&mut buffer)? {
                        0 => return Ok(()),
                        n => {
                            size += n as u64;
                            digest.update(buffer.get(..n).unwrap_or_default());
                        }
                    }
                }
            };
            match copy() {
                Ok(()) => Ok((ObjectId::from_digest(digest.finalize().into()), size, date)),
                Err(error) => Err(error.to_string()),
            }
        }
        Content::Vanished => Err("it vanished while it was looked at".to_owned()),
        Content::Rejected(reason) => Err(reason.to_string()),
    })
}
