//! A connection to a directory server: logged in, searched in pages, changed. The only place that knows the crate `ldap3`.
//!
//! The crate blocks here and runs its own small runtime inside; every wait is bounded. It panics on some answers that
//! no server should give, so each call is guarded, and such an answer becomes an error of this connection. It has the
//! socket to itself, so under `--max-rate` entries are paid for as they are looked at, and a page is asked for when the
//! one before is.

use super::LdapOptions;
use super::change::{Change, Part};
use super::entry::Entry;
use crate::fs::Throttle;
use crate::limits;
use crate::net::{Dialer, NetError, Protection, Stream};
use crate::site::SiteError;
use ldap3::asn1::{PL, StructureTag};
use ldap3::controls::{Control, ControlType, PagedResults, RawControl};
use ldap3::{LdapConn, LdapConnSettings, LdapError, LdapResult, Mod, Scope, StdStream};
use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Result codes of RFC 4511, appendix A, that are told apart.
const SUCCESS: u32 = 0;
const TIME_LIMIT: u32 = 3;
const SIZE_LIMIT: u32 = 4;
const ADMIN_LIMIT: u32 = 11;
const NO_SUCH_ATTRIBUTE: u32 = 16;
const VALUE_EXISTS: u32 = 20;
const NO_SUCH_OBJECT: u32 = 32;
const BUSY: u32 = 51;
const UNAVAILABLE: u32 = 52;

/// What the server is asked for.
pub struct Query<'a> {
    pub base: &'a str,
    /// The base alone, or everything below it too.
    pub subtree: bool,
    pub filter: &'a str,
    pub attributes: &'a [String],
}

/// How a search ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ended {
    /// The server, or a bound of ours, ended it early; why.
    pub cut_short: Option<String>,
    /// Other servers to which it refers for parts of the tree.
    pub referrals: Vec<String>,
    /// The base is not there.
    pub no_base: bool,
}

/// How a change went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    Done,
    /// What was to be added is there, what was to be taken away is not.
    AlreadySo(String),
    /// In the server's words.
    Refused(String),
}

pub struct Connection {
    ldap: LdapConn,
    server: String,
    page: i32,
    throttle: Option<Arc<Throttle>>,
}

impl Connection {
    /// Connects, secures the connection where the endpoint says so, and logs in.
    pub fn open(options: &LdapOptions, dialer: &Dialer) -> Result<Self, SiteError> {
        let endpoint = &options.endpoint;
        let server = endpoint.to_string();
        // Dialled here, where a name may have several addresses and each wait is bounded.
        let tcp = match Stream::connect(&endpoint.clone().in_the_open(), dialer).map_err(SiteError::Net)? {
            Stream::Plain(wire) => wire.into_tcp(),
            Stream::Tls(_) => return Err(no_sense(&server)),
        };
        let settings = LdapConnSettings::new()
            .set_conn_timeout(limits::SERVER_SILENCE)
            .set_config(dialer.tls.clone())
            .set_starttls(endpoint.protection == Protection::StartTls)
            .set_std_stream(StdStream::Tcp(tcp));
        let scheme = if endpoint.protection == Protection::Tls { "ldaps" } else { "ldap" };
        let host = if endpoint.host.contains(':') { format!("[{}]", endpoint.host) } else { endpoint.host.clone() };
        let url = format!("{scheme}://{host}:{}", endpoint.port);
        let opened = guarded(&server, || Ok(LdapConn::with_settings(settings, &url)))?;
        let ldap = opened.map_err(|error| match error {
            // A refusal is an answer, and never a reason to go on without.
            LdapError::LdapResult { result } if endpoint.protection == Protection::StartTls => SiteError::Server {
                server: server.clone(),
                what: format!("refuses STARTTLS ({}); nothing was sent in the open", words(&result)),
            },
            error => {
                let source = io::Error::other(error.to_string());
                SiteError::Net(NetError::Tls { endpoint: server.clone(), source })
            }
        })?;
        let page = i32::try_from(options.page_size.clamp(1, 100_000)).unwrap_or(i32::MAX);
        let mut connection = Self { ldap, server, page, throttle: dialer.throttle.clone() };
        connection.bind(options)?;
        Ok(connection)
    }

