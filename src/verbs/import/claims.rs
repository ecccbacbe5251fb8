//! Who may have which key on the target: two records of one source never become one by accident.
//!
//! Renaming rules can lead two addresses to one, and a name that one person left may be another's now. Whoever would get
//! a stranger's mailbox is rejected, with the reason.

use super::pass::Pass;
use crate::event::Reason;
use crate::map::RecordState;
use crate::model::id::RecordId;
use crate::model::provisioning::{Record, RecordKind};
use std::collections::BTreeMap;

/// What stands against a record's key on the target.
pub enum Claim {
    /// Nothing; `leaves`: somebody has it still, and leaves it in this pass.
    Free {
        leaves: bool,
    },
    /// Another domain of the source becomes the same one; that is meant.
    Shared,
    Taken(Reason),
}

/// Which records of this source claim which keys.
pub struct Claims {
    /// The record that comes first for each key among those of the snapshot.
    first: BTreeMap<(RecordKind, String), RecordId>,
    /// The record that an earlier pass put there.
    holders: BTreeMap<(RecordKind, String), RecordId>,
}

impl Claims {
    pub fn new(pass: &Pass<'_>) -> Self {
        let mut holders = BTreeMap::new();
        for row in pass.rows.values().filter(|row| row.state == RecordState::Done) {
            holders.entry((row.kind, row.target_key.clone())).or_insert(row.id);
        }
        let mut first: BTreeMap<(RecordKind, String), RecordId> = BTreeMap::new();
        for stored in pass.started.provisioning.records.values() {
            let Some(key) = pass.planned.get(&stored.id) else { continue };
            let key = (stored.record.kind(), key.clone());
            // Who has it already keeps it.
            let holds = holders.get(&key) == Some(&stored.id);
            if holds {
                first.insert(key, stored.id);
            } else {
                first.entry(key).or_insert(stored.id);
            }
        }
        Self { first, holders }
    }

    /// What stands against giving `source` its key.
    pub fn judge(&self, pass: &Pass<'_>, id: RecordId, source: &Record) -> Claim {
        let key = (source.kind(), source.key().to_owned());
        let name = |id: &RecordId| pass.address_of(*id);
        if let Some(first) = self.first.get(&key).filter(|first| **first != id) {
            return match source.kind() {
                RecordKind::Domain => Claim::Shared,
                _ => Claim::Taken(Reason::BadName(format!("{} becomes {} as well", name(first), source.key()))),
            };
        }
        let Some(holder) = self.holders.get(&key).filter(|holder| **holder != id) else {
            return Claim::Free { leaves: false };
        };
        // The holder has another key from this pass on, unless the source no longer has it.
        if pass.planned.contains_key(holder) {
            return Claim::Free { leaves: true };
        }
        let what =
            format!("the target still has a former {} of that name, which the source removed", source.kind().word());
        Claim::Taken(Reason::Refused(what))
    }
}
