//! What lies in a collection: names, sizes, and whether each is as it was. By `sync-collection` (RFC 6578) where the server
//! has it, so that a later look costs what changed; else by listing with ETags.

use super::client::{Say, to_its_end};
use super::collection::Collection;
use super::href;
use super::multistatus::{self, HEAD, NAMES, Outcome, Resource, XML};
use super::session::Session;
use super::xml::{self, Ns};
use crate::limits;
use crate::site::SiteError;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;

/// One resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Over what the server says of its state; never 0, which would say that it cannot change.
    pub version: u64,
    /// Bytes, where the server tells.
    pub size: Option<u64>,
}

/// All resources of a collection, by name.
pub type Members = BTreeMap<String, Member>;

/// A full or a later look.
pub struct Look {
    pub members: Members,
    /// For the next look.
    pub token: Option<String>,
    /// Addresses that cannot be a member's.
    pub strange: Vec<String>,
}

const PROPS: &str = "<D:getetag/><D:getcontentlength/><D:getlastmodified/><D:resourcetype/>";

/// Everything in a collection.
pub fn all(session: &Session, collection: &Collection) -> Result<Look, SiteError> {
    to_its_end(|| all_once(session, collection))
}

fn all_once(session: &Session, collection: &Collection) -> Result<Look, SiteError> {
    if collection.token.is_some()
        && let Some(look) = sync(session, collection, None, Members::new())?
    {
        return Ok(look);
    }
    let mut look = Look { members: Members::new(), token: None, strange: Vec::new() };
    let mut cut_off = false;
    let mut take = |resource: Resource| {
        cut_off |= resource.says_more(&collection.url);
        look.take(collection, &resource)
    };
    match multistatus::propfind(&session.client, &collection.url, "1", PROPS, &mut take)? {
        Outcome::Done { .. } if cut_off => Err(multistatus::cut_off(&session.client, &collection.url)),
        Outcome::Done { .. } => Ok(look),
        Outcome::Status(_, words) => Err(session.client.says(&format!("{words}, listing {}", collection.url.path()))),
    }
}

/// What is there now, from what was there at `token`; `None` where the server no longer knows that.
pub fn since(
    session: &Session,
    collection: &Collection,
    token: &str,
    members: &Members,
) -> Result<Option<Look>, SiteError> {
    to_its_end(|| sync(session, collection, Some(token), members.clone()))
}

fn sync(
    session: &Session,
    collection: &Collection,
    token: Option<&str>,
    members: Members,
) -> Result<Option<Look>, SiteError> {
    let mut look = Look { members, token: token.map(str::to_owned), strange: Vec::new() };
    for _ in 0..limits::DAV_PAGES {
        let since = xml::escape(look.token.as_deref().unwrap_or_default());
        let body = format!(
            "{HEAD}<D:sync-collection {NAMES}><D:sync-token>{since}</D:sync-token><D:sync-level>1</D:sync-level>\
             <D:prop>{PROPS}</D:prop></D:sync-collection>"
        );
        let say = Say { method: "REPORT", headers: &[("content-type", XML)], body: body.as_bytes() };
        let mut cut_off = false;
        let mut take = |resource: Resource| {
            cut_off |= resource.says_more(&collection.url);
            look.take(collection, &resource)
        };
        match multistatus::ask(&session.client, &collection.url, &say, &mut take)? {
            Outcome::Done { token: Some(token) } => {
                let moved = look.token.replace(token) != look.token;
                if !cut_off {
                    return Ok(Some(look));
                }
                if !moved {
                    return Err(session.client.says("it cuts its answer off again and again at the same place"));
                }
            }
            // It does not do this, or not from this token on.
            Outcome::Done { token: None } | Outcome::Status(..) => return Ok(None),
        }
    }
    Err(session.client.says("its answer has more pages than are taken"))
}

impl Look {
    fn take(&mut self, collection: &Collection, resource: &Resource) -> io::Result<()> {
        if href::is_same(&resource.url, &collection.url) {
            return Ok(());
        }
        let Some(name) = href::name_in(&collection.url, &resource.url) else {
            if self.strange.len() < limits::DAV_STRANGE {
                self.strange.push(resource.url.path().to_owned());
            }
            return Ok(());
        };
        let is_collection = resource.prop(Ns::Dav, "resourcetype").is_some_and(|kinds| !kinds.children.is_empty());
        match resource.status {
            Some(404 | 410) => drop(self.members.remove(&name)),
            _ if is_collection => {}
            // It is there, and the server does not tell of it: reading it tells why.
            Some(status) if status >= 400 => {
                if !resource.url.path().ends_with('/') {
                    let unseen = Member { version: hash(&status.to_be_bytes()), size: None };
                    self.members.entry(name).or_insert(unseen);
                }
            }
            _ => drop(self.members.insert(name, member(resource))),
        }
        Ok(())
    }
}

fn member(resource: &Resource) -> Member {
    let size = resource.text(Ns::Dav, "getcontentlength").and_then(|text| text.parse().ok());
    let state = match resource.text(Ns::Dav, "getetag") {
        Some(etag) => etag.to_owned(),
        None => format!("{size:?} {:?}", resource.text(Ns::Dav, "getlastmodified")),
    };
    Member { version: hash(state.as_bytes()), size }
}

/// Eight bytes of SHA-256, never 0.
pub fn hash(bytes: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
}
