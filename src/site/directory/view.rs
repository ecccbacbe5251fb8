//! What every folder of a mailbox asks for: subscriptions, and the rows of `site.sqlite`. Kept for the last few accounts,
//! so that an unchanged folder costs no more than its `stat` calls.
//!
//! A kept view is used only while its files say that nothing has changed: their times, inodes and sizes, not younger than
//! a racy one, and the database's own version.

use super::maildir::{COURIER_SUBSCRIPTIONS, SUBSCRIPTIONS, subscriptions};
use super::mark::Fingerprint;
use super::site_db::{self, FolderRow, MailboxRows, RecordRows, SiteDb};
use super::{DirectorySite, Unreadable, io_error, tree};
use crate::db::DbError;
use crate::event::{Place, Reason, Rejection};
use crate::fs::FileKind;
use crate::limits;
use crate::model::id::SiteId;
use crate::model::mailbox::{FolderKey, FolderKind};
use crate::site::{FolderListing, SiteError};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// One mailbox beside its folders.
#[derive(Debug)]
pub struct View {
    /// Or why nobody can tell.
    pub subscribed: Result<BTreeSet<String>, Reason>,
    pub rows: MailboxRows,
    /// The database could not be read, or some rows of this mailbox make no sense: what is missing is not gone.
    pub rows_unseen: bool,
    /// Why it could not be read, where the scan of all records could still read it.
    pub fault: Option<Reason>,
    /// This view was the first to meet the fault.
    pub fault_is_new: bool,
    /// The same of subscriptions that cannot be read.
    pub subscriptions_fault_is_new: bool,
}

impl View {
    pub fn row(&self, key: &FolderKey) -> Option<&FolderRow> {
        self.rows.folders.get(key)
    }
}

impl FolderListing {
    /// Takes over what of the view could not be looked at.
    pub(super) fn note_view(&mut self, account: &str, view: &View) {
        self.beside_unseen = view.rows_unseen;
        self.subscription_unseen = match self.folder.key.kind() {
            FolderKind::Mail => view.subscribed.is_err(),
            _ => view.rows_unseen,
        };
        let place = Place::folder(account, &self.folder.key);
        let fault = view.fault.iter().filter(|_| view.fault_is_new);
        let unsubscribed = view.subscribed.as_ref().err().filter(|_| view.subscriptions_fault_is_new);
        let reasons = fault.chain(unsubscribed);
        self.rejected.extend(reasons.map(|reason| Rejection { place: place.clone(), reason: reason.clone() }));
    }
}

/// Device and inode of the database, and its own counter of changes.
type DbVersion = (FileId, i64);

/// The views that are kept, and the database they come from.
#[derive(Default)]
pub struct Views {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    open: Option<OpenDb>,
    /// The database could not be read; each new attempt could wait for its lock again, so only the next scan of all
    /// records tries anew.
    lost: Option<Lost>,
    /// By account.
    kept: HashMap<String, Kept>,
    /// Accounts whose subscriptions could not be read, and somebody was told.
    unsubscribed: HashSet<String>,
    /// Former and present addresses of accounts, oldest first.
    renamed: Vec<(String, String)>,
    /// Present address to the former one under which the database still keeps the account.
    under: HashMap<String, String>,
}

struct Kept {
    /// Of the files it came from.
    mark: Vec<u8>,
    view: Arc<View>,
    /// When the scan of its mailbox last compared them with the mark.
    scanned: Option<Instant>,
}

struct Lost {
    reason: Reason,
    /// The scan of all records has listed it.
    listed: bool,
}

/// Device and inode.
type FileId = (u64, u64);

struct OpenDb {
    db: SiteDb,
    /// Another file under the name is opened anew.
    file: FileId,
}

impl DirectorySite {
    /// The view of an account whose Maildir is `maildir`.
    pub(super) fn view(&self, account: &str, maildir: &Path) -> Result<Arc<View>, SiteError> {
        // Files are looked at before the lock is taken: several accounts are scanned at once.
        let database = self.look_at_database();
        let mut fingerprint = Fingerprint::new((self.clock)());
        let looked_at = self.stamp_subscriptions(maildir, &mut fingerprint);
        let mut inner = self.lock_views();
        let was_lost = inner.lost.is_some();
        let version = match self.database_version(&mut inner, database) {
            Ok(version) => version,
            Err(error) => self.lose(&mut inner, error)?,
        };
        fingerprint.value(&version);
        let (mark, trusted) = fingerprint.finish();
        if let Some(kept) = inner.kept.get(account)
            && kept.mark == mark
        {
            return Ok(Arc::clone(&kept.view));
        }
        let under = inner.under.get(account).map_or(account, String::as_str);
        let rows = inner.open.as_ref().filter(|_| inner.lost.is_none()).map(|open| open.db.mailbox(under)).transpose();
        let rows = match rows.map_err(|error| self.database_error(error)) {
            Ok(rows) => rows.unwrap_or_default(),
            Err(error) => self.lose(&mut inner, error)?,
        };
        let rows_unseen = inner.lost.is_some() || !rows.bad.is_empty();
        let trusted = trusted && !rows_unseen;
        let subscribed = match looked_at.and_then(|()| self.subscribed(maildir)) {
            Ok(subscribed) => Ok(subscribed),
            Err(error) if self.unreadable == Unreadable::Fails => return Err(error),
            Err(error) => Err(error.as_reason()),
        };
        let trusted = trusted && subscribed.is_ok();
        let subscriptions_fault_is_new = subscribed.is_err() && inner.unsubscribed.insert(account.to_owned());
        let view = Arc::new(View {
            subscribed,
            rows,
            rows_unseen,
            fault: inner.lost.as_ref().filter(|lost| !lost.listed).map(|lost| lost.reason.clone()),
            fault_is_new: inner.lost.is_some() && !was_lost,
            subscriptions_fault_is_new,
        });
        if inner.kept.len() >= limits::VIEWS_KEPT {
            inner.kept.clear();
        }
        inner.kept.remove(account);
        if trusted {
            inner.kept.insert(account.to_owned(), Kept { mark, view: Arc::clone(&view), scanned: None });
        }
        Ok(view)
    }

