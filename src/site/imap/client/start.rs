//! From an address to a connection that is logged in: greeting, TLS, capabilities, login, and what is turned on for good.

use super::answer::{Answer, Untagged};
use super::code::{Code, Said, Word};
use super::command::Command;
use super::connection::Connection;
use super::login::login;
use super::wire::Wire;
use crate::net::{Dialer, Endpoint, Protection, Stream};
use crate::site::SiteError;
use crate::site::server::Credentials;

/// How a server is reached.
pub struct ClientOptions {
    pub endpoint: Endpoint,
    pub dialer: Dialer,
    /// Passwords may go over a connection that is not protected.
    pub insecure: bool,
    /// Turn on compression where the server has it; of no use on this very machine.
    pub compress: bool,
}

/// Connects and logs in.
pub fn connect(options: &ClientOptions, credentials: &Credentials) -> Result<Connection, SiteError> {
    let endpoint = &options.endpoint;
    let stream = Stream::connect(endpoint, &options.dialer).map_err(SiteError::Net)?;
    let mut connection = Connection::new(Wire::new(stream), endpoint.to_string());
    let greeted = greeting(&mut connection)?;
    if endpoint.protection == Protection::StartTls {
        connection = start_tls(connection, options, &greeted)?;
    } else if endpoint.protection == Protection::Plain && !options.insecure && !is_here(&endpoint.host) {
        return Err(connection.complaint("a password would go there unprotected; use imaps://, or say insecure"));
    }
    ask_capabilities(&mut connection)?;
    if greeted.word != Word::PreAuth {
        let told = connection.times_told();
        login(&mut connection, credentials)?;
        // They change with the login; most servers tell at once.
        if connection.times_told() == told {
            connection.demand(&Command::new("CAPABILITY"), &mut |_| Ok(()))?;
        }
    }
    turn_on(&mut connection, options)?;
    Ok(connection)
}

/// Whether the name is that of this machine itself.
pub fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn greeting(connection: &mut Connection) -> Result<Said, SiteError> {
    match connection.next()? {
        Answer::Untagged(Untagged::Said(said)) if matches!(said.word, Word::Ok | Word::PreAuth) => {
            if let Some(Code::Capability(words)) = &said.code {
                connection.note(&Untagged::Capability(words.clone()))?;
            }
            Ok(said)
        }
        // Most servers that have too many connections say so here.
        Answer::Untagged(Untagged::Said(said)) => Err(connection.refusal(&Command::new("greeting"), &said)),
        _ => Err(connection.complaint("does not greet as an IMAP server does")),
    }
}

/// Everything said before counts for nothing afterwards; a server that cannot is an error, never a reason to go on.
fn start_tls(mut connection: Connection, options: &ClientOptions, greeted: &Said) -> Result<Connection, SiteError> {
    if greeted.word == Word::PreAuth {
        return Err(connection.complaint("takes us for logged in before TLS, so it cannot be started"));
    }
    ask_capabilities(&mut connection)?;
    if !connection.can("STARTTLS") {
        return Err(connection.complaint("offers no STARTTLS; nothing was sent to it. Use imaps://, or say insecure"));
    }
    connection.demand(&Command::new("STARTTLS"), &mut |_| Ok(()))?;
    let server = connection.server().to_owned();
    let stream = connection.into_wire().into_stream();
    let stream = stream.secure(&options.endpoint, &options.dialer).map_err(SiteError::Net)?;
    Ok(Connection::new(Wire::new(stream), server))
}

fn ask_capabilities(connection: &mut Connection) -> Result<(), SiteError> {
    if connection.times_told() == 0 {
        connection.demand(&Command::new("CAPABILITY"), &mut |_| Ok(()))?;
    }
    let version = |name| connection.can(name);
    match version("IMAP4REV1") || version("IMAP4REV2") {
        true => Ok(()),
        false => Err(connection.complaint("speaks neither IMAP4rev1 nor IMAP4rev2")),
    }
}

/// Everything that is turned on for good, in one round trip.
fn turn_on(connection: &mut Connection, options: &ClientOptions) -> Result<(), SiteError> {
    let mut sent = Vec::new();
    if connection.can("ENABLE") {
        let wanted = ["QRESYNC", "CONDSTORE", "UTF8=ACCEPT"];
        // A server that knows nothing else says UTF8=ONLY, and wants the same to be turned on (RFC 6855, section 6).
        let is_offered = |name: &str| connection.can(name) || (name == "UTF8=ACCEPT" && connection.can("UTF8=ONLY"));
        let offered: Vec<&str> = wanted.into_iter().filter(|name| is_offered(name)).collect();
        if !offered.is_empty() {
            sent.push(connection.send(&Command::new(format!("ENABLE {}", offered.join(" "))))?);
        }
    }
    if connection.can("ID") {
        let ours = Command::new(concat!("ID (\"name\" \"wagon\" \"version\" \"", env!("CARGO_PKG_VERSION"), "\")"));
        sent.push(connection.send(&ours)?);
    }
    for sent in sent {
        connection.finish(sent, &mut |_| Ok(()))?;
    }
    if options.compress
        && connection.can("COMPRESS=DEFLATE")
        && connection.run(&Command::new("COMPRESS DEFLATE"), &mut |_| Ok(()))?.is_ok()
    {
        connection.wire().compress();
    }
    Ok(())
}
