//! Mail folders of an account: made with the source's UIDVALIDITY, subscribed, renamed, removed.
//!
//! Promises: a folder that anybody may have seen keeps its UIDVALIDITY; a folder with a message in it is not removed;
//! an interrupted rename is completed by repeating it. Layout: Maildir++ (`maildir::folder_dir`).

use super::super::maildir::uidlist::UidList;
use super::super::maildir::{SUBSCRIPTIONS, folder_dir, subscriptions};
use super::dotlock::Dotlock;
use super::hand::{Hand, PRIVATE, Sync, absent, io_error};
use super::listing;
use super::place::AccountPlace;
use super::records::{is_maildir, make_folder_mark, make_mailbox, make_maildir};
use super::uid_file::UidFile;
use crate::event::Reason;
use crate::fs::FileKind;
use crate::model::mailbox::{Folder, FolderKey, FolderKind};
use crate::site::SiteError;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What making a folder gave.
pub struct Made {
    pub dir: PathBuf,
    pub created: bool,
    /// Why its UIDVALIDITY is not the source's, where it should be and is not.
    pub foreign: Option<String>,
}

/// Makes the folder of `key` (which can be held) unless it is there, with the UIDs' frame of the source where nobody
/// can have seen another.
pub fn make(hand: &Hand, place: &AccountPlace, key: &FolderKey, folder: &Folder) -> Result<Made, SiteError> {
    let dir = place.folder(hand, key)?;
    let created = !is_maildir(hand, &dir)?;
    make_maildir(hand, &dir)?;
    if *key != FolderKey::inbox() {
        make_folder_mark(hand, &dir)?;
    }
    let foreign = match folder.uid_validity {
        Some(validity) => frame_uids(hand, &dir, validity, folder)?,
        None => None,
    };
    Ok(Made { dir, created, foreign })
}

/// Writes the head of a UID list; the reason where the folder has lived without it.
fn frame_uids(hand: &Hand, dir: &Path, validity: NonZeroU32, folder: &Folder) -> Result<Option<String>, SiteError> {
    let mut file = UidFile::lock(hand, dir, &[])?;
    let next_uid = folder.uid_next.or(NonZeroU32::new(1));
    let opened = file.was_opened();
    match &mut file.list {
        Some(list) if list.uid_validity == Some(validity) => {
            if list.messages == 0 && !opened && list.next_uid < next_uid {
                list.next_uid = next_uid;
                file.save(Sync::Everything)?;
            }
            Ok(None)
        }
        Some(list) => Ok(Some(format!(
            "the folder has UIDVALIDITY {} of its own and keeps it, the source's is {validity}",
            list.uid_validity.map_or(0, NonZeroU32::get)
        ))),
        None if opened => Ok(Some("a mail server had opened the folder before".to_owned())),
        None if !listing::list(hand, dir)?.is_empty() => {
            Ok(Some("the folder had mail before its UIDs could be set".to_owned()))
        }
        None => {
            let is_guid = |guid: &String| guid.len() == 32 && guid.bytes().all(|byte| byte.is_ascii_hexdigit());
            file.list = Some(UidList {
                uid_validity: Some(validity),
                next_uid,
                guid: folder.guid.clone().filter(is_guid),
                ..UidList::default()
            });
            // A power loss may take it: then UIDs are not kept, and the first delivery says so. It is synced with that.
            file.save(Sync::Nothing)?;
            Ok(None)
        }
    }
}

/// Changes which folders the account has subscribed to, under the lock that a server takes as well.
pub fn subscribe(
    hand: &Hand,
    place: &AccountPlace,
    change: impl FnOnce(&mut BTreeSet<String>),
) -> Result<(), SiteError> {
    let path = place.maildir().join(SUBSCRIPTIONS);
    let _lock = Dotlock::take(hand.fs.as_ref(), &path)?;
    let mut paths = hand.read(&path)?.as_deref().map(subscriptions::parse).unwrap_or_default();
    let before = paths.clone();
    change(&mut paths);
    if paths != before {
        let present = hand.stat(&path)?;
        let mode = present.map_or(PRIVATE, |stat| stat.mode & 0o777);
        // Nothing is lost with the file of a mailbox that this very pass makes and nobody has used.
        let was_there = present.is_some_and(|stat| hand.is_earlier(&stat))
            || hand.stat(&place.maildir().join("dovecot.list.index.log"))?.is_some();
        let used = hand.rewrites(&path, was_there);
        hand.put(&path, &subscriptions::encode(&paths), mode, if used { Sync::Content } else { Sync::Nothing })?;
    }
    Ok(())
}

/// Subscribes to a folder that need not be there. Refuses a name that would be another one when it is read again.
pub fn subscribe_blindly(hand: &Hand, place: &AccountPlace, path: &str) -> Result<Result<(), Reason>, SiteError> {
    let one = BTreeSet::from([path.to_owned()]);
    if subscriptions::parse(&subscriptions::encode(&one)) != one {
        return Ok(Err(Reason::BadName("the list of subscriptions cannot hold this name".to_owned())));
    }
    if !is_maildir(hand, &place.maildir())? {
        make_mailbox(hand, place)?;
    }
    subscribe(hand, place, |paths| {
        paths.insert(path.to_owned());
    })?;
    Ok(Ok(()))
}

/// Ends such a subscription; that of a folder which has come meanwhile stays, because it is the folder's.
pub fn unsubscribe_blindly(hand: &Hand, place: &AccountPlace, path: &str) -> Result<(), SiteError> {
    if let Ok(key) = FolderKey::new(FolderKind::Mail, path)
        && is_maildir(hand, &place.folder(hand, &key)?)?
    {
        return Ok(());
    }
    subscribe(hand, place, |paths| {
        paths.remove(path);
    })
}

