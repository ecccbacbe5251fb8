//! Storing, replacing, moving and removing resources, each with the server's scheduling kept asleep.

use super::client::{Reply, Say};
use super::same::{is_same, uid};
use super::scheduling::{self, ASLEEP};
use super::session::Session;
use super::xml::Ns;
use super::{DavStore, ahead, collection, href, lock, members, multistatus};
use crate::event::Reason;
use crate::limits;
use crate::model::hex;
use crate::model::mailbox::{Flags, FolderKey, FolderKind};
use crate::site::{Content, Delivered, Delivery, Present, SiteError};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use url::Url;

type Refusable = Result<Result<(), Reason>, SiteError>;

/// Names that are free in the folder: the wanted ones where a resource may have them, else others.
pub fn reserve(session: &Session, key: &FolderKey, wanted: &[String]) -> Result<Vec<String>, SiteError> {
    let known = lock(&session.taken).get(key).cloned();
    let mut taken = match known {
        Some(taken) => taken,
        None => present(session, key)?,
    };
    // Names that are given out are taken only once something lies there.
    lock(&session.taken).insert(key.clone(), taken.clone());
    Ok(wanted.iter().map(|wish| free_name(key.kind(), wish, &mut taken)).collect())
}

fn present(session: &Session, key: &FolderKey) -> Result<HashSet<String>, SiteError> {
    let Some(collection) = collection::of(session, key)? else { return Ok(HashSet::new()) };
    Ok(members::all(session, &collection)?.members.into_keys().collect())
}

fn free_name(kind: FolderKind, wanted: &str, taken: &mut HashSet<String>) -> String {
    let extension = if kind == FolderKind::Contacts { ".vcf" } else { ".ics" };
    let base = match may_be_a_resource(wanted) {
        true => wanted.to_owned(),
        false => {
            let digest: [u8; 32] = Sha256::digest(wanted.as_bytes()).into();
            format!("wagon-{}{extension}", hex::encode(digest.get(..10).unwrap_or_default()))
        }
    };
    let (stem, rest) = base.rsplit_once('.').map_or((base.as_str(), String::new()), |(s, r)| (s, format!(".{r}")));
    let mut name = base.clone();
    let mut count = 0_u64;
    while !taken.insert(name.clone()) {
        count += 1;
        name = format!("{stem}-w{count}{rest}");
    }
    name
}

/// What every server takes as the last level of an address: Radicale makes files of them, and wants none that are hidden
/// or look like an editor's copy.
fn may_be_a_resource(name: &str) -> bool {
    let forbidden = |c: char| c.is_control() || matches!(c, '/' | '\\');
    !name.is_empty()
        && name.len() <= limits::ITEM_NAME_BYTES
        && !name.starts_with('.')
        && !name.ends_with('~')
        && !name.chars().any(forbidden)
}

impl DavStore {
    /// Delivers one after the other; a refusal concerns one item.
    pub(super) fn deliver_items(
        &self,
        session: &Session,
        key: &FolderKey,
        batch: Vec<Delivery>,
    ) -> Result<Vec<Delivered>, SiteError> {
        let Some(url) = session.url_of(key) else {
            return Err(SiteError::Unsupported(format!("{} has no place for {key}", session.client.base)));
        };
        session.forget(key);
        let mut outcomes = Vec::with_capacity(batch.len());
        for delivery in batch {
            let name = delivery.name;
            let outcome = match delivery.content.whole(limits::DAV_RESOURCE_BYTES) {
                Ok(bytes) => self.put_new(session, key, &href::below(&url, &name, false), &bytes)?,
                Err(reason) => Err(reason),
            };
            if outcome.is_ok()
                && let Some(taken) = lock(&session.taken).get_mut(key)
            {
                taken.insert(name);
            }
            outcomes.push(outcome.map_or_else(Delivered::Rejected, |()| Delivered::Done { uid: None }));
        }
        Ok(outcomes)
    }

    fn put_new(&self, session: &Session, key: &FolderKey, url: &Url, bytes: &[u8]) -> Refusable {
        if let Err(reason) = self.would_invite(session, key, bytes)? {
            return Ok(Err(reason));
        }
        let reply = put(session, key.kind(), url, ("if-none-match", "*"), bytes)?;
        if reply.status != 412 {
            return Ok(judge(reply));
        }
        Ok(match stored_before(session, url, bytes, &reply)? {
            true => Ok(()),
            false => Err(Reason::Refused(format!("another item was stored there meanwhile: {}", reply.words()))),
        })
    }

