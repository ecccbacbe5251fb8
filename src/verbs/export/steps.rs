//! The steps of one account, made as they are taken: what was listed is held once, in pieces that go as they are used up,
//! so that a folder of a million messages is not there twice.

use super::scan::{Begin, End, Read, Step};
use crate::format::manifest::ManifestLine;
use crate::limits;
use crate::model::id::FolderId;
use crate::model::mailbox::FolderKey;
use crate::site::FoundItem;
use std::sync::Arc;

/// Items of one folder of which the archive knows nothing.
pub(super) struct NewItems {
    pub account: Arc<str>,
    pub key: Arc<FolderKey>,
    pub folder: FolderId,
    /// Pieces of the listing, the first one last.
    pieces: Vec<std::vec::IntoIter<FoundItem>>,
}

impl NewItems {
    pub fn new(account: Arc<str>, key: Arc<FolderKey>, folder: FolderId, mut items: Vec<FoundItem>) -> Self {
        let mut pieces = Vec::new();
        while items.len() > limits::LISTED_PIECE {
            let last = (items.len() - 1) / limits::LISTED_PIECE * limits::LISTED_PIECE;
            pieces.push(items.split_off(last).into_iter());
            items.shrink_to_fit();
        }
        pieces.push(items.into_iter());
        Self { account, key, folder, pieces }
    }

    fn next(&mut self) -> Option<FoundItem> {
        loop {
            let piece = self.pieces.last_mut()?;
            if let Some(item) = piece.next() {
                return Some(item);
            }
            self.pieces.pop();
        }
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
