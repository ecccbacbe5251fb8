//! What every folder of a mailbox asks for: subscriptions, and the rows of `site.sqlite`. Kept for the last few accounts,
//! so that an unchanged folder costs no more than its `stat` calls.
//!
//! A kept view is used only while its files say that nothing has changed: their times, inodes and sizes, not younger than
//! a racy one, and the database's own version.

use super::maildir::{COURIER_SUBSCRIPTIONS, SUBSCRIPTIONS, subscriptions};
use super::mark::Fingerprint;
use super::site_db::{self, FolderRow, MailboxRows, RecordRows, SiteDb};
use super::{DirectorySite, io_error, tree};
use crate::db::DbError;
use crate::fs::FileKind;
use crate::limits;
use crate::model::id::SiteId;
use crate::model::mailbox::FolderKey;
use crate::site::SiteError;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One mailbox beside its folders.
#[derive(Debug, Default)]
pub struct View {
    pub subscribed: BTreeSet<String>,
    pub rows: MailboxRows,
}

impl View {
    pub fn row(&self, key: &FolderKey) -> Option<&FolderRow> {
        self.rows.folders.get(key)
    }
}

/// The views that are kept, and the database they come from.
#[derive(Default)]
pub struct Views {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    open: Option<OpenDb>,
    /// By account, with the mark of the files it came from.
    kept: HashMap<String, (Vec<u8>, Arc<View>)>,
}

struct OpenDb {
    db: SiteDb,
    /// Device and inode: another file under the name is opened anew.
    file: (u64, u64),
}

impl DirectorySite {
    /// The view of an account whose Maildir is `maildir`.
    pub(super) fn view(&self, account: &str, maildir: &Path) -> Result<Arc<View>, SiteError> {
        let mut inner = self.lock_views();
        self.refresh(&mut inner)?;
        let mut fingerprint = Fingerprint::new((self.clock)());
        for file in [SUBSCRIPTIONS, COURIER_SUBSCRIPTIONS] {
            let path = maildir.join(file);
            let stat = tree::stat(self.fs.as_ref(), &path).map_err(io_error("look at", &path))?;
            fingerprint.stat(stat.as_ref());
            if stat.is_some() {
                break; // the second is looked at only where there is no first
            }
        }
        if let Some(open) = &inner.open {
            fingerprint.value(&open.file);
            fingerprint.value(&open.db.version().map_err(|error| self.database_error(error))?);
        }
        let (mark, trusted) = fingerprint.finish();
        if let Some((kept, view)) = inner.kept.get(account)
            && *kept == mark
        {
            return Ok(Arc::clone(view));
        }
        let rows = match &inner.open {
            Some(open) => open.db.mailbox(account).map_err(|error| self.database_error(error))?,
            None => MailboxRows::default(),
        };
        let view = Arc::new(View { subscribed: self.subscribed(maildir)?, rows });
        if inner.kept.len() >= limits::VIEWS_KEPT {
            inner.kept.clear();
        }
        inner.kept.remove(account);
        if trusted {
            inner.kept.insert(account.to_owned(), (mark, Arc::clone(&view)));
        }
        Ok(view)
    }

    /// What `site.sqlite` says of records; nothing where there is none.
    pub(super) fn record_rows(&self) -> Result<RecordRows, SiteError> {
        self.with_db(SiteDb::records).map(Option::unwrap_or_default)
    }

    /// The id that the site keeps.
    pub(super) fn kept_site_id(&self) -> Result<Option<SiteId>, SiteError> {
        self.with_db(SiteDb::site_id).map(Option::flatten)
    }

    fn with_db<T>(&self, ask: impl FnOnce(&SiteDb) -> Result<T, DbError>) -> Result<Option<T>, SiteError> {
        let mut inner = self.lock_views();
        self.refresh(&mut inner)?;
        inner.open.as_ref().map(|open| ask(&open.db)).transpose().map_err(|error| self.database_error(error))
    }

    fn lock_views(&self) -> MutexGuard<'_, Inner> {
        // What is kept is checked against the files before each use, so a panic elsewhere leaves nothing wrong.
        self.views.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the database that is there now.
    fn refresh(&self, inner: &mut Inner) -> Result<(), SiteError> {
        let path = self.root.join(site_db::FILE);
        let stat = tree::stat(self.fs.as_ref(), &path).map_err(io_error("look at", &path))?;
        let file = stat.filter(|stat| stat.kind == FileKind::File).map(|stat| (stat.dev, stat.ino));
        if inner.open.as_ref().map(|open| open.file) != file {
            inner.open = match file {
                Some(file) => {
                    let db = SiteDb::open(&path).map_err(|error| self.database_error(error))?;
                    Some(OpenDb { db, file })
                }
                None => None,
            };
            inner.kept.clear();
        }
        Ok(())
    }

    fn database_error(&self, source: DbError) -> SiteError {
        SiteError::Database { path: self.root.join(site_db::FILE), source }
    }

    /// Dovecot's subscriptions; Courier's where Dovecot has never been.
    fn subscribed(&self, maildir: &Path) -> Result<BTreeSet<String>, SiteError> {
        let read = |file| {
            let path = maildir.join(file);
            tree::read_control(self.fs.as_ref(), &path).map_err(io_error("read", &path))
        };
        if let Some(bytes) = read(SUBSCRIPTIONS)? {
            return Ok(subscriptions::parse(&bytes));
        }
        let courier = read(COURIER_SUBSCRIPTIONS)?;
        Ok(courier.map(|bytes| subscriptions::parse_courier(&bytes)).unwrap_or_default())
    }
}
