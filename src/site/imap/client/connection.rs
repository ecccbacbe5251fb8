//! One connection: commands go out, possibly several before the first answer, and their answers come back in order.

use super::answer::{Answer, Untagged};
use super::code::{Code, Said, Word};
use super::command::{Command, Part};
use super::wire::{Wire, WireError};
use crate::limits;
use crate::site::SiteError;
use std::collections::{BTreeSet, VecDeque};
use std::io;

/// The folder that is open.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selected {
    /// As on the wire.
    pub name: Vec<u8>,
    pub writable: bool,
    pub uid_validity: u32,
    pub uid_next: Option<u32>,
    pub modseq: Option<u64>,
    pub messages: u32,
    /// What can be set; empty where the server does not say. `\*`: any keyword.
    pub permanent_flags: Vec<String>,
}

/// A command whose answer has not been read yet.
#[must_use = "the answer has to be read"]
pub struct Sent {
    tag: u32,
}

/// A connection to a server, logged in or on the way there.
pub struct Connection {
    wire: Wire,
    /// Where it leads, for errors.
    server: String,
    last_tag: u32,
    /// Commands sent and not answered.
    waiting: VecDeque<Waiting>,
    capabilities: BTreeSet<String>,
    enabled: BTreeSet<String>,
    /// How often the server told its capabilities.
    told: u32,
    /// What it says it is (ID, RFC 2971).
    pub(super) about: Vec<(String, String)>,
    pub(super) selected: Option<Selected>,
    /// What the server said before it hung up.
    bye: Option<Said>,
    line: Vec<u8>,
    /// Length of the answer that was read last.
    last_bytes: usize,
    broken: bool,
    /// Answers to the present command that nobody asked for, and their bytes.
    unasked: usize,
    unasked_bytes: usize,
    /// Messages, names and counters in the answers to the present command.
    told_of: usize,
}

/// A command that has not been answered.
struct Waiting {
    tag: u32,
    /// Literal bytes that an answer to it may have.
    literals: u64,
    /// Messages, names and counters that it may be answered with.
    answers: usize,
    /// How to show it.
    shown: String,
}

/// What an answer means to whoever waits for it.
pub type Each<'a> = &'a mut dyn FnMut(Untagged) -> Result<(), SiteError>;

impl Connection {
    pub(super) fn new(wire: Wire, server: String) -> Self {
        Self {
            wire,
            server,
            last_tag: 0,
            waiting: VecDeque::new(),
            capabilities: BTreeSet::new(),
            enabled: BTreeSet::new(),
            told: 0,
            about: Vec::new(),
            selected: None,
            bye: None,
            line: Vec::new(),
            last_bytes: 0,
            broken: false,
            unasked: 0,
            unasked_bytes: 0,
            told_of: 0,
        }
    }

    pub fn server(&self) -> &str {
        &self.server
    }

    pub(super) fn into_wire(self) -> Wire {
        self.wire
    }

    pub(super) fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Whether the server offers this, in capitals.
    pub fn can(&self, capability: &str) -> bool {
        self.capabilities.contains(capability)
    }

    pub fn capabilities(&self) -> &BTreeSet<String> {
        &self.capabilities
    }

    pub(super) fn times_told(&self) -> u32 {
        self.told
    }

    fn learn(&mut self, words: &[String]) {
        self.capabilities = words.iter().cloned().collect();
        self.told += 1;
    }

    /// Whether it is a Dovecot, which has lasting names of messages and folders without saying so.
    pub fn is_dovecot(&self) -> bool {
        self.about.iter().any(|(key, value)| key.eq_ignore_ascii_case("name") && value == "Dovecot")
    }

    /// Whether it is a Cyrus, some versions of which answer with freed memory where MAILBOXID is asked for beside other
    /// items of STATUS (seen with 3.6.1: other bytes each time, a line end among them).
    pub fn is_cyrus(&self) -> bool {
        self.about.iter().any(|(key, value)| key.eq_ignore_ascii_case("name") && value.starts_with("Cyrus"))
    }

    /// Name and version in the server's own words.
    pub fn software(&self) -> Option<String> {
        let field = |name: &str| self.about.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        let words: Vec<_> = ["name", "version"].into_iter().filter_map(field).map(|(_, value)| value.clone()).collect();
        (!words.is_empty()).then(|| crate::model::text::printable(&words.join(" ")))
    }

