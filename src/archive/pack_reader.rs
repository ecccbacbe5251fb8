//! Reads objects: finds the segment, inflates it, checks the entry's name, joins messages, and compares the hash.
//!
//! Promises: never bytes that are not those of the name. One object costs one or two reads when it is whole, and a few
//! more when it is joined. Several threads share a reader. Format: format-spec/pack.md, format-spec/message.md.

use super::cursor::Cursor;
use super::layout::{PackName, format_error, io_error};
use super::segment_cache::SegmentCache;
use super::segment_spool::SegmentSpool;
use super::table::{Finder, Location, ObjectTable};
use super::{Archive, ArchiveError};
use crate::format::FormatError;
use crate::format::pack_index::{Prefix, SegmentRow, prefix};
use crate::format::segment;
use crate::format::tar_entry::{self, BLOCK, EntryName};
use crate::fs::{FileRead, Fs, read_exact_at};
use crate::limits;
use crate::message::{self, JoinError};
use crate::model::id::ObjectId;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Reads objects. Several threads may share one.
pub struct ObjectReader {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    finder: Finder,
    cache: Mutex<SegmentCache>,
    /// For whoever reads a whole archive.
    spool: Option<SegmentSpool>,
}

/// An object as it is stored.
pub enum Stored {
    Whole(Vec<u8>),
    Recipe(Recipe),
}

/// From what a message is joined. Messages with one skeleton differ in nothing but their traces.
pub struct Recipe {
    pub skeleton: ObjectId,
    bytes: Vec<u8>,
    /// Where the trace begins.
    trace: usize,
}

impl Recipe {
    pub fn trace(&self) -> &[u8] {
        self.bytes.get(self.trace..).unwrap_or_default()
    }
}

/// An entry that was found: whose, and its content.
struct Entry {
    name: EntryName,
    content: Body,
}

enum Body {
    /// In an inflated segment.
    Held(Arc<Vec<u8>>, Range<usize>),
    /// Alone in a segment that is too large to be held.
    Streamed { file: Arc<dyn FileRead>, row: SegmentRow, pack: PackName, size: u64 },
}

impl Archive {
    /// A reader of what the archive holds now. Reads no index yet.
    pub fn objects(&self) -> Result<ObjectReader, ArchiveError> {
        Ok(self.objects_by(Finder::new(self.again())?))
    }

    /// The same for whoever reads most of it in an order of his own: inflated segments are kept in a scratch file.
    pub fn all_objects(&self) -> Result<ObjectReader, ArchiveError> {
        let mut objects = self.objects()?;
        objects.spool = Some(SegmentSpool::new(self.raw.clone(), self.scratch_dir(), self.secrecy()));
        Ok(objects)
    }

    pub(super) fn objects_of(&self, table: ObjectTable) -> ObjectReader {
        self.objects_by(Finder::of(self.again(), table))
    }

    fn objects_by(&self, finder: Finder) -> ObjectReader {
        ObjectReader { fs: self.fs.clone(), dir: self.dir.clone(), finder, cache: Mutex::default(), spool: None }
    }
}

impl ObjectReader {
    /// Whether an index lists the object; its bytes may be damaged.
    pub fn contains(&self, id: &ObjectId) -> Result<bool, ArchiveError> {
        self.finder.contains(prefix(id))
    }

    /// The object's bytes, joined if it is a message that was taken apart, and checked against its name. More than
    /// `limit` bytes are refused.
    pub fn read(&self, id: &ObjectId, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        self.first_sound(id, |at| {
            let bytes = self.read_at(id, at, limit, 0)?;
            if ObjectId::of(&bytes) != *id {
                return Err(wrong_hash(id));
            }
            Ok(bytes)
        })
    }

