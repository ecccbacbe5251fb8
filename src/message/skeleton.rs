//! The skeleton of a message and its recipe as bytes. Format: format-spec/message.md.
//!
//! Promises that what is parsed stays within the bounds, and that only what `encode` writes is parsed: numbers, names
//! and lines have one spelling. Called by `split` and `join`.

use super::base64_body::{Fold, LineEnd, encoded_len};
use crate::format::FormatError;
use crate::limits;
use crate::model::id::ObjectId;
use memchr::memchr;
use std::io::Write;

const MAGIC: &str = "wagon-skeleton ";
const VERSION: u32 = 1;

/// One piece of a message, below its trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Piece {
    /// So many bytes that the skeleton itself holds.
    Literal { len: u64 },
    /// A part as it is.
    Raw { id: ObjectId, len: u64 },
    /// A part of `len` bytes, encoded.
    Base64 { id: ObjectId, len: u64, fold: Fold },
}

/// A parsed skeleton.
#[derive(Debug)]
pub(super) struct Skeleton<'a> {
    pub pieces: Vec<Piece>,
    /// The bytes of all literals, one after the other.
    pub literals: &'a [u8],
    /// The bytes of the message below its trace.
    pub len: u64,
}

impl<'a> Skeleton<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut lines = Lines { rest: bytes, number: 0 };
        parse_version(lines.next()?).ok_or_else(|| lines.bad("not a skeleton"))??;
        let mut pieces = Vec::new();
        let (mut len, mut literal_len) = (0_u64, 0_u64);
        loop {
            let line = lines.next()?;
            if line.is_empty() {
                break;
            }
            if pieces.len() >= limits::SKELETON_PIECES {
                let (found, bound) = (pieces.len() as u64 + 1, limits::SKELETON_PIECES as u64);
                return Err(FormatError::OverBound { what: "pieces of a skeleton", found, bound });
            }
            let piece = parse_piece(line).ok_or_else(|| lines.bad("not a piece of a message"))?;
            let piece_len = match piece {
                Piece::Literal { len } => {
                    literal_len = literal_len.saturating_add(len);
                    Some(len)
                }
                Piece::Raw { len, .. } => Some(len),
                Piece::Base64 { len, fold, .. } => encoded_len(len, fold),
            };
            let sum = piece_len.and_then(|piece_len| piece_len.checked_add(len));
            len = sum.ok_or_else(|| lines.bad("a length beyond all bounds"))?;
            pieces.push(piece);
        }
        let literals = lines.rest;
        if literal_len != literals.len() as u64 {
            let what = format!("{literal_len} literal bytes announced, {} there", literals.len());
            return Err(FormatError::Malformed { what, at: (bytes.len() - literals.len()) as u64 });
        }
        Ok(Self { pieces, literals, len })
    }

    /// The bytes of a skeleton; `literals` are the bytes of its literal pieces, in order.
    pub fn encode(pieces: &[Piece], literals: &[&[u8]]) -> Vec<u8> {
        let literal_bytes: usize = literals.iter().map(|literal| literal.len()).sum();
        let mut bytes = Vec::with_capacity(literal_bytes + 32 + 100 * pieces.len());
        let mut line = |text: std::fmt::Arguments<'_>| {
            // Writing to a vector does not fail.
            let _ = bytes.write_fmt(text);
        };
        line(format_args!("{MAGIC}{VERSION}\n"));
        for piece in pieces {
            match piece {
                Piece::Literal { len } => line(format_args!("L {len}\n")),
                Piece::Raw { id, len } => line(format_args!("R {id} {len}\n")),
                Piece::Base64 { id, len, fold } => match fold.line_end {
                    _ if fold.width == 0 => line(format_args!("B {id} {len}\n")),
                    LineEnd::Lf => line(format_args!("B {id} {len} {} n\n", fold.width)),
                    LineEnd::CrLf => line(format_args!("B {id} {len} {} rn\n", fold.width)),
                },
            }
        }
        bytes.push(b'\n');
        literals.iter().for_each(|literal| bytes.extend_from_slice(literal));
        bytes
    }
}

/// Bytes of a recipe before its trace: the skeleton's name and a line end.
pub const RECIPE_HEAD: u64 = 65;

/// The recipe of a message: the name of its skeleton and its trace.
pub fn encode_recipe(skeleton: &ObjectId, trace: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{skeleton}\n").into_bytes();
    bytes.extend_from_slice(trace);
    bytes
}

/// The name of the skeleton, and the trace. Messages with the same skeleton are the same below their traces.
pub fn parse_recipe(bytes: &[u8]) -> Result<(ObjectId, &[u8]), FormatError> {
    let mut lines = Lines { rest: bytes, number: 0 };
    let id = parse_id(lines.next()?).ok_or_else(|| lines.bad("not the name of a skeleton"))?;
    Ok((id, lines.rest))
}

/// The lines before the bytes.
struct Lines<'a> {
    rest: &'a [u8],
    number: u64,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a str, FormatError> {
        self.number += 1;
        let head = self.rest.get(..limits::SKELETON_LINE_BYTES).unwrap_or(self.rest);
        let line = memchr(b'\n', head).and_then(|end| {
            let (line, rest) = self.rest.split_at_checked(end + 1)?;
            self.rest = rest;
            std::str::from_utf8(line.strip_suffix(b"\n")?).ok()
        });
        line.ok_or_else(|| self.bad("no line of text"))
    }

    fn bad(&self, what: &str) -> FormatError {
        FormatError::BadLine { line: self.number, what: what.to_owned() }
    }
}

/// `None`: not a skeleton at all.
fn parse_version(line: &str) -> Option<Result<(), FormatError>> {
    let found = u32::try_from(parse_number(line.strip_prefix(MAGIC)?)?).ok()?;
    Some(match found {
        VERSION => Ok(()),
        0 => return None,
        found => Err(FormatError::TooNew { found, known: VERSION }),
    })
}

fn parse_piece(line: &str) -> Option<Piece> {
    let mut words = line.split(' ');
    let kind = words.next()?;
    let piece = match kind {
        "L" => Piece::Literal { len: parse_positive(words.next()?)? },
        "R" => Piece::Raw { id: parse_id(words.next()?)?, len: parse_positive(words.next()?)? },
        "B" => {
            let (id, len) = (parse_id(words.next()?)?, parse_positive(words.next()?)?);
            let fold = match words.next() {
                None => Fold { width: 0, line_end: LineEnd::Lf },
                Some(width) => Fold {
                    width: parse_positive(width)?,
                    line_end: match words.next()? {
                        "n" => LineEnd::Lf,
                        "rn" => LineEnd::CrLf,
                        _ => return None,
                    },
                },
            };
            Piece::Base64 { id, len, fold }
        }
        _ => return None,
    };
    words.next().is_none().then_some(piece)
}

fn parse_id(text: &str) -> Option<ObjectId> {
    text.parse().ok()
}

fn parse_positive(text: &str) -> Option<u64> {
    parse_number(text).filter(|number| *number > 0)
}

/// A decimal number in its one spelling: no sign, no leading zero.
fn parse_number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}
