//! Delivering messages exactly once.
//!
//! Before the first byte goes out the state says durably which message goes where, with which content, and from which UID
//! on it will be found. Wherever the connection breaks, the folder is searched for it before it is sent again; the state
//! then says under which UID it lies. Nothing is decided by a guess from names or dates alone where the content tells.

use super::client::{Code, Command, Connection, Mended, Message, Untagged};
use super::look::SYSTEM_FLAGS;
use super::state::{FolderRow, Intent, MessageRow, Settled};
use super::{ImapStore, Seen, look, pool};
use crate::event::Reason;
use crate::limits;
use crate::model::mailbox::{Flags, FolderKey};
use crate::site::{Delivered, Delivery, ItemContent, SiteError, UidsKept};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::sync::{MutexGuard, PoisonError};

/// A delivery, looked through.
struct Outgoing {
    delivery: Delivery,
    /// Bytes as they are sent.
    size: u64,
    hash: [u8; 32],
    /// Bare LFs are sent as CRLF.
    mended: bool,
    /// It has bytes that some servers change: NUL, bare CR, 8-bit in its header.
    odd: bool,
}

/// What became of messages that were sent together.
enum Sent {
    /// UIDs in order, where the server told them.
    Taken(Option<(u32, Vec<u32>)>),
    Refused(super::client::Said),
}

