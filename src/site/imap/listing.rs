//! Listing an account: its folders with subscriptions and special uses (LIST-EXTENDED, RFC 5258), and in the same breath
//! counters, access lists and comments of those that are known; for new ones they are asked for afterwards.
//!
//! Only the account's own folders are looked into. LIST-STATUS (RFC 5819) would count everybody's that it may see, and
//! where somebody else is the first to open a folder with flags of his own, Dovecot 2.3 forgets the owner's `\Seen` of
//! all that its index does not know yet (seen with 2.3.19 and INDEXPVT).

use super::client::{Command, Connection, Listed, Sent, Status, Untagged};
use super::names::Spelling;
use super::rights;
use super::state::{About, FolderRow};
use crate::event::{Place, Reason, Rejection};
use crate::limits;
use crate::model::mailbox::{FolderKey, FolderKind, SpecialUse};
use crate::site::SiteError;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a server says of an account's folders.
#[derive(Debug, Default)]
pub struct Listing {
    pub spelling: Spelling,
    pub folders: BTreeMap<FolderKey, Described>,
    /// Paths that are subscribed to and where no folder is.
    pub only_subscribed: BTreeSet<String>,
    /// The server did not tell what is subscribed to; folders keep what was known of them.
    pub subscriptions_unseen: bool,
    pub rejected: Vec<Rejection>,
}

/// A folder that can be opened.
#[derive(Debug)]
pub struct Described {
    /// Its name on the wire.
    pub wire: Vec<u8>,
    pub about: About,
    pub status: Option<Status>,
}

/// Lists `account`; `known` are its folders at the last look.
pub fn list(connection: &mut Connection, account: &str, known: &[FolderRow]) -> Result<Listing, SiteError> {
    let items = status_items(connection);
    let list = Command::new(list_words(connection)).about_all();
    let namespace = match connection.can("NAMESPACE") {
        true => Some(connection.send(&Command::new("NAMESPACE"))?),
        false => None,
    };
    let listing = connection.send(&list)?;
    // It alone lists what is subscribed to and not there.
    let lsub = if connection.can("IMAP4REV1") { "LSUB" } else { "LIST (SUBSCRIBED)" };
    let subscribed = connection.send(&Command::new(format!("{lsub} \"\" \"*\"")).about_all())?;
    let beside = Beside::of(connection);
    let now = known.get(..at_once(known.iter().map(|folder| folder.wire.as_slice()), &items, &beside)).unwrap_or(known);
    let counted = send_status(connection, now.iter().map(|folder| folder.wire.as_slice()), &items)?;
    let asked = send_beside(connection, now.iter().map(|folder| folder.wire.as_slice()), &beside)?;

    let spelling = read_namespace(connection, namespace)?;
    let listed = read_listed(connection, account, listing, &list)?;
    let told = read_subscribed(connection, account, subscribed)?;
    let subscriptions_unseen = told.is_none();
    let subscriptions = told.unwrap_or_else(|| {
        known.iter().filter(|folder| folder.about.subscribed).map(|folder| folder.wire.clone()).collect()
    });
    let mut counters = Counters::new();
    let mut status_room = Room::of(connection, account, "counters");
    read_status(connection, counted, &mut counters, &mut status_room)?;
    let mut abouts: Abouts = known.iter().map(|folder| (folder.wire.clone(), folder.about.clone())).collect();
    let mut room = Room::of(connection, account, "access lists and comments");
    read_beside(connection, account, asked, &mut abouts, &mut room)?;

    let mut found = sort(account, spelling, listed, &subscriptions);
    found.subscriptions_unseen = subscriptions_unseen;
    let is_here: BTreeSet<&[u8]> = found.folders.values().map(|folder| folder.wire.as_slice()).collect();
    let was_asked: BTreeSet<&[u8]> = now.iter().map(|folder| folder.wire.as_slice()).collect();
    let unasked: Vec<Vec<u8>> = is_here.difference(&was_asked).map(|wire| wire.to_vec()).collect();
    let mut rest = unasked.as_slice();
    while !rest.is_empty() {
        let chunk;
        (chunk, rest) = rest.split_at(at_once(rest.iter().map(Vec::as_slice), &items, &beside));
        let counted = send_status(connection, chunk.iter().map(Vec::as_slice), &items)?;
        let asked = send_beside(connection, chunk.iter().map(Vec::as_slice), &beside)?;
        read_status(connection, counted, &mut counters, &mut status_room)?;
        read_beside(connection, account, asked, &mut abouts, &mut room)?;
    }
    for folder in found.folders.values_mut() {
        folder.status = counters.remove(&folder.wire);
        folder.about.guid = folder.status.as_ref().and_then(|status| status.id.clone());
        let About { grants, description, comment, .. } = abouts.remove(&folder.wire).unwrap_or_default();
        folder.about = About { grants, description, comment, ..std::mem::take(&mut folder.about) };
    }
    Ok(found)
}

