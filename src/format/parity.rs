//! Blocks of a parity file: what each says of the file that it protects, and how many of them there are.
//!
//! Promises that everything follows from the length of the file and the percentage, so that a forged block can claim
//! nothing; that any [`Span::spare`] blocks of a span, of the file and of its parity together, may be missing; and that
//! a block on the disk spoils each column of the parity once only, although what it carries is shorter than a block.
//! The code itself is `parity_code`. Format: format-spec/parity.md.

use super::FormatError;
use crate::limits::{PROTECTED_BYTES, SPAN_BLOCKS};
use std::ops::RangeInclusive;

/// What a disk loses at once, and so what a file is divided into.
pub const BLOCK: usize = 4096;
/// Bytes of a column: the least that the code works on.
pub const CELL: usize = 64;
pub const VERSION: u16 = 1;

/// Parity there can be, in hundredths.
const PERCENTAGES: RangeInclusive<u16> = 1..=50;
const MAGIC: &[u8; 8] = b"wagonpar";
const HEADER: usize = 60;
const CRC: usize = 4;
/// What a block carries beside its header and its checksum.
const ROOM: usize = BLOCK - HEADER - CRC;

/// The file that a parity file belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Protected {
    pub percent: u16,
    /// Of the whole file, bytes.
    pub length: u64,
    /// SHA-256 of the whole file.
    pub digest: [u8; 32],
}

/// A stretch of a file that is protected by itself, and its part of the parity file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Its first block in the file, and how many it has.
    pub first: u64,
    pub blocks: usize,
    /// Parity blocks that are computed: so many may be missing.
    pub spare: usize,
    /// Bytes of the table of checksums that each block of the parity file carries.
    pub share: usize,
    /// Such shares that the table is divided into; the others are parity of these.
    pub shares: usize,
    /// Blocks that it has in the parity file, and the first of them.
    pub stored: usize,
    pub stored_from: u64,
}

impl Span {
    /// Bytes of computed parity that each block of the parity file carries.
    pub fn carried(&self) -> usize {
        ROOM - self.share
    }

    /// Bytes of the table: a CRC-32 for each block of the file.
    pub fn table_bytes(&self) -> usize {
        self.blocks * CRC
    }

    /// Which of the span's stored blocks carries the column `cell` (0 to 63) of the parity block `spare`.
    pub fn carrier(&self, spare: usize, cell: usize) -> usize {
        (spare * BLOCK + cell * CELL) / self.carried()
    }
}

/// The spans of a file; an error for one that is too long, or a percentage that is none.
pub fn spans(length: u64, percent: u16) -> Result<Vec<Span>, FormatError> {
    if !PERCENTAGES.contains(&percent) {
        return Err(FormatError::Malformed { what: format!("parity of {percent} per cent"), at: 12 });
    }
    if length > PROTECTED_BYTES {
        return Err(FormatError::OverBound { what: "protected file", found: length, bound: PROTECTED_BYTES });
    }
    let blocks = length.div_ceil(BLOCK as u64).max(1);
    let count = blocks.div_ceil(SPAN_BLOCKS);
    let (mut spans, mut stored_from) = (Vec::new(), 0);
    for number in 0..count {
        let (first, end) = (number * blocks / count, (number + 1) * blocks / count);
        // At most SPAN_BLOCKS, which fit.
        let span = span(first, (end - first) as usize, usize::from(percent), stored_from);
        stored_from += span.stored as u64;
        spans.push(span);
    }
    Ok(spans)
}

/// The division between table and parity that takes the fewest blocks; of several the one with the smallest share.
fn span(first: u64, blocks: usize, percent: usize, stored_from: u64) -> Span {
    let spare = (blocks * percent).div_ceil(100);
    let mut best = Span { first, blocks, spare, share: 0, shares: 0, stored: usize::MAX, stored_from };
    for share in (CELL..=ROOM - CELL).step_by(CELL) {
        let shares = (blocks * CRC).div_ceil(share);
        let stored = (spare * BLOCK).div_ceil(ROOM - share).max(shares + spare);
        if stored < best.stored {
            best = Span { share, shares, stored, ..best };
        }
    }
    best
}

/// Blocks of a whole parity file.
pub fn stored(spans: &[Span]) -> u64 {
    spans.last().map_or(0, |span| span.stored_from + span.stored as u64)
}

/// CRC-32 of a block, as gzip has it; what a file's last block lacks counts as zeros.
pub fn checksum(block: &[u8]) -> [u8; CRC] {
    libdeflater::crc32(block).to_le_bytes()
}

/// One block of a parity file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The number of the span, and of the block in it.
    pub span: u32,
    pub block: u32,
}

