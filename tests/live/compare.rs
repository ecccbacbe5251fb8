//! What a client saw on both sides, compared: everything that differs has a name and is counted, or ends the test.

use crate::client::{Folder, Mailbox, Message, plain};
use crate::world::{Kind, Site};
use std::collections::{BTreeMap, BTreeSet};

/// Differences that are allowed, counted by their name.
pub type Counted = BTreeMap<&'static str, usize>;

/// What an import told that did not come as it was: by account, and folder or setting as its report calls them.
#[derive(Default, Debug)]
pub struct Told {
    /// Messages that the server refused.
    refused: BTreeMap<(String, String), usize>,
    /// The server's words where it refused something of a folder as a whole, its access list mostly.
    folders: BTreeMap<(String, String), String>,
    /// Messages whose bytes the server changed.
    changed: BTreeMap<(String, String), usize>,
    /// Grants that wait for somebody who is on no side.
    pending: BTreeSet<(String, String, String)>,
    /// Folders whose name the target cannot hold, and what they are called there.
    renamed: BTreeMap<(String, String), String>,
}

impl Told {
    /// Reads what an import said with `--json`. No account may be missing as a whole.
    pub fn of(said: &str) -> Self {
        let report = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let report = report.rev().find(|line| line["event"] == "report").unwrap_or_else(|| panic!("{said}"));
        let report = &report["report"];
        let mut told = Self::default();
        for one in report["rejected"].as_array().unwrap() {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            let place = (text("account"), text("folder"));
            if !text("item").is_empty() && text("reason") == "refused" {
                *told.refused.entry(place).or_default() += 1;
            } else if !text("folder").is_empty() {
                told.folders.entry(place).or_default().push_str(&text("detail"));
            }
            let whole = one["folder"].is_null() && text("account").contains('@') && text("detail").contains("://");
            assert!(!whole, "an account did not arrive: {one}");
        }
        for one in report["pending"].as_array().unwrap() {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            told.pending.insert((text("account"), text("place"), text("refers")));
        }
        for one in report["notices"].as_array().unwrap() {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            if text("text") == "the target's server changed some of its bytes" {
                *told.changed.entry((text("account"), text("folder"))).or_default() += 1;
            }
            if let Some((name, _)) =
                text("text").strip_prefix("is called ").and_then(|rest| rest.split_once(" on the "))
            {
                told.renamed.insert((text("account"), text("folder")), name.to_owned());
            }
        }
        told
    }

    /// Messages of a folder that were refused, and that were changed.
    fn numbers(&self, account: &str, folder: &str) -> (usize, usize) {
        let place = (account.to_owned(), plain(folder));
        let of = |all: &BTreeMap<_, usize>| all.get(&place).copied().unwrap_or_default();
        (of(&self.refused), of(&self.changed))
    }
}

/// What Cyrus makes of a header byte above 127.
fn as_cyrus_keeps(content: &[u8]) -> Vec<u8> {
    let end = content.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(content.len());
    content.iter().enumerate().map(|(at, byte)| if at < end && *byte > 127 { b'X' } else { *byte }).collect()
}

/// What Dovecot makes of several CRs before an LF, and of one at the end.
fn as_dovecot_keeps(content: &[u8]) -> Vec<u8> {
    let left_out = |at: usize| {
        content[at] == b'\r' && (at + 1 == content.len() || content.get(at + 1..at + 3) == Some(b"\r\n".as_slice()))
    };
    (0..content.len()).filter(|at| !left_out(*at)).map(|at| content[at]).collect()
}

/// Compares an account; panics at the first difference that no server is known to make.
pub fn compare(account: &str, before: &Mailbox, after: &Mailbox, target: &Kind, told: &Told) -> Counted {
    let mut counted = Counted::new();
    let mut met = BTreeSet::new();
    for (name, folder) in before {
        let renamed = told.renamed.get(&(account.to_owned(), plain(name)));
        let (name_there, there) = match renamed {
            Some(renamed) => {
                *counted.entry("folders with a name that the server cannot hold").or_default() += 1;
                (renamed.as_str(), after.iter().find(|(there, _)| plain(there) == *renamed).map(|(_, folder)| folder))
            }
            None => (name.as_str(), after.get(name)),
        };
        let Some(there) = there else {
            let words = told.folders.get(&(account.to_owned(), plain(name)));
            let keys = after.keys().collect::<Vec<_>>();
            panic!("{account}: {name} is not on the target as {name_there} ({words:?}), which has {keys:?}");
        };
        met.insert(plain(name_there));
        compare_messages(
            &format!("{account} {name}"),
            folder,
            there,
            (target, told.numbers(account, name)),
            &mut counted,
        );
        compare_grants((account, name), folder, there, told, &mut counted);
        describe(&format!("{account} {name}"), folder, there, &mut counted);
        *counted.entry("folders").or_default() += 1;
    }
    for name in after.keys().filter(|name| !met.contains(&plain(name))) {
        assert!(after[name].messages.is_empty(), "{account}: {name} with mail is new");
        *counted.entry("empty folders that the server made").or_default() += 1;
    }
    counted
}