    fn bind(&mut self, options: &LdapOptions) -> Result<(), SiteError> {
        if options.bind.is_empty() {
            return Ok(());
        }
        let result = self.ask("logging in", |ldap| ldap.simple_bind(&options.bind, options.password.reveal()))?;
        match result.rc {
            SUCCESS => Ok(()),
            _ => Err(self.said(format!("does not let {:?} in: {}", options.bind, words(&result)))),
        }
    }

    /// Gives every entry that the filter finds to `each`, page by page.
    pub fn search(
        &mut self,
        query: &Query<'_>,
        each: &mut dyn FnMut(Entry) -> Result<(), SiteError>,
    ) -> Result<Ended, SiteError> {
        let mut ended = Ended::default();
        let mut cookie = Vec::new();
        let throttle = self.throttle.clone();
        let mut seen = 0;
        loop {
            let page = PagedResults { size: self.page, cookie };
            let scope = if query.subtree { Scope::Subtree } else { Scope::Base };
            let doing = "searching";
            let Query { base, filter, attributes, .. } = *query;
            let ldap = &mut self.ldap;
            if query.subtree {
                ldap.with_controls(vec![RawControl::from(page)]);
            }
            ldap.with_timeout(limits::SERVER_SILENCE);
            let started =
                guarded(&self.server, || Ok(ldap.streaming_search(base, scope, filter, attributes.to_vec())))?;
            let mut stream = started.map_err(|error| lost(&self.server, doing, error))?;
            while let Some(found) =
                guarded(&self.server, || Ok(stream.next()))?.map_err(|e| lost(&self.server, doing, e))?
            {
                if found.is_ref() {
                    let urls = guarded(&self.server, || Ok(ldap3::parse_refs(found.0)))?;
                    ended.referrals.extend(urls);
                    ended.referrals.truncate(limits::BAD_LINES_SHOWN);
                } else if !found.is_intermediate() {
                    seen += 1;
                    let entry = entry_of(found.0).ok_or_else(|| no_sense(&self.server))?;
                    pay(&throttle, entry.bytes());
                    each(entry)?;
                }
            }
            let result = guarded(&self.server, || Ok(stream.result()))?;
            match result.rc {
                SUCCESS => {}
                SIZE_LIMIT | ADMIN_LIMIT | TIME_LIMIT => {
                    ended.cut_short =
                        Some(format!("{} ends the search after {seen} entries: {}", self.server, words(&result)));
                    return Ok(ended);
                }
                NO_SUCH_OBJECT => return Ok(Ended { no_base: true, ..ended }),
                BUSY | UNAVAILABLE => {
                    let source = io::Error::other(words(&result));
                    return Err(SiteError::Lost { server: self.server.clone(), doing: doing.to_owned(), source });
                }
                _ => return Err(self.said(format!("refuses to search {base:?}: {}", words(&result)))),
            }
            cookie = guarded(&self.server, || Ok(cookie_of(&result.ctrls)))?;
            if cookie.is_empty() {
                return Ok(ended);
            }
            if seen >= limits::LDAP_ENTRIES {
                ended.cut_short = Some(format!("more than {} entries", limits::LDAP_ENTRIES));
                return Ok(ended);
            }
        }
    }

    /// Makes one change.
    pub fn change(&mut self, change: &Change) -> Result<Answer, SiteError> {
        pay(&self.throttle, change.ldif().len());
        let bytes = |values: &[String]| values.iter().map(|value| value.clone().into_bytes()).collect::<HashSet<_>>();
        let result = self.ask("changing an entry", |ldap| match change {
            Change::Add { dn, values } => {
                let values = values.iter().map(|(name, all)| (name.clone().into_bytes(), bytes(all))).collect();
                ldap.add(dn, values)
            }
            Change::Modify { dn, parts } => {
                let mods = |Part { attribute, delete, add }: &Part| {
                    let name = || attribute.clone().into_bytes();
                    let delete = (!delete.is_empty()).then(|| Mod::Delete(name(), bytes(delete)));
                    let add = (!add.is_empty()).then(|| Mod::Add(name(), bytes(add)));
                    delete.into_iter().chain(add).collect::<Vec<_>>()
                };
                ldap.modify(dn, parts.iter().flat_map(mods).collect())
            }
            Change::Rename { dn, rdn } => ldap.modifydn(dn, rdn, true, None),
            Change::Delete { dn, .. } => ldap.delete(dn),
        })?;
        Ok(match result.rc {
            SUCCESS => Answer::Done,
            NO_SUCH_ATTRIBUTE | VALUE_EXISTS => Answer::AlreadySo(words(&result)),
            NO_SUCH_OBJECT if matches!(change, Change::Add { .. }) => {
                let above = super::dn::parent(change.dn());
                let hint = format!("make {above} first, or name another place under new.below in the mapping");
                Answer::Refused(format!("{}; {hint}", words(&result)))
            }
            _ => Answer::Refused(words(&result)),
        })
    }

