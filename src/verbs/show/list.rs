//! Listing: the sources of an archive, the accounts of a site, the folders of an account, the items of a folder.

use super::address::{Within, resolve};
use super::{ShowError, View};
use crate::archive::Archive;
use crate::format::manifest::AccountState;
use crate::model::id::{FolderId, SiteId, SnapshotNo};
use crate::model::mailbox::{Flags, Folder, FolderKind, Item, SpecialUse};
use crate::model::provisioning::{AccountClass, domain_of};
use crate::model::share::Grant;
use crate::shelf::{Cursor, Shelf, Sorter};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

/// A source site that an archive holds snapshots of.
#[derive(Debug, Clone, Serialize)]
pub struct SourceLine {
    pub source: SiteId,
    /// Where it was at its newest snapshot.
    pub locator: String,
    pub snapshots: u64,
    pub newest: SnapshotNo,
    /// Seconds since 1970.
    pub newest_started: i64,
}

#[derive(Debug, Clone, Serialize)]
pub struct AccountLine {
    pub address: String,
    pub class: AccountClass,
    pub name: Option<String>,
    pub items: u64,
    pub bytes: u64,
    /// The newest snapshot that changed its mailbox.
    pub changed: Option<SnapshotNo>,
}

#[derive(Debug, Clone, Serialize)]
pub struct FolderLine {
    /// As an address has it behind the account: `INBOX`, `calendars/personal`.
    pub folder: String,
    pub kind: FolderKind,
    pub title: Option<String>,
    pub special_use: Option<SpecialUse>,
    pub subscribed: bool,
    pub items: u64,
    pub unseen: u64,
    pub bytes: u64,
    pub grants: Vec<Grant>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ItemLine {
    pub name: String,
    /// Seconds since 1970.
    pub date: i64,
    pub size: u64,
    pub flags: Flags,
    pub keywords: Vec<String>,
    pub tags: Vec<String>,
    pub uid: Option<NonZeroU32>,
}

/// Items of a folder, by date and then by name; it may have a million, so each is made as it is asked for.
pub struct ItemLines(Shelf);

impl ItemLines {
    /// All that could be read ([`Archive::check_scratch`]).
    pub fn iter(&self) -> impl Iterator<Item = ItemLine> + '_ {
        let mut cursor = Cursor::default();
        std::iter::from_fn(move || cursor.next(&self.0, |line| serde_json::from_slice(line.rest()).ok()))
    }
}

