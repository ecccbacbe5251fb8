//! Adds objects: collects them into segments, has those compressed, and publishes packs with their indexes.
//!
//! Promises: the order of adding alone decides the bytes, whatever the threads do; no object is stored twice; nothing
//! shows but packs that are complete, and those are harmless without a snapshot. Called by `verbs::export` only.
//! Format: format-spec/pack.md.

use super::compressors::{Compressors, Encode, Sealed};
use super::lag::Lag;
use super::layout::format_error;
use super::lock::ArchiveLock;
use super::open_pack::OpenPack;
use super::publisher::Publisher;
use super::table::known::KnownObjects;
use super::window::Window;
use super::{Archive, ArchiveError};
use crate::format::pack_index::{Prefix, prefix};
use crate::format::segment::{Effort, Encoder, SegmentBuilder};
use crate::format::tar_entry::EntryName;
use crate::limits;
use crate::message::Likeness;
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

impl Class {
    fn effort(self) -> Effort {
        match self {
            Self::Recipe => Effort::Most,
            Self::Skeleton => Effort::Least,
            Self::Part => Effort::Usual,
        }
    }
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
    recipes: Ordered,
    skeletons: Ordered,
    parts: Ordered,
    compressors: Compressors,
    pack: Option<OpenPack>,
    lag: Lag,
    publisher: Publisher,
    /// A pack of this size is published; [`limits::PACK_BYTES`], but for the test.
    pack_bytes: u64,
    added: Added,
    failed: bool,
}

/// A segment under way, and the window before it.
#[derive(Default)]
struct Ordered {
    window: Window,
    segment: SegmentBuilder,
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
            recipes: Ordered::default(),
            skeletons: Ordered::default(),
            parts: Ordered::default(),
            compressors: Compressors::start(workers, None, encode),
            pack: None,
            lag: Lag::default(),
            publisher: Publisher::default(),
            pack_bytes: limits::PACK_BYTES,
            added: Added::default(),
            failed: false,
        }
    }
}

