//! Segments: whole tar entries, and the gzip member (RFC 1952) that holds them.
//!
//! Promises: the same entries and level give the same bytes (no name, no time in the header), and what is inflated has
//! the length that was promised, or is refused. Knows nothing of packs. Format: format-spec/pack.md.

use super::FormatError;
use super::pack_index::{IndexEntry, Prefix, prefix};
use super::tar_entry::{self, BLOCK, EntryName};
use crate::limits;
use libdeflater::{CompressionLvl, Compressor, Decompressor};

/// How hard to compress what is streamed.
pub const STREAM_LEVEL: i32 = 6;

/// How hard to compress: what a second of a processor saves differs by content (docs/measurements.md, "Levels and
/// windows").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effort {
    /// For what hardly shrinks further: skeletons, which are mostly signatures and ids, and large parts.
    Least,
    /// For text.
    Usual,
    /// For what is small and repeats itself: recipes, manifests.
    Most,
}

impl Effort {
    fn level(self) -> CompressionLvl {
        let level = match self {
            Self::Least => 1,
            Self::Usual => 5,
            Self::Most => 6,
        };
        CompressionLvl::new(level).unwrap_or_default()
    }
}

/// Blocks that are stored as they are, for what does not compress.
pub const STORED: i32 = 0;

/// Where the first bytes of a gzip member of ours stand: magic, method, no flags, no time. Two bytes follow that a
/// compressor chooses (`XFL`, `OS`).
pub const MEMBER_MAGIC: [u8; 8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0];

/// Entries on their way into one segment.
#[derive(Default, Debug)]
pub struct SegmentBuilder {
    bytes: Vec<u8>,
    entries: Vec<(Prefix, u16)>,
}

impl SegmentBuilder {
    /// Adds one entry; it must begin below 32 MiB, which the sizes of segments see to.
    pub fn push(&mut self, name: EntryName, content: &[u8]) -> Result<(), FormatError> {
        let block = u16::try_from(self.bytes.len() / BLOCK).map_err(|_| FormatError::OverBound {
            what: "place of an entry in its segment",
            found: self.bytes.len() as u64,
            bound: u64::from(u16::MAX) * BLOCK as u64,
        })?;
        let size = content.len() as u64;
        self.bytes.extend(tar_entry::header(&name.to_string(), size)?);
        self.bytes.extend(content);
        self.bytes.resize(self.bytes.len() + tar_entry::padding(size), 0);
        self.entries.push((prefix(name.id()), block));
        Ok(())
    }

    /// Uncompressed bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The uncompressed bytes, and where in them each object's entry begins, in blocks.
    pub fn into_parts(self) -> (Vec<u8>, Vec<(Prefix, u16)>) {
        (self.bytes, self.entries)
    }
}

/// The index entries of the objects in an uncompressed segment, in the order of the segment.
pub fn list(tar: &[u8], segment: u16) -> Result<Vec<IndexEntry>, FormatError> {
    tar_entry::entries(tar)
        .map(|entry| {
            let (at, name, _) = entry?;
            let malformed = |what: String| FormatError::Malformed { what, at: at as u64 };
            let name = EntryName::parse(name).ok_or_else(|| malformed(format!("{name:?} is no name of an object")))?;
            let block =
                u16::try_from(at / BLOCK).map_err(|_| malformed("an entry too deep in its segment".to_owned()))?;
            Ok(IndexEntry { prefix: prefix(name.id()), segment, block })
        })
        .collect()
}

/// Makes gzip members; reuses its tables.
pub struct Encoder {
    least: Compressor,
    usual: Compressor,
    most: Compressor,
    stored: Compressor,
    /// Used whatever the effort.
    always: Option<Compressor>,
    /// What a compressor writes into, before its length is known.
    out: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            least: Compressor::new(Effort::Least.level()),
            usual: Compressor::new(Effort::Usual.level()),
            most: Compressor::new(Effort::Most.level()),
            stored: Compressor::new(CompressionLvl::new(STORED).unwrap_or_default()),
            always: None,
            out: Vec::new(),
        }
    }
}

impl Encoder {
    /// Deflates at this level, from 1 to 12, whatever the effort; any other is taken for libdeflate's usual one.
    pub fn at_level(level: i32) -> Self {
        let always = Some(Compressor::new(CompressionLvl::new(level).unwrap_or_default()));
        Self { always, ..Self::default() }
    }

    /// One gzip member with these bytes: deflated, or stored where deflating gains nothing.
    pub fn encode(&mut self, bytes: &[u8], effort: Effort) -> Result<Vec<u8>, FormatError> {
        if !self.is_incompressible(bytes) {
            let compressor = match (&mut self.always, effort) {
                (Some(always), _) => always,
                (None, Effort::Least) => &mut self.least,
                (None, Effort::Usual) => &mut self.usual,
                (None, Effort::Most) => &mut self.most,
            };
            let member = compress(compressor, bytes, &mut self.out)?;
            if member.len() < bytes.len() {
                return Ok(member);
            }
        }
        compress(&mut self.stored, bytes, &mut self.out)
    }

