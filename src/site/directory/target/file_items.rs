//! Items that are one file each in a directory: events, contacts, tasks, files, Sieve scripts.
//!
//! Promises: an item appears under its name complete, durable and with its date; replacing one never shows half of it.

use super::super::vdir;
use super::hand::{Hand, PRIVATE, Sync, TEMPORARY, Temporary, io_error, is_fatal};
use super::mail_delivery::fill;
use super::names::may_be_a_file;
use super::place::AccountPlace;
use crate::event::Reason;
use crate::fs::FileKind;
use crate::model::mailbox::{Folder, FolderKey, FolderKind};
use crate::model::text;
use crate::site::{Delivered, Delivery, SiteError};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The file of an item in the folder's directory.
pub fn path_of(dir: &Path, kind: FolderKind, item: &str) -> PathBuf {
    dir.join(file_name(kind, item))
}

/// A script is named without the ending that its file has; any other item is named as its file.
fn file_name(kind: FolderKind, item: &str) -> String {
    match kind {
        FolderKind::Filters => format!("{item}.{}", vdir::extension(kind).unwrap_or_default()),
        _ => item.to_owned(),
    }
}

/// Names of the items that a folder has.
pub fn names(hand: &Hand, dir: &Path, kind: FolderKind) -> Result<Vec<String>, SiteError> {
    let files = hand.list(dir)?.into_iter().filter(|entry| entry.kind != FileKind::Dir);
    let name = |file: &[u8]| {
        let name = text::from_bytes(file);
        match kind {
            FolderKind::Filters => name.strip_suffix(".sieve").map(str::to_owned),
            _ => Some(name),
        }
    };
    Ok(files.filter_map(|entry| name(entry.name.as_bytes())).collect())
}

/// Makes the directory of a folder and sets the files that describe it. Whether it was missing.
pub fn make(hand: &Hand, dir: &Path, folder: &Folder) -> Result<bool, SiteError> {
    let created = !hand.is_dir(dir)?;
    hand.make_dir(dir, 0o700)?;
    if has_metadata_files(folder.key.kind()) {
        for (file, value) in vdir::metadata_files(folder) {
            let path = dir.join(file);
            match value {
                Some(value) => {
                    let same = hand.read(&path)?.is_some_and(|now| vdir::parse_metadata(&now).as_ref() == Some(value));
                    // A new collection waits for the disk with its account (`Target::folders_made`).
                    if !same && created {
                        hand.put(&path, &vdir::encode_metadata(value), PRIVATE, Sync::Content)?;
                    } else if !same {
                        hand.update(&path, &vdir::encode_metadata(value), PRIVATE)?;
                    }
                }
                None => drop(hand.remove_file(&path)?),
            }
        }
    }
    Ok(created)
}

/// Kinds whose title, colour, description, order and components are files of the collection.
pub fn has_metadata_files(kind: FolderKind) -> bool {
    matches!(kind, FolderKind::Calendars | FolderKind::Contacts | FolderKind::Tasks)
}

/// Writes a batch under temporary names into the directory, which exists; with [`Sync::Nothing`] the caller makes them
/// durable before [`publish`].
pub fn stage_batch<'a>(
    hand: &'a Hand,
    dir: &Path,
    kind: FolderKind,
    batch: &[Delivery],
    sync: Sync,
) -> Result<Vec<Result<Temporary<'a>, Reason>>, SiteError> {
    batch.iter().map(|delivery| draft(hand, dir, kind, delivery, sync)).collect()
}

/// Gives what was staged its names; the caller makes those durable.
pub fn publish(drafts: Vec<Result<Temporary<'_>, Reason>>) -> Result<Vec<Delivered>, SiteError> {
    let place = |draft: Result<Temporary<'_>, Reason>| match draft {
        // A file that is there is this very item, delivered before a crash.
        Ok(draft) => draft.put_in_place_if_new().map(|()| Delivered::Done { uid: None }),
        Err(reason) => Ok(Delivered::Rejected(reason)),
    };
    drafts.into_iter().map(place).collect()
}

/// Replaces the content of one item, durably.
pub fn replace(
    hand: &Hand,
    dir: &Path,
    kind: FolderKind,
    delivery: &Delivery,
) -> Result<Result<(), Reason>, SiteError> {
    match draft(hand, dir, kind, delivery, Sync::Content)? {
        Ok(draft) => draft.put_in_place()?,
        Err(reason) => return Ok(Err(reason)),
    }
    hand.sync_dir(dir)?;
    Ok(Ok(()))
}

