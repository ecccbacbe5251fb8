//! Puts a batch of messages into a Maildir folder that a server may have open.
//!
//! Promises: each message appears in `cur` complete, durable, with its date, flags and UID, or not at all; a folder's
//! lock is held only for the UID list and the renames. A crash leaves at most a file in `tmp` that the repeated
//! delivery writes again, and UIDs that were promised are given to the same names again.
//!
//! Order: all files into `tmp`, UID list and keywords drafted; made durable together; then under the lock: UID list,
//! renames. The list goes first: an entry without a file is harmless, a file without an entry would get another UID.
//! A batch waits for the disk twice, whatever its size; both waits are the caller's (`delivery`), who has them for the
//! batches of several folders together.

use super::super::maildir::name::{self, KeywordLetters};
use super::super::maildir::uidlist::Entry;
use super::hand::{Hand, Sync, io_error, is_fatal};
use super::listing::{MessageFile, Messages};
use super::names::may_be_a_file;
use super::uid_file::{UidFile, read_list};
use super::uids::{Ground, Wish, plan};
use crate::event::Reason;
use crate::model::mailbox::FolderKind;
use crate::site::{Delivered, Delivery, ItemContent, SiteError, UidsKept};
use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// What came of a batch.
pub struct Outcome {
    /// One for each delivery, in order.
    pub delivered: Vec<Delivered>,
    pub uids: UidsKept,
    /// Keywords of which the folder's 26 letters have no more room: message and keyword.
    pub surplus: Vec<(String, String)>,
}

/// A message that waits in `tmp`; dropping removes it.
struct Staged<'a> {
    hand: &'a Hand,
    at: usize,
    path: PathBuf,
    moved: bool,
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.moved {
            drop(self.hand.fs.remove_file(&self.path));
        }
    }
}

/// A batch whose files lie in `tmp`, not yet seen by anybody. Dropping it takes them away.
pub struct Waiting<'a> {
    hand: &'a Hand,
    dir: &'a Path,
    foreign: Option<&'a str>,
    batch: &'a [Delivery],
    delivered: Vec<Delivered>,
    staged: Vec<Staged<'a>>,
    /// Absent where no message waits.
    draft: Option<(UidFile<'a>, BatchPlan)>,
}

/// Writes `batch` into `tmp` of the folder at `dir`, which exists, and drafts its UID list; the caller makes that
/// durable ([`Sync::Nothing`]) unless this shall. `foreign` says why the folder's UIDVALIDITY is not the source's, where
/// it is not; `present` has those of the batch that an earlier call delivered.
pub fn stage_batch<'a>(
    hand: &'a Hand,
    dir: &'a Path,
    foreign: Option<&'a str>,
    batch: &'a [Delivery],
    present: &Messages,
    sync: Sync,
) -> Result<Waiting<'a>, SiteError> {
    let mut delivered = vec![Delivered::Done { uid: None }; batch.len()];
    let mut staged = Vec::new();
    if !present.is_empty() {
        let there = batch.iter().enumerate().filter(|(_, each)| present.contains_key(&each.name));
        let wishes: Vec<Wish<'_>> = there.clone().map(|(_, each)| Wish { name: &each.name, uid: None }).collect();
        let read = read_list(hand, dir, &wishes)?;
        let uids: HashMap<&str, u32> = read.taken.iter().map(|(uid, name)| (name.as_str(), *uid)).collect();
        for (at, delivery) in there {
            let uid = uids.get(delivery.name.as_str()).copied().and_then(NonZeroU32::new);
            set(&mut delivered, at, Delivered::Done { uid });
        }
    }
    let mut names = HashSet::new();
    for (at, delivery) in batch.iter().enumerate().filter(|(_, each)| !present.contains_key(&each.name)) {
        let staging = if names.insert(&delivery.name) {
            stage(hand, dir, at, delivery, sync)?
        } else {
            Err(Reason::BadName(format!("two messages of one delivery are called {:?}", delivery.name)))
        };
        match staging {
            Ok(file) => staged.push(file),
            Err(reason) => set(&mut delivered, at, Delivered::Rejected(reason)),
        }
    }
    let mut waiting = Waiting { hand, dir, foreign, batch, delivered, staged, draft: None };
    if !waiting.staged.is_empty() {
        let deliveries = waiting.deliveries();
        let mut file = UidFile::look(hand, dir, &wishes(&deliveries))?;
        let plan = plan_batch(&mut file, foreign, &deliveries);
        file.draft(sync)?;
        waiting.draft = Some((file, plan));
    }
    Ok(waiting)
}

