//! Writes mailboxes as Dovecot leaves them: Maildir++ folders, `dovecot-uidlist` with gaps, keywords, subscriptions; for
//! one account with the file names of Courier and qmail and a uidlist that lags, as after a change of servers.

use super::dice::Dice;
use super::tree::Tree;
use crate::site::SiteError;
use std::collections::BTreeMap;

/// A message in a folder.
pub struct Mail {
    pub raw: Vec<u8>,
    /// Internal date, seconds since 1970.
    pub date: i64,
    /// Maildir letters.
    pub flags: String,
    pub keywords: Vec<&'static str>,
    pub place: Place,
    pub uidl: Option<String>,
}

/// Whether a client has seen that the message is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Cur,
    New,
}

/// Folders by their name on disk: empty for the inbox, else `.Projects.Timetable`.
#[derive(Default)]
pub struct Mailbox {
    pub folders: BTreeMap<String, Vec<Mail>>,
}

impl Mailbox {
    pub fn folder(&mut self, name: &str) -> &mut Vec<Mail> {
        self.folders.entry(name.to_owned()).or_default()
    }
}

/// Whose file names an account has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// `1709539200.M12P34.store1,S=2222,W=2281`
    Dovecot,
    /// `1709539200.M12P34V0000000000000801I00000000000012ab_0.old,S=2222`, and `1709539200.34.old` in the inbox.
    CourierAndQmail,
}

/// The keywords of every account; their places are the letters `a`, `b` … in file names.
const KEYWORDS: [&str; 5] = ["$Forwarded", "NonJunk", "Junk", "todo", "Invoice"];

/// Writes one account's Maildir below `mail/<folder>`.
pub fn write(
    tree: &Tree<'_>,
    account: &str,
    mailbox: &Mailbox,
    names: Names,
    subscribed: &[&str],
    time: i64,
) -> Result<(), SiteError> {
    let maildir = format!("mail/{account}/Maildir");
    let mut validity = 0;
    for (name, mails) in &mailbox.folders {
        validity = write_folder(tree, account, name, mails, names, time)?.max(validity);
    }
    tree.file(&format!("{maildir}/dovecot-uidvalidity"), format!("{validity:08x}"), time)?;
    tree.file(&format!("{maildir}/dovecot-uidvalidity.{validity:08x}"), "", time)?;
    // Dovecot's second format has tabs between levels; older accounts still have the first, with dots.
    let text = match names {
        Names::Dovecot => format!("V\t2\n\n{}", lines(subscribed).replace('.', "\t")),
        Names::CourierAndQmail => lines(subscribed),
    };
    tree.file(&format!("{maildir}/subscriptions"), text, time)
}

fn lines(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name}\n")).collect()
}

/// Writes one folder; returns its UIDVALIDITY.
fn write_folder(
    tree: &Tree<'_>,
    account: &str,
    name: &str,
    mails: &[Mail],
    names: Names,
    time: i64,
) -> Result<u32, SiteError> {
    let dir = folder_dir(account, name);
    let mut dice = Dice::of(&dir);
    for sub in ["cur", "new", "tmp"] {
        tree.dir(&format!("{dir}/{sub}"))?;
    }
    if !name.is_empty() {
        tree.file(&format!("{dir}/maildirfolder"), "", time)?;
    }
    let validity = u32::try_from(1_600_000_000 + dice.below(90_000_000)).unwrap_or(1);
    let guid = dice.hex(16);
    let lagging = if names == Names::CourierAndQmail { 2 } else { 0 };
    let mut uid = 0;
    let mut listed = String::new();
    for (at, mail) in mails.iter().enumerate() {
        // Messages that were deleted or moved away leave gaps.
        uid += 1 + if dice.chance(1, 5) { dice.below(9) } else { 0 };
        let base = base_name(&mut dice, mail, names, name.is_empty());
        write_mail(tree, &dir, &base, mail)?;
        if at + lagging < mails.len() {
            let uidl = mail.uidl.as_ref().map(|uidl| format!(" P{uidl}")).unwrap_or_default();
            listed.push_str(&format!("{uid}{uidl} :{base}\n"));
        } else {
            uid -= 1;
        }
    }
    tree.file(&format!("{dir}/dovecot-uidlist"), format!("3 V{validity} N{} G{guid}\n{listed}", uid + 1), time)?;
    if mails.iter().any(|mail| !mail.keywords.is_empty()) {
        let table: String = KEYWORDS.iter().enumerate().map(|(at, word)| format!("{at} {word}\n")).collect();
        tree.file(&format!("{dir}/dovecot-keywords"), table, time)?;
    }
    Ok(validity)
}

/// `mail/<account>/Maildir/.Sent`
pub fn folder_dir(account: &str, name: &str) -> String {
    let maildir = format!("mail/{account}/Maildir");
    if name.is_empty() { maildir } else { format!("{maildir}/{name}") }
}

fn write_mail(tree: &Tree<'_>, dir: &str, base: &str, mail: &Mail) -> Result<(), SiteError> {
    let path = match mail.place {
        Place::New => format!("{dir}/new/{base}"),
        Place::Cur => format!("{dir}/cur/{base}:2,{}{}", mail.flags, keyword_letters(&mail.keywords)),
    };
    tree.file(&path, &mail.raw, mail.date)
}