    /// Sends what waits to go out, without waiting for an answer.
    pub fn flush(&mut self) -> Result<(), SiteError> {
        self.wire.flush().map_err(|error| self.lost(WireError::Lost(error)))
    }

    /// Whether the server said that it turned this on.
    pub fn enabled(&self, what: &str) -> bool {
        self.enabled.contains(what)
    }

    pub fn selected(&self) -> Option<&Selected> {
        self.selected.as_ref()
    }

    /// Whether it can be used for another command: nothing outstanding, nothing broken.
    pub fn is_idle(&self) -> bool {
        !self.broken && self.waiting.is_empty()
    }

    /// The bye that ended the connection, if the server said one.
    pub fn bye(&self) -> Option<&Said> {
        self.bye.as_ref()
    }

    /// An answer that makes no sense, or an unexpected refusal.
    pub fn complaint(&self, what: impl Into<String>) -> SiteError {
        SiteError::Server { server: self.server.clone(), what: what.into() }
    }

    /// Sends a command ahead; nothing need leave before an answer is waited for.
    pub fn send(&mut self, command: &Command) -> Result<Sent, SiteError> {
        let sent = self.begin(command)?;
        self.put(b"\r\n")?;
        Ok(sent)
    }

    /// Sends a command without its end.
    pub(super) fn begin(&mut self, command: &Command) -> Result<Sent, SiteError> {
        self.last_tag += 1;
        let tag = self.last_tag;
        let (literals, answers, shown) = (command.literals, command.answers, command.shown());
        self.waiting.push_back(Waiting { tag, literals, answers, shown });
        self.put(format!("A{tag} ").as_bytes())?;
        for part in command.parts() {
            match part {
                Part::Bytes(bytes) => self.put(bytes)?,
                Part::Literal(bytes) => {
                    if let Some(refusal) = self.offer_literal(bytes.len() as u64)? {
                        return Err(self.refusal(command, &refusal));
                    }
                    self.put(bytes)?;
                }
            }
        }
        Ok(Sent { tag })
    }

    /// Announces a literal; without LITERAL+ waits until the server takes it, for which everything sent before must have
    /// been answered. `Some`: it refuses the whole command.
    pub(super) fn offer_literal(&mut self, length: u64) -> Result<Option<Said>, SiteError> {
        let small = length <= 4096 && self.can("LITERAL-"); // RFC 7888, section 5
        if self.can("LITERAL+") || small {
            self.put(format!("{{{length}+}}\r\n").as_bytes())?;
            return Ok(None);
        }
        self.ask_for_literal(length)
    }

    /// Announces somebody's mail, which must never be read as commands. A server that refuses an APPEND has to skip a
    /// literal that it did not ask for (RFC 7888, section 4). Cyrus does not where it cannot make its staging file (seen
    /// with 3.6.1), so only a server that is known to skip it is not asked first; for the others it costs a round trip.
    pub(super) fn offer_message(&mut self, length: u64) -> Result<Option<Said>, SiteError> {
        if self.is_dovecot() { self.offer_literal(length) } else { self.ask_for_literal(length) }
    }

    fn ask_for_literal(&mut self, length: u64) -> Result<Option<Said>, SiteError> {
        self.put(format!("{{{length}}}\r\n").as_bytes())?;
        Ok(self.wait_to_go_on()?.err())
    }

    /// Never to be used again.
    pub(super) fn give_up(&mut self) {
        self.broken = true;
    }

    pub fn put(&mut self, bytes: &[u8]) -> Result<(), SiteError> {
        self.wire.put(bytes).map_err(|error| self.lost(WireError::Lost(error)))
    }

    /// Reads up to the server's request to go on, whose text it gives; or to the refusal of the command.
    pub fn wait_to_go_on(&mut self) -> Result<Result<Vec<u8>, Said>, SiteError> {
        loop {
            match self.next()? {
                Answer::Go(challenge) => return Ok(Ok(challenge)),
                Answer::Tagged { tag, said } => {
                    self.close_command(&tag)?;
                    return Ok(Err(said));
                }
                Answer::Untagged(untagged) => self.note(&untagged)?,
            }
        }
    }