/// The bytes of a block that carries `share` and `carried`; what they leave is zeros.
pub fn encode(file: &Protected, place: Place, share: &[u8], carried: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        for byte in bytes {
            if let Some(to) = block.get_mut(at) {
                *to = *byte;
            }
            at += 1;
        }
    };
    put(MAGIC);
    put(&VERSION.to_le_bytes());
    put(&file.percent.to_le_bytes());
    put(&file.length.to_le_bytes());
    put(&file.digest);
    put(&place.span.to_le_bytes());
    put(&place.block.to_le_bytes());
    put(share);
    put(carried);
    let (body, end) = block.split_at_mut(BLOCK - CRC);
    end.copy_from_slice(&checksum(body));
    block
}

/// What a block says; `None` when it is damaged or none of a parity file.
pub fn parse(block: &[u8; BLOCK]) -> Option<(Protected, Place)> {
    let (body, end) = block.split_at(BLOCK - CRC);
    if checksum(body) != *end || !body.starts_with(MAGIC) {
        return None;
    }
    let number = |at: usize| body.get(at..)?.first_chunk().copied().map(u32::from_le_bytes);
    let half = |at: usize| body.get(at..)?.first_chunk().copied().map(u16::from_le_bytes);
    if half(8)? != VERSION {
        return None;
    }
    let length = u64::from_le_bytes(*body.get(12..)?.first_chunk()?);
    let file = Protected { percent: half(10)?, length, digest: *body.get(20..)?.first_chunk()? };
    // What cannot be is no claim, or many such blocks would outvote those that tell the truth.
    let is_possible = PERCENTAGES.contains(&file.percent) && length <= PROTECTED_BYTES;
    is_possible.then_some((file, Place { span: number(52)?, block: number(56)? }))
}

/// The share of the table that a block carries.
pub fn share_of<'b>(block: &'b [u8; BLOCK], span: &Span) -> &'b [u8] {
    block.get(HEADER..HEADER + span.share).unwrap_or_default()
}

/// Where in the parity file the column `cell` of the parity block `spare` lies, its carrier being the block number `at` of
/// that file.
pub fn cell_offset(span: &Span, spare: usize, cell: usize, at: u64) -> u64 {
    let within = (spare * BLOCK + cell * CELL) % span.carried();
    at * BLOCK as u64 + (HEADER + span.share + within) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_percentage_is_covered_and_any_spare_blocks_may_be_missing() {
        for percent in [1, 5, 17, 50] {
            for length in [0, 1, 4096, 4097, 100_000, 1 << 20, 33_600_000, 64 << 20, (64 << 20) + 1, 3_000_000_000] {
                let spans = spans(length, percent).unwrap();
                let mut next = (0, 0);
                for span in &spans {
                    assert_eq!((span.first, span.stored_from), next);
                    next = (span.first + span.blocks as u64, span.stored_from + span.stored as u64);
                    assert!(
                        span.blocks as u64 <= SPAN_BLOCKS && span.spare * 100 >= span.blocks * usize::from(percent)
                    );
                    // What any `spare` lost blocks leave of the table is enough of it.
                    assert!(span.stored - span.spare >= span.shares);
                    assert!(span.shares * span.share >= span.table_bytes());
                    assert!(span.stored * span.carried() >= span.spare * BLOCK);
                    // No block carries a column of two parity blocks.
                    assert!(span.carried() < BLOCK && span.carried() % CELL == 0);
                    assert!((span.stored - span.shares).next_power_of_two() + span.shares <= 65_536);
                    assert!(span.spare.next_power_of_two() + span.blocks <= 65_536);
                }
                assert_eq!(next.0, length.div_ceil(4096).max(1));
                assert_eq!(next.1, stored(&spans));
            }
        }
    }

    #[test]
    fn what_it_costs_is_what_the_specification_says() {
        let of = |length, percent| spans(length, percent).unwrap()[0];
        let pack = of(32 << 20, 5);
        assert_eq!((pack.blocks, pack.spare, pack.share, pack.shares, pack.stored), (8192, 410, 512, 64, 478));
        let small = of(232, 5);
        assert_eq!((small.blocks, small.spare, small.share, small.shares, small.stored), (1, 1, 64, 1, 2));
    }

    #[test]
    fn a_block_says_what_went_in_and_a_changed_one_nothing() {
        let file = Protected { percent: 5, length: 70_000, digest: [7; 32] };
        let place = Place { span: 1, block: 2 };
        let block = encode(&file, place, &[1; 64], &[2; 3968]);
        assert_eq!(parse(&block), Some((file, place)));
        for at in [0, 9, 15, 30, 59, 60, 2000, 4095] {
            let mut other = block;
            other[at] ^= 1;
            assert_eq!(parse(&other), None, "{at}");
        }
    }

    #[test]
    fn lengths_and_percentages_that_cannot_be_are_refused() {
        assert!(spans(u64::MAX, 5).is_err());
        assert!(spans(1, 0).is_err() && spans(1, 51).is_err());
        for (percent, length) in [(0, 1), (51, 1), (5, PROTECTED_BYTES + 1)] {
            let file = Protected { percent, length, digest: [7; 32] };
            assert_eq!(parse(&encode(&file, Place { span: 0, block: 0 }, &[1; 64], &[2; 3968])), None);
        }
    }
}
