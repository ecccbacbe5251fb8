//! Text that comes from a site: bytes until proven UTF-8, and never shown raw on a terminal.

use std::borrow::Cow;

/// `bytes` as text: unchanged when they are UTF-8, else with each byte outside printable ASCII, and each backslash,
/// written `\xNN`. Two different byte strings of which one is not UTF-8 could give the same text; whoever lists names
/// treats a name met twice as a rejection.
pub fn from_bytes(bytes: &[u8]) -> String {
    of_bytes(bytes).into_owned()
}

/// [`from_bytes`], in its place where it is UTF-8.
pub fn of_bytes(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => bytes
            .iter()
            .map(|&byte| match byte {
                b' '..=b'~' if byte != b'\\' => char::from(byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            })
            .collect(),
    }
}

/// `text` for a terminal or a log: control characters (and so escape sequences), line ends and the characters that
/// turn the direction of writing are shown as `\u{…}`.
pub fn printable(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| if c.is_control() || turns(c) { c.escape_unicode().to_string() } else { c.to_string() })
        .collect()
}
