//! Names for items that arrive: which are free, and what stands in for one that is not or that no file may have.
//!
//! Promises: a name given out is a plain file name of at most [`ITEM_NAME_BYTES`], is in the set no second time, and
//! the same wishes against the same set give the same names, so that an interrupted import repeats itself. Pure.

use super::super::vdir;
use super::hand::TEMPORARY;
use crate::limits::ITEM_NAME_BYTES;
use crate::model::hex;
use crate::model::mailbox::FolderKind;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The names that are in use, as hashes of 8 bytes: two names of one hash cost a needless new name and nothing else.
#[derive(Default)]
pub struct NameSet {
    taken: HashSet<u64>,
    /// The last number that was given to one of these names, where it was taken: thousands may want the same.
    last: HashMap<u64, u64>,
}

impl NameSet {
    pub fn contains(&self, name: &str) -> bool {
        self.taken.contains(&hash(name))
    }

    pub fn remove(&mut self, name: &str) {
        self.taken.remove(&hash(name));
    }

    /// `false` when it was there already.
    pub fn insert(&mut self, name: &str) -> bool {
        self.taken.insert(hash(name))
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// The wanted name where a file may have it and it is free, else the first free one derived from it. It is then taken.
pub fn reserve(kind: FolderKind, wanted: &str, taken: &mut NameSet) -> String {
    let base = if may_be_a_file(kind, wanted) { wanted.to_owned() } else { stand_in(kind, wanted) };
    let (stem, rest) = base.split_at(split_point(kind, &base));
    if taken.insert(&base) {
        return base;
    }
    let mut count = taken.last.get(&hash(&base)).copied().unwrap_or_default();
    loop {
        count += 1;
        let name = format!("{stem}-w{count}{rest}");
        if taken.insert(&name) {
            taken.last.insert(hash(&base), count);
            return name;
        }
    }
}

/// Whether an item of this kind can lie under this very name.
pub fn may_be_a_file(kind: FolderKind, name: &str) -> bool {
    let plain = !name.is_empty() && name.len() <= ITEM_NAME_BYTES && !name.chars().any(|c| c == '/' || c.is_control());
    let hidden = name.starts_with('.');
    plain
        && match kind {
            // The colon begins the flags; the space would end a field of the UID list.
            FolderKind::Mail => !hidden && !name.contains(':') && !name.starts_with(' '),
            FolderKind::Calendars | FolderKind::Tasks | FolderKind::Contacts => {
                let has = |ext: String| name.len() > ext.len() && name.to_ascii_lowercase().ends_with(&ext);
                !hidden && extension(kind).is_some_and(has)
            }
            FolderKind::Files => !matches!(name, "." | "..") && !name.starts_with(TEMPORARY),
            FolderKind::Filters => !hidden,
        }
}

/// What the file names of this kind end in, with the dot; scripts are named without it.
fn extension(kind: FolderKind) -> Option<String> {
    vdir::extension(kind).filter(|_| kind != FolderKind::Filters).map(|ending| format!(".{ending}"))
}

/// A name for something whose own no file may have: the same for the same wish.
fn stand_in(kind: FolderKind, wanted: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(wanted.as_bytes()).into();
    let id = hex::encode(digest.get(..10).unwrap_or_default());
    match kind {
        FolderKind::Mail => format!("0.{id}.wagon"),
        _ => format!("wagon-{id}{}", extension(kind).unwrap_or_default()),
    }
}

/// Where a number can be put in so that sizes (`,S=`) and extensions stay at the end.
fn split_point(kind: FolderKind, name: &str) -> usize {
    let mark = match kind {
        FolderKind::Mail => name.find(','),
        FolderKind::Filters => None,
        _ => name.rfind('.'),
    };
    mark.unwrap_or(name.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_free_name_is_kept_and_a_taken_one_gets_a_number_before_its_sizes() {
        let mut taken = NameSet::default();
        assert_eq!(reserve(FolderKind::Mail, "17.M1P2.host,S=10,W=12", &mut taken), "17.M1P2.host,S=10,W=12");
        assert_eq!(reserve(FolderKind::Mail, "17.M1P2.host,S=10,W=12", &mut taken), "17.M1P2.host-w1,S=10,W=12");
        assert_eq!(reserve(FolderKind::Mail, "17.M1P2.host,S=10,W=12", &mut taken), "17.M1P2.host-w2,S=10,W=12");
        assert_eq!(reserve(FolderKind::Contacts, "ann.smith.vcf", &mut taken), "ann.smith.vcf");
        assert_eq!(reserve(FolderKind::Contacts, "ann.smith.vcf", &mut taken), "ann.smith-w1.vcf");
    }

    #[test]
    fn a_name_that_a_hundred_thousand_want_costs_each_the_same() {
        let mut taken = NameSet::default();
        let given: Vec<_> = (0..100_000).map(|_| reserve(FolderKind::Mail, "17.M1P2.host", &mut taken)).collect();
        assert_eq!(given.last().map(String::as_str), Some("17.M1P2.host-w99999"));
    }

    #[test]
    fn names_that_would_leave_the_folder_or_say_something_else_get_a_stand_in() {
        for hostile in ["../../etc/passwd", "a\0b", "a\nb", "1.b:2,S", ".hidden", "", " x", &"x".repeat(201)] {
            let name = reserve(FolderKind::Mail, hostile, &mut NameSet::default());
            assert!(name.starts_with("0.") && name.ends_with(".wagon"), "{name}");
        }
        assert!(reserve(FolderKind::Calendars, "displayname", &mut NameSet::default()).ends_with(".ics"));
        assert!(reserve(FolderKind::Contacts, "a/b.vcf", &mut NameSet::default()).ends_with(".vcf"));
    }

    proptest! {
        #[test]
        fn whatever_is_wanted_what_is_given_is_a_file_name_of_its_own(
            wanted in proptest::collection::vec(any::<String>(), 1..8),
        ) {
            let mut taken = NameSet::default();
            let mut given = HashSet::new();
            for wish in wanted.iter().chain(&wanted) {
                let name = reserve(FolderKind::Mail, wish, &mut taken);
                prop_assert!(may_be_a_file(FolderKind::Mail, &name), "{name:?}");
                prop_assert!(given.insert(name));
            }
        }
    }
}
