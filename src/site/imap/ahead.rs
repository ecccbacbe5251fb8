//! Reading messages: asked for ahead of their being wanted, several with one command, so that the network carries the next
//! ones while the last are taken apart.
//!
//! For each account that is being read there is one reader with a connection of its own. It follows the order in which a
//! folder was listed. Several threads read an account at once, each some messages ahead of another: what lies between is
//! fetched on the way and kept for whoever is behind, so that every message crosses the network once.

use super::client::{Command, Untagged, set_of};
use super::pool::{Lease, Pool};
use crate::limits;
use crate::site::SiteError;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

/// Where a message lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub uid_validity: u32,
    pub uid: u32,
    pub size: u64,
    pub date: i64,
    /// The folder's name on the wire.
    pub wire: Vec<u8>,
}

impl Place {
    /// As bytes, for a found item.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} {} {} ", self.uid_validity, self.uid, self.size, self.date).into_bytes();
        bytes.extend_from_slice(&self.wire);
        bytes
    }

    /// Reads what [`Place::encode`] wrote.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut parts = bytes.splitn(5, |&byte| byte == b' ');
        let mut text = || std::str::from_utf8(parts.next()?).ok();
        let (uid_validity, uid) = (text()?.parse().ok()?, text()?.parse().ok()?);
        let (size, date) = (text()?.parse().ok()?, text()?.parse().ok()?);
        Some(Self { uid_validity, uid, size, date, wire: parts.next()?.to_vec() })
    }
}

/// A folder's messages in the order in which they will probably be read: UID and size.
type Order = Vec<(u32, u32)>;

/// What a read gave.
pub enum Got {
    Bytes(Vec<u8>),
    /// It has more than [`limits::IMAP_PIECE_BYTES`]; this is its beginning.
    Begun(Vec<u8>),
    Vanished,
}

/// In which order the messages of a folder will probably be read.
struct Plan {
    number: u64,
    account: String,
    wire: Vec<u8>,
    uid_validity: u32,
    order: Arc<Order>,
}

/// The readers of a store, and what they may guess by.
#[derive(Default)]
pub struct Readers {
    readers: Mutex<Vec<(String, Arc<Mutex<Reader>>)>>,
    /// Listing runs ahead of reading by many accounts, so plans outlive the readers of the moment; the oldest go.
    plans: Mutex<VecDeque<Plan>>,
    last_plan: AtomicU64,
}

