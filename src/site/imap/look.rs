//! Looking at one folder: what the server has in it that the state does not know.
//!
//! With QRESYNC (RFC 7162) opening a folder brings what changed and what left, and what is new is asked for in the same
//! breath; with CONDSTORE what left is found where the counts differ; without either, all flags are compared. Whatever
//! does not add up ends in a full comparison.

use super::client::{Command, Connection, Fetched, Said, Selected, Status, Untagged};
use super::flags::split_flags;
use super::names::fingerprint;
use super::state::{Arrival, FolderRow, State};
use crate::limits;
use crate::model::mailbox::Flags;
use crate::site::SiteError;
use std::collections::HashSet;

/// Flags and keywords of messages, by UID.
type Changes = Vec<(u32, Flags, Vec<String>)>;

/// Whether a folder's counters are those of the last look. Without a modification sequence flags may have changed.
pub fn is_as_before(state: &State, row: &FolderRow, status: &Status) -> Result<bool, SiteError> {
    let same = row.uid_validity != 0
        && row.modseq != 0
        && status.uid_validity == Some(row.uid_validity)
        && status.uid_next == Some(row.uid_next)
        && status.modseq == Some(row.modseq);
    Ok(same && status.messages.map(u64::from) == Some(state.count(row.id)?))
}

/// Looks at a folder; `Err` inside: the server refuses to open it.
pub fn look(
    connection: &mut Connection,
    state: &State,
    account: i64,
    row: &FolderRow,
) -> Result<Result<(), Said>, SiteError> {
    let known = row.uid_validity != 0;
    let quick = known && row.modseq > 0 && connection.enabled("QRESYNC");
    let parameters = match quick {
        true => format!("(QRESYNC ({} {}))", row.uid_validity, row.modseq),
        false if connection.can("CONDSTORE") && !connection.enabled("CONDSTORE") => "(CONDSTORE)".to_owned(),
        false => String::new(),
    };
    let from = if known { row.uid_next } else { 1 };
    let opening = connection.send_open(&row.wire, false, &parameters)?;
    let ahead = connection.send(&all_about(connection, from))?;
    let mut gone = Vec::new();
    let mut changes = Changes::new();
    let opened = connection.finish_open(opening, &row.wire, false, &mut |untagged| {
        match untagged {
            Untagged::Vanished(numbers) => gone.extend_from_slice(numbers.ranges()),
            Untagged::Fetch(fetched) => changes.extend(change(*fetched)),
            _ => {}
        }
        Ok(())
    })?;
    let mut look = Look { state, account, folder: row.id, arrivals: Vec::new(), highest: 0, seen: None };
    let selected = match opened {
        Ok(selected) => selected,
        Err(said) => {
            connection.finish(ahead, &mut |_| Ok(()))?;
            return Ok(Err(said));
        }
    };
    if known && selected.uid_validity != row.uid_validity {
        connection.finish(ahead, &mut |_| Ok(()))?;
        state.leave_all(account, row.id)?;
        let all = all_about(connection, 1);
        let sent = connection.send(&all)?;
        look.take(connection, sent, 1, &selected, &all)?;
    } else {
        let command = all_about(connection, from);
        if !known {
            // A look that was cut off may have left some behind.
            look.seen = Some(HashSet::new());
        }
        look.take(connection, ahead, from, &selected, &command)?;
        if let Some(seen) = look.seen.take() {
            look.forget_all_but(&seen)?;
        }
        if known {
            state.leave_ranges(account, row.id, &gone)?;
            state.set_flags(row.id, &changes)?;
            let trusted = selected.modseq.is_some_and(|modseq| row.modseq > 0 && modseq >= row.modseq);
            look.rest(connection, row, from, quick && trusted, trusted)?;
        }
    }
    if state.count(row.id)? != u64::from(selected.messages) {
        look.compare(connection)?;
    }
    // A server need not tell it; then it is at least what was met.
    let next = selected.uid_next.unwrap_or_else(|| look.highest.saturating_add(1).max(from));
    state.looked_at(row.id, selected.uid_validity, next, selected.modseq.unwrap_or(0))?;
    Ok(Ok(()))
}

struct Look<'a> {
    state: &'a State,
    account: i64,
    folder: i64,
    arrivals: Vec<Arrival>,
    /// The highest UID that was met.
    highest: u32,
    /// UIDs that were met, where that is asked.
    seen: Option<HashSet<u32>>,
}

