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

/// Flags and keywords of messages, by UID, until there are enough of them to be written to the state.
#[derive(Default)]
struct Changes {
    rows: Vec<(u32, Flags, Vec<String>)>,
    bytes: usize,
}

impl Changes {
    fn take(&mut self, state: &State, folder: i64, one: (u32, Flags, Vec<String>)) -> Result<(), SiteError> {
        self.bytes += weight(&one.2);
        self.rows.push(one);
        let enough = self.rows.len() >= limits::IMAP_ROWS || self.bytes >= limits::IMAP_ROWS_BYTES;
        if enough { self.put_down(state, folder) } else { Ok(()) }
    }

    fn put_down(&mut self, state: &State, folder: i64) -> Result<(), SiteError> {
        self.bytes = 0;
        state.set_flags(folder, &std::mem::take(&mut self.rows))
    }
}

/// What a row with these keywords takes, bytes.
pub fn weight(keywords: &[String]) -> usize {
    let each = |keyword: &String| limits::IMAP_ENTRY_BYTES + keyword.len();
    limits::IMAP_ENTRY_BYTES + keywords.iter().map(each).sum::<usize>()
}

/// Whether a folder's counters are those of the last look. Without a modification sequence flags may have changed.
pub fn is_as_before(state: &State, row: &FolderRow, status: &Status) -> Result<bool, SiteError> {
    let same = row.uid_validity != 0
        && row.modseq != 0
        && status.uid_validity == Some(row.uid_validity)
        && status.uid_next == Some(row.uid_next)
        && status.modseq == Some(row.modseq);
    Ok(same && status.messages.map(u64::from) == Some(state.count(row.id)?))
}

/// How a look leaves the folder open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    ToRead,
    /// So that what follows need not open it once more.
    ToWrite,
}

/// Looks at a folder; `Err` inside: the server refuses to open it.
pub fn look(
    connection: &mut Connection,
    state: &State,
    account: i64,
    row: &FolderRow,
    opening: Opening,
) -> Result<Result<(), Said>, SiteError> {
    let known = row.uid_validity != 0;
    let quick = known && row.modseq > 0 && connection.enabled("QRESYNC");
    let parameters = match quick {
        true => format!("(QRESYNC ({} {}))", row.uid_validity, row.modseq),
        false if connection.can("CONDSTORE") && !connection.enabled("CONDSTORE") => "(CONDSTORE)".to_owned(),
        false => String::new(),
    };
    let from = if known { row.uid_next } else { 1 };
    let writable = opening == Opening::ToWrite;
    let sent = connection.send_open(&row.wire, writable, &parameters)?;
    let ahead = connection.send(&all_about(connection, from))?;
    let mut changes = Changes::default();
    // What is told here is about messages that were known, and at once applied: should the folder turn out to be another
    // one now, all of them leave anyway.
    let (mut told, mut ranges, there) = (0, 0, messages_bound(state.count(row.id)?));
    let server = connection.server().to_owned();
    let opened = connection.finish_open(sent, &row.wire, writable, &mut |untagged| match untagged {
        Untagged::Vanished(numbers) if known => {
            ranges += numbers.ranges().len();
            if ranges > limits::IMAP_RANGES {
                return Err(too_many(&server, row, limits::IMAP_RANGES, "ranges of messages that left"));
            }
            state.leave_ranges(account, row.id, numbers.ranges())
        }
        Untagged::Fetch(fetched) => {
            told += 1;
            if told > there {
                return Err(too_many(&server, row, there, "changed messages, more than were known,"));
            }
            change(*fetched).filter(|_| known).map_or(Ok(()), |one| changes.take(state, row.id, one))
        }
        _ => Ok(()),
    })?;
    changes.put_down(state, row.id)?;
    let mut look = Look { state, account, row, arrivals: Vec::new(), bytes: 0, highest: 0, seen: None };
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
            look.seen = Some(Vec::new());
        }
        look.take(connection, ahead, from, &selected, &command)?;
        if let Some(seen) = look.seen.take() {
            look.forget_all_but(seen)?;
        }
        if known {
            let trusted = selected.modseq.is_some_and(|modseq| row.modseq > 0 && modseq >= row.modseq);
            look.rest(connection, from, quick && trusted, trusted)?;
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

/// How many messages may be told of where a folder has `count`: some come while it is looked at.
fn messages_bound(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX).saturating_add(limits::IMAP_UNASKED)
}

/// A server that tells of more than there can be.
fn too_many(server: &str, row: &FolderRow, bound: usize, of_what: &str) -> SiteError {
    let what = format!(
        "tells of more than {bound} {of_what} in the folder {}; the folder was not looked at to its end, and the next pass \
         looks again. Look into the server's log for what is wrong with the folder",
        row.path
    );
    SiteError::Server { server: server.to_owned(), what }
}