    /// Fails where the server would tell the attendees of this event.
    fn would_invite(&self, session: &Session, key: &FolderKey, bytes: &[u8]) -> Refusable {
        if key.kind() == FolderKind::Contacts
            || self.scheduling_is_off
            || !scheduling::has_attendees(bytes)
            || !session.manner()?.unquiet
        {
            return Ok(Ok(()));
        }
        let why = "it has attendees, and this server would send invitations to them; \
            switch its scheduling off and write scheduling = \"off\" in [groupware]";
        Ok(Err(Reason::Unsupported(why.to_owned())))
    }

    /// Replaces the content of an item; `false` where it is gone.
    pub(super) fn replace(
        &self,
        session: &Session,
        key: &FolderKey,
        name: &str,
        bytes: &[u8],
    ) -> Result<Result<bool, Reason>, SiteError> {
        if let Err(reason) = self.would_invite(session, key, bytes)? {
            return Ok(Err(reason));
        }
        let Some(url) = session.url_of(key).map(|url| href::below(&url, name, false)) else { return Ok(Ok(false)) };
        let Some(found) = multistatus::look(&session.client, &url, "<D:getetag/>")? else { return Ok(Ok(false)) };
        session.forget(key);
        // A weak tag never matches (RFC 9110 13.1.1).
        let tag = found.text(Ns::Dav, "getetag").filter(|tag| !tag.starts_with("W/")).unwrap_or("*");
        let reply = put(session, key.kind(), &url, ("if-match", tag), bytes)?;
        Ok(match reply.status {
            404 | 410 => Ok(false),
            // The first try changed the tag for which the second one asks.
            412 if reply.repeated && lies_there(session, &url, bytes)? => Ok(true),
            412 => Err(Reason::Refused("it was changed there at this moment".to_owned())),
            _ => judge(reply).map(|()| true),
        })
    }
}

fn put(
    session: &Session,
    kind: FolderKind,
    url: &Url,
    condition: (&str, &str),
    bytes: &[u8],
) -> Result<Reply, SiteError> {
    let content = match kind {
        FolderKind::Contacts => "text/vcard; charset=utf-8",
        _ => "text/calendar; charset=utf-8",
    };
    let headers = [ASLEEP[0], ASLEEP[1], condition, ("content-type", content)];
    session.client.send(url, &Say { method: "PUT", headers: &headers, body: bytes })
}

/// Whether what keeps a new item from being stored is that very item, stored before an answer or a pass was lost, and
/// nobody else's. A server may have written it anew in its own way; then it has its UID, which says enough only where the
/// request was `refused` after a try whose answer nobody heard.
fn stored_before(session: &Session, url: &Url, sent: &[u8], refused: &Reply) -> Result<bool, SiteError> {
    let Content::Bytes { bytes: there, .. } = ahead::get_at(session, url)? else { return Ok(false) };
    let one_uid = || uid(sent).is_some() && uid(&there) == uid(sent);
    Ok(is_same(&there, sent) || (refused.repeated && one_uid()))
}

/// Whether this is what is stored.
fn lies_there(session: &Session, url: &Url, sent: &[u8]) -> Result<bool, SiteError> {
    Ok(matches!(ahead::get_at(session, url)?, Content::Bytes { bytes, .. } if is_same(&bytes, sent)))
}

/// A refusal in the server's words.
fn judge(reply: Reply) -> Result<(), Reason> {
    if reply.status >= 300 {
        return Err(Reason::Refused(reply.words()));
    }
    reply.finish();
    Ok(())
}

/// Which of these are in the folder.
pub fn settle(session: &Session, key: &FolderKey, names: &[String]) -> Result<Vec<Option<Present>>, SiteError> {
    let Some(url) = session.url_of(key) else { return Ok(vec![None; names.len()]) };
    let there =
        |name: &String| Present { key: key.clone(), name: name.clone(), flags: Flags::default(), keywords: vec![] };
    if names.len() > limits::DAV_SINGLY {
        let present = present(session, key)?;
        return Ok(names.iter().map(|name| present.contains(name).then(|| there(name))).collect());
    }
    let ask = |name: &String| {
        let found = multistatus::look(&session.client, &href::below(&url, name, false), "<D:getetag/>")?;
        Ok(found.map(|_| there(name)))
    };
    names.iter().map(ask).collect()
}

