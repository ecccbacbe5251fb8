//! Moving a message on a server without MOVE (RFC 6851): it is copied, then removed where it was. Announced before, so that a
//! connection that breaks between the two, or before the server's answer, leaves it once.

use super::client::Command;
use super::look::{self, Opening};
use super::state::{Copying, FolderRow, MessageRow};
use super::{ImapStore, pool};
use crate::site::SiteError;

impl ImapStore {
    /// Moves a message of `row`, which was looked at, to `there`. What was begun before is ended first.
    pub(super) fn move_by_copy(
        &self,
        lease: &mut pool::Lease,
        id: i64,
        (row, message): (&FolderRow, &MessageRow),
        there: &FolderRow,
    ) -> Result<(), SiteError> {
        let announced = Copying {
            name: message.name.clone(),
            folder: row.id,
            uid_validity: row.uid_validity,
            uid: message.uid,
            to: there.id,
            to_validity: there.uid_validity,
            to_from: there.uid_next,
        };
        self.state.add_copying(id, &announced)?;
        let opened = self.open_to_write(lease, row)?;
        if opened {
            let command = Command::new(format!("UID COPY {}", message.uid)).string(&there.wire);
            let said = lease.run(&command, &mut |_| Ok(()))?;
            if !said.is_ok() {
                self.state.end_copying(id, &announced, None)?;
                return Err(lease.refusal(&command, &said));
            }
        }
        if !self.end_copy(lease, id, &announced, opened)? && opened {
            let what = format!(
                "has copied a message of {} to {} and shows none that is like it there; it was not removed where it was. \
                 Look into both folders",
                row.path, there.path
            );
            return Err(lease.complaint(what));
        }
        self.state.give_names(id, false)
    }

    /// Ends the moves that an earlier run, or a connection that broke, has begun.
    pub(super) fn end_copies(&self, lease: &mut pool::Lease, id: i64) -> Result<(), SiteError> {
        for one in self.state.copyings(id)? {
            self.end_copy(lease, id, &one, false)?;
        }
        self.state.give_names(id, false)
    }

    /// Where the copy lies in its folder, the message goes from the other one. `done`: the server has just said so. `false`: it
    /// does not lie there.
    fn end_copy(&self, lease: &mut pool::Lease, id: i64, one: &Copying, done: bool) -> Result<bool, SiteError> {
        let (from, to) = (self.looked_at(lease, id, one.folder)?, self.looked_at(lease, id, one.to)?);
        // In a folder that was made anew nothing can be told by a UID.
        let to = to.filter(|to| to.uid_validity == one.to_validity);
        let copy = if to.is_some() { self.state.copy_of(id, one, done)? } else { None };
        if copy.is_some()
            && let Some(from) = from.filter(|from| from.uid_validity == one.uid_validity)
            && self.state.uids(from.id)?.binary_search(&one.uid).is_ok()
            && self.open_to_write(lease, &from)?
        {
            self.expunge(lease, one.uid)?;
        }
        self.state.end_copying(id, one, copy)?;
        Ok(copy.is_some())
    }

    /// A folder as it is now, where it can be opened.
    pub(super) fn looked_at(
        &self,
        lease: &mut pool::Lease,
        id: i64,
        folder: i64,
    ) -> Result<Option<FolderRow>, SiteError> {
        let Some(row) = self.state.folder_by_id(folder)? else { return Ok(None) };
        match look::look(lease, &self.state, id, &row, Opening::ToRead)? {
            Ok(()) => self.state.folder_by_id(folder),
            Err(_) => Ok(None),
        }
    }
}
