//! IMAP servers as a store of mail: read and written through the protocol alone (RFC 3501, RFC 9051, and what a server
//! offers beyond).
//!
//! What the server told at the last look lies in a state file, so that the next look costs only what changed, and so that
//! a message keeps its name wherever it moves. A folder's mark is that state's count of its changes.

mod ahead;
mod change;
pub mod client;
mod copying;
mod deliver;
mod flags;
mod folders;
mod keywords;
mod limit;
mod listing;
mod look;
mod names;
mod outgoing;
mod pieces;
mod pool;
mod rights;
mod sent;
mod several;
mod source;
mod state;
mod subscriptions;
mod survey;

use crate::event::Reason;
use crate::fs::Fs;
use crate::model::mailbox::{Flags, Folder};
use crate::model::mailbox::{FolderKey, FolderKind};
use crate::model::setting::{Setting, SettingKey, SettingKind};
use crate::model::share::Grant;
use crate::net::{Dialer, Endpoint, Protection, Scheme};
use crate::shelf::Scratch;
use crate::site::server::{Login, Store, Survey};
use crate::site::{
    Content, Delivered, Delivery, Depth, FolderPut, FolderScan, FoundItem, MailboxScan, Marking, Present, SiteError,
    StoredAs, UidsKept,
};
use ahead::Readers;
use client::ClientOptions;
use names::Spelling;
use pool::Pool;
use state::State;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// How a description names an IMAP server.
pub const SCHEMES: &[Scheme] = &[
    Scheme { name: "imaps", port: 993, protection: Protection::Tls },
    Scheme { name: "imap", port: 143, protection: Protection::StartTls },
];

/// What a store is made of.
pub struct ImapOptions {
    pub endpoint: Endpoint,
    pub dialer: Dialer,
    pub login: Login,
    /// Passwords may go over a connection that is not protected.
    pub insecure: bool,
    /// Where the state file lies; made where it is missing.
    pub state_dir: PathBuf,
    /// Most connections at once; fewer where the server refuses.
    pub max_connections: usize,
}

/// An IMAP server.
pub struct ImapStore {
    pool: Arc<Pool>,
    readers: Arc<Readers>,
    state: State,
    accounts: Mutex<HashMap<String, Arc<Mutex<Seen>>>>,
    /// Keywords that the server refused in this run.
    refused_keywords: Mutex<BTreeSet<String>>,
    /// Where listings lie once they are much.
    scratch: Mutex<Scratch>,
}

/// What this run knows of an account.
#[derive(Default)]
struct Seen {
    /// Folders, by path, that were looked at since somebody last asked for them.
    fresh: HashSet<String>,
    spelling: Option<Spelling>,
    /// Names that were given away and not delivered yet.
    promised: HashSet<String>,
    /// The last number that was put behind a name that was taken: thousands may want the same.
    numbered: HashMap<String, u64>,
}

impl ImapStore {
    /// Makes the store. Nobody logs in yet.
    pub fn open(fs: &dyn Fs, options: ImapOptions) -> Result<Self, SiteError> {
        let dir = options.state_dir.clone();
        let bad = |source| SiteError::Io { action: "make", path: dir.clone(), source };
        fs.create_dir_all(&dir).map_err(bad)?;
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| bad(std::io::Error::other(error.to_string())))?;
        let state = State::open(&dir.join("imap.sqlite"), id)?;
        let compress = !client::is_here(&options.endpoint.host);
        let client =
            ClientOptions { endpoint: options.endpoint, dialer: options.dialer, insecure: options.insecure, compress };
        let pool = Arc::new(Pool::new(client, options.login, options.max_connections));
        Ok(Self {
            pool,
            readers: Arc::default(),
            state,
            accounts: Mutex::default(),
            refused_keywords: Mutex::default(),
            scratch: Mutex::default(),
        })
    }

    fn seen(&self, account: &str) -> Arc<Mutex<Seen>> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(account.to_owned()).or_default())
    }

    fn scratch(&self) -> Scratch {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lease(&self, account: &str) -> Result<pool::Lease, SiteError> {
        self.pool.lease(account, &|| self.readers.release())
    }
}

