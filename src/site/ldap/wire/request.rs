//! What is asked of a directory server, as elements of its protocol (RFC 4511 section 4). Pure.

use super::ber;
use crate::site::ldap::change::{Change, Part};
use ldap3::asn1::{
    ASNTag, Boolean, Enumerated, Integer, Null, OctetString, PL, Sequence, Set, StructureTag, Tag, TagClass,
};
use ldap3::parse_filter;
use std::collections::HashSet;
use std::io;

/// The version of LDAP.
const VERSION: i64 = 3;
/// The change to TLS (section 4.14), and results in pages (RFC 2696).
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
pub const PAGES: &str = "1.2.840.113556.1.4.319";

/// Operations by their tags; the answer to one has the next number.
const BIND: u64 = 0;
const UNBIND: u64 = 2;
const SEARCH: u64 = 3;
const MODIFY: u64 = 6;
const ADD: u64 = 8;
const DELETE: u64 = 10;
const RENAME: u64 = 12;
const EXTENDED: u64 = 23;

/// What a server is asked for.
pub struct Query<'a> {
    pub base: &'a str,
    /// The base alone, or everything below it too.
    pub subtree: bool,
    pub filter: &'a str,
    pub attributes: &'a [String],
}

/// A request, to be said on a [`Wire`](super::Wire).
pub type Request = StructureTag;

/// Whether a text is a search filter (RFC 4515).
pub fn is_filter(text: &str) -> bool {
    parse_filter(text).is_ok()
}

pub fn start_tls() -> Request {
    operation(EXTENDED, vec![context(0, START_TLS)])
}

pub fn bind(dn: &str, password: &str) -> Request {
    operation(BIND, vec![integer(VERSION), octets(dn), context(0, password)])
}

pub fn unbind() -> Request {
    Null { id: UNBIND, class: TagClass::Application, inner: () }.into_structure()
}

/// `None` where the filter is none.
pub fn search(query: &Query<'_>) -> Option<Request> {
    let never_follow_aliases = enumerated(0);
    let (no_size_limit, no_time_limit) = (integer(0), integer(0));
    Some(operation(
        SEARCH,
        vec![
            octets(query.base),
            enumerated(if query.subtree { 2 } else { 0 }),
            never_follow_aliases,
            no_size_limit,
            no_time_limit,
            boolean(false), // values too, not only the names of attributes
            parse_filter(query.filter).ok()?,
            sequence(query.attributes.iter().map(|name| octets(name)).collect()),
        ],
    ))
}

/// Asks for a page of so many entries, the one behind `cookie`.
pub fn page(size: u32, cookie: Vec<u8>) -> io::Result<Tag> {
    let cookie = Tag::OctetString(OctetString { inner: cookie, ..OctetString::default() });
    let value = ber::encode(sequence(vec![integer(size.into()), cookie]))?;
    let value = Tag::OctetString(OctetString { inner: value, ..OctetString::default() });
    Ok(sequence(vec![octets(PAGES), value]))
}

pub fn change(change: &Change) -> Request {
    match change {
        Change::Add { dn, values } => {
            let values = values.iter().map(|(name, all)| attribute(name, all)).collect();
            operation(ADD, vec![octets(dn), sequence(values)])
        }
        Change::Modify { dn, parts } => {
            let both = |Part { attribute: name, delete, add }: &Part| {
                let part = |how, values: &[String]| {
                    (!values.is_empty()).then(|| sequence(vec![enumerated(how), attribute(name, values)]))
                };
                part(1, delete).into_iter().chain(part(0, add)).collect::<Vec<_>>()
            };
            operation(MODIFY, vec![octets(dn), sequence(parts.iter().flat_map(both).collect())])
        }
        Change::Rename { dn, rdn } => operation(RENAME, vec![octets(dn), octets(rdn), boolean(true)]),
        Change::Delete { dn, .. } => {
            let inner = dn.clone().into_bytes();
            OctetString { id: DELETE, class: TagClass::Application, inner }.into_structure()
        }
    }
}

/// The whole of a message.
pub fn message(id: i32, request: Request, control: Option<Tag>) -> io::Result<Vec<u8>> {
    let controls = control.map(|control| {
        Tag::StructureTag(StructureTag {
            class: TagClass::Context,
            id: 0,
            payload: PL::C(vec![control.into_structure()]),
        })
    });
    let inner = [integer(id.into()), Tag::StructureTag(request)].into_iter().chain(controls).collect();
    ber::encode(sequence(inner))
}

/// An attribute and its values, each once: a server refuses to be given one twice.
fn attribute(name: &str, values: &[String]) -> Tag {
    let mut known = HashSet::new();
    let inner = values.iter().filter(|value| known.insert(value.as_str())).map(|value| octets(value)).collect();
    sequence(vec![octets(name), Tag::Set(Set { inner, ..Set::default() })])
}

fn operation(id: u64, inner: Vec<Tag>) -> Request {
    Sequence { id, class: TagClass::Application, inner }.into_structure()
}

fn sequence(inner: Vec<Tag>) -> Tag {
    Tag::Sequence(Sequence { inner, ..Sequence::default() })
}

fn octets(text: &str) -> Tag {
    Tag::OctetString(OctetString { inner: text.as_bytes().to_vec(), ..OctetString::default() })
}

fn context(id: u64, text: &str) -> Tag {
    Tag::OctetString(OctetString { id, class: TagClass::Context, inner: text.as_bytes().to_vec() })
}

fn integer(inner: i64) -> Tag {
    Tag::Integer(Integer { inner, ..Integer::default() })
}

fn enumerated(inner: i64) -> Tag {
    Tag::Enumerated(Enumerated { inner, ..Enumerated::default() })
}

fn boolean(inner: bool) -> Tag {
    Tag::Boolean(Boolean { inner, ..Boolean::default() })
}
