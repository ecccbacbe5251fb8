//! Which rights an account has on a folder: the access list applied as Dovecot applies it.
//!
//! Dovecot 2.3 goes through the entries that match, from the general to the special: anyone, authenticated, groups, the
//! owner, the user. Each level replaces the rights of the one before; several groups add up. What a negative entry takes
//! away stays away until a more special level has negative entries of its own. The owner starts with every right, and
//! only entries for the owner and for the user change that. Lists, domains and classes of service, which Dovecot does not
//! know, stand on the level of groups. (Measured against Dovecot 2.3.19: docs/concepts/share.md.)

use super::survey::Survey;
use crate::model::mailbox::FolderKey;
use crate::model::provisioning::domain_of;
use crate::model::share::{Grant, Grantee, Rights};
use std::collections::{BTreeMap, BTreeSet};

/// Every right there is.
const ALL: &str = "lrwstipekxa";

/// How special an entry is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Anyone,
    Authenticated,
    Group,
    Owner,
    User,
}

/// All that an access list says to one grantee; absent is not the same as empty, which leaves no right.
#[derive(Default)]
struct Entry {
    gives: Option<Rights>,
    takes: Option<Rights>,
}

fn level(grantee: &Grantee) -> Level {
    match grantee {
        Grantee::Public => Level::Anyone,
        Grantee::Everyone => Level::Authenticated,
        Grantee::Group(_) | Grantee::List(_) | Grantee::Domain(_) | Grantee::Cos(_) => Level::Group,
        Grantee::Owner => Level::Owner,
        Grantee::User(_) | Grantee::Guest(_) => Level::User,
    }
}

/// Both rights.
pub(super) fn union(one: &Rights, other: &Rights) -> Rights {
    Rights::from_letters(&format!("{one}{other}"))
}

fn without(all: &Rights, taken: &Rights) -> Rights {
    let left: String = all.as_str().chars().filter(|&letter| !taken.as_str().contains(letter)).collect();
    Rights::from_letters(&left)
}

/// A survey, ready to be asked for rights.
pub(super) struct Access<'a> {
    survey: &'a Survey,
    lists: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Access<'a> {
    pub(super) fn new(survey: &'a Survey) -> Self {
        Self { survey, lists: survey.list_members() }
    }

    /// The accounts that a grantee stands for on a folder of `owner`.
    pub(super) fn accounts(&self, grantee: &Grantee, owner: &str) -> BTreeSet<&'a str> {
        let addresses = || self.survey.accounts.keys().map(String::as_str);
        match grantee {
            Grantee::User(who) => {
                self.survey.accounts.get_key_value(who).map(|(who, _)| who.as_str()).into_iter().collect()
            }
            Grantee::Owner => {
                self.survey.accounts.get_key_value(owner).map(|(who, _)| who.as_str()).into_iter().collect()
            }
            Grantee::List(list) => self.lists.get(list.as_str()).cloned().unwrap_or_default(),
            Grantee::Domain(domain) => addresses().filter(|who| domain_of(who) == domain).collect(),
            Grantee::Group(_) | Grantee::Cos(_) => {
                addresses().filter(|who| self.stands_for(grantee, who, owner)).collect()
            }
            Grantee::Everyone | Grantee::Public => addresses().collect(),
            Grantee::Guest(_) => BTreeSet::new(),
        }
    }

    /// Whether a grantee, on a folder of `owner`, stands for the account.
    fn stands_for(&self, grantee: &Grantee, account: &str, owner: &str) -> bool {
        let view = self.survey.accounts.get(account);
        match grantee {
            Grantee::User(who) => who == account,
            Grantee::Owner => owner == account,
            Grantee::List(list) => self.lists.get(list.as_str()).is_some_and(|members| members.contains(account)),
            Grantee::Domain(domain) => domain_of(account) == domain,
            Grantee::Cos(class) => view.is_some_and(|view| view.cos.as_ref() == Some(class)),
            Grantee::Group(group) => view.is_some_and(|view| view.groups.contains(group)),
            Grantee::Everyone | Grantee::Public => true,
            Grantee::Guest(_) => false,
        }
    }

    /// The account's rights on a folder of `owner` with this access list.
    pub(super) fn rights(&self, account: &str, owner: &str, grants: &[Grant]) -> Rights {
        let own = account == owner;
        // One entry a grantee, with what it gives and what it takes; in the order in which Dovecot sorts them.
        let mut entries: BTreeMap<(Level, &Grantee), Entry> = BTreeMap::new();
        for grant in grants {
            let level = level(&grant.grantee);
            if (own && level < Level::Owner) || !self.stands_for(&grant.grantee, account, owner) {
                continue;
            }
            let entry = entries.entry((level, &grant.grantee)).or_default();
            let side = if grant.negative { &mut entry.takes } else { &mut entry.gives };
            *side = Some(side.as_ref().map_or_else(|| grant.rights.clone(), |rights| union(rights, &grant.rights)));
        }
        let mut given = Rights::from_letters(if own { ALL } else { "" });
        let mut taken = Rights::default();
        let mut before = None;
        for ((level, _), Entry { gives, takes }) in &entries {
            let adds = before == Some(*level);
            for (sum, change) in [(&mut given, gives), (&mut taken, takes)] {
                match change {
                    Some(rights) if adds => *sum = union(sum, rights),
                    Some(rights) => *sum = rights.clone(),
                    None => {}
                }
            }
            before = Some(*level);
        }
        without(&given, &taken)
    }

    /// Whether the account finds the folder, given what its access list will be.
    pub(super) fn may_look_up(&self, account: &str, owner: &str, grants: &[Grant]) -> bool {
        self.rights(account, owner, grants).as_str().contains('l')
    }
}

/// Access lists that differ from the survey's: those that a plan will have written.
pub(super) type Planned = BTreeMap<(String, FolderKey), Vec<Grant>>;