impl Readers {
    fn of(&self, account: &str) -> Arc<Mutex<Reader>> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = readers.iter().position(|(owner, _)| owner == account) {
            let entry = readers.remove(at);
            let reader = Arc::clone(&entry.1);
            readers.push(entry);
            return reader;
        }
        while readers.len() >= limits::IMAP_AHEAD_ACCOUNTS {
            readers.remove(0);
        }
        let reader = Arc::new(Mutex::new(Reader::default()));
        readers.push((account.to_owned(), Arc::clone(&reader)));
        reader
    }

    /// Says in which order a folder's messages will be read.
    pub fn plan(&self, account: &str, wire: &[u8], uid_validity: u32, order: Order) {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        plans.retain(|plan| plan.account != account || plan.wire != wire);
        plans.push_back(Plan {
            number: self.last_plan.fetch_add(1, Ordering::Relaxed) + 1,
            account: account.to_owned(),
            wire: wire.to_vec(),
            uid_validity,
            order: Arc::new(order),
        });
        let mut planned: usize = plans.iter().map(|plan| plan.order.len()).sum();
        while plans.len() > 1 && (planned > limits::IMAP_PLANNED || plans.len() > limits::IMAP_PLANS) {
            planned -= plans.pop_front().map_or(0, |plan| plan.order.len());
        }
    }

    /// A folder's plan and its number; without one, an empty plan 0.
    fn order(&self, account: &str, place: &Place) -> (u64, Arc<Order>) {
        let plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |plan: &&Plan| {
            plan.account == account && plan.wire == place.wire && plan.uid_validity == place.uid_validity
        };
        plans.iter().find(is_it).map(|plan| (plan.number, Arc::clone(&plan.order))).unwrap_or_default()
    }

    /// Reads the beginning of a message, up to [`limits::IMAP_PIECE_BYTES`].
    pub fn read(&self, pool: &Arc<Pool>, account: &str, place: &Place) -> Result<Got, SiteError> {
        let reader = self.of(account);
        let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        super::pool::patiently(|| {
            let was_open = reader.is_open(place);
            let mut got = reader.read(pool, account, place, self);
            if was_open && matches!(got, Ok(Got::Vanished)) {
                // A folder that is open shows what came meanwhile only when the server says so; opening it again does.
                reader.leave();
                got = reader.read(pool, account, place, self);
            }
            if got.is_err() {
                reader.hang_up();
            }
            got
        })
    }

    /// Gives back the connections of readers that nobody is using right now.
    pub fn release(&self) {
        let readers: Vec<_> = {
            let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            readers.iter().map(|(_, reader)| Arc::clone(reader)).collect()
        };
        for reader in readers {
            match reader.try_lock() {
                Ok(mut reader) => reader.hang_up(),
                Err(TryLockError::Poisoned(reader)) => reader.into_inner().hang_up(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
    }
}

/// One account's reader.
#[derive(Default)]
pub struct Reader {
    lease: Option<Lease>,
    /// The open folder, and its UIDVALIDITY.
    open: Option<Opened>,
    /// What was asked for in it and has not come, command by command.
    asked: VecDeque<HashSet<u32>>,
    /// Bytes of that, as the listing had them.
    asked_bytes: u64,
    /// What came and nobody has read yet, of any folder.
    here: HashMap<(Opened, u32), Vec<u8>>,
    here_bytes: u64,
    /// In which order it came; what has been read since is in it too.
    came: VecDeque<(Opened, u32)>,
    /// The plan of the open folder, its number, where reading is, and up to where was asked.
    order: Arc<Order>,
    plan: u64,
    at: usize,
    asked_to: usize,
    /// Up to where was asked in the other folders, by plan.
    left_at: HashMap<u64, usize>,
    /// How many messages are asked for at once; grows while they are wanted.
    window: usize,
}

/// A folder's name on the wire and its UIDVALIDITY.
type Opened = (Arc<[u8]>, u32);

impl Reader {
    fn hang_up(&mut self) {
        self.lease = None;
        self.leave();
        self.asked.clear();
        self.left_at.clear();
        self.here.clear();
        self.came.clear();
        (self.asked_bytes, self.here_bytes) = (0, 0);
    }

    fn leave(&mut self) {
        if self.open.take().is_some() {
            self.left_at.insert(self.plan, self.asked_to);
        }
    }

    fn read(&mut self, pool: &Arc<Pool>, account: &str, place: &Place, readers: &Readers) -> Result<Got, SiteError> {
        let name = ((Arc::from(place.wire.as_slice()), place.uid_validity), place.uid);
        if !self.here.contains_key(&name) {
            if !self.is_open(place) && !self.turn_to(pool, account, place, readers)? {
                return Ok(Got::Vanished);
            }
            if !self.is_asked(place.uid) {
                self.find(place.uid);
                if self.order.get(self.at).is_none_or(|(uid, _)| *uid != place.uid) {
                    // It may have been listed since.
                    self.take_plan(account, place, readers);
                    self.find(place.uid);
                }
                self.miss(place)?;
            }
        }
        loop {
            if let Some(bytes) = self.here.remove(&name) {
                self.here_bytes = self.here_bytes.saturating_sub(bytes.len() as u64);
                self.ask_ahead()?;
                let is_whole = (bytes.len() as u64) < limits::IMAP_PIECE_BYTES;
                return Ok(if is_whole { Got::Bytes(bytes) } else { Got::Begun(bytes) });
            }
            if !self.is_asked(place.uid) {
                return Ok(Got::Vanished);
            }
            self.step()?;
        }
    }

    fn is_open(&self, place: &Place) -> bool {
        self.open.as_ref().is_some_and(|open| *open.0 == *place.wire && open.1 == place.uid_validity)
    }

    fn is_asked(&self, uid: u32) -> bool {
        self.asked.iter().any(|batch| batch.contains(&uid))
    }

    /// Opens another folder. `false`: it is not there any more, or is another one now.
    fn turn_to(
        &mut self,
        pool: &Arc<Pool>,
        account: &str,
        place: &Place,
        readers: &Readers,
    ) -> Result<bool, SiteError> {
        while !self.asked.is_empty() {
            self.step()?;
        }
        self.leave();
        let mut lease = match self.lease.take() {
            Some(lease) => lease,
            None => pool.lease(account, &|| readers.release())?,
        };
        let opened = lease.open(&place.wire, false, "", &mut |_| Ok(()))?;
        self.lease = Some(lease);
        match opened {
            Ok(selected) if selected.uid_validity == place.uid_validity => {}
            _ => return Ok(false),
        }
        self.open = Some((Arc::from(place.wire.as_slice()), place.uid_validity));
        self.take_plan(account, place, readers);
        self.window = limits::IMAP_FIRST_WINDOW;
        Ok(true)
    }

    fn take_plan(&mut self, account: &str, place: &Place, readers: &Readers) {
        (self.plan, self.order) = readers.order(account, place);
        (self.at, self.asked_to) = (0, self.left_at.get(&self.plan).copied().unwrap_or_default());
    }

    /// Finds where in the plan reading is: near where it was, else anywhere.
    fn find(&mut self, uid: u32) {
        let near = self.at.saturating_sub(64);
        let is_it = |(one, _): &(u32, u32)| *one == uid;
        let ahead = self.order.get(near..).unwrap_or_default().iter().take(2048).position(is_it);
        if let Some(at) = ahead.map(|at| near + at).or_else(|| self.order.iter().position(is_it)) {
            self.at = at;
        }
    }

    /// Something is wanted that was not asked for.
    fn miss(&mut self, place: &Place) -> Result<(), SiteError> {
        let size = place.size.min(limits::IMAP_PIECE_BYTES);
        let is_planned = self.order.get(self.at).is_some_and(|(uid, _)| *uid == place.uid);
        if !is_planned || self.at < self.asked_to {
            return self.ask(&[place.uid], size);
        }
        let between = self.order.get(self.asked_to..self.at).unwrap_or_default();
        let short = between.iter().map(|(_, size)| u64::from(*size)).filter(|size| *size < limits::IMAP_PIECE_BYTES);
        if between.len() > limits::IMAP_AHEAD_ITEMS || short.sum::<u64>() > limits::IMAP_AHEAD_BYTES {
            // Too far to fetch everything on the way.
            self.asked_to = self.at;
            self.window = limits::IMAP_FIRST_WINDOW;
        }
        let least = self.at - self.asked_to;
        let (mut uids, mut bytes) = self.next_batch(2 * limits::IMAP_AHEAD_BYTES, least + self.window);
        if !uids.contains(&place.uid) {
            uids.push(place.uid);
            bytes += size;
        }
        self.ask(&uids, bytes)
    }

    /// Keeps the network busy: asks for more once half of what was asked for has been read.
    fn ask_ahead(&mut self) -> Result<(), SiteError> {
        let held = self.here_bytes + self.asked_bytes;
        let waiting = self.here.len() + self.asked.iter().map(HashSet::len).sum::<usize>();
        if self.open.is_none() || held > limits::IMAP_AHEAD_BYTES / 2 || waiting > self.window / 2 {
            return Ok(());
        }
        self.window = (self.window * 2).min(limits::IMAP_AHEAD_ITEMS);
        let (uids, bytes) = self.next_batch(limits::IMAP_AHEAD_BYTES - held, self.window);
        if uids.is_empty() { Ok(()) } else { self.ask(&uids, bytes) }
    }

    /// The next messages of the plan. One that is long is left to be asked for by itself.
    fn next_batch(&mut self, bound: u64, count: usize) -> (Vec<u32>, u64) {
        let (mut uids, mut bytes) = (Vec::new(), 0);
        while let Some(&(uid, size)) = self.order.get(self.asked_to) {
            let size = u64::from(size);
            if uids.len() >= count || (size < limits::IMAP_PIECE_BYTES && bytes + size > bound) {
                break;
            }
            self.asked_to += 1;
            if size < limits::IMAP_PIECE_BYTES && !self.is_asked(uid) {
                bytes += size;
                uids.push(uid);
            }
        }
        (uids, bytes)
    }

    fn ask(&mut self, uids: &[u32], bytes: u64) -> Result<(), SiteError> {
        let Some(lease) = &mut self.lease else { return Ok(()) };
        let command = fetch_piece(&set_of(uids), 0);
        let _answered_by_step = lease.send(&command)?;
        lease.flush()?;
        self.asked.push_back(uids.iter().copied().collect());
        self.asked_bytes += bytes;
        Ok(())
    }

    /// What nobody came for makes room; should it be wanted all the same, it is fetched again.
    fn forget_oldest(&mut self) {
        while self.here_bytes > limits::IMAP_HERE_BYTES || self.came.len() > limits::IMAP_CAME {
            let Some(name) = self.came.pop_front() else { return };
            let bytes = self.here.remove(&name).map_or(0, |bytes| bytes.len() as u64);
            self.here_bytes = self.here_bytes.saturating_sub(bytes);
        }
    }

    /// Reads one answer.
    fn step(&mut self) -> Result<(), SiteError> {
        let Some(lease) = &mut self.lease else {
            self.asked.clear();
            return Ok(());
        };
        match lease.step()? {
            Ok(Untagged::Fetch(fetched)) => {
                // Servers work on several commands at once, so it may belong to any of them (RFC 9051 5.5).
                if let (Some(uid), Some(body), Some(open)) = (fetched.uid, fetched.body, &self.open)
                    && self.asked.iter_mut().any(|batch| batch.remove(&uid))
                {
                    let name = (open.clone(), uid);
                    self.asked_bytes = self.asked_bytes.saturating_sub(body.len() as u64);
                    self.here_bytes += body.len() as u64;
                    self.came.push_back(name.clone());
                    self.here.insert(name, body);
                    self.forget_oldest();
                }
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(said) => {
                // Whatever has not come by now is gone from the folder.
                self.asked.pop_front();
                if self.asked.is_empty() {
                    self.asked_bytes = 0;
                }
                if said.is_ok() || !said.asks_to_wait() {
                    return Ok(());
                }
                Err(lease.refusal(&Command::new("UID FETCH"), &said))
            }
        }
    }
}

/// Asks for a piece of messages without marking them as seen.
pub fn fetch_piece(set: &str, offset: u64) -> Command {
    let piece = limits::IMAP_PIECE_BYTES;
    Command::new(format!("UID FETCH {set} (UID BODY.PEEK[]<{offset}.{piece}>)")).expecting(piece + limits::KIB)
}

/// The rest of a long message, piece by piece over a connection of its own.
pub struct Pieces {
    pool: Arc<Pool>,
    readers: Arc<Readers>,
    account: String,
    place: Place,
    lease: Option<Lease>,
    offset: u64,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Pieces {
    pub fn new(pool: Arc<Pool>, readers: Arc<Readers>, account: String, place: Place) -> Self {
        Self { pool, readers, account, place, lease: None, offset: 0, piece: Vec::new(), at: 0, ended: false }
    }

    fn next_piece(&mut self) -> Result<Option<Vec<u8>>, SiteError> {
        let mut lease = match self.lease.take() {
            Some(lease) => lease,
            None => {
                let mut lease = self.pool.lease(&self.account, &|| self.readers.release())?;
                match lease.open(&self.place.wire, false, "", &mut |_| Ok(()))? {
                    Ok(selected) if selected.uid_validity == self.place.uid_validity => {}
                    _ => return Ok(None),
                }
                lease
            }
        };
        let mut body = None;
        lease.demand(&fetch_piece(&self.place.uid.to_string(), self.offset), &mut |untagged| {
            if let Untagged::Fetch(fetched) = untagged
                && fetched.uid == Some(self.place.uid)
                && fetched.body.is_some()
            {
                body = fetched.body;
            }
            Ok(())
        })?;
        self.lease = Some(lease);
        Ok(body)
    }
}

impl io::Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.piece.len() {
            if self.ended {
                return Ok(0);
            }
            let next = super::pool::patiently(|| self.next_piece()).map_err(io::Error::other)?;
            let Some(piece) = next else { return Err(io::ErrorKind::NotFound.into()) };
            self.ended = (piece.len() as u64) < limits::IMAP_PIECE_BYTES;
            self.offset += piece.len() as u64;
            (self.piece, self.at) = (piece, 0);
            if self.ended {
                self.lease = None;
            }
        }
        let ready = self.piece.get(self.at..).unwrap_or_default();
        let take = ready.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..take), ready.get(..take)) {
            to.copy_from_slice(from);
        }
        self.at += take;
        Ok(take)
    }
}
