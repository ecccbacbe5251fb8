//! The index of a pack: where its segments lie, and in which of them each object begins.
//!
//! Derived: whoever has the pack can make it again. Promises that a parsed index contradicts neither itself nor what
//! DEFLATE can do; whether it fits the pack, only the pack can tell. Fixed width and sorted, so that it can be searched
//! on disk. Format: format-spec/pack.md.

use super::FormatError;
use super::segment::is_possible;
use super::tar_entry::BLOCK;
use crate::model::id::ObjectId;
use sha2::{Digest, Sha256};

/// The newest version of the index that is known.
pub const INDEX_VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"wagonidx";
/// Bytes before the first row.
pub const HEADER_BYTES: usize = 64;
/// Bytes of a segment's row, and of an object's.
pub const ROW_BYTES: usize = 24;
const DIGEST_BYTES: usize = 32;

/// The first 20 bytes of an object's name. Enough to find it; the entry in the pack has the whole name.
pub type Prefix = [u8; 20];

/// What the index keeps of a name.
pub fn prefix(id: &ObjectId) -> Prefix {
    let mut short = [0; 20];
    for (to, from) in short.iter_mut().zip(id.as_bytes()) {
        *to = *from;
    }
    short
}

/// One segment of a pack: where its gzip member lies, and how long it is before and after inflating.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentRow {
    pub offset: u64,
    pub compressed: u64,
    pub uncompressed: u64,
}

/// One object: its segment's number, and where in the inflated segment its tar header begins, in blocks of 512 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct IndexEntry {
    pub prefix: Prefix,
    pub segment: u16,
    pub block: u16,
}

impl IndexEntry {
    /// The object of a row. Any bytes are one.
    pub fn decode(row: &[u8; ROW_BYTES]) -> Self {
        let mut entry = Self { prefix: [0; 20], segment: u16::from_le_bytes([row[20], row[21]]), block: 0 };
        entry.prefix.copy_from_slice(&row[..20]);
        entry.block = u16::from_le_bytes([row[22], row[23]]);
        entry
    }
}

impl SegmentRow {
    /// The segment of a row. Any bytes are one; whether it can be true is another question.
    pub fn decode(row: &[u8; ROW_BYTES]) -> Self {
        Self { offset: u64_at(row, 0), compressed: u64_at(row, 8), uncompressed: u64_at(row, 16) }
    }
}

/// What the header of an index says. Nothing of it is proved: for whoever searches an index in its file and compares what
/// he finds with the pack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexHeader {
    pub segments: u32,
    pub objects: u64,
    pub pack_bytes: u64,
    pub pack: [u8; 32],
}

impl IndexHeader {
    /// The header of a known version, if the file has the length that it gives.
    pub fn parse(header: &[u8; HEADER_BYTES], file_bytes: u64) -> Option<Self> {
        let (segments, objects) = (u32_at(header, 12), u64_at(header, 16));
        let rows = u64::from(segments).checked_add(objects)?.checked_mul(ROW_BYTES as u64)?;
        let fits = rows.checked_add((HEADER_BYTES + DIGEST_BYTES) as u64)? == file_bytes;
        let known = header.starts_with(MAGIC) && u32_at(header, 8) == INDEX_VERSION;
        let pack = *header.last_chunk()?;
        (fits && known).then_some(Self { segments, objects, pack_bytes: u64_at(header, 24), pack })
    }
}

/// The length of an index whose header says so; at most the largest number.
pub fn length(header: &[u8; HEADER_BYTES]) -> u64 {
    let rows = u64::from(u32_at(header, 12)).saturating_add(u64_at(header, 16));
    rows.saturating_mul(ROW_BYTES as u64).saturating_add((HEADER_BYTES + DIGEST_BYTES) as u64)
}

/// Where in the file of an index with so many segments its objects' rows lie.
pub fn rows(segments: u64, objects: u64) -> std::ops::Range<u64> {
    let start = HEADER_BYTES as u64 + segments * ROW_BYTES as u64;
    start..start + objects * ROW_BYTES as u64
}

/// A pack's index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PackIndex {
    pack: [u8; 32],
    pack_bytes: u64,
    segments: Vec<SegmentRow>,
    /// The encoded entries: 24 bytes each, where a struct in a list would take as much and need decoding first.
    entries: Vec<u8>,
}

