//! Pieces of messages: one of a message that is asked for by itself, and a long message piece by piece.

use super::ahead::{Place, Readers};
use super::client::{Command, Connection, Untagged};
use super::pool::{Lease, Pool};
use crate::limits;
use crate::site::SiteError;
use std::io;
use std::sync::Arc;

/// What came of opening a folder again.
pub enum Reopened {
    Open,
    /// It is not there any more, or is another one now.
    Gone,
    /// It is there as far as anybody knows, and does not open; why, in the server's words.
    Refused(String),
}

/// Opens the folder of a message for reading.
pub fn reopen(connection: &mut Connection, place: &Place) -> Result<Reopened, SiteError> {
    Ok(match connection.open(&place.wire, false, "", &mut |_| Ok(()))? {
        Ok(selected) if selected.uid_validity == place.uid_validity => Reopened::Open,
        Ok(_) => Reopened::Gone,
        Err(said) if said.has("NONEXISTENT") => Reopened::Gone,
        Err(said) if said.asks_to_wait() => return Err(connection.refusal(&Command::new("EXAMINE"), &said)),
        Err(said) => Reopened::Refused(format!("the server does not open its folder: {said}")),
    })
}

/// What a server gives of a message.
pub enum Piece {
    Bytes(Vec<u8>),
    Gone,
    /// The message is there; why it is not given, in the server's words.
    Refused(String),
}

/// Asks for a piece of one message of the open folder.
pub fn fetch(connection: &mut Connection, uid: u32, offset: u64) -> Result<Piece, SiteError> {
    let (mut there, mut body) = (false, None);
    let command = fetch_piece(&uid.to_string(), offset);
    let said = connection.run(&command, &mut |untagged| {
        if let Untagged::Fetch(fetched) = untagged
            && fetched.uid == Some(uid)
        {
            there = true;
            body = fetched.body.or(body.take());
        }
        Ok(())
    })?;
    if said.is_ok() && !there {
        // Some say nothing of what they cannot read.
        connection.demand(&Command::new(format!("UID FETCH {uid} (UID)")), &mut |untagged| {
            there |= matches!(untagged, Untagged::Fetch(fetched) if fetched.uid == Some(uid));
            Ok(())
        })?;
    }
    match body {
        Some(body) => Ok(Piece::Bytes(body)),
        None if said.asks_to_wait() && !said.is_ok() => Err(connection.refusal(&command, &said)),
        None if !said.is_ok() => Ok(Piece::Refused(format!("the server does not give it: {said}"))),
        None if there => Ok(Piece::Refused("the server has it in its list and does not give its text".to_owned())),
        None => Ok(Piece::Gone),
    }
}

/// Asks for a piece of messages without marking them as seen.
pub fn fetch_piece(set: &str, offset: u64) -> Command {
    let piece = limits::IMAP_PIECE_BYTES;
    Command::new(format!("UID FETCH {set} (UID BODY.PEEK[]<{offset}.{piece}>)")).expecting(piece + limits::KIB)
}

/// The rest of a long message, piece by piece over a connection of its own.
pub struct Pieces {
    pool: Arc<Pool>,
    readers: Arc<Readers>,
    account: String,
    place: Place,
    lease: Option<Lease>,
    offset: u64,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Pieces {
    pub fn new(pool: Arc<Pool>, readers: Arc<Readers>, account: String, place: Place) -> Self {
        Self { pool, readers, account, place, lease: None, offset: 0, piece: Vec::new(), at: 0, ended: false }
    }

    fn next_piece(&mut self) -> Result<Option<Vec<u8>>, SiteError> {
        let mut lease = match self.lease.take() {
            Some(lease) => lease,
            None => {
                let mut lease = self.pool.lease(&self.account, &|| self.readers.release())?;
                match reopen(&mut lease, &self.place)? {
                    Reopened::Open => {}
                    Reopened::Gone => return Ok(None),
                    Reopened::Refused(why) => return Err(lease.complaint(why)),
                }
                lease
            }
        };
        let piece = match fetch(&mut lease, self.place.uid, self.offset)? {
            Piece::Bytes(bytes) => Some(bytes),
            Piece::Gone => None,
            Piece::Refused(why) => return Err(lease.complaint(why)),
        };
        self.lease = Some(lease);
        Ok(piece)
    }
}

impl io::Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.piece.len() {
            if self.ended {
                return Ok(0);
            }
            let next = super::pool::patiently(|| self.next_piece()).map_err(io::Error::other)?;
            let Some(piece) = next else { return Err(io::ErrorKind::NotFound.into()) };
            self.ended = (piece.len() as u64) < limits::IMAP_PIECE_BYTES;
            self.offset += piece.len() as u64;
            (self.piece, self.at) = (piece, 0);
            if self.ended {
                self.lease = None;
            }
        }
        let ready = self.piece.get(self.at..).unwrap_or_default();
        let take = ready.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..take), ready.get(..take)) {
            to.copy_from_slice(from);
        }
        self.at += take;
        Ok(take)
    }
}
