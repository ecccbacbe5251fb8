//! Mountpoints: whether owner and folder are there, whether the holder may see the folder, and whether what the source
//! had has come over.
//!
//! A mountpoint is its holder's own: one that was removed or turned elsewhere on the target is not missed. What import
//! wrote and nobody touched follows the maps, and so does one that leads nowhere.

use super::SharesError;
use super::access::Access;
use super::examine::{Broken, Examiner};
use super::finding::{Cause, End, Mend, Problem};
use super::fix::{Change, Step};
use super::known::{Found, Maps};
use super::survey::Mountpoint;
use crate::event::Place;
use crate::map::RecordState;
use crate::model::mailbox::FolderKey;
use crate::model::provisioning::RecordKind;
use std::collections::BTreeMap;

const NO_OWNER: &str = "remove the mountpoint, or make the account";
const NO_FOLDER: &str = "remove the mountpoint, or ask the owner where the folder is";
const NO_RIGHT: &str = "ask the owner for a grant, or remove the mountpoint";

/// Who wrote a reference.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    Source,
    Target,
}

/// Examines every mountpoint of the target, and those of the sources that are not there.
pub(super) fn examine(examiner: &mut Examiner<'_>) -> Result<(), SharesError> {
    let mut repairs = repairs_from_maps(examiner)?;
    let survey = examiner.survey;
    for (holder, view) in &survey.accounts {
        for present in view.mountpoints.values() {
            if repairs.get(holder).is_some_and(|repairs| repairs.contains_key(&present.at)) {
                continue;
            }
            if let Some(repair) = examine_present(examiner, holder, present)? {
                repairs.entry(holder.clone()).or_default().insert(present.at.clone(), repair);
            }
        }
    }
    examine_rights(examiner, &repairs)?;
    let repairs = repairs.into_values().flat_map(BTreeMap::into_values);
    examiner.steps.extend(repairs.map(|repair| repair.step));
    Ok(())
}

/// A step, with the mountpoint as it will be.
struct Repair {
    step: Step,
    after: Mountpoint,
}

/// By holder and place.
type Repairs = BTreeMap<String, BTreeMap<FolderKey, Repair>>;

/// Mountpoints that the sources have, and that the target has as import wrote them, or not yet.
fn repairs_from_maps(examiner: &mut Examiner<'_>) -> Result<Repairs, SharesError> {
    let mut repairs = Repairs::new();
    let maps = examiner.maps;
    for (at, map) in maps.iter() {
        let records = Maps::records(map)?;
        for row in map.mountpoints()? {
            let Some(holder) = records.get(&row.record).filter(|holder| holder.state == RecordState::Done) else {
                continue;
            };
            let holder = &holder.target_key;
            let Some(view) = examiner.survey.accounts.get(holder).filter(|view| !view.incomplete) else { continue };
            let Some(source) = Mountpoint::of(&row.source) else { continue };
            let written = row.written.as_ref().and_then(Mountpoint::of);
            let place = written.as_ref().map_or(&source.at, |written| &written.at);
            let present = view.mountpoints.get(place);
            if present != written.as_ref() {
                continue;
            }
            match resolve(examiner, holder, &source, place, Words::Source)? {
                Ok((whole, _)) if present == Some(&whole) => {}
                Ok((after, cause)) => {
                    let problem = match present {
                        None => Problem::MountpointMissing,
                        Some(present) if !examiner.survey.accounts.contains_key(&present.owner) => {
                            Problem::OwnerMissing
                        }
                        Some(_) => Problem::FolderMissing,
                    };
                    let cause = match (present, cause) {
                        (None, None) => Cause::Arrived { as_name: after.owner.clone() },
                        (_, cause) => cause.map_or(Cause::NotApplied, |(cause, _)| cause),
                    };
                    let broken = (cause, examiner.fix_by(at));
                    let named = refers(present.unwrap_or(&source));
                    let reason = examiner.find(holder, place, End::Mountpoint, named, problem, broken);
                    let step = step(holder, present, &after, reason);
                    repairs.entry(holder.clone()).or_default().insert(place.clone(), Repair { step, after });
                }
                // One that is there is looked at by itself.
                Err((problem, broken)) if present.is_none() => {
                    examiner.find(holder, place, End::Mountpoint, refers(&source), problem, broken);
                }
                Err(_) => {}
            }
        }
    }
    Ok(repairs)
}

/// A mountpoint of the target as it stands.
fn examine_present(
    examiner: &mut Examiner<'_>,
    holder: &str,
    present: &Mountpoint,
) -> Result<Option<Repair>, SharesError> {
    match resolve(examiner, holder, present, &present.at, Words::Target)? {
        Ok((after, Some((cause, map)))) => {
            let problem = if after.owner == present.owner { Problem::FolderMissing } else { Problem::OwnerMissing };
            let broken = (cause, examiner.fix_by(map));
            let reason = examiner.find(holder, &present.at, End::Mountpoint, refers(present), problem, broken);
            Ok(Some(Repair { step: step(holder, Some(present), &after, reason), after }))
        }
        Ok((_, None)) => Ok(None),
        Err((problem, broken)) => {
            examiner.find(holder, &present.at, End::Mountpoint, refers(present), problem, broken);
            Ok(None)
        }
    }
}

