//! What one account has on a ManageSieve server, one method a command (RFC 5804 2.4 to 2.13).

use super::connection::Connection;
use super::syntax::{Answer, Status, Word, quote};
use crate::event::Reason;
use crate::limits;
use crate::site::SiteError;

/// The scripts of one account.
pub struct Scripts<'c> {
    connection: &'c mut Connection,
}

/// Names of the scripts, sorted, and the active one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    pub names: Vec<String>,
    pub active: Option<String>,
    /// Names that are no UTF-8, made readable; their scripts cannot be asked for.
    pub unreadable: Vec<String>,
}

impl Listed {
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|one| one == name)
    }
}

impl<'c> Scripts<'c> {
    pub fn new(connection: &'c mut Connection) -> Self {
        Self { connection }
    }

    pub fn list(&mut self) -> Result<Listed, SiteError> {
        let answer = self.connection.command("listing scripts", b"LISTSCRIPTS\r\n")?;
        let answer = self.done("list the scripts", answer)?;
        let mut listed = Listed::default();
        for line in &answer.lines {
            let Some(name) = line.first().and_then(Word::text) else { continue };
            match std::str::from_utf8(name) {
                Ok(name) => {
                    if line.iter().skip(1).filter_map(Word::atom).any(|atom| atom.eq_ignore_ascii_case("ACTIVE")) {
                        listed.active = Some(name.to_owned());
                    }
                    listed.names.push(name.to_owned());
                }
                Err(_) => listed.unreadable.push(crate::model::text::from_bytes(name)),
            }
        }
        if listed.names.len() > limits::SIEVE_SCRIPTS {
            return Err(self.connection.broken(&format!("it lists {} scripts", listed.names.len())));
        }
        listed.names.sort();
        listed.names.dedup();
        Ok(listed)
    }

    /// The script's bytes; `None` where there is none of that name.
    pub fn get(&mut self, name: &str) -> Result<Option<Vec<u8>>, SiteError> {
        let command = format!("GETSCRIPT {}\r\n", quote(name));
        let answer = self.connection.command(&format!("reading the script {name}"), command.as_bytes())?;
        if answer.has_code("NONEXISTENT") {
            return Ok(None);
        }
        if answer.status != Status::Ok && !self.list()?.has(name) {
            return Ok(None);
        }
        let answer = self.done(&format!("give the script {name}"), answer)?;
        let script = answer.lines.into_iter().flatten().find_map(|word| match word {
            Word::Text(script) => Some(script),
            _ => None,
        });
        script.map(Some).ok_or_else(|| self.connection.broken(&format!("it gives no text for the script {name}")))
    }

    /// Stores a script, or replaces it; the inner error is that the server will not have it, in its own words.
    pub fn put(&mut self, name: &str, script: &[u8]) -> Result<Result<(), Reason>, SiteError> {
        let space = format!("HAVESPACE {} {}\r\n", quote(name), script.len());
        let answer = self.connection.command(&format!("asking for room for the script {name}"), space.as_bytes())?;
        if answer.status != Status::Ok {
            return Ok(Err(Reason::Refused(answer.said())));
        }
        // CHECKSCRIPT came with the version that the server then names (RFC 5804 1.7).
        if self.connection.capabilities.contains_key("VERSION") {
            let answer = self.send_script("CHECKSCRIPT", name, script)?;
            if answer.status != Status::Ok {
                return Ok(Err(Reason::Refused(format!("its compiler says: {}", answer.said()))));
            }
        }
        let answer = self.send_script(&format!("PUTSCRIPT {}", quote(name)), name, script)?;
        Ok(match answer.status {
            Status::Ok => Ok(()),
            _ => Err(Reason::Refused(answer.said())),
        })
    }

    fn send_script(&mut self, command: &str, name: &str, script: &[u8]) -> Result<Answer, SiteError> {
        let mut bytes = format!("{command} {{{}+}}\r\n", script.len()).into_bytes();
        bytes.extend_from_slice(script);
        bytes.extend_from_slice(b"\r\n");
        self.connection.command(&format!("sending the script {name}"), &bytes)
    }

    /// Makes a script the active one, or with `None` no script.
    pub fn activate(&mut self, name: Option<&str>) -> Result<Result<(), Reason>, SiteError> {
        let command = format!("SETACTIVE {}\r\n", quote(name.unwrap_or_default()));
        let answer = self.connection.command("choosing the active script", command.as_bytes())?;
        Ok(if answer.status == Status::Ok { Ok(()) } else { Err(Reason::Refused(answer.said())) })
    }

    /// Deletes a script that is not active; `false` where there is none.
    pub fn delete(&mut self, name: &str) -> Result<bool, SiteError> {
        let command = format!("DELETESCRIPT {}\r\n", quote(name));
        let answer = self.connection.command(&format!("deleting the script {name}"), command.as_bytes())?;
        if answer.status != Status::Ok && (answer.has_code("NONEXISTENT") || !self.list()?.has(name)) {
            return Ok(false);
        }
        self.done(&format!("delete the script {name}"), answer)?;
        Ok(true)
    }

    fn done(&self, what: &str, answer: Answer) -> Result<Answer, SiteError> {
        match answer.status {
            Status::Ok => Ok(answer),
            _ => Err(self.connection.broken(&format!("it does not {what}: {}", answer.said()))),
        }
    }
}
