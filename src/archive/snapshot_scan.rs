//! The entries of a snapshot whose head or table of contents is damaged, found from the gzip members themselves: each holds
//! one entry, and says which.
//!
//! Promises that only members are listed that inflate to a whole entry, so damage costs the members that it lies in.

use super::cursor::Cursor;
use super::index::seek_magic;
use super::snapshot::EntryPlace;
use crate::format::tar_entry::{self, BLOCK};
use crate::fs::FileRead;
use crate::limits::SNAPSHOT_ENTRY_BYTES;
use std::collections::HashMap;
use std::io::{self, Read};

/// What was found, whatever it is called.
#[derive(Default)]
pub(super) struct Scanned {
    /// In the order of the file; the first of each name.
    pub names: Vec<String>,
    pub places: HashMap<String, EntryPlace>,
    /// Where the member that ends the tar file begins, or the file ends.
    pub end: u64,
}

enum Member {
    Entry { name: String, size: u64 },
    End,
}

/// Looks through a whole snapshot.
pub(super) fn scan(file: &dyn FileRead, size: u64) -> Scanned {
    let mut scanned = Scanned { end: size, ..Scanned::default() };
    let mut cursor = Cursor::new(file, 0, size);
    while cursor.position() < size {
        let offset = cursor.position();
        match member(&mut cursor) {
            Some(Member::Entry { name, size }) => {
                let place = EntryPlace { offset, compressed: cursor.position() - offset, size };
                if !scanned.places.contains_key(&name) {
                    scanned.names.push(name.clone());
                    scanned.places.insert(name, place);
                }
            }
            Some(Member::End) => {
                scanned.end = offset;
                break;
            }
            None => {
                cursor.seek(offset + 1);
                if !seek_magic(&mut cursor, &mut None) {
                    break;
                }
            }
        }
    }
    scanned
}

/// Inflates the member under the cursor; `None` when it is none of a snapshot.
fn member(cursor: &mut Cursor<'_>) -> Option<Member> {
    let mut decoder = flate2::bufread::GzDecoder::new(&mut *cursor);
    let mut block = [0; BLOCK];
    decoder.read_exact(&mut block).ok()?;
    let entry = match block.iter().all(|&byte| byte == 0) {
        true => None,
        false => {
            let (name, size) = tar_entry::parse_header(&block, 0).ok()?;
            Some((name.to_owned(), size)).filter(|(_, size)| *size <= SNAPSHOT_ENTRY_BYTES)
        }
    };
    let expected = match &entry {
        None => tar_entry::END.len() as u64,
        Some((_, size)) => tar_entry::entry_bytes(*size),
    };
    // Reading beyond what is expected compares the member's checksum.
    let rest = io::copy(&mut decoder.take(expected), &mut io::sink()).ok()?;
    let found = entry.map_or(Member::End, |(name, size)| Member::Entry { name, size });
    (rest + BLOCK as u64 == expected).then_some(found)
}
