//! Single messages of a Maildir that is in use: flags, moves, removal, and what became of an intended delivery.
//!
//! Promises: a message that a server renames at the same moment is found again; letters without a meaning here stay in
//! the file name; a moved message gets a new UID in its new folder, as IMAP's MOVE gives it.

use super::super::maildir::keywords::Keywords;
use super::super::maildir::name::{self, KeywordLetters};
use super::super::maildir::uidlist::Entry;
use super::hand::{Hand, Sync, io_error};
use super::listing::{Listings, MessageFile, Messages, Sub};
use super::uid_file::{ReadList, UidFile, read_keywords, read_list};
use super::uids::Wish;
use crate::model::mailbox::Flags;
use crate::model::text;
use crate::site::SiteError;
use std::collections::HashSet;
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::path::Path;

/// The letters for these keywords, and those keywords that the folder has no letter for. New letters are made under the
/// folder's lock.
pub fn letters_for(
    hand: &Hand,
    dir: &Path,
    keywords: &[String],
) -> Result<(Keywords, KeywordLetters, Vec<String>), SiteError> {
    let mut known = read_keywords(hand, dir)?;
    if keywords.iter().any(|keyword| known.letter(keyword).is_none()) {
        let mut file = UidFile::lock(hand, dir, &[])?;
        for keyword in keywords {
            file.keywords.assign(keyword);
        }
        file.save(Sync::Everything)?;
        known = file.keywords.clone();
    }
    let (mut letters, mut surplus) = (KeywordLetters::default(), Vec::new());
    for keyword in keywords {
        match known.letter(keyword) {
            Some(letter) => letters = letters.with(letter),
            None => surplus.push(keyword.clone()),
        }
    }
    Ok((known, letters, surplus))
}

/// `file` with these flags and keyword letters in place of those it has; letters that mean nothing here stay.
pub fn with_flags(file: &[u8], flags: Flags, letters: KeywordLetters, known: &Keywords) -> Vec<u8> {
    let base = name::base(file);
    let info = file.get(base.len()..).and_then(|info| info.strip_prefix(b":2,")).unwrap_or_default();
    let (shown, rest) = info.split_at(memchr::memchr(b',', info).unwrap_or(info.len()));
    let is_strange = |letter: &&u8| match letter {
        b'a'..=b'z' => known.name(**letter).is_none(),
        b'D' | b'F' | b'P' | b'R' | b'S' | b'T' => false,
        _ => true,
    };
    let mut all: Vec<u8> = flags.to_string().into_bytes();
    all.extend(letters.iter());
    all.extend(shown.iter().filter(is_strange));
    all.sort_unstable();
    all.dedup();
    [base, b":2,", &all, rest].concat()
}

/// Sets flags and keyword letters; `false` when the message is gone. A message in `new` moves to `cur` when it has any.
pub fn set_flags(
    hand: &Hand,
    listings: &Listings,
    dir: &Path,
    item: &str,
    flags: Flags,
    letters: KeywordLetters,
    known: &Keywords,
) -> Result<bool, SiteError> {
    let done = listings.with(hand, dir, item, |file| {
        if file.sub == Sub::New && flags.is_empty() && letters.is_empty() {
            return Ok(exists(hand, &file.path(dir))?.then(|| ((), Some(file.clone()))));
        }
        let to = MessageFile::in_cur(with_flags(file.bytes(), flags, letters, known));
        if to == *file {
            return Ok(exists(hand, &file.path(dir))?.then_some(((), Some(to))));
        }
        let there = rename(hand, &file.path(dir), &to.path(dir))?;
        Ok(there.then_some(((), Some(to))))
    })?;
    if done.is_some() {
        // The map says "set" from now on, so a power loss must not take it back.
        hand.sync_dir(&dir.join("cur"))?;
    }
    Ok(done.is_some())
}

/// Moves a message from the folder at `from` to that at `to`, with its flags and keywords; `false` when it is gone.
/// Keywords that the new folder has no letter for are given back.
pub fn move_to(
    hand: &Hand,
    listings: &Listings,
    from: &Path,
    item: &str,
    to: &Path,
) -> Result<Option<Vec<String>>, SiteError> {
    let here = read_keywords(hand, from)?;
    listings.with(hand, from, item, |file| {
        // Each time anew: a try that came too late may have given it a UID.
        let mut target = UidFile::lock(hand, to, &[Wish { name: item, uid: None }])?;
        let path = file.path(from);
        if !exists(hand, &path)? {
            return Ok(None);
        }
        let parsed = name::parse(file.bytes());
        let (mut letters, mut surplus) = (KeywordLetters::default(), Vec::new());
        for keyword in here.of(parsed.keywords) {
            match target.keywords.assign(&keyword) {
                Some(letter) => letters = letters.with(letter),
                None => surplus.push(keyword),
            }
        }
        let new = MessageFile {
            sub: file.sub,
            file: match file.sub {
                Sub::New => file.file.clone(),
                Sub::Cur => MessageFile::in_cur(name::encode(parsed.base, parsed.flags, letters)).file,
            },
        };
        give_uid(&mut target, parsed.base);
        // A name with a letter of which the list is not durable would lose its keyword.
        target.save(Sync::Everything)?;
        match hand.fs.rename_new(&path, &new.path(to)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("move", &path)(error)),
        }
        hand.sync_dir(&to.join(new.sub.name()))?;
        hand.sync_dir(&from.join(file.sub.name()))?;
        Ok(Some((surplus, None)))
    })
}