/// Where a mountpoint leads, and why elsewhere than it says, by which map; or what of it leads nowhere.
type Resolved = Result<(Mountpoint, Option<(Cause, usize)>), (Problem, Broken)>;

fn resolve(
    examiner: &Examiner<'_>,
    holder: &str,
    named: &Mountpoint,
    at: &FolderKey,
    words: Words,
) -> Result<Resolved, SharesError> {
    let survey = examiner.survey;
    let mut cause = None;
    let mut owner = named.owner.clone();
    if words == Words::Source || !survey.accounts.contains_key(&owner) {
        let found = match words {
            Words::Source => examiner.maps.by_source_name(RecordKind::Account, &named.owner, holder)?,
            Words::Target => examiner.maps.by_target_name(RecordKind::Account, &named.owner, holder)?,
        };
        match found {
            Found::Now(now, map) if survey.accounts.contains_key(&now) => {
                if now != named.owner {
                    cause = Some((examiner.rename(RecordKind::Account, &named.owner, &now, map)?, map));
                }
                owner = now;
            }
            other => {
                return Ok(Err((Problem::OwnerMissing, examiner.broken(&other, &named.owner, NO_OWNER))));
            }
        }
    }
    let mut folder = named.folder.clone();
    if words == Words::Source || !survey.has_folder(&owner, &folder) {
        match examiner.maps.folder(&owner, &named.folder)? {
            Found::Now(now, map) if survey.has_folder(&owner, &now) => {
                if now != named.folder && cause.is_none() {
                    cause = Some((Cause::Renamed { to: now.to_string() }, map));
                }
                folder = now;
            }
            // Nobody imported it, and yet it is there: the owner made it on the target.
            Found::Unknown if survey.has_folder(&owner, &folder) => {}
            other => return Ok(Err((Problem::FolderMissing, folder_broken(examiner, &other, &owner)))),
        }
    }
    Ok(Ok((Mountpoint { at: at.clone(), owner, folder }, cause)))
}

fn folder_broken(examiner: &Examiner<'_>, found: &Found<FolderKey>, owner: &str) -> Broken {
    match found {
        // `broken` looks for an account that resembles an unknown one; this account is there.
        Found::Unknown => (Cause::NeverKnown, Mend::ByHand { advice: NO_FOLDER.to_owned() }),
        found => examiner.broken(found, owner, NO_FOLDER),
    }
}

/// Whether holders may find the folders, once the steps are done.
fn examine_rights(examiner: &mut Examiner<'_>, repairs: &Repairs) -> Result<(), SharesError> {
    let survey = examiner.survey;
    let access = Access::new(survey);
    let mut without = Vec::new();
    for (holder, view) in &survey.accounts {
        let changed = repairs.get(holder);
        let stays = |present: &&Mountpoint| !changed.is_some_and(|changed| changed.contains_key(&present.at));
        let after = changed.into_iter().flat_map(BTreeMap::values).map(|repair| &repair.after);
        for mountpoint in view.mountpoints.values().filter(stays).chain(after) {
            let Mountpoint { owner, folder, .. } = mountpoint;
            let known = survey.accounts.get(owner).is_some_and(|view| view.folders.contains_key(folder));
            let planned = examiner.planned.get(&(owner.clone(), folder.clone()));
            let grants = planned.map_or_else(|| survey.grants(owner, folder), Vec::as_slice);
            if known && !access.may_look_up(holder, owner, grants) {
                without.push((holder.clone(), mountpoint.clone()));
            }
        }
    }
    for (holder, mountpoint) in without {
        let cause = why_no_right(examiner, &holder, &mountpoint)?;
        let mend = Mend::ByHand { advice: NO_RIGHT.to_owned() };
        let refers = refers(&mountpoint);
        examiner.find(&holder, &mountpoint.at, End::Mountpoint, refers, Problem::NoRight, (cause, mend));
    }
    Ok(())
}

fn why_no_right(examiner: &Examiner<'_>, holder: &str, mountpoint: &Mountpoint) -> Result<Cause, SharesError> {
    let place = Place::folder(&mountpoint.owner, &mountpoint.folder);
    let changed = examiner
        .findings
        .iter()
        .any(|finding| finding.place == place && finding.end == End::Grant && finding.cause == Cause::ChangedOnTarget);
    Ok(if changed {
        Cause::ChangedOnTarget
    } else if examiner.maps.brought(holder)? && examiner.maps.brought(&mountpoint.owner)? {
        Cause::SameOnSource
    } else {
        Cause::NotGranted
    })
}

fn step(holder: &str, before: Option<&Mountpoint>, after: &Mountpoint, reason: String) -> Step {
    let change = Change::Mountpoint { at: after.at.clone(), before: before.cloned(), after: Some(after.clone()) };
    Step { account: holder.to_owned(), change, reasons: vec![reason] }
}

/// As an address: `ann@example.org:Projects`.
fn refers(mountpoint: &Mountpoint) -> String {
    format!("{}:{}", mountpoint.owner, mountpoint.folder)
}
