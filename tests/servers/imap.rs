//! An IMAP client that is small enough to be trusted: sends a command, returns the untagged answers with their literals.

use super::Lines;
use std::io::Read;

/// A logged-in connection.
pub struct Imap {
    lines: Lines,
    count: u32,
}

/// One untagged answer: its text, with `{}` where a literal stood, and the literals.
#[derive(Debug, Clone)]
pub struct Answer {
    pub text: String,
    pub literals: Vec<Vec<u8>>,
}

impl Imap {
    /// Logs in; the error is what the server answered.
    pub fn login(port: u16, user: &str, password: &str) -> Result<Self, String> {
        let mut imap = Self { lines: Lines::connect(port), count: 0 };
        imap.lines.line();
        imap.try_command(&format!("LOGIN \"{user}\" \"{password}\""))?;
        Ok(imap)
    }

    /// Sends a command that must succeed.
    pub fn command(&mut self, command: &str) -> Vec<Answer> {
        self.try_command(command).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Sends a command; the error is the line that refuses it.
    pub fn try_command(&mut self, command: &str) -> Result<Vec<Answer>, String> {
        self.count += 1;
        let tag = format!("t{} ", self.count);
        self.lines.send(format!("{tag}{command}\r\n").as_bytes());
        let mut answers = Vec::new();
        loop {
            let answer = self.answer();
            match answer.text.strip_prefix(&tag) {
                Some(outcome) if outcome.starts_with("OK") => return Ok(answers),
                Some(outcome) => return Err(outcome.to_owned()),
                None => answers.push(answer),
            }
        }
    }

    /// Appends a message; `what` are flags and date.
    pub fn append(&mut self, folder: &str, what: &str, message: &[u8]) {
        self.count += 1;
        let tag = format!("t{} ", self.count);
        self.lines.send(format!("{tag}APPEND \"{folder}\" {what} {{{}}}\r\n", message.len()).as_bytes());
        let go = self.answer();
        assert!(go.text.starts_with('+'), "{}", go.text);
        self.lines.send(message);
        self.lines.send(b"\r\n");
        loop {
            let answer = self.answer();
            if let Some(outcome) = answer.text.strip_prefix(&tag) {
                return assert!(outcome.starts_with("OK"), "{outcome}");
            }
        }
    }

    fn answer(&mut self) -> Answer {
        let mut answer = Answer { text: String::new(), literals: Vec::new() };
        loop {
            let line = String::from_utf8_lossy(&self.lines.line()).into_owned();
            let size = line.strip_suffix('}').and_then(|rest| rest.rsplit_once('{')).map(|(text, size)| {
                (text.len(), size.parse::<usize>().unwrap_or_else(|_| panic!("a strange literal in {line:?}")))
            });
            let Some((end, size)) = size else {
                answer.text.push_str(&line);
                return answer;
            };
            answer.text.push_str(&line[..end]);
            answer.text.push_str("{}");
            let mut literal = vec![0; size];
            self.lines.stream.read_exact(&mut literal).unwrap();
            answer.literals.push(literal);
        }
    }

    /// The names that LIST or LSUB gives, with the attributes in front: `(\HasNoChildren \Sent) Sent`.
    pub fn list(&mut self, command: &str) -> Vec<(String, String)> {
        let answers = self.command(command);
        let parse = |answer: &Answer| {
            let rest = answer.text.split_once('(').unwrap().1;
            let (attributes, rest) = rest.split_once(')').unwrap();
            // Behind the separator stands the name: an atom, a quoted string or a literal.
            let name = rest.trim().split_once(' ').unwrap().1;
            let name = match answer.literals.first() {
                Some(literal) if name == "{}" => String::from_utf8(literal.clone()).unwrap(),
                _ => name.trim_matches('"').replace("\\\"", "\"").replace("\\\\", "\\"),
            };
            (attributes.to_owned(), name)
        };
        answers.iter().map(parse).collect()
    }
}

/// What stands behind `key` in an answer's parentheses, up to the next space or parenthesis: `value(…, "UID ")`.
pub fn value<'a>(answer: &'a str, key: &str) -> Option<&'a str> {
    let rest = answer.split_once(key)?.1;
    let end = if let Some(list) = rest.strip_prefix('(') { list.find(')')? + 2 } else { rest.find([' ', ')', ']'])? };
    Some(&rest[..end])
}
