//! Contents of resources: many in one request where that gives the very bytes, else each by itself.
//!
//! `calendar-multiget` and `addressbook-multiget` carry data as XML text, which need not be what is stored. What has
//! not the length that the server says is stored is fetched again by GET; a server on which that is so once is asked
//! that way only.

use super::client::{Say, to_its_end};
use super::href;
use super::members::Members;
use super::multistatus::{self, HEAD, NAMES, Outcome, Resource, XML};
use super::session::Session;
use super::xml::{self, Ns};
use crate::event::Reason;
use crate::limits;
use crate::model::id::ObjectId;
use crate::model::mailbox::FolderKind;
use crate::site::{Content, SiteError};
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};
use url::Url;

/// Taken for the size of a resource that has none in a listing, bytes; only how many are asked for at once hangs on it.
const UNKNOWN_BYTES: u64 = 16 * limits::KIB;

/// What of one folder will probably be read next, and what is at hand already.
#[derive(Default)]
pub struct Ahead {
    /// Names and sizes in the order of the listing.
    expected: VecDeque<(String, u64)>,
    ready: HashMap<String, (Vec<u8>, i64)>,
    /// Several at once do not come as they are stored.
    one_by_one: bool,
}

impl Ahead {
    /// Expects those of `members` that `changed` says.
    pub fn expect(members: &Members, changed: impl Fn(&str) -> bool) -> Self {
        let expected = members.iter().filter(|(name, _)| changed(name));
        let expected = expected.map(|(name, member)| (name.clone(), member.size.unwrap_or(UNKNOWN_BYTES)));
        Self { expected: expected.collect(), ..Self::default() }
    }

    /// The content of one resource.
    pub fn read(
        &mut self,
        session: &Session,
        collection: &Url,
        kind: FolderKind,
        name: &str,
    ) -> Result<Content, SiteError> {
        if !self.ready.contains_key(name)
            && !self.one_by_one
            && let Some(at) = self.expected.iter().position(|(expected, _)| expected == name)
        {
            self.expected.drain(..at);
            self.fetch(session, collection, kind)?;
        }
        match self.ready.remove(name) {
            Some((bytes, date)) => Ok(Content::Bytes { bytes, date }),
            None => get(session, collection, name),
        }
    }

    /// Fetches what is expected next.
    fn fetch(&mut self, session: &Session, collection: &Url, kind: FolderKind) -> Result<(), SiteError> {
        let mut names = Vec::new();
        let mut bytes = 0_u64;
        while let Some((name, size)) = self.expected.front() {
            bytes = bytes.saturating_add(*size);
            if names.len() >= limits::DAV_MULTIGET || (bytes > limits::DAV_MULTIGET_BYTES && !names.is_empty()) {
                break;
            }
            names.push(name.clone());
            self.expected.pop_front();
        }
        self.ready.clear();
        if names.len() > 1 {
            let Several { exact, differ } = several(session, collection, kind, &names)?;
            (self.ready, self.one_by_one) = (exact, differ);
        }
        Ok(())
    }
}

/// What one request for several resources gave.
struct Several {
    /// Those that came as they are stored, with their dates.
    exact: HashMap<String, (Vec<u8>, i64)>,
    /// Some came otherwise, or the server does not do this.
    differ: bool,
}

/// Asks for several resources at once.
fn several(session: &Session, collection: &Url, kind: FolderKind, names: &[String]) -> Result<Several, SiteError> {
    to_its_end(|| several_once(session, collection, kind, names))
}

