//! What a connector promises: a [`Source`] is read, a [`Target`] is written. Nothing in `verbs` names a connector;
//! [`open_source`] is the one match.
//!
//! A connector knows nothing of archives, catalogs and maps. Its scan marks are opaque bytes that the catalog keeps for
//! it. An item's trouble is not an error but a [`Rejection`]; a `SiteError` ends the pass for the account or the site.

pub mod dav;
pub mod directory;
pub mod imap;
pub mod ldap;
pub mod managesieve;
pub mod server;

use crate::event::{Reason, Rejection};
use crate::fs::{FileKind, Fs};
use crate::model::id::{ObjectId, SiteId};
use crate::model::mailbox::{Flags, Folder, FolderKey, FolderKind};
use crate::model::provisioning::{Record, RecordKind};
use crate::model::setting::{Setting, SettingKey};
use crate::model::share::Grant;
use std::collections::BTreeSet;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What can go wrong between a verb and a site as a whole, an account, or a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    #[error("cannot {action} {path}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{0} is not a mail site: it has neither mail/, dav/ nor etc/")]
    NotASite(PathBuf),
    #[error("{path} is unusable")]
    Database { path: PathBuf, source: crate::db::DbError },
    #[error("{path} is held by another program since {since}")]
    Locked { path: PathBuf, since: String },
    #[error("{path}: {what}")]
    Malformed { path: PathBuf, what: String },
    #[error("there is no account {0}")]
    NoAccount(String),
    #[error("{0}")]
    Unsupported(String),
    /// The target will not have what one item became, in its words; the item is as it was.
    #[error("{0}")]
    Refused(Reason),
    #[error(transparent)]
    Net(crate::net::NetError),
    /// The connection ended or fell silent; trying again later may help.
    #[error("lost {server} while {doing}")]
    Lost { server: String, doing: String, source: io::Error },
    /// The server's own words, or what is wrong with its answer.
    #[error("{server}: {what}")]
    Server { server: String, what: String },
}

impl SiteError {
    /// The error as a reason for a rejection, where only one folder or account is concerned.
    pub fn as_reason(&self) -> Reason {
        if let Self::Refused(reason) = self {
            return reason.clone();
        }
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        Reason::Unreadable(text)
    }
}

/// Opens the source that `spec` names: a folder, `dir:FOLDER`, or a site description (a file that ends in `.toml`).
///
/// A text before the first `:` is a scheme only where it looks like one (two letters or more, letters and digits), so
/// that a folder may have any name: `./imap:old` is a folder.
pub fn open_source(fs: Arc<dyn Fs>, spec: &str) -> Result<Box<dyn Source>, SiteError> {
    match split_spec(spec) {
        (None, file) if is_description(fs.as_ref(), file) => Ok(Box::new(server::open_source(fs, Path::new(file))?)),
        (None | Some("dir"), folder) => Ok(Box::new(directory::DirectorySite::open(fs, Path::new(folder))?)),
        (Some(other), _) => Err(unknown_scheme(other)),
    }
}

/// Opens the target that `spec` names, as [`open_source`] does; a folder that is not there is made. What is written
/// belongs to `owner` (user and group id); without one, to whom the site belongs already, else to the process.
pub fn open_target(fs: Arc<dyn Fs>, spec: &str, owner: Option<(u32, u32)>) -> Result<Box<dyn Target>, SiteError> {
    match split_spec(spec) {
        (None, file) if is_description(fs.as_ref(), file) => match owner {
            Some(_) => {
                Err(SiteError::Unsupported("an owner is for files of a directory site, not for servers".to_owned()))
            }
            None => Ok(Box::new(server::open_target(fs, Path::new(file))?)),
        },
        (None | Some("dir"), folder) => {
            let site = directory::DirectorySite::create(fs, Path::new(folder), owner)?;
            Ok(Box::new(directory::target::DirectoryTarget::new(site)))
        }
        (Some(other), _) => Err(unknown_scheme(other)),
    }
}

/// Whether `spec` names a site description. One that is not there is meant all the same: nobody calls a folder so.
pub fn is_description(fs: &dyn Fs, spec: &str) -> bool {
    spec.ends_with(".toml") && !fs.stat(Path::new(spec)).is_ok_and(|stat| stat.kind == FileKind::Dir)
}

