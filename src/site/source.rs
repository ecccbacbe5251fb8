//! A site that is read: what scans of it give, and the trait [`Source`], which every connector has.
//!
//! Scan marks are opaque bytes that the catalog keeps for the connector which made them.

use super::{FoundItems, SiteError};
use crate::event::{Reason, Rejection};
use crate::model::id::SiteId;
use crate::model::mailbox::{Flags, Folder, FolderKey};
use crate::model::provisioning::{Record, RecordKind};
use crate::model::setting::Setting;
use crate::shelf::Scratch;
use std::collections::BTreeSet;
use std::io;
use std::num::NonZeroU32;

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
    /// All but an account's quota, which another server keeps.
    ButQuota,
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
    pub items: FoundItems,
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

    /// Says where listings of folders lie once they are much; before that, all of each is held in memory.
    fn keep_in(&self, _shelves: &Scratch) {}

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
