//! `--adopt`: what already lies on the target with the same content is taken into the map instead of being doubled.
//!
//! Every item of the account that the map does not know is read and named by its content: all its bytes, or on request
//! the message below what delivery put on top. One item on the target answers for one item of the source, in the same
//! folder first.

use super::account::Job;
use super::changes::{count_found, object_of};
use super::contents::damage;
use super::ledger::AccountLedger;
use super::pass::Pass;
use super::{Adopt, ImportError};
use crate::event::Reason;
use crate::format::items::ItemAt;
use crate::format::manifest::AccountState;
use crate::limits;
use crate::map::{ItemRow, ItemState};
use crate::message::{self, with_crlf};
use crate::model::id::{ItemId, ObjectId};
use crate::model::mailbox::{FolderKey, FolderKind};
use crate::site::{Content, Depth, FolderScan, FoundItem, LineEnds, SiteError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;

/// An item of the target that no import brought.
struct Stranger {
    key: FolderKey,
    name: String,
    /// All its bytes.
    object: ObjectId,
}

/// Takes what it finds into the map, and returns those of `fresh` that are to be delivered.
pub fn adopt(
    pass: &Pass<'_>,
    job: &Job,
    state: &AccountState,
    fresh: Vec<ItemId>,
    how: Adopt,
    ledger: &mut AccountLedger,
) -> Result<Vec<ItemId>, ImportError> {
    let mut strangers = strangers(pass, job, how)?;
    // What the target has and could not be read again would be brought once more.
    pass.check_scratch()?;
    if strangers.is_empty() {
        return Ok(fresh);
    }
    let rows = pass.map.folders(job.record)?;
    let places: BTreeMap<_, _> = rows.into_iter().map(|row| (row.id, row.target_key)).collect();
    // First everything that lies where it belongs, so that a copy elsewhere does not take its place.
    let mut left = fresh;
    for anywhere in [false, true] {
        let mut found = Vec::new();
        let mut rest = Vec::new();
        for id in left {
            pass.go_on()?;
            let Some(at) = state.items.get(id) else { continue };
            let place = places.get(&at.folder);
            let content = content_of(pass, &at, place.map(FolderKey::kind), how, &strangers)?;
            let candidates = content.and_then(|content| strangers.get_mut(&content));
            let chosen = candidates.and_then(|candidates| {
                let fits = |stranger: &Stranger| anywhere || Some(&stranger.key) == place;
                candidates.iter().position(fits).map(|at| candidates.swap_remove(at))
            });
            match chosen {
                Some(stranger) => found.push(row(pass, job, (id, &at), stranger)),
                None => rest.push(id),
            }
        }
        pass.check_scratch()?;
        for chunk in found.chunks(limits::BATCH_ITEMS) {
            pass.map.put_items(chunk)?;
        }
        count_found(&found, state, ledger);
        left = rest;
    }
    Ok(left)
}

fn row(pass: &Pass<'_>, job: &Job, (id, at): (ItemId, &ItemAt), stranger: Stranger) -> ItemRow {
    let item = &at.item;
    ItemRow {
        record: job.record,
        id,
        folder: at.folder,
        source_name: item.name.clone(),
        target_name: stranger.name,
        object: item.object,
        target_object: Some(stranger.object).filter(|object| *object != item.object),
        flags: item.flags,
        keywords: item.keywords.clone(),
        tags: item.tags.clone(),
        state: ItemState::Adopted,
        reason: None,
        snapshot: pass.snapshot,
    }
}

/// The account's items on the target that the map does not know, by content.
fn strangers(pass: &Pass<'_>, job: &Job, how: Adopt) -> Result<HashMap<ObjectId, Vec<Stranger>>, ImportError> {
    // Messages keep their names when a user moves them; anything else is known by its folder as well.
    let places: BTreeMap<_, _> =
        pass.map.folders(job.record)?.into_iter().map(|row| (row.id, row.target_key)).collect();
    let place = |key: &FolderKey| Some(key).filter(|key| key.kind() != FolderKind::Mail).cloned();
    let mut known: BTreeSet<(Option<FolderKey>, String)> = BTreeSet::new();
    pass.map.each_item(job.record, |row| {
        if row.state != ItemState::Rejected {
            known.insert((places.get(&row.folder).and_then(place), row.target_name));
        }
        Ok::<_, ImportError>(())
    })?;
    let mut strangers: HashMap<ObjectId, Vec<Stranger>> = HashMap::new();
    for found in pass.target.mailbox(&job.target)?.folders {
        let FolderScan::Listed(listing) = pass.target.folder(&job.target, &found.key, None, Depth::Deep)? else {
            continue;
        };
        let is_known = |item: &FoundItem| known.contains(&(place(&found.key), item.name.clone()));
        for item in listing.items.iter().filter(|item| !is_known(item)) {
            pass.go_on()?;
            let content = pass.target.read(&job.target, &found.key, &item)?;
            let named = match (how, found.key.kind(), content) {
                (Adopt::WithoutTrace, FolderKind::Mail, Content::Bytes { bytes, .. }) => {
                    Some((without_trace(&bytes), ObjectId::of(&bytes)))
                }
                (_, _, Content::Rejected(reason)) => return Err(unread(&found.key, &item.name, &reason)),
                (_, _, content) => object_of(content)
                    .map_err(|error| unread(&found.key, &item.name, &error))?
                    .map(|object| (object, object)),
            };
            if let Some((content, object)) = named {
                let stranger = Stranger { key: found.key.clone(), name: item.name.clone(), object };
                strangers.entry(content).or_default().push(stranger);
            }
        }
    }
    Ok(strangers)
}

/// What cannot be read may be an item of the source: delivering that would double it, so the account waits.
fn unread(key: &FolderKey, name: &str, why: &dyn Display) -> ImportError {
    let what = format!("{key}/{name} on the target cannot be read, and may be what is to be imported: {why}");
    ImportError::Site(SiteError::Refused(Reason::Unreadable(what)))
}

/// The name under which an item of the source would be among the strangers. Messages are read from the archive only
/// where their bytes as a whole are not found.
fn content_of(
    pass: &Pass<'_>,
    at: &ItemAt,
    kind: Option<FolderKind>,
    how: Adopt,
    strangers: &HashMap<ObjectId, Vec<Stranger>>,
) -> Result<Option<ObjectId>, ImportError> {
    let whole = at.item.object;
    let crlf = kind.is_some_and(|kind| pass.target.line_ends(kind) == LineEnds::Crlf);
    let as_it_is = how == Adopt::Exact && !crlf;
    if as_it_is || at.item.size > limits::WHOLE_ITEM_BYTES || strangers.contains_key(&whole) {
        return Ok(Some(whole));
    }
    match pass.objects()?.read(&whole, limits::WHOLE_ITEM_BYTES) {
        Ok(bytes) => {
            let bytes = if crlf { with_crlf(&bytes).unwrap_or(bytes) } else { bytes };
            Ok(Some(if how == Adopt::Exact { ObjectId::of(&bytes) } else { without_trace(&bytes) }))
        }
        // Its delivery will say so.
        Err(error) => damage(error).map(|_| None),
    }
}

/// The name of a message below what delivery put on top.
fn without_trace(raw: &[u8]) -> ObjectId {
    let trace = message::split(raw).map_or(0, |split| split.trace.len());
    ObjectId::of(raw.get(trace..).unwrap_or(raw))
}
