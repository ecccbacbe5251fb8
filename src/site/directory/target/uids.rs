//! Which UID each message of a batch gets. Pure: a function from the present list and the wishes to numbers.
//!
//! Promises: no UID is given twice; where somebody may have looked at the folder, no UID lies below one that was given
//! before, because a client never looks below what it has seen (RFC 9051 2.3.1.1).

use crate::limits::LARGEST_KEPT_UID;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;

/// What the folder allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ground {
    /// Its UIDVALIDITY is the source's and no server has opened it: every free UID may be given, so that messages can
    /// arrive newest first and keep theirs. A message that asks for none gets none: the source's next UIDs stay free
    /// for the messages that get them there.
    Ours,
    /// Its UIDVALIDITY is the source's and a server has it open or had: UIDs from the next one up may be given.
    Seen,
    /// Its UIDVALIDITY is its own: a wish means nothing.
    Foreign,
}

/// One message that asks for a UID.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    pub name: &'a str,
    pub uid: Option<NonZeroU32>,
}

/// UIDs that a list has, and the names of their messages, as text.
pub type Taken = HashMap<u32, String>;

/// What came of the wishes.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// One for each wish, in order; `None`: the server gives one when it finds the message, or UIDs have run out.
    pub uids: Vec<Option<NonZeroU32>>,
    /// The next UID after this batch.
    pub next: u32,
    /// Wishes that named a UID and got another.
    pub lost: usize,
}