impl PackIndex {
    /// The index of the pack with this digest and length. An object that occurs twice is listed once, where it comes
    /// first.
    pub fn new(pack: [u8; 32], pack_bytes: u64, segments: Vec<SegmentRow>, mut entries: Vec<IndexEntry>) -> Self {
        entries.sort_unstable();
        entries.dedup_by_key(|entry| entry.prefix);
        let entries = entries
            .iter()
            .flat_map(|entry| {
                let mut row = [0; ROW_BYTES];
                row[..20].copy_from_slice(&entry.prefix);
                row[20..22].copy_from_slice(&entry.segment.to_le_bytes());
                row[22..].copy_from_slice(&entry.block.to_le_bytes());
                row
            })
            .collect();
        Self { pack, pack_bytes, segments, entries }
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let rows = self.segments.len() * ROW_BYTES;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + rows + self.entries.len() + DIGEST_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(INDEX_VERSION.to_le_bytes());
        // A pack holds at most 65,536 segments, and fewer objects than bytes of an index that may be read.
        bytes.extend((self.segments.len() as u32).to_le_bytes());
        bytes.extend((self.len() as u64).to_le_bytes());
        bytes.extend(self.pack_bytes.to_le_bytes());
        bytes.extend(self.pack);
        for row in &self.segments {
            bytes.extend(row.offset.to_le_bytes());
            bytes.extend(row.compressed.to_le_bytes());
            bytes.extend(row.uncompressed.to_le_bytes());
        }
        bytes.extend(&self.entries);
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        bytes
    }

    /// Reads an index; refuses whatever contradicts itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let malformed = |what: &str, at: usize| FormatError::Malformed { what: what.to_owned(), at: at as u64 };
        let short = || malformed("an index that ends early", bytes.len());
        let header = bytes.get(..HEADER_BYTES).ok_or_else(short)?;
        if !header.starts_with(MAGIC) {
            return Err(malformed("no index of a pack", 0));
        }
        let (body, digest) = bytes.split_at_checked(bytes.len().saturating_sub(DIGEST_BYTES)).ok_or_else(short)?;
        if Sha256::digest(body).as_slice() != digest {
            return Err(malformed("an index whose checksum is wrong", body.len()));
        }
        // Only now: a version with a wrong bit is damage, which a rebuild mends, and no newer format.
        let version = u32_at(header, 8);
        if version > INDEX_VERSION {
            return Err(FormatError::TooNew { found: version, known: INDEX_VERSION });
        }
        let (segment_count, count) = (u64::from(u32_at(header, 12)), u64_at(header, 16));
        let expected = segment_count
            .checked_add(count)
            .and_then(|rows| rows.checked_mul(ROW_BYTES as u64))
            .and_then(|rows| rows.checked_add(HEADER_BYTES as u64));
        if expected != Some(body.len() as u64) || segment_count > u64::from(u16::MAX) + 1 {
            return Err(malformed("an index whose counts do not give its length", 12));
        }
        let (rows, entries) = body
            .get(HEADER_BYTES..)
            .and_then(|rest| rest.split_at_checked(segment_count as usize * ROW_BYTES))
            .ok_or_else(short)?;
        let mut pack = [0; 32];
        pack.copy_from_slice(header.get(32..64).ok_or_else(short)?);
        let segments = rows.as_chunks::<ROW_BYTES>().0.iter().map(SegmentRow::decode);
        let index =
            Self { pack, pack_bytes: u64_at(header, 24), segments: segments.collect(), entries: entries.to_vec() };
        index.validate().map_err(|what| malformed(what, HEADER_BYTES))?;
        Ok(index)
    }

    fn validate(&self) -> Result<(), &'static str> {
        let mut end = 0u64;
        for row in &self.segments {
            let after = row.offset.checked_add(row.compressed);
            if row.offset < end || after.is_none_or(|after| after > self.pack_bytes) {
                return Err("segments that overlap or lie outside the pack");
            }
            if row.compressed == 0 || !is_possible(row.compressed, row.uncompressed) {
                return Err("a segment whose lengths are impossible");
            }
            end = after.unwrap_or(u64::MAX);
        }
        let mut last: Option<Prefix> = None;
        for entry in self.entries() {
            if last.is_some_and(|last| last >= entry.prefix) {
                return Err("objects out of order");
            }
            let begin = u64::from(entry.block) * BLOCK as u64;
            if self.segment(entry.segment).is_none_or(|row| begin >= row.uncompressed) {
                return Err("an object outside its segment");
            }
            last = Some(entry.prefix);
        }
        Ok(())
    }

    /// The same with its segments only.
    pub fn without_objects(&self) -> Self {
        Self { entries: Vec::new(), segments: self.segments.clone(), ..*self }
    }

    /// SHA-256 of the pack: its name.
    pub fn pack(&self) -> &[u8; 32] {
        &self.pack
    }

    /// Length of the pack file.
    pub fn pack_bytes(&self) -> u64 {
        self.pack_bytes
    }

    /// In the order of the pack.
    pub fn segments(&self) -> &[SegmentRow] {
        &self.segments
    }

    pub fn segment(&self, number: u16) -> Option<&SegmentRow> {
        self.segments.get(usize::from(number))
    }

    /// Objects in the pack.
    pub fn len(&self) -> usize {
        self.entries.len() / ROW_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The `number`th object in order of name.
    pub fn entry(&self, number: usize) -> Option<IndexEntry> {
        let at = number.checked_mul(ROW_BYTES)?;
        self.entries.get(at..)?.first_chunk().map(IndexEntry::decode)
    }

    /// All objects in order of name.
    pub fn entries(&self) -> impl Iterator<Item = IndexEntry> + '_ {
        (0..self.len()).filter_map(|number| self.entry(number))
    }
}

