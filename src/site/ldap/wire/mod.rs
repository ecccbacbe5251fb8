//! A directory server's protocol on a stream: one request after the other, and the answers to each. The only place that
//! knows the crate `ldap3`.
//!
//! Of the crate its encoding and its filters are used, and not its connections: those hold whatever length a server
//! announces, overflow the stack on what is nested deeply, panic on some answers, and read ahead without end. Here a
//! message is looked through before it is decoded ([`ber`]), the stream is the one of all connectors, so that `--max-rate`
//! counts what passes, and nothing but the caller reads it: no runtime, no thread.

pub mod answer;
pub mod ber;
pub mod request;

use crate::net::{Dialer, Endpoint, Protection, Stream};
use crate::site::SiteError;
use answer::{Found, Outcome, SUCCESS};
use ber::{broken, no_ldap};
use ldap3::asn1::{StructureTag, Tag};
use request::{Query, Request};
use std::io::{self, BufReader, Write};

/// A connection that is as protected as its endpoint demands. Every call is an error of the kind `InvalidData` where the
/// server makes no sense or breaks a bound; then, and after any other error, nothing more is to be said on it.
pub struct Wire {
    stream: BufReader<Stream>,
    /// The number of the last request.
    last: i32,
}

impl Wire {
    /// Connects and, where the endpoint wants it, changes to TLS; nobody is logged in yet.
    pub fn connect(endpoint: &Endpoint, dialer: &Dialer) -> Result<Self, SiteError> {
        let stream = Stream::connect(endpoint, dialer).map_err(SiteError::Net)?;
        let wire = Self { stream: BufReader::new(stream), last: 0 };
        if endpoint.protection == Protection::StartTls { wire.secure(endpoint, dialer) } else { Ok(wire) }
    }

    /// The extended operation StartTLS (RFC 4511 section 4.14).
    fn secure(mut self, endpoint: &Endpoint, dialer: &Dialer) -> Result<Self, SiteError> {
        let server = endpoint.to_string();
        let outcome = self.ask(request::start_tls()).and_then(Outcome::unless_busy);
        let outcome = outcome.map_err(|source| trouble(&server, "asking for TLS", source))?;
        if outcome.code != SUCCESS {
            // A refusal is an answer, and never a reason to go on without.
            let what = format!("refuses STARTTLS ({}); nothing was sent in the open", outcome.words);
            return Err(SiteError::Server { server, what });
        }
        // Whatever it sent in the open behind its answer would go with the buffer.
        if !self.stream.buffer().is_empty() {
            let what = "says something between STARTTLS and TLS, as only an attacker would".to_owned();
            return Err(SiteError::Server { server, what });
        }
        let stream = self.stream.into_inner().secure(endpoint, dialer).map_err(SiteError::Net)?;
        Ok(Self { stream: BufReader::new(stream), last: self.last })
    }

    /// Asks for what is answered once.
    pub fn ask(&mut self, request: Request) -> io::Result<Outcome> {
        let answered_as = request.id + 1;
        self.say(request, None)?;
        let (answer, _) = self.hear()?;
        if answer.id != answered_as {
            return Err(no_ldap());
        }
        answer::outcome(answer).ok_or_else(no_ldap)
    }

    /// Begins a search, of the page behind `cookie` where it goes by pages; [`Wire::found`] has to be called until its end.
    pub fn search(&mut self, query: &Query<'_>, page: Option<(u32, Vec<u8>)>) -> io::Result<()> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidInput, "a filter of the mapping is malformed");
        let request = request::search(query).ok_or_else(malformed)?;
        let page = page.map(|(size, cookie)| request::page(size, cookie)).transpose()?;
        self.say(request, page)
    }

    /// The next answer of a search.
    pub fn found(&mut self) -> io::Result<Found> {
        let (answer, controls) = self.hear()?;
        answer::found(answer, controls).ok_or_else(no_ldap)
    }

    /// Takes leave. Whoever does not hear it sees the connection end.
    pub fn leave(mut self) {
        let _ = self.say(request::unbind(), None);
    }

    fn say(&mut self, request: Request, control: Option<Tag>) -> io::Result<()> {
        self.last = self.last.checked_add(1).unwrap_or(1);
        let message = request::message(self.last, request, control)?;
        let stream = self.stream.get_mut();
        stream.write_all(&message).and_then(|()| stream.flush())
    }

    fn hear(&mut self) -> io::Result<(StructureTag, Vec<StructureTag>)> {
        let message = answer::message(ber::read_message(&mut self.stream)?);
        let (id, operation, controls) = message.ok_or_else(no_ldap)?;
        match id {
            id if id == self.last => Ok((operation, controls)),
            // A notice of disconnection (section 4.4.1); no other answer goes to nobody.
            0 => {
                let words = answer::outcome(operation).map(|outcome| outcome.words).unwrap_or_default();
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, format!("the server hangs up: {words}")))
            }
            _ => Err(broken("answers what it was not asked")),
        }
    }
}

/// What went wrong between us and a server: the connection was lost, or its answer is not to be used.
pub fn trouble(server: &str, doing: &str, source: io::Error) -> SiteError {
    let server = server.to_owned();
    match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            SiteError::Server { server, what: format!("{source}, while {doing}") }
        }
        _ => SiteError::Lost { server, doing: doing.to_owned(), source },
    }
}