fn keyword_letters(keywords: &[&str]) -> String {
    let letter = |at: usize| char::from(b'a' + at as u8);
    KEYWORDS.iter().enumerate().filter(|(_, word)| keywords.contains(word)).map(|(at, _)| letter(at)).collect()
}

fn base_name(dice: &mut Dice, mail: &Mail, names: Names, inbox: bool) -> String {
    let (date, micros, pid) = (mail.date, dice.below(1_000_000), 1000 + dice.below(30_000));
    let size = mail.raw.len();
    match names {
        Names::Dovecot => {
            // W: the size with CRLF, as IMAP counts it.
            let mut before = 0;
            let mut bare = 0;
            for &byte in &mail.raw {
                bare += usize::from(byte == b'\n' && before != b'\r');
                before = byte;
            }
            format!("{date}.M{micros}P{pid}.store1,S={size},W={}", size + bare)
        }
        Names::CourierAndQmail if inbox => format!("{date}.{pid}.old"),
        Names::CourierAndQmail => {
            format!("{date}.M{micros}P{pid}V0000000000000801I{:016x}_0.old,S={size}", dice.below(1 << 24))
        }
    }
}

/// Delivers a message into a folder that exists, as an LMTP server does: into `new`, without a UID so far.
pub fn deliver(tree: &Tree<'_>, account: &str, folder: &str, raw: Vec<u8>, date: i64) -> Result<(), SiteError> {
    let dir = folder_dir(account, folder);
    let mut dice = Dice::of(&format!("{dir} {date} {}", raw.len()));
    let mail = Mail { raw, date, flags: String::new(), keywords: Vec::new(), place: Place::New, uidl: None };
    let base = base_name(&mut dice, &mail, Names::Dovecot, false);
    write_mail(tree, &dir, &base, &mail)
}

/// Gives messages of a folder more flags, as a client does: the `nth` of those in `cur`, oldest name first; a number too
/// high means the last.
pub fn flag(tree: &Tree<'_>, account: &str, folder: &str, nth: usize, letters: &str) -> Result<(), SiteError> {
    let dir = format!("{}/cur", folder_dir(account, folder));
    let Some(name) = nth_name(tree, &dir, nth)? else { return Ok(()) };
    let (base, info) = name.split_once(":2,").unwrap_or((&name, ""));
    let mut all: Vec<char> = info.chars().chain(letters.chars()).collect();
    all.sort_unstable();
    all.dedup();
    let flagged = format!("{base}:2,{}", all.into_iter().collect::<String>());
    tree.rename(&format!("{dir}/{name}"), &format!("{dir}/{flagged}"))
}

/// Takes what is new into `cur`, seen or not, as a client does that opens the folder.
pub fn open_folder(tree: &Tree<'_>, account: &str, folder: &str, letters: &str) -> Result<(), SiteError> {
    let dir = folder_dir(account, folder);
    for name in tree.names(&format!("{dir}/new"))? {
        tree.rename(&format!("{dir}/new/{name}"), &format!("{dir}/cur/{name}:2,{letters}"))?;
    }
    Ok(())
}

/// Moves a message between two folders; its name goes with it, a UID it gets when its folder is opened next. The letters
/// of its keywords must mean the same there, so the table comes along where there is none.
pub fn move_mail(tree: &Tree<'_>, account: &str, from: &str, nth: usize, to: &str) -> Result<(), SiteError> {
    let (from, to) = (folder_dir(account, from), folder_dir(account, to));
    let present = |dir: &str| Ok(tree.names(dir)?.iter().any(|name| name == "dovecot-keywords"));
    if present(&from)? && !present(&to)? {
        let table = tree.read(&format!("{from}/dovecot-keywords"))?;
        tree.file(&format!("{to}/dovecot-keywords"), table, super::START)?;
    }
    match nth_name(tree, &format!("{from}/cur"), nth)? {
        Some(name) => tree.rename(&format!("{from}/cur/{name}"), &format!("{to}/cur/{name}")),
        None => Ok(()),
    }
}

/// Deletes a message.
pub fn expunge(tree: &Tree<'_>, account: &str, folder: &str, nth: usize) -> Result<(), SiteError> {
    let dir = format!("{}/cur", folder_dir(account, folder));
    match nth_name(tree, &dir, nth)? {
        Some(name) => tree.remove(&format!("{dir}/{name}")),
        None => Ok(()),
    }
}

fn nth_name(tree: &Tree<'_>, dir: &str, nth: usize) -> Result<Option<String>, SiteError> {
    let names = tree.names(dir)?;
    Ok(names.get(nth.min(names.len().saturating_sub(1))).cloned())
}

/// Renames a folder and those below it, with the subscriptions, as Dovecot does on RENAME.
pub fn rename_folder(tree: &Tree<'_>, account: &str, from: &str, to: &str, time: i64) -> Result<(), SiteError> {
    let maildir = folder_dir(account, "");
    for name in tree.names(&maildir)? {
        if let Some(rest) = name.strip_prefix(from)
            && (rest.is_empty() || rest.starts_with('.'))
        {
            tree.rename(&format!("{maildir}/{name}"), &format!("{maildir}/{to}{rest}"))?;
        }
    }
    let line = |name: &str| name.trim_start_matches('.').replace('.', "\t");
    tree.edit(&format!("{maildir}/subscriptions"), time, |text| {
        text.lines().map(|at| if at == line(from) { line(to) } else { at.to_owned() } + "\n").collect()
    })
}
