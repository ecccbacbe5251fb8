//! Compares an account as it was found with the account as the archive has it: which folder is which, which items are
//! new, changed, moved or gone. Decides nothing about content; that is read later.

use super::names::{ByName, Names};
use super::scan::{Begin, End, Pass, Seen, blind};
use super::steps::{Lines, Steps, ToRead};
use super::{ExportError, unseen};
use crate::catalog::{AccountMark, FolderMark};
use crate::format::manifest::{AccountState, FolderLine, ItemChange, ManifestLine};
use crate::model::id::{FolderId, ItemId, RecordId};
use crate::model::mailbox::{Folder, FolderKey, FolderKind, Item};
use crate::shelf::{Scratch, Sorter};
use crate::site::{Depth, FolderListing, FolderScan, FoundFolder, FoundItem, FoundItems, MailboxScan};
use std::cell::LazyCell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a scan of one account found.
pub(super) struct Found<'a> {
    pub mailbox: &'a MailboxScan,
    pub seen: Vec<Seen>,
    /// Folders that are there but could not be looked at.
    pub unseen: HashSet<FolderKey>,
    /// What the last pass remembered of the folders.
    pub versions: Vec<FolderMark>,
    pub settings: Vec<u8>,
    pub full: bool,
    pub salvaged: bool,
}

/// A folder that was listed, and who it is.
struct Placed {
    id: FolderId,
    found: FoundFolder,
    listing: Box<FolderListing>,
}

/// Items that are in no folder any more.
#[derive(Default)]
struct Gone {
    /// Messages keep their names where they move, so they are looked for by them.
    mail: ByName<ItemId>,
    /// Those of which another one has the name, and those of other kinds: a name is one folder's there.
    more: Vec<ItemId>,
}

impl Gone {
    fn add(&mut self, is_mail: bool, known: &Known) {
        if !is_mail || !self.mail.insert(&known.name, known.item) {
            self.more.push(known.item);
        }
    }
}

/// An item of the archive.
struct Known {
    /// The number of its folder among those that are compared.
    rank: u32,
    name: String,
    item: ItemId,
}

/// What the archive has in the folders that `ranks` numbers, by that number and by name.
fn known(
    state: &AccountState,
    ranks: &HashMap<FolderId, u32>,
    scratch: &Scratch,
) -> impl Iterator<Item = Known> + use<> {
    let mut sorter = Sorter::new(scratch);
    let mut key = Vec::new();
    for (item, folder, name) in state.items.names() {
        if let Some(rank) = ranks.get(&folder) {
            key.clear();
            key.extend_from_slice(&rank.to_be_bytes());
            key.extend_from_slice(name.as_bytes());
            sorter.push(&key, &item.0.to_be_bytes());
        }
    }
    sorter.finish().filter_map(|(key, item)| {
        let (rank, name) = key.split_first_chunk()?;
        let item = ItemId(u32::from_be_bytes(item.try_into().ok()?));
        Some(Known { rank: u32::from_be_bytes(*rank), name: String::from_utf8(name.to_vec()).ok()?, item })
    })
}