    /// Reads the answers to the oldest command that was sent; `each` gets those that are no status of the connection.
    pub fn finish(&mut self, sent: Sent, each: Each<'_>) -> Result<Said, SiteError> {
        loop {
            match self.next()? {
                Answer::Untagged(untagged) => {
                    self.note(&untagged)?;
                    each(untagged)?;
                }
                Answer::Go(_) => {}
                Answer::Tagged { tag, said } => {
                    self.close_command(&tag)?;
                    if tag != format!("A{}", sent.tag).into_bytes() {
                        self.broken = true;
                        return Err(self.complaint("answers to commands in another order than it got them"));
                    }
                    if let Some(Code::Capability(words)) = &said.code {
                        self.learn(&words.clone());
                    }
                    return Ok(said);
                }
            }
        }
    }

    /// Reads one answer of the oldest command that was sent; its status ends it.
    pub fn step(&mut self) -> Result<Result<Untagged, Said>, SiteError> {
        loop {
            match self.next()? {
                Answer::Untagged(untagged) => {
                    self.note(&untagged)?;
                    return Ok(Ok(untagged));
                }
                Answer::Go(_) => {}
                Answer::Tagged { tag, said } => {
                    self.close_command(&tag)?;
                    return Ok(Err(said));
                }
            }
        }
    }

    /// Sends a command and reads its answers.
    pub fn run(&mut self, command: &Command, each: Each<'_>) -> Result<Said, SiteError> {
        let sent = self.send(command)?;
        self.finish(sent, each)
    }

    /// The same where a refusal is an error.
    pub fn demand(&mut self, command: &Command, each: Each<'_>) -> Result<Said, SiteError> {
        let said = self.run(command, each)?;
        match said.is_ok() {
            true => Ok(said),
            false => Err(self.refusal(command, &said)),
        }
    }

    /// Sends a command that may be refused. A server that is busy is an error that passes.
    pub fn ask(&mut self, command: &Command, each: Each<'_>) -> Result<Said, SiteError> {
        let said = self.run(command, each)?;
        if said.is_busy() { Err(self.refusal(command, &said)) } else { Ok(said) }
    }

    pub fn refusal(&self, command: &Command, said: &Said) -> SiteError {
        if said.asks_to_wait() {
            let source = io::Error::new(io::ErrorKind::ResourceBusy, said.to_string());
            return SiteError::Lost { server: self.server.clone(), doing: command.shown(), source };
        }
        self.complaint(format!("{}: {said}", command.shown()))
    }

    fn close_command(&mut self, tag: &[u8]) -> Result<(), SiteError> {
        (self.unasked, self.unasked_bytes, self.told_of) = (0, 0, 0);
        match self.waiting.pop_front() {
            Some(waiting) if tag == format!("A{}", waiting.tag).as_bytes() => Ok(()),
            _ => {
                self.broken = true;
                Err(self
                    .complaint(format!("answers a command that it was not given: {:?}", String::from_utf8_lossy(tag))))
            }
        }
    }

    /// The next answer, whatever it is.
    pub(super) fn next(&mut self) -> Result<Answer, SiteError> {
        if let Err(error) = self.wire.flush() {
            return Err(self.lost(WireError::Lost(error)));
        }
        let literals = self.waiting.front().map_or(limits::IMAP_LITERAL_BYTES, |waiting| waiting.literals);
        let mut line = std::mem::take(&mut self.line);
        let read = self.wire.read_answer(&mut line, literals);
        let parsed = read.map(|()| Answer::parse(&line));
        self.last_bytes = line.len();
        if line.capacity() as u64 > 2 * limits::IMAP_PIECE_BYTES {
            line = Vec::new();
        }
        self.line = line;
        match parsed {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => {
                self.broken = true;
                Err(self.complaint("says something that is no IMAP"))
            }
            Err(error) => Err(self.lost(error)),
        }
    }

    /// Takes in what concerns the connection.
    pub(super) fn note(&mut self, untagged: &Untagged) -> Result<(), SiteError> {
        match untagged {
            Untagged::Capability(words) => self.learn(words),
            Untagged::Id(fields) => self.about.clone_from(fields),
            Untagged::Enabled(words) => {
                let room = limits::IMAP_ENABLED.saturating_sub(self.enabled.len());
                self.enabled.extend(words.iter().take(room).cloned());
            }
            Untagged::Said(said) if said.word == Word::Bye => self.bye = Some(said.clone()),
            Untagged::Said(Said { code: Some(Code::Capability(words)), .. }) => {
                self.learn(words);
            }
            Untagged::Fetch(_) | Untagged::List(_) | Untagged::Status(..) => {
                self.told_of += 1;
                let bound = self.waiting.front().map_or(limits::IMAP_UNASKED, |waiting| waiting.answers);
                return if self.told_of > bound { Err(self.talks(bound, "messages or folders")) } else { Ok(()) };
            }
            _ => {}
        }
        self.unasked += 1;
        self.unasked_bytes = self.unasked_bytes.saturating_add(self.last_bytes);
        if self.unasked > limits::IMAP_UNASKED {
            return Err(self.talks(limits::IMAP_UNASKED, "answers that nobody asked for"));
        }
        if self.unasked_bytes > limits::IMAP_UNASKED_BYTES {
            return Err(self.talks(limits::IMAP_UNASKED_BYTES, "bytes that nobody asked for"));
        }
        Ok(())
    }

