//! Bytes to and from a server: lines and literals with bounds, and compression (RFC 4978) once both sides agreed on it.

use crate::limits;
use crate::net::Stream;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::io::{self, Read, Write};

/// What is read from the network at once, bytes.
const CHUNK: usize = 64 * limits::KIB as usize;

/// Why no answer could be read.
#[derive(Debug)]
pub enum WireError {
    /// The connection ended or fell silent.
    Lost(io::Error),
    /// The server broke a bound or the protocol.
    Rude(String),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

/// A connection with buffers. What is written waits for [`Wire::flush`].
pub struct Wire<S = Stream> {
    stream: S,
    packed: Option<Packed>,
    /// Read and not yet taken: from `at` on.
    buffer: Vec<u8>,
    at: usize,
    out: Vec<u8>,
    /// Something was written that compression may still hold back.
    held_back: bool,
}

/// Both directions of a compressed connection.
struct Packed {
    inflate: Decompress,
    deflate: Compress,
    /// Read and not yet inflated.
    raw: Vec<u8>,
}

impl<S: Read + Write> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, packed: None, buffer: Vec::new(), at: 0, out: Vec::new(), held_back: false }
    }

    /// The bare connection; what was read ahead is thrown away, because nothing that came in the open may count as said
    /// under TLS (RFC 9051, section 11.1).
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// From here on everything is compressed, in both directions.
    pub fn compress(&mut self) {
        // Level 1: what goes out is mostly base64, and the network is seldom slower than that.
        let deflate = Compress::new(Compression::fast(), false);
        let raw = self.buffer.split_off(self.at.min(self.buffer.len()));
        self.buffer.clear();
        self.at = 0;
        self.packed = Some(Packed { inflate: Decompress::new(false), deflate, raw });
    }

    /// Adds bytes to what goes out with the next [`Wire::flush`], or earlier when there are many.
    pub fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.extend_from_slice(bytes);
        if self.out.len() >= CHUNK { self.push(FlushCompress::None) } else { Ok(()) }
    }

    pub fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() && !self.held_back {
            return Ok(());
        }
        self.push(FlushCompress::Sync)?;
        self.held_back = false;
        self.stream.flush()
    }

    fn push(&mut self, flush: FlushCompress) -> io::Result<()> {
        let out = std::mem::take(&mut self.out);
        self.held_back = true;
        let Some(packed) = &mut self.packed else {
            self.stream.write_all(&out)?;
            self.out = out;
            self.out.clear();
            return Ok(());
        };
        let mut small: Vec<u8> = Vec::with_capacity(CHUNK);
        let mut rest = out.as_slice();
        loop {
            let before = packed.deflate.total_in();
            packed.deflate.compress_vec(rest, &mut small, flush).map_err(io::Error::other)?;
            let taken = usize::try_from(packed.deflate.total_in() - before).unwrap_or(usize::MAX);
            rest = rest.get(taken..).unwrap_or_default();
            // Room left over means that everything has come out.
            let done = rest.is_empty() && small.len() < small.capacity();
            self.stream.write_all(&small)?;
            small.clear();
            if done {
                return Ok(());
            }
        }
    }

    /// Reads one whole answer into `into`: a line, and where it announces a literal, that and the next line. The literals
    /// together have at most `literals` bytes.
    pub fn read_answer(&mut self, into: &mut Vec<u8>, literals: u64) -> Result<(), WireError> {
        into.clear();
        let (mut left, mut lines) = (literals, 0);
        loop {
            let start = into.len();
            lines += self.read_line(into, lines)?;
            let line = into.get(start..).unwrap_or_default();
            let Some(length) = literal_length(line) else { return Ok(()) };
            if length > left {
                return Err(WireError::Rude(format!(
                    "it wants to send {length} bytes where at most {left} were asked for"
                )));
            }
            left -= length;
            self.read_exactly(length, into)?;
        }
    }

    /// Appends a line with its end; `before` bytes of the same answer came in lines already.
    fn read_line(&mut self, into: &mut Vec<u8>, before: usize) -> Result<usize, WireError> {
        let start = into.len();
        loop {
            let ready = self.buffer.get(self.at..).unwrap_or_default();
            let end = memchr::memchr(b'\n', ready).map(|end| end + 1);
            let take = end.unwrap_or(ready.len());
            let room = into.capacity() - into.len();
            if take > room && into.len() >= limits::IMAP_LINE_STEP {
                into.reserve_exact(limits::IMAP_LINE_STEP.max(take));
            }
            into.extend_from_slice(ready.get(..take).unwrap_or_default());
            self.at += take;
            let length = before + into.len() - start;
            let only_numbers = ["* VANISHED", "* SEARCH"].iter().any(|head| into.starts_with(head.as_bytes()));
            let bound = if only_numbers { limits::IMAP_NUMBERS_BYTES } else { limits::IMAP_LINE_BYTES };
            if length > bound {
                return Err(WireError::Rude(format!("a line of its answer has more than {bound} bytes")));
            }
            if end.is_some() {
                return Ok(into.len() - start);
            }
            self.fill()?;
        }
    }

    fn read_exactly(&mut self, length: u64, into: &mut Vec<u8>) -> Result<(), WireError> {
        let mut left = usize::try_from(length).unwrap_or(usize::MAX);
        // No more than a piece is reserved before the bytes are here.
        into.reserve(left.min(limits::IMAP_PIECE_BYTES as usize));
        while left > 0 {
            let ready = self.buffer.get(self.at..).unwrap_or_default();
            let take = ready.len().min(left);
            into.extend_from_slice(ready.get(..take).unwrap_or_default());
            self.at += take;
            left -= take;
            if left > 0 {
                self.fill()?;
            }
        }
        Ok(())
    }

    /// Reads more into the empty buffer.
    fn fill(&mut self) -> io::Result<()> {
        self.at = 0;
        let Some(packed) = &mut self.packed else {
            self.buffer.resize(CHUNK, 0);
            let got = read_some(&mut self.stream, &mut self.buffer)?;
            self.buffer.truncate(got);
            return Ok(());
        };
        self.buffer.clear();
        self.buffer.reserve(CHUNK);
        loop {
            // First what is held back inside: much may come out of little that went in long ago.
            let before = packed.inflate.total_in();
            let status = packed.inflate.decompress_vec(&packed.raw, &mut self.buffer, FlushDecompress::None);
            let status = status.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let taken = usize::try_from(packed.inflate.total_in() - before).unwrap_or(usize::MAX);
            packed.raw.drain(..taken.min(packed.raw.len()));
            if !self.buffer.is_empty() {
                return Ok(());
            }
            if status == Status::StreamEnd {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if packed.raw.is_empty() {
                packed.raw.resize(CHUNK, 0);
                let got = read_some(&mut self.stream, &mut packed.raw);
                packed.raw.truncate(*got.as_ref().unwrap_or(&0));
                got?;
            } else if taken == 0 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the compressed connection does not go on"));
            }
        }
    }
}

