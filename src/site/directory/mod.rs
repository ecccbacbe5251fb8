//! The directory site: what Dovecot, Pigeonhole, Postfix and the vdir world read from disk, as a source and a target
//! that need no server.
//!
//! Layout below the root: `mail/<domain>/<user>/Maildir` (Maildir++), `mail/<domain>/<user>/sieve`,
//! `dav/<domain>/<user>/{calendars,contacts,tasks,files}/…` (vdir), `etc/passwd` (Dovecot passwd-file),
//! `etc/virtual_domains` and `etc/virtual_alias` (Postfix), and `site.sqlite` for what has no file format of its own.
//! The modules named after a file format are pure functions between bytes and values; docs/connectors.md describes the
//! whole.

pub mod acl;
mod collection;
pub mod dovecot_conf;
pub mod layout;
mod mail_folder;
mod mailbox;
pub mod maildir;
mod mark;
pub mod passwd_file;
pub mod postfix;
mod provisioning;
mod read_item;
pub mod site_db;
mod site_db_labels;
mod site_db_write;
mod source;
pub mod target;
#[cfg(test)]
mod tests;
pub mod text_file;
mod tree;
mod unseen;
pub mod vdir;
mod view;

use crate::fs::Fs;
use crate::shelf::Scratch;
use crate::site::SiteError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// What becomes of a site's own file that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unreadable {
    /// It is listed, and what it would say counts as unseen: for a source, which is read as far as it goes.
    Listed,
    /// Nothing goes on without it: for a target, of which all must be known before it is changed or judged.
    Fails,
}

/// A directory site.
pub struct DirectorySite {
    fs: Arc<dyn Fs>,
    /// Absolute and resolved.
    root: PathBuf,
    /// User and group that own what is written; `None` leaves it to the process.
    owner: Option<(u32, u32)>,
    views: view::Views,
    unreadable: Unreadable,
    /// Where listings lie once they are much.
    scratch: Mutex<Scratch>,
    /// Nanoseconds since 1970; a test sets another.
    clock: fn() -> i128,
}

impl DirectorySite {
    /// Opens a site for reading; a folder that has none of `mail/`, `dav/`, `etc/` and `site.sqlite` is
    /// [`SiteError::NotASite`].
    pub fn open(fs: Arc<dyn Fs>, root: &Path) -> Result<Self, SiteError> {
        let resolved = fs.canonical(root).map_err(io_error("open", root))?;
        let entries = fs.list(&resolved).map_err(io_error("list", root))?;
        if !entries.iter().any(|entry| layout::is_top_name(&entry.name)) {
            return Err(SiteError::NotASite(root.to_owned()));
        }
        Ok(Self::at(fs, resolved, None, Unreadable::Listed))
    }

    /// Opens a site for writing, as `owner`, and makes its root where it is missing. A folder that holds something, but
    /// nothing of a site, is [`SiteError::NotASite`]: nobody wants a site poured into his home.
    pub fn create(fs: Arc<dyn Fs>, root: &Path, owner: Option<(u32, u32)>) -> Result<Self, SiteError> {
        fs.create_dir_all(root).map_err(io_error("make", root))?;
        let resolved = fs.canonical(root).map_err(io_error("open", root))?;
        let entries = fs.list(&resolved).map_err(io_error("list", root))?;
        let mut visible = entries.iter().filter(|entry| !layout::is_hidden(&entry.name)).peekable();
        if visible.peek().is_some() && !visible.any(|entry| layout::is_top_name(&entry.name)) {
            return Err(SiteError::NotASite(root.to_owned()));
        }
        Ok(Self::at(fs, resolved, owner, Unreadable::Fails))
    }

    fn at(fs: Arc<dyn Fs>, root: PathBuf, owner: Option<(u32, u32)>, unreadable: Unreadable) -> Self {
        Self {
            fs,
            root,
            owner,
            views: view::Views::default(),
            unreadable,
            scratch: Mutex::default(),
            clock: system_clock,
        }
    }

    fn scratch(&self) -> Scratch {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The root of the site, absolute and resolved.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

fn system_clock() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or_else(|before| -signed(before.duration().as_nanos()), |after| signed(after.as_nanos()))
}

fn signed(nanos: u128) -> i128 {
    i128::try_from(nanos).unwrap_or(i128::MAX)
}

/// Puts the action and the path to an error of the file system.
fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> SiteError + use<'a> {
    move |source| SiteError::Io { action, path: path.to_owned(), source }
}
