//! Provisioning: is every record on the target, as import wrote it?

use super::{VerifyError, VerifyReport};
use crate::event::{Event, Place, Sink};
use crate::format::snapshot::Provisioning;
use crate::map::{Map, RecordState};
use crate::model::provisioning::{Record, RecordKind};
use crate::site::ProvisioningScan;
use std::collections::HashMap;

pub(super) fn compare(
    provisioning: &Provisioning,
    present: &ProvisioningScan,
    map: &Map,
    (wanted, all): (&dyn Fn(&str) -> bool, bool),
    report: &mut VerifyReport,
    sink: &dyn Sink,
) -> Result<(), VerifyError> {
    let here: HashMap<(RecordKind, &str), &Record> =
        present.records.iter().map(|found| ((found.record.kind(), found.record.key()), &found.record)).collect();
    for stored in provisioning.records.values() {
        let (kind, key) = (stored.record.kind(), stored.record.key());
        // Settings are kept for reference, never restored.
        if kind == RecordKind::Settings {
            continue;
        }
        // As an import of these accounts would: no other record has to be there.
        if !all && !provisioning.belongs(&stored.record, wanted) {
            continue;
        }
        report.records += 1;
        let name = format!("{} {key}", kind.word());
        let Some(row) = map.record(stored.id)?.filter(|row| row.state == RecordState::Done) else {
            report.differs(sink, Place::account(key), format!("{name} has not been imported"));
            continue;
        };
        match here.get(&(kind, row.target_key.as_str())) {
            None => report.differs(
                sink,
                Place::account(&row.target_key),
                format!("{name} is not on the target any more (as {})", row.target_key),
            ),
            Some(found) if **found != row.base && row.seen.as_ref() != Some(found) => {
                let text = format!("{name} was changed on the target since the import");
                sink.emit(Event::Notice { place: Place::account(&row.target_key), text });
            }
            Some(_) => {}
        }
    }
    Ok(())
}