/// Writes one item under a temporary name. The outer error ends the pass (a full disk), the inner one concerns this item.
fn draft<'a>(
    hand: &'a Hand,
    dir: &Path,
    kind: FolderKind,
    delivery: &Delivery,
    sync: Sync,
) -> Result<Result<Temporary<'a>, Reason>, SiteError> {
    if !may_be_a_file(kind, &delivery.name) {
        return Ok(Err(Reason::BadName(format!("no file of this kind can be called {:?}", delivery.name))));
    }
    let path = path_of(dir, kind, &delivery.name);
    match try_draft(hand, dir, path.clone(), delivery, sync) {
        Ok(outcome) => Ok(outcome),
        Err(error) if is_fatal(&error) => Err(io_error("write", &path)(error)),
        Err(error) => Ok(Err(Reason::Refused(error.to_string()))),
    }
}

fn try_draft<'a>(
    hand: &'a Hand,
    dir: &Path,
    path: PathBuf,
    delivery: &Delivery,
    sync: Sync,
) -> io::Result<Result<Temporary<'a>, Reason>> {
    let mut file = hand.fs.create_temp(dir, TEMPORARY)?;
    if let Err(reason) = fill(file.as_mut(), &delivery.content)? {
        return Ok(Err(reason));
    }
    file.set_mtime(delivery.date)?;
    if sync != Sync::Nothing {
        file.sync()?;
    }
    hand.hand_over_raw(file.path())?;
    Ok(Ok(Temporary::new(hand, file, path)))
}

/// Whether the folder has this item.
pub fn exists(hand: &Hand, dir: &Path, kind: FolderKind, item: &str) -> Result<bool, SiteError> {
    Ok(may_be_a_file(kind, item) && hand.stat(&path_of(dir, kind, item))?.is_some())
}

/// Moves an item to another directory; `false` when it is gone.
pub fn move_to(hand: &Hand, from: &Path, to: &Path, kind: FolderKind, item: &str) -> Result<bool, SiteError> {
    let (old, new) = (path_of(from, kind, item), path_of(to, kind, item));
    match hand.fs.rename_new(&old, &new) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io_error("move", &old)(error)),
    }
    hand.sync_dir(to)?;
    hand.sync_dir(from)?;
    Ok(true)
}

/// Makes the script the active one, or none; a `.dovecot.sieve` that is no link is a person's own and stays.
pub fn activate(hand: &Hand, place: &AccountPlace, active: Option<&str>) -> Result<Result<(), Reason>, SiteError> {
    let link = place.home.join(".dovecot.sieve");
    let present = hand.fs.lstat(&link).ok().map(|stat| stat.kind);
    match active {
        Some(name) if !may_be_a_file(FolderKind::Filters, name) => {
            Ok(Err(Reason::BadName(format!("no script can be called {name:?}"))))
        }
        Some(_) if present.is_some_and(|kind| kind != FileKind::Symlink) => {
            Ok(Err(Reason::Refused(format!("{} is a file and no link to a script", link.display()))))
        }
        Some(name) => {
            hand.link(&Path::new("sieve").join(file_name(FolderKind::Filters, name)), &link)?;
            Ok(Ok(()))
        }
        None => {
            if present == Some(FileKind::Symlink) {
                hand.remove_file(&link)?;
            }
            Ok(Ok(()))
        }
    }
}

/// Renames a collection; those below it lie in it.
pub fn rename(hand: &Hand, from: &Path, to: &Path, key: &FolderKey) -> Result<Result<(), Reason>, SiteError> {
    let (there, taken) = (hand.is_dir(from)?, hand.is_dir(to)?);
    match (there, taken) {
        (true, true) => Ok(Err(Reason::Refused(format!("{key}: a folder of the new name exists")))),
        (false, false) => Ok(Err(Reason::Refused(format!("{key}: there is no such folder")))),
        (false, true) => Ok(Ok(())),
        (true, false) => {
            let above = to.parent().unwrap_or(Path::new("."));
            hand.make_dir(above, 0o700)?;
            hand.rename(from, to)?;
            hand.sync_dir(above)?;
            Ok(Ok(()))
        }
    }
}

/// Removes a collection that holds nothing but what describes it.
pub fn remove(hand: &Hand, dir: &Path, key: &FolderKey) -> Result<Result<(), Reason>, SiteError> {
    let is_metadata = |name: &[u8]| vdir::METADATA.iter().any(|known| known.as_bytes() == name);
    let entries = hand.list(dir)?;
    if !entries.iter().all(|entry| is_metadata(entry.name.as_bytes())) {
        return Ok(Err(Reason::Refused(format!("{key} is not empty"))));
    }
    for entry in entries {
        hand.remove_file(&dir.join(entry.name))?;
    }
    match hand.fs.remove_dir(dir) {
        Ok(()) => Ok(Ok(())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Ok(())),
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            Ok(Err(Reason::Refused(format!("{key} is not empty"))))
        }
        Err(error) => Err(io_error("remove", dir)(error)),
    }
}