/// Moves an item under its name; `false` where it is gone.
pub fn relocate(session: &Session, from: &FolderKey, name: &str, to: &FolderKey) -> Result<bool, SiteError> {
    let (Some(old), Some(new)) = (session.url_of(from), session.url_of(to)) else { return Ok(false) };
    let (old, new) = (href::below(&old, name, false), href::below(&new, name, false));
    for key in [from, to] {
        session.forget(key);
        lock(&session.taken).remove(key);
    }
    // Radicale does not decode the address that MOVE names, and would give the item another name.
    if new.path().contains('%')
        && let Some(carried) = carry(session, from.kind(), &old, &new)?
    {
        return Ok(carried);
    }
    let headers = [ASLEEP[0], ASLEEP[1], ("destination", new.as_str()), ("overwrite", "F")];
    let reply = session.client.send(&old, &Say { method: "MOVE", headers: &headers, body: b"" })?;
    if reply.status < 300 {
        reply.finish();
        return Ok(true);
    }
    let is_there = |url: &Url| Ok(multistatus::look(&session.client, url, "<D:getetag/>")?.is_some());
    match reply.status {
        // A first try of this very request may have moved it.
        404 | 410 => is_there(&new),
        412 if reply.repeated && !is_there(&old)? => is_there(&new),
        _ => Err(session.client.says(&format!("{}, moving {name} from {from} to {to}", reply.words()))),
    }
}

/// Stores an item in its new place and removes it from the old one; `None` where the server takes no second item of one
/// UID, and nothing was done.
fn carry(session: &Session, kind: FolderKind, old: &Url, new: &Url) -> Result<Option<bool>, SiteError> {
    let Content::Bytes { bytes, .. } = ahead::get_at(session, old)? else { return Ok(None) };
    let reply = put(session, kind, new, ("if-none-match", "*"), &bytes)?;
    if reply.status >= 300 && !(reply.status == 412 && stored_before(session, new, &bytes, &reply)?) {
        return Ok(None);
    }
    reply.finish();
    let reply = session.client.send(old, &Say { method: "DELETE", headers: &ASLEEP, body: b"" })?;
    match reply.status {
        200..=299 | 404 | 410 => {
            reply.finish();
            Ok(Some(true))
        }
        _ => Err(session.client.says(&format!("{}, removing {} after it was copied", reply.words(), old.path()))),
    }
}

/// Removes an item; `false` where there is none.
pub fn remove(session: &Session, key: &FolderKey, name: &str) -> Result<bool, SiteError> {
    let Some(url) = session.url_of(key).map(|url| href::below(&url, name, false)) else { return Ok(false) };
    session.forget(key);
    if let Some(taken) = lock(&session.taken).get_mut(key) {
        taken.remove(name);
    }
    let reply = session.client.send(&url, &Say { method: "DELETE", headers: &ASLEEP, body: b"" })?;
    match reply.status {
        // A first try of this very request may have removed it.
        404 | 410 => Ok(reply.repeated),
        200..=299 => Ok(reply.finish() < 300),
        _ => Err(session.client.says(&format!("{}, removing {key}/{name}", reply.words()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_name_is_kept_a_taken_one_gets_a_number_and_an_impossible_one_a_stand_in() {
        let mut taken = HashSet::from(["a.ics".to_owned()]);
        let mut name = |wish| free_name(FolderKind::Calendars, wish, &mut taken);
        assert_eq!((name("a.ics"), name("a.ics"), name("x@y")), ("a-w1.ics".into(), "a-w2.ics".into(), "x@y".into()));
        for hostile in ["../x", ".hidden", "a\nb", "", "x~"] {
            assert!(name(hostile).starts_with("wagon-"), "{hostile}");
        }
    }

    #[test]
    fn the_uid_of_an_item_is_found() {
        assert_eq!(uid(b"BEGIN:VCARD\r\nUID:one@x \r\nFN:x\r\n"), Some(b"one@x".as_slice()));
        assert_eq!(uid(b"BEGIN:VCARD\r\n"), None);
    }
}
