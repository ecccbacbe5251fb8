//! One connection to a ManageSieve server: greeting, STARTTLS, login, and a command at a time (RFC 5804 2).
//!
//! Promises: nothing secret is said before the connection is as protected as the endpoint demands, and nothing that the
//! server said in the open is believed afterwards.

use super::syntax::{Answer, Challenges, Status, Word, read_answer};
use crate::net::{Dialer, Endpoint, Protection, Stream};
use crate::site::SiteError;
use crate::site::server::Credentials;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};
use zeroize::Zeroizing;

/// A connection that is logged in for one account.
pub struct Connection {
    stream: BufReader<Stream>,
    server: String,
    /// Capability, in upper case, and its value.
    pub capabilities: BTreeMap<String, String>,
}

impl Connection {
    /// Connects and, where the endpoint wants it, changes to TLS; nobody is logged in yet.
    pub fn open(endpoint: &Endpoint, dialer: &Dialer) -> Result<Self, SiteError> {
        let stream = Stream::connect(endpoint, dialer).map_err(SiteError::Net)?;
        let (stream, server) = (BufReader::new(stream), endpoint.to_string());
        let mut connection = Self { stream, server, capabilities: BTreeMap::new() };
        let greeting = connection.answer("waiting for its greeting", Challenges::None)?;
        connection.learn(greeting)?;
        if endpoint.protection == Protection::StartTls {
            connection = connection.secure(endpoint, dialer)?;
        }
        Ok(connection)
    }

    fn secure(mut self, endpoint: &Endpoint, dialer: &Dialer) -> Result<Self, SiteError> {
        if !self.capabilities.contains_key("STARTTLS") {
            return Err(self.broken("it offers no STARTTLS, and nothing is said to it in the open"));
        }
        let answer = self.command("asking for TLS", b"STARTTLS\r\n")?;
        if answer.status != Status::Ok {
            return Err(self.broken(&format!("it refuses STARTTLS: {}", answer.said())));
        }
        // Whatever it sent in the open behind its answer goes with the buffer.
        if !self.stream.buffer().is_empty() {
            return Err(self.broken("it said something between STARTTLS and TLS, as only an attacker would"));
        }
        let stream = self.stream.into_inner().secure(endpoint, dialer).map_err(SiteError::Net)?;
        let mut secured = Self { stream: BufReader::new(stream), server: self.server, capabilities: BTreeMap::new() };
        // RFC 5804 2.2: it tells its capabilities again without being asked.
        let capabilities = secured.answer("waiting for its capabilities", Challenges::None)?;
        secured.learn(capabilities)?;
        Ok(secured)
    }

    fn learn(&mut self, answer: Answer) -> Result<(), SiteError> {
        if answer.status != Status::Ok {
            return Err(self.broken(&format!("it turns us away: {}", answer.said())));
        }
        let pair = |line: &Vec<Word>| {
            let text =
                |at: usize| line.get(at).and_then(Word::text).map(|text| String::from_utf8_lossy(text).into_owned());
            Some((text(0)?.to_ascii_uppercase(), text(1).unwrap_or_default()))
        };
        self.capabilities = answer.lines.iter().filter_map(pair).collect();
        Ok(())
    }

    /// Logs in for an account; the error names it and gives the server's words.
    pub fn log_in(&mut self, account: &str, credentials: &Credentials) -> Result<(), SiteError> {
        let offered = self.capabilities.get("SASL").cloned().unwrap_or_default().to_ascii_uppercase();
        let offers = |name: &str| offered.split_whitespace().any(|one| one == name);
        let (mechanism, initial) = match credentials {
            Credentials::Password { user, acts_for, password } => {
                let acts_for = acts_for.as_deref().unwrap_or_default();
                ("PLAIN", Zeroizing::new(format!("{acts_for}\0{user}\0{}", password.reveal())))
            }
            // RFC 7628 3.1; in the user's name a comma and an equals sign are written otherwise (RFC 5801 4).
            Credentials::Bearer { user, token } if offers("OAUTHBEARER") => {
                let user = user.replace('=', "=3D").replace(',', "=2C");
                ("OAUTHBEARER", Zeroizing::new(format!("n,a={user},\x01auth=Bearer {}\x01\x01", token.reveal())))
            }
            Credentials::Bearer { user, token } => {
                ("XOAUTH2", Zeroizing::new(format!("user={user}\x01auth=Bearer {}\x01\x01", token.reveal())))
            }
        };
        if !offers(mechanism) {
            let offered = if offered.is_empty() { "nothing" } else { offered.as_str() };
            return Err(self.broken(&format!("it offers {offered} to log in with, and not {mechanism}")));
        }
        let line = format!("AUTHENTICATE \"{mechanism}\" \"{}\"\r\n", STANDARD.encode(initial.as_bytes()));
        let line = Zeroizing::new(line);
        let doing = format!("logging in for {account}");
        self.send(&doing, line.as_bytes())?;
        let mut answer = self.try_answer(&doing, Challenges::Expected)?;
        if answer.is_none() {
            // What these mechanisms ask is only why it failed; an empty answer has it say NO (RFC 7628 3.2.3).
            self.send(&doing, b"\"\"\r\n")?;
            answer = self.try_answer(&doing, Challenges::Expected)?;
        }
        match answer {
            Some(answer) if answer.status == Status::Ok => Ok(()),
            Some(answer) => Err(self.broken(&format!("the login for {account} was refused: {}", answer.said()))),
            None => Err(self.broken(&format!("the login for {account} asks for more than {mechanism} has"))),
        }
    }

    /// Says one command, complete with its line end, and hears the answer. BYE is an error.
    pub fn command(&mut self, doing: &str, command: &[u8]) -> Result<Answer, SiteError> {
        self.send(doing, command)?;
        self.answer(doing, Challenges::None)
    }

    fn send(&mut self, doing: &str, bytes: &[u8]) -> Result<(), SiteError> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes).and_then(|()| stream.flush()).map_err(|source| self.lost(doing, source))
    }

    fn answer(&mut self, doing: &str, challenges: Challenges) -> Result<Answer, SiteError> {
        self.try_answer(doing, challenges)?.ok_or_else(|| self.broken("it asks for something that nobody offered"))
    }

    /// BYE, and NO with TRYLATER (RFC 5804 1.3), which says no more than that the server is busy, count as a lost connection.
    fn try_answer(&mut self, doing: &str, challenges: Challenges) -> Result<Option<Answer>, SiteError> {
        let answer = read_answer(&mut self.stream, challenges).map_err(|source| self.lost(doing, source))?;
        let kind = match &answer {
            Some(answer) if answer.status == Status::Bye => io::ErrorKind::ConnectionAborted,
            Some(answer) if answer.status == Status::No && answer.has_code("TRYLATER") => io::ErrorKind::ResourceBusy,
            _ => return Ok(answer),
        };
        let said = answer.map(|answer| answer.said()).unwrap_or_default();
        let said = if kind == io::ErrorKind::ResourceBusy { format!("it is busy: {said}") } else { said };
        Err(self.lost(doing, io::Error::new(kind, said)))
    }

    fn lost(&self, doing: &str, source: io::Error) -> SiteError {
        if source.kind() == io::ErrorKind::InvalidData {
            return self.broken(&format!("{source}, {doing}"));
        }
        SiteError::Lost { server: self.server.clone(), doing: doing.to_owned(), source }
    }

    /// The server's words, or what is wrong with them.
    pub fn broken(&self, what: &str) -> SiteError {
        SiteError::Server { server: self.server.clone(), what: what.to_owned() }
    }
}
