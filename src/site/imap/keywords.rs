//! Keywords that a server refuses, which it does not say before it has been given them: Dovecot 2.3 takes none with
//! more than 50 bytes, and with it refuses the whole message. What was refused is remembered for the run, left out from
//! then on, and told through [`Store::unfit_keywords`](crate::site::server::Store::unfit_keywords).

use super::client::Said;
use super::{ImapStore, flags};
use crate::limits;
use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};

impl ImapStore {
    fn refused_keywords(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.refused_keywords.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that nothing is known against.
    pub(super) fn fitting(&self, keywords: &[String]) -> Vec<String> {
        let refused = self.refused_keywords();
        keywords.iter().filter(|keyword| !refused.contains(*keyword)).cloned().collect()
    }

    /// Those that no command can carry, and those that the server has refused.
    pub(super) fn unfit(&self, keywords: &[String]) -> Vec<String> {
        let mut unfit = flags::unfit(keywords);
        let refused = self.refused_keywords();
        unfit.extend(keywords.iter().filter(|keyword| refused.contains(*keyword)).cloned());
        unfit
    }

    /// Whether a refusal is about a keyword, and there is one that can be left out: the longest. It is, from now on.
    pub(super) fn leave_one_out(&self, said: &Said, keywords: &[String]) -> Option<String> {
        let is_about_it = said.text.to_ascii_lowercase().contains("keyword") && !said.asks_to_wait();
        if !is_about_it {
            return None;
        }
        let unfit = self.unfit(keywords);
        let sent = keywords.iter().filter(|keyword| !unfit.contains(keyword));
        let longest = sent.max_by_key(|keyword| keyword.len())?.clone();
        let mut refused = self.refused_keywords();
        let has_room = refused.len() < limits::IMAP_REFUSED_KEYWORDS;
        (has_room && refused.insert(longest.clone())).then_some(longest)
    }

    /// It was not them: the message is refused without them, too.
    pub(super) fn take_back(&self, keywords: &[String]) {
        let mut refused = self.refused_keywords();
        for keyword in keywords {
            refused.remove(keyword);
        }
    }
}
