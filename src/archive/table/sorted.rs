//! The table on disk: all rows sorted in pages of 4 KiB, then the first name of each page (the fences), then the packs
//! whose objects it lists, then a tail of fixed length.
//!
//! Promises: a file is never changed once written; a lookup costs one read of a page (two or three where names are
//! forged or an object lies in several packs) and eight bytes of memory a page; a page or a list that is not what was
//! written is an error, never an answer. Derived, of this machine only, and so not part of the format.

use super::page::{self, PAGE_BYTES, PAGE_ROWS, Page, Row};
use crate::archive::ArchiveError;
use crate::archive::layout::{PackName, format_error, io_error};
use crate::format::FormatError;
use crate::format::pack_index::Prefix;
use crate::fs::{FileRead, FileWrite, Fs, read_exact_at};
use crate::limits;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const MAGIC: &[u8; 8] = b"wagontab";
const VERSION: u32 = 1;
const TAIL_BYTES: u64 = 32;
const IDENT_BYTES: u64 = 56;

/// Which state of a pack and its index the rows were taken from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PackIdent {
    pub name: PackName,
    pub pack_bytes: u64,
    pub index_bytes: u64,
    /// Of the index's own checksum, which is its end.
    pub digest: [u8; 8],
}

/// A sorted table that is complete.
pub struct SortedFile {
    path: PathBuf,
    file: Box<dyn FileRead>,
    name: Name,
    rows: u64,
    fences: Vec<u64>,
}

/// Under which name a table lies.
enum Name {
    /// That of an earlier pass, or the same of this one.
    Kept,
    /// One that goes when this is dropped. The lock is never taken: it lets threads share the rest.
    Temporary(Mutex<Box<dyn FileWrite>>),
    /// None any more: it goes with the process, however that ends.
    Gone,
}

impl SortedFile {
    /// Opens a table that was kept, with the packs that it lists. Anything wrong with it is an error.
    pub fn open(fs: &dyn Fs, path: &Path) -> Result<(Self, Vec<PackIdent>), ArchiveError> {
        let file = fs.open(path).map_err(io_error("open", path))?;
        let size = file.stat().map_err(io_error("look at", path))?.size;
        let (rows, fences, idents) = read_end(file.as_ref(), size).ok_or_else(|| damaged(path, size))?;
        Ok((Self { path: path.to_owned(), file, name: Name::Kept, rows, fences }, idents))
    }

    /// Rows.
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// Whether it was opened and not written by this process.
    pub fn is_kept(&self) -> bool {
        matches!(self.name, Name::Kept)
    }

    /// Takes its name away, so that nothing is left of it when the process is killed.
    pub fn unlink(&mut self) {
        if matches!(self.name, Name::Temporary(_)) {
            self.name = Name::Gone;
        }
    }

    /// Adds every row of this name to `found`.
    pub fn find(&self, prefix: &Prefix, found: &mut Vec<Row>) -> Result<(), ArchiveError> {
        let key = page::key(prefix);
        // A page begins with its fence, so the name may still lie in the one before the first that begins with it.
        let mut first = self.fences.partition_point(|fence| *fence < key).saturating_sub(1);
        let mut end = self.fences.partition_point(|fence| *fence <= key);
        let mut bytes = [0; PAGE_BYTES];
        // More than one only where names share their first eight bytes, which hashes do not: the last page that begins
        // below the name.
        while end.saturating_sub(first) > 1 {
            let middle = first + (end - first) / 2;
            match self.page(middle, &mut bytes)?.row(0) {
                Some(row) if row.prefix < *prefix => first = middle,
                _ => end = middle,
            }
        }
        // Rows of one name may run on over pages.
        for number in first..self.fences.len() {
            if self.fences.get(number).is_none_or(|fence| *fence > key) {
                break;
            }
            let page = self.page(number, &mut bytes)?;
            let mut at = page.first_from(prefix);
            while let Some(row) = page.row(at) {
                if row.prefix != *prefix {
                    return Ok(());
                }
                found.push(row);
                at += 1;
            }
        }
        Ok(())
    }