    /// The object of at most `limit` bytes as it is stored: its bytes, checked against its name, or the recipe of a
    /// message, which can be no longer than the message and its own head. For whoever reads many: first each in the
    /// order of its own [`ObjectReader::place_in_order`], then each recipe in that of its skeleton.
    pub fn stored(&self, id: &ObjectId, limit: u64) -> Result<Stored, ArchiveError> {
        self.first_sound(id, |at| {
            let entry = self.entry(id, at)?;
            if matches!(entry.name, EntryName::Object(_)) {
                let bytes = self.held(id, &entry.content, limit)?;
                return if ObjectId::of(&bytes) == *id { Ok(Stored::Whole(bytes)) } else { Err(wrong_hash(id)) };
            }
            let bytes = self.held(id, &entry.content, limit.saturating_add(message::RECIPE_HEAD))?;
            let damaged = |error: FormatError| ArchiveError::DamagedObject { id: *id, what: error.to_string() };
            let (skeleton, trace) = message::parse_recipe(&bytes).map_err(damaged)?;
            let trace = bytes.len() - trace.len();
            Ok(Stored::Recipe(Recipe { skeleton, bytes, trace }))
        })
    }

    /// The message of a recipe, checked against its name. An error may be that of one copy of what it is joined from, or
    /// of this one of several recipes: [`ObjectReader::read`] tries all.
    pub fn joined(&self, id: &ObjectId, recipe: &Recipe, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        self.join(id, &recipe.bytes, limit, 0, &mut bytes)?;
        if ObjectId::of(&bytes) == *id { Ok(bytes) } else { Err(wrong_hash(id)) }
    }

    /// Where an object lies among the others: those that are close inflate together.
    pub fn place_in_order(&self, id: &ObjectId) -> Option<impl Ord + use<>> {
        self.place(prefix(id)).map(|at| (at.pack, at.segment, at.block))
    }

    /// What can be read of a message without its parts: its header, those of its parts, small bodies; an object that was
    /// not taken apart as a whole. Costs the reads of recipe and skeleton, whatever is attached. Not compared with its
    /// name: for searching, not for restoring.
    pub fn outline(&self, id: &ObjectId, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        self.first_sound(id, |at| {
            let entry = self.entry(id, at)?;
            let content = self.held(id, &entry.content, limit)?;
            if matches!(entry.name, EntryName::Object(_)) {
                return Ok(content);
            }
            let mut fetch = |part: &ObjectId, limit: u64| {
                self.first_sound(part, |at| self.read_at(part, at, limit.min(limits::WHOLE_ITEM_BYTES), 1))
            };
            message::outline(&content, limit, &mut fetch).map_err(|error| match error {
                JoinError::Part(error) => error,
                other => ArchiveError::DamagedObject { id: *id, what: other.to_string() },
            })
        })
    }

    /// Writes the object out without holding it whole, and returns its size. What was written is only good once this
    /// returns `Ok`: the name is checked at the end.
    pub fn copy(&self, id: &ObjectId, out: &mut dyn Write) -> Result<u64, ArchiveError> {
        let mut first = None;
        let mut places = self.finder.find(prefix(id))?;
        loop {
            for at in places.at {
                let mut out = Hashing { out: &mut *out, digest: Sha256::new(), written: 0 };
                match self.copy_from(id, at, &mut out) {
                    Ok(()) => return Ok(out.written),
                    // Another copy could still be sound, but what has gone out cannot be taken back.
                    Err(error) if out.written > 0 => return Err(error),
                    Err(error) => drop(first.get_or_insert(error)),
                }
            }
            if places.sure {
                return Err(first.unwrap_or(ArchiveError::NoObject { id: *id }));
            }
            first = None;
            places = self.finder.find_surely(prefix(id))?;
        }
    }

    fn copy_from(&self, id: &ObjectId, at: Location, out: &mut Hashing<'_>) -> Result<(), ArchiveError> {
        let entry = self.entry(id, at)?;
        match (&entry.name, &entry.content) {
            (EntryName::Object(_), Body::Held(tar, range)) => {
                let bytes = tar.get(range.clone()).unwrap_or_default();
                if ObjectId::of(bytes) != *id {
                    return Err(wrong_hash(id));
                }
                out.out.write_all(bytes).map_err(write_error(id))?;
                out.written = bytes.len() as u64;
                return Ok(());
            }
            (EntryName::Object(_), Body::Streamed { file, row, pack, size }) => {
                stream(file.as_ref(), row, *pack, *size, out, id)?;
            }
            (EntryName::Recipe(_), content) => {
                let recipe = self.held(id, content, limits::WHOLE_ITEM_BYTES)?;
                self.join(id, &recipe, limits::COPIED_BYTES, 0, out)?;
            }
        }
        if ObjectId::from_digest(out.digest.clone().finalize().into()) != *id {
            return Err(wrong_hash(id));
        }
        Ok(())
    }

