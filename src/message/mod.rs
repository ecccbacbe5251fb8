//! Not written yet; the signatures that others build on.

use crate::format::FormatError;
use crate::model::id::ObjectId;
use std::borrow::Cow;
use std::io;

/// A MIME leaf body taken out of a message.
pub struct Part<'a> {
    pub id: ObjectId,
    pub bytes: Cow<'a, [u8]>,
}

/// A message taken apart; joining gives it back byte for byte, which `split` has checked.
pub struct Split<'a> {
    /// What delivery put on top.
    pub trace: &'a [u8],
    /// The encoded skeleton: an object of its own.
    pub skeleton: Vec<u8>,
    pub parts: Vec<Part<'a>>,
}

/// Takes a message apart; `None` when there is nothing to gain (no trace and no part), or when joining would not give
/// the same bytes: then it is stored whole.
pub fn split(_raw: &[u8]) -> Option<Split<'_>> {
    todo!()
}

/// The recipe of a message: the name of its skeleton and its trace.
pub fn encode_recipe(_skeleton: &ObjectId, _trace: &[u8]) -> Vec<u8> {
    todo!()
}

/// What stops a join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError<E> {
    #[error("the recipe or skeleton does not follow the format")]
    Format(#[from] FormatError),
    #[error("cannot write the message")]
    Write(#[source] io::Error),
    #[error("a part cannot be had")]
    Part(#[source] E),
}

/// Joins a message from its recipe, writing it to `out`; `fetch` gives skeleton and parts by name, of at most so many
/// bytes. Returns the bytes written, `limit` at most.
pub fn join<E>(
    _recipe: &[u8],
    _limit: u64,
    _fetch: &mut dyn FnMut(&ObjectId, u64) -> Result<Vec<u8>, E>,
    _out: &mut dyn io::Write,
) -> Result<u64, JoinError<E>> {
    todo!()
}
