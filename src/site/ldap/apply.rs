//! Writes plans: an order in which references can be made, the file that takes everything back, then one change after
//! the other.
//!
//! `undo-<start of the pass>.ldif` in the state folder holds, last first, what undoes each change; it is written before
//! the changes are, so that a pass that is killed can be taken back too (`ldapmodify -c`, because some of what it undoes
//! may not have come to be).

use super::change::Change;
use super::connection::{Answer, Connection};
use super::entry::Tree;
use super::plan::{Plan, Step};
use super::{LdapBook, fetch, lock};
use crate::event::Reason;
use crate::limits;
use crate::model::provisioning::Record;
use crate::model::setting::{Setting, SettingKey, SettingKind};
use crate::site::{PlannedRecords, RecordChange, SiteError};
use std::collections::HashMap;
use std::path::PathBuf;

/// What one opened book has written so far, and what it knows of the directory for it.
#[derive(Default)]
pub struct Writing {
    /// What takes each change back, in the order of the changes.
    undo: Vec<String>,
    file: Option<PathBuf>,
    /// For settings, which come one by one.
    connection: Option<Connection>,
    tree: Option<Tree>,
    /// What the directory would hold, where changes are only planned.
    planned: Option<Tree>,
}

impl LdapBook {
    pub(super) fn write(&self, changes: &[RecordChange]) -> Result<Vec<Result<(), Reason>>, SiteError> {
        let mut writing = lock(&self.writing);
        writing.tree = None;
        *lock(&self.settings) = None;
        let mut connection = self.connect()?;
        let fetched = self.fetch(&mut connection)?;
        let mut plan = Plan::new(&self.options, fetched.tree);
        let mut outcomes = HashMap::new();
        for batch in in_order(changes).chunks(limits::LDAP_UNDO_BATCH) {
            let mut steps = Vec::new();
            for &(at, change) in batch {
                match plan.change(change) {
                    Ok(planned) => steps.push((at, planned)),
                    Err(reason) => drop(outcomes.insert(at, Err(reason))),
                }
            }
            for (at, reason) in self.apply(&mut connection, &mut writing, &mut plan, steps)? {
                outcomes.insert(at, Err(reason));
            }
        }
        Ok((0..changes.len()).map(|at| outcomes.remove(&at).unwrap_or(Ok(()))).collect())
    }

    /// Carries out the steps of several changes; which of them the server refused.
    fn apply(
        &self,
        connection: &mut Connection,
        writing: &mut Writing,
        plan: &mut Plan<'_>,
        mut steps: Vec<(usize, Vec<Step>)>,
    ) -> Result<Vec<(usize, Reason)>, SiteError> {
        for step in steps.iter_mut().flat_map(|(_, steps)| steps) {
            see_whole(connection, step)?;
        }
        let done = writing.undo.len();
        writing.undo.extend(steps.iter().flat_map(|(_, steps)| steps).map(|step| step.change.inverse().ldif()));
        self.keep_undo(writing)?;
        writing.undo.truncate(done);
        let mut refused = Vec::new();
        for (at, mut steps) in steps {
            for nth in 0..steps.len() {
                let Some(step) = steps.get_mut(nth) else { break };
                // Once more: steps before this one may have changed what it removes.
                see_whole(connection, step)?;
                match (connection.change(&step.change)?, step.follows) {
                    (Answer::Done, _) => writing.undo.push(step.change.inverse().ldif()),
                    (Answer::AlreadySo(_), true) => {}
                    (Answer::AlreadySo(words) | Answer::Refused(words), _) => {
                        plan.take_back(steps.get(nth..).unwrap_or_default());
                        refused.push((at, Reason::Refused(words)));
                        break;
                    }
                }
            }
        }
        self.keep_undo(writing)?;
        Ok(refused)
    }

    /// Writes the file that takes back everything so far.
    fn keep_undo(&self, writing: &mut Writing) -> Result<(), SiteError> {
        if writing.undo.is_empty() && writing.file.is_none() {
            return Ok(());
        }
        let (fs, dir) = (self.fs.as_ref(), &self.options.state_dir);
        let bad = |path: &PathBuf| {
            let path = path.clone();
            move |source| SiteError::Io { action: "write", path, source }
        };
        fs.create_dir_all(dir).map_err(bad(dir))?;
        let path = match &writing.file {
            Some(path) => path.clone(),
            None => {
                let started = jiff::Timestamp::from_second(self.options.started_at).unwrap_or_default();
                let stamp = started.strftime("%Y%m%dT%H%M%SZ").to_string();
                let name = |nth: u32| {
                    dir.join(if nth == 1 { format!("undo-{stamp}.ldif") } else { format!("undo-{stamp}-{nth}.ldif") })
                };
                let free = (1..=u32::MAX).map(name).find(|path| fs.lstat(path).is_err());
                free.ok_or_else(|| SiteError::Unsupported("no name is left for what takes a pass back".to_owned()))?
            }
        };
        let mut text = format!(
            "# Takes back what wagon wrote into {}, last first: ldapmodify -c -H URL -D WRITER -W -f THIS\n\n",
            crate::model::text::printable(&super::locator(&self.options))
        );
        writing.undo.iter().rev().for_each(|record| text.push_str(record));
        fs.replace(&path, text.as_bytes(), 0o600).map_err(bad(&path))?;
        writing.file = Some(path);
        Ok(())
    }