/// The number at `at`; callers pass slices that are long enough, else it is 0 and a later check fails.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn small() -> PackIndex {
        let segments = vec![
            SegmentRow { offset: 0, compressed: 100, uncompressed: 2048 },
            SegmentRow { offset: 100, compressed: 50, uncompressed: 1024 },
        ];
        let entry = |first: u8, segment, block| IndexEntry { prefix: [first; 20], segment, block };
        PackIndex::new([9; 32], 180, segments, vec![entry(7, 0, 2), entry(3, 1, 0), entry(5, 0, 0)])
    }

    fn with_digest(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.truncate(bytes.len() - DIGEST_BYTES);
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        bytes
    }

    #[test]
    fn an_index_comes_back_sorted() {
        let index = PackIndex::parse(&small().encode()).unwrap();
        assert_eq!(index, small());
        assert_eq!(index.entries().map(|entry| entry.prefix[0]).collect::<Vec<_>>(), [3, 5, 7]);
        assert_eq!(index.entry(3), None);
    }

    #[test]
    fn a_newer_index_is_told_apart_from_a_damaged_one() {
        let mut bytes = small().encode();
        bytes[8] = 2;
        assert!(matches!(PackIndex::parse(&bytes), Err(FormatError::Malformed { .. })), "a flipped bit");
        let newer = with_digest(bytes);
        assert!(matches!(PackIndex::parse(&newer), Err(FormatError::TooNew { found: 2, known: 1 })));
    }

    #[test]
    fn lies_with_a_right_checksum_are_refused() {
        let lies: [(usize, u8, &str); 5] = [
            (12, 3, "counts"),
            (24, 1, "outside the pack"),
            (64 + 24, 99, "overlap"),
            (64 + 16 + 3, 1, "impossible"),
            (64 + 48, 200, "out of order"),
        ];
        for (at, value, what) in lies {
            let mut bytes = small().encode();
            bytes[at] = value;
            let error = PackIndex::parse(&with_digest(bytes)).unwrap_err().to_string();
            assert!(error.contains(what), "{at}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_flip_is_noticed(at in any::<prop::sample::Index>(), flip in 1..=255u8) {
            let mut bytes = small().encode();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(PackIndex::parse(&bytes).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = PackIndex::parse(&bytes);
            for (to, from) in bytes.iter_mut().zip(MAGIC) { *to = *from; }
            if bytes.len() > 100 { bytes[8..12].copy_from_slice(&1u32.to_le_bytes()); }
            if bytes.len() > 100 { let _ = PackIndex::parse(&with_digest(bytes)); }
        }
    }
}
