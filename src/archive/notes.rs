//! What somebody should be told who uses an archive of which something is damaged and another copy served.
//!
//! Promises that each note is told once an archive is open, however often the damage is met. Whoever opened the archive
//! says whom to tell ([`Archive::with_notes_to`]); without that, notes are kept and nobody is told.

use super::Archive;
use std::sync::{Arc, Mutex, PoisonError};

/// Takes a note: a sentence for people that names the file.
pub type Hear = Arc<dyn Fn(&str) + Send + Sync>;

#[derive(Default)]
pub(super) struct Notes(Mutex<Told>);

#[derive(Default)]
struct Told {
    texts: Vec<String>,
    hear: Option<Hear>,
}

impl Notes {
    /// Tells it, if it was not told before.
    pub fn add(&self, text: String) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.texts.contains(&text) {
            return;
        }
        if let Some(hear) = &told.hear {
            hear(&text);
        }
        told.texts.push(text);
    }
}

impl Archive {
    /// The same archive for somebody who wants to hear what is damaged and costs nothing; what is known already is told at
    /// once.
    #[must_use]
    pub fn with_notes_to(self, hear: Hear) -> Self {
        {
            let mut told = self.notes.0.lock().unwrap_or_else(PoisonError::into_inner);
            told.texts.iter().for_each(|text| hear(text));
            told.hear = Some(hear);
        }
        self
    }
}