impl Waiting<'_> {
    fn deliveries(&self) -> Vec<&Delivery> {
        self.staged.iter().filter_map(|file| self.batch.get(file.at)).collect()
    }

    /// Lets the messages be seen, under the folder's lock. What was staged is durable by now; the new names are once
    /// the caller has synced them.
    pub fn publish(mut self) -> Result<Outcome, SiteError> {
        let Some((mut file, mut plan)) = self.draft.take() else {
            return Ok(Outcome { delivered: self.delivered, uids: UidsKept::Yes, surplus: Vec::new() });
        };
        if !file.take_lock()? {
            // A server was here meanwhile: again, under the lock, which only now keeps others waiting for the disk.
            drop(file);
            let deliveries = self.deliveries();
            file = UidFile::lock(self.hand, self.dir, &wishes(&deliveries))?;
            plan = plan_batch(&mut file, self.foreign, &deliveries);
            file.draft(Sync::Content)?;
        }
        publish(self.hand, self.dir, file, &plan, &mut self.staged, &mut self.delivered)?;
        let uids = judge(self.foreign, &plan, &self.deliveries());
        Ok(Outcome { delivered: self.delivered, uids, surplus: plan.surplus })
    }
}

fn set(delivered: &mut [Delivered], at: usize, outcome: Delivered) {
    if let Some(slot) = delivered.get_mut(at) {
        *slot = outcome;
    }
}

/// Writes one message into `tmp`. The outer error ends the pass (a full disk), the inner one concerns this message.
fn stage<'a>(
    hand: &'a Hand,
    dir: &Path,
    at: usize,
    delivery: &Delivery,
    sync: Sync,
) -> Result<Result<Staged<'a>, Reason>, SiteError> {
    if !may_be_a_file(FolderKind::Mail, &delivery.name) {
        return Ok(Err(Reason::BadName(format!("no message file can be called {:?}", delivery.name))));
    }
    let path = dir.join("tmp").join(format!("wagon.{}", delivery.name));
    let written = write_content(hand, &path, delivery, sync);
    match written {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => return Ok(Err(reason)),
        Err(error) if is_fatal(&error) => return Err(io_error("write", &path)(error)),
        Err(error) => return Ok(Err(Reason::Refused(error.to_string()))),
    }
    let staged = Staged { hand, at, path, moved: false };
    hand.hand_over(&staged.path)?;
    Ok(Ok(staged))
}

/// Writes the bytes of a delivery to a new file at `path`, with its date. A file that lies there is what a crash of an
/// earlier pass left, since only one importer works on a site.
fn write_content(hand: &Hand, path: &Path, delivery: &Delivery, sync: Sync) -> io::Result<Result<(), Reason>> {
    let mut file = match hand.fs.create_new(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            hand.fs.remove_file(path)?;
            hand.fs.create_new(path)?
        }
        outcome => outcome?,
    };
    if let Err(reason) = fill(file.as_mut(), &delivery.content)? {
        return Ok(Err(reason));
    }
    file.set_mtime(delivery.date)?;
    if sync != Sync::Nothing {
        file.sync()?;
    }
    file.keep();
    Ok(Ok(()))
}

/// Writes the content out; the inner error is that it is not what was promised.
pub fn fill(mut file: &mut dyn crate::fs::FileWrite, content: &ItemContent) -> io::Result<Result<(), Reason>> {
    match content {
        ItemContent::Bytes(bytes) => io::Write::write_all(&mut file, bytes)?,
        ItemContent::Stream { size, write } => {
            let mut out = io::BufWriter::with_capacity(128 * 1024, file);
            let written = write(&mut out)?;
            io::Write::flush(&mut out)?;
            if written != *size {
                return Ok(Err(Reason::Damaged(format!("{written} bytes came instead of {size}"))));
            }
        }
    }
    Ok(Ok(()))
}

/// What a batch does to the folder: in the order of the waiting messages.
struct BatchPlan {
    files: Vec<MessageFile>,
    uids: Vec<Option<NonZeroU32>>,
    surplus: Vec<(String, String)>,
    has_list: bool,
    /// Messages that asked for a UID and got another.
    lost: usize,
}