impl PackWriter<'_> {
    /// Whether the archive, or this writer, holds the object already. The first call reads all indexes, or opens the
    /// table of an earlier pass.
    pub fn contains(&mut self, id: &ObjectId) -> Result<bool, ArchiveError> {
        let prefix = prefix(id);
        Ok(self.fresh.contains(&prefix) || self.known.contains(self.archive, prefix)?)
    }

    /// Adds bytes whose SHA-256 is `id`; does nothing when it is there already.
    pub fn add(&mut self, id: ObjectId, class: Class, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.add_like(id, class, Likeness::default(), bytes)
    }

    /// Adds such bytes of a message of this likeness.
    pub fn add_like(
        &mut self,
        id: ObjectId,
        class: Class,
        likeness: Likeness,
        bytes: &[u8],
    ) -> Result<(), ArchiveError> {
        self.add_entry(EntryName::Object(id), class, likeness, bytes)
    }

    /// Adds the recipe from which the message `id` is joined, after what it is joined from; does nothing when it is there
    /// already.
    pub fn add_recipe(&mut self, id: ObjectId, likeness: Likeness, recipe: &[u8]) -> Result<(), ArchiveError> {
        self.add_entry(EntryName::Recipe(id), Class::Recipe, likeness, recipe)
    }

    /// Adds `size` bytes that are too many to be held; does nothing when they are there already. Bytes that cannot be
    /// read or are not what `id` says are a [`ArchiveError::DamagedObject`], after which the writer is as it was.
    pub fn add_stream(&mut self, id: ObjectId, size: u64, bytes: &mut dyn Read) -> Result<(), ArchiveError> {
        self.guarded(|writer| {
            if !writer.contains(&id)? {
                let spooled = writer.archive.spool(id, size, bytes)?;
                writer.drain()?;
                writer.with_pack(|pack, archive| pack.append_spooled(archive, prefix(&id), &spooled))?;
                writer.lag = Lag::with(writer.appended());
                writer.count(&id, size);
                writer.publish_if_full()?;
            }
            Ok(())
        })
    }

    /// Publishes the last pack and its index.
    pub fn finish(mut self) -> Result<Added, ArchiveError> {
        self.guarded(|writer| {
            writer.settle()?;
            writer.publish()?;
            writer.await_published()?;
            std::mem::take(&mut writer.known).finish(writer.archive)?;
            Ok(writer.added)
        })
    }

    fn add_entry(
        &mut self,
        name: EntryName,
        class: Class,
        likeness: Likeness,
        bytes: &[u8],
    ) -> Result<(), ArchiveError> {
        self.guarded(|writer| {
            if writer.contains(name.id())? {
                return Ok(());
            }
            if bytes.len() > limits::STREAMED_OBJECT_BYTES && matches!(name, EntryName::Object(_)) {
                return writer.add_stream(*name.id(), bytes.len() as u64, &mut &*bytes);
            }
            if bytes.len() >= limits::OWN_SEGMENT_BYTES {
                let mut own = SegmentBuilder::default();
                own.push(name, bytes).map_err(format_error(writer.archive.dir()))?;
                writer.seal(own, Effort::Least)?;
            } else {
                writer.wait(class, name, likeness, bytes)?;
            }
            writer.count(name.id(), bytes.len() as u64);
            writer.publish_if_full()
        })
    }

    /// Puts a small object into its window.
    fn wait(&mut self, class: Class, name: EntryName, likeness: Likeness, bytes: &[u8]) -> Result<(), ArchiveError> {
        let window = &mut self.ordered(class).window;
        window.push(name, likeness, bytes);
        if window.is_full() { self.empty(class) } else { Ok(()) }
    }

    /// Moves a window's objects into segments, in their order.
    fn empty(&mut self, class: Class) -> Result<(), ArchiveError> {
        let mut window = std::mem::take(&mut self.ordered(class).window);
        for (name, bytes) in window.sorted() {
            let segment = &mut self.ordered(class).segment;
            let pushed = segment.push(name, bytes);
            let full = (segment.len() >= limits::SEGMENT_BYTES).then(|| std::mem::take(segment));
            pushed.map_err(format_error(self.archive.dir()))?;
            if let Some(full) = full {
                self.seal(full, class.effort())?;
            }
        }
        window.clear();
        self.ordered(class).window = window;
        Ok(())
    }

    /// Brings everything that was added into the pack under way.
    fn settle(&mut self) -> Result<(), ArchiveError> {
        for class in [Class::Recipe, Class::Skeleton, Class::Part] {
            self.empty(class)?;
            let rest = std::mem::take(&mut self.ordered(class).segment);
            self.seal(rest, class.effort())?;
        }
        self.drain()
    }

    fn ordered(&mut self, class: Class) -> &mut Ordered {
        match class {
            Class::Recipe => &mut self.recipes,
            Class::Skeleton => &mut self.skeletons,
            Class::Part => &mut self.parts,
        }
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
    fn seal(&mut self, builder: SegmentBuilder, effort: Effort) -> Result<(), ArchiveError> {
        if builder.is_empty() {
            return Ok(());
        }
        while self.compressors.is_full() {
            self.append_oldest()?;
        }
        let (bytes, entries) = builder.into_parts();
        self.lag.push(bytes.len());
        self.compressors.push(Sealed { bytes, entries, effort })
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

    /// Segments of the pack under way.
    fn appended(&self) -> usize {
        self.pack.as_ref().map_or(0, OpenPack::len)
    }

    /// Appends to the pack under way, made if need be.
    fn with_pack(
        &mut self,
        append: impl FnOnce(&mut OpenPack, &Archive) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let pack = match &mut self.pack {
            Some(pack) => pack,
            None => self.pack.insert(OpenPack::create(self.archive)?),
        };
        append(pack, self.archive)
    }

    /// Publishes a pack that is full. What was added before goes with it: were a recipe visible while its skeleton still
    /// waits, a pass that is killed then would leave a message that looks stored, and that the next pass would pass over.
    fn publish_if_full(&mut self) -> Result<(), ArchiveError> {
        while self.appended() < self.lag.counted() && self.append_oldest()? {}
        if !self.pack.as_ref().is_some_and(|pack| pack.is_full_with(self.lag.counted(), self.pack_bytes)) {
            return Ok(());
        }
        self.settle()?;
        self.publish()
    }

    /// Has the pack under way published, after the one before it.
    fn publish(&mut self) -> Result<(), ArchiveError> {
        self.await_published()?;
        self.lag = Lag::default();
        match self.pack.take() {
            Some(pack) => self.publisher.start(pack, self.archive),
            None => Ok(()),
        }
    }

    /// Waits for the pack that is being published.
    fn await_published(&mut self) -> Result<(), ArchiveError> {
        let Some((name, index)) = self.publisher.wait()? else { return Ok(()) };
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

    fn flips_a_byte(encoder: &mut Encoder, bytes: &[u8], effort: Effort) -> Result<Vec<u8>, FormatError> {
        let mut other = bytes.to_vec();
        if let Some(byte) = other.last_mut() {
            *byte ^= 1;
        }
        encoder.encode(&other, effort)
    }

    fn truncates(encoder: &mut Encoder, bytes: &[u8], effort: Effort) -> Result<Vec<u8>, FormatError> {
        let mut member = encoder.encode(bytes, effort)?;
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

    /// Bytes of a message's kind that do not compress.
    fn noise(seed: u64) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..1000).map(|_| next()).collect()
    }

    #[test]
    fn a_pass_that_is_killed_leaves_no_recipe_without_what_it_is_joined_from() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::create(Arc::new(RealFs), dir.path(), "test".parse().unwrap(), 0).unwrap();
        let lock = archive.lock("a test", 0).unwrap();
        let mut writer = archive.pack_writer(&lock, 2).unwrap();
        writer.pack_bytes = 400_000;
        let message = |at: u64| {
            let (part, skeleton) = (noise(3 * at), noise(3 * at + 1));
            // A long trace, so that recipes fill segments sooner than what they refer to.
            (part, skeleton, noise(3 * at + 2).repeat(3))
        };
        let name = |recipe: &[u8]| ObjectId::of(&[recipe, b"joined"].concat());
        for at in 0..6000 {
            let (part, skeleton, recipe) = message(at);
            writer.add(ObjectId::of(&part), Class::Part, &part).unwrap();
            writer.add(ObjectId::of(&skeleton), Class::Skeleton, &skeleton).unwrap();
            writer.add_recipe(name(&recipe), Likeness::default(), &recipe).unwrap();
        }
        drop(writer); // as a kill would: what is not published is lost
        assert!(archive.packs().unwrap().names.len() > 1);
        let mut next = archive.pack_writer(&lock, 1).unwrap();
        let (mut whole, mut lost) = (0, 0);
        for at in 0..6000 {
            let (part, skeleton, recipe) = message(at);
            if next.contains(&name(&recipe)).unwrap() {
                assert!(next.contains(&ObjectId::of(&part)).unwrap(), "the part of message {at}");
                assert!(next.contains(&ObjectId::of(&skeleton)).unwrap(), "the skeleton of message {at}");
                whole += 1;
            } else {
                lost += 1;
            }
        }
        assert!(whole > 0 && lost > 0, "{whole} whole, {lost} lost");
    }
}
