//! Changing messages that are there: flags, moves, removal; and settling what an import announced.

use super::client::{Code, Command, Selected, Untagged};
use super::flags::{flag_names, split_flags};
use super::look::Opening;
use super::state::{FolderRow, MessageRow};
use super::{ImapStore, pool};
use crate::model::id::ObjectId;
use crate::model::mailbox::{Flags, FolderKey, FolderKind};
use crate::site::{Delivered, Delivery, Present, SiteError, StoredAs};
use std::sync::PoisonError;

impl ImapStore {
    pub(super) fn settle_mail(
        &self,
        account: &str,
        key: &FolderKey,
        names: &[String],
    ) -> Result<Vec<Option<Present>>, SiteError> {
        let seen = self.seen(account);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self.state.account(account)?;
        self.settle_intents(account, id)?;
        if !self.state.copyings(id)?.is_empty() {
            let stuck = pool::patiently(|| self.end_copies(&mut self.lease(account)?, id))?;
            if let Some((_, error)) = stuck.into_iter().find(|(name, _)| names.contains(name)) {
                return Err(error);
            }
        }
        seen.fresh.remove(key.path());
        // What is settled is changed or removed next, so the folder is opened for that at once.
        self.present(account, key, &mut seen, Opening::ToWrite)?;
        let here = self.state.folder(id, key.path())?.map(|row| row.id);
        let missing = |state: &super::state::State| -> Result<bool, SiteError> {
            for name in names {
                if state.find(id, name)?.is_none_or(|(folder, _)| Some(folder) != here) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        if missing(&self.state)? {
            self.refresh(account, &mut seen)?;
        }
        names
            .iter()
            .map(|name| {
                let Some((folder, message)) = self.state.find(id, name)? else { return Ok(None) };
                let Some(row) = self.state.folder_by_id(folder)? else { return Ok(None) };
                let key = FolderKey::new(FolderKind::Mail, &row.path).ok();
                let MessageRow { name, flags, keywords, .. } = message;
                Ok(key.map(|key| Present { key, name, flags, keywords }))
            })
            .collect()
    }

    /// The message of that name, wherever in the account the state has it.
    fn locate(&self, account: &str, name: &str) -> Result<Option<(i64, FolderRow, MessageRow)>, SiteError> {
        let id = self.state.account(account)?;
        let Some((folder, message)) = self.state.find(id, name)? else { return Ok(None) };
        Ok(self.state.folder_by_id(folder)?.map(|row| (id, row, message)))
    }

    /// Opens a folder for writing; `false`: it is another one now, and what the state says of UIDs means nothing.
    pub(super) fn open_to_write(&self, lease: &mut pool::Lease, row: &FolderRow) -> Result<bool, SiteError> {
        let same = |open: &Selected| row.uid_validity == 0 || open.uid_validity == row.uid_validity;
        if let Some(open) = lease.selected().filter(|open| open.writable && open.name == row.wire) {
            return Ok(same(open));
        }
        match lease.open(&row.wire, true, "", &mut |_| Ok(()))? {
            Ok(selected) => Ok(same(&selected)),
            Err(said) => Err(lease.complaint(format!("does not open the folder {} for writing: {said}", row.path))),
        }
    }

    pub(super) fn set_mail_flags(
        &self,
        account: &str,
        name: &str,
        flags: Flags,
        keywords: &[String],
    ) -> Result<bool, SiteError> {
        let seen = self.seen(account);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((id, row, message)) = self.locate(account, name)? else { return Ok(false) };
        seen.fresh.remove(&row.path);
        let set = pool::patiently(|| {
            let mut lease = self.lease(account)?;
            if !self.open_to_write(&mut lease, &row)? {
                return Ok(None);
            }
            let mut left_out = Vec::new();
            loop {
                let mut now = None;
                let words = flag_names(flags, &self.fitting(keywords)).join(" ");
                let command = Command::new(format!("UID STORE {} FLAGS ({words})", message.uid));
                let said = lease.run(&command, &mut |untagged| {
                    if let Untagged::Fetch(fetched) = untagged
                        && fetched.uid.is_none_or(|uid| uid == message.uid)
                        && let Some(flags) = &fetched.flags
                    {
                        now = Some(split_flags(flags));
                    }
                    Ok(())
                })?;
                if said.is_ok() {
                    return Ok(now);
                }
                match self.leave_one_out(&said, keywords) {
                    Some(keyword) => left_out.push(keyword),
                    None => {
                        self.take_back(&left_out);
                        return Err(lease.refusal(&command, &said));
                    }
                }
            }
        })?;
        let is_there = set.is_some();
        match set {
            Some((there, words)) => {
                self.state.set_flags(row.id, &[(message.uid, there, words)])?;
                self.state.set_passed(row.id, message.uid, flags, keywords)?;
            }
            None => self.state.leave(id, row.id, &[message.uid])?,
        }
        Ok(is_there)
    }

    pub(super) fn move_mail(&self, account: &str, name: &str, to: &FolderKey) -> Result<bool, SiteError> {
        let seen = self.seen(account);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((id, row, message)) = self.locate(account, name)? else { return Ok(false) };
        if row.path == to.path() {
            return Ok(true);
        }
        let there = match self.state.folder(id, to.path())? {
            Some(there) => there,
            None => self.present(account, to, &mut seen, Opening::ToRead)?.ok_or_else(|| {
                let what = format!("has no folder {to} of {account} to move a message to");
                SiteError::Server { server: self.pool.server(), what }
            })?,
        };
        seen.fresh.remove(&row.path);
        seen.fresh.remove(&there.path);
        let mut lease = self.lease(account)?;
        let moves = lease.can("MOVE") || lease.can("IMAP4REV2");
        if let Some((_, error)) = self.end_copies(&mut lease, id)?.into_iter().find(|(stuck, _)| stuck == name) {
            return Err(error);
        }
        // What a move that was cut off did, a look at both folders tells: the state knows the message by its content.
        for folder in [row.id, there.id] {
            let now = self.state.folder_by_id(folder)?;
            if now.is_some_and(|now| now.uid_next <= message.uid || !lease.can("UIDPLUS")) {
                drop(self.looked_at(&mut lease, id, folder)?);
            }
        }
        self.state.give_names(id, false)?;
        let Some((folder, message)) = self.state.find(id, name)? else { return Ok(false) };
        if folder == there.id {
            return Ok(true);
        }
        if !moves {
            let (Some(row), Some(there)) = (self.state.folder_by_id(folder)?, self.state.folder_by_id(there.id)?)
            else {
                return Ok(false);
            };
            self.move_by_copy(&mut lease, id, (&row, &message), &there)?;
        } else if !self.move_at_once(&mut lease, id, (&row, &message), &there)? {
            return Ok(false);
        }
        Ok(self.state.find(id, name)?.is_some_and(|(folder, _)| folder == there.id))
    }

    /// `false`: the folder is another one now.
    fn move_at_once(
        &self,
        lease: &mut pool::Lease,
        id: i64,
        (row, message): (&FolderRow, &MessageRow),
        there: &FolderRow,
    ) -> Result<bool, SiteError> {
        if !self.open_to_write(lease, row)? {
            return Ok(false);
        }
        let command = Command::new(format!("UID MOVE {}", message.uid)).string(&there.wire);
        let mut copied = None;
        let mut note = |code: &Option<Code>| {
            if let Some(Code::CopyUid(validity, uids, _)) = code {
                copied = uids.each().next().map(|uid| (*validity, uid));
            }
        };
        let said = lease.demand(&command, &mut |untagged| {
            if let Untagged::Said(said) = &untagged {
                note(&said.code);
            }
            Ok(())
        })?;
        note(&said.code);
        match copied {
            Some((validity, uid)) if there.uid_validity == 0 || there.uid_validity == validity => {
                self.state.moved((row.id, message.uid), (there.id, uid))?;
            }
            _ => {
                self.state.leave(id, row.id, &[message.uid])?;
                drop(self.looked_at(lease, id, there.id)?);
                self.state.give_names(id, false)?;
            }
        }
        Ok(true)
    }

    pub(super) fn remove_mail(&self, account: &str, name: &str) -> Result<bool, SiteError> {
        let seen = self.seen(account);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((id, row, message)) = self.locate(account, name)? else { return Ok(false) };
        seen.fresh.remove(&row.path);
        pool::patiently(|| {
            let mut lease = self.lease(account)?;
            if self.open_to_write(&mut lease, &row)? { self.expunge(&mut lease, message.uid) } else { Ok(()) }
        })?;
        self.state.leave(id, row.id, &[message.uid])?;
        Ok(true)
    }

    /// What the server has of messages that were delivered with other bytes.
    pub(super) fn stored_mail(&self, account: &str, names: &[String]) -> Result<Vec<Option<StoredAs>>, SiteError> {
        let id = self.state.account(account)?;
        let stored = |name: &String| {
            let stored = self.state.object(id, name)?;
            Ok(stored.map(|(object, by_server)| StoredAs { object: ObjectId::from_digest(object), by_server }))
        };
        names.iter().map(stored).collect()
    }

    /// A message has one content for ever, so this is another one that takes its name; the old one goes last.
    pub(super) fn replace_mail(&self, account: &str, key: &FolderKey, delivery: Delivery) -> Result<bool, SiteError> {
        let name = delivery.name.clone();
        let Some((id, ..)) = self.locate(account, &name)? else { return Ok(false) };
        let instead = format!("{name}-new");
        let (outcomes, _) = self.deliver_mail(account, key, vec![Delivery { name: instead.clone(), ..delivery }])?;
        if let Some(Delivered::Rejected(reason)) = outcomes.into_iter().next() {
            return Err(SiteError::Server { server: self.pool.server(), what: reason.to_string() });
        }
        self.remove_mail(account, &name)?;
        self.state.rename(id, &instead, &name)?;
        Ok(true)
    }

    /// Removes one message of the open folder, and never one that somebody else marked. Without UIDPLUS nothing removes
    /// a single message; then all that are marked go only where this is the only one.
    pub(super) fn expunge(&self, lease: &mut pool::Lease, uid: u32) -> Result<(), SiteError> {
        lease.demand(&Command::new(format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)")), &mut |_| Ok(()))?;
        if lease.can("UIDPLUS") || lease.can("IMAP4REV2") {
            lease.demand(&Command::new(format!("UID EXPUNGE {uid}")), &mut |_| Ok(()))?;
            return Ok(());
        }
        let mut alone = true;
        lease.demand(&Command::new("UID SEARCH DELETED"), &mut |untagged| {
            if let Untagged::Search(found) = untagged {
                alone &= found.iter().all(|one| *one == uid);
            }
            Ok(())
        })?;
        if alone {
            lease.demand(&Command::new("EXPUNGE"), &mut |_| Ok(()))?;
        }
        Ok(())
    }
}
