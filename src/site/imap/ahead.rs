//! Reading messages: asked for ahead of their being wanted, several with one command, so that the network carries the next
//! ones while the last are taken apart.
//!
//! For each account that is being read there is one reader with a connection of its own. It follows the order in which a
//! folder was listed. Several threads read an account at once, each some messages ahead of another: what lies between is
//! fetched on the way and kept for whoever is behind, so that every message crosses the network once.

use super::client::{Command, Untagged, set_of};
use super::pieces::{Piece, Reopened, fetch, fetch_piece, reopen};
use super::pool::{Lease, Pool};
use crate::limits;
use crate::model::packed::{Packer, Unpacker};
use crate::site::SiteError;
use std::collections::{HashMap, HashSet, VecDeque};
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
    /// As bytes, for a found item. First what all of a folder have in common: a listing keeps that once.
    pub fn encode(&self) -> Vec<u8> {
        let Self { uid_validity, uid, size, date, wire } = self;
        let mut bytes = Vec::new();
        let mut into = Packer::new(&mut bytes);
        into.bytes(wire);
        into.number(u64::from(*uid_validity));
        into.number(u64::from(*uid));
        into.number(*size);
        into.signed(*date);
        bytes
    }

    /// Reads what [`Place::encode`] wrote.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut from = Unpacker::new(bytes);
        let wire = from.bytes()?.to_vec();
        let (uid_validity, uid) = (from.number32()?, from.number32()?);
        Some(Self { uid_validity, uid, size: from.number()?, date: from.signed()?, wire })
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
    /// It is there, and the server does not give it; why, in its words.
    Refused(String),
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
            if matches!(got, Ok(Got::Vanished)) {
                got = reader.ask_alone(place);
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
            if !self.is_open(place)
                && let Some(refusal) = self.turn_to(pool, account, place, readers)?
            {
                return Ok(refusal);
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

    /// What did not come with others may be gone, or be what the server refused: it is asked for by itself.
    fn ask_alone(&mut self, place: &Place) -> Result<Got, SiteError> {
        while !self.asked.is_empty() {
            self.step()?;
        }
        let is_open = self.is_open(place);
        let Some(lease) = self.lease.as_mut().filter(|_| is_open) else { return Ok(Got::Vanished) };
        Ok(match fetch(lease, place.uid, 0)? {
            Piece::Bytes(bytes) if (bytes.len() as u64) < limits::IMAP_PIECE_BYTES => Got::Bytes(bytes),
            Piece::Bytes(bytes) => Got::Begun(bytes),
            Piece::Gone => Got::Vanished,
            Piece::Refused(why) => Got::Refused(why),
        })
    }

    /// Opens another folder. `Some`: it is not there any more, is another one now, or does not open.
    fn turn_to(
        &mut self,
        pool: &Arc<Pool>,
        account: &str,
        place: &Place,
        readers: &Readers,
    ) -> Result<Option<Got>, SiteError> {
        while !self.asked.is_empty() {
            self.step()?;
        }
        self.leave();
        let mut lease = match self.lease.take() {
            Some(lease) => lease,
            None => pool.lease(account, &|| readers.release())?,
        };
        let opened = reopen(&mut lease, place)?;
        self.lease = Some(lease);
        match opened {
            Reopened::Open => {}
            Reopened::Gone => return Ok(Some(Got::Vanished)),
            Reopened::Refused(why) => return Ok(Some(Got::Refused(why))),
        }
        self.open = Some((Arc::from(place.wire.as_slice()), place.uid_validity));
        self.take_plan(account, place, readers);
        self.window = limits::IMAP_FIRST_WINDOW;
        Ok(None)
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
                // Whatever has not come by now is gone from the folder, or refused.
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
