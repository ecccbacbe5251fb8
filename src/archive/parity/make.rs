//! Making the parity of one file.

use super::{Target, fill, fill_or_zero, parity_path, publish, temporary};
use crate::archive::ArchiveError;
use crate::archive::layout::{format_error, io_error};
use crate::format::parity::{self, BLOCK, CELL, Place, Protected, Span};
use crate::format::parity_code::{CodeError, Maker, making_bytes};
use crate::fs::{FileRead, Fs};
use crate::limits::PARITY_WORK_BYTES;
use sha2::{Digest, Sha256};
use std::io;
use std::path::Path;

/// Blocks that are read at once where a file is read from front to back.
const RUN: usize = 64;

/// What a file is.
pub(super) struct Looked {
    pub length: u64,
    pub digest: [u8; 32],
    /// The checksums of its blocks.
    pub table: Vec<u8>,
}

/// Reads a file from front to back.
pub(super) fn look_through(file: &dyn FileRead) -> io::Result<Looked> {
    let mut buffer = vec![0; RUN * BLOCK];
    let (mut length, mut digest, mut table) = (0u64, Sha256::new(), Vec::new());
    loop {
        let filled = fill(file, length, &mut buffer)?;
        let read = buffer.get(..filled).unwrap_or_default();
        digest.update(read);
        length += filled as u64;
        for block in read.chunks(BLOCK) {
            table.extend(block_checksum(block));
        }
        if filled < buffer.len() {
            break;
        }
    }
    if length == 0 {
        table.extend(block_checksum(&[]));
    }
    Ok(Looked { length, digest: digest.finalize().into(), table })
}

/// The checksum of a block that may lack its end.
pub(super) fn block_checksum(bytes: &[u8]) -> [u8; 4] {
    if bytes.len() == BLOCK {
        return parity::checksum(bytes);
    }
    let mut block = [0; BLOCK];
    for (to, from) in block.iter_mut().zip(bytes) {
        *to = *from;
    }
    parity::checksum(&block)
}

/// What goes wrong while the code runs.
pub(in crate::archive) enum Trouble {
    Io(io::Error),
    Code(CodeError),
}

impl From<CodeError> for Trouble {
    fn from(error: CodeError) -> Self {
        Self::Code(error)
    }
}

impl Trouble {
    /// The error of this while `path` was read.
    pub fn of(self, path: &Path) -> ArchiveError {
        match self {
            Self::Io(error) => io_error("read", path)(error),
            // The geometry keeps the code's bounds, so this is a defect; it is reported as what it is.
            Self::Code(error) => io_error("compute parity of", path)(io::Error::other(error)),
        }
    }
}

/// Writes the parity of a file; gives its bytes, or what is wrong with the file.
pub(super) fn write(
    fs: &dyn Fs,
    dir: &Path,
    target: &Target,
    percent: u16,
) -> Result<Result<u64, String>, ArchiveError> {
    let path = dir.join(&target.path);
    let file = fs.open(&path).map_err(io_error("open", &path))?;
    let looked = match look_through(file.as_ref()) {
        Ok(looked) => looked,
        Err(error) => return Ok(Err(error.to_string())),
    };
    if !looked.digest.starts_with(&target.begins) {
        return Ok(Err("its bytes are not those of its name".to_owned()));
    }
    let says = Protected { percent, length: looked.length, digest: looked.digest };
    let spans = parity::spans(looked.length, percent).map_err(format_error(&path))?;
    let mut out = temporary(fs, dir)?;
    let (mut code, mut table_code) = (Maker::default(), Maker::default());
    let mut table = looked.table.as_slice();
    for (number, span) in (0u32..).zip(&spans) {
        let (mine, rest) = table.split_at_checked(span.table_bytes()).unwrap_or((table, &[]));
        table = rest;
        let shares = table_shares(mine, span, &mut table_code).map_err(|trouble| trouble.of(&path))?;
        let stream = parity_of(file.as_ref(), span, &mut code).map_err(|trouble| trouble.of(&path))?;
        let mut carried = stream.chunks(span.carried());
        for (block, share) in (0u32..).zip(shares.chunks(span.share)) {
            let carries = carried.next().unwrap_or_default();
            let block = parity::encode(&says, Place { span: number, block }, share, carries);
            out.write_all(&block).map_err(|source| io_error("write", out.path())(source))?;
        }
    }
    publish(fs, dir, out, &parity_path(&target.path))?;
    Ok(Ok(parity::stored(&spans) * BLOCK as u64))
}

/// The table's shares, one after the other: the table itself, and parity of it.
fn table_shares(table: &[u8], span: &Span, code: &mut Maker) -> Result<Vec<u8>, Trouble> {
    let mut shares = table.to_vec();
    shares.resize(span.shares * span.share, 0);
    let data = shares.clone();
    let fill = |number: usize, out: &mut [u8]| {
        let from = data.get(number * span.share..).unwrap_or_default();
        out.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        Ok::<_, Trouble>(())
    };
    code.make((span.shares, span.stored - span.shares, span.share), fill, |_, share| shares.extend(share))?;
    Ok(shares)
}

/// The parity blocks of a span, one after the other.
fn parity_of(file: &dyn FileRead, span: &Span, code: &mut Maker) -> Result<Vec<u8>, Trouble> {
    let mut stream = vec![0; span.spare * BLOCK];
    let width = column_width(making_bytes(span.blocks, span.spare, CELL));
    for column in (0..BLOCK).step_by(width) {
        let width = width.min(BLOCK - column);
        let read = |number: usize, out: &mut [u8]| {
            let at = (span.first + number as u64) * BLOCK as u64 + column as u64;
            fill_or_zero(file, at, out).map_err(Trouble::Io)
        };
        code.make((span.blocks, span.spare, width), read, |number, share| {
            let to = stream.get_mut(number * BLOCK + column..).unwrap_or_default();
            to.iter_mut().zip(share).for_each(|(to, from)| *to = *from);
        })?;
    }
    Ok(stream)
}

/// How many bytes of each block are worked on at once, when one column of all takes so many.
pub(super) fn column_width(bytes: usize) -> usize {
    (PARITY_WORK_BYTES / bytes.max(1)).clamp(1, BLOCK / CELL) * CELL
}
