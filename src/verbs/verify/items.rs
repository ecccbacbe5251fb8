//! One account: every item of the snapshot against what lies on the target.

use super::{VerifyError, VerifyReport};
use crate::archive::history::History;
use crate::event::{Event, Phase, Place, Sink};
use crate::format::items::ItemAt;
use crate::format::manifest::AccountState;
use crate::fs;
use crate::map::{FolderRow, FolderState, ItemRow, ItemState, Map, RecordState, Rules};
use crate::model::id::{FolderId, ObjectId, RecordId};
use crate::model::mailbox::{Folder, FolderKey, FolderKind};
use crate::model::setting::{Setting, SettingKey, SettingKind};
use crate::model::share::Grant;
use crate::site::{Content, Depth, FolderScan, FoundItem, FoundItems, Source};
use std::collections::{BTreeMap, HashMap};

/// An account of the snapshot, and where to look for it.
pub(super) struct Account<'a> {
    pub history: &'a History<'a>,
    pub id: RecordId,
    /// On the source.
    pub address: &'a str,
    pub target: &'a dyn Source,
    pub map: &'a Map,
    /// By which rules an import has gone through the whole account; `None`: none has.
    pub rules: Option<&'a Rules>,
}

/// What lies in the account on the target.
#[derive(Default)]
struct Present {
    folders: HashMap<FolderKey, Folder>,
    items: HashMap<FolderKey, FoundItems>,
    settings: HashMap<SettingKey, Setting>,
}

impl Present {
    /// A subscription to a folder that has come meanwhile is the folder's.
    fn subscribed(&self, path: &str) -> bool {
        FolderKey::new(FolderKind::Mail, path)
            .is_ok_and(|key| self.folders.get(&key).is_some_and(|folder| folder.subscribed))
    }
}

impl Account<'_> {
    pub(super) fn compare(&self, report: &mut VerifyReport, sink: &dyn Sink) -> Result<(), VerifyError> {
        let Some(record) = self.map.record(self.id)?.filter(|row| row.state == RecordState::Done) else {
            return Ok(()); // said already: the account has not been imported
        };
        let present = self.look(&record.target_key, report, sink)?;
        let state = self.history.account(self.id)?;
        let folders: BTreeMap<FolderId, FolderRow> =
            self.map.folders(self.id)?.into_iter().map(|row| (row.id, row)).collect();
        self.folders(&record.target_key, &state, &folders, &present, report, sink)?;
        self.settings(&record.target_key, &state, &present, report, sink)?;

        let (target, rules) = (self.target, self.rules);
        let items = Items { target, address: &record.target_key, folders: &folders, present: &present, rules };
        let mut compare = |at: &ItemAt, row: Option<&ItemRow>| -> Result<(), VerifyError> {
            report.items += 1;
            match items.compare(at, row, report)? {
                Outcome::Equal => report.equal += 1,
                Outcome::ChangedOnTarget => report.changed_on_target += 1,
                Outcome::DeletedOnTarget => report.deleted_on_target += 1,
                Outcome::LeftOut => report.left_out += 1,
                Outcome::NotMoved => report.not_moved += 1,
                Outcome::Different(what) => {
                    report.different += 1;
                    let folder = state.folders.get(&at.folder).map(|folder| folder.key.to_string());
                    report.differs(sink, Place::item(self.address, &folder.unwrap_or_default(), &at.item.name), what);
                }
            }
            sink.emit(Event::Advanced { phase: Phase::Verify, items: 1, bytes: at.item.size });
            Ok(())
        };
        let mut left = state.items.iter().peekable();
        // Both sides come in order of id.
        self.map.each_item(self.id, |row| {
            while let Some((_, at)) = left.next_if(|(id, _)| *id < row.id) {
                compare(&at, None)?;
            }
            left.next_if(|(id, _)| *id == row.id).map_or(Ok(()), |(_, at)| compare(&at, Some(&row)))
        })?;
        left.try_for_each(|(_, at)| compare(&at, None))?;
        Ok(())
    }

    fn look(&self, address: &str, report: &mut VerifyReport, sink: &dyn Sink) -> Result<Present, VerifyError> {
        let mut present = Present::default();
        let mailbox = self.target.mailbox(address)?;
        present.settings = mailbox.settings.into_iter().map(|setting| (setting.key(), setting)).collect();
        for found in mailbox.folders {
            report.folders += 1;
            match self.target.folder(address, &found.key, None, Depth::Marks) {
                Ok(FolderScan::Listed(listing)) => {
                    present.items.insert(found.key.clone(), listing.items);
                    present.folders.insert(found.key, listing.folder);
                }
                Ok(_) => {}
                Err(error) => report.differs(sink, Place::folder(address, &found.key), error.as_reason().to_string()),
            }
        }
        Ok(present)
    }

    fn folders(
        &self,
        address: &str,
        state: &AccountState,
        folders: &BTreeMap<FolderId, FolderRow>,
        present: &Present,
        report: &mut VerifyReport,
        sink: &dyn Sink,
    ) -> Result<(), VerifyError> {
        let grants: HashMap<FolderId, _> =
            self.map.grants_of(self.id)?.into_iter().map(|row| (row.folder, row.written)).collect();
        for folder in state.folders.keys() {
            let Some(row) = folders.get(folder).filter(|row| row.state == FolderState::Done) else { continue };
            report.records += 1;
            let place = Place::folder(address, &row.target_key);
            let Some(here) = present.folders.get(&row.target_key) else {
                // A user may have renamed or removed it; the items tell whether something is lost.
                sink.emit(Event::Notice { place, text: "the folder is not there any more".to_owned() });
                continue;
            };
            if grants.get(folder).is_some_and(|written| sorted(written) != sorted(&here.grants)) {
                let text = "the access list is not as it was imported; `wagon shares check` tells more".to_owned();
                sink.emit(Event::Notice { place, text });
            }
        }
        Ok(())
    }
}

