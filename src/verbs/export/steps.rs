//! The steps of one account, made as they are taken: lines and items wait on scratch, and are unpacked one by one.

use super::ExportError;
use super::scan::{Begin, End, Read, Step};
use crate::format::manifest::ManifestLine;
use crate::model::id::{FolderId, ItemId};
use crate::model::mailbox::FolderKey;
use crate::shelf::{Cursor, Scratch, Shelf};
use crate::site::{FoundItem, FoundItems, Walk};
use std::sync::Arc;

/// Lines of a manifest that wait for those after them; every message of a folder may have changed.
pub(super) struct Lines {
    packed: Shelf,
    next: Cursor,
}

impl Lines {
    pub fn new(scratch: &Scratch) -> Self {
        Self { packed: Shelf::new(scratch), next: Cursor::default() }
    }

    pub fn push(&mut self, line: &ManifestLine) -> Result<(), ExportError> {
        // A line of our own is always text.
        let json = serde_json::to_vec(line).map_err(|_| ExportError::Broken)?;
        self.packed.push(|into| into.fixed(&json));
        Ok(())
    }

    fn next(&mut self) -> Option<ManifestLine> {
        self.next.next(&self.packed, |from| serde_json::from_slice(from.rest()).ok())
    }
}

/// Items of one folder whose content is to be read.
pub(super) struct ToRead {
    pub account: Arc<str>,
    pub key: Arc<FolderKey>,
    pub folder: FolderId,
    listed: FoundItems,
    /// Which item of the archive each of them is; empty where none is any.
    known: Vec<ItemId>,
    walk: Walk,
    taken: usize,
}

impl ToRead {
    pub fn new(account: &Arc<str>, key: &Arc<FolderKey>, folder: FolderId, scratch: &Scratch) -> Self {
        let (account, key, listed) = (Arc::clone(account), Arc::clone(key), FoundItems::new(scratch));
        Self { account, key, folder, listed, known: Vec::new(), walk: Walk::default(), taken: 0 }
    }

    /// One of which the archive knows nothing.
    pub fn push_new(&mut self, found: &FoundItem) {
        self.listed.push(found);
    }

    /// One that the archive has, among others that it has.
    pub fn push_known(&mut self, found: &FoundItem, item: ItemId) {
        self.listed.push(found);
        self.known.push(item);
    }

    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    pub fn items(&self) -> impl Iterator<Item = FoundItem> + '_ {
        self.listed.iter()
    }

    pub fn names(&self) -> impl Iterator<Item = String> {
        self.listed.names()
    }

    fn next(&mut self) -> Option<Read> {
        let found = self.walk.next(&self.listed)?;
        let known = self.known.get(self.taken).copied();
        self.taken += 1;
        let (account, key) = (Arc::clone(&self.account), Arc::clone(&self.key));
        Some(Read { account, key, folder: self.folder, found, known })
    }
}

/// The steps in order: what changed, what is to be read again, what is new, the end. None: nothing changed.
#[derive(Default)]
pub(super) struct Steps {
    pub begin: Option<Box<Begin>>,
    pub lines: Option<Lines>,
    pub reads: std::vec::IntoIter<ToRead>,
    /// The folder whose items are being taken.
    pub open: Option<ToRead>,
    pub end: Option<Box<End>>,
}

impl Iterator for Steps {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if let Some(begin) = self.begin.take() {
            return Some(Step::Begin(begin));
        }
        if let Some(line) = self.lines.as_mut().and_then(Lines::next) {
            return Some(Step::Line(Box::new(line)));
        }
        self.lines = None;
        loop {
            if let Some(read) = self.open.as_mut().and_then(ToRead::next) {
                return Some(Step::Read(Box::new(read)));
            }
            self.open = self.reads.next();
            if self.open.is_none() {
                return self.end.take().map(Step::End);
            }
        }
    }
}