impl ImapStore {
    pub(super) fn deliver_mail(
        &self,
        account: &str,
        key: &FolderKey,
        batch: Vec<Delivery>,
    ) -> Result<(Vec<Delivered>, UidsKept), SiteError> {
        let seen = self.seen(account);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self.state.account(account)?;
        let row = match self.state.folder(id, key.path())? {
            Some(row) => row,
            None => self.present(account, key, &mut seen)?.ok_or_else(|| self.no_folder(account, key))?,
        };
        let wants_uids = batch.iter().any(|delivery| delivery.uid.is_some());
        let mut outcomes: Vec<Option<Delivered>> = Vec::with_capacity(batch.len());
        let mut outgoing = Vec::new();
        for (at, delivery) in batch.into_iter().enumerate() {
            // A delivery that is repeated.
            if let Some((_, there)) = self.state.find(id, &delivery.name)? {
                outcomes.push(Some(Delivered::Done { uid: there.uid.try_into().ok() }));
                continue;
            }
            outcomes.push(None);
            match look_through(delivery) {
                Ok(one) => outgoing.push((at, one)),
                Err(error) => set(&mut outcomes, at, Delivered::Rejected(Reason::Unreadable(error.to_string()))),
            }
        }
        seen.fresh.remove(key.path());
        let mut round = 0;
        while !outgoing.is_empty() {
            match self.send_round(account, id, &row, &mut outgoing, &mut outcomes) {
                Ok(()) => {}
                Err(error) if pool::is_passing(&error) && round < limits::IMAP_TRIES => {
                    round += 1;
                    std::thread::sleep(pool::wait_before(round));
                    self.settle_intents(account, id)?;
                    let mut left = Vec::new();
                    for (at, one) in outgoing {
                        match self.state.find(id, &one.delivery.name)? {
                            Some((_, there)) => {
                                set(&mut outcomes, at, Delivered::Done { uid: there.uid.try_into().ok() });
                            }
                            None => left.push((at, one)),
                        }
                    }
                    outgoing = left;
                }
                // It asked to wait, time after time; its words are the reason.
                Err(SiteError::Lost { source, .. }) if source.kind() == io::ErrorKind::ResourceBusy => {
                    let names: Vec<String> = outgoing.iter().map(|(_, one)| one.delivery.name.clone()).collect();
                    self.state.delivered(id, row.id, &[], &names)?;
                    for (at, _) in std::mem::take(&mut outgoing) {
                        set(&mut outcomes, at, Delivered::Rejected(Reason::Refused(source.to_string())));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let lost = |what: &str| Delivered::Rejected(Reason::Refused(what.to_owned()));
        let outcomes = outcomes.into_iter().map(|one| one.unwrap_or_else(|| lost("it was not sent"))).collect();
        let kept =
            if wants_uids { UidsKept::No("IMAP gives every message a new UID".to_owned()) } else { UidsKept::Yes };
        Ok((outcomes, kept))
    }

    fn no_folder(&self, account: &str, key: &FolderKey) -> SiteError {
        SiteError::Server { server: self.pool.server(), what: format!("has no folder {key} of {account} any more") }
    }

    /// Announces and sends what is left; what has an outcome is taken out of `outgoing`.
    fn send_round(
        &self,
        account: &str,
        id: i64,
        row: &FolderRow,
        outgoing: &mut Vec<(usize, Outgoing)>,
        outcomes: &mut [Option<Delivered>],
    ) -> Result<(), SiteError> {
        let mut lease = self.lease(account)?;
        let (uid_validity, uid_from) = self.counters(&mut lease, id, row)?;
        let intents: Vec<Intent> = outgoing
            .iter()
            .map(|(_, one)| Intent {
                name: one.delivery.name.clone(),
                folder: row.id,
                uid_validity,
                uid_from,
                size: one.size,
                hash: one.hash,
                mended: one.mended,
                date: one.delivery.date,
            })
            .collect();
        self.state.add_intents(id, &intents)?;
        let several = lease.can("MULTIAPPEND");
        while !outgoing.is_empty() {
            let count = if several { group(outgoing) } else { 1 };
            let group = outgoing.get(..count).unwrap_or_default();
            match self.send_group(&mut lease, row, group)? {
                Sent::Taken(uids) => {
                    self.note_group(&mut lease, (id, uid_validity, uid_from), row, group, uids, outcomes)?;
                    outgoing.drain(..count);
                }
                Sent::Refused(_) if count > 1 => {
                    for one in 0..count {
                        let Some(single) = outgoing.get(one..=one) else { break };
                        self.send_single(&mut lease, (id, uid_validity, uid_from), row, single, outcomes)?;
                    }
                    outgoing.drain(..count);
                }
                Sent::Refused(said) => {
                    self.refuse(&lease, id, row, group, &said, outcomes)?;
                    outgoing.drain(..count);
                }
            }
        }
        Ok(())
    }

    fn send_single(
        &self,
        lease: &mut pool::Lease,
        place: (i64, u32, u32),
        row: &FolderRow,
        single: &[(usize, Outgoing)],
        outcomes: &mut [Option<Delivered>],
    ) -> Result<(), SiteError> {
        match self.send_group(lease, row, single)? {
            Sent::Taken(uids) => self.note_group(lease, place, row, single, uids, outcomes),
            Sent::Refused(said) => self.refuse(lease, place.0, row, single, &said, outcomes),
        }
    }

    /// The server does not take a message: its words are the reason. One that is only busy is asked again later.
    fn refuse(
        &self,
        lease: &pool::Lease,
        id: i64,
        row: &FolderRow,
        single: &[(usize, Outgoing)],
        said: &super::client::Said,
        outcomes: &mut [Option<Delivered>],
    ) -> Result<(), SiteError> {
        if said.asks_to_wait() {
            return Err(lease.refusal(&Command::new("APPEND"), said));
        }
        let names: Vec<String> = single.iter().map(|(_, one)| one.delivery.name.clone()).collect();
        self.state.delivered(id, row.id, &[], &names)?;
        for (at, _) in single {
            set(outcomes, *at, Delivered::Rejected(Reason::Refused(said.to_string())));
        }
        Ok(())
    }

    /// UIDVALIDITY and the least UID that a new message can have. Another UIDVALIDITY than the last look's is looked at
    /// first, so that new messages are not taken for old ones.
    fn counters(&self, lease: &mut pool::Lease, id: i64, row: &FolderRow) -> Result<(u32, u32), SiteError> {
        let mut told = (None, None);
        let command = Command::new("STATUS").string(&row.wire).words("(UIDVALIDITY UIDNEXT)");
        lease.demand(&command, &mut |untagged| {
            if let Untagged::Status(_, status) = untagged {
                told = (status.uid_validity, status.uid_next);
            }
            Ok(())
        })?;
        let (Some(validity), next) = told else {
            return Err(lease.complaint(format!("does not tell the UIDVALIDITY of {}", row.path)));
        };
        if row.uid_validity != 0
            && row.uid_validity != validity
            && let Err(said) = look::look(lease, &self.state, id, row)?
        {
            return Err(lease.complaint(format!("does not open {}: {said}", row.path)));
        }
        Ok((validity, next.unwrap_or(1)))
    }

    fn send_group(
        &self,
        lease: &mut pool::Lease,
        row: &FolderRow,
        group: &[(usize, Outgoing)],
    ) -> Result<Sent, SiteError> {
        let writers: Vec<_> = group.iter().map(|(_, one)| move |out: &mut dyn Write| one.write(out)).collect();
        let messages: Vec<Message<'_>> = group
            .iter()
            .zip(&writers)
            .map(|((_, one), write)| Message {
                flags: flag_names(one.delivery.flags, &one.delivery.keywords),
                date: one.delivery.date,
                size: one.size,
                write,
            })
            .collect();
        let said = lease.append(&row.wire, &messages)?;
        Ok(match said.code {
            _ if !said.is_ok() => Sent::Refused(said),
            Some(Code::AppendUid(validity, numbers)) => {
                let uids: Vec<u32> = numbers.each().take(group.len() + 1).collect();
                Sent::Taken(Some((validity, uids)).filter(|(_, uids)| uids.len() == group.len()))
            }
            _ => Sent::Taken(None),
        })
    }

    /// Records messages that the server has taken.
    fn note_group(
        &self,
        lease: &mut pool::Lease,
        (id, uid_validity, uid_from): (i64, u32, u32),
        row: &FolderRow,
        group: &[(usize, Outgoing)],
        uids: Option<(u32, Vec<u32>)>,
        outcomes: &mut [Option<Delivered>],
    ) -> Result<(), SiteError> {
        let odd = group.iter().any(|(_, one)| one.odd);
        let uids = uids.filter(|(validity, _)| *validity == uid_validity).map(|(_, uids)| uids);
        let mut settled = match uids {
            Some(uids) => {
                let each = group.iter().zip(uids);
                each.map(|((_, one), uid)| one.settled(uid)).collect()
            }
            None => {
                let wanted: Vec<Intent> =
                    group.iter().map(|(_, one)| one.intent(row.id, uid_validity, uid_from)).collect();
                self.find_sent(lease, row, &wanted, !odd)?
            }
        };
        if odd {
            self.compare_odd(lease, row, group, &mut settled)?;
        }
        self.state.delivered(id, row.id, &settled, &[])?;
        let by_name: HashMap<&str, u32> =
            settled.iter().map(|one| (one.message.name.as_str(), one.message.uid)).collect();
        for (at, one) in group {
            let outcome = match by_name.get(one.delivery.name.as_str()) {
                Some(uid) => Delivered::Done { uid: (*uid).try_into().ok() },
                None => {
                    let text = "the server took it, and it is not in the folder";
                    Delivered::Rejected(Reason::Refused(text.to_owned()))
                }
            };
            set(outcomes, *at, outcome);
        }
        Ok(())
    }

    /// Reads back messages with bytes that servers change, and notes what is there now.
    fn compare_odd(
        &self,
        lease: &mut pool::Lease,
        row: &FolderRow,
        group: &[(usize, Outgoing)],
        settled: &mut [Settled],
    ) -> Result<(), SiteError> {
        open(lease, row)?;
        for one in settled {
            let Some((_, sent)) = group.iter().find(|(_, sent)| sent.delivery.name == one.message.name) else {
                continue;
            };
            if sent.odd
                && let Some(hash) = hash_of(lease, one.message.uid)?
                && hash != sent.hash
            {
                (one.object, one.by_server) = (Some(hash), true);
            }
        }
        Ok(())
    }

    /// Finds out what became of announced deliveries, before anything else gives names in the account.
    pub(super) fn settle_intents(&self, account: &str, id: i64) -> Result<(), SiteError> {
        let intents = self.state.intents(id)?;
        if intents.is_empty() {
            return Ok(());
        }
        let mut by_folder: HashMap<i64, Vec<Intent>> = HashMap::new();
        intents.into_iter().for_each(|intent| by_folder.entry(intent.folder).or_default().push(intent));
        for (folder, wanted) in by_folder {
            let Some(row) = self.state.folder_by_id(folder)? else { continue };
            let found = pool::patiently(|| {
                let mut lease = self.lease(account)?;
                match lease.open(&row.wire, false, "", &mut |_| Ok(()))? {
                    Ok(_) => self.find_sent(&mut lease, &row, &wanted, false),
                    // It is gone, and what may have been in it too.
                    Err(said) if said.asks_to_wait() => Err(lease.refusal(&Command::new("EXAMINE"), &said)),
                    Err(_) => Ok(Vec::new()),
                }
            })?;
            let there: HashSet<&str> = found.iter().map(|one| one.message.name.as_str()).collect();
            let not: Vec<String> =
                wanted.iter().map(|one| one.name.clone()).filter(|name| !there.contains(name.as_str())).collect();
            self.state.delivered(id, folder, &found, &not)?;
        }
        Ok(())
    }

    /// Looks for messages that were sent: among those from the announced UID on that bear no name yet, by content; where
    /// a server changed that, by size and date. `by_size`: it was just seen to take them, so where sizes and dates tell
    /// them apart nothing is read.
    fn find_sent(
        &self,
        lease: &mut pool::Lease,
        row: &FolderRow,
        wanted: &[Intent],
        by_size: bool,
    ) -> Result<Vec<Settled>, SiteError> {
        let selected = open(lease, row)?;
        let from =
            wanted.iter().map(|one| if one.uid_validity == selected { one.uid_from } else { 1 }).min().unwrap_or(1);
        let named = if row.uid_validity == selected { self.state.named_uids(row.id, from)? } else { HashSet::new() };
        let mut here: Vec<(u32, u64, i64, Flags, Vec<String>)> = Vec::new();
        let command = Command::new(format!("UID FETCH {}:* (UID FLAGS RFC822.SIZE INTERNALDATE)", from.max(1)));
        lease.run(&command, &mut |untagged| {
            if let Untagged::Fetch(fetched) = untagged
                && let (Some(uid), Some(size), Some(date)) = (fetched.uid, fetched.size, fetched.date)
                && uid >= from
                && !named.contains(&uid)
            {
                let (flags, keywords) = look::split_flags(&fetched.flags.unwrap_or_default());
                here.push((uid, size, date, flags, keywords));
            }
            Ok(())
        })?;
        here.sort_by_key(|one| one.0);
        let mut found = Vec::new();
        let mut hashes: HashMap<u32, Option<[u8; 32]>> = HashMap::new();
        for exactly in [true, false] {
            for intent in wanted {
                if found.iter().any(|one: &Settled| one.message.name == intent.name) {
                    continue;
                }
                let alike: Vec<usize> = (0..here.len())
                    .filter(|&at| {
                        here.get(at)
                            .is_some_and(|one| one.1 == intent.size && (!exactly || one.2 == intent.date || !by_size))
                    })
                    .collect();
                let twins =
                    wanted.iter().filter(|other| (other.size, other.date) == (intent.size, intent.date)).count();
                let mut hit = None;
                for at in alike {
                    let Some(one) = here.get(at) else { continue };
                    if by_size && twins == 1 && one.2 == intent.date {
                        hit = Some((at, Some(intent.hash)));
                        break;
                    }
                    let hash = match hashes.get(&one.0) {
                        Some(hash) => *hash,
                        None => *hashes.entry(one.0).or_insert(hash_of(lease, one.0)?),
                    };
                    if hash == Some(intent.hash) || (!exactly && one.2 == intent.date) {
                        hit = Some((at, hash));
                        break;
                    }
                }
                if let Some((at, hash)) = hit {
                    let (uid, size, date, flags, keywords) = here.remove(at);
                    let changed = hash.filter(|hash| *hash != intent.hash);
                    found.push(Settled {
                        message: MessageRow { uid, name: intent.name.clone(), size, date, flags, keywords },
                        object: changed.or_else(|| intent.mended.then_some(intent.hash)),
                        by_server: changed.is_some(),
                    });
                }
            }
        }
        Ok(found)
    }

    pub(super) fn reserve(
        &self,
        account: &str,
        wanted: &[String],
        seen: &mut MutexGuard<'_, Seen>,
    ) -> Result<Vec<String>, SiteError> {
        let id = self.state.account(account)?;
        let mut names = Vec::with_capacity(wanted.len());
        for wish in wanted {
            let base = super::names::item_name(wish);
            let mut name = base.clone();
            let mut count = 1u64;
            while names.contains(&name) || seen.promised.contains(&name) || !self.state.is_free(id, &name)? {
                count += 1;
                name = format!("{base}-w{count}");
            }
            names.push(name);
        }
        // They count as taken until the next names are asked for; a delivery takes them for good.
        seen.promised = names.iter().cloned().collect();
        Ok(names)
    }
}

impl Outgoing {
    fn write(&self, out: &mut dyn Write) -> io::Result<u64> {
        if !self.mended {
            return write_plain(&self.delivery.content, out);
        }
        let mut mended = Mended::new(out);
        write_plain(&self.delivery.content, &mut mended)?;
        mended.flush()?;
        Ok(mended.written)
    }

    fn intent(&self, folder: i64, uid_validity: u32, uid_from: u32) -> Intent {
        let (name, date) = (self.delivery.name.clone(), self.delivery.date);
        Intent { name, folder, uid_validity, uid_from, size: self.size, hash: self.hash, mended: self.mended, date }
    }

    fn settled(&self, uid: u32) -> Settled {
        let Delivery { name, date, flags, keywords, .. } = &self.delivery;
        let message = MessageRow {
            uid,
            name: name.clone(),
            size: self.size,
            date: *date,
            flags: *flags,
            keywords: keywords.clone(),
        };
        Settled { message, object: self.mended.then_some(self.hash), by_server: false }
    }
}

/// Reads a delivery once: how long it is as it will be sent, its hash, and whether it is odd.
fn look_through(delivery: Delivery) -> io::Result<Outgoing> {
    let mut inspector = Inspector::default();
    let mut mended = Mended::new(&mut inspector);
    let raw = write_plain(&delivery.content, &mut mended)?;
    mended.flush()?;
    let size = mended.written;
    let odd = inspector.odd;
    let hash = inspector.digest.finalize().into();
    Ok(Outgoing { delivery, size, hash, mended: size != raw, odd })
}

#[derive(Default)]
struct Inspector {
    digest: Sha256,
    odd: bool,
    past_header: bool,
    /// The last bytes, to see an empty line or a bare CR over a cut.
    last: [u8; 3],
}

impl Write for Inspector {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.digest.update(buf);
        for &byte in buf {
            let [first, second, third] = self.last;
            let bare_cr = third == b'\r' && byte != b'\n';
            self.odd |= byte == 0 || bare_cr || (byte >= 0x80 && !self.past_header);
            self.past_header |= [first, second, third, byte] == *b"\r\n\r\n";
            self.last = [second, third, byte];
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_plain(content: &ItemContent, out: &mut dyn Write) -> io::Result<u64> {
    match content {
        ItemContent::Bytes(bytes) => {
            out.write_all(bytes)?;
            Ok(bytes.len() as u64)
        }
        ItemContent::Stream { write, .. } => write(out),
    }
}

/// How many of the next messages go together.
fn group(outgoing: &[(usize, Outgoing)]) -> usize {
    let mut bytes = 0u64;
    let fits = outgoing.iter().take(limits::IMAP_APPEND_ITEMS).take_while(|(_, one)| {
        bytes = bytes.saturating_add(one.size);
        bytes <= limits::IMAP_APPEND_BYTES
    });
    fits.count().max(1)
}

/// Opens a folder for reading unless it is open; gives its UIDVALIDITY.
fn open(connection: &mut Connection, row: &FolderRow) -> Result<u32, SiteError> {
    match connection.open(&row.wire, false, "", &mut |_| Ok(()))? {
        Ok(selected) => Ok(selected.uid_validity),
        Err(said) => Err(connection.complaint(format!("does not open the folder {}: {said}", row.path))),
    }
}

/// The hash of a message of the open folder, read piece by piece; `None`: it is gone.
fn hash_of(connection: &mut Connection, uid: u32) -> Result<Option<[u8; 32]>, SiteError> {
    let mut digest = Sha256::new();
    let mut offset = 0u64;
    loop {
        let mut body = None;
        connection.demand(&super::ahead::fetch_piece(&uid.to_string(), offset), &mut |untagged| {
            if let Untagged::Fetch(fetched) = untagged
                && fetched.uid == Some(uid)
                && fetched.body.is_some()
            {
                body = fetched.body;
            }
            Ok(())
        })?;
        let Some(piece) = body else { return Ok(None) };
        digest.update(&piece);
        offset += piece.len() as u64;
        if (piece.len() as u64) < limits::IMAP_PIECE_BYTES {
            return Ok(Some(digest.finalize().into()));
        }
    }
}

/// Flags and keywords as IMAP spells them. `P`assed has no flag there; the keyword that clients use stands for it.
pub fn flag_names(flags: Flags, keywords: &[String]) -> Vec<String> {
    let system = SYSTEM_FLAGS.iter().filter(|(letter, _)| flags.contains(*letter)).map(|(_, name)| format!("\\{name}"));
    let mut names: Vec<String> = system.collect();
    names.extend(keywords.iter().filter(|keyword| is_atom(keyword)).cloned());
    if flags.contains('P') && !names.iter().any(|name| name == "$Forwarded") {
        names.push("$Forwarded".to_owned());
    }
    names
}

/// Whether a keyword can be sent at all (RFC 9051, section 9, flag-keyword).
fn is_atom(keyword: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte);
    !keyword.is_empty() && keyword.bytes().all(fits)
}

fn set(outcomes: &mut [Option<Delivered>], at: usize, outcome: Delivered) {
    if let Some(slot) = outcomes.get_mut(at) {
        *slot = Some(outcome);
    }
}
