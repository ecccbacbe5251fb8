//! The second stage, several threads: reads an item, names it, takes a message apart. What comes out is ready to be
//! stored; the order of arrival does not matter, the steps bear their numbers.

use super::ExportError;
use super::bodies::{Bodies, BodyHash};
use super::budget::Budget;
use super::scan::{Numbered, Read, Step};
use crate::fs;
use crate::limits;
use crate::message::{self, Likeness};
use crate::model::id::ObjectId;
use crate::model::mailbox::FolderKind;
use crate::site::{Content, Source};
use crossbeam_channel::{Receiver, Sender};
use std::io;
use std::ops::Range;

/// Steps on their way to the store, with the number of the first; `bytes` are given back to the budget once they are
/// stored.
pub(super) struct Prepared {
    pub number: u64,
    pub bytes: u64,
    pub steps: Vec<Ready>,
}

/// A step that needs nothing more from the source.
pub(super) enum Ready {
    Step(Step),
    Read { read: Box<Read>, content: Body },
}

/// The content of an item.
pub(super) enum Body {
    Whole {
        id: ObjectId,
        raw: Vec<u8>,
        date: i64,
    },
    Split {
        id: ObjectId,
        raw: Vec<u8>,
        date: i64,
        split: OwnedSplit,
    },
    /// A message whose body an earlier step has taken apart.
    Copy {
        id: ObjectId,
        raw: Vec<u8>,
        date: i64,
        trace: Range<usize>,
        skeleton_id: ObjectId,
        likeness: Likeness,
    },
    Large {
        id: ObjectId,
        size: u64,
        date: i64,
        open: Open,
    },
    Vanished,
    Rejected(crate::event::Reason),
    /// A dry run reads nothing.
    Unread,
}

impl Body {
    /// Bytes of the message that it holds in memory.
    fn held_bytes(&self) -> u64 {
        match self {
            Self::Whole { raw, .. } | Self::Split { raw, .. } | Self::Copy { raw, .. } => raw.len() as u64,
            _ => 0,
        }
    }
}

/// Opens a large item once more.
pub(super) type Open = Box<dyn Fn() -> io::Result<Box<dyn io::Read + Send>> + Send>;

/// A split that refers to the raw message by ranges, so that both can travel together.
pub(super) struct OwnedSplit {
    pub trace: Range<usize>,
    pub skeleton_id: ObjectId,
    pub skeleton: Vec<u8>,
    pub parts: Vec<(ObjectId, PartBytes)>,
    pub likeness: Likeness,
}

pub(super) enum PartBytes {
    Raw(Range<usize>),
    Decoded(Vec<u8>),
}

pub(super) fn run(
    source: &dyn Source,
    batches: Receiver<Numbered>,
    out: Sender<Prepared>,
    (budget, bodies): (&Budget, &Bodies),
    dry_run: bool,
) -> Result<(), ExportError> {
    for (mut number, batch) in batches {
        let (mut steps, mut bytes) = (Vec::with_capacity(batch.len()), 0);
        let hand_over = |number: &mut u64, steps: &mut Vec<Ready>, bytes: &mut u64| {
            let (count, bytes, steps) = (steps.len() as u64, std::mem::take(bytes), std::mem::take(steps));
            if !budget.take(*number, bytes) {
                return Err(ExportError::Broken);
            }
            out.send(Prepared { number: *number, bytes, steps }).map_err(|_| ExportError::Broken)?;
            *number += count;
            Ok(())
        };
        for step in batch {
            let step = match step {
                Step::Read(read) if dry_run => Ready::Read { read, content: Body::Unread },
                Step::Read(read) => {
                    let content = prepare(source, &read, bodies, number + steps.len() as u64)?;
                    bytes += content.held_bytes();
                    Ready::Read { read, content }
                }
                step => Ready::Step(step),
            };
            steps.push(step);
            if bytes >= limits::HANDED_OVER_BYTES {
                hand_over(&mut number, &mut steps, &mut bytes)?;
            }
        }
        if !steps.is_empty() {
            hand_over(&mut number, &mut steps, &mut bytes)?;
        }
    }
    Ok(())
}

/// Reads an item and takes it apart; `step` is its number.
fn prepare(source: &dyn Source, read: &Read, bodies: &Bodies, step: u64) -> Result<Body, ExportError> {
    Ok(match source.read(&read.account, &read.key, &read.found) {
        Ok(Content::Bytes { bytes, date }) if read.key.kind() == FolderKind::Mail => message(bytes, date, bodies, step),
        Ok(Content::Bytes { bytes, date }) => Body::Whole { id: ObjectId::of(&bytes), raw: bytes, date },
        Ok(Content::Large { date, open, .. }) => match hash(&open) {
            Ok((id, size)) => Body::Large { id, size, date, open },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Body::Vanished,
            Err(error) => Body::Rejected(crate::event::Reason::Unreadable(error.to_string())),
        },
        Ok(Content::Vanished) => Body::Vanished,
        Ok(Content::Rejected(reason)) => Body::Rejected(reason),
        Err(error) => Body::Rejected(error.as_reason()),
    })
}

fn message(raw: Vec<u8>, date: i64, bodies: &Bodies, step: u64) -> Body {
    let id = ObjectId::of(&raw);
    let trace = 0..message::trace_end(&raw);
    // Without a trace a message without parts is stored whole, whatever its copies are.
    let body = raw.get(trace.end..).filter(|_| !trace.is_empty()).and_then(BodyHash::of);
    if let Some(taken) = body.and_then(|body| bodies.find(body, step)) {
        return Body::Copy { id, raw, date, trace, skeleton_id: taken.skeleton, likeness: taken.likeness };
    }
    match split(&raw) {
        Some(split) => {
            if let Some(body) = body {
                bodies.remember(body, step, split.skeleton_id, split.likeness);
            }
            Body::Split { id, raw, date, split }
        }
        None => Body::Whole { id, raw, date },
    }
}

/// A message taken apart; `None` where it is to be stored whole.
pub(super) fn split(raw: &[u8]) -> Option<OwnedSplit> {
    message::split(raw).and_then(|split| own(raw, split))
}

/// Turns what a split borrows from `raw` into ranges; `None` should a slice not lie in it.
fn own(raw: &[u8], split: message::Split<'_>) -> Option<OwnedSplit> {
    let range = |slice: &[u8]| {
        let start = (slice.as_ptr() as usize).checked_sub(raw.as_ptr() as usize)?;
        let range = start..start.checked_add(slice.len())?;
        (raw.get(range.clone())? == slice).then_some(range)
    };
    let trace = if split.trace.is_empty() { 0..0 } else { range(split.trace)? };
    let parts = split.parts.into_iter().map(|part| {
        let bytes = match part.bytes {
            std::borrow::Cow::Borrowed(slice) => PartBytes::Raw(range(slice)?),
            std::borrow::Cow::Owned(bytes) => PartBytes::Decoded(bytes),
        };
        Some((part.id, bytes))
    });
    let parts = parts.collect::<Option<_>>()?;
    let likeness = message::likeness(raw.get(trace.end..).unwrap_or_default());
    Some(OwnedSplit { trace, likeness, skeleton_id: ObjectId::of(&split.skeleton), skeleton: split.skeleton, parts })
}

fn hash(open: &Open) -> io::Result<(ObjectId, u64)> {
    let (digest, size) = fs::digest(&mut open()?)?;
    Ok((ObjectId::from_digest(digest), size))
}
