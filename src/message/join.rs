//! Joins messages: from their recipe as reading an archive does, and in place of a check as `split` does.
//!
//! Promises: sizes are compared with the bound before anything is fetched or written. That the bytes are those of the
//! message is for the caller to see: it knows the message's name. Format: format-spec/message.md.

use super::base64_body;
use super::skeleton::{Piece, Skeleton, parse_recipe};
use crate::format::FormatError;
use crate::limits;
use crate::model::id::ObjectId;
use std::borrow::Cow;
use std::io::{self, BufWriter, Write};

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

/// Gives an object by name; more than so many bytes are refused.
pub type Fetch<'f, E> = dyn FnMut(&ObjectId, u64) -> Result<Vec<u8>, E> + 'f;

/// Joins a message from its recipe, writing it to `out`; `fetch` gives skeleton and parts by name, of at most so many
/// bytes. Returns the bytes written, `limit` at most. One part at a time is held.
pub fn join<E>(recipe: &[u8], limit: u64, fetch: &mut Fetch<'_, E>, out: &mut dyn Write) -> Result<u64, JoinError<E>> {
    let (id, trace) = parse_recipe(recipe)?;
    let below = limit.checked_sub(trace.len() as u64).ok_or_else(|| over(trace.len() as u64, limit))?;
    let skeleton = fetch(&id, below.saturating_add(limits::SKELETON_HEAD_BYTES)).map_err(JoinError::Part)?;
    let skeleton = Skeleton::parse(&skeleton)?;
    if skeleton.len > below {
        return Err(over(skeleton.len.saturating_add(trace.len() as u64), limit).into());
    }
    let mut out = BufWriter::with_capacity(limits::JOIN_BUFFER_BYTES, out);
    out.write_all(trace).map_err(JoinError::Write)?;
    write_pieces(&skeleton, |id, len| fetch(id, len).map(Cow::Owned), &mut out)?;
    out.flush().map_err(JoinError::Write)?;
    Ok(skeleton.len + trace.len() as u64)
}

fn over(found: u64, bound: u64) -> FormatError {
    FormatError::OverBound { what: "bytes of a message", found, bound }
}

/// Writes what a skeleton describes. `fetch` gives the parts in the order in which they stand.
pub(super) fn write_pieces<'p, E, F, W>(skeleton: &Skeleton<'_>, mut fetch: F, out: &mut W) -> Result<(), JoinError<E>>
where
    F: FnMut(&ObjectId, u64) -> Result<Cow<'p, [u8]>, E>,
    W: Write,
{
    let mut part = |id: &ObjectId, len: u64| {
        let part = fetch(id, len).map_err(JoinError::Part)?;
        if part.len() as u64 != len {
            let what = format!("part {id} has {} bytes, the skeleton says {len}", part.len());
            return Err(JoinError::Format(FormatError::Malformed { what, at: 0 }));
        }
        Ok(part)
    };
    let mut literals = skeleton.literals;
    for piece in &skeleton.pieces {
        let written = match piece {
            Piece::Literal { len } => {
                let split = usize::try_from(*len).ok().and_then(|len| literals.split_at_checked(len));
                // `Skeleton::parse` has compared the sum; were it wrong, the message would come out short.
                let (literal, rest) = split.unwrap_or((literals, &[]));
                literals = rest;
                out.write_all(literal)
            }
            Piece::Raw { id, len } => out.write_all(&part(id, *len)?),
            Piece::Base64 { id, len, fold } => base64_body::encode(&part(id, *len)?, *fold, out),
        };
        written.map_err(JoinError::Write)?;
    }
    Ok(())
}