/// Of how many of these folders everything may be asked before the first answer is read. At least of one.
fn at_once<'a>(wires: impl Iterator<Item = &'a [u8]>, items: &str, beside: &[Beside]) -> usize {
    let mut bytes = 0;
    let fits = |wire: &&[u8]| {
        let beside: usize = beside.iter().map(|one| one.command(wire).bytes()).sum();
        bytes += counters_of(wire, items).bytes() + beside;
        bytes <= limits::IMAP_PIPELINE_BYTES
    };
    wires.take_while(fits).count().max(1)
}

fn counters_of(wire: &[u8], items: &str) -> Command {
    Command::new("STATUS").string(wire).words(&format!("({items})"))
}

fn list_words(connection: &Connection) -> &'static str {
    let extended = connection.can("LIST-EXTENDED") || connection.can("IMAP4REV2");
    match (extended, connection.can("SPECIAL-USE")) {
        (true, true) => "LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE)",
        (true, false) => "LIST \"\" \"*\" RETURN (SUBSCRIBED)",
        (false, _) => "LIST \"\" \"*\"",
    }
}

/// The counters that tell whether a folder changed, and its lasting name.
fn status_items(connection: &Connection) -> String {
    let mut items = "MESSAGES UIDNEXT UIDVALIDITY".to_owned();
    if connection.can("CONDSTORE") || connection.can("QRESYNC") {
        items.push_str(" HIGHESTMODSEQ");
    }
    if connection.can("OBJECTID") && !connection.is_cyrus() {
        items.push_str(" MAILBOXID");
    } else if connection.is_dovecot() {
        items.push_str(" X-GUID");
    }
    items
}

/// What each folder is asked for by a command of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Grants,
    Comments,
}

impl Beside {
    fn of(connection: &Connection) -> Vec<Self> {
        let all = [("ACL", Self::Grants), ("METADATA", Self::Comments)];
        all.into_iter().filter(|(capability, _)| connection.can(capability)).map(|(_, beside)| beside).collect()
    }

    fn command(self, wire: &[u8]) -> Command {
        match self {
            Self::Grants => Command::new("GETACL").string(wire),
            Self::Comments => {
                Command::new("GETMETADATA").string(wire).words(&format!("({SHARED_COMMENT} {PRIVATE_COMMENT})"))
            }
        }
    }
}

/// Annotations of a folder (RFC 5464, section 6.2.1).
pub const SHARED_COMMENT: &str = "/shared/comment";
pub const PRIVATE_COMMENT: &str = "/private/comment";

fn read_namespace(connection: &mut Connection, sent: Option<Sent>) -> Result<Spelling, SiteError> {
    let mut spelling = Spelling { utf8: connection.enabled("UTF8=ACCEPT"), ..Spelling::default() };
    let Some(sent) = sent else { return Ok(spelling) };
    let said = connection.finish(sent, &mut |untagged| {
        if let Untagged::Namespace([own, others, shared]) = untagged {
            if let Some((prefix, separator)) = own.into_iter().next() {
                (spelling.prefix, spelling.separator) = (prefix, separator);
            }
            let few = |kind: Vec<_>| kind.into_iter().take(limits::IMAP_NAMESPACES).collect::<Vec<_>>();
            let (others, shared) = (few(others), few(shared));
            let named = |(prefix, separator): &(Vec<u8>, Option<u8>)| Some((prefix.clone(), (*separator)?));
            spelling.others = others.iter().filter_map(named).find(|(prefix, _)| !prefix.is_empty());
            // A server that puts everything into one tree gives no prefix to tell by.
            let foreign = others.into_iter().chain(shared).map(|(prefix, _)| prefix);
            spelling.foreign = foreign.filter(|prefix| !prefix.is_empty()).collect();
        }
        Ok(())
    })?;
    // Without it every path might look like another one.
    if said.is_ok() { Ok(spelling) } else { Err(connection.refusal(&Command::new("NAMESPACE"), &said)) }
}

type Counters = HashMap<Vec<u8>, Status>;
type Abouts = HashMap<Vec<u8>, About>;

