//! `site.sqlite`, written: tags of items, and keywords that a folder has no letter for.
//!
//! Promises: one transaction a call, durable when it returns; nothing to say writes nothing. Schema: `item_label` in
//! `site_1.sql`; `site_db` reads it.

use super::site_db_write::{SiteDbWrite, need_folder};
use crate::db::DbError;
use crate::model::mailbox::FolderKey;
use rusqlite::Connection;

/// What an item's file cannot hold: label (`tag`, `keyword`) and value.
pub type Label = (&'static str, String);

/// Sets the labels of items; those of a kind that is not in `kinds` stay.
pub fn put_labels(
    site: &SiteDbWrite,
    account: &str,
    key: &FolderKey,
    kinds: &[&'static str],
    items: &[(&str, Vec<Label>)],
) -> Result<(), DbError> {
    let place = [account, key.kind().word(), key.path()];
    // One look at the folder, not one an item: each would cost the locks of a transaction, and most folders have none.
    const ANY: &str = "SELECT EXISTS (SELECT 1 FROM item_label WHERE account = ? AND kind = ? AND path = ?)";
    let [account, kind, path] = place;
    let has_any = |db: &Connection| Ok(db.prepare_cached(ANY)?.query_row(place, |row| row.get(0))?);
    if items.iter().all(|(_, labels)| labels.is_empty()) && !site.read(has_any)? {
        return Ok(());
    }
    site.write(|tx| {
        need_folder(tx, account, key)?;
        const CLEAR: &str =
            "DELETE FROM item_label WHERE account = ? AND kind = ? AND path = ? AND name = ? AND label = ?";
        const PUT: &str =
            "INSERT OR IGNORE INTO item_label (account, kind, path, name, label, value) VALUES (?, ?, ?, ?, ?, ?)";
        for (name, labels) in items {
            for label in kinds {
                tx.prepare_cached(CLEAR)?.execute([account, kind, path, name, label])?;
            }
            for (label, value) in labels {
                tx.prepare_cached(PUT)?.execute([account, kind, path, name, label, value])?;
            }
        }
        Ok(())
    })
}

/// Takes an item's labels along to another folder, or (`to` is `None`) forgets them.
pub fn move_labels(
    site: &SiteDbWrite,
    account: &str,
    from: &FolderKey,
    name: &str,
    to: Option<&FolderKey>,
) -> Result<(), DbError> {
    const COUNT: &str = "SELECT count(*) FROM item_label WHERE account = ? AND kind = ? AND path = ? AND name = ?";
    let place = [account, from.kind().word(), from.path(), name];
    let count: i64 = site.read(|db| Ok(db.prepare_cached(COUNT)?.query_row(place, |row| row.get(0))?))?;
    if count == 0 {
        return Ok(());
    }
    site.write(|tx| {
        let [account, kind, path, name] = place;
        match to {
            Some(to) => {
                need_folder(tx, account, to)?;
                const MOVE: &str = "UPDATE OR REPLACE item_label SET kind = ?5, path = ?6 \
                    WHERE account = ?1 AND kind = ?2 AND path = ?3 AND name = ?4";
                tx.prepare_cached(MOVE)?.execute([account, kind, path, name, to.kind().word(), to.path()])?;
            }
            None => {
                const CLEAR: &str = "DELETE FROM item_label WHERE account = ? AND kind = ? AND path = ? AND name = ?";
                tx.prepare_cached(CLEAR)?.execute([account, kind, path, name])?;
            }
        }
        Ok(())
    })
}
