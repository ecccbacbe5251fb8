//! The exporter's memory of a source: per folder the connector's scan mark, so that an unchanged folder costs a handful
//! of `stat` calls.
//!
//! Promises nothing that the archive does not: what is here can be deleted, and the next pass lists every folder again.
//! The items themselves are not here; a changed account is replayed from the archive. One file for each source of each
//! archive. Committed after the snapshot, so that a crash leaves marks that are too old, never too new.

use crate::db::{self, DbError, Durability, Kind};

use crate::fs::{FileWrite, Fs, RealFs};
use crate::model::id::{FolderId, RecordId, SnapshotNo};
use crate::model::mailbox::{FolderKey, FolderKind};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

const KIND: Kind = Kind {
    application_id: 0x5743_6174, // "WCat"
    migrations: &[include_str!("schema_1.sql"), include_str!("schema_2.sql")],
    durability: Durability::Rebuildable,
};

/// What is remembered of one folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FolderMark {
    pub id: FolderId,
    pub key: FolderKey,
    pub ident: Option<String>,
    pub mark: Vec<u8>,
    /// Item name -> version; empty for folders whose items never change in place.
    pub versions: HashMap<String, u64>,
}

/// What is remembered of one account.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AccountMark {
    pub settings: Vec<u8>,
    pub folders: Vec<FolderMark>,
}

/// The catalog of one source in one archive, open for one exporter.
pub struct Catalog {
    db: Connection,
    path: PathBuf,
}

impl Catalog {
    /// Opens or makes the catalog at `path`; its folder must exist.
    pub fn open(path: &Path) -> Result<Self, DbError> {
        Ok(Self { db: db::open(path, &KIND)?, path: path.to_owned() })
    }

    /// Makes it anew where its file is no sound database any more, also in the middle of a pass. What it knew is listed
    /// again.
    pub fn begin_anew(&mut self) -> Result<(), DbError> {
        self.db = Connection::open_in_memory()?;
        for end in ["", "-wal", "-shm"] {
            let mut name = self.path.clone().into_os_string();
            name.push(end);
            match RealFs.remove_file(Path::new(&name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(DbError::Corrupt(format!("and cannot be removed: {error}")));
                }
                _ => {}
            }
        }
        // A catalog names accounts and folders, so it is made for its owner alone, before SQLite makes it for everybody.
        let made = RealFs.create_new(&self.path).map(FileWrite::keep);
        made.map_err(|error| DbError::Corrupt(format!("and cannot be made anew: {error}")))?;
        self.db = db::open(&self.path, &KIND)?;
        Ok(())
    }

    /// The snapshot that the marks go with, and the second its pass began.
    pub fn snapshot(&self) -> Result<Option<(SnapshotNo, i64)>, DbError> {
        const SQL: &str = "SELECT snapshot, started FROM pass WHERE one = 1";
        let row = |row: &rusqlite::Row<'_>| Ok((SnapshotNo(row.get(0)?), row.get(1)?));
        Ok(self.db.prepare_cached(SQL)?.query_row([], row).optional()?)
    }