fn wishes<'a>(waiting: &[&'a Delivery]) -> Vec<Wish<'a>> {
    waiting.iter().map(|each| Wish { name: &each.name, uid: each.uid }).collect()
}

/// Gives UIDs and letters, and puts them into `file`, which is not written yet.
fn plan_batch(file: &mut UidFile<'_>, foreign: Option<&str>, waiting: &[&Delivery]) -> BatchPlan {
    let ground = match foreign {
        Some(_) => Ground::Foreign,
        None if file.was_opened() => Ground::Seen,
        None => Ground::Ours,
    };
    let wishes = wishes(waiting);
    let plan = plan(&file.taken, file.next_uid(), ground, &wishes);
    let has_list = file.list.is_some();
    let uids = if has_list { plan.uids } else { vec![None; wishes.len()] };
    let mut surplus = Vec::new();
    let mut files = Vec::new();
    let mut entries = Vec::new();
    for (delivery, uid) in waiting.iter().zip(&uids) {
        let mut letters = KeywordLetters::default();
        for keyword in &delivery.keywords {
            match file.keywords.assign(keyword) {
                Some(letter) => letters = letters.with(letter),
                None => surplus.push((delivery.name.clone(), keyword.clone())),
            }
        }
        files.push(MessageFile::in_cur(name::encode(delivery.name.as_bytes(), delivery.flags, letters)));
        entries.extend(uid.map(|uid| (uid, fields(delivery), delivery.name.as_bytes())));
    }
    file.add(entries.iter().map(|(uid, fields, name)| Entry { uid: *uid, fields: fields.as_bytes(), name }), plan.next);
    BatchPlan { files, uids, surplus, has_list, lost: plan.lost }
}

/// Puts list, keywords and messages in place; `file` is locked.
fn publish(
    hand: &Hand,
    dir: &Path,
    mut file: UidFile<'_>,
    plan: &BatchPlan,
    staged: &mut [Staged<'_>],
    delivered: &mut [Delivered],
) -> Result<(), SiteError> {
    file.put_in_place()?;
    for ((staged, to), uid) in staged.iter_mut().zip(&plan.files).zip(&plan.uids) {
        let to = to.path(dir);
        match hand.fs.rename_new(&staged.path, &to) {
            Ok(()) => staged.moved = true,
            // The very same delivery was done before; what is in `tmp` goes when it is dropped.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if is_fatal(&error) => return Err(io_error("move into", &to)(error)),
            Err(error) => {
                set(delivered, staged.at, Delivered::Rejected(Reason::Refused(error.to_string())));
                continue;
            }
        }
        set(delivered, staged.at, Delivered::Done { uid: *uid });
    }
    Ok(())
}

/// The UIDL that this message must keep, where a POP3 client could have got it (RFC 1939 section 7).
fn uidl(delivery: &Delivery) -> Option<&str> {
    delivery.uidl.as_deref().filter(|uidl| is_uidl(uidl))
}

/// What its line of the list says beside UID and name.
fn fields(delivery: &Delivery) -> String {
    uidl(delivery).map(|uidl| format!("P{uidl}")).unwrap_or_default()
}

fn is_uidl(uidl: &str) -> bool {
    (1..=70).contains(&uidl.len()) && uidl.bytes().all(|byte| byte.is_ascii_graphic())
}

fn judge(foreign: Option<&str>, plan: &BatchPlan, waiting: &[&Delivery]) -> UidsKept {
    let asked = |each: &&&Delivery| each.uid.is_some() || each.uidl.is_some();
    if waiting.iter().filter(asked).count() == 0 {
        return UidsKept::Yes;
    }
    if let Some(reason) = foreign {
        return UidsKept::No(reason.to_owned());
    }
    if !plan.has_list {
        return UidsKept::No("the folder was made without a UID list; the server will give UIDs".to_owned());
    }
    let lost = plan.lost;
    if lost > 0 {
        let all = waiting.len();
        return UidsKept::No(format!(
            "{lost} of {all} messages got new UIDs, since a client may have seen higher ones"
        ));
    }
    let bad = waiting.iter().filter_map(|each| each.uidl.as_deref()).filter(|uidl| !is_uidl(uidl)).count();
    if bad > 0 {
        return UidsKept::No(format!("{bad} POP3 UIDLs are not of the form that clients know"));
    }
    UidsKept::Yes
}
