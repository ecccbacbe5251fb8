//! Not written yet; the signatures that others build on.

use super::lock::ArchiveLock;
use super::{Archive, ArchiveError};
use crate::model::id::ObjectId;
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
    pub object_bytes: u64,
    pub pack_bytes: u64,
}

/// Adds objects to an archive. Nothing shows before `finish`, except packs that are complete; those are harmless.
pub struct PackWriter<'a> {
    _archive: &'a Archive,
}

impl Archive {
    /// `workers` threads compress.
    pub fn pack_writer(&self, _lock: &ArchiveLock, _workers: usize) -> Result<PackWriter<'_>, ArchiveError> {
        todo!()
    }
}

impl PackWriter<'_> {
    /// Whether the archive, or this writer, holds the object already.
    pub fn contains(&mut self, _id: &ObjectId) -> Result<bool, ArchiveError> {
        todo!()
    }

    /// Adds bytes whose SHA-256 is `id`; does nothing when it is there already.
    pub fn add(&mut self, _id: ObjectId, _class: Class, _bytes: &[u8]) -> Result<(), ArchiveError> {
        todo!()
    }

    /// Adds the recipe from which the message `id` is joined; does nothing when it is there already.
    pub fn add_recipe(&mut self, _id: ObjectId, _recipe: &[u8]) -> Result<(), ArchiveError> {
        todo!()
    }

    /// Adds `size` bytes that are too many to be held; fails when they are not what `id` says.
    pub fn add_stream(&mut self, _id: ObjectId, _size: u64, _bytes: &mut dyn Read) -> Result<(), ArchiveError> {
        todo!()
    }

    /// Publishes the last pack and the indexes.
    pub fn finish(self) -> Result<Added, ArchiveError> {
        todo!()
    }
}
