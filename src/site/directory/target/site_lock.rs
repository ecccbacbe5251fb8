//! The lock that lets one importer at a time write a site: `.wagon/lock`, and beside it who has it.

use super::dotlock::seconds;
use super::hand::{Hand, io_error};
use crate::site::SiteError;
use std::path::Path;

/// Holds the site until it is dropped or the process ends.
pub struct SiteLock {
    _held: Box<dyn Send + Sync>,
}

impl SiteLock {
    /// Takes the lock, or says since when which process has it.
    pub fn take(hand: &Hand, root: &Path) -> Result<Self, SiteError> {
        let dir = root.join(".wagon");
        hand.make_dir(&dir, 0o700)?;
        let (path, holder) = (dir.join("lock"), dir.join("holder"));
        match hand.fs.try_lock(&path).map_err(io_error("lock", &path))? {
            Some(held) => {
                // A file of its own: replacing the lock file itself would lose the lock.
                let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
                hand.replace(&holder, format!("{now} (process {})\n", std::process::id()).as_bytes(), 0o600)?;
                Ok(Self { _held: held })
            }
            None => {
                let said = hand.read(&holder)?.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
                let since = match said.filter(|said| !said.is_empty()) {
                    Some(said) => said,
                    None => hand.stat(&path)?.map_or_else(String::new, |stat| seconds(stat.mtime_nanos)),
                };
                Err(SiteError::Locked { path: root.to_owned(), since })
            }
        }
    }
}
