//! A message on its way out: looked through once before it is sent, for its size and hash as the server will have it.

use super::client::Mended;
use super::state::{Intent, MessageRow, Settled};
use crate::limits;
use crate::site::{Delivery, ItemContent};
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// A delivery, looked through.
pub struct Outgoing {
    pub delivery: Delivery,
    /// Bytes as they are sent.
    pub size: u64,
    pub hash: [u8; 32],
    /// Bare LFs are sent as CRLF.
    pub mended: bool,
    /// It has bytes that some servers change: NUL, bare CR, 8-bit in its header.
    pub odd: bool,
    /// How many bytes Dovecot 2.3 leaves out: one CR of several before an LF, and one at the end.
    pub less: u64,
    /// Its header has UTF-8 beyond ASCII in it, and nothing else that is 8-bit.
    pub utf8: bool,
}

impl Outgoing {
    /// Writes it as it is sent.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<u64> {
        if !self.mended {
            return write_plain(&self.delivery.content, out);
        }
        let mut mended = Mended::new(out);
        write_plain(&self.delivery.content, &mut mended)?;
        mended.flush()?;
        Ok(mended.written)
    }

    /// The announcement of it.
    pub fn intent(&self, folder: i64, uid_validity: u32, uid_from: u32) -> Intent {
        let (name, date) = (self.delivery.name.clone(), self.delivery.date);
        let (size, hash, less, mended) = (self.size, self.hash, self.less, self.mended);
        Intent { name, folder, uid_validity, uid_from, size, hash, less, mended, date }
    }

    /// It as it lies in its folder under `uid`, where the server keeps what it is given.
    pub fn settled(&self, uid: u32) -> Settled {
        let Delivery { name, date, flags, keywords, .. } = &self.delivery;
        let message = MessageRow {
            uid,
            name: name.clone(),
            size: self.size,
            date: *date,
            flags: *flags,
            keywords: keywords.clone(),
        };
        Settled { message, object: self.mended.then_some(self.hash), by_server: false }
    }
}

/// Reads a delivery once: how long it is as it will be sent, its hash, and what some servers mind about it.
pub fn look_through(delivery: Delivery) -> io::Result<Outgoing> {
    let mut inspector = Inspector::default();
    let mut mended = Mended::new(&mut inspector);
    let raw = write_plain(&delivery.content, &mut mended)?;
    mended.flush()?;
    let size = mended.written;
    inspector.end();
    let (odd, less, utf8) = (inspector.odd, inspector.less, inspector.has_utf8_header());
    let hash = inspector.digest.finalize().into();
    Ok(Outgoing { delivery, size, hash, mended: size != raw, odd, less, utf8 })
}

#[derive(Default)]
struct Inspector {
    digest: Sha256,
    odd: bool,
    less: u64,
    past_header: bool,
    /// The header, as far as [`limits::IMAP_HEADER_BYTES`]; a longer one counts as no UTF-8.
    header: Vec<u8>,
    /// The last bytes, to see an empty line or a bare CR over a cut.
    last: [u8; 3],
}

impl Inspector {
    /// There is no byte after the last: a CR there ends no line.
    fn end(&mut self) {
        if self.last.ends_with(b"\r") {
            self.odd = true;
            self.less += 1;
        }
    }

    fn has_utf8_header(&self) -> bool {
        let is_whole = (self.header.len() as u64) < limits::IMAP_HEADER_BYTES;
        is_whole && !self.header.is_ascii() && std::str::from_utf8(&self.header).is_ok()
    }
}

impl Write for Inspector {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.digest.update(buf);
        for &byte in buf {
            let [first, second, third] = self.last;
            let bare_cr = third == b'\r' && byte != b'\n';
            self.less += u64::from([second, third, byte] == *b"\r\r\n");
            self.odd |= byte == 0 || bare_cr || (byte >= 0x80 && !self.past_header);
            if !self.past_header && (self.header.len() as u64) < limits::IMAP_HEADER_BYTES {
                self.header.push(byte);
            }
            self.past_header |= [first, second, third, byte] == *b"\r\n\r\n";
            self.last = [second, third, byte];
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_plain(content: &ItemContent, out: &mut dyn Write) -> io::Result<u64> {
    match content {
        ItemContent::Bytes(bytes) => {
            out.write_all(bytes)?;
            Ok(bytes.len() as u64)
        }
        ItemContent::Stream { write, .. } => write(out),
    }
}

/// How many of the next messages go together.
pub fn group(outgoing: &[(usize, Outgoing)]) -> usize {
    let mut bytes = 0u64;
    let fits = outgoing.iter().take(limits::IMAP_APPEND_ITEMS).take_while(|(_, one)| {
        bytes = bytes.saturating_add(one.size);
        bytes <= limits::IMAP_APPEND_BYTES
    });
    fits.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::mailbox::Flags;

    fn looked_through(bytes: &[u8]) -> (bool, u64, bool) {
        let (name, content) = ("one".to_owned(), ItemContent::Bytes(bytes.to_vec()));
        let (flags, keywords, tags) = (Flags::default(), Vec::new(), Vec::new());
        let one =
            look_through(Delivery { name, content, date: 0, flags, keywords, tags, uid: None, uidl: None }).unwrap();
        (one.odd, one.less, one.utf8)
    }

    #[test]
    fn what_servers_mind_about_a_message_is_seen() {
        for (bytes, odd, less, utf8) in [
            (&b"Subject: plain\n\nbody\n"[..], false, 0, false),
            ("Subject: grün\n\nbody\n".as_bytes(), true, 0, true),
            (b"Subject: gr\xfcn\r\n\r\nbody\r\n", true, 0, false),
            ("Subject: plain\r\n\r\ngrün\r\n".as_bytes(), false, 0, false),
            (b"Subject: plain\r\n\r\n\0\r\n", true, 0, false),
            (b"Subject: plain\r\n\r\na\rb\r\n", true, 0, false),
            (b"Subject: plain\r\n\r\na\r\r\nb\r\r\r\n", true, 2, false),
            (b"Subject: plain\r\n\r\nend\r\n\r", true, 1, false),
        ] {
            assert_eq!(looked_through(bytes), (odd, less, utf8), "{:?}", String::from_utf8_lossy(bytes));
        }
        let endless = format!("Subject: grün {}", "x".repeat(limits::IMAP_HEADER_BYTES as usize));
        assert_eq!(looked_through(endless.as_bytes()), (true, 0, false));
    }
}