    /// Whether a message can be joined from this recipe, and is what its name says.
    pub(super) fn try_join(&self, id: &ObjectId, recipe: &[u8]) -> Result<(), ArchiveError> {
        let mut nowhere = io::sink();
        let mut out = Hashing { out: &mut nowhere, digest: Sha256::new(), written: 0 };
        self.join(id, recipe, limits::COPIED_BYTES, 0, &mut out)?;
        match ObjectId::from_digest(out.digest.finalize().into()) == *id {
            true => Ok(()),
            false => Err(wrong_hash(id)),
        }
    }

    /// Whether an index lists an object whose name begins so.
    pub(super) fn lists(&self, prefix: Prefix) -> Result<bool, ArchiveError> {
        self.finder.contains(prefix)
    }

    /// Where an object whose name begins so lies, if that can be told at once.
    pub(super) fn place(&self, prefix: Prefix) -> Option<Location> {
        self.finder.find(prefix).ok()?.at.first().copied()
    }

    /// The table that it was made of, or had to make.
    pub(super) fn table(&self) -> Option<&ObjectTable> {
        self.finder.made_table()
    }

    pub(super) fn into_table(self) -> Option<ObjectTable> {
        self.finder.into_table()
    }

    /// Tries the places of an object until one gives it; the error is that of the first.
    fn first_sound<T>(
        &self,
        id: &ObjectId,
        mut read: impl FnMut(Location) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        let mut first = None;
        let mut places = self.finder.find(prefix(id))?;
        loop {
            for at in places.at {
                match read(at) {
                    Ok(found) => return Ok(found),
                    Err(error) => drop(first.get_or_insert(error)),
                }
            }
            if places.sure {
                return Err(first.unwrap_or(ArchiveError::NoObject { id: *id }));
            }
            first = None;
            places = self.finder.find_surely(prefix(id))?;
        }
    }

