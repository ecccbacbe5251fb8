//! Hides lengths: an encrypted file is as long as one of few sizes, so that its length tells little of what is in it.
//!
//! The sizes are those of Padmé (Nikitin and others, "Reducing Metadata Leakage from Encrypted Files and Communication
//! with PURBs", 2019): at most 12 % more, far less for large files, and only some hundred different ones altogether. What
//! fills a `.tar.gz` up are gzip members without content, which every gzip passes over.

use crate::limits;

/// Bytes of a gzip member that holds nothing, without its extra field.
const EMPTY_MEMBER: u64 = 22;

/// The length to which `bytes` are filled up.
pub(in crate::archive) fn padded(bytes: u64) -> u64 {
    if bytes <= limits::LEAST_SEALED_BYTES {
        return limits::LEAST_SEALED_BYTES;
    }
    let exponent = bytes.ilog2();
    let digits = exponent.ilog2() + 1;
    let mask = (1_u64 << exponent.saturating_sub(digits)) - 1;
    bytes.saturating_add(mask) & !mask
}

/// Gzip members without content that bring `bytes` up to a length of [`padded`]; none when it has one. One by one: what
/// fills up a pack of gigabytes is not held.
pub(in crate::archive) fn members(bytes: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut goal = padded(bytes);
    if goal != bytes && goal - bytes < EMPTY_MEMBER {
        goal = padded(bytes + EMPTY_MEMBER);
    }
    let mut left = goal - bytes;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let mut extra = (left - EMPTY_MEMBER).min(u64::from(u16::MAX));
        // What is left must be room for another member, or nothing.
        let behind = left - EMPTY_MEMBER - extra;
        if behind > 0 && behind < EMPTY_MEMBER {
            extra -= EMPTY_MEMBER;
        }
        let mut out = Vec::with_capacity((EMPTY_MEMBER + extra) as usize);
        out.extend([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff]);
        out.extend((extra as u16).to_le_bytes());
        out.resize(out.len() + extra as usize, 0);
        // An empty block, then the checksum and the length of nothing.
        out.extend([3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        left -= EMPTY_MEMBER + extra;
        Some(out)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_length_grows_by_an_eighth_at_most_and_to_few_values() {
        let mut sizes = std::collections::BTreeSet::new();
        for bytes in (limits::LEAST_SEALED_BYTES..2_000_000).step_by(37) {
            let to = padded(bytes);
            assert!(to >= bytes && (to - bytes) as f64 <= 0.12 * bytes as f64, "{bytes} became {to}");
            assert_eq!(padded(to), to);
            sizes.insert(to);
        }
        assert!(sizes.len() < 256, "{}", sizes.len());
        assert_eq!(padded(0), limits::LEAST_SEALED_BYTES);
    }

    #[test]
    fn members_fill_up_exactly_and_hold_nothing() {
        for bytes in (0..300_000).step_by(61).chain([4096 - 1, 4096 - 21, 4096 - 22, 40_000_000, 33_554_433]) {
            let filling: Vec<u8> = members(bytes).flatten().collect();
            let goal = bytes + filling.len() as u64;
            assert_eq!(padded(goal), goal, "{bytes}");
            let mut out = Vec::new();
            if !filling.is_empty() {
                flate2::read::MultiGzDecoder::new(filling.as_slice()).read_to_end(&mut out).unwrap();
            }
            assert!(out.is_empty());
        }
    }
}
