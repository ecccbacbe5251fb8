//! Where things lie in a directory site: addresses and names of records as paths below its root, and back.
//!
//! A name on disk is bytes. Where these are UTF-8 the name is their text; else it is the text that
//! `model::text::from_bytes` gives, and [`to_bytes`] leads back to the file.

use crate::model::provisioning::domain_of;
use crate::model::text;
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

pub const MAIL: &str = "mail";
pub const DAV: &str = "dav";
pub const MAILDIR: &str = "Maildir";
pub const SIEVE: &str = "sieve";
/// The link to the active script, beside the folder of scripts.
pub const ACTIVE_SIEVE: &str = ".dovecot.sieve";
pub const PASSWD: &str = "etc/passwd";
pub const VIRTUAL_DOMAINS: &str = "etc/virtual_domains";
pub const VIRTUAL_ALIAS: &str = "etc/virtual_alias";
/// The accounts once more, for Postfix. Written, never read as a source.
pub const VIRTUAL_MAILBOX: &str = "etc/virtual_mailbox";

/// Path of the one folder of kind `Filters` that an account has.
pub const FILTERS_PATH: &str = "sieve";

/// Whether a name at the root makes it a site.
pub fn is_top_name(name: &OsStr) -> bool {
    [MAIL, DAV, "etc", super::site_db::FILE].iter().any(|known| name == *known)
}

/// Whether a name is nobody's folder, account or item: hidden, or made by the file system.
pub fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".") || name == "lost+found"
}

/// `mail/<domain>/<user>`, relative to the root; `None` for an address that has no place in the tree.
pub fn mail_home(address: &str) -> Option<PathBuf> {
    Some([OsStr::new(MAIL), &domain_dir(address)?, &user_dir(address)?].iter().collect())
}

/// `dav/<domain>/<user>`, relative to the root.
pub fn dav_home(address: &str) -> Option<PathBuf> {
    Some([OsStr::new(DAV), &domain_dir(address)?, &user_dir(address)?].iter().collect())
}

fn domain_dir(address: &str) -> Option<OsString> {
    component(domain_of(address))
}

fn user_dir(address: &str) -> Option<OsString> {
    component(address.rsplit_once('@')?.0)
}

/// `name` as one component of a path; `None` where it would be hidden, none, or several.
fn component(name: &str) -> Option<OsString> {
    let fits = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']) && name.len() <= 255;
    fits.then(|| OsString::from_vec(to_bytes(name).into_owned()))
}

/// The bytes that `text::from_bytes` made this text of.
pub fn to_bytes(name: &str) -> Cow<'_, [u8]> {
    unescape(name).map_or(Cow::Borrowed(name.as_bytes()), Cow::Owned)
}

/// The bytes that are no UTF-8 and that `text::from_bytes` shows as `name`.
fn unescape(name: &str) -> Option<Vec<u8>> {
    let mut pieces = name.split("\\x");
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let digits = piece.get(..2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(piece.get(2..)?.as_bytes());
    }
    // No file's name holds a NUL, so what spells one was made up: it is text, and leads to no file.
    let is_name = std::str::from_utf8(&bytes).is_err() && !bytes.contains(&0) && text::from_bytes(&bytes) == name;
    is_name.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_has_one_place_below_the_root_or_none() {
        assert_eq!(mail_home("o'connor@a.test"), Some(PathBuf::from("mail/a.test/o'connor")));
        assert_eq!(dav_home("a@b@a.test"), Some(PathBuf::from("dav/a.test/a@b")));
        for address in
            ["ann", "@a.test", "ann@", "../x@a.test", "..@a.test", "a/b@a.test", "ann@..", ".x@a.test", "a\0@b"]
        {
            assert_eq!(mail_home(address), None, "{address:?}");
        }
    }

    #[test]
    fn a_name_that_spells_a_nul_leads_to_no_file_with_one() {
        assert_eq!(mail_home("a\\xff\\x00b@a.test"), Some(PathBuf::from("mail/a.test/a\\xff\\x00b")));
        assert_eq!(to_bytes("a\\xffb").as_ref(), b"a\xffb");
    }

    proptest! {
        #[test]
        fn any_name_leads_back_to_its_bytes(bytes: Vec<u8>) {
            let shown = text::from_bytes(&bytes);
            // A UTF-8 name that looks like an escaped one is the collision that listings reject.
            if !bytes.contains(&0) && (std::str::from_utf8(&bytes).is_err() || !shown.contains("\\x")) {
                prop_assert_eq!(to_bytes(&shown).into_owned(), bytes);
            }
        }
    }
}
