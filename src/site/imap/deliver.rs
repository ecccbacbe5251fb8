//! Delivering messages exactly once.
//!
//! Before the first byte goes out the state says durably which message goes where, with which content, and from which
//! UID on it will be found. Wherever the connection breaks, the folder is searched for it before it is sent again
//! ([`super::sent`]); the state then says under which UID it lies. Nothing is decided by a guess from names or dates
//! alone where the content tells.

use super::client::{Code, Command, Message, Untagged};
use super::flags::flag_names;
use super::look::{self, Opening};
use super::outgoing::{Outgoing, group, look_through};
use super::state::{FolderRow, Intent};
use super::{ImapStore, Seen, pool};
use crate::event::Reason;
use crate::limits;
use crate::model::mailbox::FolderKey;
use crate::site::{Delivered, Delivery, SiteError, UidsKept};
use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::sync::{MutexGuard, PoisonError};

/// What became of messages that were sent together.
enum Sent {
    /// UIDs in order, where the server told them.
    Taken(Option<(u32, Vec<u32>)>),
    Refused(super::client::Said),
}

impl ImapStore {
    pub(super) fn deliver_mail(
        &self,
        account: &str,
        key: &FolderKey,
        batch: Vec<Delivery>,
    ) -> Result<(Vec<Delivered>, UidsKept), SiteError> {
        let seen = self.seen(account);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self.state.account(account)?;
        let row = match self.state.folder(id, key.path())? {
            Some(row) => row,
            None => {
                self.present(account, key, &mut seen, Opening::ToRead)?.ok_or_else(|| self.no_folder(account, key))?
            }
        };
        let wants_uids = batch.iter().any(|delivery| delivery.uid.is_some());
        let mut outcomes: Vec<Option<Delivered>> = Vec::with_capacity(batch.len());
        let mut outgoing = Vec::new();
        for (at, delivery) in batch.into_iter().enumerate() {
            // A delivery that is repeated.
            if let Some((_, there)) = self.state.find(id, &delivery.name)? {
                outcomes.push(Some(Delivered::Done { uid: there.uid.try_into().ok() }));
                continue;
            }
            outcomes.push(None);
            match look_through(delivery) {
                Ok(one) => outgoing.push((at, one)),
                Err(error) => set(&mut outcomes, at, Delivered::Rejected(Reason::Unreadable(error.to_string()))),
            }
        }
        seen.fresh.remove(key.path());
        let mut round = 0;
        while !outgoing.is_empty() {
            match self.send_round(account, id, &row, &mut outgoing, &mut outcomes) {
                Ok(()) => {}
                Err(error) if pool::is_passing(&error) && round < limits::IMAP_TRIES => {
                    round += 1;
                    std::thread::sleep(pool::wait_before(round));
                    self.settle_intents(account, id)?;
                    let mut left = Vec::new();
                    for (at, one) in outgoing {
                        match self.state.find(id, &one.delivery.name)? {
                            Some((_, there)) => {
                                set(&mut outcomes, at, Delivered::Done { uid: there.uid.try_into().ok() });
                            }
                            None => left.push((at, one)),
                        }
                    }
                    outgoing = left;
                }
                // It asked to wait, time after time; its words are the reason.
                Err(SiteError::Lost { source, .. }) if source.kind() == io::ErrorKind::ResourceBusy => {
                    let names: Vec<String> = outgoing.iter().map(|(_, one)| one.delivery.name.clone()).collect();
                    self.state.delivered(id, row.id, &[], &names)?;
                    for (at, _) in std::mem::take(&mut outgoing) {
                        set(&mut outcomes, at, Delivered::Rejected(Reason::Refused(source.to_string())));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let lost = |what: &str| Delivered::Rejected(Reason::Refused(what.to_owned()));
        let outcomes = outcomes.into_iter().map(|one| one.unwrap_or_else(|| lost("it was not sent"))).collect();
        let kept =
            if wants_uids { UidsKept::No("IMAP gives every message a new UID".to_owned()) } else { UidsKept::Yes };
        Ok((outcomes, kept))
    }

    fn no_folder(&self, account: &str, key: &FolderKey) -> SiteError {
        SiteError::Server { server: self.pool.server(), what: format!("has no folder {key} of {account} any more") }
    }

    /// Announces and sends what is left; what has an outcome is taken out of `outgoing`.
    fn send_round(
        &self,
        account: &str,
        id: i64,
        row: &FolderRow,
        outgoing: &mut Vec<(usize, Outgoing)>,
        outcomes: &mut [Option<Delivered>],
    ) -> Result<(), SiteError> {
        let mut lease = self.lease(account)?;
        let (uid_validity, uid_from) = self.counters(&mut lease, id, row)?;
        let intents: Vec<Intent> = outgoing.iter().map(|(_, one)| one.intent(row.id, uid_validity, uid_from)).collect();
        self.state.add_intents(id, &intents)?;
        let several = lease.can("MULTIAPPEND");
        while !outgoing.is_empty() {
            let count = if several { group(outgoing) } else { 1 };
            let group = outgoing.get(..count).unwrap_or_default();
            let place = (id, uid_validity, uid_from);
            let together = if count > 1 { Some(self.send_group(&mut lease, row, group)?) } else { None };
            match together {
                Some(Sent::Taken(uids)) => self.note_group(&mut lease, place, row, group, uids, outcomes)?,
                // One of several was refused, and the others with it.
                Some(Sent::Refused(_)) | None => {
                    for single in group.chunks(1) {
                        self.send_single(&mut lease, place, row, single, outcomes)?;
                    }
                }
            }
            outgoing.drain(..count);
        }
        Ok(())
    }

    fn send_single(
        &self,
        lease: &mut pool::Lease,
        place: (i64, u32, u32),
        row: &FolderRow,
        single: &[(usize, Outgoing)],
        outcomes: &mut [Option<Delivered>],
    ) -> Result<(), SiteError> {
        let mut left_out = Vec::new();
        loop {
            let said = match self.send_group(lease, row, single)? {
                Sent::Taken(uids) => return self.note_group(lease, place, row, single, uids, outcomes),
                Sent::Refused(said) => said,
            };
            let keywords = single.iter().flat_map(|(_, one)| one.delivery.keywords.clone()).collect::<Vec<_>>();
            match self.leave_one_out(&said, &keywords) {
                Some(keyword) => left_out.push(keyword),
                None => {
                    self.take_back(&left_out);
                    return self.refuse(lease, place.0, row, single, &said, outcomes);
                }
            }
        }
    }

    /// The server does not take a message: its words are the reason. One that is only busy is asked again later.
    fn refuse(
        &self,
        lease: &pool::Lease,
        id: i64,
        row: &FolderRow,
        single: &[(usize, Outgoing)],
        said: &super::client::Said,
        outcomes: &mut [Option<Delivered>],
    ) -> Result<(), SiteError> {
        if said.asks_to_wait() {
            return Err(lease.refusal(&Command::new("APPEND"), said));
        }
        let names: Vec<String> = single.iter().map(|(_, one)| one.delivery.name.clone()).collect();
        self.state.delivered(id, row.id, &[], &names)?;
        for (at, _) in single {
            set(outcomes, *at, Delivered::Rejected(Reason::Refused(said.to_string())));
        }
        Ok(())
    }

    /// UIDVALIDITY and the least UID that a new message can have. Another UIDVALIDITY than the last look's is looked at
    /// first, so that new messages are not taken for old ones.
    pub(super) fn counters(&self, lease: &mut pool::Lease, id: i64, row: &FolderRow) -> Result<(u32, u32), SiteError> {
        let mut told = (None, None);
        let command = Command::new("STATUS").string(&row.wire).words("(UIDVALIDITY UIDNEXT)");
        lease.demand(&command, &mut |untagged| {
            if let Untagged::Status(_, status) = untagged {
                told = (status.uid_validity, status.uid_next);
            }
            Ok(())
        })?;
        let (Some(validity), next) = told else {
            return Err(lease.complaint(format!("does not tell the UIDVALIDITY of {}", row.path)));
        };
        if row.uid_validity != 0
            && row.uid_validity != validity
            && let Err(said) = look::look(lease, &self.state, id, row, Opening::ToRead)?
        {
            return Err(lease.complaint(format!("does not open {}: {said}", row.path)));
        }
        Ok((validity, next.unwrap_or(1)))
    }

    fn send_group(
        &self,
        lease: &mut pool::Lease,
        row: &FolderRow,
        group: &[(usize, Outgoing)],
    ) -> Result<Sent, SiteError> {
        let writers: Vec<_> = group.iter().map(|(_, one)| move |out: &mut dyn Write| one.write(out)).collect();
        let messages: Vec<Message<'_>> = group
            .iter()
            .zip(&writers)
            .map(|((_, one), write)| Message {
                flags: flag_names(one.delivery.flags, &self.fitting(&one.delivery.keywords)),
                date: one.delivery.date,
                size: one.size,
                utf8: one.utf8,
                write,
            })
            .collect();
        let said = lease.append(&row.wire, &messages)?;
        Ok(match said.code {
            _ if !said.is_ok() => Sent::Refused(said),
            Some(Code::AppendUid(validity, numbers)) => {
                let uids: Vec<u32> = numbers.each().take(group.len() + 1).collect();
                Sent::Taken(Some((validity, uids)).filter(|(_, uids)| uids.len() == group.len()))
            }
            _ => Sent::Taken(None),
        })
    }

    /// Records messages that the server has taken.
    fn note_group(
        &self,
        lease: &mut pool::Lease,
        (id, uid_validity, uid_from): (i64, u32, u32),
        row: &FolderRow,
        group: &[(usize, Outgoing)],
        uids: Option<(u32, Vec<u32>)>,
        outcomes: &mut [Option<Delivered>],
    ) -> Result<(), SiteError> {
        let odd = group.iter().any(|(_, one)| one.odd);
        let uids = uids.filter(|(validity, _)| *validity == uid_validity).map(|(_, uids)| uids);
        let mut settled = match uids {
            Some(uids) => {
                let each = group.iter().zip(uids);
                each.map(|((_, one), uid)| one.settled(uid)).collect()
            }
            None => {
                let wanted: Vec<Intent> =
                    group.iter().map(|(_, one)| one.intent(row.id, uid_validity, uid_from)).collect();
                self.find_sent(lease, row, &wanted, !odd)?
            }
        };
        if odd {
            self.compare_odd(lease, row, group, &mut settled)?;
        }
        self.state.delivered(id, row.id, &settled, &[])?;
        let by_name: HashMap<&str, u32> =
            settled.iter().map(|one| (one.message.name.as_str(), one.message.uid)).collect();
        for (at, one) in group {
            let outcome = match by_name.get(one.delivery.name.as_str()) {
                Some(uid) => Delivered::Done { uid: (*uid).try_into().ok() },
                None => {
                    let text = "the server took it, and it is not in the folder";
                    Delivered::Rejected(Reason::Refused(text.to_owned()))
                }
            };
            set(outcomes, *at, outcome);
        }
        Ok(())
    }

    pub(super) fn reserve(
        &self,
        account: &str,
        wanted: &[String],
        seen: &mut MutexGuard<'_, Seen>,
    ) -> Result<Vec<String>, SiteError> {
        let id = self.state.account(account)?;
        let mut names = Vec::with_capacity(wanted.len());
        let mut given = HashSet::new();
        for wish in wanted {
            let base = super::names::item_name(wish);
            let mut name = base.clone();
            while given.contains(&name) || seen.promised.contains(&name) || !self.state.is_free(id, &name)? {
                let count = seen.numbered.entry(base.clone()).or_insert(1);
                *count += 1;
                name = format!("{base}-w{count}");
            }
            given.insert(name.clone());
            names.push(name);
        }
        // They count as taken until the next names are asked for; a delivery takes them for good.
        seen.promised = names.iter().cloned().collect();
        Ok(names)
    }
}

fn set(outcomes: &mut [Option<Delivered>], at: usize, outcome: Delivered) {
    if let Some(slot) = outcomes.get_mut(at) {
        *slot = Some(outcome);
    }
}
