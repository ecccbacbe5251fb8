//! What a ManageSieve server says, as values: lines of words, and the answer that ends a command (RFC 5804 4).
//!
//! Every line, literal and answer is bounded before it is read, so a server that never stops costs a bounded amount of
//! memory. Knows nothing of connections; `Speaker` gives it bytes.

use crate::limits;
use std::io::{self, BufRead};

/// One word of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Word {
    /// `ACTIVE`, `OK`, a number.
    Atom(String),
    /// A quoted string or a literal.
    Text(Vec<u8>),
    Open,
    Close,
}

impl Word {
    pub fn atom(&self) -> Option<&str> {
        match self {
            Self::Atom(atom) => Some(atom),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Ok,
    No,
    /// The server ends the connection.
    Bye,
}

/// All that a server says to one command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub lines: Vec<Vec<Word>>,
    pub status: Status,
    /// The response code in upper case, without its arguments: `QUOTA/MAXSIZE`, `NONEXISTENT`.
    pub code: Option<String>,
    /// What the server tells a person; several lines are joined to one.
    pub words: String,
}

impl Answer {
    /// Whether the code is `code` or a case of it (`QUOTA` is also `QUOTA/MAXSCRIPTS`).
    pub fn has_code(&self, code: &str) -> bool {
        self.code.as_deref().is_some_and(|has| has.split('/').next() == Some(code))
    }

    /// The server's own words, or its code where it says nothing more.
    pub fn said(&self) -> String {
        match (&self.code, self.words.trim()) {
            (Some(code), "") => code.clone(),
            (None, "") => "it gives no reason".to_owned(),
            (_, words) => words.trim_end_matches(';').to_owned(),
        }
    }
}

/// Reads one answer: lines up to OK, NO or BYE. `None`: the server asks for more (a challenge of SASL, a string alone).
///
/// An error of kind `InvalidData` is an answer that breaks the rules or a bound.
pub fn read_answer(input: &mut impl BufRead, challenges: Challenges) -> io::Result<Option<Answer>> {
    let mut lines = Vec::new();
    let mut budget = limits::SIEVE_ANSWER_BYTES;
    loop {
        let line = read_line(input, &mut budget)?;
        let status = match line.first().and_then(Word::atom).map(str::to_ascii_uppercase).as_deref() {
            Some("OK") => Status::Ok,
            Some("NO") => Status::No,
            Some("BYE") => Status::Bye,
            _ if challenges == Challenges::Expected && matches!(line.as_slice(), [Word::Text(_)]) => return Ok(None),
            _ => {
                lines.push(line);
                continue;
            }
        };
        let mut rest = line.get(1..).unwrap_or_default();
        let mut code = None;
        if rest.first() == Some(&Word::Open) {
            code = rest.get(1).and_then(Word::atom).map(str::to_ascii_uppercase);
            let close =
                rest.iter().position(|word| *word == Word::Close).ok_or_else(|| bad("a code without its end"))?;
            rest = rest.get(close + 1..).unwrap_or_default();
        }
        let text = rest.first().and_then(Word::text).map(String::from_utf8_lossy);
        let words = text.map(|text| text.lines().map(str::trim).collect::<Vec<_>>().join("; "));
        return Ok(Some(Answer { lines, status, code, words: words.unwrap_or_default() }));
    }
}

/// Whether a string alone may be the server's question within a login.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Challenges {
    Expected,
    None,
}

/// One line with the literals in it.
fn read_line(input: &mut impl BufRead, budget: &mut u64) -> io::Result<Vec<Word>> {
    let mut words = Vec::new();
    loop {
        let line = read_raw_line(input, budget)?;
        match split(&line, &mut words)? {
            None => return Ok(words),
            Some(size) => {
                if size > limits::SIEVE_SCRIPT_BYTES {
                    return Err(bad(&format!("a text of {size} bytes, more than are taken")));
                }
                spend(budget, size)?;
                let mut text = vec![0; usize::try_from(size).map_err(|_| bad("a text too large for this machine"))?];
                input.read_exact(&mut text)?;
                words.push(Word::Text(text));
            }
        }
    }
}

