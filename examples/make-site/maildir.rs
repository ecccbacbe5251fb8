//! One account's Maildir++ as Dovecot leaves it: files, UID lists, subscriptions.

use super::dice::Dice;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Folders by their name on disk, with how many of 1000 messages lie in each.
pub const FOLDERS: [(&str, u64); 6] =
    [("", 500), (".Sent", 150), (".Archive", 200), (".Projects.North", 60), (".Lists", 80), (".Trash", 10)];

/// An account's folders while they are filled.
pub struct Maildir {
    root: PathBuf,
    lists: [UidList; FOLDERS.len()],
}

#[derive(Default)]
struct UidList {
    next: u64,
    lines: String,
}

impl Maildir {
    /// Makes the folders of a new account.
    pub fn create(root: PathBuf) -> io::Result<Self> {
        for (name, _) in FOLDERS {
            for sub in ["cur", "new", "tmp"] {
                fs::create_dir_all(root.join(name).join(sub))?;
            }
            if !name.is_empty() {
                fs::write(root.join(name).join("maildirfolder"), "")?;
            }
        }
        Ok(Self { root, lists: Default::default() })
    }

    /// Puts a message into a folder that the dice choose.
    pub fn add(&mut self, dice: &mut Dice, raw: &str, date: i64) -> io::Result<()> {
        let mut share = dice.below(1000);
        let folder = FOLDERS.iter().position(|(_, weight)| {
            let here = share < *weight;
            share = share.saturating_sub(*weight);
            here
        });
        let folder = folder.unwrap_or_default();
        let (Some((name, _)), Some(list)) = (FOLDERS.get(folder), self.lists.get_mut(folder)) else { return Ok(()) };
        let base = base_name(dice, raw, date);
        let flags = dice.pick(&["S", "S", "S", "RS", "FS", ""]);
        write_mail(&self.root.join(name).join("cur").join(format!("{base}:2,{flags}")), raw, date)?;
        // Messages that were deleted or moved away leave gaps.
        list.next += 1 + if dice.chance(200) { dice.below(9) } else { 0 };
        let _ = writeln!(list.lines, "{} :{base}", list.next);
        Ok(())
    }

    /// Writes what Dovecot keeps beside the messages.
    pub fn finish(self, dice: &mut Dice) -> io::Result<()> {
        for ((name, _), list) in FOLDERS.iter().zip(&self.lists) {
            let validity = 1_600_000_000 + dice.below(90_000_000);
            let guid = format!("{:016x}{:016x}", dice.next(), dice.next());
            let head = format!("3 V{validity} N{} G{guid}\n", list.next + 1);
            fs::write(self.root.join(name).join("dovecot-uidlist"), head + &list.lines)?;
        }
        let subscribed: String = FOLDERS
            .iter()
            .filter_map(|(name, _)| name.strip_prefix('.'))
            .fold("V\t2\n\n".to_owned(), |text, name| text + &name.replace('.', "\t") + "\n");
        fs::write(self.root.join("subscriptions"), subscribed)
    }
}

/// Delivers as an LMTP server does: into `new`, without a UID so far.
pub fn deliver(root: &Path, dice: &mut Dice, raw: &str, date: i64) -> io::Result<()> {
    write_mail(&root.join("new").join(base_name(dice, raw, date)), raw, date)
}

fn base_name(dice: &mut Dice, raw: &str, date: i64) -> String {
    let (size, lines) = (raw.len(), raw.bytes().filter(|byte| *byte == b'\n').count());
    format!("{date}.M{}P{}.store1,S={size},W={}", dice.below(1_000_000), 1000 + dice.below(30_000), size + lines)
}

fn write_mail(path: &Path, raw: &str, date: i64) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(raw.as_bytes())?;
    let since = Duration::from_secs(date.unsigned_abs());
    file.set_modified(SystemTime::UNIX_EPOCH + since)
}