/// Scheme, if there is one, and the rest.
fn split_spec(spec: &str) -> (Option<&str>, &str) {
    let is_scheme = |text: &str| text.len() > 1 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match spec.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
        _ => (None, spec),
    }
}

fn unknown_scheme(scheme: &str) -> SiteError {
    SiteError::Unsupported(format!(
        "no kind of site is called {scheme:?}; known are a folder, dir:FOLDER and a site description FILE.toml (a folder of that name is ./{scheme}:…)"
    ))
}

/// A site as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteDescription {
    /// The connector's scheme: `dir`.
    pub scheme: &'static str,
    /// Where it is, in one spelling (an absolute, resolved path).
    pub locator: String,
    /// The id that the site itself keeps, if it does.
    pub id: Option<SiteId>,
    /// It may keep one, where nobody can look now.
    pub id_unseen: bool,
}

/// How much of a record a scan could look at. What it could not look at counts as unchanged, never as emptied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Seen {
    #[default]
    Whole,
    /// All but what the site keeps beside the record itself: class and class of service of an account, owners and name of
    /// a list, attributes; and whether an address is a list or an alias.
    Core,
    /// Only that it is there.
    Existence,
}

/// A provisioning record as a scan found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRecord {
    pub record: Record,
    /// Hints by which the same record is known again under another key, strongest first (an id of the site's own, the
    /// inbox's GUID, the inode of the mailbox). Any that two scans share makes them the same record.
    pub idents: Vec<String>,
    /// There may be more hints, where nobody can look now.
    pub idents_unseen: bool,
    pub seen: Seen,
}

/// All provisioning records of a site, sorted by kind and key.
#[derive(Clone, Debug, Default)]
pub struct ProvisioningScan {
    pub records: Vec<FoundRecord>,
    pub rejected: Vec<Rejection>,
    /// Kinds of which there may be more than could be looked at: one that is missing here is not gone.
    pub incomplete: BTreeSet<RecordKind>,
    /// Keys of which something is said that makes no sense: a record of that key which is missing here is not gone.
    pub unclear: BTreeSet<String>,
}

/// A folder as the listing of a mailbox found it; nothing of it has been read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFolder {
    pub key: FolderKey,
    /// A hint by which it is known again under another path on this very source (device and inode).
    pub ident: Option<String>,
}

/// One account's folders (sorted by key) and settings (sorted by key).
#[derive(Clone, Debug, Default)]
pub struct MailboxScan {
    pub folders: Vec<FoundFolder>,
    pub settings: Vec<Setting>,
    pub rejected: Vec<Rejection>,
    /// There may be settings where nobody can look now: one that is missing here is not gone. The cause is a rejection,
    /// here or in the [`ProvisioningScan`].
    pub settings_unseen: bool,
}

/// How far a scan trusts its marks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// A folder whose mark has not changed is not read.
    Marks,
    /// Everything is listed, and every item is read and hashed by the caller.
    Deep,
}

/// What looking at one folder gave.
#[derive(Debug)]
pub enum FolderScan {
    /// The mark still holds: nothing in the folder has changed since it was made.
    Unchanged,
    Listed(Box<FolderListing>),
    /// It vanished since the mailbox was listed.
    Vanished,
}

/// A folder with everything in it.
#[derive(Debug)]
pub struct FolderListing {
    pub folder: Folder,
    /// Sorted by name; a name occurs once.
    pub items: Vec<FoundItem>,
    pub rejected: Vec<Rejection>,
    /// What the site keeps beside the folder's own files could not be looked at, so these count as unchanged: special use,
    /// title, colour, grants that are missing, tags and missing keywords of items. The mark is empty then.
    pub beside_unseen: bool,
    /// Whether anybody subscribed to it could not be looked at, and counts as unchanged. The mark is empty then.
    pub subscription_unseen: bool,
    /// To be given to the next scan of this folder; opaque to everyone but its maker. Empty: never trust it (something
    /// could not be read, or changed too recently to be sure).
    pub mark: Vec<u8>,
}

