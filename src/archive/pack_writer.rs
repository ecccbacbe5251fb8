//! Adds objects: collects them into segments, has those compressed, and publishes packs with their indexes.
//!
//! Promises: the order of adding alone decides the bytes, whatever the threads do; no object is stored twice; nothing
//! shows but packs that are complete, and those are harmless without a snapshot. Called by `verbs::export` only.
//! Format: format-spec/pack.md.

use super::compressors::{Compressors, Encode, Sealed};
use super::layout::format_error;
use super::lock::ArchiveLock;
use super::open_pack::OpenPack;
use super::table::known::KnownObjects;
use super::{Archive, ArchiveError};
use crate::format::pack_index::{Prefix, prefix};
use crate::format::segment::{Encoder, SegmentBuilder};
use crate::format::tar_entry::EntryName;
use crate::limits;
use crate::model::id::ObjectId;
use std::collections::HashSet;
use std::io::Read;

/// Which segment an object is collected into, so that like lies beside like in one gzip window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Recipes of messages, with their traces.
    Recipe,
    Skeleton,
    /// Parts of messages, calendar items, scripts …
    Part,
}

/// What a writer added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Added {
    pub objects: u64,
    /// Bytes of the objects as they were added, recipes included.
    pub object_bytes: u64,
    /// Bytes of the packs that were published.
    pub pack_bytes: u64,
}

/// Adds objects to an archive. Nothing shows before `finish`, except packs that are complete; those are harmless. After
/// an error of the archive itself every call is an error.
pub struct PackWriter<'a> {
    archive: &'a Archive,
    /// What published packs hold; opened when it is first asked for.
    known: KnownObjects,
    /// What was added since the last pack was published.
    fresh: HashSet<Prefix>,
    recipes: SegmentBuilder,
    skeletons: SegmentBuilder,
    parts: SegmentBuilder,
    compressors: Compressors,
    pack: Option<OpenPack>,
    added: Added,
    failed: bool,
}

impl Archive {
    /// `workers` threads compress.
    pub fn pack_writer(&self, lock: &ArchiveLock, workers: usize) -> Result<PackWriter<'_>, ArchiveError> {
        Ok(self.pack_writer_with(lock, workers, Encoder::encode))
    }

    fn pack_writer_with(&self, _lock: &ArchiveLock, workers: usize, encode: Encode) -> PackWriter<'_> {
        PackWriter {
            archive: self,
            known: KnownObjects::default(),
            fresh: HashSet::new(),
            recipes: SegmentBuilder::default(),
            skeletons: SegmentBuilder::default(),
            parts: SegmentBuilder::default(),
            compressors: Compressors::start(workers, encode),
            pack: None,
            added: Added::default(),
            failed: false,
        }
    }
}

