//! Dovecot's dictionary of shared folders (`acl_shared_dict = file:…`): who may see folders of whom. Without an entry a
//! grant opens a folder by name, but the grantee's client does not list it.
//!
//! A file of line pairs, key and value: `shared/shared-boxes/user/<grantee>/<owner>`, `…/group/<group>/<owner>` or
//! `…/anyone/<owner>`, and `1`. Found in what `doveadm acl recalc -A` of Dovecot 2.3.19 writes; specified nowhere.
//! `doveadm acl recalc` passes over accounts with an apostrophe, so the whole is derived here from the grants. Pure.

use super::super::text_file::lines;
use crate::model::share::{Grant, Grantee};
use std::collections::BTreeSet;

const PREFIX: &str = "shared/shared-boxes/";

/// The keys that the grants on an owner's folder make. Only rights that let a folder be listed count.
pub fn keys_of(owner: &str, grants: &[Grant]) -> BTreeSet<String> {
    let seen = grants.iter().filter(|grant| !grant.negative && grant.rights.as_str().contains('l'));
    seen.filter_map(|grant| key(owner, &grant.grantee)).collect()
}

fn key(owner: &str, grantee: &Grantee) -> Option<String> {
    let plain = |who: &str| !who.is_empty() && !who.contains(|c: char| c == '/' || c.is_control());
    if !plain(owner) {
        return None;
    }
    match grantee {
        Grantee::User(who) if plain(who) && who != owner => Some(format!("{PREFIX}user/{who}/{owner}")),
        Grantee::Group(who) if plain(who) => Some(format!("{PREFIX}group/{who}/{owner}")),
        Grantee::Everyone | Grantee::Public => Some(format!("{PREFIX}anyone/{owner}")),
        _ => None,
    }
}

/// The file with exactly these keys; entries of other dictionaries that share the file stay.
pub fn replace(present: &[u8], keys: &BTreeSet<String>) -> Vec<u8> {
    let all: Vec<&[u8]> = lines(present).map(|(_, line)| line).collect();
    let mut out = Vec::with_capacity(present.len());
    for pair in all.chunks_exact(2) {
        if let [key, value] = pair
            && !key.starts_with(PREFIX.as_bytes())
        {
            [key, &b"\n"[..], value, b"\n"].iter().for_each(|piece| out.extend_from_slice(piece));
        }
    }
    for key in keys {
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\n1\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::share::Rights;

    fn grant(grantee: Grantee, rights: &str, negative: bool) -> Grant {
        Grant { grantee, rights: Rights::from_letters(rights), negative }
    }

    #[test]
    fn every_grantee_that_may_list_a_folder_gets_its_owner() {
        let grants = [
            grant(Grantee::User("bob@a.test".into()), "lr", false),
            grant(Grantee::User("blind@a.test".into()), "r", false),
            grant(Grantee::User("not@a.test".into()), "l", true),
            grant(Grantee::Group("eng".into()), "lrs", false),
            grant(Grantee::Everyone, "l", false),
            grant(Grantee::Owner, "lrwstipekxa", false),
            grant(Grantee::Domain("a.test".into()), "lr", false),
            grant(Grantee::User("x/../y".into()), "lr", false),
        ];
        let keys = keys_of("o'neil@a.test", &grants);
        assert_eq!(
            keys.into_iter().collect::<Vec<_>>(),
            [
                "shared/shared-boxes/anyone/o'neil@a.test",
                "shared/shared-boxes/group/eng/o'neil@a.test",
                "shared/shared-boxes/user/bob@a.test/o'neil@a.test",
            ]
        );
    }

    #[test]
    fn what_belongs_to_others_in_the_file_stays() {
        let keys = BTreeSet::from(["shared/shared-boxes/anyone/new@a".to_owned()]);
        let file = replace(b"priv/quota/x\n5\nshared/shared-boxes/anyone/gone@a\n1\n", &keys);
        assert_eq!(String::from_utf8(file.clone()).unwrap(), "priv/quota/x\n5\nshared/shared-boxes/anyone/new@a\n1\n");
        assert_eq!(replace(&file, &keys), file);
        assert_eq!(replace(b"", &BTreeSet::new()), b"");
    }
}