    /// The bytes of the object at one place, not yet compared with its name.
    fn read_at(&self, id: &ObjectId, at: Location, limit: u64, depth: usize) -> Result<Vec<u8>, ArchiveError> {
        let entry = self.entry(id, at)?;
        match entry.name {
            EntryName::Object(_) => self.held(id, &entry.content, limit),
            EntryName::Recipe(_) => {
                let recipe = self.held(id, &entry.content, limits::WHOLE_ITEM_BYTES)?;
                let mut bytes = Vec::new();
                self.join(id, &recipe, limit, depth, &mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// Joins a message. What it is joined from is not hashed: the message is, by the caller.
    fn join(
        &self,
        id: &ObjectId,
        recipe: &[u8],
        limit: u64,
        depth: usize,
        out: &mut dyn Write,
    ) -> Result<(), ArchiveError> {
        let damaged = |what: String| ArchiveError::DamagedObject { id: *id, what };
        if depth >= limits::JOIN_DEPTH {
            return Err(damaged(format!("it is a recipe in {depth} others")));
        }
        let mut fetch = |part: &ObjectId, limit: u64| {
            self.first_sound(part, |at| self.read_at(part, at, limit.min(limits::WHOLE_ITEM_BYTES), depth + 1))
        };
        match message::join(recipe, limit, &mut fetch, out) {
            Ok(_) => Ok(()),
            Err(JoinError::Part(error)) => Err(error),
            Err(JoinError::Write(error)) => Err(write_error(id)(error)),
            Err(JoinError::Format(error)) => Err(damaged(error.to_string())),
        }
    }

    /// A content in memory, if it is no larger than `limit`.
    fn held(&self, id: &ObjectId, content: &Body, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let bounded = |found: u64, path: PathBuf| match found <= limit {
            true => Ok(()),
            false => Err(format_error(&path)(FormatError::OverBound { what: "object", found, bound: limit })),
        };
        match content {
            Body::Held(tar, range) => {
                bounded(range.len() as u64, self.dir.clone())?;
                Ok(tar.get(range.clone()).unwrap_or_default().to_vec())
            }
            Body::Streamed { file, row, pack, size } => {
                bounded(*size, self.dir.join(pack.pack_path()))?;
                let mut bytes =
                    Vec::with_capacity(usize::try_from(*size.min(&limits::WHOLE_ITEM_BYTES)).unwrap_or_default());
                stream(file.as_ref(), row, *pack, *size, &mut bytes, id)?;
                Ok(bytes)
            }
        }
    }

    /// The entry at one place, if it is really that of `id`.
    fn entry(&self, id: &ObjectId, at: Location) -> Result<Entry, ArchiveError> {
        let damaged = |what: String| ArchiveError::DamagedObject { id: *id, what };
        let no_place = || damaged("the index has no such segment".to_owned());
        let pack = self.finder.pack(at.pack).ok_or_else(no_place)?;
        let row = self.finder.segment(at).ok_or_else(no_place)?;
        let named = |text: &str| {
            EntryName::parse(text)
                .filter(|name| name.id() == id)
                .ok_or_else(|| damaged(format!("{pack} has something else where its index says it lies")))
        };
        if row.uncompressed > limits::STREAMED_OBJECT_BYTES as u64 + 2 * BLOCK as u64 {
            let file = self.pack_file(at.pack, pack)?;
            let (name, size) = first_header(file.as_ref(), &row, pack)?;
            if at.block != 0 || tar_entry::entry_bytes(size) != row.uncompressed {
                return Err(damaged(format!("{pack} has it in a segment with others that is too large")));
            }
            return Ok(Entry { name: named(&name)?, content: Body::Streamed { file, row, pack, size } });
        }
        if let Some((name, content)) =
            self.spool.as_ref().and_then(|spool| spool.entry((at.pack, at.segment), at.block))
        {
            let whole = 0..content.len();
            return Ok(Entry { name: named(&name)?, content: Body::Held(Arc::new(content), whole) });
        }
        let tar = self.segment(at, pack, &row)?;
        let (text, content) =
            tar_entry::entry_at(&tar, usize::from(at.block) * BLOCK).map_err(|error| damaged(error.to_string()))?;
        let name = named(text)?;
        let begin = (usize::from(at.block) + 1) * BLOCK;
        let range = begin..begin + content.len();
        Ok(Entry { name, content: Body::Held(tar, range) })
    }

    /// An inflated segment of bounded size, from the cache or the pack.
    fn segment(&self, at: Location, pack: PackName, row: &SegmentRow) -> Result<Arc<Vec<u8>>, ArchiveError> {
        let key = (at.pack, at.segment);
        // A thread that panicked with the lock held has left a cache that is whole: every change to it is.
        if let Some(tar) = self.cache.lock().unwrap_or_else(PoisonError::into_inner).segment(key) {
            return Ok(tar);
        }
        let file = self.pack_file(at.pack, pack)?;
        let tar = Arc::new(inflate(file.as_ref(), row, pack)?);
        if self.spool.as_ref().is_some_and(|spool| spool.keep(key, &tar)) {
            return Ok(tar);
        }
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).keep_segment(key, &tar);
        Ok(tar)
    }

    fn pack_file(&self, number: usize, pack: PackName) -> Result<Arc<dyn FileRead>, ArchiveError> {
        if let Some(file) = self.cache.lock().unwrap_or_else(PoisonError::into_inner).pack(number) {
            return Ok(file);
        }
        let path = self.dir.join(pack.pack_path());
        let opened = self.fs.open(&path).map_err(io_error("open", &path));
        let file: Arc<dyn FileRead> = match opened {
            // What begins an encrypted pack is damaged: that costs the pack's objects, as any other damage does.
            Err(error @ ArchiveError::Sealed { .. }) if error.is_damage() => {
                return Err(ArchiveError::DamagedSegment { pack: pack.to_string(), offset: 0 });
            }
            opened => opened?.into(),
        };
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).keep_pack(number, &file);
        Ok(file)
    }
}

/// Inflates a segment that may be held.
pub(super) fn inflate(file: &dyn FileRead, row: &SegmentRow, pack: PackName) -> Result<Vec<u8>, ArchiveError> {
    let damaged = || ArchiveError::DamagedSegment { pack: pack.to_string(), offset: row.offset };
    if row.uncompressed > limits::WHOLE_SEGMENT_BYTES {
        return Err(damaged());
    }
    // Stored blocks add a few bytes for every 64 KiB; what is much longer than what it holds is none of ours.
    let bytes = usize::try_from(row.compressed).map_err(|_| damaged())?;
    if row.compressed > row.uncompressed + row.uncompressed / 64 + 64 * limits::KIB {
        return Err(damaged());
    }
    let member = read_exact_at(file, row.offset, bytes).map_err(|_| damaged())?;
    let mut tar = Vec::new();
    segment::decode(&member, row.uncompressed, &mut tar).map_err(|_| damaged())?;
    Ok(tar)
}

/// Name and size of the first entry of a segment.
pub(super) fn first_header(
    file: &dyn FileRead,
    row: &SegmentRow,
    pack: PackName,
) -> Result<(String, u64), ArchiveError> {
    let damaged = || ArchiveError::DamagedSegment { pack: pack.to_string(), offset: row.offset };
    let mut block = [0; BLOCK];
    member(file, row).read_exact(&mut block).map_err(|_| damaged())?;
    let (name, size) = tar_entry::parse_header(&block, 0).map_err(|_| damaged())?;
    Ok((name.to_owned(), size))
}

fn member<'f>(file: &'f dyn FileRead, row: &SegmentRow) -> flate2::bufread::GzDecoder<Cursor<'f>> {
    flate2::bufread::GzDecoder::new(Cursor::new(file, row.offset, row.offset.saturating_add(row.compressed)))
}

