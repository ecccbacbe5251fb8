//! Lines of the control files that administrators and servers write: how they are counted, and how one that does not
//! follow its format is reported. Pure; every parser of this connector uses it.

use crate::limits::BAD_LINES_SHOWN;

/// A line that does not follow the format of its file. The rest of the file is used all the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it; never its content, which may hold a password hash.
    pub what: String,
    pub concerns: Concerns,
}

/// Of which entry a bad line could have been.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Concerns {
    /// Any: nothing tells.
    #[default]
    Any,
    /// The one with this key.
    Key(String),
    /// None: another line counts.
    None,
}

impl BadLine {
    pub fn new(line: usize, what: impl Into<String>) -> Self {
        Self { line, what: what.into(), concerns: Concerns::Any }
    }

    pub fn concerning(self, concerns: Concerns) -> Self {
        Self { concerns, ..self }
    }
}

/// The bad lines of a file of which somebody may write a million: the first ones, and how many more there are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BadLines {
    /// At most [`BAD_LINES_SHOWN`].
    pub first: Vec<BadLine>,
    pub more: usize,
}

impl BadLines {
    pub fn push(&mut self, line: usize, what: &str) {
        match self.first.len() < BAD_LINES_SHOWN {
            true => self.first.push(BadLine::new(line, what)),
            false => self.more += 1,
        }
    }
}

impl std::fmt::Display for BadLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// The lines of a file with their numbers, counted from 1, without line ends (LF or CRLF). A last line without an end
/// counts; an empty rest after the last end does not.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let all = body.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    all.enumerate().map(|(at, line)| (at + 1, line)).filter(move |_| !bytes.is_empty())
}

/// `line` at its first `separator`: what stands before it, and after it.
pub fn split_once(line: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(separator, line)?;
    Some((line.get(..at)?, line.get(at + 1..)?))
}

/// A decimal number, digits only.
pub fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_its_lines_with_numbers_whatever_its_line_ends() {
        let of = |text: &'static [u8]| lines(text).collect::<Vec<_>>();
        assert_eq!(of(b""), []);
        assert_eq!(of(b"a\r\n\nb"), [(1, &b"a"[..]), (2, b""), (3, b"b")]);
        assert_eq!(of(b"a\n"), [(1, &b"a"[..])]);
    }
}
