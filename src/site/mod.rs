//! What a connector promises: a [`Source`] is read, a [`Target`] is written. Nothing in `verbs` names a connector;
//! [`open_source`] is the one match.
//!
//! A connector knows nothing of archives, catalogs and maps. An item's trouble is not an error but a
//! [`Rejection`](crate::event::Rejection); a [`SiteError`] ends the pass for the account or the site.

pub mod dav;
pub mod directory;
mod error;
mod found_items;
pub mod imap;
pub mod ldap;
pub mod managesieve;
pub mod server;
mod source;
mod target;

pub use error::SiteError;
pub use found_items::{FoundItems, Walk};
pub use source::{
    Content, Depth, FolderListing, FolderScan, FoundFolder, FoundItem, FoundRecord, MailboxScan, ProvisioningScan,
    Seen, SiteDescription, Source,
};
pub use target::{
    Batch, Capabilities, Delivered, Delivery, FolderPut, ItemContent, LineEnds, Marking, PlannedRecords, Present,
    RecordChange, StoredAs, Target, UidsKept, WriteOut,
};

use crate::fs::{FileKind, Fs};
use std::path::Path;
use std::sync::Arc;

/// Opens the source that `spec` names: a folder, `dir:FOLDER`, or a site description (a file that ends in `.toml`).
///
/// A text before the first `:` is a scheme only where it looks like one (two letters or more, letters and digits), so
/// that a folder may have any name: `./imap:old` is a folder.
pub fn open_source(fs: Arc<dyn Fs>, spec: &str) -> Result<Box<dyn Source>, SiteError> {
    match split_spec(spec) {
        (None, file) if is_description(fs.as_ref(), file) => Ok(Box::new(server::open_source(fs, Path::new(file))?)),
        (None | Some("dir"), folder) => Ok(Box::new(directory::DirectorySite::open(fs, Path::new(folder))?)),
        (Some(other), _) => Err(unknown_scheme(other)),
    }
}

/// Opens the target that `spec` names, as [`open_source`] does; a folder that is not there is made. What is written
/// belongs to `owner` (user and group id); without one, to whom the site belongs already, else to the process.
pub fn open_target(fs: Arc<dyn Fs>, spec: &str, owner: Option<(u32, u32)>) -> Result<Box<dyn Target>, SiteError> {
    match split_spec(spec) {
        (None, file) if is_description(fs.as_ref(), file) => match owner {
            Some(_) => {
                Err(SiteError::Unsupported("an owner is for files of a directory site, not for servers".to_owned()))
            }
            None => Ok(Box::new(server::open_target(fs, Path::new(file))?)),
        },
        (None | Some("dir"), folder) => {
            let site = directory::DirectorySite::create(fs, Path::new(folder), owner)?;
            Ok(Box::new(directory::target::DirectoryTarget::new(site)))
        }
        (Some(other), _) => Err(unknown_scheme(other)),
    }
}

/// Whether `spec` names a site description. One that is not there is meant all the same: nobody calls a folder so.
pub fn is_description(fs: &dyn Fs, spec: &str) -> bool {
    spec.ends_with(".toml") && !fs.stat(Path::new(spec)).is_ok_and(|stat| stat.kind == FileKind::Dir)
}

/// Scheme, if there is one, and the rest.
fn split_spec(spec: &str) -> (Option<&str>, &str) {
    let is_scheme = |text: &str| text.len() > 1 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match spec.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
        _ => (None, spec),
    }
}

fn unknown_scheme(scheme: &str) -> SiteError {
    SiteError::Unsupported(format!(
        "no kind of site is called {scheme:?}; known are a folder, dir:FOLDER and a site description FILE.toml (a folder of that name is ./{scheme}:…)"
    ))
}
