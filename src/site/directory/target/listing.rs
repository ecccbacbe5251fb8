//! Where the messages of a Maildir folder are right now: base name to file, on a folder that others change meanwhile.
//!
//! Promises: a message that is there before and after a look is found, wherever in `cur` or `new` it is. A listing is
//! kept as long as it proves right: a file that is not where it was makes the folder be listed again. Used by every
//! operation on single messages.

use super::super::maildir::name;
use super::hand::{Hand, absent, io_error};
use crate::fs::FileKind;
use crate::limits::FOLDER_VIEWS;
use crate::model::text;
use crate::site::SiteError;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The two directories of a folder that hold messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sub {
    Cur,
    New,
}

impl Sub {
    pub fn name(self) -> &'static str {
        match self {
            Self::Cur => "cur",
            Self::New => "new",
        }
    }
}

/// The file of one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageFile {
    pub sub: Sub,
    pub file: OsString,
}

impl MessageFile {
    pub fn path(&self, dir: &Path) -> PathBuf {
        dir.join(self.sub.name()).join(&self.file)
    }

    pub fn bytes(&self) -> &[u8] {
        self.file.as_bytes()
    }

    /// In `cur`, under this file name.
    pub fn in_cur(file: Vec<u8>) -> Self {
        Self { sub: Sub::Cur, file: OsString::from_vec(file) }
    }
}

/// The messages of a folder by item name.
pub type Messages = HashMap<String, MessageFile>;

/// The item name of a message file.
pub fn item_name(file: &OsStr) -> String {
    text::from_bytes(name::base(file.as_bytes()))
}

/// Lists `new`, then `cur`, so that a message on its way from one to the other is met. Where a folder changes while it
/// is listed, a file that is renamed may be passed over: then it is listed again, and everything met counts.
pub fn list(hand: &Hand, dir: &Path) -> Result<Messages, SiteError> {
    let mut messages = Messages::new();
    for _ in 0..5 {
        let before = times(hand, dir)?;
        for sub in [Sub::New, Sub::Cur] {
            for entry in hand.list(&dir.join(sub.name()))? {
                let hidden = entry.name.as_bytes().starts_with(b".");
                if !hidden && entry.kind != FileKind::Dir {
                    messages.insert(item_name(&entry.name), MessageFile { sub, file: entry.name });
                }
            }
        }
        if times(hand, dir)? == before {
            break;
        }
    }
    Ok(messages)
}

/// The listings of the folders that were worked on last.
#[derive(Default)]
pub struct Listings(Mutex<Vec<(PathBuf, View)>>);

#[derive(Clone)]
struct View {
    messages: Arc<Mutex<Messages>>,
    times: [Option<i128>; 2],
}

impl Listings {
    /// Finds the message and does `act` with its file; `None` when it is gone. `act` says `None` when the file was not
    /// there, and then the message is looked for again. `Some((result, now))`: `now` is where it is afterwards.
    pub fn with<T>(
        &self,
        hand: &Hand,
        dir: &Path,
        item: &str,
        mut act: impl FnMut(&MessageFile) -> Result<Option<(T, Option<MessageFile>)>, SiteError>,
    ) -> Result<Option<T>, SiteError> {
        // A message that changes its file name faster than this many looks is left for the next pass.
        for _ in 0..8 {
            let Some((file, view)) = self.locate(hand, dir, item)? else { return Ok(None) };
            let outcome = act(&file)?;
            let mut messages = view.messages.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Some((result, Some(now))) => {
                    messages.insert(item.to_owned(), now);
                    return Ok(Some(result));
                }
                Some((result, None)) => {
                    messages.remove(item);
                    return Ok(Some(result));
                }
                None => {
                    messages.remove(item);
                }
            }
        }
        Ok(None)
    }

    /// Forgets what is known of all folders below `dir`.
    pub fn forget(&self, dir: &Path) {
        self.lock().retain(|(known, _)| !known.starts_with(dir));
    }

    fn locate(&self, hand: &Hand, dir: &Path, item: &str) -> Result<Option<(MessageFile, View)>, SiteError> {
        let known = self.lock().iter().find(|(known, _)| known == dir).map(|(_, view)| view.clone());
        let find = |view: &View| view.messages.lock().unwrap_or_else(PoisonError::into_inner).get(item).cloned();
        if let Some(view) = known {
            if let Some(file) = find(&view) {
                return Ok(Some((file, view)));
            }
            if times(hand, dir)? == view.times {
                return Ok(None);
            }
        }
        // Taken before listing, so that a change meanwhile makes them differ.
        let times = times(hand, dir)?;
        let view = View { messages: Arc::new(Mutex::new(list(hand, dir)?)), times };
        let mut views = self.lock();
        views.retain(|(known, _)| known != dir);
        if views.len() >= FOLDER_VIEWS {
            views.remove(0);
        }
        views.push((dir.to_owned(), view.clone()));
        drop(views);
        Ok(find(&view).map(|file| (file, view)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(PathBuf, View)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn times(hand: &Hand, dir: &Path) -> Result<[Option<i128>; 2], SiteError> {
    let time = |sub: Sub| {
        let path = dir.join(sub.name());
        Ok(absent(hand.fs.stat(&path)).map_err(io_error("look at", &path))?.map(|stat| stat.mtime_nanos))
    };
    Ok([time(Sub::New)?, time(Sub::Cur)?])
}
