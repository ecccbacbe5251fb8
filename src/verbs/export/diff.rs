//! Compares an account as it was found with the account as the archive has it: which folder is which, which items are
//! new, changed, moved or gone. Decides nothing about content; that is read later.

use super::scan::{Begin, End, Pass, Read, Seen, blind};
use super::steps::{NewItems, Steps};
use super::{ExportError, unseen};
use crate::catalog::{AccountMark, FolderMark};
use crate::format::manifest::{AccountState, FolderLine, ItemChange, ManifestLine};
use crate::model::id::{FolderId, ItemId, RecordId};
use crate::model::mailbox::{Folder, FolderKey, FolderKind, Item};
use crate::site::{Depth, FolderListing, FolderScan, FoundFolder, FoundItem, MailboxScan};
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
struct Gone<'a> {
    /// Messages keep their names where they move, so they are looked for by them.
    mail: HashMap<&'a str, ItemId>,
    /// Those of which another one has the name, and those of other kinds: a name is one folder's there.
    more: Vec<ItemId>,
}

impl<'a> Gone<'a> {
    fn add(&mut self, is_mail: bool, items: impl IntoIterator<Item = (&'a str, ItemId)>) {
        for (name, item) in items {
            match self.mail.entry(name) {
                Entry::Vacant(entry) if is_mail => {
                    entry.insert(item);
                }
                _ => self.more.push(item),
            }
        }
    }
}

/// The steps that bring the archive's state of the account up to what was found.
pub(super) fn account(
    pass: &Pass<'_>,
    id: RecordId,
    address: &str,
    state: AccountState,
    found: Found<'_>,
) -> Result<Steps, ExportError> {
    let mut lines = Vec::new();
    setting_lines(&state, found.mailbox, &mut lines);
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
            lines.push(ManifestLine::Folder(FolderLine { id: folder.id, folder: folder.listing.folder.clone() }));
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

    // By folder, what the archive has; whatever is left at the end is gone.
    let unchanged: HashSet<FolderId> = marks.iter().map(|mark| mark.id).collect();
    let mut old: HashMap<FolderId, Vec<ItemId>> = HashMap::new();
    for (item, folder, _) in state.items.names().filter(|(_, folder, _)| !unchanged.contains(folder)) {
        old.entry(folder).or_default().push(item);
    }
    let named = |item: ItemId| (state.items.name(item).unwrap_or_default(), item);
    let mut gone = Gone::default();
    for folder in &folders_gone {
        let is_mail = state.folders.get(folder).is_some_and(|folder| folder.key.kind() == FolderKind::Mail);
        gone.add(is_mail, old.remove(folder).unwrap_or_default().into_iter().map(named));
    }
    let account: Arc<str> = Arc::from(address);
    let mut new: Vec<(NewItems, bool)> = Vec::new();
    let mut reads: Vec<Read> = Vec::new();
    let versions: HashMap<FolderId, &HashMap<String, u64>> =
        found.versions.iter().map(|mark| (mark.id, &mark.versions)).collect();
    for Placed { id: folder, found, listing: mut listed } in placed {
        let items = std::mem::take(&mut listed.items);
        let listing = listed;
        let key = Arc::new(found.key.clone());
        let is_mail = key.kind() == FolderKind::Mail;
        let mut known = old.remove(&folder).unwrap_or_default();
        known.sort_by_key(|item| named(*item));
        let mut known = known.into_iter().map(named).peekable();
        let mut mark = FolderMark {
            id: folder,
            key: found.key.clone(),
            ident: found.ident,
            mark: listing.mark,
            versions: HashMap::new(),
        };
        let rejected: HashSet<&str> =
            listing.rejected.iter().filter_map(|rejection| rejection.place.item.as_deref()).collect();
        let mut items = NewItems::new(Arc::clone(&account), Arc::clone(&key), folder, items);
        items.retain(|mut found_item| {
            if found_item.version != 0 {
                mark.versions.insert(found_item.name.clone(), found_item.version);
            }
            // Both sides come by name.
            while let Some(left) = known.next_if(|(name, _)| *name < found_item.name.as_str()) {
                gone.add(is_mail, Some(left).filter(|(name, _)| !rejected.contains(name)));
            }
            let Some((_, item)) = known.next_if(|(name, _)| *name == found_item.name.as_str()) else { return true };
            if let Some(at) = state.items.get(item) {
                if listing.beside_unseen {
                    unseen::fill_item(&mut found_item, &at.item);
                }
                lines.extend(change(item, &at.item, &found_item, None).map(ManifestLine::Change));
            }
            let before = versions.get(&folder).and_then(|versions| versions.get(&found_item.name)).copied();
            if pass.is_deep(id) || (found_item.version != 0 && before != Some(found_item.version)) {
                let (account, key) = (Arc::clone(&account), Arc::clone(&key));
                reads.push(Read { account, key, folder, found: found_item, known: Some(item) });
            }
            false
        });
        if !items.is_empty() {
            new.push((items, listing.beside_unseen));
        }
        gone.add(is_mail, known.filter(|(name, _)| !rejected.contains(name)));
        marks.push(mark);
    }

    // Of an account of which nothing is known yet nothing can have come from elsewhere.
    let asked = new.iter().filter(|_| !state.items.is_empty());
    let new_names = asked.flat_map(|(items, _)| items.names()).collect();
    let mut elsewhere = Elsewhere::new(pass, address, &state, &new_names);
    let mut came: Vec<NewItems> = Vec::new();
    for (mut items, beside_unseen) in new {
        let (folder, is_mail) = (items.folder, items.key.kind() == FolderKind::Mail);
        items.retain(|mut found| {
            let moved = match is_mail {
                true => gone.mail.remove(found.name.as_str()).or_else(|| elsewhere.left(&found.name, folder)),
                false => None,
            };
            let Some((item, at)) = moved.and_then(|item| Some((item, state.items.get(item)?))) else { return true };
            if beside_unseen {
                unseen::fill_item(&mut found, &at.item);
            }
            lines.extend(change(item, &at.item, &found, Some(folder)).map(ManifestLine::Change));
            false
        });
        came.push(items);
    }
    drop(elsewhere);
    let moved: HashSet<ItemId> = lines
        .iter()
        .filter_map(|line| match line {
            ManifestLine::Change(change) => Some(change.id),
            _ => None,
        })
        .collect();
    let mut gone: Vec<ItemId> = gone.mail.into_values().chain(gone.more).filter(|item| !moved.contains(item)).collect();
    gone.sort_unstable();

    let end = End { folders_gone, mark: AccountMark { settings: found.settings, folders: marks } };
    let (address, full, salvaged) = (address.to_owned(), found.full, found.salvaged);
    Ok(Steps {
        begin: Some(Box::new(Begin { id, address, state, gone, full, salvaged })),
        lines: lines.into_iter(),
        again: reads.into_iter(),
        new: came.into_iter(),
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

fn setting_lines(state: &AccountState, mailbox: &MailboxScan, lines: &mut Vec<ManifestLine>) {
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
    let names: LazyCell<HashMap<FolderId, HashSet<&str>>, _> = LazyCell::new(|| {
        let mut names: HashMap<_, HashSet<&str>> = HashMap::new();
        for (_, folder, name) in state.items.names() {
            names.entry(folder).or_default().insert(name);
        }
        names
    });
    // An inode is given away again once it is free, so it counts only where the content agrees. Two empty folders agree
    // unless they bear different lasting names.
    let agrees = |id: FolderId, old: &Folder, listing: &FolderListing| match names.get(&id) {
        Some(names) => listing.items.names().any(|name| names.contains(name)),
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
    /// Where the archive has items of these names.
    by_name: HashMap<&'a str, ItemId>,
    listed: HashMap<FolderId, HashSet<String>>,
}

impl<'a> Elsewhere<'a> {
    /// `new` are the names that are asked for.
    fn new(pass: &'a Pass<'a>, address: &'a str, state: &'a AccountState, new: &HashSet<&str>) -> Self {
        let known = state.items.names().filter(|(_, _, name)| new.contains(name));
        let by_name = known.map(|(id, _, name)| (name, id)).collect();
        Self { pass, address, state, by_name, listed: HashMap::new() }
    }

    /// The item of that name that the archive has in a folder other than `now`, where it no longer is.
    fn left(&mut self, name: &str, now: FolderId) -> Option<ItemId> {
        let item = self.by_name.get(name).copied()?;
        let folder = self.state.items.get(item)?.folder;
        if folder == now {
            return None;
        }
        let names = match self.listed.entry(folder) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let key = &self.state.folders.get(&folder)?.key;
                match self.pass.source.folder(self.address, key, None, Depth::Marks).ok()? {
                    FolderScan::Listed(listing) => entry.insert(listing.items.names().map(str::to_owned).collect()),
                    FolderScan::Unchanged | FolderScan::Vanished => return None,
                }
            }
        };
        (!names.contains(name)).then_some(item)
    }
}
