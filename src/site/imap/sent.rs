//! Finding messages again that were sent: after a connection broke on the way, or where a server does not tell what it has
//! made of them.

use super::client::{Command, Connection, Untagged};
use super::flags::split_flags;
use super::outgoing::Outgoing;
use super::state::{FolderRow, Intent, MessageRow, Settled};
use super::{ImapStore, look, pool};
use crate::limits;
use crate::model::mailbox::Flags;
use crate::site::SiteError;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};

impl ImapStore {
    /// Reads back messages with bytes that servers change, and notes what is there now.
    pub(super) fn compare_odd(
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
                    Err(said) if said.has("NONEXISTENT") || !is_listed(&mut lease, &row)? => Ok(Vec::new()),
                    // What was sent there is known to nobody else, so it stays announced until the folder opens.
                    Err(said) => Err(lease.refusal(&Command::new("EXAMINE").string(&row.wire), &said)),
                }
            })?;
            let there: HashSet<&str> = found.iter().map(|one| one.message.name.as_str()).collect();
            let not: Vec<String> =
                wanted.iter().map(|one| one.name.clone()).filter(|name| !there.contains(name.as_str())).collect();
            self.state.delivered(id, folder, &found, &not)?;
        }
        Ok(())
    }

    /// Looks for messages that were sent: among those from the announced UID on that bear no name yet, by content;
    /// where a server changed that, by the size that it may have there and the date. `by_size`: it was just seen to
    /// take them, so where sizes and dates tell them apart nothing is read.
    pub(super) fn find_sent(
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
        let may_be_one = |size: u64| {
            let sizes = |intent: &Intent| size == intent.size || size == intent.size.saturating_sub(intent.less);
            wanted.iter().any(sizes)
        };
        let mut here: Vec<(u32, u64, i64, Flags, Vec<String>)> = Vec::new();
        let (mut bytes, server) = (0, lease.server().to_owned());
        let command = Command::new(format!("UID FETCH {}:* (UID FLAGS RFC822.SIZE INTERNALDATE)", from.max(1)));
        let command = command.about_all();
        let messages = lease.selected().map_or(0, |open| open.messages);
        let said = lease.run(&command, &mut |untagged| {
            if let Untagged::Fetch(fetched) = untagged
                && let (Some(uid), Some(size), Some(date)) = (fetched.uid, fetched.size, fetched.date)
                && uid >= from
                && may_be_one(size)
                && !named.contains(&uid)
            {
                let (flags, keywords) = split_flags(&fetched.flags.unwrap_or_default());
                bytes += look::weight(&keywords);
                if bytes > limits::IMAP_LISTING_BYTES {
                    let bound = limits::IMAP_LISTING_BYTES;
                    let what = format!(
                        "tells of messages in {} that take more than {bound} bytes where a few that were sent are looked \
                         for; whether they arrived is not known, and the next pass looks again",
                        row.path
                    );
                    return Err(SiteError::Server { server: server.clone(), what });
                }
                here.push((uid, size, date, flags, keywords));
            }
            Ok(())
        })?;
        // Some refuse to tell of the messages of a folder that has none. Elsewhere what was sent would be sent again.
        if !said.is_ok() && messages > 0 {
            return Err(lease.refusal(&command, &said));
        }
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
                        here.get(at).is_some_and(|one| match exactly {
                            true => one.1 == intent.size && (one.2 == intent.date || !by_size),
                            false => one.1 == intent.size || one.1 == intent.size.saturating_sub(intent.less),
                        })
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
}

/// Opens a folder for reading unless it is open; gives its UIDVALIDITY.
fn open(connection: &mut Connection, row: &FolderRow) -> Result<u32, SiteError> {
    match connection.open(&row.wire, false, "", &mut |_| Ok(()))? {
        Ok(selected) => Ok(selected.uid_validity),
        Err(said) => Err(connection.complaint(format!("does not open the folder {}: {said}", row.path))),
    }
}

/// Whether the server lists the folder: not every server has a code for one that is not there.
pub(super) fn is_listed(connection: &mut Connection, row: &FolderRow) -> Result<bool, SiteError> {
    let mut listed = false;
    connection.demand(&Command::new("LIST \"\"").string(&row.wire), &mut |untagged| {
        listed |= matches!(untagged, Untagged::List(one) if !one.has("\\noselect") && !one.has("\\nonexistent"));
        Ok(())
    })?;
    Ok(listed)
}

/// The hash of a message of the open folder, read piece by piece; `None`: it is gone.
fn hash_of(connection: &mut Connection, uid: u32) -> Result<Option<[u8; 32]>, SiteError> {
    let mut digest = Sha256::new();
    let mut offset = 0u64;
    loop {
        let mut body = None;
        connection.demand(&super::pieces::fetch_piece(&uid.to_string(), offset), &mut |untagged| {
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
