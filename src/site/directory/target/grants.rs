//! Who may do what with a folder: `dovecot-acl` for those Dovecot has a word for, `site.sqlite` for the rest, and the
//! dictionary by which grantees list what is shared with them.

use super::super::acl;
use super::super::maildir::{self, folder_dir};
use super::dotlock::Dotlock;
use super::hand::{Hand, PRIVATE};
use super::shared_dict;
use crate::fs::FileKind;
use crate::model::share::Grant;
use crate::model::text;
use crate::site::SiteError;
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Where the dictionary lies, below the site's root: in a folder of its own, because the server makes files beside it.
pub const SHARED_DICT: &str = "etc/acl/shared-mailboxes";

/// Dovecot's cache of which folders have an ACL. It does not see files that others write, so it has to go.
const ACL_CACHE: &str = "dovecot-acl-list";

/// Writes the access list of a mail folder. Without a grant the file goes: then Dovecot's defaults hold.
pub fn write(hand: &Hand, maildir: &Path, dir: &Path, grants: &[Grant]) -> Result<(), SiteError> {
    let path = dir.join(maildir::ACL);
    let bytes = acl::encode(grants);
    let changed = if bytes.is_empty() {
        hand.remove_file(&path)?
    } else {
        let present = hand.read(&path)?;
        let same = present.is_some_and(|present| sorted(acl::parse(&present).0) == sorted(grants_held(grants)));
        !same && hand.update(&path, &bytes, PRIVATE)?
    };
    if changed {
        hand.remove_file(&maildir.join(ACL_CACHE))?;
        hand.sync_dir(dir)?;
    }
    Ok(())
}

fn grants_held(grants: &[Grant]) -> Vec<Grant> {
    grants.iter().filter(|grant| acl::holds(&grant.grantee)).cloned().collect()
}

fn sorted(mut grants: Vec<Grant>) -> Vec<Grant> {
    grants.sort_unstable();
    grants
}

/// Derives the dictionary from all access lists of the site, and writes it if it has changed.
pub fn write_shared_dict(hand: &Hand, root: &Path) -> Result<(), SiteError> {
    let mut keys = BTreeSet::new();
    for (owner, maildir) in maildirs(hand, root)? {
        for dir in folders(hand, &maildir)? {
            if let Some(bytes) = hand.read(&dir.join(maildir::ACL))? {
                keys.append(&mut shared_dict::keys_of(&owner, &acl::parse(&bytes).0));
            }
        }
    }
    let path = root.join(SHARED_DICT);
    hand.make_dir(path.parent().unwrap_or(root), 0o755)?;
    let _lock = Dotlock::take(hand.fs.as_ref(), &path)?;
    let present = hand.read(&path)?.unwrap_or_default();
    hand.update(&path, &shared_dict::replace(&present, &keys), PRIVATE)?;
    Ok(())
}

/// Every account of the tree that has a Maildir, by its address.
fn maildirs(hand: &Hand, root: &Path) -> Result<Vec<(String, PathBuf)>, SiteError> {
    let mut found = Vec::new();
    let mail = root.join("mail");
    for domain in visible_dirs(hand, &mail)? {
        for user in visible_dirs(hand, &domain)? {
            let name = |path: &Path| path.file_name().map(|name| text::from_bytes(name.as_bytes())).unwrap_or_default();
            found.push((format!("{}@{}", name(&user), name(&domain)), user.join("Maildir")));
        }
    }
    Ok(found)
}

fn visible_dirs(hand: &Hand, dir: &Path) -> Result<Vec<PathBuf>, SiteError> {
    let entries = hand.list(dir)?.into_iter();
    let wanted = entries.filter(|entry| entry.kind == FileKind::Dir && !entry.name.as_bytes().starts_with(b"."));
    Ok(wanted.map(|entry| dir.join(entry.name)).collect())
}

/// The inbox and every other folder of a Maildir.
pub fn folders(hand: &Hand, maildir: &Path) -> Result<Vec<PathBuf>, SiteError> {
    let is_folder = |name: &[u8]| name.starts_with(b".") && !name.starts_with(folder_dir::DOVECOT_TRASHED);
    let entries = hand.list(maildir)?.into_iter();
    let below = entries.filter(|entry| entry.kind == FileKind::Dir && is_folder(entry.name.as_bytes()));
    Ok(std::iter::once(maildir.to_owned()).chain(below.map(|entry| maildir.join(entry.name))).collect())
}
