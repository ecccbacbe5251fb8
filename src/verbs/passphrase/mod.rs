//! `passphrase`: the archive's own machinery under its lock (`archive::passphrase`).

use crate::archive::{Archive, ArchiveError, UnlockedKey};
use crate::fs::Fs;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;

/// What a change of the passphrase did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct PassphraseReport {
    /// False where the new passphrase was in force already.
    pub changed: bool,
    /// Parity files that were made again, because what they are of has changed.
    pub parity_made: Vec<PathBuf>,
}

/// A change that has been made.
pub struct Changed {
    pub report: PassphraseReport,
    /// Why parity was not made again; the new passphrase is in force all the same.
    pub parity: Result<(), ArchiveError>,
}

/// Has `new` open the archive in the place of the passphrase that gave `key`.
pub fn change(
    fs: &Arc<dyn Fs>,
    archive: &Archive,
    key: &UnlockedKey,
    new: &str,
    holder: (&str, i64),
) -> Result<Changed, ArchiveError> {
    let lock = archive.lock(holder.0, holder.1)?;
    let percent = archive.parity_percent()?;
    archive.change_key(&lock, key, &archive.lock_again(key, new)?)?;
    drop(lock);
    Ok(protected_again(fs, archive, percent, true, holder))
}

/// Does what is left of a change that was cut off when its new passphrase was in force.
pub fn complete(fs: &Arc<dyn Fs>, archive: &Archive, holder: (&str, i64)) -> Result<Changed, ArchiveError> {
    let lock = archive.lock(holder.0, holder.1)?;
    archive.mend_beside_folders(&lock)?;
    drop(lock);
    Ok(protected_again(fs, archive, None, false, holder))
}

fn protected_again(
    fs: &Arc<dyn Fs>,
    archive: &Archive,
    percent: Option<u16>,
    changed: bool,
    (holder, now): (&str, i64),
) -> Changed {
    // What was opened before speaks of the old files.
    let made = Archive::open(fs.clone(), archive.dir())
        .and_then(|archive| archive.protect_beside_again(&archive.lock(holder, now)?, percent));
    let (parity_made, parity) = match made {
        Ok(made) => (made, Ok(())),
        Err(error) => (Vec::new(), Err(error)),
    };
    Changed { report: PassphraseReport { changed, parity_made }, parity }
}
