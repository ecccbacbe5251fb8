//! JSON lines of snapshots, one file at a time.

use stationwagon::format::manifest::{AccountState, ManifestLine};
use stationwagon::format::snapshot::{Provisioning, ProvisioningLine, parse_lines, push_line};

/// A mailbox that was replayed is the same after it was written in full and replayed again.
pub fn manifest(bytes: &[u8]) {
    let mut state = AccountState::default();
    if parse_lines(bytes, |line: ManifestLine| state.apply(line)).is_err() {
        return;
    }
    let _ = state.totals();
    let mut full = Vec::new();
    state.lines().for_each(|line| push_line(&mut full, &line));
    let mut again = AccountState::default();
    parse_lines(&full, |line: ManifestLine| again.apply(line)).unwrap();
    state.removed = Default::default();
    assert_eq!(again, state);
}

/// Records come back the same.
pub fn provisioning(bytes: &[u8]) {
    let (mut site, mut written) = (Provisioning::default(), Vec::new());
    let mut lines = 0;
    let read = parse_lines(bytes, |line: ProvisioningLine| {
        push_line(&mut written, &line);
        lines += 1;
        site.apply(line);
        Ok(())
    });
    let mut again = Provisioning::default();
    let mut same = 0;
    parse_lines(&written, |line: ProvisioningLine| {
        again.apply(line);
        same += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!((again, same), (site.clone(), lines));
    if read.is_ok() {
        let chosen = |address: &str| address.len().is_multiple_of(2);
        site.accounts().for_each(|(_, account)| super::control_files::line_of(account));
        for stored in site.records.values() {
            let _ = site.belongs(&stored.record, &chosen);
            assert!(site.find(stored.record.kind(), stored.record.key()).is_some());
        }
    }
}