/// The steps that bring the archive's state of the account up to what was found.
pub(super) fn account(
    pass: &Pass<'_>,
    id: RecordId,
    address: &str,
    state: AccountState,
    found: Found<'_>,
) -> Result<Steps, ExportError> {
    let scratch = state.items.scratch();
    let mut lines = Lines::new(scratch);
    setting_lines(&state, found.mailbox).iter().try_for_each(|line| lines.push(line))?;
    let mut last_folder = state.last_folder;
    let (unchanged, mut placed) = place_folders(&state, found.seen, &found.versions, &mut last_folder);
    let mut marks: Vec<FolderMark> = unchanged;
    let listed: HashSet<&FolderKey> = found.mailbox.folders.iter().map(|found| &found.key).collect();
    for folder in &mut placed {
        carry_beside(pass, address, &state, &listed, folder)?;
        if let Some(known) = state.folders.get(&folder.id) {
            unseen::fill_folder(&mut folder.listing, known);
        }
        if state.folders.get(&folder.id) != Some(&folder.listing.folder) {
            let folder = FolderLine { id: folder.id, folder: folder.listing.folder.clone() };
            lines.push(&ManifestLine::Folder(folder))?;
        }
    }
    let here: HashSet<FolderId> = marks.iter().map(|mark| mark.id).chain(placed.iter().map(|f| f.id)).collect();
    let kept = |id: &FolderId, folder: &Folder| {
        here.contains(id)
            || blind(found.mailbox)
            || found.unseen.contains(&folder.key)
            || found.mailbox.rejected.iter().any(|r| r.place.folder.as_deref() == Some(&folder.key.to_string()))
    };
    let folders_gone: Vec<FolderId> =
        state.folders.iter().filter(|(id, folder)| !kept(id, folder)).map(|(id, _)| *id).collect();

    // Both sides come folder by folder, and by name; whatever the archive alone has is gone.
    let ranks = (0..).zip(folders_gone.iter().copied().chain(placed.iter().map(|folder| folder.id)));
    let ranks: HashMap<FolderId, u32> = ranks.map(|(rank, folder)| (folder, rank)).collect();
    let mut known = known(&state, &ranks, scratch).peekable();
    let mut gone = Gone::default();
    for (rank, folder) in (0..).zip(&folders_gone) {
        let is_mail = state.folders.get(folder).is_some_and(|folder| folder.key.kind() == FolderKind::Mail);
        while let Some(left) = known.next_if(|known| known.rank == rank) {
            gone.add(is_mail, &left);
        }
    }
    let account: Arc<str> = Arc::from(address);
    let mut new: Vec<(ToRead, bool)> = Vec::new();
    let mut reads: Vec<ToRead> = Vec::new();
    let versions: HashMap<FolderId, &HashMap<String, u64>> =
        found.versions.iter().map(|mark| (mark.id, &mark.versions)).collect();
    for Placed { id: folder, found, mut listing } in placed {
        let items = std::mem::take(&mut listing.items);
        let rank = ranks.get(&folder).copied().unwrap_or(u32::MAX);
        let key = Arc::new(found.key.clone());
        let is_mail = key.kind() == FolderKind::Mail;
        let mut mark = FolderMark {
            id: folder,
            key: found.key.clone(),
            ident: found.ident,
            mark: listing.mark,
            versions: HashMap::new(),
        };
        let rejected: HashSet<&str> =
            listing.rejected.iter().filter_map(|rejection| rejection.place.item.as_deref()).collect();
        let mut leave = |known: Known| {
            if !rejected.contains(known.name.as_str()) {
                gone.add(is_mail, &known);
            }
        };
        let mut fresh = ToRead::new(&account, &key, folder, scratch);
        let mut again = ToRead::new(&account, &key, folder, scratch);
        for mut found_item in items.iter() {
            if found_item.version != 0 {
                mark.versions.insert(found_item.name.clone(), found_item.version);
            }
            let name = found_item.name.as_str();
            while let Some(left) = known.next_if(|known| known.rank == rank && *known.name < *name) {
                leave(left);
            }
            let Some(Known { item, .. }) = known.next_if(|known| known.rank == rank && known.name == name) else {
                fresh.push_new(&found_item);
                continue;
            };
            if let Some(at) = state.items.get(item) {
                if listing.beside_unseen {
                    unseen::fill_item(&mut found_item, &at.item);
                }
                if let Some(change) = change(item, &at.item, &found_item, None) {
                    lines.push(&ManifestLine::Change(change))?;
                }
            }
            let before = versions.get(&folder).and_then(|versions| versions.get(&found_item.name)).copied();
            if pass.is_deep(id) || (found_item.version != 0 && before != Some(found_item.version)) {
                again.push_known(&found_item, item);
            }
        }
        while let Some(left) = known.next_if(|known| known.rank == rank) {
            leave(left);
        }
        if !fresh.is_empty() {
            new.push((fresh, listing.beside_unseen));
        }
        if !again.is_empty() {
            reads.push(again);
        }
        marks.push(mark);
    }
    drop(known);

    // Of an account of which nothing is known yet nothing can have come from elsewhere.
    let mut moved: HashSet<ItemId> = HashSet::new();
    if !state.items.is_empty() {
        let mut elsewhere = Elsewhere::new(pass, address, &state, &new);
        for (items, beside_unseen) in &mut new {
            if items.key.kind() != FolderKind::Mail {
                continue;
            }
            let folder = items.folder;
            let mut left = ToRead::new(&account, &items.key, folder, scratch);
            for mut found in items.items() {
                let is_it = |item| state.items.name(item).as_ref() == Some(&found.name);
                let item = gone.mail.take(&found.name, is_it).or_else(|| elsewhere.left(&found.name, folder));
                let Some((item, at)) = item.and_then(|item| Some((item, state.items.get(item)?))) else {
                    left.push_new(&found);
                    continue;
                };
                if *beside_unseen {
                    unseen::fill_item(&mut found, &at.item);
                }
                if let Some(change) = change(item, &at.item, &found, Some(folder)) {
                    lines.push(&ManifestLine::Change(change))?;
                }
                moved.insert(item);
            }
            *items = left;
        }
    }
    reads.extend(new.into_iter().map(|(items, _)| items));
    let gone = gone.mail.into_values().chain(gone.more).filter(|item| !moved.contains(item));
    let mut gone: Vec<ItemId> = gone.collect();
    gone.sort_unstable();

    let end = End { folders_gone, mark: AccountMark { settings: found.settings, folders: marks } };
    let (address, full, salvaged) = (address.to_owned(), found.full, found.salvaged);
    Ok(Steps {
        begin: Some(Box::new(Begin { id, address, state, gone, full, salvaged })),
        lines: Some(lines),
        reads: reads.into_iter(),
        open: None,
        end: Some(Box::new(end)),
    })
}

