//! What stands in a status answer: OK, NO, BAD, BYE, with its code in brackets (RFC 9051, section 7.1; RFC 5530 for the
//! codes of refusals). Pure.

use super::answer::Numbers;
use super::value::Values;
use crate::model::text;
use std::fmt;

/// The word of a status answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    Ok,
    No,
    Bad,
    Bye,
    PreAuth,
}

/// What the brackets say, as far as it matters here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Code {
    Capability(Vec<String>),
    /// UIDVALIDITY, and the UIDs in the order of the messages.
    AppendUid(u32, Numbers),
    /// UIDVALIDITY of the target, UIDs there and here.
    CopyUid(u32, Numbers, Numbers),
    UidValidity(u32),
    UidNext(u32),
    HighestModSeq(u64),
    NoModSeq,
    PermanentFlags(Vec<String>),
    ReadOnly,
    /// Any other, in capitals.
    Other(String),
}

/// A status answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    pub word: Word,
    pub code: Option<Code>,
    pub text: String,
}

impl Said {
    /// Reads what follows the tag; `None` where it is no status.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (word, rest) = match bytes.iter().position(|&byte| byte == b' ') {
            Some(end) => (bytes.get(..end)?, bytes.get(end + 1..)?),
            None => (bytes, &b""[..]),
        };
        let word = match word.to_ascii_uppercase().as_slice() {
            b"OK" => Word::Ok,
            b"NO" => Word::No,
            b"BAD" => Word::Bad,
            b"BYE" => Word::Bye,
            b"PREAUTH" => Word::PreAuth,
            _ => return None,
        };
        let (code, text) = match rest.strip_prefix(b"[").and_then(split_code) {
            Some((code, text)) => (Code::parse(code), text),
            None => (None, rest),
        };
        Some(Self { word, code, text: text::printable(&text::from_bytes(text.trim_ascii())) })
    }

    pub fn is_ok(&self) -> bool {
        self.word == Word::Ok
    }

    /// Whether the brackets hold this code, in capitals.
    pub fn has(&self, name: &str) -> bool {
        matches!(&self.code, Some(Code::Other(code)) if code.split(' ').next() == Some(name))
    }

    /// Whether the server is only busy, so that trying again later may help.
    pub fn asks_to_wait(&self) -> bool {
        self.is_busy() || self.has("LIMIT") || self.is_crowded()
    }

    /// Whether it can't do what it was asked at the moment (RFC 5530). A limit that a command ran up against stays.
    pub fn is_busy(&self) -> bool {
        ["UNAVAILABLE", "INUSE", "SERVERBUG"].iter().any(|code| self.has(code))
    }

    /// Whether it says that there are too many connections. Few servers have a code for that.
    pub fn is_crowded(&self) -> bool {
        let text = self.text.to_ascii_lowercase();
        let many = ["too many", "maximum number of connections", "connection limit", "simultaneous connections"];
        many.iter().any(|words| text.contains(words))
    }
}

/// The server's own words.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Code::Other(code)) = &self.code {
            write!(f, "[{}] ", text::printable(code))?;
        }
        f.write_str(if self.text.is_empty() { "no reason given" } else { &self.text })
    }
}

/// What stands before the closing bracket, and behind it. A quoted string may hold one.
fn split_code(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut quoted = false;
    let end = bytes.iter().position(|&byte| {
        quoted ^= byte == b'"';
        byte == b']' && !quoted
    })?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

impl Code {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut values = Values::new(bytes);
        let name = values.word()?.to_ascii_uppercase();
        let mut number = || values.next()?.number();
        Some(match name.as_slice() {
            b"CAPABILITY" => Self::Capability(words(&mut values)),
            b"UIDVALIDITY" => Self::UidValidity(u32::try_from(number()?).ok()?),
            b"UIDNEXT" => Self::UidNext(u32::try_from(number()?).ok()?),
            b"HIGHESTMODSEQ" => Self::HighestModSeq(number()?),
            b"NOMODSEQ" => Self::NoModSeq,
            b"READ-ONLY" => Self::ReadOnly,
            b"PERMANENTFLAGS" => {
                Self::PermanentFlags(values.next()?.list().iter().filter_map(super::value::Value::text).collect())
            }
            b"APPENDUID" => {
                let validity = u32::try_from(number()?).ok()?;
                Self::AppendUid(validity, Numbers::parse(values.word()?)?)
            }
            b"COPYUID" => {
                let validity = u32::try_from(number()?).ok()?;
                let here = Numbers::parse(values.word()?)?;
                Self::CopyUid(validity, Numbers::parse(values.word()?)?, here)
            }
            _ => Self::Other(text::from_bytes(&bytes.to_ascii_uppercase()).chars().take(200).collect()),
        })
    }
}

/// The bare words up to the end, in capitals.
pub fn words(values: &mut Values<'_>) -> Vec<String> {
    std::iter::from_fn(|| values.word()).map(|word| text::from_bytes(&word.to_ascii_uppercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_words_are_read() {
        let said = Said::parse(b"OK [APPENDUID 7 3:5,9] done").unwrap();
        let Some(Code::AppendUid(7, uids)) = &said.code else { panic!("{said:?}") };
        assert_eq!(uids.each().collect::<Vec<_>>(), [3, 4, 5, 9]);
        let said = Said::parse("NO [OVERQUOTA] Postfach voll é".as_bytes()).unwrap();
        assert!(said.has("OVERQUOTA") && !said.is_ok());
        assert_eq!(said.to_string(), "[OVERQUOTA] Postfach voll é");
        let said = Said::parse("OK [ALERT]é".as_bytes()).unwrap();
        assert_eq!(said.text, "é");
        assert!(Said::parse(b"BYE Too many connections from your host").unwrap().is_crowded());
        assert!(Said::parse(b"OK").unwrap().is_ok());
        assert_eq!(Said::parse(b"OKAY x"), None);
    }
}