impl Serialize for ItemLines {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl fmt::Debug for ItemLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// What an address holds, one level down.
#[derive(Debug, Serialize)]
#[serde(tag = "of", rename_all = "kebab-case")]
pub enum Listing {
    Archive { sources: Vec<SourceLine> },
    Site { source: SiteId, snapshot: SnapshotNo, accounts: Vec<AccountLine> },
    Account { account: String, folders: Vec<FolderLine> },
    Folder { account: String, folder: String, items: ItemLines },
}

/// The sources of an archive, by id.
pub fn sources(archive: &Archive) -> Result<Vec<SourceLine>, ShowError> {
    let mut sources = BTreeMap::<SiteId, SourceLine>::new();
    for head in archive.snapshot_heads()? {
        let snapshots = sources.get(&head.source).map_or(0, |line| line.snapshots) + 1;
        let source = head.source.clone();
        let newest_started = head.started;
        let line =
            SourceLine { source: head.source, locator: head.locator, snapshots, newest: head.no, newest_started };
        sources.insert(source, line);
    }
    Ok(sources.into_values().collect())
}

/// Lists what `address` holds: all accounts without one, those of a domain, folders of an account, items of a folder
/// (or that one item).
pub fn list(view: &View<'_>, address: Option<&str>) -> Result<Listing, ShowError> {
    let Some(address) = address else { return Ok(accounts(view, |_| true)) };
    if !address.contains(':') && !view.provisioning.accounts().any(|(_, account)| account.address == address) {
        let domain = address.trim_start_matches('@').to_lowercase();
        let in_domain = |account: &str| domain_of(account).to_lowercase() == domain;
        if view.provisioning.accounts().any(|(_, account)| in_domain(&account.address)) {
            return Ok(accounts(view, in_domain));
        }
    }
    let found = resolve(view, address)?;
    let (account, mailbox) = (found.address, &found.mailbox);
    let items_where = |folder: FolderId, keep: &dyn Fn(&crate::model::id::ItemId) -> bool| {
        let name = mailbox.folders.get(&folder).map(|folder| folder.key.to_string()).unwrap_or_default();
        (name, items(mailbox, folder, keep))
    };
    let listing = match found.within {
        Within::Account => Listing::Account { account, folders: folders(mailbox, |_| true) },
        Within::Above(name) => {
            let beneath = format!("{name}/");
            Listing::Account { account, folders: folders(mailbox, |folder| folder.starts_with(&beneath)) }
        }
        Within::Folder(folder) => {
            let (folder, items) = items_where(folder, &|_| true);
            Listing::Folder { account, folder, items }
        }
        Within::Item(id) => {
            let folder = mailbox.items.get(id).map(|at| at.folder).unwrap_or_default();
            let (folder, items) = items_where(folder, &|other| *other == id);
            Listing::Folder { account, folder, items }
        }
    };
    view.archive.check_scratch()?;
    Ok(listing)
}

fn accounts(view: &View<'_>, wanted: impl Fn(&str) -> bool) -> Listing {
    let newest = view.newest_entries();
    let wanted = view.provisioning.accounts().filter(|(_, account)| wanted(&account.address));
    let mut accounts: Vec<_> = wanted
        .map(|(id, account)| {
            let entry = newest.get(&id);
            AccountLine {
                address: account.address.clone(),
                class: account.class,
                name: account.name.clone(),
                items: entry.map_or(0, |(_, entry)| entry.items),
                bytes: entry.map_or(0, |(_, entry)| entry.bytes),
                changed: entry.map(|(no, _)| *no),
            }
        })
        .collect();
    accounts.sort_by(|a, b| (domain_of(&a.address), &a.address).cmp(&(domain_of(&b.address), &b.address)));
    Listing::Site { source: view.head().source.clone(), snapshot: view.head().no, accounts }
}

fn folders(mailbox: &AccountState, wanted: impl Fn(&str) -> bool) -> Vec<FolderLine> {
    let mut sums = BTreeMap::<FolderId, (u64, u64, u64)>::new();
    for (_, at) in mailbox.items.iter() {
        let sum = sums.entry(at.folder).or_default();
        sum.0 += 1;
        sum.1 += u64::from(!at.item.flags.contains('S'));
        sum.2 = sum.2.saturating_add(at.item.size);
    }
    let mut found: Vec<(&FolderId, &Folder)> =
        mailbox.folders.iter().filter(|(_, folder)| wanted(&folder.key.to_string())).collect();
    // The inbox first, then as kinds and paths sort.
    found.sort_by_key(|(_, folder)| (folder.key.to_string() != "INBOX", &folder.key));
    found
        .into_iter()
        .map(|(id, folder)| {
            let (items, unseen, bytes) = sums.get(id).copied().unwrap_or_default();
            let unseen = if folder.key.kind() == FolderKind::Mail { unseen } else { 0 };
            FolderLine {
                folder: folder.key.to_string(),
                kind: folder.key.kind(),
                title: folder.title.clone(),
                special_use: folder.special_use,
                subscribed: folder.subscribed,
                items,
                unseen,
                bytes,
                grants: folder.grants.clone(),
            }
        })
        .collect()
}

fn items(mailbox: &AccountState, folder: FolderId, keep: &dyn Fn(&crate::model::id::ItemId) -> bool) -> ItemLines {
    let scratch = mailbox.items.scratch();
    let mut sorter = Sorter::new(scratch);
    for (_, at) in mailbox.items.iter().filter(|(id, at)| at.folder == folder && keep(id)) {
        let Item { name, date, size, flags, keywords, tags, uid, .. } = at.item;
        // As bytes these sort as the numbers do.
        let key = [&(date.cast_unsigned() ^ 1 << 63).to_be_bytes()[..], name.as_bytes()].concat();
        let line = ItemLine { name, date, size, flags, keywords, tags, uid };
        sorter.push(&key, &serde_json::to_vec(&line).unwrap_or_default());
    }
    let mut lines = Shelf::new(scratch);
    for (_, line) in sorter.finish() {
        lines.push(|into| into.fixed(&line));
    }
    ItemLines(lines)
}
