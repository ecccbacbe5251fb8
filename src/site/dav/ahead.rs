//! Contents of resources: many in one request where that gives the very bytes, else each by itself.
//!
//! `calendar-multiget` and `addressbook-multiget` carry data as XML text, which need not be what is stored. What has not the
//! length that the server says is stored is fetched again by GET; a server on which that is so once is asked that way only.

use super::client::Say;
use super::href;
use super::members::Members;
use super::multistatus::{self, HEAD, NAMES, Outcome, Resource, XML};
use super::session::Session;
use super::xml::{self, Ns};
use crate::event::Reason;
use crate::limits;
use crate::model::mailbox::FolderKind;
use crate::site::{Content, SiteError};
use std::collections::{HashMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};
use url::Url;

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
        // Without a size it could not be told whether the bytes are the stored ones.
        let expected = expected.filter_map(|(name, member)| Some((name.clone(), member.size?)));
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
        let mut batch: HashMap<String, u64> = HashMap::new();
        let mut bytes = 0_u64;
        while let Some((name, size)) = self.expected.front() {
            bytes = bytes.saturating_add(*size);
            if batch.len() >= limits::DAV_MULTIGET || (bytes > limits::DAV_MULTIGET_BYTES && !batch.is_empty()) {
                break;
            }
            batch.insert(name.clone(), *size);
            self.expected.pop_front();
        }
        self.ready.clear();
        if batch.len() < 2 {
            return Ok(());
        }
        let (report, prop) = match kind {
            FolderKind::Contacts => ("R:addressbook-multiget", "<R:address-data/>"),
            _ => ("C:calendar-multiget", "<C:calendar-data/>"),
        };
        let hrefs = batch.keys().map(|name| xml::escape(href::below(collection, name, false).path()));
        let hrefs: String = hrefs.map(|path| format!("<D:href>{path}</D:href>")).collect();
        let body = format!("{HEAD}<{report} {NAMES}><D:prop><D:getlastmodified/>{prop}</D:prop>{hrefs}</{report}>");
        let headers = [("content-type", XML), ("depth", "1")];
        let say = Say { method: "REPORT", headers: &headers, body: body.as_bytes() };
        let mut differ = 0;
        let mut take = |resource: Resource| {
            let data = match kind {
                FolderKind::Contacts => resource.prop(Ns::CardDav, "address-data"),
                _ => resource.prop(Ns::CalDav, "calendar-data"),
            };
            let name = href::name_in(collection, &resource.url);
            if let (Some(name), Some(data)) = (name, data) {
                match batch.get(&name) {
                    Some(size) if *size == data.text.len() as u64 => {
                        let date = resource.text(Ns::Dav, "getlastmodified").and_then(date_of).unwrap_or_else(now);
                        self.ready.insert(name, (data.text.clone().into_bytes(), date));
                    }
                    Some(_) => differ += 1,
                    None => {}
                }
            }
            Ok(())
        };
        match multistatus::ask(&session.client, collection, &say, &mut take)? {
            Outcome::Done { .. } => self.one_by_one = differ > 0,
            Outcome::Status(..) => self.one_by_one = true,
        }
        Ok(())
    }
}

/// One resource, exactly as it is stored.
fn get(session: &Session, collection: &Url, name: &str) -> Result<Content, SiteError> {
    get_at(session, &href::below(collection, name, false))
}

/// [`get`] of the resource at an address.
pub fn get_at(session: &Session, url: &Url) -> Result<Content, SiteError> {
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