/// Puts the message into the list with the next UID, unless it is there or there is no list.
fn give_uid(file: &mut UidFile<'_>, base: &[u8]) -> Option<NonZeroU32> {
    file.list.as_ref()?;
    let name = text::of_bytes(base);
    if let Some((uid, _)) = file.taken.iter().find(|(_, taken)| **taken == name) {
        return NonZeroU32::new(*uid);
    }
    let uid = NonZeroU32::new(file.next_uid())?;
    let next = uid.get().checked_add(1)?;
    file.add([Entry { uid, fields: b"", name: base }], next);
    Some(uid)
}

/// Removes a message; `false` when it was gone.
pub fn remove(hand: &Hand, listings: &Listings, dir: &Path, item: &str) -> Result<bool, SiteError> {
    let done = listings.with(hand, dir, item, |file| Ok(hand.remove_file(&file.path(dir))?.then_some(((), None))))?;
    Ok(done.is_some())
}

/// Gives those of `names` that are in the folder and have no UID one, where the folder has a list: what a crash between
/// the list and the files left, or a list that a server never read.
pub fn complete_uids(hand: &Hand, dir: &Path, messages: &Messages, names: &HashSet<&str>) -> Result<(), SiteError> {
    let mut wishes: Vec<Wish<'_>> =
        names.iter().filter(|name| messages.contains_key(**name)).map(|&name| Wish { name, uid: None }).collect();
    let ReadList { list: Some(_), taken, .. } = read_list(hand, dir, &wishes)? else { return Ok(()) };
    let listed: HashSet<&str> = taken.values().map(String::as_str).collect();
    wishes.retain(|wish| !listed.contains(wish.name));
    if wishes.is_empty() {
        return Ok(());
    }
    wishes.sort_unstable_by_key(|wish| wish.name);
    let mut file = UidFile::lock(hand, dir, &wishes)?;
    for message in wishes.iter().filter_map(|wish| messages.get(wish.name)) {
        give_uid(&mut file, name::base(message.bytes()));
    }
    file.save(Sync::Everything)
}

fn exists(hand: &Hand, path: &Path) -> Result<bool, SiteError> {
    match hand.fs.lstat(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("look at", path)(error)),
    }
}

/// `false` when there is nothing to rename any more.
fn rename(hand: &Hand, from: &Path, to: &Path) -> Result<bool, SiteError> {
    match hand.fs.rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("rename", from)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Fs, RealFs};
    use crate::testing::failing_fs::FailingFs;
    use std::sync::Arc;

    #[test]
    fn letters_without_a_meaning_stay_and_all_are_in_order() {
        let known = Keywords::parse(b"0 todo\n1 done\n");
        let with = |file: &[u8], flags: &str, letters: KeywordLetters| {
            String::from_utf8(with_flags(file, Flags::from_letters(flags), letters, &known)).unwrap()
        };
        let b = KeywordLetters::default().with(b'b');
        assert_eq!(with(b"m.h,S=3:2,FSax", "RS", b), "m.h,S=3:2,RSbx");
        assert_eq!(with(b"m.h", "", KeywordLetters::default()), "m.h:2,");
        assert_eq!(with(b"m.h:2,XS,extra", "T", KeywordLetters::default()), "m.h:2,TX,extra");
        assert_eq!(with(b"m.h:1,S", "S", KeywordLetters::default()), "m.h:2,S");
    }

    #[test]
    fn a_message_that_is_read_while_it_moves_has_one_uid_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let fs = Arc::new(FailingFs::default());
        let hand = Hand::new(fs.clone(), dir.path(), None);
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for sub in ["cur", "new", "tmp"] {
            RealFs.create_dir_all(&from.join(sub)).unwrap();
            RealFs.create_dir_all(&to.join(sub)).unwrap();
        }
        RealFs.replace(&from.join("cur/m:2,"), b"Subject: x\n\n", 0o600).unwrap();
        RealFs.replace(&to.join("dovecot-uidlist"), b"3 V7 N5\n1 :a\n", 0o600).unwrap();
        // Its user reads it after its UID was given, right before it moves.
        let (old, new) = (from.join("cur/m:2,"), from.join("cur/m:2,S"));
        fs.before_rename(move || RealFs.rename(&old, &new).unwrap());
        assert_eq!(move_to(&hand, &Listings::default(), &from, "m", &to).unwrap(), Some(vec![]));
        assert!(RealFs.stat(&to.join("cur/m:2,S")).is_ok());
        let list = RealFs.read(&to.join("dovecot-uidlist"), 1000).unwrap();
        assert_eq!(String::from_utf8(list).unwrap(), "3 V7 N6\n1 :a\n5 :m\n");
    }
}