    /// What [`LdapBook::write`] would do.
    pub(super) fn plan(&self, changes: &[RecordChange]) -> Result<PlannedRecords, SiteError> {
        let mut writing = lock(&self.writing);
        let tree = match writing.planned.take() {
            Some(tree) => tree,
            None => self.fetch(&mut self.connect()?)?.tree,
        };
        let mut plan = Plan::new(&self.options, tree);
        let mut outcomes = HashMap::new();
        let mut text = String::new();
        for (at, change) in in_order(changes) {
            match plan.change(change) {
                Ok(steps) => steps.iter().for_each(|step| text.push_str(&step.change.ldif())),
                Err(reason) => drop(outcomes.insert(at, Err(reason))),
            }
        }
        writing.planned = Some(plan.tree);
        let outcomes = (0..changes.len()).map(|at| outcomes.remove(&at).unwrap_or(Ok(()))).collect();
        Ok(PlannedRecords { outcomes, text })
    }

    /// Sets a setting, or removes it.
    pub(super) fn write_setting(
        &self,
        account: &str,
        key: &SettingKey,
        setting: Option<&Setting>,
    ) -> Result<Result<(), Reason>, SiteError> {
        if !matches!(key.0, SettingKind::Forwarding | SettingKind::Vacation) {
            let what = format!("a directory has no place for this {}", key.0.word());
            return Ok(Err(Reason::Unsupported(what)));
        }
        if let Some(why) = &self.options.mapping.read_only {
            return Ok(Err(Reason::Unsupported(why.clone())));
        }
        let mut writing = lock(&self.writing);
        let mut connection = match writing.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let tree = match writing.tree.take() {
            Some(tree) => tree,
            None => self.fetch(&mut connection)?.tree,
        };
        let mut plan = Plan::new(&self.options, tree);
        let outcome = match (key.0, setting) {
            (SettingKind::Vacation, setting) => plan.set_vacation(account, setting),
            (_, Some(Setting::Forwarding { targets, keep_copy })) => {
                let own = keep_copy.then(|| account.to_owned());
                let targets: Vec<_> = targets.iter().cloned().chain(own).collect();
                forward(&mut plan, account, &targets)
            }
            _ => forward(&mut plan, account, &[]),
        };
        let steps = std::mem::take(&mut plan.steps);
        let outcome = match outcome {
            Ok(()) => self.apply(&mut connection, &mut writing, &mut plan, vec![(0, steps)])?.into_iter().next(),
            Err(reason) => Some((0, reason)),
        };
        writing.tree = Some(plan.tree);
        writing.connection = Some(connection);
        Ok(outcome.map_or(Ok(()), |(_, reason)| Err(reason)))
    }
}

fn forward(plan: &mut Plan<'_>, account: &str, targets: &[String]) -> Result<(), Reason> {
    match plan.index.account(account).cloned() {
        Some(name) => plan.set_forward(&name, account, targets),
        None => Err(Reason::Refused(format!("there is no account {account}"))),
    }
}

/// What is removed may have to be put back: all of it, not only what the mapping knows.
fn see_whole(connection: &mut Connection, step: &mut Step) -> Result<(), SiteError> {
    if let Change::Delete { dn, values } = &mut step.change {
        let whole = fetch::whole_entry(connection, dn)?;
        if !whole.is_empty() {
            *values = whole.into_iter().collect();
        }
    }
    Ok(())
}

/// The changes with their places, a list after those lists that it has as members: only what has an entry can be named
/// by it. Lists in a ring come as they stand.
fn in_order(changes: &[RecordChange]) -> Vec<(usize, &RecordChange)> {
    let list_of = |change: &RecordChange| match change {
        RecordChange::Put { record: Record::List(list), .. } => Some(list.clone()),
        _ => None,
    };
    let mut order: Vec<(usize, &RecordChange)> = Vec::new();
    let mut left = Vec::new();
    for (at, change) in changes.iter().enumerate() {
        match list_of(change) {
            Some(list) => left.push((at, change, list)),
            // Aliases come behind lists, everything else before them.
            None if matches!(change, RecordChange::Put { record: Record::Alias(_), .. }) => {}
            None => order.push((at, change)),
        }
    }
    while !left.is_empty() {
        let waiting: std::collections::HashSet<String> = left.iter().map(|(_, _, list)| list.address.clone()).collect();
        let waits =
            |members: &[String], own: &str| members.iter().any(|member| member != own && waiting.contains(member));
        let (later, now): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(_, _, list)| waits(&list.members, &list.address));
        let stuck = now.is_empty();
        order.extend(now.into_iter().map(|(at, change, _)| (at, change)));
        left = later;
        if stuck {
            order.extend(left.drain(..).map(|(at, change, _)| (at, change)));
        }
    }
    let is_alias = |change: &RecordChange| matches!(change, RecordChange::Put { record: Record::Alias(_), .. });
    order.extend(changes.iter().enumerate().filter(|(_, change)| is_alias(change)));
    order
}