/// What is left of the memory that a listing may take.
struct Room<'a> {
    server: String,
    account: &'a str,
    what: &'static str,
    left: usize,
}

impl<'a> Room<'a> {
    fn of(connection: &Connection, account: &'a str, what: &'static str) -> Self {
        Self { server: connection.server().to_owned(), account, what, left: limits::IMAP_LISTING_BYTES }
    }

    /// Takes an entry with so many bytes of text.
    fn take(&mut self, bytes: usize) -> Result<(), SiteError> {
        let entry = bytes.saturating_add(limits::IMAP_ENTRY_BYTES);
        let Some(left) = self.left.checked_sub(entry) else {
            let bound = limits::IMAP_LISTING_BYTES;
            return Err(SiteError::Server {
                server: self.server.clone(),
                what: format!(
                    "lists {} of {} with more than {bound} bytes; the account was not looked at. Ask for fewer and shorter \
                 names and comments, or leave the account out (--exclude)",
                    self.what, self.account
                ),
            });
        };
        self.left = left;
        Ok(())
    }
}

fn read_listed(
    connection: &mut Connection,
    account: &str,
    sent: Sent,
    command: &Command,
) -> Result<Vec<Listed>, SiteError> {
    let mut listed: Vec<Listed> = Vec::new();
    let server = connection.server().to_owned();
    let mut room = Room::of(connection, account, "folders");
    let said = connection.finish(sent, &mut |untagged| {
        if let Untagged::List(one) = untagged {
            let attributes = one.attributes.iter().map(|name| limits::IMAP_ENTRY_BYTES + name.len()).sum::<usize>();
            room.take(one.name.len() + attributes)?;
            listed.push(one);
        }
        if listed.len() > limits::IMAP_FOLDERS {
            let what = format!("lists more than {} folders of {account}", limits::IMAP_FOLDERS);
            return Err(SiteError::Server { server: server.clone(), what });
        }
        Ok(())
    })?;
    if said.is_ok() { Ok(listed) } else { Err(connection.refusal(command, &said)) }
}

/// `None`: the server refuses to tell.
fn read_subscribed(
    connection: &mut Connection,
    account: &str,
    sent: Sent,
) -> Result<Option<BTreeSet<Vec<u8>>>, SiteError> {
    let mut names = BTreeSet::new();
    let mut room = Room::of(connection, account, "subscriptions");
    let said = connection.finish(sent, &mut |untagged| {
        if let Untagged::List(listed) = untagged
            && (listed.has("\\subscribed") || !listed.has("\\noselect"))
        {
            room.take(listed.name.len())?;
            names.insert(listed.name);
        }
        Ok(())
    })?;
    Ok(said.is_ok().then_some(names))
}

fn send_beside<'a>(
    connection: &mut Connection,
    wires: impl Iterator<Item = &'a [u8]>,
    beside: &[Beside],
) -> Result<Vec<(Vec<u8>, Beside, Sent)>, SiteError> {
    let mut asked = Vec::new();
    for wire in wires {
        for &one in beside {
            asked.push((wire.to_vec(), one, connection.send(&one.command(wire))?));
        }
    }
    Ok(asked)
}

