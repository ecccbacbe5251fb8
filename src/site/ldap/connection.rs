//! A connection to a directory server: logged in, searched in pages, changed, and made again where it was lost.
//!
//! A server that is busy, and one that hangs up, is given time and asked again ([`Connection::patiently`]). Its place in a
//! search goes with the connection, so a search begins anew, and with it the work that it was for; a change is made
//! again, and where it may have been made already, the entry is looked at.

use super::change::{Change, Part};
use super::entry::Entry;
use super::wire::answer::{
    ADMIN_LIMIT, Found, NO_SUCH_ATTRIBUTE, NO_SUCH_OBJECT, Outcome, SIZE_LIMIT, SUCCESS, TIME_LIMIT, VALUE_EXISTS,
};
use super::wire::request::{self, Query, Request};
use super::wire::{Wire, trouble};
use super::{LdapOptions, dn};
use crate::limits;
use crate::net::{Dialer, NetError};
use crate::site::SiteError;
use backon::{BlockingRetryable as _, ExponentialBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

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
    options: LdapOptions,
    dialer: Dialer,
    server: String,
    /// Logged in, with nothing left to be heard; the next call makes one where there is none.
    wire: Option<Wire>,
    /// There was one before, so a server that cannot be reached may pass.
    reached: bool,
    /// All patience was in vain the last time; until something goes well again, each call tries once.
    weary: bool,
}

impl Connection {
    /// Connects, secures the connection where the endpoint says so, and logs in.
    pub fn open(options: &LdapOptions, dialer: &Dialer) -> Result<Self, SiteError> {
        let mut connection = Self {
            options: options.clone(),
            dialer: dialer.clone(),
            server: options.endpoint.to_string(),
            wire: None,
            reached: false,
            weary: false,
        };
        connection.patiently(|connection| {
            connection.wire = Some(connection.take_wire()?);
            Ok(())
        })?;
        Ok(connection)
    }

    /// Does `work`, and does it again from its beginning while the connection is lost or the server is busy.
    pub fn patiently<T>(&mut self, mut work: impl FnMut(&mut Self) -> Result<T, SiteError>) -> Result<T, SiteError> {
        let reached = self.reached;
        let may_pass = |error: &SiteError| match error {
            SiteError::Lost { .. } => true,
            SiteError::Net(NetError::Connect { .. }) => reached,
            _ => false,
        };
        let patience = ExponentialBuilder::default()
            .with_min_delay(limits::SERVER_RETRY_LEAST)
            .with_max_times(if self.weary { 0 } else { limits::SERVER_RETRIES })
            .with_jitter();
        let outcome = (|| work(self)).retry(patience).when(may_pass).call();
        self.weary = outcome.as_ref().is_err_and(may_pass);
        outcome
    }

    /// The wire, which comes back only from what was heard to its end: after anything else answers are left on it.
    fn take_wire(&mut self) -> Result<Wire, SiteError> {
        let wire = match self.wire.take() {
            Some(wire) => wire,
            None => self.log_in()?,
        };
        self.reached = true;
        Ok(wire)
    }

    fn log_in(&self) -> Result<Wire, SiteError> {
        let LdapOptions { endpoint, bind, password, .. } = &self.options;
        let mut wire = Wire::connect(endpoint, &self.dialer)?;
        if bind.is_empty() {
            return Ok(wire);
        }
        let outcome = wire.ask(request::bind(bind, password.reveal())).and_then(Outcome::unless_busy);
        let outcome = outcome.map_err(|source| trouble(&self.server, "logging in", source))?;
        match outcome.code {
            SUCCESS => Ok(wire),
            _ => Err(self.said(format!("does not let {bind:?} in: {}", outcome.words))),
        }
    }

    /// Gives every entry that the filter finds to `each`, page by page. An error may come after some were given: whoever
    /// searches again then begins with nothing ([`Connection::patiently`]).
    pub fn search(
        &mut self,
        query: &Query<'_>,
        each: &mut dyn FnMut(Entry) -> Result<(), SiteError>,
    ) -> Result<Ended, SiteError> {
        let mut wire = self.take_wire()?;
        let lost = |source| trouble(&self.server, "searching", source);
        let size = self.options.page_size.clamp(1, 100_000);
        let page = |wire: &mut Wire, cookie| wire.search(query, query.subtree.then_some((size, cookie))).map_err(lost);
        let mut ended = Ended::default();
        // What is no entry counts too: pages without any could go on for ever.
        let (mut entries, mut others) = (0, 0);
        page(&mut wire, Vec::new())?;
        let outcome = loop {
            match wire.found().map_err(lost)? {
                Found::Entry(_) if entries > 0 && !query.subtree => {
                    return Err(self.said(format!("gives several entries where {:?} alone was asked for", query.base)));
                }
                Found::Entry(entry) => {
                    entries += 1;
                    each(entry)?;
                }
                Found::References(urls) => {
                    others += 1;
                    ended.referrals.extend(urls);
                    ended.referrals.truncate(limits::BAD_LINES_SHOWN);
                }
                Found::Aside => others += 1,
                Found::End(outcome, cookie) if outcome.code == SUCCESS && !cookie.is_empty() => {
                    others += 1;
                    page(&mut wire, cookie)?;
                }
                Found::End(outcome, _) => break outcome,
            }
            if entries > limits::LDAP_ENTRIES || others > limits::LDAP_ENTRIES {
                ended.cut_short = Some(format!("more than {} entries or pages", limits::LDAP_ENTRIES));
                return Ok(ended);
            }
        };
        self.wire = Some(wire);
        let outcome = outcome.unless_busy().map_err(lost)?;
        match outcome.code {
            SUCCESS => {}
            SIZE_LIMIT | ADMIN_LIMIT | TIME_LIMIT => {
                let words = outcome.words;
                ended.cut_short = Some(format!("{} ends the search after {entries} entries: {words}", self.server));
            }
            NO_SUCH_OBJECT => ended.no_base = true,
            _ => return Err(self.said(format!("refuses to search {:?}: {}", query.base, outcome.words))),
        }
        Ok(ended)
    }