/// A folder that somebody renamed by hand keeps what the source still has under its newest former place.
fn carry_beside(
    pass: &Pass<'_>,
    address: &str,
    state: &AccountState,
    listed: &HashSet<&FolderKey>,
    folder: &mut Placed,
) -> Result<(), ExportError> {
    let known = state.folders.get(&folder.id).map(|known| &known.key);
    let former = state.former.get(&folder.id).into_iter().flatten().rev();
    for key in known.into_iter().chain(former).filter(|key| !listed.contains(key)) {
        if pass.source.carry_beside(address, key, &mut folder.listing)? {
            break;
        }
    }
    Ok(())
}

fn setting_lines(state: &AccountState, mailbox: &MailboxScan) -> Vec<ManifestLine> {
    let mut lines = Vec::new();
    let mut old: HashSet<_> = state.settings.keys().collect();
    for setting in &mailbox.settings {
        let key = setting.key();
        old.remove(&key);
        if state.settings.get(&key) != Some(setting) {
            lines.push(ManifestLine::Setting(setting.clone()));
        }
    }
    if !blind(mailbox) && !mailbox.settings_unseen {
        let mut gone: Vec<_> = old.into_iter().cloned().collect();
        gone.sort();
        lines.extend(gone.into_iter().map(ManifestLine::SettingGone));
    }
    lines
}

/// Finds out which known folder each listed one is: the same place and hint, the same lasting name (GUID), the same
/// inode with content in common or both empty, the same place; else it is new.
fn place_folders(
    state: &AccountState,
    seen: Vec<Seen>,
    remembered: &[FolderMark],
    last: &mut FolderId,
) -> (Vec<FolderMark>, Vec<Placed>) {
    let mut unchanged = Vec::new();
    let mut listed = Vec::new();
    let mut free: HashMap<FolderId, &Folder> = state.folders.iter().map(|(id, folder)| (*id, folder)).collect();
    for seen in seen {
        match seen {
            Seen::Unchanged(mark) => {
                free.remove(&mark.id);
                unchanged.push(mark);
            }
            Seen::Listed(found, listing) => listed.push((found, listing)),
        }
    }
    let idents: HashMap<FolderId, &str> =
        remembered.iter().filter_map(|mark| Some((mark.id, mark.ident.as_deref()?))).collect();
    let taken: HashSet<FolderKey> = listed.iter().map(|(found, _)| found.key.clone()).collect();
    // Only a folder that is elsewhere asks for it.
    let names: LazyCell<HashMap<FolderId, Names>, _> = LazyCell::new(|| {
        let mut names: HashMap<_, Names> = HashMap::new();
        for (_, folder, name) in state.items.names() {
            names.entry(folder).or_default().insert(&name);
        }
        names
    });
    // An inode is given away again once it is free, so it counts only where the content agrees. Two empty folders agree
    // unless they bear different lasting names.
    let agrees = |id: FolderId, old: &Folder, listing: &FolderListing| match names.get(&id) {
        Some(names) => listing.items.names().any(|name| names.may_have(&name)),
        None => {
            let empty = listing.items.is_empty() && listing.rejected.is_empty();
            empty && (old.guid.is_none() || listing.folder.guid.is_none())
        }
    };
    let mut placed = Vec::new();
    for round in 0..4 {
        let mut rest = Vec::new();
        for (found, listing) in listed {
            let same = |id: &FolderId, old: &Folder| {
                let place = old.key == found.key;
                let kind = old.key.kind() == found.key.kind();
                let guid = old.guid.is_some() && old.guid == listing.folder.guid;
                let ident = found.ident.is_some() && idents.get(id).copied() == found.ident.as_deref();
                match round {
                    0 => place && (guid || ident),
                    1 => guid && !taken.contains(&old.key),
                    2 => ident && kind && !taken.contains(&old.key) && agrees(*id, old, &listing),
                    _ => place,
                }
            };
            let hit = free.iter().filter(|(id, old)| same(id, old)).map(|(id, _)| *id).min();
            match hit {
                Some(id) => {
                    free.remove(&id);
                    placed.push(Placed { id, found, listing });
                }
                None => rest.push((found, listing)),
            }
        }
        listed = rest;
    }
    for (found, listing) in listed {
        last.0 += 1;
        placed.push(Placed { id: *last, found, listing });
    }
    placed.sort_by(|a, b| a.found.key.cmp(&b.found.key));
    (unchanged, placed)
}