fn several_once(session: &Session, collection: &Url, kind: FolderKind, names: &[String]) -> Result<Several, SiteError> {
    let (report, prop) = match kind {
        FolderKind::Contacts => ("R:addressbook-multiget", "<R:address-data/>"),
        _ => ("C:calendar-multiget", "<C:calendar-data/>"),
    };
    let hrefs = names.iter().map(|name| xml::escape(href::below(collection, name, false).path()));
    let hrefs: String = hrefs.map(|path| format!("<D:href>{path}</D:href>")).collect();
    let props = format!("<D:getcontentlength/><D:getlastmodified/>{prop}");
    let body = format!("{HEAD}<{report} {NAMES}><D:prop>{props}</D:prop>{hrefs}</{report}>");
    let headers = [("content-type", XML), ("depth", "1")];
    let say = Say { method: "REPORT", headers: &headers, body: body.as_bytes() };
    let wanted: HashSet<&str> = names.iter().map(String::as_str).collect();
    let mut several = Several { exact: HashMap::new(), differ: false };
    let mut take = |resource: Resource| {
        let data = match kind {
            FolderKind::Contacts => resource.prop(Ns::CardDav, "address-data"),
            _ => resource.prop(Ns::CalDav, "calendar-data"),
        };
        let name = href::name_in(collection, &resource.url).filter(|name| wanted.contains(name.as_str()));
        if let (Some(name), Some(data)) = (name, data) {
            let size = resource.text(Ns::Dav, "getcontentlength").and_then(|text| text.parse().ok());
            if size == Some(data.text.len()) {
                let date = resource.text(Ns::Dav, "getlastmodified").and_then(date_of).unwrap_or_else(now);
                several.exact.insert(name, (data.text.clone().into_bytes(), date));
            } else {
                several.differ = true;
            }
        }
        Ok(())
    };
    let outcome = multistatus::ask(&session.client, collection, &say, &mut take)?;
    several.differ |= matches!(outcome, Outcome::Status(..));
    Ok(several)
}

/// What lies under these names now; `None` where it cannot be read.
pub fn stored(
    session: &Session,
    collection: &Url,
    kind: FolderKind,
    names: &[String],
) -> Result<Vec<Option<ObjectId>>, SiteError> {
    let mut found = Vec::with_capacity(names.len());
    let mut differ = false;
    for names in names.chunks(limits::DAV_MULTIGET) {
        let mut exact = HashMap::new();
        if names.len() > 1 && !differ {
            Several { exact, differ } = several(session, collection, kind, names)?;
        }
        for name in names {
            found.push(match exact.get(name) {
                Some((bytes, _)) => Some(ObjectId::of(bytes)),
                None => match get(session, collection, name)? {
                    Content::Bytes { bytes, .. } => Some(ObjectId::of(&bytes)),
                    _ => None,
                },
            });
        }
    }
    Ok(found)
}

/// One resource, exactly as it is stored.
fn get(session: &Session, collection: &Url, name: &str) -> Result<Content, SiteError> {
    get_at(session, &href::below(collection, name, false))
}

/// [`get`] of the resource at an address.
pub fn get_at(session: &Session, url: &Url) -> Result<Content, SiteError> {
    to_its_end(|| get_once(session, url))
}

fn get_once(session: &Session, url: &Url) -> Result<Content, SiteError> {
    let reply = session.client.send(url, &Say { method: "GET", headers: &[], body: b"" })?;
    match reply.status {
        200 => {
            let date = reply.header("last-modified").and_then(date_of).unwrap_or_else(now);
            let bound = limits::DAV_RESOURCE_BYTES;
            if reply.header("content-length").and_then(|text| text.parse().ok()).is_some_and(|size: u64| size > bound) {
                return Ok(Content::Rejected(Reason::TooLarge(format!("more than {bound} bytes"))));
            }
            let bytes = session.client.bytes(reply, bound, url.path())?;
            Ok(Content::Bytes { bytes, date })
        }
        404 | 410 => Ok(Content::Vanished),
        _ => Ok(Content::Rejected(Reason::Unreadable(reply.words()))),
    }
}

/// A date of HTTP (RFC 9110 5.6.7), seconds since 1970.
fn date_of(text: &str) -> Option<i64> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    parser.parse_timestamp(text).ok().map(|time| time.as_second())
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}
