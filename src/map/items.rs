//! Items in the map: old id -> new name, and the state each was imported in. The table that is large.

use super::{Map, MapError, collect, execute, from_json_or_null, spelling, to_json, unusable, word};
use crate::db::DbError;
use crate::model::id::{FolderId, ItemId, ObjectId, RecordId, SnapshotNo};
use crate::model::mailbox::Flags;
use rusqlite::{Connection, Row, params};

/// How far an item came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ItemState {
    /// Its delivery was announced; the target knows whether it happened.
    Intent,
    /// Delivered by import.
    Done,
    /// It was on the target already (`--adopt`, the way back).
    Adopted,
    /// The target or the archive could not; `reason` says why. Later passes try again.
    Rejected,
    /// A user of the target deleted it. It is never made again.
    DeletedOnTarget,
    /// Gone from the source, and from the target too: a pass with `--delete` took it away, or found it gone.
    Removed,
}

const STATES: &[(ItemState, &str)] = &[
    (ItemState::Intent, "intent"),
    (ItemState::Done, "done"),
    (ItemState::Adopted, "adopted"),
    (ItemState::Rejected, "rejected"),
    (ItemState::DeletedOnTarget, "deleted-on-target"),
    (ItemState::Removed, "removed"),
];

impl ItemState {
    pub fn word(self) -> &'static str {
        spelling(self, STATES)
    }
}

/// One item of one account, as it was last imported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ItemRow {
    pub record: RecordId,
    pub id: ItemId,
    /// The folder it lay in on the source.
    pub folder: FolderId,
    pub source_name: String,
    pub target_name: String,
    /// Content on the source.
    pub object: ObjectId,
    /// What was delivered, where that is something else (a script with rewritten addresses, an adopted copy),
    /// or what the target made of it.
    pub target_object: Option<ObjectId>,
    pub flags: Flags,
    pub keywords: Vec<String>,
    pub tags: Vec<String>,
    pub state: ItemState,
    pub reason: Option<String>,
    pub snapshot: SnapshotNo,
}

const COLUMNS: &str = "SELECT record, id, folder, source_name, target_name, object, target_object, flags, keywords,
    tags, state, reason, snapshot FROM item";

fn object(bytes: [u8; 32]) -> ObjectId {
    ObjectId::from_digest(bytes)
}

fn item(row: &Row<'_>) -> Result<ItemRow, DbError> {
    let source_name: String = row.get(3)?;
    let target_name: Option<String> = row.get(4)?;
    Ok(ItemRow {
        record: RecordId(row.get(0)?),
        id: ItemId(row.get(1)?),
        folder: FolderId(row.get(2)?),
        target_name: target_name.unwrap_or_else(|| source_name.clone()),
        source_name,
        object: object(row.get(5)?),
        target_object: row.get::<_, Option<[u8; 32]>>(6)?.map(object),
        flags: Flags::from_letters(&row.get::<_, String>(7)?),
        keywords: from_json_or_null(row, 8)?.unwrap_or_default(),
        tags: from_json_or_null(row, 9)?.unwrap_or_default(),
        state: word(row, 10, STATES)?,
        reason: row.get(11)?,
        snapshot: SnapshotNo(row.get(12)?),
    })
}

fn words(list: &[String]) -> Result<Option<String>, DbError> {
    if list.is_empty() { Ok(None) } else { to_json(&list).map(Some) }
}

fn put(db: &Connection, row: &ItemRow) -> Result<(), DbError> {
    // An item's row is written at least twice, so the words are not repeated for the second time.
    const PUT: &str = "INSERT OR REPLACE INTO item (record, id, folder, source_name, target_name, object,
        target_object, flags, keywords, tags, state, reason, snapshot)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let values = params![
        row.record.0,
        row.id.0,
        row.folder.0,
        row.source_name,
        (row.target_name != row.source_name).then_some(&row.target_name),
        row.object.as_bytes(),
        row.target_object.as_ref().map(ObjectId::as_bytes),
        row.flags.to_string(),
        words(&row.keywords)?,
        words(&row.tags)?,
        row.state.word(),
        row.reason,
        row.snapshot.0,
    ];
    execute(db, PUT, values)?;
    Ok(())
}

impl Map {
    /// At most `limit` items of an account with ids above `after`, in order of id.
    pub fn items_after(&self, record: RecordId, after: ItemId, limit: u32) -> Result<Vec<ItemRow>, MapError> {
        let statement = format!("{COLUMNS} WHERE record = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
        self.reading(|db| collect(db, &statement, params![record.0, after.0, limit], item))
    }

    pub fn item(&self, record: RecordId, id: ItemId) -> Result<Option<ItemRow>, MapError> {
        let statement = format!("{COLUMNS} WHERE record = ?1 AND id = ?2");
        Ok(self.reading(|db| collect(db, &statement, params![record.0, id.0], item))?.into_iter().next())
    }

    /// Calls `each` with every item of an account, in order of id, holding few of them at a time. `E` is the caller's
    /// error. The map may be written meanwhile.
    pub fn each_item<E: From<MapError>>(
        &self,
        record: RecordId,
        mut each: impl FnMut(ItemRow) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut after = ItemId(0);
        loop {
            let page = self.items_after(record, after, crate::limits::MAP_PAGE_ROWS)?;
            let Some(last) = page.last() else { return Ok(()) };
            if last.id <= after {
                // A forged file may have its rows in any order, and would be read for ever.
                let what = format!("rows of account {record} are not in order of their ids");
                return Err(unusable(self.path(), DbError::Corrupt(what)).into());
            }
            after = last.id;
            page.into_iter().try_for_each(&mut each)?;
        }
    }

    /// Items of an account whose delivery was announced and whose outcome is not known, by folder and id.
    pub fn open_intents(&self, record: RecordId) -> Result<Vec<ItemRow>, MapError> {
        let statement = format!("{COLUMNS} WHERE record = ?1 AND state = 'intent' ORDER BY folder, id");
        self.reading(|db| collect(db, &statement, [record.0], item))
    }

    /// Writes rows in one transaction.
    pub fn put_items(&self, rows: &[ItemRow]) -> Result<(), MapError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.writing(|db| rows.iter().try_for_each(|row| put(db, row)))
    }

    /// Says how announced deliveries ended. One transaction; it waits for no disk, since one that a power loss takes
    /// back leaves an intent that the next pass settles.
    pub fn set_item_outcomes(
        &self,
        record: RecordId,
        outcomes: &[(ItemId, ItemState, Option<String>)],
    ) -> Result<(), MapError> {
        const SET: &str = "UPDATE item SET state = ?3, reason = ?4 WHERE record = ?1 AND id = ?2";
        if outcomes.is_empty() {
            return Ok(());
        }
        self.writing_lazily(|db| {
            outcomes.iter().try_for_each(|(id, state, reason)| {
                execute(db, SET, params![record.0, id.0, state.word(), reason]).map(|_| ())
            })
        })
    }

    /// Forgets announced deliveries that came to nothing.
    pub fn drop_item_intents(&self, record: RecordId, ids: &[ItemId]) -> Result<(), MapError> {
        const DROP: &str = "DELETE FROM item WHERE record = ?1 AND id = ?2 AND state = 'intent'";
        if ids.is_empty() {
            return Ok(());
        }
        self.writing(|db| ids.iter().try_for_each(|id| execute(db, DROP, params![record.0, id.0]).map(|_| ())))
    }
}
