//! What a server says of itself for `wagon site check`: what it can, what an account has, and what gets lost.

use super::client::{Command, Connection, Untagged};
use super::listing::{self, Listing};
use super::{ImapStore, pool};
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
            let (used, limited) = quota(&mut lease)?;
            survey.bytes = used;
            if limited {
                let what = "it limits mailboxes (QUOTA), which is not read from it: what counts is the quota that [accounts] gives";
                survey.cannot_give.push(what.to_owned());
            }
        }
        let listing = listing::list(&mut lease, account, &[])?;
        let counts = listing.folders.values().filter_map(|folder| folder.status.as_ref()?.messages);
        survey.items = Some(counts.map(u64::from).sum());
        if lease.can("METADATA") && has_comments(&mut lease, &listing)? {
            let what = "it has comments on folders (METADATA, /private/comment and /shared/comment), which stay behind";
            survey.cannot_give.push(what.to_owned());
        }
        Ok(survey)
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
    if !connection.can("CONDSTORE") {
        let what = "it does not count changes (CONDSTORE); each pass compares the flags of every message";
        lost.push(what.to_owned());
    }
    lost
}

/// Bytes that the account has, where the server counts them, and whether it is limited.
fn quota(lease: &mut pool::Lease) -> Result<(Option<u64>, bool), SiteError> {
    let mut storage = None;
    lease.run(&Command::new("GETQUOTAROOT INBOX"), &mut |untagged| {
        if let Untagged::Quota(_, Some((used, limit))) = untagged {
            storage = Some((used.saturating_mul(limits::KIB), limit > 0));
        }
        Ok(())
    })?;
    Ok((storage.map(|(used, _)| used), storage.is_some_and(|(_, limited)| limited)))
}

/// Whether any folder has a comment (RFC 5464, section 6.2.1), for which the archive has no place.
fn has_comments(lease: &mut pool::Lease, listing: &Listing) -> Result<bool, SiteError> {
    let folders: Vec<&[u8]> = listing.folders.values().map(|folder| folder.wire.as_slice()).collect();
    let mut found = false;
    for chunk in folders.chunks(limits::IMAP_PIPELINE) {
        let mut sent = Vec::new();
        for wire in chunk {
            let command = Command::new("GETMETADATA").string(wire).words("(/private/comment /shared/comment)");
            sent.push(lease.send(&command)?);
        }
        for sent in sent {
            // Refused: nobody may look there, so nothing is known of it.
            lease.finish(sent, &mut |untagged| {
                found |= matches!(&untagged, Untagged::Metadata(entries) if !entries.is_empty());
                Ok(())
            })?;
        }
        if found {
            break;
        }
    }
    Ok(found)
}