    fn page<'b>(&self, number: usize, bytes: &'b mut [u8; PAGE_BYTES]) -> Result<Page<'b>, ArchiveError> {
        let at = number as u64 * PAGE_BYTES as u64;
        let before = number as u64 * PAGE_ROWS as u64;
        let rows = usize::try_from(self.rows.saturating_sub(before)).unwrap_or(PAGE_ROWS);
        let mut filled = 0;
        while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.file.read_at(room, at + filled as u64) {
                Ok(0) => return Err(damaged(&self.path, at)),
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error("read", &self.path)(error)),
            }
        }
        Page::open(bytes, rows).ok_or_else(|| damaged(&self.path, at))
    }

    /// All rows in order.
    pub fn scan(&self) -> Scan<'_> {
        Scan { table: self, next: 0, page: 0, bytes: [0; PAGE_BYTES] }
    }

    /// Gives a table that this process wrote its lasting name, with its lists behind it: synced, renamed, the folder
    /// synced. `packs` are those that the rows number.
    pub fn publish(&mut self, fs: &dyn Fs, path: &Path, packs: &[PackIdent]) -> Result<(), ArchiveError> {
        let file = match std::mem::replace(&mut self.name, Name::Kept) {
            Name::Temporary(file) => file,
            other => {
                self.name = other;
                return Ok(());
            }
        };
        let mut file = file.into_inner().unwrap_or_else(PoisonError::into_inner);
        let end = self.encode_end(packs);
        file.write_all(&end).map_err(io_error("write", &self.path))?;
        file.sync().map_err(io_error("sync", &self.path))?;
        fs.rename(file.path(), path).map_err(io_error("rename to", path))?;
        drop(file.keep());
        self.path = path.to_owned();
        let dir = path.parent().unwrap_or(Path::new("."));
        fs.sync_dir(dir).map_err(io_error("sync", dir))
    }

    fn encode_end(&self, packs: &[PackIdent]) -> Vec<u8> {
        let mut end = Vec::new();
        self.fences.iter().for_each(|fence| end.extend(fence.to_le_bytes()));
        for ident in packs {
            end.extend(ident.name.0);
            end.extend(ident.pack_bytes.to_le_bytes());
            end.extend(ident.index_bytes.to_le_bytes());
            end.extend(ident.digest);
        }
        end.extend(self.rows.to_le_bytes());
        end.extend((packs.len() as u64).to_le_bytes());
        end.extend(VERSION.to_le_bytes());
        let sum = libdeflater::crc32(&end);
        end.extend(sum.to_le_bytes());
        end.extend(MAGIC);
        end
    }
}

/// Reads a table from its beginning to its end.
pub struct Scan<'t> {
    table: &'t SortedFile,
    next: u64,
    page: usize,
    bytes: [u8; PAGE_BYTES],
}

impl Scan<'_> {
    pub fn next(&mut self) -> Result<Option<Row>, ArchiveError> {
        if self.next >= self.table.rows {
            return Ok(None);
        }
        let at = (self.next % PAGE_ROWS as u64) as usize;
        let row = match at {
            0 => {
                let row = self.table.page(self.page, &mut self.bytes)?.row(0);
                self.page += 1;
                row
            }
            // Its checksum was compared when it was read.
            _ => Page::trusted(&self.bytes).row(at),
        };
        self.next += 1;
        Ok(row)
    }
}

/// A table being written; dropping it removes the file.
pub struct SortedWriter {
    file: Box<dyn FileWrite>,
    path: PathBuf,
    page: Vec<Row>,
    pages: Vec<u8>,
    rows: u64,
    fences: Vec<u64>,
}