fn read_some(stream: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(into) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// The length of the literal that the end of a line announces.
fn literal_length(line: &[u8]) -> Option<u64> {
    let inside = line.strip_suffix(b"}\r\n")?;
    let open = inside.iter().rposition(|&byte| byte == b'{')?;
    let digits = inside.get(open + 1..)?;
    // Nothing in front of the brace: a text that only looks like one is followed by no literal (RFC 9051, section 9).
    let before = open.checked_sub(1).and_then(|at| inside.get(at));
    let fits = matches!(before, Some(b' ' | b'(' | b'~')) && digits.len() <= 20;
    if !fits {
        return None;
    }
    std::str::from_utf8(digits).ok()?.trim_end_matches('+').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what it was made of in small pieces, and keeps what is written.
    struct Canned {
        gives: Vec<u8>,
        at: usize,
        written: Vec<u8>,
    }

    impl Read for Canned {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let take = buf.len().min(7).min(self.gives.len() - self.at);
            buf[..take].copy_from_slice(&self.gives[self.at..self.at + take]);
            self.at += take;
            Ok(take)
        }
    }

    impl Write for Canned {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.written.extend_from_slice(buf);
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Says `x` for ever.
    struct Endless;

    impl Read for Endless {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            buf.fill(b'x');
            Ok(buf.len())
        }
    }

    impl Write for Endless {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn wire(gives: &[u8]) -> Wire<Canned> {
        Wire::new(Canned { gives: gives.to_vec(), at: 0, written: Vec::new() })
    }

    #[test]
    fn an_answer_ends_behind_its_last_literal() {
        let mut wire = wire(b"* 1 FETCH (A {3}\r\n\r\n) B {2}\r\nxy)\r\nA1 OK {5}x\r\n");
        let mut answer = Vec::new();
        wire.read_answer(&mut answer, 10).unwrap();
        assert_eq!(answer, b"* 1 FETCH (A {3}\r\n\r\n) B {2}\r\nxy)\r\n");
        wire.read_answer(&mut answer, 10).unwrap();
        assert_eq!(answer, b"A1 OK {5}x\r\n");
        assert!(matches!(wire.read_answer(&mut answer, 10), Err(WireError::Lost(_))));
    }

    #[test]
    fn endless_lines_and_huge_literals_cost_a_bounded_amount() {
        let mut answer = Vec::new();
        assert!(matches!(Wire::new(Endless).read_answer(&mut answer, 0), Err(WireError::Rude(_))));
        assert!(answer.len() <= limits::IMAP_LINE_BYTES + CHUNK);
        let mut wire = wire(b"* 1 FETCH (BODY[] {18446744073709551615}\r\nx");
        assert!(matches!(wire.read_answer(&mut answer, 100), Err(WireError::Rude(_))));
        assert!(answer.capacity() < 1 << 20);
    }

    #[test]
    fn both_directions_can_be_compressed() {
        let mut server = wire(b"");
        server.compress();
        let text = "* OK a rather long answer\r\n".repeat(20_000);
        server.put(text.as_bytes()).unwrap();
        server.flush().unwrap();
        let packed = std::mem::take(&mut server.stream.written);
        assert!(packed.len() < text.len() / 10);
        let mut gives = b"A1 OK begin\r\n".to_vec();
        gives.extend(packed);
        let mut client = wire(&gives);
        let mut answer = Vec::new();
        client.read_answer(&mut answer, 0).unwrap();
        client.compress();
        for _ in 0..20_000 {
            client.read_answer(&mut answer, 0).unwrap();
            assert_eq!(answer, b"* OK a rather long answer\r\n");
        }
    }
}
