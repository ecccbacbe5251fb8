//! Messages as IMAP carries them: each line ends with CRLF. A site of files mostly has LF; a bare CR is no line end and
//! stays.

use std::io::{self, Write};

/// The message with CRLF for every bare LF; `None` where it has none.
pub fn with_crlf(bytes: &[u8]) -> Option<Vec<u8>> {
    let bare = memchr::memchr_iter(b'\n', bytes).filter(|&at| !has_cr_before(bytes, at)).count();
    if bare == 0 {
        return None;
    }
    let mut out = Vec::with_capacity(bytes.len() + bare);
    let mut from = 0;
    for at in memchr::memchr_iter(b'\n', bytes).filter(|&at| !has_cr_before(bytes, at)) {
        out.extend_from_slice(bytes.get(from..at).unwrap_or_default());
        out.push(b'\r');
        from = at;
    }
    out.extend_from_slice(bytes.get(from..).unwrap_or_default());
    Some(out)
}

fn has_cr_before(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'\r')
}

/// Does the same to what is written through it, for what is too large to be held. Counts what comes out.
pub struct CrlfWriter<W> {
    inner: W,
    after_cr: bool,
    written: u64,
}

impl<W: Write> CrlfWriter<W> {
    pub fn new(inner: W) -> Self {
        Self { inner, after_cr: false, written: 0 }
    }

    /// Bytes that came out so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.inner.write_all(bytes)
    }
}

impl<W: Write> Write for CrlfWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut from = 0;
        for at in memchr::memchr_iter(b'\n', bytes) {
            let has_cr = if at == 0 { self.after_cr } else { has_cr_before(bytes, at) };
            if !has_cr {
                self.pass(bytes.get(from..at).unwrap_or_default())?;
                self.pass(b"\r")?;
                from = at;
            }
        }
        self.pass(bytes.get(from..).unwrap_or_default())?;
        if let Some(last) = bytes.last() {
            self.after_cr = *last == b'\r';
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_line_ends_with_crlf_and_nothing_else_changes() {
        assert_eq!(with_crlf(b"a\nb\r\nc\rd\n\n").unwrap(), b"a\r\nb\r\nc\rd\r\n\r\n");
        assert_eq!(with_crlf(b"a\r\nb\rc"), None);
        assert_eq!(with_crlf(b""), None);
    }

    proptest! {
        #[test]
        fn a_stream_comes_out_as_the_whole_does(pieces in proptest::collection::vec("[ab\r\n]{0,6}", 0..8)) {
            let whole = pieces.concat();
            let mut out = Vec::new();
            let mut writer = CrlfWriter::new(&mut out);
            for piece in &pieces {
                writer.write_all(piece.as_bytes()).unwrap();
            }
            let written = writer.written();
            let expected = with_crlf(whole.as_bytes()).unwrap_or_else(|| whole.clone().into_bytes());
            prop_assert_eq!(written, expected.len() as u64);
            prop_assert_eq!(out, expected);
        }
    }
}