impl PackWriter<'_> {
    /// Whether the archive, or this writer, holds the object already. The first call reads all indexes, or opens the table of an earlier pass.
    pub fn contains(&mut self, id: &ObjectId) -> Result<bool, ArchiveError> {
        let prefix = prefix(id);
        Ok(self.fresh.contains(&prefix) || self.known.contains(self.archive, prefix)?)
    }

    /// Adds bytes whose SHA-256 is `id`; does nothing when it is there already.
    pub fn add(&mut self, id: ObjectId, class: Class, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.add_entry(EntryName::Object(id), class, bytes)
    }

    /// Adds the recipe from which the message `id` is joined; does nothing when it is there already.
    pub fn add_recipe(&mut self, id: ObjectId, recipe: &[u8]) -> Result<(), ArchiveError> {
        self.add_entry(EntryName::Recipe(id), Class::Recipe, recipe)
    }

    /// Adds `size` bytes that are too many to be held; does nothing when they are there already. Bytes that cannot be
    /// read or are not what `id` says are a [`ArchiveError::DamagedObject`], after which the writer is as it was.
    pub fn add_stream(&mut self, id: ObjectId, size: u64, bytes: &mut dyn Read) -> Result<(), ArchiveError> {
        self.guarded(|writer| {
            if !writer.contains(&id)? {
                let spooled = writer.archive.spool(id, size, bytes)?;
                writer.drain()?;
                writer.with_pack(|pack, archive| pack.append_spooled(archive, prefix(&id), &spooled))?;
                writer.count(&id, size);
            }
            Ok(())
        })
    }

    /// Publishes the last pack and its index.
    pub fn finish(mut self) -> Result<Added, ArchiveError> {
        self.guarded(|writer| {
            for builder in [&mut writer.recipes, &mut writer.skeletons, &mut writer.parts].map(std::mem::take) {
                writer.seal(builder)?;
            }
            writer.drain()?;
            writer.publish()?;
            std::mem::take(&mut writer.known).finish(writer.archive)?;
            Ok(writer.added)
        })
    }

    fn add_entry(&mut self, name: EntryName, class: Class, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.guarded(|writer| {
            if writer.contains(name.id())? {
                return Ok(());
            }
            if bytes.len() > limits::STREAMED_OBJECT_BYTES && matches!(name, EntryName::Object(_)) {
                return writer.add_stream(*name.id(), bytes.len() as u64, &mut &*bytes);
            }
            let malformed = |source| format_error(writer.archive.dir())(source);
            if bytes.len() >= limits::OWN_SEGMENT_BYTES {
                let mut own = SegmentBuilder::default();
                own.push(name, bytes).map_err(malformed)?;
                writer.seal(own)?;
            } else {
                let builder = match class {
                    Class::Recipe => &mut writer.recipes,
                    Class::Skeleton => &mut writer.skeletons,
                    Class::Part => &mut writer.parts,
                };
                builder.push(name, bytes).map_err(malformed)?;
                if builder.len() >= limits::SEGMENT_BYTES {
                    let full = std::mem::take(builder);
                    writer.seal(full)?;
                }
            }
            writer.count(name.id(), bytes.len() as u64);
            Ok(())
        })
    }

    /// Runs a step unless an earlier one failed. What is wrong with one object is no failure of the writer.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, ArchiveError>) -> Result<T, ArchiveError> {
        if self.failed {
            return Err(ArchiveError::Stopped);
        }
        step(self).inspect_err(|error| self.failed |= !matches!(error, ArchiveError::DamagedObject { .. }))
    }

    fn count(&mut self, id: &ObjectId, bytes: u64) {
        self.fresh.insert(prefix(id));
        self.added.objects += 1;
        self.added.object_bytes += bytes;
    }

    /// Sends a segment to be compressed; makes room first by appending those that are done.
    fn seal(&mut self, builder: SegmentBuilder) -> Result<(), ArchiveError> {
        if builder.is_empty() {
            return Ok(());
        }
        while self.compressors.is_full() {
            self.append_oldest()?;
        }
        let (bytes, entries) = builder.into_parts();
        self.compressors.push(Sealed { bytes, entries })
    }

    fn drain(&mut self) -> Result<(), ArchiveError> {
        while self.append_oldest()? {}
        Ok(())
    }

    /// Appends the oldest segment under way; `false` when there is none.
    fn append_oldest(&mut self) -> Result<bool, ArchiveError> {
        let Some(segment) = self.compressors.take()? else { return Ok(false) };
        self.with_pack(|pack, _| pack.append(segment))?;
        Ok(true)
    }

    /// Appends to the pack under way, made if need be, and publishes it when that has filled it.
    fn with_pack(
        &mut self,
        append: impl FnOnce(&mut OpenPack, &Archive) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let mut pack = match self.pack.take() {
            Some(pack) => pack,
            None => OpenPack::create(self.archive)?,
        };
        append(&mut pack, self.archive)?;
        let full = pack.is_full();
        self.pack = Some(pack);
        if full { self.publish() } else { Ok(()) }
    }

    fn publish(&mut self) -> Result<(), ArchiveError> {
        let Some(pack) = self.pack.take() else { return Ok(()) };
        let (name, index) = pack.publish(self.archive)?;
        self.added.pack_bytes += index.pack_bytes();
        for entry in index.entries() {
            self.fresh.remove(&entry.prefix);
        }
        self.known.push(self.archive, name, index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::FormatError;
    use crate::fs::RealFs;
    use std::sync::Arc;

    fn flips_a_byte(encoder: &mut Encoder, bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
        let mut other = bytes.to_vec();
        if let Some(byte) = other.last_mut() {
            *byte ^= 1;
        }
        encoder.encode(&other)
    }

    fn truncates(encoder: &mut Encoder, bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
        let mut member = encoder.encode(bytes)?;
        member.truncate(member.len() - 9);
        Ok(member)
    }

    #[test]
    fn a_faulty_compressor_is_caught_before_anything_shows() {
        for faulty in [flips_a_byte as Encode, truncates] {
            let dir = tempfile::tempdir().unwrap();
            let archive = Archive::create(Arc::new(RealFs), dir.path(), "test".parse().unwrap(), 0).unwrap();
            let lock = archive.lock("a test", 0).unwrap();
            let mut writer = archive.pack_writer_with(&lock, 2, faulty);
            for at in 0..3000u32 {
                let bytes = at.to_le_bytes().repeat(200);
                if writer.add(ObjectId::of(&bytes), Class::Part, &bytes).is_err() {
                    break;
                }
            }
            let error = writer.finish().unwrap_err();
            assert!(matches!(error, ArchiveError::FaultyCompressor { .. } | ArchiveError::Stopped), "{error}");
            assert_eq!(archive.packs().unwrap().names, []);
        }
    }
}
