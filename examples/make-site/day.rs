//! One day in a company: about one message in a hundred comes, is flagged, moved or deleted.

use super::company::Company;
use super::dice::Dice;
use super::letter::{START, YEARS};
use super::maildir;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Of each thousand messages, how many come, get a flag, are moved, are deleted in a day.
const NEW: u64 = 6;
const FLAGGED: u64 = 2;
const MOVED: u64 = 1;
const DELETED: u64 = 1;

/// Lets day number `day` (from 1) pass.
pub fn pass(company: &Company, site: &Path, day: u64) -> io::Result<()> {
    let mut dice = company.dice(&format!("day {day}"));
    let maildirs: Vec<_> = company.maildirs().map(|path| site.join(path)).collect();
    let of = |share: u64| (company.messages * share).div_ceil(1000);
    let start = START + YEARS + i64::try_from(day).unwrap_or_default() * 86_400;
    for _ in 0..of(FLAGGED) {
        flag(&mut dice, &maildirs)?;
    }
    for _ in 0..of(MOVED) {
        let Some(Chosen { maildir, cur, name }) = choose(&mut dice, &maildirs)? else { continue };
        fs::rename(cur.join(&name), maildir.join(".Archive/cur").join(name))?;
    }
    for _ in 0..of(DELETED) {
        if let Some(Chosen { cur, name, .. }) = choose(&mut dice, &maildirs)? {
            fs::remove_file(cur.join(name))?;
        }
    }
    company.letters(&mut dice, of(NEW), start..start + 86_400, |account, dice, raw, date| {
        maildirs.get(account).map_or(Ok(()), |root| maildir::deliver(root, dice, raw, date))
    })
}

/// Gives a message the flag F, or takes it away.
fn flag(dice: &mut Dice, maildirs: &[PathBuf]) -> io::Result<()> {
    let Some(Chosen { cur, name, .. }) = choose(dice, maildirs)? else { return Ok(()) };
    let file = cur.join(&name);
    let name = name.into_vec();
    let at = name.windows(3).position(|window| window == b":2,").map_or(name.len(), |at| at + 3);
    let (base, flags) = name.split_at(at);
    let mut now: Vec<u8> = flags.iter().copied().filter(|letter| *letter != b'F').collect();
    if now.len() == flags.len() {
        now.insert(0, b'F');
    }
    fs::rename(file, cur.join(OsString::from_vec([base, &now].concat())))
}

/// A message of some inbox.
struct Chosen<'a> {
    maildir: &'a Path,
    cur: PathBuf,
    name: OsString,
}

fn choose<'a>(dice: &mut Dice, maildirs: &'a [PathBuf]) -> io::Result<Option<Chosen<'a>>> {
    let at = usize::try_from(dice.below(maildirs.len() as u64)).unwrap_or_default();
    let Some(maildir) = maildirs.get(at) else { return Ok(None) };
    let cur = maildir.join("cur");
    let mut names: Vec<_> =
        fs::read_dir(&cur)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<OsString>>>()?;
    // The order of a listing is the file system's own.
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    let at = usize::try_from(dice.below(names.len() as u64)).unwrap_or_default();
    Ok(names.into_iter().nth(at).map(|name| Chosen { maildir, cur, name }))
}
