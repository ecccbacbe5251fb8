//! Delivering messages: one, or several with one command where the server takes that (MULTIAPPEND, RFC 3502).

use super::code::Said;
use super::command::Command;
use super::connection::Connection;
use crate::limits;
use crate::site::SiteError;
use std::io::{self, Write};

/// A message on its way to a server.
pub struct Message<'a> {
    /// Flags and keywords as IMAP spells them.
    pub flags: Vec<String>,
    /// Seconds since 1970.
    pub date: i64,
    pub size: u64,
    /// Its header is UTF-8 beyond ASCII, which a server that has agreed to that wants to be told (RFC 6855, section 4).
    pub utf8: bool,
    /// Writes exactly `size` bytes.
    pub write: &'a dyn Fn(&mut dyn Write) -> io::Result<u64>,
}

impl Connection {
    /// Appends messages to a folder. A refusal, whether before or after the bytes were sent, is the status returned.
    pub fn append(&mut self, folder: &[u8], messages: &[Message<'_>]) -> Result<Said, SiteError> {
        let sent = self.begin(&Command::new("APPEND").string(folder))?;
        for message in messages {
            let head = format!(" ({}) \"{}\" ", message.flags.join(" "), date_text(message.date));
            self.put(head.as_bytes())?;
            let as_utf8 = message.utf8 && self.enabled("UTF8=ACCEPT");
            if as_utf8 {
                self.put(b"UTF8 (~")?;
            }
            if let Some(refusal) = self.offer_message(message.size)? {
                return Ok(refusal);
            }
            let mut counted = Counted { connection: self, written: 0, bound: message.size, trouble: None };
            let written = (message.write)(&mut counted);
            let (count, trouble) = (counted.written, counted.trouble.take());
            if let Some(trouble) = trouble {
                return Err(trouble);
            }
            if written.is_err() || count != message.size {
                // The server waits for bytes that will not come; only hanging up ends that.
                self.give_up();
                let source = written.err().unwrap_or_else(|| io::ErrorKind::InvalidData.into());
                let doing = "sending a message that could not be read to its end".to_owned();
                return Err(SiteError::Lost { server: self.server().to_owned(), doing, source });
            }
            if as_utf8 {
                self.put(b")")?;
            }
        }
        self.put(b"\r\n")?;
        self.finish(sent, &mut |_| Ok(()))
    }
}

/// Passes bytes on to a connection, no more than were announced.
struct Counted<'c> {
    connection: &'c mut Connection,
    written: u64,
    bound: u64,
    /// Why the connection did not take them.
    trouble: Option<SiteError>,
}

impl Write for Counted<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.written + buf.len() as u64 > self.bound {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is longer than was announced"));
        }
        if let Err(error) = self.connection.put(buf) {
            self.trouble = Some(error);
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.written += buf.len() as u64;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `03-Feb-2001 03:05:06 +0000`. Years have four digits there, so what lies outside comes as near as it can.
pub fn date_text(seconds: i64) -> String {
    const FIRST: i64 = -62_135_596_800; // 1 January of the year 1
    const LAST: i64 = 253_402_207_200; // 30 December 9999; jiff ends there
    let stamp = jiff::Timestamp::from_second(seconds.clamp(FIRST, LAST)).unwrap_or_default();
    stamp.strftime("%d-%b-%Y %H:%M:%S +0000").to_string()
}

/// What is held of a message while its line ends are mended, bytes.
const MEND_BYTES: usize = 64 * limits::KIB as usize;

/// Passes a message on with every bare LF as CRLF, which is the only line end that IMAP has (RFC 9051, section 2.3.5.1).
pub struct Mended<'w> {
    out: &'w mut dyn Write,
    /// The last byte was a CR.
    after_cr: bool,
    buffer: Vec<u8>,
    pub written: u64,
}

impl<'w> Mended<'w> {
    pub fn new(out: &'w mut dyn Write) -> Self {
        Self { out, after_cr: false, buffer: Vec::new(), written: 0 }
    }

    fn put_down(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Write for Mended<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        for part in buf.chunks(MEND_BYTES) {
            for &byte in part {
                if byte == b'\n' && !self.after_cr {
                    self.buffer.push(b'\r');
                }
                self.after_cr = byte == b'\r';
                self.buffer.push(byte);
            }
            self.put_down()?;
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.put_down()?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_line_feeds_are_mended_wherever_the_writes_are_cut() {
        let text = b"a\nb\r\nc\r\rd\n\n\r\n";
        for cut in 0..text.len() {
            let mut out = Vec::new();
            let mut mended = Mended::new(&mut out);
            mended.write_all(&text[..cut]).unwrap();
            mended.write_all(&text[cut..]).unwrap();
            mended.flush().unwrap();
            let written = mended.written;
            assert_eq!((out.as_slice(), written), (&b"a\r\nb\r\nc\r\rd\r\n\r\n\r\n"[..], 16));
        }
    }

    #[test]
    fn dates_are_written_as_servers_want_them() {
        assert_eq!(date_text(981_169_506), "03-Feb-2001 03:05:06 +0000");
        assert_eq!(date_text(i64::MIN), "01-Jan-0001 00:00:00 +0000");
        assert!(date_text(i64::MAX).contains("9999"));
    }
}
