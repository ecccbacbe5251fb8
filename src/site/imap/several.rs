//! Changing the flags of several messages of a folder, and removing several: one flight of commands for all, where one by
//! one each would cost a round trip, and most servers a write of its own.

use super::client::{Command, Untagged, set_of};
use super::flags::{flag_names, split_flags};
use super::state::FolderRow;
use super::{ImapStore, Seen, pool};
use crate::limits;
use crate::model::mailbox::FolderKey;
use crate::site::{Marking, SiteError};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::PoisonError;

/// Messages of a folder.
struct Lying {
    /// The account's number.
    id: i64,
    row: FolderRow,
    /// By name.
    uids: HashMap<String, u32>,
}

impl ImapStore {
    /// What the server does not confirm is set again, message by message: there a refusal is understood.
    pub(super) fn mark_mails(
        &self,
        account: &str,
        key: &FolderKey,
        wanted: &[Marking],
    ) -> Result<Vec<bool>, SiteError> {
        let confirmed = match wanted.len() {
            0 | 1 => HashSet::new(),
            _ => self.mark_together(account, key, wanted)?,
        };
        wanted
            .iter()
            .map(|one| match confirmed.contains(&one.name) {
                true => Ok(true),
                false => self.set_mail_flags(account, &one.name, one.flags, &one.keywords),
            })
            .collect()
    }

    /// The names of the messages that the server confirmed.
    fn mark_together(&self, account: &str, key: &FolderKey, wanted: &[Marking]) -> Result<HashSet<String>, SiteError> {
        let seen = self.seen(account);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let names = wanted.iter().map(|one| one.name.as_str());
        let Some(Lying { row, uids, .. }) = self.lying(account, key, names, &mut seen)? else {
            return Ok(HashSet::new());
        };
        let mut here: HashMap<u32, &Marking> = HashMap::new();
        let mut by_flags: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for one in wanted {
            if let Some(uid) = uids.get(&one.name) {
                let words = flag_names(one.flags, &self.fitting(&one.keywords)).join(" ");
                by_flags.entry(words).or_default().push(*uid);
                here.insert(*uid, one);
            }
        }
        let parts: Vec<(&str, &[u32])> = by_flags
            .iter()
            .flat_map(|(words, uids)| uids.chunks(limits::IMAP_SET_UIDS).map(|uids| (words.as_str(), uids)))
            .collect();
        let told = pool::patiently(|| {
            // What the server says of each, and those of which it says that they are set.
            let (mut told, mut set) = (HashMap::new(), HashSet::new());
            let mut lease = self.lease(account)?;
            if !self.open_to_write(&mut lease, &row)? {
                return Ok(told);
            }
            for flight in parts.chunks(limits::IMAP_PIPELINE) {
                let mut sent = Vec::new();
                for (words, uids) in flight {
                    sent.push(lease.send(&Command::new(format!("UID STORE {} FLAGS ({words})", set_of(uids))))?);
                }
                for (sent, (_, uids)) in sent.into_iter().zip(flight) {
                    let said = lease.finish(sent, &mut |untagged| {
                        if let Untagged::Fetch(fetched) = untagged
                            && let (Some(uid), Some(flags)) = (fetched.uid, &fetched.flags)
                            && here.contains_key(&uid)
                        {
                            told.insert(uid, split_flags(flags));
                        }
                        Ok(())
                    })?;
                    set.extend(uids.iter().copied().filter(|_| said.is_ok()));
                }
            }
            told.retain(|uid, _| set.contains(uid));
            Ok(told)
        })?;
        let confirmed = told.keys().filter_map(|uid| here.get(uid)).map(|one| one.name.clone()).collect();
        for (uid, one) in here.iter().filter(|(uid, _)| told.contains_key(uid)) {
            self.state.set_passed(row.id, *uid, one.flags, &one.keywords)?;
        }
        let rows: Vec<_> = told.into_iter().map(|(uid, (flags, keywords))| (uid, flags, keywords)).collect();
        self.state.set_flags(row.id, &rows)?;
        Ok(confirmed)
    }

    /// Which of these messages lie in a folder, by what is known; `None`: the folder is not known.
    fn lying<'n>(
        &self,
        account: &str,
        key: &FolderKey,
        names: impl Iterator<Item = &'n str>,
        seen: &mut Seen,
    ) -> Result<Option<Lying>, SiteError> {
        let id = self.state.account(account)?;
        let Some(row) = self.state.folder(id, key.path())? else { return Ok(None) };
        seen.fresh.remove(&row.path);
        let mut uids = HashMap::new();
        for name in names {
            if let Some((_, message)) = self.state.find(id, name)?.filter(|(folder, _)| *folder == row.id) {
                uids.insert(name.to_owned(), message.uid);
            }
        }
        Ok(Some(Lying { id, row, uids }))
    }

    /// Removes messages; `false` for each that is not there.
    pub(super) fn remove_mails(
        &self,
        account: &str,
        key: &FolderKey,
        names: &[String],
    ) -> Result<Vec<bool>, SiteError> {
        let removed = match names.len() {
            0 | 1 => HashSet::new(),
            _ => self.remove_together(account, key, names)?,
        };
        names
            .iter()
            .map(|name| if removed.contains(name) { Ok(true) } else { self.remove_mail(account, name) })
            .collect()
    }

    /// The names of those that went. None without UIDPLUS, where nothing removes a chosen message.
    fn remove_together(&self, account: &str, key: &FolderKey, names: &[String]) -> Result<HashSet<String>, SiteError> {
        let seen = self.seen(account);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let lying = self.lying(account, key, names.iter().map(String::as_str), &mut seen)?;
        let Some(Lying { id, row, uids: here }) = lying else { return Ok(HashSet::new()) };
        let uids: Vec<u32> = here.values().copied().collect();
        let gone = pool::patiently(|| {
            let mut lease = self.lease(account)?;
            let chooses = lease.can("UIDPLUS") || lease.can("IMAP4REV2");
            if !chooses || !self.open_to_write(&mut lease, &row)? {
                return Ok(false);
            }
            for some in uids.chunks(limits::IMAP_SET_UIDS) {
                let set = set_of(some);
                let marks = Command::new(format!("UID STORE {set} +FLAGS.SILENT (\\Deleted)"));
                let expunges = Command::new(format!("UID EXPUNGE {set}"));
                let sent = (lease.send(&marks)?, lease.send(&expunges)?);
                let marked = lease.finish(sent.0, &mut |_| Ok(()))?;
                let expunged = lease.finish(sent.1, &mut |_| Ok(()))?;
                if !marked.is_ok() || !expunged.is_ok() {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        if !gone {
            return Ok(HashSet::new());
        }
        self.state.leave(id, row.id, &uids)?;
        Ok(here.into_keys().collect())
    }
}