impl Account<'_> {
    /// What the account has beside its folders. Mountpoints are links, which `wagon shares check` looks at.
    fn settings(
        &self,
        address: &str,
        state: &AccountState,
        present: &Present,
        report: &mut VerifyReport,
        sink: &dyn Sink,
    ) -> Result<(), VerifyError> {
        let rows: HashMap<SettingKey, _> =
            self.map.settings(self.id)?.into_iter().map(|row| (row.source.key(), row)).collect();
        for (key, source) in state.settings.iter().filter(|(key, _)| key.0 != SettingKind::Mountpoint) {
            let name = format!("the {} {}", key.0.word(), key.1);
            let name = name.trim_end();
            let place = || Place::account(address);
            let Some(row) = rows.get(key) else {
                if self.rules.is_none() {
                    report.differs(sink, place(), format!("{name} has not been imported"));
                }
                continue; // a rule left it out, or the target refused it; the ledger has it
            };
            report.records += 1;
            if row.source != *source && self.rules.is_none() {
                report.differs(sink, place(), format!("{name} is newer in the snapshot, and was not imported"));
                continue;
            }
            let Some(written) = &row.written else { continue };
            let here = present.settings.get(&written.key());
            let with_folder = matches!(written, Setting::Subscription { path } if present.subscribed(path));
            if here != Some(written) && !with_folder {
                let what = if here.is_some() { "is another on the target" } else { "is not on the target any more" };
                sink.emit(Event::Notice { place: place(), text: format!("{name} {what}: a user may have changed it") });
            }
        }
        Ok(())
    }
}

fn sorted(grants: &[Grant]) -> Vec<&Grant> {
    let mut grants: Vec<_> = grants.iter().collect();
    grants.sort();
    grants
}

enum Outcome {
    Equal,
    ChangedOnTarget,
    DeletedOnTarget,
    LeftOut,
    NotMoved,
    Different(String),
}

