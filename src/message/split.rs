//! Takes a message apart: cuts where `trace` and `scan` say, names the parts, encodes the skeleton.
//!
//! Promises that joining gives the message back: the encoded skeleton is parsed and joined by the code that readers use,
//! into a comparison. Whatever goes wrong, in the cutting or in a library, ends in a message that is stored whole.

use super::base64_body;
use super::join::write_pieces;
use super::scan::{self, Body};
use super::skeleton::{Piece, Skeleton};
use super::trace;
use crate::model::id::ObjectId;
use std::borrow::Cow;
use std::io::{self, Write};

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
///
/// Parts come in the order in which they stand; the same one may come twice. Costs one pass over the bytes, one over
/// each part for its name, and for a base64 part decoding and encoding.
pub fn split(raw: &[u8]) -> Option<Split<'_>> {
    let (trace, _) = raw.split_at_checked(trace::end(raw))?;
    let bodies = scan::bodies(raw, trace.len());
    if trace.is_empty() && bodies.is_empty() {
        return None;
    }
    let mut cutter = Cutter { raw, at: trace.len(), pieces: Vec::new(), literals: Vec::new(), parts: Vec::new() };
    for body in bodies {
        cutter.cut(body)?;
    }
    cutter.literal_up_to(raw.len())?;
    let skeleton = Skeleton::encode(&cutter.pieces, &cutter.literals);
    let split = Split { trace, skeleton, parts: cutter.parts };
    joins_to(&split, raw).then_some(split)
}

/// A message on its way to pieces.
struct Cutter<'a> {
    raw: &'a [u8],
    /// What lies before is cut.
    at: usize,
    pieces: Vec<Piece>,
    literals: Vec<&'a [u8]>,
    parts: Vec<Part<'a>>,
}

impl<'a> Cutter<'a> {
    fn cut(&mut self, body: Body) -> Option<()> {
        let raw = self.raw.get(body.range.clone())?;
        let decoded = if body.base64 { base64_body::decode(raw) } else { None };
        let (range, bytes, fold) = match decoded {
            Some(decoded) => (decoded.range, Cow::Owned(decoded.bytes), Some(decoded.fold)),
            None => (0..raw.len(), Cow::Borrowed(raw), None),
        };
        self.literal_up_to(body.range.start + range.start)?;
        let (id, len) = (ObjectId::of(&bytes), bytes.len() as u64);
        self.pieces.push(match fold {
            Some(fold) => Piece::Base64 { id, len, fold },
            None => Piece::Raw { id, len },
        });
        self.parts.push(Part { id, bytes });
        self.at = body.range.start + range.end;
        Some(())
    }

    fn literal_up_to(&mut self, end: usize) -> Option<()> {
        let literal = self.raw.get(self.at..end)?;
        if !literal.is_empty() {
            self.pieces.push(Piece::Literal { len: literal.len() as u64 });
            self.literals.push(literal);
        }
        self.at = end;
        Some(())
    }
}

/// Whether the encoded skeleton and the parts give these bytes: what a reader will do, with a comparison for its output.
fn joins_to(split: &Split<'_>, raw: &[u8]) -> bool {
    let Ok(skeleton) = Skeleton::parse(&split.skeleton) else { return false };
    let mut out = Compare { rest: raw };
    let mut parts = split.parts.iter();
    let fetch = |id: &ObjectId, _| match parts.next() {
        Some(part) if part.id == *id => Ok(Cow::Borrowed(&*part.bytes)),
        _ => Err(()),
    };
    out.write_all(split.trace).is_ok() && write_pieces(&skeleton, fetch, &mut out).is_ok() && out.rest.is_empty()
}

/// Compares what is written with what is expected.
struct Compare<'a> {
    rest: &'a [u8],
}

impl Write for Compare<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.rest.split_at_checked(bytes.len()) {
            // Parts that were not decoded are the very bytes of the message; those need no look.
            Some((expected, rest)) if std::ptr::eq(expected, bytes) || expected == bytes => {
                self.rest = rest;
                Ok(bytes.len())
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
