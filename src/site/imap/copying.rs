//! Moving a message on a server without MOVE (RFC 6851): it is copied, then removed where it was. Announced before, so that a
//! connection that breaks between the two, or before the server's answer, leaves it once.

use super::client::{Code, Command};
use super::look::{self, Opening};
use super::sent::is_listed;
use super::state::{Copying, FolderRow, MessageRow};
use super::{ImapStore, pool};
use crate::site::SiteError;

/// A move that was begun and cannot be ended now: the message's name, and why.
pub type Stuck = (String, SiteError);

impl ImapStore {
    /// Moves a message of `row` to `there`, unless `row` is another folder now.
    pub(super) fn move_by_copy(
        &self,
        lease: &mut pool::Lease,
        id: i64,
        (row, message): (&FolderRow, &MessageRow),
        there: &FolderRow,
    ) -> Result<(), SiteError> {
        // By that the copy is known, should its UID not be told.
        if !self.state.has_ident(row.id, message.uid)? {
            drop(self.looked_at(lease, id, row.id)?);
        }
        let (mut to_validity, mut to_from) = self.counters(lease, id, there)?;
        if to_from <= 1
            && let Some(there) = self.looked_at(lease, id, there.id)?
        {
            // It did not tell its next UID.
            (to_validity, to_from) = (there.uid_validity, there.uid_next);
        }
        let announced = Copying {
            name: message.name.clone(),
            folder: row.id,
            uid_validity: row.uid_validity,
            uid: message.uid,
            to: there.id,
            to_validity,
            to_from,
        };
        if !self.open_to_write(lease, row)? {
            return Ok(());
        }
        self.state.add_copying(id, &announced)?;
        let command = Command::new(format!("UID COPY {}", message.uid)).string(&there.wire);
        let said = lease.run(&command, &mut |_| Ok(()))?;
        if !said.is_ok() {
            self.state.end_copying(id, &announced, None)?;
            return Err(lease.refusal(&command, &said));
        }
        let told = match &said.code {
            Some(Code::CopyUid(validity, uids, _)) if *validity == to_validity => uids.each().next(),
            _ => None,
        };
        if let Some(uid) = told {
            self.expunge(lease, message.uid)?;
            self.state.moved((row.id, message.uid), (there.id, uid))?;
            return self.state.end_copying(id, &announced, None);
        }
        if self.end_copy(lease, id, &announced, true)? {
            return self.state.give_names(id, false);
        }
        Err(lease.complaint(format!(
            "has copied a message of {} to {} and shows none that is like it there; it was not removed where it was. Look into \
             both folders",
            row.path, there.path
        )))
    }

    /// Ends the moves that an earlier run, or a connection that broke, has begun. What the server does not let be ended
    /// stays announced.
    pub(super) fn end_copies(&self, lease: &mut pool::Lease, id: i64) -> Result<Vec<Stuck>, SiteError> {
        let mut stuck = Vec::new();
        for one in self.state.copyings(id)? {
            match self.end_copy(lease, id, &one, false) {
                Ok(_) => {}
                Err(error @ SiteError::Server { .. }) => stuck.push((one.name, error)),
                Err(error) => return Err(error),
            }
        }
        self.state.give_names(id, false)?;
        Ok(stuck)
    }

    /// Where the copy lies in its folder, the message goes from the other one. `done`: the server has just said that it is
    /// there. `false`: it does not lie there.
    fn end_copy(&self, lease: &mut pool::Lease, id: i64, one: &Copying, done: bool) -> Result<bool, SiteError> {
        // In a folder that was made anew nothing can be told by a UID.
        let to = self.looked_at(lease, id, one.to)?.filter(|to| to.uid_validity == one.to_validity);
        let copy = if to.is_some() { self.state.copy_of(id, one, done)? } else { None };
        if copy.is_some()
            && let Some(from) = self.looked_at(lease, id, one.folder)?
            && from.uid_validity == one.uid_validity
            && self.state.uids(from.id)?.binary_search(&one.uid).is_ok()
            && self.open_to_write(lease, &from)?
        {
            self.expunge(lease, one.uid)?;
        }
        self.state.end_copying(id, one, copy)?;
        Ok(copy.is_some())
    }

    /// A folder as it is now; `None`: it is gone. One that is there and does not open is an error: nothing is known of it.
    pub(super) fn looked_at(
        &self,
        lease: &mut pool::Lease,
        id: i64,
        folder: i64,
    ) -> Result<Option<FolderRow>, SiteError> {
        let Some(row) = self.state.folder_by_id(folder)? else { return Ok(None) };
        match look::look(lease, &self.state, id, &row, Opening::ToRead)? {
            Ok(()) => self.state.folder_by_id(folder),
            Err(said) if said.has("NONEXISTENT") || !is_listed(lease, &row)? => Ok(None),
            Err(said) => Err(lease.refusal(&Command::new("EXAMINE").string(&row.wire), &said)),
        }
    }
}
