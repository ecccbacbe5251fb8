//! What a directory server answers, taken from the elements of its protocol (RFC 4511 section 4). Pure; what makes no
//! sense is `None`.

use super::ber;
use super::request::PAGES;
use crate::limits;
use crate::model::text::printable;
use crate::site::ldap::entry::Entry;
use ldap3::LdapResult;
use ldap3::asn1::{PL, StructureTag, TagClass, parse_uint};
use std::io;

/// Result codes of RFC 4511, appendix A, that are told apart.
pub const SUCCESS: u32 = 0;
pub const TIME_LIMIT: u32 = 3;
pub const SIZE_LIMIT: u32 = 4;
pub const ADMIN_LIMIT: u32 = 11;
pub const NO_SUCH_ATTRIBUTE: u32 = 16;
pub const VALUE_EXISTS: u32 = 20;
pub const NO_SUCH_OBJECT: u32 = 32;
const BUSY: u32 = 51;
const UNAVAILABLE: u32 = 52;

/// Answers within a search, by their tags.
const ENTRY: u64 = 4;
const SEARCH_DONE: u64 = 5;
const REFERENCE: u64 = 19;
const INTERMEDIATE: u64 = 25;

/// How an operation ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: u32,
    /// The server's words, and its code with its name from RFC 4511.
    pub words: String,
}

impl Outcome {
    /// A server that asks for patience is an error of the kind `ResourceBusy` with its words.
    pub fn unless_busy(self) -> io::Result<Self> {
        match self.code {
            BUSY | UNAVAILABLE => Err(io::Error::new(io::ErrorKind::ResourceBusy, self.words)),
            _ => Ok(self),
        }
    }
}

/// One answer within a search.
pub enum Found {
    Entry(Entry),
    /// Other servers that have a part of the tree.
    References(Vec<String>),
    /// Something that nobody asked for and that may be passed over.
    Aside,
    /// With what asks for the next page; empty: there is none.
    End(Outcome, Vec<u8>),
}

/// The identity of a message, its operation, and its controls.
pub fn message(elements: Vec<StructureTag>) -> Option<(i32, StructureTag, Vec<StructureTag>)> {
    let mut elements = elements.into_iter();
    let id = i32::try_from(number(elements.next()?)?).ok()?;
    let operation = elements.next()?.match_class(TagClass::Application)?;
    let controls = elements.next().filter(|last| last.class == TagClass::Context && last.id == 0);
    let controls = controls.map_or(Some(Vec::new()), StructureTag::expect_constructed)?;
    Some((id, operation, controls))
}

/// The end of an operation (section 4.1.9).
pub fn outcome(operation: StructureTag) -> Option<Outcome> {
    let mut parts = operation.expect_constructed()?.into_iter();
    let code = u32::try_from(number(parts.next()?)?).ok()?;
    let _matched = parts.next()?;
    let text = shown(parts.next()?)?;
    let result = LdapResult { rc: code, matched: String::new(), text: String::new(), refs: vec![], ctrls: vec![] };
    let named = result.to_string();
    let name = named.split(", ").next().unwrap_or_default();
    let words = if text.is_empty() { name.to_owned() } else { format!("{text} ({name})") };
    Some(Outcome { code, words })
}

/// One answer within a search (section 4.5.2).
pub fn found(operation: StructureTag, controls: Vec<StructureTag>) -> Option<Found> {
    match operation.id {
        ENTRY => entry(operation).map(Found::Entry),
        REFERENCE => {
            let urls = operation.expect_constructed()?.into_iter().take(limits::BAD_LINES_SHOWN);
            urls.map(shown).collect::<Option<_>>().map(Found::References)
        }
        INTERMEDIATE => Some(Found::Aside),
        SEARCH_DONE => Some(Found::End(outcome(operation)?, cookie(controls)?)),
        _ => None,
    }
}

fn cookie(controls: Vec<StructureTag>) -> Option<Vec<u8>> {
    for control in controls {
        let mut parts = control.expect_constructed()?.into_iter();
        if parts.next()?.expect_primitive()? != PAGES.as_bytes() {
            continue;
        }
        // Whether the control matters may stand between its name and its value.
        let value = ber::elements(&parts.next_back()?.expect_primitive()?).ok()?;
        let page = value.into_iter().next()?.expect_constructed()?;
        return page.into_iter().nth(1)?.expect_primitive();
    }
    Some(Vec::new())
}

fn entry(operation: StructureTag) -> Option<Entry> {
    let mut parts = operation.expect_constructed()?.into_iter();
    let mut entry = Entry { dn: text(parts.next()?)?.ok()?, ..Entry::default() };
    for attribute in parts.next()?.expect_constructed()? {
        let mut parts = attribute.expect_constructed()?.into_iter();
        let name = text(parts.next()?)?.ok()?.to_ascii_lowercase();
        // Options stand behind a `;`: a language, `binary`, or the range of an attribute that is too long for one answer.
        if name.contains(';') {
            entry.strange.insert(name);
            continue;
        }
        let mut values = Vec::new();
        for value in parts.next()?.expect_constructed()? {
            match text(value)? {
                Ok(text) if text.len() <= limits::LDAP_VALUE_BYTES => values.push(text),
                Ok(_) => {
                    entry.strange.insert(name.clone());
                }
                // A GUID of Active Directory is bytes.
                Err(bytes) if bytes.len() == 16 && name == "objectguid" => {
                    values.push(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
                }
                Err(_) => {
                    entry.strange.insert(name.clone());
                }
            }
        }
        if !values.is_empty() {
            entry.values.insert(name, values);
        }
    }
    Some(entry)
}

/// An INTEGER or ENUMERATED that is not negative.
fn number(element: StructureTag) -> Option<u64> {
    let bytes = element.match_class(TagClass::Universal)?.expect_primitive()?;
    let fits = (1..=size_of::<u64>()).contains(&bytes.len());
    fits.then(|| parse_uint(&bytes).ok().map(|(_, number)| number)).flatten()
}

/// The octets as text, or as they are.
fn text(element: StructureTag) -> Option<Result<String, Vec<u8>>> {
    match element.payload {
        PL::P(bytes) => Some(String::from_utf8(bytes).map_err(std::string::FromUtf8Error::into_bytes)),
        PL::C(_) => None,
    }
}

/// The beginning of a text, for a person; Active Directory ends what it says with a NUL.
fn shown(element: StructureTag) -> Option<String> {
    let bytes = element.expect_primitive()?;
    let text: String = String::from_utf8_lossy(&bytes).chars().take(limits::LDAP_WORDS_CHARS).collect();
    Some(printable(text.trim_matches(|c: char| c.is_whitespace() || c.is_control())))
}