/// An item as a listing found it; its content has not been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundItem {
    pub name: String,
    /// Where it lies, for [`Source::read`]; the connector's own (bytes of a path relative to the site's root).
    pub place: Vec<u8>,
    pub flags: Flags,
    /// Sorted, each once.
    pub keywords: Vec<String>,
    /// Sorted, each once.
    pub tags: Vec<String>,
    pub uid: Option<NonZeroU32>,
    pub uidl: Option<String>,
    /// Changes whenever the content may have been edited in place (time, size and inode, mixed); 0 where a name never
    /// gets another content (Maildir).
    pub version: u64,
}

/// The content of one item, read as it was at one moment.
pub enum Content {
    /// At most [`WHOLE_ITEM_BYTES`](crate::limits::WHOLE_ITEM_BYTES).
    Bytes { bytes: Vec<u8>, date: i64 },
    /// A larger one, to be streamed; `bytes` is its size when opened. Open it again to read it twice.
    Large { size: u64, date: i64, open: Box<dyn Fn() -> io::Result<Box<dyn io::Read + Send>> + Send> },
    /// It is gone or has moved: left for the next pass, no error.
    Vanished,
    /// It is there and cannot be read.
    Rejected(Reason),
}

/// A site that can be read. Calls come from several threads.
pub trait Source: Send + Sync {
    fn describe(&self) -> Result<SiteDescription, SiteError>;

    /// A sentence for each thing that a user should be told in every run (a connection that nothing protects).
    fn cautions(&self) -> Vec<String> {
        Vec::new()
    }

    /// Tells which accounts bore other addresses before, as (former, present), oldest first. What the site keeps by
    /// address beside files may still lie under a former one, where somebody renamed an account by hand; from now on it
    /// counts, unless the present address has something of its own or the former names another account again.
    fn follow_accounts(&self, _renamed: Vec<(String, String)>) {}

    /// Adds to the listing of a folder what the site still keeps beside files under its former place, on the same
    /// terms; `false` where there is nothing to add.
    fn carry_beside(
        &self,
        _account: &str,
        _former: &FolderKey,
        _listing: &mut FolderListing,
    ) -> Result<bool, SiteError> {
        Ok(false)
    }

    /// Every provisioning record; accounts that only exist as mailboxes included. What of them cannot be read is a
    /// rejection, and marked as unseen in the scan.
    fn provisioning(&self) -> Result<ProvisioningScan, SiteError>;

    /// Lists folders and settings of an account. An account without a mailbox gives an empty scan.
    fn mailbox(&self, account: &str) -> Result<MailboxScan, SiteError>;

    /// Looks at one folder; `mark` is what the last scan of it gave.
    fn folder(
        &self,
        account: &str,
        key: &FolderKey,
        mark: Option<&[u8]>,
        depth: Depth,
    ) -> Result<FolderScan, SiteError>;

    /// Reads one item that a listing found. A file that was renamed meanwhile (new → cur, a flag) is found again.
    fn read(&self, account: &str, key: &FolderKey, item: &FoundItem) -> Result<Content, SiteError>;
}

/// What a target can hold; what it cannot is reported item by item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    pub keeps_uids: bool,
    /// Rights beyond users and groups: lists, domains, classes of service, guests.
    pub all_grantees: bool,
    /// A reason if this kind of setting has no place, for each kind.
    pub unsupported_settings: Vec<(crate::model::setting::SettingKind, String)>,
}

/// What becomes of the line ends of what a target is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineEnds {
    Kept,
    /// Each is CRLF: a protocol knows no other.
    Crlf,
}

/// One change to provisioning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordChange {
    /// Make it, or set it to this. `was` is its key before, where it is a rename: the mailbox moves with it.
    Put {
        record: Record,
        was: Option<String>,
    },
    Remove {
        record: Record,
    },
}

/// What changes to provisioning would come to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PlannedRecords {
    /// One for each change, in order.
    pub outcomes: Vec<Result<(), Reason>>,
    /// The changes in the server's own language (LDIF for a directory), with everything in them: passwords' hashes too.
    pub text: String,
}

/// How UIDs went when a folder was made or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UidsKept {
    Yes,
    /// Why clients will load this folder again.
    No(String),
}

