//! Reading a parity file of which any blocks may be damaged.
//!
//! Promises that a block counts only if its checksum is right and all that count speak of one file; where in the parity
//! file it lies does not matter.

use super::make::Trouble;
use super::{Target, fill};
use crate::format::parity::{self, BLOCK, CELL, Place, Protected, Span};
use crate::format::parity_code::{Restorer, Share};
use crate::fs::{FileRead, Fs};
use crate::limits::{PARITY_CLAIMS, PROTECTED_BYTES};
use std::collections::HashMap;
use std::io;
use std::path::Path;

/// What stands where parity may stand.
pub(in crate::archive) enum Found {
    Nothing,
    /// A file of which no block says anything of this target.
    Unusable,
    Parity(Stored),
}

/// A parity file that can be used.
pub(in crate::archive) struct Stored {
    file: Box<dyn FileRead>,
    pub says: Protected,
    pub spans: Vec<Span>,
    /// Which block of the file is that of each number, for each span.
    places: Vec<Vec<Option<u32>>>,
    /// Blocks that can be used.
    pub sound: u64,
    /// Blocks that the file has.
    pub blocks: u64,
}

/// What the first block of a parity file that can be read says, and the length of the file.
pub(super) fn first_block(fs: &dyn Fs, path: &Path) -> Option<(Protected, u64)> {
    let file = fs.open_plain(path).ok()?;
    let bytes = file.stat().ok()?.size;
    let mut block = [0; BLOCK];
    for at in 0..bytes.div_ceil(BLOCK as u64) {
        if matches!(fill(file.as_ref(), at * BLOCK as u64, &mut block), Ok(BLOCK))
            && let Some((says, _)) = parity::parse(&block)
        {
            return Some((says, bytes));
        }
    }
    None
}

impl Stored {
    /// Reads the parity file at `path`, every block.
    pub fn open(fs: &dyn Fs, path: &Path, target: &Target) -> io::Result<Found> {
        let file = match fs.open_plain(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(error),
            Ok(file) => file,
        };
        let bytes = file.stat()?.size;
        if bytes > PROTECTED_BYTES {
            return Ok(Found::Unusable);
        }
        let mut claims: HashMap<Protected, Vec<(Place, u32)>> = HashMap::new();
        let mut block = [0; BLOCK];
        // PROTECTED_BYTES have four million blocks.
        for at in 0..bytes.div_ceil(BLOCK as u64) as u32 {
            if !matches!(fill(file.as_ref(), u64::from(at) * BLOCK as u64, &mut block), Ok(BLOCK)) {
                continue;
            }
            let Some((says, place)) = parity::parse(&block).filter(|(says, _)| target.fits(says)) else { continue };
            if claims.contains_key(&says) || claims.len() < PARITY_CLAIMS {
                claims.entry(says).or_default().push((place, at));
            }
        }
        let Some((says, found)) = claims.into_iter().max_by_key(|(says, found)| (found.len(), says.digest)) else {
            return Ok(Found::Unusable);
        };
        let Ok(spans) = parity::spans(says.length, says.percent) else { return Ok(Found::Unusable) };
        // Not more than a few times what is there: a forged length gets no memory.
        if parity::stored(&spans) > bytes.div_ceil(BLOCK as u64).saturating_mul(64) {
            return Ok(Found::Unusable);
        }
        let mut places: Vec<_> = spans.iter().map(|span| vec![None; span.stored]).collect();
        let mut sound = 0;
        for (place, at) in found {
            let slot = places.get_mut(place.span as usize).and_then(|blocks| blocks.get_mut(place.block as usize));
            if let Some(slot @ None) = slot {
                *slot = Some(at);
                sound += 1;
            }
        }
        Ok(Found::Parity(Self { file, says, spans, places, sound, blocks: bytes.div_ceil(BLOCK as u64) }))
    }

    /// Whether every block is there, and nothing else.
    pub fn is_whole(&self) -> bool {
        let expected = parity::stored(&self.spans);
        self.sound == expected && self.blocks == expected
    }

    /// The checksums of a span's blocks; `None` when too much of the table is lost.
    pub fn table(&self, number: usize) -> Result<Option<Vec<u8>>, Trouble> {
        let (Some(span), Some(places)) = (self.spans.get(number), self.places.get(number)) else { return Ok(None) };
        let there: Vec<_> = (0..span.stored).filter(|&block| matches!(places.get(block), Some(Some(_)))).collect();
        if there.len() < span.shares {
            return Ok(None);
        }
        let mut table = vec![0; span.shares * span.share];
        let mut block = [0; BLOCK];
        let put = |table: &mut Vec<u8>, number: usize, share: &[u8]| {
            let to = table.get_mut(number * span.share..).unwrap_or_default();
            to.iter_mut().zip(share).for_each(|(to, from)| *to = *from);
        };
        for &number in there.iter().take_while(|&&number| number < span.shares) {
            self.read_block(places, number, &mut block)?;
            put(&mut table, number, parity::share_of(&block, span));
        }
        let data = there.iter().take_while(|&&number| number < span.shares).count();
        if data < span.shares {
            let enough = there.iter().take(span.shares).map(|&number| match number.checked_sub(span.shares) {
                None => Share::Data(number),
                Some(parity) => Share::Parity(parity),
            });
            let read = |share: Share, out: &mut [u8]| {
                let number = match share {
                    Share::Data(number) => number,
                    Share::Parity(number) => span.shares + number,
                };
                let mut block = [0; BLOCK];
                self.read_block(places, number, &mut block)?;
                out.iter_mut().zip(parity::share_of(&block, span)).for_each(|(to, from)| *to = *from);
                Ok::<_, Trouble>(())
            };
            let counts = (span.shares, span.stored - span.shares, span.share);
            Restorer::default().restore(counts, enough, read, |number, share| put(&mut table, number, share))?;
        }
        table.truncate(span.table_bytes());
        Ok(Some(table))
    }

    fn read_block(&self, places: &[Option<u32>], number: usize, out: &mut [u8; BLOCK]) -> Result<(), Trouble> {
        let at = places.get(number).copied().flatten().unwrap_or_default();
        match fill(self.file.as_ref(), u64::from(at) * BLOCK as u64, out).map_err(Trouble::Io)? {
            BLOCK => Ok(()),
            _ => Err(Trouble::Io(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// The first `wanted` parity blocks of a span whose column `cell` is there; `None` when there are not so many.
    pub fn available(&self, number: usize, cell: usize, wanted: usize) -> Option<Vec<usize>> {
        let (span, places) = (self.spans.get(number)?, self.places.get(number)?);
        let is_there = |spare: &usize| matches!(places.get(span.carrier(*spare, cell)), Some(Some(_)));
        let found: Vec<_> = (0..span.spare).filter(is_there).take(wanted).collect();
        (found.len() == wanted).then_some(found)
    }

    /// Reads the columns from `cell` on of a parity block, as many as `out` holds.
    pub fn read_cells(&self, number: usize, spare: usize, cell: usize, out: &mut [u8]) -> Result<(), Trouble> {
        let (Some(span), Some(places)) = (self.spans.get(number), self.places.get(number)) else { return Ok(()) };
        for (cell, out) in (cell..).zip(out.chunks_mut(CELL)) {
            let at = places.get(span.carrier(spare, cell)).copied().flatten().unwrap_or_default();
            let at = parity::cell_offset(span, spare, cell, u64::from(at));
            if fill(self.file.as_ref(), at, out).map_err(Trouble::Io)? < out.len() {
                return Err(Trouble::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(())
    }
}
