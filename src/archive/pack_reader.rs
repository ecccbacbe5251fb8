//! Not written yet; the signatures that others build on.

use super::{Archive, ArchiveError};
use crate::model::id::ObjectId;
use std::io::Write;

/// Reads objects. Several threads may share one.
pub struct ObjectReader {}

impl Archive {
    pub fn objects(&self) -> Result<ObjectReader, ArchiveError> {
        todo!()
    }
}

impl ObjectReader {
    pub fn contains(&self, _id: &ObjectId) -> Result<bool, ArchiveError> {
        todo!()
    }

    /// The object's bytes, joined if it is a message that was taken apart, and checked against its name. More than
    /// `limit` bytes are refused.
    pub fn read(&self, _id: &ObjectId, _limit: u64) -> Result<Vec<u8>, ArchiveError> {
        todo!()
    }

    /// Writes the object out without holding it whole, and returns its size. What was written is only good once this
    /// returns `Ok`: the name is checked at the end.
    pub fn copy(&self, _id: &ObjectId, _out: &mut dyn Write) -> Result<u64, ArchiveError> {
        todo!()
    }
}
