//! Base64 bodies: decoding those that encoding gives back byte for byte, and encoding them again.
//!
//! The lines of such a body have one width and one line end; only the last may be shorter. What follows the last line
//! (line ends, the footer of a mailing list) is not part of it. Called by `split` and `join`; format-spec/message.md.

use crate::limits;
use base64::engine::general_purpose::GeneralPurposeConfig;
use base64::engine::{Engine, Simd};
use memchr::memchr;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::LazyLock;

/// Padding must be there and unused bits must be zero: so no two texts decode to the same bytes.
static ENGINE: LazyLock<Simd> = LazyLock::new(|| Simd::standard(GeneralPurposeConfig::new()));

/// Base64 digits decoded or encoded at once: what stays in the first-level cache with its decoded form.
const BLOCK_CHARS: usize = 8 * 1024;

/// How a base64 text is broken into lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fold {
    /// Digits a line, all but the last; 0: the text is one line, however long.
    pub width: u64,
    pub line_end: LineEnd,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LineEnd {
    Lf,
    CrLf,
}

impl LineEnd {
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
        }
    }
}

/// A decoded body.
pub(super) struct Decoded {
    /// Where the text lies in the body; what is around it is a line end or a short rest.
    pub range: Range<usize>,
    pub bytes: Vec<u8>,
    pub fold: Fold,
}

/// Decodes a body, or says that it is not regular enough.
pub(super) fn decode(body: &[u8]) -> Option<Decoded> {
    let start = body.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let text = body.get(start..)?;
    let (fold, end) = lines_of(text)?;
    // A small rest costs less in the skeleton than the text costs when it is not decoded.
    (end >= limits::PART_BYTES && body.len() - end < limits::PART_BYTES).then_some(())?;
    let bytes = decode_lines(text.get(..end)?, fold)?;
    Some(Decoded { range: start..start + end, bytes, fold })
}

/// How a text is folded, and where its last regular line ends.
fn lines_of(text: &[u8]) -> Option<(Fold, usize)> {
    const ONE_LINE: Fold = Fold { width: 0, line_end: LineEnd::Lf };
    let Some(found) = memchr(b'\n', text) else { return Some((ONE_LINE, text.len())) };
    let first = text.get(..found)?;
    let (width, line_end) = match first.strip_suffix(b"\r") {
        Some(line) => (line.len(), LineEnd::CrLf),
        None => (first.len(), LineEnd::Lf),
    };
    let line_end_bytes = line_end.bytes();
    let full =
        text.chunks_exact(width + line_end_bytes.len()).take_while(|line| line.ends_with(line_end_bytes)).count();
    let next = full * (width + line_end_bytes.len());
    let end_of_full = next.checked_sub(line_end_bytes.len())?;
    let padded = text.get(..end_of_full)?.ends_with(b"=");
    let rest = text.get(next..)?;
    // Behind padding comes nothing but padding: what looks like a line is a footer's word.
    let short = if padded && !rest.starts_with(b"=") { 0 } else { short_line(rest, width) };
    let end = if short == 0 { end_of_full } else { next + short };
    let fold = if end <= width { ONE_LINE } else { Fold { width: width as u64, line_end } };
    Some((fold, end))
}

/// The bytes of the last line, if it holds nothing but digits and padding and is not longer than the others.
fn short_line(rest: &[u8], width: usize) -> usize {
    let line = match memchr(b'\n', rest.get(..width + 2).unwrap_or(rest)) {
        Some(found) => rest.get(..found).unwrap_or_default(),
        None => rest,
    };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let regular = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    if line.len() <= width && line.iter().all(regular) { line.len() } else { 0 }
}

fn decode_lines(text: &[u8], fold: Fold) -> Option<Vec<u8>> {
    if fold.width == 0 {
        return ENGINE.decode(text).ok();
    }
    let width = usize::try_from(fold.width).ok()?;
    let mut bytes = vec![0; text.len() / 4 * 3 + 3];
    let mut decoded = 0;
    let mut digits = Vec::with_capacity(BLOCK_CHARS + width);
    for line in text.chunks(width + fold.line_end.bytes().len()) {
        if digits.len() + width > BLOCK_CHARS {
            let whole = digits.len() / 4 * 4;
            let count = ENGINE.decode_slice(digits.get(..whole)?, bytes.get_mut(decoded..)?).ok()?;
            // Fewer bytes: there was padding before the last line.
            (count == whole / 4 * 3).then_some(())?;
            decoded += count;
            digits.drain(..whole);
        }
        digits.extend_from_slice(line.get(..width).unwrap_or(line));
    }
    decoded += ENGINE.decode_slice(&digits, bytes.get_mut(decoded..)?).ok()?;
    bytes.truncate(decoded);
    Some(bytes)
}

/// The bytes of the text that `len` bytes become; `None` when the number is too large to be one.
pub(super) fn encoded_len(len: u64, fold: Fold) -> Option<u64> {
    let digits = len.div_ceil(3).checked_mul(4)?;
    let breaks = digits.saturating_sub(1).checked_div(fold.width).unwrap_or(0);
    breaks.checked_mul(fold.line_end.bytes().len() as u64)?.checked_add(digits)
}

/// Writes `bytes` as base64, in many small writes.
pub(super) fn encode<W: Write>(bytes: &[u8], fold: Fold, out: &mut W) -> io::Result<()> {
    let width = match fold.width {
        0 => usize::MAX,
        width => usize::try_from(width).unwrap_or(usize::MAX),
    };
    let mut digits = [0; BLOCK_CHARS];
    let mut column = 0;
    for block in bytes.chunks(BLOCK_CHARS / 4 * 3) {
        let count = ENGINE.encode_slice(block, &mut digits).map_err(io::Error::other)?;
        let mut rest = digits.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            if column == width {
                out.write_all(fold.line_end.bytes())?;
                column = 0;
            }
            let (line, after) = rest.split_at(rest.len().min(width - column));
            out.write_all(line)?;
            column += line.len();
            rest = after;
        }
    }
    Ok(())
}
