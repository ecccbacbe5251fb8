//! A site that is written: what it is given, what it answers, and the trait [`Target`].

use super::{SiteError, Source};
use crate::event::Reason;
use crate::model::id::{ObjectId, SiteId};
use crate::model::mailbox::{Flags, Folder, FolderKey, FolderKind};
use crate::model::provisioning::Record;
use crate::model::setting::{Setting, SettingKey, SettingKind};
use crate::model::share::Grant;
use std::io;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// What a target can hold; what it cannot is reported item by item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    pub keeps_uids: bool,
    /// Rights beyond users and groups: lists, domains, classes of service, guests.
    pub all_grantees: bool,
    /// A reason if this kind of setting has no place, for each kind.
    pub unsupported_settings: Vec<(SettingKind, String)>,
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

/// What an item that is there is to be marked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marking {
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

    /// [`Target::set_flags`] for several items of a folder, for which a target may wait together; in order.
    fn mark_items(&self, account: &str, key: &FolderKey, wanted: &[Marking]) -> Result<Vec<bool>, SiteError> {
        wanted.iter().map(|one| self.set_flags(account, key, &one.name, one.flags, &one.keywords)).collect()
    }

    /// Moves an item to another folder of the account, under the same name; `false` when it is gone.
    fn move_item(&self, account: &str, from: &FolderKey, name: &str, to: &FolderKey) -> Result<bool, SiteError>;

    /// Replaces an item's content in place (calendar, contacts, filters); `false` when it is gone. Content that the target
    /// will not have is [`SiteError::Refused`].
    fn replace_item(&self, account: &str, key: &FolderKey, delivery: Delivery) -> Result<bool, SiteError>;

    /// Removes an item; `false` when it was gone already.
    fn remove_item(&self, account: &str, key: &FolderKey, name: &str) -> Result<bool, SiteError>;

    /// [`Target::remove_item`] for several items of a folder, for which a target may wait together; in order.
    fn remove_items(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<Vec<bool>, SiteError> {
        names.iter().map(|name| self.remove_item(account, key, name)).collect()
    }

    /// Brings up to date what the server derives from the rest (the dictionary of shared folders).
    fn finish(&self) -> Result<(), SiteError>;

    /// Where map and ledger are kept beside the site.
    fn state_dir(&self) -> PathBuf;
}
