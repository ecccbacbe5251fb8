//! Answers about several resources at once (RFC 4918 13): sent for, read as a stream, given on one by one.

use super::client::{Client, Say, to_its_end};
use super::href;
use super::xml::{self, Node, Ns};
use crate::limits;
use crate::site::SiteError;
use std::io;
use url::Url;

/// What an answer says about one resource.
#[derive(Debug)]
pub struct Resource {
    pub url: Url,
    /// Of the resource as a whole, where there is one: 404 for what is gone, 507 for what was cut off.
    pub status: Option<u16>,
    /// The properties that it has.
    pub props: Vec<Node>,
}

impl Resource {
    pub fn prop(&self, ns: Ns, name: &str) -> Option<&Node> {
        self.props.iter().find(|prop| prop.is(ns, name))
    }

    pub fn text(&self, ns: Ns, name: &str) -> Option<&str> {
        self.prop(ns, name).and_then(Node::trimmed)
    }

    /// RFC 6578 3.6: the collection itself with 507 says that it has more than this answer.
    pub fn says_more(&self, collection: &Url) -> bool {
        self.status == Some(507) && href::is_same(&self.url, collection)
    }
}

/// How a request for several resources ended.
pub enum Outcome {
    /// Read to its end; with the new token of a collection, where one was asked for.
    Done { token: Option<String> },
    /// No such answer: the status and the server's words.
    Status(u16, String),
}

/// Sends a request whose answer is a multistatus and hands on each resource in it. One whose address is not on the same
/// server ends it. Where an answer breaks off that is [`SiteError::Lost`]: what was handed on is half of it, so whoever asks again
/// ([`super::client::to_its_end`]) begins with nothing.
pub fn ask(
    client: &Client,
    url: &Url,
    say: &Say<'_>,
    each: &mut dyn FnMut(Resource) -> io::Result<()>,
) -> Result<Outcome, SiteError> {
    let (url, reply) = client.send_along(url, say)?;
    if reply.status != 207 {
        return Ok(Outcome::Status(reply.status, reply.words()));
    }
    let mut token = None;
    let mut count = 0_usize;
    let mut take = |node: Node| {
        if node.is(Ns::Dav, "sync-token") {
            token = node.trimmed().map(str::to_owned);
        }
        if !node.is(Ns::Dav, "response") {
            return Ok(());
        }
        count += 1;
        if count > limits::DAV_RESOURCES {
            return Err(bad("more resources than are taken"));
        }
        resources(&url, &node).try_for_each(|resource| each(resource?))
    };
    let doing = format!("reading the answer to {} of {}", say.method, url.path());
    xml::read(reply.into_body(), limits::DAV_ANSWER_BYTES, &mut take).map_err(|source| client.lost(&doing, source))?;
    Ok(Outcome::Done { token })
}

/// The resources of a `response`; one with a status of its own may name several (RFC 4918 14.24).
fn resources<'n>(base: &'n Url, node: &'n Node) -> impl Iterator<Item = io::Result<Resource>> + 'n {
    let status = node.child(Ns::Dav, "status").and_then(status_of);
    let hrefs = node.children.iter().filter(|child| child.is(Ns::Dav, "href"));
    hrefs.map(move |href| {
        let url = href::resolve(base, &href.text).map_err(|what| bad(&what))?;
        let stats = node.children.iter().filter(|child| child.is(Ns::Dav, "propstat"));
        let good = stats.filter(|stat| stat.child(Ns::Dav, "status").and_then(status_of).is_none_or(|s| s == 200));
        let props = good.filter_map(|stat| stat.child(Ns::Dav, "prop")).flat_map(|prop| prop.children.clone());
        Ok(Resource { url, status, props: props.collect() })
    })
}

/// `HTTP/1.1 404 Not Found` → 404.
fn status_of(node: &Node) -> Option<u16> {
    node.text.split_whitespace().nth(1)?.parse().ok()
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Half of a listing, which would tell that the rest is gone.
pub fn cut_off(client: &Client, url: &Url) -> SiteError {
    let path = url.path();
    client
        .says(&format!("its listing of {path} is cut off, and it does not say how to go on; let it list more at once"))
}

/// What the properties of one resource are; `None` where there is no such resource.
pub fn look(client: &Client, url: &Url, props: &str) -> Result<Option<Resource>, SiteError> {
    match first(client, url, props)? {
        (Outcome::Done { .. }, found) => Ok(found.filter(|resource| resource.status.is_none_or(|status| status < 400))),
        (Outcome::Status(404 | 410, _), _) => Ok(None),
        (Outcome::Status(_, words), _) => Err(client.says(&format!("{words}, looking at {}", url.path()))),
    }
}

/// The first resource that an answer about one address tells of, and how the answer ended.
pub fn first(client: &Client, url: &Url, props: &str) -> Result<(Outcome, Option<Resource>), SiteError> {
    to_its_end(|| {
        let mut found = None;
        let outcome = propfind(client, url, "0", props, &mut |resource| {
            found.get_or_insert(resource);
            Ok(())
        })?;
        Ok((outcome, found))
    })
}

/// PROPFIND with these properties, written as elements with the prefixes of [`NAMES`].
pub fn propfind(
    client: &Client,
    url: &Url,
    depth: &str,
    props: &str,
    each: &mut dyn FnMut(Resource) -> io::Result<()>,
) -> Result<Outcome, SiteError> {
    let body = format!("{HEAD}<D:propfind {NAMES}><D:prop>{props}</D:prop></D:propfind>");
    let headers = [("depth", depth), ("content-type", XML)];
    ask(client, url, &Say { method: "PROPFIND", headers: &headers, body: body.as_bytes() }, each)
}

/// How every body begins.
pub const HEAD: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n";

/// The prefixes of all bodies.
pub const NAMES: &str = "xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\" \
    xmlns:R=\"urn:ietf:params:xml:ns:carddav\" xmlns:S=\"http://calendarserver.org/ns/\" \
    xmlns:A=\"http://apple.com/ns/ical/\" xmlns:I=\"http://inf-it.com/ns/ab/\" xmlns:Y=\"http://cyrusimap.org/ns/\"";

pub const XML: &str = "application/xml; charset=utf-8";