    /// Makes one change.
    pub fn change(&mut self, change: &Change) -> Result<Answer, SiteError> {
        // An earlier try may have been carried out although its answer never came.
        let mut doubtful = false;
        let outcome = self.patiently(|connection| {
            let outcome = connection.ask("changing an entry", request::change(change));
            doubtful |= matches!(&outcome, Err(SiteError::Lost { source, .. }) if !is_busy(source));
            outcome
        });
        let (code, words) = match outcome {
            Ok(Outcome { code: SUCCESS, .. }) => return Ok(Answer::Done),
            Ok(Outcome { code, words }) => (Some(code), words),
            Err(SiteError::Lost { source, .. }) if is_busy(&source) => (None, source.to_string()),
            Err(error) => return Err(error),
        };
        if doubtful && self.patiently(|connection| connection.is_made(change))? {
            return Ok(Answer::Done);
        }
        Ok(match code {
            Some(NO_SUCH_ATTRIBUTE | VALUE_EXISTS) => Answer::AlreadySo(words),
            Some(NO_SUCH_OBJECT) if matches!(change, Change::Add { .. }) => {
                let above = dn::parent(change.dn());
                let hint = format!("make {above} first, or name another place under new.below in the mapping");
                Answer::Refused(format!("{words}; {hint}"))
            }
            _ => Answer::Refused(words),
        })
    }

    /// Whether a change that nobody answered was made: made again, it would change nothing.
    fn is_made(&mut self, change: &Change) -> Result<bool, SiteError> {
        Ok(match change {
            Change::Add { dn, values } => {
                let part = |(name, all): &(String, Vec<String>)| Part {
                    attribute: name.clone(),
                    delete: Vec::new(),
                    add: all.clone(),
                };
                self.has_all(dn, &values.iter().map(part).collect::<Vec<_>>())?
            }
            Change::Modify { dn, parts } => self.has_all(dn, parts)?,
            Change::Rename { dn, .. } => {
                self.entry(dn, &[])?.is_none() && self.entry(change.inverse().dn(), &[])?.is_some()
            }
            Change::Delete { dn, .. } => self.entry(dn, &[])?.is_none(),
        })
    }

    fn has_all(&mut self, dn: &str, parts: &[Part]) -> Result<bool, SiteError> {
        let attributes: Vec<String> = parts.iter().map(|part| part.attribute.clone()).collect();
        let Some(entry) = self.entry(dn, &attributes)? else { return Ok(false) };
        let mut again = entry.clone();
        parts.iter().for_each(|part| again.change(&part.attribute, &part.delete, &part.add));
        Ok(sets(&again) == sets(&entry))
    }

    /// One entry, with these attributes and all that users see.
    pub fn entry(&mut self, dn: &str, attributes: &[String]) -> Result<Option<Entry>, SiteError> {
        let attributes = [&["*".to_owned()], attributes].concat();
        let query = Query { base: dn, subtree: false, filter: "(objectClass=*)", attributes: &attributes };
        let mut found = None;
        self.search(&query, &mut |entry| {
            found = Some(entry);
            Ok(())
        })?;
        Ok(found)
    }

    fn ask(&mut self, doing: &str, request: Request) -> Result<Outcome, SiteError> {
        let mut wire = self.take_wire()?;
        let lost = |source| trouble(&self.server, doing, source);
        let outcome = wire.ask(request).map_err(lost)?;
        self.wire = Some(wire);
        outcome.unless_busy().map_err(lost)
    }

    fn said(&self, what: String) -> SiteError {
        SiteError::Server { server: self.server.clone(), what }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(wire) = self.wire.take() {
            wire.leave();
        }
    }
}

fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ResourceBusy
}

/// Values by attribute, whatever their order.
fn sets(entry: &Entry) -> BTreeMap<&str, BTreeSet<&str>> {
    entry.values.iter().map(|(name, all)| (name.as_str(), all.iter().map(String::as_str).collect())).collect()
}