/// `refused` and `told` are how many of its messages the import told that the server had refused, and changed.
fn compare_messages(
    what: &str,
    before: &Folder,
    after: &Folder,
    (target, (refused, told)): (&Kind, (usize, usize)),
    counted: &mut Counted,
) {
    let (mut not_there, mut changed) = (0, 0);
    let mut left = after.messages.clone();
    let mut count = |why| *counted.entry(why).or_default() += 1;
    for message in &before.messages {
        if let Some(at) = left.iter().position(|there| *there == *message) {
            left.remove(at);
            count("messages equal");
            continue;
        }
        let (content, why) = match target {
            Kind::Dovecot => (as_dovecot_keeps(&message.content), "messages from which a CR was left out"),
            Kind::Cyrus => (as_cyrus_keeps(&message.content), "messages whose header bytes above 127 became X"),
        };
        let is_changed = content != message.content;
        let kept = Message { content, ..message.clone() };
        if let Some(at) = left.iter().position(|there| *there == kept) {
            left.remove(at);
            changed += 1;
            count(why);
        } else if let Some(at) = left.iter().position(|there| is_passed(there, &kept) || is_passed(&kept, there)) {
            // A letter of the Maildir that Dovecot shows nothing for.
            left.remove(at);
            changed += usize::from(is_changed);
            count("messages passed on, which Dovecot does not show");
        } else if not_there < refused {
            not_there += 1;
            count("messages refused and told");
        } else {
            let near = left.iter().find(|there| there.content == kept.content);
            let near = near.map(|there| (there.date, there.flags.clone()));
            let head = String::from_utf8_lossy(&message.content).chars().take(300).collect::<String>();
            panic!(
                "{what}: a message of {} bytes is not there: {:?} {:?}, there {near:?}\n{head}",
                message.content.len(),
                message.date,
                message.flags
            );
        }
    }
    assert_eq!(not_there, refused, "{what}: messages that the ledger calls refused and that are not there");
    assert_eq!(changed, told, "{what}: messages that the import says the server changed, and that are other bytes");
    assert!(left.is_empty(), "{what}: {} messages that the source does not have", left.len());
}

/// Whether it is the same but for the keyword that stands for Maildir's `P`.
fn is_passed(there: &Message, kept: &Message) -> bool {
    let mut flags = kept.flags.clone();
    flags.push("$Forwarded".to_owned());
    flags.sort();
    *there == Message { flags, ..kept.clone() }
}

fn compare_grants((account, name): (&str, &str), before: &Folder, after: &Folder, told: &Told, counted: &mut Counted) {
    let what = format!("{account} {name}");
    let mut count = |why| *counted.entry(why).or_default() += 1;
    let place = (account.to_owned(), plain(name));
    for (who, rights) in &before.grants {
        let waits = told.pending.contains(&(place.0.clone(), place.1.clone(), who.trim_start_matches('-').to_owned()));
        let refused = told.folders.get(&place).is_some_and(|words| words.contains("SETACL"));
        match after.grants.get(who) {
            Some(there) if there == rights => count("grants equal"),
            // Cyrus forgets an entry without rights; it says nothing either way.
            None if rights.is_empty() => count("grants of no right at all, which Cyrus does not keep"),
            None if waits => count("grants to nobody that exists, told as waiting"),
            None if who == "anonymous"
                && told.folders.get(&place).is_some_and(|words| words.contains("for public")) =>
            {
                count("grants to the public, for which Dovecot has no word in IMAP, told");
            }
            // A Dovecot that serves files shows `anonymous` as `anyone`.
            None if who == "anonymous" && after.grants.get("anyone") == Some(rights) => {
                count("grants to the public, which Dovecot shows as to anyone");
            }
            None if who.trim_start_matches('-').starts_with("group:") && refused => {
                count("grants to groups that the server does not know, refused and told");
            }
            there => panic!("{what}: {who} has {there:?} and not {rights}; told {:?}", told.folders.get(&place)),
        }
    }
    let is_known = |who: &str| {
        before.grants.contains_key(who) || (who == "anyone" && before.grants.get("anonymous") == after.grants.get(who))
    };
    let more: Vec<_> = after.grants.keys().filter(|who| !is_known(who)).collect();
    assert!(more.is_empty(), "{what}: {more:?} may look in who could not before");
}

/// Subscription and special use.
fn describe(what: &str, before: &Folder, after: &Folder, counted: &mut Counted) {
    let mut count = |why| *counted.entry(why).or_default() += 1;
    if what.ends_with(" INBOX") && after.subscribed && !before.subscribed {
        // Cyrus subscribes to the inbox when it makes one.
        count("inboxes that the server subscribed to");
    } else {
        assert_eq!(after.subscribed, before.subscribed, "{what}: subscription");
        if before.subscribed {
            count("subscriptions equal");
        }
    }
    if before.special_use.is_some() {
        assert_eq!(after.special_use, before.special_use, "{what}: special use");
        count("special uses equal");
    }
}

/// Compares subscriptions to what is no folder: each is there, or was refused and told.
pub fn compare_elsewhere(account: &str, before: &[String], after: &[String], told: &Told) -> Counted {
    let mut counted = Counted::new();
    for name in before {
        let place = (account.to_owned(), format!("subscription {}", plain(name)));
        let why = match after.contains(name) {
            true => "subscriptions to no folder, equal",
            false if told.folders.contains_key(&place) => "subscriptions to no folder, refused and told",
            false => panic!("{account}: the subscription to {name} got lost; there {after:?}"),
        };
        *counted.entry(why).or_default() += 1;
    }
    counted
}

pub fn add(all: &mut Counted, more: Counted) {
    more.into_iter().for_each(|(why, number)| *all.entry(why).or_default() += number);
}

pub fn compare_all(before: &BTreeMap<&str, Mailbox>, target: &Site, told: &Told) -> Counted {
    let mut all = Counted::new();
    for (account, mailbox) in before {
        add(&mut all, compare(account, mailbox, &target.look(account), &target.kind, told));
    }
    all
}

pub fn look_all<'a>(site: &Site, accounts: &[&'a str]) -> BTreeMap<&'a str, Mailbox> {
    accounts.iter().map(|account| (*account, site.look(account))).collect()
}