impl Store for ImapStore {
    fn kinds(&self) -> &'static [FolderKind] {
        &[FolderKind::Mail]
    }

    fn locator(&self) -> String {
        self.pool.server()
    }

    fn keep_in(&self, scratch: &Scratch) {
        *self.scratch.lock().unwrap_or_else(PoisonError::into_inner) = scratch.clone();
    }

    fn survey(&self, account: &str) -> Result<Survey, SiteError> {
        self.survey_of(account)
    }

    fn mailbox(&self, account: &str) -> Result<MailboxScan, SiteError> {
        self.look_at_account(account)
    }

    fn folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError> {
        self.look_at_folder(account, key, mark, depth)
    }

    fn read(&self, account: &str, _key: &FolderKey, item: &FoundItem) -> Result<Content, SiteError> {
        self.read_message(account, item)
    }

    fn quota(&self, account: &str) -> Result<Option<u64>, SiteError> {
        self.quota_of(account)
    }

    fn make_account(&self, account: &str, quota_bytes: Option<u64>) -> Result<Result<(), Reason>, SiteError> {
        pool::patiently_asked(|| self.make_mailbox(account, quota_bytes))
    }

    fn setting_kinds(&self) -> &'static [SettingKind] {
        &[SettingKind::Subscription]
    }

    fn put_setting(&self, account: &str, setting: &Setting) -> Result<Result<(), Reason>, SiteError> {
        pool::patiently_asked(|| self.subscribe(account, setting))
    }

    fn remove_setting(&self, account: &str, key: &SettingKey) -> Result<(), SiteError> {
        pool::patiently(|| self.unsubscribe(account, key))
    }

    fn put_folder(&self, account: &str, folder: &Folder) -> Result<Result<FolderPut, Reason>, SiteError> {
        pool::patiently_asked(|| self.make_folder(account, folder))
    }

    fn rename_folder(&self, account: &str, from: &FolderKey, to: &FolderKey) -> Result<Result<(), Reason>, SiteError> {
        pool::patiently_asked(|| self.move_folder(account, from, to))
    }

    fn remove_folder(&self, account: &str, key: &FolderKey) -> Result<Result<(), Reason>, SiteError> {
        pool::patiently_asked(|| self.drop_folder(account, key))
    }

    fn put_grants(&self, account: &str, key: &FolderKey, grants: &[Grant]) -> Result<Result<(), Reason>, SiteError> {
        pool::patiently_asked(|| self.set_grants(account, key, grants))
    }

    fn reserve_names(&self, account: &str, _key: &FolderKey, wanted: &[String]) -> Result<Vec<String>, SiteError> {
        let seen = self.seen(account);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.reserve(account, wanted, &mut seen)
    }

    fn deliver(
        &self,
        account: &str,
        key: &FolderKey,
        batch: Vec<Delivery>,
    ) -> Result<(Vec<Delivered>, UidsKept), SiteError> {
        self.deliver_mail(account, key, batch)
    }

    fn settle(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<Vec<Option<Present>>, SiteError> {
        self.settle_mail(account, key, names)
    }

    fn unfit_keywords(&self, keywords: &[String]) -> Vec<String> {
        self.unfit(keywords)
    }

    fn set_flags(
        &self,
        account: &str,
        _key: &FolderKey,
        name: &str,
        flags: Flags,
        keywords: &[String],
    ) -> Result<bool, SiteError> {
        self.set_mail_flags(account, name, flags, keywords)
    }

    fn mark_items(&self, account: &str, key: &FolderKey, wanted: &[Marking]) -> Result<Vec<bool>, SiteError> {
        self.mark_mails(account, key, wanted)
    }

    fn move_item(&self, account: &str, _from: &FolderKey, name: &str, to: &FolderKey) -> Result<bool, SiteError> {
        pool::patiently(|| self.move_mail(account, name, to))
    }

    fn replace_item(&self, account: &str, key: &FolderKey, delivery: Delivery) -> Result<bool, SiteError> {
        self.replace_mail(account, key, delivery)
    }

    fn remove_item(&self, account: &str, _key: &FolderKey, name: &str) -> Result<bool, SiteError> {
        self.remove_mail(account, name)
    }

    fn remove_items(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<Vec<bool>, SiteError> {
        self.remove_mails(account, key, names)
    }

    fn stored_as(&self, account: &str, _key: &FolderKey, names: &[String]) -> Result<Vec<Option<StoredAs>>, SiteError> {
        self.stored_mail(account, names)
    }
}
