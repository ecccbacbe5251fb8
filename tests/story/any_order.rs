//! Any sequence of changes on the source, exported and imported now and then, gives a target that equals the source.

use crate::world::{World, mail};
use proptest::prelude::*;
use stationwagon::model::mailbox::Flags;
use stationwagon::model::provisioning::{Record, RecordKind, Secret};
use stationwagon::testing::memory_site::{Contents, MemorySite};
use stationwagon::verbs::import::ImportOptions;

const ACCOUNTS: [&str; 3] = ["a@example.org", "b@example.org", "c@example.org"];
const FOLDERS: [&str; 6] = ["INBOX", "One", "Two", "One/Deep", "Two/Deep", "Three"];

#[derive(Clone, Debug)]
enum Step {
    Arrive { account: usize, folder: usize },
    Flag { account: usize, item: usize, letters: usize },
    Move { account: usize, item: usize, folder: usize },
    Delete { account: usize, item: usize },
    RenameFolder { account: usize, from: usize, to: usize },
    RemoveFolder { account: usize, folder: usize },
    RenameAccount { from: usize, to: usize },
    Password { account: usize, number: u8 },
    Pass,
}

fn step() -> impl Strategy<Value = Step> {
    let (account, folder, item) = (0..ACCOUNTS.len(), 0..FOLDERS.len(), 0usize..6);
    prop_oneof![
        4 => (account.clone(), folder.clone()).prop_map(|(account, folder)| Step::Arrive { account, folder }),
        2 => (account.clone(), item.clone(), 0usize..4)
            .prop_map(|(account, item, letters)| Step::Flag { account, item, letters }),
        2 => (account.clone(), item.clone(), folder.clone())
            .prop_map(|(account, item, folder)| Step::Move { account, item, folder }),
        1 => (account.clone(), item).prop_map(|(account, item)| Step::Delete { account, item }),
        2 => (account.clone(), folder.clone(), folder.clone())
            .prop_map(|(account, from, to)| Step::RenameFolder { account, from, to }),
        1 => (account.clone(), folder).prop_map(|(account, folder)| Step::RemoveFolder { account, folder }),
        1 => (account.clone(), account.clone()).prop_map(|(from, to)| Step::RenameAccount { from, to }),
        1 => (account, any::<u8>()).prop_map(|(account, number)| Step::Password { account, number }),
        2 => Just(Step::Pass),
    ]
}

/// The name of one of an account's items, whichever there are.
fn pick(site: &Contents, account: usize, item: usize) -> Option<String> {
    let folders = site.mailboxes.get(ACCOUNTS[account])?.folders.values();
    let names: Vec<_> = folders.flat_map(|folder| folder.items.keys().cloned()).collect();
    names.get(item % names.len().max(1)).cloned()
}

fn take(site: &MemorySite, step: &Step, number: usize) {
    site.edit(|site| {
        let exists = |site: &Contents, account: usize| site.mailboxes.contains_key(ACCOUNTS[account]);
        match *step {
            Step::Arrive { account, folder } if exists(site, account) => {
                let (account, name) = (ACCOUNTS[account], format!("m{number}"));
                let text = format!("{account} {name}");
                site.put_item(account, &mail(FOLDERS[folder]), &name, text.as_bytes(), i64::try_from(number).unwrap());
            }
            Step::Flag { account, item, letters } => {
                let name = pick(site, account, item).unwrap_or_default();
                if let Some(item) = site.item(ACCOUNTS[account], &name) {
                    item.flags = Flags::from_letters(["", "S", "FS", "R"][letters]);
                }
            }
            Step::Move { account, item, folder } => {
                let name = pick(site, account, item).unwrap_or_default();
                site.move_item(ACCOUNTS[account], &name, &mail(FOLDERS[folder]));
            }
            Step::Delete { account, item } => {
                let name = pick(site, account, item).unwrap_or_default();
                drop(site.remove_item(ACCOUNTS[account], &name));
            }
            Step::RenameFolder { account, from, to } if from != 0 && exists(site, account) => {
                let (from, to) = (mail(FOLDERS[from]), mail(FOLDERS[to]));
                let below = |path: &str| path.starts_with(&format!("{}/", from.path()));
                let folders = &site.mailboxes[ACCOUNTS[account]].folders;
                let free = folders.keys().all(|key| *key != to && !key.path().starts_with(&format!("{}/", to.path())));
                if free && !below(to.path()) {
                    site.rename_folder(ACCOUNTS[account], &from, &to);
                }
            }
            Step::RemoveFolder { account, folder } if folder != 0 => {
                if let Some(mailbox) = site.mailboxes.get_mut(ACCOUNTS[account]) {
                    mailbox.folders.remove(&mail(FOLDERS[folder]));
                }
            }
            Step::RenameAccount { from, to } if exists(site, from) && !exists(site, to) => {
                let key = (RecordKind::Account, ACCOUNTS[from].to_owned());
                let Record::Account(mut account) = site.records[&key].record.clone() else { return };
                account.address = ACCOUNTS[to].to_owned();
                site.rename_record(RecordKind::Account, ACCOUNTS[from], Record::Account(account));
            }
            Step::Password { account, number } => {
                let key = (RecordKind::Account, ACCOUNTS[account].to_owned());
                if let Some(Record::Account(account)) = site.records.get_mut(&key).map(|stored| &mut stored.record) {
                    account.password = Some(Secret::new(format!("{{PLAIN}}{number}")));
                }
            }
            _ => {}
        }
    });
}

/// What the accounts hold, without numbers that memory gives, and without folders that hold nothing.
fn shown(site: &MemorySite) -> Vec<String> {
    site.edit(|site| {
        let mut lines = Vec::new();
        for stored in site.records.values() {
            lines.push(format!("{:?}", stored.record));
            if let Record::Account(account) = &stored.record {
                lines.push(account.password.as_ref().map(|secret| secret.reveal().to_owned()).unwrap_or_default());
            }
        }
        for (account, mailbox) in &site.mailboxes {
            for (key, folder) in &mailbox.folders {
                for (name, item) in &folder.items {
                    let text = String::from_utf8_lossy(&item.bytes);
                    lines.push(format!("{account} {key} {name} {} {text:?} {}", item.flags, item.date));
                }
            }
        }
        lines
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn the_target_follows_whatever_happens_on_the_source(steps in proptest::collection::vec(step(), 1..40)) {
        let world = World::new();
        ACCOUNTS.iter().take(2).for_each(|account| world.account(account, &[]));
        let options = ImportOptions { delete: true, ..world.options() };
        for (number, step) in steps.iter().chain([&Step::Pass]).enumerate() {
            take(&world.source, step, number);
            if matches!(step, Step::Pass) {
                let report = world.export().import_with(&options);
                prop_assert_eq!(&report.conflicts, &vec![]);
                prop_assert_eq!(&report.rejected, &vec![]);
                prop_assert_eq!(shown(&world.target), shown(&world.source));
            }
        }
        let quiet = world.import_with(&options);
        prop_assert_eq!(quiet.bytes, 0);
        prop_assert_eq!(quiet.ledger.items.imported, 0);
    }
}