struct Items<'a> {
    target: &'a dyn Source,
    /// On the target.
    address: &'a str,
    folders: &'a BTreeMap<FolderId, FolderRow>,
    present: &'a Present,
    /// Of an import that has gone through the whole account, so what has no row was left out by them.
    rules: Option<&'a Rules>,
}

impl Items<'_> {
    fn compare(&self, at: &ItemAt, row: Option<&ItemRow>, report: &mut VerifyReport) -> Result<Outcome, VerifyError> {
        let different = |what: &str| Ok(Outcome::Different(what.to_owned()));
        let Some(row) = row else {
            return if self.rules.is_some() { Ok(Outcome::LeftOut) } else { different("it has not been imported") };
        };
        match row.state {
            ItemState::Rejected => return Ok(Outcome::LeftOut),
            ItemState::DeletedOnTarget | ItemState::Removed => return Ok(Outcome::DeletedOnTarget),
            ItemState::Intent => return different("its import was interrupted; run import again"),
            ItemState::Done | ItemState::Adopted => {}
        }
        let Some((key, found, moved)) = self.find(row) else {
            return different("it is not on the target any more: deleted there, or lost");
        };
        let (object, size, date) = match read(self.target, self.address, key, &found)? {
            Ok(read) => read,
            Err(what) => return Ok(Outcome::Different(what)),
        };
        report.bytes += size;
        let is_mail = key.kind() == FolderKind::Mail;
        if object != row.target_object.unwrap_or(row.object) {
            return Ok(match is_mail {
                true => Outcome::Different(format!("its content is another: {object}")),
                false => Outcome::ChangedOnTarget,
            });
        }
        if moved || found.flags != row.flags || found.keywords != row.keywords {
            return Ok(Outcome::ChangedOnTarget);
        }
        let item = &at.item;
        let stays = row.folder != at.folder && self.rules.is_some_and(|rules| rules.additive);
        if row.object != item.object || (row.folder != at.folder && !stays) {
            return different("the snapshot has it in a newer state that was not imported");
        }
        if row.flags != item.flags || row.keywords != item.keywords {
            return different("the snapshot has newer flags that were not imported");
        }
        if is_mail && row.state == ItemState::Done && date != item.date {
            return Ok(Outcome::Different(format!("its internal date is {date}, not {}", item.date)));
        }
        Ok(if stays { Outcome::NotMoved } else { Outcome::Equal })
    }

    /// Where the item lies: in its folder, or in another of the same kind (`true`: it was moved).
    fn find(&self, row: &ItemRow) -> Option<(&FolderKey, FoundItem, bool)> {
        let expected = &self.folders.get(&row.folder)?.target_key;
        let in_folder = |key: &FolderKey| self.present.items.get(key)?.find(&row.target_name);
        if let Some((key, _)) = self.present.items.get_key_value(expected)
            && let Some(found) = in_folder(key)
        {
            return Some((key, found, false));
        }
        let mut others = self.present.items.keys().filter(|key| key.kind() == expected.kind());
        others.find_map(|key| Some((key, in_folder(key)?, true)))
    }
}

/// Name, size and date of what lies on the target; the inner `Err` says why it cannot be read.
type Was = Result<(ObjectId, u64, i64), String>;

fn read(target: &dyn Source, address: &str, key: &FolderKey, found: &FoundItem) -> Result<Was, VerifyError> {
    Ok(match target.read(address, key, found)? {
        Content::Bytes { bytes, date } => Ok((ObjectId::of(&bytes), bytes.len() as u64, date)),
        Content::Large { date, open, .. } => {
            let read = open().and_then(|mut file| fs::digest(&mut file));
            read.map(|(digest, size)| (ObjectId::from_digest(digest), size, date)).map_err(|error| error.to_string())
        }
        Content::Vanished => Err("it vanished while it was looked at".to_owned()),
        Content::Rejected(reason) => Err(reason.to_string()),
    })
}
