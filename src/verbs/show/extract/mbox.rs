//! mboxrd: a `From ` line before each message, an empty line after it, and one `>` more before each line of it that is
//! `From ` behind any number of `>`. Taking that one away again gives every message back byte for byte, but for a last
//! line without an end, which gets one.

use jiff::Timestamp;
use std::io::{self, Write};

/// The line before a message; `date` in seconds since 1970. The sender is the customary one for who is not known: who
/// sent it stands in the message.
pub fn begin(out: &mut dyn Write, date: i64) -> io::Result<()> {
    let time = Timestamp::from_second(date).unwrap_or_default();
    writeln!(out, "From MAILER-DAEMON {}", time.strftime("%a %b %e %H:%M:%S %Y"))
}

/// Writes a message through, quoting as it goes.
pub struct Quoting<'a> {
    out: &'a mut dyn Write,
    line: Line,
    /// Whether what was written so far ends a line, or is nothing.
    ended: bool,
}

/// How far into its present line a message is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// At its beginning, or behind nothing but `>`.
    Open,
    /// So many bytes of `From ` were seen and are held back: the `>` has to come before them.
    From(usize),
    Plain,
}

const FROM: &[u8] = b"From ";

impl<'a> Quoting<'a> {
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self { out, line: Line::Open, ended: true }
    }

    /// Ends the message: its last line, and the empty one behind it.
    pub fn end(mut self) -> io::Result<()> {
        self.release()?;
        self.out.write_all(if self.ended { b"\n" } else { b"\n\n" })
    }

    /// Writes what was held back.
    fn release(&mut self) -> io::Result<()> {
        if let Line::From(held) = self.line {
            self.out.write_all(FROM.get(..held).unwrap_or(FROM))?;
        }
        Ok(())
    }

    fn take(&mut self, byte: u8) -> io::Result<()> {
        self.line = match (self.line, byte) {
            (Line::Open, b'>') => {
                self.out.write_all(b">")?;
                Line::Open
            }
            (Line::Open, b'F') => Line::From(1),
            (Line::From(held), byte) if FROM.get(held) == Some(&byte) => {
                if held + 1 < FROM.len() {
                    Line::From(held + 1)
                } else {
                    self.out.write_all(b">From ")?;
                    Line::Plain
                }
            }
            (_, byte) => {
                self.release()?;
                self.out.write_all(&[byte])?;
                if byte == b'\n' { Line::Open } else { Line::Plain }
            }
        };
        Ok(())
    }
}

impl Write for Quoting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.ended = bytes.last().map_or(self.ended, |last| *last == b'\n');
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            if self.line != Line::Plain {
                self.take(byte)?;
                rest = after;
                continue;
            }
            // The greater part of all mail: nothing to look at before the line's end.
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at(end);
            self.out.write_all(line)?;
            if line.ends_with(b"\n") {
                self.line = Line::Open;
            }
            rest = after;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(message: &[u8], chunk: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut quoting = Quoting::new(&mut out);
        message.chunks(chunk).for_each(|bytes| quoting.write_all(bytes).unwrap());
        quoting.end().unwrap();
        out
    }

    /// What a reader of mboxrd does.
    fn unquoted(quoted: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in quoted.split_inclusive(|&byte| byte == b'\n') {
            let marks = line.iter().take_while(|&&byte| byte == b'>').count();
            let from = marks > 0 && line.get(marks..).is_some_and(|rest| rest.starts_with(FROM));
            out.extend_from_slice(if from { &line[1..] } else { line });
        }
        out
    }

    #[test]
    fn only_lines_that_would_begin_a_message_are_quoted() {
        let message = b"From a\n>From b\nFromage\n From c\n>> From d\nx From e";
        let expected = b">From a\n>>From b\nFromage\n From c\n>> From d\nx From e\n\n";
        assert_eq!(quoted(message, 3), expected);
    }

    #[test]
    fn the_line_before_a_message_has_the_date_as_ctime_writes_it() {
        let mut out = Vec::new();
        begin(&mut out, 1_700_000_000).unwrap();
        assert_eq!(out, b"From MAILER-DAEMON Tue Nov 14 22:13:20 2023\n");
    }

    proptest::proptest! {
        #[test]
        fn quoting_is_undone_exactly(message in "([>]{0,2}(From ?|F|x|\r)?\n?){0,12}", chunk in 1_usize..9) {
            let bytes = message.as_bytes();
            let mut expected = bytes.to_vec();
            if !message.is_empty() && !message.ends_with('\n') {
                expected.push(b'\n');
            }
            expected.push(b'\n');
            let quoted = quoted(bytes, chunk);
            proptest::prop_assert!(!quoted.split(|&byte| byte == b'\n').any(|line| line.starts_with(FROM)));
            proptest::prop_assert_eq!(unquoted(&quoted), expected);
        }
    }
}
