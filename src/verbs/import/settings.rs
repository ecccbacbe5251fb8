//! Identities, signatures, preferences and what else an account has beside its folders; each merges as one value.
//!
//! Mountpoints are only noted here: they are links, written when everybody has arrived.

use super::ImportError;
use super::account::Job;
use super::ledger::{Fate, Tally};
use super::merge::{Verdict, one};
use super::pass::Pass;
use super::way_back;
use crate::event::{Place, Reason};
use crate::format::manifest::AccountState;
use crate::map::SettingRow;
use crate::model::setting::{Setting, SettingKey, SettingKind};
use std::collections::BTreeMap;

/// The target's settings of an account, read when first asked for.
struct Present<'p> {
    pass: &'p Pass<'p>,
    account: &'p str,
    settings: Option<BTreeMap<SettingKey, Setting>>,
}

impl Present<'_> {
    fn get(&mut self, key: &SettingKey) -> Result<Option<&Setting>, ImportError> {
        let settings = match self.settings.take() {
            Some(settings) => settings,
            None => {
                let settings = self.pass.target.mailbox(self.account)?.settings;
                settings.into_iter().map(|setting| (setting.key(), setting)).collect()
            }
        };
        Ok(self.settings.insert(settings).get(key))
    }
}

/// Brings the settings of one account.
pub fn bring(pass: &Pass<'_>, job: &Job, state: &AccountState, tally: &mut Tally) -> Result<(), ImportError> {
    let mut rows: BTreeMap<SettingKey, SettingRow> =
        pass.map.settings(job.record)?.into_iter().map(|row| (row.source.key(), row)).collect();
    let origins = match state.settings.keys().any(|key| !rows.contains_key(key)) {
        true => way_back::origins(pass, &job.source)?,
        false => None,
    };
    let came = origins.map(|origins| origins.settings()).transpose()?.unwrap_or_default();
    let mut present = Present { pass, account: &job.target, settings: None };
    let mut changed = Vec::new();
    for (key, source) in &state.settings {
        if let Some(rule) = pass.skips_setting(key.0) {
            tally.count(&Fate::Excluded(rule));
            continue;
        }
        let row = rows.remove(key);
        let base = row.as_ref().and_then(|row| row.written.clone()).or_else(|| came.get(key).cloned());
        let new_row = SettingRow { record: job.record, source: source.clone(), written: base, snapshot: pass.snapshot };
        if key.0 == SettingKind::Mountpoint {
            if row.is_none_or(|row| row.source != *source) {
                changed.push(new_row);
            }
            continue;
        }
        let (fate, written) = bring_one(pass, job, source, new_row.written.as_ref(), &mut present)?;
        tally.count(&fate);
        if let Fate::Rejected(reason) = fate {
            pass.reject(place_of(job, key), reason);
        } else if row.is_none_or(|row| row.source != *source || row.written != written) {
            changed.push(SettingRow { written, ..new_row });
        }
    }
    if !changed.is_empty() {
        pass.target.changes_made(&job.target)?;
    }
    pass.map.put_settings(&changed)?;
    remove(pass, job, rows, &mut present)
}

/// What becomes of one setting, and what the target was given.
fn bring_one(
    pass: &Pass<'_>,
    job: &Job,
    source: &Setting,
    base: Option<&Setting>,
    present: &mut Present<'_>,
) -> Result<(Fate, Option<Setting>), ImportError> {
    let wanted = pass.book.setting(source);
    let again = pass.options.additive;
    if base == Some(&wanted) && !again {
        return Ok((Fate::AlreadyThere, Some(wanted)));
    }
    let key = wanted.key();
    let unsupported = pass.target.capabilities().unsupported_settings;
    if let Some((_, why)) = unsupported.into_iter().find(|(kind, _)| *kind == key.0) {
        return Ok((Fate::Rejected(Reason::Unsupported(why)), None));
    }
    let has = present.get(&key)?;
    let verdict = match one(&base, &Some(&wanted), &has) {
        Verdict::Conflict if again => Verdict::Apply,
        Verdict::Keep if again && has != Some(&wanted) => Verdict::Apply,
        verdict => verdict,
    };
    match verdict {
        Verdict::Keep => Ok((Fate::AlreadyThere, Some(wanted))),
        Verdict::Conflict => {
            pass.conflict(place_of(job, &key), "differs on source and target");
            Ok((Fate::AlreadyThere, Some(wanted)))
        }
        Verdict::Apply => Ok(match pass.target.put_setting(&job.target, &wanted)? {
            Ok(()) => (Fate::Imported, Some(wanted)),
            Err(reason) => (Fate::Rejected(reason), None),
        }),
    }
}

fn place_of(job: &Job, (kind, name): &SettingKey) -> Place {
    Place::folder(&job.source, &format!("{} {name}", kind.word()).trim_end())
}

/// What the source no longer has. That forwarding, the vacation answer or a subscription ended is a change of their one
/// value and followed; anything else is a deletion, which is kept unless asked for.
fn remove(
    pass: &Pass<'_>,
    job: &Job,
    gone: BTreeMap<SettingKey, SettingRow>,
    present: &mut Present<'_>,
) -> Result<(), ImportError> {
    let mut dropped = Vec::new();
    for (key, row) in gone {
        let is_state = matches!(key.0, SettingKind::Forwarding | SettingKind::Vacation | SettingKind::Subscription);
        let follows = (is_state || pass.options.delete) && !pass.options.additive;
        if !follows || pass.skips_setting(key.0).is_some() || row.snapshot > pass.snapshot {
            continue;
        }
        let Some(written) = &row.written else {
            dropped.push(key);
            continue;
        };
        let target_key = written.key();
        match present.get(&target_key)? {
            Some(has) if has != written => {
                pass.conflict(place_of(job, &key), "removed on the source, changed on the target: it stays");
            }
            Some(_) => pass.target.remove_setting(&job.target, &target_key)?,
            None => {}
        }
        dropped.push(key);
    }
    if !dropped.is_empty() {
        pass.target.changes_made(&job.target)?;
    }
    pass.map.drop_settings(job.record, &dropped)?;
    Ok(())
}
