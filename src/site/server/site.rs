//! A site of servers as a whole: accounts from its book, folders from the store that holds their kind.
//!
//! A store that cannot be asked for an account costs that account the folders of that store: in a source they count as
//! unchanged and are listed as rejected; a target is never judged by half, there the account fails.

use super::state::State;
use super::{Book, Store, Use};
use crate::event::{Place, Reason, Rejection};
use crate::limits;
use crate::model::mailbox::{FolderKey, FolderKind};
use crate::model::provisioning::Record;
use crate::shelf::Scratch;
use crate::site::{
    Content, Depth, FolderScan, FoundItem, FoundRecord, MailboxScan, ProvisioningScan, Seen, SiteDescription,
    SiteError, Source,
};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A site of servers.
pub struct ServerSite {
    pub(super) book: Box<dyn Book>,
    pub(super) stores: Vec<Box<dyn Store>>,
    pub(super) state: State,
    pub(super) purpose: Use,
    cautions: Vec<String>,
    /// Where the book gives an account no quota, the mail server's counts.
    quotas: bool,
    /// Held from [`Target::prepare`](crate::site::Target::prepare) on.
    pub(super) lock: OnceLock<Box<dyn Send + Sync>>,
}

impl ServerSite {
    /// Puts a site together. No two stores share a kind of folder.
    pub fn new(
        book: Box<dyn Book>,
        stores: Vec<Box<dyn Store>>,
        state: State,
        purpose: Use,
        cautions: Vec<String>,
    ) -> Self {
        Self { book, stores, state, purpose, cautions, quotas: false, lock: OnceLock::new() }
    }

    /// Whether the mail server is asked for the quotas that the book does not give, each time the site is read.
    #[must_use]
    pub fn with_quotas(self, quotas: bool) -> Self {
        Self { quotas, ..self }
    }

    /// Where the accounts are.
    pub fn book(&self) -> &dyn Book {
        self.book.as_ref()
    }

    /// The servers that hold folders.
    pub fn stores(&self) -> impl Iterator<Item = &dyn Store> {
        self.stores.iter().map(Box::as_ref)
    }

    /// The store with folders of this kind.
    pub(super) fn store(&self, kind: FolderKind) -> Option<&dyn Store> {
        self.stores().find(|store| store.kinds().contains(&kind))
    }

    /// What a store has of an account. While the site is written, a mailbox that is not there yet is made: the book may
    /// have known the account before, or the server may have refused it in an earlier pass.
    fn mailbox_in(&self, store: &dyn Store, account: &str) -> Result<MailboxScan, SiteError> {
        match store.mailbox(account) {
            Err(SiteError::NoAccount(_)) if self.lock.get().is_some() => {
                let quota = self.book.provisioning()?.records.into_iter().find_map(|found| match found.record {
                    Record::Account(known) if known.address == account => Some(known.quota_bytes),
                    _ => None,
                });
                match store.make_account(account, quota.flatten())? {
                    Ok(()) => store.mailbox(account),
                    Err(reason) => Err(SiteError::Server { server: store.locator(), what: reason.to_string() }),
                }
            }
            outcome => outcome,
        }
    }

    /// The store with folders of the kind, for a call that only makes sense where there is one.
    pub(super) fn holder(&self, key: &FolderKey) -> Result<&dyn Store, SiteError> {
        self.store(key.kind()).ok_or_else(|| SiteError::Unsupported(no_store(key.kind())))
    }
}

/// What to say where no server holds folders of a kind.
pub(super) fn no_store(kind: FolderKind) -> String {
    let (what, section) = match kind {
        FolderKind::Mail => ("mail", "[mail] imap"),
        FolderKind::Filters => ("filters", "[filters] managesieve"),
        FolderKind::Calendars => ("calendars", "[groupware] dav"),
        FolderKind::Contacts => ("contacts", "[groupware] dav"),
        FolderKind::Tasks => ("tasks", "[groupware] dav"),
        FolderKind::Files => return "no server of a site description holds files".to_owned(),
    };
    format!("the site description names no server for {what} ({section})")
}