/// Writes out the only entry of a segment, `size` bytes, and reads to the segment's end so that its checksum counts.
pub(super) fn stream(
    file: &dyn FileRead,
    row: &SegmentRow,
    pack: PackName,
    size: u64,
    out: &mut dyn Write,
    id: &ObjectId,
) -> Result<(), ArchiveError> {
    let damaged = || ArchiveError::DamagedSegment { pack: pack.to_string(), offset: row.offset };
    let mut decoder = member(file, row);
    decoder.read_exact(&mut [0; BLOCK]).map_err(|_| damaged())?;
    let mut chunk = vec![0; 128 * 1024];
    let mut left = size;
    while left > 0 {
        let most = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = decoder.read(chunk.get_mut(..most).unwrap_or_default()).map_err(|_| damaged())?;
        if read == 0 {
            return Err(damaged());
        }
        out.write_all(chunk.get(..read).unwrap_or_default()).map_err(write_error(id))?;
        left -= read as u64;
    }
    let rest = io::copy(&mut decoder.take(BLOCK as u64 + 1), &mut io::sink()).map_err(|_| damaged())?;
    if rest == tar_entry::padding(size) as u64 { Ok(()) } else { Err(damaged()) }
}

fn wrong_hash(id: &ObjectId) -> ArchiveError {
    ArchiveError::DamagedObject { id: *id, what: "its bytes have another hash".to_owned() }
}

fn write_error(id: &ObjectId) -> impl FnOnce(io::Error) -> ArchiveError {
    let path = PathBuf::from(format!("the copy of object {id}"));
    move |source| ArchiveError::Io { action: "write", path, source }
}

/// Passes bytes on, hashing and counting them.
struct Hashing<'o> {
    out: &'o mut dyn Write,
    digest: Sha256,
    written: u64,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Recipients;
    use crate::fs::{RealFs, Secrecy};

    #[test]
    fn inflated_segments_of_an_encrypted_archive_are_sealed() {
        let dir = tempfile::tempdir().unwrap();
        let key = "age1cfhphk6k7l7wrsya3z43un6rd7v63u68rnymamm840rzwz3k0d4slggmpw";
        let (fs, id) = (Arc::new(RealFs), || "old".parse().unwrap());
        let secrecy = |archive: Archive| archive.all_objects().unwrap().spool.unwrap().secrecy;
        let (path, recipients) = (dir.path().join("sealed"), Recipients::parse([key]).unwrap());
        let sealed = Archive::create_encrypted(fs.clone(), &path, id(), 0, &recipients, None);
        assert_eq!(secrecy(sealed.unwrap()), Secrecy::Sealed);
        assert_eq!(secrecy(Archive::create(fs, &dir.path().join("plain"), id(), 0).unwrap()), Secrecy::Plain);
    }
}
