//! What a server says of itself for `wagon site check`: what it can, what an account has, and what gets lost.

use super::client::{Command, Connection, Said, Status, Untagged};
use super::listing::{self, Listing};
use super::{ImapStore, pool};
use crate::event::Reason;
use crate::limits;
use crate::site::SiteError;
use crate::site::server::{LoginMode, Survey};

impl ImapStore {
    pub(super) fn survey_of(&self, account: &str) -> Result<Survey, SiteError> {
        let mut lease = self.lease(account)?;
        let mut survey = Survey { capabilities: lease.capabilities().iter().cloned().collect(), ..Survey::default() };
        survey.software = lease.software();
        survey.cannot_hold = lost_in_it(&lease, self.pool.login().mode);
        survey.cannot_give = lost_from_it(&lease);
        if lease.can("QUOTA") {
            let (storage, _) = quota(&mut lease)?;
            survey.bytes = storage.map(|(used, _)| used);
            if storage.is_some_and(|(_, limit)| limit > 0) {
                let what =
                    "it limits mailboxes (QUOTA): read only with quotas = true in [mail], where [accounts] gives none";
                survey.cannot_give.push(what.to_owned());
            }
        }
        let listing = listing::list(&mut lease, account, &[])?;
        let counts = listing.folders.values().filter_map(|folder| folder.status.as_ref()?.messages);
        survey.items = Some(counts.map(u64::from).sum());
        // A quota is counted already; sizes may cost the server a look at every message.
        if survey.bytes.is_none() {
            survey.bytes = sizes(&mut lease, &listing)?;
        }
        Ok(survey)
    }
}

impl ImapStore {
    /// Bytes that the account's inbox may have (RFC 9208), where the server limits it; [`SiteError::Refused`] where it does
    /// not tell.
    pub(super) fn quota_of(&self, account: &str) -> Result<Option<u64>, SiteError> {
        pool::patiently(|| {
            let mut lease = self.lease(account)?;
            if !lease.can("QUOTA") {
                return Ok(None);
            }
            let (storage, said) = quota(&mut lease)?;
            match said.is_ok() {
                true => Ok(storage.map(|(_, limit)| limit).filter(|limit| *limit > 0)),
                // That it tells nothing just now does not mean that there is no limit.
                false if said.is_busy() => Err(lease.refusal(&Command::new(ASK_QUOTA), &said)),
                false => Err(SiteError::Refused(Reason::Refused(format!("its quota: {said}")))),
            }
        })
    }
}

fn lost_in_it(connection: &Connection, mode: LoginMode) -> Vec<String> {
    let mut lost = Vec::new();
    let mut cannot = |capability: &str, what: &str| {
        if !connection.can(capability) {
            lost.push(what.to_owned());
        }
    };
    cannot("ACL", "it has no access lists (ACL), so no grants");
    cannot("UIDPLUS", "it does not tell the UIDs of what is delivered (UIDPLUS); each is searched for");
    cannot("SPECIAL-USE", "it has no special uses of folders (SPECIAL-USE)");
    cannot("QUOTA", "it has no quotas (QUOTA); those of the accounts are not set on it");
    cannot("METADATA", "it has no annotations (METADATA), so no comments on folders");
    if connection.can("QUOTA") && mode != LoginMode::Proxy {
        let what = "quotas are set on it by an administrator who logs in himself (login = \"proxy\"), so not here";
        lost.push(what.to_owned());
    }
    lost.push("UIDs and UIDVALIDITY are the server's own; clients load every folder again".to_owned());
    lost.push("keywords that are no IMAP atom (spaces, letters beyond ASCII …) are left out, and named".to_owned());
    lost
}

fn lost_from_it(connection: &Connection) -> Vec<String> {
    let mut lost = Vec::new();
    if !connection.can("ACL") {
        lost.push("it has no access lists (ACL), so no grants".to_owned());
    }
    if !connection.can("METADATA") {
        lost.push("it has no annotations (METADATA), so no comments on folders".to_owned());
    }
    if !connection.can("CONDSTORE") {
        let what = "it does not count changes (CONDSTORE); each pass compares the flags of every message";
        lost.push(what.to_owned());
    }
    lost
}

const ASK_QUOTA: &str = "GETQUOTAROOT INBOX";

/// Bytes that the account has and may have, where the server counts them (0: as many as it likes), and how it answered.
/// Where several limits hold for the inbox, what the account may have is the lowest.
fn quota(lease: &mut pool::Lease) -> Result<(Option<(u64, u64)>, Said), SiteError> {
    let mut storage: Option<(u64, u64)> = None;
    let said = lease.run(&Command::new(ASK_QUOTA), &mut |untagged| {
        if let Untagged::Quota(_, Some((used, limit))) = untagged {
            let one = (used.saturating_mul(limits::KIB), limit.saturating_mul(limits::KIB));
            let rank = |(_, limit): &(u64, u64)| if *limit == 0 { u64::MAX } else { *limit };
            storage = storage.into_iter().chain([one]).min_by_key(rank);
        }
        Ok(())
    })?;
    Ok((storage, said))
}

/// Bytes of all messages, where the server adds them up (STATUS=SIZE, RFC 8438).
fn sizes(lease: &mut pool::Lease, listing: &Listing) -> Result<Option<u64>, SiteError> {
    if !lease.can("STATUS=SIZE") && !lease.can("IMAP4REV2") {
        return Ok(None);
    }
    let folders: Vec<&[u8]> = listing.folders.values().map(|folder| folder.wire.as_slice()).collect();
    let (mut sum, mut told) = (0_u64, 0);
    for chunk in folders.chunks(limits::IMAP_PIPELINE) {
        let mut sent = Vec::new();
        for wire in chunk {
            sent.push(lease.send(&Command::new("STATUS").string(wire).words("(SIZE)"))?);
        }
        for sent in sent {
            lease.finish(sent, &mut |untagged| {
                if let Untagged::Status(_, Status { size: Some(size), .. }) = untagged {
                    (sum, told) = (sum.saturating_add(size), told + 1);
                }
                Ok(())
            })?;
        }
    }
    Ok(Some(sum).filter(|_| told == folders.len()))
}