impl SortedWriter {
    pub fn create(fs: &dyn Fs, dir: &Path) -> Result<Self, ArchiveError> {
        let file = fs.create_temp(dir, super::TEMPORARY).map_err(io_error("make a table of objects in", dir))?;
        let path = file.path().to_owned();
        Ok(Self { file, path, page: Vec::new(), pages: Vec::new(), rows: 0, fences: Vec::new() })
    }

    /// Adds a row, which must not be below the last one.
    pub fn push(&mut self, row: Row) -> Result<(), ArchiveError> {
        if self.page.is_empty() {
            self.fences.push(page::key(&row.prefix));
        }
        self.page.push(row);
        self.rows += 1;
        if self.page.len() == PAGE_ROWS {
            self.end_page()?;
        }
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), ArchiveError> {
        self.pages.extend(page::encode(&self.page));
        self.page.clear();
        if self.pages.len() >= limits::TABLE_WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ArchiveError> {
        self.file.write_all(&self.pages).map_err(io_error("write", &self.path))?;
        self.pages.clear();
        Ok(())
    }

    /// Ends the pages. The table can be searched from here on.
    pub fn finish(mut self, fs: &dyn Fs) -> Result<SortedFile, ArchiveError> {
        if !self.page.is_empty() {
            self.end_page()?;
        }
        self.flush()?;
        let file = fs.open(&self.path).map_err(io_error("open", &self.path))?;
        let Self { file: temporary, path, rows, fences, .. } = self;
        Ok(SortedFile { path, file, name: Name::Temporary(Mutex::new(temporary)), rows, fences })
    }
}

/// Rows, fences and packs, as the end of the file says; `None` when it contradicts itself.
fn read_end(file: &dyn FileRead, size: u64) -> Option<(u64, Vec<u64>, Vec<PackIdent>)> {
    let tail = read_exact_at(file, size.checked_sub(TAIL_BYTES)?, TAIL_BYTES as usize).ok()?;
    let number = |bytes: &[u8], at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk::<8>()?));
    let word = |at: usize| Some(u32::from_le_bytes(*tail.get(at..)?.first_chunk::<4>()?));
    if !tail.ends_with(MAGIC) || word(16)? != VERSION {
        return None;
    }
    let (rows, packs) = (number(&tail, 0)?, number(&tail, 8)?);
    let pages = rows.div_ceil(PAGE_ROWS as u64);
    let lists = pages.checked_mul(8)?.checked_add(packs.checked_mul(IDENT_BYTES)?)?;
    if pages.checked_mul(PAGE_BYTES as u64)?.checked_add(lists)?.checked_add(TAIL_BYTES)? != size {
        return None;
    }
    // No longer than the file, which is this machine's own.
    let mut bytes = read_exact_at(file, size - TAIL_BYTES - lists, usize::try_from(lists).ok()?).ok()?;
    bytes.extend(tail.get(..20)?);
    if libdeflater::crc32(&bytes) != word(20)? {
        return None;
    }
    let (fences, idents) = bytes.split_at_checked(usize::try_from(pages).ok()?.checked_mul(8)?)?;
    let fences = fences.chunks_exact(8).filter_map(|bytes| number(bytes, 0)).collect();
    let ident = |bytes: &[u8]| {
        let (name, rest) = bytes.split_first_chunk::<32>()?;
        let digest = *rest.get(16..)?.first_chunk::<8>()?;
        Some(PackIdent { name: PackName(*name), pack_bytes: number(rest, 0)?, index_bytes: number(rest, 8)?, digest })
    };
    let idents = idents.chunks_exact(IDENT_BYTES as usize).map(ident).take(usize::try_from(packs).ok()?);
    Some((rows, fences, idents.collect::<Option<Vec<_>>>()?))
}

fn damaged(path: &Path, at: u64) -> ArchiveError {
    let what = "a table of objects that is damaged; it may be removed, for it is made again".to_owned();
    format_error(path)(FormatError::Malformed { what, at })
}