    fn ask(
        &mut self,
        doing: &str,
        call: impl FnOnce(&mut LdapConn) -> Result<LdapResult, LdapError>,
    ) -> Result<LdapResult, SiteError> {
        self.ldap.with_timeout(limits::SERVER_SILENCE);
        let ldap = &mut self.ldap;
        guarded(&self.server, || Ok(call(ldap)))?.map_err(|error| lost(&self.server, doing, error))
    }

    fn said(&self, what: String) -> SiteError {
        SiteError::Server { server: self.server.clone(), what }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A farewell; whoever does not hear it sees the connection end.
        let _ = guarded(&self.server, || Ok(self.ldap.unbind()));
    }
}

fn pay(throttle: &Option<Arc<Throttle>>, bytes: usize) {
    if let Some(throttle) = throttle {
        throttle.pay(bytes);
    }
}

fn guarded<T>(server: &str, call: impl FnOnce() -> Result<T, SiteError>) -> Result<T, SiteError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(no_sense(server)))
}

fn no_sense(server: &str) -> SiteError {
    SiteError::Server { server: server.to_owned(), what: "answers something that is no LDAP".to_owned() }
}

fn lost(server: &str, doing: &str, error: LdapError) -> SiteError {
    let source = match error {
        LdapError::Io { source } => source,
        LdapError::Timeout { .. } => io::Error::from(io::ErrorKind::TimedOut),
        LdapError::ResultRecv { .. } | LdapError::OpSend { .. } | LdapError::EndOfStream => {
            io::Error::from(io::ErrorKind::UnexpectedEof)
        }
        // No more than a text: some of these carry what was sent.
        LdapError::FilterParsing => io::Error::other("a filter of the mapping is malformed"),
        LdapError::LdapResult { result } => io::Error::other(words(&result)),
        _ => io::Error::other("the LDAP library gave up"),
    };
    SiteError::Lost { server: server.to_owned(), doing: doing.to_owned(), source }
}

/// Whether a text is a search filter (RFC 4515).
pub fn is_filter(text: &str) -> bool {
    ldap3::parse_filter(text).is_ok()
}

/// The server's words, and its code with its name from RFC 4511.
fn words(result: &LdapResult) -> String {
    let code = result.to_string();
    let name = code.split(", ").next().unwrap_or_default();
    match result.text.trim() {
        "" => name.to_owned(),
        text => format!("{text} ({name})"),
    }
}

fn cookie_of(controls: &[Control]) -> Vec<u8> {
    let paged = controls.iter().find(|Control(kind, _)| matches!(kind, Some(ControlType::PagedResults)));
    paged.map_or_else(Vec::new, |Control(_, raw)| raw.parse::<PagedResults>().cookie)
}

/// Takes an entry apart (RFC 4511 section 4.5.2); `None` where it is none.
fn entry_of(tag: StructureTag) -> Option<Entry> {
    let mut parts = tag.match_id(4)?.expect_constructed()?.into_iter();
    let mut entry = Entry { dn: text_of(parts.next()?)?.ok()?, ..Entry::default() };
    for attribute in parts.next()?.expect_constructed()? {
        let mut parts = attribute.expect_constructed()?.into_iter();
        let name = text_of(parts.next()?)?.ok()?.to_ascii_lowercase();
        // Options stand behind a `;`: a language, `binary`, or the range of an attribute that is too long for one answer.
        if name.contains(';') {
            entry.strange.insert(name);
            continue;
        }
        let mut values = Vec::new();
        for value in parts.next()?.expect_constructed()? {
            match text_of(value)? {
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

/// The octets as text, or as they are.
fn text_of(tag: StructureTag) -> Option<Result<String, Vec<u8>>> {
    match tag.payload {
        PL::P(bytes) => Some(String::from_utf8(bytes).map_err(std::string::FromUtf8Error::into_bytes)),
        PL::C(_) => None,
    }
}