/// Fills in the quotas that the book does not give. Of whom the server cannot be asked, the quota counts as unchanged; why
/// is told when his mailbox is looked at, unless it is the quota alone that the server does not tell.
fn ask_for_quotas(store: &dyn Store, scan: &mut ProvisioningScan) {
    let ProvisioningScan { records, rejected, .. } = scan;
    let untold = Mutex::new(rejected);
    let without = |found: &&mut FoundRecord| {
        matches!(&found.record, Record::Account(account) if account.quota_bytes.is_none()) && found.seen == Seen::Whole
    };
    let waiting = Mutex::new(records.iter_mut().filter(without));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let ask = || {
        while let Some(found) = next() {
            let Record::Account(account) = &mut found.record else { continue };
            match store.quota(&account.address) {
                Ok(quota) => account.quota_bytes = quota,
                Err(error) => {
                    found.seen = Seen::ButQuota;
                    if let SiteError::Refused(reason) = error {
                        let place = Place::account(&account.address);
                        untold.lock().unwrap_or_else(PoisonError::into_inner).push(Rejection { place, reason });
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| (0..limits::SERVER_CONNECTIONS).for_each(|_| drop(scope.spawn(ask))));
}

impl Source for ServerSite {
    fn describe(&self) -> Result<SiteDescription, SiteError> {
        let mut places: Vec<String> =
            std::iter::once(self.book.locator()).chain(self.stores().map(Store::locator)).collect();
        places.sort();
        places.dedup();
        Ok(SiteDescription { scheme: "servers", locator: places.join(" "), id: self.state.id()?, id_unseen: false })
    }

    fn keep_in(&self, scratch: &Scratch) {
        self.stores().for_each(|store| store.keep_in(scratch));
    }

    fn cautions(&self) -> Vec<String> {
        self.cautions.clone()
    }

    fn provisioning(&self) -> Result<ProvisioningScan, SiteError> {
        let mut scan = self.book.provisioning()?;
        if let Some(store) = self.store(FolderKind::Mail).filter(|_| self.quotas && self.purpose == Use::Source) {
            ask_for_quotas(store, &mut scan);
        }
        Ok(scan)
    }

    fn mailbox(&self, account: &str) -> Result<MailboxScan, SiteError> {
        let mut whole = MailboxScan::default();
        let (mut answered, mut failed) = (0, None);
        let mut take = |scan: &mut MailboxScan, outcome: Result<MailboxScan, SiteError>| match outcome {
            Ok(part) => {
                answered += 1;
                scan.folders.extend(part.folders);
                scan.settings.extend(part.settings);
                scan.rejected.extend(part.rejected);
                scan.settings_unseen |= part.settings_unseen;
                Ok(())
            }
            Err(error) if self.purpose == Use::Target => Err(error),
            Err(error) => {
                // Without a folder in its place it says that folders may be missing, which then are not gone.
                scan.rejected.push(Rejection { place: Place::account(account), reason: error.as_reason() });
                scan.settings_unseen = true;
                failed.get_or_insert(error);
                Ok(())
            }
        };
        for store in &self.stores {
            take(&mut whole, self.mailbox_in(store.as_ref(), account))?;
        }
        if let (0, Some(error)) = (answered, failed) {
            return Err(error);
        }
        match self.book.settings(account) {
            Ok(settings) => whole.settings.extend(settings),
            Err(error) if self.purpose == Use::Target => return Err(error),
            Err(error) => {
                let reason: Reason = error.as_reason();
                whole.rejected.push(Rejection { place: Place::account(account), reason });
                whole.settings_unseen = true;
            }
        }
        whole.folders.sort_by(|a, b| a.key.cmp(&b.key));
        whole.settings.sort_by_cached_key(|setting| setting.key());
        whole.settings.dedup_by_key(|setting| setting.key());
        Ok(whole)
    }

    fn folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        match self.store(key.kind()) {
            Some(store) => store.folder(account, key, mark, depth),
            None => Ok(FolderScan::Vanished),
        }
    }

    fn read(&self, account: &str, key: &FolderKey, item: &FoundItem) -> Result<Content, SiteError> {
        match self.store(key.kind()) {
            Some(store) => store.read(account, key, item),
            None => Ok(Content::Vanished),
        }
    }
}