/// Bytes up to the end of the line, without it.
fn read_raw_line(input: &mut impl BufRead, budget: &mut u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut bounded = io::Read::take(&mut *input, limits::SIEVE_LINE_BYTES);
    bounded.read_until(b'\n', &mut line)?;
    spend(budget, line.len() as u64)?;
    if line.pop() != Some(b'\n') {
        let full = line.len() as u64 + 1 >= limits::SIEVE_LINE_BYTES;
        return Err(if full { bad("a line that does not end") } else { io::ErrorKind::UnexpectedEof.into() });
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

/// Splits a line into words; where it ends in a literal, its size in bytes.
fn split(line: &[u8], words: &mut Vec<Word>) -> io::Result<Option<u64>> {
    let mut rest = line;
    while let Some((&first, behind)) = rest.split_first() {
        match first {
            b' ' | b'\t' => rest = behind,
            b'(' => {
                words.push(Word::Open);
                rest = behind;
            }
            b')' => {
                words.push(Word::Close);
                rest = behind;
            }
            b'"' => {
                let (text, behind) = quoted(behind)?;
                words.push(Word::Text(text));
                rest = behind;
            }
            b'{' => {
                let digits = behind.strip_suffix(b"}").ok_or_else(|| bad("a literal's size that does not end"))?;
                let digits = digits.strip_suffix(b"+").unwrap_or(digits);
                let size = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
                return size.map(Some).ok_or_else(|| bad("a literal whose size is no number"));
            }
            _ => {
                let end = rest.iter().position(|byte| b" \t()\"".contains(byte)).unwrap_or(rest.len());
                let (atom, behind) = rest.split_at(end);
                words.push(Word::Atom(String::from_utf8_lossy(atom).into_owned()));
                rest = behind;
            }
        }
        if words.len() > limits::SIEVE_WORDS {
            return Err(bad("a line of more words than are taken"));
        }
    }
    Ok(None)
}

/// The text up to the closing quote, and what is behind it.
fn quoted(rest: &[u8]) -> io::Result<(Vec<u8>, &[u8])> {
    let mut text = Vec::new();
    let mut bytes = rest.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => return Ok((text, rest.get(at + 1..).unwrap_or_default())),
            b'\\' => text.extend(bytes.next().map(|(_, &escaped)| escaped)),
            _ => text.push(byte),
        }
    }
    Err(bad("a quoted text that does not end"))
}

fn spend(budget: &mut u64, bytes: u64) -> io::Result<()> {
    *budget = budget.checked_sub(bytes).ok_or_else(|| bad("an answer longer than is taken"))?;
    Ok(())
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server sent {what}"))
}

/// A name as a command carries it; a name with a quote or a backslash is escaped.
pub fn quote(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for c in name.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(text: &str) -> io::Result<Option<Answer>> {
        read_answer(&mut text.as_bytes(), Challenges::None)
    }

    #[test]
    fn the_answers_of_the_rfc_are_read() {
        let listed =
            answer("\"summer_script\"\r\n\"vacation\\\"x\" ACTIVE\r\n{4}\r\na\r\nb\r\nOK\r\n").unwrap().unwrap();
        assert_eq!(listed.status, Status::Ok);
        let names: Vec<_> = listed.lines.iter().map(|line| line[0].text().unwrap().to_vec()).collect();
        assert_eq!(names, [b"summer_script".to_vec(), b"vacation\"x".to_vec(), b"a\r\nb".to_vec()]);
        assert_eq!(listed.lines[1][1].atom(), Some("ACTIVE"));
        let refused = answer("NO (QUOTA/MAXSIZE) \"Quota exceeded\"\r\n").unwrap().unwrap();
        assert!(refused.has_code("QUOTA") && !refused.has_code("MAXSIZE"));
        assert_eq!((refused.status, refused.said().as_str()), (Status::No, "Quota exceeded"));
        let several = answer("NO {21+}\r\nline 2: wrong\r\nfailed\r\n").unwrap().unwrap();
        assert_eq!(several.said(), "line 2: wrong; failed");
        let tagged = answer("OK (TAG \"x\") \"done\"\r\n").unwrap().unwrap();
        assert_eq!((tagged.code.as_deref(), tagged.words.as_str()), (Some("TAG"), "done"));
        assert_eq!(answer("BYE (TRYLATER)\r\n").unwrap().unwrap().said(), "TRYLATER");
    }

    #[test]
    fn a_server_that_never_stops_is_cut_off() {
        let endless = "x".repeat(2 * limits::SIEVE_LINE_BYTES as usize);
        assert_eq!(answer(&endless).unwrap_err().kind(), io::ErrorKind::InvalidData);
        for hostile in ["{99999999999}\r\n", "{-1}\r\n", "{4\r\nabcd", "\"open\r\nOK\r\n", "OK (CODE \"x\"\r\n"] {
            assert_eq!(answer(hostile).unwrap_err().kind(), io::ErrorKind::InvalidData, "{hostile}");
        }
        let many = "\"name\"\r\n".repeat(limits::SIEVE_ANSWER_BYTES as usize / 8 + 1);
        assert_eq!(answer(&many).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(answer("\"cut").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_question_within_a_login_is_no_line_of_an_answer() {
        let question = read_answer(&mut "\"e30=\"\r\n".as_bytes(), Challenges::Expected).unwrap();
        assert_eq!(question, None);
    }

    proptest! {
        #[test]
        fn a_name_comes_back_from_its_quotes(name in "[^\u{0}-\u{1f}]*") {
            let line = format!("{} ACTIVE\r\nOK\r\n", quote(&name));
            let read = answer(&line).unwrap().unwrap();
            prop_assert_eq!(read.lines[0][0].text().unwrap(), name.as_bytes());
        }

        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_answer(&mut bytes.as_slice(), Challenges::None);
        }
    }
}
