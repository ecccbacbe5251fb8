//! Logging in: SASL PLAIN with an identity to act for (RFC 4616), LOGIN, bearer tokens (RFC 7628, XOAUTH2).

use super::code::Said;
use super::command::Command;
use super::connection::Connection;
use crate::site::SiteError;
use crate::site::server::Credentials;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Logs in; a refusal is an error in the server's words.
pub fn login(connection: &mut Connection, credentials: &Credentials) -> Result<(), SiteError> {
    let (who, said) = match credentials {
        Credentials::Password { user, acts_for, password } => {
            let plain = connection.can("AUTH=PLAIN");
            let said = match acts_for {
                None if !plain => {
                    if connection.can("LOGINDISABLED") {
                        return Err(connection.complaint("takes neither LOGIN nor a password by SASL PLAIN"));
                    }
                    let command = Command::new("LOGIN").string(user.as_bytes()).string(password.reveal().as_bytes());
                    connection.run(&command.secret(), &mut |_| Ok(()))?
                }
                Some(account) if !plain => {
                    let what = format!("has no SASL PLAIN, so {user} cannot act for {account}");
                    return Err(connection.complaint(what));
                }
                acts_for => {
                    let acts_for = acts_for.as_deref().unwrap_or_default();
                    sasl(connection, "PLAIN", &format!("{acts_for}\0{user}\0{}", password.reveal()))?
                }
            };
            let who = acts_for.as_ref().map_or_else(|| user.clone(), |account| format!("{user} for {account}"));
            (who, said)
        }
        Credentials::Bearer { user, token } => {
            let said = if connection.can("AUTH=OAUTHBEARER") {
                // RFC 5801: = and , in the name are written out.
                let name = user.replace('=', "=3D").replace(',', "=2C");
                sasl(connection, "OAUTHBEARER", &format!("n,a={name},\x01auth=Bearer {}\x01\x01", token.reveal()))?
            } else if connection.can("AUTH=XOAUTH2") {
                sasl(connection, "XOAUTH2", &format!("user={user}\x01auth=Bearer {}\x01\x01", token.reveal()))?
            } else {
                return Err(connection.complaint("takes no bearer tokens (neither OAUTHBEARER nor XOAUTH2)"));
            };
            (user.clone(), said)
        }
    };
    if said.is_ok() {
        return Ok(());
    }
    if said.asks_to_wait() {
        return Err(connection.refusal(&Command::new("LOGIN").secret(), &said));
    }
    Err(connection.complaint(format!("does not let {who} in: {said}")))
}

/// One exchange with an initial response, sent at once where the server takes it so (RFC 4959).
fn sasl(connection: &mut Connection, mechanism: &str, response: &str) -> Result<Said, SiteError> {
    let encoded = BASE64_STANDARD.encode(response);
    let at_once = connection.can("SASL-IR");
    let words =
        if at_once { format!("AUTHENTICATE {mechanism} {encoded}") } else { format!("AUTHENTICATE {mechanism}") };
    let sent = connection.send(&Command::new(words).secret())?;
    if !at_once {
        match connection.wait_to_go_on()? {
            Ok(_) => {
                connection.put(encoded.as_bytes())?;
                connection.put(b"\r\n")?;
            }
            Err(said) => return Ok(said),
        }
    }
    connection.finish_sasl(sent)
}

impl Connection {
    /// Reads the end of an exchange. A challenge now is an error in JSON, which an empty answer acknowledges (RFC 7628,
    /// section 3.2.3).
    fn finish_sasl(&mut self, sent: super::connection::Sent) -> Result<Said, SiteError> {
        drop(sent);
        loop {
            match self.wait_to_go_on_or_done()? {
                Ok(()) => self.put(b"\r\n")?,
                Err(said) => return Ok(said),
            }
        }
    }

    fn wait_to_go_on_or_done(&mut self) -> Result<Result<(), Said>, SiteError> {
        let outcome = self.wait_to_go_on()?;
        if let Err(said) = &outcome
            && let Some(super::code::Code::Capability(words)) = &said.code
        {
            self.note(&super::answer::Untagged::Capability(words.clone()))?;
        }
        Ok(outcome.map(drop))
    }
}
