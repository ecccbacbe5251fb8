//! Where things lie on a directory site that is written: an account's folders on disk, and which names cannot lie there.
//!
//! Promises: a path from here is below the site's root, whatever an archive says. The layout is that of
//! [`super::super`]; names on disk come from `maildir::folder_dir` and `vdir`.

use super::super::layout;
use super::super::maildir::folder_dir;
use super::super::vdir;
use super::hand::Hand;
use crate::event::Reason;
use crate::limits::ADDRESS_PART_BYTES;
use crate::model::hex;
use crate::model::id::ObjectId;
use crate::model::mailbox::{FolderKey, FolderKind};
use crate::site::SiteError;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// An account's folders on disk; they may not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountPlace {
    /// `mail/<domain>/<user>`
    pub home: PathBuf,
    /// `dav/<domain>/<user>`
    pub dav: PathBuf,
}

impl AccountPlace {
    /// Where `address` has its folders, or why no account can have it.
    pub fn of(root: &Path, address: &str) -> Result<Self, Reason> {
        split_address(address)?;
        let nowhere = || Reason::BadName(format!("{address} has no place in the tree"));
        let home = root.join(layout::mail_home(address).ok_or_else(nowhere)?);
        let dav = root.join(layout::dav_home(address).ok_or_else(nowhere)?);
        Ok(Self { home, dav })
    }

    pub fn maildir(&self) -> PathBuf {
        self.home.join(layout::MAILDIR)
    }

    pub fn sieve(&self) -> PathBuf {
        self.home.join(layout::SIEVE)
    }

    /// The directory of a folder whose path can be held (see [`held`]). Of a mail folder: the one in modified UTF-7,
    /// unless only the one in UTF-8 is there.
    pub fn folder(&self, hand: &Hand, key: &FolderKey) -> Result<PathBuf, SiteError> {
        match key.kind() {
            FolderKind::Filters => Ok(self.sieve()),
            FolderKind::Mail => {
                let usual = self.maildir().join(folder_dir::encode(key.path()));
                let plain = self.maildir().join(folder_dir::encode_utf8(key.path()));
                if usual != plain && !hand.is_dir(&usual)? && hand.is_dir(&plain)? { Ok(plain) } else { Ok(usual) }
            }
            kind => {
                let mut dir = self.dav.join(vdir::kind_dir(kind).unwrap_or(kind.word()));
                dir.extend(key.levels().map(|level| OsString::from_vec(layout::to_bytes(level).into_owned())));
                Ok(dir)
            }
        }
    }
}

/// Local part and domain of an address that can be an account here.
pub fn split_address(address: &str) -> Result<(&str, &str), Reason> {
    let bad = |what: &str| Reason::BadName(format!("{address}: {what}"));
    let (user, domain) = address.rsplit_once('@').ok_or_else(|| bad("an account needs a domain"))?;
    for part in [user, domain] {
        if part.is_empty() || part.len() > ADDRESS_PART_BYTES {
            return Err(bad("local part and domain have 1 to 255 bytes"));
        }
        if part.starts_with('.') || part.chars().any(|c| c == '/' || c == ':' || c.is_control() || c.is_whitespace()) {
            return Err(bad("a part begins with a dot or holds a slash, colon, space or control character"));
        }
    }
    Ok((user, domain))
}

/// The key under which the site can hold this folder: the same, or one whose path was replaced.
pub fn held(key: &FolderKey) -> Result<FolderKey, Reason> {
    let path: Option<String> = match key.kind() {
        FolderKind::Mail => folder_dir::holdable(key.path()).map(|replacement| replacement.path),
        FolderKind::Filters => Some(layout::FILTERS_PATH.to_owned()),
        _ => Some(key.levels().map(collection_level).collect::<Vec<_>>().join("/")),
    };
    match path {
        None => Ok(key.clone()),
        Some(path) => FolderKey::new(key.kind(), &path).map_err(|error| Reason::BadName(error.to_string())),
    }
}

/// A level of a collection's path as a directory: none is hidden, none is called like a file of the collection.
fn collection_level(level: &str) -> String {
    let shown = level.strip_prefix('.').map_or_else(|| level.to_owned(), |rest| format!("\u{2024}{rest}"));
    if vdir::METADATA.contains(&shown.as_str()) || shown == "lost+found" {
        return format!("{shown}_");
    }
    if shown.len() <= folder_dir::NAME_BYTES {
        return shown;
    }
    let mark = hex::encode(ObjectId::of(level.as_bytes()).as_bytes().get(..6).unwrap_or_default());
    let fits = |(at, _): &(usize, char)| at + 1 + mark.len() <= folder_dir::NAME_BYTES;
    let end = shown.char_indices().take_while(fits).last().map_or(0, |(at, _)| at);
    format!("{} {mark}", shown.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_two_plain_folder_names_or_no_account() {
        let place = AccountPlace::of(Path::new("/srv"), "o'connor+x@a.test").unwrap();
        assert_eq!(place.maildir(), Path::new("/srv/mail/a.test/o'connor+x/Maildir"));
        assert_eq!(place.dav, Path::new("/srv/dav/a.test/o'connor+x"));
        let long = format!("{}@a", "x".repeat(256));
        for bad in
            ["ann", "@a", "a@", "../x@a", ".@a", "a@..", "a/b@c", "a@b/c", "a:b@c", "a\n@b", "a b@c", "a\0@b", &long]
        {
            assert!(matches!(AccountPlace::of(Path::new("/srv"), bad), Err(Reason::BadName(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_collection_is_never_hidden_nor_called_like_its_own_files() {
        let held = |path: &str| held(&FolderKey::new(FolderKind::Calendars, path).unwrap()).unwrap().path().to_owned();
        assert_eq!(held("team/plans"), "team/plans");
        assert_eq!(held(".hidden/color"), "\u{2024}hidden/color_");
        let (a, b) = (held(&"ä".repeat(200)), held(&format!("{}b", "ä".repeat(200))));
        assert!(a != b && a.len() <= 255 && a.starts_with("ää"), "{a}");
        assert_eq!(held(&a), a);
    }
}