impl Look<'_> {
    /// Takes in what a fetch of everything from `from` on brings.
    fn take(
        &mut self,
        connection: &mut Connection,
        sent: super::client::Sent,
        from: u32,
        selected: &Selected,
        command: &Command,
    ) -> Result<(), SiteError> {
        let said = connection.finish(sent, &mut |untagged| {
            let Untagged::Fetch(fetched) = untagged else { return Ok(()) };
            let Some(arrival) = arrival(*fetched).filter(|arrival| arrival.uid >= from) else { return Ok(()) };
            self.highest = self.highest.max(arrival.uid);
            if let Some(seen) = &mut self.seen {
                seen.insert(arrival.uid);
            }
            self.arrivals.push(arrival);
            if self.arrivals.len() >= limits::IMAP_ROWS { self.put_down() } else { Ok(()) }
        })?;
        self.put_down()?;
        // Servers differ in what `1:*` means in an empty folder.
        if said.is_ok() || selected.messages == 0 { Ok(()) } else { Err(connection.refusal(command, &said)) }
    }

    fn put_down(&mut self) -> Result<(), SiteError> {
        self.state.arrive(self.account, self.folder, &std::mem::take(&mut self.arrivals))
    }

    /// What opening the folder did not tell of the messages before `from`.
    fn rest(
        &mut self,
        connection: &mut Connection,
        row: &FolderRow,
        from: u32,
        told: bool,
        trusted: bool,
    ) -> Result<(), SiteError> {
        if told || from <= 1 {
            return Ok(());
        }
        if !trusted {
            return self.compare(connection);
        }
        let command = Command::new(format!("UID FETCH 1:{} (FLAGS) (CHANGEDSINCE {})", from - 1, row.modseq));
        let mut changes = Changes::new();
        connection.demand(&command, &mut |untagged| {
            if let Untagged::Fetch(fetched) = untagged {
                changes.extend(change(*fetched));
            }
            Ok(())
        })?;
        self.state.set_flags(self.folder, &changes)
    }

    /// Compares all flags and UIDs with those that are known.
    fn compare(&mut self, connection: &mut Connection) -> Result<(), SiteError> {
        let known: HashSet<u32> = self.state.uids(self.folder)?.into_iter().collect();
        let mut seen = HashSet::new();
        let mut changes = Changes::new();
        let mut unknown = Vec::new();
        let (state, folder) = (self.state, self.folder);
        let said = connection.run(&Command::new("UID FETCH 1:* (FLAGS)"), &mut |untagged| {
            let Untagged::Fetch(fetched) = untagged else { return Ok(()) };
            let Some(one) = change(*fetched) else { return Ok(()) };
            seen.insert(one.0);
            if known.contains(&one.0) {
                changes.push(one);
            } else {
                unknown.push(one.0);
            }
            if changes.len() >= limits::IMAP_ROWS {
                state.set_flags(folder, &std::mem::take(&mut changes))?;
            }
            Ok(())
        })?;
        let empty = connection.selected().is_some_and(|selected| selected.messages == 0);
        if !said.is_ok() && !empty {
            return Err(connection.refusal(&Command::new("UID FETCH"), &said));
        }
        state.set_flags(folder, &changes)?;
        for uids in unknown.chunks(500) {
            let command = about(connection, &super::client::set_of(uids));
            let sent = connection.send(&command)?;
            let selected = connection.selected().cloned().unwrap_or_default();
            self.take(connection, sent, 1, &selected, &command)?;
        }
        self.forget_all_but(&seen)
    }

    fn forget_all_but(&self, seen: &HashSet<u32>) -> Result<(), SiteError> {
        let mut gone = self.state.uids(self.folder)?;
        gone.retain(|uid| !seen.contains(uid));
        self.state.leave(self.account, self.folder, &gone)
    }
}

/// Asks for all that is recorded of the messages from a UID on.
fn all_about(connection: &Connection, from: u32) -> Command {
    about(connection, &format!("{}:*", from.max(1)))
}

/// The same for a set. Where the server has no lasting name for a message, its header makes one.
fn about(connection: &Connection, set: &str) -> Command {
    let ident = if connection.can("OBJECTID") {
        "EMAILID".to_owned()
    } else if connection.can("X-GM-EXT-1") {
        "X-GM-MSGID".to_owned()
    } else if connection.is_dovecot() {
        "X-GUID".to_owned()
    } else {
        format!("BODY.PEEK[HEADER]<0.{}>", limits::IMAP_HEADER_BYTES)
    };
    Command::new(format!("UID FETCH {set} (UID FLAGS INTERNALDATE RFC822.SIZE {ident})"))
}

fn arrival(fetched: Fetched) -> Option<Arrival> {
    let (size, date) = (fetched.size?, fetched.date.unwrap_or(0));
    let ident = match (fetched.id, fetched.header) {
        (Some(id), _) => id,
        (None, header) => fingerprint(&header.unwrap_or_default(), size, date),
    };
    let (flags, keywords) = split_flags(&fetched.flags?);
    Some(Arrival { uid: fetched.uid?, ident, size, date, flags, keywords })
}

fn change(fetched: Fetched) -> Option<(u32, Flags, Vec<String>)> {
    let (flags, keywords) = split_flags(&fetched.flags?);
    Some((fetched.uid?, flags, keywords))
}