/// What differs between an item as recorded and as found now.
pub(super) fn change(id: ItemId, old: &Item, new: &FoundItem, folder: Option<FolderId>) -> Option<ItemChange> {
    let mut change = ItemChange { id, folder, ..ItemChange::default() };
    change.name = (old.name != new.name).then(|| new.name.clone());
    change.flags = (old.flags != new.flags).then_some(new.flags);
    change.keywords = (old.keywords != new.keywords).then(|| new.keywords.clone());
    change.tags = (old.tags != new.tags).then(|| new.tags.clone());
    // A list that lags, or a file that the server has not listed yet, takes no UID away; a move does.
    change.uid = (old.uid != new.uid && (new.uid.is_some() || folder.is_some())).then(|| new.uid.map_or(0, u32::from));
    change.uidl = (old.uidl != new.uidl && new.uidl.is_some()).then(|| new.uidl.clone().unwrap_or_default());
    (change != ItemChange { id, ..ItemChange::default() }).then_some(change)
}

/// Finds items that left a folder after it had been looked at in this very pass: a message that moves while the scan
/// walks must not count twice.
struct Elsewhere<'a> {
    pass: &'a Pass<'a>,
    address: &'a str,
    state: &'a AccountState,
    /// Where the archive has items of the names that are asked for.
    by_name: ByName<ItemId>,
    /// What lies in its other folders now.
    listed: HashMap<FolderId, FoundItems>,
}

impl<'a> Elsewhere<'a> {
    /// `new` are the items that are asked for.
    fn new(pass: &'a Pass<'a>, address: &'a str, state: &'a AccountState, new: &[(ToRead, bool)]) -> Self {
        let asked: Names = new.iter().flat_map(|(items, _)| items.names()).collect();
        let mut by_name = ByName::default();
        for (item, _, name) in state.items.names().filter(|(_, _, name)| asked.may_have(name)) {
            by_name.replace(&name, item);
        }
        Self { pass, address, state, by_name, listed: HashMap::new() }
    }

    /// The item of that name that the archive has in a folder other than `now`, where it no longer is.
    fn left(&mut self, name: &str, now: FolderId) -> Option<ItemId> {
        let item = self.by_name.get(name)?;
        let at = self.state.items.get(item).filter(|at| at.item.name == name)?;
        if at.folder == now {
            return None;
        }
        let items = match self.listed.entry(at.folder) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let key = &self.state.folders.get(&at.folder)?.key;
                match self.pass.source.folder(self.address, key, None, Depth::Marks).ok()? {
                    FolderScan::Listed(listing) => entry.insert(listing.items),
                    FolderScan::Unchanged | FolderScan::Vanished => return None,
                }
            }
        };
        items.find(name).is_none().then_some(item)
    }
}
