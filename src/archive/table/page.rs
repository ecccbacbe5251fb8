//! Rows of the sorted table and the pages that hold them. Functions from bytes to values; the file is `sorted`'s.

use crate::format::pack_index::Prefix;

/// One read of a lookup, bytes: what the system's cache holds as one.
pub const PAGE_BYTES: usize = 4096;

const ROW_BYTES: usize = 28;
const CHECKSUM_BYTES: usize = 4;

/// Rows of a full page.
pub const PAGE_ROWS: usize = (PAGE_BYTES - CHECKSUM_BYTES) / ROW_BYTES;

/// An object and its place. Rows sort by name, and those of one name in the order in which the packs were added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Row {
    pub prefix: Prefix,
    /// Number of the pack in the table.
    pub pack: u32,
    pub segment: u16,
    pub block: u16,
}

impl Row {
    fn encode(&self) -> [u8; ROW_BYTES] {
        let mut row = [0; ROW_BYTES];
        row[..20].copy_from_slice(&self.prefix);
        row[20..24].copy_from_slice(&self.pack.to_le_bytes());
        row[24..26].copy_from_slice(&self.segment.to_le_bytes());
        row[26..].copy_from_slice(&self.block.to_le_bytes());
        row
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (prefix, rest) = bytes.split_first_chunk::<20>()?;
        let (pack, rest) = rest.split_first_chunk::<4>()?;
        let (segment, rest) = rest.split_first_chunk::<2>()?;
        let block = rest.first_chunk::<2>()?;
        Some(Self {
            prefix: *prefix,
            pack: u32::from_le_bytes(*pack),
            segment: u16::from_le_bytes(*segment),
            block: u16::from_le_bytes(*block),
        })
    }
}

/// What stands for a name in the fences: its first eight bytes as a number that sorts as they do.
pub fn key(prefix: &Prefix) -> u64 {
    prefix.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// The bytes of a page with these rows, [`PAGE_ROWS`] at most.
pub fn encode(rows: &[Row]) -> [u8; PAGE_BYTES] {
    let mut page = [0; PAGE_BYTES];
    page.as_chunks_mut().0.iter_mut().zip(rows).for_each(|(to, row)| *to = row.encode());
    if let Some((body, sum)) = page.split_last_chunk_mut::<CHECKSUM_BYTES>() {
        *sum = libdeflater::crc32(body).to_le_bytes();
    }
    page
}

/// A page that was read, and how many of its rows count.
pub struct Page<'b> {
    bytes: &'b [u8],
    rows: usize,
}

impl<'b> Page<'b> {
    /// The first `rows` rows of a page; `None` when its checksum is wrong.
    pub fn open(bytes: &'b [u8; PAGE_BYTES], rows: usize) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
        (libdeflater::crc32(body).to_le_bytes() == *sum).then_some(Self { bytes: body, rows: rows.min(PAGE_ROWS) })
    }

    /// A full page whose checksum has been compared.
    pub fn trusted(bytes: &'b [u8; PAGE_BYTES]) -> Self {
        Self { bytes, rows: PAGE_ROWS }
    }

    pub fn row(&self, number: usize) -> Option<Row> {
        if number >= self.rows {
            return None;
        }
        let at = number * ROW_BYTES;
        Row::decode(self.bytes.get(at..at + ROW_BYTES)?)
    }

    /// Number of the first row whose name is not below `prefix`; the number of rows when all are.
    pub fn first_from(&self, prefix: &Prefix) -> usize {
        let (mut low, mut high) = (0, self.rows);
        while low < high {
            let middle = low + (high - low) / 2;
            let at = middle * ROW_BYTES;
            match self.bytes.get(at..at + prefix.len()) {
                Some(held) if held < &prefix[..] => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }
}