/// What [`Target::put_folder`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderPut {
    /// Where the folder is now; differs from what was asked for where the target cannot hold that name.
    pub key: FolderKey,
    pub created: bool,
    /// A sentence for each thing that it should say of itself and does not: the target has refused it, in its words.
    pub lost: Vec<String>,
}

/// An item on its way in.
pub struct Delivery {
    /// The name that [`Target::reserve_names`] gave. The intent in the map holds it before this is called.
    pub name: String,
    pub content: ItemContent,
    /// Seconds since 1970.
    pub date: i64,
    pub flags: Flags,
    pub keywords: Vec<String>,
    pub tags: Vec<String>,
    pub uid: Option<NonZeroU32>,
    pub uidl: Option<String>,
}

/// Items for one folder.
pub struct Batch {
    pub key: FolderKey,
    pub items: Vec<Delivery>,
}

/// Where the bytes of a delivery come from.
pub enum ItemContent {
    Bytes(Vec<u8>),
    /// Writes them out, `size` bytes, for what is too large to be held.
    Stream {
        size: u64,
        write: WriteOut,
    },
}

impl ItemContent {
    /// All bytes, where they are at most `limit`; else why the item cannot be had as a whole.
    pub fn whole(self, limit: u64) -> Result<Vec<u8>, Reason> {
        let size = match &self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Stream { size, .. } => *size,
        };
        if size > limit {
            return Err(Reason::TooLarge(format!("{size} bytes, where {limit} are the most")));
        }
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Stream { write, .. } => {
                let mut bytes = Vec::new();
                write(&mut bytes).map(|_| bytes).map_err(|error| Reason::Damaged(error.to_string()))
            }
        }
    }
}

/// Writes an item's bytes to the given writer and returns how many.
pub type WriteOut = Box<dyn Fn(&mut dyn io::Write) -> io::Result<u64> + Send>;

/// What became of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It is there, under the reserved name, durable. `uid` is the one it got, where the target gives one now.
    Done {
        uid: Option<NonZeroU32>,
    },
    Rejected(Reason),
}

/// An item as the target has it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    pub key: FolderKey,
    pub name: String,
    pub flags: Flags,
    pub keywords: Vec<String>,
}

/// What a target has of an item whose bytes it could not keep as they were delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredAs {
    pub object: ObjectId,
    /// A server changed it on its own; else only line ends were changed, because the protocol has but one.
    pub by_server: bool,
}

/// A site that can be written, by one importer at a time. What it holds, it can also tell, so a target is a source.
///
/// Every call is safe to repeat: doing again what is done already changes nothing.
pub trait Target: Source {
    fn capabilities(&self) -> Capabilities;

    /// What becomes of line ends in folders of this kind, so that the map knows the bytes that lie there.
    fn line_ends(&self, _kind: FolderKind) -> LineEnds {
        LineEnds::Kept
    }

    /// Makes an empty site, or takes an existing one; the id it then keeps for ever. `fallback` is used when it has
    /// none yet.
    fn prepare(&self, fallback: &SiteId) -> Result<SiteId, SiteError>;

    /// Applies provisioning changes as one write where the target can. One outcome for each change, in order.
    fn put_records(&self, changes: &[RecordChange]) -> Result<Vec<Result<(), Reason>>, SiteError>;

    /// What [`Target::put_records`] would do, where the target can tell; it goes on from what it planned before. Nothing is
    /// written.
    fn plan_records(&self, changes: &[RecordChange]) -> Result<Option<PlannedRecords>, SiteError> {
        let _ = changes;
        Ok(None)
    }

    /// Makes a folder, or sets subscription, special use, title, colour and active script of one that is there.
    /// Grants are not touched: [`Target::put_grants`] does. UIDVALIDITY and next UID are set only where the folder has
    /// never held a message nor been opened.
    fn put_folder(&self, account: &str, folder: &Folder) -> Result<Result<FolderPut, Reason>, SiteError>;

    /// Says that an account's new folders are made: they and what was written into them are durable when this returns.
    fn folders_made(&self, account: &str) -> Result<(), SiteError> {
        let _ = account;
        Ok(())
    }