    /// Whether a sample from the middle of large bytes keeps at least 31/32 of its size. Small ones are not sampled:
    /// deflating them costs as little.
    pub fn is_incompressible(&mut self, bytes: &[u8]) -> bool {
        const SAMPLE: usize = 16 * 1024;
        if bytes.len() < limits::OWN_SEGMENT_BYTES {
            return false;
        }
        let from = bytes.len() / 2 - SAMPLE / 2;
        let Some(sample) = bytes.get(from..from + SAMPLE) else { return false };
        let mut out = vec![0; self.least.deflate_compress_bound(SAMPLE)];
        self.least.deflate_compress(sample, &mut out).is_ok_and(|size| size >= SAMPLE - SAMPLE / 32)
    }
}

fn compress(compressor: &mut Compressor, bytes: &[u8], out: &mut Vec<u8>) -> Result<Vec<u8>, FormatError> {
    let bound = compressor.gzip_compress_bound(bytes.len());
    if out.len() < bound {
        out.resize(bound, 0);
    }
    let size = compressor
        .gzip_compress(bytes, out)
        .map_err(|error| FormatError::Malformed { what: format!("the compressor said {error}"), at: 0 })?;
    let member = out.get(..size).unwrap_or_default().to_vec();
    if out.len() > limits::KEPT_BUFFER_BYTES {
        *out = Vec::new();
    }
    Ok(member)
}

/// Whether DEFLATE could have made so much out of so little. To be asked before memory is.
pub fn is_possible(compressed: u64, uncompressed: u64) -> bool {
    uncompressed <= compressed.saturating_mul(limits::DEFLATE_RATIO)
}

/// Inflates one gzip member of known length into `out`, whose content is replaced. The checksum has been compared.
pub fn decode(member: &[u8], uncompressed: u64, out: &mut Vec<u8>) -> Result<(), FormatError> {
    let bad = |what: String| FormatError::Malformed { what, at: 0 };
    if !is_possible(member.len() as u64, uncompressed) {
        return Err(bad(format!("{} bytes cannot inflate to {uncompressed}", member.len())));
    }
    let bound = limits::SNAPSHOT_ENTRY_BYTES + limits::MIB;
    if uncompressed > bound {
        return Err(FormatError::OverBound { what: "segment", found: uncompressed, bound });
    }
    let size = usize::try_from(uncompressed).map_err(|error| bad(error.to_string()))?;
    out.resize(size, 0); // what is in it is written over, so only growth is worth zeros
    let found = Decompressor::new()
        .gzip_decompress(member, out)
        .map_err(|error| bad(format!("the gzip member does not inflate ({error})")))?;
    if found != size {
        return Err(bad(format!("the gzip member inflates to {found} bytes instead of {size}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::ObjectId;
    use proptest::prelude::*;

    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 88172645463325252u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..bytes).map(|_| next()).collect()
    }

    #[test]
    fn members_have_neither_time_nor_name() {
        for bytes in [b"text ".repeat(1000), noise(100_000)] {
            let member = Encoder::default().encode(&bytes, Effort::Usual).unwrap();
            assert!(member.starts_with(&MEMBER_MAGIC));
        }
    }

    #[test]
    fn what_does_not_compress_is_stored() {
        let bytes = noise(200_000);
        let member = Encoder::default().encode(&bytes, Effort::Usual).unwrap();
        assert!(member.len() < bytes.len() + 100, "{}", member.len());
        assert!(member.windows(64).any(|window| window == &bytes[1000..1064]), "stored blocks show the bytes");
    }

    #[test]
    fn a_claim_that_deflate_cannot_hold_is_refused_before_memory_is_asked_for() {
        let member = Encoder::default().encode(&[0; 1000], Effort::Usual).unwrap();
        assert!(decode(&member, u64::MAX, &mut Vec::new()).is_err());
        assert!(decode(&member, 999, &mut Vec::new()).is_err());
        assert!(decode(&member, 1001, &mut Vec::new()).is_err());
        assert!(decode(&member, 1000, &mut Vec::new()).is_ok());
    }

    #[test]
    fn a_segment_lists_what_was_put_into_it() {
        let mut builder = SegmentBuilder::default();
        let names: Vec<_> = [&b"one"[..], b"two"].map(ObjectId::of).into();
        builder.push(EntryName::Object(names[0]), b"one").unwrap();
        builder.push(EntryName::Recipe(names[1]), &[7; 600]).unwrap();
        let (bytes, entries) = builder.into_parts();
        assert_eq!(entries, [(prefix(&names[0]), 0), (prefix(&names[1]), 2)]);
        let listed: Vec<_> = list(&bytes, 9).unwrap().into_iter().map(|e| (e.prefix, e.segment, e.block)).collect();
        assert_eq!(listed, [(prefix(&names[0]), 9, 0), (prefix(&names[1]), 9, 2)]);
    }

    proptest! {
        #[test]
        fn members_inflate_to_what_they_were(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
            let member = Encoder::default().encode(&bytes, Effort::Usual).unwrap();
            let mut out = Vec::new();
            decode(&member, bytes.len() as u64, &mut out).unwrap();
            prop_assert_eq!(out, bytes);
        }

        #[test]
        fn damage_is_noticed_or_harmless(at in any::<prop::sample::Index>(), flip in 1..=255u8) {
            let bytes = b"a line of text, and another\n".repeat(50);
            let mut member = Encoder::default().encode(&bytes, Effort::Usual).unwrap();
            let at = at.index(member.len());
            member[at] ^= flip;
            let mut out = Vec::new();
            if decode(&member, bytes.len() as u64, &mut out).is_ok() {
                prop_assert_eq!(out, bytes);
            }
        }
    }
}
