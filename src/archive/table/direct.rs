//! Looks objects up in the indexes of packs as they lie on disk, without loading any: for the few lookups of a small
//! task, where reading 24 bytes for every object of the site would be nearly all the work.
//!
//! Promises to read a few pages an index, and no more than the logarithm of its length if its names are forged. Believes
//! what it reads: who finds nothing, or finds it wrong, must ask a table whose indexes have been checked. The pack that
//! held the last object is asked first, for what is stored together is read together.

use crate::archive::layout::PackName;
use crate::format::pack_index::{self, HEADER_BYTES, IndexEntry, IndexHeader, Prefix, ROW_BYTES, SegmentRow};
use crate::format::segment::is_possible;
use crate::fs::{FileRead, Fs, read_exact_at};
use crate::limits;
use std::io;
use std::path::Path;

/// Rows that one read brings: a page of the system's cache.
const WINDOW: u64 = 4096 / ROW_BYTES as u64;

/// How often the place is guessed from the name before the range is halved. Names are hashes, so the first guess is off by
/// the square root of the number of objects, and the second hits.
const GUESSES: u32 = 4;

/// An index that is open, and the pack that it is of.
struct OpenIndex {
    pack: usize,
    file: Box<dyn FileRead>,
    header: IndexHeader,
}

/// Where an object may lie: the pack's number, the segment, the block.
pub type Hit = (usize, u16, u16);

/// The indexes of an archive, unread.
pub struct DirectSearch {
    /// Number of every pack, the one that was hit last at the end.
    order: Vec<usize>,
    /// Some of them, the one used last at the end.
    open: Vec<OpenIndex>,
    /// Indexes that were searched so far, once for each lookup.
    searched: u64,
    /// Objects of the indexes that have been opened so far.
    objects: u64,
    seen: Vec<bool>,
}

impl DirectSearch {
    pub fn new(packs: usize) -> Self {
        Self { order: (0..packs).collect(), open: Vec::new(), searched: 0, objects: 0, seen: vec![false; packs] }
    }

    /// Whether so much has been searched that a table would have cost less. A search costs about a microsecond, a row of a
    /// table that is made about a sixteenth of that (`measure`).
    pub fn is_worn(&self) -> bool {
        self.searched > limits::DIRECT_SEARCHES + self.objects / 16
    }

    /// The first place found; `None` when no index that can be read has the name.
    pub fn find(&mut self, fs: &dyn Fs, dir: &Path, names: &[PackName], prefix: &Prefix) -> Option<Hit> {
        for at in (0..self.order.len()).rev() {
            let pack = *self.order.get(at)?;
            self.searched += 1;
            let Some(index) = self.index(fs, dir, names, pack) else { continue };
            // What cannot be read has nothing; a lookup that ends so is asked again of a checked table.
            if let Ok(Some(entry)) = search(index, prefix) {
                let pack = self.order.remove(at);
                self.order.push(pack);
                return Some((pack, entry.segment, entry.block));
            }
        }
        None
    }

    /// The row of a segment, if it can be true.
    pub fn segment(
        &mut self,
        fs: &dyn Fs,
        dir: &Path,
        names: &[PackName],
        pack: usize,
        segment: u16,
    ) -> Option<SegmentRow> {
        let index = self.index(fs, dir, names, pack)?;
        if u32::from(segment) >= index.header.segments {
            return None;
        }
        let at = HEADER_BYTES as u64 + u64::from(segment) * ROW_BYTES as u64;
        let bytes = read_exact_at(index.file.as_ref(), at, ROW_BYTES).ok()?;
        let row = SegmentRow::decode(bytes.first_chunk()?);
        let inside = row.offset.checked_add(row.compressed).is_some_and(|end| end <= index.header.pack_bytes);
        (inside && row.compressed > 0 && is_possible(row.compressed, row.uncompressed)).then_some(row)
    }

    /// The open index of a pack; `None` when its file cannot be one.
    fn index(&mut self, fs: &dyn Fs, dir: &Path, names: &[PackName], pack: usize) -> Option<&OpenIndex> {
        match self.open.iter().rposition(|open| open.pack == pack) {
            Some(at) if at + 1 == self.open.len() => {}
            Some(at) => {
                let index = self.open.remove(at);
                self.open.push(index);
            }
            None => {
                let name = names.get(pack)?;
                let index = open(fs, dir, *name, pack)?;
                if let Some(seen) = self.seen.get_mut(pack).filter(|seen| !**seen) {
                    *seen = true;
                    self.objects = self.objects.saturating_add(index.header.objects);
                }
                if self.open.len() >= limits::OPEN_INDEXES {
                    self.open.remove(0);
                }
                self.open.push(index);
            }
        }
        self.open.last()
    }
}

fn open(fs: &dyn Fs, dir: &Path, name: PackName, pack: usize) -> Option<OpenIndex> {
    let file = fs.open(&dir.join(name.index_path())).ok()?;
    let size = file.stat().ok()?.size;
    let header = IndexHeader::parse(read_exact_at(file.as_ref(), 0, HEADER_BYTES).ok()?.first_chunk()?, size)?;
    (header.pack == name.0).then_some(OpenIndex { pack, file, header })
}

/// Searches one index. The range shrinks with every read, whatever is in the file.
fn search(index: &OpenIndex, prefix: &Prefix) -> io::Result<Option<IndexEntry>> {
    let key = |prefix: &Prefix| prefix.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    let wanted = key(prefix);
    let begin = pack_index::rows(u64::from(index.header.segments), index.header.objects).start;
    let (mut low, mut high) = (0, index.header.objects);
    let (mut below, mut above) = (0, u64::MAX);
    for guess in 0.. {
        if low >= high {
            break;
        }
        let middle = match guess {
            0..GUESSES if above > below => {
                let share = u128::from(wanted.saturating_sub(below)) * u128::from(high - low);
                low + u64::try_from(share / u128::from(above - below)).unwrap_or(0)
            }
            _ => low + (high - low) / 2,
        };
        let first = middle.saturating_sub(WINDOW / 2).clamp(low, high - 1);
        let count = WINDOW.min(high - first);
        // At most a window.
        let bytes = read_exact_at(index.file.as_ref(), begin + first * ROW_BYTES as u64, count as usize * ROW_BYTES)?;
        let rows = bytes.as_chunks::<ROW_BYTES>().0;
        let at = rows.partition_point(|row| row[..20] < prefix[..]);
        match rows.get(at).map(IndexEntry::decode) {
            Some(entry) if entry.prefix == *prefix => return Ok(Some(entry)),
            Some(entry) if at == 0 => (high, above) = (first, key(&entry.prefix)),
            Some(_) => break,
            None => {
                let last = rows.last().map(IndexEntry::decode);
                (low, below) = (first + count, last.map_or(below, |last| key(&last.prefix)));
            }
        }
    }
    Ok(None)
}
