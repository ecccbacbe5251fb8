//! A command as it goes over the wire: words, and strings in the shortest form that is safe. Pure.

use crate::limits;

/// What a command is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Bytes(Vec<u8>),
    /// Announced by its length; where the server has no LITERAL+, it is waited for.
    Literal(Vec<u8>),
}

/// A tag with the space behind it, and CRLF; the tags of a connection are numbers, of ten digits at most.
const TAG_BYTES: usize = 14;

/// A command without tag and line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    parts: Vec<Part>,
    /// Not to be shown: it holds a password.
    secret: bool,
    /// Most bytes of literals in one answer to it.
    pub literals: u64,
    /// Most messages, names or counters in the answers to it.
    pub answers: usize,
}

impl Command {
    /// Begins with `words`, written as they are.
    pub fn new(words: impl Into<String>) -> Self {
        let parts = vec![Part::Bytes(words.into().into_bytes())];
        Self { parts, secret: false, literals: limits::IMAP_LITERAL_BYTES, answers: limits::IMAP_UNASKED }
    }

    /// Adds a space and `words`, written as they are.
    pub fn words(self, words: &str) -> Self {
        self.raw(format!(" {words}").as_bytes())
    }

    /// Adds a space and a string that is written as a literal, whatever is in it.
    pub fn literal(self, text: &[u8]) -> Self {
        let mut spaced = self.raw(b" ");
        spaced.parts.push(Part::Literal(text.to_vec()));
        spaced
    }

    /// Adds a space and a string.
    pub fn string(self, text: &[u8]) -> Self {
        let plain = text.len() <= 1000 && text.iter().all(|byte| matches!(byte, b' '..=b'~' | 0x80..));
        if !plain {
            return self.literal(text);
        }
        let mut quoted = vec![b' ', b'"'];
        for &byte in text {
            if matches!(byte, b'"' | b'\\') {
                quoted.push(b'\\');
            }
            quoted.push(byte);
        }
        quoted.push(b'"');
        self.raw(&quoted)
    }

    /// Adds `bytes` as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        match self.parts.last_mut() {
            Some(Part::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.parts.push(Part::Bytes(bytes.to_vec())),
        }
        self
    }

    pub fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// Says how many bytes of literals an answer may have.
    pub fn expecting(self, literals: u64) -> Self {
        Self { literals, ..self }
    }

    /// Says that it asks for all messages of a folder.
    pub fn about_all(self) -> Self {
        Self { answers: limits::IMAP_MESSAGES, ..self }
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Bytes on the wire, with its tag and the ends of its lines.
    pub fn bytes(&self) -> usize {
        let parts = self.parts.iter().map(|part| match part {
            Part::Bytes(bytes) => bytes.len(),
            // Announced by its length, with braces and an end of line.
            Part::Literal(bytes) => bytes.len() + 16,
        });
        parts.sum::<usize>() + TAG_BYTES
    }

    /// Its first words, for an error.
    pub fn shown(&self) -> String {
        let first = match self.parts.first() {
            Some(Part::Bytes(bytes)) => crate::model::text::from_bytes(bytes),
            _ => String::new(),
        };
        let words = if self.secret { 1 } else { 3 };
        let shown = first.split(' ').take(words).collect::<Vec<_>>().join(" ");
        crate::model::text::printable(&shown.chars().take(120).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_or_sent_as_literals() {
        let command = Command::new("SELECT").string(b"a \"b\\").words("(CONDSTORE)");
        assert_eq!(command.parts(), [Part::Bytes(b"SELECT \"a \\\"b\\\\\" (CONDSTORE)".to_vec())]);
        let command = Command::new("LOGIN").string(b"ann").string(b"p\r\nw").secret();
        assert_eq!(command.parts(), [Part::Bytes(b"LOGIN \"ann\" ".to_vec()), Part::Literal(b"p\r\nw".to_vec())]);
        assert_eq!(command.shown(), "LOGIN");
    }
}