    /// Says that items or folders of an account were changed, moved or removed: that is durable when this returns.
    fn changes_made(&self, account: &str) -> Result<(), SiteError> {
        self.folders_made(account)
    }

    /// Renames a folder with everything in it and below it.
    fn rename_folder(&self, account: &str, from: &FolderKey, to: &FolderKey) -> Result<Result<(), Reason>, SiteError>;

    /// Removes a folder that holds no item.
    fn remove_folder(&self, account: &str, key: &FolderKey) -> Result<Result<(), Reason>, SiteError>;

    /// Replaces a folder's access list.
    fn put_grants(&self, account: &str, key: &FolderKey, grants: &[Grant]) -> Result<Result<(), Reason>, SiteError>;

    fn put_setting(&self, account: &str, setting: &Setting) -> Result<Result<(), Reason>, SiteError>;

    fn remove_setting(&self, account: &str, key: &SettingKey) -> Result<(), SiteError>;

    /// Names under which the wanted items can be delivered: the wanted name where it is free in the whole account, else
    /// a new one. Nothing is written.
    fn reserve_names(&self, account: &str, key: &FolderKey, wanted: &[String]) -> Result<Vec<String>, SiteError>;

    /// Delivers a batch into a folder that exists. All that is `Done` is durable when this returns. One outcome for each.
    /// `UidsKept` speaks of this batch.
    fn deliver(
        &self,
        account: &str,
        key: &FolderKey,
        batch: Vec<Delivery>,
    ) -> Result<(Vec<Delivered>, UidsKept), SiteError>;

    /// [`Target::deliver`] for several folders of an account, for which a target may wait together; in order.
    fn deliver_all(&self, account: &str, batches: Vec<Batch>) -> Result<Vec<(Vec<Delivered>, UidsKept)>, SiteError> {
        batches.into_iter().map(|batch| self.deliver(account, &batch.key, batch.items)).collect()
    }

    /// The bytes of a message of at most `limit` bytes that was delivered under this name and with these flags, where
    /// that is cheaper than reading an archive; `None` where it is not, or where it no longer lies there so. Whoever
    /// asks compares the bytes with what they should be.
    fn delivered(
        &self,
        account: &str,
        key: &FolderKey,
        name: &str,
        flags: Flags,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, SiteError> {
        let _ = (account, key, name, flags, limit);
        Ok(None)
    }

    /// Settles intents: which of these names are in the account, wherever in it. Completes what a crash left half done
    /// (a file without its UID).
    fn settle(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<Vec<Option<Present>>, SiteError>;

    /// For each of these delivered items what the target has now, where that is other than what was delivered; nothing at
    /// all where a target keeps everything as it is.
    fn stored_as(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<Vec<Option<StoredAs>>, SiteError> {
        let _ = (account, key, names);
        Ok(Vec::new())
    }

    /// Those of `keywords` that no item in a folder of this kind can have here. What is delivered comes without them.
    fn unfit_keywords(&self, kind: FolderKind, keywords: &[String]) -> Vec<String> {
        let _ = (kind, keywords);
        Vec::new()
    }

    /// Sets flags and keywords of an item that is there; `false` when it is gone.
    fn set_flags(
        &self,
        account: &str,
        key: &FolderKey,
        name: &str,
        flags: Flags,
        keywords: &[String],
    ) -> Result<bool, SiteError>;

    /// Moves an item to another folder of the account, under the same name; `false` when it is gone.
    fn move_item(&self, account: &str, from: &FolderKey, name: &str, to: &FolderKey) -> Result<bool, SiteError>;

    /// Replaces an item's content in place (calendar, contacts, filters); `false` when it is gone. Content that the target
    /// will not have is [`SiteError::Refused`].
    fn replace_item(&self, account: &str, key: &FolderKey, delivery: Delivery) -> Result<bool, SiteError>;

    fn remove_item(&self, account: &str, key: &FolderKey, name: &str) -> Result<bool, SiteError>;

    /// Brings up to date what the server derives from the rest (the dictionary of shared folders).
    fn finish(&self) -> Result<(), SiteError>;

    /// Where map and ledger are kept beside the site.
    fn state_dir(&self) -> PathBuf;
}