/// Refused: this login may not look, so what was known before stays.
fn read_beside(
    connection: &mut Connection,
    account: &str,
    asked: Vec<(Vec<u8>, Beside, Sent)>,
    abouts: &mut Abouts,
    room: &mut Room<'_>,
) -> Result<(), SiteError> {
    for (wire, beside, sent) in asked {
        let mut comments = (None, None);
        let said = connection.finish(sent, &mut |untagged| {
            match (untagged, beside) {
                (Untagged::Acl(_, entries), Beside::Grants) => {
                    let texts = entries.iter().map(|(who, rights)| limits::IMAP_ENTRY_BYTES + who.len() + rights.len());
                    room.take(texts.sum())?;
                    abouts.entry(wire.clone()).or_default().grants = rights::grants(&entries, account);
                }
                (Untagged::Metadata(entries), Beside::Comments) => {
                    for (name, value) in entries {
                        let place = match name.as_str() {
                            SHARED_COMMENT => &mut comments.0,
                            PRIVATE_COMMENT => &mut comments.1,
                            _ => continue,
                        };
                        if (1..=limits::IMAP_COMMENT_BYTES).contains(&value.len()) {
                            room.take(value.len())?;
                            *place = Some(value);
                        }
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        if beside == Beside::Comments && said.is_ok() {
            let about = abouts.entry(wire).or_default();
            (about.description, about.comment) = comments;
        }
    }
    Ok(())
}

fn send_status<'a>(
    connection: &mut Connection,
    wires: impl Iterator<Item = &'a [u8]>,
    items: &str,
) -> Result<Vec<Sent>, SiteError> {
    wires.map(|wire| connection.send(&counters_of(wire, items))).collect()
}

/// What a server does not tell of a folder is looked for by opening it.
fn read_status(
    connection: &mut Connection,
    sent: Vec<Sent>,
    counters: &mut Counters,
    room: &mut Room<'_>,
) -> Result<(), SiteError> {
    for sent in sent {
        connection.finish(sent, &mut |untagged| {
            if let Untagged::Status(name, status) = untagged {
                room.take(name.len())?;
                counters.insert(name, status);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Sorts what was listed into our paths; what has none is told.
fn sort(account: &str, spelling: Spelling, listed: Vec<Listed>, subscriptions: &BTreeSet<Vec<u8>>) -> Listing {
    let mut found = Listing { spelling, ..Listing::default() };
    if found.spelling.separator.is_none() {
        found.spelling.separator = listed.iter().find_map(|one| one.separator);
    }
    let reject = |name: &str, why: &str| {
        let place = Place::folder(account, &name);
        Rejection { place, reason: Reason::BadName(why.to_owned()) }
    };
    for one in listed {
        if ["\\noselect", "\\nonexistent"].iter().any(|attribute| one.has(attribute)) {
            continue;
        }
        let key = match found.spelling.key(&one.name) {
            None => continue,
            Some(Ok(key)) => key,
            Some(Err(name)) => {
                found.rejected.push(reject(&name, "no path can be made of its name"));
                continue;
            }
        };
        if found.folders.contains_key(&key) {
            let name = crate::model::text::from_bytes(&one.name);
            found.rejected.push(reject(&name, "another folder has the same path"));
            continue;
        }
        let subscribed = one.has("\\subscribed") || subscriptions.contains(&one.name);
        let about = About { special_use: special_use(&one), subscribed, ..About::default() };
        found.folders.insert(key, Described { wire: one.name, about, status: None });
    }
    let is_folder: BTreeSet<&[u8]> = found.folders.values().map(|folder| folder.wire.as_slice()).collect();
    let elsewhere: Vec<_> = subscriptions.iter().filter(|name| !is_folder.contains(name.as_slice())).collect();
    for name in elsewhere {
        let reason = match found.spelling.subscription(name) {
            Ok(path) if path.len() <= limits::FOLDER_PATH_BYTES && !path.is_empty() => {
                // A server that knows its folders without regard to case has the folder all the same.
                if !FolderKey::new(FolderKind::Mail, &path).is_ok_and(|key| found.folders.contains_key(&key)) {
                    found.only_subscribed.insert(path);
                }
                continue;
            }
            Ok(_) => Reason::TooLarge(format!("its subscription has more than {} bytes", limits::FOLDER_PATH_BYTES)),
            Err(_) => Reason::BadName("no path can be made of the name that is subscribed to".to_owned()),
        };
        let shown: String = crate::model::text::from_bytes(name).chars().take(80).collect();
        found.rejected.push(Rejection { place: Place::folder(account, &shown), reason });
    }
    found
}

/// Names of RFC 6154 and RFC 8457.
pub const SPECIAL_USES: [(&str, SpecialUse); 8] = [
    ("\\all", SpecialUse::All),
    ("\\archive", SpecialUse::Archive),
    ("\\drafts", SpecialUse::Drafts),
    ("\\flagged", SpecialUse::Flagged),
    ("\\important", SpecialUse::Important),
    ("\\junk", SpecialUse::Junk),
    ("\\sent", SpecialUse::Sent),
    ("\\trash", SpecialUse::Trash),
];

fn special_use(listed: &Listed) -> Option<SpecialUse> {
    SPECIAL_USES.iter().find(|(attribute, _)| listed.has(attribute)).map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_folders_is_asked_at_once_and_never_more_than_both_sides_can_hold() {
        let names: Vec<Vec<u8>> = (0..1000).map(|number| format!("INBOX/project {number:06}").into_bytes()).collect();
        let names = || names.iter().map(Vec::as_slice);
        let items = "MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ X-GUID";
        assert_eq!(at_once(names(), items, &[Beside::Grants, Beside::Comments]), 148);
        assert_eq!(at_once(names(), items, &[]), 344);
        let long = vec![b'x'; limits::IMAP_PIPELINE_BYTES];
        assert_eq!(at_once(std::iter::once(long.as_slice()), items, &[]), 1);
    }
}
