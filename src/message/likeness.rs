//! What a message has in common with others, as far as its header tells: the list or sender it came from, its author, its
//! subject. Messages that have these in common repeat one another's text, so they compress well side by side.
//!
//! A guess that costs or saves size and nothing else. Called by the export; format-spec/pack.md says what it saves.

use super::header::{empty_line, field_end, value_of};
use memchr::memchr;

/// Orders messages so that like ones are neighbours: by list, then by author, then by subject, as hashes. What is not
/// known is 0. The order means nothing else, and is not stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Likeness {
    list: u32,
    author: u32,
    subject: u32,
}

/// How much of a header is looked at, bytes. Those of long ones (traces of relays) come first, authors behind them.
const HEADER_BYTES: usize = 32 * 1024;

/// The likeness of the message whose header `raw` begins with.
pub fn likeness(raw: &[u8]) -> Likeness {
    let raw = raw.get(..HEADER_BYTES).unwrap_or(raw);
    let (mut like, mut sender, mut at) = (Likeness::default(), 0, 0);
    while at < raw.len() && empty_line(raw, at) == 0 {
        let end = field_end(raw, at);
        let field = raw.get(at..end).unwrap_or_default();
        at = end;
        // Nearly every field is turned away by its first letter.
        match field.first().map(u8::to_ascii_lowercase) {
            Some(b'l') => {
                if let Some(value) = value_of(field, b"list-id").or_else(|| value_of(field, b"list-post")) {
                    like.list = hash(value.trim_ascii());
                }
            }
            Some(b'f') => {
                if let Some(value) = value_of(field, b"from") {
                    like.author = hash(address(value));
                }
            }
            Some(b's') => {
                if let Some(value) = value_of(field, b"subject") {
                    like.subject = hash(bare_subject(value));
                } else if let Some(value) = value_of(field, b"sender") {
                    sender = hash(address(value));
                }
            }
            _ => {}
        }
    }
    if like.list == 0 {
        like.list = sender;
    }
    like
}

/// The address in a field: what stands between the last angle brackets, or the whole of it.
fn address(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    let Some(open) = memchr::memrchr(b'<', value) else { return value };
    let rest = value.get(open + 1..).unwrap_or_default();
    rest.get(..memchr(b'>', rest).unwrap_or(rest.len())).unwrap_or_default()
}

/// A subject without what answering and lists put before it.
fn bare_subject(value: &[u8]) -> &[u8] {
    const ANSWERS: [&[u8]; 6] = [b"re:", b"fw:", b"fwd:", b"aw:", b"wg:", b"sv:"];
    let mut subject = value.trim_ascii();
    loop {
        let answer =
            ANSWERS.iter().find(|answer| subject.get(..answer.len()).is_some_and(|s| s.eq_ignore_ascii_case(answer)));
        let rest = match answer {
            Some(answer) => subject.get(answer.len()..),
            None if subject.starts_with(b"[") => memchr(b']', subject).and_then(|end| subject.get(end + 1..)),
            None => None,
        };
        match rest.map(<[u8]>::trim_ascii_start).filter(|rest| !rest.is_empty()) {
            Some(rest) => subject = rest,
            None => return subject,
        }
    }
}

/// FNV-1a over the letters in lower case, white space as one blank: the same for every build, as the order of an archive
/// has to be. Never 0 for text that is there. <https://www.rfc-editor.org/rfc/rfc9923>
fn hash(text: &[u8]) -> u32 {
    let mut hash = 0x811c_9dc5_u32;
    let mut blank = false;
    for byte in text {
        if byte.is_ascii_whitespace() && std::mem::replace(&mut blank, true) {
            continue;
        }
        blank = byte.is_ascii_whitespace();
        let byte = if blank { b' ' } else { byte.to_ascii_lowercase() };
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_like_what_it_answers() {
        let first = likeness(b"From: Ann <ann@example.org>\nSubject: The  harvest\n\nFrom: nobody\n");
        let answer = likeness(b"Subject: RE: [list] Fwd: the harvest\r\nFrom: \"A.\" <Ann@example.org>\r\n\r\n");
        assert_eq!(first, answer);
        assert_ne!(first, likeness(b"From: Ann <ann@example.org>\nSubject: Winter\n\n"));
    }

    #[test]
    fn a_list_goes_before_its_authors() {
        let like = |author: &str, list: &str| likeness(format!("From: {author}\nList-Id: {list}\n\n").as_bytes());
        assert_eq!(like("ann@x", "<a.x>").list, like("bob@x", "<a.x>").list);
        assert_ne!(like("ann@x", "<a.x>").list, like("ann@x", "<b.x>").list);
        assert_eq!(likeness(b"Sender: <o@x>\n\n").list, likeness(b"Sender: O <o@x>\nSubject: s\n\n").list);
    }

    #[test]
    fn any_bytes_have_a_likeness() {
        for raw in [
            &b""[..],
            b"\n",
            b"Subject",
            b"Subject:",
            b"Subject: [",
            b"From: <",
            b"From: >\n<",
            b"Subject: re:\n",
            &[0; 99],
        ] {
            likeness(raw);
        }
        assert_eq!(likeness(b""), Likeness::default());
    }
}
