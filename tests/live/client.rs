//! What an IMAP server shows of an account, fetched by a client of the tests' own.

use crate::servers::imap::{Imap, value};
use base64::Engine as _;
use std::collections::BTreeMap;

/// A message as a client sees it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Message {
    pub content: Vec<u8>,
    /// INTERNALDATE, seconds since 1970.
    pub date: i64,
    /// Flags and keywords, sorted, without `\Recent`.
    pub flags: Vec<String>,
}

/// A folder as a client sees it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Folder {
    pub messages: Vec<Message>,
    pub subscribed: bool,
    pub special_use: Option<String>,
    /// Who may what, but the owner.
    pub grants: BTreeMap<String, String>,
}

pub type Mailbox = BTreeMap<String, Folder>;

const SPECIAL: [&str; 8] =
    ["\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash"];

/// All of an account's own folders; what others share with it is left out.
pub fn look(imap: &mut Imap, account: &str) -> Mailbox {
    let mut mailbox = Mailbox::new();
    let listed = imap.list("LIST \"\" \"*\" RETURN (SPECIAL-USE SUBSCRIBED)");
    for (attributes, name) in listed {
        let words: Vec<&str> = attributes.split_whitespace().collect();
        let foreign = ["shared/", "Other Users/", "Shared Folders/", "user/"];
        if words.contains(&"\\NoSelect")
            || words.contains(&"\\Noselect")
            || words.contains(&"\\NonExistent")
            || foreign.iter().any(|prefix| name.starts_with(prefix))
        {
            continue;
        }
        let special_use = words.iter().find(|word| SPECIAL.iter().any(|known| known.eq_ignore_ascii_case(word)));
        let folder = Folder {
            messages: messages(imap, &name),
            subscribed: words.contains(&"\\Subscribed"),
            special_use: special_use.map(|word| (*word).to_owned()),
            grants: grants(imap, &name, account),
        };
        mailbox.insert(name, folder);
    }
    mailbox
}

pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

fn messages(imap: &mut Imap, folder: &str) -> Vec<Message> {
    imap.command(&format!("EXAMINE {}", quoted(folder)));
    let mut found = Vec::new();
    for answer in imap.command("UID FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])") {
        let Some(flags) = value(&answer.text, "FLAGS ") else { continue };
        let Some(date) = answer.text.split_once("INTERNALDATE \"").and_then(|(_, rest)| rest.split_once('"')) else {
            continue;
        };
        let mut flags: Vec<_> = flags.trim_matches(['(', ')']).split_whitespace().map(str::to_owned).collect();
        flags.retain(|flag| flag != "\\Recent");
        flags.sort();
        let content = answer.literals.into_iter().next().unwrap_or_default();
        found.push(Message { content, date: seconds(date.0), flags });
    }
    found.sort();
    found
}

/// `17-Jul-1996 02:44:25 -0700` in seconds since 1970.
fn seconds(date: &str) -> i64 {
    jiff::fmt::strtime::parse("%d-%b-%Y %H:%M:%S %z", date.trim())
        .and_then(|parsed| parsed.to_timestamp())
        .unwrap_or_else(|error| panic!("{date:?}: {error}"))
        .as_second()
}

fn grants(imap: &mut Imap, folder: &str, account: &str) -> BTreeMap<String, String> {
    let Ok(answers) = imap.try_command(&format!("GETACL {}", quoted(folder))) else { return BTreeMap::new() };
    let mut grants = BTreeMap::new();
    for answer in answers {
        let Some(rest) = answer.text.strip_prefix("* ACL ") else { continue };
        let mut literals = answer.literals.iter();
        let mut words = words(rest, &mut literals).into_iter().skip(1);
        while let (Some(who), Some(rights)) = (words.next(), words.next()) {
            // `c` and `d` stand for others (RFC 4314 2.1.1); some servers say both.
            let mut rights: Vec<char> = rights.chars().filter(|right| "lrswipkxtea".contains(*right)).collect();
            rights.sort_unstable();
            let who = spelled(&who);
            if who != account && who != "owner" {
                grants.insert(who, rights.into_iter().collect());
            }
        }
    }
    grants
}

/// One spelling for both families: `group:` for groups, `anyone` for everybody who logs in.
fn spelled(who: &str) -> String {
    let (minus, name) = who.strip_prefix('-').map_or(("", who), |name| ("-", name));
    let name = match name.strip_prefix("!$").or(name.strip_prefix('$')) {
        Some(group) => format!("group:{group}"),
        None if name == "authenticated" => "anyone".to_owned(),
        None => name.to_owned(),
    };
    format!("{minus}{name}")
}

/// What the account is subscribed to and has no folder for.
pub fn subscribed_elsewhere(imap: &mut Imap, mailbox: &Mailbox) -> Vec<String> {
    let listed = imap.list("LSUB \"\" \"*\"").into_iter();
    let real = listed.filter(|(attributes, _)| !attributes.to_ascii_lowercase().contains("\\noselect"));
    real.map(|(_, name)| name).filter(|name| !mailbox.contains_key(name)).collect()
}

/// A name as text: modified UTF-7 (RFC 3501, section 5.1.3) decoded.
pub fn plain(name: &str) -> String {
    let mut text = String::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('&') {
        text.push_str(before);
        let Some((encoded, behind)) = after.split_once('-') else {
            text.push('&');
            rest = after;
            continue;
        };
        if encoded.is_empty() {
            text.push('&');
        } else {
            let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
            let bytes = engine.decode(encoded.replace(',', "/")).unwrap_or_else(|error| panic!("{name:?}: {error}"));
            let units: Vec<u16> = bytes.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]])).collect();
            text.push_str(&String::from_utf16(&units).unwrap());
        }
        rest = behind;
    }
    text + rest
}

/// Atoms, quoted strings and literals.
fn words<'l>(text: &str, literals: &mut impl Iterator<Item = &'l Vec<u8>>) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut word = String::new();
            let mut chars = quoted.char_indices();
            let mut end = quoted.len();
            while let Some((at, c)) = chars.next() {
                match c {
                    '\\' => word.extend(chars.next().map(|(_, c)| c)),
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    c => word.push(c),
                }
            }
            words.push(word);
            rest = quoted[end..].trim_start();
        } else {
            let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
            match word {
                "{}" => words.push(String::from_utf8_lossy(literals.next().unwrap()).into_owned()),
                word => words.push(word.to_owned()),
            }
            rest = after.trim_start();
        }
    }
    words
}
