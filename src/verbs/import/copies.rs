//! Copies of one message in several mailboxes: the second is read from where the first was delivered.
//!
//! Three of four deliveries on a real site are copies that differ in their traces only. Joining each from the archive
//! inflates two or three segments of 256 KiB for one message; a file that was written a moment ago costs one read of its
//! own size. Promises nothing about the target: who takes bytes from here compares the hash of the whole message, and
//! reads the archive where it is another. Bounded; the oldest places are forgotten first.

use super::ImportError;
use super::account::Job;
use crate::limits;
use crate::model::id::ObjectId;
use crate::model::mailbox::{Flags, FolderKey};
use crate::site::Target;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Where the last [`limits::COPIES_REMEMBERED`] skeletons were delivered.
#[derive(Default)]
pub struct Copies(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// By the first eight bytes of the skeleton's name: another one with the same costs a read, and its hash shows it.
    places: HashMap<u64, Copy>,
    /// In the order of coming.
    order: VecDeque<u64>,
}

/// One message that was delivered.
#[derive(Clone)]
pub struct Copy {
    /// Its account on the target, and its folder.
    pub folder: Arc<(String, FolderKey)>,
    pub name: Box<str>,
    pub flags: Flags,
    /// Bytes of its trace.
    pub trace_bytes: u32,
}

/// What an item is made of, where the archive has it in two: noted before its delivery, of use after it.
pub struct Made {
    pub skeleton: ObjectId,
    pub trace_bytes: u32,
}

impl Made {
    pub fn of(skeleton: ObjectId, trace: &[u8]) -> Option<Self> {
        Some(Self { skeleton, trace_bytes: u32::try_from(trace.len()).ok()? })
    }
}

impl Copies {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a message that has been delivered.
    pub fn remember(&self, skeleton: &ObjectId, copy: Copy) {
        let skeleton = short(skeleton);
        let mut known = self.known();
        if known.places.insert(skeleton, copy).is_none() {
            known.order.push_back(skeleton);
        }
        if known.order.len() > limits::COPIES_REMEMBERED
            && let Some(oldest) = known.order.pop_front()
        {
            known.places.remove(&oldest);
        }
    }

    /// The message `id`, which has this trace above this skeleton, if a copy of it lies on the target as it was
    /// delivered.
    pub fn find(
        &self,
        target: &dyn Target,
        id: &ObjectId,
        skeleton: &ObjectId,
        trace: &[u8],
    ) -> Result<Option<Vec<u8>>, ImportError> {
        let skeleton = short(skeleton);
        let Some(copy) = self.known().places.get(&skeleton).cloned() else { return Ok(None) };
        let (account, key) = copy.folder.as_ref();
        let read = target.delivered(account, key, &copy.name, copy.flags, limits::WHOLE_ITEM_BYTES)?;
        let Some(mut bytes) = read else {
            self.known().places.remove(&skeleton);
            return Ok(None);
        };
        let above = usize::try_from(copy.trace_bytes).unwrap_or(usize::MAX).min(bytes.len());
        bytes.splice(..above, trace.iter().copied());
        Ok(Some(bytes).filter(|bytes| ObjectId::of(bytes) == *id))
    }
}

fn short(skeleton: &ObjectId) -> u64 {
    skeleton.as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

/// The folder of an account on the target, to be shared by all copies in it.
pub fn folder_of(job: &Job, key: &FolderKey) -> Arc<(String, FolderKey)> {
    Arc::new((job.target.clone(), key.clone()))
}