    /// The accounts of which something is remembered.
    pub fn accounts(&self) -> Result<Vec<RecordId>, DbError> {
        const SQL: &str = "SELECT id FROM account ORDER BY id";
        let mut statement = self.db.prepare_cached(SQL)?;
        let rows = statement.query_map([], |row| Ok(RecordId(row.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What is remembered of an account; `None`: nothing.
    pub fn account(&self, id: RecordId) -> Result<Option<AccountMark>, DbError> {
        const SETTINGS: &str = "SELECT settings, digest FROM account WHERE id = ?1";
        const FOLDERS: &str = "SELECT id, kind, path, ident, mark, versions FROM folder WHERE account = ?1 ORDER BY id";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?));
        let Some((settings, digest)) = self.db.prepare_cached(SETTINGS)?.query_row([id.0], row).optional()? else {
            return Ok(None);
        };
        let mut statement = self.db.prepare_cached(FOLDERS)?;
        let mut rows = statement.query([id.0])?;
        let mut folders = Vec::new();
        while let Some(row) = rows.next()? {
            let kind = FolderKind::from_word(&row.get::<_, String>(1)?);
            let kind = kind.ok_or_else(|| DbError::Corrupt("a folder of no known kind".to_owned()))?;
            let key = FolderKey::new(kind, &row.get::<_, String>(2)?).map_err(|e| DbError::Corrupt(e.to_string()))?;
            let versions: Vec<u8> = row.get(5)?;
            let versions = match versions.is_empty() {
                true => HashMap::new(),
                false => serde_json::from_slice(&versions).map_err(|e| DbError::Corrupt(e.to_string()))?,
            };
            let id = FolderId(row.get(0)?);
            folders.push(FolderMark { id, key, ident: row.get(3)?, mark: row.get(4)?, versions });
        }
        let mark = AccountMark { settings, folders };
        // SQLite has no checksums: a flipped bit in a value would hide a change of the mailbox.
        if digest.is_empty() || digest == digest_of(id, &mark) {
            return Ok((!digest.is_empty()).then_some(mark));
        }
        Err(DbError::Corrupt("what is remembered of an account has another checksum".to_owned()))
    }

    /// Takes in what a committed pass learnt, as one transaction. `gone` accounts are forgotten. A pass that learnt nothing
    /// writes nothing: what is here goes with an earlier snapshot of the same chain just as well.
    pub fn commit(
        &mut self,
        snapshot: SnapshotNo,
        started: i64,
        accounts: &[(RecordId, AccountMark)],
        gone: &[RecordId],
    ) -> Result<(), DbError> {
        if accounts.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let transaction = self.db.transaction()?;
        {
            const DROP_FOLDERS: &str = "DELETE FROM folder WHERE account = ?1";
            const DROP: &str = "DELETE FROM account WHERE id = ?1";
            const PUT: &str = "INSERT OR REPLACE INTO account (id, settings, digest) VALUES (?1, ?2, ?3)";
            const PUT_FOLDER: &str = "INSERT INTO folder (account, id, kind, path, ident, mark, versions) \
                                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            for id in gone.iter().chain(accounts.iter().map(|(id, _)| id)) {
                transaction.prepare_cached(DROP_FOLDERS)?.execute([id.0])?;
                transaction.prepare_cached(DROP)?.execute([id.0])?;
            }
            for (id, account) in accounts {
                transaction.prepare_cached(PUT)?.execute(params![id.0, account.settings, digest_of(*id, account)])?;
                for folder in &account.folders {
                    let versions = match folder.versions.is_empty() {
                        true => Vec::new(),
                        false => serde_json::to_vec(&folder.versions).unwrap_or_default(),
                    };
                    let (kind, path) = (folder.key.kind().word(), folder.key.path());
                    transaction.prepare_cached(PUT_FOLDER)?.execute(params![
                        id.0,
                        folder.id.0,
                        kind,
                        path,
                        folder.ident,
                        folder.mark,
                        versions
                    ])?;
                }
            }
            const PASS: &str = "INSERT OR REPLACE INTO pass (one, snapshot, started) VALUES (1, ?1, ?2)";
            transaction.prepare_cached(PASS)?.execute(params![snapshot.0, started])?;
        }
        Ok(transaction.commit()?)
    }

    /// Forgets everything: the marks go with an archive that is no longer like that.
    pub fn clear(&mut self) -> Result<(), DbError> {
        Ok(self.db.execute_batch("DELETE FROM folder; DELETE FROM account; DELETE FROM pass;")?)
    }
}

/// The checksum of what is remembered of an account: SHA-256 of all its fields, each with its length before it.
fn digest_of(id: RecordId, mark: &AccountMark) -> Vec<u8> {
    let mut digest = Sha256::new();
    let mut put = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    put(&id.0.to_le_bytes());
    put(&mark.settings);
    let mut folders: Vec<_> = mark.folders.iter().collect();
    folders.sort_by_key(|folder| folder.id);
    for folder in folders {
        put(&folder.id.0.to_le_bytes());
        put(folder.key.kind().word().as_bytes());
        put(folder.key.path().as_bytes());
        put(folder.ident.as_ref().map_or(&[0], |_| &[1]));
        put(folder.ident.as_deref().unwrap_or_default().as_bytes());
        put(&folder.mark);
        let mut versions: Vec<_> = folder.versions.iter().collect();
        versions.sort();
        put(&(versions.len() as u64).to_le_bytes());
        for (name, version) in versions {
            put(name.as_bytes());
            put(&version.to_le_bytes());
        }
    }
    digest.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pass_learnt_is_there_for_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut catalog = Catalog::open(&dir.path().join("catalog.sqlite")).unwrap();
        assert_eq!(catalog.snapshot().unwrap(), None);
        let mark = AccountMark {
            settings: vec![1, 2],
            folders: vec![FolderMark {
                id: FolderId(3),
                key: FolderKey::inbox(),
                ident: Some("1-2".into()),
                mark: vec![9; 40],
                versions: [("a.ics".to_owned(), u64::MAX)].into(),
            }],
        };
        catalog.commit(SnapshotNo(7), 100, &[(RecordId(1), mark.clone()), (RecordId(2), mark.clone())], &[]).unwrap();
        catalog.commit(SnapshotNo(8), 101, &[], &[RecordId(2)]).unwrap();
        catalog.commit(SnapshotNo(9), 102, &[], &[]).unwrap();
        drop(catalog);

        let catalog = Catalog::open(&dir.path().join("catalog.sqlite")).unwrap();
        assert_eq!(catalog.snapshot().unwrap(), Some((SnapshotNo(8), 101)));
        assert_eq!(catalog.account(RecordId(1)).unwrap(), Some(mark));
        assert_eq!(catalog.account(RecordId(2)).unwrap(), None);
    }
}