    /// It goes on and on about something; nothing more is read from this connection.
    pub fn talks(&mut self, bound: usize, of_what: &str) -> SiteError {
        self.broken = true;
        let doing = self.waiting.front().map_or_else(|| "greeting".to_owned(), |waiting| waiting.shown.clone());
        self.complaint(format!(
            "talks without end: more than {bound} {of_what} in its answer to {doing}; the connection was given up and \
             nothing of the answer counts. Look into the server's log, then run the pass again"
        ))
    }

    fn lost(&mut self, error: WireError) -> SiteError {
        self.broken = true;
        match error {
            WireError::Rude(what) => self.complaint(what),
            WireError::Lost(source) => {
                let doing = self.waiting.front().map_or_else(|| "greeting".to_owned(), |waiting| waiting.shown.clone());
                let source = match &self.bye {
                    Some(bye) => io::Error::new(source.kind(), format!("it said: {bye}")),
                    None => source,
                };
                SiteError::Lost { server: self.server.clone(), doing, source }
            }
        }
    }

    /// Opens a folder; `read_only` leaves even the server's memory of what is new as it is. `Err` is the refusal.
    pub fn open(
        &mut self,
        name: &[u8],
        writable: bool,
        parameters: &str,
        each: Each<'_>,
    ) -> Result<Result<Selected, Said>, SiteError> {
        let sent = self.send_open(name, writable, parameters)?;
        self.finish_open(sent, name, writable, each)
    }

    /// The first half of [`Connection::open`], so that more can be sent behind it.
    pub fn send_open(&mut self, name: &[u8], writable: bool, parameters: &str) -> Result<Sent, SiteError> {
        let mut command = Command::new(if writable { "SELECT" } else { "EXAMINE" }).string(name);
        if !parameters.is_empty() {
            command = command.words(parameters).about_all();
        }
        self.selected = None;
        self.send(&command)
    }

    pub fn finish_open(
        &mut self,
        sent: Sent,
        name: &[u8],
        writable: bool,
        each: Each<'_>,
    ) -> Result<Result<Selected, Said>, SiteError> {
        let mut selected = Selected { name: name.to_vec(), writable, ..Selected::default() };
        let said = self.finish(sent, &mut |untagged| {
            match &untagged {
                Untagged::Exists(messages) => selected.messages = *messages,
                Untagged::Said(Said { word: Word::Ok, code: Some(code), .. }) => match code {
                    Code::UidValidity(validity) => selected.uid_validity = *validity,
                    Code::UidNext(next) => selected.uid_next = Some(*next),
                    Code::HighestModSeq(modseq) => selected.modseq = Some(*modseq),
                    Code::PermanentFlags(flags) => selected.permanent_flags.clone_from(flags),
                    _ => {}
                },
                _ => {}
            }
            each(untagged)
        })?;
        if !said.is_ok() {
            return Ok(Err(said));
        }
        self.selected = Some(selected.clone());
        Ok(Ok(selected))
    }

    /// Leaves the open folder as it is: by UNSELECT, or by opening the inbox to read.
    pub fn close(&mut self) -> Result<(), SiteError> {
        if self.selected.take().is_none() {
            return Ok(());
        }
        if self.can("UNSELECT") || self.can("IMAP4REV2") {
            return self.run(&Command::new("UNSELECT"), &mut |_| Ok(())).map(drop);
        }
        self.open(b"INBOX", false, "", &mut |_| Ok(())).map(drop)
    }

    /// Says goodbye; whatever the server makes of it.
    pub fn logout(mut self) {
        if self.is_idle() && self.send(&Command::new("LOGOUT")).is_ok() {
            drop(self.wire.flush());
        }
    }
}