struct Look<'a> {
    state: &'a State,
    account: i64,
    row: &'a FolderRow,
    arrivals: Vec<Arrival>,
    /// What those take.
    bytes: usize,
    /// The highest UID that was met.
    highest: u32,
    /// UIDs that were met, where that is asked.
    seen: Option<Vec<u32>>,
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
        let (mut told, there) = (0, messages_bound(selected.messages.into()));
        let server = connection.server().to_owned();
        let said = connection.finish(sent, &mut |untagged| {
            let Untagged::Fetch(fetched) = untagged else { return Ok(()) };
            told += 1;
            if told > there {
                return Err(too_many(&server, self.row, there, "messages, more than it has said are there,"));
            }
            let Some(arrival) = arrival(*fetched).filter(|arrival| arrival.uid >= from) else { return Ok(()) };
            self.highest = self.highest.max(arrival.uid);
            if let Some(seen) = &mut self.seen {
                seen.push(arrival.uid);
            }
            self.bytes += arrival.ident.len() + weight(&arrival.keywords);
            self.arrivals.push(arrival);
            let enough = self.arrivals.len() >= limits::IMAP_ROWS || self.bytes >= limits::IMAP_ROWS_BYTES;
            if enough { self.put_down() } else { Ok(()) }
        })?;
        self.put_down()?;
        // Servers differ in what `1:*` means in an empty folder.
        if said.is_ok() || selected.messages == 0 { Ok(()) } else { Err(connection.refusal(command, &said)) }
    }

    fn put_down(&mut self) -> Result<(), SiteError> {
        self.bytes = 0;
        self.state.arrive(self.account, self.row.id, &std::mem::take(&mut self.arrivals))
    }

    /// What opening the folder did not tell of the messages before `from`.
    fn rest(&mut self, connection: &mut Connection, from: u32, told: bool, trusted: bool) -> Result<(), SiteError> {
        if told || from <= 1 {
            return Ok(());
        }
        if !trusted {
            return self.compare(connection);
        }
        let words = format!("UID FETCH 1:{} (FLAGS) (CHANGEDSINCE {})", from - 1, self.row.modseq);
        let mut changes = Changes::default();
        let (state, row, server) = (self.state, self.row, connection.server().to_owned());
        let (mut told, there) = (0, messages_bound(connection.selected().map_or(0, |open| open.messages.into())));
        connection.demand(&Command::new(words).about_all(), &mut |untagged| {
            let Untagged::Fetch(fetched) = untagged else { return Ok(()) };
            told += 1;
            if told > there {
                return Err(too_many(&server, row, there, "changed messages, more than it has said are there,"));
            }
            change(*fetched).map_or(Ok(()), |one| changes.take(state, row.id, one))
        })?;
        changes.put_down(state, row.id)
    }

    /// Compares all flags and UIDs with those that are known.
    fn compare(&mut self, connection: &mut Connection) -> Result<(), SiteError> {
        let (state, row, server) = (self.state, self.row, connection.server().to_owned());
        // Ascending: a million of them take 4 MB, and as a set ten times that.
        let known = state.uids(row.id)?;
        let mut seen = Vec::new();
        let mut changes = Changes::default();
        let mut unknown = Vec::new();
        let (mut told, there) = (0, messages_bound(connection.selected().map_or(0, |open| open.messages.into())));
        let said = connection.run(&Command::new("UID FETCH 1:* (FLAGS)").about_all(), &mut |untagged| {
            let Untagged::Fetch(fetched) = untagged else { return Ok(()) };
            told += 1;
            if told > there {
                return Err(too_many(&server, row, there, "messages, more than it has said are there,"));
            }
            let Some(one) = change(*fetched) else { return Ok(()) };
            seen.push(one.0);
            if known.binary_search(&one.0).is_ok() {
                return changes.take(state, row.id, one);
            }
            unknown.push(one.0);
            Ok(())
        })?;
        let empty = connection.selected().is_some_and(|selected| selected.messages == 0);
        if !said.is_ok() && !empty {
            return Err(connection.refusal(&Command::new("UID FETCH"), &said));
        }
        changes.put_down(state, row.id)?;
        drop(known);
        for uids in unknown.chunks(limits::IMAP_SET_UIDS) {
            let command = about(connection, &super::client::set_of(uids));
            let sent = connection.send(&command)?;
            let selected = connection.selected().cloned().unwrap_or_default();
            self.take(connection, sent, 1, &selected, &command)?;
        }
        self.forget_all_but(seen)
    }

    fn forget_all_but(&self, mut seen: Vec<u32>) -> Result<(), SiteError> {
        seen.sort_unstable();
        let mut gone = self.state.uids(self.row.id)?;
        gone.retain(|uid| seen.binary_search(uid).is_err());
        self.state.leave(self.account, self.row.id, &gone)
    }
}

/// Asks for all that is recorded of the messages from a UID on.
fn all_about(connection: &Connection, from: u32) -> Command {
    about(connection, &format!("{}:*", from.max(1))).about_all()
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
        (Some(id), _) if id.len() <= limits::IMAP_IDENT_BYTES => id,
        (Some(id), _) => fingerprint(id.as_bytes(), 0, 0),
        (None, header) => fingerprint(&header.unwrap_or_default(), size, date),
    };
    let (flags, keywords) = split_flags(&fetched.flags?);
    Some(Arrival { uid: fetched.uid?, ident, size, date, flags, keywords })
}

fn change(fetched: Fetched) -> Option<(u32, Flags, Vec<String>)> {
    let (flags, keywords) = split_flags(&fetched.flags?);
    Some((fetched.uid?, flags, keywords))
}
