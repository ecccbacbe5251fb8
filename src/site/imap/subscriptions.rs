//! Subscriptions to what is no folder of the mailbox: one that is gone or yet to come, or somebody else's. A server may
//! take none but those of folders that it shows to the user; its words are the reason then.

use super::ImapStore;
use super::client::Command;
use super::names::Spelling;
use crate::event::Reason;
use crate::model::setting::{Setting, SettingKey};
use crate::site::SiteError;
use std::sync::PoisonError;

impl ImapStore {
    pub(super) fn subscribe(&self, account: &str, setting: &Setting) -> Result<Result<(), Reason>, SiteError> {
        let Setting::Subscription { path } = setting else {
            let what = format!("IMAP has no place for settings of this kind ({})", setting.key().0.word());
            return Ok(Err(Reason::Unsupported(what)));
        };
        let Some(wire) = self.spelling(account)?.subscription_wire(path) else {
            return Ok(Err(Reason::BadName("the server cannot spell the name that is subscribed to".to_owned())));
        };
        let said = self.lease(account)?.ask(&Command::new("SUBSCRIBE").string(&wire), &mut |_| Ok(()))?;
        Ok(if said.is_ok() { Ok(()) } else { Err(Reason::Refused(said.to_string())) })
    }

    /// What is not subscribed to any more, or cannot have been, is gone as it should be.
    pub(super) fn unsubscribe(&self, account: &str, key: &SettingKey) -> Result<(), SiteError> {
        let Some(wire) = self.spelling(account)?.subscription_wire(&key.1) else { return Ok(()) };
        self.lease(account)?.ask(&Command::new("UNSUBSCRIBE").string(&wire), &mut |_| Ok(())).map(drop)
    }

    fn spelling(&self, account: &str) -> Result<Spelling, SiteError> {
        let seen = self.seen(account);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.spelling.is_none() {
            self.refresh(account, &mut seen)?;
        }
        Ok(seen.spelling.clone().unwrap_or_default())
    }
}