/// Gives each wish a UID. `taken` maps each present UID to its message's name; a name that is there keeps its UID.
pub fn plan(taken: &Taken, next: u32, ground: Ground, wishes: &[Wish<'_>]) -> Plan {
    let asking: HashMap<&str, usize> = wishes.iter().enumerate().map(|(at, wish)| (wish.name, at)).collect();
    let mut given: HashSet<u32> = HashSet::new();
    let mut uids: Vec<Option<u32>> = vec![None; wishes.len()];
    for (uid, name) in taken {
        if let Some(slot) = asking.get(name.as_str()).and_then(|&at| uids.get_mut(at)) {
            *slot = Some(*uid);
        }
    }
    let mut top = next.max(1);
    let mut order: Vec<usize> = (0..wishes.len()).filter(|&at| uids.get(at).copied().flatten().is_none()).collect();
    // Rising, so that what cannot be kept at least keeps its order; those without a wish come last, as they came.
    order.sort_by_key(|&at| wishes.get(at).and_then(|wish| wish.uid).map_or(u32::MAX, NonZeroU32::get));
    let mut without = Vec::new();
    for at in order {
        let wanted = wishes.get(at).and_then(|wish| wish.uid).map(NonZeroU32::get);
        let free = |uid: &u32| !taken.contains_key(uid) && !given.contains(uid) && *uid <= LARGEST_KEPT_UID;
        let allowed = |uid: &u32| match ground {
            Ground::Ours => true,
            Ground::Seen => *uid >= next,
            Ground::Foreign => false,
        };
        match wanted.filter(free).filter(allowed) {
            Some(uid) => {
                given.insert(uid);
                top = top.max(uid.saturating_add(1));
                if let Some(slot) = uids.get_mut(at) {
                    *slot = Some(uid);
                }
            }
            None if ground == Ground::Ours && wanted.is_none() => {}
            None => without.push(at),
        }
    }
    for at in without {
        let Some(slot) = uids.get_mut(at) else { continue };
        if top < u32::MAX {
            *slot = Some(top);
            top += 1;
        }
    }
    let lost = wishes.iter().zip(&uids).filter(|(wish, got)| wish.uid.is_some_and(|uid| Some(uid.get()) != **got));
    let lost = lost.count();
    Plan { uids: uids.into_iter().map(|uid| uid.and_then(NonZeroU32::new)).collect(), next: top, lost }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wishes<'a>(list: &[(&'a str, u32)]) -> Vec<Wish<'a>> {
        list.iter().map(|&(name, uid)| Wish { name, uid: NonZeroU32::new(uid) }).collect()
    }

    fn numbers(plan: &Plan) -> Vec<u32> {
        plan.uids.iter().map(|uid| uid.map_or(0, NonZeroU32::get)).collect()
    }

    fn taken(list: &[(u32, &str)]) -> Taken {
        list.iter().map(|&(uid, name)| (uid, name.to_owned())).collect()
    }

    #[test]
    fn batches_that_come_newest_first_keep_their_uids_in_a_folder_nobody_has_seen() {
        let newest = plan(&taken(&[]), 101, Ground::Ours, &wishes(&[("c", 90), ("d", 100)]));
        assert_eq!((numbers(&newest), newest.next, newest.lost), (vec![90, 100], 101, 0));
        let older = plan(&taken(&[(90, "c"), (100, "d")]), 101, Ground::Ours, &wishes(&[("a", 7), ("b", 80)]));
        assert_eq!((numbers(&older), older.next, older.lost), (vec![7, 80], 101, 0));
    }

    #[test]
    fn a_message_that_the_source_gave_no_uid_leaves_the_next_one_free() {
        let plan = plan(&taken(&[(6, "a")]), 7, Ground::Ours, &wishes(&[("b", 0), ("c", 6)]));
        assert_eq!((numbers(&plan), plan.next, plan.lost), (vec![0, 7], 8, 1));
    }

    #[test]
    fn old_mail_beneath_mail_that_was_seen_gets_new_uids_in_its_own_order() {
        let plan = plan(&taken(&[(1, "new")]), 2, Ground::Foreign, &wishes(&[("b", 80), ("a", 7), ("x", 0)]));
        assert_eq!((numbers(&plan), plan.next, plan.lost), (vec![3, 2, 4], 5, 2));
    }

    #[test]
    fn where_a_server_has_looked_only_uids_above_are_kept() {
        let plan = plan(&taken(&[(5, "e")]), 6, Ground::Seen, &wishes(&[("low", 3), ("high", 9)]));
        assert_eq!((numbers(&plan), plan.next, plan.lost), (vec![10, 9], 11, 1));
    }

    #[test]
    fn a_message_that_has_its_uid_already_keeps_it() {
        let plan = plan(&taken(&[(5, "e")]), 6, Ground::Seen, &wishes(&[("e", 5)]));
        assert_eq!((numbers(&plan), plan.next, plan.lost), (vec![5], 6, 0));
    }

    #[test]
    fn a_uid_that_would_leave_no_room_is_not_kept() {
        let plan = plan(&taken(&[]), 1, Ground::Ours, &wishes(&[("a", u32::MAX)]));
        assert_eq!((numbers(&plan), plan.next, plan.lost), (vec![1], 2, 1));
    }

    proptest! {
        #[test]
        fn no_uid_is_given_twice_and_next_is_above_all(
            present in proptest::collection::hash_map(1u32..60, "[a-z]{3}", 0..10),
            asked in proptest::collection::vec(("[A-Z]{4}", 0u32..60), 0..20),
            ground in proptest::sample::select(vec![Ground::Ours, Ground::Seen, Ground::Foreign]),
        ) {
            let next = present.keys().max().map_or(1, |uid| uid + 1);
            let asked: std::collections::BTreeMap<String, u32> = asked.into_iter().collect();
            let list: Vec<Wish> =
                asked.iter().map(|(name, uid)| Wish { name, uid: NonZeroU32::new(*uid) }).collect();
            let plan = plan(&present, next, ground, &list);
            let mut all: Vec<u32> = numbers(&plan).into_iter().filter(|uid| *uid != 0).collect();
            prop_assert!(ground == Ground::Ours || all.len() == list.len());
            prop_assert!(all.iter().all(|uid| *uid < plan.next));
            prop_assert!(ground == Ground::Ours || all.iter().all(|uid| *uid >= next));
            all.extend(present.keys());
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(all.len(), count);
        }
    }
}