/// Whether the account has subscribed to this path now.
pub fn is_subscribed(hand: &Hand, place: &AccountPlace, path: &str) -> Result<bool, SiteError> {
    let bytes = hand.read(&place.maildir().join(SUBSCRIPTIONS))?;
    Ok(bytes.is_some_and(|bytes| subscriptions::parse(&bytes).contains(path)))
}

/// Renames a folder and all below it.
pub fn rename(
    hand: &Hand,
    place: &AccountPlace,
    from: &FolderKey,
    to: &FolderKey,
) -> Result<Result<(), Reason>, SiteError> {
    let refuse = |what: &str| Ok(Err(Reason::Refused(format!("{from}: {what}"))));
    if *from == FolderKey::inbox() || *to == FolderKey::inbox() {
        return refuse("the inbox cannot be renamed, and nothing else becomes it");
    }
    if to.path().strip_prefix(from.path()).is_some_and(|rest| rest.starts_with('/')) {
        return refuse("a folder cannot move below itself");
    }
    let root = place.maildir();
    let (old, new) = (place.folder(hand, from)?, place.folder(hand, to)?);
    let (there, taken) = (is_maildir(hand, &old)?, is_maildir(hand, &new)?);
    if there && taken {
        return refuse("a folder of the new name exists");
    }
    let pairs = names_below(hand, &root, from, to)?;
    if pairs.is_empty() && !taken {
        return refuse("there is no such folder");
    }
    for (old, new) in &pairs {
        if new.as_bytes().len() > folder_dir::NAME_BYTES {
            return refuse("the new name of a folder below it is too long");
        }
        if hand.stat(&root.join(new))?.is_some() && hand.stat(&root.join(old))?.is_some() {
            return refuse("a folder of the new name exists below it");
        }
    }
    for (old, new) in &pairs {
        match hand.fs.rename_new(&root.join(old), &root.join(new)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            outcome => outcome.map_err(io_error("rename", &root.join(old)))?,
        }
    }
    hand.sync_dir(&root)?;
    subscribe(hand, place, |paths| {
        let below = format!("{}/", from.path());
        let moved: Vec<_> = paths.iter().filter(|p| *p == from.path() || p.starts_with(&below)).cloned().collect();
        for path in moved {
            paths.remove(&path);
            paths.insert(format!("{}{}", to.path(), path.get(from.path().len()..).unwrap_or_default()));
        }
    })?;
    Ok(Ok(()))
}

/// Directories of the folder and of those below it, with their new names; deepest first, so that the folder itself is
/// the last to move and an interrupted rename is seen.
fn names_below(
    hand: &Hand,
    root: &Path,
    from: &FolderKey,
    to: &FolderKey,
) -> Result<Vec<(OsString, OsString)>, SiteError> {
    let mut pairs = Vec::new();
    for encode in [folder_dir::encode as fn(&str) -> String, folder_dir::encode_utf8] {
        let (old, new) = (encode(from.path()), encode(to.path()));
        for entry in hand.list(root)?.into_iter().filter(|entry| entry.kind == FileKind::Dir) {
            let Some(rest) = entry.name.as_bytes().strip_prefix(old.as_bytes()) else { continue };
            if rest.is_empty() || rest.starts_with(b".") {
                let new = [new.as_bytes(), rest].concat();
                pairs.push((entry.name.clone(), OsString::from(std::ffi::OsStr::from_bytes(&new))));
            }
        }
    }
    pairs.sort_by(|a, b| b.cmp(a));
    pairs.dedup_by(|a, b| a.0 == b.0);
    Ok(pairs)
}

/// Removes a folder that holds no message, with its control files. A message that arrives meanwhile stops it.
pub fn remove(hand: &Hand, place: &AccountPlace, key: &FolderKey) -> Result<Result<(), Reason>, SiteError> {
    if *key == FolderKey::inbox() {
        return Ok(Err(Reason::Refused("the inbox cannot be removed".to_owned())));
    }
    let dir = place.folder(hand, key)?;
    if hand.is_dir(&dir)? {
        if !listing::list(hand, &dir)?.is_empty() {
            return Ok(Err(Reason::Refused(format!("{key} holds messages"))));
        }
        for sub in ["new", "cur"] {
            let path = dir.join(sub);
            match hand.fs.remove_dir(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                    make_maildir(hand, &dir)?;
                    return Ok(Err(Reason::Refused(format!("a message came into {key}"))));
                }
                Err(error) => return Err(io_error("remove", &path)(error)),
            }
        }
        remove_rest(hand, &dir)?;
    }
    subscribe(hand, place, |paths| {
        paths.remove(key.path());
    })?;
    Ok(Ok(()))
}

/// What is left of a folder without messages: control files, and `tmp` with what was never delivered.
fn remove_rest(hand: &Hand, dir: &Path) -> Result<(), SiteError> {
    for entry in hand.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.kind == FileKind::Dir {
            for file in hand.list(&path)? {
                hand.remove_file(&path.join(file.name))?;
            }
            absent(hand.fs.remove_dir(&path)).map_err(io_error("remove", &path))?;
        } else {
            hand.remove_file(&path)?;
        }
    }
    absent(hand.fs.remove_dir(dir)).map_err(io_error("remove", dir))?;
    hand.sync_dir(dir.parent().unwrap_or(Path::new(".")))
}