    /// The view for the scan of a mailbox, which its folders then share.
    pub(super) fn scanned_view(&self, account: &str, maildir: &Path) -> Result<Arc<View>, SiteError> {
        let began = Instant::now();
        let view = self.view(account, maildir)?;
        if let Some(kept) = self.lock_views().kept.get_mut(account) {
            kept.scanned = Some(began);
        }
        Ok(view)
    }

    /// The view as the scan of the mailbox saw it a moment ago: good enough to find that a folder is as an older mark
    /// says, since what has changed in that moment is not in the mark, and the next pass finds it.
    pub(super) fn fresh_view(&self, account: &str) -> Option<Arc<View>> {
        let inner = self.lock_views();
        let is_fresh = |at: Instant| at.elapsed() < limits::VIEW_FRESH;
        let kept = inner.kept.get(account).filter(|kept| kept.scanned.is_some_and(is_fresh))?;
        Some(Arc::clone(&kept.view))
    }

    /// What `site.sqlite` says of records, nothing where there is none; or why it cannot be read.
    pub(super) fn record_rows(&self) -> Result<Result<RecordRows, Reason>, SiteError> {
        self.lock_views().lost = None;
        let error = match self.with_db(SiteDb::records) {
            Ok(rows) => return Ok(Ok(rows.unwrap_or_default())),
            Err(error) => error,
        };
        let reason = error.as_reason();
        let mut inner = self.lock_views();
        let () = self.lose(&mut inner, error)?;
        inner.lost = Some(Lost { reason: reason.clone(), listed: true });
        Ok(Err(reason))
    }

    /// Goes on without the database where that may be, and notes why.
    fn lose<T: Default>(&self, inner: &mut Inner, error: SiteError) -> Result<T, SiteError> {
        if self.unreadable == Unreadable::Fails {
            return Err(error);
        }
        inner.lost = Some(Lost { reason: error.as_reason(), listed: false });
        inner.kept.clear();
        Ok(T::default())
    }

    /// What changes with every change of the database; `None` where there is none, or it is lost.
    fn database_version(
        &self,
        inner: &mut Inner,
        database: Result<Option<FileId>, SiteError>,
    ) -> Result<Option<DbVersion>, SiteError> {
        if inner.lost.is_some() {
            return Ok(None);
        }
        self.refresh(inner, database?)?;
        let version = |open: &OpenDb| Ok((open.file, open.db.version()?));
        inner.open.as_ref().map(version).transpose().map_err(|error| self.database_error(error))
    }

    /// Remembers who bore which address, for the next scan of all records.
    pub(super) fn note_renamed(&self, renamed: Vec<(String, String)>) {
        self.lock_views().renamed = renamed;
    }

    /// Brings the rows of accounts that were renamed by hand under their present addresses.
    pub(super) fn follow_renamed(&self, rows: &mut RecordRows, bears: impl Fn(&str) -> bool) {
        let mut inner = self.lock_views();
        inner.under = rows.follow(&inner.renamed, bears);
        inner.kept.clear();
    }

    /// The id that the site keeps.
    pub(super) fn kept_site_id(&self) -> Result<Option<SiteId>, SiteError> {
        self.with_db(SiteDb::site_id).map(Option::flatten)
    }

    fn with_db<T>(&self, ask: impl FnOnce(&SiteDb) -> Result<T, DbError>) -> Result<Option<T>, SiteError> {
        let database = self.look_at_database()?;
        let mut inner = self.lock_views();
        self.refresh(&mut inner, database)?;
        inner.open.as_ref().map(|open| ask(&open.db)).transpose().map_err(|error| self.database_error(error))
    }

    fn lock_views(&self) -> MutexGuard<'_, Inner> {
        // What is kept is checked against the files before each use, so a panic elsewhere leaves nothing wrong.
        self.views.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which file the database is now; `None` where there is none.
    fn look_at_database(&self) -> Result<Option<FileId>, SiteError> {
        let path = self.root.join(site_db::FILE);
        let stat = tree::stat(self.fs.as_ref(), &path).map_err(io_error("look at", &path))?;
        if stat.as_ref().is_some_and(|stat| stat.kind != FileKind::File) {
            return Err(io_error("open", &path)(io::Error::other("not a regular file")));
        }
        Ok(stat.map(|stat| (stat.dev, stat.ino)))
    }

    /// Opens the database that was seen, unless it is open.
    fn refresh(&self, inner: &mut Inner, file: Option<FileId>) -> Result<(), SiteError> {
        if inner.open.as_ref().map(|open| open.file) != file {
            inner.open = match file {
                Some(file) => {
                    let db =
                        SiteDb::open(&self.root.join(site_db::FILE)).map_err(|error| self.database_error(error))?;
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

    fn stamp_subscriptions(&self, maildir: &Path, fingerprint: &mut Fingerprint) -> Result<(), SiteError> {
        for file in [SUBSCRIPTIONS, COURIER_SUBSCRIPTIONS] {
            let path = maildir.join(file);
            let stat = tree::stat(self.fs.as_ref(), &path).map_err(io_error("look at", &path))?;
            fingerprint.stat(stat.as_ref());
            if stat.is_some() {
                break; // the second is looked at only where there is no first
            }
        }
        Ok(())
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
