//! The steps of one account, made as they are taken: what was listed is held once, packed, and unpacked item by item.

use super::scan::{Begin, End, Read, Step};
use crate::format::manifest::ManifestLine;
use crate::model::id::FolderId;
use crate::model::mailbox::FolderKey;
use crate::site::{FoundItem, FoundItems};
use std::sync::Arc;

/// Items of one folder of which the archive knows nothing.
pub(super) struct NewItems {
    pub account: Arc<str>,
    pub key: Arc<FolderKey>,
    pub folder: FolderId,
    listed: FoundItems,
    /// Their numbers among what was listed.
    left: std::vec::IntoIter<u32>,
}

impl NewItems {
    pub fn new(account: Arc<str>, key: Arc<FolderKey>, folder: FolderId, listed: FoundItems) -> Self {
        let left = (0..).take(listed.len()).collect::<Vec<_>>().into_iter();
        Self { account, key, folder, listed, left }
    }

    pub fn is_empty(&self) -> bool {
        self.left.as_slice().is_empty()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.left.as_slice().iter().filter_map(|&number| self.listed.name(number as usize))
    }

    /// Leaves those for which `is_new`.
    pub fn retain(&mut self, mut is_new: impl FnMut(FoundItem) -> bool) {
        let new: Vec<_> =
            self.left.by_ref().filter(|&number| self.listed.get(number as usize).is_some_and(&mut is_new)).collect();
        // It waits until its account is stored, and others with it.
        let (mut listed, mut new) = (std::mem::take(&mut self.listed), new);
        if new.len() < listed.len() / 2 {
            listed = new.iter().filter_map(|&number| listed.get(number as usize)).collect();
            new = (0..).take(listed.len()).collect();
        }
        self.listed = listed;
        self.left = new.into_iter();
    }

    fn next(&mut self) -> Option<FoundItem> {
        self.listed.get(self.left.next()? as usize)
    }
}

/// The steps in order: what changed, what is to be read again, what is new, the end. None: nothing changed.
#[derive(Default)]
pub(super) struct Steps {
    pub begin: Option<Box<Begin>>,
    pub lines: std::vec::IntoIter<ManifestLine>,
    pub again: std::vec::IntoIter<Read>,
    pub new: std::vec::IntoIter<NewItems>,
    /// The folder whose new items are being taken.
    pub open: Option<NewItems>,
    pub end: Option<Box<End>>,
}

impl Iterator for Steps {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if let Some(begin) = self.begin.take() {
            return Some(Step::Begin(begin));
        }
        if let Some(line) = self.lines.next() {
            return Some(Step::Line(Box::new(line)));
        }
        if let Some(read) = self.again.next() {
            return Some(Step::Read(Box::new(read)));
        }
        loop {
            if let Some(open) = &mut self.open {
                if let Some(found) = open.next() {
                    let (account, key) = (Arc::clone(&open.account), Arc::clone(&open.key));
                    return Some(Step::Read(Box::new(Read { account, key, folder: open.folder, found, known: None })));
                }
                self.open = None;
            }
            match self.new.next() {
                Some(next) => self.open = Some(next),
                None => return self.end.take().map(Step::End),
            }
        }
    }
}
